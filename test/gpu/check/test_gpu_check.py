"""tools/gpu-check without a GPU: what it packs, that it notices wrong results, and what it writes.

The checks themselves run on libraries for the CPU, where results are right, and on the fake driver, where launches write nothing.
"""

import ctypes
import importlib.machinery
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = ROOT / "tools/gpu-check"
sys.path.insert(0, str(ROOT / "tools"))

import seqmix  # noqa: E402
from gpu_check import arrays, bench, checks, compare, page, plan, ways, work  # noqa: E402
from seqmix import _dlpack  # noqa: E402

# The comparison


def test_differences_are_measured_by_the_largest_magnitude():
    want = np.array([[100.0, 1.0], [-3.0, 0.0]])
    assert compare.compare("o", want + 1e-3, want, "f32", "f32").within
    wrong = want.copy()
    wrong[1, 0] += 4e-3
    found = compare.compare("o", wrong, want, "f32", "f32")
    assert not found.within and found.error == pytest.approx(4e-5)
    assert found.detail == "o[1, 0] is -2.996; expected -3 (largest magnitude 100)"
    assert not compare.compare("o", want + 1e-9, want, "f64", "f64").within
    assert not compare.compare("o", want[:1], want, "f32", "f32").within


def test_storage_may_round_by_half_a_unit():
    want = np.array([1.0 + 2.0**-9, 100.0])
    assert compare.compare("o", np.array([1.0, 100.0]), want, "bf16", "f32").within
    want = np.array([1.0 + 2.0**-9, 1.0])
    assert compare.compare("o", np.array([1.0, 1.0]), want, "bf16", "f32").within
    assert not compare.compare("o", np.array([1.0 - 2.0**-8, 1.0]), want, "bf16", "f32").within
    assert not compare.compare("o", np.array([1.0, 1.0]), want, "f32", "f32").within
    assert compare.compare("o", np.array([np.inf]), np.array([1e5]), "f16", "f32").within
    assert not compare.compare("o", np.array([-np.inf]), np.array([1e5]), "f16", "f32").within


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
def test_what_is_not_finite_agrees_with_the_same_only(value):
    plain, special = np.array([1.0, 2.0]), np.array([1.0, value])
    assert compare.compare("o", special, special, "f32", "f32").within
    for got, want in ((special, plain), (plain, special)):
        found = compare.compare("o", got, want, "f32", "f32")
        assert not found.within and found.error == np.inf
    assert compare.compare_bits("o", special, special).within
    assert not compare.compare_bits("o", special, plain).within
    assert not compare.compare_bits("o", np.array([0.0]), np.array([-0.0])).within


@pytest.mark.parametrize("dtype", ("f32", "i32", "i64", "bf16"))
def test_writes_between_rows_are_noticed(dtype):
    place = arrays.NumpyPlace()
    buffer = arrays.Buffer(place, (2, 3, 4), dtype, gaps=True, dense=1)
    assert buffer.array.shape == (2, 3, 4) and buffer.array.strides[2] == buffer.array.itemsize and not buffer.array.flags.c_contiguous
    buffer.array[...] = 1
    assert buffer.has_intact_gaps()
    buffer._storage[-1, 0, 0] = 1
    assert not buffer.has_intact_gaps()


# Workers and time

WORKER = """
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from gpu_check import work
def handle(item):
    print("what libraries print")
    if item["id"] == "crashes": os.kill(os.getpid(), 9)
    if item["id"] == "leaves": sys.exit(3)
    if item["id"] == "hangs":
        open(sys.argv[2], "w").write(str(subprocess.Popen(["sleep", "60"]).pid))
        time.sleep(60)
    return {"status": "ok", "process": os.getpid(), "end": item["id"] == "spoils"}
work.serve(handle)
"""


def _run_items(names, left=lambda: 100.0, each=8.0, started=os.devnull):
    command = [sys.executable, "-c", WORKER, str(ROOT / "tools"), str(started)]
    return {result["id"]: result for result in work.run_items(command, [{"id": name} for name in names], left, each)}


