"""Loops for states with several dims of rows, of columns, or of matrices, and for sums of several products a token."""

import numpy as np

from references.common import sigmoid, silu, softplus, start


def _unit(x):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + 1e-6)


def heads_as_dim(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, G, K = q.shape
    S = start(carry, "S", (G, K, v.shape[2]))
    o = np.zeros(v.shape)
    for t in range(T):
        for g in range(G):
            S[g] = np.exp(x["g"][t, g])[:, None] * S[g] + np.outer(k[t, g], v[t, g])
            o[t, g] = q[t, g] @ S[g]
    return {"o": o, "y": np.einsum("g,tgj->tj", x["mix"], o)}, {"S": S}


def delta_heads_as_dim(x, carry):
    q, v = x["q"], x["v"]
    T, K, G = q.shape
    S = start(carry, "S", (K, G, v.shape[1]))
    o = np.zeros((T, v.shape[1], G))
    for t in range(T):
        for g in range(G):
            key = _unit(x["k"][t, :, g])
            S[:, g] = np.exp(x["g"][t, g]) * S[:, g]
            S[:, g] += x["beta"][t] * np.outer(key, v[t] - key @ S[:, g])
            o[t, :, g] = q[t, :, g] @ S[:, g]
    return {"o": o}, {"S": S}


def product_keys(x, carry):
    v = x["v"]
    T, H, V = v.shape
    A, B = x["qa"].shape[2], x["qb"].shape[2]
    S = start(carry, "S", (H, A, B, V))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            decay = np.outer(np.exp(x["g"][t, h]), np.exp(x["h"][t, h]))
            S[h] = decay[:, :, None] * S[h] + np.outer(np.outer(x["ka"][t, h], x["kb"][t, h]), v[t, h]).reshape(A, B, V)
            o[t, h] = np.outer(x["qa"][t, h], x["qb"][t, h]).reshape(A * B) @ S[h].reshape(A * B, V)
    return {"o": o}, {"S": S}


def delta_product_keys(x, carry):
    v = x["v"]
    T, H, V = v.shape
    A, B = x["qa"].shape[2], x["qb"].shape[2]
    S = start(carry, "S", (H, A * B, V)) if carry is None else np.array(carry["S"]).reshape(H, A * B, V)
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            key = np.outer(_unit(x["ka"][t, h]), _unit(x["kb"][t, h])).reshape(A * B)
            S[h] *= np.exp(x["g"][t, h])
            S[h] += x["beta"][t, h] * np.outer(key, v[t, h] - key @ S[h])
            o[t, h] = np.outer(x["qa"][t, h], x["qb"][t, h]).reshape(A * B) @ S[h]
    return {"o": o}, {"S": S.reshape(H, A, B, V)}


def product_keys_values(x, carry):
    T, H, A, B = x["q"].shape
    C, D = x["va"].shape[2], x["vb"].shape[2]
    S = start(carry, "S", (H, A, B, C, D))
    o = np.zeros((T, H, C, D))
    for t in range(T):
        for h in range(H):
            key, value = np.outer(x["ka"][t, h], x["kb"][t, h]), np.outer(x["va"][t, h], x["vb"][t, h])
            S[h] = np.exp(x["g"][t, h]) * S[h] + np.multiply.outer(key, value)
            o[t, h] = np.tensordot(x["q"][t, h], S[h], 2)
    return {"o": o}, {"S": S}


def taylor_moments(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    V = v.shape[2]
    A, C, E = start(carry, "A", (H, V)), start(carry, "C", (H, K, V)), start(carry, "E", (H, K, K, V))
    y, z, c = start(carry, "y", (H, K)), start(carry, "z", (H, K, K)), start(carry, "c", (H,))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            pair = np.outer(k[t, h], k[t, h])
            A[h], C[h], E[h] = A[h] + v[t, h], C[h] + np.outer(k[t, h], v[t, h]), E[h] + np.multiply.outer(pair, v[t, h])
            y[h], z[h], c[h] = y[h] + k[t, h], z[h] + pair, c[h] + 1
            one, two = q[t, h] / np.sqrt(K), np.outer(q[t, h], q[t, h]) / (2 * K)
            num = A[h] + one @ C[h] + np.tensordot(two, E[h], 2)
            o[t, h] = num / (c[h] + one @ y[h] + np.sum(two * z[h]) + 1e-6)
    return {"o": o}, {"A": A, "C": C, "E": E, "y": y, "z": z, "c": c}


def linked_pair_memory(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, K = q.shape
    C = start(carry, "C", (H, K, v.shape[2], 2))
    o = np.zeros(v.shape)
    for t in range(T):
        for h in range(H):
            kv = np.outer(k[t, h], v[t, h])
            o[t, h] = q[t, h] @ (C[h] @ sigmoid(x["m"][t, h]) + sigmoid(x["d"][t, h]) * kv) / np.sqrt(K)
            C[h] = C[h] @ x["tr"][t, h].T + kv[:, :, None] * sigmoid(x["s"][t, h])
    return {"o": o}, {"C": C}


def several_writes(x, carry):
    q, k, v = x["q"], x["k"], x["v"]
    T, H, R, K = k.shape
    S = start(carry, "S", (H, K, v.shape[3]))
    o = np.zeros((T, H, R, v.shape[3]))
    for t in range(T):
        for h in range(H):
            u = _unit(k[t, h])
            S[h] = np.exp(x["g"][t, h])[:, None] * S[h]
            S[h] = S[h] + x["beta"][t, h] * u.T @ (v[t, h] - u @ S[h])
            o[t, h] = q[t, h] @ S[h]
    return {"o": o}, {"S": S}


def trapezoid_multi_input(x, carry):
    T, H, P = x["x"].shape
    R, N = x["ka"].shape[2:]
    angle = start(carry, "th", (H, N))
    S = start(carry, "X", (H, N, P)) + 1j * start(carry, "Y", (H, N, P))
    past = start(carry, "ra_window", (H, 1, R, N))[:, 0] + 1j * start(carry, "rb_window", (H, 1, R, N))[:, 0]
    past_v = start(carry, "v_window", (H, 1, R, P))[:, 0]
    o = np.zeros((T, H, P))
    for t in range(T):
        dt = softplus(x["delta"][t] + x["dbias"])
        decay = np.exp(-dt * softplus(x["araw"][t]))
        lam = sigmoid(x["trap"][t])
        angle = angle + 0.3 * np.tanh(x["ang"][t]) * dt[:, None]
        turn = np.exp(1j * angle)[:, None]
        k, q = (x["ka"][t] + 1j * x["kb"][t]) * turn, (x["qa"][t] + 1j * x["qb"][t]) * turn
        v = x["x"][t][:, None] * x["mx"]
        for h in range(H):
            S[h] = decay[h] * (S[h] + (1 - lam[h]) * dt[h] * past[h].T @ past_v[h]) + lam[h] * dt[h] * k[h].T @ v[h]
            y = q[h].real @ S[h].real + q[h].imag @ S[h].imag + x["skip"][h] * v[h]
            o[t, h] = np.sum(x["mo"][h] * y * silu(x["z"][t, h] * x["mz"][h]), axis=0)
        past, past_v = k, v
    end = {"ra_window": past.real[:, None], "rb_window": past.imag[:, None], "v_window": past_v[:, None]}
    return {"o": o}, {"th": angle, "X": S.real, "Y": S.imag} | end
