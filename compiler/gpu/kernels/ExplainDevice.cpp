//===- ExplainDevice.cpp - how a mixer runs on GPUs, in words ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/Device.h"
#include "compiler/gpu/lanes/Lanes.h"
#include "compiler/structure/Explain.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <fmt/format.h>

using namespace mlir;

namespace seqmix::gpu {

/// "48 bytes for each B, H and segment".
static std::string amountWords(const AmountPlan &amount, const MixerPlan &plan) {
  std::string words = fmt::format("{} bytes", amount.number);
  for (auto [number, factor] : llvm::enumerate(amount.factors)) {
    const char *between = number == 0                           ? " for each "
                          : number + 1 == amount.factors.size() ? " and "
                                                                : ", ";
    words += between;
    words += factor.kind == SEQ_FACTOR_SEGMENTS ? "segment"
             : factor.kind == SEQ_FACTOR_PLACES ? "place of " + plan.dims[factor.dim].name
             : factor.kind == SEQ_FACTOR_TILES
                 ? (factor.divisor > 1 ? fmt::format("{} tokens", factor.divisor) : "token")
                 : (factor.divisor > 1 ? fmt::format("{} of ", factor.divisor) : "") +
                       plan.dims[factor.dim].name;
  }
  return words;
}

static std::string sumWords(const std::vector<AmountPlan> &regions, const MixerPlan &plan) {
  std::string sum;
  for (const AmountPlan &region : regions)
    if (region.number > 0)
      sum += (sum.empty() ? "" : ", ") + amountWords(region, plan);
  return sum;
}

static void explainKernels(StringAttr mixer, const MixerPlan &plan, const DeviceKernels &kernels,
                           llvm::raw_ostream &os) {
  StringRef label = "GPU";
  auto line = [&](const std::string &text) {
    os << fmt::format("  {:<10}{}\n", std::string_view(label), text);
    label = "";
  };
  std::vector<LLVM::LLVMFuncOp> functions;
  for (auto function : kernels.kernels()->getRegion(0).getOps<LLVM::LLVMFuncOp>())
    if (function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      functions.push_back(function);
  auto formOf = [&](const LaunchPlan &launch) {
    auto words = functions[static_cast<size_t>(launch.kernel)]->getAttrOfType<StringAttr>(formName);
    return words ? words.str() : std::string();
  };
  auto countOf = [](size_t launches) {
    return launches == 1 ? std::string("one launch") : fmt::format("{} launches", launches);
  };
  const MixerLaunches &launches = kernels.launches.find(mixer)->second;
  for (const LaunchPlan &launch : launches.forward)
    if (std::string words = formOf(launch); !words.empty())
      line(words);
  if (!launches.step.empty())
    line("  steps: " + formOf(launches.step.front()));
  line(fmt::format("{} for a forward pass{}{}", countOf(launches.forward.size()),
                   plan.noStep                 ? ""
                   : launches.step.empty()     ? " or a step"
                   : launches.step.size() == 1 ? ", another for a step"
                                               : ", others for a step",
                   launches.regions.empty() ? ", no workspace" : ""));
  if (!launches.regions.empty())
    line("  workspace: " + sumWords(launches.regions, plan));
  if (!launches.stepRegions.empty())
    line("  workspace of a step: " + sumWords(launches.stepRegions, plan));
  if (!launches.cut) {
    line("no segments: " + launches.uncut);
    return;
  }
  const SchedulePlan &schedule = *launches.cut;
  // As the runtime chooses (CudaRun.c).
  const bool isDense = llvm::all_of(launches.forward, [&](const LaunchPlan &launch) {
    return schedule.launches.front().grid[0].number > launch.grid[0].number;
  });
  line(fmt::format("{} where {} of the multiprocessors: sequences are cut into segments of at "
                   "least {} tokens",
                   countOf(schedule.launches.size()),
                   isDense ? "blocks of summaries are at most half"
                           : "its blocks are fewer than three quarters",
                   schedule.segmentTokens));
  if (std::string words = formOf(schedule.launches.front()); !words.empty())
    line("  their summaries: " + words);
  line("  workspace: " + sumWords(schedule.regions, plan));
}

void explainOnDevice(seq::MixerOp mixer, const MixerPlan &plan, llvm::raw_ostream &os) {
  OwningOpRef<ModuleOp> alone = cast<ModuleOp>(mixer->getParentOp()->clone());
  StringAttr name = mixer.getSymNameAttr(), blocks;
  for (auto other : alone->getOps<seq::MixerOp>())
    if (auto of = other->getAttrOfType<FlatSymbolRefAttr>(kBlocksOf); of && of.getAttr() == name)
      blocks = other.getSymNameAttr();
  for (auto other : llvm::make_early_inc_range(alone->getOps<seq::MixerOp>())) {
    auto isOf = [&](FlatSymbolRefAttr of) {
      return of && (of.getAttr() == name || of.getAttr() == blocks);
    };
    if (other.getSymNameAttr() != name && !isOf(other.getSummaryOfAttr()) &&
        !isOf(other.getFormOfAttr()) && !isOf(other->getAttrOfType<FlatSymbolRefAttr>(kBlocksOf)))
      other.erase();
  }
  std::string reason;
  FailureOr<DeviceKernels> kernels = failure();
  {
    ScopedDiagnosticHandler handler(mixer.getContext(), [&](Diagnostic &diagnostic) {
      if (reason.empty())
        reason = diagnostic.str();
      return success();
    });
    kernels = emitDeviceKernels(*alone, [&](seq::MixerOp) -> const MixerPlan & { return plan; });
  }
  ExplainOptions options;
  options.isForDevice = true;
  options.name = mixer.getSymName();
  explain(succeeded(kernels) ? kernels->launches[name].form : mixer, os, options);
  if (auto why = mixer->getAttrOfType<StringAttr>(kWhyAsWritten))
    os << fmt::format("  {:<10}pair by pair, as written; as recurrences: {}\n", "sums",
                      std::string_view(why.getValue()));
  if (succeeded(kernels))
    explainKernels(name, plan, *kernels, os);
  else
    os << fmt::format("  {:<10}none: {}\n", "GPU", reason);
}

} // namespace seqmix::gpu
