//===- PanelTransform.cpp - Fourier transforms of panels -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/PanelTransform.h"

#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numbers>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Numbers of a part: 32 KiB of f32 at 16 lanes, which leaves room in a first-level cache.
constexpr int64_t kPart = 256, kOddPart = 128;
/// The least size, that of one step.
constexpr int64_t kLeast = 4;
} // namespace

PanelTransform::PanelTransform(Kernel &kernel, Value needed, int64_t width, Value tables)
    : phases(kernel.lanes / width), kernel(kernel), builder(kernel.builder), loc(kernel.loc),
      width(width), tables(tables) {
  auto index = builder.getIndexType();
  Value neededNumbers = arith::CeilDivUIOp::create(builder, loc, needed, constant(2 * phases));
  auto loop = scf::WhileOp::create(builder, loc, TypeRange{index, index},
                                   ValueRange{constant(kLeast), constant(2)});
  OpBuilder::InsertionGuard guard(builder);
  Block *before = builder.createBlock(&loop.getBefore(), {}, {index, index}, {loc, loc});
  Value isSmall = less(before->getArgument(0), neededNumbers);
  scf::ConditionOp::create(builder, loc, isSmall, before->getArguments());
  Block *after = builder.createBlock(&loop.getAfter(), {}, {index, index}, {loc, loc});
  scf::YieldOp::create(
      builder, loc,
      ValueRange{mul(after->getArgument(0), 2), add(after->getArgument(1), constant(1))});
  builder.setInsertionPointAfter(loop);
  size = loop.getResult(0);
  doublings = loop.getResult(1);
  positions = mul(size, 2 * phases);
  Value bit = arith::AndIOp::create(builder, loc, doublings, constant(1));
  isOdd = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, bit, constant(0));
  Value most = arith::SelectOp::create(builder, loc, isOdd, constant(kOddPart), constant(kPart));
  part = arith::MinUIOp::create(builder, loc, size, most);
}

//===----------------------------------------------------------------------===//
// Numbers and loops
//===----------------------------------------------------------------------===//

Value PanelTransform::add(Value a, Value b) {
  return builder.createOrFold<arith::AddIOp>(loc, a, b);
}
Value PanelTransform::sub(Value a, Value b) {
  return builder.createOrFold<arith::SubIOp>(loc, a, b);
}
Value PanelTransform::mul(Value a, Value b) {
  return builder.createOrFold<arith::MulIOp>(loc, a, b);
}
Value PanelTransform::mul(Value a, int64_t b) { return mul(a, constant(b)); }
Value PanelTransform::quotient(Value a, Value b) {
  return builder.createOrFold<arith::DivUIOp>(loc, a, b);
}
Value PanelTransform::less(Value a, Value b) {
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, a, b);
}

void PanelTransform::repeat(Value from, Next holds, Next next, Body body) {
  auto index = builder.getIndexType();
  auto loop = scf::WhileOp::create(builder, loc, TypeRange{index}, ValueRange{from});
  OpBuilder::InsertionGuard guard(builder);
  Block *before = builder.createBlock(&loop.getBefore(), {}, {index}, {loc});
  Value condition = holds(before->getArgument(0));
  scf::ConditionOp::create(builder, loc, condition, before->getArguments());
  Block *after = builder.createBlock(&loop.getAfter(), {}, {index}, {loc});
  body(after->getArgument(0));
  Value following = next(after->getArgument(0));
  scf::YieldOp::create(builder, loc, ValueRange{following});
}

