//===- SweepTile.cpp - scores, weights and sums of one tile ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepEmitter.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

SweepEmitter::Tile SweepEmitter::makeTile(Value panel, Value firstRow, Value firstColumn,
                                          Value count, bool masked) {
  Tile tile{panel, firstRow, firstColumn, count, masked, PairScope()};
  tile.pairs.op = pairs;
  if (pairs.getRowDim() && !plan.positionLanes)
    tile.pairs.outerRow = Emitted::integer(IndexValue::of(outer[0]));
  for (const SweepOperand &operand : plan.rows) {
    Type element = kernel.elementType(operand.kind);
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    Value pointer =
        advance(builder, loc, kernel.scratch, kernel.layout.sweepScratch + operand.offset);
    pointer = advance(builder, loc, pointer, mul(panel, operand.elements * width * bytes));
    tile.pairs.rows[operand.name] = {
        flatMemref(builder, loc, pointer, element), operand.kind, operand.strides, 1, width, {}};
  }
  for (const SweepOperand &operand : plan.columns)
    tile.pairs.columns[operand.name] = {memoryAt(operand.offset, kernel.elementType(operand.kind)),
                                        operand.kind,
                                        operand.strides,
                                        operand.elements,
                                        1,
                                        {}};
  tile.pairs.row.kind = ValueKind::Integer;
  tile.pairs.row.vectors = vectors;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    IndexValue lane = IndexValue::constant(vector * kernel.lanes);
    lane.step = 1;
    lane.high = lane.low + kernel.lanes - 1;
    tile.pairs.row.indices.push_back(lane);
  }
  return tile;
}

SmallVector<Emitted> SweepEmitter::rowNumbers(const Tile &tile) {
  SmallVector<Emitted> numbers;
  for (auto [number, row] : llvm::enumerate(outer)) {
    int64_t size = INT32_MAX;
    if (!isPosition(number))
      size = fixedSize(kernel.mixer, cast<FlatSymbolRefAttr>(pairs.getRows()[number]));
    if (row) {
      Value value = isPosition(number) ? add(firstPosition(), row) : row;
      numbers.push_back(Emitted::integer(IndexValue::of(value, 0, size - 1)));
      continue;
    }
    if (!plan.positionLanes) {
      IndexValue first = IndexValue::of(tile.firstRow);
      numbers.push_back(laneIndices(kernel, first, size, vectors));
      continue;
    }
    Emitted &lanes = numbers.emplace_back();
    lanes.kind = ValueKind::Integer;
    lanes.vectors = vectors;
    for (int64_t vector = 0; vector < vectors; ++vector) {
      IndexValue index = IndexValue::of(tile.firstRow, 0, INT32_MAX);
      index.offset = vector * kernel.lanes;
      index.step = 1;
      lanes.indices.push_back(index);
    }
  }
  return numbers;
}

Emitted SweepEmitter::columnPositions(Tile &tile, Value column, int64_t count) {
  Emitted position, number;
  position.kind = number.kind = ValueKind::Integer;
  position.rows = number.rows = count;
  Value first = add(tile.firstColumn, column);
  for (int64_t row = 0; row < count; ++row) {
    IndexValue at = IndexValue::of(column, 0, plan.tile - 1);
    at.offset = row;
    number.indices.push_back(at);
    IndexValue s = IndexValue::of(first, 0, INT32_MAX);
    s.offset = row;
    position.indices.push_back(s);
  }
  tile.pairs.column = number;
  return position;
}

std::optional<Emitted> SweepEmitter::emitPart(Tile &tile, Block *part, const Emitted &columns,
                                              ArrayRef<Emitted> further) {
  Scope scope;
  scope.rows = columns.rows;
  scope.vectors = vectors;
  scope.pairs = &tile.pairs;
  SmallVector<Emitted> arguments = rowNumbers(tile);
  arguments.push_back(columns);
  llvm::append_range(arguments, further);
  auto value = ExprEmitter(kernel, scope).part(*part, arguments);
  if (failed(value))
    status = failure();
  return value;
}

