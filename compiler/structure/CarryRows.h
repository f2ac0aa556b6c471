//===- CarryRows.h - which rows pairs of positions need later -------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_CARRYROWS_H
#define SEQMIX_COMPILER_STRUCTURE_CARRYROWS_H

#include "dialect/Seq.h"

#include "mlir/IR/BuiltinOps.h"

namespace seqmix {

/// Records which rows of a mixer at the seq stage are read at earlier positions, so that they are
/// carried: those that its pairwise reductions read at s, all of them or, under a window, the last
/// ones. What is made of one position for that gets its definition here. A mixer whose reductions
/// look ahead, or that reads what is not one row a token, has no step and starts at position 0.
void recordCarryRows(mlir::seq::MixerOp mixer);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_CARRYROWS_H
