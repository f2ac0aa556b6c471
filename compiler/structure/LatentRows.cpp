//===- LatentRows.cpp - definitions that are linear in a row --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/LatentRows.h"

#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

LatentRows::LatentRows(Model &model)
    : model(model), context(model.exprs()), token(tokenDimOf(model.mixer())) {
  for (auto &[name, equation] : model.definitions()) {
    if (positions(equation) != 1 || equation.domain || equation.body->type() != ValueType::Real)
      continue;
    Var position = equation.left[0];
    if (position->dim != token.getAttr() || isElement(equation.body, position))
      continue;
    auto terms = termsOf(equation.body, position);
    if (terms && llvm::any_of(*terms, [](const LatentTerm &term) { return term.element; }))
      linear.insert(name);
  }
}

unsigned LatentRows::positions(const Equation &equation) const {
  return llvm::count_if(equation.left, [&](Var var) { return isRuntime(var); });
}

LatentRows::Names LatentRows::sourcesOf(StringAttr candidate) {
  Names sources;
  const Equation &equation = *model.equation(candidate);
  auto terms = termsOf(equation.body, equation.left[0]);
  for (const LatentTerm &term : *terms)
    if (term.element)
      sources.insert(term.element->symbol());
  return sources;
}

/// An element of a row at the position: the other indices are variables, each once.
bool LatentRows::isElement(Expr e, Var position) {
  if (!e->is(ExprKind::Read) || e->type() != ValueType::Real || model.state(e->symbol()) ||
      e->operands().empty() || e->operand(0) != context.index(position))
    return false;
  auto *source = model.lookup(e->symbol());
  auto tensor = dyn_cast<TensorOp>(source);
  if (tensor ? tensor.getRole() != Role::Input : !isa<DefineOp>(source))
    return false;
  SmallVector<Expr> seen;
  return llvm::all_of(e->operands().drop_front(), [&](Expr at) {
    bool isNew = !llvm::is_contained(seen, at);
    seen.push_back(at);
    return isNew && at->is(ExprKind::Index) && !isRuntime(at->var());
  });
}

std::optional<SmallVector<LatentTerm>> LatentRows::termsOf(Expr body, Var position) {
  SmallVector<LatentTerm> terms;
  auto expand = [&](Expr e) { return e->dependsOn(position); };
  for (const Product &summand : context.summands(body, expand)) {
    LatentTerm &term = terms.emplace_back();
    term.weight.coef = summand.coef;
    SmallVector<Expr> factors(summand.factors);
    while (!factors.empty()) {
      Expr factor = factors.pop_back_val();
      if (!factor->dependsOn(position)) {
        term.weight.factors.push_back(factor);
      } else if (!term.element && isElement(factor, position)) {
        term.element = factor;
      } else if (term.summed.empty() && factor->isReduce(ReduceKind::Sum) &&
                 factor->operands().size() == 1) {
        OpenedExpr sum = context.open(factor);
        if (llvm::any_of(sum.vars, [&](Var var) { return isRuntime(var); }))
          return std::nullopt;
        term.summed = sum.vars;
        Product inside = context.factors(sum.body);
        term.weight.coef *= inside.coef;
        llvm::append_range(factors, inside.factors);
      } else {
        return std::nullopt;
      }
    }
  }
  return terms;
}

bool LatentRows::isReplaced(Expr e) const {
  return e->is(ExprKind::Read) && wanted->contains(e->symbol()) &&
         e->operand(0)->is(ExprKind::Index) && e->operand(0)->var() != own &&
         llvm::all_of(e->operands(), [](Expr at) { return at->is(ExprKind::Index); });
}

LatentRows::Bodies LatentRows::rewritten(const Names &replaced) {
  wanted = &replaced;
  replacedReads.clear();
  Bodies bodies;
  auto add = [&](const Equation &equation) {
    own = positions(equation) == 1 ? model.tokenOf(equation) : nullptr;
    bodies[equation.name] = replaced.empty() ? equation.body : rewrite(equation.body);
  };
  for (auto &[name, equation] : model.definitions())
    add(equation);
  for (auto &[name, equation] : model.nexts())
    add(equation);
  return bodies;
}

