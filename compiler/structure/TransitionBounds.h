//===- TransitionBounds.h - bounds of products of transitions ------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_TRANSITIONBOUNDS_H
#define SEQMIX_COMPILER_STRUCTURE_TRANSITIONBOUNDS_H

#include "compiler/structure/Range.h"

namespace seqmix {

/// The matrix by which some coupled states follow from those before; null for no coefficient.
using Transition = llvm::SmallVector<llvm::SmallVector<mlir::seq::Expr>>;

/// Which of the states of a matrix depend on each other over one token or more.
llvm::SmallVector<llvm::SmallVector<bool>> closure(const Transition &matrix);

/// Keeps products of transitions over many tokens from growing. Where they grow, a state behind a
/// segment is a difference of large numbers, or of infinities, though token by token it may be
/// small. So the transitions of a summary have modulus 1 at most: because intervals prove it, or
/// because coefficients of a token where it does not hold are infinite, and the product with them.
class TransitionBounds {
public:
  explicit TransitionBounds(Model &model) : model(model), context(model.exprs()), ranges(model) {}

  /// Makes the coefficients of the states `names`, over `left`, such. `words` says why they are so;
  /// when there is no such condition the result is false, and `words` says why not.
  bool apply(Transition &matrix, llvm::ArrayRef<mlir::StringAttr> names,
             llvm::ArrayRef<mlir::seq::Var> left, mlir::Location loc, std::string &words);

private:
  double magnitude(mlir::seq::Expr e);
  mlir::seq::Expr isWithin(mlir::seq::Expr e, double limit);
  mlir::seq::Expr contracts(const Transition &matrix, unsigned i, unsigned j);
  mlir::seq::Expr checked(mlir::seq::Expr e, mlir::seq::Expr condition);
  std::string facts(llvm::ArrayRef<mlir::seq::Expr> proved);

  Model &model;
  mlir::seq::ExprContext &context;
  Ranges ranges;
  // Of the matrix at hand.
  mlir::StringAttr name;
  mlir::seq::Var token = nullptr;
  std::optional<mlir::Location> loc;
  llvm::DenseMap<mlir::seq::Expr, mlir::seq::Expr> once; // what no token changes, as it is read
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_TRANSITIONBOUNDS_H
