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


# Rows in a carry that the tests do not hand in: more than any of their sequences is long.
CAPACITY = 1024


# The axis of the slots in each component of rows, counted with that of the sequences, as references last used it.
slot_axis = {}


def all_rows(carry, name, x, axis=0, ring=None):
    """The rows of `x` at every position from 0 on, and the component that carries them on.

    The component is stored as [batch dims, slots, features]: row n in slot n or, where only the last `ring` rows are
    kept, in slot n % ring. Time is axis 0 of `x`, and the batch dims of `x` (other than the first) follow it, `axis` of
    them. Rows that a ring no longer holds are NaN.
    """
    slots = ring or CAPACITY
    slot_axis[name] = axis + 1
    if carry is None:
        held = np.zeros((slots,) + x.shape[1:], dtype=x.dtype)
    else:
        held = np.moveaxis(carry[name], axis, 0).copy()
        assert held.shape[1:] == x.shape[1:] and (ring is None or len(held) == ring), (name, held.shape, x.shape)
    first = position(carry)
    rows = np.concatenate([np.zeros((first,) + x.shape[1:], dtype=x.dtype), x])
    for n in range(first):
        if ring is None:
            rows[n] = held[n]
        elif n >= first - ring:
            rows[n] = held[n % ring]
        elif np.issubdtype(x.dtype, np.floating):
            rows[n] = np.nan
    for n in range(first, len(rows)):
        held[n if ring is None else n % ring] = rows[n]
    return rows, np.moveaxis(held, 0, axis)


def kept_rows(x, *names):
    """The components of rows of whole inputs with heads, of a sequence that starts at its beginning."""
    return {f"{name}_rows": all_rows(None, f"{name}_rows", x[name], 1)[1] for name in names}


def position(carry):
    """The number of the first token in its sequence."""
    return 0 if carry is None else int(carry["position"])


def softmax(a):
    """Over one axis; zero where nothing is above -inf, and empty for nothing."""
    if len(a) == 0 or np.max(a) == -np.inf:
        return np.zeros(len(a))
    e = np.exp(a - np.max(a))
    return e / e.sum()


def logsumexp(a):
    if len(a) == 0 or np.max(a) == -np.inf:
        return -np.inf
    return np.max(a) + np.log(np.sum(np.exp(a - np.max(a))))
