//===- Segments.cpp - the kernels of calls that cut sequences ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Segments.h"

#include "compiler/chunk/Reads.h"
#include "compiler/structure/Summary.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

/// With a summary of more of the work a cut gains nothing from four segments.
constexpr double kMostWork = 3;

/// Why a sequence cannot be cut; empty when it can be.
std::string whyUncut(MixerOp mixer, MixerOp summary) {
  if (auto reason = mixer->getAttrOfType<StringAttr>("seq.unsplit"))
    return reason.str();
  if (!summary)
    return "no state goes from token to token";
  for (const CarryComponent &component : carryComponents(mixer))
    if (component.kind == CarryComponent::Window &&
        !isa<TensorOp>(chunk::lookup(mixer, component.of.getAttr())))
      return "the carry has a window of '" + component.of.getValue().str() + "', which is no input";
  if (summaryWork(summary) > kMostWork)
    return "the summary of a segment takes more than three times the work itself";
  return "";
}

} // namespace

int32_t countKernels(mlir::gpu::GPUModuleOp module) {
  return static_cast<int32_t>(
      llvm::count_if(module.getOps<LLVM::LLVMFuncOp>(), [](LLVM::LLVMFuncOp function) {
        return function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName());
      }));
}

SchedulePlan SegmentKernels::schedule(const std::vector<LaunchPlan> &own) const {
  SchedulePlan result;
  result.launches = {summary, scan};
  llvm::append_range(result.launches, own);
  for (LaunchPlan *launch : {&result.launches[0], &result.launches[2]})
    launch->grid[2].factors.push_back({SEQ_FACTOR_SEGMENTS, 0, 1});
  result.regions = borders->regions();
  result.segmentTokens = leastTokens;
  return result;
}

std::optional<SegmentKernels> emitSegmentKernels(MixerOp mixer, const MixerPlan &plan,
                                                 mlir::gpu::GPUModuleOp module,
                                                 const std::string &name, double launchTokens,
                                                 EmitSummary emit, std::string &reason) {
  MixerOp summary = summaryOf(mixer);
  reason = whyUncut(mixer, summary);
  if (!reason.empty())
    return std::nullopt;
  // What the form does not take of a summary is no error: sequences are then run in one piece.
  ScopedDiagnosticHandler handler(mixer.getContext(), [&](mlir::Diagnostic &diagnostic) {
    reason = diagnostic.str();
    return success();
  });
  SegmentKernels result;
  result.plan = std::make_unique<MixerPlan>(plan);
  const double work = summaryWork(summary);
  if (failed(addSummary(*result.plan, summary, work)))
    return std::nullopt;
  result.borders = std::make_unique<Borders>(mixer, *result.plan, *result.plan->summary);
  result.leastTokens = static_cast<int64_t>(std::ceil(launchTokens * (1 + work)));
  const int32_t first = countKernels(module);
  auto launch = emit(summary, *result.plan, name + "_summary", result.borders.get());
  if (failed(launch))
    return std::nullopt;
  result.summary = std::move(*launch);
  result.summary.kernel = first;
  const int32_t number = countKernels(module);
  result.scan = emitBorderScan(*result.borders, module, mixer.getLoc(), name + "_scan");
  result.scan.kernel = number;
  return result;
}

} // namespace seqmix::gpu
