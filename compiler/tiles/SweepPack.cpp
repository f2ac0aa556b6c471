//===- SweepPack.cpp - operands of a sweep side by side -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepEmitter.h"
#include "compiler/tiles/Transpose.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

const BufferLayout *SweepEmitter::bufferOf(StringAttr name) { return kernel.layout.readable(name); }

void SweepEmitter::packRows(Value panel, Value last) {
  for (const SweepOperand &operand : plan.rows)
    packOperand(operand, panel, last);
  packExponentials(/*ofColumns=*/false, panel, {});
}

void SweepEmitter::packOperand(const SweepOperand &operand, Value panel, Value last) {
  IndexMath math = kernel.index();
  const BufferLayout *buffer = bufferOf(operand.name);
  assert(buffer && "what is read at a row has a buffer");
  const SymbolInfo &info = kernel.layout.symbol(operand.name);
  Type element = kernel.elementType(operand.kind);
  auto type = kernel.vectorType(element), indexType = kernel.vectorType(builder.getIndexType());
  Value to = memoryAt(operand.offset, element), from = kernel.memref(*buffer);
  Value start = math.scalar(
      kernel.address(*buffer, IndexValue::constant(0), IndexValue::constant(0),
                     SmallVector<IndexValue>(info.sizes.size(), IndexValue::constant(0))));
  Value stride = math.scalar(kernel.rowStride(*buffer));
  Features features = featuresOf(info.sizes, operand.strides, buffer->strides);
  if (operand.kind != ValueKind::Real)
    features.turned = -1;
  auto placeOf = [&](Value packed) {
    return add(mul(panel, operand.elements * width), mul(packed, width));
  };
  if (features.turned >= 0)
    kernel.forEach(constant(width), kernel.lanes, [&](Value first) {
      SmallVector<Value> rows;
      for (int64_t lane = 0; lane < kernel.lanes; ++lane) {
        Value row = add(add(mul(panel, width), first), constant(lane));
        rows.push_back(add(start, mul(minimum(row, last), stride)));
      }
      forBlocks(features, [&](Value packed, Value unpacked) {
        SmallVector<Value> block;
        for (Value row : rows)
          block.push_back(vector::LoadOp::create(builder, loc, type, from, add(row, unpacked)));
        int64_t apart = operand.strides[features.turned] * width;
        for (auto [number, vector] : llvm::enumerate(transposed(builder, loc, block)))
          vector::StoreOp::create(
              builder, loc, vector, to,
              add(add(placeOf(packed), first), constant(static_cast<int64_t>(number) * apart)));
      });
    });
  SmallVector<Value> addresses;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    auto broadcastIndex = [&](Value value) -> Value {
      return vector::BroadcastOp::create(builder, loc, indexType, value);
    };
    Value first = add(mul(panel, width), constant(vector * kernel.lanes));
    Value row = arith::AddIOp::create(builder, loc, broadcastIndex(first), math.iota());
    row = arith::MinSIOp::create(builder, loc, row, broadcastIndex(last));
    Value address = arith::MulIOp::create(builder, loc, row, broadcastIndex(stride));
    addresses.push_back(arith::AddIOp::create(builder, loc, address, broadcastIndex(start)));
  }
  Value all = arith::ConstantOp::create(
      builder, loc,
      DenseElementsAttr::get(kernel.vectorType(builder.getI1Type()), builder.getBoolAttr(true)));
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  forRest(features, [&](Value packed, Value unpacked) {
    for (int64_t vector = 0; vector < vectors; ++vector) {
      Value value = vector::GatherOp::create(builder, loc, type, from, ValueRange{unpacked},
                                             addresses[vector], all, zero);
      vector::StoreOp::create(builder, loc, value, to,
                              add(placeOf(packed), constant(vector * kernel.lanes)));
      if (operand.rangeOffset >= 0)
        widenRange(operand, panel, value);
    }
  });
}

SweepEmitter::Features SweepEmitter::featuresOf(ArrayRef<int64_t> sizes, ArrayRef<int64_t> strides,
                                                ArrayRef<int64_t> others) const {
  Features features{sizes, strides, others};
  for (auto [dim, other] : llvm::enumerate(others))
    if (other == 1 && sizes[dim] >= kernel.lanes)
      features.turned = dim;
  return features;
}

