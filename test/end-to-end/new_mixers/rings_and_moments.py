"""Loops for coupled channels: rings, moments, extents, cells a channel."""

import numpy as np

from references.common import sigmoid, silu, start, with_past


def _vectors(x, D, carry, **initial):
    return [start(carry, name, (D,), value) for name, value in initial.items()]


def ring_of_three(x, carry):
    T, D = x["x"].shape
    a, b, c = _vectors(x, D, carry, a=0, b=1, c=-0.5)
    y, cs = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        an = sigmoid(x["f"][t]) * a + 0.3 * c + x["x"][t]
        bn = x["p"] * b + (1 - x["p"]) * an
        cn = 0.5 * sigmoid(x["g"][t]) * c - 0.2 * b + 0.1 * a
        y[t], cs[t] = an + b - 2 * cn, cn
        a, b, c = an, bn, cn
    return {"y": y, "c": cs}, {"a": a, "b": b, "c": c}


def gated_channels(x, carry):
    T, D = x["x"].shape
    (h,) = _vectors(x, D, carry, h=0.25)
    gate = x["low"] + (1 - x["low"]) * sigmoid(x["f"])
    xs, xw = with_past(carry, "x_window", x["x"], 1)
    gates, gw = with_past(carry, "a_window", gate, 1)
    # Before the first token a definition that is read at t - 1 is zero, as inputs are.
    y = np.zeros((T, D))
    for t in range(T):
        old = h
        h = gate[t] * np.exp(x["e"][t]) * h + (1 - gate[t]) * np.tanh(x["x"][t])
        h = h + 0.5 * (1 - gates[t]) * np.tanh(xs[t])
        y[t] = silu(x["o"][t]) * h - old
    return {"y": y}, {"h": h, "x_window": xw, "a_window": gw}


def adaptive_moments(x, carry, b1, b2):
    T, D = x["x"].shape
    m, v, w = _vectors(x, D, carry, m=0, v=0, w=0)
    c = start(carry, "c", ())
    ws, ms = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        m = b1 * m + (1 - b1) * x["x"][t]
        v = b2 * v + (1 - b2) * x["x"][t] ** 2
        c = b2 * c + (1 - b2)
        w = 0.999 * w - 0.01 * m / np.sqrt(v / (c + 1e-4) + 0.01)
        ws[t], ms[t] = w, m
    return {"w": ws, "m": ms}, {"m": m, "v": v, "c": c, "w": w}


def leaking_extent(x, carry):
    T, D = x["x"].shape
    lo, hi = _vectors(x, D, carry, lo=0, hi=0)
    y = np.zeros((T, D))
    for t in range(T):
        leak = 0.1 * x["g"][t] * (hi - lo)
        lo, hi = np.minimum(lo + leak, x["x"][t]), np.maximum(hi - leak, x["x"][t])
        y[t] = (x["x"][t] - lo) / (hi - lo + 0.5)
    return {"y": y}, {"lo": lo, "hi": hi}


def liquid_channels(x, carry):
    T, D = x["x"].shape
    (h,) = _vectors(x, D, carry, h=0)
    hs = np.zeros((T, D))
    for t in range(T):
        f = sigmoid(x["w"] * h + x["x"][t] + x["b"])
        h = (h + x["dt"][t] * f * x["a"]) / (1 + x["dt"][t] * (1 / x["tau"] + f))
        hs[t] = h
    return {"h": hs}, {"h": h}


def taps_both_sides(x, carry):
    T, D = x["x"].shape
    (r,) = _vectors(x, D, carry, r=0)
    a = sigmoid(x["g"])
    xs, xw = with_past(carry, "x_window", x["x"], 3)
    gates, aw = with_past(carry, "a_window", a, 1)
    y = np.zeros((T, D))
    for t in reversed(range(T)):
        ahead = x["x"][t + 2] if t + 2 < T else 0
        y[t] = x["w"] * xs[t] + ahead * gates[t] + r
        r = (a[t + 1] if t + 1 < T else 0) * r + (1 - a[t]) * x["x"][t]
    return {"y": y}, {"r": r, "x_window": xw, "a_window": aw}


def surprise(x, carry):
    T, H, D = x["s"].shape
    L = start(carry, "L", (H, D), -np.inf)
    y, Ls = np.zeros((T, H, D)), np.zeros((T, H, D))
    for t in range(T):
        old, s = L, x["s"][t]
        L = np.logaddexp(L + x["g"][t][:, None], s)
        y[t] = -np.log(1e-4 + np.exp(s - L)) + (s > old)
        Ls[t] = L
    return {"y": y, "L": Ls}, {"L": L}


def shifting_channels(x, carry):
    T, D = x["x"].shape
    (h,) = _vectors(x, D, carry, h=0)
    hs = np.zeros((T, D))
    for t in range(T):
        one, two = np.zeros(D), np.zeros(D)
        one[1:], two[2:] = h[:-1], h[:-2]
        a = sigmoid(x["g"][t])
        h = a * h + 0.5 * (1 - a) * one + 0.25 * np.tanh(two) + x["x"][t]
        hs[t] = h
    return {"h": hs}, {"h": h}


def second_order_cell(x, carry):
    T, H, D = x["x"].shape
    h = start(carry, "h", (H, D))
    hs = np.zeros((T, H, D))
    for t in range(T):
        for n in range(H):
            r, l = x["W"][n] @ h[n], x["s"][n] @ h[n] / np.sqrt(D)
            p = np.tanh(x["x"][t, n] + r + l * (x["U"][n] @ h[n]))
            z = sigmoid(x["z"][t, n] - l)
            h[n] = z * h[n] + (1 - z) * p
        hs[t] = h
    return {"h": hs}, {"h": h}
