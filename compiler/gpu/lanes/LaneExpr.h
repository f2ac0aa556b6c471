//===- LaneExpr.h - equations for the lanes of a block -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Values are made when they are asked for, and once a token: that of a definition or state at an
// element, and that of an operation of a body for what its indices are. All dims but the one that
// lanes are along are unrolled; of one that is divided among a group of threads, each thread has
// its own rows (LaneRows.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_LANEEXPR_H
#define SEQMIX_COMPILER_GPU_LANES_LANEEXPR_H

#include "compiler/gpu/kernels/Dependencies.h"
#include "compiler/gpu/kernels/LaneBlock.h"
#include "compiler/gpu/lanes/StoredTokens.h"
#include "dialect/Seq.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

#include <map>

namespace seqmix::gpu {

/// An element of a symbol: its place along each dim but the tokens', -1 along the lanes, and -2 - r
/// for the r-th of the rows that a thread has.
using LaneElement = llvm::SmallVector<int64_t>;

/// What is carried from token to token in registers: a state, or (with a distance of at least 1)
/// what a symbol was so many tokens before.
struct Carried {
  mlir::StringAttr name;
  LaneElement element;
  int64_t distance = 0;
  bool operator<(const Carried &other) const {
    return std::tuple(name.getValue(), element, distance) <
           std::tuple(other.name.getValue(), other.element, other.distance);
  }
};

class LaneExpr {
public:
  LaneExpr(mlir::seq::MixerOp mixer, LaneBlock &block, mlir::seq::Direction direction);

  /// Begins a token: its number in the call, and the values carried to it.
  void enterToken(mlir::Value token, const std::map<Carried, mlir::Value> &carried);

  /// The value of a symbol, over tokens at this one (of a state: after it), real, i64 or i1, for
  /// one lane each or the same for all.
  mlir::FailureOr<mlir::Value> valueOf(mlir::StringAttr name, const LaneElement &element);

  /// That of an input so many tokens behind this one, zero where the sequence has none.
  mlir::FailureOr<mlir::Value> inputAt(mlir::StringAttr name, const LaneElement &element,
                                       int64_t offset);

  /// All elements of a symbol.
  std::vector<LaneElement> elementsOf(mlir::StringAttr name) const;
  bool isState(mlir::StringAttr name) const;
  bool isOfTokens(mlir::StringAttr name) const;
  /// The places of an element, the token in front if `isOfTokens`.
  llvm::SmallVector<Place> places(mlir::StringAttr name, const LaneElement &element,
                                  std::optional<Place> token = std::nullopt) const;
  mlir::Operation *symbol(mlir::StringAttr name) const;
  /// The type that values of a symbol have.
  mlir::Type typeOf(mlir::StringAttr name) const;
  /// These symbols are read from what earlier launches have stored.
  void setStored(StoredBlock *tokens, const llvm::DenseSet<mlir::StringAttr> *names) {
    stored = tokens;
    loaded = names;
  }
  /// Ends what was made in front of the loops.
  void closeFront();

private:
  /// Integers are places, reals and truth values are values.
  struct Evaluated {
    bool isInteger = false;
    Place place;
    mlir::Value value;
  };
  using Result = mlir::FailureOr<Evaluated>;
  using Key = std::pair<const void *, llvm::SmallVector<int64_t>>;
  struct Task; // what one evaluation looks at

  Result eval(mlir::Value value);
  Result evalOp(mlir::Operation *op);
  Result body(mlir::Region &region, llvm::ArrayRef<Place> arguments);
  Result read(mlir::seq::ReadOp op);
  Result readToken(mlir::seq::ReadOp op, llvm::ArrayRef<Place> all);
  Result readTensor(mlir::seq::TensorOp tensor, llvm::ArrayRef<Place> places, bool isOfTokens);
  Result readFar(mlir::seq::ReadOp op, llvm::ArrayRef<Place> all);
  Result readInFront(mlir::seq::TensorOp tensor, llvm::ArrayRef<Place> all);
  Result readStored(mlir::seq::ReadOp op, llvm::ArrayRef<Place> all);
  /// The number in the call of a token that is the same for all lanes.
  mlir::FailureOr<mlir::Value> rowOf(mlir::seq::ReadOp op, const Place &at);
  /// Where a row of a tensor over tokens stands: places in which t is a number, and whether it is
  /// there (null: it is).
  struct TensorRow {
    llvm::SmallVector<Place> places;
    mlir::Value number, exists;
  };
  TensorRow rowOf(mlir::seq::TensorOp tensor, llvm::ArrayRef<Place> places);
  Result definition(mlir::Operation *equation, llvm::ArrayRef<Place> arguments);
  Result earlier(mlir::seq::ReadOp op, mlir::StringAttr name, llvm::ArrayRef<Place> features,
                 int64_t distance);
  Result unary(mlir::seq::UnaryOp op);
  Result binary(mlir::seq::BinaryOp op);
  Result compare(mlir::seq::CompareOp op);
  Result select(mlir::seq::SelectOp op);
  Result reduce(mlir::seq::ReduceOp op);
  Result map(mlir::seq::MapOp op);
  mlir::FailureOr<Place> place(mlir::Operation *op, mlir::AffineExpr expr,
                               llvm::ArrayRef<Place> operands);

  /// Instead of a size: the one place `lanePlace`; and a thread's places of so many rows.
  static constexpr int64_t kLanes = -1, kRows = -2;
  /// Calls `visit` with a point's value and whether it counts (null: it does).
  mlir::LogicalResult
  points(mlir::Region &body, mlir::Region &domain, llvm::ArrayRef<int64_t> sizes,
         llvm::function_ref<void(llvm::ArrayRef<int64_t>, mlir::Value, mlir::Value)> visit,
         const Place &lanePlace = {}, int64_t rows = 0);

