"""Attention: softmax and pointwise weights over pairs of positions.

Every query at position n looks at the rows of keys and values that its mask allows; nothing is computed for the others.
"""

import math

import numpy as np

from .common import all_rows, logsumexp, position, sigmoid, silu, softmax, start


def attend(x, carry, seen, ring=None, scores=None, weights=None):
    """Softmax attention with factor K^-0.5; `seen(n)` lists the positions that the query at n attends to.

    Heads of keys and values are shared by as many neighbours as it takes. `scores(t, h, positions, a)` changes the scores,
    `weights(t, h, positions, a)` makes the weights of them in place of a softmax.
    """
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1, ring)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1, ring)
    T, H, K = q.shape
    group = H // k.shape[1]
    o = np.zeros((T, H, v.shape[2]))
    for t in range(T):
        here = np.array(seen(position(carry) + t), dtype=int)
        for h in range(H):
            a = k[here, h // group] @ q[t, h] / np.sqrt(K)
            if scores is not None:
                a = scores(t, h, here, a)
            p = softmax(a) if weights is None else weights(t, h, here, a)
            o[t, h] = p @ v[here, h // group]
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def causal(n):
    """The positions up to n."""
    return range(n + 1)


def causal_attention(x, carry):
    """Attention and matrices A1, causal."""
    return attend(x, carry, causal)


def full_attention(x, carry):
    """A1, full, with padded keys."""
    return attend(x, None, lambda n: range(min(int(x["len"]), len(x["k"]))))[0], {}


def cross_attention(x, carry):
    """A1, cross: the keys are the first `len` of another sequence."""
    return full_attention(x, carry)


def grouped_query_attention(x, carry):
    """A2, G = H / 4."""
    return attend(x, carry, causal)


def sliding_window_attention(x, carry, W=4096):
    """A4 with W tokens counting the own one, G = H / 4."""
    return attend(x, carry, lambda n: range(max(0, n - W + 1), n + 1), ring=W)


def alibi(x, carry):
    """A6: -a_h times the distance."""
    return attend(x, carry, causal, scores=lambda t, h, here, a: a - x["slope"][h] * (here[-1] - here))


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
    return attend(x, carry, causal, scores=lambda t, h, here, a: cap * np.tanh(a / cap))


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


def rope_position_interpolation(x, carry, factor=4):
    """A8, linear scaling: theta / s."""
    M = x["q"].shape[3]
    return rope(x, carry, 10000.0 ** (-np.arange(M) / M) / factor)


def rope_ntk(x, carry, factor=4):
    """A8, NTK-aware: base * s^(d/(d-2)) with d = 2M."""
    M = x["q"].shape[3]
    return rope(x, carry, (10000.0 * factor ** (2 * M / (2 * M - 2))) ** (-np.arange(M) / M))


def rope_truncated(x, carry, length=2048):
    """A8, Giraffe's truncated basis: the second test is on the original frequency."""
    M = x["q"].shape[3]
    theta = 10000.0 ** (-np.arange(M) / M)
    cut, low = 2 * np.pi / length, 2 * np.pi / (16 * length)
    kept = np.where(theta < cut, low, theta)
    return rope(x, carry, np.where(theta < cut / 8, 0, kept))


def mla(x, carry):
    """A3, naive: keys and values of all positions are made from the latents, which are what is kept."""
    qn, qr = x["qn"], x["qr"]
    c, c_rows = all_rows(carry, "c_rows", x["c"])
    kr, kr_rows = all_rows(carry, "kr_rows", x["kr"])
    T, H, N = qn.shape
    first = position(carry)
    o = np.zeros((T, H, x["Wv"].shape[1]))
    for h in range(H):
        kn, v = c @ x["Wk"][h].T, c @ x["Wv"][h].T
        for t in range(T):
            seen = first + t + 1
            p = softmax((kn[:seen] @ qn[t, h] + kr[:seen] @ qr[t, h]) / np.sqrt(N + qr.shape[2]))
            o[t, h] = p @ v[:seen]
    return {"o": o}, {"c_rows": c_rows, "kr_rows": kr_rows}


def dilated_attention(x, carry, W=512, D=4):
    """A5 (a), causal, W tokens counting the own one."""
    return attend(x, carry, lambda n: [s for s in range(n + 1) if n - s < W and (n - s) % D == 0], ring=W)


def local_global_attention(x, carry, W=256):
    """A5 (c), the form with one projection."""
    free = x["isglobal"]
    T = len(free)
    return attend(x, None, lambda n: [s for s in range(T) if abs(n - s) <= W or free[n] or free[s]])[0], {}


def streaming_attention(x, carry, N=4, W=1020):
    """A10 (b), mask form, G = H / 2."""
    return attend(x, carry, lambda n: [s for s in range(n + 1) if s < N or n - s < W])


def strided_attention(x, carry, L=128):
    """A5 (b), local and strided in one softmax."""
    return attend(x, carry, lambda n: [s for s in range(n + 1) if n - s < L or (n - s) % L == 0])


def t5_bucket(n, buckets, far):
    """A7 for a distance n >= 0 with `buckets` of them."""
    exact = buckets // 2
    if n < exact:
        return n
    return min(buckets - 1, exact + int(np.floor(np.log(n / exact) / np.log(far / exact) * (buckets - exact))))


def t5_attention(x, carry, far=128):
    """A7, causal, tau = 1."""
    scaled = dict(x, q=x["q"] * np.sqrt(x["q"].shape[2]))
    R = x["bias"].shape[1]

    def scores(t, h, here, a):
        return a + [x["bias"][h, t5_bucket(position(carry) + t - s, R, far)] for s in here]

    return attend(scaled, carry, causal, scores=scores)


def t5_encoder_attention(x, carry, far=128):
    """A7, bidirectional, tau = 1."""
    scaled = dict(x, q=x["q"] * np.sqrt(x["q"].shape[2]))
    R = x["bias"].shape[1]

    def scores(t, h, here, a):
        return a + [x["bias"][h, t5_bucket(abs(s - t), R // 2, far) + (R // 2 if s > t else 0)] for s in here]

    return attend(scaled, None, lambda n: range(len(x["q"])), scores=scores)[0], {}


def relative_key_attention(x, carry):
    """Vectors by clipped distance on keys and values (Shaw et al., 2018, causal)."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = q.shape
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        lag = np.minimum(n - np.arange(n + 1), len(x["rk"]) - 1)
        for h in range(H):
            p = softmax((k[: n + 1, h] + x["rk"][lag]) @ q[t, h] / np.sqrt(K))
            o[t, h] = p @ (v[: n + 1, h] + x["rv"][lag])
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def document_attention(x, carry):
    """A11, causal, ids that need not be sorted."""
    doc, doc_rows = all_rows(carry, "doc_rows", x["doc"])
    out, end = attend(x, carry, lambda n: [s for s in range(n + 1) if doc[s] == doc[n]])
    return out, dict(end, doc_rows=doc_rows)


def prefix_attention(x, carry):
    """A12."""
    T, prefix = len(x["q"]), int(x["len"])
    return attend(x, None, lambda n: [s for s in range(T) if s < prefix or s <= n])[0], {}


def sigmoid_attention(x, carry):
    """A15, causal."""
    return attend(x, carry, causal, weights=lambda t, h, here, a: sigmoid(a + x["b"][h]))


def by_lag(table, lag):
    """Entries of a table at distances of at least 0; zero beyond it."""
    return np.where(lag < len(table), table[np.minimum(lag, len(table) - 1)], 0)


def urpe(x, carry):
    """A16, causal; the factors' table ends with its last distance."""

    def weights(t, h, here, a):
        lag = here[-1] - here
        return softmax(a + by_lag(x["b"][h], lag)) * by_lag(x["c"][h], lag)

    return attend(x, carry, causal, weights=weights)


def gau(x, carry, longest=2048):
    """A18, GAU with the bias inside of the division by the length; gated."""
    q = x["gq"] * x["z"] + x["bq"]
    k, k_rows = all_rows(carry, "k_rows", x["gk"] * x["z"] + x["bk"])
    v, v_rows = all_rows(carry, "v_rows", x["v"])
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        n = position(carry) + t
        a = (k[: n + 1] @ q[t] + by_lag(x["b"], n - np.arange(n + 1))) / longest
        o[t] = x["u"][t] * (np.maximum(a, 0) ** 2 @ v[: n + 1])
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def flash_gau(x, carry, C=256):
    """A18, FLASH: chunks by themselves, and the sum of what earlier chunks hold."""
    k, k_rows = all_rows(carry, "k_rows", x["k"], ring=C)
    kl, kl_rows = all_rows(carry, "kl_rows", x["kl"])
    v, v_rows = all_rows(carry, "v_rows", x["v"])
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        n = position(carry) + t
        chunk = n // C * C
        inside = slice(chunk, n + 1)
        a = k[inside] @ x["q"][t] / C + by_lag(x["b"], n - np.arange(chunk, n + 1))
        state = kl[:chunk].T @ v[:chunk] / C
        o[t] = x["u"][t] * (np.maximum(a, 0) ** 2 @ v[inside] + x["ql"][t] @ state)
    return {"o": o}, {"k_rows": k_rows, "kl_rows": kl_rows, "v_rows": v_rows}


def mega_attention(x, carry):
    """A19's chunked softmax attention with its gate after it; chunks are as long as the bias table."""
    C, K = len(x["b"]), x["z"].shape[1]
    q = x["gq"] * silu(x["z"]) + x["bq"]
    k, k_rows = all_rows(carry, "k_rows", x["gk"] * silu(x["z"]) + x["bk"], ring=C)
    v, v_rows = all_rows(carry, "v_rows", x["v"], ring=C)
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        n = position(carry) + t
        inside = slice(n // C * C, n + 1)
        a = k[inside] @ q[t] / np.sqrt(K) + x["b"][n - np.arange(n // C * C, n + 1)]
        o[t] = x["g"][t] * (softmax(a) @ v[inside])
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def fox(x, carry):
    """A21."""
    lf = -np.log1p(np.exp(-np.abs(x["f"]))) + np.minimum(x["f"], 0)
    before = np.zeros(lf.shape[1]) if carry is None else carry["F.cumsum"]
    F, F_rows = all_rows(carry, "F_rows", before + np.cumsum(lf, axis=0), 1)
    last = F[-1] if len(lf) else before

    def scores(t, h, here, a):
        return a + F[position(carry) + t, h] - F[here, h]

    out, end = attend(x, carry, causal, scores=scores)
    return out, dict(end, F_rows=F_rows, **{"F.cumsum": last})


def lama(x, carry):
    """A36 in the project's definition, with padding."""
    u = x["x"][: int(x["len"])]
    o = np.zeros((len(x["P"]), x["x"].shape[1]))
    g = x["U"] @ x["c"]
    for h in range(len(o)):
        o[h] = softmax(np.array([x["P"][h] @ np.tanh(g * (x["V"] @ row)) for row in u])) @ u
    return {"o": o}, {}


def pointer_network(x, carry):
    """A37, the distribution itself."""
    u, e = x["x"], x["e"]
    p = np.zeros((len(u), len(e)))
    for t in range(len(u)):
        free = np.flatnonzero(~x["taken"][t])
        p[t, free] = softmax(np.array([x["v"] @ np.tanh(x["W1"] @ e[s] + x["W2"] @ u[t]) for s in free]))
    return {"p": p}, {}


def additive_attention(x, carry):
    """A37's score with keys projected outside, its glimpse and its weights."""
    u, k, v = x["x"], x["k"], x["v"]
    valid = min(int(x["len"]), len(k))
    c, p = np.zeros((len(u), v.shape[1])), np.zeros((len(u), len(k)))
    for t in range(len(u)):
        p[t, :valid] = softmax(np.tanh(x["W"] @ u[t] + k[:valid]) @ x["u"])
        c[t] = p[t] @ v
    return {"c": c, "p": p}, {}


def combiner_fixed(x, carry, M=32):
    """A24 (a): one softmax over direct tokens and segments."""
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    q, q_rows = all_rows(carry, "q_rows", x["q"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    scaled = q / np.sqrt(q.shape[2])
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        n = position(carry) + t
        for h in range(o.shape[1]):
            scores, values = [], []
            for c in range(n // M):
                part = slice(c * M, (c + 1) * M)
                query = scaled[part, h].max(axis=0)
                scores.append(scaled[n, h] @ k[part, h].max(axis=0))
                values.append(softmax(k[part, h] @ query) @ v[part, h])
            for s in range(n // M * M, n + 1):
                scores.append(scaled[n, h] @ k[s, h])
                values.append(v[s, h])
            o[t, h] = softmax(np.array(scores)) @ np.array(values)
    return {"o": o}, {"q_rows": q_rows, "k_rows": k_rows, "v_rows": v_rows}


def landmark_attention(x, carry, M=51):
    """A25: groups of content, one for each earlier block, weighted by its landmark's place in the query's own group."""
    q = x["q"]
    k, k_rows = all_rows(carry, "k_rows", x["k"], 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    T, H, K = q.shape
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        block = n // M
        own = [s for s in range(block * M, n + 1) if s % M != M - 1]
        landmarks = [c * M + M - 1 for c in range(block)]
        for h in range(H):
            a = k[: n + 1, h] @ q[t, h] / np.sqrt(K)
            p = softmax(a[landmarks + own])
            o[t, h] = p[block:] @ v[own, h]
            for c in range(block):
                content = slice(c * M, c * M + M - 1)
                o[t, h] += p[c] * (softmax(a[content]) @ v[content, h])
    return {"o": o}, {"k_rows": k_rows, "v_rows": v_rows}


def block_causal_attention(x, carry, M=16):
    """A14: block(j) <= block(i)."""
    T = len(x["q"])
    return attend(x, None, lambda n: range(min(T, (n // M + 1) * M)))[0], {}


def set_prompting(x, carry):
    """A13 with ids of options, and A6's slopes on the positions that are given."""
    option, option_rows = all_rows(carry, "option_rows", x["option"])
    at, at_rows = all_rows(carry, "at_rows", x["at"])

    def hidden(n, s):
        return option[n] != 0 and option[s] != 0 and option[n] != option[s]

    def scores(t, h, here, a):
        return a - x["slope"][h] * (at[position(carry) + t] - at[here])

    out, end = attend(x, carry, lambda n: [s for s in range(n + 1) if not hidden(n, s)], scores=scores)
    return out, dict(end, option_rows=option_rows, at_rows=at_rows)


def quantised(k, code):
    """A32: the nearest code vector of each key, the first of several."""
    return code[np.argmin(np.sum((k[:, None] - code[None]) ** 2, axis=2), axis=1)]


def vq_attention(x, carry):
    """A32, causal, from counts and sums of values a code."""
    q = x["q"]
    T, H, K = q.shape
    kc = np.stack([quantised(x["k"][:, h], x["code"][h]) for h in range(H)], axis=1) if T else x["k"]
    kc, kc_rows = all_rows(carry, "kc_rows", kc, 1)
    v, v_rows = all_rows(carry, "v_rows", x["v"], 1)
    o = np.zeros(x["v"].shape)
    for t in range(T):
        n = position(carry) + t
        for h in range(H):
            codes, which = np.unique(kc[: n + 1, h], axis=0, return_inverse=True)
            count = np.bincount(which.ravel())
            mean = np.stack([v[: n + 1, h][which.ravel() == c].mean(axis=0) for c in range(len(codes))])
            o[t, h] = softmax(codes @ q[t, h] / np.sqrt(K) + np.log(count)) @ mean
    return {"o": o}, {"kc_rows": kc_rows, "v_rows": v_rows}


def long_vq(x, carry, longest=64):
    """A32, LongVQ in the project's definition with A18's Laplace function, causal."""
    erf = np.vectorize(math.erf, otypes=[float])
    kc, kc_rows = all_rows(carry, "kc_rows", quantised(x["k"], x["code"]))
    v, v_rows = all_rows(carry, "v_rows", x["v"])
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        n = position(carry) + t
        a = kc[: n + 1] @ x["q"][t] / longest
        o[t] = silu(x["g"][t]) * (0.5 * (1 + erf((a - 0.707107) / (0.282095 * math.sqrt(2)))) @ v[: n + 1])
    return {"o": o}, {"kc_rows": kc_rows, "v_rows": v_rows}


def seqboat(x, carry, W=128):
    """A20's attention over the compressed sequence, causal with W + 1 places, scattered back and scaled."""
    on, on_rows = all_rows(carry, "active_rows", (x["route"] > 0))
    before = 0.0 if carry is None else float(carry["n.cumsum"])
    n, n_rows = all_rows(carry, "n_rows", np.floor(before + np.cumsum(x["route"] > 0)).astype(np.int64))
    k, k_rows = all_rows(carry, "k_rows", x["k"])
    v, v_rows = all_rows(carry, "v_rows", x["v"])
    K = x["q"].shape[1]
    o = np.zeros(x["v"].shape)
    for t in range(len(o)):
        here = position(carry) + t
        if on[here]:
            seen = [s for s in range(here + 1) if on[s] and n[here] - n[s] <= W]
            attended = softmax(k[seen] @ x["q"][t] / np.sqrt(K)) @ v[seen]
            o[t] = sigmoid(x["route"][t] / float(x["temperature"])) * x["g"][t] * attended
    end = {"active_rows": on_rows, "n_rows": n_rows, "k_rows": k_rows, "v_rows": v_rows}
    return {"o": o}, dict(end, **{"n.cumsum": np.float64(before + np.sum(x["route"] > 0))})


def set_attention(x, carry):
    """A41, process steps; the gates' inputs come in besides."""
    u, m = x["x"], x["m"]
    T, _, D = u.shape
    h, c, r = (start(carry, name, (D,)) for name in "hcr")
    out = {"h": np.zeros((T, D)), "r": np.zeros((T, D))}
    for t in range(T):
        i, f, g, o = (u[t, n] + x["b"][n] + x["W"][n] @ h + x["R"][n] @ r for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        r = softmax(m @ h) @ m
        out["h"][t], out["r"][t] = h, r
    return out, {"h": h, "c": c, "r": r}