SweepEmitter::Mask SweepEmitter::emitMask(Tile &tile, const Emitted &columns, Value column) {
  Emitted inside;
  inside.kind = ValueKind::Truth;
  inside.rows = columns.rows;
  // What pads the last register tile of columns counts for nothing.
  for (int64_t row = 0; row < columns.rows; ++row)
    inside.values.push_back(isLess(add(column, constant(row)), tile.count));
  Block *domain = pairs.getDomainBlock();
  if (!domain)
    return inside;
  auto own = emitPart(tile, domain, columns, {});
  if (!own)
    return std::nullopt;
  Emitted result;
  result.kind = ValueKind::Truth;
  result.rows = columns.rows;
  result.vectors = own->vectors;
  for (int64_t row = 0; row < result.rows; ++row)
    for (int64_t vector = 0; vector < result.vectors; ++vector)
      result.values.push_back(arith::AndIOp::create(
          builder, loc, broadcast(inside.value(row, vector)), broadcast(own->value(row, vector))));
  return result;
}

Value SweepEmitter::masked(const Mask &mask, int64_t row, int64_t vector, Value value,
                           double outside) {
  if (!mask)
    return value;
  return select(broadcast(mask->value(row, vector)), value, real(outside));
}

void SweepEmitter::visitTile(Value panel, Value firstRow, Value firstColumn, Value count,
                             bool masked) {
  Tile tile = makeTile(panel, firstRow, firstColumn, count, masked);
  Value whole =
      masked ? mul(arith::CeilDivSIOp::create(builder, loc, count, constant(kRows)), kRows) : count;
  if (pairs.getScore())
    emitScores(tile, whole);
  emitWeights(tile, whole);
  for (auto [number, result] : llvm::enumerate(results))
    if (result.getKind() == PairKind::Each)
      emitEach(tile, result, whole);
    else if (result.getKind() == PairKind::Places)
      emitPlaces(tile, number, result, whole);
    else if (result.getValue() >= 0)
      emitValues(tile, number, result);
}

void SweepEmitter::emitScores(Tile &tile, Value whole) {
  Value scores = memoryAt(plan.scoreOffset);
  Value shifts = memoryAt(plan.shiftOffset), maxima = memoryAt(plan.maxOffset);
  Value at = mul(tile.panel, width);
  SmallVector<Value> initial;
  for (int64_t vector = 0; vector < vectors; ++vector)
    initial.push_back(load(maxima, at, vector * kernel.lanes));
  auto largest = inForm(tile, *pairs.getScore(), [&] {
    return loop(constant(0), whole, kRows, initial, [&](Value column, ArrayRef<Value> carried) {
      SmallVector<Value> next(carried);
      Emitted columns = columnPositions(tile, column, kRows);
      auto score = emitPart(tile, formOf(tile, *pairs.getScore()), columns, {});
      Mask mask = tile.masked ? emitMask(tile, columns, column) : Mask();
      if (!score || failed(status))
        return next;
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector) {
          Value value = masked(mask, row, vector, broadcast(score->value(row, vector)), -kInf);
          next[vector] = larger(value, next[vector]);
          store(value, scores, mul(add(column, constant(row)), width), vector * kernel.lanes);
        }
      return next;
    });
  });
  // Most tiles bring no score that is much greater than those before.
  Value exceeds;
  SmallVector<Value> olds;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    store(largest[vector], maxima, at, vector * kernel.lanes);
    olds.push_back(load(shifts, at, vector * kernel.lanes));
    Value limit = arith::AddFOp::create(builder, loc, olds[vector], real(kLazy));
    Value own =
        arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGT, largest[vector], limit);
    exceeds = exceeds ? arith::OrIOp::create(builder, loc, exceeds, own).getResult() : own;
  }
  Value any = vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, exceeds);
  when(any, [&] { rescale(tile.panel, olds, largest); });
}

void SweepEmitter::rescale(Value panel, ArrayRef<Value> from, ArrayRef<Value> to) {
  Value shifts = memoryAt(plan.shiftOffset);
  SmallVector<Value> factors;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    store(to[vector], shifts, mul(panel, width), vector * kernel.lanes);
    factors.push_back(scale(from[vector], to[vector]));
  }
  scaleSums(panel, factors);
}

