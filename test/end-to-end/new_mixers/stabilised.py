"""Loops for states that carry a maximum, a minimum or a logarithm, in other shapes than the examples."""

import numpy as np

from references.common import sigmoid, softplus, start


def _softmax(a):
    e = np.exp(a - np.max(a, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def stabilised_rows(x, carry):
    s, v, g = x["s"], x["v"], x["g"]
    T, H, M = s.shape
    V = v.shape[2]
    m = start(carry, "m", (H, M), -np.inf)
    z = start(carry, "z", (H, M))
    S = start(carry, "S", (H, M, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        n = np.maximum(m + g[t], s[t])
        a = np.exp(m + g[t] - n)
        b = np.exp(s[t] - n)
        m = n
        z = a * z + b
        S = a[..., None] * S + b[..., None] * v[t][:, None]
        o[t] = np.einsum("hi,hij,hi->hj", x["r"], S, 1 / z)
    return {"o": o}, {"m": m, "z": z, "S": S}


def stabilised_columns(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    m = start(carry, "m", (H, V))
    S = start(carry, "S", (H, K, V))
    c = start(carry, "c", (H, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        l = -softplus(-x["fg"][t])
        n = np.maximum(l + m, x["ig"][t])
        F = np.exp(l + m - n)
        I = np.exp(x["ig"][t] - n)
        m = n
        S = F[:, None] * S + k[t][..., None] * (I * v[t])[:, None]
        c = F * c + I
        o[t] = np.einsum("hi,hij->hj", q[t], S) / np.maximum(c, np.exp(-m))
    return {"o": o}, {"m": m, "S": S, "c": c}


def prefix_attention_latents(x, carry):
    k, v, q = x["k"], x["v"], x["q"]
    T, H, K = k.shape
    V = v.shape[2]
    R = q.shape[1]
    m = start(carry, "m", (H, R), -np.inf)
    u = start(carry, "u", (H, R))
    w = start(carry, "w", (H, R, V))
    o = np.zeros((T, H, R, V))
    for t in range(T):
        s = np.einsum("hri,hi->hr", q, k[t]) / np.sqrt(K)
        n = np.maximum(m, s)
        a = np.exp(m - n)
        b = np.exp(s - n)
        m = n
        u = a * u + b
        w = a[..., None] * w + b[..., None] * v[t][:, None]
        o[t] = w / u[..., None]
    return {"o": o}, {"m": m, "u": u, "w": w}


def decayed_average_bonus(x, carry):
    k, v = x["k"], x["v"]
    T, D = k.shape
    p, q, m = start(carry, "p", (D,)), start(carry, "q", (D,)), start(carry, "m", (D,), -np.inf)
    o = np.zeros((T, D))
    for t in range(T):
        a = np.maximum(m, x["bonus"] + k[t])
        e = np.exp(m - a)
        f = np.exp(x["bonus"] + k[t] - a)
        o[t] = sigmoid(x["r"][t]) * (e * p + f * v[t]) / (e * q + f)
        n = np.maximum(x["w"][t] + m, k[t])
        e = np.exp(x["w"][t] + m - n)
        f = np.exp(k[t] - n)
        p, q, m = e * p + f * v[t], e * q + f, n
    return {"o": o}, {"p": p, "q": q, "m": m}


def slot_averages(x, carry):
    q, k, v, s = x["q"], x["k"], x["v"], x["s"]
    T, H, K = q.shape
    V, M = v.shape[2], s.shape[2]
    z, Ks, Vs = start(carry, "z", (H, M), -np.inf), start(carry, "Ks", (H, K, M)), start(carry, "Vs", (H, M, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        n = np.logaddexp(z, s[t])
        a = np.exp(z - n)
        w = np.exp(s[t] - n)
        z = n
        Ks = Ks * a[:, None] + k[t][..., None] * w[:, None]
        p = _softmax(np.einsum("hi,him->hm", q[t], Ks) / np.sqrt(K))
        Vs = Vs * a[..., None] + w[..., None] * v[t][:, None]
        o[t] = np.einsum("hm,hmj->hj", p, Vs)
    return {"o": o}, {"z": z, "Ks": Ks, "Vs": Vs}


def extremes(x, carry):
    T, D = x["x"].shape
    hi, lo = start(carry, "hi", (D,), -np.inf), start(carry, "lo", (D,), np.inf)
    y, oh, ol = np.zeros((T, D)), np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        hi = np.maximum(hi - x["a"][t], x["x"][t])
        lo = np.minimum(lo + x["a"][t], x["x"][t])
        y[t] = (x["x"][t] - lo) / (1 + hi - lo)
        oh[t] = hi
        ol[t] = lo
    return {"y": y, "hi": oh, "lo": ol}, {"hi": hi, "lo": lo}
