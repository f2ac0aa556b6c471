//===- BlockIntegers.cpp - numbers of tokens and places, and computed places -------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockExpr.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

static Type withElement(Value like, Type element) {
  if (auto tile = dyn_cast<RankedTensorType>(like.getType()))
    return tile.clone(element);
  return element;
}

static bool isWide(Value value) { return getElementTypeOrSelf(value.getType()).isInteger(64); }

/// What an element is as it is loaded: reals in the type of computation, integers, truth values.
Value BlockExpr::asStored(Value value, SeqDType dtype) {
  if (dtype == SEQ_BOOL) {
    Value none = constantInteger(0, value.getType());
    return arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::ne, value, none);
  }
  return dtype == SEQ_I32 ? value : convertReal(builder, block.loc, value, block.real);
}

Value BlockExpr::constantInteger(int64_t number, Type type) {
  TypedAttr attribute = builder.getIntegerAttr(getElementTypeOrSelf(type), number);
  if (auto tile = dyn_cast<RankedTensorType>(type))
    attribute = DenseElementsAttr::get(tile, attribute);
  return arith::ConstantOp::create(builder, block.loc, attribute);
}

/// An index as a value. Tokens are counted from the sequence's first one, in earlier calls or this.
BlockExpr::Result BlockExpr::number(const Evaluated &index) {
  if (!index.isIndex)
    return index;
  if (index.axis == kOtherAxis)
    return refuse("a sum for each place of a dim");
  if (index.axis == kOneToken)
    return Evaluated{false, -1, 0, block.position(), 0};
  Type i32 = builder.getI32Type(), i64 = builder.getI64Type();
  if (index.axis < 0)
    return Evaluated{false, -1, 0, constantInteger(index.place, i32), 0};
  const BlockAxis &axis = frame[index.axis];
  Value place = tile::IotaOp::create(builder, block.loc, tileType({axis}, i32), 0);
  auto add = [&](Value number) {
    place = arith::AddIOp::create(builder, block.loc, place, splat(number, place.getType()));
  };
  if (axis.dim == tokenDimOf(mixer).getAttr()) {
    place = arith::ExtSIOp::create(builder, block.loc, tileType({axis}, i64), place);
    Value first = block.position();
    if (axis.first)
      first = arith::AddIOp::create(builder, block.loc, first, axis.first);
    add(first);
  } else if (axis.first) {
    add(arith::TruncIOp::create(builder, block.loc, i32, axis.first));
  }
  return Evaluated{false, -1, 0, place, 1U << index.axis};
}

/// Integers as values of one width.
LogicalResult BlockExpr::unifyIntegers(MutableArrayRef<Evaluated> operands) {
  for (Evaluated &operand : operands) {
    Result value = number(operand);
    if (failed(value))
      return failure();
    operand = *value;
  }
  if (llvm::any_of(operands, [](const Evaluated &operand) { return isWide(operand.value); }))
    for (Evaluated &operand : operands)
      if (!isWide(operand.value))
        operand.value = arith::ExtSIOp::create(
            builder, block.loc, withElement(operand.value, builder.getI64Type()), operand.value);
  return success();
}

