//===- PairBounds.cpp - which columns a block walks --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairLoop.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// The columns of the domain for the block's rows, in closed form.
LogicalResult PairLoop::findBounds() {
  const bool isOfTokens = pairs.getOverAttr() == tokenDimOf(mixer);
  findCuts(isOfTokens);
  Value extent = expr.extentOf(pairs.getOverAttr());
  PairDomain domain(pairs);
  SmallVector<Value> symbols;
  for (Value symbol : domain.symbols) {
    Operation *op = symbol.getDefiningOp();
    if (auto own = dyn_cast<ExtentOp>(op)) {
      symbols.push_back(expr.extentOf(own.getDimAttr()));
      continue;
    }
    auto value = expr.symbol(op, cast<ReadOp>(op).getSourceAttr().getAttr(), {});
    if (failed(value))
      return failure();
    symbols.push_back(
        arith::ExtSIOp::create(builder, loc, builder.getI64Type(), tiles.number(*value).value));
  }
  Value first = rows.first;
  Value count = least(rows.count, block.i64(tiles.sizeOf(kRow)));
  Value last = arith::AddIOp::create(builder, loc, first, minus(count, block.i64(1)));
  SmallVector<Bounds> ofRows;
  if (rows.dim)
    ofRows.push_back({first, last});
  for (auto [dim, number] : rows.inner) {
    Value own = arith::ExtSIOp::create(builder, loc, builder.getI64Type(), number);
    ofRows.push_back({own, own});
  }
  intervals = pairIntervals(
      builder, loc, domain, extent, ofRows, [](StringAttr) { return Bounds(); }, symbols);
  if (!each.empty()) // of all columns there is a value
    intervals.assign(1, Bounds{block.i64(0), extent});
  divideIntervals();
  // Blocks behind the last token have none.
  Value hasRows =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, rows.count, block.i64(0));
  for (Bounds &interval : intervals)
    interval.high = arith::SelectOp::create(builder, loc, hasRows, interval.high, interval.low);
  return success();
}

/// In order, and without columns in common: a pair of the domain counts where its column is walked
/// first. An interval without columns may end before it begins.
void PairLoop::divideIntervals() {
  for (size_t end = intervals.size(); end > 1; --end)
    for (size_t number = 1; number < end; ++number) {
      Bounds &one = intervals[number - 1], &other = intervals[number];
      Value isInOrder =
          arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sle, one.low, other.low);
      auto choose = [&](Value a, Value b) -> Value {
        return arith::SelectOp::create(builder, loc, isInOrder, a, b);
      };
      const Bounds before = one;
      one = {choose(one.low, other.low), choose(one.high, other.high)};
      other = {choose(other.low, before.low), choose(other.high, before.high)};
    }
  Value walked;
  for (Bounds &interval : intervals) {
    if (walked)
      interval.low = greatest(interval.low, walked);
    walked = walked ? greatest(walked, interval.high) : interval.high;
  }
}

/// Rows of the carry stand behind each other from the last multiple of their number on, and from
/// that before it.
void PairLoop::findCuts(bool isOfTokens) {
  lengths.clear();
  cuts.clear();
  if (!isOfTokens)
    return;
  for (const CarryComponent &component : carryComponents(mixer)) {
    if (component.kind != CarryComponent::Rows ||
        llvm::any_of(lengths, [&](const Length &own) { return own.rows == component.shape[0]; }))
      continue;
    Length own;
    own.rows = component.shape[0];
    if (own.rows > 0) {
      Value size = block.i64(own.rows);
      own.wrap = arith::MulIOp::create(builder, loc,
                                       arith::DivUIOp::create(builder, loc, position, size), size);
    }
    lengths.push_back(own);
  }
  if (lengths.empty())
    return;
  for (const Length &own : lengths) {
    if (!own.wrap)
      continue;
    cuts.push_back(own.wrap);
    // Of one length the domain has no earlier columns.
    if (lengths.size() > 1)
      cuts.push_back(greatest(minus(own.wrap, block.i64(own.rows)), block.i64(0)));
  }
  cuts.push_back(position);
  for (size_t end = cuts.size(); end > 1; --end)
    for (size_t at = 0; at + 1 < end; ++at) {
      Value low = least(cuts[at], cuts[at + 1]), high = greatest(cuts[at], cuts[at + 1]);
      cuts[at] = low;
      cuts[at + 1] = high;
    }
}

void PairLoop::findCarried(Value from) {
  for (Length &own : lengths) {
    own.start = block.i64(0);
    if (!own.wrap)
      continue;
    auto isFrom = [&](Value first) -> Value {
      return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, from, first);
    };
    Value earlier = minus(own.wrap, block.i64(own.rows));
    own.start = arith::SelectOp::create(builder, loc, isFrom(own.wrap), own.wrap, earlier);
    if (lengths.size() > 1)
      own.isThere = isFrom(earlier);
  }
}

} // namespace seqmix::gpu
