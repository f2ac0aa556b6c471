//===- Domains.cpp - Conditions and what they restrict ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// A `where` is split at its `and`s. A conjunct that names left indices only restricts the left
// side; every conjunct restricts the reductions and maps that bind one of its indices.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

void seqmix::splitConjuncts(Expr *condition, std::vector<Expr *> &conjuncts) {
  auto *binary = llvm::dyn_cast<BinaryExpr>(condition);
  if (binary && binary->op == BinaryOp::And) {
    splitConjuncts(binary->lhs, conjuncts);
    splitConjuncts(binary->rhs, conjuncts);
  } else {
    conjuncts.push_back(condition);
  }
}

/// A side of a comparison: affine in indices, dims, constants and integer reads, with `//` and `%`
/// by constants.
bool MixerChecker::checkConditionTerm(Expr *term) {
  if (constantValue(term))
    return true;
  if (auto *ref = llvm::dyn_cast<RefExpr>(term)) {
    if (!llvm::isa<State>(ref->decl))
      return true;
    errorAt(ref, "a condition cannot read a state: a domain does not depend on computed values");
    return false;
  }
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(term))
    return checkConditionTerm(unary->operand);
  if (auto *binary = llvm::dyn_cast<BinaryExpr>(term)) {
    bool leftConstant = constantValue(binary->lhs).has_value();
    bool rightConstant = constantValue(binary->rhs).has_value();
    switch (binary->op) {
    case BinaryOp::Add:
    case BinaryOp::Sub:
      return checkConditionTerm(binary->lhs) && checkConditionTerm(binary->rhs);
    case BinaryOp::Mul:
      if (leftConstant || rightConstant)
        return checkConditionTerm(leftConstant ? binary->rhs : binary->lhs);
      break;
    case BinaryOp::FloorDiv:
    case BinaryOp::Mod:
      if (rightConstant)
        return checkConditionTerm(binary->lhs);
      errorAt(binary->rhs, fmt::format("in a condition '{}' takes a constant on the right",
                                       spelling(binary->op).str()));
      return false;
    default:
      break;
    }
  }
  errorAt(term, "a condition compares affine terms in indices, dims, constants and integer "
                "inputs, with '//' and '%' by constants; put the rest into a boolean definition");
  return false;
}

bool MixerChecker::checkCondition(Expr *condition) {
  if (auto *binary = llvm::dyn_cast<BinaryExpr>(condition)) {
    if (isLogical(binary->op))
      return checkCondition(binary->lhs) && checkCondition(binary->rhs);
    if (binary->lhs->type == Type::Boolean) // == and != of booleans
      return checkCondition(binary->lhs) && checkCondition(binary->rhs);
    for (Expr *side : {binary->lhs, binary->rhs}) {
      if (side->type == Type::Integer)
        continue;
      errorAt(side, "a condition compares integers, found a real number; put the comparison "
                    "into a boolean definition");
      return false;
    }
    return checkConditionTerm(binary->lhs) && checkConditionTerm(binary->rhs);
  }
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(condition))
    return checkCondition(unary->operand);
  if (llvm::isa<RefExpr>(condition))
    return true;
  errorAt(condition, "a condition is a comparison or a boolean value, joined by 'and', 'or' and "
                     "'not'");
  return false;
}

namespace {
/// Finds the reductions and maps that one conjunct restricts.
struct Attacher {
  Expr *conjunct;
  std::vector<Index *> indices; ///< of the conjunct
  std::vector<Index *> scope;   ///< what is bound at the current place, left indices first
  bool found = false;

  bool names(const Index *index) const { return llvm::is_contained(indices, index); }
  bool allInScope() const {
    return llvm::all_of(indices, [&](Index *i) { return llvm::is_contained(scope, i); });
  }
  void visit(Expr *e) {
    size_t outer = scope.size();
    if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e)) {
      bool binds = false;
      for (const IndexUse &use : reduce->indices) {
        scope.push_back(use.index);
        binds |= names(use.index);
      }
      if (binds && allInScope()) {
        reduce->domain.push_back(conjunct);
        found = true;
      }
    } else if (auto *map = llvm::dyn_cast<MapExpr>(e)) {
      if (names(map->index.index) && allInScope()) {
        map->domain.push_back(conjunct);
        found = true;
      }
    }
    forEachChild(e, [&](Expr *child) { visit(child); });
    scope.resize(outer);
  }
};
} // namespace

void MixerChecker::attachDomain(Equation *equation) {
  if (auto *state = llvm::dyn_cast<State>(equation->target)) {
    diagnostics
        .error(equation->whereRange,
               fmt::format("the equation of a state has no 'where'; restrict a definition that "
                           "'{}' reads",
                           state->name))
        .note(state->nameRange, "declared as a state here");
    return;
  }
  if (!checkCondition(equation->where))
    return;
  std::vector<Expr *> conjuncts;
  splitConjuncts(equation->where, conjuncts);
  for (Expr *conjunct : conjuncts) {
    Attacher attacher{conjunct, freeIndices(conjunct), {}};
    for (const IndexUse &use : equation->indices)
      attacher.scope.push_back(use.index);
    bool leftOnly = attacher.allInScope();
    if (leftOnly)
      equation->domain.push_back(conjunct);
    attacher.visit(equation->rhs);
    if (!leftOnly && !attacher.found)
      errorAt(conjunct, "no reduction has all indices of this condition in scope; split the "
                        "equation so that one of them does");
  }
}

void MixerChecker::attachDomains() {
  for (Equation *equation : mixer.equations)
    if (equation->where)
      attachDomain(equation);
}
