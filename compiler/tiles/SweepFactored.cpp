//===- SweepFactored.cpp - factored forms of a sweep's parts ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Exponentials of one position are made when rows and columns are packed. Vectors of a panel, of
// the tile and of the numerators note the largest: where one exceeds the bound (or is NaN) a tile
// takes the parts as written, and where products may be large their divisors are limited.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepEmitter.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

/// Vectors of exponentials that are emitted together.
static constexpr int64_t kTogether = 4;

void SweepEmitter::packExponentials(bool ofColumns, Value panel, Value count) {
  if (!isFactored())
    return;
  Value largest = mul(ofColumns ? constant(plan.panels()) : panel, kernel.lanes);
  store(real(0), memoryAt(plan.largestOffset), largest);
  Tile tile = makeTile(panel, constant(0), constant(0), constant(0), /*masked=*/false);
  for (const SweepExponential &each : plan.exponentials)
    if (each.ofColumn == ofColumns)
      packExponential(each, tile.pairs, panel, count, largest);
}

void SweepEmitter::packExponential(const SweepExponential &each, PairScope &pairScope, Value panel,
                                   Value count, Value largest) {
  Block *block = each.op->getBlock();
  while (block->getParentOp() != pairs.getOperation())
    block = block->getParentOp()->getBlock();
  Value position = each.ofColumn ? pairs.columnOf(block) : pairs.rowOf(block);
  Value memory = memoryAt(each.offset), maxima = memoryAt(plan.largestOffset);
  SmallVector<Emitted> features(each.features.size());
  Value scaleOfRows;
  Scope scope;
  scope.pairs = &pairScope;
  // `lanesInside`: where the lanes run past the last feature.
  auto emit = [&](const Emitted &at, Value place, int64_t lanesInside) {
    SmallVector<std::pair<Value, Emitted>> indices = {{position, at}};
    for (auto [feature, index] : llvm::zip_equal(each.features, features))
      indices.emplace_back(feature, index);
    auto value = ExprEmitter(kernel, scope).inside(each.op->getOperand(0), indices);
    if (failed(value)) {
      status = failure();
      return;
    }
    Value greatest = load(maxima, largest);
    for (int64_t vector = 0; vector < value->vectors; ++vector) {
      Value own = exp(broadcast(value->value(0, vector)));
      if (scaleOfRows)
        own = times(own, scaleOfRows);
      store(own, memory, place, vector * kernel.lanes);
      own = UnaryOp::create(builder, loc, own.getType(), UnaryFn::Abs, own);
      Value isFine = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLE, own,
                                           real(largestExponential(kernel.real)));
      own = select(isFine, own, real(kInf));
      if (int64_t left = lanesInside - vector * kernel.lanes; left < kernel.lanes) {
        SmallVector<bool> isInside(kernel.lanes, false);
        std::fill_n(isInside.begin(), left, true);
        auto type = kernel.vectorType(builder.getI1Type());
        Value inside = arith::ConstantOp::create(
            builder, loc, DenseElementsAttr::get(type, ArrayRef<bool>(isInside)));
        own = select(inside, own, real(0));
      }
      greatest = larger(own, greatest);
    }
    store(greatest, maxima, largest);
  };
  auto nest = [&](size_t dims, function_ref<void(Value)> body) {
    auto level = [&](auto &self, size_t dim, Value place) -> void {
      if (dim == dims)
        return body(place);
      kernel.forEach(constant(each.sizes[dim]), 1, [&](Value index) {
        features[dim] = Emitted::integer(IndexValue::of(index, 0, each.sizes[dim] - 1));
        self(self, dim + 1, add(place, mul(index, each.strides[dim])));
      });
    };
    level(level, 0, constant(0));
  };
  int64_t everywhere = std::numeric_limits<int64_t>::max();
  if (!each.ofColumn)
    return nest(each.sizes.size(), [&](Value feature) {
      if (each.sum >= 0) {
        const SweepSum &sum = plan.sums[each.sum];
        Value at = constant(0);
        for (auto [index, stride] : llvm::zip_equal(sum.features, sum.strides)) {
          size_t number = llvm::find(each.features, index) - each.features.begin();
          at = add(at, mul(features[number].index(0, 0).base, stride));
        }
        scaleOfRows = broadcast(memref::LoadOp::create(builder, loc, memoryAt(sum.offset), at));
        // What counts for nothing beside the others needs no exponential.
        Value size =
            UnaryOp::create(builder, loc, scaleOfRows.getType(), UnaryFn::Abs, scaleOfRows);
        Value isNothing = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGE, size,
                                                real(largestScale(kernel.real)));
        scaleOfRows = select(isNothing, real(0), scaleOfRows);
      }
      Value place = mul(add(mul(panel, each.elements), feature), width);
      emit(pairScope.row, place, everywhere);
    });
  if (each.sizes.empty())
    return kernel.forEach(count, kernel.lanes, [&](Value column) {
      IndexValue number = IndexValue::of(column, 0, plan.tile - 1);
      number.step = 1;
      pairScope.column = Emitted::integer(number);
      emit(pairScope.column, column, everywhere);
    });
  // Lanes along the last feature; what runs past it is written again by the next column.
  kernel.forEach(count, 1, [&](Value column) {
    pairScope.column = Emitted::integer(IndexValue::of(column, 0, plan.tile - 1));
    nest(each.sizes.size() - 1, [&](Value feature) {
      int64_t size = each.sizes.back(), all = llvm::divideCeil(size, kernel.lanes);
      for (int64_t vector = 0; vector < all; vector += kTogether) {
        int64_t first = vector * kernel.lanes;
        features.back() = laneIndices(kernel, IndexValue::constant(first), size,
                                      std::min(kTogether, all - vector));
        Value place = add(mul(column, each.elements), add(feature, constant(first)));
        emit(pairScope.column, place, size - first);
      }
    });
  });
}

