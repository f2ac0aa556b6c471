//===- PairLoop.h - the loop over the columns of pairs ------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Columns are walked in tiles between bounds that follow from the domain. Of the monoid (m, sums) a
// block carries m and the sums of its rows; a tile with a greater m scales the sums before it.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIRLOOP_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIRLOOP_H

#include "compiler/gpu/pairs/PairExpr.h"
#include "compiler/tiles/PairIntervals.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace seqmix::gpu {

/// Calls `visit` with places of features: constants for all dims but the last one, and an axis for
/// that. Fails, with an error at an op, where those are too many to write them all down.
mlir::LogicalResult
forEachRowOfFeatures(mlir::Operation *at, PairExpr &expr, PairTiles &tiles,
                     llvm::ArrayRef<mlir::Attribute> dims,
                     llvm::function_ref<mlir::LogicalResult(llvm::ArrayRef<PairValue>)> visit);

class PairLoop {
public:
  PairLoop(mlir::seq::MixerOp mixer, PairExpr &expr, PairTiles &tiles, const PairRows &rows,
           mlir::Value position, const PairGroups &groups);

  /// Emits the loop of a seq.pairs, whose results the expressions behind it read.
  mlir::LogicalResult emit(mlir::seq::PairsOp pairs);

private:
  /// What is carried from tile to tile beside the maximum of the scores: a sum, or another
  /// reduction of values.
  struct Sum {
    int64_t weight = -1, value = -1;
    mlir::seq::ReduceKind kind = mlir::seq::ReduceKind::Sum;
    mlir::StringAttr name;
    llvm::SmallVector<int64_t> places; ///< of the features but the last one
    std::optional<Axis> feature;
  };

  /// The value of every pair, for an output.
  struct Each {
    int64_t value = -1;
    int32_t tensor = -1;
  };

  mlir::LogicalResult collectSums();
  mlir::FailureOr<Each> eachOf(mlir::seq::PairResultAttr result);
  mlir::LogicalResult findBounds();
  void divideIntervals();
  void findCuts(bool isOfTokens);
  /// A loop over all columns that carries values, which `inTile` replaces in each tile.
  using InTile = llvm::function_ref<mlir::LogicalResult(llvm::SmallVector<mlir::Value> &)>;
  mlir::LogicalResult emitRuns(llvm::SmallVector<mlir::Value> &carried, InTile inTile,
                               bool isOutermost = false);
  mlir::LogicalResult emitRun(mlir::Value number, llvm::SmallVector<mlir::Value> &carried,
                              InTile inTile, bool isOutermost);
  mlir::LogicalResult emitTile(mlir::Value first, mlir::Value end, mlir::Value isCarry,
                               llvm::SmallVector<mlir::Value> &carried, InTile inTile);
  /// Where the columns of a run stand in the carry's components: in those of each length, the
  /// position that stands in the first row, and whether the columns are there at all.
  void findCarried(mlir::Value from);
  mlir::LogicalResult emitSums(llvm::SmallVector<mlir::Value> &carried);
  mlir::LogicalResult emitEach();
  /// Places of the greatest, in the workspace.
  struct List {
    LaneArray array;
    int64_t count = 0;
    mlir::Value greater; ///< how many are greater than the least one
  };
  mlir::LogicalResult emitPlaces(mlir::seq::PairResultAttr result);
  void emptyLists(const List &list);
  void storePlaces(const List &list, mlir::Value isGreater, mlir::Value isEqual,
                   mlir::Value greaterBefore, mlir::Value equalBefore);
  PairValue numbersOf(const PairValue &scores);
  mlir::Value countOf(mlir::Value condition);
  void addIntegers(mlir::Region &region);
  /// A loop that carries values, which `body` replaces.
  mlir::FailureOr<mlir::scf::ForOp> emitLoop(
      mlir::Value first, mlir::Value end, mlir::Value step, bool isOutermost,
      llvm::SmallVector<mlir::Value> &carried,
      llvm::function_ref<mlir::LogicalResult(mlir::Value, llvm::SmallVector<mlir::Value> &)> body);
  mlir::FailureOr<PairValue> insideOfDomain(mlir::Value count);
  bool isSparse();
  mlir::FailureOr<mlir::Value> reductionOf(const Sum &sum, mlir::Value before);
  mlir::FailureOr<mlir::Value> sumOf(const Sum &sum, const PairValue &weights, mlir::Value before);
  /// The arguments of parts: the row, if there is one, and the column.
  llvm::SmallVector<PairValue> ofPair();
  mlir::Value exponential(mlir::Value x);
  mlir::Value isFinite(mlir::Value x);
  mlir::Value minus(mlir::Value a, mlir::Value b);
  mlir::Value least(mlir::Value a, mlir::Value b);
  mlir::Value greatest(mlir::Value a, mlir::Value b);

  mlir::seq::MixerOp mixer;
  PairExpr &expr;
  PairTiles &tiles;
  LaneBlock &block;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  const PairRows rows;
  mlir::Value position;
  const PairGroups &groups;
  mlir::seq::PairsOp pairs;
  std::vector<Sum> sums;
  std::vector<Each> each;
  std::vector<mlir::seq::PairResultAttr> places;
  llvm::SmallVector<Bounds> intervals; // of columns
  /// Rows that the carry has of some symbols: of the last positions, or of all.
  struct Length {
    int64_t rows = -1;   ///< below 0: all
    mlir::Value wrap;    ///< the position that stands in the first row
    mlir::Value start;   ///< the same for a run of columns
    mlir::Value isThere; ///< whether the run is; null: always
  };
  llvm::SmallVector<Length> lengths;
  llvm::SmallVector<mlir::Value> cuts; ///< between runs of columns
  PairValue mask;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIRLOOP_H
