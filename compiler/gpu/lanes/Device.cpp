//===- Device.cpp - from mixers to code for GPUs -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Device.h"

#include "compiler/gpu/Passes.h"
#include "compiler/gpu/lanes/Lanes.h"
#include "compiler/gpu/pairs/Pairs.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;

namespace seqmix::gpu {

Operation *DeviceKernels::kernels() const {
  return *module.get().getOps<mlir::gpu::GPUModuleOp>().begin();
}

FailureOr<DeviceKernels> emitDeviceKernels(ModuleOp module, PlanOf planOf) {
  MLIRContext *context = module.getContext();
  context->loadDialect<tile::TileDialect, mlir::gpu::GPUDialect, LLVM::LLVMDialect,
                       NVVM::NVVMDialect, arith::ArithDialect, math::MathDialect, scf::SCFDialect,
                       tensor::TensorDialect>();
  DeviceKernels result;
  result.module = ModuleOp::create(module.getLoc());
  OpBuilder builder = OpBuilder::atBlockEnd(result.module->getBody());
  auto kernels = mlir::gpu::GPUModuleOp::create(builder, module.getLoc(), "kernels");
  bool isGood = true;
  int32_t kernelCount = 0;
  for (auto mixer : module.getOps<seq::MixerOp>()) {
    if (mixer.getSummaryOf() || mixer.getFormOf())
      continue; // other forms of a mixer
    if (hasPairs(mixer)) {
      auto launches =
          emitPairKernels(mixer, planOf(mixer), kernels, mixer.getSymName(), kernelCount);
      isGood &= succeeded(launches);
      if (succeeded(launches)) {
        kernelCount += static_cast<int32_t>(launches->size());
        result.launches[mixer.getSymNameAttr()] = std::move(*launches);
      }
      continue;
    }
    std::string name = (mixer.getSymName() + "_forward").str();
    auto launch = emitLaneKernel(mixer, planOf(mixer), kernels, name);
    if (failed(launch)) {
      isGood = false;
      continue;
    }
    launch->kernel = kernelCount++;
    result.launches[mixer.getSymNameAttr()].push_back(std::move(*launch));
  }
  if (!isGood || failed(verify(*result.module)))
    return failure();
  return result;
}

LogicalResult lowerDeviceKernels(DeviceKernels &kernels) {
  PassManager passes(kernels.module->getContext());
  addTilePasses(passes);
  return passes.run(*kernels.module);
}

LogicalResult addDeviceTargets(const DeviceKernels &kernels, ArrayRef<Chip> chips,
                               llvm::function_ref<MixerPlan &(StringAttr)> planOf,
                               Resources *resources) {
  auto code = std::make_shared<CodePlan>();
  for (const Chip &chip : chips) {
    auto image = serialize(kernels.kernels(), chip);
    if (failed(image))
      return failure();
    addImage(*code, *image);
    if (resources)
      resources->add(*image, kernels.kernels());
  }
  for (const auto &[mixer, launches] : kernels.launches) {
    SchedulePlan forward;
    forward.launches = launches;
    for (LaunchPlan &launch : forward.launches) {
      auto kernel = SymbolTable::lookupSymbolIn(kernels.kernels(),
                                                code->kernels[static_cast<size_t>(launch.kernel)]);
      if (auto bytes = kernel->getAttrOfType<IntegerAttr>("shared_bytes"))
        launch.sharedBytes = static_cast<int32_t>(bytes.getInt());
    }
    planOf(mixer).device = {{chips.back().name, code, {std::move(forward)}, std::nullopt, false}};
  }
  return success();
}

} // namespace seqmix::gpu
