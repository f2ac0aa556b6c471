//===- ExplainText.cpp - the words of explanations ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ExplainText.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

ExplainText::ExplainText(MixerOp mixer, llvm::raw_ostream &os, const ExplainOptions &options)
    : mixer(mixer), model(mixer), context(model.exprs()), ranges(model), os(os), options(options) {
  for (auto group : mixer.getOps<RecurrenceOp>())
    for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>())
      inLoops.insert(member.getAttr());
}

void ExplainText::line(StringRef label, const std::string &text) {
  os << fmt::format("  {:<10}{}\n", std::string_view(label), text);
}

std::string ExplainText::show(Expr e) { return toString(context, inlineMade(e)); }

// Definitions that the compiler added have a dot in their names; people want to see what they
// are.
Expr ExplainText::inlineMade(Expr e) {
  return context.inlineReads(e, [&](StringAttr name) -> const Equation * {
    auto found = model.definitions().find(name);
    bool isMade = name.getValue().contains('.') && !inLoops.contains(name);
    return found != model.definitions().end() && isMade ? &found->second : nullptr;
  });
}

std::string ExplainText::leftText(const Equation &equation, bool isState) {
  SmallVector<Expr> left;
  for (Var var : ArrayRef(equation.left).drop_front(isState))
    left.push_back(context.index(var));
  std::string text = toString(context, context.read(equation.name, left));
  return isState && left.empty() ? text + "[]" : text;
}

std::string ExplainText::sizes(ArrayAttr dims) {
  std::string text;
  for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
    text += fmt::format("{}{}", text.empty() ? "" : " x ", model.size(dim.getAttr()));
  return text.empty() ? "a scalar" : text;
}

const char *ExplainText::words(Direction direction) {
  return direction == Direction::Forward ? "forwards" : "backwards (no step)";
}

// Not under a reduction, whose own variables would show.
static bool isOpen(Expr e) {
  return llvm::all_of(e->freeVars(), [](Var v) { return v->level == 0; });
}

// The score in `score - c`, if c is the maximum of that score over one of its indices where that is
// finite: what softmax and logsumexp subtract. Else null.
static Expr withoutMaximum(ExprContext &context, Expr e) {
  if (!e->isBinary(BinaryFn::Sub) || !e->operand(1)->is(ExprKind::Select))
    return nullptr;
  Expr score = e->operand(0), largest = e->operand(1)->operand(1);
  if (!largest->isReduce(ReduceKind::Max) || largest->operands().size() != 1 ||
      !e->operand(1)->operand(2)->isReal(0))
    return nullptr;
  OpenedExpr o = context.open(largest);
  for (Var var : score->freeVars())
    if (o.vars.size() == 1 && var->dim == o.vars[0]->dim &&
        context.rename(score, var, o.vars[0]) == context.rename(o.body, var, o.vars[0]))
      return score;
  return nullptr;
}

std::string ExplainText::exponentFact(Expr e) {
  Interval range = ranges.of(e);
  if (Expr score = withoutMaximum(context, e))
    return fmt::format("{} less its maximum <= 0", show(score));
  if (range.high <= 0)
    return fmt::format("{} <= 0", show(e));
  if (range.high < 80)
    return fmt::format("{} <= {:.4g}", show(e), range.high);
  return fmt::format("{} has no known bound, as in the equation", show(e));
}

std::string countText(int64_t count, const char *what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void ExplainText::explainExponents(ArrayRef<Expr> exponents) {
  Facts distinct, facts;
  for (Expr e : exponents) {
    if (!explained.insert(e).second)
      continue;
    distinct.insert(exponentFact(e));
    if (ranges.of(e).high <= 0)
      ranges.explain(e, facts);
  }
  if (distinct.list.empty())
    return;
  line("exponents", fmt::format("{}", fmt::join(distinct.list, "; ")));
  if (!facts.list.empty())
    line("", fmt::format("because {}", fmt::join(facts.list, ", ")));
}

void ExplainText::collectExponents(Expr e, SmallVectorImpl<Expr> &exponents) {
  Expr whole = context.inlineReads(e, [&](StringAttr name) -> const Equation * {
    auto found = model.definitions().find(name);
    return found != model.definitions().end() ? &found->second : nullptr;
  });
  context.walk(whole, [&](Expr node) {
    if (node->isUnary(UnaryFn::Exp) && !llvm::is_contained(exponents, node->operand(0)) &&
        isOpen(node))
      exponents.push_back(node->operand(0));
  });
}

} // namespace seqmix
