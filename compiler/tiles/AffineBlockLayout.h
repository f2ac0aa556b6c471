//===- AffineBlockLayout.h - products inside a block, and where they stand ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Private to AffineBlock*.cpp. Inside a block, token i's read x sees token s's update m through
//
//   product[x][m][i][s] = sum_r row_x,i[r] * (decays of row r over the tokens s+1..last) *
//   left_m,s[r]
//
// with last = i for a read after the update (s <= i), i - 1 for one before (s < i), the sum over
// all components, where there are several. They are made in groups whose accumulators fit the
// registers. The scratch holds, for every block of a chunk: the groups' products, the running
// products of a scalar decay, and for a decay per row its product over the block and the rows of
// reads and updates scaled to the start and the end of the block.
//
//===----------------------------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_AFFINEBLOCKLAYOUT_H
#define SEQMIX_COMPILER_TILES_AFFINEBLOCKLAYOUT_H

#include "compiler/tiles/AffineBlock.h"
#include <tuple>

namespace seqmix {

/// The number of a product: read, update, the read's token, the update's token.
struct BlockProduct {
  int64_t read, update, token, source;
};

class AffineBlockLayout {
public:
  explicit AffineBlockLayout(const AffineBlockSpec &spec);

  /// Products whose accumulators are live at the same time.
  llvm::SmallVector<llvm::SmallVector<BlockProduct>> groups;

  /// Tokens of the block that read x at token i sees: the sources 0 .. sources(x, i) - 1.
  int64_t sources(int64_t read, int64_t token) const;

  // Places in a block's scratch, in elements. Token numbers count in the order of execution.
  int64_t productOf(int64_t read, int64_t update, int64_t token, int64_t source) const;
  int64_t groupProducts(int64_t group) const { return groupStart[group]; }
  /// Scalar decay: the product of the tokens 0..i.
  int64_t headDecay(int64_t token) const { return headStart + token; }
  /// Scalar decay: the product of the tokens i+1..B-1.
  int64_t tailDecay(int64_t token) const { return headStart + spec.block + token; }
  /// Decay per row: [K] its product over the block, from component `from` to `to`.
  int64_t blockDecay(int64_t to, int64_t from) const;
  /// Decay per row: [K] row of a read times the decays from the block's start; of an update times
  /// the decays to the block's end. Of one component.
  int64_t scaledRead(int64_t read, int64_t token, int64_t component) const;
  int64_t scaledLeft(int64_t update, int64_t token, int64_t component) const;

  /// Whether these exist: what no product of decays reaches is zero.
  bool hasBlockDecay(int64_t to, int64_t from) const { return reaches(spec.block, to, from); }
  bool hasScaledRead(int64_t read, int64_t token, int64_t component) const;
  bool hasScaledLeft(int64_t update, int64_t token, int64_t component) const;

  int64_t blockSize() const { return size; }
  /// In front of all blocks: right factors that the sweep reads from memory.
  int64_t rightFactor(int64_t update, int64_t token, int64_t vector) const;
  int64_t rightFactorSize() const;

private:
  void planGroups();
  /// Whether the decays of `tokens` tokens take component `from` to `to`.
  bool reaches(int64_t tokens, int64_t to, int64_t from) const;

  AffineBlockSpec spec;
  llvm::SmallVector<llvm::SmallVector<bool>> patterns; // by tokens: of products of the coupling
  int64_t paddedRows, headStart = 0, decayStart = 0, readStart = 0, leftStart = 0, size = 0;
  llvm::SmallVector<int64_t> groupStart;
  llvm::SmallVector<int64_t> productPlaces; // by read, update, token, source
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_AFFINEBLOCKLAYOUT_H