BlockExpr::Result BlockExpr::evalIntegers(Operation *op, ArrayRef<Evaluated> operands) {
  Location loc = block.loc;
  if (isa<ToRealOp>(op)) {
    if (operands[0].isIndex && operands[0].axis == -1)
      return Evaluated{false, -1, 0, constant(static_cast<double>(operands[0].place), block.real),
                       0};
    Result value = number(operands[0]);
    if (failed(value))
      return failure();
    value->value =
        arith::SIToFPOp::create(builder, loc, withElement(value->value, block.real), value->value);
    return value;
  }
  if (auto binary = dyn_cast<BinaryOp>(op))
    return integer(binary.getFn(), operands[0], operands[1]);
  SmallVector<Evaluated> all(operands);
  if (auto compare = dyn_cast<CompareOp>(op)) {
    if (failed(unifyIntegers(all)))
      return failure();
    constexpr arith::CmpIPredicate predicates[] = {
        arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,  arith::CmpIPredicate::slt,
        arith::CmpIPredicate::sle, arith::CmpIPredicate::sgt, arith::CmpIPredicate::sge};
    return elementwise(all, [&](ArrayRef<Value> x) -> Value {
      return arith::CmpIOp::create(
          builder, loc, predicates[static_cast<unsigned>(compare.getPredicate())], x[0], x[1]);
    });
  }
  if (isa<SelectOp>(op)) {
    if (failed(unifyIntegers(MutableArrayRef(all).drop_front())))
      return failure();
    return elementwise(all, [&](ArrayRef<Value> x) -> Value {
      return arith::SelectOp::create(builder, loc, x[0], x[1], x[2]);
    });
  }
  return refuse("this function of integers in an equation");
}

BlockExpr::Result BlockExpr::integer(BinaryFn fn, const Evaluated &left, const Evaluated &right) {
  Location loc = block.loc;
  const bool isQuotient = fn == BinaryFn::FloorDiv || fn == BinaryFn::Mod;
  const bool isConstant = right.isIndex && right.axis == -1;
  if (isQuotient && (!isConstant || right.place <= 0))
    return refuse("a quotient by what is no positive constant");
  Evaluated both[] = {left, right};
  if (failed(unifyIntegers(both)))
    return failure();
  bool isKnown = true;
  Result result = elementwise(both, [&](ArrayRef<Value> x) -> Value {
    switch (fn) {
    case BinaryFn::Add:
      return arith::AddIOp::create(builder, loc, x[0], x[1]);
    case BinaryFn::Sub:
      return arith::SubIOp::create(builder, loc, x[0], x[1]);
    case BinaryFn::Mul:
      return arith::MulIOp::create(builder, loc, x[0], x[1]);
    case BinaryFn::Min:
      return arith::MinSIOp::create(builder, loc, x[0], x[1]);
    case BinaryFn::Max:
      return arith::MaxSIOp::create(builder, loc, x[0], x[1]);
    case BinaryFn::FloorDiv:
    case BinaryFn::Mod: {
      // The remainder has the dividend's sign: a negative one is moved up by the divisor.
      Value rest = arith::RemSIOp::create(builder, loc, x[0], x[1]);
      Value isNegative = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, rest,
                                               constantInteger(0, rest.getType()));
      Value moved = arith::AddIOp::create(builder, loc, rest, x[1]);
      rest = arith::SelectOp::create(builder, loc, isNegative, moved, rest);
      if (fn == BinaryFn::Mod)
        return rest;
      Value whole = arith::SubIOp::create(builder, loc, x[0], rest);
      return arith::DivSIOp::create(builder, loc, whole, x[1]);
    }
    default:
      isKnown = false;
      return x[0];
    }
  });
  if (!isKnown)
    return refuse("this function of integers in an equation");
  return result;
}

/// A place that an index expression computes.
BlockExpr::Result BlockExpr::placeOf(AffineExpr expr, ArrayRef<Evaluated> operands) {
  if (auto constantExpr = dyn_cast<AffineConstantExpr>(expr))
    return Evaluated{true, -1, constantExpr.getValue(), {}, 0};
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    const Evaluated &operand = operands[dim.getPosition()];
    if (operand.isIndex &&
        (operand.axis == kOneToken ||
         (operand.axis >= 0 && frame[operand.axis].dim == tokenDimOf(mixer).getAttr())))
      return refuse("a read of another token than the own one");
    return operand;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return refuse("a read of another token or place than the own one");
  Result left = placeOf(binary.getLHS(), operands), right = placeOf(binary.getRHS(), operands);
  if (failed(left) || failed(right))
    return failure();
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return integer(BinaryFn::Add, *left, *right);
  case AffineExprKind::Mul:
    return integer(BinaryFn::Mul, *left, *right);
  case AffineExprKind::FloorDiv:
    return integer(BinaryFn::FloorDiv, *left, *right);
  case AffineExprKind::Mod:
    return integer(BinaryFn::Mod, *left, *right);
  default:
    return refuse("a read of another token or place than the own one");
  }
}

