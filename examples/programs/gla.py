"""Calls a compiled mixer from Python. Run with PYTHONPATH=frontends/python."""

import pathlib
import sys

import numpy as np
import seqmix

here = pathlib.Path(__file__).resolve().parent
lib = seqmix.compile(str(here.parent / "gla.seq"), dims={"K": 64, "V": 64}, dtype="f32")

rng = np.random.default_rng(0)
B, T, H, K, V = 2, 67, 3, 64, 64
q, k = (rng.standard_normal((B, T, H, K), dtype=np.float32) for _ in range(2))
v = rng.standard_normal((B, T, H, V), dtype=np.float32)
g = (-5 * rng.random((B, T, H, K))).astype(np.float32)

o = lib.gla(q=q, k=k, v=v, g=g)

# The equations, in float64.
S = np.zeros((B, H, K, V))
expected = np.zeros((B, T, H, V))
for t in range(T):
    S = np.exp(g[:, t].astype(float))[..., None] * S + k[:, t, :, :, None].astype(float) * v[:, t, :, None, :]
    expected[:, t] = K**-0.5 * np.einsum("bhi,bhij->bhj", q[:, t], S)

# A prefill of 40 tokens, then one token at a time.
first, carry = lib.gla(q=q[:, :40], k=k[:, :40], v=v[:, :40], g=g[:, :40], return_carry=True)
tokens = [first]
for t in range(40, T):
    o_t, carry = lib.gla.step(q=q[:, t], k=k[:, t], v=v[:, t], g=g[:, t], carry=carry)
    tokens.append(o_t[:, None])
steps = np.concatenate(tokens, axis=1)

scale = abs(expected).max()
worst, apart = abs(o - expected).max() / scale, abs(o - steps).max() / scale
print(f"Python forward against the equations: {worst:.1e}   prefill and steps against forward: {apart:.1e}   (of max|o|)")
sys.exit(0 if worst < 2e-5 and apart < 2e-5 else 1)
