//===- Storage.cpp - conversions between storage and compute types -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A conversion that the target has no instruction for would become a call of compiler-rt, one
// element at a time: such conversions are spelt out in integer arithmetic.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Memory.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace seqmix;

namespace {
/// Builds expressions on values of one shape: scalars, or vectors of one length.
class Shaped {
public:
  Shaped(OpBuilder &builder, Location loc, Type shape) : builder(builder), loc(loc), shape(shape) {}

  Type of(Type element) const {
    if (auto vector = dyn_cast<VectorType>(shape))
      return VectorType::get(vector.getShape(), element);
    return element;
  }
  Type i32() const { return of(builder.getI32Type()); }
  Value constant(uint32_t value) {
    auto attr = builder.getIntegerAttr(builder.getI32Type(), static_cast<int32_t>(value));
    if (auto vector = dyn_cast<VectorType>(i32()))
      return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(vector, attr));
    return arith::ConstantOp::create(builder, loc, attr);
  }
  template <typename Op> Value op(Value lhs, Value rhs) {
    return Op::create(builder, loc, lhs, rhs);
  }
  template <typename Op> Value op(Value lhs, uint32_t rhs) {
    return Op::create(builder, loc, lhs, constant(rhs));
  }
  template <typename Op> Value cast(Value value, Type element) {
    return Op::create(builder, loc, of(element), value);
  }
  Value compare(arith::CmpIPredicate predicate, Value lhs, uint32_t rhs) {
    return arith::CmpIOp::create(builder, loc, predicate, lhs, constant(rhs));
  }
  Value select(Value condition, Value whenTrue, Value whenFalse) {
    return arith::SelectOp::create(builder, loc, condition, whenTrue, whenFalse);
  }

private:
  OpBuilder &builder;
  Location loc;
  Type shape;
};

/// The bits of an f32 rounded to bf16, nearest even; a NaN stays one.
Value roundToBf16(OpBuilder &builder, Shaped &shaped, Value value) {
  Value bits = shaped.cast<arith::BitcastOp>(value, builder.getI32Type());
  Value low = shaped.op<arith::AndIOp>(shaped.op<arith::ShRUIOp>(bits, 16), 1);
  Value rounded = shaped.op<arith::AddIOp>(shaped.op<arith::AddIOp>(bits, low), 0x7fff);
  Value magnitude = shaped.op<arith::AndIOp>(bits, 0x7fffffff);
  Value nan = shaped.compare(arith::CmpIPredicate::ugt, magnitude, 0x7f800000);
  Value quiet = shaped.op<arith::OrIOp>(bits, 0x400000);
  Value chosen = shaped.op<arith::ShRUIOp>(shaped.select(nan, quiet, rounded), 16);
  return shaped.cast<arith::TruncIOp>(chosen, builder.getI16Type());
}

/// f16 bits to f32 without instructions for it. Subnormals are scaled by a multiplication with a
/// normal number, so that flushing denormals does not lose them.
Value widenF16(OpBuilder &builder, Shaped &shaped, Value half) {
  Value bits = shaped.cast<arith::ExtUIOp>(half, builder.getI32Type());
  Value sign = shaped.op<arith::ShLIOp>(shaped.op<arith::AndIOp>(bits, 0x8000), 16);
  Value magnitude = shaped.op<arith::AndIOp>(bits, 0x7fff);
  Value shifted = shaped.op<arith::ShLIOp>(magnitude, 13);
  Value normal = shaped.op<arith::AddIOp>(shifted, 112u << 23);
  // Infinity and NaN: the exponent field becomes all ones.
  Value special = shaped.op<arith::OrIOp>(shifted, 0x7f800000);
  // Subnormal m * 2^-24: the integer m converts exactly.
  Value integral = shaped.cast<arith::SIToFPOp>(magnitude, builder.getF32Type());
  Value tiny = shaped.cast<arith::BitcastOp>(shaped.constant(0x33800000), builder.getF32Type());
  Value scaled =
      shaped.cast<arith::BitcastOp>(shaped.op<arith::MulFOp>(integral, tiny), builder.getI32Type());
  Value result =
      shaped.select(shaped.compare(arith::CmpIPredicate::uge, magnitude, 0x7c00), special, normal);
  result =
      shaped.select(shaped.compare(arith::CmpIPredicate::ult, magnitude, 0x400), scaled, result);
  return shaped.cast<arith::BitcastOp>(shaped.op<arith::OrIOp>(result, sign), builder.getF32Type());
}

/// f32 to f16 bits, nearest even.
Value roundToF16(OpBuilder &builder, Shaped &shaped, Value value) {
  Value bits = shaped.cast<arith::BitcastOp>(value, builder.getI32Type());
  Value sign = shaped.op<arith::AndIOp>(shaped.op<arith::ShRUIOp>(bits, 16), 0x8000);
  Value magnitude = shaped.op<arith::AndIOp>(bits, 0x7fffffff);
  // Normal results: rebias the exponent and round off 13 bits; a carry runs into the exponent.
  Value odd = shaped.op<arith::AndIOp>(shaped.op<arith::ShRUIOp>(magnitude, 13), 1);
  Value rounded =
      shaped.op<arith::AddIOp>(shaped.op<arith::AddIOp>(magnitude, odd), 0xfffu - (112u << 23));
  Value normal = shaped.op<arith::ShRUIOp>(rounded, 13);
  // Subnormal results: adding 0.5 aligns the last place with 2^-24, and the unit rounds.
  Value half = shaped.cast<arith::BitcastOp>(shaped.constant(0x3f000000), builder.getF32Type());
  Value absolute = shaped.cast<arith::BitcastOp>(magnitude, builder.getF32Type());
  Value aligned =
      shaped.cast<arith::BitcastOp>(shaped.op<arith::AddFOp>(absolute, half), builder.getI32Type());
  Value subnormal = shaped.op<arith::SubIOp>(aligned, 0x3f000000);
  Value result = shaped.select(shaped.compare(arith::CmpIPredicate::ult, magnitude, 113u << 23),
                               subnormal, normal);
  // From 65520 on: infinity; a NaN stays one.
  Value large = shaped.compare(arith::CmpIPredicate::uge, magnitude, 0x477ff000);
  result = shaped.select(large, shaped.constant(0x7c00), result);
  Value nan = shaped.compare(arith::CmpIPredicate::ugt, magnitude, 0x7f800000);
  result = shaped.select(nan, shaped.constant(0x7e00), result);
  return shaped.cast<arith::TruncIOp>(shaped.op<arith::OrIOp>(result, sign), builder.getI16Type());
}

