# Tests of the tools on files: the RUN lines say how, FileCheck or -verify-diagnostics what is expected.
import os

import lit.formats

config.name = "seqmix"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".seq"]
config.test_source_root = os.path.dirname(__file__)
# Corpora and generators that have their own runners.
config.excludes = ["generality", "end-to-end", "unit", "project", "parse", "fuzz"]
config.environment["PATH"] = os.pathsep.join(
    [config.seqmix_tools_dir, config.llvm_tools_dir, config.environment.get("PATH", "")])
