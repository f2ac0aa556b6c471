//===- LaneExchange.cpp - what lanes of a block exchange ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A reduction over the dim that lanes are along is one of two things. Where its body is the same
// for all lanes (norms, normalisers), each lane has one term, and a tile is reduced. Where it
// depends on the lane (a dense product: the weights of lane i times what lane j has), every lane
// goes over all places: what others have comes through a row of shared memory, written once a
// token.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/LaneExpr.h"

#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// What a thread keeps of weights in registers, in words; and a block of the others in shared
/// memory, in bytes.
static constexpr int64_t kWeightRegisters = 96, kWeightMemory = 128 << 10;
/// Terms of a token's dense products that are unrolled at most; places of an iteration else.
static constexpr int64_t kMostTerms = 512, kMostUnrolled = 8;

bool LaneExpr::isLanes(Attribute dim) const {
  return llvm::any_of(block.shape.dims, [&](int32_t number) {
    return cast<FlatSymbolRefAttr>(dim).getValue() == block.plan.dims[number].name;
  });
}

bool LaneExpr::dependsOnLane(ArrayRef<BlockArgument> arguments) const {
  return llvm::any_of(arguments, [&](BlockArgument argument) {
    const Place place = bindings.lookup(argument);
    return place.lane || (place.rest && isa<RankedTensorType>(place.rest.getType()));
  });
}

Value LaneExpr::existingOr(Value value, Value other, int64_t size) {
  value = block.splat(value);
  if (size == block.shape.lanes)
    return value;
  Value exists = arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::ult,
                                       block.places(), block.splat(block.i64(size)));
  return choose(exists, value, other);
}

/// One of all lanes' values, the same in all threads.
Value LaneExpr::combineLanes(Value value, llvm::function_ref<Value(Value, Value)> combine) {
  Type element = getElementTypeOrSelf(value.getType());
  auto reduce = tile::ReduceOp::create(builder, block.loc, TypeRange{element}, ValueRange{value},
                                       /*dim=*/0);
  OpBuilder::InsertionGuard guard(builder);
  Block &body = reduce.getBody().emplaceBlock();
  body.addArguments({element, element}, {block.loc, block.loc});
  builder.setInsertionPointToEnd(&body);
  tile::YieldOp::create(builder, block.loc,
                        ValueRange{combine(body.getArgument(0), body.getArgument(1))});
  return reduce.getOutputs()[0];
}

/// Softmax and sums of all places up to the own one, over lanes.
LaneExpr::Result LaneExpr::mapLanes(MapOp op, const Place &at) {
  SmallVector<BlockArgument> inside;
  for (Region *region : {&op.getBody(), &op.getDomain()})
    for (Block &inner : *region)
      for (Operation &other : inner)
        for (BlockArgument argument : dependencies.of(&other))
          if (argument.getOwner()->getParentOp() != op)
            inside.push_back(argument);
  if (dependsOnLane(inside))
    return refuse(op, "a map along lanes of what differs from lane to lane"), failure();
  SmallVector<Place> places;
  for (BlockArgument argument : inside)
    places.push_back(bindings.lookup(argument));
  const bool isSum = op.getKind() == MapKind::CumSum;
  if (!isSum && op.getKind() != MapKind::Softmax)
    return refuse(op, "the greatest of several"), failure();
  auto ofLanes = [&]() -> Result {
    Value none = constant(isSum ? 0 : -std::numeric_limits<double>::infinity()), all;
    auto visit = [&](ArrayRef<int64_t>, Value value, Value counts) {
      all = counts ? choose(counts, value, none) : value;
    };
    const int64_t size = sizeOf(op.getDimAttr());
    if (failed(points(op.getBody(), op.getDomain(), {kLanes}, visit, Place::ofLane(size))))
      return failure();
    all = existingOr(all ? all : none, none, size);
    return real(isSum ? cumulativeSum(all) : softmax(all));
  };
  if (at.isLane())
    return ofLanes();
  if (!isOfLoop(at))
    return refuse(op, "a map at a place that is computed"), failure();
  return pick(op, keyOf(op.getOperation(), places), at, ofLanes);
}

