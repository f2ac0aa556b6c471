"""Two forms of a mixer: reductions that read the latent rows of the carry, or keys and values that are made from them."""

import pathlib

import ml_dtypes
import numpy as np
import pytest

import seqmix

ROOT = pathlib.Path(__file__).resolve().parents[2]

NORMALISED = """mixer latent
  dims   B, H batch; t, s in T; n in N = 20; r, l in R = 56; j in V = 19
  const  W = 90
  input  q[t,n]
  input  x[s,r] : bf16 per B
  input  kr[s] per B
  param  Wk[H,n,r], bk[H,n], Wv[H,j,r]
  c[s,r] = x[s,r] * rsqrt(sum[l] x[s,l]^2 / R + 1e-6)
  k[s,n] = sum[r] Wk[n,r] * c[s,r] + bk[n]
  v[s,j] = sum[r] Wv[j,r] * c[s,r]
  p[t,s] = softmax[s] (N^-0.5 * (sum[n] q[t,n] * k[s,n]) + kr[s])
    where s <= t and t - s < W
  o[t,j] = sum[s] p[t,s] * v[s,j]
  output o[t,j]
"""
GROUPED = """mixer latent
  dims   B, H batch; t, s in T; n in N = 30; r in R = 40; j in V = 26
  input  q[t,n]
  input  c[s,r] per B, H/4
  param  Wk[n,r], Wv[j,r]
  k[s,n] = sum[r] Wk[n,r] * c[s,r]
  v[s,j] = sum[r] Wv[j,r] * c[s,r]
  p[t,s] = softmax[s] (N^-0.5 * sum[n] q[t,n] * k[s,n])
    where s <= t
  o[t,j] = sum[s] p[t,s] * v[s,j]
  output o[t,j]
"""
CHAINED = """mixer latent
  dims   B, H batch; t, s in T; n in N = 16; r in R = 40
  input  q[t,n]
  input  c[s,r] per B
  param  Wk[H,n,r]
  k[s,n] = sum[r] Wk[n,r] * c[s,r]
  p[t,s] = softmax[s] (N^-0.5 * sum[n] q[t,n] * k[s,n])
    where s <= t
  a[t,n] = sum[s] p[t,s] * k[s,n]
  o[t]   = sum[s] relu(sum[n] a[t,n] * k[s,n])
    where s <= t
  output o[t]
"""
# Source, dims, inputs, params, and from how many tokens on keys and values are made anew behind long pasts.
MIXERS = {
    "mla": (ROOT / "examples/attention/mla.seq", {"N": 24, "M": 8, "R": 80, "V": 20},
            {"qn": (4, 24), "qr": (4, 8), "c": (80,), "kr": (8,)}, {"Wk": (4, 24, 80), "Wv": (4, 20, 80)}, 31),
    "window": (NORMALISED, {}, {"q": (4, 20), "x": (56,), "kr": ()}, {"Wk": (4, 20, 56), "bk": (4, 20), "Wv": (4, 19, 56)}, 30),
    "grouped": (GROUPED, {}, {"q": (4, 30), "c": (1, 40)}, {"Wk": (30, 40), "Wv": (26, 40)}, 94),
    "chained": (CHAINED, {}, {"q": (4, 16), "c": (40,)}, {"Wk": (4, 16, 40)}, None),
}


class Case:
    def __init__(self, name, dtype="f32"):
        source, dims, inputs, params, self.least = MIXERS[name]
        self.function = getattr(seqmix.compile(source, dims=dims, dtype=dtype), "mla" if name == "mla" else "latent")
        self.real = np.float32 if dtype == "f32" else np.float64
        random = np.random.default_rng(3)
        self.params = {n: (random.standard_normal(s) / 5).astype(self.real) for n, s in params.items()}
        self.arrays = {n: random.standard_normal((1, 700, *s)).astype(self.real) for n, s in inputs.items()}
        if name == "window":
            self.arrays["x"] = self.arrays["x"].astype(ml_dtypes.bfloat16)
        self.whole = self.run(0, 700, None)[0]
        self.tolerance = {"rtol": 0, "atol": (2e-5 if dtype == "f32" else 1e-12) * np.abs(self.whole).max()}

    def part(self, begin, end):
        return {n: x[:, begin:end] for n, x in self.arrays.items()}

    def run(self, begin, end, carry, **options):
        out, carry = self.function(**self.part(begin, end), **self.params, carry=carry, return_carry=True, rows=700, **{"threads": 1, **options})
        return out, carry

    def behind(self, position, **options):
        """The carry behind so many tokens."""
        return self.run(0, position, None, **options)[1] if position else None


@pytest.fixture(scope="module", params=[("mla", "f32"), ("mla", "f64"), ("window", "f32"), ("grouped", "f32")], ids=lambda p: "-".join(p))
def case(request):
    return Case(*request.param)


def forced(monkeypatch, form, **others):
    for name, value in {"SEQMIX_FORM": form, **others}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("past", (0, 1, 63, 300))
