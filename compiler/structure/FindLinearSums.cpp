//===- FindLinearSums.cpp - sums over positions as states -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/SumStates.h"
#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/SaveAndRestore.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_FINDLINEARSUMS
#include "compiler/Passes.h.inc"

namespace {

/// A state pays where the work for a token is less than that for the pairs of a token in a long
/// sequence: half of this many. A score that another sum takes over the pairs anyway is free there.
constexpr double kLongSequence = 8192;

class LinearSums {
public:
  explicit LinearSums(MixerOp mixer)
      : model(mixer), context(model.exprs()), token(tokenDimOf(mixer)), states(model) {
    if (!token)
      return;
    anyRow = context.freshVar(token.getAttr(), context.attr("t"));
    anyOver = context.freshVar(token.getAttr(), context.attr("s"));
  }

  void run() {
    if (!token)
      return;
    SmallVector<StringAttr> names;
    for (auto &[name, equation] : model.definitions())
      if (positions(equation) == 1)
        names.push_back(name);
    for (auto &[name, equation] : model.nexts())
      names.push_back(name);
    isDry = true;
    for (size_t known = 1; known != scoresOfPairs.size();) {
      known = scoresOfPairs.size();
      for (StringAttr name : names) {
        Equation equation = *model.equation(name);
        llvm::SaveAndRestore<const Equation *> within(current, &equation);
        rewrite(equation.body);
      }
    }
    isDry = false;
    for (StringAttr name : names) {
      Equation equation = *model.equation(name);
      llvm::SaveAndRestore<const Equation *> within(current, &equation);
      states.setOwner(equation);
      Expr body = rewrite(equation.body);
      model.equation(name)->body = body;
    }
    if (!notes.empty())
      model.mixer()->setAttr(
          "seq.over_pairs",
          Builder(context.mlirContext()).getStrArrayAttr(llvm::to_vector_of<StringRef>(notes)));
    if (states.size() == 0)
      return;
    states.finish();
    model.write();
  }

private:
  Model model;
  ExprContext &context;
  FlatSymbolRefAttr token;
  const Equation *current = nullptr;
  SumStates states;
  std::vector<std::string> notes; // why other sums stay
  Var anyRow = nullptr, anyOver = nullptr;
  llvm::DenseSet<Expr> scoresOfPairs; // over anyRow and anyOver, of sums that stay
  bool isDry = false;                 // to find those only

  bool isRuntime(Var var) const { return model.isRuntime(var->dim); }
  int64_t positions(const Equation &equation) const {
    return llvm::count_if(equation.left, [&](Var var) { return isRuntime(var); });
  }

  //===--- expressions ----------------------------------------------------===//

  Expr rewrite(Expr e) {
    if (e->is(ExprKind::Reduce)) {
      OpenedExpr o = context.open(e);
      if (llvm::any_of(o.vars, [&](Var var) { return isRuntime(var); })) {
        Expr linear = e->isReduce(ReduceKind::Sum) ? linearise(o) : nullptr;
        return linear ? linear : e;
      }
      Expr body = rewrite(o.body);
      return body == o.body ? e : context.reduce(e->reduceKind(), o.vars, body, o.domain);
    }
    if (e->is(ExprKind::Map)) {
      OpenedExpr o = context.open(e);
      if (isRuntime(o.vars[0]))
        return e;
      Expr body = rewrite(o.body);
      return body == o.body
                 ? e
                 : context.map(e->mapKind(), o.vars[0], o.at, body, o.domain, e->count());
    }
    SmallVector<Expr> operands;
    for (Expr operand : e->operands())
      operands.push_back(rewrite(operand));
    return llvm::equal(operands, e->operands()) ? e : context.withOperands(e, operands);
  }

