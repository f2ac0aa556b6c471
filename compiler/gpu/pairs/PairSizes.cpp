//===- PairSizes.cpp - how large the tiles of pairs are ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairSizes.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/pairs/PairTiles.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Columns of a tile. Each warp has what they are multiplied with in registers, so many of a thread
/// at most.
static constexpr int64_t kLeastColumns = 16, kMostColumns = 64, kFactorRegisters = 48;
/// Sums of a block: half as many where factors are cut into three parts or are f64. Beyond that
/// warps divide the features, too, and a block has fewer rows.
static constexpr int64_t kMostSums = 8192;
/// Elements of a block that are gathered at once, each with an address of its own: as much less.
static constexpr int64_t kMostGathered = kMostSums / 2;
static int64_t padded(int64_t size) {
  return static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(size)));
}

/// Places of a dim; 0 if these are known at run time only.
int64_t PairSizes::sizeOf(Attribute dim) const {
  auto size = cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(dim))).getSize();
  return size ? static_cast<int64_t>(*size) : 0;
}

int64_t PairSizes::slices() const {
  int64_t most = 1;
  auto note = [&](StringAttr symbol) {
    for (Attribute dim : chunk::dimsOf(chunk::lookup(mixer, symbol)))
      if (dim != group.rows)
        most = std::max(most, sizeOf(dim));
  };
  for (PairsOp pairs : group.pairs)
    for (auto own : pairs.getOuts().getAsRange<PairResultAttr>())
      if (own.getKind() != PairKind::Places) // a block has all of its rows
        note(own.getProduced().getAttr());
  for (auto [number, output] : group.outputs)
    note(output.getSourceAttr().getAttr());
  return llvm::divideCeil(most, featureLimit);
}

int64_t PairSizes::mostFeatures(bool ofOutputs) const {
  int64_t features = 1;
  auto note = [&](ArrayAttr dims) {
    for (Attribute dim : dims)
      features = std::max(features, sizeOf(dim));
  };
  for (PairsOp pairs : group.pairs) {
    pairs.walk([&](ReduceOp reduce) { note(reduce.getDims()); });
    for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
      if (result.getKind() != PairKind::Places)
        note(chunk::dimsOf(chunk::lookup(mixer, result.getProduced())));
  }
  if (ofOutputs) {
    for (StringAttr name : group.once)
      note(chunk::dimsOf(chunk::lookup(mixer, name)));
    for (auto [number, output] : group.outputs)
      note(chunk::dimsOf(chunk::lookup(mixer, output.getSourceAttr())));
  }
  return padded(std::min(features, featureLimit));
}

int64_t PairSizes::rowsOfBlock() const {
  const int64_t part = bytes > 2 ? 2 : 1;
  int64_t rows = kMostSums / part / mostFeatures(true);
  if (const int64_t features = gatheredFeatures())
    rows = std::min(rows, kMostGathered / part / features);
  // Places of a fixed dim may be fewer, as the one row of what has none is.
  const int64_t places = group.rows ? sizeOf(group.rows) : 1;
  if (places)
    rows = std::min(rows, padded(places));
  return std::clamp(rows, kRowsOfWarp, kRowsOfWarp * kWarps);
}

int64_t PairSizes::columnsOfTile() const {
  const int64_t columns = kFactorRegisters * 32 * 4 / (mostFeatures() * bytes);
  return std::clamp(static_cast<int64_t>(llvm::bit_floor(static_cast<uint64_t>(columns))),
                    kLeastColumns, kMostColumns);
}

/// Features of rows that the group reads at places that data choose; 0 if there are none.
int64_t PairSizes::gatheredFeatures() const {
  llvm::SetVector<StringAttr> names;
  for (auto [number, output] : group.outputs)
    names.insert(output.getSourceAttr().getAttr());
  names.insert(group.once.begin(), group.once.end());
  int64_t most = 0;
  auto note = [&](ReadOp read) {
    names.insert(read.getSourceAttr().getAttr());
    int64_t features = 1;
    bool isGathered = false;
    Operation *source = chunk::lookup(mixer, read.getSourceAttr());
    for (auto [slot, dim] : llvm::enumerate(placesOf(mixer, source)))
      if (read.isDataDependent(static_cast<unsigned>(slot)))
        isGathered = true;
      else
        features = std::max(features, sizeOf(dim));
    if (isGathered)
      most = std::max(most, padded(std::min(features, featureLimit)));
  };
  for (size_t number = 0; number < names.size(); ++number)
    if (auto define = dyn_cast<DefineOp>(chunk::lookup(mixer, names[number])))
      define.walk(note);
  return most;
}

} // namespace seqmix::gpu
