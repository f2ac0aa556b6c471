"""What every reference needs: elementwise functions that do not overflow, and the start of a carry."""

import numpy as np


def sigmoid(x):
    x = np.asarray(x, dtype=np.float64)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def silu(x):
    return x * sigmoid(x)


def start(carry, name, shape, fill=0.0):
    """The state `name` before the first token: a copy of the carry's, or `fill`."""
    if carry is None:
        return np.full(shape, fill, dtype=np.float64)
    assert carry[name].shape == tuple(shape), (name, carry[name].shape, shape)
    return np.array(carry[name], dtype=np.float64)


def with_past(carry, name, x, width, axis=0):
    """`x` along time with its `width` earlier rows before it (zeros without a carry), and the rows to carry on.

    A window is stored as [batch dims, width, features], the oldest row first; time is `axis` 0 of `x`, and the
    batch dims of `x` (other than the first) follow it, `axis` of them.
    """
    heads = x.shape[1 : 1 + axis]
    window = start(carry, name, heads + (width,) + x.shape[1 + axis :])
    rows = np.concatenate([np.moveaxis(window, axis, 0), x])
    return rows, np.moveaxis(rows[len(rows) - width :], 0, axis).copy()
