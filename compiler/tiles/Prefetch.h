//===- Prefetch.h - asks for the next chunk's rows -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_PREFETCH_H
#define SEQMIX_COMPILER_TILES_PREFETCH_H

#include "compiler/tiles/AffineBlock.h"
#include "compiler/tiles/Kernel.h"

namespace seqmix {

/// Asks, right behind a gather or scatter, for all rows that it will move in the next chunk, unless
/// a solve of the pass does so beside its sweeps.
void prefetchBeside(Kernel &kernel, mlir::Operation *step);

/// Addresses of all lines that a pass moves in the next chunk, from which a solve asks for a few
/// beside each piece of its sweeps: for every block of tokens, one entry a group of lines.
class PrefetchTable {
public:
  /// Whether a solve asks for its pass's rows.
  static bool isUsedBy(mlir::seq::SolveOp solve);

  PrefetchTable(const Layout &layout, mlir::seq::MixerOp mixer, mlir::seq::SolveOp solve,
                const AffineBlockSpec &spec);

  int64_t bytes(int64_t chunk) const { return chunk / block * entries * 8; }
  /// Makes the table of the current chunk at `pointer`.
  void fill(Kernel &kernel, mlir::Value pointer);
  /// Asks for what belongs to a piece of the sweep of a block over a panel.
  void prefetch(Kernel &kernel, mlir::Value panel, mlir::Value block, mlir::Value piece) const;

private:
  mlir::seq::SolveOp solve;
  int64_t block, pieces;
  /// Entries of a block: those that are used, of a piece, and in all.
  int64_t used, each, entries;
  mlir::Value table;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_PREFETCH_H
