"""`seqmix.compile` around the compiler: the command, the cache, errors. A script stands in for seqc and counts its calls."""

import concurrent.futures
import os
import pathlib
import stat
import sys

import pytest

import seqmix

SAMPLE = pathlib.Path(os.environ["SEQMIX_SAMPLE"]) / "static" / "libsample.so"

SCRIPT = f"""#!{sys.executable}
import pathlib, shutil, sys, time
arguments = sys.argv[1:]
log = pathlib.Path(__file__).parent / "log"
with log.open("a") as file:
    file.write(" ".join(a for a in arguments if not a.startswith("/")) + "\\n")
source = next(a for a in arguments if a.endswith(".seq"))
if "wrong" in pathlib.Path(source).read_text():
    sys.exit(source + ":1:1: error: expected a mixer")
output = arguments[arguments.index("-o") + 1]
time.sleep(0.1)
shutil.copy({str(SAMPLE)!r}, output)
"""


@pytest.fixture
def seqc(tmp_path, monkeypatch):
    path = tmp_path / "bin" / "seqc"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SEQMIX_SEQC", str(path))
    monkeypatch.setenv("SEQMIX_CACHE_DIR", str(tmp_path / "cache"))
    return path


def calls(seqc):
    log = seqc.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


TEXT = "mixer scan\n  dims B batch\n"


def test_options_become_arguments(seqc):
    lib = seqmix.compile(
        TEXT, dims={"K": 64}, consts={"eps": 0.5}, dtype="bf16", cpu="x86-64-v3", chunk=32, static_runtime=True,
        sizes=[{"V": 8, "W": 2}, {"V": 16, "W": 2}],
    )
    assert "scan" in lib.mixers
    (call,) = calls(seqc)
    for word in ("-DK=64", "-Deps=0.5", "--dtype=bf16", "--cpu=x86-64-v3", "--chunk=32", "--static-runtime",
                 "--sizes=V=8,W=2", "--sizes=V=16,W=2", "--header"):
        assert word in call.split(), call


def test_cache_by_content(seqc, tmp_path):
    source = tmp_path / "a.seq"
    source.write_text(TEXT)
    seqmix.compile(source)
    seqmix.compile(str(source))
    seqmix.compile([source])
    assert len(calls(seqc)) == 1
    seqmix.compile(source, dims={"K": 3})
    assert len(calls(seqc)) == 2
    source.write_text(TEXT + "# changed\n")
    seqmix.compile(source)
    assert len(calls(seqc)) == 3
    seqc.write_text(SCRIPT + "# another build\n")
    seqmix.compile(source)
    assert len(calls(seqc)) == 4
    assert not list((tmp_path / "cache").glob(".making-*"))


def test_many_at_once_leave_one_library(seqc, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        libraries = list(pool.map(lambda _: seqmix.compile(TEXT), range(8)))
    assert len({lib.path for lib in libraries}) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_errors_are_the_compilers(seqc, tmp_path):
    with pytest.raises(seqmix.CompileError, match=r"^source.seq:1:1: error: expected a mixer$"):
        seqmix.compile("mixer wrong\n")
    path = tmp_path / "b.seq"
    path.write_text("wrong")
    with pytest.raises(seqmix.CompileError, match="b.seq:1:1: error"):
        seqmix.compile(path)
    with pytest.raises(seqmix.SeqmixError, match="cannot read .*absent.seq: No such file"):
        seqmix.compile(tmp_path / "absent.seq")
    with pytest.raises(TypeError, match="K must be a number, not '64'"):
        seqmix.compile(TEXT, dims={"K": "64"})


def test_the_compiler_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQMIX_SEQC", str(tmp_path / "nowhere"))
    with pytest.raises(seqmix.SeqmixError, match="SEQMIX_SEQC is .*nowhere', which is no program"):
        seqmix.compile(TEXT)
