//===- SweepNarrowSums.cpp - results of pairwise reductions of few rows ---------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepNarrow.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

Value NarrowSweepEmitter::reduceLanes(PairKind kind, Value value) {
  vector::CombiningKind combining = vector::CombiningKind::ADD;
  switch (functionOf(kind)) {
  case BinaryFn::Mul:
    combining = vector::CombiningKind::MUL;
    break;
  case BinaryFn::Max:
    combining = vector::CombiningKind::MAXNUMF;
    break;
  case BinaryFn::Min:
    combining = vector::CombiningKind::MINNUMF;
    break;
  default:
    break;
  }
  return vector::ReductionOp::create(builder, loc, combining, value, arith::FastMathFlags::reassoc);
}

int64_t NarrowSweepEmitter::padded(size_t result) {
  return plan.narrowFeatures(kernel.layout.symbol(results[result].getProduced().getAttr()));
}

Value NarrowSweepEmitter::sumPlace(size_t result, Value panel) {
  return mul(panel, padded(result));
}

Strided NarrowSweepEmitter::sums(size_t result, Value panel) {
  ArrayRef<int64_t> sizes = kernel.layout.symbol(results[result].getProduced().getAttr()).sizes;
  bool isMax = results[result].getKind() == PairKind::ScoreMax;
  Strided memory;
  memory.memref = memoryAt(isMax ? plan.maxOffset : plan.accumulatorOffsets[result]);
  memory.base = IndexValue::of(isMax ? mul(panel, width) : sumPlace(result, panel));
  memory.strides.assign(2 + sizes.size(), IndexValue::constant(0));
  int64_t stride = 1;
  for (int64_t dim = sizes.size() - 1; dim >= 0; --dim) {
    memory.strides[2 + dim] = IndexValue::constant(stride);
    bool isLast = dim + 1 == static_cast<int64_t>(sizes.size());
    stride *= isLast ? static_cast<int64_t>(llvm::alignTo(sizes[dim], kernel.lanes)) : sizes[dim];
  }
  return memory;
}

SmallVector<IndexValue> NarrowSweepEmitter::featureSizes(size_t result) {
  SmallVector<IndexValue> sizes(2, IndexValue::constant(1));
  for (int64_t size : kernel.layout.symbol(results[result].getProduced().getAttr()).sizes)
    sizes.push_back(IndexValue::constant(size));
  return sizes;
}

void NarrowSweepEmitter::start(Value panel) {
  if (pairs.getScore())
    for (int64_t offset : {plan.shiftOffset, plan.maxOffset})
      store(real(-kInf), memoryAt(offset), mul(panel, width));
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getKind() == PairKind::ScoreMax)
      continue;
    Value memory = memoryAt(plan.accumulatorOffsets[number]), place = sumPlace(number, panel);
    Value identity = real(identityOf(result.getKind()));
    kernel.forEach(constant(padded(number)), kernel.lanes,
                   [&](Value at) { store(identity, memory, add(place, at)); });
  }
}

void NarrowSweepEmitter::scaleSums(Value panel, ArrayRef<Value> factors) {
  for (auto [number, result] : llvm::enumerate(results)) {
    if (!usesScore(result))
      continue;
    Value memory = memoryAt(plan.accumulatorOffsets[number]), place = sumPlace(number, panel);
    kernel.forEach(constant(padded(number)), kernel.lanes, [&](Value at) {
      Value position = add(place, at);
      store(times(load(memory, position), factors[0]), memory, position);
    });
  }
}

void NarrowSweepEmitter::foldLanes(Value panel) {
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getKind() == PairKind::ScoreMax ||
        !kernel.layout.symbol(result.getProduced().getAttr()).sizes.empty())
      continue;
    Value memory = memoryAt(plan.accumulatorOffsets[number]), place = sumPlace(number, panel);
    memref::StoreOp::create(builder, loc, reduceLanes(result.getKind(), load(memory, place)),
                            memory, place);
  }
}

