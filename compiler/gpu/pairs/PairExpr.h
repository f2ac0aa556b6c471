//===- PairExpr.h - equations on tiles of pairs --------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Values are made when they are asked for, as tiles over the axes that they vary over. What no
// column enters is made once, in front of the loop over columns. Sums over features of products of
// something of the row and something of the column become matrix products.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_PAIRS_PAIREXPR_H
#define SEQMIX_COMPILER_GPU_PAIRS_PAIREXPR_H

#include "compiler/gpu/kernels/Dependencies.h"
#include "compiler/gpu/pairs/PairGroups.h"
#include "compiler/gpu/pairs/PairTiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/SetVector.h"

#include <map>

namespace seqmix::gpu {

/// Where the columns of a tile stand: rows of the carry, or of the call's own tensors.
struct PairColumns {
  mlir::FlatSymbolRefAttr dim;
  mlir::Value count;   ///< columns that exist, i64
  mlir::Value first;   ///< the number of the first one in the sequence, i64
  mlir::Value inCall;  ///< the number of the first one's row in tensors, i64
  mlir::Value isCarry; ///< whether it is the carry's; null: never

  /// Columns in the carry: the number of the first one, and how many exist.
  struct Carried {
    mlir::Value first, count;
  };
  llvm::SmallDenseMap<int64_t, Carried> carried; ///< by the rows that a component has
};

/// The rows of a block.
struct PairRows {
  /// Dims of the rows.
  size_t rank() const { return (dim ? 1 : 0) + inner.size(); }
  /// The block's places of them.
  llvm::SmallVector<PairValue> places() const;

  mlir::FlatSymbolRefAttr dim; ///< null: a row of its own
  mlir::Value count;           ///< that exist, i64
  mlir::Value inCall;          ///< the number of the first one in the call
  mlir::Value first;           ///< and in the sequence
  mlir::Value length;          ///< of the whole sequence so far, i64
  /// The block's place of each further dim of the rows, an i32.
  llvm::SmallVector<std::pair<mlir::FlatSymbolRefAttr, mlir::Value>, 1> inner;
  bool isStep = false; ///< of one token: states in front of it are the carry's
};

class PairExpr {
public:
  using Result = llvm::FailureOr<PairValue>;

  PairExpr(mlir::seq::MixerOp mixer, PairTiles &tiles, PairProducts &products, const PairRows &rows,
           const PairGroups &groups);

  /// Begins a loop over columns.
  void enterLoop(mlir::Operation *loop) {
    levels.push_back({loop, kColumn, {}, {}});
    products.beginLoop();
  }
  /// Begins a tile of columns.
  void enterTile(const PairColumns &tile);
  /// Begins a part of a tile that some blocks leave out.
  void enterChoice(mlir::Operation *choice) { levels.push_back({choice, kColumn, {}, {}}); }
  void leaveLoop() { levels.pop_back(); }

  const PairColumns &columnsOfTile() const { return columns; }

  /// A part of a seq.pairs, a definition or whatever region, for values of its arguments.
  Result body(mlir::Block &block, llvm::ArrayRef<PairValue> arguments);
  /// A symbol at some places.
  Result symbol(mlir::Operation *at, mlir::StringAttr name, llvm::ArrayRef<PairValue> places);
  /// sum + the sum over columns of weights [row, column] times values, which are a term of a part.
  Result weighted(mlir::Block &part, llvm::ArrayRef<PairValue> arguments, Axis feature,
                  const PairValue &weights, mlir::Value sum);
  Result weighted(mlir::Value whole, mlir::BlockArgument argument, Axis feature,
                  const PairValue &weights, mlir::Value sum);
  /// The same for another reduction, of the values of those pairs that count.
  mlir::FailureOr<mlir::Value> reducedByFeature(mlir::Block &part,
                                                llvm::ArrayRef<PairValue> arguments, Axis feature,
                                                mlir::seq::ReduceKind kind, const PairValue &mask,
                                                mlir::Value before);
  /// What loops over columns have made: by the constant places of all features but the last.
  void setProduced(mlir::StringAttr name, llvm::ArrayRef<int64_t> places, const PairValue &value);

