"""Loops for delta rules; the transition of a token is formed as a matrix."""

import numpy as np

from references.common import start


def _unit(a):
    return a / np.sqrt(np.sum(a * a) + 1e-6)


def erase_and_write_keys(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            p = _unit(x["e"][t, h])
            A = (np.eye(K) - x["beta"][t, h] * np.outer(p, p)) @ np.diag(np.exp(x["g"][t, h]))
            S[h] = A @ S[h] + np.outer(k[t, h], v[t, h])
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def delta_read_before(x, carry):
    q, v = x["q"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            k, a, beta = _unit(x["k"][t, h]), np.exp(x["g"][t, h]), x["beta"][t, h]
            o[t, h] = q[t, h] @ S[h] + x["bonus"][h] * (q[t, h] @ k) * v[t, h]
            S[h] = a * (np.eye(K) - beta * np.outer(k, k)) @ S[h] + beta * np.outer(k, v[t, h])
    return {"o": o}, {"S": S}


def delta_momentum(x, carry):
    q, v = x["q"], x["v"]
    T, H, K = q.shape
    S, M = start(carry, "S", (H, K, v.shape[2])), start(carry, "M", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            k = _unit(x["k"][t, h])
            gradient = np.outer(k, k @ S[h] - v[t, h])
            M[h] = x["eta"][t, h] * M[h] - x["theta"][t, h] * gradient
            S[h] = np.exp(x["g"][t, h]) * S[h] + M[h]
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S, "M": M}


def delta_value_strength(x, carry):
    q, v = x["q"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            k = _unit(x["k"][t, h])
            for j in range(v.shape[2]):
                error = v[t, h, j] - k @ S[h, :, j]
                S[h, :, j] = np.exp(x["g"][t, h]) * S[h, :, j] + x["beta"][t, h, j] * error * k
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def delta_three_factors(x, carry):
    q, v = x["q"], x["v"]
    T, H, K = q.shape
    S = start(carry, "S", (H, K, v.shape[3]))
    o = np.zeros((T, H, v.shape[3]))
    for t in range(T):
        for h in range(H):
            S[h] = np.diag(np.exp(x["g"][t, h])) @ S[h]
            for c in range(3):
                k, beta = _unit(x["k"][t, h, c]), x["beta"][t, h, c]
                S[h] = (np.eye(K) - beta * np.outer(k, k)) @ S[h] + beta * np.outer(k, v[t, h, c])
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def bidirectional_delta(x, carry):
    q, v = x["q"], x["v"]
    T, H, K = q.shape
    F, R = start(carry, "F", (H, K, v.shape[2])), start(carry, "R", (H, K, v.shape[2]))
    o = np.zeros(v.shape)
    for state, order in ((F, range(T)), (R, reversed(range(T)))):
        for t in order:
            for h in range(H):
                k, beta = _unit(x["k"][t, h]), x["beta"][t, h]
                state[h] = (np.eye(K) - beta * np.outer(k, k)) @ state[h] + beta * np.outer(k, v[t, h])
                o[t, h] += q[t, h] @ state[h]
    return {"o": o}, {"F": F, "R": R}


def no_heads(x, carry):
    q, v = x["q"], x["v"]
    T, K = q.shape
    S = start(carry, "S", (K, v.shape[1]))
    o = np.zeros(v.shape)
    for t in range(T):
        k = _unit(x["k"][t])
        S = np.exp(x["g"][t]) * (np.eye(K) - np.outer(k, k)) @ S + np.outer(k, v[t])
        o[t] = q[t] @ S
    return {"o": o}, {"S": S}
