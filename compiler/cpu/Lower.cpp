//===- Lower.cpp - from tiles to the llvm dialect ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/Object.h"

#include "compiler/Passes.h"
#include "compiler/cpu/MathExpand.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToSCF/VectorToSCF.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace seqmix;

namespace {
/// Without the instruction a fused multiplication and addition would be a call of libm.
struct SplitFmaPass : PassWrapper<SplitFmaPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(SplitFmaPass)

  StringRef getArgument() const override { return "seq-split-fma"; }
  StringRef getDescription() const override {
    return "rewrites fused multiplications and additions as two operations";
  }
  void runOnOperation() override {
    getOperation()->walk([](Operation *op) {
      if (!isa<math::FmaOp, vector::FMAOp>(op))
        return;
      OpBuilder builder(op);
      Value product =
          arith::MulFOp::create(builder, op->getLoc(), op->getOperand(0), op->getOperand(1));
      Value sum = arith::AddFOp::create(builder, op->getLoc(), product, op->getOperand(2));
      op->replaceAllUsesWith(ValueRange(sum));
      op->erase();
    });
  }
};

void buildPipeline(OpPassManager &manager, const TargetInfo &target) {
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.addPass(cpu::createExpandMathPass({target.hasAvx512, target.hasFma}));
  if (!target.hasFma)
    manager.addPass(std::make_unique<SplitFmaPass>());
  manager.addPass(createConvertVectorToSCFPass());
  manager.addPass(createLoopInvariantCodeMotionPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.addPass(memref::createExpandStridedMetadataPass());
  manager.addPass(createLowerAffinePass());
  manager.addPass(arith::createArithExpandOpsPass());
  manager.addPass(createSCFToControlFlowPass());
  manager.addPass(createConvertVectorToLLVMPass());
  manager.addPass(createConvertToLLVMPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}
} // namespace

LogicalResult seqmix::lowerToLlvm(ModuleOp module, const TargetInfo &target) {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  auto *context = module.getContext();
  context->appendDialectRegistry(registry);
  PassManager manager(context);
  buildPipeline(manager, target);
  return manager.run(module);
}

namespace seqmix {
#define GEN_PASS_DEF_TILESTOLLVM
#include "compiler/Passes.h.inc"

namespace {
struct TilesToLlvm : impl::TilesToLlvmBase<TilesToLlvm> {
  using TilesToLlvmBase::TilesToLlvmBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    registerAllDialects(registry);
    registerAllExtensions(registry);
  }
  void runOnOperation() override {
    auto target = targetLevelNamed(level);
    if (!target) {
      getOperation().emitError("no instruction set is called '") << level << "'";
      return signalPassFailure();
    }
    OpPassManager manager(ModuleOp::getOperationName());
    buildPipeline(manager, targetInfo(*target));
    if (failed(runPipeline(manager, getOperation())))
      signalPassFailure();
  }
};
} // namespace
} // namespace seqmix
