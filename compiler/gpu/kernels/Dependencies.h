//===- Dependencies.h - what ops of equations depend on -----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_KERNELS_DEPENDENCIES_H
#define SEQMIX_COMPILER_GPU_KERNELS_DEPENDENCIES_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"

namespace seqmix::gpu {

/// The arguments of the regions around an op that its value depends on: indices that equations and
/// reductions bind. What they are at says what of a value is known already.
class Dependencies {
public:
  /// Valid until the next call.
  llvm::ArrayRef<mlir::BlockArgument> of(mlir::Operation *op);

private:
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<mlir::BlockArgument>> known;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_KERNELS_DEPENDENCIES_H
