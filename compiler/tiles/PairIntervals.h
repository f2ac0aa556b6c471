//===- PairIntervals.h - which positions rows of pairs visit --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_PAIRINTERVALS_H
#define SEQMIX_COMPILER_TILES_PAIRINTERVALS_H

#include "compiler/structure/PairDomain.h"

#include "mlir/IR/Builders.h"

namespace seqmix {

/// The least and the greatest value of an integer, as scalars; null when unknown.
struct Bounds {
  mlir::Value low, high;
  bool isKnown() const { return low && high; }
};

/// Intervals [low, high) of s, one for each set of a domain, that hold every s of the domain below
/// `extent` (whose type all have) for some of the rows within bounds. `rowReads` gives bounds of
/// integers that are read at the rows, `symbols` the values of the domain's symbols.
llvm::SmallVector<Bounds> pairIntervals(mlir::OpBuilder &builder, mlir::Location loc,
                                        const mlir::seq::PairDomain &domain, mlir::Value extent,
                                        llvm::ArrayRef<Bounds> rows,
                                        llvm::function_ref<Bounds(mlir::StringAttr)> rowReads,
                                        llvm::ArrayRef<mlir::Value> symbols);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_PAIRINTERVALS_H
