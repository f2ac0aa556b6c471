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

/// Whether the sweep takes tokens one after the other, so that elements can be read between them.
inline bool readsElements(const AffineBlockSpec &spec) { return !spec.elements.empty(); }
inline bool sumsColumns(const AffineBlockSpec &spec) {
  return llvm::any_of(spec.elements, [](auto &read) { return read.columns; });
}
/// Sums over rows of elements: they are accumulated along a sweep.
inline int64_t elementSums(const AffineBlockSpec &spec) {
  return llvm::count_if(spec.elements, [](auto &read) { return !read.columns; });
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
  /// Row r of each component times the decays of the token at `row`, by component and vector.
  /// `decay` is that of a single component, or null.
  void decayRow(mlir::Value row, mlir::Value r, mlir::Value decay,
                llvm::ArrayRef<mlir::Value> columnDecay, llvm::MutableArrayRef<Values> state) const;
  /// Adds the update of the token at `row`, with `w` by update and vector.
  void updateRow(mlir::Value row, mlir::Value r,
                 llvm::function_ref<mlir::Value(int64_t, int64_t)> w,
                 llvm::MutableArrayRef<Values> state) const;
  /// The numbers of the reads that are `before` or not.
  llvm::SmallVector<int64_t> readsThatAre(bool before) const;

  const AffineBlockBuffers &buffers;
};

/// Reads of elements, for the rows of a panel one after the other. A group of up to `groupRows`
/// rows shares the sums across lanes of its sums over columns.
class ElementReads {
public:
  ElementReads(const AffineGenerator &generator, const StatePanel &panel, int64_t tokens,
               int64_t groupRows);

  /// Starts row `r`, the `place`-th of its group. `row` is that of the buffers for token 0.
  void beginRow(mlir::Value r, int64_t place, mlir::Value row);
  /// Reads the row of the state, by component and vector, at a token; `sums` are those over rows.
  void read(int64_t token, bool before, llvm::ArrayRef<Values> state,
            llvm::MutableArrayRef<mlir::Value> sums);
  /// Ends the group: adds its sums over columns to the results. `row` as for beginRow.
  void endGroup(mlir::Value row);
  /// Accumulators of sums over rows: by such read, token, vector.
  int64_t sumCount() const { return elementSums(spec) * tokens * panel.vectors; }
  void storeSums(mlir::Value row, llvm::ArrayRef<mlir::Value> sums);

private:
  mlir::Value weight(int64_t read, int64_t component, int64_t token, int64_t vector);
  void addToResult(mlir::Value result, mlir::Value row, llvm::ArrayRef<mlir::Value> lanes,
                   int64_t token);

  const AffineGenerator &generator;
  const AffineBlockSpec &spec;
  const StatePanel &panel;
  int64_t tokens, groupRows, placeInGroup = 0;
  mlir::Value first, r, row; // the group's first row, this row, its buffers' row
  Values across;             // by read, token, row of the group: not yet summed over lanes
  llvm::SmallVector<Values> ofElement; // by read: weights that all tokens share
};

/// Sets the results that sums over columns are added to, of the rows [0, rows), to zero.
void emitClearColumnSums(const AffineGenerator &generator, mlir::Value rows);

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
