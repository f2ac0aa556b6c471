//===- Tiles.h - from a kernel's schedule to loops -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_TILES_H
#define SEQMIX_COMPILER_TILES_TILES_H

#include "compiler/cpu/Target.h"
#include "dialect/Seq.h"

#include "mlir/IR/BuiltinOps.h"

namespace seqmix {

/// Attributes of the functions that emitTiles makes: bytes of each region of the frame.
inline constexpr llvm::StringLiteral kScratchBytes = "seq.scratch_bytes";
inline constexpr llvm::StringLiteral kSharedBytes = "seq.shared_bytes";
inline constexpr llvm::StringLiteral kSequenceBytes = "seq.sequence_bytes_a_token";
inline constexpr llvm::StringLiteral kPartialBytes = "seq.partial_bytes_a_token";
/// By name of a run-time dim other than the token dim, where there are any.
inline constexpr llvm::StringLiteral kGroup = "seq.group";
inline constexpr llvm::StringLiteral kGroupRows = "seq.group_rows";
inline constexpr llvm::StringLiteral kStorageBytes = "seq.storage_bytes_a_position";
/// Set where a kernel finds the carry's rows through a table of pages.
inline constexpr llvm::StringLiteral kTakesPages = "seq.takes_pages";
/// Set where a kernel makes what it reads of earlier positions from the carry's rows, in the
/// storage of the sequence.
inline constexpr llvm::StringLiteral kMakesEarlier = "seq.makes_earlier";

/// Whether the kernel of an expanded form makes what it reads of earlier positions, too.
bool makesEarlierRows(mlir::seq::MixerOp mixer, const TargetInfo &target);

/// Emits the `seq.kernel` of a mixer as functions `NAME.forward` and, with a shared prologue,
/// `NAME.shared` (followed by `suffix`) at the end of `into`. Both take the frame's pointer.
/// Reports what has no code at the op concerned.
llvm::LogicalResult emitTiles(mlir::seq::MixerOp mixer, const TargetInfo &target,
                              mlir::ModuleOp into, llvm::StringRef suffix = "");

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_TILES_H
