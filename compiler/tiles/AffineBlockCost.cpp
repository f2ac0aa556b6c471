//===- AffineBlockCost.cpp - how many tokens and columns a sweep ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Counts cycles a token of a core with two multiply-adds, two loads and one store of a vector a
// cycle: the ports are what bounds these loops, whatever the width of a vector. On a Zen 5 core the
// counts are within 15% of the times of `affine-block-bench --benchmark_filter=grid` wherever all
// accumulators fit.
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockLayout.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace seqmix {
namespace {

/// Cycles of a loop body; the ports overlap, but not perfectly.
double cycles(double arithmetic, double loads, double stores, double friction) {
  constexpr double storeCycles = 1.75; // between 512-bit stores, as measured
  return std::max({arithmetic / 2, loads / 2, storeCycles * stores}) +
         friction * (arithmetic + loads + stores) / 2;
}

constexpr double latency = 4; // of a multiply-add

/// Factors that a sweep takes for a row of the state, one component after the other.
struct RowFactors {
  double decays = 0, reads = 0, lefts = 0;
};

RowFactors rowFactorsOf(const AffineBlockSpec &spec) {
  const double block = spec.block;
  if (!spec.elements.empty()) {
    RowFactors factors; // decays and updates of each token
    factors.decays = spec.rowDecay == RowDecay::PerRow
                         ? block
                         : block * static_cast<double>(llvm::count(spec.coupling, true));
    for (const AffineUpdate &update : spec.updates)
      factors.lefts += block * static_cast<double>(llvm::count(update.of, true));
    const AffineBlockLayout layout(spec);
    for (int64_t a = 0; a < spec.components; ++a)
      for (int64_t i = 0; i < spec.block; ++i)
        for (size_t x = 0; x < spec.reads.size(); ++x)
          factors.reads += spec.components == 1 || layout.hasScaledRead(x, i, a);
    return factors;
  }
  if (spec.components == 1)
    return {spec.rowDecay == RowDecay::PerRow ? 1.0 : 0.0, spec.reads.size() * block,
            spec.updates.size() * block};
  const AffineBlockLayout layout(spec);
  RowFactors factors;
  for (int64_t a = 0; a < spec.components; ++a) {
    for (int64_t b = 0; b < spec.components; ++b)
      factors.decays += layout.hasBlockDecay(a, b);
    for (int64_t i = 0; i < spec.block; ++i) {
      for (size_t x = 0; x < spec.reads.size(); ++x)
        factors.reads += layout.hasScaledRead(x, i, a);
      for (size_t m = 0; m < spec.updates.size(); ++m)
        factors.lefts += layout.hasScaledLeft(m, i, a);
    }
  }
  return factors;
}

/// Operations a row for a sum over the columns: a tree of sums and shuffles for 4 rows at a time.
double sumsAcross(const AffineBlockSpec &spec) {
  constexpr int64_t together = 4;
  int64_t sums = 0, values = together * spec.block;
  for (int64_t lanes = spec.lanes; lanes > 1; lanes /= 2)
    sums += values = llvm::divideCeil(values, 2);
  return static_cast<double>(3 * sums) / together + 1.0; // and what is in the result so far
}

/// What reads of elements add to a sweep over a row of the state.
struct ElementCost {
  double arithmetic = 0, loads = 0, accumulators = 0;
};

ElementCost elementCost(const AffineBlockSpec &spec, double vectors) {
  ElementCost cost;
  for (const AffineElementRead &read : spec.elements) {
    const double tokens = spec.block, of = static_cast<double>(llvm::count(read.of, true));
    cost.arithmetic += of * tokens * vectors;
    cost.loads += of * vectors * (read.elements && !read.perToken ? 1 : tokens);
    cost.arithmetic += read.columns ? sumsAcross(spec) : 0;
    cost.accumulators += read.columns ? 4 * tokens - 2 : tokens * vectors; // a tree's leaves
  }
  // Decays that are not those of a row, for every token.
  const double decays =
      (spec.colDecay ? vectors : 0) + (spec.rowDecay == RowDecay::Scalar ? vectors : 0);
  if (!spec.elements.empty()) {
    cost.arithmetic += decays * (spec.block - 1.0) * spec.components;
    cost.loads += spec.colDecay ? vectors * spec.block : 0;
  }
  return cost;
}

/// Cycles a block of tokens takes in a panel of `vectors`; infinite if its accumulators do not fit.
double cyclesOfPanel(const AffineBlockSpec &spec, double vectors, double before) {
  const double reads = spec.reads.size(), updates = spec.updates.size(), block = spec.block;
  const double components = spec.components;
  const RowFactors factors = rowFactorsOf(spec);
  const ElementCost elements = elementCost(spec, vectors);
  const bool scalar = spec.rowDecay == RowDecay::Scalar;
  const double decays = factors.decays + (spec.colDecay || scalar ? components : 0);
  // Next to the accumulators: a row of the state, two broadcasts, the decays.
  const double rows = components == 1 ? 1 : components + 1;
  const double room = spec.registers - reads * block * vectors - elements.accumulators -
                      rows * vectors - 2 -
                      (spec.colDecay ? vectors
                       : scalar      ? 1
                                     : 0);
  if (room < 0)
    return std::numeric_limits<double>::infinity();
  const double inMemory = std::max(0.0, updates * block * vectors - room);
  const double arithmetic =
      (decays + factors.reads + factors.lefts) * vectors + elements.arithmetic;
  const double loads = factors.reads + factors.lefts + factors.decays + components * vectors +
                       2 * inMemory + elements.loads;
  // A panel shares the first-level cache with the rows.
  constexpr double roomyPanel = 24 << 10;
  const double bytes =
      spec.rows * components * vectors * spec.lanes * mlir::FloatType(spec.element).getWidth() / 8;
  const double friction = bytes > roomyPanel ? 0.16 : 0.08;
  const double sweep =
      spec.rows * std::max(latency, cycles(arithmetic, loads, components * vectors, friction));
  if (spec.block == 1) // a sweep to read before the update, if needed, and one to update
    return (before > 0 ? 1.5 : 1) * sweep + 2 * latency * (1 + updates);
  // Triangles of products, a chain through the tokens when an update needs a read, and what does
  // not fit of all sums and right factors.
  const double spilled = std::max(0.0, (reads + updates) * block * vectors + 4 - spec.registers);
  return sweep + 0.65 * reads * updates * block * block / 2 * vectors +
         (reads + 2 * updates) * block * vectors / 2 + (before > 0 ? 4 : 2) * latency * block +
         2 * spilled + 20;
}

/// Cycles a token takes in all columns.
double cyclesPerToken(const AffineBlockSpec &spec) {
  const double reads = spec.reads.size(), updates = spec.updates.size(), block = spec.block;
  const double before = llvm::count_if(spec.reads, [](auto &read) { return read.before; });
  const int64_t vectors = llvm::divideCeil(spec.cols, spec.lanes);
  const int64_t whole = vectors / spec.panel;
  double panels = static_cast<double>(whole) * cyclesOfPanel(spec, spec.panel, before);
  if (vectors % spec.panel !=
      0) // the code of the narrower panel counts for a little more than its time
    panels = 1.03 * (panels + cyclesOfPanel(spec, vectors % spec.panel, before));
  if (spec.block == 1)
    return panels;
  const double components = spec.components;
  const bool perRow = spec.rowDecay == RowDecay::PerRow || spec.rowDecay == RowDecay::Coupled;
  // Every product is a sum over the components, every scaling one by a matrix over them.
  const double triangle =
      components * updates *
      ((reads - before) * block * (block + 1) / 2 + before * block * (block - 1) / 2);
  const double scaling =
      perRow ? components * components * (updates * block * (block - 1) / 2 + (reads + 1) * block)
             : 0;
  // Groups of accumulators, each of which loads and scales again.
  const double groups =
      std::max(perRow ? 1.0 : 0.0,
               std::ceil(triangle / components /
                         std::max(4.0, spec.registers - components * (updates * block + 3))));
  const double laneSums =
      45 * std::ceil(triangle / components / spec.lanes) / 2; // shuffles and sums
  const double products = llvm::divideCeil(spec.rows, spec.lanes) *
                              cycles(triangle + groups * scaling,
                                     groups * (reads + updates + components) * components * block,
                                     perRow ? (reads + updates) * components * block : 0, 0.25) +
                          laneSums + 15;
  return (panels + products) / block;
}

} // namespace

AffineBlockSpec chooseBlock(AffineBlockSpec spec) {
  AffineBlockSpec best = spec;
  best.block = best.panel = 1; // where nothing fits the registers
  double least = std::numeric_limits<double>::infinity();
  const int64_t vectors = llvm::divideCeil(spec.cols, spec.lanes);
  for (int64_t block : {1, 2, 4}) // 8 has never won
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
