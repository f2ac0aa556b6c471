//===- Sweep.cpp - pairwise reductions over tiles of positions ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepNarrow.h"
#include "compiler/tiles/Transpose.h"

#include "compiler/structure/PairDomain.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

LogicalResult SweepEmitter::emit() {
  over = kernel.positions(pairs.getOverAttr().getAttr());
  extent = over.length;
  laneCount = plan.positionLanes ? sweptRows() : constant(plan.laneCount);
  outer.assign(pairs.getRows().size(), Value());
  panelCount = arith::CeilDivSIOp::create(builder, loc, laneCount, constant(panelRows));
  checkNumerators();
  makeRows();
  unlessMaking([&] { emitReductions(); });
  return status;
}

void SweepEmitter::makeRows() {
  Value last = sub(laneCount, constant(1));
  for (const SweepOperand &operand : plan.rows)
    clearRanges(operand, plan.allRows() + 1);
  if (!plan.rows.empty())
    kernel.forEach(panelCount, 1, [&](Value panel) { packRows(panel, last); });
}

void SweepEmitter::emitReductions() {
  auto reduce = [&] {
    kernel.forEach(panelCount, 1, [&](Value panel) { start(panel); });
    sweepColumns();
  };
  auto settleAll = [&](function_ref<void(Value)> body) {
    kernel.forEach(panelCount, 1, [&](Value panel) {
      settle(panel);
      body(panel);
    });
  };
  if (!kernel.isPart) {
    forOuterRows(0, [&] {
      reduce();
      settleAll([&](Value panel) { finish(panel); });
    });
    return;
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
}

void SweepEmitter::forOuterRows(unsigned number, function_ref<void()> body) {
  if (number == outer.size())
    return body();
  if (number == plan.laneRow)
    return forOuterRows(number + 1, body);
  Value count = kernel.chunkRows;
  if (!isPosition(number))
    count = constant(fixedSize(kernel.mixer, cast<FlatSymbolRefAttr>(pairs.getRows()[number])));
  kernel.forEach(count, 1, [&](Value row) {
    outer[number] = row;
    forOuterRows(number + 1, body);
  });
}

Value SweepEmitter::firstPosition() { return add(kernel.position, kernel.chunkStart); }

PairBox SweepEmitter::rowBox(Value first, Value end, Value ranges) {
  PairBox box;
  for (auto [number, row] : llvm::enumerate(outer)) {
    Value start = isPosition(number) ? firstPosition() : constant(0);
    if (row)
      box.rows.push_back({add(start, row), add(start, row)});
    else
      box.rows.push_back({add(start, first), add(start, sub(end, constant(1)))});
  }
  for (const SweepOperand &operand : plan.rows)
    if (operand.rangeOffset >= 0)
      box.rowReads[operand.name] = rangeOf(operand, ranges);
  if (plan.positionLanes || !pairs.getRowDim())
    return box;
  for (StringAttr name : PairDomain(pairs).rowReads) {
    Scope scope;
    IndexValue number =
        ExprEmitter(kernel, scope)
            .elementOf(*bufferOf(name), Emitted::integer(IndexValue::of(outer[0])), {}, Value())
            .index(0, 0);
    Value value = kernel.index().scalar(number);
    box.rowReads[name] = {value, value};
  }
  return box;
}

void SweepEmitter::setColumns(PairBox &box, Value first, Value count) {
  box.column = {first, add(first, sub(count, constant(1)))};
  for (const SweepOperand &operand : plan.columns)
    if (operand.rangeOffset >= 0)
      box.columnReads[operand.name] = rangeOf(operand, constant(0));
}

void SweepEmitter::sweepColumns() {
  Value end = plan.positionLanes ? kernel.chunkRows : laneCount;
  PairBox chunk = rowBox(constant(0), end, constant(plan.allRows()));
  SmallVector<Bounds> intervals = domainIntervals(kernel, pairs, chunk, extent);
  if (intervals.empty())
    return;
  end = constant(0);
  Value none = constant(std::numeric_limits<int64_t>::max());
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
        visitPanels(chunk, first, count);
      });
  scf::YieldOp::create(builder, loc, ValueRange{add(first, count)});
}