void PanelTransform::forParts(Body body) {
  auto loop = scf::ForOp::create(builder, loc, constant(0), size, part);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

//===----------------------------------------------------------------------===//
// Complex numbers
//===----------------------------------------------------------------------===//

PanelTransform::Complex PanelTransform::load(Value panel, Value number) {
  auto type = kernel.vectorType(kernel.real);
  Value at = mul(number, 2 * kernel.lanes);
  return {vector::LoadOp::create(builder, loc, type, panel, at),
          vector::LoadOp::create(builder, loc, type, panel, add(at, constant(kernel.lanes)))};
}

void PanelTransform::store(Complex value, Value panel, Value number) {
  Value at = mul(number, 2 * kernel.lanes);
  vector::StoreOp::create(builder, loc, value.re, panel, at);
  vector::StoreOp::create(builder, loc, value.im, panel, add(at, constant(kernel.lanes)));
}

Value PanelTransform::fused(Value a, Value b, Value c) {
  return vector::FMAOp::create(builder, loc, a, b, c);
}
PanelTransform::Complex PanelTransform::plus(Complex a, Complex b) {
  return {arith::AddFOp::create(builder, loc, a.re, b.re),
          arith::AddFOp::create(builder, loc, a.im, b.im)};
}
PanelTransform::Complex PanelTransform::minus(Complex a, Complex b) {
  return {arith::SubFOp::create(builder, loc, a.re, b.re),
          arith::SubFOp::create(builder, loc, a.im, b.im)};
}
PanelTransform::Complex PanelTransform::plusTurned(Complex a, Complex b) {
  return {arith::SubFOp::create(builder, loc, a.re, b.im),
          arith::AddFOp::create(builder, loc, a.im, b.re)};
}
PanelTransform::Complex PanelTransform::minusTurned(Complex a, Complex b) {
  return {arith::AddFOp::create(builder, loc, a.re, b.im),
          arith::SubFOp::create(builder, loc, a.im, b.re)};
}
PanelTransform::Complex PanelTransform::times(Complex a, Complex b) {
  Value re = arith::MulFOp::create(builder, loc, a.im, b.im);
  Value im = arith::MulFOp::create(builder, loc, a.im, b.re);
  return {fused(a.re, b.re, arith::NegFOp::create(builder, loc, re)), fused(a.re, b.im, im)};
}
PanelTransform::Complex PanelTransform::timesConjugate(Complex a, Complex b) {
  Value re = arith::MulFOp::create(builder, loc, a.im, b.im);
  Value im = arith::MulFOp::create(builder, loc, a.re, b.im);
  return {fused(a.re, b.re, re), fused(a.im, b.re, arith::NegFOp::create(builder, loc, im))};
}
PanelTransform::Complex PanelTransform::timesPlus(Complex a, Complex b, Complex sum) {
  Value negated = arith::NegFOp::create(builder, loc, a.im);
  return {fused(negated, b.im, fused(a.re, b.re, sum.re)),
          fused(a.im, b.re, fused(a.re, b.im, sum.im))};
}
PanelTransform::Complex PanelTransform::scaled(Complex a, Value by) {
  return {arith::MulFOp::create(builder, loc, a.re, by),
          arith::MulFOp::create(builder, loc, a.im, by)};
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

Value PanelTransform::tableAt(int64_t table) {
  Value stride = add(quotient(size, constant(2)), constant(kTablePadding));
  Value bytes = mul(stride, table * (kernel.real.getIntOrFloatBitWidth() / 8));
  return flatMemref(builder, loc, advance(builder, loc, tables, bytes), kernel.real);
}

PanelTransform::Complex PanelTransform::factor(Table table, Value number) {
  auto type = kernel.vectorType(kernel.real);
  auto part = [&](int64_t which) -> Value {
    Value value = memref::LoadOp::create(builder, loc, tableAt(which), number);
    return vector::BroadcastOp::create(builder, loc, type, value);
  };
  return {part(table), part(table + 1)};
}

Value PanelTransform::wide(double value) {
  auto type = VectorType::get({kernel.target.lanes(builder.getF64Type())}, builder.getF64Type());
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, value));
}

Value PanelTransform::mirrored(Value numbers) {
  auto type = cast<VectorType>(numbers.getType());
  auto integers = [&](uint32_t value) -> Value {
    auto attr = builder.getI32IntegerAttr(static_cast<int32_t>(value));
    return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, attr));
  };
  for (auto [mask, shift] : {std::pair(0x33333333u, 2), std::pair(0x0f0f0f0fu, 4),
                             std::pair(0x00ff00ffu, 8), std::pair(0x0000ffffu, 16)}) {
    Value distance = integers(shift);
    Value low = arith::AndIOp::create(builder, loc, numbers, integers(mask));
    Value high = arith::ShRUIOp::create(builder, loc, numbers, distance);
    high = arith::AndIOp::create(builder, loc, high, integers(mask));
    low = arith::ShLIOp::create(builder, loc, low, distance);
    numbers = arith::OrIOp::create(builder, loc, low, high);
  }
  // Below 4^15 the last digit is zero, so that the number fits the positive integers.
  numbers = arith::ShRUIOp::create(builder, loc, numbers, integers(1));
  auto real = VectorType::get(type.getShape(), builder.getF64Type());
  Value value = arith::SIToFPOp::create(builder, loc, real, numbers);
  return arith::MulFOp::create(builder, loc, value, wide(0x1p-31));
}

