"""Loops for nonlinear recurrences."""

import math

import numpy as np

from references.common import sigmoid, start

_erf = np.vectorize(math.erf, otypes=[np.float64])


def diagonal_nonlinear(x, carry):
    u, f = x["x"], x["f"]
    T, D = u.shape
    h = start(carry, "h", (D,))
    y = np.zeros((T, D))
    for t in range(T):
        gate = sigmoid(f[t] + x["b"] * h)
        h = (1 - gate) * h + gate * np.tanh(x["a"] * h + u[t])
        y[t] = 0.5 * h * (1 + _erf(h / np.sqrt(2)))
    return {"y": y}, {"h": h}


def dense_two_states(x, carry):
    T, H, D = x["x"].shape
    M = x["z"].shape[2]
    a, b = start(carry, "a", (H, D)), start(carry, "b", (H, M))
    y = np.zeros((T, H, D))
    for t in range(T):
        for h in range(H):
            a[h] = np.tanh(x["x"][t, h] + x["Waa"][h] @ a[h] + x["Wab"][h] @ b[h])
            b[h] = sigmoid(x["z"][t, h] + x["Wba"][h] @ a[h] + x["Wbb"][h] @ b[h])
            y[t, h] = a[h] * np.mean(b[h])
    return {"y": y}, {"a": a, "b": b}


def reset_before_product(x, carry):
    T, H, D = x["xr"].shape
    y = start(carry, "h", (H, D))
    o = np.zeros((T, H, D))
    for t in range(T):
        for h in range(H):
            r = sigmoid(x["xr"][t, h] + x["Rr"][h] @ y[h])
            z = sigmoid(x["xz"][t, h] + x["Rz"][h] @ y[h])
            y[h] = z * y[h] + (1 - z) * np.tanh(x["xn"][t, h] + x["Rn"][h] @ (r * y[h]))
            o[t, h] = y[h]
    return {"h": o}, {"h": y}


def peephole_lstm(x, carry):
    T, D = x["xi"].shape
    h, c = start(carry, "h", (D,)), start(carry, "c", (D,))
    hs, cs = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        i = sigmoid(x["xi"][t] + x["Ri"] @ h + x["pi"] * c)
        f = sigmoid(x["xf"][t] + x["Rf"] @ h + x["pf"] * c)
        c = f * c + i * np.tanh(x["xz"][t] + x["Rz"] @ h)
        h = sigmoid(x["xo"][t] + x["Ro"] @ h + x["po"] * c) * np.tanh(c)
        hs[t], cs[t] = h, c
    return {"h": hs, "c": cs}, {"h": h, "c": c}


def matrix_nonlinear(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] = np.tanh(np.exp(x["g"][t, h]) * S[h] + np.outer(k[t, h], v[t, h]))
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def mixed_functions(x, carry):
    u, f = x["x"], x["f"]
    T, D = u.shape
    h = start(carry, "h", (D,), 1.0)
    y = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            a, b = float(u[t, d]), float(f[t, d])
            forget = float(sigmoid(b)) * (0.5 + abs(math.sin(a)) / 2)
            c = math.copysign(1.0, a) * (a != 0) * math.log1p(abs(a)) + 0.5 * math.erf(a)
            c -= max(-a, 0.0) ** 2 / (1 + a * a)
            h[d] = forget * h[d] + c * (2.0 ** -abs(a) + math.expm1(-abs(b)) + math.floor(a) % 3)
            plain = (a > 0 and not b > 1) or a < -1
            y[t, d] = min(h[d], 2.0) if plain else math.sqrt(abs(h[d]))
    return {"y": y}, {"h": h}
