"""Attention over keys that are selected by the data. Among equal scores the lowest index is taken."""

import numpy as np

from .common import all_rows, position, softmax


def largest(scores, count):
    """The indices of the `count` largest, the lowest index first among equals."""
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")[:count]


def moba(x, carry, M=512, R=3):
    """Attention and matrices A30."""
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = x["q"].shape
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        own = n // M
        for h in range(H):
            gates = [x["q"][t, h] @ k[c * M : (c + 1) * M, h].mean(axis=0) for c in range(own)] + [np.inf]
            blocks = largest(gates, R)
            seen = [s for s in range(n + 1) if s // M in blocks]
            o[t, h] = softmax(k[seen, h] @ x["q"][t, h] / np.sqrt(K)) @ v[seen, h]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def nsa(x, carry, M=64, W=512, count=16):
    """A29 with means as the compression, the stride of a block, and the own block forced."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, G, R, K = q.shape
    o = np.zeros((T, G, R, v.shape[2]))
    for t in range(T):
        n = position(carry) + t
        complete = (n + 1) // M
        for g in range(G):
            kc = [k[c * M : (c + 1) * M, g].mean(axis=0) for c in range(complete)]
            vc = np.array([v[c * M : (c + 1) * M, g].mean(axis=0) for c in range(complete)]).reshape(complete, v.shape[2])
            pc = [softmax(np.array([q[t, g, h] @ key for key in kc]) / np.sqrt(K)) for h in range(R)]
            score = np.zeros(n // M + 1)
            score[:complete] = sum(pc)
            score[n // M] = R
            blocks = largest(score, count)
            chosen = [s for s in range(n + 1) if s // M in blocks]
            near = list(range(max(0, n - W + 1), n + 1))
            for h in range(R):
                a = k[: n + 1, g] @ q[t, g, h] / np.sqrt(K)
                o[t, g, h] = (x["gc"][t, g, h] * (pc[h] @ vc) + x["gs"][t, g, h] * (softmax(a[chosen]) @ v[chosen, g])
                              + x["gw"][t, g, h] * (softmax(a[near]) @ v[near, g]))
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def dsa(x, carry, count=2048):
    """A31, one head of keys."""
    k, k_rows = all_rows(carry, "k_rows", x["k"])
    v, v_rows = all_rows(carry, "v_rows", x["v"])
    ki, ki_rows = all_rows(carry, "ki_rows", x["ki"])
    T, H, K = x["q"].shape
    o = np.zeros((T, H, v.shape[1]))
    for t in range(T):
        n = position(carry) + t
        index = np.maximum(ki[: n + 1] @ x["qi"][t].T, 0) @ x["w"][t]
        seen = largest(index, count)
        for h in range(H):
            o[t, h] = softmax(k[seen] @ x["q"][t, h] / np.sqrt(K)) @ v[seen]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows, "ki_rows": ki_rows}


def routing_attention(x, carry, W=256):
    """A22 without shared queries and keys; centroids as given."""
    def unit(a):
        return a / np.sqrt(np.sum(a * a, axis=1, keepdims=True) + 1e-12)

    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for h in range(H):
        count = np.zeros(T)
        for c in range(x["mu"].shape[1]):
            queries = largest(unit(q[:, h]) @ x["mu"][h, c], W)
            keys = np.sort(largest(unit(k[:, h]) @ x["mu"][h, c], W))
            for t in queries:
                seen = keys[keys <= t]
                o[t, h] += softmax(k[seen, h] @ q[t, h] / np.sqrt(K)) @ v[seen, h]
                count[t] += 1
        o[:, h] /= (count + 1e-5)[:, None]
    return {"o": o}, {}


def informer(x, carry, count=25):
    """A23, masked; the sampled positions as given."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.cumsum(v, axis=0)
    end = o[-1].copy() if T else np.zeros(v.shape[1:])
    for h in range(H):
        sampled = [k[np.minimum(x["at"][t], T - 1), h] @ q[t, h] for t in range(T)]
        for t in largest([a.max() - a.sum() / T for a in sampled], count):
            o[t, h] = softmax(k[: t + 1, h] @ q[t, h] / np.sqrt(K)) @ v[: t + 1, h]
    return {"o": o}, {"c": end}


def recycled_attention(x, carry):
    """A28, a recycled step: attention over a list of positions, G = H / 2."""
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = x["q"].shape
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        for h in range(H):
            at = x["at"][t, h // 2]
            at = at[at <= position(carry) + t]
            o[t, h] = softmax(k[at, h // 2] @ x["q"][t, h] / np.sqrt(K)) @ v[at, h // 2]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def infllm(x, carry, M=128, C=512, W=4096, I=128, R=4, count=16):
    """A27's lookup without its position encodings; a key's mass is that of the local softmax alone."""
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    scores = np.einsum("thi,shi->hts", q, k) / np.sqrt(K)
    mass = np.zeros((T, H))
    for t in range(T):
        near = slice(max(0, t - W + 1), t + 1)
        for h in range(H):
            mass[near, h] += softmax(scores[h, t, near])
    for chunk in range((T + C - 1) // C):
        first = chunk * C
        mean = q[first : first + C].sum(axis=0) / C
        blocks = [c for c in range(T // M) if (c + 1) * M + W <= first]
        fit = []
        for c in blocks:
            part = np.arange(c * M, (c + 1) * M)
            keys = [k[part[largest(mass[part, h], R)], h].sum(axis=0) / R for h in range(H)]
            fit.append(sum(mean[h] @ keys[h] for h in range(H)))
        chosen = [blocks[n] for n in largest(fit, count)]
        for t in range(first, min(first + C, T)):
            seen = [s for s in range(t + 1) if t - s < W or s < I or s // M in chosen]
            for h in range(H):
                o[t, h] = softmax(scores[h, t, seen]) @ v[seen, h]
    return {"o": o}, {}


def paged_attention(x, carry, M=16):
    """A44, with the last query at the last key."""
    q, table, length = x["q"], x["table"], int(x["len"])
    T, H, K = q.shape
    o = np.zeros((T, H, x["vp"].shape[2]))
    for t in range(T):
        logical = range(max(0, min(length, t + length - T + 1, M * len(table))))
        rows = [M * table[s // M] + s % M for s in logical]
        for h in range(H):
            o[t, h] = softmax(x["kp"][h // 2, rows] @ q[t, h] / np.sqrt(K)) @ x["vp"][h // 2, rows]
    return {"o": o}, {}
