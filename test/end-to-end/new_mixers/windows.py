"""Loops for windows over inputs, definitions and reads, and for outputs without the time."""

import numpy as np

from references.common import sigmoid, start, with_past


def window_where(x, carry):
    u, doc = x["x"], x["doc"]
    T, D = u.shape
    W = x["c"].shape[1]
    rows, x_window = with_past(carry, "x_window", u, W - 1)
    docs, doc_window = with_past(carry, "doc_window", doc, W - 1)
    first = 0 if carry is None else int(carry["position"])
    h = start(carry, "h", (D,))
    out, y = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        now = t + W - 1
        for w in range(W):
            if docs[now - w] == doc[t] and w <= first + t:
                y[t] += x["c"][:, w] * rows[now - w]
        h = sigmoid(x["f"][t]) * h + y[t] - np.max([rows[now - w] for w in range(W) if w != 2], axis=0)
        out[t] = h
    return {"h": out, "y": y}, {"h": h, "x_window": x_window, "doc_window": doc_window.astype(np.int64)}


def timeless_outputs(x, carry):
    u, done, tok = x["x"], x["done"], x["tok"]
    T, H, D = u.shape
    h = start(carry, "h", (H, D))
    last = np.zeros(H, dtype=np.int64) if carry is None else carry["tok_window"][:, 0]
    c = x["s"] * x["n"][:, None] - np.exp(x["a"])
    y, f, k = np.zeros(u.shape), np.zeros((T, H), dtype=bool), np.zeros((T, H), dtype=np.int32)
    for t in range(T):
        for i in range(H):
            kept = 0 if done[t, i] else np.exp(-np.exp(x["a"])) * h[i]
            h[i] = kept + u[t, i]
            y[t, i] = h[i] + c[i]
            f[t, i] = tok[t, i] > 1 if done[t, i] else tok[t, i] == 0
            k[t, i] = 2 * tok[t, i] + last[i] // 2
        last = tok[t]
    end = {"h": h, "tok_window": np.asarray(last, dtype=np.int64)[:, None]}
    return {"y": y, "c": c, "e": x["b"] * np.sum(c, axis=1), "f": f, "k": k}, end
