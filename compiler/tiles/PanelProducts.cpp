//===- PanelProducts.cpp - products of transformed panels ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// With Z the transform of z, the even rows x_{2n} have the transform E_k = (Z_k + conj Z_{-k}) / 2,
// the odd ones O_k = (Z_k - conj Z_{-k}) / 2i. All rows have E_k + y O_k at the root
// y = exp(-pi i k / size) and E_k - y O_k at -y, which are multiplied with the spectrum. The halves
// and 1 / size are in the spectrum.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/PanelTransform.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

void PanelTransform::forRuns(Body body) {
  Value least = arith::SelectOp::create(builder, loc, isOdd, constant(2), constant(1));
  repeat(
      least, [&](Value run) { return less(run, size); }, [&](Value run) { return mul(run, 4); },
      body);
}

Value PanelTransform::slotOf(Value run) {
  return arith::MaxUIOp::create(builder, loc, quotient(run, constant(2)), constant(1));
}

void PanelTransform::forPairs(function_ref<void(Value, Value, Value)> body) {
  forRuns([&](Value run) {
    Value count = quotient(mul(run, 3), constant(2)), slot = slotOf(run);
    Value last = sub(mul(run, 4), constant(1));
    kernel.forEach(count, 1, [&](Value number) {
      body(add(slot, number), add(run, number), sub(last, number));
    });
  });
}

void PanelTransform::forSelfPaired(function_ref<void(Value, Value, Complex)> body) {
  auto type = kernel.vectorType(kernel.real);
  auto part = [&](double value) -> Value {
    auto attr = builder.getFloatAttr(kernel.real, value);
    return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, attr));
  };
  body(constant(0), constant(0), {part(1), part(0)});
  Value middle = arith::SelectOp::create(builder, loc, isOdd, constant(1), constant(2));
  body(quotient(size, constant(2)), middle, {part(0), part(-1)});
}

PanelTransform::Roots PanelTransform::rootsOf(Pair values, Complex y) {
  Complex own = values.own, opposite = values.opposite;
  Complex even = {arith::AddFOp::create(builder, loc, own.re, opposite.re),
                  arith::SubFOp::create(builder, loc, own.im, opposite.im)};
  Complex odd = {arith::AddFOp::create(builder, loc, own.im, opposite.im),
                 arith::SubFOp::create(builder, loc, opposite.re, own.re)};
  Complex turned = times(odd, y);
  return {plus(even, turned), minus(even, turned)};
}

PanelTransform::Pair PanelTransform::valuesOf(Roots roots, Complex y) {
  Complex even = plus(roots.at, roots.atNegative);
  Complex odd = timesConjugate(minus(roots.at, roots.atNegative), y);
  // The opposite frequency has the conjugates of both.
  Complex back = minusTurned(even, odd);
  return {plusTurned(even, odd), {back.re, arith::NegFOp::create(builder, loc, back.im)}};
}

void PanelTransform::emitSpectrum(Value panel, Value spectrum) {
  auto type = kernel.vectorType(kernel.real);
  Value count = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), mul(size, 8));
  Value divisor = arith::SIToFPOp::create(builder, loc, kernel.real, count);
  Value one = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(kernel.real, 1));
  Value scale = vector::BroadcastOp::create(builder, loc, type,
                                            arith::DivFOp::create(builder, loc, one, divisor));
  auto put = [&](Value slot, Pair values, Complex y) {
    Roots roots = rootsOf(values, y);
    store(scaled(roots.at, scale), spectrum, mul(slot, 2));
    store(scaled(roots.atNegative, scale), spectrum, add(mul(slot, 2), constant(1)));
  };
  forSelfPaired([&](Value slot, Value number, Complex y) {
    Complex own = load(panel, number);
    put(slot, {own, own}, y);
  });
  forPairs([&](Value slot, Value number, Value opposite) {
    put(slot, {load(panel, number), load(panel, opposite)}, rootOf(slot));
  });
}

void PanelTransform::emitProduct(Value panel, Value spectrum) {
  auto multiply = [&](Value slot, Pair values, Complex y) {
    Complex negative = {arith::NegFOp::create(builder, loc, y.re),
                        arith::NegFOp::create(builder, loc, y.im)};
    Roots roots = rootsOf(values, y);
    Value number = mul(slot, 2);
    roots.at = timesSpectrum(roots.at, y, spectrum, number);
    roots.atNegative =
        timesSpectrum(roots.atNegative, negative, spectrum, add(number, constant(1)));
    return valuesOf(roots, y);
  };
  forSelfPaired([&](Value slot, Value number, Complex y) {
    Complex own = load(panel, number);
    store(multiply(slot, {own, own}, y).own, panel, number);
  });
  forPairs([&](Value slot, Value number, Value opposite) {
    Pair product = multiply(slot, {load(panel, number), load(panel, opposite)}, rootOf(slot));
    store(product.own, panel, number);
    store(product.opposite, panel, opposite);
  });
}

PanelTransform::Complex PanelTransform::timesSpectrum(Complex value, Complex y, Value spectrum,
                                                      Value number) {
  if (phases == 1)
    return times(value, load(spectrum, number));
  Complex wrapped = times(value, y);
  // Sums of products of parts: four chains of additions, not two of twice the length.
  Value sums[2][2];
  for (int64_t position = 0; position < phases; ++position) {
    SmallVector<int64_t> lanes;
    for (int64_t lane = 0; lane < kernel.lanes; ++lane)
      lanes.push_back(kernel.lanes - position * width + lane);
    auto moved = [&](Value around, Value inside) -> Value {
      return position ? vector::ShuffleOp::create(builder, loc, around, inside, lanes).getResult()
                      : inside;
    };
    Value parts[] = {moved(wrapped.re, value.re), moved(wrapped.im, value.im)};
    for (int64_t ofWeight : {0, 1}) {
      Value weight = spread(spectrum, add(mul(number, 2), constant(ofWeight)), position);
      for (int64_t ofValue : {0, 1}) {
        Value &sum = sums[ofValue][ofWeight];
        sum = sum ? fused(parts[ofValue], weight, sum)
                  : arith::MulFOp::create(builder, loc, parts[ofValue], weight).getResult();
      }
    }
  }
  return {arith::SubFOp::create(builder, loc, sums[0][0], sums[1][1]),
          arith::AddFOp::create(builder, loc, sums[0][1], sums[1][0])};
}

Value PanelTransform::spread(Value spectrum, Value row, int64_t position) {
  auto type = kernel.vectorType(kernel.real);
  Value at = add(mul(row, kernel.lanes), constant(position * width));
  if (width == 1) {
    Value element = memref::LoadOp::create(builder, loc, spectrum, at);
    return vector::BroadcastOp::create(builder, loc, type, element);
  }
  Value some =
      vector::LoadOp::create(builder, loc, VectorType::get({width}, kernel.real), spectrum, at);
  SmallVector<int64_t> lanes;
  for (int64_t lane = 0; lane < kernel.lanes; ++lane)
    lanes.push_back(lane % width);
  return vector::ShuffleOp::create(builder, loc, some, some, lanes);
}
