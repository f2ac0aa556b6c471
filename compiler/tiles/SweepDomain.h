//===- SweepDomain.h - which positions a sweep visits ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_SWEEPDOMAIN_H
#define SEQMIX_COMPILER_TILES_SWEEPDOMAIN_H

#include "compiler/tiles/Expressions.h"
#include "compiler/tiles/PairIntervals.h"

namespace seqmix {

/// The rows (their position and fixed dims in order) and positions s that are looked at, and the
/// bounds of integers that are read there.
struct PairBox {
  llvm::SmallVector<Bounds> rows;
  Bounds column;
  llvm::DenseMap<mlir::StringAttr, Bounds> rowReads, columnReads;
};

/// Intervals [low, high) of s that hold every s of the domain for some of `box.rows`; they may
/// overlap. Found by eliminating t from the integer sets that the domain is a union of.
llvm::SmallVector<Bounds> domainIntervals(Kernel &kernel, mlir::seq::PairsOp pairs,
                                          const PairBox &box, mlir::Value extent);

/// Whether no pair, and whether every pair of a box is in the domain; constants false when that
/// cannot be said.
struct BoxState {
  mlir::Value isEmpty, isFull;
};
BoxState boxState(Kernel &kernel, mlir::seq::PairsOp pairs, const PairBox &box, mlir::Value extent);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_SWEEPDOMAIN_H
