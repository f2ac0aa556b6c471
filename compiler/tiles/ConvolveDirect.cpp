//===- ConvolveDirect.cpp - convolutions as products in registers ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Each tile makes `rows` positions from as many distances at a time: their products need
// 2 * rows - 1 rows of the signal, which are loaded once.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/ConvolveEmitter.h"
#include "compiler/tiles/Steps.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

/// Rows of zeros in front of the signal in its panel: a tile of weights reaches so far.
static constexpr int64_t kFront = 16;
/// Earlier rows that the panels of a short call hold beside their edges.
static constexpr int64_t kPastRows = SEQ_SEQUENCE_EDGE;

void ConvolveEmitter::emitDirectForm() {
  fillRows(signal, constant(0), constant(kFront));
  fillRows(signal, add(kernel.tokens, constant(kFront)), constant(plan.rows));
  forAll([&](Indices indices) { packFilter(indices); },
         [&](Indices indices) {
           packSignal(indices, constant(kFront));
           emitTiles({kernel.tokens, first, last, /*accumulates=*/false});
           copyRows(panelRows(product, constant(0)), resultRows(indices), kernel.tokens, indices);
         });
}

void ConvolveEmitter::packFilter(Indices indices) {
  Value none = constant(0);
  packWeights(filter, sub(none, first), sub(none, first), indices);
  Value weights = maximum(sub(add(last, constant(1)), first), none);
  fillRows(filter, weights, constant(plan.rows));
}

void ConvolveEmitter::emitTiles(const Range &range) {
  int64_t rows = plan.rows;
  kernel.forEach(kernel.tokens, rows, [&](Value token) {
    // Outside of these the signal is zero.
    Value start = maximum(range.first, sub(token, sub(range.rows, constant(1))));
    Value end = minimum(range.last, add(token, constant(rows - 1)));
    SmallVector<Value> sums;
    for (int64_t number = 0; number < rows; ++number)
      sums.push_back(range.accumulates ? load(product, add(token, constant(number))) : zero());
    auto loop =
        scf::ForOp::create(builder, loc, start, add(end, constant(1)), constant(rows), sums);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(loop.getBody());
      SmallVector<Value> next = multiply(range, loop.getInductionVar(), token,
                                         SmallVector<Value>(loop.getRegionIterArgs()));
      scf::YieldOp::create(builder, loc, next);
    }
    for (int64_t number = 0; number < rows; ++number)
      vector::StoreOp::create(builder, loc, loop.getResult(number), product,
                              row(add(token, constant(number))));
  });
}

SmallVector<Value> ConvolveEmitter::multiply(const Range &range, Value distance, Value token,
                                             SmallVector<Value> sums) {
  int64_t rows = plan.rows;
  Value oldest = add(sub(token, distance), constant(kFront - (rows - 1)));
  SmallVector<Value> window;
  for (int64_t number = 0; number < 2 * rows - 1; ++number)
    window.push_back(load(signal, add(oldest, constant(number))));
  Value weights = sub(distance, range.first);
  for (int64_t lag = 0; lag < rows; ++lag) {
    Value weight = load(filter, add(weights, constant(lag)));
    for (int64_t number = 0; number < rows; ++number)
      sums[number] = vector::FMAOp::create(builder, loc, weight, window[number - lag + rows - 1],
                                           sums[number]);
  }
  return sums;
}

Value ConvolveEmitter::load(Value panel, Value number) {
  return vector::LoadOp::create(builder, loc, vectorType(), panel, row(number));
}

//===----------------------------------------------------------------------===//
// What earlier calls left
//===----------------------------------------------------------------------===//

void ConvolveEmitter::emitPast() {
  int64_t ring = kernel.layout.carryComponents()[*carried].shape[0];
  // Earlier ones are farther away than the last distance.
  Value oldest = constant(0);
  if (auto to = op.getLast())
    oldest = maximum(sub(kernel.position, constant(*to)), oldest);
  Value hasPast =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, oldest, kernel.position);
  Value tokens =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, kernel.tokens, constant(0));
  // The panels have room for so many rows beside their edges.
  Value most = add(kernel.tokens, constant(kPastRows));
  emitIf(kernel, arith::AndIOp::create(builder, loc, hasPast, tokens), [&] {
    forAll([](Indices) {},
           [&](Indices indices) {
             copyRows(resultRows(indices), panelRows(product, constant(0)), kernel.tokens, indices);
             fillRows(signal, constant(0), constant(kFront));
             auto loop = scf::WhileOp::create(builder, loc, TypeRange{builder.getIndexType()},
                                              ValueRange{oldest});
             OpBuilder::InsertionGuard guard(builder);
             Block *before =
                 builder.createBlock(&loop.getBefore(), {}, {builder.getIndexType()}, {loc});
             Value isPast = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt,
                                                  before->getArgument(0), kernel.position);
             scf::ConditionOp::create(builder, loc, isPast, before->getArguments());
             Block *after =
                 builder.createBlock(&loop.getAfter(), {}, {builder.getIndexType()}, {loc});
             Value position = after->getArgument(0);
             Value rows = minimum(sub(kernel.position, position), most);
             Value slot = position;
             if (ring >= 0) {
               slot = arith::RemUIOp::create(builder, loc, position, constant(ring));
               rows = minimum(rows, sub(constant(ring), slot));
             }
             emitPastBlock(position, slot, rows, indices);
             scf::YieldOp::create(builder, loc, ValueRange{add(position, rows)});
             builder.setInsertionPointAfter(loop);
             copyRows(panelRows(product, constant(0)), resultRows(indices), kernel.tokens, indices);
           });
  });
}

void ConvolveEmitter::emitPastBlock(Value position, Value slot, Value rows, Indices indices) {
  Strided carriedSignal = selectRows(carriedRows(kernel, *carried, /*write=*/false),
                                     op.getSignal().getFeatures(), indices);
  fillRows(signal, add(rows, constant(kFront)), constant(plan.rows));
  packRows(op.getSignal(), carriedSignal, slot, panelRows(signal, constant(kFront)), rows, indices);
  // The first row of the panel of weights is of the last row and the first token.
  Value lowest = sub(constant(1), rows), highest = sub(kernel.tokens, constant(1));
  packPastWeights(add(sub(kernel.position, position), lowest), add(rows, highest), indices);
  emitTiles({rows, lowest, highest, /*accumulates=*/true});
}

void ConvolveEmitter::packPastWeights(Value nearest, Value count, Indices indices) {
  Value none = constant(0);
  Value start = nearest, end = add(nearest, count);
  if (auto from = op.getFirst())
    start = minimum(maximum(start, constant(*from)), end);
  if (auto to = op.getLast())
    end = maximum(minimum(end, constant(*to + 1)), start);
  Value skipped = sub(start, nearest), weights = sub(end, start);
  fillRows(filter, none, skipped);
  packPast(filter, skipped, start, weights, indices);
  Value behind = add(skipped, weights);
  fillRows(filter, behind, sub(add(count, constant(plan.rows)), behind));
}
