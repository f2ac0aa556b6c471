//===- LanePlaces.cpp - tokens and places that are computed ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A token's number is that in its sequence, of which the carry's position says how many tokens
// earlier calls had. Reads at other tokens than the own one plus a distance load what stands in
// memory and make definitions anew; only states are at the own token alone.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/LaneExpr.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Negative numbers are large without their sign.
Value LaneExpr::isBelow(Value number, Value end) {
  return arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::ult, number, end);
}

Value LaneExpr::endOfSequence() {
  return arith::AddIOp::create(builder, block.loc, block.position(), block.tokens);
}

LaneExpr::Result LaneExpr::zeroUnless(Value condition, const Result &value) {
  if (failed(value) || !condition)
    return value;
  Value own = asValue(*value);
  own = choose(condition, own, block.zero(getElementTypeOrSelf(own.getType())));
  return value->isInteger ? integer({0, 0, 0, own}) : real(own);
}

FailureOr<Value> LaneExpr::compute(Operation *op, Place &place, int64_t size) {
  Value own = place.lane ? Value() : number(place);
  if (!own || isa<RankedTensorType>(own.getType()))
    return refuse(op, "an index that is computed from that of a lane"), failure();
  Value inside = isBelow(own, block.i64(size));
  // What is read of other places counts as zero, but must be somewhere.
  own = arith::SelectOp::create(builder, block.loc, inside, own, block.i64(0));
  place = {0, 0, 0, own};
  return inside;
}

/// Rows of params are those of all tokens of the sequence, rows of inputs those of the call.
LaneExpr::TensorRow LaneExpr::rowOf(TensorOp tensor, ArrayRef<Place> places) {
  TensorRow row{SmallVector<Place>(places), token, {}};
  const Place &at = places[0];
  const bool isParam = tensor.getRole() == Role::Param;
  const bool isNear = at.token == 1 && !at.rest;
  if (isNear && !isParam) {
    if (at.constant) {
      Value own = arith::AddIOp::create(builder, block.loc, token, block.i64(at.constant));
      row.exists = isBelow(own, block.tokens);
    }
    return row;
  }
  row.number = number(at);
  if (!isParam)
    row.number = arith::SubIOp::create(builder, block.loc, row.number, block.position());
  if (!isNear || at.constant)
    row.exists = isBelow(row.number, isParam ? endOfSequence() : block.tokens);
  row.places[0] = Place{0, 1, 0, {}};
  return row;
}

/// A symbol over tokens, at any token.
LaneExpr::Result LaneExpr::readFar(ReadOp op, ArrayRef<Place> all) {
  StringAttr name = op.getSourceAttr().getAttr();
  Operation *source = symbol(name);
  const Place &at = all.front();
  if (at.lane || (at.rest && isa<RankedTensorType>(at.rest.getType())))
    return refuse(op, "a token that differs from lane to lane"), failure();
  if (isa<StateOp>(source))
    return refuse(op, "a state at a computed token"), failure();
  if (auto tensor = dyn_cast<TensorOp>(source))
    return readTensor(op, tensor, all, true);
  auto equation = equations.find(name);
  if (equation == equations.end())
    return refuse(op, "'" + name.getValue() + "', which another form makes"), failure();
  // Behind the sequence and in front of it there is nothing.
  const bool isNear = at.token == 1 && !at.rest;
  Value row =
      isNear ? arith::AddIOp::create(builder, block.loc, token, block.i64(at.constant)).getResult()
             : arith::SubIOp::create(builder, block.loc, number(at), block.position());
  return zeroUnless(isBelow(row, block.tokens), definition(equation->second, all));
}

} // namespace seqmix::gpu
