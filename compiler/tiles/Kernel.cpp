//===- Kernel.cpp - the function being emitted ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Kernel.h"

#include "compiler/tiles/Memory.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Rows of a page where there are no pages: none has as many, and sums of two do not overflow.
constexpr int64_t kAllRows = int64_t(1) << 60;
} // namespace

Kernel::Kernel(MixerOp mixer, KernelOp op, const TargetInfo &target, const Layout &layout,
               func::FuncOp function)
    : mixer(mixer), op(op), target(target), layout(layout), builder(op.getContext()),
      loc(op.getLoc()), real(layout.real), lanes(layout.lanes) {
  Block *entry = function.addEntryBlock();
  builder.setInsertionPointToStart(entry);
  frame = entry->getArgument(0);
  auto slot = [&](int64_t number) { return loadIndexSlot(builder, loc, frame, number); };
  block = slot(SEQ_FRAME_BLOCK);
  splitBegin = slot(SEQ_FRAME_SPLIT_BEGIN);
  splitCount = slot(SEQ_FRAME_SPLIT_COUNT);
  if (layout.partialBytes > 0) {
    parts = slot(SEQ_FRAME_PARTS);
    part = slot(SEQ_FRAME_PART);
    partial = loadPointerSlot(builder, loc, frame, SEQ_FRAME_PARTIAL);
    isPart = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, part, parts);
    Value some = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, parts, constant(0));
    Value last = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, part, parts);
    isMerge = arith::AndIOp::create(builder, loc, some, last);
  }
  if (layout.group > 1) {
    groupRows = slot(SEQ_FRAME_ROWS);
    firstRow = slot(SEQ_FRAME_FIRST_ROW);
    auto isPhase = [&](int64_t phase) {
      return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, slot(SEQ_FRAME_PHASE),
                                   constant(phase));
    };
    makesRows = isPhase(SEQ_PHASE_MAKE);
    sweepsRows = isPhase(SEQ_PHASE_SWEEP);
  }
  if (llvm::any_of(layout.carryComponents(), [](const CarryComponent &component) {
        return component.kind == CarryComponent::Rows;
      })) {
    pages = loadPointerSlot(builder, loc, frame, SEQ_FRAME_PAGES);
    isPaged = isGiven(builder, loc, pages);
    pageRows = arith::SelectOp::create(builder, loc, isPaged, slot(SEQ_FRAME_PAGE_ROWS),
                                       constant(kAllRows));
  }
  scratch = loadPointerSlot(builder, loc, frame, SEQ_FRAME_SCRATCH);
  shared = loadPointerSlot(builder, loc, frame, SEQ_FRAME_SHARED);
  positionsOf[layout.tokenDim] = {slot(SEQ_FRAME_TOKENS), slot(SEQ_FRAME_POSITION),
                                  slot(SEQ_FRAME_LENGTH), slot(SEQ_FRAME_HISTORY),
                                  loadPointerSlot(builder, loc, frame, SEQ_FRAME_SEQUENCE)};
  for (auto &[dim, bytes] : layout.storageBytes) {
    Value extent = slot(layout.lengthSlot(dim)), zero = constant(0);
    positionsOf[dim] = {extent, zero, extent, zero,
                        loadPointerSlot(builder, loc, frame, layout.lengthSlot(dim) + 1)};
  }
  enter(layout.tokenDim);
  if (layout.earlier) {
    earlier = position;
    if (layout.earlier->ring > 0)
      earlier = arith::MinSIOp::create(builder, loc, position, constant(layout.earlier->ring));
  }
  for (auto &buffer : layout.buffers())
    memrefs[&buffer] = flatMemref(builder, loc, pointer(buffer), elementType(buffer.kind));
  for (auto tensor : mixer.getOps<TensorOp>()) {
    auto name = tensor.getSymNameAttr();
    tensors[name] =
        loadCaller(layout.tensorSlots(name), tensor.getDims().size(), tensor.getDtype());
  }
  for (auto output : mixer.getOps<OutputOp>()) {
    auto name = output.getSourceAttr().getAttr();
    auto &slots = layout.outputSlots(name);
    int64_t dims = layout.symbol(name).sizes.size() + slots.perToken;
    outputs[name] = loadCaller(slots, dims, output.getDtype());
  }
  placeInPlace();
}

