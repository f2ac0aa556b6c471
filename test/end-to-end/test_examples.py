"""Every example and every mixer of new_mixers, compiled and called from Python, against its reference.

For each case of a file: forward and final carry against the float64 loop; one token at a time and in two calls against
forward; inputs with other strides. The reference gets the inputs as the library sees them, rounded to storage, so what is
left is the library's own arithmetic: tolerances are 1e-12 (f64) and 2e-5 (else; arithmetic is f32) of the largest
magnitude of an array, plus, for bf16 and f16 outputs, half a unit in the last place of each value.

SEQMIX_TEST_CPU compiles for another --cpu than the machine's; SEQMIX_TARGET then chooses in a portable library.
"""

import functools
import os
import pathlib

import numpy as np
import pytest

import cases
import new_mixers
import references
import seqmix

ROOT = pathlib.Path(__file__).resolve().parents[2]

HALF_ULP = {"bf16": 2.0**-8, "f16": 2.0**-11}

ALL = [pytest.param(mixer, case, reference, id=f"{mixer.name}-{n}")
       for mixer, n, case, reference in cases.of_files(references, new_mixers)]
STEPPED = [p for p in ALL if p.values[0].has_step]
FIRST = [p for p in ALL if p.id.endswith("-0")]


@functools.lru_cache(maxsize=None)
def _library(path, dims, dtype):
    return seqmix.compile(path, dims=dict(dims), dtype=dtype, cpu=os.environ.get("SEQMIX_TEST_CPU"))


def _function(mixer, case):
    return getattr(_library(mixer.path, tuple(sorted(mixer.fixed(case).items())), case.dtype), mixer.name)


def _named(mixer, outputs):
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == len(mixer.outputs)
    return dict(zip(mixer.outputs, outputs))


def _cu_seqlens(lengths):
    return None if lengths is None else np.cumsum([0] + list(lengths), dtype=np.int32)


def _forward(mixer, case, arrays, carry, lengths):
    outputs, end = _function(mixer, case)(**arrays, carry=carry, return_carry=True, cu_seqlens=_cu_seqlens(lengths))
    return _named(mixer, outputs), end


def _setup(mixer, case, reference):
    arrays = cases.draw(mixer, case)
    carry = cases.random_carry(mixer, case, reference) if case.carry else None
    return arrays, carry


def _compare(what, got, want, dtype, compute, roundings=1):
    """`dtype` is how `got` is stored, `compute` the case's; `roundings` says how many of the two were rounded to it."""
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if np.issubdtype(want.dtype, np.integer):
        assert np.array_equal(got, want), f"{what}: {got} instead of {want}"
        return
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(want)
    assert np.array_equal(got[~finite], want[~finite]), f"{what}: infinite entries differ"
    if not finite.any():
        return
    largest = np.abs(want[finite]).max()
    inside = np.where(finite, want, 0)
    allowed = (1e-12 if compute == "f64" else 2e-5) * largest + roundings * HALF_ULP.get(dtype, 0.0) * np.abs(inside)
    error = np.abs(np.where(finite, got, 0) - inside)
    excess = np.where(finite, error - allowed, -1)
    excess = np.where(np.isnan(excess), np.inf, excess)
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert excess[worst] <= 0, (f"{what}{list(map(int, worst))}: {got[worst]} instead of {want[worst]}, "
                                f"error {error[worst] / largest:.2e} of the largest magnitude {largest:.3g}")


def _compare_outputs(got, want, case, roundings=1):
    assert set(got) == set(want)
    for name in want:
        _compare(name, np.asarray(got[name]), np.asarray(want[name]), case.dtype, case.dtype, roundings)


def _held_rows(mixer, case, name, array, position):
    """The rows that a component of rows holds, of every sequence: those that it has room for besides do not count."""
    part = next(p for p in _function(mixer, case)._info.sizes[0].carry if p.name == name)
    axis = next(i for i, a in enumerate(part.axes) if not a.batch)
    return [np.moveaxis(np.asarray(array), axis, 1)[n, :min(int(p), array.shape[axis])] for n, p in enumerate(position)]


