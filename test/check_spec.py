#!/usr/bin/env python3
"""Compares the numbered constraints of dialect/SPEC.md with the verifiers and with their tests.

Each number must stand in SPEC.md (`**C7**`), above a check in dialect/*.cpp (`// c7`) and above a test in
test/dialect/*.mlir (`// c7`, in a section that expects an error). Every op must be in the round-trip test.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def numbers(pattern, text):
    return {int(number) for number in re.findall(pattern, text, re.M)}


def tested():
    found = set()
    for path in sorted((ROOT / "test/dialect").glob("*.mlir")):
        for section in re.split(r"^// -----$", path.read_text(), flags=re.M):
            if "expected-error" in section:
                found |= numbers(r"^// c(\d+)$", section)
    return found


def main():
    spec_text = (ROOT / "dialect/SPEC.md").read_text()
    listed = [int(number) for number in re.findall(r"^- \*\*C(\d+)\*\*", spec_text, re.M)]
    spec = set(listed)
    problems = []
    if listed != list(range(1, len(listed) + 1)):
        problems.append("the numbers in SPEC.md do not count from 1 without gaps")
    code = set()
    for path in (ROOT / "dialect").glob("*.cpp"):
        code |= numbers(r"^\s*// c(\d+)$", path.read_text())
    for name, have in (("dialect/*.cpp", code), ("test/dialect/*.mlir", tested())):
        problems += [f"C{number} is not in {name}" for number in sorted(spec - have)]
        problems += [f"c{number} in {name} is not in SPEC.md" for number in sorted(have - spec)]
    ops = set()
    for path in (ROOT / "dialect").glob("*.td"):
        ops |= set(re.findall(r'^def Seq_\w+Op : Seq_(?:Op|Equation)<"(\w+)"', path.read_text(), re.M))
    round_trip = (ROOT / "test/dialect/round-trip.mlir").read_text()
    problems += [f"seq.{op} is not in round-trip.mlir" for op in sorted(ops)
                 if not re.search(rf"^[^/]*\bseq\.{op}\b", round_trip, re.M)]
    for problem in problems:
        print(problem)
    print(f"{len(spec)} constraints, {len(ops)} ops")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
