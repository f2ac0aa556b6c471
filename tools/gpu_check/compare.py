"""Results against the oracle's: what `seq-run check` allows, for arrays."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import dataclasses

import numpy as np

# Significand bits, exponent of the least normal number, largest number.
_FORMATS = {
    "f32": (24, -126, float(np.finfo(np.float32).max)),
    "f16": (11, -14, 65504.0),
    "bf16": (8, -126, float.fromhex("0x1.fep127")),
}
RELATIVE = {"f64": 1e-12, "f32": 2e-5}


@dataclasses.dataclass
class Difference:
    error: float = 0.0  # largest, relative to the largest magnitude
    within: bool = True
    detail: str = ""  # the worst element, where it is not within


def _half_ulp(digits, least_exponent, values):
    _, exponent = np.frexp(values)
    return np.ldexp(0.5, np.maximum(exponent, least_exponent + 1) - digits)


def compare(name, got, want, storage, compute):
    """Each element within 2e-5 (f32 arithmetic) or 1e-12 (f64) of the array's largest magnitude, half a unit in its last place
    where fewer bits are stored than computed in, and the least normal number. NaN and infinities agree with the same only."""
    if got.shape != want.shape:
        return Difference(np.inf, False, f"{name} has shape {list(got.shape)}; expected {list(want.shape)}")
    if want.size == 0:
        return Difference()
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    finite = np.isfinite(want)
    largest = float(np.abs(want[finite]).max()) if finite.any() else 0.0
    allowed = np.full(want.shape, RELATIVE[compute] * largest + (2.0**-1022 if compute == "f64" else 2.0**-126))
    expected = want
    if storage in _FORMATS and (storage != "f32" or compute == "f64"):
        digits, least, most = _FORMATS[storage]
        # What is too large for the storage type becomes infinite there.
        too_large = finite & (np.abs(want) > most)
        expected = np.where(too_large, np.copysign(np.where(np.isfinite(got), most, np.inf), want), want)
        allowed += np.where(np.isfinite(expected), _half_ulp(digits, least, np.where(np.isfinite(expected), expected, 0)), 0)
    both = np.isfinite(expected) & np.isfinite(got)
    with np.errstate(invalid="ignore"):
        error = np.where(both, np.abs(got - expected), np.inf)
    same = np.where(np.isnan(expected), np.isnan(got), got == expected)
    error = np.where(~both & same, 0, error)
    relative = float((error[np.isfinite(error)] / largest).max()) if largest > 0 and np.isfinite(error).any() else 0.0
    if np.isinf(error).any():
        relative = np.inf
    over = np.where(error > allowed, error - allowed, -1)
    worst = int(over.argmax())
    if over.flat[worst] < 0:
        return Difference(relative)
    index = list(map(int, np.unravel_index(worst, want.shape)))
    detail = f"{name}{index} is {got.flat[worst]:.9g}; expected {want.flat[worst]:.9g} (largest magnitude {largest:.3g})"
    return Difference(relative, False, detail)


def compare_bits(name, got, want):
    """Whether both hold the same numbers; a NaN is the same as a NaN."""
    if got.shape != want.shape:
        return Difference(np.inf, False, f"{name} has another shape")
    same = (got == want) & (np.signbit(got) == np.signbit(want)) | np.isnan(got) & np.isnan(want)
    if same.all():
        return Difference()
    first = int(np.argmin(same))
    index = list(map(int, np.unravel_index(first, want.shape)))
    have, expected = float(got.flat[first]), float(want.flat[first])
    return Difference(abs(have - expected), False, f"{name}{index} is {have:.17g}, not the same bits as {expected:.17g}")
