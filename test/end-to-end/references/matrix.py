"""Structured matrices over the positions, each built densely and multiplied."""

import numpy as np

from .common import all_rows, position, softplus, start, with_past


def low_rank_matrix(x, carry, longest=512):
    """B8: K^T V first."""
    u = x["x"]
    state = np.einsum("shr,shp->hrp", x["k"], u)
    return {"y": np.einsum("thr,hrp->thp", x["q"], state) / np.sqrt(longest * x["q"].shape[2]) + u}, {}


def toeplitz_causal(x, carry):
    """B2 and B3 with a filter as given."""
    u, rows = all_rows(carry, "x_rows", x["x"])
    y = np.zeros(x["x"].shape)
    for t in range(len(y)):
        n = position(carry) + t
        for lag in range(n + 1):
            y[t] += x["f"][lag] * u[n - lag]
    return {"y": y}, {"x_rows": rows}


def toeplitz_two_sided(x, carry, longest=512):
    """B2, the intended matrix, with its scale and residual."""
    u = x["x"]
    T, H, _ = u.shape
    y = u.copy()
    for h in range(H):
        M = np.array([[x["f"][h, i - j] if i >= j else x["r"][h, j - i] for j in range(T)] for i in range(T)]).reshape(T, T)
        y[:, h] += 0.5 / np.sqrt(longest) * M @ u[:, h]
    return {"y": y}, {}


def short(x, carry, name, filter):
    """A causal depthwise filter; the window that carries it on."""
    W = len(filter)
    rows, window = with_past(carry, f"{name}_window", x[name], W - 1)
    return sum(filter[w] * rows[W - 1 - w : len(rows) - w] for w in range(W)), window


def circulant_matrix(x, carry):
    """B5, by the Fourier transform."""
    u = x["x"]
    T = len(u)
    y = np.fft.ifft(np.fft.fft(u, axis=0) * np.fft.fft(x["c"][:T], axis=0), axis=0).real if T else np.zeros(u.shape)
    return {"y": y}, {}


def cauchy_matrix(x, carry, longest=512):
    """B6, data-dependent."""
    u = x["x"]
    T, H, R = x["q"].shape
    y = u.copy()
    for h in range(H):
        a, b = np.exp(x["q"][:, h]) + x["beta"][h], np.exp(x["k"][:, h]) + x["beta"][h]
        M = np.sum(1 / (a[:, None] + b[None] + 1e-8), axis=2)
        y[:, h] += M @ u[:, h] / np.sqrt(longest * R)
    return {"y": y}, {}


def vandermonde_matrix(x, carry, longest=512, eps=0.001):
    """B7, data-dependent."""
    u = x["x"]
    T, H, R = x["q"].shape
    n = np.arange(T)
    y = u.copy()
    for h in range(H):
        q, k = x["q"][:, h], x["k"][:, h]
        M = np.zeros((T, T))
        for r in range(R):
            M += np.cos(2 * np.pi * eps * np.outer(q[:, r], n)) - np.cos(2 * np.pi * eps * np.outer(n, k[:, r]))
        y[:, h] += M @ u[:, h] / np.sqrt(2 * longest * R)
    return {"y": y}, {}


def dft_matrix(x, carry):
    """B7, the DFT mixer at the sequence's own length."""
    u = x["x"]
    return {"y": np.fft.fft(u, axis=0).real / np.sqrt(len(u)) + u if len(u) else u}, {}


def fnet(x, carry):
    """B7, FNet."""
    u = x["x"]
    return {"y": np.fft.fft2(u, axes=(0, 1)).real if len(u) else u}, {}


def monarch_convolution(x, carry):
    """B11, M2's sequence mixing, bidirectional in its pad and flip form."""
    x1, w1 = short(x, carry, "u1", x["c1"])
    x2, w2 = short(x, carry, "u2", x["c2"])
    x3, w3 = short(x, carry, "u3", x["c3"])
    g = x1 * x3
    y = x["bias"] * g
    for t in range(len(g)):
        for s in range(len(g)):
            y[t] += (x["f"][t - s] if s <= t else x["r"][s - t - 1]) * g[s]
    return {"y": x2 * y}, {"u1_window": w1, "u2_window": w2, "u3_window": w3}


def semiseparable_matrix(x, carry):
    """B9 as the scan h_t = a_t h_{t-1} + dt_t B_t x_t^T, which is also what is carried."""
    T, H, P = x["x"].shape
    dt = softplus(x["delta"] + x["bias"])
    state = start(carry, "y.state", (H, x["Bm"].shape[1], P))
    y = np.zeros((T, H, P))
    for t in range(T):
        for h in range(H):
            decay = np.exp(-np.exp(x["A_log"][h]) * dt[t, h])
            state[h] = decay * state[h] + dt[t, h] * np.outer(x["Bm"][t], x["x"][t, h])
            y[t, h] = x["Cm"][t] @ state[h]
    return {"y": y}, {"y.state": state}


def tcn_block(x, carry, R=2):
    """B18: two dilated convolutions with relu, and the residual."""
    def conv(name, u, W, b):
        M = W.shape[2]
        rows, window = with_past(carry, name, u, R * (M - 1))
        y = np.zeros(u.shape)
        for t in range(len(u)):
            y[t] = b + sum(W[:, :, m] @ rows[R * (M - 1) + t - R * m] for m in range(M))
        return np.maximum(y, 0), window

    h, first = conv("x_window", x["x"], x["W1"], x["b1"])
    g, second = conv("h_window", h, x["W2"], x["b2"])
    return {"y": np.maximum(x["x"] + g, 0)}, {"x_window": first, "h_window": second}
