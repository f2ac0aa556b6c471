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
#include "dialect/Carry.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

FailureOr<Place> LaneExpr::place(Operation *op, AffineExpr expr, ArrayRef<Place> operands) {
  if (auto constantExpr = dyn_cast<AffineConstantExpr>(expr))
    return Place::of(constantExpr.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return operands[dim.getPosition()];
  auto both = cast<AffineBinaryOpExpr>(expr);
  auto left = place(op, both.getLHS(), operands), right = place(op, both.getRHS(), operands);
  if (failed(left) || failed(right))
    return failure();
  switch (both.getKind()) {
  case AffineExprKind::Add: {
    Place sum{left->constant + right->constant,
              left->token + right->token,
              left->lane + right->lane,
              left->rest,
              std::max(left->lanes, right->lanes),
              left->group + right->group,
              left->rows    ? left->rows + right->constant // as many iterations as before
              : right->rows ? right->rows + left->constant
                            : 0};
    if (left->rest && right->rest) {
      Value values[] = {left->rest, right->rest};
      unify(values);
      sum.rest = arith::AddIOp::create(builder, block.loc, values[0], values[1]);
    } else if (right->rest) {
      sum.rest = right->rest;
    }
    return sum;
  }
  case AffineExprKind::Mul: {
    if (!right->isConstant())
      std::swap(*left, *right);
    int64_t factor = right->constant;
    Place product{left->constant * factor,
                  left->token * factor,
                  left->lane * factor,
                  {},
                  left->lanes,
                  left->group * factor,
                  left->rows};
    if (left->rest) {
      Value values[] = {left->rest, block.i64(factor)};
      unify(values);
      product.rest = arith::MulIOp::create(builder, block.loc, values[0], values[1]);
    }
    return product;
  }
  default: {
    bool isMod = both.getKind() == AffineExprKind::Mod;
    if (left->isConstant())
      return Place::of(isMod ? llvm::mod(left->constant, right->constant)
                             : llvm::divideFloorSigned(left->constant, right->constant));
    Value value = number(*left);
    return Place{
        0, 0, 0,
        function(isMod ? BinaryFn::Mod : BinaryFn::FloorDiv, value, block.i64(right->constant))};
  }
  }
}

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

FailureOr<Value> LaneExpr::rowOf(ReadOp op, const Place &at) {
  if (at.lane || at.group || (at.rest && isa<RankedTensorType>(at.rest.getType())))
    return refuse(op, "a token that differs from lane to lane"), failure();
  if (at.token != 1 || at.rest)
    return arith::SubIOp::create(builder, block.loc, number(at), block.position()).getResult();
  return at.constant
             ? arith::AddIOp::create(builder, block.loc, token, block.i64(at.constant)).getResult()
             : token;
}

/// A symbol over tokens, at any token.
LaneExpr::Result LaneExpr::readFar(ReadOp op, ArrayRef<Place> all) {
  StringAttr name = op.getSourceAttr().getAttr();
  Operation *source = symbol(name);
  auto row = rowOf(op, all.front());
  if (failed(row))
    return failure();
  if (isa<StateOp>(source))
    return refuse(op, "a state at a computed token"), failure();
  if (auto tensor = dyn_cast<TensorOp>(source))
    return readTensor(tensor, all, true);
  auto equation = equations.find(name);
  if (equation == equations.end())
    return refuse(op, "'" + name.getValue() + "', which another form makes"), failure();
  // Behind the sequence and in front of it there is nothing.
  return zeroUnless(isBelow(*row, block.tokens), definition(equation->second, all));
}

/// An input some tokens before the own one, in a walk backward: of earlier calls where this one has
/// not so many.
LaneExpr::Result LaneExpr::readInFront(TensorOp tensor, ArrayRef<Place> all) {
  Result value = readTensor(tensor, all, true);
  int32_t number = -1;
  for (const CarryComponent &component : carryComponents(mixer))
    for (auto [other, own] : llvm::enumerate(block.plan.components))
      if (component.kind == CarryComponent::Window &&
          component.of.getAttr() == tensor.getSymNameAttr() && own.name == component.name)
        number = static_cast<int32_t>(other);
  if (failed(value) || number < 0)
    return value;
  Value row = arith::AddIOp::create(builder, block.loc, token, block.i64(all.front().constant));
  Value isInFront =
      arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::slt, row, block.i64(0));
  SmallVector<Place> places(all);
  places[0].constant += block.plan.components[number].window;
  Value earlier = block.load(block.carryIn(number), places, token, isInFront);
  Value own = asValue(*value);
  if (getElementTypeOrSelf(own.getType()).isInteger(1))
    earlier = arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::ne, earlier,
                                    block.zero(earlier.getType()));
  own = choose(isInFront, earlier, own);
  return value->isInteger ? integer({0, 0, 0, own}) : real(own);
}

/// What an earlier launch has made.
LaneExpr::Result LaneExpr::readStored(ReadOp op, ArrayRef<Place> all) {
  Key key = keyOf(symbol(op.getSourceAttr().getAttr()), all);
  if (auto found = ofToken.find(key); found != ofToken.end())
    return found->second;
  auto row = rowOf(op, all.front());
  if (failed(row))
    return failure();
  Value value = stored->load(op.getSourceAttr().getAttr(), all.drop_front(), *row);
  Evaluated result = op.getType().isIndex() ? integer({0, 0, 0, value}) : real(value);
  ofToken.insert({key, result});
  return result;
}

} // namespace seqmix::gpu
