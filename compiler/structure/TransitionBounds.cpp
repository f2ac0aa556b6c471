//===- TransitionBounds.cpp - bounds of products of transitions ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/TransitionBounds.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

// What is 1 but for rounding counts as 1: over a million tokens it grows by a factor of e.
constexpr double kOne = 1 + 0x1p-20;
// States that act on others, but not these on them, may be added with a factor. The runtime does
// not use products above it either (SEQ_MOST_PRODUCT): they cost that much in accuracy.
constexpr double kMostAcross = 16;

SmallVector<SmallVector<bool>> closure(const Transition &matrix) {
  size_t count = matrix.size();
  SmallVector<SmallVector<bool>> reach(count, SmallVector<bool>(count));
  for (size_t i = 0; i < count; ++i)
    for (size_t j = 0; j < count; ++j)
      reach[i][j] = matrix[i][j] != nullptr;
  for (size_t via = 0; via < count; ++via)
    for (size_t i = 0; i < count; ++i)
      for (size_t j = 0; j < count; ++j)
        reach[i][j] = reach[i][j] || (reach[i][via] && reach[via][j]);
  return reach;
}

double TransitionBounds::magnitude(Expr e) {
  if (!e)
    return 0;
  Interval range = ranges.of(e);
  return std::max(std::fabs(range.low), std::fabs(range.high));
}

Expr TransitionBounds::isWithin(Expr e, double limit) {
  return context.compare(Predicate::Le, context.unary(UnaryFn::Abs, e), context.real(limit));
}

// Whether the matrix of two states is no longer than 1: of its singular values p and q,
// p^2 + q^2 <= 2 and (1 - p^2) (1 - q^2) >= 0, with |det| = p q.
Expr TransitionBounds::contracts(const Transition &matrix, unsigned i, unsigned j) {
  auto at = [&](unsigned row, unsigned col) {
    return matrix[row][col] ? matrix[row][col] : context.real(0);
  };
  auto square = [&](Expr e) { return context.mul(e, e); };
  Expr squares = context.add(context.add(square(at(i, i)), square(at(i, j))),
                             context.add(square(at(j, i)), square(at(j, j))));
  Expr det = context.sub(context.mul(at(i, i), at(j, j)), context.mul(at(i, j), at(j, i)));
  Expr most =
      context.binary(BinaryFn::Min, context.real(2), context.add(context.real(1), square(det)));
  return context.compare(Predicate::Le, squares, context.add(most, context.real(kOne - 1)));
}

// What no token changes is checked once.
Expr TransitionBounds::checked(Expr e, Expr condition) {
  Expr result = context.select(condition, e, context.real(std::numeric_limits<double>::infinity()));
  if (result->dependsOn(token))
    return result;
  Expr &read = once[result];
  if (!read)
    read = model.define(name.getValue() + ".checked", result, *loc);
  return read;
}

std::string TransitionBounds::facts(ArrayRef<Expr> proved) {
  Facts facts;
  for (Expr e : proved)
    ranges.explain(e, facts);
  return facts.list.empty() ? "" : fmt::format(" ({})", fmt::join(facts.list, ", "));
}

bool TransitionBounds::apply(Transition &matrix, ArrayRef<StringAttr> names, ArrayRef<Var> left,
                             Location location, std::string &words) {
  name = names.front();
  token = left.front();
  loc = location;
  once.clear();
  auto text = [&](size_t i) { return std::string_view(names[i].getValue()); };
  auto reach = closure(matrix);
  Transition result = matrix;
  SmallVector<Expr> proved;
  bool isProved = true;
  auto limit = [&](size_t i, size_t j, double most) {
    if (magnitude(matrix[i][j]) <= most) {
      proved.push_back(matrix[i][j]);
      return true;
    }
    Interval range = ranges.of(matrix[i][j]);
    if (range.low > most || range.high < -most) {
      words = fmt::format("{} grows: its factor of {} is in {}, and products of such overflow "
                          "where the state itself need not",
                          text(i), text(j), toString(range));
      return false;
    }
    isProved = false;
    result[i][j] = checked(matrix[i][j], isWithin(matrix[i][j], most));
    return true;
  };
  for (size_t i = 0; i < matrix.size(); ++i) {
    SmallVector<size_t> cycle{i};
    for (size_t j = 0; j < matrix.size(); ++j) {
      if (i != j && reach[i][j] && reach[j][i])
        cycle.push_back(j);
      else if (i != j && matrix[i][j] && !limit(i, j, kMostAcross))
        return false;
    }
    auto sum = [&](size_t k) {
      double all = 0;
      for (size_t j : cycle)
        all += magnitude(matrix[k][j]);
      return all;
    };
    if (llvm::all_of(cycle, [&](size_t k) { return sum(k) <= 1; })) {
      for (size_t j : cycle)
        if (matrix[i][j])
          proved.push_back(matrix[i][j]);
    } else if (cycle.size() == 1) {
      if (!limit(i, i, kOne))
        return false;
    } else if (cycle.size() == 2) {
      isProved = false;
      Expr condition = contracts(matrix, std::min(i, cycle[1]), std::max(i, cycle[1]));
      // One coefficient of a row is enough.
      size_t j = matrix[i][i] ? i : cycle[1];
      result[i][j] = checked(matrix[i][j], condition);
    } else {
      words =
          fmt::format("nothing bounds products of the transitions of {} states that depend on each "
                      "other, {} among them",
                      cycle.size(), text(i));
      return false;
    }
  }
  matrix = std::move(result);
  words = isProved ? "at most 1 in modulus" + facts(proved)
                   : "not proved to be at most 1 in modulus: from the first segment on where one "
                     "is not, a sequence runs in one piece";
  return true;
}

} // namespace seqmix
