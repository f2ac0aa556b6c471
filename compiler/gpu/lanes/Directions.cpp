//===- Directions.cpp - states that run in both directions -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Directions.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "llvm/ADT/MapVector.h"

#include <optional>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

constexpr int kMostPhases = 3;

class PhaseFinder {
public:
  explicit PhaseFinder(MixerOp mixer) : mixer(mixer) {
    for (Operation &op : mixer.getBody().front()) {
      if (auto define = dyn_cast<DefineOp>(op))
        equations[define.getSymNameAttr()] = &op;
      else if (auto next = dyn_cast<NextOp>(op))
        equations[next.getStateAttr().getAttr()] = &op;
      else if (auto state = dyn_cast<StateOp>(op))
        directions[state.getSymNameAttr()] = state.getDirection();
    }
  }

  FailureOr<std::vector<LanePhase>> run() {
    bool isForward = false, isBackward = false;
    for (auto [state, direction] : directions)
      (direction == Direction::Forward ? isForward : isBackward) = true;
    if (!isForward || !isBackward) {
      phases.resize(1);
      phases[0].direction = isBackward ? Direction::Backward : Direction::Forward;
      for (auto [state, direction] : directions)
        ofState[state] = 0;
    } else if (!assign(Direction::Backward, kMostPhases - 1) &&
               !assign(Direction::Forward, kMostPhases - 1) &&
               !assign(Direction::Backward, kMostPhases) &&
               !assign(Direction::Forward, kMostPhases)) {
      emitError(mixer.getLoc()) << "not lowered for CUDA yet: states whose directions change more "
                                   "than twice from one to those that need it";
      return failure();
    }
    phases.back().isLast = true;
    assignWindows();
    fill();
    if (failed(checkWindows()))
      return failure();
    return std::move(phases);
  }

private:
  MixerOp mixer;
  llvm::MapVector<StringAttr, Operation *> equations;
  llvm::MapVector<StringAttr, Direction> directions;
  llvm::DenseMap<StringAttr, llvm::SetVector<StringAttr>> below;
  llvm::DenseMap<StringAttr, int> ofState;
  std::vector<LanePhase> phases;

  void forEachRead(StringAttr name, llvm::function_ref<void(ReadOp)> visit) {
    if (auto found = equations.find(name); found != equations.end())
      found->second->walk(visit);
  }

  /// The states that an equation reads, itself or in definitions.
  const llvm::SetVector<StringAttr> &statesBelow(StringAttr name) {
    auto [entry, isNew] = below.try_emplace(name);
    if (!isNew)
      return entry->second;
    llvm::SetVector<StringAttr> all;
    forEachRead(name, [&](ReadOp read) {
      StringAttr source = read.getSourceAttr().getAttr();
      if (directions.contains(source))
        all.insert(source);
      else
        all.insert_range(statesBelow(source));
    });
    return below[name] = std::move(all);
  }

  /// Gives each state the first launch in which all that it needs is there.
  bool assign(Direction first, int most) {
    ofState.clear();
    int last = 0;
    for (auto [state, direction] : directions)
      last = std::max(last, ofState[state] = direction == first ? 0 : 1);
    for (bool isChanged = true; isChanged;) {
      isChanged = false;
      for (auto [state, direction] : directions)
        for (StringAttr other : statesBelow(state)) {
          const int least = ofState[other] + (directions.lookup(other) == direction ? 0 : 1);
          if (least <= ofState[state])
            continue;
          if (least >= most)
            return false;
          last = std::max(last, ofState[state] = least);
          isChanged = true;
        }
    }
    phases.assign(static_cast<size_t>(last) + 1, LanePhase());
    const Direction second = first == Direction::Forward ? Direction::Backward : Direction::Forward;
    for (size_t number = 0; number < phases.size(); ++number)
      phases[number].direction = number % 2 ? second : first;
    return true;
  }

  /// The last launch that a value needs; -1: none.
  int phaseOf(StringAttr name) {
    if (auto found = ofState.find(name); found != ofState.end())
      return found->second;
    int last = -1;
    for (StringAttr state : statesBelow(name))
      last = std::max(last, ofState.lookup(state));
    return last;
  }

