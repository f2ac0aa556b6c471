"""The interpreter on every example and every mixer of new_mixers against its reference, in float64.

Both get the same inputs; `seq-run reference` runs the interpreter on arrays in files. For each case: outputs and final
carry; and, for mixers over pairs of positions that have a step, two calls and one token at a time against one call. Tolerance: 1e-12 of the largest
magnitude of an array.
"""

import os
import pathlib
import subprocess

import numpy as np
import pytest

import cases
import new_mixers
import references
from references import common

OVER_PAIRS = {"attention", "matrix", "selection"}  # folders of examples


def _over_pairs(mixer):
    return pathlib.Path(mixer.path).parent.name in OVER_PAIRS


ALL = [pytest.param(mixer, case, reference, id=f"{mixer.name}-{n}")
       for mixer, n, case, reference in cases.of_files(references, new_mixers)]
STEPPED = [p for p in ALL if p.values[0].has_step and _over_pairs(p.values[0])]
# The states of sums over tokens are no part of the equations as written: without them, a sequence starts at its beginning.
AS_WRITTEN = [p for p in ALL if p.values[0].name in cases.OVER_PAIRS and not p.values[1].carry]


def _interpret(folder, mixer, case, arrays, carry, lengths, *options):
    """Outputs and final carry of the interpreter, all in float64."""
    inputs, outputs = folder / "inputs", folder / "outputs"
    for path in (inputs, outputs):
        path.mkdir(exist_ok=True)
        for file in path.iterdir():
            file.unlink()
    for name, value in arrays.items():
        np.save(inputs / f"{name}.npy", np.asarray(value, dtype=np.float64, order="C"))
    for name, value in (carry or {}).items():
        np.save(inputs / f"carry.{name}.npy", np.asarray(value, dtype=np.float64, order="C"))
    command = [os.environ["SEQMIX_SEQ_RUN"], "reference", mixer.path, f"--inputs={inputs}", f"--outputs={outputs}",
               f"--dtype={case.dtype}", f"--mixer={mixer.name}", *options]
    command += [f"-D{name}={value}" for name, value in mixer.fixed(case).items()]
    if lengths is not None:
        command.append("--cu-seqlens=" + ",".join(str(n) for n in np.cumsum([0] + list(lengths))))
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    got = {path.stem: np.load(path) for path in outputs.iterdir()}
    carried = {name.removeprefix("carry."): value for name, value in got.items() if name.startswith("carry.")}
    return {name: value for name, value in got.items() if not name.startswith("carry.")}, carried


def _compare(what, got, want, tolerance=1e-12):
    assert set(got) == set(want), f"{what}: {sorted(got)} instead of {sorted(want)}"
    for name in want:
        a, b = got[name], np.asarray(want[name], dtype=np.float64)
        assert a.shape == b.shape, f"{what} {name}: shape {a.shape}, expected {b.shape}"
        assert not np.isnan(a).any(), f"{what} {name}: NaN"
        finite = np.isfinite(b)
        assert np.array_equal(a[~finite], b[~finite]), f"{what} {name}: infinite entries differ"
        if finite.any():
            largest = np.abs(b[finite]).max()
            worst = np.abs(a[finite] - b[finite]).max()
            assert worst <= tolerance * largest, f"{what} {name}: error {worst} where the largest magnitude is {largest}"


def _held(carry):
    """The carry with the rows of each sequence that components of rows hold: what they have room for besides is anyone's."""
    held = {}
    for name, value in carry.items():
        if not name.endswith("_rows"):
            held[name] = value
            continue
        axis = common.slot_axis[name]
        for n, position in enumerate(np.asarray(carry["position"])):
            held[f"{name} of sequence {n}"] = np.moveaxis(value, axis, 1)[n, : min(int(position), value.shape[axis])]
    return held


def _setup(mixer, case, reference):
    # Drawing a carry runs the reference, which says how its components are laid out.
    carry = cases.random_carry(mixer, case, reference)
    return cases.draw(mixer, case), carry if case.carry else None


@pytest.mark.parametrize("mixer, case, reference", ALL)
def test_interpreter_agrees_with_reference(mixer, case, reference, tmp_path):
    arrays, carry = _setup(mixer, case, reference)
    got, end = _interpret(tmp_path, mixer, case, arrays, carry, case.lengths)
    want, want_end = cases.run_reference(mixer, arrays, carry, reference, case.lengths)
    _compare("output", got, want)
    _compare("carry", *map(_held, cases.compared_carry(mixer, end, want_end)))


@pytest.mark.parametrize("mixer, case, reference", AS_WRITTEN)
def test_equations_as_written_agree_with_reference(mixer, case, reference, tmp_path):
    arrays, _ = _setup(mixer, case, reference)
    got, _ = _interpret(tmp_path, mixer, case, arrays, None, case.lengths, "--as-written")
    want, _ = cases.run_reference(mixer, arrays, None, reference, case.lengths)
    # Differences of sums of gates down to -1000 have lost digits.
    _compare("output", got, want, tolerance=1e-10)


def _in_parts(mixer, case, arrays, carry, parts, folder):
    """Outputs and final carry of calls on some tokens each; a part has the numbers of its tokens for every sequence."""
    total = mixer.sizes(case)["T"]
    outputs = {}
    for part in parts:
        index = np.concatenate(part)
        lengths = None if case.lengths is None else [len(p) for p in part]
        taken = {t.name: arrays[t.name][:, index] if cases.varies_over_time(mixer, t) else arrays[t.name]
                 for t in mixer.tensors}
        got, carry = _interpret(folder, mixer, case, taken, carry, lengths)
        for name, value in got.items():
            whole = outputs.setdefault(name, np.zeros(value.shape[:1] + (total,) + value.shape[2:]))
            whole[:, index] = value
    return outputs, carry


@pytest.mark.parametrize("mixer, case, reference", STEPPED)
def test_two_calls_agree_with_one(mixer, case, reference, tmp_path):
    arrays, carry = _setup(mixer, case, reference)
    want, want_end = _interpret(tmp_path, mixer, case, arrays, carry, case.lengths)
    starts = [0] if case.lengths is None else np.cumsum([0] + case.lengths[:-1])
    lengths = case.lengths or [mixer.sizes(case)["T"]]
    parts = [[np.arange(s, s + n // 3) for s, n in zip(starts, lengths)],
             [np.arange(s + n // 3, s + n) for s, n in zip(starts, lengths)]]
    got, end = _in_parts(mixer, case, arrays, carry, parts, tmp_path)
    _compare("output", got, want)
    _compare("carry", end, want_end)


@pytest.mark.parametrize("mixer, case, reference", [p for p in STEPPED if p.id.endswith("-1")])
def test_single_tokens_agree_with_one_call(mixer, case, reference, tmp_path):
    arrays, carry = _setup(mixer, case, reference)
    want, want_end = _interpret(tmp_path, mixer, case, arrays, carry, case.lengths)
    starts = [0] if case.lengths is None else np.cumsum([0] + case.lengths[:-1])
    lengths = case.lengths or [mixer.sizes(case)["T"]]
    parts = [[np.arange(s + t, s + min(t + 1, n)) if t < n else np.arange(0) for s, n in zip(starts, lengths)]
             for t in range(max(lengths))]
    if parts:
        got, end = _in_parts(mixer, case, arrays, carry, parts, tmp_path)
        _compare("output", got, want)
        _compare("carry", end, want_end)
