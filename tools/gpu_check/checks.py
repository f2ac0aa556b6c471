"""The worker of `gpu-check run`: correctness of a recorded case, and the sanitizer on some of them."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np

from .ways import Case, Ways


def place_of(device):
    """Memory of the device; on the CPU without PyTorch, NumPy's."""
    from .arrays import NumpyPlace, TorchPlace

    if device == "numpy":
        return NumpyPlace()
    import torch

    return TorchPlace(torch, device)


def load_case(folder, item):
    with np.load(os.path.join(folder, item["arrays"])) as arrays:
        return Case.of(item, dict(arrays))


def check(folder, item, place):
    """Runs a case in every way. The status: "ok", "wrong" (a result differs), or "failed" (the process is of no more use)."""
    import seqmix

    mixer = seqmix.load(os.path.join(folder, item["library"]))[item["mixer"]]
    ways = Ways(mixer, mixer._info, load_case(folder, item), place)
    end = False
    try:
        ways.run()
    except Exception:  # its text stands in the outcome
        end = True
    worst = max((outcome["error"] for outcome in ways.outcomes), default=0.0)
    bad = [outcome for outcome in ways.outcomes if not outcome["passed"]]
    return {
        "status": "wrong" if bad or not ways.outcomes else "ok",
        "ways": sorted({outcome["way"] for outcome in ways.outcomes}),
        "error": _json_number(worst),
        "carry_error": _json_number(max((outcome["carry_error"] for outcome in ways.outcomes), default=0.0)),
        "detail": "; ".join(f"{outcome['way']}: {outcome['detail']}" for outcome in bad)[:2000],
        "end": end,
    }


def _json_number(value):
    return value if np.isfinite(value) else str(value)


def sanitize(folder, item, device):
    """Some cases under a tool of compute-sanitizer."""
    program = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if program is None:
        return {"status": "not run", "detail": "compute-sanitizer was not found (PATH, /usr/local/cuda/bin)"}
    command = [program, "--tool", item["tool"], "--error-exitcode", "9", sys.executable, sys.argv[0], "work", folder, "correctness", f"--device={device}"]
    lines = "".join(json.dumps(case) + "\n" for case in item["cases"])
    # Each tensor is an allocation of its own, so that reads behind its end are seen.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, env=environment)
    return judge_sanitizer(item, done.returncode, done.stdout + done.stderr)


def judge_sanitizer(item, status, text):
    summary = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", text)
    results = [json.loads(line.partition("@result ")[2]) for line in text.splitlines() if line.startswith("@result ")]
    wrong = [result["detail"] for result in results if result["status"] != "ok"]
    if status == 0 and summary and not wrong and len(results) == len(item["cases"]):
        return {"status": "ok", "detail": f"{summary[-1]} ({len(results)} cases)"}
    lines = [line for line in text.splitlines() if line.startswith("=========")]
    said = "; ".join(wrong) or " ".join(lines[1:8]) or text[-500:]
    return {"status": "wrong", "detail": f"{summary[-1] if summary else f'status {status}, no summary'}: {said}"[:2000]}
