"""Gated sums a channel."""

import numpy as np

from .common import sigmoid, silu, softplus, start, with_past


def hgrn(x, carry):
    """Recurrences 2.1, real core."""
    raw, f, lb = x["x"], x["f"], x["lb"]
    T, D = raw.shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        forget = lb + (1 - lb) * sigmoid(f[t])
        h = forget * h + silu(raw[t]) * (1 - lb) * sigmoid(-f[t])
        o[t] = h
    return {"h": o}, {"h": h}


def mingru(x, carry):
    """Recurrences 2.2, linear-space step with g(x) = x + 0.5 or sigma(x)."""
    hid, gate = x["x"], x["z"]
    T, D = hid.shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            candidate = hid[t, d] + 0.5 if hid[t, d] >= 0 else float(sigmoid(hid[t, d]))
            z = float(sigmoid(gate[t, d]))
            h[d] = (1 - z) * h[d] + z * candidate
        o[t] = h
    return {"h": o}, {"h": h}


def minlstm(x, carry):
    """Recurrences 2.3: f / (f + i) and i / (f + i), formed from logarithms."""
    hid, f, i = x["x"], x["f"], x["i"]
    T, D = hid.shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        log_f, log_i = -softplus(-f[t]), -softplus(-i[t])
        total = np.logaddexp(log_f, log_i)
        candidate = np.where(hid[t] >= 0, hid[t] + 0.5, sigmoid(hid[t]))
        h = np.exp(log_f - total) * h + np.exp(log_i - total) * candidate
        o[t] = h
    return {"h": o}, {"h": h}


def qrnn(x, carry):
    """Recurrences 2.4, fo-pooling, f keeps the state, causal convolution of width W."""
    u, Wz, Wf, Wo = x["x"], x["Wz"], x["Wf"], x["Wo"]
    T, D = u.shape
    W = Wz.shape[0]
    rows, window = with_past(carry, "x_window", u, W - 1)
    c = start(carry, "c", (D,))
    h = np.zeros((T, D))
    for t in range(T):
        now = t + W - 1
        z = np.tanh(sum(Wz[w] @ rows[now - w] for w in range(W)))
        f = sigmoid(sum(Wf[w] @ rows[now - w] for w in range(W)))
        out = sigmoid(sum(Wo[w] @ rows[now - w] for w in range(W)))
        c = f * c + (1 - f) * z
        h[t] = out * c
    return {"h": h}, {"c": c, "x_window": window}


def sru(x, carry):
    """Recurrences 2.5, act = tanh, scale 1."""
    u, uf, ur, skip = x["u"], x["uf"], x["ur"], x["x"]
    T, D = u.shape
    c = start(carry, "c", (D,))
    h = np.zeros((T, D))
    for t in range(T):
        f = sigmoid(uf[t] + x["bf"])
        r = sigmoid(ur[t] + x["br"])
        c = f * c + (1 - f) * u[t]
        h[t] = r * np.tanh(c) + (1 - r) * skip[t]
    return {"h": h}, {"c": c}


def rglru(x, carry):
    """Recurrences 2.6: block-diagonal gates (a block a head), c = 8, reset where the position is 0."""
    u, pos = x["x"], x["pos"]
    T, H, D = u.shape
    h = start(carry, "h", (H, D))
    o = np.zeros((T, H, D))
    for t in range(T):
        for b in range(H):
            rec = sigmoid(x["Wa"][b] @ u[t, b] + x["ba"][b])
            inp = sigmoid(x["Wx"][b] @ u[t, b] + x["bx"][b])
            log_a = -8 * rec * softplus(x["lambda"][b])
            if pos[t] == 0:
                h[b] = inp * u[t, b]
            else:
                h[b] = np.exp(log_a) * h[b] + np.sqrt(-np.expm1(2 * log_a)) * inp * u[t, b]
        o[t] = h
    return {"h": o}, {"h": h}
