//===- PairCarry.h - rows that later calls read -------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRCARRY_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRCARRY_H

#include "compiler/gpu/pairs/PairExpr.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace seqmix::gpu {

/// Stores a value over the rows, or columns, that are the first axis of its places, in the storage
/// type: `count` of them from row `first` of the array on. Another of the places may be along
/// `columns`.
void storeRows(PairTiles &tiles, const LaneArray &array, llvm::ArrayRef<PairValue> places,
               const PairValue &value, mlir::Value first, mlir::Value count, Axis rows,
               const PairColumns *columns = nullptr);

/// How many rows a block stores: what has no slices is stored by the blocks of the first one.
mlir::Value onceOfSlices(PairTiles &tiles, llvm::ArrayRef<PairValue> places, mlir::Value count);

/// Stores what a step's one token leaves in the carry that it updates: its rows, and states.
mlir::LogicalResult storeCarryOfStep(mlir::seq::MixerOp mixer, PairExpr &expr, PairTiles &tiles,
                                     mlir::Value position);

/// Adds the kernel that writes the carry's rows, and the position with them, when those before have
/// read them, and its launch.
mlir::LogicalResult emitCarryKernel(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                    const PairGroups &groups, mlir::gpu::GPUModuleOp module,
                                    llvm::StringRef name, int32_t &first,
                                    std::vector<LaunchPlan> &launches);

/// Writes quotients that are rounded down or up (bounds of columns, extents) as others.
void expandQuotients(mlir::Operation *kernel);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRCARRY_H
