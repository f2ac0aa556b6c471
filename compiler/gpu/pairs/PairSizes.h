//===- PairSizes.h - how large the tiles of pairs are --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What a thread has at once must fit in its registers: sums, what they are multiplied with, and
// what is gathered.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRSIZES_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRSIZES_H

#include "compiler/gpu/pairs/PairGroups.h"

namespace seqmix::gpu {

class PairSizes {
public:
  /// A block's rows: 16 for each warp. A step has one; its warps divide columns and features.
  static constexpr int32_t kWarps = 4;
  static constexpr int64_t kThreads = 128;
  static constexpr int64_t kRowsOfWarp = 16;

  /// Of sums a block has so many features at once; factors have so many bytes an element.
  PairSizes(mlir::seq::MixerOp mixer, const PairGroup &group, int64_t featureLimit, int64_t bytes)
      : mixer(mixer), group(group), featureLimit(featureLimit), bytes(bytes) {}

  int64_t rowsOfBlock() const;
  int64_t columnsOfTile() const;
  /// Parts of the features of sums and results that blocks of their own make.
  int64_t slices() const;
  /// Of sums, and of results if these are asked for, padded.
  int64_t mostFeatures(bool ofOutputs = false) const;
  /// Whether places are chosen by sums inside of sums: code that is long, and whose order matters.
  bool choosesByNestedSums() const;

private:
  mlir::seq::MixerOp mixer;
  const PairGroup &group;
  const int64_t featureLimit, bytes;

  int64_t sizeOf(mlir::Attribute dim) const;
  int64_t gatheredFeatures() const;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRSIZES_H
