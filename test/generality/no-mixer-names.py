"""No mixer is known by name: the sources of the compiler, dialect and runtime contain none of the names of the literature.

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
LITERATURE = """retnet retention mamba mamba2 mamba3 s4 s4d s5 s6 dss hippo gla gsa rwkv rwkv4 rwkv5 rwkv6 rwkv7 finch eagle goose hgrn hgrn2 mingru
minlstm qrnn sru rglru griffin hawk deltanet gdn kda deltaproduct comba mlstm slstm xlstm lstm gru elman aaren lightnet liger longhorn hydra mega lru hyena
performer based rebased titans ttt lact atlas miras vig ssd ssm lightning paragru paralstm pararnn lmu""".split()

names = set(LITERATURE)
for path in (source / "examples").rglob("*.seq"):
    if path.stem not in GENERIC:
        names.add(path.stem)
# "based", "mega", "eagle", "goose", "finch" and the like are common words: only where they stand as a mixer's name would they matter, and no
# code could be chosen by them. "based" and "retention" occur in ordinary sentences.
names -= {"based", "retention", "mega", "goose", "eagle", "finch", "atlas"}

pattern = re.compile(r"(?<![A-Za-z0-9])(" + "|".join(sorted(map(re.escape, names), key=len, reverse=True)) + r")(?![A-Za-z0-9])", re.I)
found = []
for folder in ("compiler", "dialect", "runtime"):
    for path in sorted((source / folder).rglob("*")):
        if path.suffix not in {".cpp", ".h", ".c", ".td", ".txt", ".inc"} or not path.is_file():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = pattern.search(line)
            if match:
                found.append(f"{path.relative_to(source)}:{number}: '{match.group(1)}' in: {line.strip()}")
print("\n".join(found) or f"none of {len(names)} names")
sys.exit(bool(found))
