"""Every example in one portable library, run as the code for each instruction set that this machine has.

The whole suite for one of them: SEQMIX_TEST_CPU=x86-64-v3 (or another --cpu) with test_examples.py.
"""

import ml_dtypes
import numpy as np
import pytest

import cases
import seqmix
import test_examples

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


def _smallest(params):
    """One case a mixer: the one with the fewest tokens and elements, but more than one token."""
    best = {}
    for param in params:
        mixer, case, _ = param.values
        sizes = mixer.sizes(case)
        cost = (sizes["T"] < 16, sizes["T"] * sum(sizes.values()))
        if mixer.path not in best or cost < best[mixer.path][0]:
            best[mixer.path] = cost, param
    return [param for _, param in best.values()]


def _function(mixer, case):
    library = seqmix.compile(mixer.path, dims=mixer.fixed(case), dtype=case.dtype, cpu="portable")
    return getattr(library, mixer.name)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mixer, case, reference", _smallest(test_examples.ALL))
def test_each_target_agrees_with_the_reference(mixer, case, reference, target, monkeypatch):
    function = _function(mixer, case)
    assert set(function.targets) == set(TARGETS)
    monkeypatch.setenv("SEQMIX_TARGET", target)  # read at each call
    arrays, carry = test_examples._setup(mixer, case, reference)
    try:
        outputs, end = function(**arrays, carry=carry, return_carry=True, cu_seqlens=test_examples._cu_seqlens(case.lengths))
    except seqmix.SeqmixError as error:
        if target == TARGETS[0]:
            raise
        pytest.skip(str(error))  # the machine lacks it
    want, want_end = cases.run_reference(mixer, arrays, carry, reference, case.lengths)
    test_examples._compare_outputs(test_examples._named(mixer, outputs), want, case)
    test_examples._compare_carry(mixer, end, want_end, case)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ("f32", "f64", "bf16"))
@pytest.mark.parametrize("rows, columns", ((16, 16), (37, 53), (64, 31), (5, 200), (128, 96)))
def test_weights_that_are_turned(rows, columns, dtype, target, monkeypatch):
    """Weights are packed along the other dim than that which is contiguous in memory: by squares, and what is left of them."""
    source = """mixer turned
  dims   B batch; t in T; j in J = 8; r in R = 8; i in I = 3
  input  x[t,r]
  param  W[i,j,r]
  y[t,i,j] = sum[r] W[i,j,r] * x[t,r]
  output y[t,i,j]
"""
    function = seqmix.compile(source, dims={"J": rows, "R": columns}, dtype=dtype, cpu="portable").turned
    monkeypatch.setenv("SEQMIX_TARGET", target)
    random = np.random.default_rng(2)
    real = {"f32": np.float32, "f64": np.float64, "bf16": ml_dtypes.bfloat16}[dtype]
    x = random.standard_normal((2, 5, columns)).astype(real)
    weights = random.standard_normal((3, rows, columns)).astype(real)
    want = np.einsum("ijr,btr->btij", weights.astype(float), x.astype(float))
    apart = np.zeros((3, 2 * rows, columns), real)
    apart[:, ::2] = weights
    for laid in (weights, apart[:, ::2]):
        try:
            got = function(x=x, W=laid)
        except seqmix.SeqmixError as error:
            if target == TARGETS[0]:
                raise
            pytest.skip(str(error))  # the machine lacks it
        tolerance = {"f32": 2e-5, "f64": 1e-12, "bf16": 2.0**-8}[dtype]
        np.testing.assert_allclose(np.asarray(got, float), want, rtol=0, atol=tolerance * np.abs(want).max())
