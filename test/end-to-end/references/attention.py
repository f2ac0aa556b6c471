"""Attention: softmax and pointwise weights over pairs of positions.

Every query at position n looks at the rows of keys and values that its mask allows; nothing is computed for the others.
"""

import numpy as np

from .common import all_rows, logsumexp, position, sigmoid, silu, softmax


def causal_attention(x, carry):
    """Attention and matrices A1, causal."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = q.shape
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        for h in range(H):
            o[t, h] = softmax(k[: n + 1, h] @ q[t, h] / np.sqrt(K)) @ v[: n + 1, h]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def full_attention(x, carry):
    """A1, full, with padded keys."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    valid = min(int(x["len"]), T)
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            o[t, h] = softmax(k[:valid, h] @ q[t, h] / np.sqrt(K)) @ v[:valid, h]
    return {"o": o}, {}


def cross_attention(x, carry):
    """A1, cross: the keys are the first `len` of another sequence."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    valid = min(int(x["len"]), len(k))
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        for h in range(H):
            o[t, h] = softmax(k[:valid, h] @ q[t, h] / np.sqrt(K)) @ v[:valid, h]
    return {"o": o}, {}


def grouped_query_attention(x, carry):
    """A2, G = H / 4."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = q.shape
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        n = position(carry) + t
        for h in range(H):
            o[t, h] = softmax(k[: n + 1, h // 4] @ q[t, h] / np.sqrt(K)) @ v[: n + 1, h // 4]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def sliding_window_attention(x, carry, W=4096):
    """A4 with W tokens counting the own one, G = H / 4."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1, ring=W)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1, ring=W)
    T, H, K = q.shape
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        n = position(carry) + t
        seen = slice(max(0, n - W + 1), n + 1)
        for h in range(H):
            o[t, h] = softmax(k[seen, h // 4] @ q[t, h] / np.sqrt(K)) @ v[seen, h // 4]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def alibi(x, carry):
    """A6: -a_h times the distance."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = q.shape
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        distance = n - np.arange(n + 1)
        for h in range(H):
            a = k[: n + 1, h] @ q[t, h] / np.sqrt(K) - x["slope"][h] * distance
            o[t, h] = softmax(a) @ v[: n + 1, h]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def attention_sinks(x, carry, W=128):
    """A10 (a), with the null logit in the softmax and its column dropped; A4's window, G = H / 2."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1, ring=W)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1, ring=W)
    T, H, K = q.shape
    o, l = np.zeros((T, H, v.shape[2])), np.zeros((T, H))
    for t in range(T):
        n = position(carry) + t
        seen = slice(max(0, n - W + 1), n + 1)
        for h in range(H):
            a = k[seen, h // 2] @ q[t, h] / np.sqrt(K)
            o[t, h] = softmax(np.append(a, x["z"][h]))[:-1] @ v[seen, h // 2]
            l[t, h] = logsumexp(a)
    return {"o": o, "l": l}, {"k_rows": k_rows, "v_rows": v_rows}


def softcap_attention(x, carry, cap=50):
    """A9, G = H / 2."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = q.shape
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        n = position(carry) + t
        for h in range(H):
            a = cap * np.tanh(k[: n + 1, h // 2] @ q[t, h] / np.sqrt(K) / cap)
            o[t, h] = softmax(a) @ v[: n + 1, h // 2]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def turned(x, first, theta):
    """A8, half-split: pairs [T, heads, 2, M] turned as complex numbers by their position's angle; the parts."""
    angle = (first + np.arange(len(x)))[:, None, None] * theta
    z = (x[:, :, 0] + 1j * x[:, :, 1]) * np.exp(1j * angle)
    return z.real, z.imag


def rope(x, carry, theta, scale=1.0):
    """A8 with frequencies `theta`, causal, G = H / 2. What is kept are turned keys."""
    qa, qb = turned(x["q"], position(carry), theta)
    ka, kb = turned(x["k"], position(carry), theta)
    ka, ka_rows = all_rows(carry, "ka_rows", ka, 1)
    kb, kb_rows = all_rows(carry, "kb_rows", kb, 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, M = qa.shape
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        n = position(carry) + t
        for h in range(H):
            a = ka[: n + 1, h // 2] @ qa[t, h] + kb[: n + 1, h // 2] @ qb[t, h]
            o[t, h] = softmax(scale * a / np.sqrt(2 * M)) @ v[: n + 1, h // 2]
    return {"o": o}, {"ka_rows": ka_rows, "kb_rows": kb_rows, "v_rows": v_rows}


def rope_attention(x, carry):
    """A8: theta_m = base^(-2m/d)."""
    M = x["q"].shape[3]
    return rope(x, carry, 10000.0 ** (-2 * np.arange(M) / (2 * M)))


def hstu(x, carry, longest=2048):
    """A17, research form of the weights: no factor d^-1/2, one over the longest length."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    time, time_rows = all_rows(carry, "time_rows", x["time"])
    T, H, _ = q.shape
    R, W = len(x["bp"]), len(x["bt"])
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        lag = n - np.arange(n + 1)
        bias = np.where(lag < R, x["bp"][np.minimum(lag, R - 1)], 0)
        gap = np.maximum(np.abs(x["next"][t] - time[: n + 1]), 1)
        bias = bias + x["bt"][np.minimum(np.floor(np.log(gap) / 0.301).astype(int), W - 1)]
        for h in range(H):
            o[t, h] = silu(k[: n + 1, h] @ q[t, h] + bias) / longest @ v[: n + 1, h]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows, "time_rows": time_rows}
