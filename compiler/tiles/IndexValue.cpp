//===- IndexValue.cpp - integers across the lanes of a vector ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/IndexValue.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstdlib>

using namespace mlir;
using namespace seqmix;

namespace {
/// Bounds never come near the limits of int64_t: sizes are far smaller.
int64_t addBound(int64_t a, int64_t b, int64_t unknown) {
  return a == unknown || b == unknown ? unknown : a + b;
}

/// The same value, with bounds that hold for the unused lanes too.
IndexValue withoutSlack(IndexValue value) {
  value.high = value.touchHigh();
  value.slack = 0;
  return value;
}

int64_t floorDivision(int64_t lhs, int64_t rhs) { return llvm::divideFloorSigned(lhs, rhs); }
} // namespace

Value IndexMath::constant(int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

Value IndexMath::iota() {
  SmallVector<int64_t> numbers(lanes);
  for (int64_t lane = 0; lane < lanes; ++lane)
    numbers[lane] = lane;
  auto type = VectorType::get({lanes}, builder.getIndexType());
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, ArrayRef(numbers)));
}

Value IndexMath::scalar(const IndexValue &value) {
  assert(value.isUniform() && "one integer for all lanes");
  if (!value.base)
    return constant(value.offset);
  if (value.offset == 0)
    return value.base;
  return builder.createOrFold<arith::AddIOp>(loc, value.base, constant(value.offset));
}

Value IndexMath::vector(const IndexValue &value) {
  if (value.vector)
    return value.vector;
  auto type = VectorType::get({lanes}, builder.getIndexType());
  IndexValue uniform = value;
  uniform.step = 0;
  Value result = vector::BroadcastOp::create(builder, loc, type, scalar(uniform));
  if (value.step == 0)
    return result;
  Value steps = iota();
  if (value.step != 1) {
    Value factor = vector::BroadcastOp::create(builder, loc, type, constant(value.step));
    steps = builder.createOrFold<arith::MulIOp>(loc, steps, factor);
  }
  return builder.createOrFold<arith::AddIOp>(loc, result, steps);
}

template <typename Op> IndexValue IndexMath::apply(const IndexValue &lhs, const IndexValue &rhs) {
  IndexValue result;
  if (lhs.isUniform() && rhs.isUniform())
    result.base = builder.createOrFold<Op>(loc, scalar(lhs), scalar(rhs));
  else
    result.vector = builder.createOrFold<Op>(loc, vector(lhs), vector(rhs));
  return result;
}

IndexValue IndexMath::add(const IndexValue &lhs, const IndexValue &rhs) {
  IndexValue result;
  if (lhs.vector || rhs.vector) {
    result = apply<arith::AddIOp>(lhs, rhs);
  } else {
    result.offset = lhs.offset + rhs.offset;
    result.step = lhs.step + rhs.step;
    result.base = !lhs.base   ? rhs.base
                  : !rhs.base ? lhs.base
                              : builder.createOrFold<arith::AddIOp>(loc, lhs.base, rhs.base);
  }
  result.low = addBound(lhs.low, rhs.low, IndexValue::kNoLow);
  result.high = addBound(lhs.high, rhs.high, IndexValue::kNoHigh);
  result.slack = std::max(lhs.slack, rhs.slack);
  return result;
}

IndexValue IndexMath::sub(const IndexValue &lhs, const IndexValue &rhs) {
  return add(lhs, scale(rhs, -1));
}

IndexValue IndexMath::scale(const IndexValue &value, int64_t factor) {
  if (factor == 1)
    return value;
  if (factor == 0)
    return IndexValue::constant(0);
  if (factor < 0 && value.slack)
    return scale(withoutSlack(value), factor);
  IndexValue result;
  result.slack = value.slack * std::abs(factor);
  if (value.vector) {
    result = apply<arith::MulIOp>(value, IndexValue::constant(factor));
  } else {
    result.offset = value.offset * factor;
    result.step = value.step * factor;
    if (value.base)
      result.base = builder.createOrFold<arith::MulIOp>(loc, value.base, constant(factor));
  }
  auto bound = [&](int64_t limit, int64_t unknown, int64_t otherwise) {
    return limit == unknown ? otherwise : limit * factor;
  };
  int64_t fromLow =
      bound(value.low, IndexValue::kNoLow, factor > 0 ? IndexValue::kNoLow : IndexValue::kNoHigh);
  int64_t fromHigh =
      bound(value.high, IndexValue::kNoHigh, factor > 0 ? IndexValue::kNoHigh : IndexValue::kNoLow);
  result.low = factor > 0 ? fromLow : fromHigh;
  result.high = factor > 0 ? fromHigh : fromLow;
  return result;
}

