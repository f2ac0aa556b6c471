//===- Coverage.cpp -----------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Coverage.h"

#include "compiler/Pipeline.h"
#include "dialect/Carry.h"

#include <fmt/format.h>
#include <set>

using namespace mlir;

namespace seqmix::run {

static void addWritten(seq::MixerOp mixer, std::set<std::string> &features) {
  unsigned states = 0;
  for (auto state : mixer.getOps<seq::StateOp>()) {
    ++states;
    features.insert(fmt::format("written: state of rank {}", state.getDims().size()));
    if (state.getDirection() == seq::Direction::Backward)
      features.insert("written: backward state");
  }
  features.insert(fmt::format("written: {} states", states));
  for (const seq::CarryComponent &component : seq::carryComponents(mixer))
    if (component.kind == seq::CarryComponent::Window)
      features.insert(isa<seq::TensorOp>(SymbolTable::lookupSymbolIn(mixer, component.of.getAttr()))
                          ? "written: window of an input"
                          : "written: window of a definition");
  if (!mixer.getNoStep())
    features.insert("written: step");
  mixer.walk([&](seq::ReduceOp reduce) {
    features.insert(
        fmt::format("written: reduction {}", seq::stringifyReduceKind(reduce.getKind()).str()));
  });
  mixer.walk([&](seq::MapOp map) {
    features.insert(fmt::format("written: map {}", seq::stringifyMapKind(map.getKind()).str()));
  });
}

static void addStructure(seq::MixerOp mixer, std::set<std::string> &features) {
  for (auto affine : mixer.getOps<seq::AffineOp>()) {
    unsigned rank = 0;
    for (auto update : affine.getUpdates().getAsRange<seq::UpdateAttr>())
      rank +=
          llvm::any_of(update.getTerms(), [](seq::TermAttr term) { return term.getRead() >= 0; });
    for (auto read : affine.getReads().getAsRange<seq::RowReadAttr>())
      features.insert(fmt::format("structure: affine, read of {}",
                                  seq::stringifyReadKind(read.getKind()).str()));
    if (int64_t count = affine.componentCount(); count > 1)
      features.insert(fmt::format("structure: {} coupled matrices{}", count,
                                  affine.getInner() ? " of one state" : ""));
    features.insert(fmt::format("structure: affine, rank {}{}{}", rank,
                                affine.getRowDecay() ? ", row decay" : "",
                                affine.getColDecay() ? ", column decay" : ""));
  }
  for (auto recurrence : mixer.getOps<seq::RecurrenceOp>())
    features.insert(
        fmt::format("structure: {}", seq::stringifyStateClass(recurrence.getStateClass()).str()));
}

std::vector<std::string> coverageOf(ModuleOp module, const Options &options) {
  std::set<std::string> features;
  for (auto mixer : module.getOps<seq::MixerOp>())
    if (!mixer.getFormOf())
      addWritten(mixer, features);
  if (succeeded(runStructure(module, options)))
    for (auto mixer : module.getOps<seq::MixerOp>()) {
      if (mixer.getSummaryOf())
        features.insert("structure: summary of segments");
      else if (mixer.getFormOf())
        features.insert("structure: rows that keys or values are made from");
      else
        addStructure(mixer, features);
    }
  return {features.begin(), features.end()};
}

void Coverage::add(const std::vector<std::string> &features) {
  for (const std::string &feature : features)
    ++counts[feature];
}

void Coverage::print() const {
  for (const auto &[feature, count] : counts)
    fmt::print("{:>6}  {}\n", count, feature);
}

} // namespace seqmix::run
