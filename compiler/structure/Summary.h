//===- Summary.h - the summary of a mixer's segments ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_SUMMARY_H
#define SEQMIX_COMPILER_STRUCTURE_SUMMARY_H

#include "dialect/Seq.h"

namespace seqmix {

/// The summary of a mixer in the same module, or null.
mlir::seq::MixerOp summaryOf(mlir::seq::MixerOp mixer);

/// The work of a token in a summary, that in the mixer it is of being 1; at the structure stage.
double summaryWork(mlir::seq::MixerOp summary);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_SUMMARY_H
