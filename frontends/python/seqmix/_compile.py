"""Runs the compiler, and keeps what it made."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from ._errors import CompileError, SeqmixError, SeqmixTypeError
from ._library import load


def _find_seqc():
    """SEQMIX_SEQC, else the build of the tree that this file is in, else the PATH."""
    named = os.environ.get("SEQMIX_SEQC")
    if named:
        if not os.access(named, os.X_OK):
            raise SeqmixError(f"SEQMIX_SEQC is {named!r}, which is no program")
        return named
    root = pathlib.Path(__file__).resolve().parents[3]
    built = root / "build" / "bin" / "seqc"
    if os.access(built, os.X_OK):
        return str(built)
    found = shutil.which("seqc")
    if found:
        return found
    raise SeqmixError(f"the compiler is not there: build it ({built}), put seqc on the PATH, or set SEQMIX_SEQC")


@functools.lru_cache(maxsize=8)
def _file_digest(path, size, modified):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path):
    status = os.stat(path)
    return _file_digest(str(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _cpu_flags():
    """What `--cpu=native` depends on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return ""


def cache_directory():
    """SEQMIX_CACHE_DIR, else seqmix in the user's cache directory."""
    named = os.environ.get("SEQMIX_CACHE_DIR")
    if named:
        return pathlib.Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "seqmix"


def _is_text(source):
    return isinstance(source, str) and ("\n" in source or re.match(r"\s*mixer\s", source) is not None)


def _sources(source):
    """(name, text) of every file."""
    if _is_text(source):
        return [("source.seq", source)]
    paths = source if isinstance(source, (list, tuple)) else [source]
    if not paths:
        raise SeqmixTypeError("compile() got no source")
    try:
        return [(os.fspath(p), pathlib.Path(p).read_text(encoding="utf-8")) for p in paths]
    except OSError as error:
        raise SeqmixError(f"cannot read {error.filename}: {error.strerror}") from error


def _definitions(values):
    return [f"{name}={_number(name, value)}" for name, value in (values or {}).items()]


def _number(name, value):
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise SeqmixTypeError(f"{name} must be a number, not {value!r}")
    return repr(int(value)) if hasattr(value, "__index__") else repr(float(value))


def _arguments(dims, sizes, dtype, cpu, consts, options):
    arguments = [f"-D{d}" for d in _definitions({**(dims or {}), **(consts or {})})]
    for size in sizes or []:
        arguments.append("--sizes=" + ",".join(_definitions(size)))
    if dtype is not None:
        arguments.append(f"--dtype={dtype}")
    if cpu is not None:
        arguments.append(f"--cpu={cpu}")
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not None and value is not False:
            arguments.append(f"{flag}={value}")
    return arguments


def _build(seqc, sources, from_text, arguments, final):
    """Compiles into a directory of its own, which then takes the final name: other processes may be at the same."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".making-") as making:
        files = [name for name, _ in sources]
        if from_text:
            files = [os.path.join(making, sources[0][0])]
            pathlib.Path(files[0]).write_text(sources[0][1], encoding="utf-8")
        made = pathlib.Path(making) / "library"
        made.mkdir()
        command = [seqc, *files, "-o", str(made / "lib.so"), "--header", str(made / "lib.h"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        text = result.stderr.replace(making + os.sep, "")
        if result.returncode != 0:
            if result.returncode < 0:
                text += f"seqc was ended by signal {-result.returncode}"
            raise CompileError(text.strip() or f"seqc failed with status {result.returncode}")
        try:
            os.rename(made, final)
        except OSError:
            if not (final / "lib.so").exists():
                raise


def compile(source, dims=None, dtype=None, cpu=None, consts=None, *, sizes=None, **options):
    """Compiles .seq files (a path, a list of paths, or the text itself) and loads the library.

    dims, consts   sizes of dims and values of constants: {"K": 64}
    sizes          several choices of sizes for one library: [{"K": 64}, {"K": 128}]
    dtype          storage type where the file names none: "f32" (default), "f64", "bf16", "f16"
    cpu            "native" (default), "x86-64-v3", "x86-64-v4" or "portable"
    options        any other option of seqc: chunk=32, form="sequential", static_runtime=True

    Libraries are kept in the user's cache directory (SEQMIX_CACHE_DIR), by the content of the source, the options and
    the compiler. CompileError has the compiler's own text.
    """
    seqc = _find_seqc()
    sources = _sources(source)
    arguments = _arguments(dims, sizes, dtype, cpu, consts, options)
    key = hashlib.sha256()
    for part in [_digest(seqc), _cpu_flags(), *arguments, *(text for _, text in sources)]:
        key.update(part.encode())
        key.update(b"\0")
    # The library looks for the runtime where the compiler is.
    key.update(os.path.realpath(seqc).encode())
    final = cache_directory() / key.hexdigest()[:32]
    if not (final / "lib.so").exists():
        _build(seqc, sources, _is_text(source), arguments, final)
    return load(final / "lib.so")