void SweepEmitter::scaleSums(Value panel, ArrayRef<Value> factors) {
  for (auto [number, result] : llvm::enumerate(results)) {
    if (!usesScore(result))
      continue;
    Value memory = memoryAt(plan.accumulatorOffsets[number]);
    kernel.forEach(constant(plan.features[number]), 1, [&](Value feature) {
      Value place = accumulatorPlace(number, panel, feature);
      for (int64_t vector = 0; vector < vectors; ++vector)
        store(times(load(memory, place, vector * kernel.lanes), factors[vector]), memory, place,
              vector * kernel.lanes);
    });
  }
}

Value SweepEmitter::scale(Value from, Value to) {
  // Without a pair so far there is nothing to scale; infinite maxima are not subtracted.
  Value factor = exp(minus(finite(from), finite(to)));
  Value isFirst = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, from, real(-kInf));
  return select(isFirst, real(0), factor);
}

bool SweepEmitter::usesScore(PairResultAttr result) {
  Block *weight = pairs.getPart(result.getWeight());
  return weight && pairs.getScore() && !weight->getArguments().back().use_empty();
}

Value SweepEmitter::finite(Value value) {
  Value magnitude = UnaryOp::create(builder, loc, value.getType(), UnaryFn::Abs, value);
  Value isFinite =
      arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, magnitude, real(kInf));
  return select(isFinite, value, real(0));
}

Value SweepEmitter::accumulatorPlace(size_t result, Value panel, Value feature) {
  return mul(add(mul(panel, plan.features[result]), feature), width);
}

void SweepEmitter::emitWeights(Tile &tile, Value whole) {
  SmallVector<unsigned> plain; // results without values
  SmallVector<int64_t> parts;
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getWeight() < 0)
      continue;
    if (result.getValue() < 0)
      plain.push_back(number);
    if (!llvm::is_contained(parts, result.getWeight()))
      parts.push_back(result.getWeight());
  }
  if (parts.empty())
    return;
  SmallVector<Value> shifts, initial;
  bool hasScore = pairs.getScore().has_value();
  if (hasScore)
    for (int64_t vector = 0; vector < vectors; ++vector)
      shifts.push_back(
          finite(load(memoryAt(plan.shiftOffset), mul(tile.panel, width), vector * kernel.lanes)));
  for (unsigned number : plain)
    for (int64_t vector = 0; vector < vectors; ++vector)
      initial.push_back(load(memoryAt(plan.accumulatorOffsets[number]), mul(tile.panel, width),
                             vector * kernel.lanes));
  auto body = [&](Value column, ArrayRef<Value> carried) {
    SmallVector<Value> next(carried);
    Emitted columns = columnPositions(tile, column, kRows);
    SmallVector<Emitted> further;
    if (hasScore) {
      Emitted exponential;
      exponential.rows = kRows;
      exponential.vectors = vectors;
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector) {
          Value score = load(memoryAt(plan.scoreOffset), mul(add(column, constant(row)), width),
                             vector * kernel.lanes);
          exponential.values.push_back(exp(minus(score, shifts[vector])));
        }
      further.push_back(exponential);
    }
    Mask mask;
    if (tile.masked && !onlyExponentials(parts))
      mask = emitMask(tile, columns, column);
    for (int64_t part : parts) {
      auto weight = emitPart(tile, formOf(tile, part), columns, further);
      if (!weight || failed(status))
        return next;
      auto offset = plan.weightOffsets.find(part);
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t vector = 0; vector < vectors; ++vector) {
          Value value = masked(mask, row, vector, broadcast(weight->value(row, vector)), 0);
          if (offset != plan.weightOffsets.end())
            store(value, memoryAt(offset->second), mul(add(column, constant(row)), width),
                  vector * kernel.lanes);
          for (auto [place, number] : llvm::enumerate(plain))
            if (results[number].getWeight() == part) {
              Value &sum = next[place * vectors + vector];
              sum = combine(PairKind::Sum, sum, value);
            }
        }
    }
    return next;
  };
  auto sums = inForm(tile, parts, [&] { return loop(constant(0), whole, kRows, initial, body); });
  for (auto [place, number] : llvm::enumerate(plain))
    for (int64_t vector = 0; vector < vectors; ++vector)
      store(sums[place * vectors + vector], memoryAt(plan.accumulatorOffsets[number]),
            mul(tile.panel, width), vector * kernel.lanes);
}