IndexValue IndexMath::mul(const IndexValue &first, const IndexValue &second) {
  if (second.isConstant())
    return scale(first, second.offset);
  if (first.isConstant())
    return scale(second, first.offset);
  IndexValue lhs = withoutSlack(first), rhs = withoutSlack(second);
  IndexValue result = apply<arith::MulIOp>(lhs, rhs);
  if (lhs.isBounded() && rhs.isBounded()) {
    auto corners = {lhs.low * rhs.low, lhs.low * rhs.high, lhs.high * rhs.low, lhs.high * rhs.high};
    result.low = std::min(corners);
    result.high = std::max(corners);
  }
  return result;
}

IndexValue IndexMath::floorDiv(const IndexValue &first, const IndexValue &second) {
  IndexValue lhs = withoutSlack(first), rhs = withoutSlack(second);
  if (lhs.isConstant() && rhs.isConstant() && rhs.offset != 0)
    return IndexValue::constant(floorDivision(lhs.offset, rhs.offset));
  IndexValue result = apply<arith::FloorDivSIOp>(lhs, rhs);
  if (rhs.isConstant() && rhs.offset > 0) {
    if (lhs.low != IndexValue::kNoLow)
      result.low = floorDivision(lhs.low, rhs.offset);
    if (lhs.high != IndexValue::kNoHigh)
      result.high = floorDivision(lhs.high, rhs.offset);
  }
  return result;
}

IndexValue IndexMath::mod(const IndexValue &first, const IndexValue &second) {
  IndexValue lhs = withoutSlack(first), rhs = withoutSlack(second);
  if (lhs.isConstant() && rhs.isConstant() && rhs.offset != 0)
    return IndexValue::constant(lhs.offset - floorDivision(lhs.offset, rhs.offset) * rhs.offset);
  IndexValue result = sub(lhs, mul(floorDiv(lhs, rhs), rhs));
  result.low = IndexValue::kNoLow;
  result.high = IndexValue::kNoHigh;
  if (rhs.isConstant() && rhs.offset > 0) {
    result.low = 0;
    result.high = rhs.offset - 1;
  }
  return result;
}

IndexValue IndexMath::min(const IndexValue &first, const IndexValue &second) {
  IndexValue lhs = withoutSlack(first), rhs = withoutSlack(second);
  if (lhs.isConstant() && rhs.isConstant())
    return IndexValue::constant(std::min(lhs.offset, rhs.offset));
  IndexValue result = apply<arith::MinSIOp>(lhs, rhs);
  result.high = std::min(lhs.high, rhs.high);
  if (lhs.low != IndexValue::kNoLow && rhs.low != IndexValue::kNoLow)
    result.low = std::min(lhs.low, rhs.low);
  return result;
}

IndexValue IndexMath::max(const IndexValue &first, const IndexValue &second) {
  IndexValue lhs = withoutSlack(first), rhs = withoutSlack(second);
  if (lhs.isConstant() && rhs.isConstant())
    return IndexValue::constant(std::max(lhs.offset, rhs.offset));
  IndexValue result = apply<arith::MaxSIOp>(lhs, rhs);
  result.low = std::max(lhs.low, rhs.low);
  if (lhs.high != IndexValue::kNoHigh && rhs.high != IndexValue::kNoHigh)
    result.high = std::max(lhs.high, rhs.high);
  return result;
}

IndexValue IndexMath::select(Value condition, const IndexValue &whenTrue,
                             const IndexValue &whenFalse) {
  IndexValue result;
  bool isVector =
      isa<VectorType>(condition.getType()) || !whenTrue.isUniform() || !whenFalse.isUniform();
  if (isVector) {
    if (!isa<VectorType>(condition.getType()))
      condition = vector::BroadcastOp::create(
          builder, loc, VectorType::get({lanes}, condition.getType()), condition);
    result.vector =
        arith::SelectOp::create(builder, loc, condition, vector(whenTrue), vector(whenFalse));
  } else {
    result.base =
        arith::SelectOp::create(builder, loc, condition, scalar(whenTrue), scalar(whenFalse));
  }
  result.low = std::min(whenTrue.low, whenFalse.low);
  result.high = std::max(whenTrue.touchHigh(), whenFalse.touchHigh());
  return result;
}

Value IndexMath::compare(arith::CmpIPredicate predicate, const IndexValue &lhs,
                         const IndexValue &rhs) {
  if (lhs.isUniform() && rhs.isUniform())
    return builder.createOrFold<arith::CmpIOp>(loc, predicate, scalar(lhs), scalar(rhs));
  return builder.createOrFold<arith::CmpIOp>(loc, predicate, vector(lhs), vector(rhs));
}
