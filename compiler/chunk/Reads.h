//===- Reads.h - which tokens and dims an equation reads ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CHUNK_READS_H
#define SEQMIX_COMPILER_CHUNK_READS_H

#include "dialect/Seq.h"

#include <optional>

namespace seqmix::chunk {

/// The dims of a symbol that can be read: a tensor, definition, produced tensor, or state (whose
/// token dim is not among them).
mlir::ArrayAttr dimsOf(mlir::Operation *symbol);

/// The declaration that a name stands for; never null in verified IR.
mlir::Operation *lookup(mlir::seq::MixerOp mixer, mlir::StringAttr name);
mlir::Operation *lookup(mlir::seq::MixerOp mixer, mlir::FlatSymbolRefAttr name);

/// Whether the source of a read varies over tokens (a state always does).
bool readsToken(mlir::seq::MixerOp mixer, mlir::seq::ReadOp read);

/// Whether a symbol has a value for every pair of positions.
bool hasPairs(mlir::seq::MixerOp mixer, mlir::StringAttr symbol);

/// The run-time dim of the position that a read gives first; null when its source has none.
mlir::FlatSymbolRefAttr positionDim(mlir::seq::MixerOp mixer, mlir::seq::ReadOp read);

/// The place of the read's map (token included) that is `index`, when exactly one place depends on
/// it and with coefficient one.
std::optional<unsigned> placeOf(mlir::seq::ReadOp read, mlir::Value index);

} // namespace seqmix::chunk

#endif // SEQMIX_COMPILER_CHUNK_READS_H
