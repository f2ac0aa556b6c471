"""The Python package on the library of hand-written kernels (test/library/SampleKernels.c).

SEQMIX_SAMPLE names the directory that holds shared/libsample.so and static/libsample.so.
"""

import os
import pathlib
import sys
import threading
import types

import ml_dtypes
import numpy as np
import pytest

import seqmix

SAMPLES = pathlib.Path(os.environ["SEQMIX_SAMPLE"])


@pytest.fixture(params=["shared", "static"], scope="module")
def lib(request):
    return seqmix.load(SAMPLES / request.param / "libsample.so")


def draw(batch=2, tokens=6, heads=4, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.uniform(-1, 1, (batch, tokens, heads, size)).astype(np.float32),
        "g": rng.uniform(-1, 1, (batch, tokens, heads // 2)).astype(np.float32),
        "w": rng.uniform(-1, 1, (heads, size)).astype(np.float32),
    }


def scan(x, g, w, carry=None):
    """The mixer as a loop: output and final carry."""
    batch, tokens, heads, size = x.shape
    zeros = {
        "S": np.ones((batch, heads, size)),
        "x_window": np.zeros((batch, heads, 1, size)),
        "g_window": np.zeros((batch, heads // 2, 2)),
        "position": np.zeros(batch, dtype=np.int64),
    }
    carry = {**zeros, **(carry or {})}
    x_all = np.concatenate([carry["x_window"].transpose(0, 2, 1, 3), x], axis=1).astype(np.float64)
    g_all = np.concatenate([carry["g_window"].transpose(0, 2, 1), g], axis=1).astype(np.float64)
    state, y = carry["S"].astype(np.float64), np.zeros(x.shape)
    for t in range(tokens):
        state = np.repeat(g_all[:, t + 2], 2, axis=1)[..., None] * state + x_all[:, t + 1]
        y[:, t] = w * state + x_all[:, t] + 2 * np.repeat(g_all[:, t], 2, axis=1)[..., None]
        y[:, t] += ((carry["position"] + t) / 4)[:, None, None]
    return y, {
        "S": state,
        "x_window": x_all[:, -1:].transpose(0, 2, 1, 3),
        "g_window": g_all[:, -2:].transpose(0, 2, 1),
        "position": carry["position"] + tokens,
    }


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def carry_close(got, want):
    assert list(got) == ["S", "x_window", "g_window", "position"]
    for name in want:
        close(got[name], want[name])


@pytest.mark.parametrize("shape", [(2, 6, 4, 8), (3, 1, 2, 5), (1, 0, 2, 8), (0, 3, 2, 8), (5, 40, 6, 5)])
def test_forward_and_carry(lib, shape):
    arrays = draw(*shape)
    y, carry = lib.scan(**arrays, return_carry=True)
    want, end = scan(**arrays)
    assert y.dtype == np.float32 and y.shape == shape
    close(y, want)
    carry_close(carry, end)
    assert carry["position"].dtype == np.int64


def test_split_prefill_and_steps(lib):
    arrays = draw(tokens=9)
    whole, end = lib.scan(**arrays, return_carry=True)
    first = {n: a if n == "w" else a[:, :4] for n, a in arrays.items()}
    y, carry = lib.scan(**first, return_carry=True)
    close(y, whole[:, :4])
    before = {name: array.copy() for name, array in carry.items()}
    rest = {n: a if n == "w" else a[:, 4:] for n, a in arrays.items()}
    y, final = lib.scan(**rest, carry=carry, return_carry=True)
    close(y, whole[:, 4:])
    carry_close(final, end)
    for name, array in before.items():  # forward leaves the carry that it was given
        np.testing.assert_array_equal(carry[name], array)
    for t in range(4, 9):
        y, after = lib.scan.step(**{n: a if n == "w" else a[:, t] for n, a in arrays.items()}, carry=carry)
        assert all(after[name] is carry[name] for name in carry)  # in place
        close(y, whole[:, t])
    carry_close(carry, end)


def test_step_without_a_carry_starts_new_sequences(lib):
    arrays = draw(tokens=1)
    y, carry = lib.scan.step(**{n: a if n == "w" else a[:, 0] for n, a in arrays.items()})
    want, end = scan(**arrays)
    close(y, want[:, 0])
    carry_close(carry, end)


def test_step_replaces_read_only_parts(lib):
    arrays = draw(tokens=1)
    carry = lib.scan.initial_carry(B=2, H=4, K=8)
    carry["S"].flags.writeable = False
    _, after = lib.scan.step(**{n: a if n == "w" else a[:, 0] for n, a in arrays.items()}, carry=carry)
    assert after["S"] is not carry["S"] and after["position"] is carry["position"]
    assert (carry["S"] == 1).all()


def test_packed_sequences(lib):
    lengths = [3, 0, 5, 2]
    packed = draw(batch=1, tokens=10)
    for ends in ([0, 3, 3, 8, 10], np.array([0, 3, 3, 8, 10], dtype=np.int32)):
        y, carry = lib.scan(**packed, cu_seqlens=ends, return_carry=True)
        start = 0
        for n, length in enumerate(lengths):
            one = {k: a if k == "w" else a[:, start : start + length] for k, a in packed.items()}
            want, end = scan(**one)
            close(y[:, start : start + length], want)
            for name in end:
                close(carry[name][n : n + 1], end[name])
            start += length


def test_outputs_given_and_several_outputs(lib):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 5, 3, 3)).astype(ml_dtypes.bfloat16)
    keep = rng.random((2, 5)) < 0.5
    n = rng.integers(0, 9, (2, 3)).astype(np.int32)
    want = np.where(keep[:, :, None, None], x, 0)
    y, m = lib.copy(x=x, keep=keep, n=n)
    assert y.dtype == x.dtype and m.dtype == np.int32
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(m, 2 * n)
    room = np.zeros((2, 5, 3, 6), dtype=x.dtype)
    out = room[..., 3:]
    results = lib.copy(x=x, keep=keep, n=n, out={"y": out, "m": np.zeros_like(n)})
    assert results[0] is out
    np.testing.assert_array_equal(out, want)
    assert (room[..., :3] == 0).all()
    with pytest.raises(seqmix.SeqmixError, match="copy has no step: for this test"):
        lib.copy.step(x=x[:, 0], keep=keep[:, 0], n=n)


def test_strides_and_broadcasts(lib):
    arrays = draw()
    want = lib.scan(**arrays)
    turned = {n: np.asfortranarray(a) if a.ndim == 3 else a for n, a in arrays.items()}
    turned["x"] = np.ascontiguousarray(arrays["x"].transpose(2, 1, 0, 3)).transpose(2, 1, 0, 3)
    np.testing.assert_array_equal(lib.scan(**turned), want)
    one = np.broadcast_to(arrays["x"][:1], arrays["x"].shape)
    np.testing.assert_array_equal(
        lib.scan(x=one, g=arrays["g"], w=arrays["w"]),
        lib.scan(x=np.ascontiguousarray(one), g=arrays["g"], w=arrays["w"]),
    )


class Shared:
    """An array of some other framework."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __dlpack__(self, **_):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_anything_with_dlpack(lib):
    arrays = draw()
    got = lib.scan(**{n: Shared(a) for n, a in arrays.items()})
    np.testing.assert_array_equal(got, lib.scan(**arrays))


def test_results_are_torchs_when_all_arguments_are(lib, monkeypatch):
    """A stand-in for PyTorch: what is asked of it is a Tensor class, `empty`, types and __dlpack__."""

    class Tensor(Shared):
        def __setitem__(self, index, value):
            self.array[index] = value

    torch = types.ModuleType("torch")
    torch.Tensor = Tensor
    torch.empty = lambda shape, dtype: Tensor(np.empty(shape, dtype))
    for name in ("float64", "float32", "float16", "int32", "int64"):
        setattr(torch, name, getattr(np, name))
    torch.bfloat16, torch.bool = ml_dtypes.bfloat16, np.bool_
    monkeypatch.setitem(sys.modules, "torch", torch)
    arrays = draw()
    y, carry = lib.scan(**{n: Tensor(a) for n, a in arrays.items()}, return_carry=True)
    assert isinstance(y, Tensor) and isinstance(carry["position"], Tensor)
    np.testing.assert_array_equal(y.array, lib.scan(**arrays))
    one = {n: Tensor(a if n == "w" else a[:, 0].copy()) for n, a in arrays.items()}
    y, after = lib.scan.step(**one, carry=carry)
    assert isinstance(y, Tensor) and after["S"] is carry["S"]
    assert (carry["position"].array == 7).all()
    y, after = lib.scan.step(**one)
    assert isinstance(after["S"], Tensor)
    np.testing.assert_array_equal(y.array, lib.scan(**arrays)[:, 0])
    assert isinstance(lib.scan(**{**arrays, "x": Tensor(arrays["x"])}), np.ndarray)


def test_workspace_and_threads(lib):
    arrays = draw(batch=4, tokens=30)
    want = lib.scan(**arrays)
    memory = lib.scan.workspace(B=4, H=4, T=30, threads=3)
    np.testing.assert_array_equal(lib.scan(**arrays, threads=3, workspace=memory), want)
    with pytest.raises(ValueError, match="the workspace has 64 bytes; this call needs"):
        lib.scan(**arrays, threads=3, workspace=memory[:64])
    before = lib.num_threads
    lib.num_threads = 2
    assert lib.num_threads == 2
    lib.num_threads = 0
    assert lib.num_threads == before


WRONG = {
    "missing": (TypeError, "scan() lacks the argument 'g'; expected x, g, w", lambda a: a.pop("g")),
    "unknown": (TypeError, "scan() has no argument 'q'; expected x, g, w", lambda a: a.update(q=a["x"])),
    "no array": (TypeError, "x must be an array (NumPy's, or one with __dlpack__), not list", lambda a: a.update(x=[1.0])),
    "shape": (ValueError, "w has shape [3, 8]; expected [H, K] = [4, 8] (H = 4 as in x)", lambda a: a.update(w=a["w"][:3])),
    "rank": (ValueError, "no size in this library fits the arguments x f32[2, 6, 4]", lambda a: a.update(x=a["x"][..., 0])),
    "size": (ValueError, "compiled for K = 8 in f32; K = 5 in f32", lambda a: a.update(x=a["x"][..., :7], w=a["w"][:, :7])),
    "heads": (ValueError, "H = 3 is not a multiple of 2", lambda a: a.update(x=a["x"][:, :, :3], w=a["w"][:3])),
    "layout": (ValueError, "x has the negative stride -1 in dim 3", lambda a: a.update(x=a["x"][..., ::-1])),
    "complex": (ValueError, "x c64[2, 6, 4, 8]", lambda a: a.update(x=a["x"].astype(np.complex64))),
    "strings": (TypeError, "x has the NumPy type <U1", lambda a: a.update(x=np.full((2, 6, 4, 8), "a"))),
    "out count": (TypeError, "out has 2 arrays; expected y", lambda a: a.update(out=(a["x"], a["x"]))),
    "out overlaps": (ValueError, "the output y overlaps x in memory", lambda a: a.update(out=a["x"])),
    "out shape": (ValueError, "y has shape [2, 5, 4, 8]; expected [B, T, H, K]", lambda a: a.update(out=np.zeros((2, 5, 4, 8), "f"))),
    "read-only out": (TypeError, "y is read-only", lambda a: a.update(out=np.broadcast_to(np.float32(0), (2, 6, 4, 8)))),
    "carry name": (TypeError, "carry has no part 'h'; expected S, x_window", lambda a: a.update(carry={"h": a["x"]})),
    "carry shape": (ValueError, "S has shape [2, 4, 5]; expected [B, H, K] = [2, 4, 8]", lambda a: a.update(carry={"S": np.ones((2, 4, 5), "f")})),
    "carry dtype": (TypeError, "S is f64; expected f32", lambda a: a.update(carry={"S": np.ones((2, 4, 8))})),
    "carry list": (TypeError, "carry must be a dict", lambda a: a.update(carry=[a["x"]])),
    "cu_seqlens": (ValueError, "cu_seqlens ends with 5; expected T = 6", lambda a: a.update(x=a["x"][:1], g=a["g"][:1], cu_seqlens=[0, 5])),
    "batch of packed": (ValueError, "expected [1, T, H, K]", lambda a: a.update(cu_seqlens=[0, 6])),
    "element": (ValueError, "no size in this library fits the arguments x f32[]", lambda a: a.update(x=a["x"][0, 0, 0, 0])),
    "threads": (TypeError, "threads must be an integer, not str", lambda a: a.update(threads="2")),
    "threads of other bits": (ValueError, "threads is 4294967298; expected 0 to 1024", lambda a: a.update(threads=2**32 + 2)),
    "rows": (ValueError, "rows is -1; expected 0 to 2147483647", lambda a: a.update(rows=-1)),
    "rows as text": (TypeError, "rows must be an integer, not str", lambda a: a.update(rows="6")),
    "masked": (TypeError, "x is a masked array, and the call would not see its mask", lambda a: a.update(x=np.ma.array(a["x"], mask=True))),
    "big-endian": (TypeError, "w is not in this machine's byte order", lambda a: a.update(w=a["w"].astype(">f4"))),
    "field of a record": (TypeError, "w has strides that are no multiples", lambda a: a.update(w=np.zeros((4, 8), [("a", "u1"), ("b", "f4")])["b"])),
    "misaligned": (ValueError, "w is not aligned to its elements", lambda a: a.update(w=np.zeros(129, "u1")[1:].view("f4").reshape(4, 8))),
    "masked carry": (TypeError, "S is a masked array", lambda a: a.update(carry={"S": np.ma.zeros((2, 4, 8), "f4")})),
    "negative position": (ValueError, "position[1] is -2; expected 0 or more", lambda a: a.update(carry={"position": np.array([3, -2])})),
    "position dtype": (TypeError, "position is f64; expected i64", lambda a: a.update(carry={"position": np.array([np.nan, 0])})),
    "carry of a list": (TypeError, "S must be an array", lambda a: a.update(carry={"S": [1.0]})),
    "carry overlaps": (ValueError, "the output y overlaps the initial carry S", lambda a: (s := np.zeros((2, 6, 4, 8), "f"), a.update(out=s, carry={"S": s[:, 0]}))),
    "workspace dtype": (TypeError, "workspace must be a contiguous, writable NumPy array", lambda a: a.update(workspace=1 << 20)),
    "workspace misaligned": (ValueError, "the workspace is not aligned to 64 bytes", lambda a: a.update(workspace=np.zeros(1 << 16, "f8")[1:])),
    "no out": (ValueError, "y is null", lambda a: a.update(out=[None])),
    "not a number": (ValueError, "w[3, 7] is not a number", lambda a: (a["w"].__setitem__((3, 7), np.nan), a.update(checked=True))),
    "range": (ValueError, "g[1, 5, 0] is 3; the mixer promises [-2, 2]", lambda a: (a["g"].__setitem__((1, 5, 0), 3), a.update(checked=True))),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_say_what_was_expected(lib, name):
    kind, text, spoil = WRONG[name]
    arrays = draw()
    spoil(arrays)
    with pytest.raises(kind) as caught:
        lib.scan(**arrays)
    assert text in str(caught.value)
    assert isinstance(caught.value, seqmix.SeqmixError)


ENDS = {
    "scalar": (TypeError, "cu_seqlens must be an array", 6),
    "text": (TypeError, "cu_seqlens must be an array", "0,6"),
    "numbers": (TypeError, "cu_seqlens[1] must be an integer, not float", [0, 6.5]),
    "booleans": (TypeError, "cu_seqlens[0] must be an integer, not bool", [False, 6]),
    "nothing": (TypeError, "cu_seqlens[0] must be an integer, not NoneType", [None, 6]),
    "nested": (TypeError, "cu_seqlens[0] must be an integer, not list", [[0, 6]]),
    "too large": (ValueError, "cu_seqlens[1] is 18446744073709551622; expected 0 or more", [0, 2**64 + 6]),
    "negative": (ValueError, "cu_seqlens[1] is -6; expected 0 or more", [0, -6, 6]),
    "empty": (ValueError, "cu_seqlens must have one dim of the number of sequences plus one", []),
    "start": (ValueError, "cu_seqlens starts with 1; expected 0", [1, 6]),
    "falling": (ValueError, "cu_seqlens[2] is 2 behind 4; expected a number from there to T = 6", [0, 4, 2, 6]),
    "beyond": (ValueError, "cu_seqlens[1] is 1099511627776 behind 0", [0, 2**40, 6]),
    "dtype": (TypeError, "cu_seqlens must be i32 or i64", np.array([0, 6], np.int16)),
    "rank": (ValueError, "cu_seqlens must have one dim", np.array([[0, 6]], np.int32)),
    "broadcast": (ValueError, "cu_seqlens has the stride 0", np.broadcast_to(np.int32(0), (2,))),
}


@pytest.mark.parametrize("return_carry", [False, True])
@pytest.mark.parametrize("name", ENDS)
def test_wrong_ends_of_sequences(lib, name, return_carry):
    kind, text, ends = ENDS[name]
    with pytest.raises(kind) as caught:
        lib.scan(**draw(batch=1), cu_seqlens=ends, return_carry=return_carry)
    assert text in str(caught.value) and isinstance(caught.value, seqmix.SeqmixError)


@pytest.mark.parametrize("name", [n for n in WRONG if n not in ("range", "not a number")])
def test_refused_calls_leave_everything_as_it_was(lib, name):
    """What a refused call was given, wrong or not, is untouched."""
    arrays = draw()
    WRONG[name][2](arrays)
    given = [a for a in arrays.values() if isinstance(a, np.ndarray)]
    given += [a for v in arrays.values() if isinstance(v, dict) for a in v.values() if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in given]
    with pytest.raises(seqmix.SeqmixError):
        lib.scan(**arrays)
    assert [a.tobytes() for a in given] == before


def test_wrong_extents_of_what_a_mixer_makes(lib):
    scan = lib.scan
    for call, kind, text in [
        (lambda: scan.workspace(B=2, H=4, T="6"), TypeError, "T must be an integer, not str"),
        (lambda: scan.workspace(B=2, H=4, T=-6), ValueError, "T is -6; expected 0 or more"),
        (lambda: scan.workspace(B=2**64, H=4, T=6), ValueError, "B is 18446744073709551616; expected 0 or more"),
        (lambda: scan.workspace(B=2**62, H=4, T=6), MemoryError, "the workspace would be larger than memory"),
        (lambda: scan.workspace(B=2, H=4), TypeError, r"workspace() needs B, H, T"),
        (lambda: scan.workspace(B=2, H=4, T=6, threads=2**32), ValueError, "threads is 4294967296; expected 0 to 1024"),
        (lambda: scan.initial_carry(B=2), TypeError, "initial_carry() needs B, H"),
        (lambda: scan.initial_carry(B=2, H=4, Q=1), TypeError, "initial_carry() needs B, H"),
        (lambda: scan.initial_carry(B=-2, H=4), ValueError, "B is -2; expected 0 or more"),
        (lambda: scan.initial_carry(B=2, H=4.0), TypeError, "H must be an integer, not float"),
        (lambda: scan.initial_carry(B=2, H=4, K=6), ValueError, "scan was not compiled for"),
    ]:
        with pytest.raises(kind) as caught:
            call()
        assert text in str(caught.value) and isinstance(caught.value, seqmix.SeqmixError)


def test_arguments_have_names(lib):
    with pytest.raises(seqmix.SeqmixTypeError, match=r"scan\(\) takes its arguments by name: x, g, w"):
        lib.scan(draw()["x"])


def test_descriptions(lib):
    assert lib.scan.signature == (
        "scan(x: f32[B, T, H, K], g: f32[B, T, H/2] in [-2, 2], w: f32[H, K]) -> y: f32[B, T, H, K]"
    )
    assert lib.scan.step.signature.startswith("scan.step(x: f32[B, H, K], g: f32[B, H/2]")
    text = lib.scan.help()
    assert "S[t,i] = g[t] * S[t-1,i] + x[t,i]" in text and "compiled for K = 8; K = 5" in text
    assert "g_window: f32[B, H/2, 2], starts from 0" in text
    assert "no step: for this test" in lib.copy.help()
    assert "scan" in repr(lib) and "scan" in dir(lib) and lib.scan.sizes == [{"K": 8}, {"K": 5}]
    with pytest.raises(AttributeError, match="has no mixer 'gru'; it has scan, copy"):
        lib.gru


def test_calls_from_threads(lib):
    arrays = draw(batch=3, tokens=50)
    want, failures = lib.scan(**arrays), []

    def run(number):
        for _ in range(50):
            if not np.array_equal(lib.scan(**arrays, threads=1 + number % 3), want):
                failures.append(number)
            try:
                lib.scan(**{**arrays, "w": arrays["w"][:number]})
                failures.append("no error")
            except ValueError as error:
                if f"w has shape [{number}, 8]" not in str(error) and "[0, 8]" not in str(error):
                    failures.append(str(error))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_is_no_library(tmp_path):
    with pytest.raises(seqmix.SeqmixError, match="cannot load"):
        seqmix.load(tmp_path / "absent.so")
    with pytest.raises(seqmix.SeqmixError, match="is not a library of compiled mixers"):
        seqmix.load("libc.so.6" if not pathlib.Path("/lib/x86_64-linux-gnu/libc.so.6").exists() else "/lib/x86_64-linux-gnu/libc.so.6")
