//===- Resources.h - what kernels for GPUs take of a multiprocessor -----*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_KERNELS_RESOURCES_H
#define SEQMIX_COMPILER_GPU_KERNELS_RESOURCES_H

#include "compiler/gpu/Serialize.h"

#include "llvm/Support/raw_ostream.h"

namespace seqmix::gpu {

/// Registers, shared memory, stack and spills of kernels, as ptxas tells them: for seqc's option
/// `--resources`.
class Resources {
public:
  /// Takes those of the kernels of a module that was compiled for a chip.
  void add(const Image &image, mlir::Operation *kernels);

  /// A table of the kernels, what ptxas warns of, and its version.
  void print(llvm::raw_ostream &os) const;

private:
  struct Row {
    KernelUse use; ///< its shared memory with what a launch asks for
    std::string chip;
  };
  std::vector<Row> rows;
  std::vector<std::string> notes;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_KERNELS_RESOURCES_H