def _runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_items_that_go_wrong_cost_themselves_only(tmp_path):
    results = _run_items(["a", "b", "crashes", "c", "leaves", "hangs", "d", "spoils", "e"], started=tmp_path / "pid")
    assert not _runs((tmp_path / "pid").read_text()), "what a worker has started goes on"
    assert [results[name]["status"] for name in "abcde"] == ["ok"] * 5
    assert results["a"]["process"] == results["b"]["process"] != results["c"]["process"]
    assert results["crashes"] == {"id": "crashes", "status": "failed", "detail": "the process was ended by signal 9"}
    assert results["leaves"]["detail"] == "the process ended with status 3"
    assert results["hangs"] == {"id": "hangs", "status": "failed", "detail": "no answer within 8 s"}
    assert results["spoils"]["status"] == "ok" and results["spoils"]["process"] != results["e"]["process"]


def test_what_has_no_time_is_reported():
    times = iter([5.0, 5.0, 0.0, 0.0])
    results = _run_items(["a", "b", "c"], left=lambda: next(times))
    assert results["a"]["status"] == "ok"
    assert [results[name] for name in "bc"] == [{"id": name, "status": "not run", "detail": "no time was left"} for name in "bc"]
    assert _run_items(["hangs"], left=lambda: 0.1, each=60)["hangs"]["status"] == "not run"


def test_time_that_a_part_leaves_is_for_the_next():
    now = [10.0]
    budget = work.Budget({"a": 5, "b": 7}, clock=lambda: now[0])
    assert budget.left("a") == 5 and budget.left("b") == 12
    now[0] += 2
    assert budget.left("b") == 10 and budget.spent() == 2
    now[0] += 11
    assert budget.left("a") < 0 and budget.left("b") < 0


def test_eight_minutes():
    assert sum(plan.PARTS.values()) == 480


# Packing and checking, on the CPU


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A pack for the CPU: states, rows with grouped heads, an element-wise recurrence, params without dims."""
    folder = tmp_path_factory.mktemp("gpu-check") / "pack"
    command = [sys.executable, str(TOOL), "pack", str(folder), "--target=cpu", "--examples=gla,mingru,grouped_query_attention,ar_net"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def _run(folder):
    command = [sys.executable, str(folder / "gpu-check"), "run", "--device=numpy"]
    # Nothing of the sources may be needed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "SEQMIX_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert (folder / "results.json").exists(), done.stdout + done.stderr + (folder / "log.txt").read_text()
    return done, json.loads((folder / "results.json").read_text())


def _copy(packed, tmp_path):
    folder = tmp_path / "pack"
    shutil.copytree(packed, folder)
    content = json.loads((folder / "pack.json").read_text())
    kept = [case for case in content["cases"] if case["example"] == "mingru"]
    (folder / "pack.json").write_text(json.dumps({**content, "cases": kept}))
    return folder, kept


def test_a_pack_stands_alone_and_right_results_pass(packed):
    done, results = _run(packed)
    assert done.returncode == 0, done.stdout
    outcomes = results["parts"]["correctness"]
    assert len(outcomes) == len(json.loads((packed / "pack.json").read_text())["cases"]) > 20
    assert {result["status"] for result in outcomes} == {"ok"}
    assert set().union(*(result["ways"] for result in outcomes)) == {"forward", "step", "split", "packed", "separate", "strides", "cut", "again", "workspace", "alone"}
    assert all("bf16" in {c["dtype"] for c in json.loads((packed / "pack.json").read_text())["cases"] if c["example"] == name} for name in ("gla", "mingru"))
    text = (packed / "gpu-results.md").read_text()
    assert "**No GPU was used**" in text and "| gla | " in text and "wrong" not in text.split("## Speed")[0].replace("Wrong", "").split("## Correctness")[1]


@pytest.mark.parametrize("array", ("outputs/h", "outputs/carry.h"))
def test_a_wrong_result_is_reported(packed, tmp_path, array):
    folder, cases = _copy(packed, tmp_path)
    case = next(case for case in cases if case["dtype"] == "f32" and case["extents"]["T"] > 1 and not case["lengths"])
    path = folder / case["arrays"]
    with np.load(path) as file:
        values = dict(file)
    values[array] = values[array].copy()
    values[array].flat[3] += 1e-3 * np.abs(values[array]).max()
    np.savez(path, **values)
    done, results = _run(folder)
    assert done.returncode == 1
    found = {result["id"]: result for result in results["parts"]["correctness"]}
    assert [result["id"] for result in found.values() if result["status"] != "ok"] == [case["id"]]
    name = "h[" if array == "outputs/h" else "carry h["
    assert found[case["id"]]["status"] == "wrong" and f"forward: {name}" in found[case["id"]]["detail"]
    assert case["id"] in done.stdout and case["id"] in (folder / "gpu-results.md").read_text().split("Wrong:")[1]


def test_a_library_that_cannot_be_loaded_is_reported(packed, tmp_path):
    folder, cases = _copy(packed, tmp_path)
    (folder / cases[0]["library"]).write_bytes(b"no library")
    done, results = _run(folder)
    spoiled = {case["id"] for case in cases if case["library"] == cases[0]["library"]}
    statuses = {result["id"]: result["status"] for result in results["parts"]["correctness"]}
    assert done.returncode == 1
    assert {name for name, status in statuses.items() if status != "ok"} == spoiled


def test_what_is_not_lowered_is_listed(tmp_path):
    command = [sys.executable, str(TOOL), "pack", str(tmp_path / "pack.tar.xz"), "--examples=fnet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.unpack_archive(tmp_path / "pack.tar.xz", tmp_path)
    content = json.loads((tmp_path / "pack/pack.json").read_text())
    assert all("not_lowered" in case for case in content["cases"]), "fnet is lowered now: choose another example"
    assert "not lowered: 1 examples" in done.stdout


# On the fake driver


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _dlpack.DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class _Tensor:
    """Memory of NumPy that says it is on a device."""

    is_cuda, device = True, "cuda:0"

    def __init__(self, values):
        self.values = values
        self.shape, self.ndim = values.shape, values.ndim

    def __getitem__(self, index):
        return _Tensor(self.values[index])

    def __setitem__(self, index, value):
        self.values[index] = value

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, stream=None):
        tensor = _dlpack._of_numpy(self.values, "x")
        tensor.device = _dlpack._Device(2, 0)
        self._managed = _Managed(tensor)
        return _new_capsule(ctypes.addressof(self._managed), b"dltensor", None)


def _aligned(count):
    """Bytes as a device's allocator gives them: CUDA's and PyTorch's start at multiples of 256 or more."""
    memory = np.zeros(count + 512, np.uint8)
    return memory[-memory.ctypes.data % 512 :][:count]


