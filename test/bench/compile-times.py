#!/usr/bin/env python3
"""Times seqc on files: processor seconds (least of some runs), peak memory, and the size of the code, slowest file first.

Usage: test/bench/compile-times.py [--seqc=build/bin/seqc] [--repeat=3] [--rows=12] [FILE.seq ...]

Without files all examples are compiled. `size` of binutils counts the code.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--seqc", default=ROOT / "build" / "bin" / "seqc")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rows", type=int, default=12)
    return parser.parse_args()


def run(seqc, path, library):
    """Processor seconds and peak KiB of one run; ends with seqc's own message where it fails."""
    process = subprocess.Popen([seqc, path, "-o", library])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{path}: seqc failed ({process.returncode})")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main():
    options = parse()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "lib.so")
        for path in options.files or sorted((ROOT / "examples").rglob("*.seq")):
            runs = [run(options.seqc, path, library) for _ in range(options.repeat)]
            code = subprocess.run(["size", library], capture_output=True, text=True, check=True).stdout.splitlines()[1].split()[0]
            rows.append((min(seconds for seconds, _ in runs), max(memory for _, memory in runs), int(code), path.name))
    rows.sort(reverse=True)
    print("| file | s | MB | KiB of code |\n|---|---|---|---|")
    for seconds, memory, code, name in rows[: options.rows]:
        print(f"| {name} | {seconds:.2f} | {memory / 1000:.0f} | {code / 1024:.0f} |")
    print(f"\n{len(rows)} files: median {statistics.median(row[0] for row in rows):.2f} s, together {sum(row[0] for row in rows):.0f} s")


if __name__ == "__main__":
    main()
