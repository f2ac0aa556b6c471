//===- SweepParts.cpp - parts of the range of s as tasks ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Where a call has fewer tasks than threads, the runtime runs a task once for each part of the
// positions s. A part leaves the maximum and the sums of each row; a last task merges them as the
// monoid says, and does all that comes behind the reductions. What comes in front of them is done
// by every part: it is linear in the tokens.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/EarlierRows.h"
#include "compiler/tiles/SweepEmitter.h"
#include "dialect/Carry.h"

#include "llvm/ADT/DenseSet.h"

#include <numeric>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
bool readsAny(Operation &op, const llvm::DenseSet<StringAttr> &names) {
  return op
      .walk([&](ReadOp read) {
        return names.contains(read.getSourceAttr().getAttr()) ? WalkResult::interrupt()
                                                              : WalkResult::advance();
      })
      .wasInterrupted();
}

/// Whether some reduction over pairs needs the results of another.
bool areChained(MixerOp mixer) {
  llvm::DenseSet<StringAttr> reduced;
  for (auto pairs : mixer.getOps<PairsOp>())
    for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
      reduced.insert(result.getProduced().getAttr());
  for (bool grows = true; grows;) {
    grows = false;
    for (auto define : mixer.getOps<DefineOp>())
      if (readsAny(*define, reduced))
        grows |= reduced.insert(define.getSymNameAttr()).second;
  }
  return llvm::any_of(mixer.getOps<PairsOp>(),
                      [&](PairsOp pairs) { return readsAny(*pairs, reduced); });
}

int64_t elementsOf(const Layout &layout, MixerOp mixer, SweepOp sweep) {
  return planSweep(layout, mixer, sweep).partialOffsets.back() + 1;
}
} // namespace

int64_t seqmix::partialBytes(const Layout &layout, MixerOp mixer, KernelOp kernel) {
  int64_t elements = 0, passes = 0;
  bool walks = false;
  for (auto pass : kernel.getBody().getOps<PassOp>()) {
    for (auto sweep : pass.getBody().getOps<SweepOp>())
      elements += elementsOf(layout, mixer, sweep);
    passes += !pass.getBody().getOps<SweepOp>().empty();
    walks |= pass.getOverAttr() || pass.getOnce();
    walks |=
        !pass.getBody().getOps<SolveOp>().empty() || !pass.getBody().getOps<LoopOp>().empty() ||
        !pass.getBody().getOps<ConvolveOp>().empty() || pass.getDirection() != Direction::Forward;
  }
  // Sums and extrema of each token.
  bool areOfTokens = llvm::all_of(mixer.getOps<PairsOp>(), [&](PairsOp pairs) {
    return pairs.getRows().size() == 1 && pairs.getRowDim() == tokenDimOf(mixer) &&
           llvm::none_of(pairs.getOuts().getAsRange<PairResultAttr>(), [](PairResultAttr result) {
             return result.getKind() == PairKind::Each || result.getKind() == PairKind::Places;
           });
  });
  if (walks || passes != 1 || !areOfTokens || layout.batchBlock > 1 || layout.split ||
      areChained(mixer))
    return 0;
  return elements * (layout.real.getIntOrFloatBitWidth() / 8);
}

void seqmix::findGroup(Layout &layout, MixerOp mixer, KernelOp kernel) {
  SmallVector<SweepOp> sweeps;
  kernel.walk([&](SweepOp sweep) { sweeps.push_back(sweep); });
  SmallVector<StringAttr> batch;
  for (auto dim : mixer.getOps<DimOp>())
    if (dim.getKind() == DimKind::Batch)
      batch.push_back(dim.getSymNameAttr());
  if (layout.partialBytes == 0 || sweeps.size() != 1 || batch.size() < 2)
    return;
  SweepPlan plan = planSweep(layout, mixer, sweeps[0]);
  if (!plan.narrow)
    return;
  int64_t shared = 0; // so far none tells them apart
  for (Region &part : plan.op.getParts())
    part.walk([&](ReadOp read) {
      auto name = read.getSourceAttr().getAttr();
      bool isRow = llvm::any_of(plan.rows, [&](auto &row) { return row.name == name; });
      bool isColumn = llvm::any_of(plan.columns, [&](auto &column) { return column.name == name; });
      if (isRow && !isColumn)
        return;
      for (BatchAttr own : batchDimsOf(mixer, name.getValue()))
        if (own.getDim().getAttr() == batch.back())
          shared = std::gcd(shared, own.getDiv());
    });
  layout.group = shared ? shared : std::numeric_limits<int32_t>::max();
  layout.groupRows = plan.narrowRows();
}

int64_t seqmix::partialStart(const Layout &layout, MixerOp mixer, SweepOp op) {
  int64_t elements = 0;
  for (auto sweep : op->getParentOfType<PassOp>().getBody().getOps<SweepOp>()) {
    if (sweep == op)
      break;
    elements += elementsOf(layout, mixer, sweep);
  }
  return elements;
}

