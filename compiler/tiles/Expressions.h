//===- Expressions.h - equations as vector code ----------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// An expression is emitted for several rows (tokens, or batch elements) and several vectors of
// lanes at once. A value that depends on neither exists once, one that depends on the rows once a
// row, and so on. So a reduction carries a tile of rows x vectors of accumulators, and a product
// of matrices comes out register-blocked without being recognised as one.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_EXPRESSIONS_H
#define SEQMIX_COMPILER_TILES_EXPRESSIONS_H

#include "compiler/tiles/Kernel.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <functional>

namespace seqmix {

/// A value for each row and vector of a tile. Reals are scalars or vectors of the compute type,
/// truth values of i1; integers are IndexValues.
struct Emitted {
  ValueKind kind = ValueKind::Real;
  int64_t rows = 1, vectors = 1;
  llvm::SmallVector<mlir::Value, 1> values;
  llvm::SmallVector<IndexValue, 1> indices;

  static Emitted integer(const IndexValue &value) {
    Emitted result;
    result.kind = ValueKind::Integer;
    result.indices.push_back(value);
    return result;
  }
  int64_t slot(int64_t row, int64_t vector) const {
    return (rows == 1 ? 0 : row) * vectors + (vectors == 1 ? 0 : vector);
  }
  mlir::Value value(int64_t row, int64_t vector) const { return values[slot(row, vector)]; }
  const IndexValue &index(int64_t row, int64_t vector) const { return indices[slot(row, vector)]; }
  bool sameIndices(const Emitted &other) const;
};

/// Where a state's elements stand while a loop over tokens runs: in the state's buffer, the value
/// before this token at `previous` and the one after it at `current` (offsets in elements).
struct StateSlots {
  const BufferLayout *buffer = nullptr;
  mlir::Value previous, current;
};

/// Values that are known without a load: an element of a symbol at given indices (the row first,
/// for what varies over tokens).
class Registers {
public:
  void set(mlir::StringAttr name, llvm::ArrayRef<Emitted> indices, const Emitted &value);
  const Emitted *find(mlir::StringAttr name, llvm::ArrayRef<Emitted> indices) const;
  bool contains(mlir::StringAttr name) const { return entries.contains(name); }
  void clear() { entries.clear(); }

private:
  struct Entry {
    llvm::SmallVector<Emitted> indices;
    Emitted value;
  };
  llvm::DenseMap<mlir::StringAttr, llvm::SmallVector<Entry>> entries;
};

/// A packed operand of a sweep (SweepPlan.h).
struct PairBuffer {
  mlir::Value memref;
  ValueKind kind = ValueKind::Real;
  llvm::SmallVector<int64_t> strides;
  /// Elements between two positions, and the factor of the features.
  int64_t positionStride = 1, featureStride = 1;
  /// Takes the place of `positionStride` when it is only known at run time.
  mlir::Value positionStep;
};

/// An exponential of what stands at one of a pair's positions, packed (SweepPlan.h).
struct PackedExponential {
  PairBuffer buffer;
  bool ofColumn = false;
  /// Its indices beside the position, and how many values each has.
  llvm::SmallVector<mlir::Value> features;
  llvm::SmallVector<int64_t> sizes;
};

/// A sum of quotients whose divisors hold the numerators (SweepPlan.h): the numbers c, and N.
struct ScaledSum {
  mlir::Value memref;
  llvm::SmallVector<mlir::Value> features;
  llvm::SmallVector<int64_t> strides;
  mlir::Value largest;
};

/// How the parts of a seq.pairs read: what stands at their t and s comes from packed operands.
struct PairScope {
  mlir::seq::PairsOp op;
  llvm::DenseMap<mlir::StringAttr, PairBuffer> rows, columns;
  /// Numbers of t in the panel and of s in the tile.
  Emitted row, column;
  /// Where t is no lane: its row in the chunk.
  std::optional<Emitted> outerRow;
  /// Results of operations of a part that are there already.
  llvm::DenseMap<mlir::Operation *, Emitted> known;
  /// In factored forms of parts.
  llvm::DenseMap<mlir::Operation *, PackedExponential> exponentials;
  llvm::DenseMap<mlir::Operation *, ScaledSum> sums;
  /// Whether products of exponentials may be so large that scaled divisors are limited.
  bool clamped = false;
};

/// What reads need to know beside their operands.
struct Scope {
  /// Rows and vectors of a tile.
  int64_t rows = 1, vectors = 1;
  /// The token's row in the chunk, and the batch element of the block.
  Emitted row = Emitted::integer(IndexValue::constant(0));
  Emitted batch = Emitted::integer(IndexValue::constant(0));
  llvm::DenseMap<mlir::StringAttr, StateSlots> states;
  Registers registers;
  /// Unroll reductions, so that what they read of `registers` is found.
  bool unroll = false;
  /// Tensors of the caller's whose last features are known to be contiguous.
  llvm::SmallDenseSet<mlir::StringAttr> dense;
  /// The sweep whose parts are emitted, or null.
  const PairScope *pairs = nullptr;
};

/// Emits the bodies of equations at the kernel's insertion point.
class ExprEmitter {
public:
  ExprEmitter(Kernel &kernel, Scope &scope) : kernel(kernel), scope(scope) {}