void SweepEmitter::forRange(const Features &features, int64_t first, int64_t end, int64_t step,
                            FeatureBody body) {
  auto nest = [&](auto &self, size_t dim, Value packed, Value unpacked) -> void {
    if (dim == features.sizes.size())
      return body(packed, unpacked);
    bool isTurned = static_cast<int64_t>(dim) == features.turned;
    int64_t from = isTurned ? first : 0, to = isTurned ? end : features.sizes[dim];
    kernel.forEach(constant(to - from), isTurned ? step : 1, [&](Value number) {
      Value index = add(number, constant(from));
      self(self, dim + 1, add(packed, mul(index, features.strides[dim])),
           add(unpacked, mul(index, features.others[dim])));
    });
  };
  nest(nest, 0, constant(0), constant(0));
}

void SweepEmitter::forFeatures(const Features &features, FeatureBody body) {
  int64_t end = features.turned < 0 ? 0 : features.sizes[features.turned];
  forRange(features, 0, end, 1, body);
}

void SweepEmitter::forBlocks(const Features &features, FeatureBody body) {
  int64_t whole = features.sizes[features.turned] / kernel.lanes * kernel.lanes;
  forRange(features, 0, whole, kernel.lanes, body);
}

void SweepEmitter::forRest(const Features &features, FeatureBody body) {
  if (features.turned < 0)
    return forFeatures(features, body);
  int64_t size = features.sizes[features.turned];
  if (size % kernel.lanes)
    forRange(features, size / kernel.lanes * kernel.lanes, size, 1, body);
}

Value SweepEmitter::rangeMemory(const SweepOperand &operand) {
  return memoryAt(operand.rangeOffset, builder.getI32Type());
}

void SweepEmitter::clearRanges(const SweepOperand &operand, int64_t count) {
  if (operand.rangeOffset < 0)
    return;
  Value memory = rangeMemory(operand);
  auto set = [&](Value at) {
    auto number = [&](int32_t value) -> Value {
      return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(value));
    };
    memref::StoreOp::create(builder, loc, number(INT32_MAX), memory, mul(at, 2));
    memref::StoreOp::create(builder, loc, number(INT32_MIN), memory, add(mul(at, 2), constant(1)));
  };
  kernel.forEach(constant(count), 1, set);
}

void SweepEmitter::widenRange(const SweepOperand &operand, Value panel, Value value) {
  Value memory = rangeMemory(operand);
  bool isVector = isa<VectorType>(value.getType());
  Value low = isVector
                  ? vector::ReductionOp::create(builder, loc, vector::CombiningKind::MINSI, value)
                        .getResult()
                  : value;
  Value high = isVector
                   ? vector::ReductionOp::create(builder, loc, vector::CombiningKind::MAXSI, value)
                         .getResult()
                   : value;
  SmallVector<Value> places = {panel};
  if (isVector)
    places.push_back(constant(plan.allRows()));
  for (Value at : places) {
    Value first = mul(at, 2), second = add(first, constant(1));
    Value oldLow = memref::LoadOp::create(builder, loc, memory, first);
    Value oldHigh = memref::LoadOp::create(builder, loc, memory, second);
    memref::StoreOp::create(builder, loc, minimum(oldLow, low), memory, first);
    memref::StoreOp::create(builder, loc, maximum(oldHigh, high), memory, second);
  }
}

void SweepEmitter::widenByColumns(const SweepOperand &operand, Value from, Value count) {
  auto type = kernel.vectorType(builder.getI32Type());
  auto all = [&](int32_t value) -> Value {
    return arith::ConstantOp::create(
        builder, loc, DenseElementsAttr::get(type, builder.getI32IntegerAttr(value)));
  };
  // Vectors that run past the last column end inside the operand's memory.
  auto ends = loop(
      constant(0), count, kernel.lanes, {all(INT32_MAX), all(INT32_MIN)},
      [&](Value at, ArrayRef<Value> carried) -> SmallVector<Value> {
        Value mask = vector::CreateMaskOp::create(
            builder, loc, kernel.vectorType(builder.getI1Type()), sub(count, at));
        Value values = vector::LoadOp::create(builder, loc, type, from, at);
        return {
            minimum(carried[0], arith::SelectOp::create(builder, loc, mask, values, carried[0])),
            maximum(carried[1], arith::SelectOp::create(builder, loc, mask, values, carried[1]))};
      });
  using vector::CombiningKind;
  for (auto [number, kind] : {std::pair(0, CombiningKind::MINSI), {1, CombiningKind::MAXSI}})
    widenRange(operand, constant(0), vector::ReductionOp::create(builder, loc, kind, ends[number]));
}

