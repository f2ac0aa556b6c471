//===- ToNvvm.h - the parts of tile-to-nvvm -----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_TILE_TONVVM_H
#define SEQMIX_COMPILER_GPU_TILE_TONVVM_H

#include "compiler/gpu/tile/Emitter.h"

#include "mlir/Transforms/DialectConversion.h"

namespace seqmix::gpu {

/// Ops of arith and math on tiles, constants and splats.
void populateElementwisePatterns(mlir::TypeConverter &types, mlir::RewritePatternSet &patterns);
/// Reductions and scans.
void populateCombinePatterns(mlir::TypeConverter &types, mlir::RewritePatternSet &patterns);
/// Conversions within a warp, broadcasts, transposes and places.
void populateMovePatterns(mlir::TypeConverter &types, mlir::RewritePatternSet &patterns);
void populateGlobalPatterns(mlir::TypeConverter &types, mlir::RewritePatternSet &patterns);
void populateSharedPatterns(mlir::TypeConverter &types, mlir::RewritePatternSet &patterns);
void populateDotPatterns(mlir::TypeConverter &types, mlir::RewritePatternSet &patterns);

/// The shared memory of all kernels of a module: its size is the launch's.
constexpr llvm::StringLiteral sharedSymbol = "tile_shared";

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_TILE_TONVVM_H
