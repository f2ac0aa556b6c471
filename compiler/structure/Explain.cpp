//===- Explain.cpp - what was derived from a mixer, in words ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Explain.h"

#include "compiler/structure/ExplainText.h"
#include "compiler/structure/Summary.h"
#include "compiler/structure/Work.h"
#include "dialect/Carry.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

static std::string schedule(KernelOp kernel) {
  if (!kernel)
    return "";
  std::string text = fmt::format("; {} a chunk", countText(kernel.getChunk(), "token"));
  if (auto split = kernel.getSplitAttr())
    text +=
        fmt::format("; tasks of {} elements of {}", *kernel.getSplitSize(), view(split.getAttr()));
  return text;
}

static void explainState(ExplainText &text, StateOp state) {
  for (auto affine : text.mixer.getOps<AffineOp>())
    if (affine.makes(state.getSymNameAttr())) {
      // Coupled states are explained with the first one.
      if (affine.getStateAttr().getAttr() == state.getSymNameAttr())
        explainAffine(text, state, affine);
      return;
    }
  for (auto group : text.mixer.getOps<RecurrenceOp>()) {
    auto states = llvm::to_vector(group.getStates().getAsRange<FlatSymbolRefAttr>());
    if (states.front().getAttr() == state.getSymNameAttr())
      return explainGroup(text, group);
  }
}

// Definitions outside the recurrences; compiler-made ones show where they are used.
static void explainAround(ExplainText &text) {
  text.os << "\n";
  StringRef label = "around";
  for (auto &[name, equation] : text.model.definitions()) {
    if (text.inLoops.contains(name) || name.getValue().contains('.'))
      continue;
    text.line(label,
              fmt::format("{} = {}{}", text.leftText(equation, false), text.show(equation.body),
                          text.model.tokenOf(equation) ? "" : "   (once)"));
    label = "";
  }
  SmallVector<Expr> exponents;
  for (auto &[name, equation] : text.model.definitions())
    if (!text.inLoops.contains(name) && !name.getValue().contains('.'))
      text.collectExponents(equation.body, exponents);
  text.explainExponents(exponents);
}

static void explainCarry(ExplainText &text) {
  double total = 8, eachToken = 0;
  std::string components;
  bool isDouble = text.mixer.getCompute().isF64();
  for (const CarryComponent &component : carryComponents(text.mixer)) {
    double bytes = component.isInteger || !isDouble ? 4 : 8;
    if (component.storage)
      bytes = component.storage.isInteger(1) ? 1 : component.storage.getIntOrFloatBitWidth() / 8;
    std::string shape;
    bool isEachToken = false;
    for (int64_t size : component.shape) {
      bytes *= size < 0 ? 1 : static_cast<double>(size);
      shape += (shape.empty() ? "" : ", ") + (size < 0 ? "rows" : std::to_string(size));
      isEachToken |= size < 0;
    }
    (isEachToken ? eachToken : total) += bytes;
    text.line(components.empty() ? "carry" : "",
              fmt::format("{} [{}]: {:.0f} bytes{}", component.name, shape, bytes,
                          isEachToken ? " for each token so far" : ""));
    components += component.name;
  }
  std::string growing =
      eachToken > 0 ? fmt::format(", and {:.0f} for each token so far", eachToken) : "";
  text.line(components.empty() ? "carry" : "",
            fmt::format("position: 8 bytes; together {:.0f} bytes for each batch element{}", total,
                        growing));
  if (auto reason = text.mixer.getNoStepAttr())
    text.line("step", fmt::format("none: {}", view(reason)));
}

// Coefficients without the conditions on which a product of them may be used (TransitionBounds.h).
static Expr withoutChecks(ExprContext &context, Expr body) {
  return context.rewrite(body, [](Expr e) {
    bool isCheck =
        e->is(ExprKind::Select) && e->operand(2)->isReal(std::numeric_limits<double>::infinity());
    return isCheck ? e->operand(1) : e;
  });
}

