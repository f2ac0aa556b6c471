//===- Carry.cpp - what goes from chunk to chunk and from call to call ---------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Solve.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

void seqmix::emitIf(Kernel &kernel, Value condition, function_ref<void()> whenTrue,
                    function_ref<void()> whenFalse) {
  auto choice = scf::IfOp::create(kernel.builder, kernel.loc, condition, bool(whenFalse));
  OpBuilder::InsertionGuard guard(kernel.builder);
  kernel.builder.setInsertionPointToStart(choice.thenBlock());
  whenTrue();
  if (!whenFalse)
    return;
  kernel.builder.setInsertionPointToStart(choice.elseBlock());
  whenFalse();
}

std::optional<unsigned> seqmix::componentOf(Kernel &kernel, StringAttr name) {
  for (auto [number, component] : llvm::enumerate(kernel.layout.carryComponents()))
    if (component.of.getAttr() == name && component.kind != CarryComponent::Rows)
      return number;
  return std::nullopt;
}

std::optional<unsigned> seqmix::rowsOf(Kernel &kernel, StringAttr name) {
  for (auto [number, component] : llvm::enumerate(kernel.layout.carryComponents()))
    if (component.of.getAttr() == name && component.kind == CarryComponent::Rows)
      return number;
  return std::nullopt;
}

Strided seqmix::carriedRows(Kernel &kernel, unsigned component, bool write) {
  const CarryComponent &carried = kernel.layout.carryComponents()[component];
  const SymbolInfo &info = kernel.layout.symbol(carried.of.getAttr());
  Value pointer = carryPointer(kernel, component, write);
  Strided rows = carryElements(kernel, info, pointer, kernel.constant(0));
  if (carried.storage) {
    rows.dtype = carried.storage;
    rows.memref = flatMemref(kernel.builder, kernel.loc, pointer, memoryType(carried.storage));
  }
  return rows;
}

Value seqmix::carryPointer(Kernel &kernel, unsigned component, bool write) {
  return loadPointerSlot(kernel.builder, kernel.loc, kernel.frame,
                         kernel.layout.carrySlots(component).pointer + write);
}

Value seqmix::carriedRow(Kernel &kernel, unsigned component, bool write, Value slot) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  int64_t elements = 1;
  for (int64_t size :
       kernel.layout.symbol(kernel.layout.carryComponents()[component].of.getAttr()).sizes)
    elements *= size;
  auto choice = scf::IfOp::create(builder, loc, TypeRange{builder.getIndexType()}, kernel.isPaged,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  auto scaled = [&](Value a, Value b) { return builder.createOrFold<arith::MulIOp>(loc, a, b); };
  builder.setInsertionPointToStart(choice.thenBlock());
  Value number = arith::DivUIOp::create(builder, loc, slot, kernel.pageRows);
  Value row = arith::RemUIOp::create(builder, loc, slot, kernel.pageRows);
  Value table = flatMemref(builder, loc, kernel.pages, builder.getI32Type());
  Value page =
      arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                 memref::LoadOp::create(builder, loc, table, number).getResult());
  Value stride = loadIndexSlot(builder, loc, kernel.frame,
                               kernel.layout.carrySlots(component).pointer + 2 + write);
  Value within = scaled(row, kernel.constant(elements));
  scf::YieldOp::create(
      builder, loc,
      ValueRange{builder.createOrFold<arith::AddIOp>(loc, scaled(page, stride), within)});
  builder.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(builder, loc, ValueRange{scaled(slot, kernel.constant(elements))});
  return choice.getResult(0);
}

Value seqmix::rowsInPage(Kernel &kernel, Value slot) {
  Value used = arith::RemUIOp::create(kernel.builder, kernel.loc, slot, kernel.pageRows);
  return arith::SubIOp::create(kernel.builder, kernel.loc, kernel.pageRows, used);
}

