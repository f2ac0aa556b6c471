//===- SweepPlan.h - the scratch memory of pairwise reductions ------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_SWEEPPLAN_H
#define SEQMIX_COMPILER_TILES_SWEEPPLAN_H

#include "compiler/tiles/Layout.h"

#include <algorithm>

namespace seqmix {

/// A symbol that a sweep reads at its rows or at its columns, packed: element (position, features)
/// of a tile of columns stands at position * elements + features, of a panel of rows at
/// features * width + position.
struct SweepOperand {
  mlir::StringAttr name;
  ValueKind kind = ValueKind::Real;
  int64_t elements = 1;
  llvm::SmallVector<int64_t> strides; // of the features
  int64_t offset = 0;                 // bytes, from the sweep's scratch
  /// Integers: where the least and the greatest value of each panel (of the tile) stand.
  int64_t rangeOffset = -1;
};

/// An exponential of a factored form (SPEC.md) that varies over one of a pair's positions: packed
/// like an operand of that side.
struct SweepExponential {
  mlir::Operation *op = nullptr;
  bool ofColumn = false;
  llvm::SmallVector<mlir::Value> features; // indices beside the position
  llvm::SmallVector<int64_t> sizes, strides;
  int64_t elements = 1;
  int64_t offset = 0;
  /// Of rows: the number of the sum whose numerators it is divided by, or -1.
  int64_t sum = -1;
};

/// A sum of quotients n / (1 + x * y) whose numerators no position enters. With N the largest |n|
/// it is N times the sum of 1 / (c + (c * x) * y) with c = N / n, where row exponentials x that no
/// other sum has are packed as c * x: so two quotients are d1 + d2 by d1 * d2.
struct SweepSum {
  mlir::seq::ReduceOp op;
  mlir::Value numerator;
  llvm::SmallVector<mlir::Value> features; // its indices
  llvm::SmallVector<int64_t> sizes, strides;
  int64_t elements = 1;
  bool scaled = false;
  int64_t offset = 0, largestOffset = 0; // of the numbers c, and of N
};

/// The two exponentials of the quotient that a sum's terms are: n / (1 + exp(x) * exp(y)).
std::optional<std::pair<mlir::Operation *, mlir::Operation *>> quotientOf(mlir::seq::ReduceOp op);

/// Bounds under which products of exponentials and of two divisors neither overflow nor lose what
/// counts: of exponentials; of numerators and divisors; of divisors that hold their numerators, and
/// of what these are divided by.
double largestExponential(mlir::Type real);
double largestDivisor(mlir::Type real);
double largestScaledDivisor(mlir::Type real);
double largestScale(mlir::Type real);

/// Columns, or features, of a register tile.
inline constexpr int64_t kRows = 4;

/// The parts of a sweep's scratch memory; offsets in bytes.
struct SweepPlan {
  mlir::seq::PairsOp op;
  int64_t tile = 1, vectors = 1, lanes = 1, chunk = 1;
  /// The number of the rows' dim that is the lanes, whether that is their position, and its rows:
  /// of a chunk, or all of a fixed dim.
  int64_t laneRow = 0, laneCount = 1;
  bool positionLanes = false;
  /// Fixed dims of the rows, which the results have in front of their features.
  int64_t fixedRows = 0;
  llvm::SmallVector<SweepOperand> rows, columns;
  /// Scores and weights of a tile: [tile, width], or [rows, tile]. Weights by the number of their
  /// part; the first one takes the place of the scores.
  int64_t scoreOffset = -1;
  llvm::DenseMap<int64_t, int64_t> weightOffsets;
  /// Of a tile's columns for each row: reductions inside of scores and weights.
  llvm::MapVector<mlir::Operation *, int64_t> innerOffsets;
  /// Of factored forms; none: the parts as written are taken. Vectors of the largest exponentials
  /// (infinite where there is one beyond the bound, or NaN) of the rows of each panel and the
  /// columns of the tile, and one that is not zero where a numerator is too large.
  llvm::SmallVector<SweepExponential> exponentials;
  llvm::SmallVector<SweepSum> sums;
  int64_t largestOffset = -1;
  /// Whether ranges prove that no bound ever is.
  bool bounded = false;
  /// The number that is subtracted from the scores, and their maximum: [panels, width].
  int64_t shiftOffset = -1, maxOffset = -1;
  /// Values of a tile that all go out: [tile, width].
  int64_t eachOffset = -1;
  /// Values of a register tile on their way into heaps.
  int64_t heapOffset = -1;
  /// Of each result: [panels, features, width].
  llvm::SmallVector<int64_t> accumulatorOffsets;
  llvm::SmallVector<int64_t> features;
  int64_t bytes = 0;
  /// Of each result, then of the maximum, in the partial results of a row, in elements.
  llvm::SmallVector<int64_t> partialOffsets;
  /// Where they begin among those of all sweeps.
  int64_t partialStart = 0;

  int64_t width() const { return vectors * lanes; }
  int64_t panels() const { return (laneCount + width() - 1) / width(); }
  /// Sizes of a result's features.
  llvm::ArrayRef<int64_t> featureSizes(const SymbolInfo &info) const {
    return llvm::ArrayRef(info.sizes).drop_front(fixedRows);
  }
  /// Whether few rows are taken one by one instead of as lanes (SweepNarrow.h), and up to how many.
  bool narrow = false;
  int64_t narrowRows() const { return narrow ? std::min(lanes, chunk) : 0; }
  /// Elements of a row's sums when features are lanes: the last dim is padded to whole vectors.
  int64_t narrowFeatures(const SymbolInfo &info) const;
  /// Which of the ranges of an operand is that of all rows of the chunk.
  int64_t allRows() const { return std::max(panels(), narrowRows()); }
};

/// The seq.pairs with a result of that name.
mlir::seq::PairsOp findPairs(mlir::seq::MixerOp mixer, mlir::StringAttr result);

/// Reductions in a part's block that depend on its column s, and on no score.
llvm::SmallVector<mlir::seq::ReduceOp> columnReductions(mlir::seq::PairsOp pairs);

/// Lays out a sweep. `symbols` gives each symbol's dims.
SweepPlan planSweep(const Layout &layout, mlir::seq::MixerOp mixer, mlir::seq::SweepOp op);

/// Bytes of the partial results that all sweeps have of a row: the maximum and the sums of each. 0
/// when the range of s cannot be divided among tasks that merge these: a sweep needs another's
/// results, or the kernel walks tokens one by one.
int64_t partialBytes(const Layout &layout, mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel);
/// Finds the tasks that may be reduced together when they have few rows: there is one sweep, and
/// what it reads but at its rows is the same for them.
void findGroup(Layout &layout, mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel);
/// Where those of a sweep begin in the row, in elements.
int64_t partialStart(const Layout &layout, mlir::seq::MixerOp mixer, mlir::seq::SweepOp op);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_SWEEPPLAN_H
