//===- ElementReads.cpp - other sums of elements of a matrix state ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/RowReads.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

std::optional<Product> RowReads::elementRead(const Term &term, Expr state, Var token) {
  std::optional<int64_t> shift = model.shift(state, token);
  int64_t past = form.direction == Direction::Forward ? -1 : 1;
  std::optional<int64_t> component = form.componentOf(state);
  if (!component || !shift || (*shift != 0 && *shift != past))
    return std::nullopt;
  // Every index is one of its own. The factor may vary over all of them.
  const Equation &equation = *model.equation(form.states.front());
  Substitution map{{token, context.index(form.token)}};
  SmallVector<Var> rows, cols;
  for (auto [place, canonical] : llvm::enumerate(ArrayRef(equation.left).drop_front())) {
    int64_t number = place;
    if (number == form.sides.inner)
      continue;
    Expr at = state->operand(place + 1);
    if (!at->is(ExprKind::Index) || !map.insert({at->var(), context.index(canonical)}).second)
      return std::nullopt;
    if (llvm::is_contained(form.sides.rows, number))
      rows.push_back(at->var());
    else if (llvm::is_contained(form.sides.cols, number))
      cols.push_back(at->var());
  }
  auto areSummed = [&](ArrayRef<Var> vars) {
    return llvm::all_of(vars, [&](Var v) { return llvm::is_contained(term.vars, v); });
  };
  bool isOfColumns = !areSummed(rows);
  if (isOfColumns && !areSummed(cols))
    return std::nullopt;
  ArrayRef<Var> summedVars = isOfColumns ? cols : rows, others = isOfColumns ? rows : cols;
  auto uses = [](Expr e, ArrayRef<Var> vars) {
    return llvm::any_of(vars, [&](Var v) { return e->dependsOn(v); });
  };
  Product factor;
  Term rest{{}, {term.product.coef, {}}};
  bool isOfElements = false;
  for (Expr f : term.product.factors) {
    if (f == state)
      continue;
    if (!uses(f, summedVars)) {
      rest.product.factors.push_back(f);
      continue;
    }
    if (!llvm::all_of(f->freeVars(), [&](Var v) { return map.contains(v); }))
      return std::nullopt;
    isOfElements |= uses(f, others);
    factor.factors.push_back(f);
  }
  llvm::copy_if(term.vars, std::back_inserter(rest.vars),
                [&](Var v) { return !llvm::is_contained(summedVars, v); });
  SmallVector<Expr> subscripts{context.index(token)};
  for (Expr at : state->operands().drop_front())
    if (at->is(ExprKind::Index) && !llvm::is_contained(summedVars, at->var()))
      subscripts.push_back(at);
  RowFactors factors(form.components());
  factors[*component] =
      context.product(context.factors(context.substitute(context.product(factor), map)));
  ReadKind kind = !isOfColumns   ? ReadKind::RowElements
                  : isOfElements ? ReadKind::ColumnElements
                                 : ReadKind::Columns;
  unsigned number = findRead(kind, factors, *shift != 0);
  rest.product.factors.push_back(context.read(form.reads[number].result, subscripts));
  return summed(rest);
}

} // namespace seqmix