namespace {
/// Whether the pass makes the rows of `name` itself, so that they have to be kept for the next
/// chunk; what is gathered is read again.
bool isMadeBy(PassOp pass, StringAttr name) {
  bool made = false;
  pass.walk([&](Operation *op) {
    if (auto eval = dyn_cast<EvalOp>(op))
      made |= eval.getOfAttr().getAttr() == name;
    if (auto convolve = dyn_cast<ConvolveOp>(op))
      made |= convolve.getOfAttr().getAttr() == name;
    if (auto loop = dyn_cast<LoopOp>(op))
      for (auto member : loop.getMembers().getAsRange<FlatSymbolRefAttr>())
        made |= member.getAttr() == name;
    if (auto solve = dyn_cast<SolveOp>(op)) {
      auto mixer = pass->getParentOfType<MixerOp>();
      for (auto affine : mixer.getBody().getOps<AffineOp>())
        if (affine.getStateAttr() == solve.getStateAttr())
          for (auto read : affine.getReads().getAsRange<RowReadAttr>())
            made |= read.getResult() && read.getResult().getAttr() == name;
    }
  });
  return made;
}

Strided carryOf(Kernel &kernel, unsigned component, const SymbolInfo &info, bool write) {
  Value stride = loadIndexSlot(kernel.builder, kernel.loc, kernel.frame,
                               kernel.layout.carrySlots(component).pointer + 2 + write);
  return carryElements(kernel, info, carryPointer(kernel, component, write), stride);
}

/// Rows of `buffer` from row `first` on.
Strided rowsFrom(Kernel &kernel, const BufferLayout &buffer, const IndexValue &first) {
  Strided rows = bufferElements(kernel, buffer);
  rows.base = kernel.index().scale(first, buffer.rowStride);
  return rows;
}
} // namespace

LogicalResult seqmix::emitInitialStates(Kernel &kernel) {
  for (auto &buffer : kernel.layout.buffers()) {
    if (buffer.space != Space::State)
      continue;
    if (buffer.panels) {
      emitPanels(kernel, buffer, /*store=*/false);
      continue;
    }
    auto component = componentOf(kernel, buffer.of);
    if (!component)
      return BufferOp(buffer.op).emitOpError("is state space for what is no state");
    auto &info = kernel.layout.symbol(buffer.of);
    auto sizes = bufferSizes(kernel, buffer, IndexValue::constant(1));
    Value given = isGiven(kernel.builder, kernel.loc, carryPointer(kernel, *component, false));
    emitIf(
        kernel, given,
        [&] {
          emitCopy(kernel, carryOf(kernel, *component, info, false), bufferElements(kernel, buffer),
                   sizes, contiguousDim(buffer));
        },
        [&] {
          emitFill(kernel, bufferElements(kernel, buffer), sizes,
                   kernel.layout.carryComponents()[*component].init);
        });
  }
  return success();
}

void seqmix::emitInitialRows(Kernel &kernel, PassOp pass, Space space) {
  bool forward = kernel.direction == Direction::Forward;
  IndexMath math = kernel.index();
  for (auto &buffer : kernel.layout.buffers()) {
    if (buffer.space != space || !isMadeBy(pass, buffer.of))
      continue;
    auto &info = kernel.layout.symbol(buffer.of);
    auto component = componentOf(kernel, buffer.of);
    Value rows = space == Space::Sequence ? kernel.tokens : kernel.chunkRows;
    // Rows in front of the first token, and behind the last one.
    for (bool front : {true, false}) {
      int64_t count = front ? buffer.halo : buffer.ahead;
      if (count == 0 || (space == Space::Rows && front != forward))
        continue;
      IndexValue first = IndexValue::constant(0);
      if (!front)
        first = math.add(IndexValue::of(rows), IndexValue::constant(buffer.halo));
      auto sizes = bufferSizes(kernel, buffer, IndexValue::constant(count));
      emitFill(kernel, rowsFrom(kernel, buffer, first), sizes, 0);
      if (!component)
        continue;
      auto *state = kernel.layout.buffer(buffer.of, Space::State);
      if (state && front != forward)
        continue;
      if (state) {
        if (front != forward)
          continue;
        // The value that the first token sees stands next to it.
        IndexValue next = front ? IndexValue::constant(count - 1) : first;
        emitCopy(kernel, bufferElements(kernel, *state), rowsFrom(kernel, buffer, next),
                 bufferSizes(kernel, buffer, IndexValue::constant(1)), contiguousDim(buffer));
        continue;
      }
      // A window holds earlier tokens, whichever way the pass goes.
      if (!front)
        continue;
      int64_t window = kernel.layout.carryComponents()[*component].shape[0];
      int64_t held = std::min(window, count);
      emitIf(kernel, isGiven(kernel.builder, kernel.loc, carryPointer(kernel, *component, false)),
             [&] {
               Strided from = carryOf(kernel, *component, info, false);
               from.base = math.add(from.base, math.scale(from.strides[1], window - held));
               emitCopy(kernel, from, rowsFrom(kernel, buffer, IndexValue::constant(count - held)),
                        bufferSizes(kernel, buffer, IndexValue::constant(held)),
                        contiguousDim(buffer));
             });
    }
  }
}

