"""Loops for states whose elements are read one by one: weights for each, and sums over columns."""

import numpy as np

from references.common import start


def element_weights(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[2]
    S = start(carry, "S", (H, K, V))
    o, y, r = np.zeros((T, H, V)), np.zeros((T, H, V)), np.zeros((T, H, K))
    for t in range(T):
        for h in range(H):
            y[t, h] = (np.exp(-np.abs(x["e"][t, h])) * S[h]).sum(0)
            o[t, h] = x["q"][t, h] @ S[h]
            u = x["k"][t, h] / np.sqrt(1e-6 + (x["k"][t, h] ** 2).sum())
            S[h] *= x["f"][t, h][:, None]
            S[h] += x["beta"][t, h] * np.outer(u, x["v"][t, h] - u @ S[h])
            o[t, h] += (x["w"].T * S[h]).sum(0)
            r[t, h] = 2 * S[h] @ x["p"][t, h]
    return {"o": o, "y": y, "r": r}, {"S": S}


def both_sides_reversed(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[2]
    S, M = start(carry, "S", (H, K, V)), start(carry, "M", (H, K, V))
    o, r = np.zeros((T, H, V)), np.zeros((T, H, K))
    for t in reversed(range(T)):
        d = np.exp(x["d"][t])
        S = np.exp(x["g"][t])[..., None] * d * S + x["k"][t][..., None] * x["v"][t][:, None]
        M = x["m"][t][:, None, None] * d * M + S
        o[t] = np.einsum("hi,hij->hj", x["q"][t], M)
        r[t] = (M - S) @ x["p"][t]
    return {"o": o, "r": r}, {"S": S, "M": M}