  bool isRows(mlir::Attribute dim) const;
  /// Whether a value differs between the threads of a group.
  bool dependsOnRow(llvm::ArrayRef<mlir::BlockArgument> arguments) const;
  /// That of all threads of a group.
  mlir::Value combineRows(mlir::Value value,
                          llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
  std::optional<mlir::Value> carriedByOther(mlir::StringAttr name, LaneElement element,
                                            int64_t distance);
  int64_t elementsOfThread(mlir::Operation *symbol) const;
  /// Elements of a param that a thread of a group keeps for all tokens.
  static constexpr int64_t kMostKept = 64;
  /// Whether a param has so many elements that a thread loads them at each token.
  bool isLarge(mlir::Operation *source) const;
  /// Zero, but LLVM does not know so, and makes what depends on it at each token and for each
  /// reduction: it would load all elements of a large param in front of the loop, or keep them from
  /// one reduction to another. Null where there is none.
  mlir::Value inPlace;
  mlir::Value unknownZero();

  /// A loop over the lanes' dim in which a dense product is made.
  struct Loop {
    mlir::scf::ForOp op;
    int64_t size = 0;               // places of its dim
    int64_t step = 1;               // places of an iteration, unrolled
    std::map<Key, Evaluated> known; // in front of it
  };
  /// What all lanes have of a value: in shared memory, or the same in all.
  struct Row {
    mlir::Type type;
    bool isInteger = false;
    mlir::Value memory, same;
    std::map<int64_t, mlir::Value> elements; // that were loaded
  };
  bool isLanes(mlir::Attribute dim) const;
  /// Whether a place is the loop's, or the same for all lanes and known.
  bool isOfLoop(const Place &place) const;
  mlir::LogicalResult
  loopOverLanes(mlir::seq::ReduceOp op, llvm::ArrayRef<int64_t> sizes, int64_t size,
                llvm::MutableArrayRef<mlir::Value> parts,
                llvm::function_ref<void(size_t, mlir::Value, mlir::Value)> visit);
  Result outsideOfLoop(llvm::function_ref<Result()> evaluate);
  bool dependsOnLane(llvm::ArrayRef<mlir::BlockArgument> arguments) const;
  /// A tile that has `other` where no lane exists.
  mlir::Value existingOr(mlir::Value value, mlir::Value other, int64_t size);
  mlir::Value combineLanes(mlir::Value value,
                           llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
  mlir::Value cumulativeSum(mlir::Value terms);
  mlir::Value softmax(mlir::Value scores);
  Result mapLanes(mlir::seq::MapOp op, const Place &at);
  Result pick(mlir::Operation *op, const Key &key, const Place &place,
              llvm::function_ref<Result()> ofLanes);
  Evaluated keep(const Key &key, const Evaluated &weight);
  void chooseUnrolling();

  Evaluated real(mlir::Value value) { return {false, {}, value}; }
  Evaluated integer(const Place &place) { return {true, place, {}}; }
  /// A number of a place as an i64, or a tile of them.
  mlir::Value number(const Place &place);
  mlir::Value asValue(const Evaluated &evaluated);
  /// Makes a place along a dim of that size one that is a value, the same for all lanes, and tells
  /// whether it was one of the dim's.
  mlir::FailureOr<mlir::Value> compute(mlir::Operation *op, Place &place, int64_t size);
  mlir::Value isBelow(mlir::Value number, mlir::Value end);
  mlir::Value endOfSequence();
  /// A value where a condition (if any) holds, else zero.
  Result zeroUnless(mlir::Value condition, const Result &value);
  void unify(llvm::MutableArrayRef<mlir::Value> values);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value multiply(mlir::Value a, mlir::Value b);
  mlir::Value function(mlir::seq::UnaryFn fn, mlir::Value x);
  mlir::Value function(mlir::seq::BinaryFn fn, mlir::Value a, mlir::Value b);
  mlir::Value choose(mlir::Value condition, mlir::Value a, mlir::Value b);
  mlir::Value constant(double value);
  std::optional<bool> known(mlir::Value condition);
  mlir::InFlightDiagnostic refuse(mlir::Operation *op, const llvm::Twine &what);
  Key keyOf(const void *what, llvm::ArrayRef<Place> places) const;
  int64_t sizeOf(mlir::Attribute dim) const;

  mlir::seq::MixerOp mixer;
  LaneBlock &block;
  mlir::OpBuilder &builder;
  int64_t step; // from a token to the next: 1 or -1
  llvm::DenseMap<mlir::StringAttr, mlir::Operation *> equations;
  llvm::DenseMap<mlir::Value, Place> bindings;
  Dependencies dependencies;
  StoredBlock *stored = nullptr;
  const llvm::DenseSet<mlir::StringAttr> *loaded = nullptr;
  mlir::Value token;
  const std::map<Carried, mlir::Value> *carried = nullptr;
  std::map<Key, Evaluated> ofToken, ofAll; // what is known, of this token and of all
  bool isInFront = false;                  // what is made depends on no token
  int64_t dense = 0;               // reductions, around each other, whose lanes go over all lanes
  std::map<Key, Row> rows;         // exchanged in this token
  std::map<Key, mlir::Value> kept; // rows of weights; null for those in registers
  Loop *loop = nullptr;
  bool isUnrolled = true;                   // dense products are
  int64_t weightWords = 0, weightBytes = 0; // of a thread, of a block's shared memory
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_LANEEXPR_H
