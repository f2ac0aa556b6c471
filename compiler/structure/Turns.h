//===- Turns.h - angles that are fractions of a turn ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_TURNS_H
#define SEQMIX_COMPILER_STRUCTURE_TURNS_H

#include "compiler/structure/Model.h"

#include <optional>

namespace seqmix {

/// The angle pi * above * factors / (below * divisors), all of them integers. Cosine and sine of it
/// are the same when the number above is taken modulo twice the one below; a great one, taken
/// exactly, keeps digits that a great angle loses.
struct Turns {
  int64_t above = 1, below = 1;
  llvm::SmallVector<mlir::seq::Expr> factors, divisors;

  /// An angle as written; nothing when it is no such fraction.
  static std::optional<Turns> of(mlir::seq::ExprContext &context, mlir::seq::Expr angle);

  /// The angle with the number above modulo twice the one below.
  mlir::seq::Expr reduced(mlir::seq::ExprContext &context) const;
  /// The same in real arithmetic, for numbers up to 2^24, which f32 holds.
  mlir::seq::Expr reducedInReals(mlir::seq::ExprContext &context) const;

private:
  mlir::seq::Expr product(mlir::seq::ExprContext &context, int64_t coef,
                          llvm::ArrayRef<mlir::seq::Expr> factors) const;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_TURNS_H
