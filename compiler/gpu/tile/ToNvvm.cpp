//===- ToNvvm.cpp - tiles to the registers of NVIDIA's threads ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/ToNvvm.h"
#include "compiler/gpu/Passes.h"
#include "dialect/Seq.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILETONVVM
#include "compiler/gpu/Passes.h.inc"

namespace {

struct TileToNvvm : impl::TileToNvvmBase<TileToNvvm> {
  using TileToNvvmBase::TileToNvvmBase;

  void runOnOperation() override {
    SmallVector<LLVM::LLVMFuncOp> kernels;
    getOperation()->walk([&](LLVM::LLVMFuncOp function) {
      if (function->hasAttr(warpsName))
        kernels.push_back(function);
    });
    for (LLVM::LLVMFuncOp kernel : kernels)
      if (failed(checkLayouts(kernel)) || failed(lower(kernel)))
        return signalPassFailure();
  }

  /// Every tile has a layout and every shared tile a place, or a pass before this one is missing.
  static LogicalResult checkLayouts(LLVM::LLVMFuncOp kernel) {
    WalkResult walk = kernel.walk([](Operation *op) {
      for (Type type : op->getResultTypes())
        if (isa<RankedTensorType>(type) && !layoutOf(type)) {
          op->emitError("has a tile without layout: tile-assign-layouts has not run");
          return WalkResult::interrupt();
        }
      if (auto alloc = dyn_cast<AllocSmemOp>(op); alloc && !alloc.getOffset()) {
        op->emitError("has no place in shared memory: tile-allocate-shared has not run");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    return failure(walk.wasInterrupted());
  }

  /// The memory that a launch gives to kernels with shared tiles; swizzles count from multiples of
  /// 1024 bytes.
  static void declareShared(LLVM::LLVMFuncOp kernel) {
    Operation *module = kernel->getParentOp();
    if (!kernel->hasAttr(sharedBytesName) || SymbolTable::lookupSymbolIn(module, gpu::sharedSymbol))
      return;
    OpBuilder builder(kernel);
    auto type = LLVM::LLVMArrayType::get(builder.getI8Type(), 0);
    LLVM::GlobalOp::create(builder, kernel.getLoc(), type, /*isConstant=*/false,
                           LLVM::Linkage::External, gpu::sharedSymbol, Attribute(),
                           /*alignment=*/1024, /*addrSpace=*/3);
  }

  static bool hasDots(LLVM::LLVMFuncOp kernel) {
    return kernel.walk([](DotOp) { return WalkResult::interrupt(); }).wasInterrupted();
  }

  LogicalResult lower(LLVM::LLVMFuncOp kernel) {
    declareShared(kernel);
    MLIRContext *context = &getContext();
    if (hasDots(kernel))
      kernel->setAttr(gpu::inPlaceName, UnitAttr::get(context));
    TypeConverter types;
    types.addConversion([](Type type) { return type; });
    types.addConversion(
        [](SmemType type) -> Type { return LLVM::LLVMPointerType::get(type.getContext(), 3); });
    types.addConversion([](RankedTensorType type,
                           SmallVectorImpl<Type> &registers) -> std::optional<LogicalResult> {
      std::optional<Layout> layout = layoutOf(type);
      if (!layout)
        return failure();
      registers.assign(layout->registers(), type.getElementType());
      return success();
    });
    ConversionTarget target(*context);
    target.addLegalDialect<LLVM::LLVMDialect, NVVM::NVVMDialect>();
    target.addIllegalDialect<TileDialect, math::MathDialect, tensor::TensorDialect>();
    // Functions of the seq dialect are expanded behind this, as scalars.
    target.addDynamicallyLegalDialect<arith::ArithDialect, seq::SeqDialect>(
        [&](Operation *op) { return types.isLegal(op); });
    RewritePatternSet patterns(context);
    scf::populateSCFStructuralTypeConversionsAndLegality(types, patterns, target);
    gpu::populateElementwisePatterns(types, patterns);
    gpu::populateCombinePatterns(types, patterns);
    gpu::populateMovePatterns(types, patterns);
    gpu::populateGlobalPatterns(types, patterns);
    gpu::populateSharedPatterns(types, patterns);
    gpu::populateDotPatterns(types, patterns);
    if (failed(applyPartialConversion(kernel, target, std::move(patterns))))
      return failure();
    const int32_t threads = 32 * int32_t(kernel->getAttrOfType<IntegerAttr>(warpsName).getInt());
    kernel->removeAttr(warpsName);
    kernel->removeAttr(gpu::inPlaceName);
    if (auto bytes = kernel->removeAttr(sharedBytesName))
      kernel->setAttr("shared_bytes", bytes);
    Builder builder(context);
    kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
    kernel->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                    builder.getDenseI32ArrayAttr({threads, 1, 1}));
    return success();
  }
};

} // namespace
} // namespace seqmix
