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
#include "compiler/gpu/pairs/PairTiles.h"

#include <map>

namespace seqmix::gpu {

/// Where the columns of a tile stand: rows of the carry, or of the call's own tensors.
struct PairColumns {
  mlir::FlatSymbolRefAttr dim;
  mlir::Value count;   ///< columns that exist, i64
  mlir::Value inCall;  ///< the number of the first one's row in tensors, i64
  mlir::Value isCarry; ///< whether it is the carry's; null: never
  mlir::Value inCarry; ///< and its number there, i64
};

/// The rows of a block.
struct PairRows {
  mlir::FlatSymbolRefAttr dim;
  mlir::Value count;  ///< that exist, i64
  mlir::Value inCall; ///< the number of the first one in the call
  mlir::Value length; ///< of the whole sequence so far, i64
};

class PairExpr {
public:
  using Result = llvm::FailureOr<PairValue>;

  PairExpr(mlir::seq::MixerOp mixer, PairTiles &tiles, PairProducts &products,
           const PairRows &rows);

  /// Begins a loop over columns: what depends on none is made in front of it.
  void enterLoop(mlir::Operation *loop) { front = loop; }
  /// Begins a tile of columns.
  void enterTile(const PairColumns &tile);
  void leaveLoop();

  /// A part of a seq.pairs, a definition or whatever region, for values of its arguments.
  Result body(mlir::Block &block, llvm::ArrayRef<PairValue> arguments);
  /// A symbol at some places.
  Result symbol(mlir::Operation *at, mlir::StringAttr name, llvm::ArrayRef<PairValue> places);
  /// sum + the sum over columns of weights [row, column] times values, which are a term of a part.
  Result weighted(mlir::Block &part, llvm::ArrayRef<PairValue> arguments, Axis feature,
                  const PairValue &weights, mlir::Value sum);
  /// What loops over columns have made: by the constant places of all features but the last.
  void setProduced(mlir::StringAttr name, llvm::ArrayRef<int64_t> places, const PairValue &value);

  /// A tensor, or rows of the carry, as they are stored.
  Result load(mlir::Operation *at, mlir::seq::TensorOp tensor, llvm::ArrayRef<PairValue> places);
  /// Elements of an array with these dims, or of the carry's where the columns stand there.
  Result loadFrom(mlir::Operation *at, const LaneArray &array, llvm::ArrayRef<PairValue> places,
                  mlir::ArrayAttr dims, const LaneArray *carried);
  PairValue widened(const PairValue &stored, SeqDType dtype);

  mlir::InFlightDiagnostic refuse(mlir::Operation *op, const llvm::Twine &what);
  int64_t sizeOf(mlir::Attribute dim) const;

private:
  struct Term {
    bool isNegative = false;
    llvm::SmallVector<mlir::Value> factors;
  };
  using Key = std::pair<const void *, llvm::SmallVector<int64_t>>;
  using Memo = std::map<Key, PairValue>;

  Result eval(mlir::Value value);
  Result evalOp(mlir::Operation *op);
  Result unary(mlir::seq::UnaryOp op);
  Result binary(mlir::seq::BinaryOp op);
  Result integer(mlir::Operation *op, mlir::seq::BinaryFn fn, const PairValue &left,
                 const PairValue &right);
  Result compare(mlir::seq::CompareOp op);
  Result select(mlir::seq::SelectOp op);
  Result read(mlir::seq::ReadOp op);
  Result reduce(mlir::seq::ReduceOp op);
  Result product(mlir::seq::ReduceOp op, llvm::ArrayRef<Term> terms, Axis feature);
  Result definition(mlir::Operation *at, mlir::seq::DefineOp define,
                    llvm::ArrayRef<PairValue> places);
  Result gather(mlir::Operation *at, mlir::seq::TensorOp tensor, llvm::ArrayRef<PairValue> places);
  Result produced(mlir::Operation *at, mlir::StringAttr name, llvm::ArrayRef<PairValue> places);
  Result place(mlir::Operation *op, mlir::AffineExpr expr, llvm::ArrayRef<PairValue> operands);
  /// The product of some factors, over all of `axes` at least; as stored if it is only one read.
  Result factorOf(mlir::Operation *op, llvm::ArrayRef<mlir::Value> factors,
                  llvm::ArrayRef<Axis> axes);
  mlir::LogicalResult fits(mlir::Operation *op, llvm::ArrayRef<PairValue> values);

  llvm::SmallVector<Term> termsOf(mlir::Value value);
  bool varies(mlir::Value value, Axis axis);
  bool varies(llvm::ArrayRef<mlir::Value> values, Axis axis);
  bool variesInLoop(mlir::Operation *op);
  Key keyOf(const void *what, llvm::ArrayRef<PairValue> places) const;
  /// Of what is known at these places: for this tile of columns, or in front of the loop.
  Memo &memoOf(llvm::ArrayRef<PairValue> places);
  std::optional<int32_t> rowsComponent(mlir::StringAttr name) const;

  mlir::seq::MixerOp mixer;
  PairTiles &tiles;
  PairProducts &products;
  LaneBlock &block;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  PairRows rows;
  PairColumns columns;
  mlir::Operation *front = nullptr;
  llvm::DenseMap<mlir::Value, PairValue> bindings;
  Dependencies dependencies;
  std::map<std::pair<std::string, llvm::SmallVector<int64_t>>, PairValue> results; // by name
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<Axis>> featuresOf; // that reductions bind
  Memo ofTile, ofAll;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_PAIRS_PAIREXPR_H
