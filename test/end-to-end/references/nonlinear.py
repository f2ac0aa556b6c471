"""Recurrences with a nonlinear function of the state."""

import numpy as np

from .common import sigmoid, softplus, start


def elman(x, carry):
    """Recurrences 9.1, a block a head."""
    u = x["x"]
    T, H, D = u.shape
    y = start(carry, "h", (H, D))
    o = np.zeros(u.shape)
    for t in range(T):
        for h in range(H):
            y[h] = np.tanh(u[t, h] + x["R"][h] @ y[h] + x["b"][h])
        o[t] = y
    return {"h": o}, {"h": y}


def lstm(x, carry):
    """Recurrences 9.2, biases folded into the inputs."""
    T, H, D = x["xi"].shape
    y, c = start(carry, "h", (H, D)), start(carry, "c", (H, D))
    o = np.zeros((T, H, D))
    for t in range(T):
        for h in range(H):
            i = sigmoid(x["xi"][t, h] + x["Ri"][h] @ y[h])
            f = sigmoid(x["xf"][t, h] + x["Rf"][h] @ y[h])
            z = np.tanh(x["xz"][t, h] + x["Rz"][h] @ y[h])
            out = sigmoid(x["xo"][t, h] + x["Ro"][h] @ y[h])
            c[h] = f * c[h] + i * z
            y[h] = out * np.tanh(c[h])
        o[t] = y
    return {"h": o}, {"h": y, "c": c}


def gru(x, carry):
    """Recurrences 9.3: reset after the recurrent product, z keeps the state."""
    T, H, D = x["xr"].shape
    y = start(carry, "h", (H, D))
    o = np.zeros((T, H, D))
    for t in range(T):
        for h in range(H):
            g = x["Rn"][h] @ y[h] + x["bn"][h]
            r = sigmoid(x["xr"][t, h] + x["Rr"][h] @ y[h])
            z = sigmoid(x["xz"][t, h] + x["Rz"][h] @ y[h])
            y[h] = z * y[h] + (1 - z) * np.tanh(x["xn"][t, h] + r * g)
        o[t] = y
    return {"h": o}, {"h": y}


def slstm(x, carry):
    """Recurrences 9.4; the first step of the entry (n == 0) is m = -inf here."""
    T, H, D = x["xi"].shape
    y, c, n = start(carry, "y", (H, D)), start(carry, "c", (H, D)), start(carry, "u", (H, D))
    m = start(carry, "m", (H, D), -np.inf)
    out = np.zeros((T, H, D))
    for t in range(T):
        for h in range(H):
            i = x["xi"][t, h] + x["Ri"][h] @ y[h]
            f = x["xf"][t, h] + x["Rf"][h] @ y[h]
            z = np.tanh(x["xz"][t, h] + x["Rz"][h] @ y[h])
            o = sigmoid(x["xo"][t, h] + x["Ro"][h] @ y[h])
            lf = m[h] - softplus(-f)
            m[h] = np.maximum(i, lf)
            c[h] = np.exp(lf - m[h]) * c[h] + np.exp(i - m[h]) * z
            n[h] = np.exp(lf - m[h]) * n[h] + np.exp(i - m[h])
            y[h] = o * c[h] / n[h]
        out[t] = y
    return {"y": out}, {"y": y, "c": c, "u": n, "m": m}


def sru_recurrent_gates(x, carry):
    """Recurrences 9.5, act = identity: both gates read the old state."""
    u = x["u"]
    T, D = u.shape
    c = start(carry, "c", (D,))
    h = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            f = sigmoid(x["uf"][t, d] + x["vf"][d] * c[d] + x["bf"][d])
            r = sigmoid(x["ur"][t, d] + x["vr"][d] * c[d] + x["br"][d])
            c[d] = f * c[d] + (1 - f) * u[t, d]
            h[t, d] = r * c[d] + (1 - r) * x["x"][t, d]
    return {"h": h}, {"c": c}


def paragru(x, carry):
    """Recurrences 9.6."""
    T, D = x["xz"].shape
    h = start(carry, "h", (D,))
    o = np.zeros((T, D))
    for t in range(T):
        z = sigmoid(x["Az"] * h + x["xz"][t])
        r = sigmoid(x["Ar"] * h + x["xr"][t])
        h = h + z * (np.tanh(x["Ac"] * h * r + x["xc"][t]) - h)
        o[t] = h
    return {"h": o}, {"h": h}


def paralstm(x, carry):
    """Recurrences 9.7."""
    T, D = x["xf"].shape
    c, h = start(carry, "c", (D,)), start(carry, "h", (D,))
    out = np.zeros((T, D))
    for t in range(T):
        f = sigmoid(x["Af"] * h + x["Cf"] * c + x["xf"][t])
        g = np.tanh(x["Ac"] * h + x["xc"][t])
        c = f * c + (1 - f) * g
        o = sigmoid(x["Ao"] * h + x["Co"] * c + x["xo"][t])
        h = o * np.tanh(c)
        out[t] = h
    return {"h": out}, {"c": c, "h": h}
