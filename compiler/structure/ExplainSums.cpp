//===- ExplainSums.cpp - sums over positions in words ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ExplainText.h"
#include "dialect/Carry.h"

#include "llvm/ADT/MapVector.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

/// Which sequences take the expanded form.
static std::string formRule(ArrayRef<int64_t> own, ArrayRef<int64_t> expanded, bool makesEarlier) {
  if (!makesEarlier)
    return "sequences without earlier positions take the latter, others do not: what they read "
           "there "
           "is made of more than rows of the carry, or their sums follow from each other";
  return fmt::format(
      "each sequence takes what is fewer for its lengths: the latter without earlier "
      "positions, and behind many of them from {} tokens on",
      expanded[1] / (own[0] - expanded[0]) + 1);
}

void explainSums(ExplainText &text) {
  bool isFirst = true;
  auto line = [&](StringRef label, const std::string &words) {
    if (isFirst)
      text.os << "\n";
    isFirst = false;
    text.line(label, words);
  };
  struct Made {
    bool isForward = false, isBackward = false;
    std::string states;
  };
  llvm::MapVector<StringAttr, Made> owners;
  for (auto state : text.mixer.getOps<StateOp>())
    if (auto owner = state->getAttrOfType<StringAttr>("seq.sum_of")) {
      Made &made = owners[owner];
      (state.getDirection() == Direction::Forward ? made.isForward : made.isBackward) = true;
      made.states += fmt::format(
          "{}{} ({})", made.states.empty() ? "" : ", ", std::string_view(state.getSymName()),
          state.getDims().empty() ? "a scalar" : text.sizes(state.getDims()));
    }
  StringRef label = "sums";
  for (auto &[owner, made] : owners) {
    const char *domain = !made.isBackward  ? "with a causal domain, so a recurrence"
                         : !made.isForward ? "with an anticausal domain, so a recurrence"
                                           : "on both sides, so a recurrence each way";
    line(label, fmt::format("{}: low rank {}, of {}", view(owner), domain, made.states));
    label = "";
  }
  auto list = [&](StringRef label, StringRef attribute) {
    auto lines = text.mixer->getAttrOfType<ArrayAttr>(attribute);
    for (Attribute words : lines ? lines.getValue() : ArrayRef<Attribute>()) {
      line(label, std::string(view(cast<StringAttr>(words))));
      label = "";
    }
  };
  list("pairs", "seq.over_pairs");
  list("rows", "seq.latent_rows");
  if (MixerOp expanded = expandedFormOf(text.mixer))
    line("", formRule(*text.mixer.getFormProducts(), *expanded.getFormProducts(),
                      text.options.makesEarlierRows));
}

} // namespace seqmix
