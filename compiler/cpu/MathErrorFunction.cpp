//===- MathErrorFunction.cpp - erf and gelu -------------------------------------===//
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

// What tools/fit-math.py fits the polynomial for: its variable (t - shift) / (t + shift), up to t =
// reach.
double erfcShift(const MathEmitter &e) { return e.isF32 ? 2 : 4; }
double erfcReach(const MathEmitter &e) { return e.isF32 ? 11 : 28; }

/// exp(-(square + squareLow)) exp(t^2) erfc(t) for 0 <= t <= reach. The square is t^2, given more
/// exactly than t gives it.
Real erfcOf(Real t, Real square, Real squareLow) {
  auto &e = *t.emitter;
  double shift = erfcShift(e);
  Real inverse = 1.0 / (t + shift);
  Real q = (t - shift) * inverse;
  Real scaled = e.polynomial(e.pick(c::erfcScaledF32, c::erfcScaledF64), q) * inverse;
  return emitExp(-square, -squareLow) * scaled;
}

} // namespace

Real emitErf(Real x) {
  auto &e = *x.emitter;
  Real magnitude = abs(x);
  Real z = x * x;
  Real small = fma(x, e.polynomial(e.pick(c::erfSmallF32, c::erfSmallF64), z), x);
  Real t = atMost(magnitude, erfcReach(e));
  Real square = t * t;
  Real large = copySign(1.0 - erfcOf(t, square, fmaExact(t, t, -square)), x);
  return select(magnitude < 1.0, small, large);
}

Real emitGelu(Real x) {
  auto &e = *x.emitter;
  // x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt 2) / 2: no cancellation on either side.
  Real magnitude = atMost(abs(x), erfcReach(e) * M_SQRT2);
  Real half = magnitude * 0.5;
  Real square = magnitude * half;
  Real erfc = erfcOf(magnitude * M_SQRT1_2, square, fmaExact(magnitude, half, -square));
  return atLeast(x, 0.0) - half * erfc;
}

} // namespace seqmix::cpu
