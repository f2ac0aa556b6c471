//===- EarlierRows.h - what is made anew of earlier positions -------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_EARLIERROWS_H
#define SEQMIX_COMPILER_TILES_EARLIERROWS_H

#include "compiler/tiles/SweepDomain.h"

namespace seqmix {

/// What an expanded form makes of rows of the carry for positions in front of the call's, before
/// its passes. It is null where it cannot: what pairs read there depends on more than such rows, or
/// their reductions are not plain ones of each token.
std::optional<EarlierRows> findEarlierRows(const Layout &layout, mlir::seq::MixerOp mixer,
                                           mlir::seq::KernelOp kernel);

/// Makes those rows for the positions that the task's reductions look at.
mlir::LogicalResult emitEarlierRows(Kernel &kernel);

/// The positions s that a reduction looks at for some token of the call.
Bounds positionsOfCall(Kernel &kernel, mlir::seq::PairsOp pairs, mlir::Value extent);

/// The part of an interval of s that is this task's: whole tiles.
Bounds partOf(Kernel &kernel, const Bounds &interval, int64_t tile);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_EARLIERROWS_H
