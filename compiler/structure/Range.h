//===- Range.h - what is provable about the size of values ---------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_RANGE_H
#define SEQMIX_COMPILER_STRUCTURE_RANGE_H

#include "compiler/structure/Model.h"

#include "llvm/ADT/STLExtras.h"

#include <limits>

namespace seqmix {

/// A closed interval of reals; infinite bounds are not reached by finite inputs.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  bool within(double a, double b) const { return low >= a && high <= b; }
  Interval hull(Interval other) const {
    return {std::min(low, other.low), std::max(high, other.high)};
  }
  bool operator==(const Interval &) const = default;
};

/// The facts that a bound rests on, in words, for people: declared ranges, ranges of functions,
/// equations.
struct Facts {
  std::vector<std::string> list;
  void insert(std::string fact) {
    if (!llvm::is_contained(list, fact))
      list.push_back(std::move(fact));
  }
};

/// Interval analysis of a mixer from its declared ranges. What a state holds is not bounded, since
/// callers may start from any carry; a difference from a state whose own equation is a maximum is.
class Ranges {
public:
  explicit Ranges(Model &model) : model(model), context(model.exprs()) {}

  Interval of(mlir::seq::Expr e);
  /// Collects why the bounds of `e` hold.
  void explain(mlir::seq::Expr e, Facts &facts);

private:
  Interval compute(mlir::seq::Expr e);
  Interval ofRead(mlir::seq::Expr e);
  Interval ofUnary(mlir::seq::Expr e);
  Interval ofBinary(mlir::seq::Expr e);
  bool isPartOf(mlir::seq::Expr part, mlir::seq::Expr whole);
  /// Bounds of a sum that is linear in a value that both its sides contain.
  std::optional<Interval> overEnds(mlir::seq::Expr e);
  /// An upper bound of a sum that contains `-m` for a value m that is a maximum by its equation.
  std::optional<double> boundedByMaximum(mlir::seq::Expr e, Facts *facts);
  llvm::SmallVector<mlir::seq::Expr> lowerBounds(mlir::seq::Expr read);

  Model &model;
  mlir::seq::ExprContext &context;
  llvm::DenseMap<mlir::seq::Expr, Interval> known;
  unsigned depth = 0; // of sums at ends of values
};

/// `[lo, hi]` in the syntax of .seq files.
std::string toString(Interval interval);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_RANGE_H
