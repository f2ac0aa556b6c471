//===- Sweep.cpp - pairwise reductions over tiles of positions ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepEmitter.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

LogicalResult SweepEmitter::emit() {
  extent = kernel.length;
  Value last = sub(kernel.chunkRows, constant(1));
  panelCount = arith::CeilDivSIOp::create(builder, loc, kernel.chunkRows, constant(width));
  auto reduce = [&] {
    for (const SweepOperand &operand : plan.rows)
      clearRanges(operand, plan.panels() + 1);
    kernel.forEach(panelCount, 1, [&](Value panel) {
      packRows(panel, last);
      start(panel);
    });
    sweepColumns();
  };
  auto settleAll = [&](function_ref<void(Value)> body) {
    kernel.forEach(panelCount, 1, [&](Value panel) {
      settle(panel);
      body(panel);
    });
  };
  if (!kernel.isPart) {
    reduce();
    settleAll([&](Value panel) { finish(panel); });
    return status;
  }
  when(
      kernel.isMerge,
      [&] {
        kernel.forEach(panelCount, 1, [&](Value panel) {
          start(panel);
          kernel.forEach(kernel.parts, 1, [&](Value part) { merge(panel, part); });
        });
      },
      reduce);
  when(
      kernel.isPart, [&] { settleAll([&](Value panel) { leave(panel); }); },
      [&] { settleAll([&](Value panel) { finish(panel); }); });
  return status;
}

Value SweepEmitter::firstPosition() { return add(kernel.position, kernel.chunkStart); }

PairBox SweepEmitter::chunkBox() {
  PairBox box;
  Value first = firstPosition();
  box.row = {first, add(first, sub(kernel.chunkRows, constant(1)))};
  for (const SweepOperand &operand : plan.rows)
    if (operand.rangeOffset >= 0)
      box.rowReads[operand.name] = rangeOf(operand, constant(plan.panels()));
  return box;
}

void SweepEmitter::setColumns(PairBox &box, Value first, Value count) {
  box.column = {first, add(first, sub(count, constant(1)))};
  for (const SweepOperand &operand : plan.columns)
    if (operand.rangeOffset >= 0)
      box.columnReads[operand.name] = rangeOf(operand, constant(0));
}

void SweepEmitter::sweepColumns() {
  PairBox chunk = chunkBox();
  SmallVector<Bounds> intervals = domainIntervals(kernel, pairs, chunk, extent);
  if (intervals.empty())
    return;
  Value end = constant(0), none = constant(std::numeric_limits<int64_t>::max());
  for (Bounds &interval : intervals) {
    interval.low = maximum(interval.low, constant(0));
    interval.high = minimum(interval.high, extent);
  }
  if (kernel.isPart)
    takePart(intervals);
  for (const Bounds &interval : intervals)
    end = maximum(end, interval.high);
  auto next = [&](Value from) {
    Value best = none;
    for (const Bounds &interval : intervals) {
      Value at = maximum(from, interval.low);
      best = minimum(best, select(isLess(at, interval.high), at, none));
    }
    return best;
  };
  auto index = builder.getIndexType();
  auto loop = scf::WhileOp::create(builder, loc, TypeRange{index}, ValueRange{constant(0)});
  OpBuilder::InsertionGuard guard(builder);
  Block *before = builder.createBlock(&loop.getBefore(), {}, TypeRange{index}, {loc});
  Value at = next(before->getArgument(0));
  scf::ConditionOp::create(builder, loc, isLess(at, none), ValueRange{at});
  Block *after = builder.createBlock(&loop.getAfter(), {}, TypeRange{index}, {loc});
  Value first = after->getArgument(0);
  Value count = contiguousColumns(first, minimum(sub(end, first), constant(plan.tile)));
  packColumns(first, count, /*integers=*/true);
  setColumns(chunk, first, count);
  Value isEmpty = boxState(kernel, pairs, chunk, extent).isEmpty;
  when(
      isEmpty, [] {},
      [&] {
        packColumns(first, count, /*integers=*/false);
        kernel.forEach(panelCount, 1, [&](Value panel) { visitPanel(panel, first, count); });
      });
  scf::YieldOp::create(builder, loc, ValueRange{add(first, count)});
}

void SweepEmitter::visitPanel(Value panel, Value first, Value count) {
  PairBox box;
  Value low = add(firstPosition(), mul(panel, width));
  Value end = add(firstPosition(), kernel.chunkRows);
  box.row = {low, sub(minimum(add(low, constant(width)), end), constant(1))};
  for (const SweepOperand &operand : plan.rows)
    if (operand.rangeOffset >= 0)
      box.rowReads[operand.name] = rangeOf(operand, panel);
  setColumns(box, first, count);
  BoxState state = boxState(kernel, pairs, box, extent);
  Value isWhole =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, count, constant(plan.tile));
  Value isFull = arith::AndIOp::create(builder, loc, state.isFull, isWhole);
  when(
      state.isEmpty, [] {},
      [&] {
        when(
            isFull, [&] { visitTile(panel, low, first, constant(plan.tile), /*masked=*/false); },
            [&] { visitTile(panel, low, first, count, /*masked=*/true); });
      });
}

