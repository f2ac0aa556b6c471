//===- GeneratorStates.cpp - random recurrences ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Generator.h"

#include "llvm/ADT/STLExtras.h"

#include <fmt/format.h>

namespace seqmix::run {

static constexpr int64_t maxState = 1300;

void Generator::addStates() {
  using Builder = void (Generator::*)(bool);
  static constexpr Builder builders[] = {&Generator::matrix,          &Generator::matrix,
                                         &Generator::matrix,          &Generator::matrix,
                                         &Generator::matrix,          &Generator::elementwise,
                                         &Generator::elementwise,     &Generator::selective,
                                         &Generator::tropical,        &Generator::nonlinearDiagonal,
                                         &Generator::nonlinearDense,  &Generator::nonlinearDense,
                                         &Generator::denseLinear,     &Generator::rotation,
                                         &Generator::momentum,        &Generator::coupledMatrices,
                                         &Generator::coupledMatrices, &Generator::stabilised,
                                         &Generator::matrixNonlinear};
  unsigned groups = random.chance(0.65) ? 1 : 2;
  for (unsigned g = 0; g < groups && states.size() < 4; ++g) {
    isBackward = random.chance(0.12);
    (this->*random.pick<Builder>(builders))(isBackward);
  }
  isBackward = false;
}

Generator::Value Generator::newState(const DimList &list, const char *init, bool backward) {
  Value state{newName("S"), list, true, Value::State};
  state.backward = backward;
  Scope scope = scopeOf(list);
  std::vector<std::string> places;
  for (unsigned d : list)
    places.push_back(scope.index[d]);
  states.push_back(fmt::format("{}[{}] = {}", state.name, fmt::join(places, ","), init));
  return state;
}

/// The state's equation; from here on it can be read at its token.
void Generator::finish(const Value &state, const std::string &rhs) {
  equation(leftSide(state.name, state.dims, true, scopeOf(state.dims)), rhs);
  values.push_back(state);
}

/// Gives an expression over the primary indices of `list` a name, half of the time.
std::string Generator::maybeDefine(const DimList &list, const std::string &rhs,
                                   const Scope &scope) {
  if (random.chance(0.5))
    return rhs;
  return read(define(list, rhs), scope);
}

/// What multiplies the old state; `separable`: a product of factors of single indices.
Generator::Decay Generator::decay(const DimList &list, const Scope &scope, bool separable) {
  Scope scalar = scopeOf({});
  double kind = random.uniform();
  if (kind < 0.12)
    return {};
  if (kind < 0.22)
    return {number(0.5, 1)};
  if (kind < 0.26)
    return {fmt::format("({})", number(-0.9, -0.3)), true};
  if (kind < 0.30)
    return {fmt::format("tanh({})", atom(scalar)), true};
  if (kind < 0.36)
    return {fmt::format("({} if {} else 0)", fraction(scalar, 0), condition(scalar, 1))};
  if (kind < 0.55 || list.empty())
    return {maybeDefine({}, fraction(scalar, 1), scalar)};
  if (!separable && kind < 0.7)
    return {maybeDefine(list, fraction(scope, 1), scope)};
  DimList first{random.pick<unsigned>(list)};
  std::string text = maybeDefine(first, fraction(scopeOf(first), 1), scope);
  if (list.size() == 1 || kind < 0.85)
    return {text};
  DimList second{list[first[0] == list[0] ? 1 : 0]};
  return {fmt::format("{} * {}", text, maybeDefine(second, fraction(scopeOf(second), 1), scope))};
}

/// Low-rank changes of a matrix state. Keys have length 1 and the parts that grow are below the
/// decay, so that the transition contracts. `base` is the decayed old state; a delta that comes in
/// two steps puts a definition in its place.
std::string Generator::deltaTerms(const Value &state, unsigned row, unsigned column,
                                  const Decay &decay, std::string &base) {
  std::string before = past(state), terms;
  Scope scope = scopeOf({row, column}), rowScope = scopeOf({row}), columnScope = scopeOf({column});
  unsigned count = random.chance(0.7) ? 1 : 2;
  for (unsigned term = 0; term < count; ++term) {
    // Which of the state's dims is summed; by columns now and then.
    bool byColumns = random.chance(0.12);
    unsigned summed = byColumns ? column : row;
    DimList keyDims{summed}, valueDims{byColumns ? row : column};
    Scope keyScope = scopeOf(keyDims), valueScope = scopeOf(valueDims);
    Value key = define(keyDims, normalised(freshRead(keyDims, keyScope), summed));
    Scope inner = scope;
    std::string index;
    if (!bind(inner, summed, index))
      return terms;
    std::string old = read(state, inner, before);
    double strength = decay.isNegative || count > 1 ? 0.3 : 1;
    if (!decay.text.empty() && random.chance(0.4) && !decay.isNegative &&
        decay.text.find('[') == std::string::npos)
      old = fmt::format("{} * {}", decay.text, old);
    double form = random.uniform();
    if (form < 0.65) {
      std::string beta = fmt::format("{:g} * {}", strength, fraction(scopeOf({}), 1));
      if (random.chance(0.5))
        beta = maybeDefine({}, beta, scopeOf({}));
      std::string rhs = fmt::format("{} * ({} - (sum[{}] {} * {}))", beta, unit(valueScope, 1),
                                    index, read(key, inner), old);
      terms += fmt::format(" + {} * {}", read(key, scope), read(define(valueDims, rhs), scope));
    } else if (form < 0.85) {
      Value other = define(keyDims, normalised(freshRead(keyDims, keyScope), summed));
      terms += fmt::format(" - {} * {} * (sum[{}] {} * {})", number(0.1, 0.5 * strength),
                           read(other, scope), index, read(key, inner), old);
    } else {
      std::string beta = maybeDefine({}, fraction(scopeOf({}), 0), scopeOf({}));
      Value middle =
          define({row, column}, fmt::format("{} - {} * {} * (sum[{}] {} * {})", base, beta,
                                            read(key, scope), index, read(key, inner), old));
      base = read(middle, scope);
      if (random.chance(0.5))
        return terms;
      Value key2 = define(keyDims, normalised(freshRead(keyDims, keyScope), summed));
      terms += fmt::format(" - {} * (sum[{}] {} * {})", read(key2, scope), index, read(key2, inner),
                           read(middle, inner));
      return terms;
    }
  }
  return terms;
}

/// A matrix state: decay, low-rank removal, outer products.
void Generator::matrix(bool backward) {
  DimList list = chooseDimList(2, maxState);
  if (list.size() < 2)
    return elementwise(backward);
  Scope scope = scopeOf(list);
  Value state = newState(list, random.chance(0.9) ? "0" : "0.5", backward);
  Decay factor = decay(list, scope, random.chance(0.9));
  std::string base = read(state, scope, past(state));
  if (!factor.text.empty())
    base = fmt::format("{} * {}", factor.text, base);
  std::string terms;
  bool hasDelta = random.chance(0.5);
  if (hasDelta)
    terms = deltaTerms(state, list[0], list[1], factor, base);
  unsigned writes = hasDelta ? random.below(2) : 1 + random.below(2);
  for (unsigned w = 0; w < writes; ++w)
    terms += fmt::format(" + {} * {}", unit(scopeOf({list[0]}), random.below(2)),
                         unit(scopeOf({list[1]}), random.below(2)));
  if (random.chance(0.06))
    terms += " + " + unit(scope, 1); // a write of full rank
  state.isUnbounded = true;
  finish(state, base + terms);
}

void Generator::elementwise(bool backward) {
  DimList list = chooseDimList(random.below(4), maxState);
  Scope scope = scopeOf(list);
  Value state = newState(list, random.chance(0.9) ? "0" : "1", backward);
  std::string old = read(state, scope, past(state));
  double kind = random.uniform();
  state.isUnbounded = true;
  if (kind < 0.4) {
    std::string gate = maybeDefine(list, fraction(scope, 1), scope);
    finish(state, fmt::format("{} * {} + (1 - {}) * {}", gate, old, gate, unit(scope, 2)));
  } else if (kind < 0.5) {
    finish(state, fmt::format("{} if {} else {} * {} + {}", old, condition(scope, 1),
                              fraction(scope, 0), old, unit(scope, 1)));
  } else {
    Decay factor = decay(list, scope, false);
    if (!factor.text.empty())
      old = fmt::format("{} * {}", factor.text, old);
    finish(state, fmt::format("{} + {}", old, unit(scope, 2)));
  }
}

/// A decay that depends on all indices of the state through a step size.
void Generator::selective(bool backward) {
  DimList list = chooseDimList(2, maxState);
  if (list.size() < 2)
    return elementwise(backward);
  Scope scope = scopeOf(list), first = scopeOf({list[0]}), second = scopeOf({list[1]});
  Value state = newState(list, "0", backward);
  Value step = define({list[0]}, fmt::format("softplus({})", unit(first, 1)));
  std::string rate = read(addParam(list, Value::Real), scope);
  std::string discretised =
      random.chance(0.7)
          ? fmt::format("{} * {} * {}", read(step, scope), unit(second, 0), unit(first, 0))
          : fmt::format("-expm1(-{}) * {}", read(step, scope), unit(scope, 1));
  state.isUnbounded = true;
  finish(state, fmt::format("exp(-exp({}) * {}) * {} + {}", rate, read(step, scope),
                            read(state, scope, past(state)), discretised));
}

/// Maximum and log-sum-exp in place of the sum.
void Generator::tropical(bool backward) {
  DimList list = chooseDimList(random.below(3), maxState);
  Scope scope = scopeOf(list);
  static constexpr const char *functions[] = {"max", "logaddexp", "min"};
  const char *function = random.pick<const char *>(functions);
  Value state = newState(list, function[1] == 'i' ? "inf" : "-inf", backward);
  std::string shift =
      random.chance(0.3) ? "" : (function[1] == 'i' ? " - " : " + ") + negative(scope);
  finish(state, fmt::format("{}({}{}, {})", function, read(state, scope, past(state)), shift,
                            unit(scope, 2)));
}

void Generator::nonlinearDiagonal(bool backward) {
  DimList list = chooseDimList(random.below(3), maxState);
  Scope scope = scopeOf(list);
  Value state = newState(list, "0", backward);
  std::string old = read(state, scope, past(state));
  switch (random.below(4)) {
  case 0:
    finish(state, fmt::format("tanh({} + {} * {})", unit(scope, 1), number(-0.9, 0.9), old));
    break;
  case 1: {
    std::string gate = maybeDefine(
        list, fmt::format("sigmoid({} + {} * {})", atom(scope), number(-1, 1), old), scope);
    finish(state, fmt::format("{} * {} + (1 - {}) * tanh({})", gate, old, gate, unit(scope, 1)));
    break;
  }
  case 2:
    finish(state, fmt::format("{} * {} / (1 + {} * abs({})) + {}", number(0.3, 0.9), old,
                              number(0.1, 1), old, unit(scope, 1)));
    break;
  default:
    finish(state, fmt::format("{} * sin({}) + {}", number(0.3, 0.9), old, unit(scope, 1)));
  }
}

/// A cell whose gates multiply the old state by matrices.
void Generator::nonlinearDense(bool backward) {
  DimList list = chooseDimList(1, 40);
  Scope scope = scopeOf(list), inner = scope;
  std::string index;
  if (list.empty() || !bind(inner, list[0], index))
    return nonlinearDiagonal(backward);
  Value state = newState(list, "0", backward);
  auto recurrent = [&](const std::string &operand) {
    Value weight{newName("p"), list, false, Value::Param};
    std::string head = !batch.empty() && random.chance(0.6) ? batch.back() + "," : "";
    params.push_back(fmt::format("{}[{}{},{}]", weight.name, head, scope.index[list[0]], index));
    return fmt::format("{:g} * (sum[{}] {}[{},{}] * {})", 0.6, index, weight.name,
                       scope.index[list[0]], index, operand);
  };
  std::string old = read(state, scope, past(state)), summed = read(state, inner, past(state));
  switch (random.below(4)) {
  case 0:
    finish(state, fmt::format("tanh({} + {})", unit(scope, 1), recurrent(summed)));
    break;
  case 1: { // a reset gate inside the candidate
    Value reset = define(list, fmt::format("sigmoid({} + {})", atom(scope), recurrent(summed)));
    Value keep = define(list, fmt::format("sigmoid({} + {})", atom(scope), recurrent(summed)));
    std::string candidate =
        random.chance(0.5)
            ? fmt::format("tanh({} + {} * ({}))", atom(scope), read(reset, scope),
                          recurrent(summed))
            : fmt::format("tanh({} + {})", atom(scope),
                          recurrent(fmt::format("({} * {})", read(reset, inner), summed)));
    finish(state, fmt::format("(1 - {}) * {} + {} * {}", read(keep, scope), candidate,
                              read(keep, scope), old));
    break;
  }
  case 2: { // a cell beside the state
    Value cell = newState(list, "0", backward);
    std::string oldCell = read(cell, scope, past(cell));
    Value input = define(list, fmt::format("sigmoid({} + {})", atom(scope), recurrent(summed)));
    Value forget = define(list, fmt::format("sigmoid({} + {})", atom(scope), recurrent(summed)));
    finish(cell, fmt::format("{} * {} + {} * tanh({} + {})", read(forget, scope), oldCell,
                             read(input, scope), atom(scope), recurrent(summed)));
    finish(state, fmt::format("sigmoid({}) * tanh({})", atom(scope), read(cell, scope)));
    break;
  }
  default: // a mean over all channels
    finish(state, fmt::format("tanh({} + {} * {}^-1 * (sum[{}] {}))", unit(scope, 1),
                              number(-0.9, 0.9), dims[list[0]].name, index, summed));
  }
}

/// An affine state with a dense transition that the token may scale.
void Generator::denseLinear(bool backward) {
  DimList list = chooseDimList(1, 40);
  Scope scope = scopeOf(list), inner = scope;
  std::string index;
  if (list.empty() || !bind(inner, list[0], index))
    return elementwise(backward);
  Value state = newState(list, "0", backward);
  std::string weight = newName("p");
  params.push_back(fmt::format("{}[{},{}]", weight, scope.index[list[0]], index));
  std::string product = fmt::format("(sum[{}] {}[{},{}] * {})", index, weight, scope.index[list[0]],
                                    index, read(state, inner, past(state)));
  if (random.chance(0.4))
    product = fmt::format("{} * {}", fraction(scope, 0), product);
  finish(state, fmt::format("0.4 * {} + {}", product, unit(scope, 1)));
}

/// Two states that turn into each other.
void Generator::rotation(bool backward) {
  DimList list = chooseDimList(random.below(3), 600);
  Scope scope = scopeOf(list);
  Value real = newState(list, "0", backward), imaginary = newState(list, "0", backward);
  Value angle = random.chance(0.5) ? define(list, unit(scope, 1))
                                   : define(list, number(0.1, 2), random.chance(0.5));
  std::string radius =
      random.chance(0.5) ? number(0.5, 1) : maybeDefine({}, fraction(scopeOf({}), 0), scope);
  std::string cosine = fmt::format("cos({})", read(angle, scope));
  std::string sine = fmt::format("sin({})", read(angle, scope));
  std::string re = read(real, scope, past(real)), im = read(imaginary, scope, past(imaginary));
  std::string first = unit(scope, 1), second = random.chance(0.5) ? " + " + atom(scope) : "";
  finish(real, fmt::format("{} * ({} * {} - {} * {}) + {}", radius, cosine, re, sine, im, first));
  finish(imaginary,
         fmt::format("{} * ({} * {} + {} * {}){}", radius, sine, re, cosine, im, second));
  values[values.size() - 1].isUnbounded = values[values.size() - 2].isUnbounded = true;
}

/// A matrix state that follows another one.
void Generator::momentum(bool backward) {
  DimList list = chooseDimList(2, 600);
  Scope scope = scopeOf(list);
  Value speed = newState(list, "0", backward), state = newState(list, "0", backward);
  std::string write =
      list.size() < 2 ? unit(scope, 1)
                      : fmt::format("{} * {}", atom(scopeOf({list[0]})), atom(scopeOf({list[1]})));
  std::string gate = maybeDefine({}, fraction(scopeOf({}), 1), scope);
  speed.isUnbounded = state.isUnbounded = true;
  finish(speed,
         fmt::format("{} * {} + {}", number(0.2, 0.9), read(speed, scope, past(speed)), write));
  std::string followed = read(speed, scope, random.chance(0.7) ? "t" : past(speed));
  finish(state, fmt::format("{} * {} + {} * {}", gate, read(state, scope, past(state)),
                            number(0.1, 1), followed));
}

/// Sums with exponential gates beside their running maximum.
void Generator::stabilised(bool backward) {
  DimList list = chooseDimList(1 + random.below(2), maxState);
  DimList gateDims = random.chance(0.5) || list.empty() ? DimList{} : DimList{list[0]};
  Scope scope = scopeOf(list), gates = scopeOf(gateDims);
  Value top = newState(gateDims, "-inf", backward);
  Value sum = newState(list, "0", backward);
  Value forget = define(gateDims, negative(gates)), input = define(gateDims, unit(gates, 1));
  std::string oldTop = read(top, scope, past(top));
  finish(top, fmt::format("max({} + {}, {})", oldTop, read(forget, gates), read(input, gates)));
  std::string keep =
      fmt::format("exp({} + {} - {})", oldTop, read(forget, scope), read(top, scope));
  std::string take = fmt::format("exp({} - {})", read(input, scope), read(top, scope));
  if (random.chance(0.4)) {
    keep = read(define(gateDims, keep), scope);
    take = read(define(gateDims, take), scope);
  }
  sum.isUnbounded = true;
  finish(sum, fmt::format("{} * {} + {} * {}", keep, read(sum, scope, past(sum)), take,
                          list.size() < 2 ? unit(scope, 1)
                                          : fmt::format("{} * {}", atom(scopeOf({list[0]})),
                                                        atom(scopeOf({list[1]})))));
}

/// A matrix state under a nonlinear function.
void Generator::matrixNonlinear(bool backward) {
  DimList list = chooseDimList(2, 400);
  if (list.size() < 2)
    return nonlinearDiagonal(backward);
  Scope scope = scopeOf(list), inner = scope;
  Value state = newState(list, "0", backward);
  std::string old = read(state, scope, past(state)), index;
  std::string write = fmt::format("{} * {}", atom(scopeOf({list[0]})), atom(scopeOf({list[1]})));
  if (random.chance(0.5) || !bind(inner, list[0], index)) {
    finish(state, fmt::format("tanh({} * {} + {})", fraction(scopeOf({}), 0), old, write));
    return;
  }
  Value error =
      define({list[1]}, fmt::format("tanh({} - {} * (sum[{}] {} * {}))", atom(scopeOf({list[1]})),
                                    root(list[0]), index, freshRead({list[0]}, inner),
                                    read(state, inner, past(state))));
  finish(state, fmt::format("{} * {} + {} * {}", number(0.3, 0.95), old,
                            bounded(scopeOf({list[0]}), 0), read(error, scope)));
}

} // namespace seqmix::run
