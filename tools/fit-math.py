#!/usr/bin/env python3
"""Fits the polynomials of the elementary functions and writes compiler/cpu/MathCoefficients.h.

Minimax fits by Remez exchange in 45-digit arithmetic. On an interval that does not cross zero the f32 coefficients are rounded
one after the other, lowest power first, and the others fitted anew after each, so that the rounding costs almost nothing.
The errors written are those of the rounded coefficients, evaluated without further rounding. Needs mpmath.

    tools/fit-math.py > compiler/cpu/MathCoefficients.h
"""
import struct
import sys

import mpmath as mp

mp.mp.dps = 45
LN2 = mp.log(2)


def as_f32(c):
    """The f32 nearest to c (through f64, which is innocuous for coefficients of 45 digits)."""
    return mp.mpf(struct.unpack("f", struct.pack("f", float(c)))[0])


def as_f64(c):
    return mp.mpf(float(c))


def remez(grid, values, weights, powers):
    """Coefficients over x^powers that minimise the largest |weight (p(x) - value)| on the grid."""
    n = len(powers)
    size = len(grid)
    reference = [int((size - 1) * (1 - mp.cos(mp.pi * i / n)) / 2) for i in range(n + 1)]
    for _ in range(30):
        rows = [[grid[i] ** k for k in powers] + [(-1) ** j / weights[i]] for j, i in enumerate(reference)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([values[i] for i in reference]))
        coefficients = list(solution)[:n]
        error = [weights[i] * (polynomial(coefficients, powers, grid[i]) - values[i]) for i in range(size)]
        # One extremum in each run of one sign; then the best n + 1 neighbours.
        extrema, start = [], 0
        for i in range(1, size + 1):
            if i == size or (error[i] > 0) != (error[start] > 0):
                extrema.append(max(range(start, i), key=lambda j: abs(error[j])))
                start = i
        while len(extrema) > n + 1:
            drop = 0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1
            extrema.pop(drop)
        worst = max(abs(e) for e in error)
        if len(extrema) < n + 1 or extrema == reference or worst < abs(solution[n]) * mp.mpf("1.0005"):
            break
        reference = extrema
    return coefficients


def polynomial(coefficients, powers, x):
    return mp.fsum(c * x**k for c, k in zip(coefficients, powers))


def fit(name, f, w, powers, lo, hi, to_type, points=600):
    """Writes the array `name`; its coefficients belong to ascending powers."""
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    grid = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / points) for i in range(points)]
    values, weights = [f(x) for x in grid], [w(x) for x in grid]
    remaining, rounded, rest = list(powers), [], values
    # Without its constant the basis is no Chebyshev system on an interval with a zero inside.
    sequential = to_type is as_f32 and lo >= 0 or hi <= 0
    while remaining:
        coefficients = remez(grid, rest, weights, remaining)
        count = 1 if sequential else len(remaining)
        rounded += [to_type(c) for c in coefficients[:count]]
        remaining = remaining[count:]
        rest = [v - polynomial(rounded, powers, x) for v, x in zip(values, grid)]
    write(name, rounded, max(abs(e * u) for e, u in zip(rest, weights)), to_type)


def write(name, coefficients, error, to_type):
    kind = "float" if to_type is as_f32 else "double"
    digits = [float(c).hex() + ("f" if kind == "float" else "") for c in coefficients]
    print(f"/// Weighted error {mp.nstr(error, 2)}.")
    print(f"inline constexpr {kind} {name}[] = {{{', '.join(digits)}}};")
    print(f"{name}: {mp.nstr(error, 3)}", file=sys.stderr)


def rational(name, f, numerator, denominator, hi, to_type, points=400):
    """f(x) = x P(x^2) / Q(x^2) on [0, hi] with small relative error: iterated weighted least squares (Lawson's weights)."""
    grid = [mp.mpf(hi) * (1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / points)) / 2 for i in range(points)]
    target = [f(x) / x for x in grid]
    z = [x * x for x in grid]
    scale = max(z)
    lawson, q = [mp.mpf(1)] * points, [mp.mpf(1)] * points
    best = None
    for _ in range(40):
        rows, right = [], []
        for i in range(points):
            weight = mp.sqrt(lawson[i]) / (target[i] * q[i])
            rows.append([weight * (z[i] / scale) ** k for k in range(numerator + 1)] +
                        [-weight * target[i] * (z[i] / scale) ** k for k in range(1, denominator + 1)])
            right.append(weight * target[i])
        a, b = mp.matrix(rows), mp.matrix(right)
        solution = mp.lu_solve(a.T * a, a.T * b)
        p = [solution[k] / scale**k for k in range(numerator + 1)]
        d = [mp.mpf(1)] + [solution[numerator + k] / scale**k for k in range(1, denominator + 1)]
        q = [polynomial(d, range(denominator + 1), v) for v in z]
        error = [polynomial(p, range(numerator + 1), v) / (s * t) - 1 for v, s, t in zip(z, q, target)]
        worst = max(abs(e) for e in error)
        if best is None or worst < best[0]:
            best = (worst, [to_type(c) for c in p], [to_type(c) for c in d])
        lawson = [l * (abs(e) / worst + mp.mpf("1e-3")) for l, e in zip(lawson, error)]
        total = mp.fsum(lawson) / points
        lawson = [l / total for l in lawson]
    _, p, d = best
    worst = max(abs(polynomial(p, range(numerator + 1), v) / polynomial(d, range(denominator + 1), v) / t - 1)
                for v, t in zip(z, target))
    write(name + "Numerator", p, worst, to_type)
    write(name + "Denominator", d, worst, to_type)


