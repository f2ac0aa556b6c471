//===- LaneExtents.cpp - extents that follow from others ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/LaneBlock.h"

#include "runtime/Frame.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;

namespace seqmix::gpu {

namespace {

/// An expression in the tokens x: not below `slope` x + `low` nor above `slope` x + `high`.
struct Line {
  double slope = 0, low = 0, high = 0;
  bool isNumber() const { return slope == 0 && low == high; }
  Line scaled(double by) const {
    return by < 0 ? Line{slope * by, high * by, low * by} : Line{slope * by, low * by, high * by};
  }
};

} // namespace

static bool dependsOnTokens(const MixerPlan &plan, int32_t dim) {
  return dim == plan.tokenDim ||
         llvm::any_of(plan.dims[static_cast<size_t>(dim)].by, [&](const ExtentStep &step) {
           return step.kind == ExtentStep::Dim &&
                  dependsOnTokens(plan, static_cast<int32_t>(step.value));
         });
}

static std::optional<Line> lineOf(const MixerPlan &plan, int32_t dim) {
  if (dim == plan.tokenDim)
    return Line{1, 0, 0};
  SmallVector<Line> stack;
  for (const ExtentStep &step : plan.dims[static_cast<size_t>(dim)].by) {
    if (step.kind == ExtentStep::Number) {
      const auto value = static_cast<double>(step.value);
      stack.push_back({0, value, value});
      continue;
    }
    if (step.kind == ExtentStep::Dim) {
      auto other = lineOf(plan, static_cast<int32_t>(step.value));
      if (!other)
        return std::nullopt;
      stack.push_back(*other);
      continue;
    }
    const Line right = stack.pop_back_val(), left = stack.pop_back_val();
    if (step.kind == ExtentStep::Add) {
      stack.push_back({left.slope + right.slope, left.low + right.low, left.high + right.high});
      continue;
    }
    if (step.kind == ExtentStep::Mul) {
      if (!left.isNumber() && !right.isNumber())
        return std::nullopt;
      stack.push_back(right.isNumber() ? left.scaled(right.low) : right.scaled(left.low));
      continue;
    }
    // Divisors are positive constants.
    const double divisor = right.low, rest = divisor - 1;
    if (!right.isNumber())
      return std::nullopt;
    if (step.kind == ExtentStep::Mod) {
      stack.push_back({0, 0, rest});
      continue;
    }
    Line whole = left;
    (step.kind == ExtentStep::FloorDiv ? whole.low : whole.high) +=
        step.kind == ExtentStep::FloorDiv ? -rest : rest;
    stack.push_back(whole.scaled(1 / divisor));
  }
  if (stack.size() != 1 || stack.back().slope < 0)
    return std::nullopt;
  stack.back().high = std::max(stack.back().high, 0.0); // no extent is negative
  return stack.back();
}

std::optional<int64_t> freePlaces(const MixerPlan &plan, int32_t dim) {
  if (!dependsOnTokens(plan, dim))
    return 0;
  auto line = lineOf(plan, dim);
  if (!line)
    return std::nullopt;
  // f(a) + f(b) is not above f(a + b) by more than this; and f of the sum of n numbers not above n
  // times that of the greatest and this.
  const double most = 2 * line->high - line->low;
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(most)));
}

Value LaneBlock::extentOf(int32_t dim, Value length) {
  if (dim == plan.tokenDim)
    return length;
  const std::vector<ExtentStep> &by = plan.dims[static_cast<size_t>(dim)].by;
  if (by.empty())
    return frameSlot(SEQ_DEVICE_FIRST + dim);
  SmallVector<Value> stack;
  for (const ExtentStep &step : by) {
    if (step.kind == ExtentStep::Number) {
      stack.push_back(i64(step.value));
      continue;
    }
    if (step.kind == ExtentStep::Dim) {
      stack.push_back(extentOf(static_cast<int32_t>(step.value), length));
      continue;
    }
    Value right = stack.pop_back_val(), left = stack.pop_back_val();
    auto quotient = [&]() -> Value {
      return arith::FloorDivSIOp::create(builder, loc, left, right);
    };
    switch (step.kind) {
    case ExtentStep::Add:
      stack.push_back(arith::AddIOp::create(builder, loc, left, right));
      break;
    case ExtentStep::Mul:
      stack.push_back(arith::MulIOp::create(builder, loc, left, right));
      break;
    case ExtentStep::FloorDiv:
      stack.push_back(quotient());
      break;
    case ExtentStep::CeilDiv:
      stack.push_back(arith::CeilDivSIOp::create(builder, loc, left, right));
      break;
    default:
      stack.push_back(arith::SubIOp::create(
          builder, loc, left, arith::MulIOp::create(builder, loc, quotient(), right)));
    }
  }
  return arith::MaxSIOp::create(builder, loc, stack.back(), i64(0));
}

Value LaneBlock::keptPlace(int32_t dim) {
  auto add = [&](Value a, Value b) -> Value { return arith::AddIOp::create(builder, loc, a, b); };
  auto multiply = [&](Value a, Value b) -> Value {
    return arith::MulIOp::create(builder, loc, a, b);
  };
  Value extent = frameSlot(SEQ_DEVICE_FIRST + dim);
  const int64_t between = freePlaces(plan, dim).value_or(0);
  if (between == 0)
    return multiply(batchElement(), extent);
  // As SEQ_FACTOR_PLACES counts them.
  Value first = i64(0), total = add(extent, i64(2 * between));
  if (plan.dims[0].kind == SEQ_DIM_BATCH) {
    Value isPacked = isGiven(argument(SEQ_ARGUMENT_SEQLENS, 0));
    if (!plan.startsAtZero) {
      const auto position = static_cast<int32_t>(plan.components.size()) - 1;
      Value hasPast = isGiven(argument(SEQ_ARGUMENT_CARRY_IN, position));
      isPacked = arith::SelectOp::create(
          builder, loc, hasPast,
          arith::ConstantOp::create(builder, loc, builder.getBoolAttr(false)), isPacked);
    }
    Value inFront = add(extentOf(dim, begin), multiply(batchIndices[0], i64(between)));
    Value sequences = frameSlot(SEQ_DEVICE_FIRST);
    first =
        arith::SelectOp::create(builder, loc, isPacked, inFront, multiply(batchIndices[0], total));
    total = arith::SelectOp::create(builder, loc, isPacked,
                                    add(extent, multiply(sequences, i64(between))),
                                    multiply(sequences, total));
  }
  Value other = i64(0);
  for (auto [number, own] : llvm::enumerate(plan.dims))
    if (own.kind == SEQ_DIM_BATCH && number)
      other = add(multiply(other, frameSlot(SEQ_DEVICE_FIRST + static_cast<int64_t>(number))),
                  batchIndices[number]);
  return add(multiply(other, total), first);
}

} // namespace seqmix::gpu
