"""Every example in one portable library, run as the code for each instruction set that this machine has.

The whole suite for one of them: SEQMIX_TEST_CPU=x86-64-v3 (or another --cpu) with test_examples.py.
"""

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