void SweepEmitter::checkNumerators() {
  if (!isFactored())
    return;
  Value flags = memoryAt(plan.largestOffset), flag = constant((plan.panels() + 1) * kernel.lanes);
  store(real(0), flags, flag);
  Tile tile = makeTile(constant(0), constant(0), constant(0), constant(0), /*masked=*/false);
  auto number = [&](double value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(kernel.real, value));
  };
  auto compare = [&](arith::CmpFPredicate predicate, Value a, Value b) -> Value {
    return arith::CmpFOp::create(builder, loc, predicate, a, b);
  };
  for (const SweepSum &sum : plan.sums) {
    Value largest = memoryAt(sum.largestOffset), zero = constant(0);
    memref::StoreOp::create(builder, loc, number(0), largest, zero);
    forNumerators(sum, tile.pairs, [&](Value own, Value) {
      own = UnaryOp::create(builder, loc, own.getType(), UnaryFn::Abs, own);
      Value isFine = compare(arith::CmpFPredicate::OLE, own, number(largestDivisor(kernel.real)));
      store(select(broadcast(isFine), load(flags, flag), real(1)), flags, flag);
      Value before = memref::LoadOp::create(builder, loc, largest, zero);
      Value isLarger = compare(arith::CmpFPredicate::OGT, own, before);
      memref::StoreOp::create(builder, loc, select(isLarger, own, before), largest, zero);
    });
    if (!sum.scaled)
      continue;
    Value whole = memref::LoadOp::create(builder, loc, largest, zero);
    whole = select(compare(arith::CmpFPredicate::OEQ, whole, number(0)), number(1), whole);
    double limit = largestScale(kernel.real);
    forNumerators(sum, tile.pairs, [&](Value own, Value place) {
      Value isNegative = compare(arith::CmpFPredicate::OLT, own, number(0));
      Value size = UnaryOp::create(builder, loc, own.getType(), UnaryFn::Abs, own);
      Value isSmall = compare(arith::CmpFPredicate::OLT, times(size, number(limit)), whole);
      Value most = select(isNegative, number(-limit), number(limit));
      Value scale = arith::DivFOp::create(builder, loc, whole, own);
      memref::StoreOp::create(builder, loc, select(isSmall, most, scale), memoryAt(sum.offset),
                              place);
    });
  }
}

void SweepEmitter::forNumerators(const SweepSum &sum, PairScope &pairScope,
                                 function_ref<void(Value, Value)> body) {
  Scope scope;
  scope.pairs = &pairScope;
  SmallVector<std::pair<Value, Emitted>> indices;
  for (Value feature : sum.features)
    indices.emplace_back(feature, Emitted());
  auto level = [&](auto &self, size_t dim, Value place) -> void {
    if (dim < sum.sizes.size()) {
      kernel.forEach(constant(sum.sizes[dim]), 1, [&](Value index) {
        indices[dim].second = Emitted::integer(IndexValue::of(index, 0, sum.sizes[dim] - 1));
        self(self, dim + 1, add(place, mul(index, sum.strides[dim])));
      });
      return;
    }
    auto value = ExprEmitter(kernel, scope).inside(sum.numerator, indices);
    if (succeeded(value))
      body(value->value(0, 0), place);
    else
      status = failure();
  };
  level(level, 0, constant(0));
}

