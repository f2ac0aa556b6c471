//===- MathEmitter.cpp - arithmetic on values, written as formulas --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"
#include <limits>
#include <string>

using namespace mlir;

namespace seqmix::cpu {

MathEmitter::MathEmitter(OpBuilder &builder, Location loc, Type type, const MathOptions &options)
    : builder(builder), loc(loc), type(type), isF32(getElementTypeOrSelf(type).isF32()),
      hasFma(options.fma), lanes(1) {
  bitsType = builder.getIntegerType(isF32 ? 32 : 64);
  if (auto vector = dyn_cast<VectorType>(type)) {
    lanes = vector.getNumElements();
    bitsType = vector.clone(bitsType);
  }
  int64_t width = lanes * (isF32 ? 32 : 64);
  avx512 =
      options.avx512 && isa<VectorType>(type) && (width == 128 || width == 256 || width == 512);
}

Real MathEmitter::constant(double value) {
  TypedAttr attribute = FloatAttr::get(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    attribute = DenseElementsAttr::get(vector, attribute);
  return real(arith::ConstantOp::create(builder, loc, attribute));
}

Bits MathEmitter::bits(int64_t value) {
  TypedAttr attribute = IntegerAttr::get(getElementTypeOrSelf(bitsType), value);
  if (auto vector = dyn_cast<VectorType>(bitsType))
    attribute = DenseElementsAttr::get(vector, attribute);
  return {arith::ConstantOp::create(builder, loc, attribute), this};
}

double MathEmitter::smallest() const {
  return isF32 ? std::numeric_limits<float>::min() : std::numeric_limits<double>::min();
}
double MathEmitter::largest() const {
  return isF32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
}

SmallVector<double> MathEmitter::pick(ArrayRef<float> f32, ArrayRef<double> f64) const {
  return isF32 ? SmallVector<double>(f32.begin(), f32.end())
               : SmallVector<double>(f64.begin(), f64.end());
}

Real MathEmitter::polynomial(ArrayRef<double> coefficients, Real x) {
  Real sum = constant(coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = fma(sum, x, coefficient);
  return sum;
}

Real MathEmitter::scale(Real a, Real n) {
  assert(avx512 && "only AVX-512 has this instruction");
  int64_t width = lanes * (isF32 ? 32 : 64);
  std::string name = isF32 ? "llvm.x86.avx512.mask.scalef.ps." : "llvm.x86.avx512.mask.scalef.pd.";
  name += std::to_string(width);
  auto maskType = builder.getIntegerType(lanes == 16 ? 16 : 8);
  Value mask = arith::ConstantOp::create(builder, loc, IntegerAttr::get(maskType, -1));
  SmallVector<Value> operands = {a.value, n.value, a.value, mask};
  if (width == 512) // the rounding of MXCSR
    operands.push_back(arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(4)));
  return real(
      LLVM::CallIntrinsicOp::create(builder, loc, type, builder.getStringAttr(name), operands)
          .getResult(0));
}

Real MathEmitter::lookup(ArrayRef<float> table, Bits index) {
  assert(avx512 && isF32 && lanes == 16 && table.size() == 16 && "a permute of one register");
  Value values = arith::ConstantOp::create(builder, loc,
                                           DenseElementsAttr::get(cast<ShapedType>(type), table));
  return real(LLVM::CallIntrinsicOp::create(builder, loc, type,
                                            builder.getStringAttr("llvm.x86.avx512.permvar.sf.512"),
                                            ValueRange{values, index.value})
                  .getResult(0));
}

namespace {
template <typename OpTy, typename... Operands>
Value emit(MathEmitter &emitter, Operands... operands) {
  return OpTy::create(emitter.builder, emitter.loc, operands...);
}
Mask compare(Real a, Real b, arith::CmpFPredicate predicate) {
  return {emit<arith::CmpFOp>(*a.emitter, predicate, a.value, b.value), a.emitter};
}
} // namespace

#define SEQMIX_REAL_BINARY(symbol, OpTy)                                                           \
  Real operator symbol(Real a, Real b) {                                                           \
    return {emit<OpTy>(*a.emitter, a.value, b.value), a.emitter};                                  \
  }
SEQMIX_REAL_BINARY(+, arith::AddFOp)
SEQMIX_REAL_BINARY(-, arith::SubFOp)
SEQMIX_REAL_BINARY(*, arith::MulFOp)
SEQMIX_REAL_BINARY(/, arith::DivFOp)
#undef SEQMIX_REAL_BINARY

Real operator-(Real a) { return {emit<arith::NegFOp>(*a.emitter, a.value), a.emitter}; }
Real operator+(Real a, double b) { return a + a.emitter->constant(b); }
Real operator-(Real a, double b) { return a - a.emitter->constant(b); }
Real operator-(double a, Real b) { return b.emitter->constant(a) - b; }
Real operator*(Real a, double b) { return a * a.emitter->constant(b); }
Real operator/(double a, Real b) { return b.emitter->constant(a) / b; }

Real fma(Real a, Real b, Real c) {
  if (!a.emitter->hasFma)
    return a * b + c;
  return {emit<math::FmaOp>(*a.emitter, a.value, b.value, c.value), a.emitter};
}
Real fma(Real a, Real b, double c) { return fma(a, b, a.emitter->constant(c)); }
Real fma(Real a, double b, Real c) { return fma(a, a.emitter->constant(b), c); }
Real fma(Real a, double b, double c) {
  return fma(a, a.emitter->constant(b), a.emitter->constant(c));
}
namespace {
/// a without the lower half of its mantissa (Veltkamp).
Real upperHalf(Real a) {
  Real scaled = a * (a.emitter->isF32 ? 0x1p12 + 1 : 0x1p27 + 1);
  return scaled - (scaled - a);
}
} // namespace

Real fmaExact(Real a, Real b, Real c) {
  auto &e = *a.emitter;
  if (e.hasFma)
    return fma(a, b, c);
  // The product's rounding error (Dekker). Factors too large to be split have products without one,
  // or that overflow.
  Real product = a * b;
  Real aHigh = upperHalf(a), bHigh = upperHalf(b);
  Real aLow = a - aHigh, bLow = b - bHigh;
  Real error = aLow * bLow - (((product - aHigh * bHigh) - aLow * bHigh) - aHigh * bLow);
  double limit = e.isF32 ? 0x1p110 : 0x1p990;
  error = select((abs(a) < limit) & (abs(b) < limit), error, 0.0);
  return (c + product) + error;
}
Real abs(Real a) { return {emit<math::AbsFOp>(*a.emitter, a.value), a.emitter}; }
Real sqrt(Real a) { return {emit<math::SqrtOp>(*a.emitter, a.value), a.emitter}; }
Real floor(Real a) { return {emit<math::FloorOp>(*a.emitter, a.value), a.emitter}; }
Real roundEven(Real a) { return {emit<math::RoundEvenOp>(*a.emitter, a.value), a.emitter}; }
Real copySign(Real a, Real b) {
  return {emit<math::CopySignOp>(*a.emitter, a.value, b.value), a.emitter};
}
// The instructions return their second operand if one is NaN; these are the forms that LLVM turns
// into them.
Real atLeast(Real a, double bound) {
  Real b = a.emitter->constant(bound);
  return select(b > a, b, a);
}
Real atMost(Real a, double bound) {
  Real b = a.emitter->constant(bound);
  return select(b < a, b, a);
}

Mask operator<(Real a, Real b) { return compare(a, b, arith::CmpFPredicate::OLT); }
Mask operator<(Real a, double b) { return a < a.emitter->constant(b); }
Mask operator>(Real a, Real b) { return compare(a, b, arith::CmpFPredicate::OGT); }
Mask operator>(Real a, double b) { return a > a.emitter->constant(b); }
Mask operator==(Real a, Real b) { return compare(a, b, arith::CmpFPredicate::OEQ); }
Mask operator==(Real a, double b) { return a == a.emitter->constant(b); }
Mask operator!=(Real a, Real b) { return compare(a, b, arith::CmpFPredicate::UNE); }
Mask notAtMost(Real a, double b) {
  return compare(a, a.emitter->constant(b), arith::CmpFPredicate::UGT);
}
Mask operator&(Mask a, Mask b) {
  return {emit<arith::AndIOp>(*a.emitter, a.value, b.value), a.emitter};
}
Mask operator|(Mask a, Mask b) {
  return {emit<arith::OrIOp>(*a.emitter, a.value, b.value), a.emitter};
}
Mask operator!(Mask a) {
  auto type = a.value.getType();
  TypedAttr ones = IntegerAttr::get(getElementTypeOrSelf(type), 1);
  if (auto vector = dyn_cast<VectorType>(type))
    ones = DenseElementsAttr::get(vector, ones);
  Value all = emit<arith::ConstantOp>(*a.emitter, ones);
  return {emit<arith::XOrIOp>(*a.emitter, a.value, all), a.emitter};
}
Real select(Mask condition, Real a, Real b) {
  return {emit<arith::SelectOp>(*a.emitter, condition.value, a.value, b.value), a.emitter};
}
Real select(Mask condition, double a, Real b) {
  return select(condition, b.emitter->constant(a), b);
}
Real select(Mask condition, Real a, double b) {
  return select(condition, a, a.emitter->constant(b));
}

Bits bitsOf(Real a) {
  return {emit<arith::BitcastOp>(*a.emitter, a.emitter->bitsType, a.value), a.emitter};
}
Real realOf(Bits a) {
  return {emit<arith::BitcastOp>(*a.emitter, a.emitter->type, a.value), a.emitter};
}
Bits operator+(Bits a, Bits b) {
  return {emit<arith::AddIOp>(*a.emitter, a.value, b.value), a.emitter};
}
Bits operator+(Bits a, int64_t b) { return a + a.emitter->bits(b); }
Bits operator-(Bits a, Bits b) {
  return {emit<arith::SubIOp>(*a.emitter, a.value, b.value), a.emitter};
}
Bits operator^(Bits a, Bits b) {
  return {emit<arith::XOrIOp>(*a.emitter, a.value, b.value), a.emitter};
}
Bits operator&(Bits a, int64_t b) {
  return {emit<arith::AndIOp>(*a.emitter, a.value, a.emitter->bits(b).value), a.emitter};
}
Bits operator<<(Bits a, unsigned count) {
  return {emit<arith::ShLIOp>(*a.emitter, a.value, a.emitter->bits(count).value), a.emitter};
}
Bits operator>>(Bits a, unsigned count) {
  return {emit<arith::ShRUIOp>(*a.emitter, a.value, a.emitter->bits(count).value), a.emitter};
}
Mask operator!=(Bits a, int64_t b) {
  return {
      emit<arith::CmpIOp>(*a.emitter, arith::CmpIPredicate::ne, a.value, a.emitter->bits(b).value),
      a.emitter};
}

} // namespace seqmix::cpu
