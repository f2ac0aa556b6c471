//===- Model.h - a mixer's equations as expressions -----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_MODEL_H
#define SEQMIX_COMPILER_STRUCTURE_MODEL_H

#include "compiler/structure/Expr.h"

#include "llvm/ADT/MapVector.h"

namespace seqmix {

/// The equations of a mixer, read once into expressions, changed, and written back.
class Model {
public:
  explicit Model(mlir::seq::MixerOp mixer);

  mlir::seq::MixerOp mixer() const { return mixerOp; }
  mlir::seq::ExprContext &exprs() { return context; }

  //===--- declarations ---------------------------------------------------===//
  /// The declaration of a name: dim, tensor, state, definition or produced tensor; null for none.
  mlir::Operation *lookup(mlir::StringAttr name) const;
  bool isRuntime(mlir::StringAttr dim) const;
  /// Size of a fixed dim.
  int64_t size(mlir::StringAttr dim) const;
  /// The dims by which a symbol is read; a state's without the token dim that its reads start with.
  mlir::ArrayAttr dimsOf(mlir::StringAttr name) const;
  mlir::seq::StateOp state(mlir::StringAttr name) const;
  /// Whether a read of the symbol has a position in the sequence as its first subscript.
  bool variesOverTokens(mlir::StringAttr name) const;
  /// The first of `base`, `base.1`, ... (for a base that ends in a dot: `base0`, ...) that is free.
  mlir::StringAttr freshName(const llvm::Twine &base);

  //===--- equations ------------------------------------------------------===//
  using Equations = llvm::MapVector<mlir::StringAttr, mlir::seq::Equation>;
  /// In the mixer's order. Change bodies here, then `write`.
  Equations &definitions() { return defineEquations; }
  Equations &nexts() { return nextEquations; }
  /// The equation of a definition or state, or null.
  mlir::seq::Equation *equation(mlir::StringAttr name);

  /// Adds a definition over the free variables of `body`: the token first, then in the order given
  /// by `order`, then by creation. With `overAll` it has every variable of `order`. Returns the
  /// read of it at those variables.
  mlir::seq::Expr define(const llvm::Twine &name, mlir::seq::Expr body, mlir::Location loc,
                         llvm::ArrayRef<mlir::seq::Var> order = {}, bool overAll = false);
  void addDefinition(mlir::seq::Equation equation);
  /// Makes a new declaration known.
  void declare(mlir::SymbolOpInterface op) { symbols[op.getNameAttr()] = op; }
  void removeDefinition(mlir::StringAttr name);

  /// Distance in tokens of a read from the token of its equation: the constant c of `t + c`;
  /// nothing when the position is another expression. Zero for symbols without a token dim.
  std::optional<int64_t> shift(mlir::seq::Expr read, mlir::seq::Var token) const;
  /// The token variable of an equation, or null.
  mlir::seq::Var tokenOf(const mlir::seq::Equation &equation) const;

  /// The sources of definitions and states that an expression reads.
  llvm::SmallVector<mlir::StringAttr> sources(mlir::seq::Expr e) const;
  /// Names that outputs give to the caller.
  llvm::DenseSet<mlir::StringAttr> outputs() const;

  /// Replaces the mixer's equations by these, in an order in which reads at the same token follow
  /// what they read, drops definitions that nothing needs, and puts canonical recurrences behind
  /// what they read.
  void write();

private:
  mlir::seq::MixerOp mixerOp;
  mlir::seq::ExprContext context;
  Equations defineEquations, nextEquations;
  llvm::DenseMap<mlir::StringAttr, mlir::Operation *> symbols;
};

/// The symbols that a canonical recurrence, a pairwise reduction or a convolution reads; none for
/// any other op, or null.
llvm::SmallVector<mlir::StringAttr> sourcesOf(mlir::Operation *op);

/// The symbols that a canonical recurrence reads.
llvm::SmallVector<mlir::StringAttr> factorsOf(mlir::seq::AffineOp op);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_MODEL_H