void seqmix::emitShiftRows(Kernel &kernel, PassOp pass) {
  bool forward = kernel.direction == Direction::Forward;
  for (auto &buffer : kernel.layout.buffers()) {
    int64_t count = forward ? buffer.halo : buffer.ahead;
    if (buffer.space != Space::Rows || count == 0 || !isMadeBy(pass, buffer.of))
      continue;
    auto sizes = bufferSizes(kernel, buffer, IndexValue::constant(count));
    // Going backwards only the first visited chunk is ragged, so the next one is whole; its rows
    // end where the later tokens' have to be.
    IndexValue source =
        forward ? IndexValue::of(kernel.chunkRows) : IndexValue::constant(buffer.halo);
    IndexValue target = IndexValue::constant(forward ? 0 : buffer.halo + kernel.layout.chunk);
    emitCopy(kernel, rowsFrom(kernel, buffer, source), rowsFrom(kernel, buffer, target), sizes,
             contiguousDim(buffer));
  }
}

namespace {
/// Whether the rows of a definition are only made going backwards, so that its last tokens come
/// first and are gone at the end.
bool isMadeBackwards(Kernel &kernel, StringAttr name) {
  auto *rows = kernel.layout.buffer(name, Space::Rows);
  if (!rows || isa<TensorOp>(kernel.layout.symbol(name).op))
    return false;
  return llvm::none_of(kernel.op.getBody().getOps<PassOp>(), [&](PassOp pass) {
    return pass.getDirection() == Direction::Forward && isMadeBy(pass, name);
  });
}

/// Calls `body` for each window that is made going backwards, where the caller wants it.
void forBackwardWindows(Kernel &kernel, function_ref<void(unsigned, const CarryComponent &)> body) {
  for (auto [number, component] : llvm::enumerate(kernel.layout.carryComponents()))
    if (component.kind == CarryComponent::Window && isMadeBackwards(kernel, component.of.getAttr()))
      emitIf(kernel,
             isGiven(kernel.builder, kernel.loc, carryPointer(kernel, number, /*write=*/true)),
             [&] { body(number, component); });
}
} // namespace

void seqmix::emitOldWindows(Kernel &kernel) {
  IndexMath math = kernel.index();
  forBackwardWindows(kernel, [&](unsigned number, const CarryComponent &component) {
    auto &info = kernel.layout.symbol(component.of.getAttr());
    auto &rows = *kernel.layout.buffer(component.of.getAttr(), Space::Rows);
    auto sizes = bufferSizes(kernel, rows, IndexValue::constant(1));
    int64_t window = component.shape[0];
    Value given = isGiven(kernel.builder, kernel.loc, carryPointer(kernel, number, false));
    // Tokens in front of the first: oldest first, so that the window may be updated in place.
    IndexValue kept =
        math.max(math.sub(IndexValue::constant(window), IndexValue::of(kernel.tokens)),
                 IndexValue::constant(0));
    kernel.forEach(math.scalar(kept), 1, [&](Value row) {
      Strided to = carryOf(kernel, number, info, true);
      to.base = math.add(to.base, math.mul(IndexValue::of(row), to.strides[1]));
      emitIf(
          kernel, given,
          [&] {
            Strided from = carryOf(kernel, number, info, false);
            IndexValue old = math.add(IndexValue::of(row), IndexValue::of(kernel.tokens));
            from.base = math.add(from.base, math.mul(old, from.strides[1]));
            emitCopy(kernel, from, to, sizes, sizes.size() - 1);
          },
          [&] { emitFill(kernel, to, sizes, 0); });
    });
  });
}

void seqmix::emitWindowRows(Kernel &kernel, PassOp pass) {
  IndexMath math = kernel.index();
  forBackwardWindows(kernel, [&](unsigned number, const CarryComponent &component) {
    auto &info = kernel.layout.symbol(component.of.getAttr());
    auto &rows = *kernel.layout.buffer(component.of.getAttr(), Space::Rows);
    if (!isMadeBy(pass, component.of.getAttr()))
      return;
    // The chunk's rows from token T - window on.
    IndexValue start = IndexValue::of(kernel.chunkStart);
    IndexValue oldest =
        math.sub(IndexValue::of(kernel.tokens), IndexValue::constant(component.shape[0]));
    IndexValue first = math.max(math.sub(oldest, start), IndexValue::constant(0));
    IndexValue count =
        math.max(math.sub(IndexValue::of(kernel.chunkRows), first), IndexValue::constant(0));
    Strided to = carryOf(kernel, number, info, true);
    IndexValue place = math.sub(math.add(start, first), oldest);
    to.base = math.add(to.base, math.mul(place, to.strides[1]));
    Strided from = rowsFrom(kernel, rows, math.add(first, IndexValue::constant(rows.halo)));
    emitCopy(kernel, from, to, bufferSizes(kernel, rows, count), contiguousDim(rows));
  });
}

