//===- PairResults.cpp - what kernels have made ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Sums over pairs that the kernel has made, in registers or shared memory, what an earlier launch
// has left in the workspace, and states of a step.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

PairExpr::Result PairExpr::produced(Operation *at, StringAttr name, ArrayRef<PairValue> places) {
  // What another launch has made, and what this one keeps, too, if it is read at other rows.
  const KeptValue *kept = groups.find(name);
  const bool isMade =
      llvm::any_of(results, [&](const auto &own) { return own.first.first == name.getValue(); });
  if (kept && !isMade)
    return loadKept(at, *kept, places);
  const SmallVector<PairValue> ofRows = rows.places();
  for (auto [place, wanted] : llvm::zip(places, ofRows))
    if (place.value != wanted.value || place.axes != wanted.axes || place.offset)
      return refuse(at, "sums over pairs at other rows than the own one"), failure();
  ArrayRef<PairValue> features = places.drop_front(ofRows.size());
  SmallVector<int64_t> constants;
  for (const PairValue &place : features.empty() ? features : features.drop_back()) {
    if (!place.isConstant())
      return refuse(at, "sums over pairs at several features in another order"), failure();
    constants.push_back(place.offset);
  }
  auto found = results.find({name.str(), constants});
  if (found == results.end())
    return refuse(at, "'" + name.getValue() + "', which another form makes"), failure();
  PairValue value = found->second;
  if (value.axes.size() < 2)
    return value;
  const PairValue &last = places.back();
  const Axis own = value.axes[1];
  if (!last.axes.empty() && tiles.areSame(last.axes[0], own)) {
    value.axes = {kRow, last.axes[0]};
    return value;
  }
  if (tiles.firstOf(own)) { // other blocks have the other features
    across = name;
    return failure();
  }
  if (last.isConstant())
    return PairValue{tile::PickOp::create(builder, loc, tiles.typeOf({kRow}, tiles.real),
                                          value.value, 1, static_cast<uint32_t>(last.offset)),
                     {kRow},
                     0};
  return fromShared(at, found->first, value, last);
}

/// Features of a sum that are not those that the thread has: shared memory has a line for each.
PairExpr::Result PairExpr::fromShared(Operation *at, const ResultKey &key, const PairValue &value,
                                      const PairValue &feature) {
  const int64_t lines = tiles.paddedOf(value.axes[1]);
  Value &memory = sharedResults[key];
  if (!memory) {
    auto made = [&]() -> LogicalResult {
      Type type =
          tile::SmemType::get(builder.getContext(), {lines, tiles.paddedOf(kRow)}, tiles.real, 0);
      memory = tile::AllocSmemOp::create(builder, loc, type, IntegerAttr());
      tile::StoreOp::create(builder, loc, value.value, memory, /*transposed=*/true);
      return success();
    };
    if (failed(atLevel(0, made)))
      return failure();
  }
  if (numbers.contains(feature.value)) {
    Value line = arith::ExtSIOp::create(builder, loc, builder.getI64Type(), feature.value);
    auto type = cast<RankedTensorType>(tiles.typeOf({kRow}, tiles.real));
    return PairValue{tile::LoadLineOp::create(builder, loc, type, memory, line), {kRow}, 0};
  }
  if (!feature.isKnownIndex() || feature.axes.empty() || feature.axes[0] < kFirstFeature ||
      lines % tiles.paddedOf(feature.axes[0]) != 0)
    return refuse(at, "features of sums over pairs at computed places"), failure();
  const Axes axes = {kRow, feature.axes[0]};
  Value part = block.i64(0);
  if (Value first = tiles.firstOf(axes[1]))
    part = arith::DivUIOp::create(builder, loc, first, block.i64(tiles.paddedOf(axes[1])));
  Value tile = tile::LoadOp::create(builder, loc, tiles.typeOf(axes, tiles.real), memory, part,
                                    /*transposed=*/true);
  return PairValue{tile, axes, 0};
}

const LaneArray &PairExpr::kept(const KeptValue &value) {
  auto [entry, isNew] = regions.try_emplace(value.name);
  if (isNew)
    entry->second = block.kept(static_cast<int32_t>(&value - groups.kept.data()), value.dtype,
                               value.isOfTokens, value.extents, value.places);
  return entry->second;
}

PairExpr::Result PairExpr::loadKept(Operation *at, const KeptValue &value,
                                    ArrayRef<PairValue> places) {
  Key key = keyOf(at == asIntegers ? static_cast<const void *>(&value.dtype) : &value, places);
  if (const PairValue *found = find(key))
    return *found;
  if (columns.isCarry && value.isOfTokens && places[0].varies(kColumn))
    return refuse(at, "rows of earlier calls that the carry does not have"), failure();
  Result result = loadFrom(at, kept(value), places, value.dims, nullptr);
  if (failed(result))
    return failure();
  *result = widened(*result, value.dtype);
  // Places of the greatest are reals to the equations (PairExpr::unary).
  if (value.dtype == SEQ_I32 && at != asIntegers &&
      isa<ProducedOp>(chunk::lookup(mixer, value.name)))
    result->value = arith::SIToFPOp::create(builder, loc, tiles.typeOf(result->axes, tiles.real),
                                            result->value);
  remember(key, *result);
  return result;
}

PairExpr::Result PairExpr::integers(ReadOp read) {
  llvm::SaveAndRestore<Operation *> stored(asIntegers, read);
  return this->read(read);
}

/// A state behind the call's one token, or in front of it.
PairExpr::Result PairExpr::stateOfStep(Operation *at, StateOp state, ArrayRef<PairValue> places) {
  const PairValue &token = places[0];
  const bool isOfToken = token.isKnownIndex() && token.axes.size() == 1 &&
                         (token.axes[0] == kRow || token.axes[0] == kColumn);
  if (isOfToken && token.offset == 0)
    for (auto next : mixer.getOps<NextOp>())
      if (next.getStateAttr().getAttr() == state.getSymNameAttr())
        return body(next.getBody().front(), places);
  if (!isOfToken || token.offset != -1)
    return refuse(at, "states at other tokens than the last"), failure();
  for (auto [number, component] : llvm::enumerate(carryComponents(mixer)))
    if (component.kind == CarryComponent::State &&
        component.of.getAttr() == state.getSymNameAttr()) {
      Result stored = loadFrom(at, block.carryIn(static_cast<int32_t>(number)), places.drop_front(),
                               state.getDims(), nullptr);
      if (failed(stored))
        return failure();
      return widened(*stored, block.plan.components[number].dtype);
    }
  llvm_unreachable("states are carried");
}

} // namespace seqmix::gpu
