//===- seq-opt.cpp - runs single passes on the IR ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/cpu/MathExpand.h"
#include "compiler/gpu/Passes.h"
#include "dialect/Seq.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::registerAllPasses();
  seqmix::registerSeqmixPasses();
  seqmix::registerSeqmixGpuPasses();
  mlir::PassPipelineRegistration<>("tile-to-llvm", "from tiles to the llvm and nvvm dialects",
                                   seqmix::addTilePasses);
  seqmix::cpu::registerExpandMathPass();
  mlir::DialectRegistry registry;
  registry.insert<mlir::seq::SeqDialect, mlir::tile::TileDialect>();
  mlir::registerAllDialects(registry);
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Seqmix pass driver\n", registry));
}