Value LaneExpr::cumulativeSum(Value terms) {
  auto scan = tile::ScanOp::create(builder, block.loc, TypeRange{terms.getType()},
                                   ValueRange{terms}, /*dim=*/0, /*reverse=*/false);
  OpBuilder::InsertionGuard guard(builder);
  Block &body = scan.getBody().emplaceBlock();
  body.addArguments({block.real, block.real}, {block.loc, block.loc});
  builder.setInsertionPointToEnd(&body);
  tile::YieldOp::create(builder, block.loc,
                        ValueRange{add(body.getArgument(0), body.getArgument(1))});
  return scan.getOutputs()[0];
}

Value LaneExpr::softmax(Value scores) {
  Value most =
      combineLanes(scores, [&](Value a, Value b) { return function(BinaryFn::Max, a, b); });
  // Where nothing is above -inf, everything is zero.
  Value isEmpty = arith::CmpFOp::create(builder, block.loc, arith::CmpFPredicate::OEQ, most,
                                        constant(-std::numeric_limits<double>::infinity()));
  Value shift = choose(isEmpty, constant(0), most);
  Value weights =
      function(UnaryFn::Exp, add(scores, arith::NegFOp::create(builder, block.loc, shift)));
  Value sum = combineLanes(weights, [&](Value a, Value b) { return add(a, b); });
  sum = choose(isEmpty, constant(1), sum);
  return arith::DivFOp::create(builder, block.loc, weights, block.splat(sum));
}

/// What the lane at a place has. `key` says what is exchanged.
LaneExpr::Result LaneExpr::pick(Operation *op, const Key &key, const Place &place,
                                llvm::function_ref<Result()> ofLanes) {
  if (!rows.contains(key)) {
    Result own = outsideOfLoop([&]() -> Result {
      Result all = ofLanes();
      if (failed(all))
        return failure();
      Value value = asValue(*all);
      Row row;
      row.type = getElementTypeOrSelf(value.getType());
      row.isInteger = all->isInteger;
      if (!isa<RankedTensorType>(value.getType())) {
        row.same = value;
      } else {
        // Truth values take a byte each.
        Type element = row.type.isInteger(1) ? Type(builder.getI8Type()) : row.type;
        if (element != row.type)
          value = arith::ExtUIOp::create(builder, block.loc, block.tileOf(element), value);
        row.memory = block.sharedRow(element);
        tile::StoreOp::create(builder, block.loc, value, row.memory, /*transposed=*/false);
      }
      rows[key] = row;
      return all;
    });
    if (failed(own))
      return failure();
  }
  Row &row = rows[key];
  Value value = row.same;
  if (!value && place.isConstant())
    value = row.elements[place.constant];
  if (!value) {
    Type element = row.type.isInteger(1) ? Type(builder.getI8Type()) : row.type;
    value = tile::LoadElementOp::create(builder, block.loc, element, row.memory, number(place));
    if (element != row.type)
      value = arith::TruncIOp::create(builder, block.loc, row.type, value);
    if (place.isConstant() && !loop)
      row.elements[place.constant] = value;
  }
  return row.isInteger ? integer({0, 0, 0, value}) : real(value);
}

//===----------------------------------------------------------------------===//
// Dense products
//===----------------------------------------------------------------------===//

/// Dense products are unrolled, with their weights kept for all tokens, where a block has the
/// memory.
void LaneExpr::chooseUnrolling() {
  int64_t terms = 0;
  mixer.walk([&](ReduceOp op) {
    int64_t own = 1;
    for (Attribute dim : op.getDims())
      own *= std::max<int64_t>(sizeOf(dim), 1);
    if (llvm::any_of(op.getDims(), [&](Attribute dim) { return isLanes(dim); }))
      terms += own;
  });
  const int64_t bytes = block.real.getIntOrFloatBitWidth() / 8;
  const int64_t inRegisters = kWeightRegisters * 4 / bytes;
  isUnrolled = terms <= kMostTerms && block.shape.lanes == block.shape.threads &&
               (terms - inRegisters) * bytes * block.shape.lanes <= kWeightMemory;
}

