//===- ExprAlgebra.cpp - linear forms, products and sums of products -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Expr.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

//===----------------------------------------------------------------------===//
// Integers: sums with constant coefficients
//===----------------------------------------------------------------------===//

namespace {
struct LinearForm {
  int64_t constant = 0;
  SmallVector<std::pair<Expr, int64_t>> terms;

  void add(Expr atom, int64_t coef) {
    for (auto &[e, c] : terms)
      if (e == atom) {
        c += coef;
        return;
      }
    terms.push_back({atom, coef});
  }
};
} // namespace

static void addLinear(Expr e, int64_t coef, LinearForm &form) {
  if (e->is(ExprKind::Integer)) {
    form.constant += coef * e->integer();
    return;
  }
  if (e->isUnary(UnaryFn::Neg))
    return addLinear(e->operand(0), -coef, form);
  if (e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub)) {
    addLinear(e->operand(0), coef, form);
    return addLinear(e->operand(1), e->isBinary(BinaryFn::Sub) ? -coef : coef, form);
  }
  if (e->isBinary(BinaryFn::Mul)) {
    if (e->operand(0)->is(ExprKind::Integer))
      return addLinear(e->operand(1), coef * e->operand(0)->integer(), form);
    if (e->operand(1)->is(ExprKind::Integer))
      return addLinear(e->operand(0), coef * e->operand(1)->integer(), form);
  }
  form.add(e, coef);
}

// Rebuilds sums of integers as `c1*x1 + c2*x2 + ... + constant` in one order, so that equal
// subscripts are one node.
Expr ExprContext::linear(Expr e) {
  LinearForm form;
  addLinear(e, 1, form);
  llvm::erase_if(form.terms, [](auto &term) { return term.second == 0; });
  llvm::sort(form.terms, [](auto &a, auto &b) { return compareStructure(a.first, b.first) < 0; });
  auto plain = [&](BinaryFn fn, Expr lhs, Expr rhs) {
    ExprNode node;
    node.nodeKind = ExprKind::Binary;
    node.nodeType = ValueType::Integer;
    node.code = static_cast<unsigned>(fn);
    Expr operands[] = {lhs, rhs};
    node.nodeOperands = operands;
    return make(node);
  };
  Expr result = nullptr;
  for (auto [atom, coef] : form.terms) {
    Expr term = coef == 1 ? atom : plain(BinaryFn::Mul, integer(coef), atom);
    result = result ? plain(BinaryFn::Add, result, term) : term;
  }
  if (!result)
    return integer(form.constant);
  return form.constant ? plain(BinaryFn::Add, result, integer(form.constant)) : result;
}

