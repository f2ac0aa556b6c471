"""Loops for normalisers, running moments, and reads of other kinds."""

import numpy as np

from references.common import sigmoid, silu, softplus, start, with_past


def running_normaliser(x, carry, sums=("s", "s2")):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S = start(carry, "S", (H, K, V))
    o, mu = np.zeros((T, H, V)), np.zeros((T, H, K))
    s, s2 = start(carry, sums[0], (H, K)), start(carry, sums[1], (H, K))
    t0 = 0 if carry is None else int(carry["position"])
    for t in range(T):
        s = s + k[t]
        s2 = s2 + k[t] ** 2
        n = t0 + t + 1
        mu[t] = s / n
        kn = (k[t] - mu[t]) / np.sqrt(np.maximum(s2 / n - mu[t] ** 2, 0) + 0.1)
        S = (1 - 1 / (n + 1)) * S + kn[..., None] * v[t][:, None] / (n + 1)
        o[t] = np.einsum("hi,hij->hj", q[t], S)
    return {"o": o, "mu": mu}, {"S": S, sums[0]: s, sums[1]: s2}


def many_normalisers(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S, z = start(carry, "S", (H, K, V)), start(carry, "z", (H, K))
    y, c = start(carry, "y", (H, V)), start(carry, "c", (H,))
    o = np.zeros((T, H, V))
    for t in range(T):
        a = np.exp(x["g"][t])
        e = np.exp(k[t])
        S = a[:, None, None] * S + e[..., None] * v[t][:, None]
        z = a[:, None] * z + e
        y = a[:, None] * y + v[t] ** 2
        c = a * c + 1
        norm = np.einsum("hi,hi->h", np.exp(q[t]), z)[:, None] * np.sqrt(y / c[:, None] + 0.001)
        o[t] = np.einsum("hi,hij->hj", np.exp(q[t]), S) / norm
    return {"o": o}, {"S": S, "z": z, "y": y, "c": c}


def read_both_sides(x, carry):
    q, k, v, p = x["q"], x["k"], x["v"], x["p"]
    T, H, K = q.shape
    V = v.shape[2]
    S = start(carry, "S", (H, K, V))
    o, r, b = np.zeros((T, H, V)), np.zeros((T, H, K)), np.zeros((T, H))
    for t in range(T):
        S = np.exp(x["g"][t])[:, None, None] * S + k[t][..., None] * v[t][:, None]
        o[t] = np.einsum("hi,hij->hj", q[t], S)
        r[t] = np.einsum("hij,hj->hi", S, p[t])
        b[t] = np.einsum("hi,hij,hj->h", q[t], S, p[t])
    return {"o": o, "r": r, "b": b}, {"S": S}


def state_as_output(x, carry):
    k, v = x["k"], x["v"]
    T, H, K = k.shape
    S = start(carry, "S", (H, K, K))
    o, tr = np.zeros((T, H, K, K)), np.zeros((T, H))
    for t in range(T):
        S = np.exp(x["g"][t])[..., None] * S + k[t][..., None] * v[t][:, None]
        o[t] = S
        tr[t] = np.einsum("hii->h", S)
    return {"S": o, "tr": tr}, {"S": S}


def mixed_storage(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        kv = k[t][..., None] * v[t][:, None]
        o[t] = np.einsum("hi,hij->hj", q[t], S + x["u"][..., None] * kv)
        S = np.exp(x["g"][t])[:, None, None] * S + kv
    return {"o": o, "r": (o * o).sum(-1)}, {"S": S}


def projected_read(x, carry):
    v = x["v"]
    T, H, V = v.shape
    K = x["Wk"].shape[1]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, x["Wo"].shape[1]))
    for t in range(T):
        for h in range(H):
            k = silu(x["Wk"][h] @ x["x"][t, h])
            q = softplus(x["Wq"][h] @ x["x"][t, h])
            S[h] = np.exp(x["g"][t, h])[:, None] * S[h] + np.outer(k, v[t, h])
            r = q @ S[h]
            n = (r - r.mean()) / np.sqrt(r.var() + 0.0001)
            o[t, h] = x["b"] + x["Wo"][h] @ n
    return {"o": o}, {"S": S}


def lagged_reads(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    r = np.zeros((T, H, V))
    s = np.zeros((T, H, V))
    for t in range(T):
        s[t] = np.einsum("hi,hij->hj", x["p"][t], S)
        S = np.exp(x["g"][t])[:, None, None] * S + k[t][..., None] * v[t][:, None]
        r[t] = np.einsum("hi,hij->hj", q[t], S)
    rr, rw = with_past(carry, "r_window", r, 2, axis=1)
    sr, sw = with_past(carry, "s_window", s, 1, axis=1)
    o = r * s + rr[:T] - sr[:T]
    return {"o": o}, {"S": S, "r_window": rw, "s_window": sw}


def stacked_convolutions(x, carry):
    T, D = x["x"].shape
    W, U = x["c"].shape[1], x["e"].shape[1]
    h = start(carry, "h", (D,))
    y = np.zeros((T, D))
    rows, xw = with_past(carry, "x_window", x["x"], W - 1)
    a = np.zeros((T, D))
    for t in range(T):
        a[t] = silu(sum((x["c"][:, w] * rows[t + W - 1 - w] for w in range(W))))
    arows, aw = with_past(carry, "a_window", a, 2 * (U - 1))
    b = np.zeros((T, D))
    for t in range(T):
        b[t] = np.tanh(sum(x["e"][:, u] * arows[t + 2 * (U - 1 - u)] for u in range(U)))
    brows, bw = with_past(carry, "b_window", b, 3)
    for t in range(T):
        h = sigmoid(x["f"][t] + arows[t + 2 * (U - 1) - 1]) * h + b[t]
        y[t] = h - 0.5 * brows[t]
    return {"y": y}, {"h": h, "x_window": xw, "a_window": aw, "b_window": bw}