SweepEmitter::Holding SweepEmitter::holding(Value panel) {
  Value maxima = memoryAt(plan.largestOffset);
  Value rows = load(maxima, mul(panel, kernel.lanes));
  Value columns = load(maxima, constant(plan.panels() * kernel.lanes));
  Value numerators = load(maxima, constant((plan.panels() + 1) * kernel.lanes));
  auto compare = [&](Value a, arith::CmpFPredicate predicate, Value b) -> Value {
    return arith::CmpFOp::create(builder, loc, predicate, a, b);
  };
  Value isFine = arith::AndIOp::create(
      builder, loc, compare(larger(rows, columns), arith::CmpFPredicate::OLT, real(kInf)),
      compare(numerators, arith::CmpFPredicate::OEQ, real(0)));
  auto greatest = [&](Value value) -> Value {
    return vector::ReductionOp::create(builder, loc, vector::CombiningKind::MAXNUMF, value);
  };
  Value limit = arith::ConstantOp::create(
      builder, loc, builder.getFloatAttr(kernel.real, largestScaledDivisor(kernel.real)));
  return {vector::ReductionOp::create(builder, loc, vector::CombiningKind::AND, isFine),
          compare(times(greatest(rows), greatest(columns)), arith::CmpFPredicate::OLE, limit)};
}

void SweepEmitter::addExponentials(PairScope &scope, Value panel) {
  for (const SweepSum &sum : plan.sums)
    if (sum.scaled)
      scope.sums[sum.op] = {
          memoryAt(sum.offset), sum.features, sum.strides,
          memref::LoadOp::create(builder, loc, memoryAt(sum.largestOffset), constant(0))};
  for (const SweepExponential &each : plan.exponentials) {
    PackedExponential &packed = scope.exponentials[each.op];
    packed.ofColumn = each.ofColumn;
    packed.features = each.features;
    packed.sizes = each.sizes;
    if (each.ofColumn) {
      packed.buffer = {memoryAt(each.offset), ValueKind::Real, each.strides, each.elements, 1, {}};
      continue;
    }
    int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
    Value pointer = advance(builder, loc, kernel.scratch, kernel.layout.sweepScratch + each.offset);
    pointer = advance(builder, loc, pointer, mul(panel, each.elements * width * bytes));
    packed.buffer = {flatMemref(builder, loc, pointer, kernel.real),
                     ValueKind::Real,
                     each.strides,
                     1,
                     width,
                     {}};
  }
}

Block *SweepEmitter::formOf(const Tile &tile, int64_t part) {
  auto form = tile.factored ? pairs.getFactoredForm(part) : FactoredPartAttr();
  return pairs.getPart(form ? form.getPart() : part);
}

SmallVector<Value> SweepEmitter::inForm(Tile &tile, ArrayRef<int64_t> parts,
                                        function_ref<SmallVector<Value>()> body) {
  bool hasForm = isFactored() && llvm::any_of(parts, [&](int64_t part) {
                   return bool(pairs.getFactoredForm(part));
                 });
  if (!hasForm)
    return body();
  auto as = [&](bool factored, bool clamped) {
    tile.factored = factored;
    tile.pairs.clamped = clamped;
    if (factored)
      addExponentials(tile.pairs, tile.panel);
    auto values = body();
    tile.pairs.exponentials.clear();
    tile.pairs.sums.clear();
    tile.factored = false;
    return values;
  };
  using Branch = function_ref<SmallVector<Value>()>;
  auto choose = [&](Value condition, Branch whenTrue, Branch whenFalse) {
    auto op = scf::IfOp::create(
        builder, loc, condition,
        [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, whenTrue()); },
        [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, whenFalse()); });
    return SmallVector<Value>(op.getResults());
  };
  if (!tile.holding)
    tile.holding = holding(tile.panel);
  bool isScaled = llvm::any_of(plan.sums, [](const SweepSum &sum) { return sum.scaled; });
  auto factored = [&] {
    if (!isScaled)
      return as(true, true);
    return choose(
        tile.holding->products, [&] { return as(true, false); }, [&] { return as(true, true); });
  };
  if (plan.bounded)
    return factored();
  return choose(tile.holding->all, factored, [&] { return as(false, false); });
}