Expr LatentRows::rewrite(Expr e) {
  if (e->is(ExprKind::Reduce)) {
    OpenedExpr o = context.open(e);
    Expr body = rewrite(o.body);
    if (e->isReduce(ReduceKind::Sum) && body->type() == ValueType::Real)
      if (Expr sum = rewriteSum(o.vars, body, o.domain))
        return sum;
    return body == o.body ? e : context.reduce(e->reduceKind(), o.vars, body, o.domain);
  }
  if (e->is(ExprKind::Map)) {
    OpenedExpr o = context.open(e);
    Expr body = rewrite(o.body);
    return body == o.body ? e
                          : context.map(e->mapKind(), o.vars[0], o.at, body, o.domain, e->count());
  }
  SmallVector<Expr> operands;
  for (Expr operand : e->operands())
    operands.push_back(rewrite(operand));
  return llvm::equal(operands, e->operands()) ? e : context.withOperands(e, operands);
}

/// Null where nothing is read that is replaced.
Expr LatentRows::rewriteSum(ArrayRef<Var> vars, Expr body, Expr domain) {
  auto readsReplaced = [&](Expr e) {
    bool found = false;
    context.walk(e, [&](Expr node) { found |= isReplaced(node); });
    return found;
  };
  if (!readsReplaced(body))
    return nullptr;
  SmallVector<Product> kept;
  Expr result = nullptr;
  bool changed = false;
  for (const Product &term : context.summands(body, readsReplaced)) {
    Expr own = rewriteTerm(vars, term, domain);
    changed |= own != nullptr;
    if (!own)
      kept.push_back(term);
    else
      result = result ? context.add(result, own) : own;
  }
  if (!changed)
    return nullptr;
  if (kept.empty())
    return result;
  return context.add(result, context.sum(vars, context.sumOf(kept), domain));
}

Expr LatentRows::rewriteTerm(ArrayRef<Var> vars, const Product &term, Expr domain) {
  auto *read = llvm::find_if(term.factors, [&](Expr f) { return isReplaced(f); });
  if (read == term.factors.end())
    return nullptr;
  Product rest{term.coef, {}};
  for (const Expr &factor : term.factors)
    if (&factor != read)
      rest.factors.push_back(factor);
  bool isSummed = llvm::is_contained(vars, (*read)->operand(0)->var());
  Expr result =
      isSummed ? behindSum(vars, rest, *read, domain) : inScore(vars, rest, *read, domain);
  if (result)
    ++replacedReads[(*read)->symbol()];
  return result;
}

LatentRows::Work LatentRows::work() {
  Work work;
  for (auto [name, count] : replacedReads) {
    const Equation &equation = *model.equation(name);
    int64_t elements = 1, products = 0;
    for (Var var : ArrayRef(equation.left).drop_front())
      elements *= model.size(var->dim);
    auto terms = termsOf(equation.body, equation.left[0]);
    for (const LatentTerm &term : *terms) {
      int64_t each = elements;
      for (Var var : term.summed)
        each *= model.size(var->dim);
      products += each;
    }
    work.ofColumns += products;
    work.ofRows += count * products;
  }
  return work;
}

/// The terms of what a read of a replaced definition holds.
static Expr valueAt(ExprContext &context, const Equation &equation, Expr read) {
  Substitution map;
  for (auto [var, at] : llvm::zip_equal(equation.left, read->operands()))
    map[var] = at;
  return context.substitute(equation.body, map);
}

static bool dependsOnAny(Expr e, ArrayRef<Var> vars) {
  return llvm::any_of(vars, [&](Var var) { return e->dependsOn(var); });
}

