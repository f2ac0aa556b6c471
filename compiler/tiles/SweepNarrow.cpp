//===- SweepNarrow.cpp - pairwise reductions of few rows ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepNarrow.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Columns whose reductions over features are in flight at once.
constexpr int64_t kTogether = 8;
/// Vectors of features whose sums stay in registers over the columns of a tile.
constexpr int64_t kSums = 8;
} // namespace

//===----------------------------------------------------------------------===//
// Scopes
//===----------------------------------------------------------------------===//

Value NarrowSweepEmitter::sweptRows() {
  return kernel.sweepsRows ? select(kernel.sweepsRows, kernel.groupRows, kernel.chunkRows)
                           : kernel.chunkRows;
}

/// The rows of a group are those of one task after those of another, for the same positions.
Value NarrowSweepEmitter::firstOfPanel(Value panel) {
  if (!kernel.sweepsRows)
    return panel;
  return arith::RemUIOp::create(builder, loc, panel, maximum(kernel.chunkRows, constant(1)));
}

void NarrowSweepEmitter::makeRows() {
  if (!kernel.sweepsRows)
    return SweepEmitter::makeRows();
  when(
      kernel.sweepsRows, [] {},
      [&] {
        Value isFirst = isLess(kernel.firstRow, constant(1));
        when(isFirst, [&] {
          for (const SweepOperand &operand : plan.rows)
            clearRanges(operand, plan.allRows() + 1);
        });
        kernel.forEach(kernel.chunkRows, 1, [&](Value panel) { packRows(panel, {}); });
      });
}

void NarrowSweepEmitter::unlessMaking(function_ref<void()> body) {
  if (!kernel.makesRows)
    return body();
  when(kernel.makesRows, [] {}, body);
}

void NarrowSweepEmitter::packRows(Value panel, Value /*last*/) {
  Value slot = kernel.sweepsRows ? add(panel, kernel.firstRow) : panel;
  for (const SweepOperand &operand : plan.rows) {
    const BufferLayout *buffer = bufferOf(operand.name);
    assert(buffer && "what is read at a row has a buffer");
    const SymbolInfo &info = kernel.layout.symbol(operand.name);
    SmallVector<IndexValue> zeros(info.sizes.size(), IndexValue::constant(0));
    Strided from = bufferElements(kernel, *buffer), to;
    from.base = kernel.address(*buffer, IndexValue::of(panel), IndexValue::constant(0), zeros);
    to.memref = memoryAt(operand.offset, kernel.elementType(operand.kind));
    to.base = IndexValue::of(mul(slot, operand.elements));
    to.strides.assign(2, IndexValue::constant(0));
    SmallVector<IndexValue> sizes(2, IndexValue::constant(1));
    for (auto [size, stride] : llvm::zip_equal(info.sizes, operand.strides)) {
      sizes.push_back(IndexValue::constant(size));
      to.strides.push_back(IndexValue::constant(stride));
    }
    emitCopy(kernel, from, to, sizes, sizes.size() - 1);
    if (operand.rangeOffset < 0)
      continue;
    Value value = memref::LoadOp::create(builder, loc, to.memref, slot);
    widenRange(operand, slot, value);
    widenRange(operand, constant(plan.allRows()), value);
  }
}

SweepEmitter::Tile NarrowSweepEmitter::makeTile(Value panel, Value firstRow, Value firstColumn,
                                                Value count, bool masked) {
  Tile tile{panel, firstRow, firstColumn, count, masked, PairScope()};
  tile.pairs.op = pairs;
  for (const SweepOperand &operand : plan.rows) {
    Type element = kernel.elementType(operand.kind);
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    Value pointer =
        advance(builder, loc, kernel.scratch, kernel.layout.sweepScratch + operand.offset);
    pointer = advance(builder, loc, pointer, mul(panel, operand.elements * bytes));
    tile.pairs.rows[operand.name] = {flatMemref(builder, loc, pointer, element),
                                     operand.kind,
                                     operand.strides,
                                     operand.elements,
                                     1,
                                     {}};
  }
  for (const SweepOperand &operand : plan.columns) {
    auto place = places.find(operand.name);
    Type element = kernel.elementType(operand.kind);
    if (place == places.end())
      tile.pairs.columns[operand.name] = {memoryAt(operand.offset, element),
                                          operand.kind,
                                          operand.strides,
                                          operand.elements,
                                          1,
                                          {}};
    else
      tile.pairs.columns[operand.name] = {flatMemref(builder, loc, place->second.pointer, element),
                                          operand.kind,
                                          operand.strides,
                                          operand.elements,
                                          1,
                                          place->second.stride};
  }
  tile.pairs.row = Emitted::integer(IndexValue::constant(0));
  return tile;
}

