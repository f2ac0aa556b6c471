//===- PairGroups.h - which launch makes what ----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Reductions whose rows are of one kind (the tokens, the places of a fixed dim, or none) are made
// by one kernel as far as they do not depend on what a kernel of another kind makes. States, and
// definitions that are made of them, are a kernel in the form of lanes. What a kernel makes and
// another one reads is kept in the workspace.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRGROUPS_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRGROUPS_H

#include "compiler/library/Library.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SetVector.h"

namespace seqmix::gpu {

/// A kernel's part of a mixer.
struct PairGroup {
  bool isRecurrent = false;     ///< it walks the states token by token
  mlir::FlatSymbolRefAttr rows; ///< else the dim of its rows; null for a row of its own
  std::vector<mlir::seq::PairsOp> pairs;
  std::vector<std::pair<int32_t, mlir::seq::OutputOp>> outputs; ///< with the number of each
};

/// A value that a kernel leaves in the workspace for later ones.
struct KeptValue {
  mlir::StringAttr name;
  size_t group = 0; ///< that makes it
  mlir::ArrayAttr dims;
  bool isOfTokens = false;
  llvm::SmallVector<int64_t> extents; ///< of the dims, but that of the tokens
  SeqDType dtype = SEQ_F32;
};

struct PairGroups {
  std::vector<PairGroup> groups; ///< in the order of their launches
  std::vector<KeptValue> kept;   ///< by region

  const KeptValue *find(mlir::StringAttr name) const;
};

/// Fails with a located error for what has no such division.
llvm::FailureOr<PairGroups> groupPairs(mlir::seq::MixerOp mixer);

/// The dims of a symbol's places, that of the tokens included.
mlir::ArrayAttr placesOf(mlir::seq::MixerOp mixer, mlir::Operation *symbol);

/// The recurrences alone, in a module of their own: its outputs are the values that are kept of
/// them, in the order of their regions.
mlir::OwningOpRef<mlir::ModuleOp> recurrencesOf(mlir::seq::MixerOp mixer, const PairGroups &groups);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRGROUPS_H
