"""Attention whose weights are sums of products of features, and keys that are projected to fewer."""

import numpy as np

from .common import softmax, start


def performer(x, carry, eps=0.0001):
    """A34, exponential features, all pairs."""
    q, k, v, W = x["q"], x["k"], x["v"], x["W"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for h in range(H):
        a, b = q[:, h] * K**-0.25, k[:, h] * K**-0.25
        wa = a @ W.T - np.sum(a * a, axis=1, keepdims=True) / 2
        wb = b @ W.T - np.sum(b * b, axis=1, keepdims=True) / 2
        if T:
            fq = (np.exp(wa - wa.max(axis=1, keepdims=True)) + eps) / np.sqrt(len(W))
            fk = (np.exp(wb - wb.max()) + eps) / np.sqrt(len(W))
            o[:, h] = fq @ (fk.T @ v[:, h]) / (fq @ fk.sum(axis=0))[:, None]
    return {"o": o}, {}


def performer_relu(x, carry, eps=0.001):
    """A34 with phi = relu(W x) + 1e-3, causal, as linear attention with its normaliser."""
    v = x["v"]
    fq = np.maximum(np.einsum("ri,thi->thr", x["W"], x["q"]), 0) + eps
    fk = np.maximum(np.einsum("ri,thi->thr", x["W"], x["k"]), 0) + eps
    T, H, R = fq.shape
    S, z = start(carry, "o.state", (H, R, v.shape[2])), start(carry, "o.state.1", (H, R))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] += np.outer(fk[t, h], v[t, h])
            z[h] += fk[t, h]
            o[t, h] = fq[t, h] @ S[h] / (fq[t, h] @ z[h])
    return {"o": o}, {"o.state": S, "o.state.1": z}


def linformer(x, carry):
    """A33, E and F of their own for keys and values."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for h in range(H):
        kp, vp = x["E"][:T].T @ k[:, h], x["F"][:T].T @ v[:, h]
        for t in range(T):
            o[t, h] = softmax(kp @ q[t, h] / np.sqrt(K)) @ vp
    return {"o": o}, {}


def taylor(s):
    return 1 + s + s**2 / 2


def based_attention(x, carry):
    """Recurrences 3.6 as pairs, eps = 1e-12; what is carried are the sums of 1, k and k k^T with and without values."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    shapes = {"": (v.shape[2],), ".1": (K, v.shape[2]), ".2": (K, K, v.shape[2]), ".3": (), ".4": (K,), ".5": (K, K)}
    S = {n: start(carry, f"o.state{n}", (H,) + shape) for n, shape in shapes.items()}
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            b = q[t, h] / np.sqrt(K)
            a = taylor(k[: t + 1, h] @ b)
            above = S[""][h] + b @ S[".1"][h] + np.einsum("i,n,inj->j", b, b, S[".2"][h]) / 2
            below = S[".3"][h] + b @ S[".4"][h] + b @ S[".5"][h] @ b / 2
            o[t, h] = (a @ v[: t + 1, h] + above) / (a.sum() + below + 1e-12)
    one = np.ones((T, H))
    added = {"": np.einsum("th,thj->hj", one, v), ".1": np.einsum("thi,thj->hij", k, v),
             ".2": np.einsum("thi,thn,thj->hinj", k, k, v), ".3": one.sum(0), ".4": k.sum(0),
             ".5": np.einsum("thi,thn->hin", k, k)}
    return {"o": o}, {f"o.state{n}": S[n] + added[n] for n in shapes}


def jrt(x, carry):
    """Recurrences 12.2: a prefix with projections of its own, seen by all."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    E = min(int(x["len"]), T)
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            a = taylor(k[: t + 1, h] @ q[t, h] / np.sqrt(K))
            b = taylor(x["ke"][:E, h] @ q[t, h] / np.sqrt(K))
            o[t, h] = (a @ v[: t + 1, h] + b @ x["ve"][:E, h]) / (a.sum() + b.sum() + 1e-12)
    return {"o": o}, {}