SmallVector<Emitted> NarrowSweepEmitter::rowNumbers(const Tile &tile) {
  return {Emitted::integer(IndexValue::of(tile.firstRow, 0, INT32_MAX))};
}

Emitted NarrowSweepEmitter::laneColumns(Tile &tile, Value column) {
  IndexValue number = IndexValue::of(column, 0, plan.tile - 1);
  IndexValue position = IndexValue::of(add(tile.firstColumn, column), 0, INT32_MAX);
  number.step = position.step = 1;
  tile.pairs.column = Emitted::integer(number);
  return Emitted::integer(position);
}

Value NarrowSweepEmitter::emitLanes(Tile &tile, Block *part, Value column, Value exponential) {
  Emitted columns = laneColumns(tile, column);
  tile.pairs.known.clear();
  for (auto [op, offset] : plan.innerOffsets) {
    if (op->getBlock() != part)
      continue;
    Emitted value;
    value.values.push_back(load(memoryAt(offset), place(tile, column)));
    tile.pairs.known[op] = value;
  }
  SmallVector<Emitted> further;
  if (exponential) {
    Emitted value;
    value.values.push_back(exponential);
    further.push_back(value);
  }
  auto value = emitPart(tile, part, columns, further);
  tile.pairs.known.clear();
  if (!value)
    return {};
  return broadcast(value->value(0, 0));
}

Value NarrowSweepEmitter::laneMask(Tile &tile, Value column) {
  Value mask = vector::CreateMaskOp::create(builder, loc, kernel.vectorType(builder.getI1Type()),
                                            sub(tile.count, column));
  if (Block *domain = pairs.getDomainBlock())
    if (Value own = emitLanes(tile, domain, column, {}))
      mask = arith::AndIOp::create(builder, loc, mask, own);
  return mask;
}

//===----------------------------------------------------------------------===//
// Columns
//===----------------------------------------------------------------------===//

/// Real rows in the compute type, features side by side, are read where they stand.
void NarrowSweepEmitter::packColumns(Value first, Value count, bool integers) {
  if (integers) {
    places.clear();
    return SweepEmitter::packColumns(first, count, integers);
  }
  for (const SweepOperand &operand : plan.columns)
    if (operand.rangeOffset < 0) {
      auto place = standing(operand, first);
      if (!place) {
        packColumn(operand, first, count);
        continue;
      }
      Value scratch =
          advance(builder, loc, kernel.scratch, kernel.layout.sweepScratch + operand.offset);
      when(place->usable, [] {}, [&] { packColumn(operand, first, count); });
      places[operand.name] = {{},
                              select(place->usable, place->pointer, scratch),
                              select(place->usable, place->stride, constant(operand.elements))};
    }
}

/// Vectors of columns run past the last one.
bool NarrowSweepEmitter::isReadInLanes(StringAttr name) {
  llvm::DenseSet<int64_t> alongFeatures;
  for (PairResultAttr result : results)
    if (result.getValue() >= 0 &&
        !kernel.layout.symbol(result.getProduced().getAttr()).sizes.empty())
      alongFeatures.insert(result.getValue());
  bool found = false;
  for (auto [number, region] : llvm::enumerate(pairs.getParts()))
    if (!alongFeatures.contains(static_cast<int64_t>(number)) && !pairs.isFactoredForm(number))
      region.walk<WalkOrder::PreOrder>([&](Operation *op) {
        if (plan.innerOffsets.contains(op))
          return WalkResult::skip();
        auto read = dyn_cast<ReadOp>(op);
        found |= read && read.getSourceAttr().getAttr() == name;
        return WalkResult::advance();
      });
  return found;
}

