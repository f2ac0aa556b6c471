//===- LinearForm.h - a state's equation as a linear map of the carry -*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_LINEARFORM_H
#define SEQMIX_COMPILER_STRUCTURE_LINEARFORM_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// The coefficients by which an equation takes states at the token before, each at the equation's
/// own indices. They depend on nothing that is carried.
using LinearForm = llvm::SmallMapVector<mlir::StringAttr, mlir::seq::Expr, 2>;

/// Finds linear forms of the equations of a mixer.
class LinearForms {
public:
  explicit LinearForms(Model &model);

  /// Whether a symbol is a state or depends on one.
  bool isCarried(mlir::StringAttr name) const { return carried.contains(name); }

  /// The linear part of a state's equation when it is affine in the states before, index by index.
  /// Otherwise `reason` says why not, in the file's terms.
  std::optional<LinearForm> of(const mlir::seq::Equation &equation, std::string &reason);

private:
  bool dependsOnCarry(mlir::seq::Expr e);
  std::optional<LinearForm> visit(mlir::seq::Expr e);
  std::optional<LinearForm> compute(mlir::seq::Expr e);
  std::optional<LinearForm> read(mlir::seq::Expr e);
  std::optional<LinearForm> refuse(std::string why);

  Model &model;
  mlir::seq::ExprContext &context;
  llvm::DenseSet<mlir::StringAttr> carried;
  // Of the equation at hand.
  const mlir::seq::Equation *equation = nullptr;
  std::string *reason = nullptr;
  llvm::DenseMap<mlir::seq::Expr, std::optional<LinearForm>> known;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_LINEARFORM_H