void SweepEmitter::start(Value panel) {
  auto fill = [&](int64_t offset, Value first, int64_t count, double value) {
    Value memory = memoryAt(offset), vectorsOfIt = real(value);
    kernel.forEach(constant(count), width, [&](Value at) {
      for (int64_t vector = 0; vector < vectors; ++vector)
        store(vectorsOfIt, memory, add(first, at), vector * kernel.lanes);
    });
  };
  if (pairs.getScore()) {
    fill(plan.shiftOffset, mul(panel, width), width, -kInf);
    fill(plan.maxOffset, mul(panel, width), width, -kInf);
  }
  for (auto [number, result] : llvm::enumerate(results))
    if (result.getKind() != PairKind::ScoreMax)
      fill(plan.accumulatorOffsets[number], mul(panel, plan.features[number] * width),
           plan.features[number] * width, identityOf(result.getKind()));
}

void SweepEmitter::settle(Value panel) {
  if (!pairs.getScore())
    return;
  Value at = mul(panel, width);
  SmallVector<Value> from, to;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    from.push_back(load(memoryAt(plan.shiftOffset), at, vector * kernel.lanes));
    to.push_back(load(memoryAt(plan.maxOffset), at, vector * kernel.lanes));
  }
  rescale(panel, from, to);
}

void SweepEmitter::finish(Value panel) {
  Value at = mul(panel, width);
  for (auto [number, result] : llvm::enumerate(results)) {
    auto name = result.getProduced().getAttr();
    const BufferLayout *buffer = kernel.layout.readable(name);
    if (!buffer)
      continue;
    const SymbolInfo &info = kernel.layout.symbol(name);
    bool isMax = result.getKind() == PairKind::ScoreMax;
    Value memory = memoryAt(isMax ? plan.maxOffset : plan.accumulatorOffsets[number]);
    SmallVector<int64_t> strides(info.sizes.size());
    int64_t stride = 1;
    for (int64_t dim = info.sizes.size() - 1; dim >= 0; --dim) {
      strides[dim] = stride;
      stride *= info.sizes[dim];
    }
    forFeatures(info, strides, buffer->strides, [&](Value packed, Value unpacked) {
      for (int64_t vector = 0; vector < vectors; ++vector) {
        Value row = add(at, constant(vector * kernel.lanes));
        Value value = load(memory, accumulatorPlace(number, panel, packed), vector * kernel.lanes);
        storeRows(*buffer, info, row, unpacked, value);
      }
    });
  }
}

void SweepEmitter::storeRows(const BufferLayout &buffer, const SymbolInfo &info, Value row,
                             Value feature, Value value) {
  auto indexType = kernel.vectorType(builder.getIndexType());
  Value start = kernel.index().scalar(
      kernel.address(buffer, IndexValue::of(row), IndexValue::constant(0),
                     SmallVector<IndexValue>(info.sizes.size(), IndexValue::constant(0))));
  Value stride = vector::BroadcastOp::create(builder, loc, indexType,
                                             kernel.index().scalar(kernel.rowStride(buffer)));
  Value offsets = arith::MulIOp::create(builder, loc, kernel.index().iota(), stride);
  Value mask = vector::CreateMaskOp::create(builder, loc, kernel.vectorType(builder.getI1Type()),
                                            sub(kernel.chunkRows, row));
  vector::ScatterOp::create(builder, loc, Type(), kernel.memref(buffer),
                            ValueRange{add(start, feature)}, offsets, mask, value);
}

LogicalResult seqmix::emitSweep(Kernel &kernel, SweepOp op) {
  kernel.loc = op.getLoc();
  SweepPlan plan = planSweep(kernel.layout, kernel.mixer, op);
  plan.partialStart = partialStart(kernel.layout, kernel.mixer, op);
  if (plan.vectors == 1)
    return SweepEmitter(kernel, plan, 1).emit();
  // A few rows, as in a decode step, fill one vector only.
  Value isNarrow = arith::CmpIOp::create(kernel.builder, kernel.loc, arith::CmpIPredicate::sle,
                                         kernel.chunkRows, kernel.constant(kernel.lanes));
  LogicalResult result = success();
  emitIf(
      kernel, isNarrow,
      [&] {
        if (failed(SweepEmitter(kernel, plan, 1).emit()))
          result = failure();
      },
      [&] {
        if (failed(SweepEmitter(kernel, plan, plan.vectors).emit()))
          result = failure();
      });
  return result;
}
