"""Loops for low-rank corrections of several kinds."""

import numpy as np

from references.common import sigmoid, softplus, start, with_past


def _unit(x):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + 1e-6)


def delta_columns_three(x, carry):
    T, H, K, V = *x["q"].shape[:2], x["v"].shape[3], x["q"].shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, K))
    u = _unit(x["k"])
    for t in range(T):
        for h in range(H):
            S[h] = S[h] * np.exp(x["g"][t, h])
            for c in range(3):
                S[h] += x["beta"][t, h, c] * np.outer(x["v"][t, h, c] - S[h] @ u[t, h, c], u[t, h, c])
            o[t, h] = S[h] @ x["q"][t, h]
    return {"o": o}, {"S": S}


def decay_between_factors(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[3]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    u = _unit(x["k"])
    for t in range(T):
        for h in range(H):
            S[h] *= np.exp(x["g"][t, h])
            S[h] += x["beta"][t, h, 0] * np.outer(u[t, h, 0], x["v"][t, h, 0] - u[t, h, 0] @ S[h])
            S[h] *= np.exp(x["h"][t, h])[:, None]
            S[h] += x["beta"][t, h, 1] * np.outer(u[t, h, 1], x["v"][t, h, 1] - u[t, h, 1] @ S[h])
            o[t, h] = x["q"][t, h] @ S[h] / np.sqrt(K)
    return {"o": o}, {"S": S}


def rank_two_bonus_reads(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    def un(z):
        return z / max(np.sqrt(np.sum(z * z)), 0.001)

    for t in range(T):
        for h in range(H):
            d = np.exp(-softplus(x["f"][t, h]))
            a = 0.4 * un(np.tanh(x["a"][t, h]))
            b = un(x["b"][t, h] * d)
            k, v = x["k"][t, h], x["v"][t, h]
            o[t, h] = x["q"][t, h] @ (S[h] + np.outer(x["u"][h] * k, v))
            S[h] = (np.diag(d) - np.outer(a, b) + 0.3 * np.outer(b, a * d)) @ S[h] + np.outer(k, v)
            o[t, h] += x["w"][h] * (x["p"][t, h] @ S[h])
    return {"o": o}, {"S": S}


def delta_both_decays(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    u = _unit(x["k"])
    for t in range(T):
        for h in range(H):
            S[h] *= np.exp(x["g"][t, h])[:, None] * np.exp(x["h"][t, h])
            S[h] += x["beta"][t, h] * np.outer(u[t, h], x["v"][t, h] - u[t, h] @ S[h])
            o[t, h] = x["q"][t, h] @ S[h]
    return {"o": o}, {"S": S}


def two_sided_delta(x, carry):
    T, H, K = x["q"].shape
    V = x["v"].shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    a = _unit(x["k"])
    b = _unit(x["p"])
    for t in range(T):
        for h in range(H):
            L = (np.eye(K) - x["beta"][t, h] * np.outer(a[t, h], a[t, h])) * x["g"][t, h]
            R = np.eye(V) - x["gamma"][t, h] * np.outer(b[t, h], b[t, h])
            S[h] = L @ S[h] @ R + np.outer(a[t, h], x["v"][t, h])
            o[t, h] = x["q"][t, h] @ S[h]
    return {"o": o}, {"S": S}


def channel_erase_write(x, carry):
    v = x["v"]
    T, H, V = v.shape
    K = x["q"].shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    u = _unit(x["k"])
    for t in range(T):
        for h in range(H):
            k = u[t, h // 4]
            S[h] *= np.exp(x["g"][t, h])[:, None]
            S[h] += np.outer(k, sigmoid(x["w"][t, h]) * v[t, h] - sigmoid(x["b"][t, h]) * k @ S[h])
            o[t, h] = x["q"][t, h // 4] @ S[h] / np.sqrt(K)
    return {"o": o}, {"S": S}


def segment_resets(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S, c = start(carry, "S", (H, K, V)), start(carry, "c", (H,))
    o, oc = np.zeros((T, H, V)), np.zeros((T, H))
    u = _unit(k)
    prev = 0 if carry is None else int(carry["done_window"][0])
    for t in range(T):
        d, p = bool(x["done"][t]), bool(x["pad"][t])
        for h in range(H):
            if d and (not p):
                S[h] = 0
                c[h] = 0
            if not p:
                c[h] += 1
            if not (p or prev):
                S[h] += x["beta"][t, h] * np.outer(u[t, h], v[t, h] - u[t, h] @ S[h])
            o[t, h] = q[t, h] @ S[h] / np.sqrt(c[h] + 1)
            oc[t, h] = c[h]
        prev = int(d)
    return {"o": o, "c": oc}, {"S": S, "c": c, "done_window": np.array([prev], dtype=np.int64)}


def windowed_least_mean(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    C = x["gam"].shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    ur, uw = with_past(carry, "u_window", _unit(k), C - 1, axis=1)
    vr, vw = with_past(carry, "v_window", v, C - 1, axis=1)
    for t in range(T):
        for h in range(H):
            G = np.zeros((K, V))
            for c in range(C):
                uu = ur[t + C - 1 - c, h]
                G += x["gam"][t, h, c] * np.outer(uu, uu @ S[h] - vr[t + C - 1 - c, h])
            S[h] = x["a"][t, h] * S[h] - 0.5 * x["eta"][t, h] * G
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S, "u_window": uw, "v_window": vw}


def vector_delta(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    s = start(carry, "s", (H, K))
    o, os = np.zeros((T, H)), np.zeros((T, H, K))
    u = _unit(k)
    for t in range(T):
        for h in range(H):
            s[h] = np.exp(x["g"][t, h]) * s[h]
            s[h] = s[h] + u[t, h] * (v[t, h] - u[t, h] @ s[h])
            o[t, h] = q[t, h] @ s[h]
            os[t, h] = s[h]
    return {"o": o, "s": os}, {"s": s}