// The products that states are multiplied with, and what is known of their factors.
static void explainProducts(ExplainText &text, Model &model, ArrayRef<StringAttr> products) {
  StringAttr said;
  for (StringAttr product : products) {
    const Equation &equation = *model.equation(product);
    Expr body = model.exprs().inlineReads(equation.body, [&](StringAttr name) {
      return name.getValue().contains('.') && !model.state(name) ? model.equation(name) : nullptr;
    });
    body = withoutChecks(model.exprs(), body);
    text.line("", fmt::format("  with {} = {}", text.leftText(equation, false),
                              toString(model.exprs(), body)));
    auto bound = model.state(product)->getAttrOfType<StringAttr>("seq.bound");
    if (bound && bound != said)
      text.line("", fmt::format("  its factors are {}", view(bound)));
    said = bound;
  }
}

// Whether and how a sequence can be cut into segments that run at the same time.
static void explainSegments(ExplainText &text) {
  if (auto reason = text.mixer->getAttrOfType<StringAttr>("seq.unsplit")) {
    text.line("segments", fmt::format("none, a sequence runs in one piece: {}", view(reason)));
    return;
  }
  MixerOp summary = summaryOf(text.mixer);
  if (!summary) {
    text.line("segments", "none: no state goes from token to token");
    return;
  }
  text.line(
      "segments",
      fmt::format("a call with fewer tasks than threads cuts long sequences; the summary of a "
                  "segment takes {:.2f} of the work",
                  summaryWork(summary)));
  Model model(summary);
  llvm::MapVector<StringAttr, SmallVector<TransitionOp>> into;
  for (auto transition : summary.getOps<TransitionOp>())
    into[transition.getToAttr().getAttr()].push_back(transition);
  for (auto &[to, transitions] : into) {
    std::string sum;
    SmallVector<StringAttr> products;
    for (TransitionOp transition : transitions) {
      sum += sum.empty() ? "" : " + ";
      for (auto factor : transition.getFactors().getAsRange<FlatSymbolRefAttr>()) {
        products.push_back(factor.getAttr());
        sum += fmt::format("{} * ", view(factor.getAttr()));
      }
      sum += view(transition.getFromAttr().getAttr());
    }
    text.line("", fmt::format("{} behind one: {} in front of it, and what it is when it starts "
                              "from zero",
                              view(to), sum));
    explainProducts(text, model, products);
  }
}

static void explainChunk(ExplainText &text) {
  KernelOp kernel = text.options.kernel;
  auto why = kernel ? kernel->getAttrOfType<StringAttr>("seq.chunk_reason") : StringAttr();
  if (why)
    text.line("chunk", fmt::format("{}: {}", countText(kernel.getChunk(), "token"), view(why)));
}

static void explainWork(ExplainText &text) {
  Work work = workOf(text.model);
  const char *besides = !text.mixer.getOps<PairsOp>().empty()         ? ", besides the pairs"
                        : !text.mixer.getOps<ConvolutionOp>().empty() ? ", besides the convolutions"
                                                                      : "";
  text.line("work",
            fmt::format("{:.0f} operations and {:.0f} calls of functions, {:.0f} bytes in and "
                        "{:.0f} bytes out, for each token{}",
                        work.operations, work.functions, work.bytesIn, work.bytesOut, besides));
  double bytes = work.bytesIn + work.bytesOut;
  if (bytes > 0 && !*besides)
    text.line("",
              fmt::format("{:.1f} operations a byte", (work.operations + work.functions) / bytes));
}

void explain(MixerOp mixer, llvm::raw_ostream &os, const ExplainOptions &options) {
  ExplainText text(mixer, os, options);
  llvm::StringRef name = options.name.empty() ? mixer.getSymName() : options.name;
  os << fmt::format("mixer {}   (values in {}{})\n", std::string_view(name),
                    mixer.getCompute().isF64() ? "f64" : "f32", schedule(text.options.kernel));
  explainSums(text);
  for (auto state : mixer.getOps<StateOp>())
    explainState(text, state);
  for (auto pairs : mixer.getOps<PairsOp>())
    explainPairs(text, pairs);
  for (auto convolution : mixer.getOps<ConvolutionOp>())
    explainConvolution(text, convolution);
  if (mixer.getOps<StateOp>().empty() && mixer.getOps<PairsOp>().empty() &&
      mixer.getOps<ConvolutionOp>().empty())
    os << "\nno states: every definition is made for all tokens at once\n";
  explainAround(text);
  explainCarry(text);
  if (!options.isForDevice) {
    explainSegments(text);
    explainChunk(text);
  }
  explainWork(text);
  os << "\n";
}

} // namespace seqmix
