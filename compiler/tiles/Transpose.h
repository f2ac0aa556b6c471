//===- Transpose.h - square blocks of lanes in registers ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_TRANSPOSE_H
#define SEQMIX_COMPILER_TILES_TRANSPOSE_H

#include "mlir/IR/Builders.h"

namespace seqmix {

/// As many vectors as they have lanes: lane l of vector k becomes lane k of vector l.
llvm::SmallVector<mlir::Value> transposed(mlir::OpBuilder &builder, mlir::Location loc,
                                          llvm::SmallVector<mlir::Value> vectors);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_TRANSPOSE_H
