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
  enum Kind { State, Window, Rows };
  Kind kind;
  /// The state's name, `<tensor>_window` or `<tensor>_rows`.
  std::string name;
  /// The state, tensor or definition that it belongs to.
  FlatSymbolRefAttr of;
  /// Batch dims in declared order (with the divisors of a `per`), in front of `shape`.
  SmallVector<BatchAttr> batch;
  /// A state's dims; for a window its length in tokens (oldest first), then the features; for rows
  /// their number, then the features. Rows are as many as the caller has room for (-1): that of
  /// position n is number n. Or there are only the last W, and it is number n % W.
  SmallVector<int64_t> shape;
  /// Rows of a tensor: its storage type; null: the compute type, or i32.
  Type storage;
  /// Integers and truth values are carried as i32, everything else in the mixer's compute type.
  bool isInteger = false;
  /// What a sequence without an initial carry starts from.
  double init = 0;
};

/// The components in order: states as declared, then windows, then rows, in the order in which
/// their tensors are declared. The i64 position of each sequence follows them in every interface.
/// Holds for a mixer at the seq stage; later stages read it from the mixer's attributes once they
/// are recorded.
SmallVector<CarryComponent> carryComponents(MixerOp mixer);

/// Notes that the rows of a tensor or definition over tokens are carried: of all tokens (0), or of
/// the last `ring`.
void recordCarryRows(MixerOp mixer, StringAttr symbol, int64_t ring);

/// Notes the windows and the token dim on the mixer, so that stages which move reads about do not
/// change the carry.
/// Run once, on the seq stage.
void recordCarryWindows(MixerOp mixer);

/// Notes the carry of one mixer on another, whose own equations would need a different one.
void copyCarry(MixerOp from, MixerOp to);

/// The form of a mixer that makes what pairs read at s of other rows (`form_of`), or null.
MixerOp expandedFormOf(MixerOp mixer);

/// The least and greatest c for which a read at token t touches token t + c, over all values of the
/// other indices in its token expression (`x[t-w]` under `sum[w]`). Nothing when the expression is
/// not the token plus indices of fixed dims and constants.
std::optional<std::pair<int64_t, int64_t>> tokenSpan(MixerOp mixer, ReadOp read);

/// Forgets the recorded windows of what `isWanted` does not name.
void keepCarryWindows(MixerOp mixer, llvm::function_ref<bool(StringAttr)> isWanted);

/// The batch dims that a tensor, state, definition or produced tensor varies over, in declared
/// order: a tensor's own, all of them for what comes from a state, and those of what it reads for a
/// definition.
SmallVector<BatchAttr> batchDimsOf(MixerOp mixer, StringRef symbol);

/// The dim of the tokens: that of the states, else of the first output or input over a run-time
/// dim; null when there is none. Recorded with the windows.
FlatSymbolRefAttr tokenDimOf(MixerOp mixer);

/// Whether equations reduce over all tokens. Such a sequence is one call, unless earlier rows are
/// carried.
bool reducesOverTokens(MixerOp mixer);
bool carriesRows(MixerOp mixer);

/// Whether an input or definition is read at a token that is not the reading equation's plus a
/// distance. Without rows in the carry such a sequence is one call, too.
bool isFarRead(MixerOp mixer, ReadOp read);
bool readsFarTokens(MixerOp mixer);

/// On a tensor whose dims stand in another order than declared: the number of each as declared.
inline constexpr llvm::StringLiteral kTensorOrder = "seq.order";

/// Whether the first dim of a declaration is a run-time dim, so that it varies over tokens.
bool isTokenIndexed(MixerOp mixer, ArrayAttr dims);

/// The size of a fixed dim; asserts that it is fixed.
int64_t fixedSize(MixerOp mixer, FlatSymbolRefAttr dim);

} // namespace mlir::seq

#endif // SEQMIX_DIALECT_CARRY_H
