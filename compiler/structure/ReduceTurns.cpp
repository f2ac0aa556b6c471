//===- ReduceTurns.cpp - great angles modulo whole turns -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/Turns.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_REDUCETURNS
#include "compiler/Passes.h.inc"

namespace {

class TurnReducer {
public:
  explicit TurnReducer(MixerOp mixer) : model(mixer), context(model.exprs()) {}

  void run() {
    bool changed = false;
    auto reduce = [&](Equation &equation) {
      Expr body = context.rewrite(equation.body, [&](Expr e) { return reduced(e); });
      changed |= body != equation.body;
      equation.body = body;
    };
    for (auto &[name, equation] : model.definitions())
      reduce(equation);
    for (auto &[name, equation] : model.nexts())
      reduce(equation);
    if (changed)
      model.write();
  }

private:
  Model model;
  ExprContext &context;

  Expr reduced(Expr e) {
    if (!e->isUnary(UnaryFn::Cos) && !e->isUnary(UnaryFn::Sin))
      return e;
    auto turns = Turns::of(context, e->operand(0));
    // A lone factor is rarely great.
    if (!turns || turns->factors.size() < 2)
      return e;
    Expr angle = isSmall(*turns) ? turns->reducedInReals(context) : turns->reduced(context);
    return context.unary(e->unaryFn(), angle);
  }

  /// Whether f32 holds the numbers above and below.
  bool isSmall(const Turns &turns) {
    constexpr double kMost = 1 << 24;
    double most = std::abs(static_cast<double>(turns.above));
    for (Expr factor : turns.factors) {
      if (!factor->is(ExprKind::Index) || model.isRuntime(factor->var()->dim))
        return false;
      most *= static_cast<double>(model.size(factor->var()->dim));
    }
    return turns.divisors.empty() && most < kMost && 2 * static_cast<double>(turns.below) < kMost;
  }
};

class ReduceTurns : public impl::ReduceTurnsBase<ReduceTurns> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      TurnReducer(mixer).run();
  }
};

} // namespace
} // namespace seqmix
