//===- ImportSource.cpp - from files to canonical recurrences ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline.h"

#include "compiler/Passes.h"
#include "compiler/Report.h"
#include "compiler/gpu/kernels/Device.h"
#include "compiler/library/Library.h"
#include "compiler/seq/Import.h"
#include "compiler/structure/CarryRows.h"
#include "compiler/structure/Summary.h"
#include "dialect/Carry.h"

#include "mlir/IR/Verifier.h"
#include "mlir/InitAllDialects.h"
#include "mlir/Pass/PassManager.h"

#include <limits>

using namespace mlir;

namespace seqmix {

std::unique_ptr<MLIRContext> createContext() {
  DialectRegistry registry;
  registry.insert<seq::SeqDialect>();
  registerAllDialects(registry);
  // One compilation is one thread: many run side by side in builds, and the pool's start costs more
  // than it gains.
  auto context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadDialect<seq::SeqDialect>();
  return context;
}

/// Fixes the carry of each mixer. Its expanded form has the same one; where no later call can be,
/// that form is all that is needed.
static void recordCarry(ModuleOp module) {
  for (auto mixer : llvm::to_vector(module.getOps<seq::MixerOp>())) {
    if (mixer.getFormOf())
      continue;
    seq::recordCarryWindows(mixer);
    recordCarryRows(mixer);
    auto expanded = seq::expandedFormOf(mixer);
    if (expanded && mixer.getNoStep()) {
      StringAttr name = mixer.getSymNameAttr();
      mixer.erase();
      expanded.setSymNameAttr(name);
      expanded.removeFormOfAttr();
      expanded.removeFormProductsAttr();
      seq::recordCarryWindows(expanded);
      recordCarryRows(expanded);
    } else if (expanded) {
      seq::copyCarry(mixer, expanded);
    }
  }
}

OwningOpRef<ModuleOp> importSource(const SourceFile &source, const Overrides &sizes,
                                   ast::DType dtype, MLIRContext &context,
                                   llvm::raw_ostream &errors, Sums sums) {
  Diagnostics diagnostics;
  auto file = parseAndCheck(source, sizes, diagnostics);
  errors << diagnostics.render();
  if (!file || diagnostics.hasErrors())
    return {};
  ImportOptions options;
  options.defaultDType = dtype;
  auto module = importFile(*file, context, options);
  if (!module)
    return {};
  if (sums == Sums::Linear) {
    PassManager passes(&context);
    passes.addPass(createFindLinearSums());
    passes.addPass(createReassociateProducts());
    if (failed(passes.run(*module)))
      return {};
  }
  recordCarry(*module);
  SourceReporter reporter(context, source, errors);
  if (failed(verify(*module)))
    return {};
  return module;
}

static LogicalResult runStructurePasses(ModuleOp module, Form form, bool isForGpu) {
  PassManager passes(module.getContext());
  constexpr int64_t never = std::numeric_limits<int64_t>::max();
  // Tensor cores take pairs that do not count faster than other cores gather rows.
  addStructurePasses(passes,
                     form == Form::Sequential ? never
                     : form == Form::Block    ? 1
                                              : 8,
                     /*lanes=*/16, /*gathersBlocks=*/!isForGpu);
  return passes.run(module);
}

LogicalResult runStructure(ModuleOp module, const Options &options) {
  if (options.target != Target::Cuda || options.form == Form::Sequential)
    return runStructurePasses(module, options.form, options.target == Target::Cuda);
  // Kernels for GPUs are of either form, some mixers have both.
  OwningOpRef<ModuleOp> blocks = module.clone();
  if (failed(runStructurePasses(module, Form::Sequential, true)) ||
      failed(runStructurePasses(*blocks, options.form, true)))
    return failure();
  for (seq::MixerOp mixer : llvm::to_vector(blocks->getOps<seq::MixerOp>())) {
    if (mixer.getSummaryOf() || mixer.getFormOf() || mixer.getOps<seq::AffineOp>().empty())
      continue;
    seq::MixerOp summary = summaryOf(mixer);
    const std::string name = (mixer.getSymName() + ".blocks").str();
    mixer->setAttr(gpu::kBlocksOf, FlatSymbolRefAttr::get(mixer.getSymNameAttr()));
    mixer.setSymName(name);
    mixer->moveBefore(module.getBody(), module.getBody()->end());
    if (!summary)
      continue;
    summary.setSymName(name + ".summary");
    summary.setSummaryOfAttr(FlatSymbolRefAttr::get(mixer.getSymNameAttr()));
    summary->moveBefore(module.getBody(), module.getBody()->end());
  }
  return success();
}

/// Why kernels for GPUs do not take a mixer, on its own and at the stage of equations; empty where
/// they do.
static std::string whyNotOnDevice(seq::MixerOp mixer, const Options &options) {
  OwningOpRef<ModuleOp> alone = ModuleOp::create(mixer.getLoc());
  StringAttr name = mixer.getSymNameAttr();
  for (auto other : mixer->getParentOfType<ModuleOp>().getOps<seq::MixerOp>())
    if (auto of = other.getFormOfAttr(); other == mixer || (of && of.getAttr() == name))
      alone->push_back(other->clone());
  std::string reason;
  ScopedDiagnosticHandler handler(mixer.getContext(), [&](mlir::Diagnostic &diagnostic) {
    if (reason.empty())
      reason = diagnostic.str();
    return success();
  });
  auto plan = planMixer(mixer);
  if (succeeded(plan) && succeeded(runStructure(*alone, options)) &&
      succeeded(
          gpu::emitDeviceKernels(*alone, [&](seq::MixerOp) -> const MixerPlan & { return *plan; })))
    return std::string();
  return reason;
}

OwningOpRef<ModuleOp> importForTarget(const SourceFile &source, const Overrides &sizes,
                                      const Options &options, MLIRContext &context,
                                      llvm::raw_ostream &errors) {
  auto module = importSource(source, sizes, options.dtype, context, errors);
  if (!module || options.target != Target::Cuda)
    return module;
  OwningOpRef<ModuleOp> written;
  for (auto mixer : llvm::to_vector(module->getOps<seq::MixerOp>())) {
    const bool isChanged =
        mixer
            ->walk([](Operation *op) {
              return op->hasAttr("seq.sum_of") ? WalkResult::interrupt() : WalkResult::advance();
            })
            .wasInterrupted();
    if (!isChanged || mixer.getFormOf())
      continue;
    const std::string reason = whyNotOnDevice(mixer, options);
    if (reason.empty())
      continue;
    if (!written)
      written = importSource(source, sizes, options.dtype, context, errors, Sums::AsWritten);
    if (!written)
      return {};
    auto other = written->lookupSymbol<seq::MixerOp>(mixer.getSymNameAttr());
    if (!other.getOps<seq::StateOp>().empty() || !whyNotOnDevice(other, options).empty())
      continue;
    other->setAttr(gpu::kWhyAsWritten, StringAttr::get(&context, reason));
    other->moveBefore(mixer);
    mixer.erase();
  }
  return module;
}

} // namespace seqmix
