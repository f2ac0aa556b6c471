//===- RowSelection.h - the n largest of a row as places ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_ROWSELECTION_H
#define SEQMIX_COMPILER_STRUCTURE_ROWSELECTION_H

#include "compiler/structure/PairTerms.h"

namespace seqmix {

/// Makes the places where the n largest of a row stand, so that what is restricted to them runs
/// over n places and not over all positions.
class RowSelection {
public:
  RowSelection(Model &model, PairTerms &terms, bool gathersBlocks)
      : model(model), context(model.exprs()), terms(terms), gathersBlocks(gathersBlocks) {}

  /// Makes a definition known that is nothing but a choice: a reduction that reads it at its own
  /// positions is restricted by it. False after an error.
  bool addNamed(const mlir::seq::Equation &equation);
  /// The expression without `topk` over positions; null after an error at `loc`.
  mlir::seq::Expr rewrite(mlir::seq::Expr e, mlir::StringAttr owner, mlir::Location loc);

private:
  using Expr = mlir::seq::Expr;
  using Var = mlir::seq::Var;

  /// What one `topk` chooses. Its truth value at a position is a read of `marker` (which is no
  /// declaration) at the row and the position, until `rewrite` ends.
  struct Choice {
    mlir::StringAttr rows;             // a definition over the row and the n places: -1 for none
    mlir::StringAttr dim;              // of the places
    mlir::StringAttr definition;       // null, or what has the truth values
    llvm::SmallVector<unsigned> order; // by place of the definition: number of the marker's
  };
  /// A condition that a chosen row stands at, or in the block of, a position.
  struct Restriction {
    Expr condition = nullptr; // a read of a marker
    int64_t block = 1;        // positions of a chosen block
  };

  Expr mark(Expr map, mlir::StringAttr owner, mlir::Location loc);
  Expr gather(Expr e);
  Expr gatherReduce(Expr e);
  Expr gatherMap(Expr e, const Restriction &restriction, Expr position, Var place);
  std::optional<Restriction> restrictionOf(llvm::ArrayRef<Expr> conditions, Var position);
  /// The position of a place, and whether there is one.
  Expr positionOf(const Restriction &restriction, Var place);
  Expr isThere(const Restriction &restriction, Var place, mlir::StringAttr positions);
  /// The conditions of a domain at a place in place of a position.
  Expr domainOf(const Restriction &restriction, llvm::ArrayRef<Expr> conditions, Var position,
                Var place);
  Var freshPlace(const Restriction &restriction);
  Expr markNamed(Expr e);
  Expr test(Expr marked, mlir::StringAttr owner);
  /// Adds the conditions outside of which a summed factor is zero.
  void restrictionsOf(Expr factor, Var position, llvm::SmallVectorImpl<Expr> &conditions) const;
  mlir::StringAttr dimOf(int64_t size);
  const Choice &choiceOf(Expr marker) const { return choices.find(marker->symbol())->second; }
  Expr both(Expr a, Expr b);
  void conditionsOf(Expr e, llvm::SmallVectorImpl<Expr> &conditions) const;

  Model &model;
  mlir::seq::ExprContext &context;
  PairTerms &terms;
  bool gathersBlocks;
  llvm::DenseMap<mlir::StringAttr, Choice> choices;           // by marker
  llvm::DenseMap<mlir::StringAttr, mlir::StringAttr> markers; // by definition
  bool failed = false;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_ROWSELECTION_H
