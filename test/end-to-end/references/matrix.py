"""Structured matrices over the positions, each built densely and multiplied."""

import math

import numpy as np

from .common import all_rows, position, silu, softplus, start, with_past


def dense_matrix(x, carry, longest=512):
    """Attention and matrices B1."""
    u = x["x"]
    T = len(u)
    return {"y": np.einsum("hts,shp->thp", x["M"][:, :T, :T], u) / np.sqrt(longest) + u}, {}


def low_rank_matrix(x, carry, longest=512):
    """B8: K^T V first."""
    u = x["x"]
    state = np.einsum("shr,shp->hrp", x["k"], u)
    return {"y": np.einsum("thr,hrp->thp", x["q"], state) / np.sqrt(longest * x["q"].shape[2]) + u}, {}


def block_diagonal_matrix(x, carry):
    """B13 over the tokens; no block for tokens behind the last one."""
    u, W = x["x"], x["W"]
    C, M, _ = W.shape
    y = np.zeros(u.shape)
    for c in range(C):
        part = u[c * M : (c + 1) * M]
        y[c * M : c * M + len(part)] = W[c, : len(part), : len(part)] @ part
    return {"y": y}, {}


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


def own_positions(carry, tokens):
    return position(carry) + np.arange(tokens)


def causal_convolution(filter, carry, g, name="g"):
    """The filter by g over all positions so far; both are given at a call's own ones, and carried."""
    weights, kept_weights = all_rows(carry, "k_rows", filter)
    rows, kept = all_rows(carry, name + "_rows", g)
    y = np.zeros(g.shape)
    for t, n in enumerate(own_positions(carry, len(g))):
        y[t] = np.sum(weights[: n + 1][::-1] * rows[: n + 1], axis=0)
    return y, {"k_rows": kept_weights, name + "_rows": kept}


def hyena(x, carry, longest=1024, shift=0.05):
    """B3, order two: the filter is a sine network of the distance under a window."""
    x0, w0 = short(x, carry, "u0", x["c0"])
    x1, w1 = short(x, carry, "u1", x["c1"])
    v, w2 = short(x, carry, "u2", x["c2"])
    t = own_positions(carry, len(x0))[:, None]
    filter = np.sin(t * x["f"] + x["a"]) @ x["A"].T * (np.exp(-t * np.abs(x["delta"]) / longest) + shift)
    g = x1 * v
    y, rows = causal_convolution(filter, carry, g)
    return {"y": x0 * (y + x["bias"] * g)}, {"u0_window": w0, "u1_window": w1, "u2_window": w2, **rows}


def s4_convolution(x, carry):
    """Recurrences 7.2 (bilinear), as the recurrence that the kernel is the impulse response of, with A = diag - p q^T."""
    u = x["x"]
    T, D = u.shape
    lam = -x["lr"] + 1j * x["li"]
    y = x["skip"] * u
    for d in range(D if T else 0):
        B, P = x["Yr"][0] + 1j * x["Yi"][0], x["Yr"][1] + 1j * x["Yi"][1]
        Ct, Q = x["Xr"][d, 0] + 1j * x["Xi"][d, 0], x["Xr"][d, 1] + 1j * x["Xi"][d, 1]
        A = np.diag(lam) - np.outer(P, Q)
        eye, dt = np.eye(len(lam)), x["dt"][d]
        inverse = np.linalg.inv(eye - dt / 2 * A)
        step, enter = inverse @ (eye + dt / 2 * A), inverse @ (dt * B)
        # Given is C (1 - step^T).
        C = np.linalg.solve((eye - np.linalg.matrix_power(step, T)).T, Ct)
        state = np.zeros(len(lam), dtype=complex)
        for t in range(T):
            state = step @ state + enter * u[t, d]
            y[t, d] += (C @ state).real
    return {"y": y}, {}


def s4d_convolution(x, carry):
    """Recurrences 7.3, zero-order hold, twice the real part, with complex numbers."""
    u = x["x"]
    A = -np.exp(x["re"]) + 1j * x["im"]
    dt = np.exp(x["step"])[:, None]
    weight = (x["cr"] + 1j * x["ci"]) * (np.exp(dt * A) - 1) / A
    powers = np.exp(own_positions(carry, len(u))[:, None, None] * dt * A)
    filter = 2 * np.sum(powers * weight, axis=2).real
    y, rows = causal_convolution(filter, carry, u, "x")
    return {"y": x["skip"] * u + y}, rows


