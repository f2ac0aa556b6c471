//===- Kernel.h - the function being emitted ------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_KERNEL_H
#define SEQMIX_COMPILER_TILES_KERNEL_H

#include "compiler/tiles/IndexValue.h"
#include "compiler/tiles/Layout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace seqmix {

/// A tensor or output in the caller's memory.
struct CallerMemory {
  mlir::Value pointer;
  /// Flat memref of memoryType(dtype), and the storage type.
  mlir::Value memref;
  mlir::Type dtype;
  /// Strides in elements: between the batch elements of a block, of the token dim (null without
  /// one), and of the other dims.
  mlir::Value blockStride, tokenStride;
  llvm::SmallVector<mlir::Value> strides;
};

/// A run-time dim as the frame gives it: positions in the call's buffers, number of the first one,
/// whole length, positions that stand in front of the first one in the tensors themselves, and what
/// is kept for all positions.
struct Positions {
  mlir::Value tokens, position, length, history, storage;
};

/// One kernel function while it is being filled, with what the entry block loads from the frame.
class Kernel {
public:
  Kernel(mlir::seq::MixerOp mixer, mlir::seq::KernelOp op, const TargetInfo &target,
         const Layout &layout, mlir::func::FuncOp function);

  mlir::seq::MixerOp mixer;
  mlir::seq::KernelOp op;
  const TargetInfo &target;
  const Layout &layout;
  mlir::OpBuilder builder;
  mlir::Location loc;
  mlir::Type real;
  int64_t lanes;

  mlir::Value frame, scratch, shared;
  /// Slots of the frame as indices.
  mlir::Value block, splitBegin, splitCount;
  /// Those of the dim that the pass being emitted walks; outside of passes, of the tokens.
  mlir::Value tokens, position, length, history;
  mlir::StringAttr walked;
  /// Of pairwise reductions whose range of s is in parts; null where the kernel has none that can
  /// be: the number of parts, this task's, where partial results stand, and whether this task only
  /// leaves such, or merges them.
  mlir::Value parts, part, partial, isPart, isMerge;
  /// Of tasks whose rows are reduced together; null where there are none: rows of all of them (in
  /// any other task its tokens), this task's first, and whether it only makes its rows or sweeps
  /// them all.
  mlir::Value groupRows, firstRow, makesRows, sweepsRows;
  /// Where the carry holds rows: the table of their pages (a null pointer when they stand behind
  /// each other), whether there is one, and rows of a page (otherwise more than there ever are).
  mlir::Value pages, isPaged, pageRows;
  /// Positions in front of the call's that the storage of the sequence has room for; null where
  /// nothing is made of them.
  mlir::Value earlier;

  /// The pass being emitted: its direction, first token and number of tokens of the chunk.
  mlir::seq::Direction direction = mlir::seq::Direction::Forward;
  mlir::Value chunkStart, chunkRows;

  /// Makes `dim` the one that is walked.
  void enter(mlir::StringAttr dim);
  const Positions &positions(mlir::StringAttr dim) const { return positionsOf.find(dim)->second; }

  IndexMath index() { return IndexMath(builder, loc, lanes); }
  mlir::Value constant(int64_t value) {
    return mlir::arith::ConstantIndexOp::create(builder, loc, value);
  }
  /// The type of elements of `kind` in buffers, and vectors of it.
  mlir::Type elementType(ValueKind kind) const;
  mlir::VectorType vectorType(mlir::Type element) const {
    return mlir::VectorType::get({lanes}, element);
  }

  /// Begins a chunk of `rows` tokens.
  void enterChunk(mlir::Value start, mlir::Value rows);

  /// Where rows stand, and of which tokens.
  class RowPlaces;
  RowPlaces leaveRows();
  void enterRows(RowPlaces places);
  /// Begins `rows` positions in front of the call's, from number `first` on: none stand in the
  /// caller's memory.
  void enterEarlier(mlir::Value first, mlir::Value rows);
  /// Has the chunk's rows of a buffer that may be in place stand side by side at `pointer`.
  void placeRows(const BufferLayout &buffer, mlir::Value pointer);
  /// Rows of a sequence's buffer from the first that it has room for on, and the number of its
  /// position.
  mlir::Value storedRows(const BufferLayout &buffer);
  mlir::Value firstStored(const Positions &own);

  /// The flat memref of a buffer.
  mlir::Value memref(const BufferLayout &buffer) const { return memrefs.lookup(&buffer); }
  /// A pointer to a buffer's first element.
  mlir::Value pointer(const BufferLayout &buffer);
  /// Elements between two of its rows.
  IndexValue rowStride(const BufferLayout &buffer) const;
  /// Emits what moves a buffer's rows from or to the caller's memory: it runs unless they are
  /// there.
  void unlessInPlace(const BufferLayout &buffer, llvm::function_ref<void()> body);
  /// A pointer into what is kept for the positions of a dim, behind what takes so many bytes each.
  mlir::Value storageAt(const Positions &own, int64_t positionBytes);
  /// The same for the tokens.
  mlir::Value sequenceAt(int64_t tokenBytes);
  const CallerMemory &tensor(mlir::StringAttr name) const { return tensors.find(name)->second; }
  const CallerMemory &output(mlir::StringAttr name) const { return outputs.find(name)->second; }

  /// Element of a buffer at `row` (counted from the chunk's first; ignored without rows), batch
  /// element `batch` and one index a dim.
  IndexValue address(const BufferLayout &buffer, const IndexValue &row, const IndexValue &batch,
                     llvm::ArrayRef<IndexValue> dims);

  /// Runs `body` for 0, step, ... below `count`. The builder stands in the loop meanwhile.
  void forEach(mlir::Value count, int64_t step, llvm::function_ref<void(mlir::Value)> body);
  void forEach(int64_t count, int64_t step, llvm::function_ref<void(IndexValue)> body);

  /// Extent of a dim of a symbol in this task: a constant, or the count of the split dim.
  bool isSplit(mlir::StringAttr dim) const { return layout.split && dim == layout.split; }

private:
  /// Rows that stand in the caller's memory if that is `usable`, else in the scratch region: where
  /// the first token's are and the current chunk's, elements between two rows, and bytes that the
  /// pointer moves on a token.
  struct InPlaceRows {
    mlir::Value usable, start, pointer, stride, step;
  };
  void placeInPlace();
  int64_t bytesOf(const BufferLayout &buffer) const;
  CallerMemory loadCaller(const FrameSlots &slots, int64_t dims, mlir::Type dtype);

  llvm::DenseMap<mlir::StringAttr, Positions> positionsOf;
  llvm::DenseMap<const BufferLayout *, mlir::Value> memrefs;
  llvm::DenseMap<const BufferLayout *, InPlaceRows> inPlace;
  llvm::DenseMap<mlir::StringAttr, CallerMemory> tensors, outputs;
};

class Kernel::RowPlaces {
  friend class Kernel;
  llvm::DenseMap<const BufferLayout *, mlir::Value> memrefs;
  llvm::DenseMap<const BufferLayout *, InPlaceRows> inPlace;
  mlir::Value position, chunkStart, chunkRows;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_KERNEL_H
