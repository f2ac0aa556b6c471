//===- PairTiles.h - tiles over rows, columns and features --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRTILES_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRTILES_H

#include "compiler/gpu/kernels/LaneBlock.h"
#include "dialect/Seq.h"

namespace seqmix::gpu {

/// What the dims of a tile are: the rows t, the columns s, or features, each with a number.
using Axis = int32_t;
inline constexpr Axis kRow = 0, kColumn = 1, kFirstFeature = 2;
using Axes = llvm::SmallVector<Axis, 2>;

/// A value that varies over some axes: a scalar, or a tile whose dims are these axes in order. An
/// index of which only the axis and a constant are known has no value until one is asked for.
struct PairValue {
  mlir::Value value;
  Axes axes;
  int64_t offset = 0; ///< of an index without value, added to the place along its axis (if any)

  bool isKnownIndex() const { return !value; }
  bool isConstant() const { return !value && axes.empty(); }
  bool varies(Axis axis) const { return llvm::is_contained(axes, axis); }

  static PairValue index(int64_t constant) { return {{}, {}, constant}; }
  static PairValue along(Axis axis) { return {{}, {axis}, 0}; }
};

/// Makes such values.
class PairTiles {
public:
  PairTiles(LaneBlock &block, int64_t rows, int64_t columns);

  LaneBlock &block;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Type real;

  /// A new axis for a dim of features.
  Axis addFeature(int64_t size);
  /// A new axis for `width` places of a dim of features, a power of two, from one on (an i64).
  Axis addSlice(int64_t size, int64_t width, mlir::Value first);
  /// Places of an axis, and those that a tile has: a power of two that matrix products take.
  int64_t sizeOf(Axis axis) const { return sizes[axis]; }
  int64_t paddedOf(Axis axis) const { return padded[axis]; }
  bool isPadded(Axis axis) const { return sizes[axis] % padded[axis] != 0; }
  /// Where a slice begins; null for all features.
  mlir::Value firstOf(Axis axis) const { return firsts[axis]; }
  /// Whether the last slice has fewer places than the others.
  bool isCut(Axis axis) const { return firsts[axis] && isPadded(axis); }
  /// Places of features that exist from the tile's first one on.
  mlir::Value extentOf(Axis axis);

  mlir::Type typeOf(llvm::ArrayRef<Axis> axes, mlir::Type element) const;
  PairValue constant(double value);
  /// Repeats a value along the axes that it lacks.
  mlir::Value spread(const PairValue &value, llvm::ArrayRef<Axis> axes);
  /// The axes of all of them; nothing if a tile cannot have so many.
  static std::optional<Axes> united(llvm::ArrayRef<PairValue> values);
  /// The same axes for all, which must be possible.
  Axes unify(llvm::MutableArrayRef<PairValue> values);
  PairValue select(const PairValue &condition, const PairValue &whenTrue,
                   const PairValue &whenFalse);
  PairValue add(const PairValue &a, const PairValue &b);
  PairValue multiply(const PairValue &a, const PairValue &b);
  /// Zero at the places of features that only the tile has.
  PairValue withoutPadding(const PairValue &value);

  /// Combines all elements along an axis.
  PairValue reduce(const PairValue &value, Axis axis, mlir::seq::ReduceKind kind);
  PairValue identity(mlir::seq::ReduceKind kind);
  mlir::Value combine(mlir::seq::ReduceKind kind, mlir::Value a, mlir::Value b);

  /// An index as an i32.
  PairValue number(const PairValue &index);
  /// Of dims of more than so many features a block has a slice; `slice` is its number, an i64, null
  /// where there is one only.
  static constexpr int64_t kMostFeatures = 256;
  mlir::Value slice;
  int64_t mostFeatures = kMostFeatures; ///< of sums that a block has at once
  Axis addFeatureOrSlice(int64_t size);
  /// Whether two axes of features have the same places: all, or those of the block's slice.
  bool areSame(Axis a, Axis b) const;

  /// The positions that the first places of rows and columns stand for, as i32.
  mlir::Value firstRow, firstColumn;

private:
  llvm::SmallVector<int64_t> sizes, padded;
  llvm::SmallVector<mlir::Value> firsts;
  llvm::SmallDenseMap<Axis, mlir::Value> slices; ///< of a block, by axis
};

/// A factor of matrix products: the tile itself, or bf16 tiles whose sum it is.
struct PairFactor {
  llvm::SmallVector<mlir::Value, 3> parts;
};

/// Products of tiles by tensor cores. What is f32 is cut into bf16 parts of 8 bits: `order` of them
/// count, and of the products of parts those that are not beyond that precision.
class PairProducts {
public:
  PairProducts(PairTiles &tiles, int64_t order) : tiles(tiles), order(order) {}

  /// Cuts a tile of reals: in its storage type, or in that of computation.
  PairFactor cut(mlir::Value tile);
  /// Through shared memory, so that all warps have it: as it is, or transposed.
  PairFactor share(const PairFactor &factor, bool transposed) {
    return fetch(park(factor), transposed);
  }
  /// Stores it to shared memory, all parts before one is loaded: a barrier for all of them.
  PairFactor park(const PairFactor &factor);
  PairFactor fetch(const PairFactor &memories, bool transposed);
  /// Whether there are registers for a factor's rows, besides those of other factors since a loop
  /// over tiles began; else it stays in shared memory.
  bool takesRegisters(const PairFactor &factor);
  void beginLoop() { takenBits = parkedBytes = 0; }
  /// Whether there is shared memory for the rows of another factor, whose width may turn out less.
  bool takesShared(Axis row, Axis feature);
  /// sum + a b
  mlir::Value multiply(const PairFactor &a, const PairFactor &b, mlir::Value sum);

private:
  PairTiles &tiles;
  int64_t order;
  int64_t takenBits = 0, parkedBytes = 0;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRTILES_H