def dss_convolution(x, carry):
    """Recurrences 7.4, softmax kernel, real parts below zero, no guard in the division."""
    u = x["x"]
    lam = -np.exp(x["re"]) + 1j * x["im"]
    powers = np.exp(np.arange(len(u))[:, None, None] * x["dt"][:, None] * lam)
    W = x["wr"] + 1j * x["wi"]
    filter = np.sum(W / lam * powers / powers.sum(axis=0), axis=2).real if len(u) else np.zeros(u.shape)
    y, _ = causal_convolution(filter, None, u)
    return {"y": x["skip"] * u + y}, {}


def tnn(x, carry, decay=0.99):
    """B15, causal, one hidden layer, positions as they are; k = 0 has no decay."""
    t = own_positions(carry, len(x["v"]))[:, None]
    h = t * x["w1"] + x["b1"]
    h = np.maximum(h / np.sqrt(np.mean(h * h, axis=1, keepdims=True) + 1e-6), 0)
    y, rows = causal_convolution(decay**t * (h @ x["W2"].T + x["b2"]), carry, silu(x["v"]))
    return {"y": silu(x["u"]) * y}, rows


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


def monarch_matrix(x, carry):
    """B11's closed form, on the tokens that there are."""
    u = x["x"]
    M = len(x["L"])
    y = np.zeros(u.shape)
    for t in range(len(u)):
        l, q = divmod(t, M)
        for s in range(min(len(u), M * M)):
            y[t] += x["L"][q, l, s // M] * x["R"][s // M, q, s % M] * u[s] if l < M else 0
    return {"y": y}, {}


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


def butterfly_matrix(x, carry):
    """B12: factors of 2 x 2 blocks; a pair's other token behind the end is zero."""
    y = x["x"]
    for stage in range(5):
        next = np.zeros(y.shape)
        for t in range(len(y)):
            other = t ^ (1 << stage)
            next[t] = x["a"][stage, t] * y[t] + (x["b"][stage, t] * y[other] if other < len(y) else 0)
        y = next
    return {"y": y}, {}


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


def ltsf_linear(x, carry):
    """B14, Linear."""
    u = x["x"]
    return {"y": x["W"][:, : len(u)] @ u + x["b"][:, None]}, {}


def ltsf_dlinear(x, carry, W=25):
    """B14, DLinear: the edges are repeated."""
    u = x["x"]
    T = len(u)
    padded = np.concatenate([np.repeat(u[:1], (W - 1) // 2, axis=0), u, np.repeat(u[-1:], (W - 1) // 2, axis=0)])
    trend = np.array([padded[t : t + W].mean(axis=0) for t in range(T)]).reshape(u.shape)
    return {"y": x["Ws"][:, :T] @ (u - trend) + x["Wt"][:, :T] @ trend + (x["bs"] + x["bt"])[:, None]}, {}


def ltsf_nlinear(x, carry):
    """B14, NLinear."""
    u = x["x"]
    last = u[-1] if len(u) else np.zeros(u.shape[1])
    return {"y": x["W"][:, : len(u)] @ (u - last) + x["b"][:, None] + last}, {}


def normalised(u):
    centred = u - u.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-5)


def gmlp(x, carry):
    """B16, causal."""
    n, rows = all_rows(carry, "n_rows", normalised(x["g"]))
    y = np.zeros(x["g"].shape)
    for t in range(len(y)):
        here = position(carry) + t
        y[t] = x["r"][t] * (x["W"][here, : here + 1] @ n[: here + 1] + x["b"][here])
    return {"y": y}, {"n_rows": rows}


def mlp_mixer(x, carry):
    """B17, token mixing, the exact gelu."""
    u = x["x"]
    T = len(u)
    a = x["W1"][:, :T] @ normalised(u) + x["b1"][:, None]
    h = 0.5 * a * (1 + np.vectorize(math.erf, otypes=[float])(a / math.sqrt(2)))
    return {"y": u + x["W2"][:T] @ h + x["b2"][:T, None]}, {}
