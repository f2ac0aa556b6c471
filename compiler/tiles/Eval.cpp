//===- Eval.cpp - definitions for all tokens of a chunk ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Prefetch.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Sets the scope's rows to `count` ones from `first` on, or to a vector of tokens.
void setRows(Scope &scope, Value first, int64_t count, int64_t step) {
  Emitted row;
  row.kind = ValueKind::Integer;
  row.rows = count;
  for (int64_t number = 0; number < count; ++number) {
    IndexValue index = IndexValue::of(first);
    index.offset = number;
    index.step = step;
    row.indices.push_back(index);
  }
  scope.row = row;
}

/// Runs `body` for the chunk's tokens, `rows` at a time and the rest one by one.
LogicalResult forRows(Kernel &kernel, Scope &scope, int64_t rows,
                      function_ref<LogicalResult()> body) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  LogicalResult result = success();
  auto loop = [&](Value from, Value to, int64_t step) {
    auto loop = scf::ForOp::create(builder, loc, from, to, kernel.constant(step));
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    setRows(scope, loop.getInductionVar(), step, 0);
    scope.rows = step;
    if (failed(body()))
      result = failure();
  };
  Value whole = kernel.constant(0);
  if (rows > 1) {
    Value rest = arith::RemUIOp::create(builder, loc, kernel.chunkRows, kernel.constant(rows));
    whole = arith::SubIOp::create(builder, loc, kernel.chunkRows, rest);
    loop(kernel.constant(0), whole, rows);
  }
  loop(whole, kernel.chunkRows, 1);
  return result;
}

/// Runs `body` for two cases: features are contiguous in what the equations read of the caller's at
/// positions of their own, as in most calls, or not. One decision in front keeps it out of loops.
LogicalResult forDenseTensors(Kernel &kernel, Scope &scope, ArrayRef<Equation> group,
                              function_ref<LogicalResult()> body) {
  llvm::SmallDenseSet<StringAttr> tensors;
  IndexMath math = kernel.index();
  Value isDense;
  for (const Equation &equation : group)
    equation.body->walk([&](ReadOp read) {
      auto name = read.getSourceAttr().getAttr();
      if (!isElsewhere(kernel, read) || !isa<TensorOp>(kernel.layout.symbol(name).op) ||
          kernel.tensor(name).strides.empty() || !tensors.insert(name).second)
        return;
      Value own =
          math.compare(arith::CmpIPredicate::eq, IndexValue::of(kernel.tensor(name).strides.back()),
                       IndexValue::constant(1));
      isDense = isDense
                    ? arith::AndIOp::create(kernel.builder, kernel.loc, isDense, own).getResult()
                    : own;
    });
  if (tensors.empty())
    return body();
  LogicalResult result = success();
  auto both = [&] { result = success(succeeded(result) && succeeded(body())); };
  emitIf(
      kernel, isDense,
      [&] {
        scope.dense = tensors;
        both();
        scope.dense.clear();
      },
      both);
  return result;
}
} // namespace

