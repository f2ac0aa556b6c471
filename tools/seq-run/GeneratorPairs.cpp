//===- GeneratorPairs.cpp - reductions over pairs of positions in random mixers -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Generator.h"

#include <fmt/format.h>

namespace seqmix::run {

/// Which positions s a row t looks at; empty for all.
std::string Generator::pairDomain() {
  auto small = [&] { return 1 + random.below(random.chance(0.5) ? 5 : 40); };
  auto own = [&]() -> std::string {
    switch (random.below(10)) {
    case 0:
      return fmt::format("s <= t and t - s < {}", small());
    case 1:
      return fmt::format("s <= t and (t - s) % {} == 0", small());
    case 2:
      return fmt::format("s <= t and t // {0} == s // {0}", small());
    case 3: {
      std::string doc = addInput({}, Value::Integer).name;
      return fmt::format("s <= t and {0}[s] == {0}[t]", doc);
    }
    case 4:
      return fmt::format("s <= t and (s < {} or t - s < {})", small(), small());
    case 5:
      return fmt::format("s < t and t - s <= {}", small());
    case 6:
      return "s < t";
    case 7: // looks ahead: no step
      return random.chance(0.5) ? fmt::format("s - t < {} and t - s < {}", small(), small())
                                : fmt::format("s <= t or s < {}", small());
    default:
      return "s <= t";
    }
  };
  return random.chance(0.06) ? "" : own();
}

/// A score of the pair (t, s).
std::string Generator::pairScore(const DimList &list) {
  Scope row = scopeOf(list);
  auto side = [&] {
    return random.chance(0.7) ? addInput(list, Value::Real) : define(list, unit(row, 1));
  };
  Value q = side(), k = side();
  std::string score;
  if (list.empty()) {
    score = fmt::format("{} * {}", read(q, row), read(k, row, "s"));
  } else if (std::string index; bind(row, list[0], index)) {
    std::string atT = read(q, row), atS = read(k, row, "s");
    score = random.chance(0.8)
                ? fmt::format("{} * (sum[{}] {} * {})", root(list[0]), index, atT, atS)
                : fmt::format("{} * (sum[{}] {} * tanh({} + {}))", root(list[0]), index,
                              read(addParam(list, Value::Real), row), atT, atS);
  } else {
    score = "0.5";
  }
  if (random.chance(0.25))
    score = fmt::format("{0} * tanh(({1}) / {0})", 1 + random.below(4), score);
  if (random.chance(0.2))
    score += fmt::format(" - {} * (t - s)", number(0, 0.5));
  if (random.chance(0.2))
    score += " + " + read(addInput({}, Value::Real), scopeOf({}), "s");
  if (random.chance(0.1)) {
    Value gate = addInput({}, Value::Fraction);
    Value sum = define({}, fmt::format("cumsum[t] log({} + 0.1)", read(gate, scopeOf({}))));
    values.back().isUnbounded = true;
    score += fmt::format(" + {} - {}", read(sum, scopeOf({})), read(sum, scopeOf({}), "s"));
  }
  return score;
}

/// A sum of low rank over the positions before, after or on both sides: linear in the length.
void Generator::addSeparableSum() {
  static constexpr const char *domains[] = {"s <= t", "s <= t", "s < t", "s >= t", "s > t", ""};
  std::string domain = random.pick<const char *>(domains);
  bool isBefore = domain.starts_with("s <");
  DimList rank = chooseDimList(random.chance(0.8) ? 1 : 0, 64);
  Scope row = scopeOf(rank);
  std::string score = "0.3";
  if (std::string index; !rank.empty() && bind(row, rank[0], index)) {
    Value q = addInput(rank, Value::Real), k = addInput(rank, Value::Real);
    score = fmt::format("{} * (sum[{}] {} * {})", root(rank[0]), index,
                        random.chance(0.7) ? read(q, row) : fmt::format("tanh({})", read(q, row)),
                        random.chance(0.7) ? read(k, row, "s")
                                           : fmt::format("exp(min({}, 2))", read(k, row, "s")));
    if (random.chance(0.15) && dims[rank[0]].size <= 8)
      score = fmt::format("(1 + {})^2", score);
  }
  // Without a domain something must tell one token from another.
  bool isSame = domain.empty() && score == "0.3";
  switch (isSame ? 0 : domain.empty() ? random.below(2) : random.below(4)) {
  case 0:
    score += fmt::format(" * exp(-{} * abs(t - s))", number(0, 0.5));
    break;
  case 2:
    score += fmt::format(" * {}^({})", number(0, 1), isBefore ? "t - s" : "s - t");
    break;
  case 3: {
    Value gate = addInput({}, Value::Fraction);
    Value sum = define({}, fmt::format("cumsum[t] log(0.9 * {} + 0.1)", read(gate, scopeOf({}))));
    values.back().isUnbounded = true;
    score += fmt::format(" * exp({} - {})", read(sum, scopeOf({}), isBefore ? "t" : "s"),
                         read(sum, scopeOf({}), isBefore ? "s" : "t"));
    break;
  }
  default: // no decay
    break;
  }
  DimList list = chooseDimList(random.below(3), 300);
  Value value = addInput(list, Value::Real);
  Value result =
      define(list, fmt::format("0.1 * sum[s] {} * {}", score, read(value, scopeOf(list), "s")),
             true, domain);
  addOutput(list, read(result, scopeOf(list)));
}

/// Attention of some kind: weights from scores, normalised or not, and what they give.
void Generator::addPairs() {
  hasPairs = true;
  if (random.chance(0.35))
    return addSeparableSum();
  std::string score = newName("a"), weight, domain = pairDomain();
  equation(score + "[t,s]", pairScore(chooseDimList(random.chance(0.85) ? 1 : 0, 64)));
  bool isNormalised = random.chance(0.6);
  if (isNormalised) {
    weight = newName("p") + "[t,s]";
    equation(weight, fmt::format("softmax[s] {}[t,s]", score), domain);
  } else {
    static constexpr const char *functions[] = {"silu", "sigmoid", "tanh", "0.5 * relu", "gelu"};
    weight = fmt::format("0.1 * {}({}[t,s])", random.pick<const char *>(functions), score);
  }
  if (random.chance(0.15))
    weight = fmt::format("{} * cos({} * (t - s))", weight, number(0, 1));
  DimList list = chooseDimList(random.below(3), 300);
  Scope scope = scopeOf(list);
  Value value = random.chance(0.8) ? addInput(list, Value::Real) : define(list, unit(scope, 1));
  Value result = define(list, fmt::format("sum[s] {} * {}", weight, read(value, scope, "s")), true,
                        isNormalised && random.chance(0.5) ? "" : domain);
  std::string out = read(result, scope);
  if (random.chance(0.25)) {
    Value sum = define({}, fmt::format("logsumexp[s] {}[t,s]", score), true, domain);
    values.pop_back(); // may be infinite: for outputs only
    out = fmt::format("{} * sigmoid({})", out, read(sum, scopeOf({})));
  }
  addOutput(list, out);
  if (random.chance(0.15)) {
    Value most = define({}, fmt::format("max[s] {}[t,s]", score), true, domain);
    values.pop_back();
    addOutput({}, fmt::format("exp(min({}, 2))", read(most, scopeOf({}))));
  }
}

} // namespace seqmix::run
