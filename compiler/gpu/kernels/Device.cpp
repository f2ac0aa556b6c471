//===- Device.cpp - from mixers to code for GPUs -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/Device.h"

#include "compiler/gpu/Passes.h"
#include "compiler/gpu/blocks/Blocks.h"
#include "compiler/gpu/lanes/Lanes.h"
#include "compiler/gpu/lanes/Segments.h"
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

/// The same mixer with canonical recurrences of matrix states, or null.
static seq::MixerOp blocksOf(seq::MixerOp mixer) {
  for (auto other : mixer->getParentOfType<ModuleOp>().getOps<seq::MixerOp>())
    if (auto of = other->getAttrOfType<FlatSymbolRefAttr>(kBlocksOf);
        of && of.getAttr() == mixer.getSymNameAttr())
      return other;
  return {};
}

/// Tokens that take the time of two more launches, one by one and in blocks of them. Estimates:
/// nothing has run on a GPU yet.
static constexpr double kLaunchTokens = 64, kLaunchTokensOfBlocks = 128;

/// All but the first ones.
static void eraseKernels(mlir::gpu::GPUModuleOp kernels, int32_t kept) {
  for (auto function : llvm::to_vector(
           llvm::drop_begin(kernels.getOps<LLVM::LLVMFuncOp>(), static_cast<size_t>(kept))))
    function.erase();
}

static std::vector<AmountPlan> keptRegions(const BlockParts &parts, const MixerPlan &plan) {
  std::vector<AmountPlan> regions;
  for (const KeptValue &kept : parts.kept)
    regions.push_back(LaneBlock::keptBytes(plan, kept.dtype, kept.isOfTokens, kept.extents));
  return regions;
}

/// Emits the kernel of steps: with slices of the states one after the other where the mixer is
/// divided or the sequential form does not take it. Without it the launches of a forward pass serve
/// for them, too.
static void emitStep(seq::MixerOp mixer, const BlockParts *parts, const MixerPlan &plan,
                     mlir::gpu::GPUModuleOp kernels, MixerLaunches &result) {
  if (plan.noStep)
    return;
  ScopedDiagnosticHandler handler(mixer.getContext(), [](Diagnostic &) { return success(); });
  const std::string name = (mixer.getSymName() + "_step").str();
  auto emitSlices = [&] {
    const int32_t number = countKernels(kernels);
    std::string reason;
    auto sliced = parts ? emitStepKernel(*parts, plan, kernels, name, reason) : std::nullopt;
    if (!sliced)
      return false;
    sliced->kernel = number;
    result.step = {std::move(*sliced)};
    result.stepRegions = keptRegions(*parts, plan);
    return true;
  };
  const bool isDivided = parts && parts->parts.size() > 1;
  if (isDivided && emitSlices())
    return;
  if (auto step = emitLaneKernels(mixer, plan, kernels, name); succeeded(step))
    result.step = std::move(step->launches);
  else if (!isDivided)
    emitSlices();
}

/// Emits the kernel of blocks of tokens, if that form takes the mixer, and that of its steps.
static bool emitBlocks(seq::MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp kernels,
                       MixerLaunches &result, std::string &reason) {
  seq::MixerOp blocks = blocksOf(mixer);
  if (!blocks || !takesBlocks(blocks, plan, reason))
    return false;
  const std::string name = mixer.getSymName().str();
  const int32_t before = countKernels(kernels);
  std::string whyNoSummary;
  auto segments = emitSegmentKernels(
      blocks, plan, kernels, name, kLaunchTokensOfBlocks,
      [&](seq::MixerOp summary, const MixerPlan &own, const std::string &of,
          const Borders *borders) -> FailureOr<LaunchPlan> {
        auto launch = emitBlockKernel(summary, own, kernels, of, whyNoSummary, borders);
        if (!launch)
          return failure();
        return std::move(*launch);
      },
      result.uncut);
  if (!segments) {
    // The CPU's segments have transitions that are diagonal; blocks take dense ones.
    const int32_t made = countKernels(kernels);
    segments = emitDenseSegments(blocks, plan, kernels, name, kLaunchTokensOfBlocks);
    if (segments)
      result.uncut.clear();
    else if (countKernels(kernels) > made)
      eraseKernels(kernels, made);
  }
  if (!segments && result.uncut.empty())
    result.uncut = whyNoSummary;
  const int32_t number = countKernels(kernels);
  auto forward = emitBlockKernel(blocks, plan, kernels, name + "_forward", reason,
                                 segments ? segments->borders.get() : nullptr);
  if (!forward) {
    // Another form's kernels take the place of those of segments.
    eraseKernels(kernels, before);
    result.uncut.clear();
    return false;
  }
  forward->kernel = number;
  result.form = blocks;
  result.forward.push_back(std::move(*forward));
  if (segments)
    result.cut = segments->schedule(result.forward);
  std::string whyUndivided;
  auto parts = divideStates(blocks, whyUndivided);
  emitStep(mixer, parts ? &*parts : nullptr, plan, kernels, result);
  return true;
}

