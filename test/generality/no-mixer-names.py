"""No mixer is known by name: the sources of the compiler, dialect and runtime contain none of the names of the literature.

Long names are searched for anywhere, inside of longer words too; short ones, which ordinary words contain, as words. Everything
in these folders counts, comments and build files too; pages of text (.md) do not.

Usage: no-mixer-names.py SOURCE_FOLDER
"""

import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])

# Descriptions of what a mixer does, in words that the compiler's own text may use as well.
GENERIC = {
    "linear_attention": "a class of algebra",
    "linear_attention_normalised": "a class of algebra",
    "short_convolution": "a class of algebra",
    "sru_recurrent_gates": "stands for sru, which is in the list",
}
ANYWHERE = """aaren atlas comba deltanet deltaproduct eagle elman finch gdn gla goose griffin gru gsa hawk hgrn hippo hstu hydra hyena kda lact liger
lightnet lightning longhorn lstm mamba mega mingru miras mlstm pararnn performer qrnn rebased retnet rglru rwkv s4d titans ttt vig xlstm""".split()
AS_WORDS = "dss lmu lru mamba2 mamba3 s4 s5 s6 sru ssd ssm".split()

for path in (source / "examples").rglob("*.seq"):
    if path.stem not in GENERIC:
        (ANYWHERE if len(path.stem) > 4 else AS_WORDS).append(path.stem)
alternatives = {words: "|".join(sorted(map(re.escape, set(words)), key=len, reverse=True)) for words in map(tuple, (ANYWHERE, AS_WORDS))}
anywhere, as_words = alternatives.values()
pattern = re.compile(rf"{anywhere}|(?<![A-Za-z0-9])(?:{as_words})(?![A-Za-z0-9])", re.I)
# The search itself: a name in an identifier, one in a sentence, and words that only contain a short one.
assert pattern.search("bool isGLAState") and pattern.search("the SSM's") and pattern.search("lru_state")
assert not pattern.search("measure this assumption truly")

found, files = [], 0
for folder in ("compiler", "dialect", "runtime"):
    for path in sorted((source / folder).rglob("*")):
        if path.suffix == ".md" or not path.is_file():
            continue
        files += 1
        for number, line in enumerate([str(path.relative_to(source)), *path.read_text().splitlines()]):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(source)}:{number}: '{match.group(0)}' in: {line.strip()}")
assert files > 100, f"only {files} files in {source}"
print("\n".join(found) or f"none of {len(set(ANYWHERE) | set(AS_WORDS))} names in {files} files")
sys.exit(bool(found))
