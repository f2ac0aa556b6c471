//===- DivideRows.cpp - which rows a group of threads divides ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/DivideRows.h"

#include "compiler/chunk/Reads.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Words of a token that a thread has at most before its rows are divided.
static constexpr int64_t kMostWords = 96;
/// Threads of a block: of one that has a part of the lanes, and of one that has all.
static constexpr int64_t kThreads = 128, kMostThreads = 512;

/// Words that a thread has of all symbols, by their elements. Equations need no more at once if
/// they read them one by one.
static int64_t wordsOfThread(MixerOp mixer, const MixerPlan &plan, const LaneShape &shape,
                             ArrayRef<int32_t> rowDims, int64_t group) {
  int64_t words = 0;
  auto isOne = [&](FlatSymbolRefAttr dim, ArrayRef<int32_t> numbers) {
    return llvm::any_of(numbers,
                        [&](int32_t number) { return dim.getValue() == plan.dims[number].name; });
  };
  for (Operation &op : mixer.getBody().front()) {
    if (!isa<StateOp, TensorOp, DefineOp>(op))
      continue;
    int64_t own = 1, unrolled = 0;
    bool hasLanes = false, hasRows = false;
    for (auto dim : chunk::dimsOf(&op).getAsRange<FlatSymbolRefAttr>()) {
      std::optional<uint64_t> extent = cast<DimOp>(chunk::lookup(mixer, dim)).getSize();
      if (!extent || (isOne(dim, shape.dims) && !std::exchange(hasLanes, true)))
        continue;
      auto size = static_cast<int64_t>(*extent);
      if (isOne(dim, rowDims) && !std::exchange(hasRows, true))
        size = llvm::divideCeil(size, group);
      own *= size;
      ++unrolled;
    }
    // Large params are loaded where they are read.
    auto tensor = dyn_cast<TensorOp>(op);
    if (!tensor || tensor.getRole() != Role::Param || unrolled < 2)
      words += own;
  }
  return words * std::max<int64_t>(mixer.getCompute().getIntOrFloatBitWidth() / 32, 1);
}

/// The dims that a group of threads divides: the one that leaves a thread the fewest words, and
/// others of symbols that do not have it.
static SmallVector<int32_t> findRowDims(MixerOp mixer, const MixerPlan &plan,
                                        const LaneShape &shape) {
  SmallVector<int32_t> result;
  auto has = [&](Operation &op, int32_t number) {
    return llvm::any_of(chunk::dimsOf(&op).getAsRange<FlatSymbolRefAttr>(),
                        [&](auto symbol) { return symbol.getValue() == plan.dims[number].name; });
  };
  auto isOfState = [&](int32_t number) {
    return llvm::any_of(mixer.getOps<StateOp>(),
                        [&](StateOp state) { return has(*state.getOperation(), number); });
  };
  SmallVector<std::pair<int64_t, int32_t>> candidates;
  for (auto [index, dim] : llvm::enumerate(plan.dims)) {
    const auto number = static_cast<int32_t>(index);
    if (dim.kind == SEQ_DIM_FIXED && !llvm::is_contained(shape.dims, number) && isOfState(number))
      candidates.emplace_back(wordsOfThread(mixer, plan, shape, {number}, 32), number);
  }
  llvm::sort(candidates);
  for (auto [words, number] : candidates)
    if (llvm::none_of(mixer.getBody().front(), [&, number = number](Operation &op) {
          return isa<StateOp, TensorOp, DefineOp>(op) && has(op, number) &&
                 llvm::any_of(result, [&](int32_t other) { return has(op, other); });
        }))
      result.push_back(number);
  return result;
}

void divideRows(MixerOp mixer, const MixerPlan &plan, bool isOneBlock, LaneShape &shape) {
  const SmallVector<int32_t> rowDims = findRowDims(mixer, plan, shape);
  if (rowDims.empty())
    return;
  const auto lanes = static_cast<int64_t>(llvm::PowerOf2Ceil(shape.size));
  int64_t words = wordsOfThread(mixer, plan, shape, rowDims, 1);
  for (int64_t group = 2; words > kMostWords && group <= 32; group *= 2) {
    if (isOneBlock && lanes * group > kMostThreads)
      break;
    const int64_t left = wordsOfThread(mixer, plan, shape, rowDims, group);
    if (8 * left > 7 * words)
      break;
    words = left;
    shape.group = group;
  }
  if (shape.group == 1)
    return;
  shape.rowDims = rowDims;
  shape.lanes = isOneBlock ? lanes : std::min(lanes, kThreads / shape.group);
  shape.lanes = std::max(shape.lanes, 32 / shape.group);
  shape.threads = shape.lanes * shape.group;
}

} // namespace seqmix::gpu
