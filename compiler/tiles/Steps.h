//===- Steps.h - the steps of a pass ---------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_STEPS_H
#define SEQMIX_COMPILER_TILES_STEPS_H

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Expressions.h"

namespace seqmix {

/// A definition or the equation of a state.
struct Equation {
  mlir::StringAttr name;
  mlir::Region *body = nullptr, *domain = nullptr;
  const SymbolInfo *info = nullptr;
  mlir::Operation *op = nullptr;
  bool isState() const { return llvm::isa<mlir::seq::NextOp>(op); }
};

/// The equation of `name`; null when there is none.
std::optional<Equation> findEquation(const Kernel &kernel, mlir::StringAttr name);

/// Whether the equations can be computed element by element, each element of one right after that
/// of the one before: they run over the same dims, and what one reads of another it reads at the
/// same indices. `inLoop`: as members of a loop, which has computed the token before.
bool canFuse(llvm::ArrayRef<Equation> group, bool inLoop);

/// Points that the largest reduction in the equations sums over; 1 without reductions.
int64_t largestReduction(const Kernel &kernel, llvm::ArrayRef<Equation> group);

/// Whether a read in an equation is at a position that is not its token plus a distance.
bool isElsewhere(const Kernel &kernel, mlir::seq::ReadOp read);

/// Rows and vectors of a tile for a group of equations over a lane dim of `vectors` vectors.
struct TileShape {
  int64_t rows = 1, vectors = 1;
};
TileShape tileShape(const Kernel &kernel, llvm::ArrayRef<Equation> group, int64_t vectors);

/// Emits all elements of a group of equations for the rows of `scope`. `lane` numbers the dim
/// (without the token dim) along which vectors run, -1 for none. `rowLoop`, when given, is called
/// for each tile of elements to run its argument for all rows; else once, for the scope's rows.
using RowLoop = llvm::function_ref<mlir::LogicalResult(llvm::function_ref<mlir::LogicalResult()>)>;
mlir::LogicalResult emitElements(Kernel &kernel, Scope &scope, llvm::ArrayRef<Equation> group,
                                 int64_t lane, RowLoop rowLoop);

/// Writes an element of an equation to all of its buffers. `mask` as for ExprEmitter::store.
void storeElement(Kernel &kernel, Scope &scope, ExprEmitter &emitter, const Equation &equation,
                  const Emitted &value, llvm::ArrayRef<Emitted> indices);

/// The index of a point or vector of the lanes of a dim; `first` is a multiple of the lanes.
Emitted laneIndices(Kernel &kernel, const IndexValue &first, int64_t size, int64_t vectors);

/// Runs `body` for tiles of `rows` and then single ones of a block's batch elements (once, with
/// element 0, without blocks).
mlir::LogicalResult forBatchTiles(Kernel &kernel, Scope &scope, int64_t rows,
                                  llvm::function_ref<mlir::LogicalResult()> body);

mlir::LogicalResult emitGather(Kernel &kernel, mlir::seq::GatherOp op);
mlir::LogicalResult emitScatter(Kernel &kernel, mlir::seq::ScatterOp op);
/// Consecutive evals that can be fused.
mlir::LogicalResult emitEvals(Kernel &kernel, llvm::ArrayRef<mlir::seq::EvalOp> ops);
mlir::LogicalResult emitLoop(Kernel &kernel, mlir::seq::LoopOp op);
/// The loop with lanes outside and states in registers; `handled` is false (and nothing emitted)
/// if the members do not fit.
mlir::LogicalResult emitLaneLoop(Kernel &kernel, mlir::seq::LoopOp op, bool &handled);
mlir::LogicalResult emitSolve(Kernel &kernel, mlir::seq::SolveOp op);
mlir::LogicalResult emitSweep(Kernel &kernel, mlir::seq::SweepOp op);
void emitConvolve(Kernel &kernel, mlir::seq::ConvolveOp op);

/// Emits one of two branches by a condition known at run time.
void emitIf(Kernel &kernel, mlir::Value condition, llvm::function_ref<void()> whenTrue,
            llvm::function_ref<void()> whenFalse = {});

/// The number of a symbol's component of the carry, or nothing (rows: `rowsOf`); the pointer to
/// read it from, or to write it to (null when not given).
std::optional<unsigned> componentOf(Kernel &kernel, mlir::StringAttr name);
std::optional<unsigned> rowsOf(Kernel &kernel, mlir::StringAttr name);
/// Carried rows: dims are [1, rows, the symbol's dims].
Strided carriedRows(Kernel &kernel, unsigned component, bool write);
mlir::Value carryPointer(Kernel &kernel, unsigned component, bool write);
/// Where a carried row begins, in elements from the component's pointer on; `slot` is its place, in
/// a ring or not.
mlir::Value carriedRow(Kernel &kernel, unsigned component, bool write, mlir::Value slot);
/// Rows from a place on that stand behind each other, in elements of index.
mlir::Value rowsInPage(Kernel &kernel, mlir::Value slot);

/// A state in panels, from the carry or its initial value, or to the carry.
void emitPanels(Kernel &kernel, const BufferLayout &buffer, bool store);

/// States from the carry or their initial values. Rows of computed symbols around the sequence,
/// from windows, initial states or zero: in rows space on the side where the pass comes from, with
/// the chunk's rows known when going backwards; in sequence space on both.
mlir::LogicalResult emitInitialStates(Kernel &kernel);
void emitInitialRows(Kernel &kernel, mlir::seq::PassOp pass, mlir::seq::Space space);
/// Moves the rows that the next chunk looks back to.
void emitShiftRows(Kernel &kernel, mlir::seq::PassOp pass);
/// Windows of definitions that are only made going backwards: what a short sequence leaves of the
/// old one, and the last tokens among the chunk's rows.
void emitOldWindows(Kernel &kernel);
void emitWindowRows(Kernel &kernel, mlir::seq::PassOp pass);
/// States and windows to the carry.
mlir::LogicalResult emitFinalStates(Kernel &kernel);

/// The carry of a state in panels, to read from or to write to.
struct CarryMatrix {
  mlir::Value matrix; // [rows, cols] of the recurrence, or [cols, rows]
  bool colsFirst;
};
/// `matrix` numbers the elements of the outer dims and the inner one.
CarryMatrix carryMatrix(Kernel &kernel, const BufferLayout &state, const IndexValue &matrix,
                        bool write);
/// Whether a single token can go from carry to carry, as these stand.
bool isSteppedInCarry(mlir::seq::AffineOp affine);
/// Whether this run is one token that goes from carry to carry: the state is then not copied to
/// panels, nor are those that are coupled to it.
mlir::Value isStepInCarry(Kernel &kernel, const BufferLayout &state);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_STEPS_H