void SweepEmitter::takePart(MutableArrayRef<Bounds> intervals) {
  Value low = constant(std::numeric_limits<int64_t>::max()), high = constant(0);
  for (const Bounds &interval : intervals) {
    low = minimum(low, interval.low);
    high = maximum(high, interval.high);
  }
  // Rows of earlier positions that a part makes serve all its chunks: they are cut alike.
  if (kernel.earlier) {
    Bounds call = positionsOfCall(kernel, pairs, extent);
    Value isCut = isLess(constant(0), kernel.earlier);
    low = select(isCut, call.low, low);
    high = select(isCut, call.high, high);
  }
  Bounds part = partOf(kernel, {low, high}, plan.tile);
  for (Bounds &interval : intervals) {
    interval.low = maximum(interval.low, part.low);
    interval.high = minimum(interval.high, part.high);
  }
}

SweepEmitter::PartialRows SweepEmitter::partialRows(Value part, Value panel, int64_t vector) {
  auto indexType = kernel.vectorType(builder.getIndexType());
  int64_t elements = kernel.layout.partialBytes / (kernel.real.getIntOrFloatBitWidth() / 8);
  Value row = add(mul(panel, width), constant(vector * kernel.lanes));
  Value token = add(add(mul(part, kernel.tokens), kernel.chunkStart), row);
  Value stride = vector::BroadcastOp::create(builder, loc, indexType, constant(elements));
  PartialRows rows;
  rows.memory = flatMemref(builder, loc, kernel.partial, kernel.real);
  rows.start = add(mul(token, elements), constant(plan.partialStart));
  rows.offsets = arith::MulIOp::create(builder, loc, kernel.index().iota(), stride);
  rows.mask = vector::CreateMaskOp::create(builder, loc, kernel.vectorType(builder.getI1Type()),
                                           sub(kernel.chunkRows, row));
  return rows;
}

Value SweepEmitter::loadPartial(const PartialRows &rows, Value offset) {
  return vector::GatherOp::create(builder, loc, vectorType, rows.memory,
                                  ValueRange{add(rows.start, offset)}, rows.offsets, rows.mask,
                                  real(0));
}

void SweepEmitter::storePartial(const PartialRows &rows, Value offset, Value value) {
  vector::ScatterOp::create(builder, loc, Type(), rows.memory, ValueRange{add(rows.start, offset)},
                            rows.offsets, rows.mask, value);
}

void SweepEmitter::leave(Value panel) {
  for (int64_t vector = 0; vector < vectors; ++vector) {
    PartialRows rows = partialRows(kernel.part, panel, vector);
    int64_t lane = vector * kernel.lanes;
    if (pairs.getScore())
      storePartial(rows, constant(plan.partialOffsets.back()),
                   load(memoryAt(plan.maxOffset), mul(panel, width), lane));
    for (auto [number, result] : llvm::enumerate(results)) {
      if (result.getKind() == PairKind::ScoreMax)
        continue;
      Value memory = memoryAt(plan.accumulatorOffsets[number]);
      kernel.forEach(constant(plan.features[number]), 1, [&](Value feature) {
        storePartial(rows, add(constant(plan.partialOffsets[number]), feature),
                     load(memory, accumulatorPlace(number, panel, feature), lane));
      });
    }
  }
}

void SweepEmitter::merge(Value panel, Value part) {
  Value at = mul(panel, width);
  SmallVector<PartialRows> rows;
  SmallVector<Value> from, to, scales;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    rows.push_back(partialRows(part, panel, vector));
    if (!pairs.getScore())
      continue;
    Value own = load(memoryAt(plan.maxOffset), at, vector * kernel.lanes);
    Value other = loadPartial(rows[vector], constant(plan.partialOffsets.back()));
    from.push_back(own);
    to.push_back(larger(other, own));
    scales.push_back(scale(other, to.back()));
    store(to.back(), memoryAt(plan.maxOffset), at, vector * kernel.lanes);
  }
  if (pairs.getScore())
    rescale(panel, from, to);
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getKind() == PairKind::ScoreMax)
      continue;
    Value memory = memoryAt(plan.accumulatorOffsets[number]);
    bool isScaled = usesScore(result);
    kernel.forEach(constant(plan.features[number]), 1, [&](Value feature) {
      Value place = accumulatorPlace(number, panel, feature);
      for (int64_t vector = 0; vector < vectors; ++vector) {
        Value other =
            loadPartial(rows[vector], add(constant(plan.partialOffsets[number]), feature));
        if (isScaled)
          other = times(other, scales[vector]);
        Value own = load(memory, place, vector * kernel.lanes);
        store(combine(result.getKind(), own, other), memory, place, vector * kernel.lanes);
      }
    });
  }
}