void Kernel::enter(StringAttr dim) {
  const Positions &own = positions(dim);
  walked = dim;
  tokens = own.tokens;
  position = own.position;
  length = own.length;
  history = own.history;
}

CallerMemory Kernel::loadCaller(const FrameSlots &slots, int64_t dims, Type dtype) {
  CallerMemory memory;
  memory.dtype = dtype;
  memory.pointer = loadPointerSlot(builder, loc, frame, slots.pointer);
  memory.memref = flatMemref(builder, loc, memory.pointer, memoryType(dtype));
  memory.blockStride = loadIndexSlot(builder, loc, frame, slots.pointer + 1);
  for (int64_t dim = 0; dim < dims; ++dim) {
    int64_t number = slots.order.empty() ? dim : slots.order[dim];
    Value stride = loadIndexSlot(builder, loc, frame, slots.pointer + 2 + number);
    if (dim == 0 && slots.perToken)
      memory.tokenStride = stride;
    else
      memory.strides.push_back(stride);
  }
  return memory;
}

Type Kernel::elementType(ValueKind kind) const {
  return kind == ValueKind::Real ? real : IntegerType::get(real.getContext(), 32);
}

Value Kernel::pointer(const BufferLayout &buffer) {
  if (auto found = inPlace.find(&buffer); found != inPlace.end())
    return found->second.pointer;
  switch (buffer.space) {
  case Space::Shared:
    return advance(builder, loc, shared, buffer.offset);
  case Space::Sequence: {
    Value stored = storedRows(buffer);
    if (!earlier)
      return stored;
    Value bytes = constant(buffer.rowStride * bytesOf(buffer));
    return advance(builder, loc, stored, arith::MulIOp::create(builder, loc, earlier, bytes));
  }
  default:
    return advance(builder, loc, scratch, buffer.offset);
  }
}

Value Kernel::storedRows(const BufferLayout &buffer) {
  return storageAt(positions(layout.symbol(buffer.of).position), buffer.offset);
}

Value Kernel::firstStored(const Positions &own) {
  return earlier ? arith::SubIOp::create(builder, loc, own.position, earlier).getResult()
                 : own.position;
}

int64_t Kernel::bytesOf(const BufferLayout &buffer) const {
  return elementType(buffer.kind).getIntOrFloatBitWidth() / 8;
}

Value Kernel::storageAt(const Positions &own, int64_t positionBytes) {
  Value rows = arith::AddIOp::create(builder, loc, own.tokens, constant(SEQ_SEQUENCE_EDGE));
  if (earlier)
    rows = arith::AddIOp::create(builder, loc, rows, earlier);
  Value bytes = arith::MulIOp::create(builder, loc, rows, constant(positionBytes));
  return advance(builder, loc, own.storage, bytes);
}

Value Kernel::sequenceAt(int64_t tokenBytes) {
  return storageAt(positions(layout.tokenDim), tokenBytes);
}

IndexValue Kernel::address(const BufferLayout &buffer, const IndexValue &row,
                           const IndexValue &batch, ArrayRef<IndexValue> dims) {
  IndexMath math = index();
  IndexValue result = IndexValue::constant(0);
  if (buffer.space == Space::Rows || buffer.space == Space::Sequence) {
    result = math.add(row, IndexValue::constant(buffer.halo));
    if (buffer.space == Space::Sequence)
      result = math.add(result, IndexValue::of(chunkStart));
    result = math.mul(result, rowStride(buffer));
  }
  if (buffer.batchStride)
    result = math.add(result, math.scale(batch, buffer.batchStride));
  for (auto [dim, stride] : llvm::zip_equal(dims, buffer.strides))
    result = math.add(result, math.scale(dim, stride));
  return result;
}

void Kernel::forEach(Value count, int64_t step, function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(builder, loc, constant(0), count, constant(step));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void Kernel::forEach(int64_t count, int64_t step, function_ref<void(IndexValue)> body) {
  if (count <= step) {
    if (count > 0)
      body(IndexValue::constant(0));
    return;
  }
  forEach(constant(count), step,
          [&](Value number) { body(IndexValue::of(number, 0, (count - 1) / step * step)); });
}