void NarrowSweepEmitter::finish(Value panel) {
  foldLanes(panel);
  for (auto [number, result] : llvm::enumerate(results)) {
    auto name = result.getProduced().getAttr();
    const BufferLayout *buffer = kernel.layout.readable(name);
    if (!buffer)
      continue;
    SmallVector<IndexValue> zeros(kernel.layout.symbol(name).sizes.size(), IndexValue::constant(0));
    Strided to = bufferElements(kernel, *buffer);
    to.base = kernel.address(*buffer, IndexValue::of(panel), IndexValue::constant(0), zeros);
    SmallVector<IndexValue> sizes = featureSizes(number);
    emitCopy(kernel, sums(number, panel), to, sizes, sizes.size() - 1);
  }
}

Value NarrowSweepEmitter::partialMemory() {
  return flatMemref(builder, loc, kernel.partial, kernel.real);
}

Value NarrowSweepEmitter::partialRow(Value part, Value panel) {
  int64_t elements = kernel.layout.partialBytes / (kernel.real.getIntOrFloatBitWidth() / 8);
  Value rows = kernel.groupRows ? kernel.groupRows : kernel.tokens;
  Value token = add(add(mul(part, rows), kernel.chunkStart), panel);
  return add(mul(token, elements), constant(plan.partialStart));
}

void NarrowSweepEmitter::leave(Value panel) {
  foldLanes(panel);
  Value memory = partialMemory(), row = partialRow(kernel.part, panel);
  if (pairs.getScore()) {
    Value largest =
        memref::LoadOp::create(builder, loc, memoryAt(plan.maxOffset), mul(panel, width));
    memref::StoreOp::create(builder, loc, largest, memory,
                            add(row, constant(plan.partialOffsets.back())));
  }
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getKind() == PairKind::ScoreMax)
      continue;
    Strided to = sums(number, panel);
    to.memref = memory;
    to.base = IndexValue::of(add(row, constant(plan.partialOffsets[number])));
    SmallVector<IndexValue> sizes = featureSizes(number);
    int64_t stride = 1; // without padding
    for (int64_t dim = sizes.size() - 1; dim >= 2; --dim) {
      to.strides[dim] = IndexValue::constant(stride);
      stride *= sizes[dim].offset;
    }
    emitCopy(kernel, sums(number, panel), to, sizes, sizes.size() - 1);
  }
}

void NarrowSweepEmitter::merge(Value panel, Value part) {
  Value memory = partialMemory(), row = partialRow(part, panel), at = mul(panel, width);
  Value factor;
  if (pairs.getScore()) {
    Value own = load(memoryAt(plan.maxOffset), at);
    Value other = broadcast(memref::LoadOp::create(builder, loc, memory,
                                                   add(row, constant(plan.partialOffsets.back()))));
    Value to = larger(other, own);
    factor = scale(other, to);
    store(to, memoryAt(plan.maxOffset), at);
    rescale(panel, {own}, {to});
  }
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getKind() == PairKind::ScoreMax)
      continue;
    ArrayRef<int64_t> sizes = kernel.layout.symbol(result.getProduced().getAttr()).sizes;
    int64_t last = sizes.empty() ? 1 : sizes.back(), lines = plan.features[number] / last;
    int64_t line = llvm::alignTo(last, kernel.lanes);
    Value to = memoryAt(plan.accumulatorOffsets[number]), place = sumPlace(number, panel);
    Value from = add(row, constant(plan.partialOffsets[number]));
    // What pads a line, and all lanes but one of a single number, are the identity.
    Value identity = real(identityOf(result.getKind()));
    bool isScaled = usesScore(result);
    kernel.forEach(constant(lines), 1, [&](Value number) {
      kernel.forEach(constant(line), kernel.lanes, [&](Value lane) {
        Value mask = vector::CreateMaskOp::create(
            builder, loc, kernel.vectorType(builder.getI1Type()), sub(constant(last), lane));
        Value other =
            vector::MaskedLoadOp::create(builder, loc, vectorType, memory,
                                         add(add(from, mul(number, last)), lane), mask, identity);
        if (isScaled)
          other = times(other, factor);
        Value position = add(add(place, mul(number, line)), lane);
        store(combine(result.getKind(), load(to, position), other), to, position);
      });
    });
  }
}
