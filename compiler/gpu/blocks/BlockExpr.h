//===- BlockExpr.h - equations for tiles of tokens -----------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The values of equations for several tokens, and all places of a dim, at once: tiles in registers.
// What varies over fewer dims has fewer of them until it meets what varies over more.
//
// In a step there is one token, which frames do not have as a dim. States are then equations, too:
// of those in front of the token, which the carry has.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_BLOCKS_BLOCKEXPR_H
#define SEQMIX_COMPILER_GPU_BLOCKS_BLOCKEXPR_H

#include "compiler/gpu/kernels/Dependencies.h"
#include "compiler/gpu/kernels/LaneBlock.h"
#include "dialect/Seq.h"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace seqmix::gpu {

/// A dim of tiles.
struct BlockAxis {
  mlir::StringAttr dim; ///< of the mixer
  int64_t size = 0;     ///< of tiles, a power of two
  mlir::Value first;    ///< the place that is at 0, i64; null: the first one
  mlir::Value exists;   ///< how many places from there on exist, i64; null: all of them
};

/// The dims of tiles, in order; at most two. Without any, tiles are scalars.
using BlockFrame = llvm::SmallVector<BlockAxis, 2>;

class BlockTiles;

class BlockExpr {
public:
  BlockExpr(mlir::seq::MixerOp mixer, LaneBlock &block);

  /// A tensor's or definition's value on a tile with all dims of the frame; null with a `reason`
  /// where it cannot be made.
  mlir::Value evaluate(mlir::StringAttr symbol, const BlockFrame &frame);
  /// The dims that frames for a symbol have; of a state or in a step, without the tokens.
  llvm::SmallVector<mlir::StringAttr> featuresOf(mlir::StringAttr symbol);
  /// What a symbol that a recurrence produces is, as a tile with all dims of frames to come.
  void bind(mlir::StringAttr produced, mlir::Value tile) { bound[produced] = tile; }
  /// Where inputs stand that another launch has made.
  using KeptArray = std::function<std::optional<LaneArray>(mlir::StringAttr)>;
  void setKept(KeptArray array) { keptArray = std::move(array); }
  /// What a definition is for all tokens and these places, where it stands in shared memory, in
  /// slices of so many places; null where it does not.
  using SharedTile = std::function<mlir::Value(mlir::StringAttr, const BlockAxis &places)>;
  void setShared(SharedTile tile, int64_t slice) {
    sharedTile = std::move(tile);
    sharedSlice = slice;
  }
  /// Makes products on tensor cores of sums over what is of tokens times what is of places.
  void setProducts(BlockTiles &made) { tiles = &made; }
  std::string reason;

  /// A tile with other values where a place of a dim does not exist.
  mlir::Value mask(mlir::Value tile, const BlockFrame &frame, double other);
  /// Whether a symbol's values are numbers of a storage type as they are.
  std::optional<SeqDType> storedAs(mlir::StringAttr symbol) const;

  //===--- tiles --------------------------------------------------------------===//
  static mlir::RankedTensorType tileType(const BlockFrame &frame, mlir::Type element);
  mlir::Value splat(mlir::Value scalar, mlir::Type tile);
  mlir::Value constant(double value, mlir::Type tile);
  /// A part of an array, of which element [0, ...] is at `base`; zero where no places exist.
  mlir::Value load(const LaneArray &array, mlir::Value base, mlir::ValueRange strides,
                   const BlockFrame &frame);
  void store(mlir::Value tile, const LaneArray &array, mlir::Value base, mlir::ValueRange strides,
             const BlockFrame &frame);
  /// The first element of an array's part: `axes` has the dim of the frame for each slot, or -1 for
  /// the place in `places`. Adds the strides of the frame's dims in order.
  mlir::Value address(const LaneArray &array, llvm::ArrayRef<int> axes,
                      llvm::ArrayRef<int64_t> places, const BlockFrame &frame,
                      llvm::SmallVectorImpl<mlir::Value> &strides);

private:
  /// An axis of a frame around the one that a sum is evaluated on; that of the token where frames
  /// have none.
  static constexpr int kOtherAxis = 8, kOneToken = -2;
  /// Elements of a token that are summed at once.
  static constexpr int64_t kMostSummed = 128;
  /// An index is a place along an axis or a constant; everything else is a value that varies over
  /// some axes (a mask). Other integers are values in i32, or i64 where token numbers are in them.
  struct Evaluated {
    bool isIndex = false;
    int axis = -1;
    int64_t place = 0;
    mlir::Value value;
    unsigned axes = 0;
  };
  using Result = mlir::FailureOr<Evaluated>;
  /// What indices stand for, and what is known of the frame that they are in.
  struct OuterScope {
    llvm::DenseMap<mlir::Value, Evaluated> bindings, values;
    std::map<std::pair<const void *, llvm::SmallVector<int64_t>>, Evaluated> known;
    BlockFrame frame;
  };
  class InnerScope;

