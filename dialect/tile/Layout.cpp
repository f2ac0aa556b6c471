//===- Layout.cpp - where the elements of register tiles are -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/tile/Layout.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::tile {
namespace {

/// Distributes the bits of a shape's coordinates, lowest first, over registers, lanes and warps.
class Distribution {
public:
  enum Group { Register, Lane, Warp };

  explicit Distribution(llvm::ArrayRef<int64_t> shape) : shape(shape), next(shape.size(), 1) {}

  /// Gives the lowest bit of a dim that is left to a group. Past the end of the dim, a register has
  /// none, lanes and warps a copy.
  void take(Group group, unsigned dim) {
    Coordinates base(shape.size(), 0);
    if (next[dim] < shape[dim]) {
      base[dim] = next[dim];
      next[dim] *= 2;
    } else if (group == Register) {
      return;
    }
    bases[group].push_back(base);
  }
  void take(Group group, unsigned dim, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      take(group, dim);
  }
  void takeCopy(Group group) { bases[group].emplace_back(shape.size(), 0); }
  bool isLeft(unsigned dim) const { return next[dim] < shape[dim]; }

  Layout finish() {
    for (unsigned dim = shape.size(); dim-- > 0;)
      while (isLeft(dim))
        take(Register, dim);
    return {shape, bases[Register], bases[Lane], bases[Warp]};
  }

private:
  llvm::ArrayRef<int64_t> shape;
  Coordinates next;
  llvm::SmallVector<Coordinates> bases[3];
};

} // namespace

Layout::Layout(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<Coordinates> registers,
               llvm::ArrayRef<Coordinates> lanes, llvm::ArrayRef<Coordinates> warps)
    : sizes(shape), registerCount(registers.size()) {
  llvm::SmallVector<uint32_t> columns;
  for (llvm::ArrayRef<Coordinates> group : {registers, lanes, warps})
    for (const Coordinates &base : group)
      columns.push_back(element(base));
  places = LinearMap(columns);
}

// The places are those of the PTX ISA's figures for mma.m16n8k16 and mma.m16n8k8: a group of four
// lanes has a row of A and of the sums, or a column of B.
Layout Layout::accumulator(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<unsigned> warps) {
  using D = Distribution;
  D bits(shape);
  bits.take(D::Register, 1);
  bits.take(D::Lane, 1, 2);
  bits.take(D::Lane, 0, 3);
  bits.take(D::Register, 0);
  for (unsigned dim : {0, 1})
    bits.take(D::Warp, dim, llvm::Log2_32(warps[dim]));
  return bits.finish();
}

Layout Layout::operand(unsigned number, llvm::ArrayRef<int64_t> shape,
                       llvm::ArrayRef<unsigned> warps, unsigned elementBits) {
  using D = Distribution;
  const unsigned k = number == 0 ? 1 : 0, other = 1 - k;
  D bits(shape);
  if (elementBits == 16)
    bits.take(D::Register, k);
  bits.take(D::Lane, k, 2);
  bits.take(D::Lane, other, 3);
  if (number == 0)
    bits.take(D::Register, other);
  bits.take(D::Register, k);
  // Warps along the other dim of the product hold copies.
  for (unsigned dim : {0, 1})
    for (unsigned i = 0; i < llvm::Log2_32(warps[dim]); ++i) {
      if (dim == number)
        bits.take(D::Warp, dim);
      else
        bits.takeCopy(D::Warp);
    }
  return bits.finish();
}

Layout Layout::blocked(llvm::ArrayRef<int64_t> shape, unsigned vector, unsigned warps,
                       llvm::ArrayRef<unsigned> whole) {
  using D = Distribution;
  D bits(shape);
  bits.take(D::Register, shape.size() - 1, llvm::Log2_32(vector));
  for (auto [group, count] :
       {std::pair(D::Lane, laneBits), std::pair(D::Warp, llvm::Log2_32(warps))})
    for (unsigned i = 0; i < count; ++i) {
      unsigned dim = shape.size();
      while (dim > 0 && (llvm::is_contained(whole, dim - 1) || !bits.isLeft(dim - 1)))
        --dim;
      if (dim > 0)
        bits.take(group, dim - 1);
      else
        bits.takeCopy(group);
    }
  return bits.finish();
}

