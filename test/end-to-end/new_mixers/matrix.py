"""Loops for matrix states with diagonal decays."""

import numpy as np

from references.common import sigmoid, silu, softplus, start, with_past


def _run(x, S, decay, write, query=None):
    """S <- decay(t, h) * S + write(t, h) for every token and head; reads q^T S after the write."""
    q = x["q"] if query is None else query
    T, H = q.shape[:2]
    o = np.zeros((T, H, S.shape[-1]))
    for t in range(T):
        for h in range(H):
            S[h] = decay(t, h) * S[h] + write(t, h)
            o[t, h] = q[t, h] @ S[h]
    return o


def decay_on_both_axes(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            S[h] = np.diag(np.exp(x["g"][t, h])) @ S[h] @ np.diag(np.exp(x["h"][t, h])) + np.outer(k[t, h], v[t, h])
            o[t, h] = q[t, h] @ S[h] / np.sqrt(K)
    return {"o": o}, {"S": S}


def decay_per_value(x, carry):
    q, k, v, f = x["q"], x["k"], x["v"], x["f"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            for j in range(v.shape[2]):
                S[h, :, j] = sigmoid(f[t, h, j]) * S[h, :, j] + sigmoid(-f[t, h, j]) * k[t, h] * v[t, h, j]
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def unbounded_gla(x, carry):
    k, v = x["k"], x["v"]
    S = start(carry, "S", (k.shape[1], k.shape[2], v.shape[2]))
    a = np.exp(-softplus(x["bias"][None] - x["g"]))
    o = _run(x, S, lambda t, h: a[t, h][:, None], lambda t, h: np.outer(k[t, h], v[t, h]))
    return {"o": o}, {"S": S}


def coupled_normaliser(x, carry):
    q, k, v, g = x["q"], x["k"], x["v"], x["g"]
    T, H, K = q.shape
    S, z = start(carry, "S", (H, K, v.shape[2])), start(carry, "z", (H, K))
    o, l = np.zeros(v.shape), np.zeros((T, H))
    for t in range(T):
        for h in range(H):
            a = np.exp(g[t, h])
            S[h] = a[:, None] * S[h] + np.outer(k[t, h], v[t, h])
            z[h] = a * z[h] + k[t, h]
            l[t, h] = q[t, h] @ z[h]
            o[t, h] = q[t, h] @ S[h] / max(abs(l[t, h]), 1.0)
    return {"o": o, "l": l}, {"S": S, "z": z}


def reversed_gla(x, carry):
    q, k, v, g = x["q"], x["k"], x["v"], x["g"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in reversed(range(T)):
        S = np.exp(g[t])[:, :, None] * S + k[t][:, :, None] * v[t][:, None, :]
        o[t] = np.einsum("hi,hij->hj", q[t], S)
    return {"o": o}, {"S": S}


def window_gates(x, carry):
    q, u, v = x["q"], x["x"], x["v"]
    T, H, K = q.shape
    W = x["ck"].shape[2]
    rows, x_window = with_past(carry, "x_window", u, W - 1, axis=1)
    vrows, v_window = with_past(carry, "v_window", v, 1, axis=1)
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            recent = rows[t : t + W, h][::-1]  # recent[w] = x[t - w]
            k = silu(np.einsum("iw,wi->i", x["ck"][h], recent))
            g = -softplus(np.einsum("iw,wi->i", x["cg"][h], recent))
            w = vrows[t + 1, h] - x["cv"][h] * vrows[t, h]
            S[h] = np.exp(g)[:, None] * S[h] + np.outer(k, w)
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S, "x_window": x_window, "v_window": v_window}


def token_shift(x, carry):
    q, k, v, mu = x["q"], x["k"], x["v"], x["mu"]
    T, H, K = q.shape
    qrows, q_window = with_past(carry, "q_window", q, 1, axis=1)
    krows, k_window = with_past(carry, "k_window", k, 1, axis=1)
    S = start(carry, "S", (H, K, v.shape[2]))
    blended = mu * qrows[1:] + (1 - mu) * qrows[:-1]
    o = _run(x, S, lambda t, h: x["gamma"][h],
             lambda t, h: np.outer(mu[h] * krows[t + 1, h] + (1 - mu[h]) * krows[t, h], v[t, h]), blended)
    return {"o": o * K**-0.5}, {"S": S, "q_window": q_window, "k_window": k_window}


def trapezoid(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    krows, k_window = with_past(carry, "k_window", k, 1, axis=1)
    vrows, v_window = with_past(carry, "v_window", v, 1, axis=1)
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            dt, lam = softplus(x["delta"][t, h]), sigmoid(x["mix"][t, h])
            a = np.exp(-np.exp(x["A_log"][h]) * dt)
            last, now = np.outer(krows[t, h], vrows[t, h]), np.outer(krows[t + 1, h], vrows[t + 1, h])
            S[h] = a * (S[h] + (1 - lam) * dt * last) + lam * dt * now
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S, "k_window": k_window, "v_window": v_window}


def _softmax(a):
    e = np.exp(a - np.max(a))
    return e / np.sum(e)


def competitive_slots(x, carry):
    q, f, v = x["q"], x["f"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            a = _softmax(f[t, h])
            for i in range(K):
                S[h, i] += a[i] * (v[t, h] - S[h, i])
            o[t, h] = _softmax(q[t, h] / np.sqrt(K)) @ S[h]
    return {"o": o}, {"S": S}


def energy(x, carry):
    q, k, v, p = x["q"], x["k"], x["v"], x["p"]
    S = start(carry, "S", (q.shape[1], q.shape[2], v.shape[2]))
    r = _run(x, S, lambda t, h: np.exp(x["g"][t, h]), lambda t, h: np.outer(k[t, h], v[t, h]))
    return {"e": np.sum(p * r, axis=2), "n": np.sqrt(1e-6 + np.sum(r * r, axis=2))}, {"S": S}


def normed_read(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    S = start(carry, "S", (q.shape[1], q.shape[2], v.shape[2]))
    r = _run(x, S, lambda t, h: np.exp(x["g"][t, h])[:, None], lambda t, h: np.outer(k[t, h], v[t, h]))
    normed = r / np.sqrt(np.mean(r**2, axis=2, keepdims=True) + 1e-5)
    return {"o": normed * x["scale"] * silu(x["z"])}, {"S": S}


def three_timescales(x, carry):
    q, k, v, w = x["q"], x["k"], x["v"], x["w"]
    T, H, K = q.shape
    C = w.shape[2]
    S = start(carry, "S", (H, K, v.shape[2], C))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            for c in range(C):
                S[h, :, :, c] = np.exp(x["g"][t, h] * x["rate"][c]) * S[h, :, :, c] + np.outer(k[t, h], v[t, h])
                o[t, h] += w[t, h, c] * (q[t, h] @ S[h, :, :, c])
    return {"o": o}, {"S": S}


def three_batch_dims(x, carry):
    q, k, v, g = x["q"], x["k"], x["v"], x["g"]
    T, G, H, K = q.shape
    V = v.shape[3]
    S = start(carry, "S", (G, H, K, V))
    o = np.zeros((T, G, H, V))
    for t in range(T):
        for a in range(G):
            for h in range(H):
                S[a, h] = np.exp(g[t, a]) * S[a, h] + np.outer(k[t, a, h // 2], v[t, a, h // 2])
                o[t, a, h] = x["scale"][a, h] * (q[t, a, h] @ S[a, h])
    return {"o": o}, {"S": S}


def shared_keys(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    S = start(carry, "S", (q.shape[1], q.shape[2], v.shape[1]))
    o = _run(x, S, lambda t, h: np.exp(x["g"][t, h]), lambda t, h: np.outer(k[t], v[t]))
    return {"o": x["s"][None, :, None] * o}, {"S": S}


def documents(x, carry):
    q, k, v, doc, skip = x["q"], x["k"], x["v"], x["doc"], x["skip"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    last = 0 if carry is None else int(carry["doc_window"][0])
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            if not skip[t]:
                if doc[t] != last:
                    S[h] = 0
                else:
                    S[h] *= np.exp(x["g"][t, h])
                S[h] += np.outer(k[t, h], v[t, h])
            o[t, h] = q[t, h] @ S[h]
        last = int(doc[t])
    return {"o": o}, {"S": S, "doc_window": np.array([last], dtype=np.int64)}


def rotating_keys(x, carry):
    v = x["v"]
    T, H, M = x["ka"].shape
    q, k = x["qa"] + 1j * x["qb"], x["ka"] + 1j * x["kb"]
    S = start(carry, "X", (H, M, v.shape[2])) + 1j * start(carry, "Y", (H, M, v.shape[2]))
    angle = start(carry, "th", (H, M))
    o = np.zeros(v.shape)
    for t in range(T):
        angle = angle + x["w"][t]
        turn = np.exp(1j * angle)
        for h in range(H):
            S[h] += np.outer(k[t, h] * turn[h], v[t, h])
            query = q[t, h] * turn[h]
            o[t, h] = query.real @ S[h].real + query.imag @ S[h].imag
    return {"o": o}, {"X": S.real, "Y": S.imag, "th": angle}


def signed_decay(x, carry):
    k, v = x["k"], x["v"]
    S = start(carry, "S", (k.shape[1], k.shape[2], v.shape[2]))
    o = _run(x, S, lambda t, h: np.tanh(x["f"][t, h])[:, None], lambda t, h: np.outer(k[t, h], v[t, h]))
    return {"o": o}, {"S": S}


def window_product(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    W = 3
    rows, s_window = with_past(carry, "s_window", sigmoid(x["f"]), W - 1, axis=1)
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            key = k[t, h] / (1e-3 + np.abs(k[t, h]).max())
            S[h] = rows[t, h] * rows[t + 1, h] * rows[t + 2, h] * S[h] + np.outer(key, v[t, h])
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S, "s_window": s_window}
