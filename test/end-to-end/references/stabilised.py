"""Recurrences with exponential gates, kept in range by a running maximum or log-sum-exp."""

import numpy as np

from .common import sigmoid, silu, softplus, start


def rwkv4(x, carry):
    """Recurrences 8.1; the state o of the entry is called m here."""
    r, k, v, u = x["r"], x["k"], x["v"], x["bonus"]
    T, D = r.shape
    p, q, m = start(carry, "p", (D,)), start(carry, "q", (D,)), start(carry, "m", (D,), -np.inf)
    w = -np.exp(x["time_decay"])
    o = np.zeros((T, D))
    for t in range(T):
        m0 = np.maximum(m, u + k[t])
        A, E = np.exp(m - m0), np.exp(u + k[t] - m0)
        o[t] = sigmoid(r[t]) * (A * p + E * v[t]) / (A * q + E)
        m1 = np.maximum(w + m, k[t])
        A, E = np.exp(w + m - m1), np.exp(k[t] - m1)
        p, q, m = A * p + E * v[t], A * q + E, m1
    return {"o": o}, {"p": p, "q": q, "m": m}


def mlstm(x, carry):
    """Recurrences 8.2: q scaled, eps = 1e-6, m starts at 0; the normaliser n is called z here."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    C, n, m = start(carry, "C", (H, K, v.shape[2])), start(carry, "z", (H, K)), start(carry, "m", (H,))
    out = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            lf = -softplus(-x["fg"][t, h])
            m_new = max(lf + m[h], x["ig"][t, h])
            F, I = np.exp(lf + m[h] - m_new), np.exp(x["ig"][t, h] - m_new)
            C[h] = F * C[h] + I * np.outer(k[t, h], v[t, h])
            n[h] = F * n[h] + I * k[t, h]
            m[h] = m_new
            qs = q[t, h] * K**-0.5
            with np.errstate(over="ignore"):  # e^-m may be infinite: the output is then zero
                out[t, h] = qs @ C[h] / (max(abs(qs @ n[h]), np.exp(-m_new)) + 1e-6)
    return {"h": out}, {"C": C, "z": n, "m": m}


def aaren(x, carry):
    """Recurrences 8.3, with the factor K^-0.5."""
    k, v, q = x["k"], x["v"], x["q"]
    T, H, K = k.shape
    m, u, w = start(carry, "m", (H,), -np.inf), start(carry, "u", (H,)), start(carry, "w", (H, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            s = (q[h] @ k[t, h]) / np.sqrt(K)
            m_new = max(m[h], s)
            u[h] = u[h] * np.exp(m[h] - m_new) + np.exp(s - m_new)
            w[h] = w[h] * np.exp(m[h] - m_new) + np.exp(s - m_new) * v[t, h]
            m[h] = m_new
            o[t, h] = w[h] / u[h]
    return {"o": o}, {"m": m, "u": u, "w": w}


def lightnet(x, carry):
    """Recurrences 4.7, z before the first token -inf, scale 1."""
    q, k, v = silu(x["q"]), x["k"], x["v"]
    T, H, K = q.shape
    z, S = start(carry, "z", (H, K), -np.inf), start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            top = np.maximum(z[h], k[t, h])
            z_new = top + np.log(np.exp(z[h] - top) + np.exp(k[t, h] - top))
            S[h] = np.exp(z[h] - z_new)[:, None] * S[h] + np.outer(np.exp(k[t, h] - z_new), v[t, h])
            z[h] = z_new
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"z": z, "S": S}
