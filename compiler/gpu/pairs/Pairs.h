//===- Pairs.h - reductions over pairs of positions ---------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The form of mixers whose sums run over pairs (t, s): a block has a tile of rows t and walks tiles
// of columns s, with the sums of its rows, and the maxima of their scores, in registers. What is
// carried and the position are written by a launch of its own, when all blocks have read them.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRS_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRS_H

#include "compiler/library/Library.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace seqmix::gpu {

/// Whether a mixer at the structure stage has reductions over pairs, or rows of earlier tokens,
/// which are read at places that data choose where there are no pairs.
bool hasPairs(mlir::seq::MixerOp mixer);

/// The launches of a forward pass and the regions of their workspace, and those of a step; without
/// them those of a forward pass serve for steps, too.
struct PairLaunches {
  std::vector<LaunchPlan> launches, step;
  std::vector<AmountPlan> regions, stepRegions;
};

/// Adds the kernels of a mixer that has, as ops on tiles, and says how they are launched, in order;
/// kernels are numbered from `first` on. Fails with a located error ("not lowered for CUDA yet:
/// ...") for what the form does not take.
llvm::FailureOr<PairLaunches> emitPairKernels(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                              mlir::gpu::GPUModuleOp module, llvm::StringRef name,
                                              int32_t first);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRS_H
