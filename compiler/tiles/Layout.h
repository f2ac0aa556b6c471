//===- Layout.h - where a kernel's data stand ----------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_LAYOUT_H
#define SEQMIX_COMPILER_TILES_LAYOUT_H

#include "compiler/cpu/Target.h"
#include "dialect/Carry.h"
#include "dialect/Seq.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"

namespace seqmix {

/// What a value is: a real in the compute type, an integer, or a truth value. The last two are held
/// in i32.
enum class ValueKind { Real, Integer, Truth };

/// A declaration or equation that has elements: a tensor, definition, produced tensor or state.
struct SymbolInfo {
  mlir::Operation *op = nullptr;
  /// Its first dim is a run-time dim (for a state: it has a value a token).
  bool perToken = false;
  /// That dim (a state's: the dim of the tokens).
  mlir::StringAttr position;
  /// Names and sizes of the dims without the token dim, as declared; the split dim has its full
  /// size here. A further run-time dim has size -1.
  llvm::SmallVector<mlir::StringAttr> dims;
  llvm::SmallVector<int64_t> sizes;
  ValueKind kind = ValueKind::Real;
};

/// A buffer in one of the kernel's regions.
struct BufferLayout {
  mlir::seq::BufferOp op;
  mlir::StringAttr of;
  mlir::seq::Space space;
  /// By number of the symbol's dim (without the token dim): extent (of the split dim its part) and
  /// stride in elements.
  llvm::SmallVector<int64_t> extents, strides;
  /// The dim of stride 1, or -1 when there is none; its extent with padding.
  int64_t contiguous = -1, paddedExtent = 1;
  /// Elements of one token's row; rows of earlier (`halo`) and later (`ahead`) tokens around the
  /// chunk's; rows in all.
  int64_t rowElements = 1, halo = 0, ahead = 0, rows = 1;
  /// Elements between two rows.
  int64_t rowStride = 1;
  /// Elements between two batch elements of a block, 0 without blocks.
  int64_t batchStride = 0;
  /// Elements in all, for the sequence space those of a token.
  int64_t elements = 0;
  ValueKind kind = ValueKind::Real;
  /// A state in panels of columns, which only its solve reads and writes.
  bool panels = false;
  /// A state of which a loop holds the value before the token beside the one after it, `copy`
  /// elements apart; 0 otherwise.
  int64_t copy = 0;
  /// The rows may stand in the caller's memory instead.
  bool inPlace = false;
  /// Position in its region in bytes; in the sequence space bytes a token in front of it.
  int64_t offset = 0;
};

/// Where a tensor, output or carry component stands in the frame.
struct FrameSlots {
  /// Number of the pointer's slot. For tensors and outputs the block stride and one stride a dim
  /// follow; for the carry the pointer to write to and the two block strides.
  int64_t pointer = 0;
  /// The frame holds a stride for the token dim.
  bool perToken = false;
  /// For each dim, the token dim first, which of the strides is its; empty: in order.
  llvm::SmallVector<int64_t> order;
};

/// What an expanded form makes of rows of the carry, for positions in front of the call's.
struct EarlierRows {
  /// Tensors and definitions whose rows the carry holds, and how many of them; -1 for all.
  llvm::SmallVector<mlir::StringAttr> sources;
  int64_t ring = 0;
  /// What makes the others.
  llvm::SmallVector<mlir::seq::EvalOp> steps;
};

/// The layout of all data of one kernel.
class Layout {
public:
  /// Computes sizes and offsets; emits an error at the op concerned and returns failure if the
  /// kernel refers to what it should not.
  static llvm::FailureOr<Layout> compute(mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel,
                                         const TargetInfo &target);

  const SymbolInfo &symbol(mlir::StringAttr name) const { return symbols.find(name)->second; }
  bool isSymbol(mlir::StringAttr name) const { return symbols.contains(name); }
  /// The buffer of `name` in `space`, or null.
  const BufferLayout *buffer(mlir::StringAttr name, mlir::seq::Space space) const;
  /// The buffer that reads outside of loops use: shared, task, rows, sequence, token, in this order
  /// of preference; null when the caller's memory is read.
  const BufferLayout *readable(mlir::StringAttr name) const;
  const llvm::SmallVector<BufferLayout> &buffers() const { return all; }

  const FrameSlots &tensorSlots(mlir::StringAttr name) const { return tensors.find(name)->second; }
  const FrameSlots &outputSlots(mlir::StringAttr name) const { return outputs.find(name)->second; }
  const FrameSlots &carrySlots(unsigned component) const { return carry[component]; }
  llvm::ArrayRef<mlir::seq::CarryComponent> carryComponents() const { return components; }

  /// Bytes of the scratch region, of the shared region, and of the sequence region a token.
  int64_t scratchBytes = 0, sharedBytes = 0, sequenceBytes = 0;
  /// The dim of the tokens; null without run-time dims.
  mlir::StringAttr tokenDim;
  /// The other run-time dims as declared, with the bytes a position of what is kept for them.
  llvm::MapVector<mlir::StringAttr, int64_t> storageBytes;
  /// Where the extent of one of them stands in the frame; the pointer to its storage follows.
  int64_t lengthSlot(mlir::StringAttr dim) const;
  /// Where the solves' scratch stands in the scratch region.
  int64_t solveScratch = 0;
  /// Where the tables of addresses to prefetch stand.
  int64_t prefetchTable = 0;
  /// Where the sweeps' scratch stands in it.
  int64_t sweepScratch = 0;
  /// Where the convolutions' scratch stands in the sequence region: bytes a token in front of it.
  int64_t convolveScratch = 0;
  /// Bytes a token of what parts of the range of s leave; 0 when the sweeps cannot be so divided.
  int64_t partialBytes = 0;
  /// Neighbours along the last batch dim whose tasks may be reduced together, and how many rows.
  int64_t group = 1, groupRows = 0;
  /// Nothing where only the positions of a call are made.
  std::optional<EarlierRows> earlier;
  int64_t chunk = 1, lanes = 1, batchBlock = 1, splitSize = 0;
  mlir::StringAttr split;
  mlir::Type real;

private:
  llvm::LogicalResult collectSymbols(mlir::seq::MixerOp mixer);
  llvm::LogicalResult addBuffer(mlir::seq::BufferOp op);
  void doubleStates(mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel);
  llvm::LogicalResult addSolves(mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel,
                                const TargetInfo &target);
  void findInPlace(mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel);
  void addSweeps(mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel);
  void addConvolutions(mlir::seq::MixerOp mixer, mlir::seq::KernelOp kernel);
  void placeBuffers();
  void placeFrame(mlir::seq::MixerOp mixer);

  llvm::DenseMap<mlir::StringAttr, SymbolInfo> symbols;
  llvm::SmallVector<BufferLayout> all;
  llvm::DenseMap<mlir::StringAttr, FrameSlots> tensors, outputs;
  llvm::SmallVector<FrameSlots> carry;
  llvm::SmallVector<mlir::seq::CarryComponent> components;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_LAYOUT_H