bool LaneExpr::isOfLoop(const Place &place) const {
  if (place.token || place.lane || place.group)
    return false;
  if (!place.rest)
    return true;
  return loop && place.rest == loop->op.getInductionVar() && place.constant >= 0 &&
         place.constant < loop->step;
}

/// Calls `visit` with numbers, terms and whether they count, for the places of an iteration.
LogicalResult LaneExpr::loopOverLanes(ReduceOp op, ArrayRef<int64_t> sizes, int64_t size,
                                      MutableArrayRef<Value> parts,
                                      llvm::function_ref<void(size_t, Value, Value)> visit) {
  if (loop)
    return refuse(op, "a dense product within another one"), failure();
  Loop own;
  own.size = size;
  while (own.step < kMostUnrolled && size % (2 * own.step) == 0)
    own.step *= 2;
  own.op = scf::ForOp::create(builder, block.loc, block.i64(0), block.i64(size),
                              block.i64(own.step), ValueRange(SmallVector<Value>(parts)));
  auto &memo = isInFront ? ofAll : ofToken;
  own.known = memo;
  const size_t rowsBefore = rows.size();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(own.op.getBody());
  llvm::copy(own.op.getRegionIterArgs(), parts.begin());
  size_t number = 0;
  {
    llvm::SaveAndRestore inside(loop, &own);
    for (int64_t place = 0; place < own.step; ++place)
      if (failed(points(
              op.getBody(), op.getDomain(), sizes,
              [&](ArrayRef<int64_t>, Value value, Value counts) { visit(number++, value, counts); },
              Place{place, 0, 0, own.op.getInductionVar()})))
        return failure();
  }
  scf::YieldOp::create(builder, block.loc, ValueRange(SmallVector<Value>(parts)));
  llvm::copy(own.op.getResults(), parts.begin());
  memo = std::move(own.known);
  if (rows.size() != rowsBefore) {
    // In the loop there would be one an iteration.
    builder.setInsertionPoint(own.op);
    tile::BarrierOp::create(builder, block.loc);
  }
  return success();
}

/// Evaluates in front of the loop, if any, what does not depend on its place.
LaneExpr::Result LaneExpr::outsideOfLoop(llvm::function_ref<Result()> evaluate) {
  if (!loop)
    return evaluate();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(loop->op);
  auto &memo = isInFront ? ofAll : ofToken;
  std::swap(memo, loop->known);
  Loop *current = std::exchange(loop, nullptr);
  Result result = evaluate();
  loop = current;
  std::swap(memo, loop->known);
  return result;
}

/// A weight of a dense product, which all tokens need: in a register while there are some, else in
/// a row of shared memory.
LaneExpr::Evaluated LaneExpr::keep(const Key &key, const Evaluated &weight) {
  auto tile =
      weight.isInteger ? RankedTensorType() : dyn_cast<RankedTensorType>(weight.value.getType());
  if (!tile || isInFront || !isa<FloatType>(tile.getElementType()))
    return weight;
  auto [entry, isNew] = kept.try_emplace(key);
  if (isNew) {
    const int64_t bytes = tile.getElementTypeBitWidth() / 8;
    weightWords += bytes / 4 * (block.shape.lanes / block.shape.threads);
    if (weightWords > kWeightRegisters) {
      weightBytes += bytes * block.shape.lanes;
      entry->second = block.sharedRow(tile.getElementType());
      OpBuilder::InsertionGuard guard(builder);
      block.enterFront();
      tile::StoreOp::create(builder, block.loc, weight.value, entry->second, /*transposed=*/false);
    }
  }
  if (!entry->second)
    return weight;
  return real(tile::LoadOp::create(builder, block.loc, tile, entry->second, /*transposed=*/false));
}

void LaneExpr::closeFront() {
  if (weightBytes == 0)
    return;
  // One barrier here, not one a token.
  OpBuilder::InsertionGuard guard(builder);
  block.enterFront();
  tile::BarrierOp::create(builder, block.loc);
}

} // namespace seqmix::gpu
