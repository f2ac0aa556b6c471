//===- PairLoop.cpp - the loop over the columns of pairs ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairLoop.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/pairs/PairCarry.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Rows of features of a symbol that are written down one after the other.
static constexpr int64_t kMostRowsOfFeatures = 16;

LogicalResult forEachRowOfFeatures(Operation *at, PairExpr &expr, PairTiles &tiles,
                                   ArrayRef<Attribute> dims,
                                   llvm::function_ref<LogicalResult(ArrayRef<PairValue>)> visit) {
  if (dims.empty())
    return visit({});
  int64_t count = 1;
  for (Attribute dim : dims.drop_back())
    count *= expr.sizeOf(dim);
  if (count > kMostRowsOfFeatures)
    return expr.refuse(at, "features along several large dims at pairs of positions");
  const Axis last = tiles.addFeatureOrSlice(expr.sizeOf(dims.back()));
  for (int64_t n = 0; n < count; ++n) {
    SmallVector<PairValue> places(dims.size());
    int64_t rest = n;
    for (auto dim = static_cast<int64_t>(dims.size()) - 2; dim >= 0; --dim) {
      places[dim] = PairValue::index(rest % expr.sizeOf(dims[dim]));
      rest /= expr.sizeOf(dims[dim]);
    }
    places.back() = PairValue::along(last);
    if (failed(visit(places)))
      return failure();
  }
  return success();
}

PairLoop::PairLoop(MixerOp mixer, PairExpr &expr, PairTiles &tiles, const PairRows &rows,
                   Value position, const PairGroups &groups)
    : mixer(mixer), expr(expr), tiles(tiles), block(tiles.block), builder(tiles.builder),
      loc(tiles.loc), rows(rows), position(position), groups(groups) {}

SmallVector<PairValue> PairLoop::ofPair() {
  SmallVector<PairValue> places = rows.places();
  places.push_back(PairValue::along(kColumn));
  return places;
}

Value PairLoop::minus(Value a, Value b) { return arith::SubIOp::create(builder, loc, a, b); }
Value PairLoop::least(Value a, Value b) { return arith::MinSIOp::create(builder, loc, a, b); }
Value PairLoop::greatest(Value a, Value b) { return arith::MaxSIOp::create(builder, loc, a, b); }

//===----------------------------------------------------------------------===//
// What there is
//===----------------------------------------------------------------------===//

static ReduceKind kindOf(PairKind kind) {
  switch (kind) {
  case PairKind::Prod:
    return ReduceKind::Prod;
  case PairKind::Max:
    return ReduceKind::Max;
  case PairKind::Min:
    return ReduceKind::Min;
  default:
    return ReduceKind::Sum;
  }
}

LogicalResult PairLoop::collectSums() {
  sums.clear();
  each.clear();
  places.clear();
  for (auto result : pairs.getOuts().getAsRange<PairResultAttr>()) {
    Sum sum;
    sum.weight = result.getWeight();
    sum.value = result.getValue();
    sum.name = result.getProduced().getAttr();
    if (result.getKind() == PairKind::ScoreMax)
      continue;
    if (result.getKind() == PairKind::Each) {
      auto own = eachOf(result);
      if (failed(own))
        return failure();
      each.push_back(*own);
      continue;
    }
    if (result.getKind() == PairKind::Places) {
      places.push_back(result);
      continue;
    }
    sum.kind = kindOf(result.getKind());
    auto addSum = [&](ArrayRef<PairValue> places) -> LogicalResult {
      Sum own = sum;
      if (!places.empty()) {
        own.feature = places.back().axes[0];
        for (const PairValue &place : places.drop_back())
          own.places.push_back(place.offset);
        if (tiles.paddedOf(*own.feature) > tiles.mostFeatures)
          return expr.refuse(pairs, "sums over pairs of more than " + Twine(tiles.mostFeatures) +
                                        " features");
      }
      sums.push_back(own);
      return success();
    };
    ArrayRef<Attribute> features =
        chunk::dimsOf(chunk::lookup(mixer, sum.name)).getValue().drop_front(rows.rank());
    if (failed(forEachRowOfFeatures(pairs, expr, tiles, features, addSum)))
      return failure();
  }
  return success();
}

