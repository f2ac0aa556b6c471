//===- Cases.h - Test cases in the comments of a .seq file -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Parse.h"
#include <vector>

namespace seqmix {

/// One line `# case B=2 T=67 H=3 K=16 dtype=f32 lengths=5,0,62 carry=random extreme=g`. It belongs
/// to the mixer that it stands in; before the first mixer, to the first.
struct CaseLine {
  std::string mixer;
  SourceRange range; ///< the whole comment
  /// Extents by dim: every batch dim, every run-time dim, and the compile-time dims that are given.
  std::map<std::string, int64_t> sizes;
  /// The compile-time dims and constants that are given: what `parseAndCheck` takes.
  Overrides overrides;
  ast::DType dtype = ast::DType::Default; ///< f64, f32, bf16 or f16; Default if not given
  /// Lengths of packed sequences; empty if not packed. The first batch dim is then 1, and the first
  /// run-time dim that has a length of its own is their sum.
  std::vector<int64_t> lengths;
  bool randomCarry = false; ///< start from random states instead of the initial values
  std::vector<std::string>
      extreme; ///< inputs that are drawn from {0, -20, -1e3} and ordinary values
};

/// The cases of a file, in order; errors are reported to `diagnostics` and their lines left out.
/// The mixers themselves are not checked: use `parseAndCheck` for that.
std::vector<CaseLine> parseCases(SourceFile source, Diagnostics &diagnostics);

} // namespace seqmix
