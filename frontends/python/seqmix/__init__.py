"""Sequence mixers compiled from their equations.

    import seqmix
    lib = seqmix.compile("examples/gla.seq", dims={"K": 64, "V": 64}, dtype="f32")      # or seqmix.load("libgla.so")
    o = lib.gla(q=q, k=k, v=v, g=g)                                    # arrays [B, T, H, features]
    o, carry = lib.gla(q=q, k=k, v=v, g=g, return_carry=True)
    o_t, carry = lib.gla.step(q=q_t, k=k_t, v=v_t, g=g_t, carry=carry)  # one token: arrays [B, H, features]

Arrays are NumPy's or anything with `__dlpack__` (PyTorch, JAX, CuPy's host arrays); nothing is copied.
"""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

from ._compile import compile
from ._errors import CompileError, SeqmixError, SeqmixMemoryError, SeqmixTypeError, SeqmixValueError
from ._library import Library, Mixer, load

__all__ = [
    "compile",
    "load",
    "Library",
    "Mixer",
    "SeqmixError",
    "SeqmixValueError",
    "SeqmixTypeError",
    "SeqmixMemoryError",
    "CompileError",
]