  /// The value of an equation for these left indices. `perToken`: its body's first argument is the
  /// token. A domain, when not empty, makes the value zero outside.
  mlir::FailureOr<Emitted> equation(mlir::Region &body, mlir::Region &domain, bool perToken,
                                    llvm::ArrayRef<Emitted> indices);

  /// The value of a part of a seq.pairs for these arguments.
  mlir::FailureOr<Emitted> part(mlir::Block &block, llvm::ArrayRef<Emitted> arguments);

  /// Values of some operations of its block for the first of the arguments; only what they need is
  /// emitted.
  mlir::FailureOr<llvm::SmallVector<Emitted>> values(mlir::Block &block,
                                                     llvm::ArrayRef<Emitted> arguments,
                                                     llvm::ArrayRef<mlir::Operation *> wanted);

  /// A value of a part inside of its reductions, too, for these indices.
  mlir::FailureOr<Emitted> inside(mlir::Value wanted,
                                  llvm::ArrayRef<std::pair<mlir::Value, Emitted>> indices);

  /// A read without indices.
  mlir::FailureOr<Emitted> uniform(mlir::seq::ReadOp op);

  /// Loads an element of a buffer or stores into it; `real` values as vectors when the address
  /// steps. `mayBeEmpty`: there may be no element at all to load where the mask is false.
  mlir::Value load(mlir::Value memref, ValueKind kind, const IndexValue &address, mlir::Value mask,
                   bool mayBeEmpty = false);
  /// Stores a value for each row and vector. `mask`, when given, says for each vector which lanes.
  void store(const BufferLayout &buffer, const Emitted &value, const Emitted &row,
             llvm::ArrayRef<Emitted> dims, llvm::ArrayRef<mlir::Value> mask = {},
             mlir::Value base = {});

  /// Stores a vector at consecutive elements.
  void storeVector(mlir::Value memref, mlir::Value value, const IndexValue &address);

  /// An element of a buffer at `row` and `dims`, `base` elements further on (null for none).
  Emitted elementOf(const BufferLayout &buffer, const Emitted &row, llvm::ArrayRef<Emitted> dims,
                    mlir::Value base);

  mlir::Value broadcast(mlir::Value value);

private:
  using Env = llvm::DenseMap<mlir::Value, Emitted>;

  mlir::LogicalResult emitBlock(mlir::Block &block);
  mlir::LogicalResult emitOp(mlir::Operation &op);
  /// Emits what a value needs that is not bound yet.
  mlir::LogicalResult emitSlice(mlir::Value value);
  mlir::LogicalResult emitRead(mlir::seq::ReadOp op);
  mlir::LogicalResult emitReduce(mlir::seq::ReduceOp op);
  mlir::LogicalResult emitUnary(mlir::seq::UnaryOp op);
  mlir::LogicalResult emitBinary(mlir::seq::BinaryOp op);