  /// A tensor, or rows of the carry, as they are stored.
  Result load(mlir::Operation *at, mlir::seq::TensorOp tensor, llvm::ArrayRef<PairValue> places);
  /// Elements of an array with these dims, or of the carry's where the columns stand there.
  Result loadFrom(mlir::Operation *at, const LaneArray &array, llvm::ArrayRef<PairValue> places,
                  mlir::ArrayAttr dims, const LaneArray *carried, bool isAbsolute = false);
  /// The region of a value that an earlier launch keeps, or this one.
  const LaneArray &kept(const KeptValue &value);
  PairValue widened(const PairValue &stored, SeqDType dtype);

  /// Makes a definition that is made once, which the workspace does not have yet.
  void setMaking(mlir::StringAttr name) { making = name; }
  /// The sum whose features are divided among blocks and whose others were asked for, which has
  /// failed without an error; null if there is none.
  mlir::StringAttr readAcross() const { return across; }

  mlir::InFlightDiagnostic refuse(mlir::Operation *op, const llvm::Twine &what);
  int64_t sizeOf(mlir::Attribute dim) const;
  /// The extent of a run-time dim, i64; of that of tokens, all so far.
  mlir::Value extentOf(mlir::FlatSymbolRefAttr dim);

private:
  struct Term {
    bool isNegative = false;
    llvm::SmallVector<mlir::Value> factors;
  };
  using Key = std::pair<const void *, llvm::SmallVector<int64_t>>;
  using ResultKey = std::pair<std::string, llvm::SmallVector<int64_t>>;
  /// A loop around the builder, over columns, slices of features or features. What depends on none
  /// of them is made in front of it.
  struct Level {
    mlir::Operation *loop = nullptr;
    Axis axis = -1;     ///< whose places it moves
    mlir::Value number; ///< or the number of its feature
    std::map<Key, PairValue> known;
  };

  Result eval(mlir::Value value);
  Result evalOp(mlir::Operation *op);
  Result unary(mlir::seq::UnaryOp op);
  Result binary(mlir::seq::BinaryOp op);
  Result integer(mlir::Operation *op, mlir::seq::BinaryFn fn, const PairValue &left,
                 const PairValue &right);
  Result compare(mlir::seq::CompareOp op);
  bool hasSums(mlir::Value value);
  Result select(mlir::seq::SelectOp op);
  Result read(mlir::seq::ReadOp op);
  Result reduce(mlir::seq::ReduceOp op);
  Result reduced(mlir::seq::ReduceOp op, const Axes &axes);
  Result combined(mlir::seq::ReduceOp op, const Axes &axes);
  Result product(mlir::seq::ReduceOp op, llvm::ArrayRef<Term> terms, Axes axes, Axis feature,
                 mlir::Value sum);
  Result productOf(mlir::seq::ReduceOp op, llvm::ArrayRef<Term> terms, const Axes &axes,
                   mlir::BlockArgument argument, int64_t size);
  Result definition(mlir::Operation *at, mlir::Operation *source, llvm::ArrayRef<PairValue> places);
  Result gather(mlir::Operation *at, mlir::seq::TensorOp tensor, llvm::ArrayRef<PairValue> places);
  Result gatherKept(mlir::Operation *at, const KeptValue &value, llvm::ArrayRef<PairValue> places);
  PairValue compared(mlir::arith::CmpIPredicate predicate, const PairValue &place,
                     const PairValue &other);
  mlir::LogicalResult restrict(mlir::Operation *at, PairValue &all, const PairValue &inside);
  mlir::LogicalResult inside(mlir::Operation *at, llvm::ArrayRef<PairValue> places,
                             mlir::ArrayAttr dims, llvm::SmallVector<PairValue> &numbersOfPlaces,
                             PairValue &exists);
  bool isInner(mlir::Value number) const;
  Result gatherFrom(mlir::Operation *at, const LaneArray &array, llvm::ArrayRef<PairValue> places,
                    llvm::ArrayRef<int64_t> slots, mlir::ArrayAttr dims, const PairValue &exists);
  Result produced(mlir::Operation *at, mlir::StringAttr name, llvm::ArrayRef<PairValue> places);
  Result fromShared(mlir::Operation *at, const ResultKey &key, const PairValue &value,
                    const PairValue &feature);
  Result stateOfStep(mlir::Operation *at, mlir::seq::StateOp state,
                     llvm::ArrayRef<PairValue> places);
  Result loadKept(mlir::Operation *at, const KeptValue &value, llvm::ArrayRef<PairValue> places);
  /// What a read of places of the greatest is rounded to: they are integers.
  Result integers(mlir::seq::ReadOp read);
  Result place(mlir::Operation *op, mlir::AffineExpr expr, llvm::ArrayRef<PairValue> operands);
  /// The product of some factors, over all of `axes` at least; as stored if it is only one read.
  Result factorOf(mlir::Operation *op, llvm::ArrayRef<mlir::Value> factors,
                  llvm::ArrayRef<Axis> axes);
  mlir::LogicalResult fits(mlir::Operation *op, llvm::ArrayRef<PairValue> values);

