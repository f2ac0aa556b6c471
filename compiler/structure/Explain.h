//===- Explain.h - what was derived from a mixer, in words ---------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_EXPLAIN_H
#define SEQMIX_COMPILER_STRUCTURE_EXPLAIN_H

#include "dialect/Seq.h"

#include "llvm/Support/raw_ostream.h"

namespace seqmix {

struct ExplainOptions {
  /// The schedule of the same mixer, for chunk length, block and lanes; null: not scheduled.
  mlir::seq::KernelOp kernel;
  /// Whether the kernel of the mixer's expanded form runs behind earlier positions, too.
  bool makesEarlierRows = false;
  /// Leaves out what is about code for the CPU: forms, what was rejected, segments.
  bool isForDevice = false;
  /// The mixer's name, if it is another form of one.
  llvm::StringRef name = {};
};

/// The text of `seqc explain` for a mixer at the structure stage: for each state its class,
/// factors, form, why its exponents are safe, and what was rejected; then the carry and the work
/// for each token.
void explain(mlir::seq::MixerOp mixer, llvm::raw_ostream &os, const ExplainOptions &options = {});

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_EXPLAIN_H
