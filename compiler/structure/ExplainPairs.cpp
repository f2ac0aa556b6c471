//===- ExplainPairs.cpp - reductions over pairs of positions, in words ----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ExplainText.h"
#include "compiler/structure/PairDomain.h"
#include "compiler/structure/Work.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

namespace {

/// What the domain lets a row look at.
std::string reach(PairsOp op) {
  PairDomain domain(op);
  if (!op.getDomain())
    return "every position";
  if (isCausal(op)) {
    if (auto back = farthestBack(op))
      return fmt::format("this and {} (a window)", countText(*back, "earlier position"));
    return "this and earlier positions (causal)";
  }
  return domain.sets.size() > 1 ? fmt::format("a union of {} sets of positions", domain.sets.size())
                                : "positions on both sides";
}

const char *words(PairKind kind) {
  switch (kind) {
  case PairKind::Sum:
    return "sum";
  case PairKind::Prod:
    return "prod";
  case PairKind::Min:
    return "min";
  case PairKind::Max:
  case PairKind::ScoreMax:
    return "max";
  case PairKind::Each:
    return "each";
  case PairKind::Places:
    return "places of the greatest";
  }
  llvm_unreachable("all kinds are covered");
}

class PairsExplainer {
public:
  PairsExplainer(ExplainText &text, PairsOp op) : text(text), context(text.context), op(op) {}

  void run() {
    std::string names;
    for (auto name : op.getNames().getAsRange<StringAttr>())
      names += (names.empty() ? "" : ", ") + name.str();
    text.os << fmt::format("\npairs ({}): ", names)
            << (op.getScore() ? "relative to the largest score of a row"
                              : "sums of weights as they are")
            << "\n";
    const char *label = "results";
    for (auto result : op.getOuts().getAsRange<PairResultAttr>()) {
      text.line(label, resultText(result));
      label = "";
    }
    if (op.getScore()) {
      text.line("score", text.show(partOf(*op.getScore())));
      if (text.options.isForDevice) {
        text.line("exponents",
                  "e = exp(score - m) with the largest score m of the row so far: never above 0");
      } else {
        text.line("exponents", "e = exp(score - m) with the row's largest score m: never above 0 "
                               "in the result; on the");
        text.line(
            "", "way at most 8, since sums are scaled anew when a score exceeds m so far by more");
      }
    }
    if (!text.options.isForDevice)
      explainFactored();
    text.line("domain", op.getDomain() ? text.show(partOf(*op.getDomain())) : "all pairs");
    text.line("", "a row looks at " + reach(op));
    if (!text.options.isForDevice)
      explainForm();
    Work work = workOf(text.model, op);
    text.line("work", fmt::format("{:.0f} operations and {:.0f} calls of functions for each pair",
                                  work.operations, work.functions));
    if (text.options.isForDevice)
      return;
    text.line("rejected", op.getScore() ? "scores in memory: as many numbers as there are pairs"
                                        : "weights in memory: as many numbers as there are pairs");
    if (op.getScore())
      text.line("", "a sweep for the maximum, then one for the sums: takes every score twice");
  }

private:
  ExplainText &text;
  ExprContext &context;
  PairsOp op;

  Expr partOf(int64_t number) { return context.import(op, number).body; }

  std::string resultText(PairResultAttr result) {
    std::string what;
    if (result.getKind() == PairKind::ScoreMax)
      what = "score";
    if (result.getWeight() >= 0)
      what = text.show(partOf(result.getWeight()));
    if (result.getValue() >= 0) {
      Expr value = partOf(result.getValue());
      if (what.empty() || !value->isReal(1))
        what += (what.empty() ? "" : " * ") + text.show(value);
    }
    auto over = cast<StringAttr>(op.getNames().getValue().back());
    return fmt::format("{} = {}[{}] {}", view(result.getProduced().getAttr()),
                       words(result.getKind()), view(over), what);
  }

  void explainFactored() {
    auto forms = op.getFactored();
    if (!forms)
      return;
    const char *label = "factored";
    bool bounded = true;
    for (auto form : forms->getAsRange<FactoredPartAttr>()) {
      text.line(label, text.show(partOf(form.getPart())));
      label = "";
      bounded &= form.getBounded();
    }
    text.line("", "each exponential is of one position: made once for it, not for each pair; two "
                  "terms of a sum");
    text.line("", "share a division");
    if (bounded) {
      text.line("", "taken always: ranges bound the exponents by 59 and the numerators by 2^40");
      return;
    }
    text.line("", "taken for tiles of a panel where no exponential exceeds 2^86 and no numerator "
                  "2^40 (f64: 2^860");
    text.line("", "and 2^200); elsewhere as written, which takes three to four times as long a "
                  "function");
  }

  std::string lanes(SweepOp sweep) {
    if (op.getRows().size() < 2 || !sweep)
      return "which are the lanes";
    auto lane = cast<StringAttr>(op.getNames()[sweep.getLanes()]);
    return fmt::format("lanes along {}, the others one by one", view(lane));
  }

  void explainForm() {
    SweepOp sweep;
    if (text.options.kernel)
      text.options.kernel.walk([&](SweepOp other) {
        if (other.getOfAttr() == cast<PairResultAttr>(op.getOuts()[0]).getProduced())
          sweep = other;
      });
    std::string sizes = sweep ? fmt::format(" (tiles of {} positions; panels of {} of rows)",
                                            static_cast<int64_t>(sweep.getTile()),
                                            countText(sweep.getVectors(), "vector"))
                              : "";
    if (text.options.kernel && text.options.kernel.getChunk() == 1)
      text.line("form", "one row after the other, since what a row reads is made from those before "
                        "it; columns and features are lanes");
    else
      text.line("form", "tiles of s for a chunk of rows, " + lanes(sweep) + sizes);
    for (auto result : op.getOuts().getAsRange<PairResultAttr>())
      if (result.getKind() == PairKind::Places)
        text.line("", "the greatest are kept while all positions pass; what is restricted to "
                      "them then reads those alone");
    text.line("", "only tiles that the domain touches are visited; those inside it need no mask");
  }
};

} // namespace

void explainPairs(ExplainText &text, PairsOp op) { PairsExplainer(text, op).run(); }

} // namespace seqmix
