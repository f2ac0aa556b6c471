//===- AffineBlockLayout.cpp - products inside a block, and where they stand ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockLayout.h"

#include "llvm/Support/MathExtras.h"
#include <set>

namespace seqmix {

AffineBlockLayout::AffineBlockLayout(const AffineBlockSpec &spec)
    : spec(spec), paddedRows(llvm::alignTo(spec.rows, spec.lanes)) {
  const int64_t reads = spec.reads.size(), updates = spec.updates.size(), block = spec.block;
  planGroups();
  productPlaces.assign(reads * updates * block * block, -1);
  auto reserve = [&](int64_t elements) {
    const int64_t start = size;
    size += llvm::alignTo(elements, spec.lanes);
    return start;
  };
  for (auto &group : groups) {
    groupStart.push_back(reserve(group.size()));
    for (auto [k, p] : llvm::enumerate(group))
      productPlaces[((p.read * updates + p.update) * block + p.token) * block + p.source] =
          groupStart.back() + k;
  }
  if (spec.rowDecay == RowDecay::Scalar)
    headStart = reserve(2 * block);
  if (spec.rowDecay == RowDecay::PerRow) {
    decayStart = reserve(spec.rows);
    readStart = reserve(reads * block * paddedRows);
    leftStart = reserve(updates * block * paddedRows);
  }
}

void AffineBlockLayout::planGroups() {
  // Next to its accumulators a group keeps the lefts of its updates, a decay, its running product
  // and a row.
  constexpr int64_t others = 3;
  llvm::SmallVector<BlockProduct> group;
  std::set<int64_t> updates;
  auto flush = [&] {
    if (!group.empty())
      groups.push_back(std::move(group));
    group.clear();
    updates.clear();
  };
  for (int64_t x = 0; x < static_cast<int64_t>(spec.reads.size()); ++x)
    for (int64_t m = 0; m < static_cast<int64_t>(spec.updates.size()); ++m) {
      llvm::SmallVector<BlockProduct> pair;
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t s = 0; s < sources(x, i); ++s)
          pair.push_back({x, m, i, s});
      const int64_t lefts = (updates.size() + (updates.count(m) ? 0 : 1)) * spec.block;
      if (static_cast<int64_t>(group.size() + pair.size()) + lefts + others > spec.registers)
        flush();
      const int64_t room = std::max<int64_t>(spec.registers - spec.block - others, 4);
      for (const BlockProduct &product : pair) {
        if (static_cast<int64_t>(group.size()) == room)
          flush();
        group.push_back(product);
        updates.insert(m);
      }
    }
  flush();
  // Without reads there are no products, but rows and their decays are scaled all the same.
  if (groups.empty() && spec.rowDecay == RowDecay::PerRow)
    groups.emplace_back();
}

int64_t AffineBlockLayout::sources(int64_t read, int64_t token) const {
  return spec.reads[read].before ? token : token + 1;
}

int64_t AffineBlockLayout::productOf(int64_t read, int64_t update, int64_t token,
                                     int64_t source) const {
  const int64_t updates = spec.updates.size();
  const int64_t place =
      productPlaces[((read * updates + update) * spec.block + token) * spec.block + source];
  assert(place >= 0 && "a read sees only earlier updates");
  return place;
}

int64_t AffineBlockLayout::scaledRead(int64_t read, int64_t token) const {
  return readStart + (read * spec.block + token) * paddedRows;
}

int64_t AffineBlockLayout::scaledLeft(int64_t update, int64_t token) const {
  return leftStart + (update * spec.block + token) * paddedRows;
}

int64_t AffineBlockLayout::rightFactor(int64_t update, int64_t token, int64_t vector) const {
  return ((update * spec.block + token) * spec.panel + vector) * spec.lanes;
}

int64_t AffineBlockLayout::rightFactorSize() const {
  return spec.updates.size() * spec.block * spec.panel * spec.lanes;
}

} // namespace seqmix
