//===- BlockLowering.h - one mixer's kernel in blocks of tokens ---------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Rows of the state are in slices: a factor's fragments for one slice fit in registers beside the
// sums of its dots, where those of all rows would not. Reads are sums over slices; updates are made
// slice by slice.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_BLOCKS_BLOCKLOWERING_H
#define SEQMIX_COMPILER_GPU_BLOCKS_BLOCKLOWERING_H

#include "compiler/gpu/blocks/BlockTiles.h"
#include "compiler/gpu/blocks/Blocks.h"
#include "compiler/gpu/lanes/Borders.h"

#include <memory>

namespace seqmix::gpu {

class BlockLowering {
public:
  BlockLowering(mlir::seq::MixerOp mixer, const MixerPlan &plan, std::string &reason,
                const Borders *borders, bool isDense = false, const PartShare *share = nullptr)
      : mixer(mixer), plan(plan), reason(reason), borders(borders), isDense(isDense), share(share) {
  }

  std::optional<LaunchPlan> run(mlir::gpu::GPUModuleOp module, llvm::StringRef name);
  /// The kernel of the second launch, for a dense transition (BlockSegments.cpp).
  std::optional<LaunchPlan> runScan(mlir::gpu::GPUModuleOp module, llvm::StringRef name);
  /// For a dense transition, what a segment leaves for the next one; null with a reason where
  /// there is none.
  std::shared_ptr<SummaryPlan> planDense();
  /// Whether the form takes the mixer's recurrence.
  llvm::LogicalResult check();

private:
  static constexpr int64_t kMostRowsInRegisters = 128;
  /// Something of each slice of rows.
  template <typename T> using Slices = llvm::SmallVector<T, 2>;
  using Products = BlockTiles::Products;

  struct Read {
    mlir::StringAttr factor, result;
    bool isBefore = false;
    bool isNeeded = true; ///< a summary needs those that updates take
    Slices<Parts> query;  ///< tokens by rows, in shared memory
    mlir::Value share;    ///< of the earlier state, columns by tokens
    llvm::SmallVector<mlir::Value>
        scores; ///< by update, tokens by tokens; perhaps in shared memory
  };
  struct Update {
    mlir::StringAttr factor;
    llvm::SmallVector<mlir::seq::TermAttr> terms;
    Slices<Parts> left; ///< tokens by rows, in shared memory
    Parts right;        ///< tokens by columns
    mlir::Value own,
        share; ///< of one that is solved for: f32 in shared memory, what others add nothing to
    bool isSolved() const {
      return llvm::any_of(terms, [](mlir::seq::TermAttr term) { return term.getRead() >= 0; });
    }
  };
  /// Of this chunk, where they are the same for all rows, in shared memory: what makes them wants
  /// other layouts than what takes them. Products that are `with` the own decay are for the state
  /// after its update.
  struct Decays {
    Products between;   ///< [t, s] of the tokens behind s up to t
    Products upTo;      ///< [t]
    mlir::Value behind; ///< [s]
  };

  mlir::seq::MixerOp mixer;
  const MixerPlan &plan;
  std::string &reason;
  const Borders *borders;
  /// A summary of a transition of rank r: the product of a segment's transitions is more columns of
  /// the state, which start as the identity and have no values.
  const bool isDense;
  const PartShare *share;
  int32_t component = 0; ///< the state's number in the carry
  std::optional<LaneSegment> segment;
  mlir::seq::AffineOp affine;
  mlir::seq::StateOp state;
  int64_t rowCount = 0;
  LaneShape shape;
  LaneBlock *block = nullptr;
  BlockExpr *expr = nullptr;
  BlockTiles *tiles = nullptr;
  mlir::StringAttr rowDim;
  BlockAxis tokenAxis, columnAxis;
  BlockAxis stateAxis;      ///< the columns of the state that a block carries
  mlir::Value isTransition; ///< whether they are those of a transition: then no column exists
  Slices<BlockAxis> rowSlices;
  bool hasDecay = false, decaysByRow = false, decaysByColumn = false, readsState = false;
  llvm::SmallVector<Read> reads;
  llvm::SmallVector<Update> updates;
  Decays decays;
  /// Decays of rows are in shared memory, tokens by rows, and products of them are made where they
  /// are needed, as they are many.
  Slices<mlir::Value> rowDecays;
  /// Likewise those of columns, tokens by columns.
  mlir::Value columnDecays;
  /// The state before a chunk, columns by rows: in registers, or in shared memory.
  Slices<mlir::Value> inRegisters, parked;
  /// Of a summary, the product of the decays of all tokens so far: one number, or rows.
  Slices<mlir::Value> decayProducts;
  /// Of terms, those that are one for each token: in shared memory, as sums and functions would be
  /// made anew in each layout.
  llvm::DenseMap<mlir::StringAttr, mlir::Value> coefficients;
  /// Room for factors in shared memory, by symbol: what reads the state often updates it, too.
  llvm::DenseMap<mlir::StringAttr, Slices<Parts>> factors;

