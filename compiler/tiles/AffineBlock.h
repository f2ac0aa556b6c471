//===- AffineBlock.h - block form of the canonical affine recurrence ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Emits the loops that advance one matrix state, or several coupled ones, over the tokens of a
// chunk, for the whole of `seq.affine`:
//
//   S_t[i,j] = a_t[i] c_t[j] S_{t-1}[i,j] + sum_m left_m,t[i] w_m,t[j]
//   w_m,t[j] = sum over terms of coef_t[j] * (right_t[j] or U_x,t[j])
//   U_x,t[j] = sum_i row_x,t[i] S_{t-1 or t}[i,j]
//
// Coupled states are the components S^a of one state with as many times the rows:
//
//   S^a_t[i,j] = c_t[j] sum_b d^ab_t[i] S^b_{t-1}[i,j] + sum_m left^a_m,t[i] w_m,t[j]
//   U_x,t[j] = sum_a sum_i row^a_x,t[i] S^a_{t-1 or t}[i,j]
//
// What is absent of d, left and row is zero, and costs nothing where products of d keep it so.
//
// Reads of elements take what the reads above cannot, for results only:
//
//   Y_e,t[j] = sum_i weight_e,t[i,j] S_{t-1 or t}[i,j]
//   Y_e,t[i] = sum_j weight_e,t[j] S_{t-1 or t}[i,j], or with weight_e,t[i,j]
//
// `block` tokens are folded into one sweep over the state: the products of decays inside a block
// are running products (never a quotient, never an exponential), so that any decay is exact: 0,
// negative, larger than 1. Of coupled states they are products of matrices, for every row. Where
// elements are read, a row of the state takes the tokens of a block one after the other in
// registers. Sums over columns are added up panel by panel, in this order.
//
// The state is swept in panels of `panel` vectors of columns. The layout of each component is one
// of
//   panels: memref<P x K x W>, W = panel * lanes, P = ceil(V / W); unused columns hold anything
//   plain:  memref<K x V'>, any static row stride, V' >= V rounded up to lanes, last stride 1
// A plain state may be the caller's memory (updated in place) when V is a multiple of lanes.
//
// Rows buffers hold one row a token in the order of time (`descending` visits them from the last to
// the first): memref<N x F'>, F' >= the features rounded up to lanes, last stride 1, any static row
// stride (0: the same row for all tokens), any offset. The padding may hold anything. A factor that
// is constant over its features is a memref<N> (stride static). All are of the spec's element type.
//
//===----------------------------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_AFFINEBLOCK_H
#define SEQMIX_COMPILER_TILES_AFFINEBLOCK_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"

