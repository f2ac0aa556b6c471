//===- SweepTogether.cpp - several rows on the same columns ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Few rows that take the same tile as a whole, query heads that share keys say, meet its columns in
// register tiles: a vector of a column serves some rows before the next one is loaded. Rows left
// over go one by one.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepNarrow.h"

#include <vector>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Rows of a register tile, and its columns, or vectors of features.
constexpr int64_t kTileRows = 4, kTileColumns = 4;
/// Columns whose values stay in the first-level cache for all rows, even where their distance in
/// memory is a power of two.
constexpr int64_t kNear = 16;
} // namespace

SweepEmitter::Tile NarrowSweepEmitter::wholeTile(Value panel, Value first) {
  Value row = add(firstPosition(), firstOfPanel(panel));
  return makeTile(panel, row, first, constant(plan.tile), /*masked=*/false);
}

void NarrowSweepEmitter::visitTogether(Value first) {
  Value rest = arith::RemUIOp::create(builder, loc, panelCount, constant(kTileRows));
  Value whole = sub(panelCount, rest);
  auto rows = [&](Value begin) {
    return [&, begin](function_ref<void(Tile &)> body) {
      loop(begin, panelCount, 1, {}, [&](Value panel, ArrayRef<Value>) -> SmallVector<Value> {
        Tile tile = wholeTile(panel, first);
        body(tile);
        return {};
      });
    };
  };
  auto all = rows(constant(0)), others = rows(whole);
  for (Region &region : pairs.getParts()) {
    SmallVector<Operation *> dots, further;
    for (Operation *op : innerOf(&region.front()))
      (dotOf(&region.front(), op) ? dots : further).push_back(op);
    for (Operation *op : dots)
      emitDots(*dotOf(&region.front(), op), plan.innerOffsets.lookup(op), first, whole);
    emitInner(others, constant(plan.tile), /*masked=*/false, &region.front(), dots);
    emitInner(all, constant(plan.tile), /*masked=*/false, &region.front(), further);
  }
  all([&](Tile &tile) {
    if (pairs.getScore())
      emitRowScores(tile);
    emitRowWeights(tile);
  });
  for (auto [number, result] : llvm::enumerate(results)) {
    if (result.getValue() < 0 || kernel.layout.symbol(result.getProduced().getAttr()).sizes.empty())
      continue;
    if (hasSharedValues(number)) {
      emitSharedValues(number, first, whole);
      emitRowValues(others, number);
    } else {
      emitRowValues(all, number);
    }
  }
}

std::optional<NarrowSweepEmitter::Dot> NarrowSweepEmitter::dotOf(Block *part, Operation *op) {
  auto reduce = cast<ReduceOp>(op);
  Block &body = reduce.getBody().front();
  auto product = body.getTerminator()->getOperand(0).getDefiningOp<BinaryOp>();
  if (reduce.getKind() != ReduceKind::Sum || reduce.getDims().size() != 1 ||
      !reduce.getDomain().empty() || !product || product.getFn() != BinaryFn::Mul)
    return std::nullopt;
  int64_t size = fixedSize(kernel.mixer, cast<FlatSymbolRefAttr>(reduce.getDims()[0]));
  auto elementAt = [&](Value value, Value position) -> StringAttr {
    auto read = value.getDefiningOp<ReadOp>();
    if (!read || read.getMap().getNumResults() != 2)
      return {};
    auto isPlain = [&](unsigned place, Value index) {
      auto dim = dyn_cast<AffineDimExpr>(read.getMap().getResult(place));
      return dim && read.getOperands()[dim.getPosition()] == index;
    };
    auto name = read.getSourceAttr().getAttr();
    bool isWhole = isPlain(0, position) && isPlain(1, body.getArgument(0)) &&
                   kernel.layout.symbol(name).kind == ValueKind::Real &&
                   kernel.layout.symbol(name).sizes == SmallVector<int64_t>{size};
    return isWhole ? name : StringAttr();
  };
  Value row = pairs.rowOf(part), column = pairs.columnOf(part);
  for (bool swapped : {false, true}) {
    Dot dot{elementAt(product->getOperand(swapped), row),
            elementAt(product->getOperand(!swapped), column), size};
    if (dot.row && dot.column && size % kernel.lanes == 0)
      return dot;
  }
  return std::nullopt;
}

