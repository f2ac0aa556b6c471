//===- PairExponent.h - exponentials of both of a pair's positions --*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_PAIREXPONENT_H
#define SEQMIX_COMPILER_STRUCTURE_PAIREXPONENT_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// A sum over the positions `over` on one side of `row`, the nearest at `row - shift`.
struct PairOrder {
  mlir::seq::Var row, over;
  mlir::seq::Direction direction = mlir::seq::Direction::Forward;
  int64_t shift = 0;

  int64_t sign() const { return direction == mlir::seq::Direction::Forward ? 1 : -1; }
};

/// `a * row + b * over + constant`.
struct PairIndex {
  int64_t row = 0, over = 0, constant = 0;
};
/// Nothing where an integer is no such sum.
std::optional<PairIndex> pairIndex(mlir::seq::Expr e, mlir::seq::Var row, mlir::seq::Var over);

/// What a state's equation adds to its value at the token before; null where it is no running sum.
mlir::seq::Expr stepOf(Model &model, const mlir::seq::Equation &equation);

/// A factor of both positions as a product. `decay` is over `over`: what weighs `over` against the
/// position next to it, on the far side. Null parts are 1.
struct PairFactors {
  mlir::seq::Expr decay = nullptr;
  llvm::SmallVector<mlir::seq::Expr> factors; // each of one of the positions, or of none
};

/// Takes exponentials apart that fall with the distance: exp(c * (t - s)), gamma^(t - s), and
/// exp(G[t] - G[s]) of a running sum G that is known to fall.
class PairExponents {
public:
  PairExponents(Model &model, const PairOrder &order)
      : model(model), context(model.exprs()), order(order) {}

  /// exp(exponent); on failure nothing, and `reason` says why.
  std::optional<PairFactors> exponential(mlir::seq::Expr exponent, std::string &reason);
  /// base^exponent.
  std::optional<PairFactors> power(mlir::seq::Expr base, mlir::seq::Expr exponent,
                                   std::string &reason);

private:
  using Expr = mlir::seq::Expr;
  using Product = mlir::seq::Product;
  /// A multiple of a running sum, read `offset` tokens from a position.
  struct Running {
    Expr multiple; // as read at `over`, the same for equal ones
    Expr step;     // what token `over` adds to it
    int64_t offset;
    double coef;
  };
  /// Coefficients of both positions, by what they multiply.
  using Distances = llvm::MapVector<Expr, std::pair<double, double>>;

  bool ties(Expr e) const { return e->dependsOn(order.row) && e->dependsOn(order.over); }
  bool fail(std::string text);
  bool sort(const Product &term);
  std::optional<Running> running(const Product &term, mlir::seq::Var at);
  bool matchRunning();
  bool addDistances();
  bool addRest();
  Expr at(Expr e, mlir::seq::Var var, int64_t offset);

  Model &model;
  mlir::seq::ExprContext &context;
  PairOrder order;
  Distances distances;
  llvm::SmallVector<Product> ofRow, ofOver, ofNone, steps;
  llvm::SmallVector<Expr> factors; // at most one each, for they are exponentials of falling steps
  std::string failure;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_PAIREXPONENT_H
