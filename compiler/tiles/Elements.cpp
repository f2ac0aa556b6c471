//===- Elements.cpp - all elements of a group of equations ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

std::optional<Equation> seqmix::findEquation(const Kernel &kernel, StringAttr name) {
  if (!kernel.layout.isSymbol(name))
    return std::nullopt;
  Equation result;
  result.name = name;
  result.info = &kernel.layout.symbol(name);
  if (auto define = dyn_cast<DefineOp>(result.info->op)) {
    result.body = &define.getBody();
    result.domain = &define.getDomain();
    result.op = define;
    return result;
  }
  MixerOp mixer = kernel.mixer;
  for (auto next : mixer.getBody().getOps<NextOp>())
    if (next.getStateAttr().getAttr() == name) {
      result.body = &next.getBody();
      result.domain = &next.getDomain();
      result.op = next;
      return result;
    }
  return std::nullopt;
}

namespace {
/// Whether a read's indices are the equation's own left indices, token included, so that it reads
/// the element that is being computed. In a loop over tokens the one of the token before will do.
bool readsOwnElement(ReadOp read, const Equation &equation, bool inLoop) {
  auto arguments = equation.body->getArguments();
  AffineMap map = read.getMap();
  if (map.getNumResults() != arguments.size())
    return false;
  for (auto [number, expr] : llvm::enumerate(map.getResults())) {
    // The token before is complete when a loop comes to this one.
    AffineExpr index = expr;
    if (auto sum = dyn_cast<AffineBinaryOpExpr>(index); sum && inLoop && number == 0 &&
                                                        equation.info->perToken &&
                                                        sum.getKind() == AffineExprKind::Add)
      index = sum.getLHS();
    auto dim = dyn_cast<AffineDimExpr>(index);
    if (!dim || read.getOperands()[dim.getPosition()] != arguments[number])
      return false;
  }
  return true;
}
} // namespace

bool seqmix::canFuse(ArrayRef<Equation> group, bool inLoop) {
  const SymbolInfo &first = *group.front().info;
  for (auto &equation : group)
    if (equation.info->dims != first.dims || equation.info->perToken != first.perToken)
      return false;
  auto find = [&](StringAttr name) {
    return llvm::any_of(group, [&](auto &other) { return other.name == name; });
  };
  for (auto &equation : group)
    for (Region *region : {equation.body, equation.domain}) {
      bool fits = true;
      region->walk([&](ReadOp read) {
        if (find(read.getSourceAttr().getAttr()) && !readsOwnElement(read, equation, inLoop))
          fits = false;
      });
      if (!fits)
        return false;
    }
  return true;
}

int64_t seqmix::largestReduction(const Kernel &kernel, ArrayRef<Equation> group) {
  int64_t largest = 1;
  for (auto &equation : group)
    equation.body->walk([&](ReduceOp op) {
      int64_t points = 1;
      for (auto dim : op.getDims().getAsRange<FlatSymbolRefAttr>()) {
        auto declared = cast<DimOp>(SymbolTable::lookupSymbolIn(kernel.mixer, dim.getAttr()));
        points *= declared.getSize() ? static_cast<int64_t>(*declared.getSize()) : 1;
      }
      largest = std::max(largest, points);
    });
  return largest;
}

bool seqmix::isElsewhere(const Kernel &kernel, ReadOp read) {
  auto name = read.getSourceAttr().getAttr();
  if (!kernel.layout.isSymbol(name) || !kernel.layout.symbol(name).perToken)
    return false;
  AffineExpr position = read.getMap().getResult(0);
  auto sum = dyn_cast<AffineBinaryOpExpr>(position);
  if (sum && sum.getKind() == AffineExprKind::Add && isa<AffineConstantExpr>(sum.getRHS()))
    position = sum.getLHS();
  return !isa<AffineDimExpr>(position);
}

TileShape seqmix::tileShape(const Kernel &kernel, ArrayRef<Equation> group, int64_t vectors) {
  // Accumulators, one row of vectors and a broadcast fit in the registers.
  int64_t wide = std::min<int64_t>(kernel.target.registers >= 32 ? 4 : 2, vectors);
  if (largestReduction(kernel, group) >= 8)
    return {4, wide};
  // Positions that are computed serve all vectors of a row.
  bool isComputed = llvm::any_of(group, [&](const Equation &own) {
    return own.body
        ->walk([&](ReadOp read) {
          return isElsewhere(kernel, read) ? WalkResult::interrupt() : WalkResult::advance();
        })
        .wasInterrupted();
  });
  return {1, isComputed ? wide : 1};
}

Emitted seqmix::laneIndices(Kernel &kernel, const IndexValue &first, int64_t size,
                            int64_t vectors) {
  Emitted result;
  result.kind = ValueKind::Integer;
  result.vectors = vectors;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    IndexValue index = first;
    index.offset += vector * kernel.lanes;
    index.step = 1;
    index.low = index.base ? 0 : index.offset;
    index.high = index.base ? size - 1 : std::min(size, index.offset + kernel.lanes) - 1;
    int64_t touched = index.base ? static_cast<int64_t>(llvm::alignTo(size, kernel.lanes)) - 1
                                 : index.offset + kernel.lanes - 1;
    index.slack = touched - index.high;
    result.indices.push_back(index);
  }
  return result;
}

