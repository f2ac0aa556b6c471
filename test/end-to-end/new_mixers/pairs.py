"""Sums over pairs of positions that have linear-time forms: here they stay sums over pairs.

What a carry adds is what its state would have become: the decays since it was made.
"""

import numpy as np

from references.common import all_rows, position, softmax, start


def feature_attention(x, carry):
    q, k, v, W = x["q"], x["k"], x["v"], x["W"]
    T, H, M = q.shape[0], q.shape[1], W.shape[0]

    def phi(a):
        return (np.exp(a @ W.T - 0.5 * (a**2).sum(-1, keepdims=True)) + 1e-4) / np.sqrt(M)

    fq, fk = phi(q), phi(k)
    z0, S0 = start(carry, "z.state", (H, M)), start(carry, "o.state", (H, M, v.shape[2]))
    o, z = np.zeros(v.shape), np.zeros((T, H))
    for t in range(T):
        for h in range(H):
            w = fk[: t + 1, h] @ fq[t, h]
            z[t, h] = w.sum() + fq[t, h] @ z0[h]
            o[t, h] = (w @ v[: t + 1, h] + fq[t, h] @ S0[h]) / z[t, h]
    return {"o": o, "z": z}, {"z.state": z0 + fk.sum(0), "o.state": S0 + np.einsum("thm,thj->hmj", fk, v)}


def retention_pairs(x, carry):
    q, k, v, g, gamma = x["q"], x["k"], x["v"], x["g"], x["gamma"]
    T, H, K = q.shape
    S0, P0 = start(carry, "o.state", (H, K, v.shape[2])), start(carry, "p.state", (H, v.shape[2]))
    o, p = np.zeros(v.shape), np.zeros(v.shape)

    def fading(n, h):
        return np.exp(g[h] * n) if n else 1.0

    for t in range(T):
        for h in range(H):
            for s in range(t + 1):
                o[t, h] += (q[t, h] @ k[s, h]) * gamma[h] ** (t - s) * v[s, h]
                if s < t:
                    p[t, h] += fading(t - s - 1, h) * v[s, h]
            o[t, h] = (o[t, h] + gamma[h] ** (t + 1) * (q[t, h] @ S0[h])) / np.sqrt(K)
            p[t, h] += fading(t, h) * P0[h]
    S, P = np.zeros(S0.shape), np.zeros(P0.shape)
    for h in range(H):
        S[h] = gamma[h] ** T * S0[h]
        P[h] = fading(T, h) * P0[h]
        for s in range(T):
            S[h] += gamma[h] ** (T - 1 - s) * np.outer(k[s, h], v[s, h])
            P[h] += fading(T - 1 - s, h) * v[s, h]
    return {"o": o, "p": p}, {"o.state": S, "p.state": P}


def gated_pairs(x, carry):
    q, k, v, g = x["q"], x["k"], x["v"], x["g"]
    T, H, K = q.shape
    S0 = start(carry, "o.state", (H, K, v.shape[2]))
    o, p = np.zeros(v.shape), np.zeros(v.shape)
    S = np.zeros(S0.shape)

    def fall(first, last, h):
        """The gates of tokens first to last, both included."""
        return np.exp(g[first : last + 1, h].sum(0))

    for h in range(H):
        for t in range(T):
            earlier = (q[t, h] * fall(0, t, h)) @ S0[h]
            for s in range(t):
                earlier = earlier + (q[t, h] * fall(s + 1, t, h) * k[s, h]).sum() * v[s, h]
            p[t, h] = earlier
            o[t, h] = (earlier + (q[t, h] @ k[t, h]) * v[t, h]) / np.sqrt(K)
        S[h] = fall(0, T - 1, h)[:, None] * S0[h]
        for s in range(T):
            S[h] += np.outer(fall(s + 1, T - 1, h) * k[s, h], v[s, h])
    return {"o": o, "p": p}, {"o.state": S}


def distance_filter(x, carry):
    assert carry is None
    u, w, g, on, a = x["x"], x["w"], x["g"], x["on"], x["a"]
    T, D = u.shape
    y, z, r = np.zeros(u.shape), np.zeros(u.shape), np.zeros(u.shape)
    for t in range(T):
        for s in range(T):
            y[t] += np.exp(-a * abs(t - s)) * u[s]
            if s >= t and on[s]:
                z[t] += w[t] * np.exp(g[t + 1 : s + 1].sum()) * u[s]
            if s > t:
                r[t] += np.exp(g[t + 1 : s + 1].sum()) * 2.0 ** (t - s) * u[s]
    forward, backward, held, halved = (np.zeros(D) for _ in range(4))
    for s in range(T):
        forward += np.exp(-a * (T - 1 - s)) * u[s]
        backward += np.exp(-a * s) * u[s]
        held += np.exp(g[1 : s + 1].sum()) * u[s] * on[s]
        halved += np.exp(g[1 : s + 1].sum()) * 2.0**-s * u[s]
    return {"y": y, "z": z, "r": r}, {"y.state": forward, "y.state.1": backward, "z.state": held, "r.state": halved}


