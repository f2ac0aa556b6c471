//===- KeptValue.h - what a launch leaves for later ones ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A forward pass of several launches divides the equations of a mixer among them. A value that one
// makes and another one reads is kept in a region of the workspace (LaneBlock::kept).
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_KERNELS_KEPTVALUE_H
#define SEQMIX_COMPILER_GPU_KERNELS_KEPTVALUE_H

#include "compiler/library/Library.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SetVector.h"

namespace seqmix::gpu {

/// A value that a kernel leaves in the workspace for later ones.
struct KeptValue {
  mlir::StringAttr name;
  size_t maker = 0;     ///< the number of the kernel that makes it
  mlir::ArrayAttr dims; ///< that of the tokens included
  bool isOfTokens = false;
  int32_t places = -1;                ///< the number of another run-time dim that it has rows of
  llvm::SmallVector<int64_t> extents; ///< of the dims that are fixed
  SeqDType dtype = SEQ_F32;
};

/// How a state, definition or produced tensor of a mixer is kept.
KeptValue keptValueOf(mlir::seq::MixerOp mixer, mlir::StringAttr name, size_t maker);

/// The dims of a symbol's places, that of the tokens included.
mlir::ArrayAttr placesOf(mlir::seq::MixerOp mixer, mlir::Operation *symbol);

/// A mixer's states alone, but those of affine recurrences, in a module of their own: its outputs
/// are the values that are kept of them, in order.
mlir::OwningOpRef<mlir::ModuleOp> recurrencesOf(mlir::seq::MixerOp mixer,
                                                llvm::ArrayRef<mlir::StringAttr> kept);

/// Erases the definitions of a mixer that none of its states' equations, recurrences and outputs
/// need.
void eraseUnneeded(mlir::seq::MixerOp mixer);

/// The symbols that an op names: those that its equations read, and the factors of recurrences.
llvm::SetVector<mlir::StringAttr> namesIn(mlir::Operation *op);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_KERNELS_KEPTVALUE_H
