//===- LinearMap.h - linear maps between bits ---------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Where an element of a tile is in registers, lanes, warps or shared memory is a linear map over
// GF(2) from bits to bits: each bit of the input flips some bits of the output. Swizzles, which XOR
// bits of a row's number into those of a column's, are linear too. So one small class answers what
// the lowering asks: where is this element, does this conversion leave the warp, does this access
// meet in a bank.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_TILE_LINEARMAP_H
#define SEQMIX_DIALECT_TILE_LINEARMAP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <optional>

namespace mlir::tile {

class LinearMap {
public:
  LinearMap() = default;
  /// Column i is what bit i of the input flips.
  explicit LinearMap(llvm::ArrayRef<uint32_t> columns) : columns(columns) {}

  unsigned size() const { return columns.size(); }
  uint32_t operator[](unsigned bit) const { return columns[bit]; }
  llvm::ArrayRef<uint32_t> bits() const { return columns; }
  bool operator==(const LinearMap &) const = default;

  uint32_t apply(uint32_t input) const;
  /// The map that applies `first`, then this one.
  LinearMap after(const LinearMap &first) const;
  /// This map on the low bits of the input and output, `other` on those above: its output begins at
  /// bit `shift`.
  LinearMap product(const LinearMap &other, unsigned shift) const;
  /// An input whose bits are in `allowed` and whose image is `output`; the same one every time.
  std::optional<uint32_t> solve(uint32_t output, uint32_t allowed = ~0U) const;
  /// A map that takes each output of `bits` bits to an input of it; none if some output has no
  /// input.
  std::optional<LinearMap> inverse(unsigned bits) const;
  /// How many bits of freedom the images of the inputs in `allowed` have in the output bits of
  /// `mask`.
  unsigned rank(uint32_t allowed = ~0U, uint32_t mask = ~0U) const;

private:
  llvm::SmallVector<uint32_t, 16> columns;
};

} // namespace mlir::tile

#endif // SEQMIX_DIALECT_TILE_LINEARMAP_H
