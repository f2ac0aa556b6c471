//===- GeneratorExpr.cpp - random expressions -----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Generator.h"

#include "llvm/ADT/STLExtras.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace seqmix::run {

/// Points of a scope times the extent of a reduction that an equation may cost at a token.
static constexpr int64_t maxWork = 4000;

std::string Generator::number(double low, double high) {
  return fmt::format("{:.2g}", random.uniform(low, high));
}

std::string Generator::root(unsigned dim) const { return dims[dim].name + "^-0.5"; }

std::string Generator::read(const Value &value, const Scope &scope, const std::string &time) const {
  std::vector<std::string> places;
  if (value.overTokens)
    places.push_back(time);
  for (unsigned d : value.dims)
    places.push_back(scope.index[d]);
  if (places.empty())
    return value.name;
  return fmt::format("{}[{}]", value.name, fmt::join(places, ","));
}

/// Binds the second index of a dim, which no left side has; false where an enclosing reduction took
/// it.
bool Generator::bind(Scope &scope, unsigned dim, std::string &index) const {
  index = dims[dim].indices.back();
  if (scope.index[dim] == index)
    return false;
  scope.index[dim] = index;
  return true;
}

/// A new input or param over these dims.
std::string Generator::freshRead(const DimList &list, const Scope &scope, Value::Class cls) {
  if (!scope.overTokens || (random.chance(0.12) && !list.empty()))
    return list.empty() ? number(0.3, 1) : read(addParam(list, cls), scope);
  return read(addInput(list, cls), scope);
}

/// An earlier token of something; never of a state.
std::string Generator::pastOf(const Value &value, const Scope &scope) {
  return read(value, scope, fmt::format("t-{}", 1 + random.below(3)));
}

/// A real value of order 1 that the scope can read: often something that exists already.
std::string Generator::atom(const Scope &scope) {
  std::vector<Value> candidates;
  DimList bound = scope.dims();
  for (const Value &value : values) {
    bool fits = llvm::all_of(value.dims, [&](unsigned d) { return !scope.index[d].empty(); });
    bool isReal = value.cls != Value::Integer && value.cls != Value::Boolean;
    if (fits && isReal && value.isReady && value.origin != Value::State && !value.isUnbounded &&
        (scope.overTokens || !value.overTokens) && (bound.empty() || !value.dims.empty()))
      candidates.push_back(value);
  }
  if (candidates.empty() || random.chance(0.35)) {
    DimList list;
    for (unsigned d : bound)
      if ((bound.size() == 1 || random.chance(0.7)) && elements(list) * dims[d].size <= maxWork)
        list.push_back(d);
    return freshRead(list, scope);
  }
  Value value = random.pick<Value>(candidates);
  // Inside a group that runs backwards only what does not depend on it has a past.
  if (value.overTokens && (!isBackward || value.origin == Value::Input) && random.chance(0.12))
    return pastOf(value, scope);
  if (value.dims.size() == 1 && random.chance(0.04) && !dims[value.dims[0]].isWindow) {
    Scope moved = scope; // a neighbour, zero outside; or the order reversed
    std::string &index = moved.index[value.dims[0]];
    index = random.chance(0.5) ? index + "-1"
                               : fmt::format("{} - 1 - {}", dims[value.dims[0]].name, index);
    return read(value, moved);
  }
  return read(value, scope);
}