void SweepEmitter::visitPanels(const PairBox & /*chunk*/, Value first, Value count) {
  kernel.forEach(panelCount, 1, [&](Value panel) { visitPanel(panel, first, count); });
}

void SweepEmitter::visitPanel(Value panel, Value first, Value count) {
  Value lane = firstOfPanel(panel);
  PairBox box = rowBox(lane, minimum(add(lane, constant(panelRows)), laneCount), panel);
  Value low = plan.positionLanes ? add(firstPosition(), lane) : lane;
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

void SweepEmitter::fill(int64_t offset, Value first, int64_t count, double value) {
  Value memory = memoryAt(offset), vectorsOfIt = real(value);
  kernel.forEach(constant(count), width, [&](Value at) {
    for (int64_t vector = 0; vector < vectors; ++vector)
      store(vectorsOfIt, memory, add(first, at), vector * kernel.lanes);
  });
}

void SweepEmitter::startResult(size_t number, Value panel) {
  int64_t offset = plan.accumulatorOffsets[number], count = plan.features[number] * width;
  Value first = mul(panel, count);
  if (results[number].getKind() != PairKind::Places)
    return fill(offset, first, count, identityOf(results[number].getKind()));
  fill(offset, first, count / 2, -kInf);
  fill(offset, add(first, constant(count / 2)), count / 2, kInf);
}

void SweepEmitter::start(Value panel) {
  if (pairs.getScore()) {
    fill(plan.shiftOffset, mul(panel, width), width, -kInf);
    fill(plan.maxOffset, mul(panel, width), width, -kInf);
  }
  for (auto [number, result] : llvm::enumerate(results))
    if (plan.accumulatorOffsets[number] >= 0)
      startResult(number, panel);
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
  for (auto [number, result] : llvm::enumerate(results))
    if (const BufferLayout *buffer = kernel.layout.readable(result.getProduced().getAttr()))
      for (int64_t vector = 0; vector < vectors; ++vector)
        finishRows(number, *buffer, panel, vector);
}

void SweepEmitter::finishRows(size_t number, const BufferLayout &buffer, Value panel,
                              int64_t vector) {
  PairResultAttr result = results[number];
  const SymbolInfo &info = kernel.layout.symbol(result.getProduced().getAttr());
  bool isMax = result.getKind() == PairKind::ScoreMax,
       isPlaces = result.getKind() == PairKind::Places;
  int64_t firstFeature = isPlaces ? plan.features[number] / 2 : 0;
  Value memory = memoryAt(isMax ? plan.maxOffset : plan.accumulatorOffsets[number]);
  ArrayRef<int64_t> sizes = plan.featureSizes(info);
  SmallVector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (int64_t dim = sizes.size() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride *= sizes[dim];
  }
  Features features =
      featuresOf(sizes, strides, ArrayRef(buffer.strides).drop_front(plan.fixedRows));
  if (isPlaces)
    features.turned = -1;
  Value lane = add(mul(panel, width), constant(vector * kernel.lanes));
  RowPlace rows = placeOfRow(buffer, info, lane);
  auto valueAt = [&](Value feature) {
    return load(memory, accumulatorPlace(number, panel, feature), vector * kernel.lanes);
  };
  auto each = [&](Value packed, Value unpacked) {
    Value value = valueAt(add(packed, constant(firstFeature)));
    if (isPlaces) {
      Value isFree =
          arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, value, real(kInf));
      value = select(isFree, real(-1), value);
    }
    storeRows(buffer, rows, lane, unpacked, value);
  };
  if (features.turned < 0)
    return forFeatures(features, each);
  // Whole vectors of rows are turned in registers; of the last one some lanes are no rows.
  auto turn = [&] {
    forBlocks(features, [&](Value packed, Value unpacked) {
      SmallVector<Value> block;
      for (int64_t feature = 0; feature < kernel.lanes; ++feature)
        block.push_back(valueAt(add(packed, constant(feature * strides[features.turned]))));
      Value place = add(rows.start, unpacked), step = kernel.index().scalar(rows.stride);
      for (Value row : transposed(builder, loc, block)) {
        vector::StoreOp::create(builder, loc, row, kernel.memref(buffer), place);
        place = add(place, step);
      }
    });
    forRest(features, each);
  };
  when(
      isLess(laneCount, add(lane, constant(kernel.lanes))), [&] { forFeatures(features, each); },
      turn);
}

