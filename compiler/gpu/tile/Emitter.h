//===- Emitter.h - scalar code of a thread ------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_TILE_EMITTER_H
#define SEQMIX_COMPILER_GPU_TILE_EMITTER_H

#include "dialect/tile/Tile.h"

#include "mlir/IR/Builders.h"

namespace seqmix::gpu {

/// The scalars that hold a tile in a thread, one a register of its layout.
using Registers = llvm::SmallVector<mlir::Value>;

/// An attribute of kernels with dots, whose sums and factors want the registers. Addresses that
/// depend on the thread alone would all be made in front of the outermost loop and kept in
/// registers, for half a kernel's length and more; in these they are made where they are used.
inline constexpr llvm::StringLiteral inPlaceName = "tile.addresses_in_place";

/// Makes scalar ops. What depends on the thread alone is made again at each use: CSE shares it, but
/// in kernels with `inPlaceName`.
class Emitter {
public:
  Emitter(mlir::OpBuilder &builder, mlir::Location loc) : builder(builder), loc(loc) {}

  mlir::OpBuilder &builder;
  mlir::Location loc;

  mlir::Value i32(int64_t value);
  mlir::Value i64(int64_t value);
  /// Zero of any type of numbers.
  mlir::Value zero(mlir::Type type);
  mlir::Value threadId();
  mlir::Value laneId();
  /// A linear function of a number's bits: for each distance that bits move, one mask and one
  /// shift.
  mlir::Value apply(const mlir::tile::LinearMap &map, mlir::Value number);
  /// In kernels with `inPlaceName` the same integer, but LLVM does not know so: what is made of it
  /// stays where it is.
  mlir::Value copy(mlir::Value number);
  mlir::Value xorWith(mlir::Value value, uint32_t mask);
  /// Whether all (or no) bits of the mask are set.
  mlir::Value hasBits(mlir::Value value, uint32_t mask, bool set);
  /// The part of an element's coordinate that the thread's number gives; a register adds its own.
  mlir::Value threadCoordinate(const mlir::tile::Layout &layout, unsigned dim);
  /// The value of `lane` in the same warp; values of any width.
  mlir::Value shuffle(mlir::Value value, mlir::Value lane);
  mlir::Value shuffleXor(mlir::Value value, uint32_t mask);
  /// Elements from a vector, or as it is if it is none; and back.
  Registers unpack(mlir::Value vector);
  mlir::Value pack(llvm::ArrayRef<mlir::Value> elements);
  /// Two 16-bit elements as an i32.
  mlir::Value packWord(mlir::Value low, mlir::Value high);

private:
  mlir::Value shuffle(mlir::Value value, mlir::Value lane, bool isXor);
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_TILE_EMITTER_H
