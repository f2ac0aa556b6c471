//===- SweepKeep.cpp - what a sweep keeps of single pairs -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepEmitter.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

void SweepEmitter::emitEach(Tile &tile, PairResultAttr result, Value whole) {
  Value values = memoryAt(plan.eachOffset);
  kernel.forEach(whole, kRows, [&](Value column) {
    Emitted columns = columnPositions(tile, column, kRows);
    auto value = emitPart(tile, pairs.getPart(result.getValue()), columns, {});
    if (!value)
      return;
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t vector = 0; vector < vectors; ++vector)
        store(broadcast(value->value(row, vector)), values, mul(add(column, constant(row)), width),
              vector * kernel.lanes);
  });
  if (succeeded(status))
    storeEach(tile, result, values);
}

void SweepEmitter::storeEach(const Tile &tile, PairResultAttr result, Value values) {
  IndexMath math = kernel.index();
  const CallerMemory &memory = kernel.output(result.getProduced().getAttr());
  // Its dims are the position of the rows, if they have one, s, and the fixed dims of the rows.
  SmallVector<Value> strides = {memory.strides.begin(), memory.strides.end()};
  Value columnStride = memory.tokenStride, start = constant(0), laneStride = constant(0);
  if (pairs.getRowDim()) {
    columnStride = strides.front();
    strides.front() = memory.tokenStride;
    start = mul(kernel.chunkStart, memory.tokenStride);
  }
  for (auto [number, own] : llvm::enumerate(outer)) {
    if (own)
      start = add(start, mul(own, strides[number]));
    else
      laneStride = strides[number];
  }
  Value firstLane = mul(tile.panel, width);
  start = add(start, mul(sub(tile.firstColumn, over.position), columnStride));
  start = add(start, mul(firstLane, laneStride));
  auto indexType = kernel.vectorType(builder.getIndexType());
  auto multiples = [&](Value step) -> Value {
    Value steps = vector::BroadcastOp::create(builder, loc, indexType, step);
    return arith::MulIOp::create(builder, loc, math.iota(), steps);
  };
  Value apart = multiples(constant(width)), offsets = multiples(columnStride);
  Value isDense =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, columnStride, constant(1));
  Value zero = real(0);
  // Lane by lane: what one row gets stands one behind the other, or a stride apart.
  kernel.forEach(minimum(sub(laneCount, firstLane), constant(width)), 1, [&](Value lane) {
    Value rowStart = add(start, mul(lane, laneStride));
    kernel.forEach(tile.count, kernel.lanes, [&](Value column) {
      Value mask = vector::CreateMaskOp::create(
          builder, loc, kernel.vectorType(builder.getI1Type()), sub(tile.count, column));
      Value own =
          vector::GatherOp::create(builder, loc, vectorType, values,
                                   ValueRange{add(mul(column, width), lane)}, apart, mask, zero);
      own = toStorage(builder, loc, kernel.target, own, memory.dtype);
      Value at = add(rowStart, mul(column, columnStride));
      when(
          isDense,
          [&] { vector::MaskedStoreOp::create(builder, loc, memory.memref, at, mask, own); },
          [&] {
            vector::ScatterOp::create(builder, loc, Type(), memory.memref, ValueRange{at}, offsets,
                                      mask, own);
          });
    });
  });
}

void SweepEmitter::emitPlaces(Tile &tile, size_t number, PairResultAttr result, Value whole) {
  int64_t count = plan.features[number] / 2;
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  auto last = [&](int64_t feature, int64_t vector) {
    return load(memory, accumulatorPlace(number, tile.panel, constant(feature)),
                vector * kernel.lanes);
  };
  auto either = [&](Value a, Value b) -> Value {
    return a ? arith::OrIOp::create(builder, loc, a, b).getResult() : b;
  };
  auto both = [&](Value a, Value b) -> Value { return arith::AndIOp::create(builder, loc, a, b); };
  auto compare = [&](arith::CmpFPredicate predicate, Value a, Value b) -> Value {
    return arith::CmpFOp::create(builder, loc, predicate, a, b);
  };
  auto any = [&](Value truths) -> Value {
    return vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, truths);
  };
  // A value goes in front of those that are less, and of places that nothing has taken yet.
  auto goesBefore = [&](Value value, Value other, Value otherPlace) {
    return either(compare(arith::CmpFPredicate::OGT, value, other),
                  compare(arith::CmpFPredicate::OLT, otherPlace, real(0)));
  };
  auto isAmong = [&](Value value, const Mask &mask, int64_t row, int64_t vector) {
    Value enters = goesBefore(value, last(count - 1, vector), last(2 * count - 1, vector));
    return mask ? both(enters, broadcast(mask->value(row, vector))) : enters;
  };
  // From its place on, each moves one place back.
  auto insert = [&](Value value, Value place, Value enters, int64_t vector) {
    Value moves = arith::ConstantOp::create(
        builder, loc, DenseElementsAttr::get(kernel.vectorType(builder.getI1Type()), false));
    int64_t lane = vector * kernel.lanes;
    loop(constant(0), constant(count), 1, {value, place, moves},
         [&](Value rank, ArrayRef<Value> state) {
           Value valueAt = accumulatorPlace(number, tile.panel, rank);
           Value placeAt = accumulatorPlace(number, tile.panel, add(rank, constant(count)));
           Value other = load(memory, valueAt, lane), otherPlace = load(memory, placeAt, lane);
           Value isHere = both(enters, either(state[2], goesBefore(state[0], other, otherPlace)));
           store(select(isHere, state[0], other), memory, valueAt, lane);
           store(select(isHere, state[1], otherPlace), memory, placeAt, lane);
           return SmallVector<Value>{select(isHere, other, state[0]),
                                     select(isHere, otherPlace, state[1]), isHere};
         });
  };
  kernel.forEach(whole, kRows, [&](Value column) {
    Emitted columns = columnPositions(tile, column, kRows);
    auto values = emitPart(tile, pairs.getPart(result.getValue()), columns, {});
    Mask mask = tile.masked ? emitMask(tile, columns, column) : Mask();
    if (!values || failed(status))
      return;
    Value someEnter;
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t vector = 0; vector < vectors; ++vector)
        someEnter =
            either(someEnter, isAmong(broadcast(values->value(row, vector)), mask, row, vector));
    when(any(someEnter), [&] {
      for (int64_t row = 0; row < kRows; ++row) {
        Value s = add(tile.firstColumn, add(column, constant(row)));
        s = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), s);
        Value place = broadcast(arith::SIToFPOp::create(builder, loc, kernel.real, s));
        for (int64_t vector = 0; vector < vectors; ++vector) {
          Value value = broadcast(values->value(row, vector));
          Value enters = isAmong(value, mask, row, vector);
          when(any(enters), [&] { insert(value, place, enters, vector); });
        }
      }
    });
  });
}
