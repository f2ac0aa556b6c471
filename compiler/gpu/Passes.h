//===- Passes.h - the passes for GPUs -------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PASSES_H
#define SEQMIX_COMPILER_GPU_PASSES_H

#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/Pass.h"

namespace seqmix {

#define GEN_PASS_DECL
#include "compiler/gpu/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "compiler/gpu/Passes.h.inc"

/// Adds the passes from tiles to the llvm and nvvm dialects, in order.
void addTilePasses(mlir::OpPassManager &passes);

} // namespace seqmix

#endif // SEQMIX_COMPILER_GPU_PASSES_H
