"""Loops for scores and weights that are sums of functions of a sum of both positions' features."""

import numpy as np

from references.common import all_rows, position, softmax


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def additive_window(x, carry, N=75):
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1, ring=N)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1, ring=N)
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        last = position(carry) + t
        near = slice(max(0, last - N + 1), last + 1)
        for h in range(o.shape[1]):
            scores = np.tanh(x["q"][t, h] - k[near, h] + 0.125) @ x["u"]
            o[t, h] = softmax(scores) @ v[near, h]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def additive_weights(x, carry):
    a, b, v, r = x["a"], x["b"], x["v"], x["r"]
    o, y = np.zeros(v.shape), np.zeros((len(v), v.shape[2]))
    for t in range(len(v)):
        past = slice(0, t + 1)
        for h in range(v.shape[1]):
            both = a[t, h] + b[past, h]
            w = (_sigmoid(a[t, h] - b[past, h]) + 0.25 * both * _sigmoid(both)) @ r[h]
            o[t, h] = w @ v[past, h]
        y[t] = (_sigmoid(x["e"][t] - x["c"][past]) @ x["z"] * r[0].sum()) @ v[past, 1]
    return {"o": o, "x": y}, {f"{n}_rows": all_rows(None, f"{n}_rows", x[n], 0)[1] for n in ("b", "c", "v")}
