//===- VerifySupport.h - what the verifiers ask of a mixer ----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_VERIFYSUPPORT_H
#define SEQMIX_DIALECT_VERIFYSUPPORT_H

#include "dialect/Seq.h"

namespace mlir::seq::verify {

/// What a symbol names in the mixer around `from`; null when there is no such mixer or symbol.
Operation *find(Operation *from, FlatSymbolRefAttr symbol);

/// The same, null also when it is of another kind.
template <typename Op> Op findAs(Operation *from, FlatSymbolRefAttr symbol) {
  return llvm::dyn_cast_or_null<Op>(find(from, symbol));
}

/// The equation or canonical recurrence of a state; null when there is none.
NextOp findNext(Operation *from, FlatSymbolRefAttr state);
AffineOp findAffine(Operation *from, FlatSymbolRefAttr state);

/// The dims of a tensor, state, definition or produced tensor, without the token of a state; null
/// for anything else.
ArrayAttr dimsOf(Operation *op);

/// Whether a symbol names a dim of that kind.
bool isDim(Operation *from, Attribute symbol, DimKind kind);

/// Emits an error on `op` unless every one of `dims` names a fixed or run-time dim.
LogicalResult checkDims(Operation *op, ArrayAttr dims);

/// The attributes that name symbols, each once.
bool allDifferent(ArrayAttr symbols);

/// Checks the mixer that a summary is of, and that transitions stand in a summary only.
LogicalResult checkSummary(MixerOp mixer);
LogicalResult checkForm(MixerOp mixer);

} // namespace mlir::seq::verify

#endif // SEQMIX_DIALECT_VERIFYSUPPORT_H