  /// A loop over slices of features that carries a value.
  mlir::FailureOr<mlir::Value>
  inSlices(int64_t size, mlir::Value start,
           llvm::function_ref<mlir::FailureOr<mlir::Value>(Axis, mlir::Value)> body);
  /// A loop over features that carries a value: what is made of the sum of terms at each of them,
  /// and of its number as an i32.
  mlir::FailureOr<mlir::Value> byFeature(
      llvm::ArrayRef<Term> terms, mlir::BlockArgument argument, int64_t size, mlir::Value start,
      llvm::function_ref<mlir::FailureOr<mlir::Value>(const PairValue &, mlir::Value, mlir::Value)>
          body);
  /// A value of rows at the feature of this number, and elsewhere what changes nothing.
  mlir::Value atFeature(const PairValue &value, Axis feature, mlir::Value number,
                        mlir::seq::ReduceKind kind);
  /// Weights times values that no feature enters.
  Result weightedBy(PairValue weights, llvm::ArrayRef<mlir::Value> factors, bool isNegative);
  /// A factor that is a sum over other features, the only one of a term that the feature enters:
  /// its terms are weighted one after the other.
  mlir::seq::ReduceOp sumInside(const Term &term, mlir::Value factor, Axis feature);
  mlir::FailureOr<mlir::Value> weightedInside(const Term &term, mlir::seq::ReduceOp reduce,
                                              mlir::BlockArgument argument, Axis feature,
                                              const PairValue &weights, mlir::Value sum);
  void collectLines(mlir::Value value, mlir::BlockArgument argument, Axis feature,
                    llvm::SetVector<mlir::Value> &found);

  llvm::SmallVector<Term> termsOf(mlir::Value value);
  /// Terms whose factors are no sums that vary along both axes and with a feature.
  llvm::SmallVector<Term> expanded(llvm::SmallVector<Term> terms, const Axes &axes,
                                   mlir::BlockArgument feature);
  Axes axesOf(mlir::Value value);
  bool variesAlong(mlir::Value value, const Axes &axes) {
    return llvm::all_of(axes, [&](Axis axis) { return varies(value, axis); });
  }
  bool dependsOn(mlir::Value value, mlir::BlockArgument argument);
  bool varies(mlir::Value value, Axis axis);
  bool varies(llvm::ArrayRef<mlir::Value> values, Axis axis);
  size_t levelOf(const PairValue &value) const;
  size_t levelOf(mlir::Value value);
  /// Calls `make` with the builder within a level, in front of the next one's loop.
  mlir::LogicalResult atLevel(size_t level, llvm::function_ref<mlir::LogicalResult()> make);
  const PairValue *find(const Key &key) const;
  void remember(const Key &key, const PairValue &value) {
    levels.back().known.insert({key, value});
  }
  Key keyOf(const void *what, llvm::ArrayRef<PairValue> places) const;
  std::optional<int32_t> rowsComponent(mlir::StringAttr name) const;
  /// Where the columns stand in a component of the carry.
  PairColumns::Carried columnsIn(int32_t component) const;

  mlir::seq::MixerOp mixer;
  PairTiles &tiles;
  PairProducts &products;
  LaneBlock &block;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  PairRows rows;
  const PairGroups &groups;
  llvm::DenseMap<mlir::StringAttr, LaneArray> regions;
  llvm::SmallDenseMap<int32_t, mlir::Value> extents; ///< of run-time dims, by number
  PairColumns columns;
  std::vector<Level> levels = std::vector<Level>(1); // the first is that of the block
  llvm::DenseMap<mlir::Value, PairValue> bindings;
  llvm::DenseMap<mlir::Value, PairValue> lines; // values at the feature of the loop
  llvm::DenseSet<mlir::Value> numbers;          // of features: in loops over them, or the block's
  Dependencies dependencies;
  std::map<ResultKey, PairValue> results;         // by name
  std::map<ResultKey, mlir::Value> sharedResults; // a line for each feature
  mlir::StringAttr across, making;
  mlir::Operation *asIntegers = nullptr; // the read that `integers` makes
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<Axis>> featuresOf; // that reductions bind
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIREXPR_H
