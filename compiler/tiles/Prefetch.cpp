//===- Prefetch.cpp - asks for the next chunk's rows ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A task's rows are far apart in the caller's memory, where the hardware foresees little. All lines
// of a chunk in one go would fill the queue of outstanding misses and make the core wait for
// memory; so where a pass solves a matrix state, they are asked for a few at a time, between its
// blocks.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Prefetch.h"

#include "compiler/tiles/Copy.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// The first token of the chunk that comes after this one.
IndexValue nextChunk(Kernel &kernel) {
  int64_t step = kernel.layout.chunk;
  return kernel.index().add(
      IndexValue::of(kernel.chunkStart),
      IndexValue::constant(kernel.direction == Direction::Forward ? step : -step));
}

/// Asks for the cache lines of elements; they need not exist.
void emitPrefetch(Kernel &kernel, const Strided &at, ArrayRef<IndexValue> sizes, int64_t innermost,
                  bool write) {
  auto &builder = kernel.builder;
  IndexMath math = kernel.index();
  Type element = cast<MemRefType>(at.memref.getType()).getElementType();
  int64_t line = std::max<int64_t>(1, 64 * 8 / element.getIntOrFloatBitWidth());
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

/// Rows of the next chunk that `step` (a gather or scatter of tokens) moves.
void prefetchRows(Kernel &kernel, Operation *step, const IndexValue &first,
                  const IndexValue &count) {
  bool write = isa<ScatterOp>(step);
  auto name = write ? cast<ScatterOp>(step).getOfAttr().getAttr()
                    : cast<GatherOp>(step).getOfAttr().getAttr();
  const BufferLayout &buffer = *kernel.layout.readable(name);
  IndexValue token = kernel.index().add(nextChunk(kernel), first);
  emitPrefetch(kernel,
               callerElements(kernel, write ? kernel.output(name) : kernel.tensor(name),
                              kernel.layout.symbol(name), token),
               bufferSizes(kernel, buffer, count), contiguousDim(buffer), write);
}

bool movesTokens(Kernel &kernel, Operation &step) {
  StringAttr name;
  if (auto gather = dyn_cast<GatherOp>(step))
    name = gather.getOfAttr().getAttr();
  else if (auto scatter = dyn_cast<ScatterOp>(step))
    name = scatter.getOfAttr().getAttr();
  return name && kernel.layout.isSymbol(name) && kernel.layout.symbol(name).perToken &&
         kernel.layout.readable(name);
}

/// The solve of a pass that asks for all its rows, if any.
SolveOp firstSolve(PassOp pass) {
  auto solves = pass.getBody().getOps<SolveOp>();
  return solves.empty() ? SolveOp() : *solves.begin();
}
} // namespace

IndexValue seqmix::nextRows(Kernel &kernel) {
  IndexMath math = kernel.index();
  IndexValue next = nextChunk(kernel), whole = IndexValue::constant(kernel.layout.chunk);
  IndexValue zero = IndexValue::constant(0);
  if (kernel.direction == Direction::Forward)
    return math.max(math.min(math.sub(IndexValue::of(kernel.tokens), next), whole), zero);
  return math.select(math.compare(arith::CmpIPredicate::sge, next, zero), whole, zero);
}

void seqmix::prefetchBeside(Kernel &kernel, Operation *step) {
  auto pass = dyn_cast<PassOp>(step->getParentOp());
  if (!pass || kernel.layout.batchBlock > 1 || firstSolve(pass) || !movesTokens(kernel, *step))
    return;
  prefetchRows(kernel, step, IndexValue::constant(0), nextRows(kernel));
}

bool seqmix::prefetchesBetweenBlocks(SolveOp solve) {
  auto pass = dyn_cast<PassOp>(solve->getParentOp());
  return pass && firstSolve(pass) == solve;
}

void seqmix::prefetchBetweenBlocks(Kernel &kernel, SolveOp solve, const IndexValue &rows,
                                   const IndexValue &first, int64_t count) {
  IndexMath math = kernel.index();
  IndexValue number = math.max(
      math.min(math.sub(rows, first), IndexValue::constant(count)), IndexValue::constant(0));
  for (Operation &step : cast<PassOp>(solve->getParentOp()).getBody().front())
    if (movesTokens(kernel, step))
      prefetchRows(kernel, &step, first, number);
}
