//===- Prefetch.cpp - asks for the next chunk's rows ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A task's rows are far apart in the caller's memory, where the hardware foresees little. All lines
// of a chunk in one go would fill the queue of outstanding misses and make the core wait for
// memory; so where a pass solves a matrix state, they are asked for one by one, beside its sweeps.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Prefetch.h"

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Solve.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
StringAttr nameOf(Operation &step) {
  if (auto gather = dyn_cast<GatherOp>(step))
    return gather.getOfAttr().getAttr();
  if (auto scatter = dyn_cast<ScatterOp>(step))
    return scatter.getOfAttr().getAttr();
  return {};
}

bool movesTokens(const Layout &layout, Operation &step) {
  StringAttr name = nameOf(step);
  return name && layout.isSymbol(name) && layout.symbol(name).perToken && layout.readable(name);
}

/// The first token of the chunk that comes after this one.
IndexValue nextChunk(Kernel &kernel) {
  int64_t step = kernel.layout.chunk;
  return kernel.index().add(
      IndexValue::of(kernel.chunkStart),
      IndexValue::constant(kernel.direction == Direction::Forward ? step : -step));
}

int64_t elementsOfLine(Type element) {
  return std::max<int64_t>(1, 64 * 8 / element.getIntOrFloatBitWidth());
}

/// Asks for the cache lines of elements; they need not exist.
void emitPrefetch(Kernel &kernel, const Strided &at, ArrayRef<IndexValue> sizes, int64_t innermost,
                  bool write) {
  auto &builder = kernel.builder;
  IndexMath math = kernel.index();
  Type element = cast<MemRefType>(at.memref.getType()).getElementType();
  int64_t line = elementsOfLine(element);
  auto walk = [&](auto &self, int64_t dim, const IndexValue &place) -> void {
    if (dim == static_cast<int64_t>(sizes.size())) {
      memref::PrefetchOp::create(builder, kernel.loc, at.memref, math.scalar(place), write,
                                 /*localityHint=*/2, /*isDataCache=*/true);
      return;
    }
    if (sizes[dim].isConstant() && sizes[dim].offset == 1)
      return self(self, dim + 1, place);
    kernel.forEach(math.scalar(sizes[dim]), dim == innermost ? line : 1, [&](Value number) {
      self(self, dim + 1, math.add(place, math.mul(IndexValue::of(number), at.strides[dim])));
    });
  };
  walk(walk, 0, at.base);
}

/// What a gather or scatter of tokens moves: from the next chunk's first token on.
struct Moved {
  const BufferLayout *buffer;
  const CallerMemory *memory;
  Strided at;
  bool write;

  Type element() const { return cast<MemRefType>(at.memref.getType()).getElementType(); }
};
Moved movedBy(Kernel &kernel, Operation &step) {
  bool write = isa<ScatterOp>(step);
  StringAttr name = nameOf(step);
  const CallerMemory &memory = write ? kernel.output(name) : kernel.tensor(name);
  return {kernel.layout.readable(name), &memory,
          callerElements(kernel, memory, kernel.layout.symbol(name), nextChunk(kernel)), write};
}

/// The type of an element in the caller's memory of what a gather or scatter moves.
Type memoryElement(MixerOp mixer, Operation &step) {
  StringAttr name = nameOf(step);
  if (isa<GatherOp>(step))
    return memoryType(cast<TensorOp>(SymbolTable::lookupSymbolIn(mixer, name)).getDtype());
  auto outputs = mixer.getOps<OutputOp>();
  return memoryType((*llvm::find_if(outputs, [&](OutputOp output) {
                      return output.getSourceAttr().getAttr() == name;
                    })).getDtype());
}
} // namespace

namespace {
/// Its tokens: none after the last chunk, so that a step fetches nothing.
IndexValue nextRows(Kernel &kernel) {
  IndexMath math = kernel.index();
  IndexValue next = nextChunk(kernel), whole = IndexValue::constant(kernel.layout.chunk);
  IndexValue zero = IndexValue::constant(0);
  if (kernel.direction == Direction::Forward)
    return math.max(math.min(math.sub(IndexValue::of(kernel.tokens), next), whole), zero);
  return math.select(math.compare(arith::CmpIPredicate::sge, next, zero), whole, zero);
}
} // namespace

void seqmix::prefetchBeside(Kernel &kernel, Operation *step) {
  auto pass = dyn_cast<PassOp>(step->getParentOp());
  if (!pass || kernel.layout.batchBlock > 1 || !movesTokens(kernel.layout, *step) ||
      llvm::any_of(pass.getBody().getOps<SolveOp>(), PrefetchTable::isUsedBy))
    return;
  Moved moved = movedBy(kernel, *step);
  emitPrefetch(kernel, moved.at, bufferSizes(kernel, *moved.buffer, nextRows(kernel)),
               contiguousDim(*moved.buffer), moved.write);
}

