"""Loops for what is chosen by data: blocks, clusters, queries, lists and codes; and for lengths that domains speak of."""

import numpy as np

from references.common import kept_rows


def _softmax(a):
    if a.size == 0 or not np.isfinite(a.max()):
        return np.zeros_like(a)
    e = np.exp(a - a.max())
    return e / e.sum()


def _logsumexp(a):
    if a.size == 0 or not np.isfinite(a.max()):
        return -np.inf
    return a.max() + np.log(np.exp(a - a.max()).sum())


def _largest(scores, n):
    """Places of the n largest, the first of equal ones first."""
    return np.sort(np.argsort(-np.asarray(scores), kind="stable")[:n])


def _rows_of(blocks, M, end):
    """The rows of blocks of M up to an end."""
    return np.array([s for c in blocks for s in range(c * M, min((c + 1) * M, end))], dtype=int)


def _attend(q, k, v, rows, scale):
    """What one query gets from these rows; zero from none."""
    return _softmax(k[rows] @ q * scale) @ v[rows]


def _block(x, c, M):
    """Rows of a block, zeros behind the last one."""
    part = x[c * M : (c + 1) * M]
    return np.concatenate([part, np.zeros((M - len(part), *x.shape[1:]))])


def lengths_aligned(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    (T, H, K), S = q.shape, len(k)
    o, m, l = np.zeros((T, H, v.shape[2])), np.zeros((T, H)), np.zeros((T, H))
    for t in range(T):
        for h in range(H):
            seen = max(0, min(S, t + S - T + 1))
            a = k[:seen, h] @ q[t, h] / np.sqrt(K)
            m[t, h], l[t, h] = a.max(initial=-np.inf), _logsumexp(a)
            o[t, h] = _softmax(a) @ v[:seen, h]
    return {"o": o, "m": m, "l": l}, {}


def lengths_in_data(x, carry):
    q, k, v, doc, seg, first, last = (x[n] for n in ("q", "k", "v", "doc", "seg", "first", "last"))
    (T, H, K), S = q.shape, len(k)
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        near = np.array([s for s in range(S) if s < x["n"] or doc[t] == seg[s]], dtype=int)
        inside = np.arange(min(S, first[t]), max(min(S, first[t]), min(S, last[t])))
        for h in range(H):
            for rows in (near, inside):
                o[t, h] += _attend(q[t, h], k[:, h], v[:, h], rows, K**-0.5)
    return {"o": o}, {}


def pointers(x, carry):
    d, e, free, w = x["d"], x["e"], x["free"], x["w"]
    (T, K), S = d.shape, len(e)
    p, lp, g, l = np.zeros((T, S)), np.zeros((T, S)), np.zeros((T, K)), np.full(T, -np.inf)
    for t in range(T):
        rows = np.flatnonzero(free[t])
        u = np.tanh(e[rows] + d[t]) @ w
        l[t] = _logsumexp(u)
        p[t, rows], lp[t, rows] = _softmax(u), u - l[t]
        g[t] = p[t] @ e
    return {"p": p, "lp": lp, "g": g, "l": l}, {}


def rounds(x, carry):
    m, W, b = x["m"], x["W"], x["b"]
    q, read = np.tanh(b + W @ b), None
    for _ in range(2):
        read = _softmax(m @ q) @ m
        q = q + np.tanh(b + W @ read)
    return {"a3": _softmax(m @ q), "r2": read}, {}


def summed_segments(x, carry, M=6):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for h in range(H):
        keys, values = [], []
        for c in range(T // M):
            block = slice(c * M, (c + 1) * M)
            keys.append(k[block, h].max(0))
            values.append(_softmax(k[block, h] @ q[block, h].max(0)) @ v[block, h])
        for t in range(T):
            c = t // M
            a = np.concatenate([k[c * M : t + 1, h] @ q[t, h], [keys[b] @ q[t, h] for b in range(c)]])
            o[t, h] = _softmax(a) @ np.concatenate([v[c * M : t + 1, h], np.reshape(values[:c], (c, v.shape[2]))])
    return {"o": o}, kept_rows(x, "q", "k", "v")


def own_block_too(x, carry, M=8, n=2):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        for h in range(H):
            own, keys = t // M, k[:, h // 2]
            chosen = _largest([_block(keys, c, M).mean(0) @ q[t, h] for c in range(own)], n)
            rows = _rows_of([*chosen, own], M, t + 1)
            o[t, h] = _attend(q[t, h], keys, v[:, h // 2], rows, K**-0.5)
    return {"o": o, "u": o}, kept_rows(x, "k", "v")


def three_branches(x, carry, M=8, n=2, W=16):
    q, k, v, gc, gs, gw = (x[n] for n in ("q", "k", "v", "gc", "gs", "gw"))
    T, H, G, K = q.shape
    o = np.zeros((T, H, G, v.shape[2]))
    scale = K**-0.5
    for h in range(H):
        kb = np.array([_block(k[:, h], c, M).mean(0) for c in range(T // M + 1)])
        vb = np.array([_block(v[:, h], c, M).mean(0) for c in range(T // M + 1)])
        for t in range(T):
            whole, own = (t + 1) // M, t // M
            pc = np.array([_softmax(kb[:whole] @ q[t, h, g] * scale) for g in range(G)])
            score = np.zeros(own + 1)
            score[:whole] = pc.sum(0)
            score[own] = G
            rows = _rows_of(_largest(score, n), M, t + 1)
            near = np.arange(max(0, t - W + 1), t + 1)
            for g in range(G):
                o[t, h, g] = gc[t, h, g] * (pc[g] @ vb[:whole])
                o[t, h, g] += gs[t, h, g] * _attend(q[t, h, g], k[:, h], v[:, h], rows, scale)
                o[t, h, g] += gw[t, h, g] * _attend(q[t, h, g], k[:, h], v[:, h], near, scale)
    return {"o": o}, kept_rows(x, "k", "v")


def clusters(x, carry, W=16):
    q, v, mu = x["q"], x["v"], x["mu"]
    T, H, K = q.shape
    qn = q / np.sqrt((q * q).sum(-1, keepdims=True) + 1e-6)
    o = np.zeros(v.shape)
    for h in range(H):
        many = np.zeros(T)
        for c in range(mu.shape[1]):
            members = _largest(qn[:, h] @ mu[h, c], W)
            many[members] += 1
            for t in members:
                o[t, h] += _attend(q[t, h], qn[:, h], v[:, h], members[members < t], K**-0.5)
        o[:, h] /= many[:, None] + 1e-5
    return {"o": o}, {}


def sparse_queries(x, carry, n=9):
    q, k, v, R = x["q"], x["k"], x["v"], x["R"]
    (T, H, K), S = q.shape, len(k)
    o, far = np.zeros((T, H, v.shape[2])), np.zeros((T, H))
    for h in range(H):
        for t in range(T):
            d = k[np.clip(R[t], 0, S - 1), h] @ q[t, h]
            far[t, h] = d.max() - d.sum() / S
        o[:, h] = v[:, h].mean(0)
        for t in _largest(far[:, h], n):
            o[t, h] = _attend(q[t, h], k[:, h], v[:, h], np.arange(S), K**-0.5)
    return {"o": o, "far": far}, {}


def block_lookup(x, carry, M=8, L=16, n=2, I=4):
    q, qg, k, kl, v = (x[name] for name in ("q", "qg", "k", "kl", "v"))
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for h in range(H):
        mass = np.zeros(T)
        for t in range(T):
            near = np.arange(max(0, t - L + 1), t + 1)
            mass[near] += _softmax(kl[near, h] @ q[t, h] / np.sqrt(K))
        queries = [_block(qg[:, h], c, M).mean(0) for c in range(T // M + 1)]
        keys = [0.5 * _block(k[:, h], c, M)[_largest(_block(mass, c, M), 2)].sum(0) for c in range(T // M + 1)]
        for t in range(T):
            c = t // M
            old = [d for d in range(T // M + 1) if M * (d + 1) <= M * c - L]
            chosen = _largest([queries[c] @ keys[d] for d in old], n)
            rows = [s for s in range(t + 1) if t - s < L or s < I or s // M in chosen]
            a = np.array([(kl[s, h] @ q[t, h] if t - s < L else k[s, h] @ qg[t, h]) / np.sqrt(K) for s in rows])
            o[t, h] = _softmax(a) @ v[rows, h]
    return {"o": o}, {}


def given_rows(x, carry):
    q, k, v, idx = x["q"], x["k"], x["v"], x["idx"]
    T, H, K = q.shape
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            rows = idx[t, h][(idx[t, h] >= 0) & (idx[t, h] <= t)]
            o[t, h] = _attend(q[t, h], k[:, h], v[:, h], rows, K**-0.5)
    return {"o": o}, kept_rows(x, "k", "v")


def quantised_keys(x, carry):
    q, k, v, code = x["q"], x["k"], x["v"], x["code"]
    T, H, K = q.shape
    C = code.shape[1]
    o = np.zeros(v.shape)
    n, S = np.zeros((H, C)), np.zeros((H, C, v.shape[2]))
    if carry:
        n, S = carry["n"].copy(), carry["S"].copy()
    for t in range(T):
        for h in range(H):
            c = np.argmin(((k[t, h] - code[h]) ** 2).sum(1))
            n[h, c] += 1
            S[h, c] += v[t, h]
            w = np.where(n[h] > 0, np.exp(code[h] @ q[t, h] / np.sqrt(K)), 0)
            o[t, h] = w @ S[h] / (w @ n[h])
    return {"o": o}, {"n": n, "S": S}
