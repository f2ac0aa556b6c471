//===- Device.h - from mixers to code for GPUs --------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_KERNELS_DEVICE_H
#define SEQMIX_COMPILER_GPU_KERNELS_DEVICE_H

#include "compiler/gpu/kernels/Resources.h"
#include "compiler/library/Library.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/MapVector.h"

namespace seqmix::gpu {

/// On a mixer whose matrix states are canonical recurrences: the mixer that it is another form of.
inline constexpr llvm::StringLiteral kBlocksOf = "seq.blocks_of";
/// On a mixer whose sums over positions are as the file has them: why not as recurrences.
inline constexpr llvm::StringLiteral kWhyAsWritten = "seq.why_as_written";

/// How the calls of a mixer are launched.
struct MixerLaunches {
  mlir::seq::MixerOp form; ///< what the kernels of a forward pass are made from
  std::vector<LaunchPlan> forward;
  std::vector<AmountPlan> regions;     ///< of the workspace, of `forward`
  std::vector<LaunchPlan> step;        ///< if they are others
  std::vector<AmountPlan> stepRegions; ///< of the workspace, of `step`
  std::optional<SchedulePlan> cut;     ///< of sequences in segments
  std::string uncut;                   ///< why there is no such schedule
};

/// The kernels of a module's mixers, as ops on tiles in a gpu.module, and their launches.
struct DeviceKernels {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  llvm::MapVector<mlir::StringAttr, MixerLaunches> launches; ///< by mixer

  /// The module of the kernels.
  mlir::Operation *kernels() const;
};

using PlanOf = llvm::function_ref<const MixerPlan &(mlir::seq::MixerOp)>;

/// Makes the kernels of all mixers at the structure stage, with a located error at each that is not
/// lowered yet. Matrix states take blocks of tokens where that form takes them, and steps the
/// sequential form; where one does not take a mixer, the other serves for both.
llvm::FailureOr<DeviceKernels> emitDeviceKernels(mlir::ModuleOp module, PlanOf planOf);

/// The text of `seqc explain` for a mixer at the structure stage on GPUs: what was derived of it
/// and, of its forms, those of its kernels, with schedules, launches and workspace; or why there
/// are none.
void explainOnDevice(mlir::seq::MixerOp mixer, const MixerPlan &plan, llvm::raw_ostream &os);

/// From ops on tiles to those of the llvm and nvvm dialects.
llvm::LogicalResult lowerDeviceKernels(DeviceKernels &kernels);

/// Compiles lowered kernels for the chips, the best first, and describes them in the mixers' plans.
/// `resources` gets what the kernels take.
llvm::LogicalResult addDeviceTargets(const DeviceKernels &kernels, llvm::ArrayRef<Chip> chips,
                                     llvm::function_ref<MixerPlan &(mlir::StringAttr)> planOf,
                                     Resources *resources = nullptr);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_KERNELS_DEVICE_H