  // Reads
  mlir::FailureOr<Emitted> affine(mlir::AffineExpr expr, llvm::ArrayRef<Emitted> operands);
  /// All indices of a read, the position first; those that data decide are within their extents.
  mlir::FailureOr<llvm::SmallVector<Emitted>>
  indicesOf(mlir::seq::ReadOp op, const SymbolInfo &info, llvm::ArrayRef<Emitted> operands);
  /// Whether a read is of the walked dim, at the token plus a distance.
  bool isNear(mlir::seq::ReadOp op, const SymbolInfo &info);
  mlir::FailureOr<Emitted> tokenRow(mlir::seq::ReadOp op);
  Emitted readCaller(const CallerMemory &memory, const SymbolInfo &info,
                     llvm::ArrayRef<Emitted> dims);
  /// A read at a position of a sweep.
  mlir::LogicalResult readPair(mlir::seq::ReadOp op, const SymbolInfo &info,
                               llvm::ArrayRef<Emitted> operands);
  void bindExponential(mlir::Operation &op, const PackedExponential &packed);
  Emitted readPacked(const PairBuffer &buffer, const Emitted &position, const SymbolInfo &info,
                     llvm::ArrayRef<Emitted> dims);
  /// A read at any position, of the caller's memory or of what is kept for all positions.
  mlir::FailureOr<Emitted> readPositions(mlir::seq::ReadOp op, const SymbolInfo &info,
                                         llvm::ArrayRef<Emitted> indices);
  /// What a read at positions reads: an element at base + sum of index * stride, its indices below
  /// the extents of an array.
  struct Array {
    mlir::Value memref;
    IndexValue base;
    llvm::SmallVector<IndexValue> strides, extents;
    /// What an index counts from.
    llvm::SmallVector<IndexValue> origins;
  };
  /// The dims along which a read's rows and lanes run.
  struct BlockDims {
    size_t rows, lanes;
  };
  /// Those of a read whose rows follow each other along one dim and its lanes along another one: if
  /// the rows' dim turns out to be contiguous, elements are loaded along it and transposed.
  static std::optional<BlockDims> blockDims(llvm::ArrayRef<Emitted> indices, int64_t rows,
                                            int64_t vectors);
  llvm::SmallVector<mlir::Value>
  loadBlock(const Array &array, llvm::ArrayRef<Emitted> indices, BlockDims dims, int64_t vectors,
            llvm::function_ref<llvm::SmallVector<mlir::Value>()> otherwise);
  mlir::Value orCarried(mlir::Value own, unsigned component, const SymbolInfo &info,
                        llvm::ArrayRef<IndexValue> indices);
  /// Adds a condition to those that say whether an element is there.
  void require(mlir::Value condition, mlir::Value &inside);
  /// `index` limited to [0, extent), and whether it was in there (null when always).
  IndexValue checked(const IndexValue &index, const IndexValue &extent, mlir::Value &inside);
  Emitted toEmitted(ValueKind kind, int64_t rows, int64_t vectors,
                    llvm::ArrayRef<mlir::Value> loaded);

  // Reductions
  struct Shape {
    int64_t rows = 1, vectors = 1;
    bool onLanes = false;
  };
  Shape dependence(mlir::seq::ReduceOp op);
  int64_t laneDim(mlir::seq::ReduceOp op);
  mlir::FailureOr<Emitted> reduceTerm(mlir::seq::ReduceOp op, llvm::ArrayRef<IndexValue> indices,
                                      mlir::Value mask);
  mlir::FailureOr<llvm::SmallVector<mlir::Value>>
  reduceLoops(mlir::seq::ReduceOp op, mlir::seq::ReduceKind kind, int64_t lane,
              llvm::SmallVector<mlir::Value> initial, int64_t rows, int64_t vectors,
              const Emitted *shift);
  mlir::FailureOr<Emitted> reduce(mlir::seq::ReduceOp op, mlir::seq::ReduceKind kind, int64_t lane,
                                  const Emitted *shift);
  /// A sum of quotients n / (1 + exp(x) * exp(y)) with packed exponentials: two share a division.
  bool isOfQuotients(mlir::seq::ReduceOp op);
  mlir::FailureOr<Emitted> reduceQuotients(mlir::seq::ReduceOp op);
  /// A divisor for the indices that `emitter` has, and its numerator: none when the divisor holds
  /// it.
  struct Quotient {
    mlir::Value top, bottom;
  };
  mlir::FailureOr<Quotient> quotientAt(mlir::seq::ReduceOp op, ExprEmitter &emitter);
  mlir::Value atMost(mlir::Value value, double limit);
  /// Adds the quotients at some points of the dims to an accumulator of a row and vector.
  mlir::FailureOr<mlir::Value> addQuotients(mlir::seq::ReduceOp op, int64_t row, int64_t vector,
                                            llvm::ArrayRef<llvm::SmallVector<IndexValue>> points,
                                            mlir::Value sum);

  // Expressions on the ways of a tile
  Emitted &bind(mlir::Value value, Emitted emitted) { return env[value] = std::move(emitted); }
  const Emitted &get(mlir::Value value) { return env.find(value)->second; }
  Emitted map(ValueKind kind, llvm::ArrayRef<const Emitted *> operands,
              llvm::function_ref<mlir::Value(llvm::ArrayRef<mlir::Value>)> emit);
  Emitted mapIndices(llvm::ArrayRef<const Emitted *> operands,
                     llvm::function_ref<IndexValue(llvm::ArrayRef<IndexValue>)> emit);
  void unify(llvm::SmallVectorImpl<mlir::Value> &operands);
  mlir::Value realConstant(double value);
  mlir::Value binary(mlir::seq::BinaryFn fn, mlir::Value lhs, mlir::Value rhs);
  Emitted selectReal(const Emitted &condition, const Emitted &whenTrue, const Emitted &whenFalse);
  Emitted toReal(const Emitted &value);
  Emitted number(mlir::Value value);

  Kernel &kernel;
  Scope &scope;
  Env env;
  /// The token argument of the equation; its number in the sequence once that is needed.
  mlir::Value token;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_EXPRESSIONS_H