bool SweepEmitter::onlyExponentials(ArrayRef<int64_t> parts) {
  return llvm::all_of(parts, [&](int64_t part) {
    Block *block = pairs.getPart(part);
    return pairs.getScore() &&
           block->getTerminator()->getOperand(0) == block->getArguments().back();
  });
}

void SweepEmitter::emitValues(Tile &tile, size_t number, PairResultAttr result) {
  ArrayRef<int64_t> sizes = plan.featureSizes(kernel.layout.symbol(result.getProduced().getAttr()));
  SmallVector<Emitted> features(sizes.size(), Emitted::integer(IndexValue::constant(0)));
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  auto registerTile = [&](Value place, int64_t rows) {
    SmallVector<Value> initial;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t vector = 0; vector < vectors; ++vector)
        initial.push_back(load(memory, add(place, constant(row * width)), vector * kernel.lanes));
    auto sums =
        loop(constant(0), tile.count, 1, initial, [&](Value column, ArrayRef<Value> carried) {
          SmallVector<Value> next(carried);
          Emitted columns = columnPositions(tile, column, 1);
          SmallVector<Value> weights;
          if (result.getWeight() >= 0)
            for (int64_t vector = 0; vector < vectors; ++vector)
              weights.push_back(load(memoryAt(plan.weightOffsets.lookup(result.getWeight())),
                                     mul(column, width), vector * kernel.lanes));
          auto value = emitPart(tile, pairs.getPart(result.getValue()), columns, features);
          Mask mask;
          if (tile.masked && weights.empty())
            mask = emitMask(tile, columns, column);
          if (!value || failed(status))
            return next;
          for (int64_t row = 0; row < rows; ++row)
            for (int64_t vector = 0; vector < vectors; ++vector) {
              Value &sum = next[row * vectors + vector];
              Value own = broadcast(value->value(row, vector));
              if (!weights.empty())
                sum = multiplyAdd(own, weights[vector], sum);
              else
                sum = combine(result.getKind(), sum,
                              masked(mask, 0, vector, own, identityOf(result.getKind())));
            }
          return next;
        });
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t vector = 0; vector < vectors; ++vector)
        store(sums[row * vectors + vector], memory, add(place, constant(row * width)),
              vector * kernel.lanes);
  };
  auto nest = [&](auto &self, size_t dim, Value feature) -> void {
    if (sizes.empty())
      return registerTile(accumulatorPlace(number, tile.panel, feature), 1);
    if (dim + 1 < sizes.size()) {
      kernel.forEach(constant(sizes[dim]), 1, [&](Value index) {
        features[dim] = Emitted::integer(IndexValue::of(index, 0, sizes[dim] - 1));
        self(self, dim + 1, add(mul(feature, sizes[dim]), index));
      });
      return;
    }
    int64_t size = sizes[dim], whole = size / kRows * kRows;
    auto rowsFrom = [&](Value index, int64_t rows) {
      Emitted own;
      own.kind = ValueKind::Integer;
      own.rows = rows;
      for (int64_t row = 0; row < rows; ++row) {
        IndexValue at = IndexValue::of(index, 0, size - 1);
        at.offset = row;
        own.indices.push_back(at);
      }
      features[dim] = own;
      registerTile(accumulatorPlace(number, tile.panel, add(mul(feature, size), index)), rows);
    };
    if (whole)
      kernel.forEach(constant(whole), kRows, [&](Value index) { rowsFrom(index, kRows); });
    for (int64_t index = whole; index < size; ++index)
      rowsFrom(constant(index), 1);
  };
  nest(nest, 0, constant(0));
}
