//===- Pipeline.cpp - the order of the passes on tiles ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathExpand.h"
#include "compiler/gpu/Passes.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace seqmix {

void addTilePasses(OpPassManager &passes) {
  passes.addPass(createTilePipelineCopies());
  passes.addPass(createTileExpandSolves());
  passes.addPass(createTileAssignLayouts());
  passes.addPass(createTileExpandConverts());
  passes.addPass(createTileAllocateShared());
  passes.addPass(createTileInsertBarriers());
  passes.addPass(createTileToNvvm());
  passes.addPass(cpu::createExpandMathPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
}

} // namespace seqmix