SweepEmitter::RowPlace SweepEmitter::placeOfRow(const BufferLayout &buffer, const SymbolInfo &info,
                                                Value lane) {
  IndexValue position = IndexValue::constant(0), stride = IndexValue::constant(1);
  SmallVector<IndexValue> dims(info.sizes.size(), IndexValue::constant(0));
  for (auto [number, row] : llvm::enumerate(outer)) {
    IndexValue own = IndexValue::of(row ? row : lane);
    int64_t dim = static_cast<int64_t>(number) - (pairs.getRowDim() ? 1 : 0);
    (dim < 0 ? position : dims[dim]) = own;
    if (!row)
      stride = dim < 0 ? kernel.rowStride(buffer) : IndexValue::constant(buffer.strides[dim]);
  }
  IndexMath math = kernel.index();
  return {math.scalar(kernel.address(buffer, position, IndexValue::constant(0), dims)), stride};
}

void SweepEmitter::storeRows(const BufferLayout &buffer, const RowPlace &place, Value lane,
                             Value feature, Value value) {
  IndexMath math = kernel.index();
  Value mask = vector::CreateMaskOp::create(builder, loc, kernel.vectorType(builder.getI1Type()),
                                            sub(laneCount, lane));
  if (place.stride.isConstant() && place.stride.offset == 1) {
    vector::MaskedStoreOp::create(builder, loc, kernel.memref(buffer), add(place.start, feature),
                                  mask, value);
    return;
  }
  auto indexType = kernel.vectorType(builder.getIndexType());
  Value steps = vector::BroadcastOp::create(builder, loc, indexType, math.scalar(place.stride));
  Value offsets = arith::MulIOp::create(builder, loc, math.iota(), steps);
  vector::ScatterOp::create(builder, loc, Type(), kernel.memref(buffer),
                            ValueRange{add(place.start, feature)}, offsets, mask, value);
}

LogicalResult seqmix::emitSweep(Kernel &kernel, SweepOp op) {
  kernel.loc = op.getLoc();
  SweepPlan plan = planSweep(kernel.layout, kernel.mixer, op);
  plan.partialStart = partialStart(kernel.layout, kernel.mixer, op);
  if (plan.vectors == 1 || !plan.positionLanes)
    return SweepEmitter(kernel, plan, plan.vectors).emit();
  if (plan.narrow && plan.chunk <= plan.narrowRows())
    return NarrowSweepEmitter(kernel, plan).emit();
  // A few rows, as in a decode step, fill one vector only.
  Value isNarrow =
      arith::CmpIOp::create(kernel.builder, kernel.loc, arith::CmpIPredicate::sle, kernel.chunkRows,
                            kernel.constant(plan.narrow ? plan.narrowRows() : kernel.lanes));
  LogicalResult result = success();
  emitIf(
      kernel, isNarrow,
      [&] {
        result = plan.narrow ? NarrowSweepEmitter(kernel, plan).emit()
                             : SweepEmitter(kernel, plan, 1).emit();
      },
      [&] {
        if (failed(SweepEmitter(kernel, plan, plan.vectors).emit()))
          result = failure();
      });
  return result;
}
