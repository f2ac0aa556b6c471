//===- MathLogarithm.cpp - logarithms and powers --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathCoefficients.h"
#include "compiler/cpu/MathEmitter.h"
#include <cmath>
#include <limits>

namespace seqmix::cpu {
namespace c = coefficients;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// x = 2^k m with m in [sqrt(1/2), sqrt(2)), for positive normal x. `field` is the exponent field
/// of 2^k, biased.
struct Decomposed {
  Real k, m;
  Bits field;
};

Decomposed decompose(Real x) {
  auto &e = *x.emitter;
  // Bits of sqrt(1/2), rounded up so that m stays below sqrt(2).
  int64_t root = e.isF32 ? 0x3f3504f3 : 0x3fe6a09e667f3bcd;
  Bits i = bitsOf(x);
  // The bias keeps the difference positive, so that the shift may be a logical one.
  Bits biased = (i + ((e.bias() << e.mantissa()) - root)) >> e.mantissa();
  Bits m = i - ((biased << e.mantissa()) + -(e.bias() << e.mantissa()));
  Real shifted = realOf(biased + bitsOf(e.constant(e.roundingShift())));
  Real k = shifted - (e.roundingShift() + static_cast<double>(e.bias()));
  return {k, realOf(m), biased};
}

/// k ln 2 + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]
Real logOf(Real k, Real f) {
  auto &e = *k.emitter;
  auto ln2 = e.pick(c::ln2F32, c::ln2F64);
  if (e.isF32) {
    Real square = f * f;
    Real tail = fma(square * f, e.polynomial(e.pick(c::logTailF32, {}), f), k * ln2[1]);
    return fma(k, ln2[0], f + fma(square, -0.5, tail));
  }
  // With s = f / (2 + f): log(1 + f) = 2 atanh(s), and 2 s = f - s f, which leaves f as the leading
  // term.
  Real s = f / (f + 2.0);
  Real z = s * s;
  Real tail = z * e.polynomial(e.pick({}, c::atanhTailF64), z);
  Real half = f * f * 0.5;
  Real low = fma(s, half + tail, k * ln2[1]);
  return fma(k, ln2[0], f - (half - low));
}

/// log's values at zero, below it, at infinity and NaN; `y` is right elsewhere. The zero of log is
/// where x < `zero`.
Real logSpecial(Real x, Real argument, double zero, Real y) {
  auto &e = *x.emitter;
  Real below = select(argument < 0.0, e.constant(nan), e.constant(-infinity));
  y = select(argument < zero, below, y);
  return select(notAtMost(x, e.largest()), x, y);
}

} // namespace

Real emitLog(Real x) {
  auto [k, m, field] = decompose(x);
  return logSpecial(x, x, x.emitter->smallest(), logOf(k, m - 1.0));
}

Real emitLog1p(Real x) {
  auto &e = *x.emitter;
  Real u = x + 1.0;
  // What the sum has lost, in units of 2^k.
  Real lost = x - (u - 1.0);
  auto [k, m, field] = decompose(u);
  Bits inverse = e.bits(2 * e.bias()) - field;
  Real f = m - 1.0;
  // Large x have lost nothing that counts, and 2^-k is then no number.
  f = select(x < 0x1p60, fma(lost, realOf(inverse << e.mantissa()), f), f);
  return logSpecial(x, u, e.smallest(), logOf(k, f));
}

Real emitLog1pUnit(Real u) {
  auto &e = *u.emitter;
  if (e.isF32)
    return u * e.polynomial(e.pick(c::log1pUnitF32, {}), u - 0.5);
  Real s = u / (u + 2.0);
  Real z = s * s;
  return fma(s * z, e.polynomial(e.pick({}, c::atanhUnitF64), z), s + s);
}

Real emitPow(Real x, Real y) {
  auto &e = *x.emitter;
  auto ln2 = e.pick(c::ln2F32, c::ln2F64);
  Real magnitude = abs(x);
  auto [k, m, field] = decompose(magnitude);

  // log|x| as high + low: the product with y may be hundreds, and its error is the result's
  // relative error.
  Real f = m - 1.0, g = m + 1.0;
  Real gLow = m - (g - 1.0);
  Real inverse = 1.0 / g;
  Real s = f * inverse;
  Real sLow = fma(-s, gLow, fmaExact(-s, g, f)) * inverse;
  Real z = s * s;
  Real tail = s * z * e.polynomial(e.pick(c::atanhTailF32, c::atanhTailF64), z);
  Real exact = k * ln2[0];
  Real sum = exact + (s + s);
  Real error = (s + s) - (sum - exact);
  Real rest = error + fma(sLow, 2.0, fma(k, ln2[1], tail));
  Real high = sum + rest;
  Real low = rest - (high - sum);
  high = select(magnitude < e.smallest(), -infinity, high);
  high = select(notAtMost(magnitude, e.largest()), magnitude, high); // inf and NaN

  Real product = y * high;
  Real productLow = fma(y, low, fmaExact(y, high, -product));
  Real power = emitExp(product, productLow);

  // C's rules: the sign of an odd power, no real power of a negative number, and 1.
  Real half = y * 0.5;
  Mask isInteger = floor(y) == y;
  Mask isOdd = isInteger & (floor(half) != half);
  power = select(isOdd, copySign(power, x), power);
  power = select((x < 0.0) & (magnitude < infinity) & !isInteger, nan, power);
  Mask isOne = (y == 0.0) | (x == 1.0) | ((magnitude == 1.0) & (abs(y) == infinity));
  return select(isOne, 1.0, power);
}

} // namespace seqmix::cpu
