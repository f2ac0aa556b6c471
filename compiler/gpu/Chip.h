//===- Chip.h - what GPUs can execute -----------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// LLVM ends the process at an instruction that a chip does not have ("Cannot select"). So every op
// of a kernel is looked up here first, and what is missing becomes an error at the op.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_CHIP_H
#define SEQMIX_COMPILER_GPU_CHIP_H

#include "mlir/IR/Operation.h"
#include "llvm/Support/Error.h"

#include <string>

namespace seqmix::gpu {

/// What code is made for: a chip as ptxas names it, and the version of PTX. Of a driver, only those
/// PTX versions are taken that it knows, so it is the lowest that has what the kernels use.
struct Chip {
  std::string name;          ///< "sm_90a"
  unsigned architecture = 0; ///< 90
  bool isExact = false;      ///< with instructions of this architecture alone (the "a")
  unsigned ptx = 0;          ///< 80 for 8.0

  /// As LLVM writes it: "+ptx80".
  std::string features() const;
};

/// A chip by name, with the PTX version that its kernels are written in. Fails with the list of
/// those that are known.
llvm::Expected<Chip> chipNamed(llvm::StringRef name);

/// The names, "sm_80, sm_86, ...".
std::string chipNames();

/// Whether a chip has all that the ops inside of `root` (llvm and nvvm) need; errors stand at the
/// ops. An op that is in no list is refused, since what LLVM would do with it is not known.
llvm::LogicalResult checkChip(mlir::Operation *root, const Chip &chip);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_CHIP_H
