"""Loops for matrix memories: decays of every shape, delayed writes, corrections of odd factors, memories that read each other."""

import numpy as np

from references.common import sigmoid, silu, start, with_past


def _unit(x):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + 1e-6)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _outer(k, v):
    """Of each head."""
    return k[..., :, None] * v[..., None, :]


def _read(q, S):
    return np.einsum("hi,hij->hj", q, S)


def _shape(x, key="k"):
    return (*x[key].shape, x["v"].shape[2])


def odd_factors(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        left = 0.7 * np.tanh(x["a"][t] + x["c"][:, None])
        row = _read(_softmax(2 * x["b"][t]), S)
        S = np.exp(x["g"][t])[..., None] * S - _outer(left, row) + _outer(x["k"][t], x["v"][t])
        o[t] = _read(x["q"][t], S) + np.maximum(x["q"][t][:, :1], 0) * x["v"][t]
    return {"o": o}, {"S": S}


def delayed_writes(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    k, kw = with_past(carry, "k_window", x["k"], 4, axis=1)
    v, vw = with_past(carry, "v_window", x["v"], 3, axis=1)
    q, qw = with_past(carry, "q_window", x["q"], 1, axis=1)
    g, gw = with_past(carry, "g_window", x["g"], 1, axis=1)
    w, z = x["w"], x["z"]
    u = silu(w[..., 0] * k[3:3 + T] + w[..., 1] * k[2:2 + T] + w[..., 2] * k[:T])
    us, uw = with_past(carry, "u_window", u, 2, axis=1)
    for t in range(T):
        m = z[:, :1] * v[t + 2] + z[:, 1:2] * v[t]
        S = np.exp(g[t])[:, None, None] * S + _outer(u[t], m) + _outer(us[t], x["v"][t])
        o[t] = _read(q[t], S) / np.sqrt(K)
    return {"o": o}, {"S": S, "q_window": qw, "k_window": kw, "v_window": vw, "g_window": gw, "u_window": uw}


def forward_delta_backward_gated(x, carry):
    T, H, K, V = _shape(x)
    F, R, o = start(carry, "F", (H, K, V)), start(carry, "R", (H, K, V)), np.zeros((T, H, V))
    u = _unit(x["k"])
    for t in range(T):
        F = F + x["beta"][t][:, None, None] * _outer(u[t], x["v"][t] - _read(u[t], F))
        o[t] += _read(x["q"][t], F)
    for t in reversed(range(T)):
        o[t] += _read(x["q"][t], R)
        R = np.exp(x["g"][t])[..., None] * R + _outer(x["k"][t], x["v"][t])
    return {"o": o}, {"F": F, "R": R}


def two_stabilisers(x, carry):
    T, H, K, V = _shape(x)
    C, D, n = start(carry, "C", (H, K, V)), start(carry, "D", (H, K, V)), start(carry, "n", (H, K))
    m, p = start(carry, "m", (H,), -np.inf), start(carry, "p", (H,), -np.inf)
    o = np.zeros((T, H, V))
    for t in range(T):
        q, k, v, s = x["q"][t], x["k"][t], x["v"][t], x["s"][t]
        lf, lh = -np.logaddexp(0, -x["f"][t]), -0.5 * np.logaddexp(0, -x["h"][t])
        mn, pn = np.maximum(m + lf, s), np.maximum(p + lh, 2 * s)
        keep, write = np.exp(m + lf - mn), np.exp(s - mn)
        C = keep[:, None, None] * C + write[:, None, None] * _outer(k, v)
        D = np.exp(p + lh - pn)[:, None, None] * D + np.exp(2 * s - pn)[:, None, None] * _outer(k, v)
        n = keep[:, None] * n + write[:, None] * k
        m, p = mn, pn
        with np.errstate(over="ignore"):  # infinite where nothing has come in
            below = np.maximum(np.abs(np.sum(q * n, -1)), np.exp(-m))
        o[t] = _read(q, C - 0.3 * D) / below[:, None]
    return {"o": o}, {"m": m, "p": p, "C": C, "D": D, "n": n}


def mutual_reads(x, carry):
    T, H, K, V = _shape(x)
    S, M, o = start(carry, "S", (H, K, V)), start(carry, "M", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        q, k = x["q"][t], x["k"][t]
        r = _read(k, S)
        S = np.exp(x["g"][t])[:, None, None] * S + _outer(k, x["v"][t])
        o[t] = _read(q, M) / np.sqrt(K)
        M = np.exp(x["f"][t])[:, None, None] * M + _outer(k, (r - _read(q, S)) / np.sqrt(K))
        o[t] += _read(q, M) / np.sqrt(K)
    return {"o": o}, {"S": S, "M": M}


def rows_and_learned_columns(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        f = sigmoid(x["f"][t])
        o[t] = _read(x["bonus"] * x["q"][t], S)
        S = _outer(f, np.exp(x["A"])) * S + _outer((1 - f) * x["k"][t], x["v"][t])
        o[t] += _read(x["q"][t], S)
    return {"o": o}, {"S": S}


def constant_decays(x, carry, base, gain):
    T, H, K, V = _shape(x)
    S, n, o = start(carry, "S", (H, K, V)), start(carry, "n", (H, K), 1), np.zeros((T, H, V))
    keep = base ** (np.arange(K) + 1.0)
    for t in range(T):
        S = keep[:, None] * S + gain * _outer(x["k"][t], x["v"][t])
        n = keep * n + gain * np.abs(x["k"][t])
        o[t] = _read(x["q"][t], S) / (1 + np.sum(np.abs(x["q"][t]) * n, -1))[:, None]
    return {"o": o}, {"S": S, "n": n}


def element_decays(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        S = np.exp(x["A"]) * S + _outer(x["k"][t], x["v"][t])
        o[t] = _read(x["q"][t], S)
    return {"o": o}, {"S": S}


def narrow_keys(x, carry):
    T, H, K, V = _shape(x)
    S, o, u = start(carry, "S", (H, K, V)), np.zeros((T, H, V)), _unit(x["k"])
    for t in range(T):
        beta = x["beta"][t][:, None]
        S = np.exp(x["g"][t])[:, None, None] * (S - _outer(beta * u[t], _read(u[t], S))) + _outer(beta * u[t], x["v"][t])
        o[t] = _read(x["q"][t], S)
    return {"o": o}, {"S": S}


def hebbian_oja(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    eta = x["eta"][:, None, None]
    for t in range(T):
        y = np.tanh(x["v"][t] + _read(x["k"][t], S) / np.sqrt(K))
        S = S * (1 - eta * y[:, None] ** 2) + eta * _outer(x["k"][t], y)
        o[t] = y
    return {"y": o}, {"S": S}


def fast_and_slow(x, carry):
    T, H, K, V = _shape(x)
    F, M, o, u = start(carry, "F", (H, K, V)), start(carry, "M", (H, K, V)), np.zeros((T, H, V)), _unit(x["k"])
    for t in range(T):
        F = np.exp(x["g"][t])[:, None, None] * (F - _outer(u[t], _read(u[t], F))) + _outer(u[t], x["v"][t])
        c = 0.1 * x["c"][t][:, None, None]
        M = (1 - c) * M + c * F
        o[t] = _read(x["q"][t], F + 2 * M)
    return {"o": o}, {"F": F, "M": M}


def chosen_memories(x, carry):
    T, H, K, V = _shape(x)
    C = x["s"].shape[2]
    S, n, o = start(carry, "S", (H, C, K, V)), start(carry, "n", (H, C, K)), np.zeros((T, H, V))
    for t in range(T):
        a, p = _softmax(x["w"][t]), _softmax(x["s"][t])
        k, q = np.exp(np.minimum(x["k"][t], 4)), np.exp(np.minimum(x["q"][t], 4))
        for h in range(H):
            for c in range(C):
                S[h, c] = np.exp(x["g"][t, h, c]) * S[h, c] + a[h, c] * np.outer(k[h], x["v"][t, h])
                n[h, c] = np.exp(x["g"][t, h, c]) * n[h, c] + a[h, c] * k[h]
                o[t, h] += p[h, c] * (q[h] @ S[h, c]) / (1 + q[h] @ n[h, c])
    return {"o": o}, {"S": S, "n": n}


def grouped_keys(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[2]
    S, o, u = start(carry, "S", (H, K, V)), np.zeros((T, H, V)), _unit(x["k"])
    for t in range(T):
        for h in range(H):
            k, beta = u[t, h // 2], x["beta"][t]
            S[h] = np.exp(x["g"][t, h // 2] + x["A"][h]) * (S[h] - beta * np.outer(k, k @ S[h]))
            S[h] += beta * np.outer(k, x["v"][t, h // 2])
            o[t, h] = x["scale"] * (x["q"][t, h] @ S[h])
    return {"o": o}, {"S": S}


def tied_gates_normed(x, carry):
    T, H, K, V = _shape(x, "q")
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        a = x["low"] + (1 - x["low"]) * sigmoid(x["f"][t])
        S = a[..., None] * S + _outer(1 - a, x["v"][t])
        r = _read(x["q"][t], S)
        o[t] = r / np.sqrt(np.mean(r * r, -1, keepdims=True) + 1e-3) * x["w"] * silu(x["z"][t])
    return {"o": o}, {"S": S}


def plane_rotation(x, carry):
    T, H, K, V = _shape(x, "q")
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        for h in range(H):
            u = _unit(x["a"][t, h])
            p = x["b"][t, h] - u * (u @ x["b"][t, h])
            w = p / np.sqrt(1e-3 + p @ p)
            th = x["th"][t, h]
            R = np.eye(K) + (np.cos(th) - 1) * (np.outer(u, u) + np.outer(w, w)) + np.sin(th) * (np.outer(u, w) - np.outer(w, u))
            S[h] = np.exp(x["g"][t, h]) * (R @ S[h]) + np.outer(u, x["v"][t, h])
            o[t, h] = x["q"][t, h] @ S[h]
    return {"o": o}, {"S": S}


def averages_by_number(x, carry):
    T, H, K, V = _shape(x)
    S, h, o = start(carry, "S", (H, K, V)), start(carry, "h", (H, V)), np.zeros((T, H, V))
    first = 0 if carry is None else int(carry["position"])
    for t in range(T):
        n = first + t
        S = n / (n + 1) * S + _outer(x["k"][t], x["v"][t]) / (n + 1)
        h = (n / (n + 1)) ** 2 * h + (1 - (n / (n + 1)) ** 2) * x["v"][t]
        o[t] = h + _read(x["q"][t], S)
    return {"o": o}, {"S": S, "h": h}


def saturated_matrix(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        old = S
        S = np.tanh(sigmoid(x["f"][t])[:, None] * S + _outer(x["k"][t], x["v"][t]))
        o[t] = _read(x["q"][t], S + old) / np.sqrt(K)
    return {"o": o}, {"S": S}


def resets_by_segment(x, carry):
    T, H, K, V = _shape(x)
    S, n = start(carry, "S", (H, K, V)), start(carry, "n", (H,))
    o, ns = np.zeros((T, H, V)), np.zeros((T, H))
    last = 0 if carry is None else int(carry["seg_window"][0])
    for t in range(T):
        same = int(x["seg"][t]) == last
        last = int(x["seg"][t])
        S = same * np.exp(x["g"][t])[..., None] * S + _outer(x["k"][t], x["v"][t])
        n = same * n + 1
        o[t], ns[t] = _read(x["q"][t], S) / np.sqrt(n)[:, None], n
    return {"o": o, "n": ns}, {"S": S, "n": n, "seg_window": np.array([last], dtype=np.int64)}


def learned_corrections(x, carry):
    T, H, K, V = _shape(x)
    S, o = start(carry, "S", (H, K, V)), np.zeros((T, H, V))
    for t in range(T):
        for h in range(H):
            o[t, h] = x["q"][t, h] @ S[h]
            z = np.tanh(x["c"][t, h])[:, None] * (x["Q"][h] @ S[h])
            S[h] = 0.9 * S[h] + 0.3 * x["P"][h] @ z + np.outer(x["k"][t, h], x["v"][t, h])
    return {"o": o}, {"S": S}
