"""Matrix states with a scalar decay, a decay per key channel, or none."""

import numpy as np

from .common import sigmoid, silu, softplus, start


def linear_attention(x, carry):
    """Recurrences 3.1, unnormalised, identity features, scale K^-0.5."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] += np.outer(k[t, h], v[t, h])
            o[t, h] = (q[t, h] / np.sqrt(K)) @ S[h]
    return {"o": o}, {"S": S}


def linear_attention_normalised(x, carry):
    """Recurrences 3.1, normalised, phi(x) = elu(x) + 1, eps = 1e-6."""
    v = x["v"]
    fq = np.where(x["q"] > 0, x["q"], np.expm1(np.minimum(x["q"], 0))) + 1
    fk = np.where(x["k"] > 0, x["k"], np.expm1(np.minimum(x["k"], 0))) + 1
    T, H, K = fq.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    z = start(carry, "z", (H, K))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] += np.outer(fk[t, h], v[t, h])
            z[h] += fk[t, h]
            o[t, h] = fq[t, h] @ S[h] / (fq[t, h] @ z[h] + 1e-6)
    return {"o": o}, {"S": S, "z": z}


def retnet(x, carry):
    """Recurrences 3.2: interleaved pairs turned as complex numbers, k scaled by K^-0.5, gamma a head."""
    q, k, v, gamma = x["q"], x["k"], x["v"], x["gamma"]
    T, H, K = q.shape
    first = 0 if carry is None else int(carry["position"])
    theta = 10000.0 ** (-np.arange(K // 2) / (K / 2 - 1))

    def turn(a, t):
        pairs = (a[0::2] + 1j * a[1::2]) * np.exp(1j * (first + t) * theta)
        out = np.empty(K)
        out[0::2], out[1::2] = pairs.real, pairs.imag
        return out

    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] = gamma[h] * S[h] + np.outer(turn(k[t, h] * K**-0.5, t), v[t, h])
            o[t, h] = turn(q[t, h], t) @ S[h]
    return {"o": o}, {"S": S}


def simple_gla(x, carry):
    """Recurrences 3.3, data-dependent g, scale K^-0.5."""
    q, k, v, g = x["q"], x["k"], x["v"], x["g"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] = np.exp(g[t, h]) * S[h] + np.outer(k[t, h], v[t, h])
            o[t, h] = K**-0.5 * (q[t, h] @ S[h])
    return {"o": o}, {"S": S}


def lightning(x, carry):
    """Recurrences 3.3 (a): one constant decay a head, silu features, scale 1."""
    q, k, v, slope = silu(x["q"]), silu(x["k"]), silu(x["v"]), x["slope"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for h in range(H):
        decay = np.exp(-slope[h])
        for t in range(T):
            S[h] = decay * S[h] + k[t, h][:, None] * v[t, h][None, :]
            o[t, h] = S[h].T @ q[t, h]
    return {"o": o}, {"S": S}


def gla(x, carry):
    """Recurrences 4.1, scale K^-0.5."""
    q, k, v, g = x["q"], x["k"], x["v"], x["g"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            for i in range(K):
                S[h, i] = np.exp(g[t, h, i]) * S[h, i] + k[t, h, i] * v[t, h]
            o[t, h] = K**-0.5 * (q[t, h] @ S[h])
    return {"o": o}, {"S": S}


def hgrn2(x, carry):
    """Recurrences 4.3 without the kernel's scale: key 1 - e^g, g = log(lb + (1 - lb) sigma(f))."""
    q, f, v, lb = silu(x["q"]), x["f"], x["v"], x["lb"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            decay = lb[h] + (1 - lb[h]) * sigmoid(f[t, h])
            key = (1 - lb[h]) * sigmoid(-f[t, h])
            S[h] = decay[:, None] * S[h] + np.outer(key, v[t, h])
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def rwkv6(x, carry):
    """Recurrences 4.4: read before write plus bonus u, scale 1."""
    r, k, v, w, u = x["r"], x["k"], x["v"], x["w"], x["u"]
    T, H, K = r.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            kv = np.outer(k[t, h], v[t, h])
            o[t, h] = r[t, h] @ (S[h] + u[h][:, None] * kv)
            S[h] = np.exp(w[t, h])[:, None] * S[h] + kv
    return {"o": o}, {"S": S}


def gsa(x, carry):
    """Recurrences 4.5: gate logsigmoid(f) / 8, write weight 1 - e^g, silu on q, k and v."""
    q, k, v, f = silu(x["q"]), silu(x["k"]), silu(x["v"]), x["f"]
    T, H, K = q.shape
    M, V = f.shape[2], v.shape[2]
    Kt, Vt = start(carry, "Kt", (H, K, M)), start(carry, "Vt", (H, M, V))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            g = -softplus(-f[t, h]) / 8
            s = 1 - np.exp(g)
            Kt[h] = Kt[h] * np.exp(g)[None, :] + np.outer(k[t, h], s)
            z = K**-0.5 * (q[t, h] @ Kt[h])
            p = np.exp(z - z.max())
            p /= p.sum()
            Vt[h] = np.exp(g)[:, None] * Vt[h] + np.outer(s, v[t, h])
            o[t, h] = p @ Vt[h]
    return {"o": o}, {"Kt": Kt, "Vt": Vt}


def liger(x, carry):
    """Recurrences 4.6, the recurrence only: g = logsigmoid(k) / 16, softmax features, key head h // 2."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    S = start(carry, "S", (H, K, V))
    o = np.zeros((T, H, V))
    for t in range(T):
        for h in range(H):
            kh, vh, qh = k[t, h // 2], v[t, h // 2], q[t, h]
            key = np.exp(kh - np.max(kh)) / np.sum(np.exp(kh - np.max(kh)))
            query = np.exp(qh - np.max(qh)) / np.sum(np.exp(qh - np.max(qh)))
            S[h] = np.exp(-softplus(-kh) / 16)[:, None] * S[h] + np.outer(key, vh)
            o[t, h] = query @ S[h]
    return {"o": o}, {"S": S}
