//===- Untie.h - factors of rows and factors of the rest ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_UNTIE_H
#define SEQMIX_COMPILER_STRUCTURE_UNTIE_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// Rewrites factors that depend on row indices and on others as products of factors that do not.
/// `common` are the indices that every factor may have: the token and the outer ones.
class Untier {
public:
  Untier(Model &model, llvm::ArrayRef<mlir::seq::Var> rows, llvm::ArrayRef<mlir::seq::Var> common)
      : model(model), context(model.exprs()), rows(rows), common(common) {}

  bool isOfRows(mlir::seq::Expr e) const;
  /// Whether `e` depends on a row index and on one that is neither a row nor common.
  bool mixes(mlir::seq::Expr e) const;
  /// Another way to write a factor that mixes (its factors may still), or null.
  mlir::seq::Expr untie(mlir::seq::Expr e);
  /// An exponential was left alone because a part of it may overflow.
  bool lacksBound() const { return sawUnbounded; }

private:
  mlir::seq::Expr untieExponential(mlir::seq::Expr exponent);

  Model &model;
  mlir::seq::ExprContext &context;
  llvm::SmallVector<mlir::seq::Var> rows, common;
  bool sawUnbounded = false;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_UNTIE_H
