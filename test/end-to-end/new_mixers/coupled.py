"""Loops for sequences in both directions, tables, and states that look at themselves or at each other."""

import numpy as np

from references.common import sigmoid, silu, softplus, start


def both_directions_gated(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    F = start(carry, "F", (H, K, V))
    R = start(carry, "R", (H, K, V))
    o = np.zeros((T, H, V))
    def gate(z):
        return np.exp(-softplus(-z) / 16)[..., None]

    for t in range(T):
        F = gate(x["gf"][t]) * F + k[t][..., None] * v[t][:, None]
        o[t] += np.einsum("hi,hij->hj", q[t], F)
    for t in reversed(range(T)):
        R = gate(x["gb"][t]) * R + k[t][..., None] * v[t][:, None]
        o[t] += np.einsum("hi,hij->hj", q[t], R)
    o *= 0.5 / np.sqrt(K)
    y = o / np.sqrt((o * o).mean(-1, keepdims=True) + 1e-05) * x["scale"] * sigmoid(x["x"]) + x["x"] * sigmoid(-x["x"])
    return {"y": y}, {"F": F, "R": R}


def prefix_bidirectional(x, carry):
    T, D = x["x"].shape
    mk = x["mark"]
    h, r = start(carry, "h", (D,)), start(carry, "r", (D,))
    oh, orr = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        h = (0 if mk[t] == 1 else sigmoid(x["f"][t])) * h + x["x"][t]
        oh[t] = h
    for t in reversed(range(T)):
        nx = mk[t + 1] if t + 1 < T else 0
        r = (sigmoid(x["g"][t]) if mk[t] == 0 and nx == 0 else 0) * r + x["u"][t]
        orr[t] = r
    return {"h": oh, "r": orr}, {"h": h, "r": r}


def ema_two_ways(x, carry):
    u = x["u"]
    T, D = u.shape
    N = x["delta"].shape[1]
    h, r = start(carry, "h", (D, N)), start(carry, "r", (D, N))
    y = x["omega"] * u
    p, s = sigmoid(x["delta"]), sigmoid(x["delta2"])
    for t in range(T):
        h = (1 - p * sigmoid(x["alpha"])) * h + p * x["beta"] * u[t][:, None]
        y[t] += (x["gamma"] * h).sum(1) / np.sqrt(N)
    for t in reversed(range(T)):
        r = (1 - s * sigmoid(x["alpha2"])) * r + s * x["beta2"] * u[t][:, None]
        y[t] += (x["gamma2"] * r).sum(1) / np.sqrt(N)
    return {"y": silu(y)}, {"h": h, "r": r}


def binned_sums(x, carry):
    v = x["v"]
    T, V = v.shape
    S = start(carry, "S", (4, V))
    c = start(carry, "c", (4,))
    o = np.zeros((T, V))
    for t in range(T):
        S[x["bin"][t]] += v[t]
        c[x["bin"][t]] += 1
        a = x["ask"][t]
        o[t] = S[a] / max(1, c[a])
    return {"o": o}, {"S": S, "c": c}


def last_write_wins(x, carry):
    v = x["v"]
    T, H, V = v.shape
    S = start(carry, "S", (H, 4, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        for h in range(H):
            o[t, h] = S[h, x["id"][t, h]] + v[t, h]
            S[h, x["id"][t, h]] = v[t, h]
    return {"o": o}, {"S": S}


def gate_by_last_read(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        for h in range(H):
            a = sigmoid(x["f"][t, h] + 0.1 * (x["p"][t, h] @ S[h]).sum())
            S[h] = a * S[h] + (1 - a) * np.outer(k[t, h], v[t, h])
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def legendre_cell(x, carry):
    T, H, D = x["x"].shape
    N = x["A"].shape[0]
    hh, m = start(carry, "h", (H, D)), start(carry, "y", (H, N))
    o = np.zeros((T, H, D))
    oy = np.zeros((T, H, N))
    for t in range(T):
        for h in range(H):
            u = x["ex"][h] @ x["x"][t, h] + 0.3 * x["eh"][h] @ hh[h] + 0.3 * x["em"][h] @ m[h]
            m[h] = 0.5 * x["A"] @ m[h] + 0.2 * x["Bm"] * u
            hh[h] = np.tanh(x["x"][t, h] + x["Wh"][h] @ hh[h] + x["Wm"][h] @ m[h])
            o[t, h] = hh[h]
            oy[t, h] = m[h]
    return {"h": o, "y": oy}, {"h": hh, "y": m}


def kalman_channels(x, carry):
    T, D = x["x"].shape
    m, p = start(carry, "m", (D,)), start(carry, "p", (D,), 1.0)
    om, op = np.zeros((T, D)), np.zeros((T, D))
    a = x["a"]
    for t in range(T):
        s = a * a * p + softplus(x["lq"][t])
        g = s / (s + softplus(x["lr"][t]) + 0.1)
        p = (1 - g) * s
        m = a * m + g * (x["x"][t] - a * m)
        om[t] = m
        op[t] = p
    return {"m": om, "p": op}, {"m": m, "p": p}


def least_squares(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    P, W = start(carry, "P", (H, K, K)), start(carry, "W", (H, K, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        for h in range(H):
            kk = k[t, h]
            R = P[h] + x["p0"] + np.eye(K)
            c = R @ kk
            s = x["lam"][t, h] + kk @ kk + (kk @ c) ** 2
            P[h] = 0.5 * (R - np.outer(c, c) / s)
            W[h] = W[h] + np.outer(c, v[t, h] - kk @ W[h]) / s
            o[t, h] = q[t, h] @ W[h]
    return {"o": o}, {"P": P, "W": W}