LogicalResult seqmix::emitEvals(Kernel &kernel, ArrayRef<EvalOp> ops) {
  SmallVector<Equation> group;
  for (EvalOp op : ops) {
    auto equation = findEquation(kernel, op.getOfAttr().getAttr());
    if (!equation || equation->isState())
      return op.emitOpError("computes what has no definition");
    group.push_back(*equation);
  }
  EvalOp first = ops.front();
  bool perToken = group.front().info->perToken;
  int64_t lane = static_cast<int64_t>(first.getLanes());
  int64_t dims = group.front().info->sizes.size();
  if (lane < -1 || lane >= dims + perToken)
    return first.emitOpError("has no such dim for its lanes");
  kernel.loc = first.getLoc();

  // A buffer that only a loop in front filled may stand in rows; evals never see loop states.
  Scope scope;
  if (perToken && lane == 0) {
    return forBatchTiles(kernel, scope, 1, [&]() -> LogicalResult {
      LogicalResult result = success();
      kernel.forEach(kernel.chunkRows, kernel.lanes, [&](Value row) {
        setRows(scope, row, 1, 1);
        result = emitElements(kernel, scope, group, -1, {});
      });
      return result;
    });
  }
  if (lane >= 0)
    lane -= perToken;
  int64_t vectors = lane < 0 ? 1
                             : llvm::divideCeil(kernel.isSplit(group.front().info->dims[lane])
                                                    ? kernel.layout.splitSize
                                                    : group.front().info->sizes[lane],
                                                kernel.lanes);
  TileShape shape = tileShape(kernel, group, vectors);
  scope.vectors = shape.vectors;
  auto emitTiles = [&]() -> LogicalResult {
    if (!perToken)
      return emitElements(kernel, scope, group, lane, {});
    // What a reduction reads of params is reused by all rows while it is in the cache: rows are
    // inside. Else rows are outside and elements of a row follow each other in memory.
    if (shape.rows > 1)
      return emitElements(kernel, scope, group, lane,
                          [&](function_ref<LogicalResult()> tile) -> LogicalResult {
                            return forRows(kernel, scope, shape.rows, tile);
                          });
    return forRows(kernel, scope, 1,
                   [&]() { return emitElements(kernel, scope, group, lane, {}); });
  };
  return forDenseTensors(kernel, scope, group, [&]() -> LogicalResult {
    return forBatchTiles(kernel, scope, 1, emitTiles);
  });
}

LogicalResult seqmix::emitGather(Kernel &kernel, GatherOp op) {
  kernel.loc = op.getLoc();
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  auto name = op.getOfAttr().getAttr();
  auto *buffer = kernel.layout.isSymbol(name) ? kernel.layout.readable(name) : nullptr;
  if (!buffer || !isa<TensorOp>(kernel.layout.symbol(name).op))
    return op.emitOpError("needs a tensor with a buffer");
  const SymbolInfo &info = kernel.layout.symbol(name);
  const CallerMemory &memory = kernel.tensor(name);
  Strided target = bufferElements(kernel, *buffer);
  int64_t innermost = contiguousDim(*buffer);
  auto copyTokens = [&](const IndexValue &token, const IndexValue &row, const IndexValue &count) {
    Strided from = callerElements(kernel, memory, info, token), to = target;
    to.base = math.scale(row, buffer->rowStride);
    emitCopy(kernel, from, to, bufferSizes(kernel, *buffer, count), innermost);
  };
  if (!info.perToken) {
    copyTokens(IndexValue::constant(0), IndexValue::constant(0), IndexValue::constant(1));
    return success();
  }
  IndexValue start = IndexValue::of(kernel.chunkStart), rows = IndexValue::of(kernel.chunkRows);
  if (buffer->space != Space::Rows)
    return op.emitOpError("gathers tokens into a buffer that has no rows");
  int64_t front = buffer->halo, back = buffer->ahead;
  kernel.unlessInPlace(*buffer, [&] { copyTokens(start, IndexValue::constant(front), rows); });
  prefetchBeside(kernel, op);
  auto fill = [&](const IndexValue &row) {
    Strided to = target;
    to.base = math.scale(row, buffer->rowStride);
    emitFill(kernel, to, bufferSizes(kernel, *buffer, IndexValue::constant(1)), 0);
  };
  auto branch = [&](Value condition, function_ref<void()> whenTrue,
                    function_ref<void()> whenFalse) {
    auto choice = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    whenTrue();
    builder.setInsertionPointToStart(choice.elseBlock());
    whenFalse();
  };
  for (int64_t number = 0; number < back; ++number) {
    IndexValue row = math.add(rows, IndexValue::constant(number)), token = math.add(start, row);
    IndexValue place = math.add(row, IndexValue::constant(front));
    branch(
        math.compare(arith::CmpIPredicate::slt, token, IndexValue::of(kernel.tokens)),
        [&] { copyTokens(token, place, IndexValue::constant(1)); }, [&] { fill(place); });
  }
  // Earlier tokens: from the tensor as far as it reaches back, then from the carry's window.
  auto fetchEarlier = [&](IndexValue place) {
    IndexValue token = math.add(math.add(start, place), IndexValue::constant(-front));
    IndexValue inTensor = math.add(token, IndexValue::of(tokensBefore(kernel, info)));
    branch(
        math.compare(arith::CmpIPredicate::sge, inTensor, IndexValue::constant(0)),
        [&] { copyTokens(token, place, IndexValue::constant(1)); },
        [&] {
          fill(place);
          for (auto [slot, component] : llvm::enumerate(kernel.layout.carryComponents())) {
            if (component.kind != CarryComponent::Window || component.of.getAttr() != name)
              continue;
            Value pointer =
                loadPointerSlot(builder, loc, kernel.frame, kernel.layout.carrySlots(slot).pointer);
            IndexValue row = math.add(inTensor, IndexValue::constant(component.shape[0]));
            Value given = arith::AndIOp::create(
                builder, loc, isGiven(builder, loc, pointer),
                math.compare(arith::CmpIPredicate::sge, row, IndexValue::constant(0)));
            auto there = scf::IfOp::create(builder, loc, given, /*withElseRegion=*/false);
            OpBuilder::InsertionGuard guard(builder);
            builder.setInsertionPointToStart(there.thenBlock());
            Value stride = loadIndexSlot(builder, loc, kernel.frame,
                                         kernel.layout.carrySlots(slot).pointer + 2);
            Strided from = carryElements(kernel, info, pointer, stride), to = target;
            from.base = math.add(from.base, math.mul(row, from.strides[1]));
            to.base = math.scale(place, buffer->rowStride);
            emitCopy(kernel, from, to, bufferSizes(kernel, *buffer, IndexValue::constant(1)),
                     innermost);
          }
        });
  };
  // One by one in the code only where they are few: a window may be long.
  if (front <= 8)
    for (int64_t number = 0; number < front; ++number)
      fetchEarlier(IndexValue::constant(number));
  else
    kernel.forEach(kernel.constant(front), 1,
                   [&](Value number) { fetchEarlier(IndexValue::of(number)); });
  return success();
}

