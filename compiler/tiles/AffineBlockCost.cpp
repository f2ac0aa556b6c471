//===- AffineBlockCost.cpp - how many tokens and columns a sweep ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Counts cycles a token of a core with two multiply-adds, two loads and one store of a vector a
// cycle: the ports are what bounds these loops, whatever the width of a vector.
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlock.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <limits>

namespace seqmix {
namespace {

double cycles(double arithmetic, double loads, double stores) {
  return std::max({arithmetic / 2, loads / 2, stores});
}

struct Counts {
  double reads, updates;
  double rowDecay, colDecay; // 0 or 1
};

/// Registers that accumulators, a row of the state, its decay and two broadcasts take in a sweep.
double sweepRegisters(const AffineBlockSpec &spec, const Counts &count) {
  return count.reads * spec.block * spec.panel + spec.panel + 2 +
         (count.colDecay                      ? spec.panel
          : spec.rowDecay == RowDecay::Scalar ? 1
                                              : 0);
}

/// Cycles for all columns and one token.
double cyclesPerToken(const AffineBlockSpec &spec) {
  const Counts count{static_cast<double>(spec.reads.size()),
                     static_cast<double>(spec.updates.size()),
                     spec.rowDecay != RowDecay::None ? 1.0 : 0.0, spec.colDecay ? 1.0 : 0.0};
  const double block = spec.block, vectors = spec.panel, rows = spec.rows;
  const double rowVectors = llvm::divideCeil(spec.rows, spec.lanes);
  const double panels = static_cast<double>(llvm::divideCeil(spec.cols, spec.lanes)) /
                        vectors; // the last is narrower
  const bool perRow = spec.rowDecay == RowDecay::PerRow;
  const double decays = count.colDecay && !perRow ? 1 : count.rowDecay + count.colDecay;

  const double room = spec.registers - sweepRegisters(spec, count);
  const double inMemory = std::max(0.0, count.updates * block * vectors - std::max(room, 0.0));
  const double spilled = std::max(0.0, -room); // accumulators: loaded and stored every row
  const double arithmetic = (decays + (count.reads + count.updates) * block) * vectors;
  const double loads =
      (count.reads + count.updates) * block + (perRow ? 1 : 0) + vectors + inMemory + spilled;
  const double sweep = rows * cycles(arithmetic, loads, vectors + spilled);

  // Products: per pair of a read and an update a triangle of multiply-adds, lefts decayed token by
  // token.
  const double triangle = block * (block + 1) / 2;
  const double products =
      block == 1
          ? 0
          : rowVectors *
                    cycles(count.reads * count.updates * triangle +
                               (perRow ? count.updates * triangle + (count.reads + 1) * block : 0),
                           (count.reads + count.updates + (perRow ? 1 : 0)) * block,
                           perRow ? (count.reads + count.updates) * block + 1 : 0) +
                3 * count.reads * count.updates * triangle; // sums over lanes: shuffles
  // Finish: the triangles per panel, terms, and the latency of a chain through the block's tokens.
  constexpr double latency = 4;
  const double finish = (block == 1 ? 0 : count.reads * count.updates * triangle * vectors / 2) +
                        (count.reads + 2 * count.updates) * block * vectors + 2 * latency * block;
  const double sweeps =
      block == 1 ? 1.5 : 1; // token by token mostly takes a sweep of its own to read
  return (panels * (sweeps * sweep + finish) + products) / block;
}

} // namespace

AffineBlockSpec chooseBlock(AffineBlockSpec spec) {
  AffineBlockSpec best = spec;
  double least = std::numeric_limits<double>::infinity();
  const int64_t vectors = llvm::divideCeil(spec.cols, spec.lanes);
  for (int64_t block : {1, 2, 4, 8})
    for (int64_t panel : {1, 2, 3, 4}) {
      if (panel > vectors)
        continue;
      spec.block = block;
      spec.panel = panel;
      if (double cost = cyclesPerToken(spec); cost < least) {
        least = cost;
        best = spec;
      }
    }
  return best;
}

} // namespace seqmix