std::optional<NarrowSweepEmitter::Place> NarrowSweepEmitter::standing(const SweepOperand &operand,
                                                                      Value first) {
  const SymbolInfo &info = kernel.layout.symbol(operand.name);
  if (operand.kind != ValueKind::Real || isReadInLanes(operand.name))
    return std::nullopt;
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  Value never = arith::ConstantIntOp::create(builder, loc, 0, 1);
  Value always = arith::ConstantIntOp::create(builder, loc, 1, 1);
  auto pointerAt = [&](Value memory, Value element) {
    return advance(builder, loc, memory, mul(element, bytes));
  };
  Place own{never, kernel.scratch, constant(0)};
  Value number = sub(first, over.position);
  if (auto *buffer = bufferOf(operand.name); buffer && buffer->space == Space::Sequence) {
    if (ArrayRef(buffer->strides) == ArrayRef(operand.strides))
      own = {always,
             pointerAt(kernel.storedRows(*buffer),
                       mul(add(sub(first, kernel.firstStored(over)), constant(buffer->halo)),
                           buffer->rowStride)),
             constant(buffer->rowStride)};
  } else if (const CallerMemory &memory = kernel.tensor(operand.name);
             isa<TensorOp>(info.op) && cast<TensorOp>(info.op).getRole() == Role::Input &&
             memory.dtype == kernel.real) {
    Value usable = always;
    for (auto [stride, packed] : llvm::zip_equal(memory.strides, operand.strides))
      usable = arith::AndIOp::create(
          builder, loc, usable,
          arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, stride, constant(packed)));
    own = {usable, pointerAt(memory.pointer, mul(number, memory.tokenStride)), memory.tokenStride};
  }
  auto carried = rowsOf(kernel, operand.name);
  if (!carried)
    return own.usable == never ? std::nullopt : std::optional(own);
  const CarryComponent &component = kernel.layout.carryComponents()[*carried];
  Place past{never, kernel.scratch, constant(0)};
  if (!component.storage || component.storage == kernel.real) {
    int64_t ring = ringOf(*carried);
    Value slot = ring < 0 ? first : remainder(first, ring);
    past = {always,
            pointerAt(carryPointer(kernel, *carried, /*write=*/false),
                      carriedRow(kernel, *carried, /*write=*/false, slot)),
            constant(operand.elements)};
  }
  if (own.usable == never && past.usable == never)
    return std::nullopt;
  Value isPast = isLess(first, over.position);
  return Place{select(isPast, past.usable, own.usable), select(isPast, past.pointer, own.pointer),
               select(isPast, past.stride, own.stride)};
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

void NarrowSweepEmitter::visitTile(Value panel, Value firstRow, Value firstColumn, Value count,
                                   bool masked) {
  visitRows(
      [&](function_ref<void(Tile &)> body) {
        Tile tile = makeTile(panel, firstRow, firstColumn, count, masked);
        body(tile);
      },
      count, masked);
}

/// Where all rows take all columns of a tile, each piece of it serves all rows while it is in the
/// first-level cache.
void NarrowSweepEmitter::visitPanels(const PairBox &chunk, Value first, Value count) {
  Value whole = constant(plan.tile);
  Value isWhole = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, count, whole);
  Value together = arith::AndIOp::create(
      builder, loc, arith::AndIOp::create(builder, loc, isWhole, isLess(constant(1), panelCount)),
      boxState(kernel, pairs, chunk, extent).isFull);
  when(
      together, [&] { visitTogether(first); },
      [&] { SweepEmitter::visitPanels(chunk, first, count); });
}

Value NarrowSweepEmitter::place(const Tile &tile, Value column) {
  return add(mul(tile.panel, plan.tile), column);
}

void NarrowSweepEmitter::visitRows(ForRows forRows, Value count, bool masked) {
  for (Region &region : pairs.getParts())
    emitInner(forRows, count, masked, &region.front(), innerOf(&region.front()));
  forRows([&](Tile &tile) {
    if (pairs.getScore())
      emitRowScores(tile);
    emitRowWeights(tile);
  });
  for (auto [number, result] : llvm::enumerate(results))
    if (result.getValue() >= 0 &&
        !kernel.layout.symbol(result.getProduced().getAttr()).sizes.empty())
      emitRowValues(forRows, number);
}

SmallVector<Operation *> NarrowSweepEmitter::innerOf(Block *part) {
  SmallVector<Operation *> wanted;
  for (auto reduce : part->getOps<ReduceOp>())
    if (plan.innerOffsets.contains(reduce))
      wanted.push_back(reduce);
  return wanted;
}

