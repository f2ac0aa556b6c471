//===- GeneratorCoupled.cpp - random matrix states that depend on each other ----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Generator.h"

#include <fmt/format.h>

namespace seqmix::run {

/// What one of several states takes of another: a number, or a gate of the token or of the rows.
/// All that a state takes is at most 1 in sum.
std::string Generator::couplingOf(unsigned row, const Scope &scope, double most) {
  double kind = random.uniform();
  std::string size = number(-most, most);
  if (kind < 0.35)
    return fmt::format("({})", size);
  DimList list = kind < 0.65 ? DimList{} : DimList{row};
  return fmt::format("({}) * {}", size, maybeDefine(list, fraction(scopeOf(list), 1), scope));
}

/// Two or three matrices that take each other, now or at the token before, in part; some of them
/// also with a correction of low rank.
void Generator::coupledMatrices(bool backward) {
  DimList list = chooseDimList(2, 500);
  if (list.size() < 2)
    return rotation(backward);
  unsigned row = list[0], count = random.chance(0.7) ? 2 : 3;
  Scope scope = scopeOf(list), rows = scopeOf({row}), columns = scopeOf({list[1]}), inner = scope;
  std::string index;
  bool canBind = bind(inner, row, index);
  std::vector<Value> group;
  for (unsigned n = 0; n < count; ++n) {
    group.push_back(newState(list, random.chance(0.9) ? "0" : "0.5", backward));
    group.back().isUnbounded = true;
  }
  std::string decay = random.chance(0.2) ? fraction(columns, 0) + " * " : "";
  for (unsigned n = 0; n < count; ++n) {
    std::string terms;
    auto add = [&](const std::string &term) { terms += (terms.empty() ? "" : " + ") + term; };
    for (unsigned other = 0; other < count; ++other) {
      if (other != n && random.chance(0.4))
        continue;
      bool isNew = other < n && random.chance(0.5);
      add(fmt::format("{} * {}", couplingOf(row, scope, 0.9 / count),
                      read(group[other], scope, isNew ? "t" : past(group[other]))));
    }
    terms = fmt::format("{}({})", decay, terms);
    if (n == 0 || random.chance(0.5))
      add(fmt::format("{} * {}", unit(rows, 1), unit(columns, 1)));
    if (canBind && random.chance(0.4)) {
      Value key = define({row}, normalised(freshRead({row}, rows), row));
      const Value &from = group[random.below(count)];
      std::string old = read(from, inner, past(from));
      add(fmt::format("{} * {} * ({} - (sum[{}] {} * {}))", number(0.05, 0.3), read(key, scope),
                      unit(columns, 0), index, read(key, inner), old));
    }
    finish(group[n], terms);
  }
}

} // namespace seqmix::run