namespace {
/// The last tokens of a tensor, of those in front of them in the tensor, and of the old window.
void emitFinalWindow(Kernel &kernel, unsigned number, const CarryComponent &component) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  auto name = component.of.getAttr();
  auto &info = kernel.layout.symbol(name);
  int64_t window = component.shape[0];
  SmallVector<IndexValue> sizes = {kernel.layout.batchBlock > 1 ? IndexValue::of(kernel.block)
                                                                : IndexValue::constant(1),
                                   IndexValue::constant(1)};
  for (auto [dim, size] : llvm::zip_equal(info.dims, info.sizes))
    sizes.push_back(kernel.isSplit(dim) ? IndexValue::of(kernel.splitCount)
                                        : IndexValue::constant(size));
  int64_t innermost = sizes.size() - 1;
  if (auto *rows = kernel.layout.readable(name); rows && !isa<TensorOp>(info.op)) {
    // The rows in front of the chunk that would come next.
    int64_t count = std::min(window, rows->halo);
    Strided to = carryOf(kernel, number, info, true);
    to.base = math.add(to.base, math.scale(to.strides[1], window - count));
    IndexValue first = IndexValue::constant(rows->halo - count);
    if (rows->space == Space::Sequence)
      first = math.add(first, IndexValue::of(kernel.tokens));
    emitCopy(kernel, rowsFrom(kernel, *rows, first), to,
             bufferSizes(kernel, *rows, IndexValue::constant(count)), contiguousDim(*rows));
    return;
  }
  // Oldest first, so that the window may be updated in place.
  kernel.forEach(kernel.constant(window), 1, [&](Value row) {
    IndexValue token = math.add(math.add(IndexValue::of(kernel.tokens), IndexValue::of(row)),
                                IndexValue::constant(-window));
    Strided to = carryOf(kernel, number, info, true);
    to.base = math.add(to.base, math.mul(IndexValue::of(row), to.strides[1]));
    IndexValue inTensor = math.add(token, IndexValue::of(tokensBefore(kernel, info)));
    emitIf(
        kernel, math.compare(arith::CmpIPredicate::sge, inTensor, IndexValue::constant(0)),
        [&] {
          Strided from = callerElements(kernel, kernel.tensor(name), info, token);
          emitCopy(kernel, from, to, sizes, innermost);
        },
        [&] {
          IndexValue old = math.add(inTensor, IndexValue::constant(window));
          Value given = isGiven(builder, loc, carryPointer(kernel, number, false));
          Value there = math.compare(arith::CmpIPredicate::sge, old, IndexValue::constant(0));
          emitIf(
              kernel, arith::AndIOp::create(builder, loc, given, there),
              [&] {
                Strided from = carryOf(kernel, number, info, false);
                from.base = math.add(from.base, math.mul(old, from.strides[1]));
                emitCopy(kernel, from, to, sizes, innermost);
              },
              [&] { emitFill(kernel, to, sizes, 0); });
        });
  });
}
} // namespace