/// sum[n] a[t,n] * k[s,n], at a position that the sum does not bind.
Expr LatentRows::inScore(ArrayRef<Var> vars, const Product &rest, Expr read, Expr domain) {
  if (domain)
    return nullptr;
  Var position = read->operand(0)->var();
  // What depends on the position must be free of what is summed.
  Product inside{rest.coef, {}}, outside;
  for (Expr factor : rest.factors) {
    if (factor->dependsOn(position) && dependsOnAny(factor, vars))
      return nullptr;
    (factor->dependsOn(position) ? outside : inside).factors.push_back(factor);
  }
  for (Expr at : read->operands().drop_front())
    if (!llvm::is_contained(vars, at->var()))
      return nullptr;
  auto terms = termsOf(valueAt(context, *model.equation(read->symbol()), read), position);
  if (!terms)
    return nullptr;
  Expr result = nullptr;
  for (const LatentTerm &term : *terms) {
    SmallVector<Var> first, last(term.summed);
    for (Var var : vars)
      (term.element && term.element->dependsOn(var) ? last : first).push_back(var);
    Product weight = inside;
    weight.coef *= term.weight.coef;
    llvm::append_range(weight.factors, term.weight.factors);
    Expr value = context.product(weight);
    if (!first.empty())
      value = context.sum(first, value);
    if (term.element)
      value = context.mul(value, term.element);
    if (!last.empty())
      value = context.sum(last, value);
    result = result ? context.add(result, value) : value;
  }
  outside.factors.push_back(result);
  return context.product(outside);
}

/// sum[s] p[t,s] * v[s,j].
Expr LatentRows::behindSum(ArrayRef<Var> vars, const Product &rest, Expr read, Expr domain) {
  Var position = read->operand(0)->var();
  auto terms = termsOf(valueAt(context, *model.equation(read->symbol()), read), position);
  if (!terms)
    return nullptr;
  Expr result = nullptr;
  for (const LatentTerm &term : *terms) {
    if (llvm::any_of(term.weight.factors, [&](Expr f) { return dependsOnAny(f, vars); }))
      return nullptr;
    Product summed = rest;
    if (term.element)
      summed.factors.push_back(term.element);
    Product weight = term.weight;
    weight.factors.push_back(context.sum(vars, context.product(summed), domain));
    Expr value = context.product(weight);
    if (!term.summed.empty())
      value = context.sum(term.summed, value);
    result = result ? context.add(result, value) : value;
  }
  return result;
}

llvm::MapVector<StringAttr, int64_t> LatentRows::rowReads(const Bodies &bodies) {
  llvm::MapVector<StringAttr, Equation> pairs;
  llvm::DenseSet<StringAttr> outputs = model.outputs();
  for (auto &[name, equation] : model.definitions())
    if (positions(equation) > 1) {
      pairs.insert({name, equation});
      pairs.find(name)->second.body = bodies.lookup(name);
    }
  auto lookup = [&](StringAttr name) -> const Equation * {
    auto found = pairs.find(name);
    return found == pairs.end() ? nullptr : &found->second;
  };
  auto elements = [&](ArrayAttr dims) {
    int64_t count = 1;
    for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
      if (!model.isRuntime(dim.getAttr()))
        count *= model.size(dim.getAttr());
    return count;
  };
  llvm::MapVector<StringAttr, int64_t> found;
  SmallVector<Var> over;
  auto visit = [&](auto &self, Expr e) -> void {
    if (e->is(ExprKind::Read) && !e->operands().empty() && dependsOnAny(e->operand(0), over))
      if (auto *source = model.lookup(e->symbol()))
        if (auto tensor = dyn_cast<TensorOp>(source); !tensor || tensor.getRole() == Role::Input)
          found[e->symbol()] += elements(model.dimsOf(e->symbol()));
    if (e->is(ExprKind::Reduce) || e->is(ExprKind::Map)) {
      OpenedExpr o = context.open(e);
      size_t before = over.size();
      llvm::copy_if(o.vars, std::back_inserter(over),
                    [&](Var var) { return var->dim == token.getAttr(); });
      self(self, o.body);
      if (o.domain)
        self(self, o.domain);
      over.truncate(before);
      return;
    }
    for (Expr operand : e->operands())
      self(self, operand);
  };
  for (auto &[name, body] : bodies) {
    if (pairs.contains(name) && !outputs.contains(name))
      continue;
    over.clear();
    if (pairs.contains(name))
      over.push_back(pairs.find(name)->second.left[1]);
    visit(visit, context.inlineReads(body, lookup));
  }
  return found;
}

} // namespace seqmix
