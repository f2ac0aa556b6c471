"""Delta rules: a decay and a low-rank removal a token."""

import numpy as np

from .common import sigmoid, start


def deltanet(x, carry):
    """Recurrences 5.1: q and k l2-normalised with 1e-6, scale K^-0.5."""
    T, H, K = x["q"].shape
    v, beta = x["v"], x["beta"]
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            q = x["q"][t, h] / np.sqrt(np.sum(x["q"][t, h] ** 2) + 1e-6)
            k = x["k"][t, h] / np.sqrt(np.sum(x["k"][t, h] ** 2) + 1e-6)
            e = v[t, h] - k @ S[h]
            S[h] += np.outer(k, beta[t, h] * e)
            o[t, h] = K**-0.5 * (q @ S[h])
    return {"o": o}, {"S": S}


def deltanet_negative(x, carry):
    """Recurrences 5.2 on 5.1: beta = 2 sigma(b); the transition is formed as a matrix."""
    T, H, K = x["q"].shape
    v = x["v"]
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            kk, qq = x["k"][t, h], x["q"][t, h]
            k = kk * (kk @ kk + 1e-6) ** -0.5
            q = qq * (qq @ qq + 1e-6) ** -0.5
            beta = 2 * sigmoid(x["b"][t, h])
            S[h] = (np.eye(K) - beta * np.outer(k, k)) @ S[h] + beta * np.outer(k, v[t, h])
            o[t, h] = q @ S[h] / np.sqrt(K)
    return {"o": o}, {"S": S}


def gated_deltanet(x, carry):
    """Recurrences 5.3, the op: decay first, then the delta rule."""
    T, H, K = x["q"].shape
    v, g, beta = x["v"], x["g"], x["beta"]
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            k = x["k"][t, h] / np.sqrt(1e-6 + np.dot(x["k"][t, h], x["k"][t, h]))
            q = x["q"][t, h] / np.sqrt(1e-6 + np.dot(x["q"][t, h], x["q"][t, h]))
            S[h] = np.exp(g[t, h]) * S[h]
            e = v[t, h] - S[h].T @ k
            S[h] = S[h] + k[:, None] * (beta[t, h] * e)[None, :]
            o[t, h] = K**-0.5 * (S[h].T @ q)
    return {"o": o}, {"S": S}


def kda(x, carry):
    """Recurrences 5.4, the op: per-channel decay first, then the delta rule."""
    T, H, K = x["q"].shape
    v, g, beta = x["v"], x["g"], x["beta"]
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            q = x["q"][t, h] * (np.square(x["q"][t, h]).sum() + 1e-6) ** -0.5
            k = x["k"][t, h] * (np.square(x["k"][t, h]).sum() + 1e-6) ** -0.5
            S[h] *= np.exp(g[t, h])[:, None]
            for j in range(v.shape[2]):
                e = v[t, h, j] - np.sum(k * S[h, :, j])
                S[h, :, j] += k * beta[t, h] * e
            o[t, h] = q @ S[h] / np.sqrt(K)
    return {"o": o}, {"S": S}


def deltaproduct(x, carry):
    """Recurrences 5.5, n = 2, with decay, scale K^-0.5; keys l2-normalised."""
    T, H, K = x["q"].shape
    k, v, beta, g = x["k"], x["v"], x["beta"], x["g"]
    S = start(carry, "S", (H, K, v.shape[3]))
    o = np.zeros((T, H, v.shape[3]))
    for t in range(T):
        for h in range(H):
            S[h] *= np.exp(g[t, h])
            for c in range(2):
                key = k[t, h, c] / np.sqrt(np.sum(k[t, h, c] ** 2) + 1e-6)
                e = v[t, h, c] - key @ S[h]
                S[h] += beta[t, h, c] * np.outer(key, e)
            o[t, h] = K**-0.5 * (x["q"][t, h] @ S[h])
    return {"o": o}, {"S": S}


def comba(x, carry):
    """Recurrences 5.6: the prediction reads the state before its decay; norms after both scalings."""
    T, H, K = x["q"].shape
    v, g, beta = x["v"], x["g"], x["beta"]
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)

    def normalised(a):
        return a / np.sqrt(a @ a + 1e-6)

    for t in range(T):
        for h in range(H):
            p = sigmoid(x["c"][h]) * x["k"][t, h]
            q = normalised(x["q"][t, h] - x["corr"][h] * p)
            e = v[t, h] - normalised(p) @ S[h]
            S[h] = np.exp(g[t, h]) * S[h] + np.outer(normalised(x["k"][t, h]), beta[t, h] * e)
            o[t, h] = K**-0.5 * (q @ S[h])
    return {"o": o}, {"S": S}


def rwkv7(x, carry):
    """Recurrences 5.7: general diagonal plus rank one, scale 1."""
    T, H, K = x["r"].shape
    v = x["v"]
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            log_w = -np.exp(-0.5) * sigmoid(x["w"][t, h])
            kk = x["k"][t, h] * x["k_k"][h]
            kk = kk / max(np.linalg.norm(kk), 1e-12)
            k = x["k"][t, h] * (1 + (x["a"][t, h] - 1) * x["k_a"][h])
            sa = kk @ S[h]
            S[h] = np.exp(log_w)[:, None] * S[h] - np.outer(kk * x["a"][t, h], sa) + np.outer(k, v[t, h])
            o[t, h] = x["r"][t, h] @ S[h]
    return {"o": o}, {"S": S}