/// Where places of the frame's axes exist; null: everywhere.
Value BlockExpr::existing(unsigned axes) {
  const BlockFrame part = frameOf(axes);
  if (llvm::none_of(part, [](const BlockAxis &axis) { return axis.exists; }))
    return {};
  Value ones = constant(1, tileType(part, block.real));
  return arith::CmpFOp::create(builder, block.loc, arith::CmpFPredicate::OEQ, mask(ones, part, 0),
                               ones);
}

/// Elements of an input at computed places; zero beyond its ends.
BlockExpr::Result BlockExpr::gather(const LaneArray &array, TensorOp tensor,
                                    ArrayRef<Evaluated> places) {
  Location loc = block.loc;
  auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder);
  Type i64 = builder.getI64Type();
  auto wide = [&](Value value) -> Value {
    return isWide(value)
               ? value
               : arith::ExtSIOp::create(builder, loc, withElement(value, i64), value).getResult();
  };
  Evaluated offset{false, -1, 0, block.i64(0), 0}, isInside{false, -1, 0, {}, 0};
  for (auto [own, place] : llvm::enumerate(places)) {
    const auto dim = cast<FlatSymbolRefAttr>(tensor.getDims()[own]);
    const bool isToken = dim == tokenDimOf(mixer);
    if (isToken && (!place.isIndex || (place.axis < 0 && place.place != 0)))
      return refuse("a read of another token than the own one");
    Evaluated value = place;
    if (isToken && place.axis >= 0) {
      // In the call, not in the sequence.
      const BlockAxis &axis = frame[place.axis];
      Value number =
          wide(tile::IotaOp::create(builder, loc, tileType({axis}, builder.getI32Type()), 0));
      if (axis.first)
        number = arith::AddIOp::create(builder, loc, number, splat(axis.first, number.getType()));
      value = {false, -1, 0, number, 1U << place.axis};
    } else if (isToken) {
      value = {false, -1, 0, block.i64(0), 0};
    } else {
      Result made = number(place);
      if (failed(made))
        return failure();
      value = *made;
    }
    value.value = wide(value.value);
    if (!place.isIndex) {
      const int64_t size = fixedSize(mixer, dim);
      Evaluated inside{false, -1, 0,
                       arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, value.value,
                                             constantInteger(size, value.value.getType())),
                       value.axes};
      Evaluated both[] = {isInside, inside};
      Result joined = isInside.value
                          ? elementwise(both,
                                        [&](ArrayRef<Value> x) -> Value {
                                          return arith::AndIOp::create(builder, loc, x[0], x[1]);
                                        })
                          : Result(inside);
      isInside = *joined;
    }
    const int64_t slot = order ? order[own] : static_cast<int64_t>(own);
    const Evaluated stride{false, -1, 0, array.strides[slot], 0};
    Evaluated terms[] = {value, stride, offset};
    offset = *elementwise(terms, [&](ArrayRef<Value> x) -> Value {
      Value product = arith::MulIOp::create(builder, loc, x[0], x[1]);
      return arith::AddIOp::create(builder, loc, product, x[2]);
    });
  }
  if (!offset.axes)
    return refuse("an element at a computed place that is the same for all tokens");
  Value exists = existing(offset.axes);
  Value inside = widen(isInside, offset.axes);
  exists = exists ? arith::AndIOp::create(builder, loc, exists, inside).getResult() : inside;
  RankedTensorType type = tileType(frameOf(offset.axes), block.storageType(array.dtype));
  Value tile = tile::GatherOp::create(builder, loc, type, array.base, offset.value, exists);
  return Evaluated{false, -1, 0, asStored(tile, array.dtype), offset.axes};
}

} // namespace seqmix::gpu
