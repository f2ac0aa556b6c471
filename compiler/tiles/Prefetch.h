//===- Prefetch.h - asks for the next chunk's rows -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_PREFETCH_H
#define SEQMIX_COMPILER_TILES_PREFETCH_H

#include "compiler/tiles/Kernel.h"

namespace seqmix {

/// Tokens of the chunk that comes after this one: none after the last, so that a step fetches
/// nothing.
IndexValue nextRows(Kernel &kernel);

/// Asks, right behind a gather or scatter, for all rows that it will move in the next chunk, unless
/// a solve of the pass does so between its blocks.
void prefetchBeside(Kernel &kernel, mlir::Operation *step);

/// Whether this is the solve of its pass that asks for the rows.
bool prefetchesBetweenBlocks(mlir::seq::SolveOp solve);

/// Asks for up to `count` rows from `first` on, of the next chunk's `rows`, of all that the solve's
/// pass moves.
void prefetchBetweenBlocks(Kernel &kernel, mlir::seq::SolveOp solve, const IndexValue &rows,
                           const IndexValue &first, int64_t count);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_PREFETCH_H