std::optional<int64_t> ExprContext::offsetFrom(Expr e, Var var) const {
  LinearForm form;
  addLinear(e, 1, form);
  if (form.terms.size() == 1 && form.terms[0].second == 1 &&
      form.terms[0].first->is(ExprKind::Index) && form.terms[0].first->var() == var)
    return form.constant;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Order
//===----------------------------------------------------------------------===//

template <typename T> static int threeWay(const T &a, const T &b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int ExprContext::compareStructure(Expr a, Expr b) {
  if (a == b)
    return 0;
  if (int order = threeWay(static_cast<int>(a->kind()), static_cast<int>(b->kind())))
    return order;
  if (int order = threeWay(a->code, b->code))
    return order;
  if (a->name && b->name)
    if (int order = a->name.getValue().compare(b->name.getValue()))
      return order;
  if (int order = threeWay(a->realValue, b->realValue))
    return order;
  if (int order = threeWay(a->integerValue, b->integerValue))
    return order;
  if (int order = threeWay(a->nodeOperands.size(), b->nodeOperands.size()))
    return order;
  for (auto [x, y] : llvm::zip(a->nodeOperands, b->nodeOperands))
    if (int order = compareStructure(x, y))
      return order;
  for (auto [x, y] : llvm::zip(a->bound, b->bound)) {
    if (int order = threeWay(x->level, y->level))
      return order;
    if (int order = x->dim.getValue().compare(y->dim.getValue()))
      return order;
    if (int order = threeWay(x->id, y->id))
      return order;
  }
  return threeWay(a->id(), b->id());
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static void addFactors(ExprContext &context, Expr e, bool isReciprocal, Product &p) {
  if (e->is(ExprKind::Real)) {
    // A constant zero under the line stays a factor: 1/0 is not a coefficient.
    if (!isReciprocal || e->real() != 0) {
      p.coef = isReciprocal ? p.coef / e->real() : p.coef * e->real();
      return;
    }
  }
  if (e->isUnary(UnaryFn::Neg)) {
    p.coef = -p.coef;
    return addFactors(context, e->operand(0), isReciprocal, p);
  }
  if (e->isBinary(BinaryFn::Mul)) {
    addFactors(context, e->operand(0), isReciprocal, p);
    return addFactors(context, e->operand(1), isReciprocal, p);
  }
  if (e->isBinary(BinaryFn::Div)) {
    addFactors(context, e->operand(0), isReciprocal, p);
    return addFactors(context, e->operand(1), !isReciprocal, p);
  }
  p.factors.push_back(isReciprocal ? context.div(context.real(1), e) : e);
}

static void sortFactors(Product &p) {
  llvm::sort(p.factors, [](Expr a, Expr b) { return ExprContext::compareStructure(a, b) < 0; });
}

Product ExprContext::factors(Expr e) {
  Product p;
  assert(e->type() == ValueType::Real && "products are of reals");
  addFactors(*this, e, false, p);
  sortFactors(p);
  return p;
}

Expr ExprContext::product(const Product &p) {
  Expr above = nullptr, below = nullptr;
  auto times = [&](Expr &side, Expr e) { side = side ? mul(side, e) : e; };
  bool isNegative = p.coef < 0;
  double magnitude = std::fabs(p.coef);
  if (magnitude != 1)
    times(above, real(magnitude));
  for (Expr f : p.factors) {
    if (f->isBinary(BinaryFn::Div) && f->operand(0)->isReal(1))
      times(below, f->operand(1));
    else
      times(above, f);
  }
  if (!above)
    above = real(1);
  Expr result = below ? div(above, below) : above;
  return isNegative ? neg(result) : result;
}

//===----------------------------------------------------------------------===//
// Sums of products
//===----------------------------------------------------------------------===//

static Product multiply(const Product &a, const Product &b) {
  Product p{a.coef * b.coef, a.factors};
  p.factors.append(b.factors.begin(), b.factors.end());
  sortFactors(p);
  return p;
}

static void appendScaled(SmallVectorImpl<Product> &out, ArrayRef<Product> terms, double scale) {
  for (const Product &term : terms)
    out.push_back({term.coef * scale, term.factors});
}

SmallVector<Product> ExprContext::summands(Expr e, llvm::function_ref<bool(Expr)> expand) {
  SmallVector<Product> result;
  if (e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub)) {
    appendScaled(result, summands(e->operand(0), expand), 1);
    appendScaled(result, summands(e->operand(1), expand), e->isBinary(BinaryFn::Sub) ? -1 : 1);
    return result;
  }
  Product p = factors(e);
  // Multiply out the sums among the factors that are wanted, one after the other.
  result.push_back({p.coef, {}});
  for (Expr f : p.factors) {
    SmallVector<Product> inner;
    bool isSum = f->isBinary(BinaryFn::Add) || f->isBinary(BinaryFn::Sub);
    bool isReduction = f->isReduce(ReduceKind::Sum) && f->operands().size() == 1;
    if (isSum && expand(f)) {
      inner = summands(f, expand);
    } else if (isReduction && expand(f)) {
      OpenedExpr o = open(f);
      for (const Product &term : summands(o.body, expand)) {
        Product outside{term.coef, {}}, inside;
        for (Expr g : term.factors) {
          bool isBound = llvm::any_of(o.vars, [&](Var v) { return g->dependsOn(v); });
          (isBound ? inside : outside).factors.push_back(g);
        }
        // A variable that no factor uses counts its extent; keep it in the reduction.
        Expr reduced = sum(o.vars, product(inside));
        outside.factors.push_back(reduced);
        sortFactors(outside);
        inner.push_back(outside);
      }
    } else {
      inner.push_back({1, {f}});
    }
    SmallVector<Product> next;
    for (const Product &left : result)
      for (const Product &right : inner)
        next.push_back(multiply(left, right));
    result = std::move(next);
  }
  return result;
}

Expr ExprContext::sumOf(ArrayRef<Product> terms) {
  SmallVector<Product> merged;
  for (const Product &term : terms) {
    auto same = llvm::find_if(merged, [&](Product &p) { return p.factors == term.factors; });
    if (same == merged.end())
      merged.push_back(term);
    else
      same->coef += term.coef;
  }
  Expr result = nullptr;
  for (const Product &term : merged) {
    // Terms that cancel exactly are the same finite or infinite value twice; they are dropped only
    // when nothing else is left of them.
    if (term.coef == 0)
      continue;
    Expr e = product(term);
    result = result ? add(result, e) : e;
  }
  return result ? result : real(0);
}
