//===- ExprRewrite.cpp - substitution, rewriting and inlining -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Expr.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

Expr ExprContext::substitute(Expr e, const Substitution &map) {
  llvm::DenseMap<Expr, Expr> memo;
  return substituteMemo(e, map, memo);
}

Expr ExprContext::substituteMemo(Expr e, const Substitution &map,
                                 llvm::DenseMap<Expr, Expr> &memo) {
  if (llvm::none_of(e->freeVars(), [&](Var v) { return map.contains(v); }))
    return e;
  if (Expr done = memo.lookup(e))
    return done;
  Expr result;
  if (e->is(ExprKind::Index)) {
    result = map.lookup(e->var());
  } else if (e->is(ExprKind::Reduce)) {
    OpenedExpr o = open(e);
    result = reduce(e->reduceKind(), o.vars, substituteMemo(o.body, map, memo),
                    o.domain ? substituteMemo(o.domain, map, memo) : nullptr);
  } else if (e->is(ExprKind::Map)) {
    OpenedExpr o = open(e);
    result = this->map(e->mapKind(), o.vars[0], substituteMemo(o.at, map, memo),
                       substituteMemo(o.body, map, memo),
                       o.domain ? substituteMemo(o.domain, map, memo) : nullptr, e->count());
  } else {
    SmallVector<Expr> operands;
    for (Expr operand : e->operands())
      operands.push_back(substituteMemo(operand, map, memo));
    result = withOperands(e, operands);
  }
  return memo[e] = result;
}

Expr ExprContext::rewrite(Expr e, llvm::function_ref<Expr(Expr)> fn) {
  llvm::DenseMap<Expr, Expr> memo;
  return rewriteMemo(e, fn, memo);
}

Expr ExprContext::rewriteMemo(Expr e, llvm::function_ref<Expr(Expr)> fn,
                              llvm::DenseMap<Expr, Expr> &memo) {
  if (Expr done = memo.lookup(e))
    return done;
  Expr result;
  if (e->is(ExprKind::Reduce)) {
    OpenedExpr o = open(e);
    result = reduce(e->reduceKind(), o.vars, rewriteMemo(o.body, fn, memo),
                    o.domain ? rewriteMemo(o.domain, fn, memo) : nullptr);
  } else if (e->is(ExprKind::Map)) {
    OpenedExpr o = open(e);
    result =
        map(e->mapKind(), o.vars[0], rewriteMemo(o.at, fn, memo), rewriteMemo(o.body, fn, memo),
            o.domain ? rewriteMemo(o.domain, fn, memo) : nullptr, e->count());
  } else {
    SmallVector<Expr> operands;
    for (Expr operand : e->operands())
      operands.push_back(rewriteMemo(operand, fn, memo));
    result = operands.empty() ? e : withOperands(e, operands);
  }
  return memo[e] = fn(result);
}

Expr ExprContext::instantiate(const Equation &equation, ArrayRef<Expr> subscripts) {
  Substitution map;
  for (auto [var, at] : llvm::zip_equal(equation.left, subscripts)) {
    bool isPlain = at->is(ExprKind::Index) && at->var()->dim == var->dim;
    // An integer is within the extent of a fixed dim: the front end has checked it.
    bool isLiteral =
        at->is(ExprKind::Integer) && var != equation.left.front() && at->integer() >= 0;
    if (!isPlain && !isLiteral)
      return nullptr;
    map[var] = at;
  }
  Expr body = substitute(equation.body, map);
  if (!equation.domain)
    return body;
  Expr domain = substitute(equation.domain, map);
  if (body->type() == ValueType::Boolean)
    return binary(BinaryFn::And, domain, body);
  return select(domain, body, body->type() == ValueType::Integer ? integer(0) : real(0));
}

Expr ExprContext::inlineReads(Expr e, llvm::function_ref<const Equation *(StringAttr)> lookup) {
  return rewrite(e, [&](Expr node) -> Expr {
    if (!node->is(ExprKind::Read))
      return node;
    const Equation *equation = lookup(node->symbol());
    if (!equation)
      return node;
    Expr body = instantiate(*equation, node->operands());
    return body ? inlineReads(body, lookup) : node;
  });
}

void ExprContext::walk(Expr e, llvm::function_ref<void(Expr)> fn) const {
  llvm::DenseSet<Expr> seen;
  SmallVector<Expr> stack{e};
  while (!stack.empty()) {
    Expr node = stack.pop_back_val();
    if (!seen.insert(node).second)
      continue;
    fn(node);
    for (Expr operand : llvm::reverse(node->operands()))
      stack.push_back(operand);
  }
}

bool ExprContext::reads(Expr e, StringAttr source) const {
  bool found = false;
  walk(e, [&](Expr node) { found |= node->isReadOf(source); });
  return found;
}