std::string Generator::condition(const Scope &scope, int depth) {
  DimList bound = scope.dims();
  if (depth > 0 && random.chance(0.25))
    return fmt::format("({} {} {})", condition(scope, depth - 1), random.chance(0.5) ? "and" : "or",
                       condition(scope, depth - 1));
  if (random.chance(0.15))
    return fmt::format("not {}", condition(scope, 0));
  std::string index = bound.empty() ? "" : scope.index[bound[0]];
  if (!scope.overTokens)
    return index.empty() ? "1 < 2" : index + " % 2 == 0";
  switch (random.below(index.empty() ? 5 : 7)) {
  case 0:
    return read(addInput({}, Value::Boolean), scope);
  case 1: {
    Value document = addInput({}, Value::Integer);
    return fmt::format("({} != {})", read(document, scope), read(document, scope, "t-1"));
  }
  case 2:
    return fmt::format("({} >= {})", read(addInput({}, Value::Integer), scope),
                       1 + random.below(3));
  case 3:
    return fmt::format("(t % {} == 0)", 2 + random.below(4));
  case 4:
    return fmt::format("({} > {})", read(addInput({}, Value::Real), scope), number(-1, 1));
  case 5:
    return fmt::format("({} % 2 == {})", index, random.below(2));
  default:
    return fmt::format("({} < {})", index, 1 + random.below(dims[bound[0]].size));
  }
}

/// A reduction over a dim that the scope does not have bound, or over the second index of one that
/// it has.
std::string Generator::reduction(const Scope &scope, int depth) {
  DimList choices;
  for (unsigned d = 0; d < dims.size(); ++d)
    if (!dims[d].isWindow && elements(scope.dims()) * dims[d].size <= maxWork)
      choices.push_back(d);
  if (choices.empty())
    return atom(scope);
  unsigned dim = random.pick<unsigned>(choices);
  Scope inner = scope;
  std::string index;
  if (!bind(inner, dim, index))
    return atom(scope);
  switch (random.below(8)) {
  case 0:
    return fmt::format("max[{}] ({})", index, unit(inner, depth));
  case 1:
    return fmt::format("min[{}] ({})", index, unit(inner, depth));
  case 2:
    return fmt::format("logsumexp[{}] ({})", index, bounded(inner, depth));
  case 3:
    return fmt::format("prod[{}] ({})", index, fraction(inner, 0));
  default:
    return fmt::format("{} * (sum[{}] {} * {})", root(dim), index, atom(inner), unit(inner, depth));
  }
}

/// A value of order 1.
std::string Generator::unit(const Scope &scope, int depth) {
  if (depth <= 0 || random.chance(0.3))
    return atom(scope);
  static constexpr const char *functions[] = {"tanh", "sigmoid",  "silu",      "sin",
                                              "cos",  "erf",      "gelu",      "relu",
                                              "abs",  "softplus", "logsigmoid"};
  switch (random.below(13)) {
  case 0:
  case 1:
    return fmt::format("({} + {})", unit(scope, depth - 1), unit(scope, depth - 1));
  case 2:
    return fmt::format("({} - {})", unit(scope, depth - 1), atom(scope));
  case 3:
  case 4:
    return fmt::format("({} * {})", atom(scope), unit(scope, depth - 1));
  case 5:
  case 6:
    return fmt::format("{}({})", random.pick<const char *>(functions), unit(scope, depth - 1));
  case 7:
    return fmt::format("({})", reduction(scope, depth - 1));
  case 8:
    return fmt::format("({} if {} else {})", unit(scope, depth - 1), condition(scope, 1),
                       unit(scope, depth - 1));
  case 9:
    return fmt::format("({} / (1 + abs({})))", unit(scope, depth - 1), atom(scope));
  case 10:
    return fmt::format("{}({}, {})", random.chance(0.5) ? "max" : "min", unit(scope, depth - 1),
                       atom(scope));
  case 11:
    if (scope.overTokens)
      return fmt::format("({} * {}({} * t))", atom(scope), random.chance(0.5) ? "sin" : "cos",
                         number(0.1, 1));
    return fmt::format("({} * {})", number(-1, 1), atom(scope));
  default: {
    DimList bound = scope.dims();
    if (bound.empty())
      return fmt::format("expm1(min({}, 1))", atom(scope));
    unsigned dim = random.pick<unsigned>(bound);
    return fmt::format("(softmax[{}] ({}))", scope.index[dim], atom(scope));
  }
  }
}

std::string Generator::bounded(const Scope &scope, int depth) {
  return fmt::format("{}({})", random.chance(0.5) ? "tanh" : "erf", unit(scope, depth));
}

