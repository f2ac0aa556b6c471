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

/// Places of fixed dims.
static int64_t placesOfAll(MixerOp mixer, ArrayRef<Attribute> dims) {
  int64_t all = 1;
  for (Attribute dim : dims)
    if (auto size = cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(dim))).getSize())
      all *= static_cast<int64_t>(*size);
  return all;
}

/// Features of all sums of a group together, padded.
static int64_t featuresOfSums(MixerOp mixer, const PairGroup &group) {
  int64_t features = 0;
  for (PairsOp pairs : group.pairs)
    for (auto result : pairs.getOuts().getAsRange<PairResultAttr>()) {
      if (result.getKind() == PairKind::Places || result.getKind() == PairKind::Each)
        continue;
      ArrayAttr dims = chunk::dimsOf(chunk::lookup(mixer, result.getProduced()));
      const int64_t own = placesOfAll(mixer, dims.getValue().drop_front(pairs.getRows().size()));
      features += static_cast<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(own)));
    }
  return features;
}

/// Features of a reduction over several dims, whose rows are all there at once.
static int64_t mostReduced(MixerOp mixer, const PairGroup &group) {
  int64_t most = 1;
  for (PairsOp pairs : group.pairs)
    pairs.walk([&](ReduceOp reduce) {
      if (reduce.getDims().size() > 1)
        most = std::max(most, placesOfAll(mixer, reduce.getDims().getValue()));
    });
  return most;
}

/// Whether a value that is summed up is a sum that depends on the row.
static bool hasSumsOfPairs(const PairGroup &group) {
  auto readsRow = [](PairsOp pairs, Block *part) {
    Value row = pairs.rowOf(part);
    auto isInside = [&](ReadOp read) {
      const bool isRow = llvm::is_contained(read.getOperands(), row);
      return isRow && read->getParentOp() != pairs.getOperation() ? WalkResult::interrupt()
                                                                  : WalkResult::advance();
    };
    return row && part->walk(isInside).wasInterrupted();
  };
  return llvm::any_of(group.pairs, [&](PairsOp pairs) {
    return llvm::any_of(pairs.getOuts().getAsRange<PairResultAttr>(), [&](PairResultAttr result) {
      Block *part = pairs.getPart(result.getValue());
      return part && result.getKind() == PairKind::Sum && readsRow(pairs, part);
    });
  });
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
      if (dim != group.rows && !llvm::is_contained(group.inner, dim))
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
  int64_t features = mostReduced(mixer, group);
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

bool PairSizes::choosesByNestedSums() const {
  auto isNested = [](ReduceOp reduce) {
    return reduce->getParentOfType<ReduceOp>() ? WalkResult::interrupt() : WalkResult::advance();
  };
  return llvm::any_of(group.pairs, [&](PairsOp pairs) {
    return llvm::any_of(pairs.getOuts().getAsRange<PairResultAttr>(), [&](PairResultAttr own) {
      return own.getKind() == PairKind::Places &&
             pairs.getPart(own.getValue())->walk(isNested).wasInterrupted();
    });
  });
}

int64_t PairSizes::rowsOfBlock() const {
  const int64_t part = bytes > 2 ? 2 : 1;
  const int64_t most = kMostSums / part;
  int64_t rows = most / mostFeatures(true);
  // Sums of one loop are there while the next one runs.
  if (group.pairs.size() > 1 && rows * featuresOfSums(mixer, group) > most + most / 2)
    rows /= 2;
  // Sums inside of sums have tiles of pairs of their own.
  if (hasSumsOfPairs(group) || mostReduced(mixer, group) > featureLimit)
    rows /= 2;
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
