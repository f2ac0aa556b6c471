//===- MathExponential.cpp - exp and what is made of it -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathCoefficients.h"
#include "compiler/cpu/MathEmitter.h"

namespace seqmix::cpu {
namespace c = coefficients;

namespace {

/// x = n ln 2 + r. `shifted` holds the integer n in its low mantissa bits.
struct Reduced {
  Real shifted, n, r;
};

/// n is the multiple of 1/parts nearest to x / ln 2.
Reduced reduce(Real x, double parts) {
  auto &e = *x.emitter;
  auto ln2 = e.pick(c::ln2F32, c::ln2F64);
  auto log2e = e.pick(c::log2eF32, c::log2eF64);
  double shift = e.roundingShift() / parts;
  Real shifted = fma(x, log2e[0], shift);
  Real n = shifted - shift;
  Real r = fma(n, -ln2[1], fma(n, -ln2[0], x));
  return {shifted, n, r};
}

/// (exp(r) - 1 - r) / r^2
Real expTail(Real r) {
  return r.emitter->polynomial(r.emitter->pick(c::expTailF32, c::expTailF64), r);
}

/// 2^(n - 1) for the n in the low bits of `shifted`: the exponents from 2 - bias, which gives zero,
/// to 1 + bias.
Real halfPower(Real shifted) {
  auto &e = *shifted.emitter;
  Bits exponent = bitsOf(shifted) << e.mantissa();
  return realOf(exponent + ((e.bias() - 1) << e.mantissa()));
}

/// Just beyond the arguments where exp overflows, and where it is zero. For `halfPower` they are so
/// close that n stays among its exponents.
double overflowBound(const MathEmitter &e) { return e.isF32 ? 88.9 : 709.9; }
double zeroBound(const MathEmitter &e) {
  if (e.avx512)
    return e.isF32 ? -110 : -760;
  return e.isF32 ? -87.6 : -708.7;
}

/// exp(x + low) for x between the clamps (or NaN).
Real expClamped(Real x, const Real *low) {
  auto &e = *x.emitter;
  if (e.avx512 && e.isF32 && e.lanes == 16) {
    auto [shifted, n, r] = reduce(x, 16);
    if (low)
      r = r + *low;
    // 2^n is a power of two times one of sixteen roots, r at most ln 2 / 32. The instruction rounds
    // n down.
    Real root = e.lookup(c::expTableF32, bitsOf(shifted));
    Real tail = e.polynomial(e.pick(c::expStepF32, {}), r);
    Real expm1 = fma(tail, r, 1.0) * r;
    return e.scale(fma(expm1, root, root), n);
  }
  auto [shifted, n, r] = reduce(x, 1);
  if (low)
    r = r + *low;
  Real p = fma(fma(expTail(r), r, 1.0), r, 1.0);
  return e.avx512 ? e.scale(p, n) : (p + p) * halfPower(shifted);
}

/// exp(x) for x <= 0 (or NaN).
Real expNonPositive(Real x) { return expClamped(atLeast(x, zeroBound(*x.emitter)), nullptr); }

} // namespace

Real emitExp(Real x) { return expNonPositive(atMost(x, overflowBound(*x.emitter))); }

Real emitExp(Real x, Real low) {
  auto &e = *x.emitter;
  low = select((x > zeroBound(e)) & (x < overflowBound(e)), low, 0.0);
  Real clamped = atLeast(atMost(x, overflowBound(e)), zeroBound(e));
  return expClamped(clamped, &low);
}

Real emitExpm1(Real x) {
  auto &e = *x.emitter;
  Real clamped = atLeast(atMost(x, overflowBound(e)), e.isF32 ? -30 : -60);
  auto [shifted, n, r] = reduce(clamped, 1);
  Real p = fma(r * r, expTail(r), r); // exp(r) - 1
  // 2^n p + (2^n - 1), by way of half of it.
  Real half = halfPower(shifted);
  Real result = fma(half, p, half - 0.5);
  return result + result;
}

Real emitSigmoid(Real x) {
  // exp overflows only where the quotient is below the smallest normal number.
  return 1.0 / (emitExp(-x) + 1.0);
}

Real emitSilu(Real x) {
  // The limit at -inf is zero: exp of the bound is inf.
  Real bounded = atLeast(x, -overflowBound(*x.emitter));
  return bounded / (emitExp(-bounded) + 1.0);
}

Real emitTanh(Real x) {
  auto &e = *x.emitter;
  if (e.isF32) {
    // A rational function of x^2; beyond 9 the result is 1 to the last bit.
    Real bounded = atLeast(atMost(x, 9.0), -9.0);
    Real z = bounded * bounded;
    Real numerator = bounded * e.polynomial(e.pick(c::tanhF32Numerator, {}), z);
    Real quotient = numerator / e.polynomial(e.pick(c::tanhF32Denominator, {}), z);
    return atLeast(atMost(quotient, 1.0), -1.0);
  }
  Real t = emitExpm1(abs(x) * -2.0);
  return copySign(t / (t + 2.0), x);
}

Real emitSoftplus(Real x) { return atLeast(x, 0.0) + emitLog1pUnit(expNonPositive(-abs(x))); }

Real emitLogSigmoid(Real x) { return atMost(x, 0.0) - emitLog1pUnit(expNonPositive(-abs(x))); }

Real emitLogAddExp(Real a, Real b) {
  Real larger = select(a > b, a, b);
  // Equal infinities have no difference.
  Real distance = select(a == b, 0.0, -abs(a - b));
  return larger + emitLog1pUnit(expNonPositive(distance));
}

} // namespace seqmix::cpu
