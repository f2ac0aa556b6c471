//===- Passes.cpp - the tiles stage as a pass ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/tiles/Tiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace seqmix {
#define GEN_PASS_DEF_CHUNKSTOTILES
#include "compiler/Passes.h.inc"

namespace {
struct ChunksToTiles : impl::ChunksToTilesBase<ChunksToTiles> {
  using ChunksToTilesBase::ChunksToTilesBase;

  void runOnOperation() override {
    auto target = targetLevelNamed(level);
    if (!target) {
      getOperation().emitError("no instruction set is called '") << level << "'";
      return signalPassFailure();
    }
    SmallVector<seq::MixerOp> mixers(getOperation().getOps<seq::MixerOp>());
    for (auto mixer : mixers) {
      if (failed(emitTiles(mixer, targetInfo(*target), getOperation())))
        return signalPassFailure();
      mixer.erase();
    }
  }
};
} // namespace
} // namespace seqmix