def polynomial_attention(x, carry):
    q, k, v, valid = x["q"], x["k"], x["v"], x["valid"]
    T, H, K = q.shape
    V = v.shape[2]
    shapes = {"": (V,), ".1": (K, V), ".2": (K, K, V), ".3": (), ".4": (K,), ".5": (K, K)}
    S = {n: start(carry, f"o.state{n}", (H,) + shape) for n, shape in shapes.items()}
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            above, below = np.zeros(V), 1.0
            for s in range(t + 1):
                a = (q[t, h] @ k[s, h]) / np.sqrt(K)
                w = (1 + a + a**2 / 2) * valid[s]
                above, below = above + w * v[s, h], below + w
            b = q[t, h] / np.sqrt(K)
            above = above + S[""][h] + b @ S[".1"][h] + np.einsum("i,n,inj->j", b, b, S[".2"][h]) / 2
            below = below + S[".3"][h] + b @ S[".4"][h] + b @ S[".5"][h] @ b / 2
            o[t, h] = above / below
    one = np.ones((T, H)) * valid[:, None]
    end = {"": np.einsum("th,thj->hj", one, v), ".1": np.einsum("th,thi,thj->hij", one, k, v),
           ".2": np.einsum("th,thi,thn,thj->hinj", one, k, k, v), ".3": one.sum(0),
           ".4": np.einsum("th,thi->hi", one, k), ".5": np.einsum("th,thi,thn->hin", one, k, k)}
    return {"o": o}, {f"o.state{n}": S[n] + end[n] for n in shapes}


def hybrid_attention(x, carry):
    q, mix = x["q"], x["mix"]
    T, H, K = q.shape
    S0 = start(carry, "l.state", (H, K, x["v"].shape[2]))
    k, k_rows = all_rows(carry, "k_rows", x["k"], axis=1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], axis=1)
    past = len(k) - T
    o = np.zeros(x["v"].shape)
    for t in range(T):
        for h in range(H):
            a = k[: past + t + 1, h] @ q[t, h] / np.sqrt(K)
            linear = a[past:] @ v[past : past + t + 1, h] + q[t, h] @ S0[h] / np.sqrt(K)
            o[t, h] = mix[h] * softmax(a) @ v[: past + t + 1, h] + (1 - mix[h]) * linear
    return {"o": o}, {"l.state": S0 + np.einsum("thi,thj->hij", x["k"], x["v"]), "k_rows": k_rows, "v_rows": v_rows}


def distances(x, carry):
    T, H = x["u"].shape
    first = position(carry)
    signal = x["w"][:, :, None, :] * x["x"][..., None]
    signal, kept = all_rows(carry, "y.signal_rows", signal, axis=1, ring=70)
    u, u_kept = all_rows(carry, "u_rows", x["u"], axis=1)
    y, z = np.zeros((T,) + signal.shape[1:]), np.zeros((T, H))
    for t in range(first, first + T):
        for s in range(t):
            if 3 < t - s < 70:
                y[t - first] += x["f"][:, t - s, None, :] * signal[s]
            z[t - first] += x["g"][t - s] * u[s]
    return {"y": y, "z": z}, {"y.signal_rows": kept, "u_rows": u_kept}


def low_rank_keys(x, carry, W=9):
    """Keys and values of all positions of the window are made from the latents, which are what is kept."""
    q, y = x["q"], x["x"]
    T, H, N = q.shape
    c, c_rows = all_rows(carry, "c_rows", y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6), ring=W)
    w, w_rows = all_rows(carry, "w_rows", 1 / (1 + np.exp(-x["g"])), ring=W)
    first = position(carry)
    o, z = np.zeros((T, H, x["Wv"].shape[1])), np.zeros((T, H, x["Wu"].shape[1]))
    for h in range(H):
        k, v, u = c @ x["Wk"][h].T + x["bk"][h], c @ x["Wv"][h].T, c @ x["Wu"][h].T
        for t in range(T):
            n = first + t
            s = np.arange(max(0, n - W + 1), n + 1)
            p = softmax(5 * np.tanh(k[s] @ q[t, h] / np.sqrt(N) / 5) - x["slope"][h] * (n - s))
            o[t, h] = p @ v[s]
            z[t, h] = (p * w[s]) @ u[s] + u[n]
    return {"o": o, "y": z}, {"c_rows": c_rows, "w_rows": w_rows}