  mlir::OpBuilder &builder() { return block->builder; }
  BlockFrame rowFrame(size_t slice) const { return {tokenAxis, rowSlices[slice]}; }

  // What the form takes (Blocks.cpp).
  llvm::LogicalResult refuse(const llvm::Twine &what) {
    reason = what.str();
    return mlir::failure();
  }
  llvm::LogicalResult checkDims();
  llvm::LogicalResult chooseColumns();
  int64_t sharedBytes(int64_t columns);
  mlir::StringAttr dimOf(int64_t number);
  void cutRows();
  /// A kernel that leaves a segment's state and the product of its decays, and reads nothing.
  bool isSummary() { return isDense || mixer.getSummaryOfAttr(); }
  /// Beside decays of rows or columns, values to be solved for, or itself, the state has no room in
  /// registers.
  bool parksState() const {
    return decaysByRow || decaysByColumn || readsState || rowCount > kMostRowsInRegisters;
  }

  // The kernel.
  llvm::LogicalResult emit();
  llvm::SmallVector<int> stateAxes();
  mlir::Value loadState(const BlockFrame &frame);
  void storeState(mlir::Value tile, const LaneArray &array, const BlockFrame &frame);
  void storeDecayProducts();

  // Segments with dense transitions (BlockSegments.cpp).
  void chooseTransition();
  mlir::Value withIdentity(mlir::Value before, const BlockAxis &rows);
  LaneArray arrayBehind();
  void storeBounds(llvm::ArrayRef<mlir::Value> last);
  void emitScan();
  void noteUnbounded(mlir::Value number, const LaneArray &bounded);
  mlir::Value currentState(size_t slice) {
    return parked.empty() ? inRegisters[slice] : tiles->load(parked[slice]);
  }

  // A chunk (BlockChunk.cpp): the states behind it.
  mlir::FailureOr<Slices<mlir::Value>> emitChunk();
  /// What a mixer of several launches makes functions of (quotients, factors of later launches)
  /// wants f32's precision, as long as they are not of results that are rounded to fewer digits
  /// anyhow.
  unsigned mostParts() const;
  unsigned partsOf(mlir::StringAttr symbol) const;
  const Slices<Parts> &allocateRows(mlir::StringAttr factor);
  void findFactors();
  llvm::LogicalResult storeFactor(mlir::Value tile, const BlockFrame &frame,
                                  llvm::ArrayRef<mlir::Value> shared);
  void makeCoefficients();
  mlir::Value coefficientOf(mlir::seq::TermAttr term, const BlockFrame &frame);
  mlir::Value evaluateRight(const Update &update, const BlockFrame &frame);
  llvm::LogicalResult storeFactors();
  llvm::LogicalResult storeRight(const Update &update, const BlockFrame &columns);
  Parts withDecays(llvm::ArrayRef<mlir::Value> factor, mlir::Value decays, size_t slice);
  static mlir::Value chosen(const Products &products, bool isBefore) {
    return isBefore ? products.without : products.with;
  }
  Products productsOfRows(size_t slice, int64_t group, bool reverse);
  Products productsOfColumns(int64_t group, bool reverse);
  mlir::LogicalResult makeColumnDecays();
  mlir::Value isOfGroup(int64_t group);
  mlir::Value last(mlir::Value tile) { return tiles->pick(tile, 0, tokenAxis.size - 1); }
  llvm::LogicalResult makeDecays();
  mlir::Value addScores(mlir::Value sum, llvm::ArrayRef<mlir::Value> query,
                        llvm::ArrayRef<mlir::Value> left);
  void emitScores();
  /// Beside decays of rows or columns, or values to be solved for, scores have no room in
  /// registers.
  bool parksScores() const { return decaysByRow || decaysByColumn || readsState; }
  mlir::Value scoresOf(const Read &read, size_t update) {
    mlir::Value scores = read.scores[update];
    return parksScores() ? tiles->load(scores) : scores;
  }
  void emitScoresOfGroups(int64_t group);
  mlir::Value shareOf(Read &read);
  mlir::Value emitRead(Read &read);
  mlir::Value addDecayedColumns(mlir::Value sum, const Read &read, size_t update);
  Parts rightBehind(const Update &update);
  Slices<mlir::Value> emitUpdates();
  llvm::LogicalResult storeOutputs();

  // Updates that read the state (BlockSolve.cpp).
  mlir::Value sumReads(const Update &update, const BlockFrame &frame,
                       llvm::function_ref<mlir::Value(Read &)> what, bool &isGood);
  llvm::LogicalResult solveUpdates();
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_BLOCKS_BLOCKLOWERING_H
