//===- DomainReads.cpp - Restricted definitions are read inside their domains
//------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// A definition with a domain has no value outside of it. It may be read where the domain is known
// to hold: from the reader's own domain, the conditions of the reductions around the read, the
// `if`s around it, and what stands in front of it in an `and` or (not holding) in an `or`. Inside a
// `sum` it may also be read as a factor or a term, where it is zero outside.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"
#include "compiler/parse/Linear.h"

#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

namespace seqmix {

class DomainReadChecker {
public:
  DomainReadChecker(MixerChecker &checker, const Equation &equation)
      : checker(checker), equation(equation) {}

  void run();

private:
  MixerChecker &checker;
  const Equation &equation;
  ConditionProver prover;

  /// `isFactor`: the value only enters a sum, as a factor or a term.
  void visit(const Expr *e, bool isFactor);
  void checkRead(const RefExpr *ref, const Equation &read);
  void visitChildren(const Expr *e, bool isFactor) {
    forEachChild(e, [&](Expr *child) { visit(child, isFactor); });
  }
  /// Visits with more assumptions.
  void visitUnder(const Expr *e, bool isFactor, llvm::ArrayRef<Expr *> conditions,
                  bool holds = true);
};

} // namespace seqmix

/// The equation of a definition that is defined on a part of its indices only.
static const Equation *restrictedEquation(const RefExpr *ref) {
  auto *definition = llvm::dyn_cast<Definition>(ref->decl);
  return definition && !definition->equation->domain.empty() ? definition->equation : nullptr;
}

static bool readsRestricted(Expr *e) {
  bool found = false;
  walk(e, [&](Expr *node) {
    if (auto *ref = llvm::dyn_cast<RefExpr>(node))
      found |= restrictedEquation(ref) != nullptr;
  });
  return found;
}

void DomainReadChecker::checkRead(const RefExpr *ref, const Equation &read) {
  ConditionProver::Mark before = prover.mark();
  ConditionProver::Replacement replacement;
  for (auto [place, index] : llvm::zip(read.places, ref->indices)) {
    replacement[place.index] = index;
    prover.assumeInside(index, place.dim); // outside of its extents a read is zero
  }
  for (const Expr *condition : read.domain) {
    if (prover.proves(condition, replacement))
      continue;
    checker
        .errorAt(ref, fmt::format("'{}' is defined only where '{}', which is not known to hold "
                                  "here; restrict this equation too, or use it as a factor of a "
                                  "'sum', where it is zero outside",
                                  ref->name, print(condition)))
        .note(condition->range, "restricted here");
    break;
  }
  prover.restore(before);
}

void DomainReadChecker::visitUnder(const Expr *e, bool isFactor, llvm::ArrayRef<Expr *> conditions,
                                   bool holds) {
  ConditionProver::Mark before = prover.mark();
  for (const Expr *condition : conditions)
    prover.assume(condition, holds);
  visit(e, isFactor);
  prover.restore(before);
}

void DomainReadChecker::visit(const Expr *e, bool isFactor) {
  switch (e->kind) {
  case Expr::Kind::Ref: {
    auto *ref = llvm::cast<RefExpr>(e);
    const Equation *read = restrictedEquation(ref);
    if (read && !isFactor)
      checkRead(ref, *read);
    return visitChildren(e, false);
  }
  case Expr::Kind::Unary:
    return visitChildren(e, isFactor && llvm::cast<UnaryExpr>(e)->op == UnaryOp::Neg);
  case Expr::Kind::Binary: {
    auto *binary = llvm::cast<BinaryExpr>(e);
    switch (binary->op) {
    case BinaryOp::Add:
    case BinaryOp::Sub:
    case BinaryOp::Mul:
      return visitChildren(e, isFactor);
    case BinaryOp::Div:
      visit(binary->lhs, isFactor);
      return visit(binary->rhs, false);
    case BinaryOp::And:
    case BinaryOp::Or:
      // The right side says something only where the left one does not decide.
      visit(binary->lhs, false);
      return visitUnder(binary->rhs, false, {binary->lhs}, binary->op == BinaryOp::And);
    default:
      return visitChildren(e, false);
    }
  }
  case Expr::Kind::Cond: {
    auto *cond = llvm::cast<CondExpr>(e);
    visit(cond->condition, false);
    visitUnder(cond->whenTrue, isFactor, {cond->condition});
    return visitUnder(cond->whenFalse, isFactor, {cond->condition}, /*holds=*/false);
  }
  case Expr::Kind::Reduce: {
    auto *reduce = llvm::cast<ReduceExpr>(e);
    return visitUnder(reduce->operand, reduce->op == Reduction::Sum, reduce->domain);
  }
  case Expr::Kind::Map: {
    auto *map = llvm::cast<MapExpr>(e);
    return visitUnder(map->operand, map->op == MapOp::Cumsum, map->domain);
  }
  case Expr::Kind::Number:
  case Expr::Kind::Call:
    return visitChildren(e, false);
  }
}

void DomainReadChecker::run() {
  visitUnder(equation.rhs, false, equation.domain);
  if (!equation.where)
    return;
  std::vector<Expr *> conjuncts, plain;
  splitConjuncts(equation.where, conjuncts);
  for (Expr *conjunct : conjuncts)
    if (!readsRestricted(conjunct))
      plain.push_back(conjunct);
  for (Expr *conjunct : conjuncts)
    if (readsRestricted(conjunct))
      visitUnder(conjunct, false, plain);
}

void MixerChecker::checkDomainReads() {
  for (const Equation *equation : mixer.equations)
    DomainReadChecker(*this, *equation).run();
}
