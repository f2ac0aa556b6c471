//===- SweepEmitter.h - the code of pairwise reductions --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Rows t are lanes (of rows over several dims, those of one; the others are run one by one),
// columns s are scalars: products of queries and keys, and of weights and values,
// are register tiles of 4 columns (features) x `vectors` vectors of rows, maxima and sums run down
// the columns, and nothing is ever reduced across lanes. Rows are transposed once a chunk, columns
// are packed once a tile for all panels of the chunk.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_SWEEPEMITTER_H
#define SEQMIX_COMPILER_TILES_SWEEPEMITTER_H

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"
#include "compiler/tiles/SweepDomain.h"
#include "compiler/tiles/SweepPlan.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

namespace seqmix {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
/// Sums are scaled anew when a score exceeds what is subtracted by more than this: exp(8) leaves
/// them far from the limits of f32.
inline constexpr double kLazy = 8;

/// The neutral element of a reduction, and the function that adds one more value.
double identityOf(mlir::seq::PairKind kind);
mlir::seq::BinaryFn functionOf(mlir::seq::PairKind kind);

/// Emits one sweep with panels of a given number of vectors of rows.
class SweepEmitter {
public:
  SweepEmitter(Kernel &kernel, const SweepPlan &plan, int64_t vectors)
      : SweepEmitter(kernel, plan, vectors, vectors * kernel.lanes) {}
  virtual ~SweepEmitter() = default;

  mlir::LogicalResult emit();

protected:
  void emitReductions();

  SweepEmitter(Kernel &kernel, const SweepPlan &plan, int64_t vectors, int64_t panelRows)
      : kernel(kernel), builder(kernel.builder), loc(kernel.loc), plan(plan), pairs(plan.op),
        vectors(vectors), width(vectors * kernel.lanes), panelRows(panelRows),
        vectorType(kernel.vectorType(kernel.real)),
        results(llvm::to_vector(pairs.getOuts().getAsRange<mlir::seq::PairResultAttr>())) {}

  Kernel &kernel;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  const SweepPlan &plan;
  mlir::seq::PairsOp pairs;
  /// Elements of a panel's vectors, and its rows.
  int64_t vectors, width, panelRows;
  mlir::VectorType vectorType;
  llvm::SmallVector<mlir::seq::PairResultAttr> results;
  mlir::LogicalResult status = mlir::success();
  Positions over;
  mlir::Value extent, panelCount, laneCount;
  /// By number of the rows' dims: the row that is run, null for the lanes. A position counts from
  /// the chunk's first.
  llvm::SmallVector<mlir::Value> outer;

  /// Whether factored forms hold for a tile, and whether products in them need no limit.
  struct Holding {
    mlir::Value all, products;
  };
  /// Operands of a panel and the tile, and the scope for `rows` columns from number `column` on.
  struct Tile {
    mlir::Value panel, firstRow, firstColumn, count;
    bool masked;
    PairScope pairs;
    /// Once that is known; and whether factored forms are being emitted.
    std::optional<Holding> holding = {};
    bool factored = false;
  };

  //===--- small things ----------------------------------------------------===//

  mlir::Value constant(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, int64_t b);
  mlir::Value minimum(mlir::Value a, mlir::Value b);
  mlir::Value maximum(mlir::Value a, mlir::Value b);
  mlir::Value isLess(mlir::Value a, mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  mlir::Value real(double value);
  mlir::Value broadcast(mlir::Value value);
  mlir::Value exp(mlir::Value value);
  mlir::Value minus(mlir::Value a, mlir::Value b);
  mlir::Value times(mlir::Value a, mlir::Value b);
  mlir::Value larger(mlir::Value a, mlir::Value b);
  mlir::Value combine(mlir::seq::PairKind kind, mlir::Value a, mlir::Value b);
  mlir::Value multiplyAdd(mlir::Value a, mlir::Value b, mlir::Value sum);
  mlir::Value memoryAt(int64_t offset, mlir::Type element);
  mlir::Value memoryAt(int64_t offset);
  mlir::Value load(mlir::Value memref, mlir::Value position, int64_t offset = 0);
  void store(mlir::Value value, mlir::Value memref, mlir::Value position, int64_t offset = 0);
  void when(mlir::Value condition, llvm::function_ref<void()> body,
            llvm::function_ref<void()> otherwise = {});
  /// A loop that carries values.
  llvm::SmallVector<mlir::Value>
  loop(mlir::Value from, mlir::Value to, int64_t step, llvm::ArrayRef<mlir::Value> initial,
       llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, llvm::ArrayRef<mlir::Value>)>
           body);

  //===--- packing ---------------------------------------------------------===//

