//===- Passes.cpp - the tiles stage as a pass ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Tiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;
using namespace seqmix;

namespace {
struct ChunksToTilesPass : PassWrapper<ChunksToTilesPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ChunksToTilesPass)

  ChunksToTilesPass() = default;
  ChunksToTilesPass(const ChunksToTilesPass &other) : PassWrapper(other) {}

  StringRef getArgument() const override { return "seq-chunks-to-tiles"; }
  StringRef getDescription() const override { return "turns the kernels of mixers into loops"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                    memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
  }
  void runOnOperation() override {
    SmallVector<seq::MixerOp> mixers(getOperation().getOps<seq::MixerOp>());
    for (auto mixer : mixers) {
      if (failed(emitTiles(mixer, targetInfo(level), getOperation())))
        return signalPassFailure();
      mixer.erase();
    }
  }

  Option<TargetLevel> level{*this, "level", llvm::cl::desc("instruction set"),
                            llvm::cl::init(TargetLevel::Native), targetLevelValues()};
};
} // namespace

void seqmix::registerTilesPasses() { PassRegistration<ChunksToTilesPass>(); }
