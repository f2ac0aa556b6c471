//===- Assemble.h - runs ptxas ------------------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Private to the serialisation.

#ifndef SEQMIX_COMPILER_GPU_ASSEMBLE_H
#define SEQMIX_COMPILER_GPU_ASSEMBLE_H

#include "compiler/gpu/Serialize.h"

namespace seqmix::gpu {

/// Fills the image's cubin, uses and notes from its PTX. Without ptxas it only leaves a note.
llvm::Error assemble(Image &image);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_ASSEMBLE_H