  const BufferLayout *bufferOf(mlir::StringAttr name);
  /// Rows of a panel side by side; behind the chunk's last one it is repeated.
  virtual void packRows(mlir::Value panel, mlir::Value last);
  void packOperand(const SweepOperand &operand, mlir::Value panel, mlir::Value last);
  /// Features of a symbol in two layouts.
  struct Features {
    llvm::ArrayRef<int64_t> sizes, strides, others;
    /// The dim whose elements stand side by side in the second layout, if its vectors are turned in
    /// registers; -1 for none.
    int64_t turned = -1;
  };
  Features featuresOf(llvm::ArrayRef<int64_t> sizes, llvm::ArrayRef<int64_t> strides,
                      llvm::ArrayRef<int64_t> others) const;
  /// Calls `body` with both places of each feature, or of those that fill no block of the turned
  /// dim; of the first of each block.
  using FeatureBody = llvm::function_ref<void(mlir::Value, mlir::Value)>;
  void forFeatures(const Features &features, FeatureBody body);
  void forRest(const Features &features, FeatureBody body);
  void forBlocks(const Features &features, FeatureBody body);
  void forRange(const Features &features, int64_t first, int64_t end, int64_t step,
                FeatureBody body);
  /// Packs the rows of all panels.
  virtual void makeRows();
  /// Runs `body` unless this task only makes its rows.
  virtual void unlessMaking(llvm::function_ref<void()> body) { body(); }
  /// Rows that are swept, if positions are the lanes; and the position of a panel's first, counted
  /// from the chunk's.
  virtual mlir::Value sweptRows() { return kernel.chunkRows; }
  virtual mlir::Value firstOfPanel(mlir::Value panel) { return mul(panel, panelRows); }
  mlir::Value rangeMemory(const SweepOperand &operand);
  /// Sets ranges to those of nothing. Those of rows are one a panel and, the last, one of all.
  void clearRanges(const SweepOperand &operand, int64_t count);
  void widenRange(const SweepOperand &operand, mlir::Value panel, mlir::Value value);
  /// Widens the range of the tile by `count` columns that stand behind each other.
  void widenByColumns(const SweepOperand &operand, mlir::Value from, mlir::Value count);
  Bounds rangeOf(const SweepOperand &operand, mlir::Value at);
  /// Columns of a tile one behind the other, `count` of them from position `first` on, and zeros up
  /// to a whole register tile.
  virtual void packColumns(mlir::Value first, mlir::Value count, bool integers);
  void packColumn(const SweepOperand &operand, mlir::Value first, mlir::Value count);
  /// From the carry for positions before the call's first, else from the call's own rows.
  void copyColumns(const SweepOperand &operand, const SymbolInfo &info, mlir::Value first,
                   const Strided &to, llvm::ArrayRef<IndexValue> sizes);
  int64_t ringOf(unsigned component);
  mlir::Value remainder(mlir::Value a, int64_t b);
  /// Columns from `first` on that stand behind each other: up to the call's first, and to the end
  /// of a ring.
  mlir::Value contiguousColumns(mlir::Value first, mlir::Value count);
  Strided columnSource(const SweepOperand &operand, const SymbolInfo &info, mlir::Value first);

  //===--- factored forms ----------------------------------------------------===//

  /// Whether factored forms of parts are taken.
  virtual bool isFactored() { return !plan.exponentials.empty(); }
  /// Exponentials of a panel's rows, or of the tile's columns up to `count`.
  void packExponentials(bool ofColumns, mlir::Value panel, mlir::Value count);
  void packExponential(const SweepExponential &each, PairScope &scope, mlir::Value panel,
                       mlir::Value count, mlir::Value largest);
  /// Notes whether a numerator is too large, and what rows' exponentials are multiplied by for
  /// them.
  void checkNumerators();
  /// Calls `body` with each numerator of a sum, and its place.
  void forNumerators(const SweepSum &sum, PairScope &scope,
                     llvm::function_ref<void(mlir::Value, mlir::Value)> body);
  Holding holding(mlir::Value panel);
  void addExponentials(PairScope &scope, mlir::Value panel);
  /// Emits `body` for some parts in the form that is right for the tile; it gives values.
  llvm::SmallVector<mlir::Value> inForm(Tile &tile, llvm::ArrayRef<int64_t> parts,
                                        llvm::function_ref<llvm::SmallVector<mlir::Value>()> body);
  mlir::Block *formOf(const Tile &tile, int64_t part);

  //===--- columns ---------------------------------------------------------===//

  /// Runs `body` for all rows of the dims that are not the lanes, from `number` on.
  void forOuterRows(unsigned number, llvm::function_ref<void()> body);
  bool isPosition(unsigned row) { return row == 0 && pairs.getRowDim(); }
  mlir::Value firstPosition();
  /// Lanes from number `first` up to `end`, and the row of the other dims.
  PairBox rowBox(mlir::Value first, mlir::Value end, mlir::Value ranges);
  void setColumns(PairBox &box, mlir::Value first, mlir::Value count);
  /// Visits tiles of columns from one interval of the domain to the next.
  void sweepColumns();
  void visitPanel(mlir::Value panel, mlir::Value first, mlir::Value count);
  virtual void visitPanels(const PairBox &chunk, mlir::Value first, mlir::Value count);

  //===--- tiles -----------------------------------------------------------===//

