//===- PairTerms.h - reductions over positions as requests ----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_PAIRTERMS_H
#define SEQMIX_COMPILER_STRUCTURE_PAIRTERMS_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// One reduction over all positions s for each row t, over canonical variables: equal reductions
/// are equal requests.
struct PairRequest {
  mlir::StringAttr name; // of the produced tensor
  mlir::StringAttr rowDim, overDim;
  mlir::seq::PairKind kind;
  mlir::seq::Expr score = nullptr;  // the sum is one of exp(score - its maximum) * weight * value
  mlir::seq::Expr domain = nullptr; // null: all pairs
  mlir::seq::Expr weight = nullptr; // over (t, s); null for 1
  mlir::seq::Expr value = nullptr;  // over (t, s, features); null for 1
  llvm::SmallVector<mlir::seq::Var> features;
  mlir::Location loc;
};

/// Takes the reductions over run-time dims out of expressions.
class PairTerms {
public:
  explicit PairTerms(Model &model);

  /// The expression with reads of produced tensors in place of reductions and maps over run-time
  /// dims, or null after an error at `loc`. `owner` names what is made.
  mlir::seq::Expr lower(mlir::seq::Expr e, mlir::StringAttr owner, mlir::Location loc);

  std::vector<PairRequest> &requests() { return all; }
  /// The canonical t or s of a dim.
  mlir::seq::Var rowVar(mlir::StringAttr dim) { return canonical(dim, 0, "t"); }
  mlir::seq::Var overVar(mlir::StringAttr dim) { return canonical(dim, 1, "s"); }

private:
  using Expr = mlir::seq::Expr;
  using Var = mlir::seq::Var;

  Expr refuse(const llvm::Twine &what);
  bool isRuntime(Var var) const { return model.isRuntime(var->dim); }
  Var canonical(mlir::StringAttr dim, unsigned ordinal, llvm::StringRef name);
  Expr lower(Expr e);
  Expr lowerReduce(Expr e);
  Expr softmax(const mlir::seq::OpenedExpr &map);
  Expr logSumExp(Var over, Expr body, Expr domain);
  Expr sum(Var over, Expr body, Expr domain);
  Expr sumOfProduct(Var over, const mlir::seq::Product &term, Expr domain);
  Expr extremum(mlir::seq::PairKind kind, Var over, Expr body, Expr domain);
  /// The read of a request's result. Its expressions are in `row` and `over`; an equal one that is
  /// there already is taken, else a new one made (with `mustExist`: null).
  Expr add(PairRequest request, Var row, Var over, bool mustExist = false);
  void declare(PairRequest &request);
  /// The one row variable of some expressions; null for none, failure for several.
  mlir::FailureOr<Var> rowOf(llvm::ArrayRef<Expr> parts, Var over);
  Expr conjunction(Expr a, Expr b);
  /// Sums in one order, so that equal scores are one node.
  Expr ordered(Expr e);
  /// Gives what depends on one of t and s only, and is more than an element, a definition.
  Expr separate(Expr e, Var row, Var over);
  bool isElement(Expr e, Var row, Var over);
  /// A definition of an expression of one position, the same for equal ones.
  Expr named(Expr e, llvm::StringRef what);
  Expr canonicalBody(Expr e, llvm::ArrayRef<Var> vars);
  /// Chooses the sides of conditions that the domain grants.
  Expr within(Expr e, Expr domain);
  Expr takeDomain(Expr factor, Expr &domain, Var over);

  Model &model;
  mlir::seq::ExprContext &context;
  std::vector<PairRequest> all;
  std::map<std::pair<const void *, unsigned>, Var> canonicalVars;
  llvm::DenseMap<Expr, mlir::StringAttr> definitions; // by their canonical bodies
  mlir::StringAttr owner;
  std::optional<mlir::Location> loc;
  bool failed = false;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_PAIRTERMS_H
