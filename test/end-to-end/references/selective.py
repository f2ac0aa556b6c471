"""Selective state spaces."""

import numpy as np

from .common import sigmoid, silu, softplus, start


def mamba(x, carry):
    """Recurrences 6.1: zero-order hold for A, Euler for B, skip, gate silu(z)."""
    u, z = x["x"], x["z"]
    T, D = u.shape
    N = x["Bm"].shape[1]
    A = -np.exp(x["A_log"])
    h = start(carry, "h", (D, N))
    y = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            dt = softplus(x["delta"][t, d] + x["bias"][d])
            h[d] = np.exp(dt * A[d]) * h[d] + dt * u[t, d] * x["Bm"][t]
            y[t, d] = (h[d] @ x["Cm"][t] + x["skip"][d] * u[t, d]) * silu(z[t, d])
    return {"y": y}, {"h": h}


def mamba2(x, carry):
    """Recurrences 3.4 with a group of two heads, no norm, gate silu(z)."""
    u, z = x["x"], x["z"]
    T, H, P = u.shape
    N = x["Bm"].shape[2]
    S = start(carry, "S", (H, P, N))
    y = np.zeros((T, H, P))
    for t in range(T):
        for h in range(H):
            b, c = x["Bm"][t, h // 2], x["Cm"][t, h // 2]
            dt = softplus(x["delta"][t, h] + x["dt_bias"][h])
            S[h] = np.exp(-dt * np.exp(x["A_log"][h])) * S[h] + np.outer(dt * u[t, h], b)
            y[t, h] = (S[h] @ c + x["skip"][h] * u[t, h]) * silu(z[t, h])
    return {"y": y}, {"S": S}


def longhorn(x, carry):
    """Recurrences 6.2, diagonal form."""
    u, k, q = x["x"], x["k"], x["q"]
    T, D = u.shape
    h = start(carry, "h", (D, k.shape[1]))
    y = np.zeros((T, D))
    for t in range(T):
        beta = sigmoid(x["b"][t] + x["bias"])
        eps = beta / (1 + beta * (k[t] @ k[t]))
        for d in range(D):
            h[d] = (1 - eps[d] * k[t] ** 2) * h[d] + eps[d] * k[t] * u[t, d]
        y[t] = (h @ q[t] + x["skip"] * u[t]) * silu(x["z"][t])
    return {"y": y}, {"h": h}


def hydra(x, carry):
    """Attention and matrices B10: two scans read one token late, and the diagonal; dt = softplus(. + bias)."""
    u = x["x"]
    T, H, P = u.shape
    N = x["Bf"].shape[2]
    F, R = start(carry, "F", (H, N, P)), start(carry, "R", (H, N, P))
    late = start(carry, "f_window", (H, 1, P))
    y = np.zeros((T, H, P))
    for h in range(H):
        A = -np.exp(x["A_log"][h])
        for t in range(T):
            y[t, h] += (x["skip"][h] + x["w"][t, h]) * u[t, h] + late[h, 0]
            dt = softplus(x["df"][t, h] + x["bias"][h])
            F[h] = np.exp(dt * A) * F[h] + dt * np.outer(x["Bf"][t, h], u[t, h])
            late[h, 0] = x["Cf"][t, h] @ F[h]
        early = np.zeros(P)
        for t in reversed(range(T)):
            y[t, h] += early
            dt = softplus(x["dr"][t, h] + x["bias"][h])
            R[h] = np.exp(dt * A) * R[h] + dt * np.outer(x["Br"][t, h], u[t, h])
            early = x["Cr"][t, h] @ R[h]
    return {"y": y}, {"F": F, "R": R, "f_window": late}
