"""Loops for equations over other run-time lengths, over all positions, over blocks, and for every pair."""

import numpy as np

from references.common import all_rows, kept_rows, sigmoid


def _softmax(a):
    if a.size == 0 or not np.isfinite(a.max()):
        return np.zeros_like(a)
    e = np.exp(a - a.max())
    return e / e.sum()


def two_lengths(x, carry):
    q, k, v, m, w, tag = x["q"], x["k"], x["v"], x["m"], x["w"], x["tag"]
    T, H, K = q.shape
    U = len(m)
    kn = k / np.sqrt((k * k).sum(-1, keepdims=True) + 1e-6)
    past = np.concatenate([np.zeros((1, K)), m, np.zeros((1, K))])
    mx = m + 0.5 * (past[:-2] - past[2:])
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        for h in range(H):
            o[t, h] = _softmax(kn[:, h] @ q[t, h]) @ v[:, h]
            for u in range(U):
                if tag[u] != 1:
                    o[t, h] += sigmoid(mx[u] @ q[t, h] / np.sqrt(K) - U / 64) * w[u]
    return {"o": o}, {}


def pooled_gates(x, carry):
    X, w, Q = x["x"], x["w"], x["Q"]
    T, H, K = X.shape
    R = len(Q)
    o, c, mass = np.zeros(X.shape), np.zeros((H, R, K)), np.zeros(H)
    for h in range(H):
        a = _softmax(w[:, h] + (X[:, h] ** 2).sum(1) / K)
        g = a @ X[:, h]
        for r in range(R):
            c[h, r] = _softmax(X[:, h] @ Q[r] / np.sqrt(K)) @ X[:, h]
        top = X[:, h].max(0, initial=-np.inf)
        low = (X[:, h] * w[:, h, None]).min(0, initial=np.inf)
        mass[h] = np.exp(-w[:, h] ** 2).sum()
        cov = X[:, h].T @ X[:, h]
        for t in range(T):
            o[t, h] = X[t, h] * g + (top - low) / (1 + T) + (Q * c[h]).sum(0) + np.tanh(cov @ X[t, h] / (1 + mass[h]))
    return {"o": o, "c": c, "mass": mass}, {}


def block_keys(x, carry, M=8, W=3):
    q, k, v, e = x["q"], x["k"], x["v"], x["e"]
    T, H, K = q.shape
    N = T // M
    kb = np.stack([k[c * M:(c + 1) * M].mean(0) for c in range(N)]) if N else np.zeros((0, H, K))
    vb = np.stack([v[c * M:(c + 1) * M].max(0) for c in range(N)]) if N else np.zeros((0, H, v.shape[2]))
    n = np.array([(e[c * M:(c + 1) * M] == 1).sum(0) for c in range(N)], dtype=np.float64).reshape(N, H)
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        first = max(0, t // M - W)
        for h in range(H):
            p = _softmax(kb[first:t // M, h] @ q[t, h] / np.sqrt(K) - 0.1 * n[first:t // M, h])
            o[t, h] = v[M * (t // M), h] + p @ vb[first:t // M, h]
    return {"o": o, "kb": kb, "n": n}, {}


def pair_maps(x, carry):
    q, k, m, v, allowed = x["q"], x["k"], x["m"], x["v"], x["allowed"]
    T, H, K = q.shape
    p, a = np.zeros((T, T, H)), np.zeros((T, len(m), H))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            p[t, :t + 1, h] = _softmax(k[:t + 1, h] @ q[t, h] / np.sqrt(K))
            o[t, h] = p[t, :, h] @ v[:, h]
            a[t, :, h] = np.where(allowed[t], np.tanh(m[:, h] @ q[t, h] / np.sqrt(K)), 0)
    return {"p": p, "a": a, "o": o}, {}


def gathered_rows(x, carry):
    q, k, m, idx, at = x["q"], x["k"], x["m"], x["idx"], x["at"]
    T, H, K = q.shape
    U = len(m)
    o = np.zeros(q.shape)
    for t in range(T):
        rows = np.clip(idx[t], 0, T - 1)
        for h in range(H):
            a = _softmax(np.tanh(k[rows, h]) @ q[t, h] / np.sqrt(K))
            o[t, h] = a @ k[rows, h] + m[np.clip(at[t], 0, U - 1), h] + k[np.clip(at[t] // 2, 0, T - 1), h]
    return {"o": o}, {}


def _largest(scores, n):
    """Places of the n largest, the first of equal ones first."""
    return np.sort(np.argsort(-scores, kind="stable")[:n])


def selected_tokens(x, carry, n=5):
    q, k, v, a, b = x["q"], x["k"], x["v"], x["a"], x["b"]
    T, H, K = q.shape
    o, m = np.zeros(v.shape), np.zeros(T)
    for t in range(T):
        near = _largest(np.maximum(a[t] * b[:t + 1], 0).sum(1), n)
        m[t] = (t - near < 4).sum()
        for h in range(H):
            o[t, h] = _softmax(k[near, h] @ q[t, h] / np.sqrt(K)) @ v[near, h]
    return {"o": o, "m": m}, dict(kept_rows(x, "k", "v"), b_rows=all_rows(None, "b_rows", b)[1])


def selected_blocks(x, carry, M=8, n=2):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            means = np.array([k[c * M:(c + 1) * M, h].mean(0) for c in range(t // M)]).reshape(-1, K)
            rows = np.concatenate([np.arange(c * M, (c + 1) * M) for c in _largest(means @ q[t, h], n)] + [[]]).astype(int)
            o[t, h] = _softmax(k[rows, h] @ q[t, h] / np.sqrt(K)) @ v[rows, h]
    return {"o": o}, kept_rows(x, "k", "v")
