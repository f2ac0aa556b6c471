//===- AffineBlockEmitter.h - what the generators of recurrences share ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Private to AffineBlock*.cpp: short names for the operations the generators are made of, and
// access to rows buffers and the state.
//
//===----------------------------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_AFFINEBLOCKEMITTER_H
#define SEQMIX_COMPILER_TILES_AFFINEBLOCKEMITTER_H

#include "compiler/tiles/AffineBlock.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace seqmix {

using Values = llvm::SmallVector<mlir::Value>;

class AffineEmitter {
public:
  AffineEmitter(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec)
      : builder(builder), loc(loc), spec(spec),
        vectorType(mlir::VectorType::get({spec.lanes}, spec.element)) {}

  // Indices.
  mlir::Value index(int64_t value) const;
  mlir::Value add(mlir::Value a, mlir::Value b) const;
  mlir::Value add(mlir::Value a, int64_t b) const { return b == 0 ? a : add(a, index(b)); }
  mlir::Value mul(mlir::Value a, int64_t b) const;

  // Vectors and scalars of the element type.
  mlir::Value splat(double value) const;
  mlir::Value broadcast(mlir::Value scalar) const;
  mlir::Value fma(mlir::Value a, mlir::Value b, mlir::Value c) const;
  mlir::Value product(mlir::Value a, mlir::Value b) const;
  mlir::Value sum(mlir::Value a, mlir::Value b) const;
  mlir::Value select(mlir::Value mask, mlir::Value a, mlir::Value b) const;
  mlir::Value shuffle(mlir::Value a, mlir::Value b, llvm::ArrayRef<int64_t> mask) const;
  /// A constant vector<lanes x i1>.
  mlir::Value mask(llvm::function_ref<bool(int64_t)> lane) const;
  /// Lane l of vector k holds the sum over the lanes of inputs[k * lanes + l].
  Values sumLanes(llvm::ArrayRef<mlir::Value> inputs) const;

  // Memory. A rows buffer of rank 1 is constant over its features.
  mlir::Value load(mlir::Value memref, mlir::ValueRange indices) const;
  void store(mlir::Value vector, mlir::Value memref, mlir::ValueRange indices) const;
  /// The first `valid` lanes; the others are 0, and nothing is touched.
  mlir::Value load(mlir::Value memref, mlir::ValueRange indices, int64_t valid) const;
  void store(mlir::Value vector, mlir::Value memref, mlir::ValueRange indices, int64_t valid) const;
  mlir::Value loadScalar(mlir::Value memref, mlir::ValueRange indices) const;
  mlir::Value loadRow(mlir::Value buffer, mlir::Value row, mlir::Value feature) const;
  mlir::Value broadcastRow(mlir::Value buffer, mlir::Value row, mlir::Value feature) const;

  /// for (i = lower; i < upper; i += step) carried = body(i, carried)
  using LoopBody = llvm::function_ref<Values(mlir::Value, mlir::ValueRange)>;
  Values loop(mlir::Value lower, mlir::Value upper, int64_t step, mlir::ValueRange carried,
              LoopBody body) const;
  /// A loop from 0 to a constant, `unroll` steps an iteration, the rest behind it. The body is also
  /// told which of the `unroll` copies it is.
  using UnrolledBody = llvm::function_ref<Values(mlir::Value, int64_t, mlir::ValueRange)>;
  Values unrolledLoop(int64_t upper, int64_t unroll, mlir::ValueRange carried,
                      UnrolledBody body) const;

  mlir::OpBuilder &builder;
  mlir::Location loc;
  const AffineBlockSpec &spec;
  mlir::VectorType vectorType;
};

/// Whether rows of reads and updates are scaled by the decays beforehand.
inline bool scalesRows(const AffineBlockSpec &spec) {
  return spec.rowDecay == RowDecay::PerRow || spec.rowDecay == RowDecay::Coupled;
}

/// A panel of the state: `vectors` vectors of columns from `column` on, the last with `lastLanes`
/// that exist in memory.
struct StatePanel {
  mlir::Value number, column;
  int64_t vectors, lastLanes;
};

/// What the generators share beyond single operations: the buffers, and one token's terms.
class AffineGenerator : public AffineEmitter {
public:
  AffineGenerator(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                  const AffineBlockBuffers &buffers)
      : AffineEmitter(builder, loc, spec), buffers(buffers) {}

  /// Runs `body` for every panel of `vectors` vectors and for the narrower last one. With `exact`
  /// nothing beyond the last column exists.
  void forEachPanel(int64_t vectors, bool exact,
                    llvm::function_ref<void(const StatePanel &)> body) const;
  mlir::Value loadState(mlir::Value state, const StatePanel &panel, mlir::Value row,
                        int64_t vector) const;
  void storeState(mlir::Value value, mlir::Value state, const StatePanel &panel, mlir::Value row,
                  int64_t vector) const;
  mlir::Value columnOf(const StatePanel &panel, int64_t vector) const {
    return add(panel.column, vector * spec.lanes);
  }
  /// The row of the buffers that stands `steps` tokens after `row` in the order of execution.
  mlir::Value later(mlir::Value row, int64_t steps) const {
    return add(row, spec.descending ? -steps : steps);
  }
  /// w of update `m` at the token of `row`, in the columns of one vector; `reads` holds U by read.
  mlir::Value rightFactor(int64_t m, mlir::Value row, mlir::Value column,
                          llvm::ArrayRef<mlir::Value> reads) const;
  /// Whether d^ab exists.
  bool isCoupled(int64_t to, int64_t from) const {
    return spec.coupling[to * spec.components + from];
  }
  /// The sum over b of d^ab x^b, for each a; null for zero. `decays` by a, then b.
  Values mixed(llvm::ArrayRef<mlir::Value> decays, llvm::ArrayRef<mlir::Value> x) const;
  /// The numbers of the reads that are `before` or not.
  llvm::SmallVector<int64_t> readsThatAre(bool before) const;

  const AffineBlockBuffers &buffers;
};

/// Whether a state is [rows, cols] and not in panels.
inline bool isPlainState(mlir::Value state) {
  return mlir::cast<mlir::MemRefType>(state.getType()).getRank() == 2;
}

/// Runs `count` tokens one by one, the first at `row`. Reads after the update see the new state
/// itself, so that nothing but the state and the rows is touched.
void emitTokens(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                const AffineBlockBuffers &buffers, mlir::Value row, mlir::Value count);

/// emitAffineStep of a state [cols, rows]: vectors along the rows.
void emitStepAlongRows(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                       const AffineBlockBuffers &buffers, mlir::Value from, mlir::Value to);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_AFFINEBLOCKEMITTER_H
