//===- Serialize.h - from lowered kernels to code for GPUs --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_SERIALIZE_H
#define SEQMIX_COMPILER_GPU_SERIALIZE_H

#include "compiler/gpu/Chip.h"

#include <optional>
#include <vector>

namespace seqmix::gpu {

/// What ptxas tells about a kernel.
struct KernelUse {
  std::string name;
  unsigned registers = 0;
  unsigned sharedBytes = 0; ///< static; what a launch asks for comes on top
  unsigned stackBytes = 0;
  unsigned spillStoreBytes = 0, spillLoadBytes = 0;
};

/// One module for one chip.
struct Image {
  Chip chip;
  std::string ptx;                  ///< text, without a null byte at its end
  std::string cubin;                ///< empty where ptxas is not installed
  std::vector<std::string> kernels; ///< in the order of the module
  std::vector<KernelUse> uses;      ///< with the cubin
  std::vector<std::string> notes;   ///< why there is no cubin; warnings of ptxas
};

/// Compiles a module of llvm and nvvm ops (a copy of it; a gpu.module, or a builtin module) to PTX
/// and, where ptxas is installed, to machine code. Errors stand at the ops concerned; none of them
/// ends the process.
llvm::FailureOr<Image> serialize(mlir::Operation *module, const Chip &chip);

/// The path of ptxas: SEQMIX_PTXAS ("" for none), the PATH, the usual folder of the toolkit.
std::optional<std::string> findAssembler();

/// What `ptxas -v` printed, by kernel.
std::vector<KernelUse> readKernelUses(llvm::StringRef log);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_SERIALIZE_H
