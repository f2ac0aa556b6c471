#!/usr/bin/env python3
"""Compares the numbered constraints of each dialect's SPEC.md with the verifiers and with their tests.

Each number must stand in SPEC.md (`**C7**`), above a check in the dialect's *.cpp (`// c7`) and above a test in its folder's
*.mlir (`// c7`, in a section that expects an error). Every op must be in the round-trip test.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def numbers(pattern, text):
    return {int(number) for number in re.findall(pattern, text, re.M)}


def tested(folder):
    found = set()
    for path in sorted(folder.glob("*.mlir")):
        for section in re.split(r"^// -----$", path.read_text(), flags=re.M):
            if "expected-error" in section:
                found |= numbers(r"^\s*// c(\d+)$", section)
    return found


def check(dialect, folder, op_pattern):
    sources, tests = ROOT / "dialect" / folder, ROOT / "test/dialect" / folder
    spec_text = (sources / "SPEC.md").read_text()
    listed = [int(number) for number in re.findall(r"^- \*\*C(\d+)\*\*", spec_text, re.M)]
    spec = set(listed)
    problems = []
    if listed != list(range(1, len(listed) + 1)):
        problems.append(f"{dialect}: the numbers in SPEC.md do not count from 1 without gaps")
    code = set()
    for path in sources.glob("*.cpp"):
        code |= numbers(r"^\s*// c(\d+)$", path.read_text())
    for name, have in (("the verifiers", code), ("the tests", tested(tests))):
        problems += [f"{dialect}: C{number} is not in {name}" for number in sorted(spec - have)]
        problems += [f"{dialect}: c{number} in {name} is not in SPEC.md" for number in sorted(have - spec)]
    ops = set()
    for path in sources.glob("*.td"):
        ops |= set(re.findall(op_pattern, path.read_text(), re.M))
    round_trip = (tests / "round-trip.mlir").read_text()
    problems += [f"{dialect}.{op} is not in round-trip.mlir" for op in sorted(ops)
                 if not re.search(rf"^[^/]*\b{dialect}\.{op}\b", round_trip, re.M)]
    for problem in problems:
        print(problem)
    print(f"{dialect}: {len(spec)} constraints, {len(ops)} ops")
    return not problems and bool(ops)


def main():
    seq = check("seq", "", r'^def Seq_\w+Op : Seq_(?:Op|Equation)<"(\w+)"')
    tile = check("tile", "tile", r'^def Tile_\w+Op : Tile_\w*Op<"(\w+)"')
    return 0 if seq and tile else 1


if __name__ == "__main__":
    sys.exit(main())
