"""Loops for sums whose weights depend on the distance."""

import numpy as np

from references.common import all_rows, position


def few_features_past(x, carry):
    u, rows = all_rows(carry, "x_rows", x["x"])
    v, v_rows = all_rows(carry, "v_rows", x["v"])
    first, (T, D) = position(carry), x["x"].shape
    f, g = x["f"], x["g"]
    y, z, w = np.zeros((T, D)), np.zeros((T, D)), np.zeros(T)
    for t in range(T):
        for lag in range(first + t + 1):
            s = first + t - lag
            y[t] += f[lag] * u[s]
            w[t] += g[lag] * v[s]
            if 0 < lag < 100:
                z[t] += g[lag] * u[s]
    return {"y": y, "z": z, "w": w}, {"x_rows": rows, "v_rows": v_rows}


def few_features_around(x, carry):
    u = x["x"]
    c, f, r = x["c"], x["f"], x["r"]
    T = len(u)
    y, z, w = np.zeros(u.shape), np.zeros(u.shape), np.zeros(u.shape)
    for t in range(T):
        for s in range(T):
            y[t] += c[(t - s) % T] * u[s]
            z[t] += (f[t - s] if s <= t else r[s - t]) * u[s]
            if s >= t:
                w[t] += f[s - t] * u[s]
    return {"y": y, "z": z, "w": w}, {}