  virtual Tile makeTile(mlir::Value panel, mlir::Value firstRow, mlir::Value firstColumn,
                        mlir::Value count, bool masked);
  /// The number of each lane, and of the rows of other dims.
  virtual llvm::SmallVector<Emitted> rowNumbers(const Tile &tile);
  /// The numbers s of `count` columns from number `column` on; sets them in the tile's scope.
  Emitted columnPositions(Tile &tile, mlir::Value column, int64_t count);
  /// A part for these columns; the number that a score gives, if any, comes last.
  std::optional<Emitted> emitPart(Tile &tile, mlir::Block *part, const Emitted &columns,
                                  llvm::ArrayRef<Emitted> further);
  /// Whether a pair of a masked tile counts, for a column and vector.
  using Mask = std::optional<Emitted>;
  Mask emitMask(Tile &tile, const Emitted &columns, mlir::Value column);
  mlir::Value masked(const Mask &mask, int64_t row, int64_t vector, mlir::Value value,
                     double outside);
  virtual void visitTile(mlir::Value panel, mlir::Value firstRow, mlir::Value firstColumn,
                         mlir::Value count, bool masked);
  /// Scores into scratch memory, their maximum, and what is subtracted from them.
  void emitScores(Tile &tile, mlir::Value whole);
  /// Puts the sums that are relative to `from` in terms of `to`.
  void rescale(mlir::Value panel, llvm::ArrayRef<mlir::Value> from, llvm::ArrayRef<mlir::Value> to);
  virtual void scaleSums(mlir::Value panel, llvm::ArrayRef<mlir::Value> factors);
  bool usesScore(mlir::seq::PairResultAttr result);
  mlir::Value finite(mlir::Value value);
  mlir::Value accumulatorPlace(size_t result, mlir::Value panel, mlir::Value feature);
  /// Weights into scratch memory; sums that need nothing but a weight are made on the way.
  void emitWeights(Tile &tile, mlir::Value whole);
  /// Whether all weights are the exponentials themselves: those of masked scores are zero.
  bool onlyExponentials(llvm::ArrayRef<int64_t> parts);
  /// Adds the tile's columns to a result with features: register tiles of features x rows.
  void emitValues(Tile &tile, size_t number, mlir::seq::PairResultAttr result);

  /// Puts the tile's columns among the greatest values of a result.
  void emitPlaces(Tile &tile, size_t number, mlir::seq::PairResultAttr result, mlir::Value whole);
  /// A value and where it stands.
  struct Ranked {
    mlir::Value value, place;
  };
  mlir::Value isBehind(Ranked a, Ranked b);
  mlir::Value placeOf(mlir::Value s);
  void insertInOrder(size_t number, mlir::Value panel, int64_t vector, Ranked own,
                     mlir::Value enters);
  /// Puts the values of a register tile into the heaps of their rows.
  void enterHeaps(size_t number, const Tile &tile, mlir::Value column, mlir::Value values);
  /// Takes the root's place in the heap of a lane, down to where it belongs.
  void replaceLast(size_t number, mlir::Value panel, mlir::Value lane, Ranked own);
  /// Gives the caller the tile's values of a result that keeps each: [columns, rows] in scratch
  /// memory, then rows of columns.
  void emitEach(Tile &tile, mlir::seq::PairResultAttr result, mlir::Value whole);
  void storeEach(const Tile &tile, mlir::seq::PairResultAttr result, mlir::Value values);

  //===--- start and end ---------------------------------------------------===//

  virtual void start(mlir::Value panel);
  void startResult(size_t number, mlir::Value panel);
  /// `count` elements of scratch memory from number `first` on.
  void fill(int64_t offset, mlir::Value first, int64_t count, double value);
  /// Scales the sums to the true maximum, which a panel's results have.
  void settle(mlir::Value panel);

  //===--- parts of the range of s -------------------------------------------===//

  /// Limits intervals of s to those of this task's part.
  void takePart(llvm::MutableArrayRef<Bounds> intervals);
  /// Where the partial results of each row of a panel's vector begin, and which rows there are.
  struct PartialRows {
    mlir::Value memory, start, offsets, mask;
  };
  PartialRows partialRows(mlir::Value part, mlir::Value panel, int64_t vector);
  mlir::Value loadPartial(const PartialRows &rows, mlir::Value offset);
  void storePartial(const PartialRows &rows, mlir::Value offset, mlir::Value value);
  /// Leaves a panel's maxima and sums for the task that merges them.
  virtual void leave(mlir::Value panel);
  /// Adds the pairs of another part: its maxima and sums.
  virtual void merge(mlir::Value panel, mlir::Value part);
  /// What sums relative to the maximum `from` are multiplied by to be relative to `to`.
  mlir::Value scale(mlir::Value from, mlir::Value to);

  /// Writes a panel's results to the chunk's rows.
  virtual void finish(mlir::Value panel);
  /// Where a row's features begin, and elements from row to row.
  struct RowPlace {
    mlir::Value start;
    IndexValue stride;
  };
  RowPlace placeOfRow(const BufferLayout &buffer, const SymbolInfo &info, mlir::Value lane);
  void storeRows(const BufferLayout &buffer, const RowPlace &place, mlir::Value lane,
                 mlir::Value feature, mlir::Value value);
  void finishRows(size_t number, const BufferLayout &buffer, mlir::Value panel, int64_t vector);
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_SWEEPEMITTER_H