class _FakeTorch(types.ModuleType):
    Tensor = _Tensor

    def __init__(self):
        super().__init__("torch")
        self.float64, self.float32, self.bfloat16, self.float16, self.bool = "f64", "f32", "bf16", "f16", "bool"
        self.int32, self.int64 = "i32", "i64"
        self.uint8 = "u8"
        self.cuda = types.SimpleNamespace(current_stream=lambda device: types.SimpleNamespace(cuda_stream=0))

    def empty(self, shape, dtype, device):
        return _Tensor(_aligned(int(np.prod(shape))) if dtype == "u8" else np.zeros(shape, _dlpack.numpy_dtype(dtype)))


class _FakePlace(arrays.NumpyPlace):
    """On the device of the fake driver, whose launches do nothing."""

    def full(self, shape, value, dtype):
        return _Tensor(super().full(shape, value, dtype))

    def bytes(self, count):
        return _Tensor(super().bytes(count))

    def permute(self, array, axes):
        return _Tensor(array.values.transpose(tuple(axes)))

    def store(self, array, values):
        super().store(array.values, values)

    def load(self, array):
        return super().load(array.values)


def test_kernels_that_write_nothing_are_wrong(tmp_path, monkeypatch):
    command = [sys.executable, str(TOOL), "pack", str(tmp_path / "pack"), "--examples=mingru"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "SEQMIX_PTXAS": ""})
    assert done.returncode == 0, done.stderr
    driver = ctypes.CDLL(os.environ["SEQMIX_FAKE_CUDA"], mode=ctypes.RTLD_GLOBAL)
    monkeypatch.setitem(sys.modules, "torch", _FakeTorch())
    items = [case for case in json.loads((tmp_path / "pack/pack.json").read_text())["cases"] if "library" in case]
    assert {item["dtype"] for item in items} >= {"f32", "bf16", "f16"}
    for item in items:
        before = driver.fakeLaunchCount()
        result = checks.check(str(tmp_path / "pack"), item, _FakePlace())
        assert driver.fakeLaunchCount() > before + 5, result
        assert result["status"] == "wrong", result
        assert "Error" not in result["detail"], "the calls themselves must be taken"