void NarrowSweepEmitter::emitInner(ForRows forRows, Value count, bool masked, Block *part,
                                   ArrayRef<Operation *> wanted) {
  if (wanted.empty())
    return;
  auto row = [&](Tile &tile, Value column, int64_t together) {
    Scope scope;
    scope.rows = together;
    scope.pairs = &tile.pairs;
    SmallVector<Emitted> arguments = rowNumbers(tile);
    arguments.push_back(columnPositions(tile, column, together));
    auto values = ExprEmitter(kernel, scope).values(*part, arguments, wanted);
    if (failed(values)) {
      status = failure();
      return;
    }
    for (auto [op, value] : llvm::zip_equal(wanted, *values))
      for (int64_t at = 0; at < together; ++at)
        memref::StoreOp::create(builder, loc, value.value(at, 0),
                                memoryAt(plan.innerOffsets.lookup(op)),
                                place(tile, add(column, constant(at))));
  };
  auto some = [&](Value from, Value to, int64_t together) {
    loop(from, to, together, {}, [&](Value column, ArrayRef<Value>) -> SmallVector<Value> {
      forRows([&](Tile &tile) { row(tile, column, together); });
      return {};
    });
  };
  Value together = constant(kTogether);
  Value rest = arith::RemUIOp::create(builder, loc, count, together);
  Value whole = sub(count, rest);
  some(constant(0), whole, kTogether);
  if (masked)
    some(whole, count, 1);
}

void NarrowSweepEmitter::emitRowScores(Tile &tile) {
  Value at = mul(tile.panel, width);
  Value old = load(memoryAt(plan.maxOffset), at), shift = load(memoryAt(plan.shiftOffset), at);
  auto largest = loop(constant(0), tile.count, kernel.lanes, {old},
                      [&](Value column, ArrayRef<Value> carried) -> SmallVector<Value> {
                        Value score = emitLanes(tile, pairs.getScoreBlock(), column, {});
                        if (!score)
                          return {carried[0]};
                        if (tile.masked)
                          score = select(laneMask(tile, column), score, real(-kInf));
                        store(score, memoryAt(plan.scoreOffset), place(tile, column));
                        return {larger(score, carried[0])};
                      });
  Value maximum = broadcast(reduceLanes(PairKind::Max, largest[0]));
  store(maximum, memoryAt(plan.maxOffset), at);
  Value limit = arith::AddFOp::create(builder, loc, shift, real(kLazy));
  Value exceeds = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGT, maximum, limit);
  Value any = vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, exceeds);
  when(any, [&] { rescale(tile.panel, {shift}, {maximum}); });
}

void NarrowSweepEmitter::emitRowWeights(Tile &tile) {
  // Results without features are summed here, in lanes.
  SmallVector<unsigned> plain;
  SmallVector<int64_t> parts;
  for (auto [number, result] : llvm::enumerate(results)) {
    bool hasFeatures = !kernel.layout.symbol(result.getProduced().getAttr()).sizes.empty();
    if (result.getKind() != PairKind::ScoreMax && !hasFeatures)
      plain.push_back(number);
    if (result.getWeight() >= 0 && !llvm::is_contained(parts, result.getWeight()))
      parts.push_back(result.getWeight());
  }
  if (parts.empty() && plain.empty())
    return;
  bool hasScore = pairs.getScore().has_value();
  Value shift;
  if (hasScore)
    shift = finite(load(memoryAt(plan.shiftOffset), mul(tile.panel, width)));
  SmallVector<Value> initial;
  for (unsigned number : plain)
    initial.push_back(
        load(memoryAt(plan.accumulatorOffsets[number]), sumPlace(number, tile.panel)));
  auto body = [&](Value column, ArrayRef<Value> carried) -> SmallVector<Value> {
    SmallVector<Value> next(carried);
    Value exponential;
    if (hasScore)
      exponential = exp(minus(load(memoryAt(plan.scoreOffset), place(tile, column)), shift));
    Value mask = tile.masked ? laneMask(tile, column) : Value();
    auto inside = [&](Value value, double outside) {
      return mask ? select(mask, value, real(outside)) : value;
    };
    llvm::DenseMap<int64_t, Value> weights;
    for (int64_t part : parts) {
      Value weight = emitLanes(tile, pairs.getPart(part), column, exponential);
      if (!weight)
        return next;
      weights[part] = inside(weight, 0);
      if (auto offset = plan.weightOffsets.find(part); offset != plan.weightOffsets.end())
        store(weights[part], memoryAt(offset->second), place(tile, column));
    }
    for (auto [place, number] : llvm::enumerate(plain)) {
      PairResultAttr result = results[number];
      Value weight = weights.lookup(result.getWeight()), value;
      if (result.getValue() >= 0)
        value = emitLanes(tile, pairs.getPart(result.getValue()), column, {});
      if (!weight && !value)
        return next;
      if (weight && value)
        next[place] = multiplyAdd(value, weight, next[place]);
      else
        next[place] = combine(result.getKind(), next[place],
                              weight ? weight : inside(value, identityOf(result.getKind())));
    }
    return next;
  };
  auto sums = loop(constant(0), tile.count, kernel.lanes, initial, body);
  for (auto [place, number] : llvm::enumerate(plain))
    store(sums[place], memoryAt(plan.accumulatorOffsets[number]), sumPlace(number, tile.panel));
}

