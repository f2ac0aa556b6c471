//===- ExplainConvolution.cpp - sums over distances, in words --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ExplainText.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
void explainConvolution(ExplainText &text, ConvolutionOp op) {
  auto name = [](LagOperandAttr operand) { return view(operand.getSymbol().getAttr()); };
  auto show = [&](LagOperandAttr operand) {
    Equation *made = text.model.equation(operand.getSymbol().getAttr());
    return made ? fmt::format("{} = {}", text.leftText(*made, false), text.show(made->body))
                : std::string(name(operand));
  };
  text.os << fmt::format("\nconvolution {}: the weights depend on the distance n = t - s alone\n",
                         view(op.getProducedAttr().getAttr()));
  text.line("signal", show(op.getSignal()));
  auto reach = [](int64_t from, std::optional<int64_t> to) {
    return to ? fmt::format("distances {} to {}", from, *to)
              : fmt::format("all distances from {} on", from);
  };
  std::optional<int64_t> first = op.getFirst(), last = op.getLast();
  if (auto past = op.getPast())
    text.line("past", fmt::format("{}, {}", show(*past),
                                  reach(std::max<int64_t>(first.value_or(0), 0), last)));
  if (auto ahead = op.getAhead())
    text.line("ahead", fmt::format("{}, {}", show(*ahead),
                                   reach(std::max<int64_t>(1, -last.value_or(-1)),
                                         first ? std::optional(-*first) : std::nullopt)));
  ConvolveOp step;
  if (text.options.kernel)
    text.options.kernel.walk([&](ConvolveOp other) {
      if (other.getOfAttr() == op.getProducedAttr())
        step = other;
    });
  text.line("form", "direct: a window of the signal in registers, features as lanes");
  if (step && step.getTransforms())
    text.line("",
              "or Fourier transforms of the features side by side, where they cost less: chosen "
              "by the length at run time");
  else
    text.line("rejected", "Fourier transforms: so few distances cost less at every length");
}

} // namespace seqmix
