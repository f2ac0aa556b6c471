"""What the compiler takes and makes for each example: memory and code. Times are in test/bench/compile-times.py."""

import os
import subprocess

import pytest

import test_examples

SEQC = os.environ["SEQMIX_SEQC"]
EXAMPLES = sorted((test_examples.ROOT / "examples").rglob("*.seq"))
# The time of seqc is the time of LLVM, which grows with the code: the largest example has 250 KiB and takes 3 seconds.
MOST_CODE = 400 << 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_gigabyte_of_memory_and_little_code(path, tmp_path):
    library = tmp_path / "lib.so"
    command = [SEQC, str(path), "-o", str(library), "--header", str(tmp_path / "lib.h")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with process.stderr:
        text = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    assert usage.ru_maxrss < 1_000_000, f"{usage.ru_maxrss} KiB"
    assert library.stat().st_size < MOST_CODE, f"{library.stat().st_size} bytes"
