//===- ExplainLoops.cpp - recurrences token by token in words -----------------===//
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
namespace {

static const char *words(StateClass stateClass, ExprContext &context, Expr body) {
  bool hasMinimum = false, hasLogarithm = false;
  context.walk(body, [&](Expr e) {
    hasMinimum |= e->isBinary(BinaryFn::Min);
    hasLogarithm |= e->isBinary(BinaryFn::LogAddExp);
  });
  switch (stateClass) {
  case StateClass::Elementwise:
    return "elementwise affine";
  case StateClass::Selective:
    return "selective: elementwise affine, the decay over several indices";
  case StateClass::CoupledLinear:
    return "linear, a few elements coupled at each index";
  case StateClass::DenseLinear:
    return "linear with a dense transition";
  case StateClass::Stabilised:
    return hasLogarithm ? "a sum of exponentials carried as its logarithm"
           : hasMinimum ? "minimum-carried"
                        : "maximum-carried (stabiliser)";
  case StateClass::NonlinearDiagonal:
    return "nonlinear, diagonal Jacobian";
  case StateClass::NonlinearDense:
    return "nonlinear, dense Jacobian";
  }
  llvm_unreachable("class");
}

class LoopExplainer {
public:
  explicit LoopExplainer(ExplainText &shared) : shared(shared) {}

  void run(RecurrenceOp group) {
    auto states = llvm::to_vector(group.getStates().getAsRange<FlatSymbolRefAttr>());
    std::string names;
    for (FlatSymbolRefAttr name : states)
      names += fmt::format("{}{}", names.empty() ? "" : ", ",
                           shared.leftText(*model.equation(name.getAttr()), true));
    StateOp first = model.state(states.front().getAttr());
    shared.os << fmt::format(
        "\nstate{} {}: {}, {}\n", states.size() > 1 ? "s" : "", names,
        words(group.getStateClass(), context, model.equation(states.front().getAttr())->body),
        ExplainText::words(group.getDirection()));
    StringRef label = "equations";
    for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>()) {
      const Equation &equation = *model.equation(member.getAttr());
      line(label, fmt::format("{} = {}", shared.leftText(equation, false),
                              toString(context, equation.body)));
      label = "";
    }
    line("shape", fmt::format("{}", shared.sizes(first.getDims())));
    if (!shared.options.isForDevice)
      explainLoop(group, first);
    explainExponents(group);
    if (shared.options.isForDevice)
      return;
    if (auto reason = first->getAttrOfType<StringAttr>("seq.not_affine"))
      line("rejected", fmt::format("block form: {}", view(reason)));
    if (group.getStateClass() == StateClass::NonlinearDense ||
        group.getStateClass() == StateClass::NonlinearDiagonal)
      line("", "parallel scan: the transition is not linear in the state");
    if (group.getStateClass() == StateClass::DenseLinear)
      line("", "parallel scan: products of dense transitions cost more than the loop");
  }

private:
  void explainLoop(RecurrenceOp group, StateOp state) {
    std::string text = "token by token";
    if (auto lanes = group.getLanesAttr())
      text += fmt::format(", lanes over {} ({}): its elements are independent",
                          view(lanes.getAttr()), model.size(lanes.getAttr()));
    else if (state.getDims().empty())
      text += ", one scalar a batch element";
    else
      text += ", each equation for all its elements before the next: no index is independent of "
              "the others";
    line("form", text);
    auto members = llvm::to_vector(group.getMembers().getAsRange<FlatSymbolRefAttr>());
    auto isJoined = [&](FlatSymbolRefAttr member) {
      return !model.state(member.getAttr()) &&
             model.equation(member.getAttr())->body->is(ExprKind::Reduce);
    };
    auto joined = llvm::find_if(members, isJoined);
    if (joined != members.end() && state.getDims().size() > 1)
      line("", fmt::format("the state is never stored for all tokens: {} is made in the loop",
                           view(joined->getAttr())));
  }

  void explainExponents(RecurrenceOp group) {
    SmallVector<Expr> exponents;
    for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>())
      shared.collectExponents(model.equation(member.getAttr())->body, exponents);
    shared.explainExponents(exponents);
  }

  // The shared parts, under their own names.
  ExplainText &shared;
  Model &model = shared.model;
  ExprContext &context = shared.context;

  void line(StringRef label, const std::string &text) { shared.line(label, text); }
};

} // namespace

void explainGroup(ExplainText &text, RecurrenceOp group) { LoopExplainer(text).run(group); }

} // namespace seqmix
