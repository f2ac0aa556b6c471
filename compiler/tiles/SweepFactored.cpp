//===- SweepFactored.cpp - factored forms of a sweep's parts ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Exponentials of one position are made when rows and columns are packed. Vectors of a panel, of
// the tile and of the numerators note whether one exceeds the bound (or is NaN); a tile where one
// does takes the parts as written.
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
  Value excess = mul(ofColumns ? constant(plan.panels()) : panel, kernel.lanes);
  store(real(0), memoryAt(plan.excessOffset), excess);
  Tile tile = makeTile(panel, constant(0), constant(0), constant(0), /*masked=*/false);
  for (const SweepExponential &each : plan.exponentials)
    if (each.ofColumn == ofColumns)
      packExponential(each, tile.pairs, panel, count, excess);
}

void SweepEmitter::packExponential(const SweepExponential &each, PairScope &pairScope, Value panel,
                                   Value count, Value excess) {
  Block *block = each.op->getBlock();
  while (block->getParentOp() != pairs.getOperation())
    block = block->getParentOp()->getBlock();
  Value position = each.ofColumn ? pairs.columnOf(block) : pairs.rowOf(block);
  Value memory = memoryAt(each.offset), flags = memoryAt(plan.excessOffset);
  SmallVector<Emitted> features(each.features.size());
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
    Value bad = load(flags, excess);
    for (int64_t vector = 0; vector < value->vectors; ++vector) {
      Value own = exp(broadcast(value->value(0, vector)));
      store(own, memory, place, vector * kernel.lanes);
      Value isFine = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLE, own,
                                           real(largestExponential(kernel.real)));
      if (int64_t left = lanesInside - vector * kernel.lanes; left < kernel.lanes) {
        SmallVector<bool> isOutside(kernel.lanes, true);
        std::fill_n(isOutside.begin(), left, false);
        auto type = kernel.vectorType(builder.getI1Type());
        Value outside = arith::ConstantOp::create(
            builder, loc, DenseElementsAttr::get(type, ArrayRef<bool>(isOutside)));
        isFine = arith::OrIOp::create(builder, loc, isFine, outside);
      }
      bad = select(isFine, bad, real(1));
    }
    store(bad, flags, excess);
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
  Value flags = memoryAt(plan.excessOffset), place = constant((plan.panels() + 1) * kernel.lanes);
  store(real(0), flags, place);
  Tile tile = makeTile(constant(0), constant(0), constant(0), constant(0), /*masked=*/false);
  Scope scope;
  scope.pairs = &tile.pairs;
  for (ReduceOp sum : plan.numerators) {
    Value wanted =
        sum.getBody().front().getTerminator()->getOperand(0).getDefiningOp()->getOperand(0);
    SmallVector<std::pair<Value, Emitted>> indices;
    SmallVector<int64_t> sizes;
    auto addIndices = [&](Block &block, ArrayAttr dims) {
      for (auto [argument, dim] : llvm::zip(block.getArguments(), dims)) {
        indices.emplace_back(argument, Emitted());
        sizes.push_back(fixedSize(kernel.mixer, cast<FlatSymbolRefAttr>(dim)));
      }
    };
    for (Operation *op = sum; op != pairs.getOperation(); op = op->getParentOp())
      if (auto outerSum = dyn_cast<ReduceOp>(op))
        addIndices(outerSum.getBody().front(), outerSum.getDims());
    Block *part = sum->getBlock();
    while (part->getParentOp() != pairs.getOperation())
      part = part->getParentOp()->getBlock();
    for (auto [number, dim] : llvm::enumerate(pairs.getRows()))
      if (!isPosition(number)) {
        indices.emplace_back(part->getArgument(number), Emitted());
        sizes.push_back(fixedSize(kernel.mixer, cast<FlatSymbolRefAttr>(dim)));
      }
    auto level = [&](auto &self, size_t dim) -> void {
      if (dim < sizes.size()) {
        kernel.forEach(constant(sizes[dim]), 1, [&](Value index) {
          indices[dim].second = Emitted::integer(IndexValue::of(index, 0, sizes[dim] - 1));
          self(self, dim + 1);
        });
        return;
      }
      auto value = ExprEmitter(kernel, scope).inside(wanted, indices);
      if (failed(value)) {
        status = failure();
        return;
      }
      Value own = broadcast(value->value(0, 0));
      own = UnaryOp::create(builder, loc, own.getType(), UnaryFn::Abs, own);
      Value isFine = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLE, own,
                                           real(largestDivisor(kernel.real)));
      store(select(isFine, load(flags, place), real(1)), flags, place);
    };
    level(level, 0);
  }
}

Value SweepEmitter::holds(Value panel) {
  Value flags = memoryAt(plan.excessOffset);
  Value excess = load(flags, mul(panel, kernel.lanes));
  for (int64_t vector : {plan.panels(), plan.panels() + 1})
    excess = larger(excess, load(flags, constant(vector * kernel.lanes)));
  Value isFine = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, excess, real(0));
  return vector::ReductionOp::create(builder, loc, vector::CombiningKind::AND, isFine);
}

void SweepEmitter::addExponentials(PairScope &scope, Value panel) {
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
  auto as = [&](bool factored) {
    tile.factored = factored;
    if (factored)
      addExponentials(tile.pairs, tile.panel);
    auto values = body();
    tile.pairs.exponentials.clear();
    tile.factored = false;
    return values;
  };
  if (plan.bounded)
    return as(true);
  if (!tile.holds)
    tile.holds = holds(tile.panel);
  auto choose = scf::IfOp::create(
      builder, loc, tile.holds,
      [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, as(true)); },
      [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, as(false)); });
  return SmallVector<Value>(choose.getResults());
}
