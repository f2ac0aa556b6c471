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
  inForm(tile, result.getValue(), [&] {
    kernel.forEach(whole, kRows, [&](Value column) {
      Emitted columns = columnPositions(tile, column, kRows);
      auto value = emitPart(tile, formOf(tile, result.getValue()), columns, {});
      if (!value)
        return;
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector)
          store(broadcast(value->value(row, vector)), values,
                mul(add(column, constant(row)), width), vector * kernel.lanes);
    });
    return SmallVector<Value>();
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

//===----------------------------------------------------------------------===//
// The n greatest
//===----------------------------------------------------------------------===//

// A row's values, then where they stand, infinite where nothing has come yet: so a place that is
// free is behind any other, and of equal values the first one is in front.

/// Up to so many are kept in order, vectors of rows at once; more as a heap of each row, the last
/// one in this order at its root.
static constexpr int64_t kInOrder = 16;

Value SweepEmitter::isBehind(Ranked a, Ranked b) {
  auto compare = [&](arith::CmpFPredicate predicate, Value x, Value y) -> Value {
    return arith::CmpFOp::create(builder, loc, predicate, x, y);
  };
  Value isFirst =
      arith::AndIOp::create(builder, loc, compare(arith::CmpFPredicate::OEQ, a.value, b.value),
                            compare(arith::CmpFPredicate::OGT, a.place, b.place));
  return arith::OrIOp::create(builder, loc, compare(arith::CmpFPredicate::OLT, a.value, b.value),
                              isFirst);
}

/// From its place on, each moves one place back.
void SweepEmitter::insertInOrder(size_t number, Value panel, int64_t vector, Ranked own,
                                 Value enters) {
  int64_t count = plan.features[number] / 2, lane = vector * kernel.lanes;
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  loop(constant(0), constant(count), 1, {own.value, own.place},
       [&](Value rank, ArrayRef<Value> state) {
         Value valueAt = accumulatorPlace(number, panel, rank);
         Value placeAt = accumulatorPlace(number, panel, add(rank, constant(count)));
         Ranked other{load(memory, valueAt, lane), load(memory, placeAt, lane)};
         Value isHere =
             arith::AndIOp::create(builder, loc, enters, isBehind(other, {state[0], state[1]}));
         store(select(isHere, state[0], other.value), memory, valueAt, lane);
         store(select(isHere, state[1], other.place), memory, placeAt, lane);
         return SmallVector<Value>{select(isHere, other.value, state[0]),
                                   select(isHere, other.place, state[1])};
       });
}

void SweepEmitter::replaceLast(size_t number, Value panel, Value lane, Ranked own) {
  int64_t count = plan.features[number] / 2;
  Value memory = memoryAt(plan.accumulatorOffsets[number]), last = constant(count - 1);
  auto at = [&](Value rank) { return add(accumulatorPlace(number, panel, rank), lane); };
  auto read = [&](Value rank) -> Ranked {
    return {memref::LoadOp::create(builder, loc, memory, at(rank)),
            memref::LoadOp::create(builder, loc, memory, at(add(rank, constant(count))))};
  };
  auto write = [&](Value rank, Ranked ranked) {
    memref::StoreOp::create(builder, loc, ranked.value, memory, at(rank));
    memref::StoreOp::create(builder, loc, ranked.place, memory, at(add(rank, constant(count))));
  };
  auto index = builder.getIndexType();
  SmallVector<Type> moved = {index, index, kernel.real, kernel.real};
  auto down = scf::WhileOp::create(builder, loc, moved, ValueRange{constant(0)});
  {
    OpBuilder::InsertionGuard guard(builder);
    Block *before = builder.createBlock(&down.getBefore(), {}, TypeRange{index}, {loc});
    Value hole = before->getArgument(0);
    Value first = add(mul(hole, 2), constant(1));
    Value hasChild = isLess(first, constant(count));
    Value left = minimum(first, last), right = minimum(add(first, constant(1)), last);
    Ranked a = read(left), b = read(right);
    Value isRight = isBehind(b, a);
    Ranked child{select(isRight, b.value, a.value), select(isRight, b.place, a.place)};
    Value moves = arith::AndIOp::create(builder, loc, hasChild, isBehind(child, own));
    scf::ConditionOp::create(
        builder, loc, moves,
        ValueRange{hole, select(isRight, right, left), child.value, child.place});
    Block *after = builder.createBlock(&down.getAfter(), {}, moved, SmallVector<Location>(4, loc));
    write(after->getArgument(0), {after->getArgument(2), after->getArgument(3)});
    scf::YieldOp::create(builder, loc, ValueRange{after->getArgument(1)});
  }
  write(down.getResult(0), own);
}

/// Row by row, what is not a number has no place.
void SweepEmitter::enterHeaps(size_t number, const Tile &tile, Value column, Value values) {
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  Value rootAt = accumulatorPlace(number, tile.panel, constant(0));
  Value rootPlaceAt = accumulatorPlace(number, tile.panel, constant(plan.features[number] / 2));
  kernel.forEach(constant(kRows), 1, [&](Value row) {
    Value place = placeOf(add(tile.firstColumn, add(column, row)));
    kernel.forEach(constant(width), 1, [&](Value lane) {
      auto element = [&](Value from, Value position) -> Value {
        return memref::LoadOp::create(builder, loc, from, add(position, lane));
      };
      Ranked own{element(values, mul(row, width)), place};
      Ranked root{element(memory, rootAt), element(memory, rootPlaceAt)};
      when(isBehind(root, own), [&] { replaceLast(number, tile.panel, lane, own); });
    });
  });
}

Value SweepEmitter::placeOf(Value s) {
  Value number = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), s);
  return arith::SIToFPOp::create(builder, loc, kernel.real, number);
}