# What is said


def test_the_sanitizer_is_believed_only_with_its_summary():
    item = {"tool": "memcheck", "cases": [{}, {}]}
    right = '\n@result {"status": "ok"}' * 2
    assert checks.judge_sanitizer(item, 0, right + "\n========= ERROR SUMMARY: 0 errors")["status"] == "ok"
    assert checks.judge_sanitizer(item, 0, right)["status"] == "wrong"
    assert checks.judge_sanitizer(item, 0, '@result {"status": "ok"}\n========= ERROR SUMMARY: 0 errors')["status"] == "wrong"
    found = checks.judge_sanitizer(item, 9, right + "\n========= COMPUTE-SANITIZER\n========= Invalid __global__ read\n========= ERROR SUMMARY: 1 error")
    assert found["status"] == "wrong" and "1 error" in found["detail"] and "Invalid __global__ read" in found["detail"]


RESULTS = {
    "machine": {"device": "cuda", "card": "Card X", "processors": 132, "driver": "580.1", "torch": "2.9", "cuda": "13.0", "date": "2026-01-02"},
    "seconds": 471, "commit": "abc",
    "cases": [{"id": "gla a", "example": "gla", "dtype": "f32"}, {"id": "gla b", "example": "gla", "dtype": "bf16"},
              {"id": "gla c", "example": "gla", "dtype": "f64", "not_lowered": "this"}, {"id": "x", "example": "x", "dtype": "f32", "not_lowered": "that"}],
    "rows": [{"part": "recurrences", "id": "gla B=1", "published": {"FLA": 0.131}}, {"part": "recurrences", "id": "back", "not_lowered": "backward passes"},
             {"part": "scans", "id": "hgrn B=8"}, {"part": "attention", "id": "causal", "score": "causal", "not_lowered": "pairs"}],
    "parts": {
        "peaks": [{"id": "peaks", "status": "ok", "copy_gbs": 4000.0, "bf16_tflops": 790.0}],
        "correctness": [{"id": "gla a", "status": "ok", "error": 1e-6, "carry_error": 0.0, "ways": ["forward"], "detail": ""},
                        {"id": "gla b", "status": "wrong", "error": "inf", "carry_error": 0.0, "ways": ["forward"], "detail": "forward: o[1] is 2; expected 3"}],
        "sanitizer": [{"id": "memcheck 1", "status": "not run", "detail": "no time was left"}],
        "recurrences": [{"id": "gla B=1", "status": "ok", "ms": 0.5, "bytes": 10**9, "peers": {}}],
        "scans": [{"id": "hgrn B=8", "status": "failed", "detail": "no answer within 90 s"}],
        "attention": [{"id": "causal", "status": "not lowered", "detail": "pairs", "flops": 10**12, "peers": {"SDPA": 1.25, "FlexAttention": "RuntimeError: no"}}],
    },
}


def test_the_page_shows_all_that_came_back():
    text = page.render(RESULTS)
    for line in (
        "Measured on Card X (132 multiprocessors), driver 580.1, PyTorch 2.9 for CUDA 13.0, 2026-01-02, commit abc; it took 471 s.",
        "| gla | 2 | f32 1.0e-06, bf16 inf | f32 0.0e+00, bf16 0.0e+00 | 1 ok, 1 wrong | forward |",
        "- gla b: wrong: forward: o[1] is 2; expected 3",
        "- this: some cases of gla", "- that: x",
        "- memcheck 1: not run: no time was left",
        "The card copies 4000 GB/s",
        "| gla B=1 | 0.500 | 2000 | 50% | FLA 0.131 |",
        "| back | not lowered: backward passes |  |  |  |",
        "| hgrn B=8 | failed: no answer within 90 s |  |  |  |",
        "| causal | not lowered: pairs |  | 1.250 | RuntimeError: no |",
    ):
        assert line in text, line


def test_a_row_that_was_measured_and_is_not_finite_shows_no_time():
    results = json.loads(json.dumps(RESULTS))
    results["parts"]["recurrences"][0].update(status="wrong", detail="there are NaNs")
    assert "| gla B=1 | wrong: there are NaNs |" in page.render(results)


