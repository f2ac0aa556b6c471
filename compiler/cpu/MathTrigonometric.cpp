//===- MathTrigonometric.cpp - sine and cosine ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathCoefficients.h"
#include "compiler/cpu/MathEmitter.h"
#include <cmath>

namespace seqmix::cpu {
namespace c = coefficients;

namespace {

/// sin(x + quarters pi / 2)
Real sine(Real x, int64_t quarters) {
  auto &e = *x.emitter;
  auto halfPi = e.pick(c::halfPiF32, c::halfPiF64);
  Real shifted = fma(x, M_2_PI, e.roundingShift());
  Real n = shifted - e.roundingShift();
  // Each step is exact until the result has few bits left, so that r is right to its last bits even
  // near a zero.
  Real r = x;
  for (double part : halfPi)
    r = fmaExact(n, e.constant(-part), r);
  // Only arguments beyond the accurate range reach the bound: it keeps their results in [-1, 1].
  r = atLeast(atMost(r, 0.86), -0.86);

  Real z = r * r;
  Real sin = fma(r * z, e.polynomial(e.pick(c::sinTailF32, c::sinTailF64), z), r);
  Real cosTail = e.polynomial(e.pick(c::cosTailF32, c::cosTailF64), z);
  Real cos = fma(z, fma(z, cosTail, -0.5), 1.0);

  Bits quadrant = bitsOf(shifted);
  if (quarters)
    quadrant = quadrant + quarters;
  Real value = select((quadrant & 1) != 0, cos, sin);
  unsigned signBit = e.isF32 ? 31 : 63;
  Bits sign = (quadrant & 2) << (signBit - 1);
  return realOf(bitsOf(value) ^ sign);
}

} // namespace

Real emitSin(Real x) { return sine(x, 0); }
Real emitCos(Real x) { return sine(x, 1); }

} // namespace seqmix::cpu
