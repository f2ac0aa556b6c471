//===- LinearMap.cpp - linear maps between bits ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/tile/LinearMap.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/bit.h"

namespace mlir::tile {
namespace {

/// Images in echelon form: no two have the same highest bit. Each knows the input that it comes
/// from.
struct Echelon {
  struct Row {
    uint32_t image, input;
  };
  llvm::SmallVector<Row, 16> rows;

  /// What is left of an image, and the input whose image is the difference.
  Row reduce(uint32_t image) const {
    uint32_t input = 0;
    for (const Row &row : rows)
      if ((image ^ row.image) < image) {
        image ^= row.image;
        input ^= row.input;
      }
    return {image, input};
  }

  void add(uint32_t image, uint32_t input) {
    Row rest = reduce(image);
    if (!rest.image)
      return;
    rows.push_back({rest.image, rest.input ^ input});
    llvm::sort(rows, [](const Row &a, const Row &b) { return a.image > b.image; });
  }
};

} // namespace

uint32_t LinearMap::apply(uint32_t input) const {
  uint32_t output = 0;
  for (auto [bit, column] : llvm::enumerate(columns))
    if (input >> bit & 1)
      output ^= column;
  return output;
}

LinearMap LinearMap::after(const LinearMap &first) const {
  LinearMap result;
  for (uint32_t column : first.columns)
    result.columns.push_back(apply(column));
  return result;
}

LinearMap LinearMap::product(const LinearMap &other, unsigned shift) const {
  LinearMap result = *this;
  for (uint32_t column : other.columns)
    result.columns.push_back(column << shift);
  return result;
}

std::optional<uint32_t> LinearMap::solve(uint32_t output, uint32_t allowed) const {
  Echelon echelon;
  for (auto [bit, column] : llvm::enumerate(columns))
    if (allowed >> bit & 1)
      echelon.add(column, 1U << bit);
  Echelon::Row rest = echelon.reduce(output);
  if (rest.image)
    return std::nullopt;
  return rest.input;
}

std::optional<LinearMap> LinearMap::inverse(unsigned bits) const {
  LinearMap result;
  for (unsigned bit = 0; bit < bits; ++bit) {
    std::optional<uint32_t> input = solve(1U << bit);
    if (!input)
      return std::nullopt;
    result.columns.push_back(*input);
  }
  return result;
}

unsigned LinearMap::rank(uint32_t allowed, uint32_t mask) const {
  Echelon echelon;
  for (auto [bit, column] : llvm::enumerate(columns))
    if (allowed >> bit & 1)
      echelon.add(column & mask, 0);
  return echelon.rows.size();
}

} // namespace mlir::tile
