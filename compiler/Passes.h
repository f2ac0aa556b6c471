//===- Passes.h - the passes of the compiler ------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_PASSES_H
#define SEQMIX_COMPILER_PASSES_H

#include "dialect/Seq.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace seqmix {

#define GEN_PASS_DECL
#include "compiler/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "compiler/Passes.h.inc"

/// Adds the passes that give reductions over positions their form, the first ones of the structure
/// stage.
/// Positions of chosen blocks are gathered, or else pairs that count.
void addPairPasses(mlir::OpPassManager &passes, bool gathersBlocks = true);

/// Adds the passes from the seq stage to the structure stage, in order. Block form is chosen for
/// states with at least `minSize` rows and columns whose shape the tiles of `lanes` elements take
/// (0: any).
void addStructurePasses(mlir::OpPassManager &passes, int64_t minSize = 8, int64_t lanes = 16,
                        bool gathersBlocks = true);

} // namespace seqmix

#endif // SEQMIX_COMPILER_PASSES_H