def test_the_page_in_the_documents_is_of_this_plan():
    text = (ROOT / "docs/gpu-results.md").read_text()
    if "**Nothing was measured yet**" in text:
        assert text == page.nothing_measured(), "write it anew: tools/gpu-check page"
    else:
        assert text.startswith("# Results on GPUs\n\nMeasured on ")


def test_rows_are_of_the_examples_as_they_are():
    rows = list(plan.rows(lambda name: (ROOT / f"examples/{name}.seq").read_text()))
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["part"] for row in rows} == set(plan.TITLES)
    grouped = next(row for row in rows if "8 heads of q and k, 32 of v" in row["id"] and "source" in row)
    assert "input  q[t,i], k[t,i] per B, H/4" in grouped["source"]
    with pytest.raises(ValueError):
        plan._grouped("mixer other", 4)


def test_a_row_is_measured(packed, monkeypatch):
    torch = pytest.importorskip("torch")

    def once(torch, call):
        call()
        return 2.0

    monkeypatch.setattr(bench, "median_ms", once)
    cases = json.loads((packed / "pack.json").read_text())["cases"]
    case = next(c for c in cases if c["example"] == "mingru" and c["dtype"] == "bf16")
    item = {"id": "x", "library": case["library"], "mixer": "mingru", "extents": {"B": 2, "T": 9}}
    result = bench.measure(str(packed), item, torch, "cpu")
    width = case["extents"]["D"]
    assert result == {"status": "ok", "peers": {}, "ms": 2.0, "bytes": 3 * 2 * 9 * width * 2, "finite": True}
    item = {"id": "x", "not_lowered": "pairs", "score": "causal", "group": 2, "extents": {"B": 1, "T": 8, "H": 4}, "definitions": {"K": 16}}
    result = bench.measure(str(packed), item, torch, "cpu")
    assert result["status"] == "not lowered" and result["flops"] == 4 * 4 * 36 * 16 and result["peers"]["SDPA"] == 2.0


def test_repetitions_fit_the_time():
    assert bench.repetitions(100.0) == 7 and bench.repetitions(1e-3) == 500
    assert 0.3 < bench.repetitions(2.0) * 2e-3 < 0.5


# The table of registers


@pytest.fixture(scope="module")
def registers():
    loader = importlib.machinery.SourceFileLoader("gpu_registers", str(ROOT / "tools/gpu-registers"))
    module = types.ModuleType(loader.name)
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


def test_the_table_says_which_rows_differ(registers):
    gla, hgrn, kda = ("gla", "as written", "gla_forward"), ("elementwise/hgrn", "as written", "hgrn_forward"), ("delta/kda", "K = V = 128", "kda_forward")
    rows = {gla: (96, 0, 0, 0, 0), hgrn: (30, 128, 0, 0, 0), kda: (168, 0, 64, 8, 12)}
    missing = {"matrix/fnet": "convolutions", "linear/gsa": "a thread would carry 4160 values: too many, really", "gla (K = V = 128)": "convolutions"}
    page_of = registers.read(registers.render(rows, missing, "V13.0.88"))
    assert page_of == (rows, set(missing), "V13.0.88")
    assert registers.differences(page_of, (rows, missing, "V13.0.88")) == []
    now = {gla: (104, 0, 16, 0, 4), kda: (168, 0, 64, 16, 12), ("x", "as written", "x_forward"): (1, 0, 0, 0, 0)}
    fewer = {name: why for name, why in missing.items() if name != "matrix/fnet"}
    gone = ["elementwise/hgrn as written hgrn_forward: is in the page, but there is no such kernel", "x as written x_forward: is not in the page",
            "matrix/fnet: the page says that it is not lowered"]
    assert registers.differences(page_of, (now, fewer, "V13.0.88")) == gone + [
        "delta/kda K = V = 128 kda_forward: spill stores 8 -> 16", "gla as written gla_forward: registers 96 -> 104",
        "gla as written gla_forward: stack 0 -> 16", "gla as written gla_forward: spill loads 0 -> 4"]
    assert registers.differences(page_of, (now, fewer, "V12.4")) == gone + ["gla as written gla_forward: spill loads 0 -> 4"]
    assert "Kernels that spill: delta/kda (K = V = 128)." in registers.render(rows, missing, "V13.0.88")
    assert registers.forbidden_spills(rows) == ["delta/kda K = V = 128 kda_forward: spills"]
    assert registers.forbidden_spills({gla: (96, 0, 8, 8, 8)}) == []
