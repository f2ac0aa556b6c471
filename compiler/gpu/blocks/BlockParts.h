//===- BlockParts.h - matrix states behind other states -----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A kernel in blocks of tokens has one matrix state. A mixer with more states is divided: those
// that are no matrices are walked token by token by a first launch, each matrix has a launch behind
// those that its factors depend on. What a part needs of an earlier one is kept, for each token:
// the definitions that depend on nothing but earlier parts, as far up in the equations as these sum
// over no dims (such sums are cheap on tiles, and exchanges of values between threads for each
// token are not), else states and reads of matrices.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_BLOCKS_BLOCKPARTS_H
#define SEQMIX_COMPILER_GPU_BLOCKS_BLOCKPARTS_H

#include "compiler/gpu/kernels/KeptValue.h"

#include <optional>

namespace seqmix::gpu {

/// A launch's part: a mixer in which values of earlier parts are inputs.
struct BlockPart {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  bool isRecurrent = false; ///< its states are no matrices
  /// The number among all that are kept, by output; none: they are those of the mixer.
  llvm::SmallVector<size_t> kept;

  mlir::seq::MixerOp mixer() const { return *module.get().getOps<mlir::seq::MixerOp>().begin(); }
};

struct BlockParts {
  std::vector<BlockPart> parts; ///< in the order of their launches
  std::vector<KeptValue> kept;  ///< by region
};

/// Whether definitions have sums for each of their places: products of matrices, which tensor cores
/// make. The greatest number of summands; 0: none have.
int64_t summandsOfProducts(mlir::seq::MixerOp mixer);

/// Divides a mixer with an affine recurrence beside other states; nothing, with the reason, where
/// states depend on each other in both directions.
std::optional<BlockParts> divideStates(mlir::seq::MixerOp mixer, std::string &reason);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_BLOCKS_BLOCKPARTS_H
