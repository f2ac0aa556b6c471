//===- UnrollWindows.cpp - sums over a window as sums of tokens ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/Unroll.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_UNROLLWINDOWS
#include "compiler/Passes.h.inc"

namespace {

/// A longer window is a convolution of its own class, not a handful of taps.
constexpr int64_t kLongestWindow = 64;

class Unroller {
public:
  explicit Unroller(MixerOp mixer) : model(mixer), context(model.exprs()) {}

  void run() {
    bool changed = false;
    for (auto *equations : {&model.definitions(), &model.nexts()})
      for (auto &[name, equation] : *equations) {
        Expr body = context.rewrite(
            equation.body, [&](Expr e) { return e->is(ExprKind::Reduce) ? unroll(e) : e; });
        changed |= body != equation.body;
        equation.body = body;
      }
    if (changed)
      model.write();
  }

private:
  Model model;
  ExprContext &context;

  /// Whether a position is a distance from the index of a run-time dim, or from nothing: other
  /// elements of a sum over it are in memory anyway, so that it stays a loop.
  bool isWindow(Expr position, ArrayRef<Var> bound) {
    bool isMoved = false, isNear = false;
    context.walk(position, [&](Expr e) {
      if (!e->is(ExprKind::Index) || llvm::is_contained(bound, e->var()))
        return;
      isMoved = true;
      isNear |= model.isRuntime(e->var()->dim) && !context.sub(position, e)->dependsOn(e->var());
    });
    return isNear || !isMoved;
  }

  /// The first variable that moves the token of a read.
  Var windowVar(const OpenedExpr &opened) {
    Var found = nullptr;
    auto visit = [&](Expr e) {
      if (found || !e->is(ExprKind::Read) || !model.variesOverTokens(e->symbol()) ||
          !isWindow(e->operand(0), opened.vars))
        return;
      for (Var var : opened.vars)
        if (e->operand(0)->dependsOn(var) && !model.isRuntime(var->dim) &&
            model.size(var->dim) <= kLongestWindow)
          found = var;
    };
    context.walk(opened.body, visit);
    if (opened.domain)
      context.walk(opened.domain, visit);
    return found;
  }

  Expr unroll(Expr e) {
    OpenedExpr opened = context.open(e);
    Var var = windowVar(opened);
    if (!var)
      return e;
    // The parts may have further windows.
    return context.rewrite(unrollOver(model, e->reduceKind(), opened, var), [&](Expr part) {
      return part->is(ExprKind::Reduce) ? unroll(part) : part;
    });
  }
};

class UnrollWindows : public impl::UnrollWindowsBase<UnrollWindows> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      Unroller(mixer).run();
  }
};

} // namespace
} // namespace seqmix
