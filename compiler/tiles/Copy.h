//===- Copy.h - moves elements between memories ----------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_COPY_H
#define SEQMIX_COMPILER_TILES_COPY_H

#include "compiler/tiles/Kernel.h"

namespace seqmix {

/// Elements at base + sum of index * stride. `dtype` is the storage type in the caller's memory,
/// null for buffers and carries (compute type or i32).
struct Strided {
  mlir::Value memref;
  IndexValue base = IndexValue::constant(0);
  llvm::SmallVector<IndexValue> strides;
  mlir::Type dtype;
};

/// Copies `sizes` elements, converting between the types of the two sides. Loops run in the order
/// of the dims, but `innermost` (a dim of stride one on one side) comes last and is vectorised when
/// both sides have stride one.
void emitCopy(Kernel &kernel, const Strided &from, const Strided &to,
              llvm::ArrayRef<IndexValue> sizes, int64_t innermost);

/// Sets `sizes` elements to a value of the element type.
void emitFill(Kernel &kernel, const Strided &to, llvm::ArrayRef<IndexValue> sizes, double value);

/// A buffer's elements: dims are [batch elements, rows, the symbol's dims]. Rows count from the
/// buffer's first one.
Strided bufferElements(Kernel &kernel, const BufferLayout &buffer);
/// Sizes of those dims for `rows` rows; the split dim has the task's count.
llvm::SmallVector<IndexValue> bufferSizes(Kernel &kernel, const BufferLayout &buffer,
                                          const IndexValue &rows);
/// The dim of `bufferElements` that is contiguous.
int64_t contiguousDim(const BufferLayout &buffer);

/// The same dims of a tensor or output of the caller, from token `token` on.
Strided callerElements(Kernel &kernel, const CallerMemory &memory, const SymbolInfo &info,
                       const IndexValue &token);

/// Tokens that stand in front of this run's first one in a tensor itself.
mlir::Value tokensBefore(const Kernel &kernel, const SymbolInfo &info);

/// The same dims of a component of the carry at `pointer`; rows are a window's. `stride` is the
/// frame's distance between batch elements.
Strided carryElements(Kernel &kernel, const SymbolInfo &info, mlir::Value pointer,
                      mlir::Value stride);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_COPY_H
