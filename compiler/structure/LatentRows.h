//===- LatentRows.h - definitions that are linear in a row ----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_LATENTROWS_H
#define SEQMIX_COMPILER_STRUCTURE_LATENTROWS_H

#include "compiler/structure/Model.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace seqmix {

/// One term of a value that is linear in rows of its position: the sum over `summed` of a weight,
/// which is free of the position, times an element of a row.
struct LatentTerm {
  mlir::seq::Product weight;
  mlir::seq::Expr element = nullptr; // null: the weight alone
  llvm::SmallVector<mlir::seq::Var> summed;
};

/// Keys, values and the like that are made from a row of the same position, `k[s,n] = sum[r] W[n,r]
/// * c[s,r]`, and what becomes of equations that read the row itself: in scores the weights are
/// multiplied with the other side, `sum[r] (sum[n] q[t,n] * W[n,r]) * c[s,r]`, in sums over s they
/// stand behind the sum, `sum[r] W[j,r] * (sum[s] p[t,s] * c[s,r])`.
class LatentRows {
public:
  explicit LatentRows(Model &model);

  using Names = llvm::SetVector<mlir::StringAttr>;
  using Bodies = llvm::MapVector<mlir::StringAttr, mlir::seq::Expr>;

  /// The definitions that are linear in rows.
  const Names &candidates() const { return linear; }
  /// The tensors and definitions whose rows a candidate is made from.
  Names sourcesOf(mlir::StringAttr candidate);

  /// The equations with the definitions `replaced` read no more by sums over other positions.
  Bodies rewritten(const Names &replaced);

  /// Products that the definitions took at a position of theirs which the last call of `rewritten`
  /// found read, and what stands for the reads of them takes at the other one.
  struct Work {
    int64_t ofColumns = 0, ofRows = 0;
  };
  Work work();

  /// How often a pair of positions reads an element of the rows of each symbol.
  llvm::MapVector<mlir::StringAttr, int64_t> rowReads(const Bodies &bodies);

private:
  using Expr = mlir::seq::Expr;
  using Var = mlir::seq::Var;

  std::optional<llvm::SmallVector<LatentTerm>> termsOf(Expr body, Var position);
  bool isElement(Expr e, Var position);
  unsigned positions(const mlir::seq::Equation &equation) const;
  Expr rewrite(Expr e);
  Expr rewriteSum(llvm::ArrayRef<Var> vars, Expr body, Expr domain);
  Expr rewriteTerm(llvm::ArrayRef<Var> vars, const mlir::seq::Product &term, Expr domain);
  Expr inScore(llvm::ArrayRef<Var> vars, const mlir::seq::Product &rest, Expr read, Expr domain);
  Expr behindSum(llvm::ArrayRef<Var> vars, const mlir::seq::Product &rest, Expr read, Expr domain);
  bool isReplaced(Expr e) const;
  bool isRuntime(Var var) const { return model.isRuntime(var->dim); }

  Model &model;
  mlir::seq::ExprContext &context;
  mlir::FlatSymbolRefAttr token;
  Names linear;
  const Names *wanted = nullptr;
  llvm::MapVector<mlir::StringAttr, int64_t> replacedReads;
  Var own = nullptr; // the token of the equation that is being rewritten, if it has just one
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_LATENTROWS_H