def test_chunks(case, past, monkeypatch):
    forced(monkeypatch, None)
    start = case.behind(past)
    differs = False
    for tokens in (1, 3, 64, 200):
        found = {}
        for form in (None, 0, 1):
            forced(monkeypatch, form)
            carry = None if start is None else {n: a.copy() for n, a in start.items()}
            out, carry = case.run(past, past + tokens, carry)
            np.testing.assert_allclose(out, case.whole[:, past : past + tokens], **case.tolerance)
            found[form] = out
            for name, rows in carry.items():
                if name.endswith("_rows") and rows.shape[1] == 700:
                    np.testing.assert_array_equal(rows[:, : past + tokens], case.run(0, past + tokens, None)[1][name][:, : past + tokens])
        differs |= not np.array_equal(found[0], found[1])
        # What is taken by itself is one of the two, and which follows from the lengths.
        if past == 300:
            assert np.array_equal(found[None], found[tokens >= case.least]), tokens
        else:
            assert any(np.array_equal(found[None], found[form]) for form in (0, 1)), tokens
    assert differs == (past > 0), "both forms run behind earlier positions, and round differently"


@pytest.mark.parametrize("parts, threads", ((3, 1), (None, 24), (None, 3)))
def test_parts(case, parts, threads, monkeypatch):
    """Where the positions s are cut, each part makes its own keys and values."""
    forced(monkeypatch, None)
    start = case.behind(467)
    for form in (0, 1):
        forced(monkeypatch, form, SEQMIX_PARTS=parts)
        for begin, end in ((467, 467 + 150), (467, 469), (467, 468)):
            out, _ = case.run(begin, end, {n: a.copy() for n, a in start.items()}, threads=threads)
            np.testing.assert_allclose(out, case.whole[:, begin:end], **case.tolerance)


def test_packed_sequences_mix_forms(case, monkeypatch):
    """Each has the bits that it has alone, in any slot."""
    forced(monkeypatch, None)
    sequences = {(300, 3), (63, 200), (0, 64), (1, 1), (300, 200), (0, 1)}
    alone = {(past, tokens): case.run(past, past + tokens, case.behind(past))[0] for past, tokens in sequences}
    for order in (sorted(sequences), sorted(sequences, reverse=True), sorted(sequences, key=sum)):
        starts = np.cumsum([0] + [tokens for _, tokens in order]).astype(np.int32)
        inputs = {n: np.concatenate([x[:, past : past + tokens] for past, tokens in order], axis=1) for n, x in case.arrays.items()}
        empty = {n: np.zeros_like(a) for n, a in case.behind(1).items()}
        carries = [case.behind(past) or empty for past, _ in order]
        carry = {n: np.concatenate([c[n] for c in carries]) for n in empty}
        workspace = case.function.workspace(threads=1, B=len(order), H=4, T=500)
        out, carry = case.function(**inputs, **case.params, carry=carry, return_carry=True, cu_seqlens=starts, threads=1, workspace=workspace)
        for number, pair in enumerate(order):
            np.testing.assert_array_equal(out[:, starts[number] : starts[number + 1]], alone[pair], err_msg=str(pair))
            np.testing.assert_allclose(alone[pair], case.whole[:, pair[0] : sum(pair)], **case.tolerance)
        assert carry["position"].tolist() == [sum(pair) for pair in order]


@pytest.mark.parametrize("form", (None, 0, 1))
def test_pages(form, monkeypatch):
    case = Case("mla")
    pages = np.random.default_rng(1).permutation(23).reshape(1, 23).astype(np.int32)
    pool = {n: np.full((23, 32, *a.shape[2:]), np.nan, a.dtype) for n, a in case.behind(1).items() if n.endswith("_rows")}
    carry = {**pool, "position": np.zeros(1, np.int64)}
    forced(monkeypatch, form)
    for begin, end in ((0, 1), (1, 65), (65, 68), (68, 268), (268, 269), (269, 600), (600, 601)):
        out, carry = case.function(**case.part(begin, end), **case.params, carry=carry, pages=pages, threads=2, return_carry=True)
        np.testing.assert_allclose(out, case.whole[:, begin:end], **case.tolerance)


def test_room_for_earlier_positions():
    """A workspace is asked for with all positions."""
    case = Case("mla")
    start = case.behind(400)
    arguments = {**case.part(400, 500), **case.params}
    room = case.function.workspace(threads=2, B=1, H=4, T=500)
    out = case.function(**arguments, carry=start, workspace=room, threads=2)
    np.testing.assert_allclose(out, case.whole[:, 400:500], **case.tolerance)


def test_sums_that_follow_from_each_other(monkeypatch):
    """Their expanded form takes new sequences only, even where it is asked for."""
    case = Case("chained")
    forced(monkeypatch, 1)
    for past, tokens in ((0, 90), (90, 400), (490, 1), (491, 30)):
        carry = case.behind(past) if past else None
        out, _ = case.run(past, past + tokens, carry)
        np.testing.assert_allclose(out, case.whole[:, past : past + tokens], **case.tolerance)
