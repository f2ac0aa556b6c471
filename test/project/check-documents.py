"""Every command and call in README.md and docs/ works, and prints what the text says it prints.

Runs in a folder of its own that looks like the source tree. Usage: check-documents.py SOURCE_FOLDER BUILD_FOLDER
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import numpy as np

source, build = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
folder = tempfile.TemporaryDirectory(prefix="seqmix-documents-")
place = pathlib.Path(folder.name)
(place / "build").symlink_to(build)
for name in ("examples", "frontends", "runtime"):
    (place / name).symlink_to(source / name)
os.chdir(place)
os.environ["SEQMIX_CACHE_DIR"] = str(place / "cache")
os.environ["SEQMIX_SEQC"] = str(build / "bin/seqc")
sys.path.insert(0, str(source / "frontends/python"))
import seqmix  # noqa: E402

problems = []
count = 0


def expect(condition, text):
    global count
    count += 1
    if not condition:
        problems.append(text)


def run(command, status=0):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    expect(done.returncode == status, f"`{command}` ends with status {done.returncode}:\n{text}")
    return text


documents = {path: path.read_text() for path in [source / "README.md", *sorted((source / "docs").glob("*.md"))]}
readme = documents[source / "README.md"]
abi = documents[source / "docs/abi.md"]
language = documents[source / "docs/language.md"]

# Commands that stand on a line of their own. tools/demo and tools/test are what runs this.
commands = [c for text in documents.values() for c in re.findall(r"^    ((?:build/bin|tools)/\S.*?)(?:\s+#.*)?$", text, re.M)]
expect(len(commands) >= 3, "README.md lists no commands")
for command in commands:
    program = shlex.split(command)[0]
    expect((source / program).exists() or (build.parent / program).exists() or (place / program).exists(), f"{program} is not there")
    if program not in ("tools/demo", "tools/test"):
        run(command)

# Commands inside of sentences.
written = {c for text in documents.values() for c in re.findall(r"`((?:build/bin/)?(?:seqc|seq-run|seq-opt|ninja|tools/\w+|[\w-]+-(?:bench|tests))(?: [^`]*)?)`", text)}
# What a benchmark measures is not for a test; what others run and what changes the sources is not run here.
BENCHES = re.compile(r"^(build/bin/)?(math|affine-block)-bench\b")
ELSEWHERE = re.compile(r"^(tools/\w+( .*)?|seq-run random .*|ninja docs|(build/bin/)?(math-tests|kernel-bench)\b.*)$")
for command in sorted(written):
    if ELSEWHERE.match(command):
        continue
    if BENCHES.match(command):
        run(f"build/bin/{command.split('/')[-1].split()[0]} --benchmark_list_tests")
        continue
    words = command.replace("FILE...", "FILE").replace("FILE", "examples/gla.seq").replace("=STAGE", "=chunk")
    if "-o" in words:
        words = re.sub(r"(\S+)\.seq", "examples/gla.seq", words)
    if "seqc --emit" in words:
        words += " examples/gla.seq"
    if " " not in words:
        words += " --help"
    if words.startswith("seq-run bench"):
        words += " --reps=1 --T=64"
    run(words if words.startswith("build/bin/") else "build/bin/" + words)

# The README's Python.
rng = np.random.default_rng(1)


def drawn(*lead):
    real = {n: rng.standard_normal((*lead, 64)).astype(np.float32) for n in "qkv"}
    return {**real, "g": rng.uniform(-5, 0, (*lead, 64)).astype(np.float32)}


def run_calls(code, where):
    whole, token = drawn(2, 67, 4), drawn(2, 4)
    names = {"seqmix": seqmix, "carry": None, **whole, **{f"{n}_t": a for n, a in token.items()}}
    try:
        exec(code, names)
    except Exception as error:  # whatever it is, the document is wrong
        expect(False, f"{where}: {code}\n{type(error).__name__}: {error}")
        return
    expect(names["o"].shape == (2, 67, 4, 64) and names["o_t"].shape == (2, 4, 64), f"{where}: shapes")


run_calls(re.search(r"```python\n(.*?)```", readme, re.S)[1], "README.md")
run_calls('import seqmix\nlib = seqmix.compile("examples/gla.seq")\n' + re.sub(r"^    ", "", "".join(re.findall(r"^    o.* = lib\.gla.*\n", abi, re.M)), flags=re.M), "docs/abi.md")

# Messages that the text quotes.
quoted = re.search(r"^    (gla_forward: k has shape .*)$", abi, re.M)[1]
wrong = drawn(2, 67, 4)
wrong["k"] = wrong["k"][:, :-1]
try:
    seqmix.compile("examples/gla.seq").gla(**wrong)
    expect(False, "docs/abi.md: the wrong call is taken")
except seqmix.SeqmixError as error:
    expect(quoted in str(error), f"docs/abi.md quotes\n  {quoted}\nbut the library says\n  {error}")
quoted = re.search(r"^    mixer\.seq:(\d+):\d+: error: .*\n(?:    .*\n)+", language, re.M)
wrong_line = re.sub(r"^    ", "", quoted[0].splitlines()[1]).strip()
lines = (source / "examples/gla.seq").read_text().split("mixer gla\n")[1].split("\n# case")[0].splitlines()
lines = ["mixer gla", *(wrong_line if line.strip().startswith("S[t,i,j] =") else line.strip() for line in lines)]
lines = [line.replace("; i in K", "; i, n in K") for line in lines]
lines[1:1] = [""] * (int(quoted[1]) - 1 - lines.index(wrong_line))
text = "\n".join(line if line.startswith(("mixer", "#")) or not line else "  " + line for line in lines)
(place / "mixer.seq").write_text(text + "\n")
said = run("build/bin/seqc mixer.seq -o mixer.so", status=1)
expected = re.sub(r"^    ", "", quoted[0], flags=re.M)
expect(expected.rstrip() in said, f"docs/language.md quotes\n{expected}\nbut seqc says\n{said}")

# The manifest's keys, stage by stage.
manifest = json.loads(seqmix.compile("examples/gla.seq").manifest)
for key in re.findall(r'"(\w+)":', re.search(r'    \{"seqmix".*?\n\n', abi, re.S)[0]):
    expect(f'"{key}":' in json.dumps(manifest) or key in ("div", "size", "window"), f"docs/abi.md: the manifest has no {key!r}")

# Files and folders that are named.
for path, text in documents.items():
    for name in re.findall(r"`((?:compiler|dialect|docs|examples|frontends|runtime|test|tools)/[\w./-]+?)/?`", text):
        expect((source / name).exists(), f"{path.name} names {name}, which is not there")

folder.cleanup()
print("\n".join(problems) or f"{count} statements hold")
sys.exit(bool(problems))
