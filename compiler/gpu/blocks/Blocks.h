//===- Blocks.h - matrix states in blocks of tokens on tensor cores -----*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The block form of a canonical affine recurrence S_t = d_t S_{t-1} + k_t v_t', read as q_t S_t. A
// block of threads walks a sequence in chunks of tokens with some columns of the state in the sums
// of its tensor cores, transposed; within a chunk,
//
//   O' = V' (Q K' * D)' + (S' Q') u,   S' = a S' + (V' e) K,
//
// where D has the products of decays between two tokens, u those up to each token, e those behind
// it and a that of all. These are running products of the decays themselves, so there are no
// exponents to overflow, and any decay may be zero or negative. Decays of rows go into Q and K: for
// two tokens up to the beginning of the largest group of tokens, of a power of two, that has only
// the later one.
//
// Products on tensor cores have factors in bf16. Values of other types are sums of two of those,
// and products of such values the sum of three; what is lost is below 2^-16 of each summand.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_BLOCKS_BLOCKS_H
#define SEQMIX_COMPILER_GPU_BLOCKS_BLOCKS_H

#include "compiler/gpu/blocks/BlockParts.h"
#include "compiler/gpu/lanes/Segments.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace seqmix::gpu {

/// What a part has in common with the others.
struct PartShare {
  const BlockParts &all;
  const BlockPart &part;
  bool isLast() const { return &part == &all.parts.back(); }
  int32_t regions() const { return static_cast<int32_t>(all.kept.size()); }
  /// A kept value's array.
  static LaneArray array(LaneBlock &block, const BlockParts &all, size_t number);
};

/// Whether this form takes the recurrence of a mixer, or the reason why not.
bool takesBlocks(mlir::seq::MixerOp mixer, const MixerPlan &plan, std::string &reason);

/// Makes the kernel of a mixer with its affine recurrence at the structure stage, and its launch;
/// nothing, with the reason, where this form does not take the mixer. With `borders` the kernel
/// walks segments of a sequence, too, or, of a summary, sums them up (Borders.h). `share` is that
/// of a mixer which is a part of another one.
std::optional<LaunchPlan> emitBlockKernel(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                          mlir::gpu::GPUModuleOp module, llvm::StringRef name,
                                          std::string &reason, const Borders *borders = nullptr,
                                          const PartShare *share = nullptr);

/// Makes the kernel of a step, of all parts of a mixer: a block for each batch element, which has
/// slices of the states' rows one after the other. Nothing, with the reason, where it does not take
/// the mixer.
std::optional<LaunchPlan> emitStepKernel(const BlockParts &parts, const MixerPlan &plan,
                                         mlir::gpu::GPUModuleOp module, llvm::StringRef name,
                                         std::string &reason);

/// The kernels of the first two launches of a call that cuts sequences, for a recurrence whose
/// updates read the state (BlockSegments.cpp); nothing where there are none, or they do not pay. So
/// many tokens take the time of two more launches.
std::optional<SegmentKernels> emitDenseSegments(mlir::seq::MixerOp mixer, const MixerPlan &plan,
                                                mlir::gpu::GPUModuleOp module,
                                                const std::string &name, double launchTokens);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_BLOCKS_BLOCKS_H