/// The kernels of the sequential form that cut sequences, and of the last of their launches.
static std::optional<SegmentKernels> emitLaneSegments(seq::MixerOp mixer, const MixerPlan &plan,
                                                      mlir::gpu::GPUModuleOp kernels,
                                                      std::string &reason) {
  return emitSegmentKernels(
      mixer, plan, kernels, mixer.getSymName().str(), kLaunchTokens,
      [&](seq::MixerOp summary, const MixerPlan &own, const std::string &of,
          const Borders *borders) -> FailureOr<LaunchPlan> {
        auto launches = emitLaneKernels(summary, own, kernels, of, borders);
        if (failed(launches))
          return failure();
        return std::move(launches->launches.front());
      },
      reason);
}

/// Emits the kernels of a mixer that is divided (BlockParts.h). Segments, where the sequential form
/// has them, and steps are of that form.
static bool emitParts(seq::MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp kernels,
                      MixerLaunches &result, std::string &reason) {
  seq::MixerOp blocks = blocksOf(mixer);
  if (!blocks)
    return false;
  auto divided = divideStates(blocks, reason);
  if (!divided || divided->parts.size() < 2)
    return false;
  const std::string name = mixer.getSymName().str();
  const int32_t before = countKernels(kernels);
  std::vector<LaunchPlan> launches;
  for (auto [number, part] : llvm::enumerate(divided->parts)) {
    const PartShare share{*divided, part};
    const std::string own = name + (share.isLast() ? "_forward"
                                    : number == 0  ? "_first"
                                                   : "_second");
    const int32_t kernel = countKernels(kernels);
    if (part.isRecurrent) {
      ScopedDiagnosticHandler handler(mixer.getContext(), [&](Diagnostic &diagnostic) {
        reason = diagnostic.str();
        return success();
      });
      const LaneOutputs outputs{share.regions(), [&](LaneBlock &block, size_t output) {
                                  return PartShare::array(block, *divided, part.kept[output]);
                                }};
      auto made = emitLaneKernels(part.mixer(), plan, kernels, own, nullptr, &outputs);
      if (succeeded(made) && made->launches.size() == 1) {
        launches.push_back(std::move(made->launches.front()));
        continue;
      }
    } else if (auto made =
                   emitBlockKernel(part.mixer(), plan, kernels, own, reason, nullptr, &share)) {
      made->kernel = kernel;
      launches.push_back(std::move(*made));
      continue;
    }
    eraseKernels(kernels, before);
    return false;
  }
  result.form = blocks;
  result.forward = std::move(launches);
  result.regions = keptRegions(*divided, plan);
  emitStep(mixer, &*divided, plan, kernels, result);
  const int32_t uncut = countKernels(kernels);
  if (summandsOfProducts(blocks) > 0) {
    result.uncut = "sums for each place of a dim are slow in the sequential form";
    return true;
  }
  if (auto segments = emitLaneSegments(mixer, plan, kernels, result.uncut)) {
    ScopedDiagnosticHandler handler(mixer.getContext(), [](Diagnostic &) { return success(); });
    auto own = emitLaneKernels(mixer, plan, kernels, name + "_segments", segments->borders.get());
    if (succeeded(own))
      result.cut = segments->schedule(own->launches);
    else
      eraseKernels(kernels, uncut);
  }
  if (!result.cut && result.uncut.empty())
    result.uncut = "its states take a launch each";
  return true;
}

