"""`gpu-check pack`: compiles, runs the oracle, and puts everything that the other machine needs into a folder."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import numpy as np

from . import plan

NOT_LOWERED = "not lowered for CUDA yet: "


class Packer:
    def __init__(self, tools, out, target):
        self.tools, self.out, self.target = tools, out, target
        self._compiled = {}  # by path: the path or None, and why there is none
        self._recorded = set()

    def _run(self, *command):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def compile(self, text, name, definitions, dtype):
        """The library's path in the pack, or None and why there is none."""
        key = hashlib.sha256(json.dumps([text, definitions, dtype], sort_keys=True).encode()).hexdigest()[:16]
        path = f"libraries/{name}.{key}.so"
        if path in self._compiled:
            return self._compiled[path]
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / f"{name}.seq"
            source.write_text(text)
            options = [f"--target={self.target}", f"--dtype={dtype}", "-o", self.out / path]
            options += [f"-D{dim}={_number(value)}" for dim, value in definitions.items()]
            status, said = self._run(self.tools / "seqc", source, *options)
        if status == 0:
            result = path, None
        else:
            reasons = re.findall(f"error: {NOT_LOWERED}(.*)", said)
            if not reasons:
                raise RuntimeError(f"{name} ({dtype}, {definitions}) does not compile:\n{said}")
            result = None, reasons[0]
        self._compiled[path] = result
        return result

    def record(self, text, name, dtype, key):
        """The cases of a mixer's text with the oracle's results: descriptions, with the arrays in the pack."""
        items = []
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / f"{name}.seq"
            source.write_text(text)
            status, said = self._run(self.tools / "seq-run", "record", source, f"--outputs={folder}/cases", *([f"--dtype={dtype}"] if dtype else []))
            if status:
                raise RuntimeError(f"{name}: {said}")
            for case in sorted(pathlib.Path(folder, "cases").iterdir(), key=lambda path: int(path.suffix[1:])):
                item = json.loads((case / "case.json").read_text())
                arrays = {f"{path.parent.name}/{path.stem}": np.load(path) for path in sorted(case.rglob("*.npy"))}
                item["arrays"] = f"cases/{name}.{key}{case.suffix}.npz"
                np.savez_compressed(self.out / item["arrays"], **arrays)
                items.append(item)
        return items

    def example(self, path):
        """The cases of an example in their types, and some in others."""
        name, text = path.stem, path.read_text()
        items, seen = [], set()
        for dtype, cases in _variants(text):
            for item in self.record(_without_cases(text) + cases, name, dtype, dtype or "own"):
                # A case with the type that it is run in is there already.
                key = item["case"].replace(f" dtype={item['dtype']}", ""), item["dtype"]
                if key in seen:
                    (self.out / item["arrays"]).unlink()
                    continue
                seen.add(key)
                library, reason = self.compile(_without_cases(text), name, item["definitions"], item["dtype"])
                item.update(id=f"{name} {item['dtype']}: {item['case']}", example=name)
                del item["file"]
                if library is None:
                    item["not_lowered"] = reason
                    (self.out / item.pop("arrays")).unlink()
                else:
                    item["library"] = library
                items.append(item)
        return items

    def bench(self, row):
        """A row of a table with its library, and a small case of it at the row's sizes."""
        row = dict(row)
        text = row.pop("source", None)
        if text is None:
            return row, []
        case, name = row.pop("case"), row["mixer"]
        try:
            library, reason = self.compile(_without_cases(text), name, row["definitions"], row["dtype"])
        except RuntimeError as error:
            raise RuntimeError(f"{row['id']}: {error}") from None
        if library is None:
            return {**row, "not_lowered": reason}, []
        row["library"] = library
        sizes = " ".join(f"{dim}={_number(value)}" for dim, value in row["definitions"].items())
        text = _without_cases(text) + f"\n# case {case} {sizes} dtype={row['dtype']}\n"
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        if key in self._recorded:  # several rows have the same sizes
            return row, []
        self._recorded.add(key)
        items = self.record(text, name, None, key)
        for item in items:
            item.update(id=f"{name} at the sizes of the tables: {item['case']}", example=name, library=library)
            del item["file"]
        return row, items


def _variants(text):
    """Types, None for the cases' own, with the cases that are run in them: all; the first one and one with packed sequences; the first."""
    cases = re.findall(r"^# case .*$", text, re.M)
    packed = [case for case in cases[1:] if " lengths=" in case][:1]
    for dtype, chosen in ((None, cases), ("bf16", cases[:1] + packed), ("f16", cases[:1])):
        yield dtype, "\n" + "\n".join(chosen) + "\n"


def _without_cases(text):
    return re.sub(r"^# case .*\n?", "", text, flags=re.M)


def _number(value):
    return int(value) if float(value).is_integer() else value


def glibc_of(path):
    """The newest version of glibc that a library asks for, as a tuple."""
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", pathlib.Path(path).read_bytes())
    return max(((int(a), int(b)) for a, b in found), default=(0, 0))


def pack(root, tools, out, target="cuda", jobs=1, examples=None, with_tables=True):
    """Fills an empty folder. What it holds is described by its pack.json."""
    for name in ("libraries", "cases"):
        (out / name).mkdir(parents=True)
    shutil.copy(tools.parent / "lib/libseqmix_rt.so", out / "libraries")  # libraries look for it beside themselves first
    packer = Packer(tools, out, target)
    paths = sorted((root / "examples").rglob("*.seq"))
    if examples is not None:
        paths = [path for path in paths if path.stem in examples]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        cases = [item for items in pool.map(packer.example, paths) for item in items]
    rows = []
    if with_tables:
        # One after the other: rows share libraries.
        for row in plan.rows(lambda name: (root / f"examples/{name}.seq").read_text()):
            row, items = packer.bench(row)
            rows.append(row)
            cases += items
    for name in ("gpu-check", "gpu_check"):
        source = root / "tools" / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, out / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    shutil.copytree(root / "frontends/python/seqmix", out / "seqmix", ignore=shutil.ignore_patterns("__pycache__"))
    described = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    newest = max(map(glibc_of, (out / "libraries").iterdir()))
    content = {"target": target, "commit": described.stdout.strip() or "unknown", "glibc": ".".join(map(str, newest)), "cases": cases, "rows": rows}
    (out / "pack.json").write_text(json.dumps(content, indent=1))
    return content
