//===- PairTerms.h - reductions over positions as requests ----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_PAIRTERMS_H
#define SEQMIX_COMPILER_STRUCTURE_PAIRTERMS_H

#include "compiler/structure/Model.h"

#include <optional>

namespace seqmix {

/// A tensor or definition over a position, then over some of a request's features.
struct LagOperand {
  mlir::StringAttr name; // null for none
  llvm::SmallVector<mlir::seq::Var> features;
  bool operator==(const LagOperand &) const = default;
};

/// A sum whose weights depend on the distance t - s alone, between `first` and `last`.
struct LagSum {
  LagOperand signal, past, ahead;
  std::optional<int64_t> first, last;
  bool operator==(const LagSum &) const = default;
};

/// One reduction over all positions s for each row t, over canonical variables: equal reductions
/// are equal requests.
struct PairRequest {
  mlir::StringAttr name;                  // of the produced tensor
  llvm::SmallVector<mlir::seq::Var> rows; // t: a run-time dim first
  mlir::StringAttr overDim;
  mlir::seq::PairKind kind;
  mlir::seq::Expr score = nullptr;  // the sum is one of exp(score - its maximum) * weight * value
  mlir::seq::Expr domain = nullptr; // null: all pairs
  mlir::seq::Expr weight = nullptr; // over (t, s); null for 1
  mlir::seq::Expr value = nullptr;  // over (t, s, features); null for 1
  llvm::SmallVector<mlir::seq::Var> features;
  mlir::Location loc;
  std::optional<LagSum> lags = {}; // instead of score, domain, weight and value
};

/// Takes the reductions over run-time dims out of expressions.
class PairTerms {
public:
  explicit PairTerms(Model &model);

  /// The expression with reads of produced tensors in place of reductions and maps over run-time
  /// dims, or null after an error at `loc`. `owner` names what is made.
  mlir::seq::Expr lower(mlir::seq::Expr e, mlir::StringAttr owner, mlir::Location loc);

  /// Keeps the value of every pair under a name. The rows are what `left` has beside its second
  /// index. False after an error.
  bool addEach(mlir::StringAttr name, llvm::ArrayRef<mlir::seq::Var> left, mlir::seq::Expr value,
               mlir::Location loc);

  /// The places of the greatest values of a `topk`, as many as `dim` has; null after an error. The
  /// produced tensor is over `rows`, which are set to the map's, and `dim`.
  mlir::StringAttr addPlaces(mlir::StringAttr name, const mlir::seq::OpenedExpr &map,
                             mlir::StringAttr dim, mlir::Location loc,
                             llvm::SmallVectorImpl<mlir::seq::Var> &rows);

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
  /// `isScore`: it is subtracted from what exponentials are taken of.
  Expr extremum(mlir::seq::PairKind kind, Var over, Expr body, Expr domain, bool isScore = false);
  /// The factors of a sum over s with and without s; their own domains go into `domain`.
  void separateFactors(Var over, const mlir::seq::Product &term, Expr &domain,
                       mlir::seq::Product &outside, mlir::seq::Product &inside);
  /// The same for a sum over the tokens; the one row that its factors have, or null.
  Var separateForDistances(Var over, const mlir::seq::Product &term, Expr &domain,
                           mlir::seq::Product &outside, mlir::seq::Product &inside);
  /// A term with a cosine or sine of a multiple of t * s as terms with phases of t, s and t - s.
  std::optional<llvm::SmallVector<mlir::seq::Product>> phaseTerms(Var over,
                                                                  const mlir::seq::Product &term);
  llvm::SmallVector<mlir::seq::Product>
  expandPhases(Var over, llvm::ArrayRef<mlir::seq::Product> terms, Expr domain);
  bool isConvolution(Var over, const mlir::seq::Product &term, Expr domain);
  /// A sum as a convolution; null when its weights are not those of distances.
  Expr convolutionOf(Var over, const mlir::seq::Product &term, Expr domain);
  Expr convolution(Var over, Var row, llvm::ArrayRef<Expr> factors, Expr domain);
  /// Whether a value is the element of a symbol at a position and at indices, each once.
  bool isPlain(Expr e, Var position);
  /// The read of a request's result. Its expressions are in `rows` and `over`; an equal one that is
  /// there already is taken, else a new one made (with `mustExist`: null).
  using Rows = llvm::SmallVector<Var>;
  Expr add(PairRequest request, const Rows &rows, Var over, bool mustExist = false);
  void declare(PairRequest &request);
  /// The rows of a reduction: the one position beside `over` (failure for several) and the other
  /// variables of `shared`, which all results of a row have in common.
  mlir::FailureOr<Rows> rowsOf(llvm::ArrayRef<Expr> parts, llvm::ArrayRef<Expr> shared, Var over);
  /// Makes a feature a row when rows are independent of the values, so that it can be the lanes.
  void addFeatureRow(Rows &rows, llvm::ArrayRef<Expr> values, Var over);
  Expr conjunction(Expr a, Expr b);
  /// Sums in one order, so that equal scores are one node.
  Expr ordered(Expr e);
  /// Gives what depends on one position or none, and is more than an element, a definition.
  Expr separate(Expr e, Var row, Var over);
  bool isElement(Expr e, Var row, Var over);
  /// A definition of an expression of one position, the same for equal ones. It varies over
  /// `position`, when given, even if the expression does not.
  Expr named(Expr e, llvm::StringRef what, Var position = nullptr);
  Expr canonicalBody(Expr e, llvm::ArrayRef<Var> vars);
  /// Chooses the sides of conditions that the domain grants.
  Expr within(Expr e, Expr domain);
  Expr takeDomain(Expr factor, Expr &domain, Var over);

  Model &model;
  mlir::seq::ExprContext &context;
  std::vector<PairRequest> all;
  std::map<std::pair<const void *, unsigned>, Var> canonicalVars;
  /// By their canonical bodies, and whether they vary over a position that these do not name.
  llvm::DenseMap<std::pair<Expr, unsigned>, mlir::StringAttr> definitions;
  mlir::StringAttr owner;
  std::optional<mlir::Location> loc;
  bool failed = false;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_PAIRTERMS_H
