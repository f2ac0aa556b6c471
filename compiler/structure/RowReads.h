//===- RowReads.h - sums over the rows of states -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_ROWREADS_H
#define SEQMIX_COMPILER_STRUCTURE_ROWREADS_H

#include "compiler/structure/AffineForm.h"

namespace seqmix {

/// Replaces every sum over the rows of states by a read of a per-token tensor, in all equations of
/// a mixer. Fills `reads`, `rewritten` and `dissolved` of the form; the model stays as it is.
class RowReads {
public:
  RowReads(Model &model, AffineForm &form) : model(model), context(model.exprs()), form(form) {}

  /// False, with the reason, when some equation needs elements of the state itself.
  bool rewriteAll(const Group &group, std::string &reason);

  /// A component's right side with the definitions of its cycle inlined, in S[t-1] and reads; null,
  /// with the reason, when it depends on them in another way.
  mlir::seq::Expr componentBody(int64_t component);

private:
  // A product under a sum.
  struct Term {
    llvm::SmallVector<mlir::seq::Var> vars;
    mlir::seq::Product product;
  };
  // The indices at which a term reads the state: of its rows, and those that rows may have, too.
  struct Subscripts {
    llvm::SmallVector<mlir::seq::Var> rows, common;
  };

  std::string show(mlir::seq::Expr e) { return toString(context, e); }
  bool readsState(mlir::seq::Expr e) { return form.isRead(context, e); }
  bool dependsOnReads(mlir::seq::Expr e);
  mlir::StringAttr madeFromReads(mlir::seq::Expr e);
  /// A sum over an index that chooses between reads, term by term; others as they are.
  mlir::seq::Expr writtenOut(mlir::seq::Expr sum);
  mlir::seq::Expr linearSelect(mlir::seq::Expr e);
  mlir::seq::Expr withCycleInlined(mlir::StringAttr state);
  mlir::seq::Expr inlineMatrices(mlir::seq::Expr e);
  mlir::seq::Expr rewriteSums(mlir::seq::Expr e, mlir::seq::Var token);
  mlir::seq::Expr contract(mlir::seq::Expr sum, mlir::seq::Var token);
  bool contractTerm(Term term, mlir::seq::Var token, llvm::SmallVectorImpl<Term> &work,
                    llvm::SmallVectorImpl<mlir::seq::Product> &done);
  bool untieRow(const Term &term, mlir::seq::Expr state, mlir::seq::Var token,
                llvm::SmallVectorImpl<Term> &work);
  std::optional<mlir::seq::Product> rowRead(const Term &term, mlir::seq::Expr state,
                                            mlir::seq::Var token);
  /// A read that is no sum over rows with one factor for all columns: its elements one by one.
  std::optional<mlir::seq::Product> elementRead(const Term &term, mlir::seq::Expr state,
                                                mlir::seq::Var token);
  Subscripts subscripts(mlir::seq::Expr state, mlir::seq::Var token);
  mlir::seq::Var indexOfComponent(mlir::seq::Expr state);
  mlir::seq::Var indexOfRow(const Term &term, mlir::seq::Expr state, mlir::seq::Var token);
  bool readEach(const Term &term, mlir::seq::Var index, mlir::seq::Var token,
                llvm::SmallVectorImpl<Term> &work, llvm::SmallVectorImpl<mlir::seq::Product> &done);
  mlir::seq::Product summed(const Term &term);
  mlir::seq::Expr withReadsJoined(mlir::seq::Expr body, mlir::seq::Var token);
  void joinReads(llvm::SmallVectorImpl<mlir::seq::Product> &terms, mlir::seq::Var token);
  unsigned findRead(mlir::seq::ReadKind kind, const RowFactors &rows, bool before);

  Model &model;
  mlir::seq::ExprContext &context;
  AffineForm &form;
  bool takesElements = false; // besides sums over rows with one factor for all columns
  const Group *group = nullptr;
  std::string *reason = nullptr;
  mlir::StringAttr current; // the equation in work
  llvm::MapVector<mlir::StringAttr, mlir::seq::Equation> matrices;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_ROWREADS_H
