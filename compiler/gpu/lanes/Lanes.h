//===- Lanes.h - recurrences with a thread for each place of a dim ------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The sequential form of a mixer on GPUs: threads are lanes along one fixed dim, all other dims are
// unrolled, and a block walks its sequence token by token with its part of the states in registers.
// It takes elementwise and selective recurrences, linear or not; matrix states whose reads and
// updates sum over rows alone, columns being lanes; and, where lanes have to exchange values,
// recurrences with dense weights and with reductions over features, whose lanes are one block.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_LANES_H
#define SEQMIX_COMPILER_GPU_LANES_LANES_H

#include "compiler/gpu/lanes/Borders.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

#include <functional>

namespace seqmix::gpu {

struct LaneLaunches {
  std::vector<LaunchPlan> launches;
  std::vector<AmountPlan> regions; ///< of the workspace, where it is not that of `borders`
};

/// Where a mixer's outputs go that later launches of the same call read: to the workspace. The
/// position is theirs, too.
struct LaneOutputs {
  int32_t regions; ///< of the workspace
  std::function<LaneArray(LaneBlock &, size_t number)> array;
};

/// Adds the kernel of a mixer at the structure stage, whose states are all recurrences, to a
/// module, as ops on tiles (`tile.warps`), and says how it is launched; one more stores what
/// several blocks read of the carry (CarryBehind.h). States in both directions have a kernel for
/// each direction (Directions.h). Fails with a located error ("not lowered for CUDA yet:
/// ...") for what the form does not take. With `borders` the kernel walks segments of a sequence,
/// too (Borders.h).
llvm::FailureOr<LaneLaunches> emitLaneKernels(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                              mlir::gpu::GPUModuleOp module, llvm::StringRef name,
                                              const Borders *borders = nullptr,
                                              const LaneOutputs *outputs = nullptr);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_LANES_H