/// Adds the tile's columns to `count` vectors of a row's sums from number `offset` on.
void NarrowSweepEmitter::emitRowValues(Tile &tile, size_t number, ArrayRef<Emitted> features,
                                       Value offset, int64_t count) {
  PairResultAttr result = results[number];
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  Value start = add(sumPlace(number, tile.panel), offset);
  SmallVector<Value> initial;
  for (int64_t vector = 0; vector < count; ++vector)
    initial.push_back(load(memory, start, vector * kernel.lanes));
  auto sums = loop(constant(0), tile.count, 1, initial, [&](Value column, ArrayRef<Value> carried) {
    SmallVector<Value> next(carried);
    Emitted columns = columnPositions(tile, column, 1);
    Value weight;
    if (result.getWeight() >= 0)
      weight = broadcast(memref::LoadOp::create(
          builder, loc, memoryAt(plan.weightOffsets.lookup(result.getWeight())),
          place(tile, column)));
    auto value = emitPart(tile, pairs.getPart(result.getValue()), columns, features);
    Mask mask;
    if (tile.masked && !weight)
      mask = emitMask(tile, columns, column);
    if (!value || failed(status))
      return next;
    for (int64_t vector = 0; vector < count; ++vector) {
      Value own = broadcast(value->value(0, vector));
      next[vector] = weight ? multiplyAdd(own, weight, next[vector])
                            : combine(result.getKind(), next[vector],
                                      masked(mask, 0, 0, own, identityOf(result.getKind())));
    }
    return next;
  });
  for (int64_t vector = 0; vector < count; ++vector)
    store(sums[vector], memory, start, vector * kernel.lanes);
}

void NarrowSweepEmitter::emitRowValues(ForRows forRows, size_t number) {
  const SymbolInfo &info = kernel.layout.symbol(results[number].getProduced().getAttr());
  SmallVector<Emitted> features(info.sizes.size(), Emitted::integer(IndexValue::constant(0)));
  int64_t last = info.sizes.size() - 1, size = info.sizes[last];
  int64_t vectorsInAll = llvm::divideCeil(size, kernel.lanes);
  auto nest = [&](auto &self, int64_t dim, Value outer) -> void {
    if (dim < last) {
      kernel.forEach(constant(info.sizes[dim]), 1, [&](Value index) {
        features[dim] = Emitted::integer(IndexValue::of(index, 0, info.sizes[dim] - 1));
        self(self, dim + 1, add(mul(outer, info.sizes[dim]), index));
      });
      return;
    }
    Value offset = mul(outer, vectorsInAll * kernel.lanes);
    for (int64_t vector = 0; vector < vectorsInAll; vector += kSums) {
      int64_t count = std::min(kSums, vectorsInAll - vector);
      features[last] =
          laneIndices(kernel, IndexValue::constant(vector * kernel.lanes), size, count);
      Value at = add(offset, constant(vector * kernel.lanes));
      forRows([&](Tile &tile) { emitRowValues(tile, number, features, at, count); });
    }
  };
  nest(nest, 0, constant(0));
}