LogicalResult seqmix::emitScatter(Kernel &kernel, ScatterOp op) {
  kernel.loc = op.getLoc();
  IndexMath math = kernel.index();
  auto name = op.getOfAttr().getAttr();
  auto *buffer = kernel.layout.isSymbol(name) ? kernel.layout.readable(name) : nullptr;
  if (!buffer)
    return op.emitOpError("needs a symbol with a buffer");
  const SymbolInfo &info = kernel.layout.symbol(name);
  Strided from = bufferElements(kernel, *buffer);
  IndexValue rows = IndexValue::constant(1), token = IndexValue::constant(0);
  if (info.perToken) {
    rows = IndexValue::of(kernel.chunkRows);
    token = IndexValue::of(kernel.chunkStart);
    IndexValue first = IndexValue::constant(buffer->halo);
    if (buffer->space == Space::Sequence)
      first = math.add(first, token);
    from.base = math.scale(first, buffer->rowStride);
  }
  Strided to = callerElements(kernel, kernel.output(name), info, token);
  // A token-free definition is the same for all batch elements that share the params.
  auto sizes = bufferSizes(kernel, *buffer, rows);
  if (kernel.layout.batchBlock > 1)
    sizes[0] = IndexValue::of(kernel.block);
  bool output = !isa<TensorOp>(info.op);
  auto copy = [&] { emitCopy(kernel, from, to, sizes, contiguousDim(*buffer)); };
  if (output)
    kernel.unlessInPlace(*buffer, copy);
  else
    copy();
  prefetchBeside(kernel, op);
  return success();
}
