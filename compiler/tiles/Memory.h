//===- Memory.h - frames, pointers and storage types ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_MEMORY_H
#define SEQMIX_COMPILER_TILES_MEMORY_H

#include "compiler/cpu/Target.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace seqmix {

/// The type of a kernel's argument.
mlir::Type framePointerType(mlir::MLIRContext *context);

/// Loads a slot of the frame as an index, or as a pointer.
mlir::Value loadIndexSlot(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value frame,
                          int64_t slot);
mlir::Value loadPointerSlot(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value frame,
                            int64_t slot);

/// Whether a pointer is not null.
mlir::Value isGiven(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value pointer);

/// `pointer` plus a number of bytes (an index).
mlir::Value advance(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value pointer,
                    mlir::Value bytes);
mlir::Value advance(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value pointer,
                    int64_t bytes);

/// A memref of `type` at `pointer`. Sizes are static, or dynamic and then never looked at; a
/// dynamic stride is `stride`.
mlir::Value memrefAt(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value pointer,
                     mlir::MemRefType type, mlir::Value stride = {});

/// A flat view of elements of `element` from `pointer` on.
mlir::Value flatMemref(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value pointer,
                       mlir::Type element);

/// The type of the elements in memory of the storage type `dtype`: half-precision numbers are taken
/// as i16, truth values as i8.
mlir::Type memoryType(mlir::Type dtype);

/// Converts a value (or vector) as it stands in memory in storage type `dtype` to the compute type
/// `real`, or to i32.
mlir::Value fromStorage(mlir::OpBuilder &builder, mlir::Location loc, const TargetInfo &target,
                        mlir::Value value, mlir::Type dtype, mlir::Type real);

/// The reverse, rounding to nearest even. An integer may go to a real storage type.
mlir::Value toStorage(mlir::OpBuilder &builder, mlir::Location loc, const TargetInfo &target,
                      mlir::Value value, mlir::Type dtype);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_MEMORY_H