void PanelTransform::fillTable(Table table, Value at, Value number, Value count, Next turns,
                               bool powers) {
  int64_t width = kernel.target.lanes(builder.getF64Type());
  auto integers = VectorType::get({width}, builder.getI32Type());
  SmallVector<int32_t> steps(width);
  for (int64_t lane = 0; lane < width; ++lane)
    steps[lane] = static_cast<int32_t>(lane);
  Value iota = arith::ConstantOp::create(
      builder, loc, DenseIntElementsAttr::get(integers, ArrayRef<int32_t>(steps)));
  kernel.forEach(count, width, [&](Value place) {
    Value start =
        arith::IndexCastOp::create(builder, loc, builder.getI32Type(), add(number, place));
    Value numbers = arith::AddIOp::create(
        builder, loc, vector::BroadcastOp::create(builder, loc, integers, start), iota);
    Value angle = arith::MulFOp::create(builder, loc, turns(numbers), wide(-2 * std::numbers::pi));
    Complex unit = {UnaryOp::create(builder, loc, angle.getType(), UnaryFn::Cos, angle),
                    UnaryOp::create(builder, loc, angle.getType(), UnaryFn::Sin, angle)};
    Complex value = unit;
    for (int64_t power = 0; power < (powers ? 3 : 1); ++power) {
      if (power)
        value = times(value, unit);
      for (bool isImaginary : {false, true}) {
        Value stored = isImaginary ? value.im : value.re;
        if (kernel.real.isF32())
          stored =
              arith::TruncFOp::create(builder, loc, VectorType::get({width}, kernel.real), stored);
        vector::StoreOp::create(builder, loc, stored, tableAt(table + 2 * power + isImaginary),
                                add(at, place));
      }
    }
  });
}