Bounds SweepEmitter::rangeOf(const SweepOperand &operand, Value at) {
  Value memory = rangeMemory(operand);
  auto get = [&](Value place) -> Value {
    return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                      memref::LoadOp::create(builder, loc, memory, place));
  };
  return {get(mul(at, 2)), get(add(mul(at, 2), constant(1)))};
}

void SweepEmitter::packColumns(Value first, Value count, bool integers) {
  for (const SweepOperand &operand : plan.columns) {
    if ((operand.rangeOffset >= 0) != integers)
      continue;
    packColumn(operand, first, count);
  }
  if (!integers) {
    Value whole = mul(arith::CeilDivSIOp::create(builder, loc, count, constant(kRows)), kRows);
    packExponentials(/*ofColumns=*/true, constant(0), whole);
  }
}

void SweepEmitter::packColumn(const SweepOperand &operand, Value first, Value count) {
  const SymbolInfo &info = kernel.layout.symbol(operand.name);
  Strided to;
  to.memref = memoryAt(operand.offset, kernel.elementType(operand.kind));
  to.strides = {IndexValue::constant(0), IndexValue::constant(operand.elements)};
  SmallVector<IndexValue> sizes = {IndexValue::constant(1), IndexValue::of(count)};
  for (auto [size, stride] : llvm::zip_equal(info.sizes, operand.strides)) {
    sizes.push_back(IndexValue::constant(size));
    to.strides.push_back(IndexValue::constant(stride));
  }
  copyColumns(operand, info, first, to, sizes);
  if (operand.rangeOffset >= 0) {
    clearRanges(operand, 1);
    widenByColumns(operand, to.memref, count);
  }
  Strided rest = to;
  rest.base = IndexValue::of(mul(count, operand.elements));
  Value whole = mul(arith::CeilDivSIOp::create(builder, loc, count, constant(kRows)), kRows);
  sizes[1] = IndexValue::of(sub(whole, count));
  emitFill(kernel, rest, sizes, 0);
}

void SweepEmitter::copyColumns(const SweepOperand &operand, const SymbolInfo &info, Value first,
                               const Strided &to, ArrayRef<IndexValue> sizes) {
  int64_t innermost = sizes.size() - 1;
  auto own = [&] { emitCopy(kernel, columnSource(operand, info, first), to, sizes, innermost); };
  auto carried = rowsOf(kernel, operand.name);
  if (!carried)
    return own();
  when(
      isLess(first, over.position),
      [&] {
        Strided from = carriedRows(kernel, *carried, /*write=*/false);
        int64_t ring = ringOf(*carried);
        Value slot = ring < 0 ? first : remainder(first, ring);
        Value row = carriedRow(kernel, *carried, /*write=*/false, slot);
        from.base = kernel.index().add(from.base, IndexValue::of(row));
        emitCopy(kernel, from, to, sizes, innermost);
      },
      own);
}

int64_t SweepEmitter::ringOf(unsigned component) {
  return kernel.layout.carryComponents()[component].shape[0];
}

Value SweepEmitter::remainder(Value a, int64_t b) {
  return arith::RemUIOp::create(builder, loc, a, constant(b));
}

Value SweepEmitter::contiguousColumns(Value first, Value count) {
  Value isPast = isLess(first, over.position);
  Value left = count;
  for (const SweepOperand &operand : plan.columns)
    if (auto carried = rowsOf(kernel, operand.name)) {
      left = minimum(left, sub(over.position, first));
      int64_t ring = ringOf(*carried);
      Value slot = ring > 0 ? remainder(first, ring) : first;
      if (ring > 0)
        left = minimum(left, sub(constant(ring), slot));
      left = minimum(left, rowsInPage(kernel, slot));
    }
  return left == count ? count : select(isPast, left, count);
}

Strided SweepEmitter::columnSource(const SweepOperand &operand, const SymbolInfo &info,
                                   Value first) {
  IndexMath math = kernel.index();
  if (auto *buffer = bufferOf(operand.name); buffer && buffer->space == Space::Sequence) {
    Strided from = bufferElements(kernel, *buffer);
    if (kernel.earlier)
      from.memref =
          flatMemref(builder, loc, kernel.storedRows(*buffer), kernel.elementType(buffer->kind));
    Value row = add(sub(first, kernel.firstStored(over)), constant(buffer->halo));
    from.base = math.scale(IndexValue::of(row), buffer->rowStride);
    return from;
  }
  assert(isa<TensorOp>(info.op) && "what is read at all positions is kept for all of them");
  return callerElements(kernel, kernel.tensor(operand.name), info,
                        IndexValue::of(sub(first, over.position)));
}