  /// What a launch evaluates, from the last one on: it says what the earlier ones must store.
  void fill() {
    for (auto output : mixer.getOps<OutputOp>()) {
      const int own = phaseOf(output.getSourceAttr().getAttr());
      phases[own < 0 ? phases.size() - 1 : static_cast<size_t>(own)].outputs.insert(output);
    }
    for (int number = static_cast<int>(phases.size()) - 1; number >= 0; --number) {
      LanePhase &phase = phases[static_cast<size_t>(number)];
      for (auto [state, direction] : directions)
        if (ofState.lookup(state) == number) {
          phase.states.insert(state);
          visit(state, number);
        }
      for (Operation *output : phase.outputs)
        visit(cast<OutputOp>(output).getSourceAttr().getAttr(), number);
      for (StringAttr name : phase.stored)
        visit(name, number);
      for (StringAttr name : phase.windows)
        visit(name, number);
    }
  }

  void visit(StringAttr name, int number) {
    LanePhase &phase = phases[static_cast<size_t>(number)];
    const int own = phaseOf(name);
    if (own >= 0 && own < number) {
      phase.loaded.insert(name);
      phases[static_cast<size_t>(own)].stored.insert(name);
      return;
    }
    if (equations.contains(name) && phase.evaluated.insert(name).second)
      forEachRead(name, [&](ReadOp read) { visit(read.getSourceAttr().getAttr(), number); });
  }

  /// The last launch that walks forward leaves the last tokens of what no state is in.
  void assignWindows() {
    for (const CarryComponent &component : carryComponents(mixer)) {
      if (component.kind != CarryComponent::Window || isLeftBehind(mixer, component))
        continue;
      int own = phaseOf(component.of.getAttr());
      for (int number = static_cast<int>(phases.size()) - 1; own < 0 && number >= 0; --number)
        if (phases[static_cast<size_t>(number)].direction == Direction::Forward)
          own = number;
      phases[static_cast<size_t>(std::max(own, 0))].windows.insert(component.of.getAttr());
    }
  }

  /// Where a walk backward ends, definitions of earlier calls are not known.
  LogicalResult checkWindows() {
    for (LanePhase &phase : phases) {
      if (phase.direction == Direction::Forward)
        continue;
      for (StringAttr name : phase.windows)
        return refuse(chunk::lookup(mixer, name));
      for (StringAttr name : phase.evaluated) {
        Operation *early = nullptr;
        forEachRead(name, [&](ReadOp read) {
          if (!chunk::readsToken(mixer, read))
            return;
          auto span = tokenSpan(mixer, read);
          StringAttr source = read.getSourceAttr().getAttr();
          if (span && span->first < 0 && !phase.loaded.contains(source) && isWindow(source))
            early = read;
        });
        if (early)
          return refuse(early);
      }
    }
    return success();
  }

  bool isWindow(StringAttr name) {
    return llvm::any_of(carryComponents(mixer), [&](const CarryComponent &component) {
      return component.kind == CarryComponent::Window && component.of.getAttr() == name &&
             !isa<TensorOp>(chunk::lookup(mixer, name));
    });
  }

  LogicalResult refuse(Operation *op) {
    return emitError(op->getLoc()) << "not lowered for CUDA yet: a definition at tokens of "
                                      "earlier calls in a walk backward";
  }
};

} // namespace

bool isLeftBehind(MixerOp mixer, const CarryComponent &component) {
  if (component.kind != CarryComponent::Window)
    return false;
  const auto dims = llvm::count_if(mixer.getOps<DimOp>(),
                                   [](DimOp dim) { return dim.getKind() == DimKind::Batch; });
  const bool isShared =
      static_cast<int64_t>(component.batch.size()) != dims ||
      llvm::any_of(component.batch, [](BatchAttr dim) { return dim.getDiv() > 1; });
  return isShared || (isa<TensorOp>(chunk::lookup(mixer, component.of)) &&
                      llvm::any_of(mixer.getOps<StateOp>(), [](StateOp state) {
                        return state.getDirection() == Direction::Backward;
                      }));
}

FailureOr<std::vector<LanePhase>> findPhases(MixerOp mixer) { return PhaseFinder(mixer).run(); }

} // namespace seqmix::gpu