/// Emits the kernels of the sequential form and, where that can be, those of segments.
static LogicalResult emitLanes(seq::MixerOp mixer, const MixerPlan &plan,
                               mlir::gpu::GPUModuleOp kernels, MixerLaunches &result,
                               const std::string &whyNoBlocks) {
  const std::string name = mixer.getSymName().str();
  auto segments = emitLaneSegments(mixer, plan, kernels, result.uncut);
  ScopedDiagnosticHandler handler(mixer.getContext(), [&](Diagnostic &diagnostic) {
    if (!whyNoBlocks.empty())
      diagnostic.attachNote(mixer.getLoc())
          << "nor does it have a form in blocks of tokens: " << whyNoBlocks;
    return failure(); // it goes on to who prints it
  });
  auto launches = emitLaneKernels(mixer, plan, kernels, name + "_forward",
                                  segments ? segments->borders.get() : nullptr);
  if (failed(launches))
    return failure();
  if (segments)
    result.cut = segments->schedule(launches->launches);
  result.forward = std::move(launches->launches);
  result.regions = std::move(launches->regions);
  return success();
}

/// Kernels are numbered in the order in which they are made.
static LogicalResult emitMixer(seq::MixerOp mixer, const MixerPlan &plan,
                               mlir::gpu::GPUModuleOp kernels, MixerLaunches &result) {
  result.form = mixer;
  if (hasPairs(mixer)) {
    auto launches =
        emitPairKernels(mixer, plan, kernels, mixer.getSymName(), countKernels(kernels));
    if (failed(launches))
      return failure();
    result.forward = std::move(launches->launches);
    result.regions = std::move(launches->regions);
    result.step = std::move(launches->step);
    result.stepRegions = std::move(launches->stepRegions);
    result.uncut = "its reductions are over pairs of positions";
    return success();
  }
  std::string reason;
  if (emitBlocks(mixer, plan, kernels, result, reason) ||
      emitParts(mixer, plan, kernels, result, reason))
    return success();
  return emitLanes(mixer, plan, kernels, result, reason);
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
  for (auto mixer : module.getOps<seq::MixerOp>()) {
    if (mixer.getSummaryOf() || mixer.getFormOf() || mixer->hasAttr(kBlocksOf))
      continue; // other forms of a mixer
    isGood &= succeeded(
        emitMixer(mixer, planOf(mixer), kernels, result.launches[mixer.getSymNameAttr()]));
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
  auto addSharedBytes = [&](SchedulePlan &schedule) {
    for (LaunchPlan &launch : schedule.launches) {
      auto kernel = SymbolTable::lookupSymbolIn(kernels.kernels(),
                                                code->kernels[static_cast<size_t>(launch.kernel)]);
      if (auto bytes = kernel->getAttrOfType<IntegerAttr>("shared_bytes"))
        launch.sharedBytes = static_cast<int32_t>(bytes.getInt());
    }
  };
  for (const auto &[mixer, launches] : kernels.launches) {
    DeviceTargetPlan target{chips.back().name, code, std::vector<SchedulePlan>(1), {}, false};
    target.forward[0].launches = launches.forward;
    target.forward[0].regions = launches.regions;
    if (launches.cut)
      target.forward.push_back(*launches.cut);
    for (SchedulePlan &schedule : target.forward)
      addSharedBytes(schedule);
    if (!launches.step.empty()) {
      target.step.emplace().launches = launches.step;
      target.step->regions = launches.stepRegions;
      addSharedBytes(*target.step);
    }
    planOf(mixer).device = {std::move(target)};
  }
  return success();
}

} // namespace seqmix::gpu