  Result eval(mlir::Value value);
  Result evalOp(mlir::Operation *op);
  Result body(mlir::Region &region, llvm::ArrayRef<Evaluated> arguments);
  Result definition(mlir::Operation *equation, llvm::ArrayRef<Evaluated> arguments);
  Result read(mlir::seq::ReadOp op);
  Result readState(mlir::seq::StateOp state, llvm::ArrayRef<Evaluated> places);
  bool hasToken() const;
  static bool isReal(const Evaluated &value);
  Result reduce(mlir::seq::ReduceOp op);
  Result evalArithmetic(mlir::Operation *op, llvm::ArrayRef<Evaluated> operands);

  // Integers and computed places (BlockIntegers.cpp).
  Result number(const Evaluated &index);
  mlir::LogicalResult unifyIntegers(llvm::MutableArrayRef<Evaluated> operands);
  Result evalIntegers(mlir::Operation *op, llvm::ArrayRef<Evaluated> operands);
  Result integer(mlir::seq::BinaryFn fn, const Evaluated &left, const Evaluated &right);
  Result placeOf(mlir::AffineExpr expr, llvm::ArrayRef<Evaluated> operands);
  Result gather(const LaneArray &array, mlir::seq::TensorOp tensor,
                llvm::ArrayRef<Evaluated> places);
  mlir::Value existing(unsigned axes);
  mlir::Value asStored(mlir::Value value, SeqDType dtype);
  mlir::Value constantInteger(int64_t number, mlir::Type type);

  Result reduceOver(mlir::seq::ReduceOp op, int64_t size, llvm::ArrayRef<int> retained);
  mlir::Value inShared(mlir::seq::DefineOp define, llvm::ArrayRef<Evaluated> arguments);
  Result sumOfProducts(mlir::seq::ReduceOp op, int64_t size, int token);
  llvm::SmallVector<mlir::Value, 2> sharedFactorOf(llvm::ArrayRef<mlir::Value> leaves, int axis,
                                                   mlir::seq::ReduceOp op, const BlockAxis &summed,
                                                   int64_t slice);
  mlir::Value factorOf(llvm::ArrayRef<mlir::Value> leaves, int axis, mlir::seq::ReduceOp op,
                       const BlockAxis &summed);
  unsigned partsOf(llvm::ArrayRef<mlir::Value> leaves) const;
  llvm::SmallVector<BlockAxis> slicesOf(mlir::StringAttr dim, int64_t size, int64_t most);
  bool dependsOn(mlir::Value value, int axis);
  bool hasSumsWithin(mlir::seq::ReduceOp op);
  mlir::Value reduced(mlir::seq::ReduceKind kind, mlir::Value tile);
  mlir::Value combine(mlir::seq::ReduceKind kind, mlir::Value a, mlir::Value b);
  Result readTensor(mlir::seq::TensorOp tensor, llvm::ArrayRef<Evaluated> places);
  Result elementwise(llvm::ArrayRef<Evaluated> operands,
                     llvm::function_ref<mlir::Value(llvm::ArrayRef<mlir::Value>)> make);
  LaneArray arrayOf(mlir::seq::TensorOp tensor);
  mlir::LogicalResult refuse(const llvm::Twine &what);
  mlir::Value widen(const Evaluated &value, unsigned axes);
  BlockFrame frameOf(unsigned axes) const;

  mlir::seq::MixerOp mixer;
  LaneBlock &block;
  mlir::OpBuilder &builder;
  llvm::DenseMap<mlir::StringAttr, mlir::Operation *> equations; ///< of states, too
  llvm::DenseMap<mlir::StringAttr, mlir::Value> bound;
  KeptArray keptArray;
  SharedTile sharedTile;
  int64_t sharedSlice = kMostSummed / 2;
  BlockFrame frame;
  bool isInSum = false;
  BlockTiles *tiles = nullptr;
  Dependencies dependencies;
  llvm::DenseMap<mlir::Value, Evaluated> bindings, values;
  std::map<std::pair<const void *, llvm::SmallVector<int64_t>>, Evaluated> known;
  llvm::DenseMap<mlir::Operation *, mlir::Value> sums; ///< by reduction, over tokens
  /// Factors of products that are of tokens, by sum and slice: in shared memory, as those of all
  /// places take them.
  struct SharedFactor {
    mlir::Block *block;
    llvm::SmallVector<mlir::Value, 2> parts;
  };
  llvm::DenseMap<std::pair<mlir::Operation *, int64_t>, SharedFactor> sharedFactors;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_BLOCKS_BLOCKEXPR_H
