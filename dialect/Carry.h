//===- Carry.h - what the next token needs --------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_CARRY_H
#define SEQMIX_DIALECT_CARRY_H

#include "dialect/Seq.h"

#include <optional>
#include <string>

namespace mlir::seq {

/// One component of the carry. The oracle, the kernels, the runtime and the manifest all take their
/// order and shapes from here.
struct CarryComponent {
  enum Kind { State, Window };
  Kind kind;
  /// The state's name, or `<tensor>_window`.
  std::string name;
  /// The state, tensor or definition that it belongs to.
  FlatSymbolRefAttr of;
  /// Batch dims in declared order (with the divisors of a `per`), in front of `shape`.
  SmallVector<BatchAttr> batch;
  /// A state's dims; for a window its length in tokens (oldest first), then the features.
  SmallVector<int64_t> shape;
  /// Integers and truth values are carried as i32, everything else in the mixer's compute type.
  bool isInteger = false;
  /// What a sequence without an initial carry starts from.
  double init = 0;
};

/// The components in order: states as declared, then windows in the order in which their tensors
/// are declared. The i32 position of each sequence follows them in every interface. Holds for a
/// mixer at the seq stage; later stages read it from the mixer's `carry_windows` attribute once
/// that is recorded.
SmallVector<CarryComponent> carryComponents(MixerOp mixer);

/// Notes the windows on the mixer, so that stages which move reads about do not change the carry.
/// Run once, on the seq stage.
void recordCarryWindows(MixerOp mixer);

/// The least and greatest c for which a read at token t touches token t + c, over all values of the
/// other indices in its token expression (`x[t-w]` under `sum[w]`). Nothing when the expression is
/// not the token plus indices of fixed dims and constants.
std::optional<std::pair<int64_t, int64_t>> tokenSpan(MixerOp mixer, ReadOp read);

/// The batch dims that a tensor, state, definition or produced tensor varies over, in declared
/// order: a tensor's own, all of them for what comes from a state, and those of what it reads for a
/// definition.
SmallVector<BatchAttr> batchDimsOf(MixerOp mixer, StringRef symbol);

/// Whether the first dim of a declaration is a run-time dim, so that it varies over tokens.
bool isTokenIndexed(MixerOp mixer, ArrayAttr dims);

/// The size of a fixed dim; asserts that it is fixed.
int64_t fixedSize(MixerOp mixer, FlatSymbolRefAttr dim);

} // namespace mlir::seq

#endif // SEQMIX_DIALECT_CARRY_H
