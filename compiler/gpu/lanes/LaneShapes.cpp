//===- LaneShapes.cpp - which dims lanes are along ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/LaneShapes.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Lanes of a block at most: four warps, so that a multiprocessor has several blocks.
static constexpr int64_t kMostLanes = 128;

/// Indices that reductions and maps bind would need values of other lanes.
static llvm::DenseSet<StringAttr> boundDims(MixerOp mixer) {
  llvm::DenseSet<StringAttr> bound;
  mixer.walk([&](Operation *op) {
    if (auto reduce = dyn_cast<ReduceOp>(op))
      for (auto dim : reduce.getDims().getAsRange<FlatSymbolRefAttr>())
        bound.insert(dim.getAttr());
    if (auto map = dyn_cast<MapOp>(op))
      bound.insert(map.getDimAttr().getAttr());
  });
  return bound;
}

/// Other dims that lanes of the block can be along: of symbols that have none yet.
static void addDims(MixerOp mixer, const MixerPlan &plan, LaneShape &shape) {
  for (auto [number, dim] : llvm::enumerate(plan.dims)) {
    if (dim.kind != SEQ_DIM_FIXED)
      continue;
    auto has = [&](Operation &op, const DimPlan &wanted) {
      return llvm::any_of(chunk::dimsOf(&op).getAsRange<FlatSymbolRefAttr>(),
                          [&](auto symbol) { return symbol.getValue() == wanted.name; });
    };
    auto hasLanes = [&](Operation &op) {
      return llvm::any_of(shape.dims, [&](int32_t own) { return has(op, plan.dims[own]); });
    };
    bool isWanted = false, meets = false;
    for (Operation &op : mixer.getBody().front())
      if (isa<StateOp>(op) || (isa<DefineOp>(op) && isTokenIndexed(mixer, chunk::dimsOf(&op))))
        if (has(op, dim))
          (hasLanes(op) ? meets : isWanted) = true;
    if (isWanted && !meets)
      shape.dims.push_back(static_cast<int32_t>(number));
  }
}

bool sharesCarry(MixerOp mixer, const MixerPlan &plan, const LaneShape &shape) {
  return llvm::any_of(carryComponents(mixer), [&](const CarryComponent &component) {
    return llvm::none_of(
        chunk::dimsOf(chunk::lookup(mixer, component.of)).getAsRange<FlatSymbolRefAttr>(),
        [&](auto symbol) { return symbol.getValue() == plan.dims[shape.dims.front()].name; });
  });
}

bool chooseLanes(MixerOp mixer, const MixerPlan &plan, const LanePhase &phase, LaneShape &shape) {
  const llvm::DenseSet<StringAttr> bound = boundDims(mixer);
  // Whether lanes exchange, elements of a thread, -size.
  std::optional<std::tuple<bool, int64_t, int64_t>> best;
  for (auto [number, dim] : llvm::enumerate(plan.dims)) {
    if (dim.kind != SEQ_DIM_FIXED)
      continue;
    const bool isBound = bound.contains(StringAttr::get(mixer.getContext(), dim.name));
    int64_t elements = 0;
    bool occurs = false;
    auto count = [&](ArrayAttr dims) {
      int64_t own = 1;
      bool hasLanes = false;
      for (auto symbol : dims.getAsRange<FlatSymbolRefAttr>()) {
        auto op = cast<DimOp>(chunk::lookup(mixer, symbol));
        bool isLanes = symbol.getValue() == dim.name && !std::exchange(hasLanes, true);
        occurs |= isLanes;
        if (op.getSize() && !isLanes)
          own *= static_cast<int64_t>(*op.getSize());
      }
      elements += own;
    };
    for (auto state : mixer.getOps<StateOp>())
      if (phase.states.contains(state.getSymNameAttr()))
        count(state.getDims());
    for (auto output : mixer.getOps<OutputOp>())
      if (phase.outputs.contains(output))
        count(chunk::dimsOf(chunk::lookup(mixer, output.getSourceAttr())));
    for (StringAttr name : phase.stored)
      count(chunk::dimsOf(chunk::lookup(mixer, name)));
    std::tuple cost(isBound, elements, -dim.size);
    if (occurs && (!best || cost < *best)) {
      best = cost;
      shape.dims = {static_cast<int32_t>(number)};
    }
  }
  if (!best) {
    // Everything is a number a token: one lane has it, in a warp of its own.
    shape = {{}, 1, 32, 1, 32};
    return false;
  }
  const bool exchanges = std::get<0>(*best);
  if (exchanges)
    addDims(mixer, plan, shape);
  for (int32_t number : shape.dims)
    shape.size = std::max(shape.size, plan.dims[number].size);
  shape.lanes = std::max<int64_t>(llvm::PowerOf2Ceil(shape.size), 32);
  if (!exchanges && !sharesCarry(mixer, plan, shape))
    shape.lanes = std::min(shape.lanes, kMostLanes);
  shape.threads = std::min(shape.lanes, kMostThreads);
  return exchanges;
}

} // namespace seqmix::gpu
