//===- Object.h - from kernels to machine code -----------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_OBJECT_H
#define SEQMIX_COMPILER_CPU_OBJECT_H

#include "compiler/cpu/Target.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <string>

namespace seqmix {

/// A relocatable ELF object, as bytes.
struct ObjectFile {
  std::string bytes;
};

/// Lowers a module of the tiles stage to the llvm dialect in place: elementary functions for the
/// target, then everything else. Diagnostics stand at the ops concerned.
llvm::LogicalResult lowerToLlvm(mlir::ModuleOp module, const TargetInfo &target);

/// Compiles a module of the tiles stage (a copy of it; ops of the llvm dialect may stand beside the
/// functions) for one target. The object refers to no symbol that it does not define but memcpy,
/// memmove, memset and what the module declares.
llvm::Expected<ObjectFile> compileToObject(mlir::ModuleOp module, const TargetInfo &target);
llvm::Expected<ObjectFile> compileToObject(mlir::ModuleOp module, TargetLevel level);

} // namespace seqmix

#endif // SEQMIX_COMPILER_CPU_OBJECT_H
