//===- CumulativeSums.h - running sums over tokens as states --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_SEQ_CUMULATIVESUMS_H
#define SEQMIX_COMPILER_SEQ_CUMULATIVESUMS_H

#include "dialect/Seq.h"

namespace seqmix {

/// Turns each cumulative sum over the tokens up to an equation's own into a state `NAME.cumsum`,
/// which the carry then holds like any other.
void expandCumulativeSums(mlir::seq::MixerOp mixer);

} // namespace seqmix

#endif // SEQMIX_COMPILER_SEQ_CUMULATIVESUMS_H