unsigned Layout::firstBit(unsigned dim) const {
  unsigned bit = 0;
  for (unsigned i = dim + 1; i < rank(); ++i)
    bit += bitsOf(i);
  return bit;
}

unsigned Layout::bitsOf(unsigned dim) const { return llvm::Log2_64(sizes[dim]); }

Coordinates Layout::coordinates(uint32_t element) const {
  Coordinates result;
  for (unsigned dim = 0; dim < rank(); ++dim)
    result.push_back(element >> firstBit(dim) & (sizes[dim] - 1));
  return result;
}

uint32_t Layout::element(llvm::ArrayRef<int64_t> coordinates) const {
  uint32_t result = 0;
  for (unsigned dim = 0; dim < rank(); ++dim)
    result |= uint32_t(coordinates[dim]) << firstBit(dim);
  return result;
}

bool Layout::splitsOverWarps(unsigned dim) const {
  return places.rank(~(registerMask() | laneMask()), dimMask(dim)) > 0;
}

llvm::SmallVector<Coordinates> Layout::bases(unsigned group) const {
  const unsigned begins[] = {0, registerCount, registerCount + laneBits, places.size()};
  llvm::SmallVector<Coordinates> result;
  for (unsigned bit = begins[group]; bit < begins[group + 1]; ++bit)
    result.push_back(coordinates(places[bit]));
  return result;
}

Layout Layout::slice(unsigned dim) const {
  llvm::SmallVector<int64_t, 2> shape(sizes);
  shape.erase(shape.begin() + dim);
  llvm::SmallVector<Coordinates> groups[3];
  for (unsigned group = 0; group < 3; ++group)
    for (Coordinates base : bases(group)) {
      base.erase(base.begin() + dim);
      // Registers that differ in the dim only become one.
      if (group != 0 || llvm::any_of(base, [](int64_t x) { return x != 0; }))
        groups[group].push_back(base);
    }
  return {shape, groups[0], groups[1], groups[2]};
}

Layout Layout::transposed() const {
  llvm::SmallVector<Coordinates> groups[3];
  for (unsigned group = 0; group < 3; ++group)
    for (Coordinates base : bases(group)) {
      std::swap(base[0], base[1]);
      groups[group].push_back(base);
    }
  return {{sizes[1], sizes[0]}, groups[0], groups[1], groups[2]};
}

Conversion conversion(const Layout &from, const Layout &to) {
  if (from == to)
    return {ConversionKind::Free, LinearMap()};
  // A bit of a lane or warp goes along with itself if it can. What is left of its element comes
  // from other registers, which then are not the same ones in all threads, or other lanes.
  const LinearMap &old = from.map();
  const uint32_t inThread = from.registerMask(), inWarp = inThread | from.laneMask();
  ConversionKind kind = ConversionKind::Registers;
  llvm::SmallVector<uint32_t> source;
  for (unsigned bit = 0; bit < to.map().size(); ++bit) {
    const uint32_t element = to.map()[bit];
    const bool isRegister = bit < to.registerBits();
    const bool isWarp = bit >= to.registerBits() + Layout::laneBits;
    uint32_t own = isRegister ? 0 : 1U << (bit - to.registerBits() + from.registerBits());
    std::optional<uint32_t> place = old.solve(element ^ old.apply(own), inThread);
    if (!place || (!isRegister && *place))
      kind = ConversionKind::Shuffle;
    if (!place) {
      own = isWarp ? own : 0;
      place = old.solve(element ^ old.apply(own), inWarp);
    }
    if (!place)
      return {ConversionKind::Shared, LinearMap()};
    source.push_back(*place ^ own);
  }
  return {kind, LinearMap(source)};
}

unsigned bankCycles(const LinearMap &offsets, unsigned bytes) {
  // 128 bytes a cycle: lanes come in groups of 8 for 16 bytes each, of 16 for 8 bytes.
  const unsigned lanes = std::min(32U, 128 / std::max(bytes, 4U));
  const uint32_t group = lanes - 1;
  const uint32_t words = ~3U, banks = 127U & ~3U;
  const unsigned conflicts = offsets.rank(group, words) - offsets.rank(group, banks);
  return (32 / lanes) << conflicts;
}

} // namespace mlir::tile