void NarrowSweepEmitter::emitDots(const Dot &dot, int64_t offset, Value first, Value panels) {
  Value features = constant(dot.size);
  auto vectorAt = [&](const PairBuffer &operand, Value position, Value feature) {
    Value stride = operand.positionStep ? operand.positionStep : constant(operand.positionStride);
    Value at = add(arith::MulIOp::create(builder, loc, position, stride), feature);
    return vector::LoadOp::create(builder, loc, vectorType, operand.memref, at).getResult();
  };
  loop(constant(0), constant(plan.tile), kTileColumns, {},
       [&](Value column, ArrayRef<Value>) -> SmallVector<Value> {
         loop(constant(0), panels, kTileRows, {},
              [&](Value panel, ArrayRef<Value>) -> SmallVector<Value> {
                std::vector<Tile> tiles;
                for (int64_t row = 0; row < kTileRows; ++row)
                  tiles.push_back(wholeTile(add(panel, constant(row)), first));
                SmallVector<Value> zeros(kTileRows * kTileColumns, real(0));
                auto sums = loop(constant(0), features, kernel.lanes, zeros,
                                 [&](Value feature, ArrayRef<Value> carried) -> SmallVector<Value> {
                                   SmallVector<Value> next(carried), rows;
                                   for (Tile &tile : tiles)
                                     rows.push_back(vectorAt(tile.pairs.rows.find(dot.row)->second,
                                                             constant(0), feature));
                                   for (int64_t at = 0; at < kTileColumns; ++at) {
                                     Value own =
                                         vectorAt(tiles[0].pairs.columns.find(dot.column)->second,
                                                  add(column, constant(at)), feature);
                                     for (int64_t row = 0; row < kTileRows; ++row) {
                                       Value &sum = next[row * kTileColumns + at];
                                       sum = multiplyAdd(own, rows[row], sum);
                                     }
                                   }
                                   return next;
                                 });
                for (int64_t row = 0; row < kTileRows; ++row)
                  for (int64_t at = 0; at < kTileColumns; ++at)
                    memref::StoreOp::create(
                        builder, loc, reduceLanes(PairKind::Sum, sums[row * kTileColumns + at]),
                        memoryAt(offset), place(tiles[row], add(column, constant(at))));
                return {};
              });
         return {};
       });
}

bool NarrowSweepEmitter::hasSharedValues(size_t number) {
  PairResultAttr result = results[number];
  Block *part = pairs.getPart(result.getValue());
  return result.getKind() == PairKind::Sum && result.getWeight() >= 0 &&
         pairs.rowOf(part).use_empty();
}

void NarrowSweepEmitter::emitSharedValues(size_t number, Value first, Value panels) {
  PairResultAttr result = results[number];
  ArrayRef<int64_t> sizes = kernel.layout.symbol(result.getProduced().getAttr()).sizes;
  SmallVector<Emitted> features(sizes.size(), Emitted::integer(IndexValue::constant(0)));
  int64_t last = sizes.size() - 1, inAll = llvm::divideCeil(sizes[last], kernel.lanes);
  Value memory = memoryAt(plan.accumulatorOffsets[number]);
  Value weights = memoryAt(plan.weightOffsets.lookup(result.getWeight()));
  auto tile = [&](Value offset, int64_t count, Value begin, Value panel) {
    std::vector<Tile> tiles;
    SmallVector<Value> starts, initial;
    for (int64_t row = 0; row < kTileRows; ++row) {
      tiles.push_back(wholeTile(add(panel, constant(row)), first));
      starts.push_back(add(sumPlace(number, tiles[row].panel), offset));
      for (int64_t vector = 0; vector < count; ++vector)
        initial.push_back(load(memory, starts[row], vector * kernel.lanes));
    }
    auto sums =
        loop(begin, add(begin, constant(kNear)), 1, initial,
             [&](Value column, ArrayRef<Value> carried) -> SmallVector<Value> {
               SmallVector<Value> next(carried);
               Emitted columns = columnPositions(tiles[0], column, 1);
               auto value = emitPart(tiles[0], pairs.getPart(result.getValue()), columns, features);
               if (!value || failed(status))
                 return next;
               for (int64_t row = 0; row < kTileRows; ++row) {
                 Value weight = broadcast(
                     memref::LoadOp::create(builder, loc, weights, place(tiles[row], column)));
                 for (int64_t vector = 0; vector < count; ++vector)
                   next[row * count + vector] = multiplyAdd(broadcast(value->value(0, vector)),
                                                            weight, next[row * count + vector]);
               }
               return next;
             });
    for (int64_t row = 0; row < kTileRows; ++row)
      for (int64_t vector = 0; vector < count; ++vector)
        store(sums[row * count + vector], memory, starts[row], vector * kernel.lanes);
  };
  auto nest = [&](auto &self, int64_t dim, Value outer) -> void {
    if (dim < last) {
      kernel.forEach(constant(sizes[dim]), 1, [&](Value index) {
        features[dim] = Emitted::integer(IndexValue::of(index, 0, sizes[dim] - 1));
        self(self, dim + 1, add(mul(outer, sizes[dim]), index));
      });
      return;
    }
    for (int64_t vector = 0; vector < inAll; vector += kTileColumns) {
      int64_t count = std::min(kTileColumns, inAll - vector);
      features[last] =
          laneIndices(kernel, IndexValue::constant(vector * kernel.lanes), sizes[last], count);
      Value offset = add(mul(outer, inAll * kernel.lanes), constant(vector * kernel.lanes));
      kernel.forEach(constant(plan.tile), kNear, [&](Value begin) {
        kernel.forEach(panels, kTileRows, [&](Value panel) { tile(offset, count, begin, panel); });
      });
    }
  };
  nest(nest, 0, constant(0));
}
