//===- Segments.h - the kernels of calls that cut sequences -------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_SEGMENTS_H
#define SEQMIX_COMPILER_GPU_LANES_SEGMENTS_H

#include "compiler/gpu/lanes/Borders.h"

namespace seqmix::gpu {

/// The kernels of the first two launches of a call that cuts sequences (Borders.h).
struct SegmentKernels {
  std::unique_ptr<MixerPlan> plan; ///< the mixer's, with its summary, that `borders` stands on
  std::unique_ptr<Borders> borders;
  LaunchPlan summary, scan;
  int64_t leastTokens = 0;

  /// These two launches, then the mixer's own, of which the first has a block for each segment.
  SchedulePlan schedule(const std::vector<LaunchPlan> &own) const;
};

/// Makes the kernel of a summary: of the summary's mixer, with the plan of the mixer itself, under
/// a name.
using EmitSummary = llvm::function_ref<llvm::FailureOr<LaunchPlan>(
    mlir::seq::MixerOp, const MixerPlan &, const std::string &, const Borders *)>;

/// Adds them, if a mixer has a summary that `emit` makes a kernel of; else `reason` says why not.
/// So many tokens take the time of two more launches.
std::optional<SegmentKernels> emitSegmentKernels(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                                 mlir::gpu::GPUModuleOp module,
                                                 const std::string &name, double launchTokens,
                                                 EmitSummary emit, std::string &reason);

/// How many kernels a module has so far: the number of the next one.
int32_t countKernels(mlir::gpu::GPUModuleOp module);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_SEGMENTS_H
