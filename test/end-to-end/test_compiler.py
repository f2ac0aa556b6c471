"""What the compiler takes for each example: memory and time."""

import os
import subprocess

import pytest

import test_examples

SEQC = os.environ["SEQMIX_SEQC"]
EXAMPLES = sorted((test_examples.ROOT / "examples").rglob("*.seq"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_library_in_five_seconds_and_a_gigabyte(path, tmp_path):
    """The time is the processor's, of the compiler and what it starts: other work on the machine does not count. What shares a
    core with it does, so that it has three tries."""
    command = [SEQC, str(path), "-o", str(tmp_path / "lib.so"), "--header", str(tmp_path / "lib.h")]
    times = []
    while len(times) < 3 and min(times, default=5) >= 5:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        text = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, text
        assert usage.ru_maxrss < 1_000_000, f"{usage.ru_maxrss} KiB"
        times.append(usage.ru_utime + usage.ru_stime)
    assert min(times) < 5, times
