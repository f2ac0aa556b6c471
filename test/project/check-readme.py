"""The README agrees with what it talks about: the example's text, the compiler's stages, the list of mixers.

Usage: check-readme.py SOURCE_FOLDER SEQC
"""

import pathlib
import re
import subprocess
import sys

source, seqc = pathlib.Path(sys.argv[1]), sys.argv[2]
readme = (source / "README.md").read_text()
problems = []

example = (source / "examples/gla.seq").read_text().split("\n# case")[0].rstrip()
if example not in readme:
    problems.append("the example is not the text of examples/gla.seq")

help_text = subprocess.run([seqc, "--help"], capture_output=True, text=True, check=True).stdout
listed = re.findall(r"^  (\w+) +(\S.*)$", help_text.split("Stages (--emit=STAGE):")[1].split("USAGE")[0], re.M)
if len(listed) < 7:
    problems.append("seqc --help lists fewer than seven stages")
for name, description in listed:
    if f"| {name} | {description.strip()} |" not in readme:
        problems.append(f"the table of stages lacks: | {name} | {description.strip()} |")

for path in sorted((source / "examples").rglob("*.seq")):
    if f"]({path.relative_to(source)})" not in readme:
        problems.append(f"the table of mixers lacks {path.relative_to(source)}")
for path in re.findall(r"\]\((examples/[^)]*)\)", readme):
    if not (source / path).exists():
        problems.append(f"{path} is in the table of mixers and not in the tree")

print("\n".join(problems) or "README agrees")
sys.exit(bool(problems))