void seqmix::storeElement(Kernel &kernel, Scope &scope, ExprEmitter &emitter,
                          const Equation &equation, const Emitted &value,
                          ArrayRef<Emitted> indices) {
  for (auto &buffer : kernel.layout.buffers()) {
    if (buffer.of != equation.name)
      continue;
    Value base;
    if (buffer.space == Space::State) {
      auto slots = scope.states.find(equation.name);
      if (slots == scope.states.end())
        continue; // registers hold it; it is stored at the end of the chunk
      base = slots->second.current;
    }
    SmallVector<Value> mask;
    const IndexValue &row = scope.row.index(0, 0);
    if ((buffer.space == Space::Sequence || buffer.ahead > 0) && row.step != 0)
      // Vectors over tokens must not run into what stands behind the chunk's rows.
      mask.push_back(
          kernel.index().compare(arith::CmpIPredicate::slt, row, IndexValue::of(kernel.chunkRows)));
    emitter.store(buffer, value, scope.row, indices, mask, base);
  }
}

LogicalResult seqmix::emitElements(Kernel &kernel, Scope &scope, ArrayRef<Equation> group,
                                   int64_t lane, RowLoop rowLoop) {
  const SymbolInfo &info = *group.front().info;
  int64_t count = info.sizes.size();
  SmallVector<int64_t> sizes;
  for (auto [dim, size] : llvm::zip_equal(info.dims, info.sizes)) {
    if (size < 0)
      return group.front().op->emitOpError("varies over a run-time dim besides its token");
    sizes.push_back(kernel.isSplit(dim) ? kernel.layout.splitSize : size);
  }
  SmallVector<int64_t> order;
  for (int64_t dim = 0; dim < count; ++dim)
    if (dim != lane)
      order.push_back(dim);
  if (lane >= 0)
    order.push_back(lane);

  SmallVector<Emitted> indices(count);
  auto tile = [&]() -> LogicalResult {
    scope.registers.clear();
    for (auto &equation : group) {
      ExprEmitter emitter(kernel, scope);
      auto value =
          emitter.equation(*equation.body, *equation.domain, equation.info->perToken, indices);
      if (failed(value))
        return failure();
      SmallVector<Emitted> key = {scope.row};
      llvm::append_range(key, indices);
      scope.registers.set(equation.name, key, *value);
      storeElement(kernel, scope, emitter, equation, *value, indices);
    }
    scope.registers.clear();
    return success();
  };
  std::function<LogicalResult(int64_t)> nest = [&](int64_t depth) -> LogicalResult {
    if (depth == count)
      return rowLoop ? rowLoop(tile) : tile();
    int64_t dim = order[depth];
    LogicalResult result = success();
    if (dim != lane) {
      kernel.forEach(sizes[dim], 1, [&](IndexValue number) {
        if (number.isConstant())
          number.low = number.high = number.offset;
        indices[dim] = Emitted::integer(number);
        if (failed(nest(depth + 1)))
          result = failure();
      });
      return result;
    }
    int64_t vectors = llvm::divideCeil(sizes[dim], kernel.lanes);
    int64_t together = std::max<int64_t>(1, std::min(scope.vectors, vectors));
    int64_t whole = vectors / together * together;
    kernel.forEach(whole * kernel.lanes, together * kernel.lanes, [&](IndexValue first) {
      indices[dim] = laneIndices(kernel, first, sizes[dim], together);
      if (failed(nest(depth + 1)))
        result = failure();
    });
    if (failed(result) || whole == vectors)
      return result;
    indices[dim] = laneIndices(kernel, IndexValue::constant(whole * kernel.lanes), sizes[dim],
                               vectors - whole);
    return nest(depth + 1);
  };
  return nest(0);
}

LogicalResult seqmix::forBatchTiles(Kernel &kernel, Scope &scope, int64_t rows,
                                    function_ref<LogicalResult()> body) {
  if (kernel.layout.batchBlock == 1)
    return body();
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  LogicalResult result = success();
  auto tiles = [&](Value from, Value to, int64_t step) {
    auto loop = scf::ForOp::create(builder, loc, from, to, kernel.constant(step));
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Emitted batch;
    batch.kind = ValueKind::Integer;
    batch.rows = step;
    for (int64_t row = 0; row < step; ++row) {
      IndexValue index = IndexValue::of(loop.getInductionVar(), 0, kernel.layout.batchBlock - 1);
      index.offset = row;
      batch.indices.push_back(index);
    }
    scope.batch = batch;
    if (failed(body()))
      result = failure();
    scope.batch = Emitted::integer(IndexValue::constant(0));
  };
  rows = std::min(rows, kernel.layout.batchBlock);
  Value whole = kernel.constant(0);
  if (rows > 1) {
    Value width = kernel.constant(rows);
    Value rest = arith::RemUIOp::create(builder, loc, kernel.block, width);
    whole = arith::SubIOp::create(builder, loc, kernel.block, rest);
    tiles(kernel.constant(0), whole, rows);
  }
  tiles(whole, kernel.block, 1);
  return result;
}
