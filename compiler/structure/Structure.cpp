//===- Structure.cpp - the structure stage as a list of passes ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"

#include "mlir/Pass/PassManager.h"

namespace seqmix {

void addPairPasses(mlir::OpPassManager &passes, bool gathersBlocks) {
  passes.addPass(createFrontPositions());
  passes.addPass(createUnrollWindows());
  passes.addPass(createReduceTurns());
  // Before maps and domains are written in simpler terms: over positions they stay what they are.
  passes.addPass(createFormPairs({gathersBlocks}));
}

void addStructurePasses(mlir::OpPassManager &passes, int64_t minSize, int64_t lanes,
                        bool gathersBlocks) {
  addPairPasses(passes, gathersBlocks);
  // Classes are found on sums, products and functions only.
  passes.addPass(createNormalize());
  // Before groups are formed: what an affine state makes is no part of any loop.
  passes.addPass(createFindAffine({minSize, lanes}));
  // What factors became definitions for, other equations can read.
  passes.addPass(createShareDefinitions());
  // When definitions are what they will be; the import's form of the equations has no such parts.
  passes.addPass(createFactorPairs());
  // While the equations of each state still stand alone.
  passes.addPass(createSummarise());
  passes.addPass(createFormGroups());
}

} // namespace seqmix
