"""Mixers without a state: what they carry is a window of earlier inputs."""

import numpy as np

from .common import sigmoid, silu, with_past


def short_convolution(x, carry):
    """Recurrences 0, W1, with c indexed by the distance back in time."""
    u, c = x["x"], x["c"]
    T, D = u.shape
    W = c.shape[1]
    rows, window = with_past(carry, "x_window", u, W - 1)
    y = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            y[t, d] = silu(x["bias"][d] + np.dot(c[d, ::-1], rows[t : t + W, d]))
    return {"y": y}, {"x_window": window}


def ar_net(x, carry):
    """Recurrences 7.12: y_t = b + sum_{i=1..p} w_i x_{t-i}."""
    u, w = x["x"], x["w"]
    p = len(w)
    rows, window = with_past(carry, "x_window", u, p)
    y = np.zeros(len(u))
    for t in range(len(u)):
        y[t] = float(x["bias"])
        for i in range(1, p + 1):
            y[t] += w[i - 1] * rows[p + t - i]
    return {"y": y}, {"x_window": window}


def rwkv_channel_mix(x, carry):
    """Recurrences 0, W3, and the channel mixing of RWKV-4 (its published code): y = sigma(r) * Wv relu(Wk xk)^2."""
    u = x["x"]
    rows, window = with_past(carry, "x_window", u, 1)
    y = np.zeros(u.shape)
    for t in range(len(u)):
        last, now = rows[t], rows[t + 1]
        xk = now * x["mu_k"] + last * (1 - x["mu_k"])
        xr = now * x["mu_r"] + last * (1 - x["mu_r"])
        k = np.square(np.maximum(x["Wk"] @ xk, 0))
        y[t] = sigmoid(x["Wr"] @ xr) * (x["Wv"] @ k)
    return {"y": y}, {"x_window": window}