namespace seqmix {

/// One summand of the right factor of an update: coef * right, or coef * U of the read `read`,
/// which must be `before`. An absent coef is 1.
struct AffineTerm {
  bool coef = false;
  int64_t read = -1;
};

/// Which components of a state a factor over the rows exists for.
using AffineComponents = llvm::SmallVector<bool, 2>;

struct AffineUpdate {
  llvm::SmallVector<AffineTerm> terms;
  AffineComponents of = {true};
};

/// A read of the state before or after its token's update; without `result` only updates use it.
struct AffineRead {
  bool before = false;
  bool result = true;
  AffineComponents of = {true};
};

/// A sum of elements of the state for a result: over the rows, with a weight for every element
/// (`elements` then is true), or over the columns.
struct AffineElementRead {
  bool columns = false;  // what is summed over
  bool elements = false; // whether the weight is one for every element, not for every column
  bool perToken = true;  // or of every element, the same for all tokens
  bool before = false;
  AffineComponents of = {true};
};

/// `Coupled` is that of several components; a single one has one of the others.
enum class RowDecay { None, Scalar, PerRow, Coupled };

/// The shape of a recurrence and of the code for it: what a cost model needs to know.
struct AffineBlockSpec {
  int64_t rows = 0; // K: contracted by the reads
  int64_t cols = 0; // V
  RowDecay rowDecay = RowDecay::None;
  int64_t components = 1;
  llvm::SmallVector<bool> coupling; // of several components: which d^ab exist, by a, then b
  bool colDecay = false;
  llvm::SmallVector<AffineUpdate> updates; // at least one
  llvm::SmallVector<AffineRead> reads;     // none where only the last state counts
  llvm::SmallVector<AffineElementRead> elements;
  bool descending = false; // from the last row to the first
  mlir::FloatType element; // f32 or f64
  int64_t lanes = 16;      // of a vector: a power of two, 2 to 16
  int64_t block = 4;       // B: tokens a sweep, 1 to 8
  int64_t panel = 2;       // vectors of columns a sweep
  int64_t registers = 32;  // vector registers of the target
};

struct AffineTermBuffers {
  mlir::Value coef;  // memref<N> or memref<N x V'>; null when absent
  mlir::Value right; // null for a term that uses a read
};

struct AffineUpdateBuffers {
  llvm::SmallVector<mlir::Value, 2> lefts; // by component: memref<N x K'>, null when absent
  llvm::SmallVector<AffineTermBuffers> terms;
};

struct AffineReadBuffers {
  llvm::SmallVector<mlir::Value, 2> rows; // by component: memref<N x K'>, null when absent
  mlir::Value result;                     // memref<N x V'>, written; null without a result
};

struct AffineElementBuffers {
  /// By component: memref<N> or memref<N x V'>; of every element memref<N x K x V'>, with a stride
  /// of 0 from token to token if these have the same.
  llvm::SmallVector<mlir::Value, 2> weights;
  mlir::Value result; // memref<N x V'>, of sums over columns memref<N x K'>; written
};

struct AffineBlockBuffers {
  mlir::Value rowDecay;                    // memref<N> or memref<N x K'>
  llvm::SmallVector<mlir::Value> coupling; // d^ab by a, then b, each as a row decay; null: absent
  mlir::Value colDecay;                    // memref<N x V'>
  llvm::SmallVector<AffineUpdateBuffers> updates;
  llvm::SmallVector<AffineReadBuffers> reads;
  llvm::SmallVector<AffineElementBuffers> elements;
  llvm::SmallVector<mlir::Value, 2> states; // by component
  mlir::Value
      scratch; // memref<affineScratchSize x element>, contents undefined; may be shared by calls
};

/// Chooses `block` and `panel` (and nothing else) by counting the instructions of a sweep, of the
/// products inside a block and of the solve, under the limit of vector registers.
AffineBlockSpec chooseBlock(AffineBlockSpec spec);

/// Elements of scratch for chunks of at most `rows` tokens.
int64_t affineScratchSize(const AffineBlockSpec &spec, int64_t rows);

/// The panel layout of a component: [ceil(cols / (panel * lanes)), rows, panel * lanes].
mlir::MemRefType affineStateType(const AffineBlockSpec &spec);

/// Emits code that is to run beside one of the pieces of a block's sweep over a panel. All three
/// are numbers, that of the piece below affinePieces.
using AffineBesides =
    llvm::function_ref<void(mlir::Value panel, mlir::Value block, mlir::Value piece)>;

/// Advances the state over the rows [0, rows) of the buffers and writes the results. `rows` is an
/// index from 0 to the size the scratch was made for; it need not be a multiple of the block: the
/// rest runs token by token. Nothing is read or written at or beyond row `rows`.
void emitAffineRows(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                    const AffineBlockBuffers &buffers, mlir::Value rows,
                    AffineBesides besides = {});

/// Panels in which emitAffineRows sweeps the state, and pieces of the sweep over one.
int64_t affinePanels(const AffineBlockSpec &spec);
int64_t affinePieces(const AffineBlockSpec &spec);

/// Copies between a carry of rank 2 and the panels of one component. The carry is [rows, cols], or
/// [cols, rows] with `colsFirst`; its last stride is 1, the other may be dynamic. Nothing outside
/// its K x V elements is touched.
void emitStateLoad(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                   mlir::Value carry, bool colsFirst, mlir::Value panels);
void emitStateStore(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                    mlir::Value panels, mlir::Value carry, bool colsFirst);

/// What loading the state, emitAffineRows for the one row 0 and storing the state do, without
/// panels: reads the carries `from` and writes the carries `to`, by component, which may be the
/// same memory. Ignores the buffers' states and scratch, and the spec's block and panel. Several
/// components are not `colsFirst`, nor is a state whose elements are read.
void emitAffineStep(mlir::OpBuilder &builder, mlir::Location loc, const AffineBlockSpec &spec,
                    const AffineBlockBuffers &buffers, mlir::ValueRange from, mlir::ValueRange to,
                    bool colsFirst);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_AFFINEBLOCK_H