namespace {
/// Lines that one entry of the table stands for.
constexpr int64_t kTogether = 2;

/// Calls `body` with the first element of each group of lines of a row.
void forGroups(Kernel &kernel, const Moved &moved,
               llvm::function_ref<void(const IndexValue &)> body) {
  const BufferLayout &buffer = *moved.buffer;
  IndexMath math = kernel.index();
  int64_t group = kTogether * elementsOfLine(moved.element());
  auto walk = [&](auto &self, size_t dim, const IndexValue &place) -> void {
    if (dim == buffer.extents.size())
      return body(place);
    int64_t step = static_cast<int64_t>(dim) == buffer.contiguous ? group : 1;
    for (int64_t number = 0; number < buffer.extents[dim]; number += step)
      self(self, dim + 1, math.add(place, math.scale(moved.at.strides[dim + 2], number)));
  };
  walk(walk, 0, IndexValue::constant(0));
}

/// Groups of lines of a token's rows, of all that a pass moves.
int64_t groupsOfToken(const Layout &layout, MixerOp mixer, PassOp pass) {
  int64_t groups = 0;
  for (Operation &step : pass.getBody().front()) {
    if (!movesTokens(layout, step))
      continue;
    const BufferLayout &buffer = *layout.readable(nameOf(step));
    Type element = memoryElement(mixer, step);
    int64_t count = 1;
    for (auto [dim, extent] : llvm::enumerate(buffer.extents))
      count *= static_cast<int64_t>(dim) == buffer.contiguous
                   ? llvm::divideCeil(extent, kTogether * elementsOfLine(element))
                   : extent;
    groups += count;
  }
  return groups;
}
} // namespace

bool PrefetchTable::isUsedBy(SolveOp solve) {
  auto pass = dyn_cast<PassOp>(solve->getParentOp());
  if (!pass || solve.getBlock() == 1 || *pass.getBody().getOps<SolveOp>().begin() != solve)
    return false;
  // Several matrices would each ask for all lines again.
  auto mixer = solve->getParentOfType<MixerOp>();
  auto affine = findAffine(mixer, solve.getStateAttr().getAttr());
  return affine && affine.outerDims().empty() && affinePieces(affineShape(mixer, affine)) > 0;
}

PrefetchTable::PrefetchTable(const Layout &layout, MixerOp mixer, SolveOp solve,
                             const AffineBlockSpec &spec)
    : solve(solve), block(spec.block), pieces(affinePieces(spec)) {
  int64_t slots = affinePanels(spec) * pieces;
  used = block * groupsOfToken(layout, mixer, cast<PassOp>(solve->getParentOp()));
  each = llvm::divideCeil(used, slots);
  entries = each * slots;
}

void PrefetchTable::fill(Kernel &kernel, Value pointer) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  auto i64 = builder.getI64Type();
  table = flatMemref(builder, loc, pointer, i64);
  Value some = math.compare(arith::CmpIPredicate::sgt, nextRows(kernel), IndexValue::constant(0));
  auto address = [&](Value of) { return LLVM::PtrToIntOp::create(builder, loc, i64, of); };
  Value nothing = address(kernel.scratch);
  SmallVector<Moved> all;
  for (Operation &step : cast<PassOp>(solve->getParentOp()).getBody().front())
    if (movesTokens(kernel.layout, step))
      all.push_back(movedBy(kernel, step));
  Value blocks = arith::DivUIOp::create(builder, loc, kernel.chunkRows, kernel.constant(block));
  kernel.forEach(blocks, 1, [&](Value number) {
    IndexValue first = math.scale(IndexValue::of(number), block);
    IndexValue entry = math.scale(IndexValue::of(number), entries);
    for (int64_t token = 0; token < block; ++token)
      for (const Moved &moved : all)
        forGroups(kernel, moved, [&](const IndexValue &place) {
          IndexValue row = math.add(first, IndexValue::constant(token));
          IndexValue element =
              math.add(math.add(place, moved.at.base), math.mul(row, moved.at.strides[1]));
          int64_t bytes = moved.element().getIntOrFloatBitWidth() / 8;
          Value target =
              advance(builder, loc, moved.memory->pointer, math.scalar(math.scale(element, bytes)));
          Value chosen = arith::SelectOp::create(builder, loc, some, address(target), nothing);
          memref::StoreOp::create(builder, loc, chosen, table, math.scalar(entry));
          ++entry.offset;
        });
  });
}

void PrefetchTable::prefetch(Kernel &kernel, Value panel, Value blockNumber, Value piece) const {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  IndexValue slot = math.add(math.scale(IndexValue::of(panel), pieces), IndexValue::of(piece));
  IndexValue entry = math.scale(slot, each);
  auto emit = [&] {
    for (int64_t i = 0; i < each; ++i) {
      IndexValue place = math.add(math.add(math.scale(IndexValue::of(blockNumber), entries), entry),
                                  IndexValue::constant(i));
      Value address = memref::LoadOp::create(builder, loc, table, math.scalar(place));
      Value pointer =
          LLVM::IntToPtrOp::create(builder, loc, framePointerType(builder.getContext()), address);
      Value lines = flatMemref(builder, loc, pointer, builder.getI8Type());
      for (int64_t line = 0; line < kTogether; ++line)
        memref::PrefetchOp::create(builder, loc, lines, kernel.constant(64 * line),
                                   /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
    }
  };
  if (used == entries)
    return emit();
  emitIf(kernel, math.compare(arith::CmpIPredicate::slt, entry, IndexValue::constant(used)), emit);
}
