"""Loops for elementwise, selective, time-invariant and max-carried states."""

import numpy as np

from references.common import sigmoid, softplus, start


def bidirectional_elementwise(x, carry):
    u = x["x"]
    T, D = u.shape
    h, g = start(carry, "h", (D,)), start(carry, "g", (D,))
    y = np.zeros((T, D))
    for t in range(T):
        h = sigmoid(x["f"][t]) * h + u[t]
        y[t] += h
    for t in reversed(range(T)):
        before = sigmoid(x["r"][t]) * g
        y[t] += before
        g = before + u[t]
    return {"y": y}, {"h": h, "g": g}


def scalar_state(x, carry):
    T, H = x["x"].shape
    h = start(carry, "h", (H,), 0.5)
    o = np.zeros((T, H))
    for t in range(T):
        for a in range(H):
            f = sigmoid(x["f"][t, a])
            h[a] = x["x"][t, a] + f * (h[a] - x["x"][t, a])
            o[t, a] = h[a]
    return {"h": o}, {"h": h}


def periodic(x, carry):
    u = x["x"]
    T, D = u.shape
    P = x["table"].shape[0]
    h = start(carry, "h", (D,))
    y = np.zeros((T, D))
    for n in range(T):
        t = n + (0 if carry is None else int(carry["position"]))
        kept = np.zeros(D) if t % 4 == 0 else sigmoid(x["f"][n]) * h
        h = kept + u[n] + x["table"][t % P]
        y[n] = h / (1 + t // 4)
    return {"y": y}, {"h": h}


def relative_position(x, carry):
    u = x["x"]
    T, D = u.shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        a = sigmoid(x["f"][t] + 2 * t / T - 1)
        h = a * h + (1 - a) * u[t]
        o[t] = h
    return {"h": o}, {"h": h}


def embedding(x, carry):
    T, D = x["f"].shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        h = sigmoid(x["f"][t]) * h + x["table"][int(x["token"][t])]
        o[t] = h
    return {"h": o}, {"h": h}


def data_dependent_rotation(x, carry):
    u = x["u"]
    T, D = u.shape
    s = start(carry, "x", (D,)) + 1j * start(carry, "y", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        s = sigmoid(x["f"][t]) * np.exp(1j * x["w"][t]) * s + u[t]
        o[t] = s.real + 0.5 * s.imag
    return {"o": o}, {"x": s.real, "y": s.imag}


def dense_memory(x, carry):
    u = x["u"]
    T, D = u.shape
    m = start(carry, "m", (D, len(x["b"])))
    y = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            m[d] = x["A"] @ m[d] + x["b"] * u[t, d]
            y[t, d] = x["c"][d] @ m[d]
    return {"y": y}, {"m": m}


def oscillator(x, carry):
    u = x["x"]
    T, D = u.shape
    p, s = start(carry, "p", (D,)), start(carry, "s", (D,))
    positions, speeds = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        force = u[t] - x["stiffness"] * p - x["damping"] * s
        s = s + 0.5 * force
        p = p + 0.5 * s
        positions[t], speeds[t] = p, s
    return {"p": positions, "s": speeds}, {"p": p, "s": s}


def log_space(x, carry):
    u, f = x["x"], x["f"]
    T, D = u.shape
    l = start(carry, "l", (D,), -np.inf)
    o = np.zeros((T, D))
    for t in range(T):
        a, b = l - softplus(-f[t]), u[t] - softplus(f[t])
        l = np.maximum(a, b) + np.log1p(np.exp(-np.abs(a - b)))
        o[t] = l
    return {"l": o}, {"l": l}


def max_plus(x, carry):
    u, a = x["x"], x["a"]
    T, D = u.shape
    m = start(carry, "m", (D,), -np.inf)
    o = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            m[d] = max(m[d] + a[t, d], u[t, d])
        o[t] = m
    return {"m": o}, {"m": m}


def softmax_pool(x, carry):
    """The state is stored relative to its running maximum; the mean itself does not depend on it."""
    s, v, rate = x["s"], x["v"], x["rate"]
    T, D = s.shape
    m = start(carry, "m", (D,), -np.inf)
    n, c = start(carry, "n", (D,)), start(carry, "c", (D,))
    y = np.zeros((T, D))
    for t in range(T):
        old, m = m, np.maximum(m - rate, s[t])
        keep, add = np.exp(old - rate - m), np.exp(s[t] - m)
        n, c = keep * n + add, keep * c + add * v[t]
        y[t] = c / n
    return {"y": y}, {"m": m, "n": n, "c": c}


def selective_two_outputs(x, carry):
    u = x["x"]
    T, D = u.shape
    N = x["Bm"].shape[1]
    h = start(carry, "h", (D, N))
    y, r = np.zeros((T, D)), np.zeros((T, N))
    for t in range(T):
        for d in range(D):
            dt = softplus(x["delta"][t, d])
            h[d] = np.exp(-np.exp(x["A_log"][d]) * dt) * h[d] + dt * x["Bm"][t] * u[t, d]
            y[t, d] = x["Cm"][t] @ h[d]
        r[t] = np.mean(h**2, axis=0)
    return {"y": y, "r": r}, {"h": h}


def look_ahead(x, carry):
    u = x["x"]
    T, D = u.shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        following = u[t + 1] if t + 1 < T else np.zeros(D)
        h = sigmoid(x["f"][t]) * h + u[t] + x["c"] * following
        o[t] = h
    return {"h": o}, {"h": h}