void PanelTransform::emitTables() {
  Value none = constant(0), half = quotient(size, constant(2));
  auto turns = [&](double part) {
    return [this, part](Value numbers) -> Value {
      return arith::MulFOp::create(builder, loc, mirrored(numbers), wide(part));
    };
  };
  fillTable(Factor, none, none, quotient(size, constant(4)), turns(0.25), /*powers=*/true);
  emitIf(kernel, isOdd, [&] { fillTable(Half, none, none, half, turns(0.5), /*powers=*/false); });
  // The places of a transform stand for frequencies; the last digit of an odd one is binary.
  auto ofPlace = [&](Value numbers) -> Value {
    auto type = cast<VectorType>(numbers.getType());
    Value one = arith::ConstantOp::create(
        builder, loc, DenseElementsAttr::get(type, builder.getI32IntegerAttr(1)));
    Value digit = arith::AndIOp::create(builder, loc, numbers, one);
    auto real = VectorType::get(type.getShape(), builder.getF64Type());
    Value last = arith::SIToFPOp::create(builder, loc, real, digit);
    Value rest = mirrored(arith::ShRUIOp::create(builder, loc, numbers, one));
    Value odd = arith::MulFOp::create(builder, loc, arith::AddFOp::create(builder, loc, rest, last),
                                      wide(0.5));
    Value frequency = arith::SelectOp::create(builder, loc, isOdd, odd, mirrored(numbers));
    return arith::MulFOp::create(builder, loc, frequency, wide(0.5));
  };
  // Vectors run past the end of a run into the next one, which comes later.
  forRuns([&](Value run) {
    Value count = quotient(mul(run, 3), constant(2));
    fillTable(Root, slotOf(run), run, count, ofPlace, /*powers=*/false);
  });
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

SmallVector<PanelTransform::Complex> PanelTransform::factorsOf(Value block) {
  return {factor(Factor, block), factor(Square, block), factor(Cube, block)};
}

void PanelTransform::emitButterfly(Value panel, ArrayRef<Value> places, ArrayRef<Complex> factors,
                                   bool inverse) {
  SmallVector<Complex> in;
  for (auto [number, place] : llvm::enumerate(places)) {
    in.push_back(load(panel, place));
    if (number && !inverse)
      in.back() = times(in.back(), factors[number - 1]);
  }
  auto put = [&](unsigned number, Complex value) {
    if (number && inverse)
      value = timesConjugate(value, factors[number - 1]);
    store(value, panel, places[number]);
  };
  if (places.size() == 2) {
    put(0, plus(in[0], in[1]));
    put(1, minus(in[0], in[1]));
    return;
  }
  Complex even = plus(in[0], in[2]), evenDifference = minus(in[0], in[2]);
  Complex odd = plus(in[1], in[3]), oddDifference = minus(in[1], in[3]);
  Complex turnedBack = minusTurned(evenDifference, oddDifference);
  Complex turned = plusTurned(evenDifference, oddDifference);
  put(0, plus(even, odd));
  put(1, inverse ? turned : turnedBack);
  put(2, minus(even, odd));
  put(3, inverse ? turnedBack : turned);
}

void PanelTransform::emitStep(Value panel, Value first, Value blockSize, Value block,
                              bool inverse) {
  Value quarter = quotient(blockSize, constant(4));
  SmallVector<Complex> factors = factorsOf(block);
  kernel.forEach(quarter, 1, [&](Value number) {
    SmallVector<Value> places = {add(first, number)};
    for (int64_t which = 1; which < 4; ++which)
      places.push_back(add(places.back(), quarter));
    emitButterfly(panel, places, factors, inverse);
  });
}

void PanelTransform::emitSteps(Value panel, Value first, Value blockSize, bool inverse) {
  Value firstBlock = quotient(first, blockSize);
  kernel.forEach(quotient(part, blockSize), 1, [&](Value number) {
    Value start = add(first, mul(number, blockSize));
    emitStep(panel, start, blockSize, add(firstBlock, number), inverse);
  });
}

void PanelTransform::emitLast(Value panel, Value first, bool inverse) {
  auto blocks = [&](int64_t blockSize) {
    Value firstBlock = quotient(first, constant(blockSize));
    kernel.forEach(quotient(part, constant(blockSize)), 1, [&](Value number) {
      Value start = add(first, mul(number, blockSize)), block = add(firstBlock, number);
      SmallVector<Value> places;
      for (int64_t which = 0; which < blockSize; ++which)
        places.push_back(add(start, constant(which)));
      if (blockSize == 4)
        return emitButterfly(panel, places, factorsOf(block), inverse);
      emitButterfly(panel, places, {factor(Half, block)}, inverse);
    });
  };
  emitIf(kernel, isOdd, [&] { blocks(2); }, [&] { blocks(4); });
}

void PanelTransform::emitForward(Value panel) {
  auto quarter = [&](Value blockSize) { return quotient(blockSize, constant(4)); };
  forParts([&](Value first) {
    // Greater blocks that begin here come before.
    repeat(
        size, [&](Value blockSize) { return less(part, blockSize); }, quarter,
        [&](Value blockSize) {
          Value rest = arith::RemUIOp::create(builder, loc, first, blockSize);
          Value begins =
              arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, rest, constant(0));
          emitIf(kernel, begins, [&] {
            emitStep(panel, first, blockSize, quotient(first, blockSize), /*inverse=*/false);
          });
        });
    repeat(
        part, [&](Value blockSize) { return less(constant(4), blockSize); }, quarter,
        [&](Value blockSize) { emitSteps(panel, first, blockSize, /*inverse=*/false); });
    emitLast(panel, first, /*inverse=*/false);
  });
}

void PanelTransform::emitInverse(Value panel) {
  auto fourfold = [&](Value blockSize) { return mul(blockSize, 4); };
  Value least = arith::SelectOp::create(builder, loc, isOdd, constant(8), constant(16));
  forParts([&](Value first) {
    emitLast(panel, first, /*inverse=*/true);
    repeat(
        least, [&](Value blockSize) { return less(blockSize, add(part, constant(1))); }, fourfold,
        [&](Value blockSize) { emitSteps(panel, first, blockSize, /*inverse=*/true); });
    // Greater blocks that end here come after.
    Value end = add(first, part);
    repeat(
        mul(part, 4), [&](Value blockSize) { return less(blockSize, add(size, constant(1))); },
        fourfold,
        [&](Value blockSize) {
          Value rest = arith::RemUIOp::create(builder, loc, end, blockSize);
          Value ends =
              arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, rest, constant(0));
          emitIf(kernel, ends, [&] {
            Value start = sub(end, blockSize);
            emitStep(panel, start, blockSize, quotient(start, blockSize), /*inverse=*/true);
          });
        });
  });
}
