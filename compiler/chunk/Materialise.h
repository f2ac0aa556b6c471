//===- Materialise.h - decides which values get a name ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CHUNK_MATERIALISE_H
#define SEQMIX_COMPILER_CHUNK_MATERIALISE_H

#include "dialect/Seq.h"

namespace seqmix {

/// Rewrites the equations of a mixer at the structure stage so that each remaining definition is
/// worth a buffer: definitions that are cheaper to compute where they are used are inlined, and
/// expensive parts of an equation that vary over fewer indices than the equation become definitions
/// of their own.
void materialise(mlir::seq::MixerOp mixer);

} // namespace seqmix

#endif // SEQMIX_COMPILER_CHUNK_MATERIALISE_H
