"""Loops in complex numbers for states that the files hold as two reals."""

import numpy as np

from references.common import softplus, start


def complex_low_rank(x, carry):
    u = x["u"]
    T, D = u.shape
    N = x["ar"].shape[0]
    s = start(carry, "x", (D, N)) + 1j * start(carry, "y", (D, N))
    o = np.zeros((T, D))
    A = np.diag(x["ar"] + 1j * x["ai"]) - np.outer(x["p"], x["q"])
    for t in range(T):
        s = s @ A.T + np.outer(u[t], x["b"])
        o[t] = 2 * np.real(((x["cr"] + 1j * x["ci"]) * s).sum(1)) + x["skip"] * u[t]
    return {"o": o}, {"x": s.real, "y": s.imag}


def complex_selective(x, carry):
    T, D = x["x"].shape
    N = x["Br"].shape[1]
    h = start(carry, "hr", (D, N)) + 1j * start(carry, "hi", (D, N))
    y = np.zeros((T, D))
    A = -np.exp(x["ar"]) + 1j * x["ai"]
    for t in range(T):
        dt = softplus(x["delta"][t])
        h = np.exp(dt[:, None] * A) * h + np.outer(dt * x["x"][t], x["Br"][t] + 1j * x["Bi"][t])
        y[t] = 2 * np.real(h @ (x["Cr"][t] + 1j * x["Ci"][t]))
    return {"y": y}, {"hr": h.real, "hi": h.imag}


def tabled_decay(x, carry):
    v = x["v"]
    T, H, V = v.shape
    M = x["qa"].shape[2]
    S = start(carry, "X", (H, M, V)) + 1j * start(carry, "Y", (H, M, V))
    o = np.zeros((T, H, V))
    th = 100.0 ** (-np.arange(M) / M)
    t0 = 0 if carry is None else int(carry["position"])
    for t in range(T):
        turn = np.exp(1j * (t + t0) * th)
        l = x["level"][t]
        for h in range(H):
            k = x["ka"][t, h] + 1j * x["kb"][t, h]
            strength = x["amp"][h, l[h]] + x["amp"][h, 1]
            S[h] = np.exp(x["rate"][h, l[h]]) * S[h] + strength * np.outer(k * turn, v[t, h])
            q = (x["qa"][t, h] + 1j * x["qb"][t, h]) * turn
            o[t, h] = q.real @ S[h].real + q.imag @ S[h].imag
    return {"o": o}, {"X": S.real, "Y": S.imag}
