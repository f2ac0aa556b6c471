//===- KernelFunction.cpp - the functions and launches of kernels ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/LaneBlock.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace seqmix::gpu {

LLVM::LLVMFuncOp makeKernel(mlir::gpu::GPUModuleOp module, Location loc, StringRef name,
                            const MixerPlan &plan, int32_t warps, int32_t regions) {
  MLIRContext *context = module.getContext();
  OpBuilder builder(context);
  builder.setInsertionPointToEnd(module.getBody());
  auto kernel =
      LLVM::LLVMFuncOp::create(builder, loc, name, LaneBlock::functionType(context, plan, regions));
  kernel->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
  kernel->setAttr(tile::warpsName, builder.getI32IntegerAttr(warps));
  for (auto [number, argument] : llvm::enumerate(LaneBlock::arguments(plan, regions))) {
    auto mark = [&](StringRef attribute) {
      kernel.setArgAttr(number, attribute, builder.getUnitAttr());
    };
    if (argument.kind == SEQ_ARGUMENT_TENSOR) {
      mark(LLVM::LLVMDialect::getNoAliasAttrName());
      if (plan.tensors[argument.index].role != SEQ_ROLE_OUTPUT)
        mark(LLVM::LLVMDialect::getReadonlyAttrName());
    } else if (argument.kind == SEQ_ARGUMENT_FRAME) {
      LaneBlock::markFrame(kernel, static_cast<unsigned>(number), plan);
    }
  }
  return kernel;
}

void keepOrder(LLVM::LLVMFuncOp kernel) {
  MLIRContext *context = kernel.getContext();
  kernel.setPassthroughAttr(
      ArrayAttr::get(context, {StringAttr::get(context, tile::keepsOrderName)}));
}

LaunchPlan launchOf(const MixerPlan &plan, const LaneShape &shape, int32_t threads,
                    int32_t regions) {
  LaunchPlan result;
  result.arguments = LaneBlock::arguments(plan, regions);
  result.threads = {threads, 1, 1};
  result.grid[0].number = shape.blocks;
  for (auto [number, dim] : llvm::enumerate(plan.dims))
    if (dim.kind == SEQ_DIM_BATCH)
      result.grid[number ? 1 : 0].factors.push_back(
          {SEQ_FACTOR_DIM, static_cast<int32_t>(number), 1});
  return result;
}

} // namespace seqmix::gpu
