//===- Layout.h - where the elements of register tiles are --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A layout tells which element of a tile a register of a thread holds: a linear map from the bits
// of (register, lane, warp), in this order from the lowest, to those of the element's number in
// row-major order. A bit that maps to zero holds copies. All sizes are powers of two.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_TILE_LAYOUT_H
#define SEQMIX_DIALECT_TILE_LAYOUT_H

#include "dialect/tile/LinearMap.h"

namespace mlir::tile {

/// A base of a layout: what a bit adds to the coordinates of the element.
using Coordinates = llvm::SmallVector<int64_t, 2>;

class Layout {
public:
  static constexpr unsigned laneBits = 5;

  /// Bases of the bits of registers, lanes and warps as coordinates.
  Layout(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<Coordinates> registers,
         llvm::ArrayRef<Coordinates> lanes, llvm::ArrayRef<Coordinates> warps);

  /// What 32-bit sums of mma.sync m16n8 are in. `warps` split the rows and columns of the tile: the
  /// bits of warps follow those of 16 rows and 8 columns, as wgmma has it; where there are more
  /// warps than tiles, they hold copies.
  static Layout accumulator(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<unsigned> warps);
  /// What the factors A (number 0) and B (1) of mma.sync are in: m16n8k16 for 16-bit elements,
  /// m16n8k8 for 32-bit ones (tf32). `warps` are those of the product.
  static Layout operand(unsigned number, llvm::ArrayRef<int64_t> shape,
                        llvm::ArrayRef<unsigned> warps, unsigned elementBits);
  /// For accesses of global memory: `vector` elements of the last dim in each thread, then the bits
  /// of lanes and warps from the last dim upwards, the rest in registers. Bits of the dims in
  /// `whole` are in registers only.
  static Layout blocked(llvm::ArrayRef<int64_t> shape, unsigned vector, unsigned warps,
                        llvm::ArrayRef<unsigned> whole = {});

  llvm::ArrayRef<int64_t> shape() const { return sizes; }
  unsigned rank() const { return sizes.size(); }
  const LinearMap &map() const { return places; }
  unsigned registerBits() const { return registerCount; }
  unsigned registers() const { return 1U << registerCount; }
  unsigned warpBits() const { return places.size() - registerCount - laneBits; }
  unsigned threads() const { return 1U << (laneBits + warpBits()); }
  /// The bits of (register, lane, warp) that number registers, or threads.
  uint32_t registerMask() const { return registers() - 1; }
  uint32_t laneMask() const { return (threads() - 1 & 31) << registerCount; }
  bool operator==(const Layout &) const = default;

  /// The number of the element in a register of thread 0; a thread adds (XOR) its own.
  uint32_t elementOf(unsigned reg) const { return places.apply(reg); }
  /// What the bits of registers' and of threads' numbers add.
  llvm::ArrayRef<uint32_t> registerBases() const { return places.bits().take_front(registerCount); }
  llvm::ArrayRef<uint32_t> threadBases() const { return places.bits().drop_front(registerCount); }
  /// The register of thread 0 with that element.
  std::optional<unsigned> registerAt(uint32_t element) const {
    return places.solve(element, registerMask());
  }

  /// Bits of an element's number: those of a coordinate begin at `firstBit` and are `bitsOf` many.
  unsigned firstBit(unsigned dim) const;
  unsigned bitsOf(unsigned dim) const;
  unsigned elementBits() const { return firstBit(0) + bitsOf(0); }
  Coordinates coordinates(uint32_t element) const;
  uint32_t element(llvm::ArrayRef<int64_t> coordinates) const;
  /// The mask of a coordinate in an element's number.
  uint32_t dimMask(unsigned dim) const { return uint32_t(sizes[dim] - 1) << firstBit(dim); }
  /// Whether bits of that dim are in warps.
  bool splitsOverWarps(unsigned dim) const;

  /// Without a dim: every thread that held an element holds what is left of its coordinates.
  Layout slice(unsigned dim) const;
  /// With the two dims exchanged.
  Layout transposed() const;
  /// Bases as coordinates: of registers (0), lanes (1) and warps (2).
  llvm::SmallVector<Coordinates> bases(unsigned group) const;

private:
  llvm::SmallVector<int64_t, 2> sizes;
  unsigned registerCount = 0;
  LinearMap places;
};

/// What moving values from one layout to another takes.
enum class ConversionKind : uint8_t {
  Free,      // nothing: the same registers
  Registers, // other registers of the same thread, the same ones in all threads
  Shuffle,   // other lanes of the same warp, or registers that depend on the thread
  Shared,    // other warps: through shared memory
};

struct Conversion {
  ConversionKind kind;
  /// From bits of (register, lane, warp) in the new layout to those of a place of the same element
  /// in the old one. Not for conversions through shared memory.
  LinearMap source;
};

Conversion conversion(const Layout &from, const Layout &to);

/// The cycles in which the 32 banks serve an access of `bytes` bytes by each lane, at offsets that
/// are linear in the lane's number. Without conflicts: one, or as many as 128 bytes fit in.
unsigned bankCycles(const LinearMap &offsets, unsigned bytes);

} // namespace mlir::tile

#endif // SEQMIX_DIALECT_TILE_LAYOUT_H
