//===- LaneShapes.h - which dims lanes are along -------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_LANESHAPES_H
#define SEQMIX_COMPILER_GPU_LANES_LANESHAPES_H

#include "compiler/gpu/kernels/LaneBlock.h"
#include "compiler/gpu/lanes/Directions.h"

namespace seqmix::gpu {

/// Threads of a block that has all of the dim, as lanes exchange values or share a carry.
inline constexpr int64_t kMostThreads = 256;

/// Lanes along the dim that leaves the fewest elements to a thread, of those that nothing reduces
/// over; of the others if there is none, as lanes then exchange values: whether they do.
bool chooseLanes(mlir::seq::MixerOp mixer, const MixerPlan &plan, const LanePhase &phase,
                 LaneShape &shape);

/// Whether all lanes carry the same of something. Then they are in one block: a carry may be
/// written where it is read, and another block might not have read it yet.
bool sharesCarry(mlir::seq::MixerOp mixer, const MixerPlan &plan, const LaneShape &shape);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_LANESHAPES_H