void SweepEmitter::emitPlaces(Tile &tile, size_t number, PairResultAttr result, Value whole) {
  int64_t count = plan.features[number] / 2;
  bool inOrder = count <= kInOrder;
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  auto any = [&](Value truths) -> Value {
    return vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, truths);
  };
  kernel.forEach(whole, kRows, [&](Value column) {
    Emitted columns = columnPositions(tile, column, kRows);
    auto score = emitPart(tile, pairs.getPart(result.getValue()), columns, {});
    Mask mask = tile.masked ? emitMask(tile, columns, column) : Mask();
    if (!score || failed(status))
      return;
    auto own = [&](int64_t row, int64_t vector) -> Ranked {
      Value value = masked(mask, row, vector, broadcast(score->value(row, vector)),
                           std::numeric_limits<double>::quiet_NaN());
      return {value, broadcast(placeOf(add(tile.firstColumn, add(column, constant(row)))))};
    };
    auto enters = [&](int64_t row, int64_t vector) {
      int64_t last = inOrder ? count - 1 : 0, lane = vector * kernel.lanes;
      auto at = [&](int64_t feature) {
        return load(memory, accumulatorPlace(number, tile.panel, constant(feature)), lane);
      };
      return isBehind({at(last), at(last + count)}, own(row, vector));
    };
    Value someEnter;
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t vector = 0; vector < vectors; ++vector) {
        Value one = enters(row, vector);
        someEnter = someEnter ? arith::OrIOp::create(builder, loc, someEnter, one) : one;
      }
    when(any(someEnter), [&] {
      Value values = inOrder ? Value() : memoryAt(plan.heapOffset);
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector) {
          Ranked ranked = own(row, vector);
          if (!inOrder) {
            store(ranked.value, values, constant(row * width), vector * kernel.lanes);
            continue;
          }
          Value one = enters(row, vector);
          when(any(one), [&] { insertInOrder(number, tile.panel, vector, ranked, one); });
        }
      if (!inOrder)
        enterHeaps(number, tile, column, values);
    });
  });
}
