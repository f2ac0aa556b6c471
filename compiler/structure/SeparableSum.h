//===- SeparableSum.h - sums over positions of low rank -------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_SEPARABLESUM_H
#define SEQMIX_COMPILER_STRUCTURE_SEPARABLESUM_H

#include "compiler/structure/PairExponent.h"

namespace seqmix {

/// sum[rank] row * sum[over] decay^(distance) * col: factors of one position each.
struct SeparableTerm {
  PairOrder order;
  llvm::SmallVector<mlir::seq::Var> rank;
  mlir::seq::Product row;          // of `order.row`, or of none
  mlir::seq::Product col;          // of `order.over`
  mlir::seq::Expr decay = nullptr; // over `order.over`; null for 1
};

/// Takes the body of a sum over positions apart.
class SeparableSum {
public:
  SeparableSum(Model &model, mlir::seq::Var row, mlir::seq::Var over)
      : model(model), context(model.exprs()), row(row), over(over) {}

  /// The terms of the sum of `body` over `domain` (or null) and the indices `rank`. On failure
  /// nothing, and `reason` says why.
  std::optional<llvm::SmallVector<SeparableTerm>> run(mlir::seq::Expr body, mlir::seq::Expr domain,
                                                      llvm::ArrayRef<mlir::seq::Var> rank,
                                                      std::string &reason);

private:
  using Expr = mlir::seq::Expr;
  /// A product on its way: what ties positions is taken out of `factors` step by step.
  struct Pending {
    mlir::seq::Product product;
    llvm::SmallVector<mlir::seq::Var> rank;
    /// Bounds of row - over, where there are any.
    std::optional<int64_t> nearest, farthest;
    llvm::SmallVector<std::pair<Expr, Expr>> powers; // exponentials have a null base
  };

  bool ties(Expr e) const { return e->dependsOn(row) && e->dependsOn(over); }
  bool fail(std::string text);
  bool restrict(Pending &term, Expr condition);
  bool step(Pending term);
  bool grows(const mlir::seq::Product &term);
  bool split(Pending &term, Expr factor);
  bool expandPower(Pending &term, Expr factor);
  bool finish(const Pending &term);
  Expr withoutDistances(Expr e, mlir::seq::Direction direction);

  Model &model;
  mlir::seq::ExprContext &context;
  mlir::seq::Var row, over;
  llvm::SmallVector<Pending> work;
  llvm::SmallVector<SeparableTerm> terms;
  std::string failure;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_SEPARABLESUM_H
