//===- Pipeline.cpp - the stages and what runs between them -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline.h"

#include "compiler/Report.h"
#include "compiler/chunk/Materialise.h"
#include "compiler/chunk/Schedule.h"
#include "compiler/seq/Import.h"
#include "dialect/Carry.h"

#include "mlir/IR/Verifier.h"
#include "mlir/InitAllDialects.h"

using namespace mlir;

namespace seqmix {
namespace {

/// Adds the time of its life to a stage.
class Timer {
public:
  Timer(StageTimes *times, Stage stage)
      : times(times), stage(stage), start(std::chrono::steady_clock::now()) {}
  ~Timer() {
    if (times)
      times->add(stage,
                 std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
                     .count());
  }

private:
  StageTimes *times;
  Stage stage;
  std::chrono::steady_clock::time_point start;
};

} // namespace

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

OwningOpRef<ModuleOp> importSource(const SourceFile &source, const Overrides &sizes,
                                   ast::DType dtype, MLIRContext &context,
                                   llvm::raw_ostream &errors) {
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
  for (auto mixer : module->getOps<seq::MixerOp>())
    seq::recordCarryWindows(mixer);
  SourceReporter reporter(context, source, errors);
  if (failed(verify(*module)))
    return {};
  return module;
}

LogicalResult emitStage(llvm::ArrayRef<SourceFile> sources, Stage stage, const Options &options,
                        llvm::raw_ostream &os, llvm::raw_ostream &errors) {
  for (const SourceFile &source : sources)
    for (const Overrides &sizes : options.sizes) {
      if (stage == Stage::Ast) {
        Diagnostics diagnostics;
        auto file = parseAndCheck(source, sizes, diagnostics);
        errors << diagnostics.render();
        if (!file || diagnostics.hasErrors())
          return failure();
        os << ast::print(*file);
        continue;
      }
      auto context = createContext();
      auto module = importSource(source, sizes, options.dtype, *context, errors);
      if (!module)
        return failure();
      module->print(os);
      os << "\n";
    }
  return success();
}

LogicalResult explainSources(llvm::ArrayRef<SourceFile>, const Options &, llvm::raw_ostream &,
                             llvm::raw_ostream &) {
  return failure();
}
LogicalResult compileSources(llvm::ArrayRef<SourceFile>, const Options &, const Outputs &,
                             llvm::raw_ostream &, StageTimes *) {
  return failure();
}

} // namespace seqmix