FailureOr<PairLoop::Each> PairLoop::eachOf(PairResultAttr result) {
  const auto inputs = static_cast<int32_t>(llvm::range_size(mixer.getOps<TensorOp>()));
  for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>()))
    if (output.getSourceAttr() == result.getProduced())
      return Each{result.getValue(), inputs + static_cast<int32_t>(number)};
  return expr.refuse(pairs, "a result for every pair of positions that is no output"), failure();
}

//===----------------------------------------------------------------------===//
// The loop
//===----------------------------------------------------------------------===//

LogicalResult PairLoop::emit(PairsOp op) {
  pairs = op;
  if (failed(collectSums()) || failed(findBounds()))
    return failure();
  for (PairResultAttr result : places)
    if (failed(emitPlaces(result)))
      return failure();
  if (!pairs.getScore() && sums.empty() && each.empty())
    return success();
  SmallVector<Value> carried;
  const double infinity = std::numeric_limits<double>::infinity();
  if (pairs.getScore())
    carried.push_back(tiles.spread(tiles.constant(-infinity), {kRow}));
  for (const Sum &sum : sums)
    carried.push_back(tiles.spread(tiles.identity(sum.kind),
                                   sum.feature ? Axes{kRow, *sum.feature} : Axes{kRow}));
  auto inTile = [&](SmallVector<Value> &inside) -> LogicalResult {
    if (failed(emitSums(inside)))
      return failure();
    return emitEach();
  };
  if (failed(emitRuns(carried, inTile, /*isOutermost=*/true)))
    return failure();
  expr.leaveLoop();
  size_t next = 0;
  if (pairs.getScore()) {
    for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
      if (result.getKind() == PairKind::ScoreMax)
        expr.setProduced(result.getProduced().getAttr(), {}, {carried[0], {kRow}, 0});
    next = 1;
  }
  for (const Sum &sum : sums) {
    Axes axes = {kRow};
    if (sum.feature)
      axes.push_back(*sum.feature);
    expr.setProduced(sum.name, sum.places, {carried[next++], axes, 0});
  }
  return success();
}

LogicalResult PairLoop::emitRuns(SmallVector<Value> &carried, InTile inTile, bool isOutermost) {
  const int64_t all =
      static_cast<int64_t>(cuts.size() + 1) * static_cast<int64_t>(intervals.size());
  if (all == 1)
    return emitRun(Value(), carried, inTile, isOutermost);
  auto loop = emitLoop(
      block.i64(0), block.i64(all), block.i64(1), isOutermost, carried,
      [&](Value run, SmallVector<Value> &inside) { return emitRun(run, inside, inTile, false); });
  return failure(failed(loop));
}