def _compare_carry(mixer, got, want, case):
    got, want = cases.compared_carry(mixer, got, want)
    assert set(got) == set(want), "components of the carry"
    for name in want:
        if not name.endswith("_rows"):
            _compare(f"carry {name}", np.asarray(got[name]), np.asarray(want[name]), "f32", case.dtype)
            continue
        held, expected = (_held_rows(mixer, case, name, c[name], np.asarray(want["position"])) for c in (got, want))
        for n, (rows, rows_wanted) in enumerate(zip(held, expected)):
            _compare(f"carry {name} of sequence {n}", rows, rows_wanted, "f32", case.dtype)


@pytest.mark.parametrize("mixer, case, reference", ALL)
def test_forward_agrees_with_reference(mixer, case, reference):
    arrays, carry = _setup(mixer, case, reference)
    got, end = _forward(mixer, case, arrays, carry, case.lengths)
    want, want_end = cases.run_reference(mixer, arrays, carry, reference, case.lengths)
    _compare_outputs(got, want, case)
    _compare_carry(mixer, end, want_end, case)


def _tokens(mixer, arrays, index):
    """The same inputs with only some tokens: `index` selects along T."""
    return {t.name: np.ascontiguousarray(arrays[t.name][:, index]) if cases.varies_over_time(mixer, t) else arrays[t.name]
            for t in mixer.tensors}


def _put(mixer, got, outputs, index):
    """Enters the outputs of some tokens; what has no time is the same every time."""
    for name, value in outputs.items():
        if name in mixer.timeless:
            got[name] = value
        else:
            got[name][:, index] = value


@pytest.mark.parametrize("mixer, case, reference", [p for p in STEPPED if p.values[1].lengths is None])
def test_steps_agree_with_forward(mixer, case, reference):
    arrays, carry = _setup(mixer, case, reference)
    whole, end = _forward(mixer, case, arrays, carry, None)
    step = _function(mixer, case).step
    got = {name: np.zeros_like(value) for name, value in whole.items()}
    over_time = {t.name for t in mixer.tensors if cases.varies_over_time(mixer, t)}
    for t in range(mixer.sizes(case)["T"]):
        one = {name: np.ascontiguousarray(a[:, t]) if name in over_time else a for name, a in arrays.items()}
        outputs, carry = step(**one, carry=carry)
        _put(mixer, got, _named(mixer, outputs), t)
    _compare_outputs(got, whole, case, roundings=2)
    if mixer.sizes(case)["T"]:
        _compare_carry(mixer, carry, end, case)


