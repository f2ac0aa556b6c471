"""Extents that no input has come from the arrays for the outputs, else from the carry."""

import pathlib

import numpy as np
import pytest

import seqmix

TEXT = """mixer hidden
  dims   B, H batch; t in T; i in K = 3
  input  x[t] per B
  state  s[i] = 1
  state  free[] = 0
  s[t,i] = 0.5 * s[t-1,i] + x[t] + i
  free[t] = free[t-1] + x[t] + t
  a[t,i] = s[t,i]
  b[t] = free[t]
  output a[t,i]
  output b[t]
"""


def expected(x, heads, s, free, position=0):
    a, b = [], []
    for t in range(x.shape[1]):
        s = 0.5 * s + x[:, t, None, None] + np.arange(3)
        free = free + x[:, t, None] + position + t
        a.append(s)
        b.append(free)
    return np.stack(a, 1), np.stack(b, 1), s, free


@pytest.fixture(scope="module")
def mixer():
    return seqmix.compile(TEXT, dtype="f64").hidden


def test_from_the_outputs(mixer):
    x = np.random.default_rng(1).standard_normal((2, 9))
    out = np.zeros((2, 9, 4, 3)), np.zeros((2, 9, 4))
    (a, b), carry = mixer(x=x, out=out, return_carry=True)
    want_a, want_b, s, free = expected(x, 4, np.ones((2, 4, 3)), np.zeros((2, 4)))
    assert a is out[0] and b is out[1]
    np.testing.assert_allclose(a, want_a, rtol=1e-12)
    np.testing.assert_allclose(b, want_b, rtol=1e-12)
    np.testing.assert_allclose(carry["s"], s, rtol=1e-12)
    np.testing.assert_allclose(carry["free"], free, rtol=1e-12)


def test_from_the_carry(mixer):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 1))
    carry = {"s": rng.standard_normal((2, 5, 3)), "free": rng.standard_normal((2, 5)), "position": np.array([7, 7], dtype=np.int64)}
    start = {name: array.copy() for name, array in carry.items()}
    (a, b), end = mixer(x=x, carry=carry, return_carry=True)
    want_a, want_b, s, _ = expected(x, 5, start["s"], start["free"], 7)
    np.testing.assert_allclose(a, want_a, rtol=1e-12)
    np.testing.assert_allclose(b, want_b, rtol=1e-12)
    np.testing.assert_allclose(end["s"], s, rtol=1e-12)
    (a, b), after = mixer.step(x=x[:, 0], carry=carry)
    np.testing.assert_allclose(a, want_a[:, 0], rtol=1e-12)
    np.testing.assert_allclose(after["s"], s, rtol=1e-12)


def test_one_where_nothing_shows_it(mixer):
    a, b = mixer(x=np.ones((2, 4)))
    assert a.shape == (2, 4, 1, 3) and b.shape == (2, 4, 1)


def test_outputs_that_disagree_are_refused(mixer):
    with pytest.raises(ValueError, match=r"b has shape \[2, 4, 5\]; expected .*\[2, 4, 3\]"):
        mixer(x=np.ones((2, 4)), out=(np.zeros((2, 4, 3, 3)), np.zeros((2, 4, 5))))


@pytest.mark.parametrize("position, kind, text", [
    ([1.0, np.nan], TypeError, "position is f64; expected i64"),
    (np.array([[1, 2]]), ValueError, "position has 2 dims"),
    (np.array([1, 2, 3]), ValueError, "position has shape [3]; expected [B] = [2]"),
    (np.array([4, 2**31 - 1]), ValueError, "k_rows has 4 rows, but a position is 2147483647"),
    (np.array([4, -1]), ValueError, "position[1] is -1; expected 0 or more"),
])
def test_wrong_positions_beside_rows(position, kind, text):
    """Rows are made for as many tokens as a carry's position says: not for one that the runtime refuses."""
    path = next((pathlib.Path(__file__).resolve().parents[2] / "examples").rglob("causal_attention.seq"))
    attention = seqmix.compile(path, dims={"K": 8, "V": 8}).causal_attention
    x = np.ones((2, 4, 1, 8), dtype=np.float32)
    carry = attention(q=x, k=x, v=x, return_carry=True)[1]
    before = {name: array.copy() for name, array in carry.items()}
    spoiled = {**carry, "position": np.asarray(position)}
    for call in (lambda: attention(q=x, k=x, v=x, carry=spoiled, return_carry=True),
                 lambda: attention(q=x, k=x, v=x, carry=spoiled, return_carry=True, out=np.zeros_like(x)),
                 lambda: attention.step(q=x[:, 0], k=x[:, 0], v=x[:, 0], carry=spoiled)):
        with pytest.raises(kind) as caught:
            call()
        assert text in str(caught.value) and isinstance(caught.value, seqmix.SeqmixError)
    for name, array in before.items():
        np.testing.assert_array_equal(carry[name], array)
