//===- Layout.h - lanes of equations and the order of dims in memory -*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CHUNK_LAYOUT_H
#define SEQMIX_COMPILER_CHUNK_LAYOUT_H

#include "compiler/chunk/Dependencies.h"

namespace seqmix::chunk {

/// Which dim of each equation is vectorised, and which dim of each symbol is therefore contiguous.
struct Layout {
  /// By equation: the number of the dim (token included) that becomes lanes, or -1 for the dim of
  /// its reductions.
  llvm::DenseMap<mlir::Operation *, int64_t> lanes;
  /// By symbol: its non-token dims by number, the last one contiguous.
  llvm::DenseMap<mlir::StringAttr, llvm::SmallVector<int64_t>> order;
};

Layout chooseLayout(mlir::seq::MixerOp mixer, const Dependencies &all);

/// The number of the dim of a pairwise reduction's rows that becomes lanes: their position, unless
/// it says no more than which pairs count; else the last fixed one.
int64_t laneRowOf(mlir::seq::PairsOp pairs);

/// Product of the sizes of a symbol's fixed dims: its elements for one token.
int64_t elementsPerToken(mlir::seq::MixerOp mixer, mlir::ArrayAttr dims);

/// The dim along which a whole mixer is independent, so that a task can cover a part of it, when
/// there is one: every equation that knows the dim has it on the left and reads what varies over it
/// at the same element.
mlir::FlatSymbolRefAttr findSplitDim(mlir::seq::MixerOp mixer, const Dependencies &all);

} // namespace seqmix::chunk

#endif // SEQMIX_COMPILER_CHUNK_LAYOUT_H
