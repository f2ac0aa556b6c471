//===- PairSizes.cpp - what a block has at once ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairGroups.h"

#include "compiler/chunk/Reads.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Places of fixed dims.
static int64_t placesOfAll(MixerOp mixer, ArrayRef<Attribute> dims) {
  int64_t all = 1;
  for (Attribute dim : dims)
    if (auto size = cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(dim))).getSize())
      all *= static_cast<int64_t>(*size);
  return all;
}

int64_t featuresOfSums(MixerOp mixer, const PairGroup &group) {
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

int64_t mostReduced(MixerOp mixer, const PairGroup &group) {
  int64_t most = 1;
  for (PairsOp pairs : group.pairs)
    pairs.walk([&](ReduceOp reduce) {
      if (reduce.getDims().size() > 1)
        most = std::max(most, placesOfAll(mixer, reduce.getDims().getValue()));
    });
  return most;
}

bool hasSumsOfPairs(const PairGroup &group) {
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

} // namespace seqmix::gpu