namespace {
/// The call's rows behind those of earlier calls, which stay or come along from where they were
/// read.
void emitFinalRows(Kernel &kernel, unsigned number, const CarryComponent &component) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  auto name = component.of.getAttr();
  auto &info = kernel.layout.symbol(name);
  int64_t ring = component.shape[0];
  SmallVector<IndexValue> sizes = {IndexValue::constant(1), IndexValue()};
  for (auto [dim, size] : llvm::zip_equal(info.dims, info.sizes))
    sizes.push_back(kernel.isSplit(dim) ? IndexValue::of(kernel.splitCount)
                                        : IndexValue::constant(size));
  int64_t innermost = sizes.size() - 1;
  auto move = [&](Strided from, const IndexValue &first, Strided to, const IndexValue &place,
                  const IndexValue &count) {
    from.base = math.add(from.base, math.mul(first, from.strides[1]));
    to.base = math.add(to.base, place);
    sizes[1] = count;
    emitCopy(kernel, from, to, sizes, innermost);
  };
  // Row by page: what is left of the first one, then whole ones.
  auto copy = [&](const Strided &from, const IndexValue &first, const Strided &to,
                  const IndexValue &slot, const IndexValue &count) {
    Value start = math.scalar(slot), all = math.scalar(count);
    Value room = rowsInPage(kernel, start);
    Value behind = arith::MaxSIOp::create(
        builder, loc, arith::SubIOp::create(builder, loc, all, room), kernel.constant(0));
    Value pieces = arith::CeilDivSIOp::create(builder, loc, behind, kernel.pageRows);
    pieces = arith::AddIOp::create(builder, loc, pieces, kernel.constant(1));
    kernel.forEach(pieces, 1, [&](Value piece) {
      Value end = arith::AddIOp::create(
          builder, loc, room, arith::MulIOp::create(builder, loc, piece, kernel.pageRows));
      Value begin = arith::MaxSIOp::create(
          builder, loc, arith::SubIOp::create(builder, loc, end, kernel.pageRows),
          kernel.constant(0));
      end = arith::MinSIOp::create(builder, loc, end, all);
      Value place = carriedRow(kernel, number, /*write=*/true,
                               arith::AddIOp::create(builder, loc, start, begin));
      move(from, math.add(first, IndexValue::of(begin)), to, IndexValue::of(place),
           IndexValue::of(arith::SubIOp::create(builder, loc, end, begin)));
    });
  };
  Value read = carryPointer(kernel, number, /*write=*/false);
  Value write = carryPointer(kernel, number, /*write=*/true);
  Value moved = LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::ne, read, write);
  Strided to = carriedRows(kernel, number, /*write=*/true);
  IndexValue zero = IndexValue::constant(0), position = IndexValue::of(kernel.position);
  emitIf(kernel, arith::AndIOp::create(builder, loc, isGiven(builder, loc, read), moved), [&] {
    Strided from = carriedRows(kernel, number, /*write=*/false);
    IndexValue held = ring < 0 ? position : math.min(position, IndexValue::constant(ring));
    move(from, zero, to, zero, held);
  });
  auto *buffer = kernel.layout.readable(name);
  bool isMade = !isa<TensorOp>(info.op);
  assert((!isMade || buffer) && "rows that are carried are kept");
  Strided from = isMade ? rowsFrom(kernel, *buffer, IndexValue::constant(buffer->halo))
                        : callerElements(kernel, kernel.tensor(name), info, zero);
  IndexValue tokens = IndexValue::of(kernel.tokens);
  if (ring < 0)
    return copy(from, zero, to, position, tokens);
  // The last tokens, up to the end of the ring and then from its start.
  IndexValue size = IndexValue::constant(ring);
  IndexValue first = math.max(math.sub(tokens, size), zero);
  IndexValue slot = math.mod(math.add(position, first), size);
  IndexValue count = math.sub(tokens, first);
  IndexValue before = math.min(count, math.sub(size, slot));
  copy(from, first, to, slot, before);
  copy(from, math.add(first, before), to, zero, math.sub(count, before));
}
} // namespace

LogicalResult seqmix::emitFinalStates(Kernel &kernel) {
  for (auto [number, component] : llvm::enumerate(kernel.layout.carryComponents())) {
    auto name = component.of.getAttr();
    if (component.kind == CarryComponent::Rows) {
      emitIf(kernel,
             isGiven(kernel.builder, kernel.loc, carryPointer(kernel, number, /*write=*/true)),
             [&] { emitFinalRows(kernel, number, component); });
      continue;
    }
    auto &info = kernel.layout.symbol(name);
    auto *state = kernel.layout.buffer(name, Space::State);
    if (state && state->panels) {
      emitPanels(kernel, *state, /*store=*/true);
      continue;
    }
    if (component.kind == CarryComponent::State && !state)
      return info.op->emitError("the state has no buffer");
    if (component.kind == CarryComponent::Window && !isa<TensorOp>(info.op) &&
        !kernel.layout.readable(name))
      return info.op->emitError("the window of '")
             << name.getValue() << "' is carried, but no buffer holds its rows";
    if (component.kind == CarryComponent::Window && isMadeBackwards(kernel, name))
      continue; // written by the chunks
    Value wanted = isGiven(kernel.builder, kernel.loc, carryPointer(kernel, number, true));
    emitIf(kernel, wanted, [&] {
      if (component.kind == CarryComponent::Window)
        return emitFinalWindow(kernel, number, component);
      assert(state && "a state has a buffer");
      emitCopy(kernel, bufferElements(kernel, *state), carryOf(kernel, number, info, true),
               bufferSizes(kernel, *state, IndexValue::constant(1)), contiguousDim(*state));
    });
  }
  return success();
}
