//===- MathEmitter.h - arithmetic on values, written as formulas ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_MATHEMITTER_H
#define SEQMIX_COMPILER_CPU_MATHEMITTER_H

#include "compiler/cpu/MathExpand.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace seqmix::cpu {

class MathEmitter;

/// A value of the emitter's real type, of integers as wide, or of truth values: one a lane.
struct Real {
  mlir::Value value;
  MathEmitter *emitter;
};
struct Bits {
  mlir::Value value;
  MathEmitter *emitter;
};
struct Mask {
  mlir::Value value;
  MathEmitter *emitter;
};

Real operator+(Real a, Real b);
Real operator-(Real a, Real b);
Real operator*(Real a, Real b);
Real operator/(Real a, Real b);
Real operator-(Real a);
Real operator+(Real a, double b);
Real operator-(Real a, double b);
Real operator-(double a, Real b);
Real operator*(Real a, double b);
Real operator/(double a, Real b);
/// a * b + c, rounded once if the target has the instruction and twice otherwise.
Real fma(Real a, Real b, Real c);
Real fma(Real a, Real b, double c);
Real fma(Real a, double b, Real c);
Real fma(Real a, double b, double c);
/// a * b + c, as if rounded once where the sum cancels; on targets without the instruction by an
/// exact product.
Real fmaExact(Real a, Real b, Real c);
Real abs(Real a);
Real sqrt(Real a);
Real floor(Real a);
Real roundEven(Real a);
/// |a| with the sign of b.
Real copySign(Real a, Real b);
/// max(a, bound) and min(a, bound), NaN if a is; one instruction each.
Real atLeast(Real a, double bound);
Real atMost(Real a, double bound);

/// Ordered comparisons: false if an operand is NaN. `notAbove` is the exception: not (a > b).
Mask operator<(Real a, Real b);
Mask operator<(Real a, double b);
Mask operator>(Real a, Real b);
Mask operator>(Real a, double b);
Mask operator==(Real a, Real b);
Mask operator==(Real a, double b);
/// a != b, or one is NaN.
Mask operator!=(Real a, Real b);
/// Not (a <= b): true if a is NaN.
Mask notAtMost(Real a, double b);
Mask operator&(Mask a, Mask b);
Mask operator|(Mask a, Mask b);
Mask operator!(Mask a);
Real select(Mask condition, Real a, Real b);
Real select(Mask condition, double a, Real b);
Real select(Mask condition, Real a, double b);

Bits bitsOf(Real a);
Real realOf(Bits a);
Bits operator+(Bits a, Bits b);
Bits operator+(Bits a, int64_t b);
Bits operator-(Bits a, Bits b);
Bits operator^(Bits a, Bits b);
Bits operator&(Bits a, int64_t b);
Bits operator<<(Bits a, unsigned count);
/// Logical shift to the right.
Bits operator>>(Bits a, unsigned count);
Mask operator!=(Bits a, int64_t b);

/// Where and for which type ops are made.
class MathEmitter {
public:
  /// `type` is f32, f64, or a 1-D vector of one of them.
  MathEmitter(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type,
              const MathOptions &options);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Type type, bitsType;
  bool isF32;
  /// The type is one that the AVX-512 instructions exist for, and they may be used.
  bool avx512;
  bool hasFma;
  int64_t lanes;

  Real real(mlir::Value value) { return {value, this}; }
  Real constant(double value);
  Bits bits(int64_t value);

  /// Bits of the mantissa, bias of the exponent, and the smallest and largest normal number.
  unsigned mantissa() const { return isF32 ? 23 : 52; }
  int64_t bias() const { return isF32 ? 127 : 1023; }
  double smallest() const;
  double largest() const;
  /// x + roundingShift() has round(x) in its low mantissa bits, for |x| < 2^(mantissa - 2).
  double roundingShift() const { return isF32 ? 0x1.8p23 : 0x1.8p52; }

  /// The coefficients for this type.
  llvm::SmallVector<double> pick(llvm::ArrayRef<float> f32, llvm::ArrayRef<double> f64) const;
  /// Horner's rule, ascending powers.
  Real polynomial(llvm::ArrayRef<double> coefficients, Real x);

  /// a * 2^floor(n) by the AVX-512 instruction, with its rules for infinities.
  Real scale(Real a, Real n);
  /// table[index & 15] for 16 lanes of f32, AVX-512.
  Real lookup(llvm::ArrayRef<float> table, Bits index);
};

// The functions, by file.
// MathExponential.cpp
Real emitExp(Real x);
/// exp(x + low), for |low| far below 1; `low` counts only where x is finite.
Real emitExp(Real x, Real low);
Real emitExpm1(Real x);
Real emitSigmoid(Real x);
Real emitSilu(Real x);
Real emitTanh(Real x);
Real emitSoftplus(Real x);
Real emitLogSigmoid(Real x);
Real emitLogAddExp(Real a, Real b);
// MathLogarithm.cpp
Real emitLog(Real x);
Real emitLog1p(Real x);
/// log(1 + u) for 0 <= u <= 1.
Real emitLog1pUnit(Real u);
Real emitPow(Real x, Real y);
// MathTrigonometric.cpp
Real emitSin(Real x);
Real emitCos(Real x);
// MathErrorFunction.cpp
Real emitErf(Real x);
Real emitGelu(Real x);

} // namespace seqmix::cpu

#endif // SEQMIX_COMPILER_CPU_MATHEMITTER_H