/// A value in [-inf, 0], for an exponent.
std::string Generator::negative(const Scope &scope) {
  DimList bound = scope.dims();
  switch (random.below(4)) {
  case 0:
    return freshRead(bound, scope, Value::Negative);
  case 1:
    return fmt::format("logsigmoid({})", atom(scope));
  case 2:
    return fmt::format("(-softplus({}))", atom(scope));
  default:
    return fmt::format("(-exp(min({}, 2)) * softplus({}))", atom(scope), atom(scope));
  }
}

/// A value in [0, 1].
std::string Generator::fraction(const Scope &scope, int depth) {
  DimList bound = scope.dims();
  switch (random.below(7)) {
  case 0:
  case 1:
    return fmt::format("sigmoid({})", unit(scope, depth));
  case 2:
  case 3:
    return fmt::format("exp({})", negative(scope));
  case 4:
    return freshRead(bound, scope, Value::Fraction);
  case 5:
    return fmt::format("(1 - {})", fraction(scope, 0));
  default:
    return number(0.3, 1);
  }
}

/// `operand` (which uses the scope's index of `dim`) with length 1 over that dim.
std::string Generator::normalised(const std::string &operand, unsigned dim) {
  std::string &function = normFunctions[dim];
  if (function.empty()) {
    function = newName("unit");
    const auto &indices = dims[dim].indices;
    functions.push_back(fmt::format("{}(y[{}]) = y[{}] * rsqrt(sum[{}] y[{}]^2 + 1e-4)", function,
                                    indices[0], indices[0], indices[1], indices[1]));
  }
  return fmt::format("{}({})", function, operand);
}

/// Definitions that do not depend on a state: functions of params, of the token, windows.
void Generator::addPreliminaries() {
  if (random.chance(0.25)) {
    DimList list = chooseDimList(1, maxWork);
    Scope scope = scopeOf(list, false);
    define(list, fmt::format("tanh({})", read(addParam(list, Value::Real), scope)), false);
  }
  if (random.chance(0.3))
    addWindow();
  if (random.chance(0.3)) {
    DimList list = chooseDimList(random.below(3), 600);
    define(list, unit(scopeOf(list), 3));
  }
  if (random.chance(0.05)) {
    DimList list = chooseDimList(random.below(2), 600);
    define(list, fmt::format("cumsum[t] ({})", unit(scopeOf(list), 1)));
    values.back().isUnbounded = true;
  }
  if (random.chance(0.06)) {
    DimList list = chooseDimList(1, 60);
    Scope scope = scopeOf(list), inner = scope;
    std::string index;
    if (!list.empty() && bind(inner, list[0], index)) {
      define(list,
             fmt::format("{} * (sum[{}] {} * {})", root(list[0]), index,
                         read(addParam(list, Value::Real), inner),
                         read(addInput(list, Value::Real), inner)),
             true, fmt::format("{} <= {}", index, scope.index[list[0]]));
    }
  }
}

/// A short convolution, or a mix of two tokens.
void Generator::addWindow() {
  unsigned window = dims.size() - 1;
  DimList list = chooseDimList(random.below(3), 600);
  Scope scope = scopeOf(list);
  if (random.chance(0.5)) {
    Value x = random.chance(0.6) ? addInput(list, Value::Real) : define(list, unit(scope, 2));
    DimList filter{window};
    if (!list.empty() && random.chance(0.5))
      filter.push_back(list[0]);
    Value c = addParam(filter, Value::Real);
    Scope inner = scope;
    inner.index[window] = "w";
    define(list, fmt::format("sum[w] {} * {}", read(c, inner), read(x, scope, "t-w")));
    return;
  }
  Value x = addInput(list, Value::Real);
  Value mix = list.empty() ? addInput(list, Value::Fraction) : addParam({list[0]}, Value::Fraction);
  define(list, fmt::format("{} + {} * ({} - {})", read(x, scope), read(mix, scope),
                           read(x, scope, "t-1"), read(x, scope)));
}

} // namespace seqmix::run