/// Columns of an interval that stand behind each other: rows of the carry (of the last positions
/// two runs, as they may begin behind the first row), then those of the call.
LogicalResult PairLoop::emitRun(Value number, SmallVector<Value> &carried, InTile inTile,
                                bool isOutermost) {
  Value low = intervals[0].low, high = intervals[0].high;
  if (const auto count = static_cast<int64_t>(intervals.size()); count > 1) {
    Value interval = number;
    if (!cuts.empty()) {
      interval = arith::RemUIOp::create(builder, loc, number, block.i64(count));
      number = arith::DivUIOp::create(builder, loc, number, block.i64(count));
    }
    for (int64_t other = 1; other < count; ++other) {
      Value isOther =
          arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, interval, block.i64(other));
      low = arith::SelectOp::create(builder, loc, isOther, intervals[other].low, low);
      high = arith::SelectOp::create(builder, loc, isOther, intervals[other].high, high);
    }
  }
  Value first = low, end = high, isCarry;
  if (!cuts.empty()) {
    isCarry = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, number,
                                    block.i64(static_cast<int64_t>(cuts.size())));
    Value from = block.i64(0);
    for (auto [run, cut] : llvm::enumerate(cuts)) {
      auto choose = [&](int64_t own, Value a, Value b) -> Value {
        Value isOwn =
            arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, number, block.i64(own));
        return arith::SelectOp::create(builder, loc, isOwn, a, b);
      };
      const auto own = static_cast<int64_t>(run);
      end = choose(own, least(high, cut), end);
      from = choose(own + 1, cut, from);
    }
    first = greatest(low, from);
    findCarried(from);
  }
  auto loop = emitLoop(first, end, block.i64(tiles.sizeOf(kColumn)), isOutermost, carried,
                       [&](Value own, SmallVector<Value> &inside) {
                         return emitTile(own, end, isCarry, inside, inTile);
                       });
  if (failed(loop))
    return failure();
  (*loop)->setAttr(tile::pipelinedName, builder.getUnitAttr());
  return success();
}

FailureOr<scf::ForOp>
PairLoop::emitLoop(Value first, Value end, Value step, bool isOutermost,
                   SmallVector<Value> &carried,
                   llvm::function_ref<LogicalResult(Value, SmallVector<Value> &)> body) {
  auto loop = scf::ForOp::create(builder, loc, first, end, step, carried);
  if (isOutermost) {
    block.noteLoop(loop);
    expr.enterLoop(loop);
  }
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> inside(loop.getRegionIterArgs());
  if (failed(body(loop.getInductionVar(), inside)))
    return failure();
  // A loop that carries nothing has its end already.
  if (!carried.empty())
    scf::YieldOp::create(builder, loc, inside);
  carried.assign(loop.result_begin(), loop.result_end());
  return loop;
}

