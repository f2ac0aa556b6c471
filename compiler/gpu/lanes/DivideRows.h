//===- DivideRows.h - which rows a group of threads divides -------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_DIVIDEROWS_H
#define SEQMIX_COMPILER_GPU_LANES_DIVIDEROWS_H

#include "compiler/gpu/kernels/LaneBlock.h"
#include "dialect/Seq.h"

namespace seqmix::gpu {

/// Divides the rows of states among as few threads of a warp as hold what a token needs, so that
/// nothing spills; a step then has more loads under way, too. `shape` has its lanes already, which
/// `isOneBlock` keeps in one.
void divideRows(mlir::seq::MixerOp mixer, const MixerPlan &plan, bool isOneBlock, LaneShape &shape);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_DIVIDEROWS_H
