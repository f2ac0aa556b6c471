//===- SweepNarrow.h - pairwise reductions of few rows ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A decode step has one row t, which would fill one lane of the panels. So rows are scalars here:
// reductions over features, such as the product of a query and a key, run along the features and
// are reduced across lanes; what is left of scores and weights has columns s as lanes; sums of
// values have features as lanes. Every column is read once, along its features, where it stands.
// A panel is one row, and its maximum is the same number in all lanes.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_SWEEPNARROW_H
#define SEQMIX_COMPILER_TILES_SWEEPNARROW_H

#include "compiler/tiles/SweepEmitter.h"

namespace seqmix {

class NarrowSweepEmitter : public SweepEmitter {
public:
  NarrowSweepEmitter(Kernel &kernel, const SweepPlan &plan)
      : SweepEmitter(kernel, plan, /*vectors=*/1, /*panelRows=*/1) {}

protected:
  /// A row or a few share too little to make exponentials of columns for them.
  bool isFactored() override { return false; }
  void packRows(mlir::Value panel, mlir::Value last) override;
  void makeRows() override;
  void unlessMaking(llvm::function_ref<void()> body) override;
  mlir::Value sweptRows() override;
  mlir::Value firstOfPanel(mlir::Value panel) override;
  void visitPanels(const PairBox &chunk, mlir::Value first, mlir::Value count) override;
  void packColumns(mlir::Value first, mlir::Value count, bool integers) override;
  void start(mlir::Value panel) override;
  void visitTile(mlir::Value panel, mlir::Value firstRow, mlir::Value firstColumn,
                 mlir::Value count, bool masked) override;
  Tile makeTile(mlir::Value panel, mlir::Value firstRow, mlir::Value firstColumn, mlir::Value count,
                bool masked) override;
  llvm::SmallVector<Emitted> rowNumbers(const Tile &tile) override;
  void scaleSums(mlir::Value panel, llvm::ArrayRef<mlir::Value> factors) override;
  void finish(mlir::Value panel) override;
  void leave(mlir::Value panel) override;
  void merge(mlir::Value panel, mlir::Value part) override;

private:
  /// Where a column operand's features stand, and elements from column to column. `usable` says
  /// whether that is so.
  struct Place {
    mlir::Value usable, pointer, stride;
  };
  llvm::DenseMap<mlir::StringAttr, Place> places;
  /// Whether some part reads a symbol for vectors of columns.
  bool isReadInLanes(mlir::StringAttr name);
  /// Columns from `first` on in the memory that they come from; nothing if they must be packed.
  std::optional<Place> standing(const SweepOperand &operand, mlir::Value first);

  /// The features of a result: the last dim is padded to whole vectors.
  int64_t padded(size_t result);
  mlir::Value sumPlace(size_t result, mlir::Value panel);
  Strided sums(size_t result, mlir::Value panel);
  llvm::SmallVector<IndexValue> featureSizes(size_t result);

  /// Calls a body for the tile of a row, or of all rows.
  using ForRows = llvm::function_ref<void(llvm::function_ref<void(Tile &)>)>;
  void visitRows(ForRows forRows, mlir::Value count, bool masked);
  /// A tile that all rows take as a whole, some rows at once where they read the same columns.
  void visitTogether(mlir::Value first);
  Tile wholeTile(mlir::Value panel, mlir::Value first);
  /// The product of a row and a column, features side by side, that a reduction is.
  struct Dot {
    mlir::StringAttr row, column;
    int64_t size;
  };
  std::optional<Dot> dotOf(mlir::Block *part, mlir::Operation *op);
  void emitDots(const Dot &dot, int64_t offset, mlir::Value first, mlir::Value panels);
  /// Whether a result's values are the same for all rows.
  bool hasSharedValues(size_t number);
  void emitSharedValues(size_t number, mlir::Value first, mlir::Value panels);
  /// Where what a row has for a column of the tile stands in scratch memory.
  mlir::Value place(const Tile &tile, mlir::Value column);
  /// Reductions inside of a part that depend on a column, evaluated for all columns of the tile:
  /// for all rows while some columns are near.
  void emitInner(ForRows forRows, mlir::Value count, bool masked, mlir::Block *part,
                 llvm::ArrayRef<mlir::Operation *> wanted);
  llvm::SmallVector<mlir::Operation *> innerOf(mlir::Block *part);
  /// Columns as lanes: their numbers in the tile, and the scope's.
  Emitted laneColumns(Tile &tile, mlir::Value column);
  /// A part for a vector of columns.
  mlir::Value emitLanes(Tile &tile, mlir::Block *part, mlir::Value column, mlir::Value exponential);
  /// Whether the columns of a vector count.
  mlir::Value laneMask(Tile &tile, mlir::Value column);
  void emitRowScores(Tile &tile);
  void emitRowWeights(Tile &tile);
  void emitRowValues(ForRows forRows, size_t number);
  void emitRowValues(Tile &tile, size_t number, llvm::ArrayRef<Emitted> features,
                     mlir::Value offset, int64_t count);
  /// Makes one number of the lanes of the sum of a result without features.
  void foldLanes(mlir::Value panel);
  mlir::Value partialMemory();
  mlir::Value partialRow(mlir::Value part, mlir::Value panel);
  mlir::Value reduceLanes(mlir::seq::PairKind kind, mlir::Value value);
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_SWEEPNARROW_H
