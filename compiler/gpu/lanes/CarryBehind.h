//===- CarryBehind.h - what of the carry several blocks read ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_CARRYBEHIND_H
#define SEQMIX_COMPILER_GPU_LANES_CARRYBEHIND_H

#include "compiler/gpu/lanes/LaneExpr.h"

namespace seqmix::gpu {

/// Adds a kernel that stores the position behind a call and windows, for a later launch.
llvm::FailureOr<LaunchPlan> emitCarryBehind(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                            const LaneShape &shape, mlir::gpu::GPUModuleOp module,
                                            llvm::StringRef name);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_CARRYBEHIND_H
