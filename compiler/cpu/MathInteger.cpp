//===- MathInteger.cpp - functions of integers and truth values ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathInteger.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace mlir::arith;

namespace seqmix::cpu {
namespace {

Value constant(OpBuilder &builder, Location loc, Type type, int64_t value) {
  TypedAttr attribute = builder.getIntegerAttr(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    attribute = DenseElementsAttr::get(vector, attribute);
  return ConstantOp::create(builder, loc, attribute);
}

Value compare(OpBuilder &builder, Location loc, CmpIPredicate predicate, Value a, Value b) {
  return CmpIOp::create(builder, loc, predicate, a, b);
}

/// The power of two that `value` is, as its logarithm.
std::optional<unsigned> powerOfTwo(Value value) {
  APInt number;
  if (!matchPattern(value, m_ConstantInt(&number)) || !number.isStrictlyPositive() ||
      !number.isPowerOf2())
    return std::nullopt;
  return number.logBase2();
}

/// Where a division that rounds to zero has rounded up: the remainder is not zero and has not the
/// divisor's sign.
Value roundedUp(OpBuilder &builder, Location loc, Value remainder, Value divisor) {
  Value zero = constant(builder, loc, divisor.getType(), 0);
  Value signs = XOrIOp::create(builder, loc, remainder, divisor);
  return AndIOp::create(builder, loc, compare(builder, loc, CmpIPredicate::ne, remainder, zero),
                        compare(builder, loc, CmpIPredicate::slt, signs, zero));
}

Value emitFloorDiv(OpBuilder &builder, Location loc, Value a, Value b) {
  if (auto shift = powerOfTwo(b))
    return ShRSIOp::create(builder, loc, a, constant(builder, loc, a.getType(), *shift));
  Value quotient = DivSIOp::create(builder, loc, a, b);
  Value remainder = SubIOp::create(builder, loc, a, MulIOp::create(builder, loc, quotient, b));
  Value less = SubIOp::create(builder, loc, quotient, constant(builder, loc, a.getType(), 1));
  return SelectOp::create(builder, loc, roundedUp(builder, loc, remainder, b), less, quotient);
}

Value emitMod(OpBuilder &builder, Location loc, Value a, Value b) {
  if (auto shift = powerOfTwo(b))
    return AndIOp::create(builder, loc, a,
                          constant(builder, loc, a.getType(), (int64_t(1) << *shift) - 1));
  Value remainder = RemSIOp::create(builder, loc, a, b);
  Value more = AddIOp::create(builder, loc, remainder, b);
  return SelectOp::create(builder, loc, roundedUp(builder, loc, remainder, b), more, remainder);
}

} // namespace

Value emitInteger(OpBuilder &builder, Location loc, seq::UnaryFn fn, Value x) {
  using seq::UnaryFn;
  Type type = x.getType();
  if (fn == UnaryFn::Not)
    return XOrIOp::create(builder, loc, x, constant(builder, loc, type, -1));
  if (getElementTypeOrSelf(type).isInteger(1))
    return nullptr;
  Value zero = constant(builder, loc, type, 0);
  switch (fn) {
  case UnaryFn::Neg:
    return SubIOp::create(builder, loc, zero, x);
  case UnaryFn::Abs:
    return MaxSIOp::create(builder, loc, x, SubIOp::create(builder, loc, zero, x));
  case UnaryFn::Sign: {
    Value bounded = MinSIOp::create(builder, loc, x, constant(builder, loc, type, 1));
    return MaxSIOp::create(builder, loc, bounded, constant(builder, loc, type, -1));
  }
  case UnaryFn::Relu:
    return MaxSIOp::create(builder, loc, x, zero);
  case UnaryFn::Floor:
    return x;
  default:
    return nullptr;
  }
}

Value emitInteger(OpBuilder &builder, Location loc, seq::BinaryFn fn, Value a, Value b) {
  using seq::BinaryFn;
  if (fn == BinaryFn::And)
    return AndIOp::create(builder, loc, a, b);
  if (fn == BinaryFn::Or)
    return OrIOp::create(builder, loc, a, b);
  if (getElementTypeOrSelf(a.getType()).isInteger(1))
    return nullptr;
  switch (fn) {
  case BinaryFn::Add:
    return AddIOp::create(builder, loc, a, b);
  case BinaryFn::Sub:
    return SubIOp::create(builder, loc, a, b);
  case BinaryFn::Mul:
    return MulIOp::create(builder, loc, a, b);
  case BinaryFn::FloorDiv:
    return emitFloorDiv(builder, loc, a, b);
  case BinaryFn::Mod:
    return emitMod(builder, loc, a, b);
  case BinaryFn::Min:
    return MinSIOp::create(builder, loc, a, b);
  case BinaryFn::Max:
    return MaxSIOp::create(builder, loc, a, b);
  default:
    return nullptr;
  }
}

} // namespace seqmix::cpu
