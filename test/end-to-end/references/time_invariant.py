"""Systems whose transition does not depend on the token; complex ones are computed with complex numbers."""

import numpy as np

from .common import sigmoid, silu, start


def mega_ema(x, carry):
    """Recurrences 7.10, one direction."""
    u = x["u"]
    T, D = u.shape
    p, a = sigmoid(x["delta"]), sigmoid(x["alpha"])
    N = p.shape[1]
    h = start(carry, "h", (D, N))
    y = np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            h[d] = (1 - p[d] * a[d]) * h[d] + p[d] * x["beta"][d] * u[t, d]
            y[t, d] = silu(np.sqrt(1 / N) * np.sum(x["gamma"][d] * h[d]) + x["omega"][d] * u[t, d])
    return {"y": y}, {"h": h}


def lru(x, carry):
    """Recurrences 7.7: lam = exp(-exp(nu_log) + i exp(theta_log)), no factor 2."""
    u = x["u"]
    T = u.shape[0]
    N = x["nu_log"].shape[0]
    lam = np.exp(-np.exp(x["nu_log"]) + 1j * np.exp(x["theta_log"]))
    B = x["Br"] + 1j * x["Bi"]
    C = x["Cr"] + 1j * x["Ci"]
    s = start(carry, "x", (N,)) + 1j * start(carry, "y", (N,))
    o = np.zeros(u.shape)
    for t in range(T):
        s = lam * s + np.exp(x["gamma_log"]) * (B @ u[t])
        o[t] = (C @ s).real + x["skip"] * u[t]
    return {"o": o}, {"x": s.real, "y": s.imag}


def s4d(x, carry):
    """Recurrences 7.3, zero-order hold, B = 1, twice the real part."""
    u = x["u"]
    T, D = u.shape
    A = -np.exp(x["re_log"]) + 1j * x["im"]
    C = x["Cr"] + 1j * x["Ci"]
    N = A.shape[1]
    s = start(carry, "x", (D, N)) + 1j * start(carry, "y", (D, N))
    o = np.zeros((T, D))
    for d in range(D):
        dt = np.exp(x["dt_log"][d])
        a_bar = np.exp(dt * A[d])
        b_bar = (a_bar - 1) / A[d]
        for t in range(T):
            s[d] = a_bar * s[d] + b_bar * u[t, d]
            o[t, d] = 2 * np.sum(C[d] * s[d]).real + x["skip"][d] * u[t, d]
    return {"o": o}, {"x": s.real, "y": s.imag}


def s5_resets(x, carry):
    """Recurrences 7.5 and 7.6: zero-order hold, the state dropped where done."""
    u, done = x["u"], x["done"]
    T = u.shape[0]
    lam = -np.exp(x["re_log"]) + 1j * x["im"]
    lam_bar = np.exp(lam * np.exp(x["step_log"]))
    B_bar = ((lam_bar - 1) / lam)[:, None] * (x["Br"] + 1j * x["Bi"])
    C = x["Cr"] + 1j * x["Ci"]
    s = start(carry, "x", lam.shape) + 1j * start(carry, "y", lam.shape)
    o = np.zeros(u.shape)
    for t in range(T):
        s = (1 - int(done[t])) * lam_bar * s + B_bar @ u[t]
        o[t] = 2 * (C @ s).real + x["skip"] * u[t]
    return {"o": o}, {"x": s.real, "y": s.imag}