/// f64 to f32 with the last bit set if anything was cut off: a second rounding, to half precision,
/// then gives what one would have given.
Value narrowToOdd(OpBuilder &builder, Location loc, Shaped &shaped, Value value) {
  Value nearest = shaped.cast<arith::TruncFOp>(value, builder.getF32Type());
  Value back = shaped.cast<arith::ExtFOp>(nearest, builder.getF64Type());
  auto magnitude = [&](Value real) -> Value { return math::AbsFOp::create(builder, loc, real); };
  Value above = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGT, magnitude(back),
                                      magnitude(value));
  Value inexact = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::ONE, back, value);
  Value bits = shaped.cast<arith::BitcastOp>(nearest, builder.getI32Type());
  bits = shaped.op<arith::SubIOp>(bits, shaped.cast<arith::ExtUIOp>(above, builder.getI32Type()));
  bits = shaped.op<arith::OrIOp>(bits, shaped.cast<arith::ExtUIOp>(inexact, builder.getI32Type()));
  return shaped.cast<arith::BitcastOp>(bits, builder.getF32Type());
}

unsigned bitsOf(Type type) { return getElementTypeOrSelf(type).getIntOrFloatBitWidth(); }
} // namespace

Type seqmix::memoryType(Type dtype) {
  if (dtype.isBF16() || dtype.isF16())
    return IntegerType::get(dtype.getContext(), 16);
  if (dtype.isInteger(1))
    return IntegerType::get(dtype.getContext(), 8);
  return dtype;
}

Value seqmix::fromStorage(OpBuilder &builder, Location loc, const TargetInfo &target, Value value,
                          Type dtype, Type real) {
  Shaped shaped(builder, loc, value.getType());
  if (dtype.isInteger(1)) {
    Value zero = shaped.cast<arith::TruncIOp>(shaped.constant(0), builder.getI8Type());
    Value truth = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value, zero);
    return shaped.cast<arith::ExtUIOp>(truth, builder.getI32Type());
  }
  if (isa<IntegerType>(dtype))
    return value;
  if (dtype.isBF16()) {
    Value bits =
        shaped.op<arith::ShLIOp>(shaped.cast<arith::ExtUIOp>(value, builder.getI32Type()), 16);
    value = shaped.cast<arith::BitcastOp>(bits, builder.getF32Type());
  } else if (dtype.isF16()) {
    if (target.hasF16c) {
      value = shaped.cast<arith::BitcastOp>(value, builder.getF16Type());
      value = shaped.cast<arith::ExtFOp>(value, builder.getF32Type());
    } else {
      value = widenF16(builder, shaped, value);
    }
  }
  if (bitsOf(value.getType()) < bitsOf(real))
    return shaped.cast<arith::ExtFOp>(value, real);
  if (bitsOf(value.getType()) > bitsOf(real))
    return shaped.cast<arith::TruncFOp>(value, real);
  return value;
}

Value seqmix::toStorage(OpBuilder &builder, Location loc, const TargetInfo &target, Value value,
                        Type dtype) {
  Shaped shaped(builder, loc, value.getType());
  bool isReal = isa<FloatType>(getElementTypeOrSelf(value.getType()));
  if (dtype.isInteger(1)) {
    Value truth =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value, shaped.constant(0));
    return shaped.cast<arith::ExtUIOp>(truth, builder.getI8Type());
  }
  if (isa<IntegerType>(dtype))
    return value;
  if (!isReal)
    value = shaped.cast<arith::SIToFPOp>(value, dtype.isF64() ? builder.getF64Type()
                                                              : builder.getF32Type());
  if (dtype.isF64())
    return bitsOf(value.getType()) == 64 ? value
                                         : shaped.cast<arith::ExtFOp>(value, builder.getF64Type());
  if (bitsOf(value.getType()) == 64)
    value = dtype.isF32() ? shaped.cast<arith::TruncFOp>(value, builder.getF32Type())
                          : narrowToOdd(builder, loc, shaped, value);
  if (dtype.isF32())
    return value;
  if (dtype.isBF16()) {
    if (!target.hasBf16)
      return roundToBf16(builder, shaped, value);
    value = shaped.cast<arith::TruncFOp>(value, builder.getBF16Type());
    return shaped.cast<arith::BitcastOp>(value, builder.getI16Type());
  }
  if (!target.hasF16c)
    return roundToF16(builder, shaped, value);
  value = shaped.cast<arith::TruncFOp>(value, builder.getF16Type());
  return shaped.cast<arith::BitcastOp>(value, builder.getI16Type());
}
