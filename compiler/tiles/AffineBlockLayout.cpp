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
  // Of no tokens: the identity.
  const int64_t components = spec.components;
  auto &identity = patterns.emplace_back(components * components, false);
  for (int64_t a = 0; a < components; ++a)
    identity[a * components + a] = true;
  for (int64_t token = 0; token < block && components > 1; ++token) {
    llvm::SmallVector<bool> next(components * components, false);
    for (int64_t a = 0; a < components; ++a)
      for (int64_t b = 0; b < components; ++b)
        for (int64_t c = 0; c < components; ++c)
          if (spec.coupling[a * components + b] && patterns.back()[b * components + c])
            next[a * components + c] = true;
    patterns.push_back(std::move(next));
  }
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
  if (spec.rowDecay == RowDecay::PerRow || spec.rowDecay == RowDecay::Coupled) {
    decayStart = reserve(components * components * paddedRows);
    readStart = reserve(reads * block * components * paddedRows);
    leftStart = reserve(updates * block * components * paddedRows);
  }
}

void AffineBlockLayout::planGroups() {
  // Next to its accumulators a group keeps the lefts of its updates, a decay, its running product
  // and a row.
  const int64_t components = spec.components, others = 3 * components;
  llvm::SmallVector<BlockProduct> group;
  std::set<int64_t> updates;
  auto flush = [&] {
    if (!group.empty())
      groups.push_back(group);
    group.clear();
    updates.clear();
  };
  for (int64_t x = 0; x < static_cast<int64_t>(spec.reads.size()); ++x)
    for (int64_t m = 0; m < static_cast<int64_t>(spec.updates.size()); ++m) {
      llvm::SmallVector<BlockProduct> pair;
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t s = 0; s < sources(x, i); ++s)
          pair.push_back({x, m, i, s});
      const int64_t lefts = (updates.size() + (updates.count(m) ? 0 : 1)) * spec.block * components;
      if (static_cast<int64_t>(group.size() + pair.size()) + lefts + others > spec.registers)
        flush();
      const int64_t room = std::max<int64_t>(spec.registers - spec.block * components - others, 4);
      for (const BlockProduct &product : pair) {
        if (static_cast<int64_t>(group.size()) == room)
          flush();
        group.push_back(product);
        updates.insert(m);
      }
    }
  flush();
  // Without reads there are no products, but rows and their decays are scaled all the same.
  if (groups.empty() && (spec.rowDecay == RowDecay::PerRow || spec.rowDecay == RowDecay::Coupled))
    groups.emplace_back();
}

bool AffineBlockLayout::reaches(int64_t tokens, int64_t to, int64_t from) const {
  return spec.components == 1 || patterns[tokens][to * spec.components + from];
}

bool AffineBlockLayout::hasScaledRead(int64_t read, int64_t token, int64_t component) const {
  for (int64_t a = 0; a < spec.components; ++a)
    if (spec.reads[read].of[a] && reaches(sources(read, token), a, component))
      return true;
  return false;
}

bool AffineBlockLayout::hasScaledLeft(int64_t update, int64_t token, int64_t component) const {
  for (int64_t b = 0; b < spec.components; ++b)
    if (spec.updates[update].of[b] && reaches(spec.block - 1 - token, component, b))
      return true;
  return false;
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

int64_t AffineBlockLayout::blockDecay(int64_t to, int64_t from) const {
  return decayStart + (to * spec.components + from) * paddedRows;
}

int64_t AffineBlockLayout::scaledRead(int64_t read, int64_t token, int64_t component) const {
  return readStart + ((read * spec.block + token) * spec.components + component) * paddedRows;
}

int64_t AffineBlockLayout::scaledLeft(int64_t update, int64_t token, int64_t component) const {
  return leftStart + ((update * spec.block + token) * spec.components + component) * paddedRows;
}

int64_t AffineBlockLayout::rightFactor(int64_t update, int64_t token, int64_t vector) const {
  return ((update * spec.block + token) * spec.panel + vector) * spec.lanes;
}

int64_t AffineBlockLayout::rightFactorSize() const {
  return spec.updates.size() * spec.block * spec.panel * spec.lanes;
}

} // namespace seqmix
