//===- Buffers.h - how arrays of a call are laid out ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REFERENCE_BUFFERS_H
#define SEQMIX_COMPILER_REFERENCE_BUFFERS_H

#include "compiler/reference/Array.h"
#include "compiler/reference/Program.h"

#include "llvm/Support/Error.h"

#include <string>

namespace seqmix::reference {

/// One dim of a caller's buffer: a batch dim (divided by `div`) or the dim at `position` of the
/// declaration.
struct Axis {
  bool isBatch = false;
  std::string dim;
  int64_t div = 1;
  unsigned position = 0;
};

/// What a call gives or takes under a name: its axes in the order of the buffer.
struct Buffer {
  std::string name;
  std::vector<Axis> axes;
  bool isParam = false;
  /// Dims of the declaration, in its order.
  std::vector<std::string> dims;
};

/// Inputs and params, then outputs, with their axes. Outputs are named by their source.
std::vector<Buffer> inputBuffers(mlir::seq::MixerOp mixer);
std::vector<Buffer> outputBuffers(mlir::seq::MixerOp mixer);

/// The dim of the tokens: that of the recurrences, else the first run-time dim of an output, else
/// of any input; empty when there is none.
std::string tokenDim(mlir::seq::MixerOp mixer);

/// The extents of a call by dim: of batch dims and run-time dims as the buffers have them.
using Extents = std::map<std::string, int64_t>;

/// Reads the extents from the inputs and checks that everything fits; `others` has those of dims
/// that no input has.
llvm::Expected<Extents> inferExtents(mlir::seq::MixerOp mixer, const Arrays &inputs,
                                     const Extents &others = {});

/// The extent of a run-time dim that is made from others, given the lengths of those.
int64_t derivedExtent(mlir::seq::DimOp dim, llvm::function_ref<int64_t(llvm::StringRef)> length);

/// An error with that text.
llvm::Error makeError(const std::string &text);

/// Pairs the elements of a buffer with those of a variable, for one batch element: `rows` elements
/// of the first dim, from `begin` on in the buffer and from `row` on in the variable. `visit` gets
/// both offsets.
void forEachElement(const Buffer &buffer, llvm::ArrayRef<int64_t> shape,
                    const std::map<std::string, int64_t> &batchIndex, int64_t begin,
                    const Variable &variable, int64_t row, int64_t rows,
                    llvm::function_ref<void(int64_t, int64_t)> visit);

} // namespace seqmix::reference

#endif // SEQMIX_COMPILER_REFERENCE_BUFFERS_H
