//===- AffineForm.h - the canonical affine form of matrix states ----*- C++ -*-===//
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

/// Factors over the rows by component; null for zero.
using RowFactors = llvm::SmallVector<mlir::seq::Expr, 2>;

/// left, for each component, times the sum of the terms.
struct FormUpdate {
  RowFactors lefts;
  llvm::SmallVector<FormTerm> terms;
};

/// The sum over rows, and over components, of `row * S`, before or after this token's update; or
/// another sum of elements. Equations read it as `result`.
struct FormRead {
  mlir::seq::ReadKind kind;
  RowFactors rows;
  bool before;
  mlir::StringAttr result;
  bool isUsed = false; // by an equation; otherwise by updates only
};

/// A sum of at most this many products of rows and columns is written out, as are reads with an
/// index of their own of at most this many values.
constexpr int64_t kMostFactors = 8;

/// Components of a recurrence: a row of each is in registers at once, and so is what is made of it.
constexpr int64_t kMostComponents = 8;

/// Which dims of a state are which, by their numbers. The elements of an inner dim are components.
struct AffineSides {
  llvm::SmallVector<int64_t> outer, rows, cols;
  std::optional<int64_t> inner = std::nullopt;
};

/// S[t] = rowDecay * colDecay * S[t-1] + sum of updates, with every factor over `token`,
/// `outerVars`, and `rowVars` or `colVars` (the left variables of the first state's equation). Of
/// several components, colDecay * (coupling * S[t-1]) takes the place of the first summand.
struct AffineForm {
  llvm::SmallVector<mlir::StringAttr, 2> states;
  mlir::seq::Direction direction;
  AffineSides sides;
  mlir::seq::Var token;
  llvm::SmallVector<mlir::seq::Var> outerVars, rowVars, colVars;
  mlir::seq::Var innerVar = nullptr;
  int64_t innerSize = 1;
  /// The outer variables and those of one side, in the state's order.
  llvm::SmallVector<mlir::seq::Var> rowSide, colSide, bothSides;
  mlir::seq::Expr rowDecay = nullptr, colDecay = nullptr; // null: one
  llvm::SmallVector<mlir::seq::Expr> coupling;            // by component to, from; null: zero
  llvm::SmallVector<FormUpdate> updates;
  llvm::SmallVector<FormRead> reads;
  /// New right sides of equations that read the state, in terms of the reads' results.
  llvm::MapVector<mlir::StringAttr, mlir::seq::Expr> rewritten;
  /// Definitions whose values are matrices made from the state; nothing reads them any more.
  llvm::SmallVector<mlir::StringAttr> dissolved;

  /// Those of the first state first.
  int64_t components() const { return static_cast<int64_t>(states.size()) * innerSize; }
  bool isOf(mlir::StringAttr state) const { return llvm::is_contained(states, state); }
  /// Whether an expression reads one of the states.
  bool isRead(const mlir::seq::ExprContext &context, mlir::seq::Expr e) const {
    return llvm::any_of(states, [&](mlir::StringAttr state) { return context.reads(e, state); });
  }
  /// The component that a read of a state is of; nothing where its inner index is no number.
  std::optional<int64_t> componentOf(mlir::seq::Expr read) const;
};

/// Finds the canonical form of the group's states, all of the same dims, with the given sides. On
/// failure `reason` says why, in the file's terms.
std::optional<AffineForm> findAffineForm(Model &model, const Group &group, const AffineSides &sides,
                                         std::string &reason);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_AFFINEFORM_H
