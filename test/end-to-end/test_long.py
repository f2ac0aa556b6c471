"""Sequences of a million tokens, and the same bits wherever a sequence stands, for every example.

Sizes are those of the smallest case of a file. A call on 1,000,000 tokens gets the caller's workspace, which must not be larger than
for fewer tokens (where nothing is saved along the sequence) and is all that the call takes. Its end is compared with the
reference, which starts from the library's carry in front of the last tokens.
"""

import math
import pathlib
import re

import numpy as np
import pytest

import cases
import references
import seqmix
import test_examples

TOKENS = 1_000_000
TAIL = 61  # tokens that the reference does

# Equations that read definitions of all tokens, which have to be kept: bytes a token at the sizes below, in whole vectors.
READ_ANYWHERE = {"lama": 128, "butterfly_matrix": 256, "ltsf_dlinear": 320, "ltsf_nlinear": 64}


# Chosen rows are carried: all of them, which their references hold in less room.
CARRIES_ROWS = {"recycled_attention"}


def _varies_over_pairs(mixer):
    """Whether two positions meet, so that a sequence costs the square of its length."""
    return sum(dim == "T" for dim in mixer.index_dim.values()) > 1 or mixer.name in CARRIES_ROWS


def _small(mixer):
    """The case with the fewest elements a token, from the initial carry.

    In f32, or in f64 where positions are turned into angles, whose rounding grows with them.
    """

    def elements(case):
        return math.prod(mixer.fixed(case).values())

    case = min((c for c in mixer.cases if mixer.fixed(c)), key=elements, default=mixer.cases[0])
    turns = re.search(r"(sin|cos)\(t\b", pathlib.Path(mixer.path).read_text())
    return cases.Case("long", dict(case.sizes), dtype="f64" if turns else "f32")


def _examples():
    for path in sorted((test_examples.ROOT / "examples").rglob("*.seq")):
        mixer = cases.read(path)
        yield pytest.param(mixer, _small(mixer), getattr(references, mixer.name), id=mixer.name)


ALL = list(_examples())
LINEAR = [p for p in ALL if not _varies_over_pairs(p.values[0])]


def _sized(mixer, case, tokens, **batch):
    """The case with that many tokens and, for batch dims that are not given, as few elements as groups allow."""
    sizes = {**case.sizes, "T": tokens}
    for dim in mixer.batch:
        groups = [divisor for t in mixer.tensors for d, divisor in t.per or [] if d == dim]
        sizes[dim] = max(groups + [1]) * batch.get(dim, 1)
    return cases.Case(case.line, sizes, case.dtype)


def _memory(field):
    """In KiB."""
    return int(re.search(rf"{field}:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])


def _workspace(function, mixer, case):
    lengths = [d for d, default in mixer.defaults.items() if default is None]
    return function.workspace(threads=2, **{d: case.sizes[d] for d in [*mixer.batch, *lengths]})


def _saved_bytes(mixer, case):
    """Of a token, in the workspace: outputs of a pass in one direction, kept for one in the other, and READ_ANYWHERE."""
    if "t+1" not in pathlib.Path(mixer.path).read_text():
        return READ_ANYWHERE.get(mixer.name, 0)
    return 8 * sum(math.prod(mixer.shape(t, mixer.sizes(_sized(mixer, case, 1)))) for t in mixer.tensors if t.kind == "input")


@pytest.mark.parametrize("mixer, case, reference", LINEAR)
def test_a_million_tokens(mixer, case, reference):
    case = _sized(mixer, case, TOKENS)
    function = test_examples._function(mixer, case)
    shorter = _workspace(function, mixer, _sized(mixer, case, 10_000)).nbytes
    workspace = _workspace(function, mixer, case)
    workspace.fill(0xFF)
    saved = _saved_bytes(mixer, case) * (TOKENS - 10_000)
    assert workspace.nbytes <= shorter + saved, "the workspace grows with the tokens"
    arrays = cases.draw(mixer, case)

    stepped = mixer.has_step
    start = None
    if stepped:
        head = test_examples._tokens(mixer, arrays, np.arange(TOKENS - TAIL))
        _, start = function(**head, return_carry=True)
        del head
    outputs = test_examples._named(mixer, function(**arrays))  # warms up, and makes arrays for the outputs
    want = {name: np.array(value[:, -TAIL:]) for name, value in outputs.items()}
    for value in outputs.values():
        value.fill(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _memory("VmRSS")
    function(**arrays, out=outputs, workspace=workspace)
    grown = _memory("VmHWM") - before
    assert grown < 1024, f"the call took {grown} KiB beside the workspace"
    for name, value in outputs.items():
        assert np.array_equal(value[:, -TAIL:], want[name]), "a workspace changes results"
    if stepped:
        tail = test_examples._tokens(mixer, arrays, np.arange(TOKENS - TAIL, TOKENS))
        expected, _ = cases.run_reference(mixer, tail, start, reference)
        test_examples._compare_outputs({name: v[:, -TAIL:] for name, v in outputs.items()}, expected, case)


@pytest.mark.parametrize("mixer, case, reference", ALL)
def test_the_same_bits_in_every_slot_and_for_every_number_of_threads(mixer, case, reference):
    """Batch elements with equal inputs give equal results, alone and among others, and on one thread and on three."""
    first = mixer.batch[0]
    one = _sized(mixer, case, 150)
    function = test_examples._function(mixer, one)
    arrays = cases.draw(mixer, one)
    copies = 7
    shared = {t.name for t in mixer.tensors if t.kind == "param" or t.per is not None and first not in dict(t.per)}
    many = {name: a if name in shared else np.concatenate([a] * copies) for name, a in arrays.items()}
    assert one.sizes[first] == 1, "inputs in groups over the first batch dim: write another test"
    alone, end = function(**arrays, return_carry=True, threads=1)
    for threads in (1, 3):
        together, ends = function(**many, return_carry=True, threads=threads)
        for name, value in test_examples._named(mixer, together).items():
            for slot in range(copies):
                expected = test_examples._named(mixer, alone)[name][0]
                assert np.array_equal(value[slot], expected, equal_nan=True), f"{name} in slot {slot}, {threads} threads"
        for name, value in ends.items():
            for slot in range(copies):
                assert np.array_equal(value[slot], end[name][0], equal_nan=True), f"carry {name} in slot {slot}, {threads} threads"
