//===- PairGroups.h - which launch makes what ----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Reductions whose rows are of one kind (the tokens, the places of a fixed dim, or none) are made
// by one kernel as far as they do not depend on what a kernel of another kind makes. Sums over
// features that are compared for equality are made once, since in another order they could differ,
// and so is what pairs read of them at columns. States, and
// definitions that are made of them, are a kernel in the form of lanes. What a kernel makes and
// another one reads is kept in the workspace.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRGROUPS_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRGROUPS_H

#include "compiler/gpu/kernels/KeptValue.h"

namespace seqmix::gpu {

/// A kernel's part of a mixer.
struct PairGroup {
  bool isRecurrent = false;     ///< it walks the states token by token
  mlir::FlatSymbolRefAttr rows; ///< else the dim of its rows; null for a row of its own
  /// Further dims of the rows, which are fixed: a block has one place of each.
  llvm::SmallVector<mlir::FlatSymbolRefAttr, 1> inner;
  std::vector<mlir::seq::PairsOp> pairs;
  std::vector<mlir::StringAttr> once; ///< definitions that it makes for all who read them, in order
  std::vector<std::pair<int32_t, mlir::seq::OutputOp>> outputs; ///< with the number of each
};

struct PairGroups {
  std::vector<PairGroup> groups; ///< in the order of their launches
  std::vector<KeptValue> kept;   ///< by region; made by the group of a number

  const KeptValue *find(mlir::StringAttr name) const;
  /// Whether a definition is made once and then read.
  bool isMadeOnce(mlir::StringAttr name) const;
  /// Whether it is in the workspace before the kernel that makes it makes results.
  bool isStoredEarly(mlir::StringAttr name) const;
};

/// Makes features of dims of rows that only values vary along.
void makeRowsFeatures(mlir::seq::MixerOp mixer);

/// Of sums in `divided` each block has some features only: what reads them is made by later
/// kernels. Fails with a located error for what has no such division.
llvm::FailureOr<PairGroups> groupPairs(mlir::seq::MixerOp mixer,
                                       const llvm::SetVector<mlir::StringAttr> &divided = {});

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRGROUPS_H
