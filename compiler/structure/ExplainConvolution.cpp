//===- ExplainConvolution.cpp - sums over distances, in words --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ConvolutionCost.h"
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
  if (text.options.isForDevice)
    return;
  auto least = leastTransformed(op);
  text.line("form", fmt::format("direct{}: a window of the signal in registers, features as lanes",
                                least ? fmt::format(" below about {} tokens", *least) : ""));
  if (least)
    text.line("", "from there on Fourier transforms of the features side by side; the length "
                  "decides at run time");
  std::string costs;
  for (int64_t tokens : {64, 256, 1024, 4096, 16384, 65536}) {
    ConvolutionCost cost(op, tokens);
    double each = static_cast<double>(tokens);
    costs += fmt::format("{}{}: {:.0f} or {:.0f}", costs.empty() ? "" : ", ", tokens,
                         cost.direct / each, cost.transforms / each);
  }
  text.line("costs", "products for each token and feature, direct or by transforms, at lengths");
  text.line("", costs);
  if (!least)
    text.line("rejected", "Fourier transforms: so few distances cost less at every length");
  text.line("rejected",
            "a recurrence: the weights are no exponentials that fall with the distance, "
            "as far as the equation shows");
}

} // namespace seqmix
