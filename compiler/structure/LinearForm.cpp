//===- LinearForm.cpp - a state's equation as a linear map of the carry -------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/LinearForm.h"

#include "compiler/structure/Groups.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

LinearForms::LinearForms(Model &model) : model(model), context(model.exprs()) {
  SmallVector<StringAttr> roots;
  for (auto state : model.mixer().getOps<StateOp>())
    roots.push_back(state.getSymNameAttr());
  for (auto produced : model.mixer().getOps<ProducedOp>())
    roots.push_back(produced.getSymNameAttr());
  carried = dependents(model, roots);
  carried.insert(roots.begin(), roots.end());
}

std::optional<LinearForm> LinearForms::of(const Equation &next, std::string &why) {
  equation = &next;
  reason = &why;
  known.clear();
  return visit(next.body);
}

bool LinearForms::dependsOnCarry(Expr e) {
  bool found = false;
  context.walk(e,
               [&](Expr node) { found |= node->is(ExprKind::Read) && isCarried(node->symbol()); });
  return found;
}

std::optional<LinearForm> LinearForms::refuse(std::string why) {
  if (reason->empty())
    *reason = std::move(why);
  return std::nullopt;
}

std::optional<LinearForm> LinearForms::visit(Expr e) {
  if (!dependsOnCarry(e))
    return LinearForm();
  auto found = known.find(e);
  if (found != known.end())
    return found->second;
  std::optional<LinearForm> form = compute(e);
  known[e] = form;
  return form;
}

std::optional<LinearForm> LinearForms::read(Expr e) {
  StringAttr name = e->symbol();
  std::string_view own(equation->name.getValue()), other(name.getValue());
  std::optional<int64_t> shift = model.shift(e, model.tokenOf(*equation));
  const Equation *source = model.equation(name);
  if (!source)
    return refuse(fmt::format("{} depends on another matrix state", own));
  if (shift == 0) {
    Expr body = context.instantiate(*source, e->operands());
    return body ? visit(body) : refuse(fmt::format("{} needs {} at other indices", own, other));
  }
  bool isForward = model.state(equation->name).getDirection() == Direction::Forward;
  if (!model.state(name) || shift != (isForward ? -1 : 1))
    return refuse(fmt::format("{} needs {} at another token", own, other));
  for (auto [at, var] :
       llvm::zip_longest(e->operands().drop_front(), ArrayRef(equation->left).drop_front()))
    if (!at || !var || *at != context.index(*var))
      return refuse(
          fmt::format("{} needs {} at other indices: the transition is dense", own, other));
  LinearForm form;
  form[name] = context.real(1);
  return form;
}

std::optional<LinearForm> LinearForms::compute(Expr e) {
  auto map = [&](LinearForm form, llvm::function_ref<Expr(Expr)> fn) {
    for (auto &[name, coefficient] : form)
      coefficient = fn(coefficient);
    return form;
  };
  auto merge = [&](Expr a, Expr b,
                   llvm::function_ref<Expr(Expr, Expr)> fn) -> std::optional<LinearForm> {
    auto left = visit(a), right = visit(b);
    if (!left || !right)
      return std::nullopt;
    for (auto &[name, coefficient] : *right)
      left->insert({name, context.real(0)});
    for (auto &[name, coefficient] : *left)
      coefficient = fn(coefficient, right->contains(name) ? (*right)[name] : context.real(0));
    return left;
  };
  auto scaled = [&](Expr part, llvm::function_ref<Expr(Expr)> fn) -> std::optional<LinearForm> {
    auto form = visit(part);
    return form ? std::optional(map(std::move(*form), fn)) : std::nullopt;
  };
  switch (e->kind()) {
  case ExprKind::Read:
    return read(e);
  case ExprKind::Unary:
    if (e->isUnary(UnaryFn::Neg))
      return scaled(e->operand(0), [&](Expr c) { return context.neg(c); });
    break;
  case ExprKind::Select:
    if (dependsOnCarry(e->operand(0)))
      break;
    return merge(e->operand(1), e->operand(2),
                 [&](Expr a, Expr b) { return context.select(e->operand(0), a, b); });
  case ExprKind::Binary: {
    Expr a = e->operand(0), b = e->operand(1);
    if (e->isBinary(BinaryFn::Add))
      return merge(a, b, [&](Expr x, Expr y) { return context.add(x, y); });
    if (e->isBinary(BinaryFn::Sub))
      return merge(a, b, [&](Expr x, Expr y) { return context.sub(x, y); });
    if (e->isBinary(BinaryFn::Mul) && !dependsOnCarry(a))
      return scaled(b, [&](Expr c) { return context.mul(a, c); });
    if (e->isBinary(BinaryFn::Mul) && !dependsOnCarry(b))
      return scaled(a, [&](Expr c) { return context.mul(c, b); });
    if (e->isBinary(BinaryFn::Div) && !dependsOnCarry(b))
      return scaled(a, [&](Expr c) { return context.div(c, b); });
    break;
  }
  case ExprKind::Reduce:
    return refuse(fmt::format("{} needs a reduction over states: the transition is dense",
                              std::string_view(equation->name.getValue())));
  default:
    break;
  }
  return refuse(
      fmt::format("{} is not linear in the states", std::string_view(equation->name.getValue())));
}

} // namespace seqmix