def split(name, value, pieces, bits, to_type):
    """value as a sum of constants; all but the last have `bits` significant bits, so small multiples of them are exact."""
    rest, parts = mp.mpf(value), []
    for i in range(pieces):
        if i + 1 < pieces and bits:
            unit = mp.mpf(2) ** (mp.floor(mp.log(abs(rest), 2)) + 1 - bits)
            part = mp.nint(rest / unit) * unit
        else:
            part = to_type(rest)
        assert to_type(part) == part
        parts.append(part)
        rest -= part
    write(name, parts, abs(rest), to_type)


def exp_tail(r):
    """(exp(r) - 1 - r) / r^2"""
    return mp.mpf(1) / 2 if r == 0 else mp.fsum(r**k / mp.factorial(k + 2) for k in range(40))


def log_tail(f):
    """(log(1 + f) - f + f^2 / 2) / f^3"""
    return (mp.log1p(f) - f + f * f / 2) / f**3


def atanh_tail(z):
    """(2 atanh(s) - 2 s) / s^3 over z = s^2"""
    return mp.fsum(2 * z**k / mp.mpf(2 * k + 3) for k in range(120))


def sin_tail(z):
    """(sin(r) - r) / r^3 over z = r^2"""
    return mp.fsum((-1) ** (k + 1) * z**k / mp.factorial(2 * k + 3) for k in range(25))


def cos_tail(z):
    """(cos(r) - 1 + r^2 / 2) / r^4 over z = r^2"""
    return mp.fsum((-1) ** k * z**k / mp.factorial(2 * k + 4) for k in range(25))


def erf_tail(z):
    """erf(x) / x - 1 over z = x^2"""
    return mp.fsum((-1) ** k * z**k / (mp.factorial(k) * (2 * k + 1)) for k in range(40)) * 2 / mp.sqrt(mp.pi) - 1


def scaled_erfc(shift):
    """exp(t^2) erfc(t) (t + shift) over q = (t - shift) / (t + shift)"""
    def function(q):
        t = shift * (1 + q) / (1 - q)
        return mp.exp(t * t) * mp.erfc(t) * (t + shift)
    return function


def one(x):
    return mp.mpf(1)


def both(to_type, suffix):
    f32 = to_type is as_f32
    half = LN2 / 2 * mp.mpf("1.001")
    print(f"\n// {'f32' if f32 else 'f64'}")
    split("ln2" + suffix, LN2, 2, 15 if f32 else 40, to_type)
    split("log2e" + suffix, 1 / LN2, 2, 0, to_type)
    split("halfPi" + suffix, mp.pi / 2, 4 if f32 else 3, 0, to_type)
    fit("expTail" + suffix, exp_tail, lambda r: r * r / mp.exp(r), range(5 if f32 else 10), -half, half, to_type)
    if f32:
        step = LN2 / 32 * mp.mpf("1.01")
        fit("expStep" + suffix, exp_tail, lambda r: r * r / mp.exp(r), range(2), -step, step, to_type)
        fit("logTail" + suffix, log_tail, lambda x: abs(x**3 / mp.log1p(x)), range(8), mp.sqrt(mp.mpf(1) / 2) - 1,
            mp.sqrt(2) - 1, to_type)
        fit("log1pUnit" + suffix, lambda v: mp.log1p(v + mp.mpf(1) / 2) / (v + mp.mpf(1) / 2),
            lambda v: (v + mp.mpf(1) / 2) / mp.log1p(v + mp.mpf(1) / 2), range(11), "-0.5", "0.5", to_type)
        rational("tanh" + suffix, mp.tanh, 6, 3, 9.1, to_type)
    else:
        fit("atanhUnit" + suffix, atanh_tail, lambda z: z, range(11), mp.mpf(10) ** -12, mp.mpf(1) / 9, to_type)
    small = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    fit("atanhTail" + suffix, atanh_tail, lambda z: z, range(4 if f32 else 8), mp.mpf(10) ** -12, small**2, to_type)
    reach = mp.mpf("0.86")
    fit("sinTail" + suffix, sin_tail, lambda z: z, range(3 if f32 else 7), mp.mpf(10) ** -12, reach**2, to_type)
    fit("cosTail" + suffix, cos_tail, lambda z: z * z, range(3 if f32 else 7), mp.mpf(10) ** -12, reach**2, to_type)
    fit("erfSmall" + suffix, erf_tail, lambda z: 1 / (1 + erf_tail(z)), range(8 if f32 else 14), 0, 1, to_type)
    shift, reach = (mp.mpf(2), 11) if f32 else (mp.mpf(4), 28)
    fit("erfcScaled" + suffix, scaled_erfc(shift), lambda q: 1 / scaled_erfc(shift)(q), range(11 if f32 else 24), -1,
        (reach - shift) / (reach + shift), to_type)


def main():
    print("""//===- MathCoefficients.h - polynomials of the elementary functions ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Written by tools/fit-math.py, which says what each array approximates. Ascending powers.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_MATHCOEFFICIENTS_H
#define SEQMIX_COMPILER_CPU_MATHCOEFFICIENTS_H

namespace seqmix::cpu::coefficients {""")
    both(as_f32, "F32")
    both(as_f64, "F64")
    write("expTableF32", [as_f32(mp.mpf(2) ** (mp.mpf(j) / 16)) for j in range(16)], mp.mpf(2) ** -25, as_f32)
    print("""
} // namespace seqmix::cpu::coefficients

#endif // SEQMIX_COMPILER_CPU_MATHCOEFFICIENTS_H""")


main()
