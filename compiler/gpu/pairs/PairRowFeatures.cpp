//===- PairRowFeatures.cpp - dims of rows that are features ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A dim of the rows of a seq.pairs that neither the domain nor weights vary along is one of
// features of its values: what a block walks for all of them it would walk for each of them
// otherwise.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairGroups.h"

#include "compiler/chunk/Reads.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Whether what a result reduces may have one more feature: then also the number of its part.
static std::optional<int64_t> valueOf(PairResultAttr result) {
  if (!llvm::is_contained({PairKind::Sum, PairKind::Prod, PairKind::Max, PairKind::Min},
                          result.getKind()))
    return std::nullopt;
  // A weight alone is a value.
  if (result.getValue() < 0 && result.getKind() == PairKind::Sum && result.getWeight() >= 0)
    return result.getWeight();
  return result.getValue() < 0 ? std::nullopt : std::optional(result.getValue());
}

/// The last dim of the rows becomes the first feature.
static bool moveLastRow(MixerOp mixer, PairsOp pairs) {
  const auto last = static_cast<unsigned>(pairs.getRows().size()) - 1;
  if (pairs.getRows().size() < 2 || pairs.getScore() || pairs.getFactored())
    return false;
  llvm::DenseSet<int64_t> values, others;
  if (pairs.getDomain())
    others.insert(static_cast<int64_t>(*pairs.getDomain()));
  for (auto result : pairs.getOuts().getAsRange<PairResultAttr>()) {
    auto value = valueOf(result);
    if (!value)
      return false;
    values.insert(*value);
    if (result.getWeight() >= 0 && result.getWeight() != *value)
      others.insert(result.getWeight());
    // Features but the last one are written down one after the other.
    const size_t rank = chunk::dimsOf(chunk::lookup(mixer, result.getProduced())).size();
    if (rank > pairs.getRows().size())
      return false;
  }
  for (int64_t part : others)
    if (values.contains(part) || !pairs.getPart(part)->getArgument(last).use_empty())
      return false;
  for (int64_t part : others)
    pairs.getPart(part)->eraseArgument(last);
  for (int64_t part : values) {
    Block *block = pairs.getPart(part);
    Value row = block->getArgument(last);
    row.replaceAllUsesWith(block->insertArgument(last + 2, row.getType(), row.getLoc()));
    block->eraseArgument(last);
  }
  SmallVector<Attribute> results;
  for (auto result : pairs.getOuts().getAsRange<PairResultAttr>()) {
    const int64_t value = valueOf(result).value_or(-1);
    results.push_back(
        PairResultAttr::get(mixer.getContext(), result.getProduced(), result.getKind(),
                            result.getWeight() == value ? -1 : result.getWeight(), value));
  }
  Builder builder(mixer.getContext());
  pairs.setOutsAttr(builder.getArrayAttr(results));
  pairs.setRowsAttr(builder.getArrayAttr(pairs.getRows().getValue().drop_back()));
  SmallVector<Attribute> names(pairs.getNames().getValue());
  names.erase(names.begin() + last);
  pairs.setNamesAttr(builder.getArrayAttr(names));
  return true;
}

void makeRowsFeatures(MixerOp mixer) {
  for (auto pairs : mixer.getOps<PairsOp>())
    moveLastRow(mixer, pairs);
}

} // namespace seqmix::gpu
