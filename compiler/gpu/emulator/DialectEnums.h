//===- DialectEnums.h - predicates and kinds of the dialects' ops -------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The dialects' own headers take ten seconds to compile; what executes programs needs no ops.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_DIALECTENUMS_H
#define SEQMIX_COMPILER_GPU_EMULATOR_DIALECTENUMS_H

#include "mlir/IR/OpImplementation.h"

#include "mlir/Dialect/LLVMIR/LLVMOpsEnums.h.inc"
#include "mlir/Dialect/LLVMIR/NVVMOpsEnums.h.inc"

#endif // SEQMIX_COMPILER_GPU_EMULATOR_DIALECTENUMS_H