@pytest.mark.parametrize("mixer, case, reference", STEPPED)
def test_two_calls_agree_with_one(mixer, case, reference):
    arrays, carry = _setup(mixer, case, reference)
    whole, end = _forward(mixer, case, arrays, carry, case.lengths)
    if case.lengths is None:
        total = mixer.sizes(case)["T"]
        parts = [[np.arange(total // 3)], [np.arange(total // 3, total)]]
    else:
        starts = np.cumsum([0] + case.lengths)
        parts = [[np.arange(s, s + n // 3) for s, n in zip(starts, case.lengths)],
                 [np.arange(s + n // 3, s + n) for s, n in zip(starts, case.lengths)]]
    got = {name: np.zeros_like(value) for name, value in whole.items()}
    for part in parts:
        index = np.concatenate(part)
        lengths = None if case.lengths is None else [len(p) for p in part]
        outputs, carry = _forward(mixer, case, _tokens(mixer, arrays, index), carry, lengths)
        _put(mixer, got, outputs, index)
    _compare_outputs(got, whole, case, roundings=2)
    _compare_carry(mixer, carry, end, case)


def _strided(array):
    """The same values with the axes in another order in memory and gaps between rows; the last axis stays contiguous."""
    if array.ndim < 2:
        return array
    room = np.zeros(array.shape[-2::-1] + (array.shape[-1] + 3,), dtype=array.dtype)
    axes = tuple(range(array.ndim - 2, -1, -1)) + (array.ndim - 1,)
    view = room.transpose(axes)[..., : array.shape[-1]]
    view[...] = array
    return view


@pytest.mark.parametrize("mixer, case, reference", FIRST)
def test_strides_do_not_matter(mixer, case, reference):
    arrays, carry = _setup(mixer, case, reference)
    whole, end = _forward(mixer, case, arrays, carry, case.lengths)
    got, got_end = _forward(mixer, case, {n: _strided(a) for n, a in arrays.items()}, carry, case.lengths)
    _compare_outputs(got, whole, case, roundings=2)
    _compare_carry(mixer, got_end, end, case)


@pytest.mark.parametrize("mixer, case, reference", [p for p in FIRST if not p.values[0].has_step])
def test_no_step(mixer, case, reference):
    arrays, carry = _setup(mixer, case, reference)
    one = {t.name: np.ascontiguousarray(arrays[t.name][:, 0]) if cases.varies_over_time(mixer, t) else arrays[t.name]
           for t in mixer.tensors}
    with pytest.raises(Exception, match="step"):
        _function(mixer, case).step(**one, carry=carry)


def test_long_sequences_are_cut_where_threads_have_nothing_else_to_do():
    """Two threads for each of B sequences: the bits of a sequence depend on that, but not on its slot; `unsplit` prevents it."""
    library = _library(ROOT / "examples/elementwise/hgrn.seq", (("D", 32),), "f32")
    random = np.random.default_rng(1)
    tokens = 6000
    one = {"x": random.standard_normal((1, tokens, 32)), "f": 4 + random.standard_normal((1, tokens, 32))}
    one = {name: array.astype(np.float32) for name, array in one.items()}
    lb = random.random(32).astype(np.float32)
    whole, end = library.hgrn(**one, lb=lb, threads=1, return_carry=True)
    cut, cut_end = library.hgrn(**one, lb=lb, threads=2, return_carry=True)
    assert not np.array_equal(whole, cut)
    np.testing.assert_allclose(cut, whole, rtol=0, atol=2e-5 * np.abs(whole).max())
    np.testing.assert_allclose(cut_end["h"], end["h"], rtol=0, atol=2e-5 * np.abs(end["h"]).max())
    for threads in (1, 2, 4):
        assert np.array_equal(library.hgrn(**one, lb=lb, threads=threads, unsplit=True), whole)
    twice = {name: np.concatenate([array, array[:, ::-1], array]) for name, array in one.items()}
    slots = library.hgrn(**twice, lb=lb, threads=6)
    assert np.array_equal(slots[0], slots[2])
    assert np.array_equal(slots[:1], cut)


@pytest.mark.parametrize("name, heads, consts", [("causal_attention", 4, {}), ("sliding_window_attention", 1, {"W": 900})])
def test_positions_are_cut_where_threads_have_nothing_else_to_do(name, heads, consts):
    """Steps and chunks of queries against a long past: several threads share the range of s of a sequence, and merge."""
    function = getattr(seqmix.compile(ROOT / f"examples/attention/{name}.seq", dims={"K": 32, "V": 32}, consts=consts), name)
    random = np.random.default_rng(2)
    arrays = {n: random.standard_normal((1, 2000, 4 if n == "q" else heads, 32)).astype(np.float32) for n in "qkv"}
    whole = function(**arrays, threads=1)
    tolerance = {"rtol": 0, "atol": 2e-5 * np.abs(whole).max()}
    past, carry = function(**{n: a[:, :1900] for n, a in arrays.items()}, threads=1, return_carry=True, rows=2000)
    np.testing.assert_allclose(past, whole[:, :1900], **tolerance)
    copy = {n: a.copy() for n, a in carry.items()}
    rest = {n: a[:, 1900:] for n, a in arrays.items()}
    chunk, end = function(**rest, carry=copy, threads=1, return_carry=True)
    np.testing.assert_allclose(chunk, whole[:, 1900:], **tolerance)
    for threads in (8, 13, 30):  # two and three parts, and as many as there are, for each of four heads
        cut, cut_end = function(**rest, carry=copy, threads=threads, return_carry=True)
        assert not np.array_equal(cut, chunk), "the range of s was not cut"
        np.testing.assert_allclose(cut, whole[:, 1900:], **tolerance)
        assert all(np.array_equal(cut_end[n], end[n]) for n in end)
        workspace = function.workspace(threads=threads, B=1, H=4, T=100)
        assert np.array_equal(function(**rest, carry=copy, threads=threads, workspace=workspace), cut)
        assert np.array_equal(function(**rest, carry=copy, threads=threads, unsplit=True), chunk)
        steps = {n: a.copy() for n, a in carry.items()}
        for at in range(5):
            row, steps = function.step(**{n: a[:, at] for n, a in rest.items()}, carry=steps, threads=threads)
            np.testing.assert_allclose(row, whole[:, 1900 + at], **tolerance)
    # Three sequences of two lengths, in any order: the bits of a sequence do not depend on its slot.
    tokens = {n: np.concatenate([a[:, :1]] * 3) for n, a in rest.items()}
    results = []
    for order in ((1900, 1900, 700), (700, 1900, 1900), (1900, 700, 1900)):
        mixed = {n: np.concatenate([a] * 3) for n, a in carry.items()}
        mixed["position"] = np.array(order, np.int64)
        out, _ = function(**tokens, carry=mixed, threads=36, return_carry=True)
        results.append({p: [out[i] for i in range(3) if order[i] == p] for p in (700, 1900)})
    for other in results:
        for position, rows in other.items():
            assert all(np.array_equal(row, results[0][position][0]) for row in rows), f"a sequence at {position}"


@pytest.mark.parametrize("name, heads, consts, room", [
    ("causal_attention", 4, {}, 64), ("causal_attention", 4, {}, 24), ("sliding_window_attention", 1, {"W": 90}, 32),
])
def test_rows_in_pages(name, heads, consts, room, monkeypatch):
    """Prompts, steps and (without a window) chunks of two sequences whose rows stand in pages in any order.

    Tiles of 64 columns end where pages do: then only the order of sums differs from rows that stand behind each other.
    """
    def agree(got, want):
        assert not np.isnan(got).any()
        if room % 64 == 0:
            assert np.array_equal(got, want)
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.abs(want).max())

    function = getattr(seqmix.compile(ROOT / f"examples/attention/{name}.seq", dims={"K": 32, "V": 24}, consts=consts), name)
    random = np.random.default_rng(3)
    sizes = {"q": (4, 32), "k": (heads, 32), "v": (heads, 24)}
    arrays = {n: random.standard_normal((2, 220, *s)).astype(np.float32) for n, s in sizes.items()}
    part = lambda a, b: {n: x[:, a:b] for n, x in arrays.items()}
    pages = random.permutation(30)[:20].reshape(2, 10).astype(np.int32)
    pool = {f"{n}_rows": np.full((30, heads, room, sizes[n][1]), np.nan, np.float32) for n in "kv"}
    start = {**pool, "position": np.zeros(2, np.int64)}
    for parts in ("1", "3"):
        monkeypatch.setenv("SEQMIX_PARTS", parts)
        want, plain = function(**part(0, 150), return_carry=True, rows=220)
        got, paged = function(**part(0, 150), carry=start, pages=pages, return_carry=True)
        agree(got, want)
        assert paged["k_rows"] is pool["k_rows"]
        if not consts:
            rows = pool["k_rows"][pages[1]].transpose(1, 0, 2, 3).reshape(heads, -1, 32)
            assert np.array_equal(rows[:, :150], plain["k_rows"][1, :, :150])
            want, plain = function(**part(150, 190), carry=plain, return_carry=True, rows=220)
            got, paged = function(**part(150, 190), carry=paged, pages=pages, return_carry=True)
            agree(got, want)
        at = int(plain["position"][0])
        for t in range(at, at + 20):
            token = {n: x[:, t] for n, x in arrays.items()}
            want, plain = function.step(**token, carry=plain)
            got, paged = function.step(**token, carry=paged, pages=pages)
            agree(got, want)
    token = {n: x[:, 0] for n, x in arrays.items()}
    wrong = pages.copy()
    wrong[1, 0] = 30
    before = {n: a.copy() for n, a in paged.items()}
    with pytest.raises(seqmix.SeqmixError, match=r"pages\[1, 0\] is 30; there are 30 pages"):
        function.step(**token, carry=paged, pages=wrong)
    with pytest.raises(seqmix.SeqmixError, match=f"has 1 pages of {room} rows"):
        function.step(**token, carry=paged, pages=pages[:, :1].copy())
    with pytest.raises(seqmix.SeqmixError, match="one a sequence"):
        function.step(**token, carry=paged, pages=pages[:1])
    with pytest.raises(seqmix.SeqmixError, match="must be i32"):
        function.step(**token, carry=paged, pages=pages.astype(np.int64))
    if consts:
        with pytest.raises(seqmix.SeqmixError, match="token by token"):
            function(**part(0, 5), carry=paged, pages=pages)
    room_for_all = function.workspace(B=2, H=4, T=64)
    inside = room_for_all[: pages.nbytes].view(np.int32).reshape(pages.shape)
    inside[:] = pages
    with pytest.raises(seqmix.SeqmixError, match="the workspace overlaps pages in memory"):
        function.step(**token, carry=paged, pages=inside, workspace=room_for_all)
    assert all(np.array_equal(paged[n], before[n], equal_nan=True) for n in before), "a refused call wrote"


@pytest.mark.parametrize("threads", (1, 24))
def test_latent_rows(threads):
    """Keys and values that are made from rows of all heads: the first tokens of a sequence use the former, later ones the latter."""
    sizes = {"qn": (4, 24), "qr": (4, 8), "c": (80,), "kr": (8,)}
    function = seqmix.compile(ROOT / "examples/attention/mla.seq", dims={"N": 24, "M": 8, "R": 80, "V": 20}).mla
    random = np.random.default_rng(5)
    params = {n: random.standard_normal((4, rows, 80)).astype(np.float32) / 5 for n, rows in (("Wk", 24), ("Wv", 20))}
    arrays = {n: random.standard_normal((2, 1200, *s)).astype(np.float32) for n, s in sizes.items()}
    part = lambda a, b: {n: x[:, a:b] for n, x in arrays.items()}
    whole = function(**arrays, **params, threads=threads)
    tolerance = {"rtol": 0, "atol": 2e-5 * np.abs(whole).max()}
    got, carry = function(**part(0, 900), **params, threads=threads, return_carry=True, rows=1200)
    np.testing.assert_allclose(got, whole[:, :900], **tolerance)
    assert {n: a.shape for n, a in carry.items()} == {"c_rows": (2, 1200, 80), "kr_rows": (2, 1200, 8), "position": (2,)}
    for begin, end in ((900, 1000), (1000, 1003), (1003, 1180)):
        got, carry = function(**part(begin, end), **params, carry=carry, threads=threads, return_carry=True)
        np.testing.assert_allclose(got, whole[:, begin:end], **tolerance)
    for t in range(1180, 1184):
        row, carry = function.step(**{n: x[:, t] for n, x in arrays.items()}, **params, carry=carry, threads=threads)
        np.testing.assert_allclose(row, whole[:, t], **tolerance)
    np.testing.assert_array_equal(carry["c_rows"][:, :1184], arrays["c"][:, :1184])
    # New sequences and others in one call, in any slot; and with a workspace for the largest of either kind.
    tokens = {n: np.concatenate([x[:1, 1184:1194]] * 3) for n, x in arrays.items()}
    workspace = function.workspace(threads=threads, B=3, H=4, T=10)
    found = {}
    for order in ((0, 1184, 0), (1184, 0, 1184), (0, 0, 1184)):
        mixed = {n: np.concatenate([a[:1]] * 3) for n, a in carry.items()}
        mixed["position"] = np.array(order, np.int64)
        out = function(**tokens, **params, carry=mixed, threads=threads, workspace=workspace)
        for position, rows in zip(order, out):
            assert np.array_equal(rows, found.setdefault(position, rows)), order
    np.testing.assert_allclose(found[1184], whole[0, 1184:1194], **tolerance)
    np.testing.assert_allclose(found[0], function(**{n: x[:1] for n, x in tokens.items()}, **params)[0], **tolerance)
    pages = random.permutation(24).reshape(2, 12).astype(np.int32)
    pool = {"c_rows": np.full((24, 64, 80), np.nan, np.float32), "kr_rows": np.full((24, 64, 8), np.nan, np.float32)}
    paged = {**pool, "position": np.zeros(2, np.int64)}
    for begin, end in ((0, 600), (600, 640), (640, 641), (641, 650)):
        got, paged = function(**part(begin, end), **params, carry=paged, pages=pages, threads=threads, return_carry=True)
        np.testing.assert_allclose(got, whole[:, begin:end], **tolerance)


@pytest.mark.parametrize("dtype", ("f32", "f64"))
@pytest.mark.parametrize("name, window", [("grouped_query_attention", None), ("mla", None), ("shared", 300)])
def test_heads_that_share_keys_are_swept_together(name, window, dtype):
    """Steps and calls of few tokens: with keys that several query heads share, with those of all heads, and in a ring."""
    H = 12
    if name == "mla":
        source, dims = ROOT / "examples/attention/mla.seq", {"N": 24, "M": 8, "R": 40, "V": 20}
        shapes = {"qn": (H, 24), "qr": (H, 8), "c": (40,), "kr": (8,)}
        params = {"Wk": (H, 24, 40), "Wv": (H, 20, 40)}
    elif name == "shared":
        source, dims, params = """mixer shared
  dims   B, H batch; t, s in T; i in K = 20; j in V = 35
  input  q[t,i], k[s,i], v[s,j] : bf16
  input  on[s] : bool per B
  input  r[t] : i32
  p[t,s] = softmax[s] (sum[i] q[t,i] * k[s,i])
    where s <= t and t - s < 300 and (on[s] or s // 8 == r[t])
  o[t,j] = sum[s] p[t,s] * v[s,j]
  output o[t,j]
""".replace("k[s,i], v[s,j] : bf16", "").replace("q[t,i], ", "q[t,i]\n  input  k[s,i], v[s,j] per B, H/6"), {}, {}
        shapes = {"q": (H, 20), "k": (2, 20), "v": (2, 35), "on": (), "r": (H,)}
    else:
        source, dims, params = ROOT / f"examples/attention/{name}.seq", {"K": 32, "V": 24}, {}
        shapes = {"q": (H, 32), "k": (3, 32), "v": (3, 24)}
    real = np.float32 if dtype == "f32" else np.float64
    function = getattr(seqmix.compile(source, dims=dims, dtype=dtype), name)
    random = np.random.default_rng(8)
    params = {n: (random.standard_normal(s) / 5).astype(real) for n, s in params.items()}
    arrays = {n: random.standard_normal((2, 720, *s)).astype(real) for n, s in shapes.items()}
    if name == "shared":
        arrays["on"], arrays["r"] = arrays["on"] > 0, random.integers(0, 90, (2, 720, H)).astype(np.int32)
    part = lambda a, b: {n: x[:, a:b] for n, x in arrays.items()}
    whole = function(**arrays, **params, threads=1)
    tolerance = {"rtol": 0, "atol": (2e-5 if dtype == "f32" else 1e-12) * np.abs(whole).max()}
    for threads in (1, 3, 16, 60):
        _, carry = function(**part(0, 700), **params, return_carry=True, rows=720)
        at = 700
        for tokens in (1, 2, 1, 3, 5, 1):
            row, carry = function(**part(at, at + tokens), **params, carry=carry, threads=threads, return_carry=True)
            np.testing.assert_allclose(row, whole[:, at : at + tokens], **tolerance)
            at += tokens
        row, carry = function.step(**{n: x[:, at] for n, x in arrays.items()}, **params, carry=carry, threads=threads)
        np.testing.assert_allclose(row, whole[:, at], **tolerance)
        # The bits of a sequence do not depend on its slot.
        workspace = function.workspace(threads=threads, B=3, H=H, T=4)
        token, found = {n: np.concatenate([x[:1, 714:716]] * 3) for n, x in arrays.items()}, {}
        for order in ((714, 714, 20), (20, 714, 714), (714, 20, 714)):
            mixed = {n: np.concatenate([a[:1]] * 3) for n, a in carry.items()}
            mixed["position"] = np.array(order, np.int64)
            out = function(**token, **params, carry=mixed, threads=threads, workspace=workspace)
            for position, rows in zip(order, out):
                assert np.array_equal(rows, found.setdefault(position, rows)), order
        if window is None: # the ring has lost what the first tokens saw
            np.testing.assert_allclose(found[714], whole[0, 714:716], **tolerance)
    packed = {n: np.concatenate([x[:1, 712:714], x[1:, 712:714]], axis=1) for n, x in arrays.items()}
    _, carry = function(**part(0, 712), **params, return_carry=True, rows=720)
    got, _ = function(**packed, **params, carry=carry, return_carry=True, cu_seqlens=[0, 2, 4])
    np.testing.assert_allclose(got[0, :2], whole[0, 712:714], **tolerance)
    np.testing.assert_allclose(got[0, 2:], whole[1, 712:714], **tolerance)