LogicalResult PairLoop::emitTile(Value first, Value end, Value isCarry, SmallVector<Value> &carried,
                                 InTile inTile) {
  PairColumns columns;
  columns.dim = pairs.getOverAttr();
  columns.count = minus(end, first);
  columns.first = first;
  columns.inCall = columns.dim == tokenDimOf(mixer) ? minus(first, position) : first;
  columns.isCarry = isCarry;
  for (const Length &own : lengths) {
    Value count = columns.count;
    if (own.isThere)
      count = arith::SelectOp::create(builder, loc, own.isThere, count, block.i64(0));
    columns.carried[own.rows] = {minus(first, own.start), count};
  }
  tiles.firstColumn = arith::TruncIOp::create(builder, loc, builder.getI32Type(), first);
  expr.enterTile(columns);
  auto inside = insideOfDomain(columns.count);
  if (failed(inside))
    return failure();
  mask = *inside;
  if (!isSparse())
    return inTile(carried);
  // What data choose may leave out whole tiles.
  PairValue counts{arith::ExtUIOp::create(
                       builder, loc, tiles.typeOf(mask.axes, builder.getI32Type()), mask.value),
                   mask.axes, 0};
  while (!counts.axes.empty()) {
    counts.axes.pop_back();
    auto reduced = tile::ReduceOp::create(
        builder, loc, TypeRange{tiles.typeOf(counts.axes, builder.getI32Type())},
        ValueRange{counts.value}, static_cast<uint32_t>(counts.axes.size()));
    addIntegers(reduced.getBody());
    counts.value = reduced.getResult(0);
  }
  Value some = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, counts.value,
                                     block.zero(builder.getI32Type()));
  SmallVector<Type> types;
  for (Value one : carried)
    types.push_back(one.getType());
  auto choice = scf::IfOp::create(builder, loc, types, some, /*withElse=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(builder, loc, carried);
  builder.setInsertionPointToStart(choice.thenBlock());
  expr.enterChoice(choice);
  LogicalResult status = inTile(carried);
  expr.leaveLoop();
  if (failed(status))
    return failure();
  scf::YieldOp::create(builder, loc, carried);
  carried.assign(choice.result_begin(), choice.result_end());
  return success();
}

/// Whether the domain asks if a pair is among those that were chosen: integers of the row.
bool PairLoop::isSparse() {
  Block *domain = pairs.getDomainBlock();
  if (!domain || !each.empty() || !places.empty())
    return false;
  auto isChosen = [](ReduceOp reduce) {
    return reduce
        .walk([](CompareOp compare) {
          const bool isPlace = compare.getPredicate() == Predicate::Eq &&
                               compare.getLhs().getType().isIndex() &&
                               (compare.getLhs().getDefiningOp<ReadOp>() ||
                                compare.getRhs().getDefiningOp<ReadOp>());
          return isPlace ? WalkResult::interrupt() : WalkResult::advance();
        })
        .wasInterrupted();
  };
  return llvm::any_of(domain->getOps<ReduceOp>(), isChosen);
}

/// Which pairs of the tile count: those of the domain whose column exists.
FailureOr<PairValue> PairLoop::insideOfDomain(Value count) {
  PairValue own = tiles.number(PairValue::along(kColumn));
  Value narrow = arith::TruncIOp::create(builder, loc, builder.getI32Type(), count);
  PairValue both[] = {own, {arith::AddIOp::create(builder, loc, tiles.firstColumn, narrow), {}, 0}};
  tiles.unify(both);
  PairValue exists{
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, both[0].value, both[1].value),
      {kColumn},
      0};
  Block *domain = pairs.getDomainBlock();
  if (!domain)
    return exists;
  auto inside = expr.body(*domain, ofPair());
  if (failed(inside))
    return failure();
  PairValue all[] = {exists, *inside};
  Axes axes = tiles.unify(all);
  return PairValue{arith::AndIOp::create(builder, loc, all[0].value, all[1].value), axes, 0};
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

Value PairLoop::exponential(Value x) {
  if (block.real.isF32())
    return math::ExpOp::create(builder, loc, x);
  return UnaryOp::create(builder, loc, x.getType(), UnaryFn::Exp, x);
}

Value PairLoop::isFinite(Value x) {
  Value size = UnaryOp::create(builder, loc, x.getType(), UnaryFn::Abs, x);
  Value infinity = tiles.spread(tiles.constant(std::numeric_limits<double>::infinity()), {kRow});
  return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, size, infinity);
}

LogicalResult PairLoop::emitSums(SmallVector<Value> &carried) {
  const Axes pair = {kRow, kColumn};
  size_t next = 0;
  PairValue e, scale;
  if (Block *score = pairs.getScoreBlock()) {
    auto own = expr.body(*score, ofPair());
    if (failed(own))
      return failure();
    PairValue scores =
        tiles.select(mask, *own, tiles.constant(-std::numeric_limits<double>::infinity()));
    scores = {tiles.spread(scores, pair), pair, 0};
    Value before = carried[0];
    Value most = tiles.combine(ReduceKind::Max,
                               tiles.reduce(scores, kColumn, ReduceKind::Max).value, before);
    // Scores are taken relative to the maximum, where that is a number.
    Value shift = arith::SelectOp::create(builder, loc, isFinite(most), most,
                                          tiles.spread(tiles.constant(0), {kRow}));
    Value shifts = tiles.spread({shift, {kRow}, 0}, pair);
    e = {exponential(arith::SubFOp::create(builder, loc, scores.value, shifts)), pair, 0};
    scale = {exponential(arith::SubFOp::create(builder, loc, before, shift)), {kRow}, 0};
    carried[0] = most;
    next = 1;
  }
  std::map<int64_t, PairValue> weights;
  for (const Sum &sum : sums) {
    if (sum.kind != ReduceKind::Sum) {
      auto after = reductionOf(sum, carried[next]);
      if (failed(after))
        return failure();
      carried[next++] = *after;
      continue;
    }
    auto [entry, isNew] = weights.try_emplace(sum.weight);
    if (isNew) {
      PairValue own = tiles.constant(1);
      if (Block *part = pairs.getPart(sum.weight)) {
        SmallVector<PairValue> arguments = ofPair();
        if (pairs.getScore())
          arguments.push_back(e);
        auto value = expr.body(*part, arguments);
        if (failed(value))
          return failure();
        own = *value;
      }
      // Of scores that do not count the exponential is zero.
      if (!pairs.getScore() || own.value != e.value)
        own = tiles.select(mask, own, tiles.constant(0));
      entry->second = {tiles.spread(own, pair), pair, 0};
    }
    Value before = carried[next];
    // A weight may be made without the exponential: its sums are no multiples of it.
    Block *part = pairs.getPart(sum.weight);
    if (scale.value && part && !part->getArguments().back().use_empty())
      before =
          tiles.multiply({before, sum.feature ? Axes{kRow, *sum.feature} : Axes{kRow}, 0}, scale)
              .value;
    auto after = sumOf(sum, entry->second, before);
    if (failed(after))
      return failure();
    carried[next++] = *after;
  }
  return success();
}

/// Stores the values of the tile's pairs; a pair that does not count has none.
LogicalResult PairLoop::emitEach() {
  for (const Each &own : each) {
    SmallVector<PairValue> places = ofPair();
    auto value = expr.body(*pairs.getPart(own.value), places);
    if (failed(value))
      return failure();
    PairValue whole = value->value ? *value : tiles.number(*value);
    if (pairs.getDomainBlock())
      whole = tiles.select(mask, whole,
                           {block.zero(getElementTypeOrSelf(whole.value.getType())), {}, 0});
    storeRows(tiles, block.tensor(own.tensor), places, whole, rows.inCall, rows.count, kRow,
              &expr.columnsOfTile());
  }
  return success();
}

FailureOr<Value> PairLoop::reductionOf(const Sum &sum, Value before) {
  Block *value = pairs.getPart(sum.value);
  if (!value || sum.weight >= 0)
    return expr.refuse(pairs, "weights of what is no sum"), failure();
  SmallVector<PairValue> arguments = ofPair();
  if (sum.feature) {
    for (int64_t place : sum.places)
      arguments.push_back(PairValue::index(place));
    arguments.push_back(PairValue::along(*sum.feature));
    return expr.reducedByFeature(*value, arguments, *sum.feature, sum.kind, mask, before);
  }
  auto own = expr.body(*value, arguments);
  if (failed(own))
    return failure();
  PairValue terms =
      tiles.reduce(tiles.select(mask, *own, tiles.identity(sum.kind)), kColumn, sum.kind);
  return tiles.combine(sum.kind, before, tiles.spread(terms, {kRow}));
}

FailureOr<Value> PairLoop::sumOf(const Sum &sum, const PairValue &weights, Value before) {
  Block *value = pairs.getPart(sum.value);
  if (sum.feature) {
    if (!value)
      return expr.refuse(pairs, "sums over pairs of weights alone, with features"), failure();
    SmallVector<PairValue> arguments = ofPair();
    for (int64_t place : sum.places)
      arguments.push_back(PairValue::index(place));
    arguments.push_back(PairValue::along(*sum.feature));
    auto result = expr.weighted(*value, arguments, *sum.feature, weights, before);
    if (failed(result))
      return failure();
    return result->value;
  }
  PairValue terms = weights;
  if (value) {
    auto own = expr.body(*value, ofPair());
    if (failed(own))
      return failure();
    // What does not count may be anything there.
    terms = tiles.multiply(weights, tiles.select(mask, *own, tiles.constant(0)));
  }
  return tiles.add({before, {kRow}, 0}, tiles.reduce(terms, kColumn, ReduceKind::Sum)).value;
}

} // namespace seqmix::gpu