  /// The sum as one of reads of states, or null.
  Expr linearise(const OpenedExpr &sum) {
    SmallVector<Var> rank;
    Var over = nullptr;
    for (Var var : sum.vars) {
      if (!isRuntime(var))
        rank.push_back(var);
      else if (over)
        return nullptr;
      else
        over = var;
    }
    auto pairs = [&](StringAttr name) -> const Equation * {
      auto found = model.definitions().find(name);
      bool isOfPairs = found != model.definitions().end() && positions(found->second) > 1;
      return isOfPairs ? &found->second : nullptr;
    };
    Expr body = context.inlineReads(sum.body, pairs);
    Expr domain = sum.domain ? context.inlineReads(sum.domain, pairs) : nullptr;
    Var row = nullptr;
    for (Expr part : {body, domain})
      if (part)
        for (Var var : part->freeVars())
          if (var != over && isRuntime(var)) {
            if (row && row != var)
              return nullptr;
            row = var;
          }
    // A sum over another length, or one for all tokens.
    if (!row || row->dim != over->dim || over->dim != token.getAttr())
      return nullptr;

    size_t before = states.size();
    body = rewrite(body);
    std::string reason;
    SeparableSum separable(model, row, over);
    auto terms = separable.run(body, domain, rank, reason);
    bool isState = terms && pays(body, row, over, *terms, reason);
    // A state varies over all batch dims, and so would what is read from it.
    if (!variesOverWholeBatch(current->name)) {
      reason = "it varies over fewer batch dims than a state";
      isState = false;
    }
    if (isDry) {
      if (!isState)
        scoresOfPairs.insert_range(scores(body, row, over));
      return nullptr;
    }
    Expr result = nullptr;
    if (isState) {
      result = context.real(0);
      for (const SeparableTerm &term : *terms) {
        Expr read = states.read(term, reason);
        result = read && result ? context.add(result, read) : nullptr;
      }
    }
    if (!result) {
      states.dropTo(before);
      note(reason);
      return nullptr;
    }
    // Other equations read states at their own token only.
    return row == model.tokenOf(*current) ? result : states.named(result, "sum");
  }

  bool variesOverWholeBatch(StringAttr name) {
    auto own = batchDimsOf(model.mixer(), name.getValue());
    auto isWhole = [](BatchAttr batch) { return batch.getDiv() == 1; };
    auto all = llvm::count_if(model.mixer().getOps<DimOp>(),
                              [](DimOp dim) { return dim.getKind() == DimKind::Batch; });
    return static_cast<int64_t>(own.size()) == all && llvm::all_of(own, isWhole);
  }

  void note(const std::string &reason) {
    std::string text = fmt::format("{}: {}", std::string_view(current->name.getValue()), reason);
    if (!llvm::is_contained(notes, text))
      notes.push_back(std::move(text));
  }

  //===--- cost -----------------------------------------------------------===//

  double elements(ArrayRef<Var> vars) {
    double count = 1;
    for (Var var : vars)
      if (!isRuntime(var))
        count *= double(model.size(var->dim));
    return count;
  }

  /// Reductions of a term at a position and one at another, whatever the positions are called.
  SmallVector<Expr> scores(Expr body, Var row, Var over) {
    SmallVector<Expr> found;
    context.walk(body, [&](Expr node) {
      if (node->is(ExprKind::Reduce) && node->dependsOn(row) && node->dependsOn(over))
        found.push_back(context.substitute(
            node, {{row, context.index(anyRow)}, {over, context.index(anyOver)}}));
    });
    return found;
  }

  bool pays(Expr body, Var row, Var over, ArrayRef<SeparableTerm> terms, std::string &reason) {
    double pair = 0, known = 0, state = 0;
    for (Expr score : scores(body, row, over))
      (scoresOfPairs.contains(score) ? known : pair) += elements(score->boundVars());
    SmallVector<Var> features;
    llvm::copy_if(body->freeVars(), std::back_inserter(features),
                  [&](Var var) { return !isRuntime(var); });
    pair += elements(features);
    for (const SeparableTerm &term : terms)
      state += elements(states.dimsOf(term));
    constexpr double most = kLongSequence / 2;
    if (state <= most * pair)
      return true;
    reason =
        fmt::format("its rank makes a state of {:.0f} elements, more than pairs cost{}", state,
                    state > most * (pair + known) ? "" : " where another sum has their scores");
    return false;
  }
};

class FindLinearSums : public impl::FindLinearSumsBase<FindLinearSums> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      LinearSums(mixer).run();
  }
};

} // namespace
} // namespace seqmix
