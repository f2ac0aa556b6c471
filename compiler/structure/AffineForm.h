//===- AffineForm.h - the canonical affine form of a matrix state --*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_AFFINEFORM_H
#define SEQMIX_COMPILER_STRUCTURE_AFFINEFORM_H

#include "compiler/structure/Groups.h"

namespace seqmix {

/// `coef * right`, or `coef * U_read`. Null coef: one; with a read it may vary over the columns.
/// Exactly one of right and read is given.
struct FormTerm {
  mlir::seq::Expr coef = nullptr;
  mlir::seq::Expr right = nullptr;
  int64_t read = -1;
};

/// left times the sum of the terms.
struct FormUpdate {
  mlir::seq::Expr left;
  llvm::SmallVector<FormTerm> terms;
};

/// The sum over rows of `row * S`, before or after this token's update. Equations read it as
/// `result`.
struct FormRead {
  mlir::seq::Expr row;
  bool before;
  mlir::StringAttr result;
  bool isUsed = false; // by an equation; otherwise by updates only
};

/// A sum of at most this many products of rows and columns is written out, as are reads with an
/// index of their own of at most this many values.
constexpr int64_t kMostFactors = 8;

/// Which dims of a state are which, by their numbers.
struct AffineSides {
  llvm::SmallVector<int64_t> outer, rows, cols;
};

/// S[t] = rowDecay * colDecay * S[t-1] + sum of updates, with every factor over `token`,
/// `outerVars`, and `rowVars` or `colVars` (the left variables of the state's equation).
struct AffineForm {
  mlir::StringAttr state;
  mlir::seq::Direction direction;
  AffineSides sides;
  mlir::seq::Var token;
  llvm::SmallVector<mlir::seq::Var> outerVars, rowVars, colVars;
  /// The outer variables and those of one side, in the state's order.
  llvm::SmallVector<mlir::seq::Var> rowSide, colSide;
  mlir::seq::Expr rowDecay = nullptr, colDecay = nullptr; // null: one
  llvm::SmallVector<FormUpdate> updates;
  llvm::SmallVector<FormRead> reads;
  /// New right sides of equations that read the state, in terms of the reads' results.
  llvm::MapVector<mlir::StringAttr, mlir::seq::Expr> rewritten;
  /// Definitions whose values are matrices made from the state; nothing reads them any more.
  llvm::SmallVector<mlir::StringAttr> dissolved;

  /// Terms that multiply a read: the rank of the transition beside its diagonal.
  unsigned rank() const;
};

/// Finds the canonical form of the group's only state with the given sides. On failure `reason`
/// says why, in the file's terms.
std::optional<AffineForm> findAffineForm(Model &model, const Group &group, const AffineSides &sides,
                                         std::string &reason);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_AFFINEFORM_H
