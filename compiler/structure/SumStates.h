//===- SumStates.h - states that sums over positions become --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_SUMSTATES_H
#define SEQMIX_COMPILER_STRUCTURE_SUMSTATES_H

#include "compiler/structure/SeparableSum.h"

namespace seqmix {

/// Makes states `NAME.state` of separable sums and the reads of them.
class SumStates {
public:
  explicit SumStates(Model &model) : model(model), context(model.exprs()) {}

  /// The equation that what follows is made for; it must outlive its use.
  void setOwner(const mlir::seq::Equation &equation) { owner = &equation; }

  /// A term's sum as a read of its state; null where the state would have to read ahead, and
  /// `reason` says so.
  mlir::seq::Expr read(const SeparableTerm &term, std::string &reason);
  /// A definition of an expression of one position, the same for equal ones.
  mlir::seq::Expr named(mlir::seq::Expr e, llvm::StringRef what);
  /// The dims of a term's state: what is summed at the read, then the others.
  llvm::SmallVector<mlir::seq::Var> dimsOf(const SeparableTerm &term) const;

  size_t size() const { return states.size(); }
  /// Takes the last ones back.
  void dropTo(size_t count);
  /// Drops what only the sums needed and notes on the mixer when a state runs backwards.
  void finish();

private:
  using Expr = mlir::seq::Expr;
  using Var = mlir::seq::Var;
  struct Made {
    mlir::StringAttr name;
    Expr decay, col; // over canonical variables
  };

  bool isRuntime(Var var) const { return model.isRuntime(var->dim); }
  Var canonical(mlir::StringAttr dim, unsigned ordinal, llvm::StringRef name);
  bool isKnownAtToken(Expr e, Var over, std::string &reason);
  void nameFactors(mlir::seq::Product &product, llvm::StringRef what);
  mlir::StringAttr stateOf(const PairOrder &order, llvm::ArrayRef<Var> dims, Expr decay, Expr col);
  void declare(mlir::StringAttr name, llvm::ArrayRef<Var> dims, mlir::seq::Direction direction);
  void drop(mlir::StringAttr name);
  void dropUnread();

  Model &model;
  mlir::seq::ExprContext &context;
  const mlir::seq::Equation *owner = nullptr;
  std::vector<Made> states;
  std::map<std::pair<const void *, unsigned>, Var> canonicalVars;
  llvm::DenseMap<Expr, mlir::StringAttr> definitions; // by their canonical bodies
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_SUMSTATES_H
