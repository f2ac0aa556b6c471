//===- Pipeline.cpp - the stages and what runs between them -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline.h"

#include "compiler/Passes.h"
#include "compiler/Report.h"
#include "compiler/chunk/Materialise.h"
#include "compiler/chunk/Schedule.h"
#include "compiler/cpu/Object.h"
#include "compiler/gpu/Chip.h"
#include "compiler/gpu/kernels/Device.h"
#include "compiler/library/Library.h"
#include "compiler/structure/Explain.h"
#include "compiler/structure/Summary.h"
#include "compiler/tiles/Tiles.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/Path.h"

#include <deque>
#include <fmt/format.h>

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

namespace {

/// The chips of a library for CUDA.
llvm::Expected<std::vector<gpu::Chip>> chipsOf(const Options &options) {
  std::vector<gpu::Chip> chips;
  for (const std::string &name : options.chips) {
    auto chip = gpu::chipNamed(name);
    if (!chip)
      return chip.takeError();
    chips.push_back(std::move(*chip));
  }
  if (chips.empty())
    return llvm::createStringError("--chips names no chip; expected some of " + gpu::chipNames());
  return chips;
}

/// The targets of a `--cpu` value, best first.
llvm::Expected<std::vector<TargetInfo>> targetsNamed(llvm::StringRef name) {
  auto levels = llvm::StringSwitch<std::vector<TargetLevel>>(name)
                    .Case("native", {TargetLevel::Native})
                    .Case("x86-64-v4", {TargetLevel::V4})
                    .Case("x86-64-v3", {TargetLevel::V3})
                    .Case("x86-64-v2", {TargetLevel::Baseline})
                    .Case("portable", {TargetLevel::V4, TargetLevel::V3, TargetLevel::Baseline})
                    .Default({});
  if (levels.empty())
    return llvm::createStringError(fmt::format(
        "unknown --cpu '{}'; expected native, x86-64-v2, x86-64-v3, x86-64-v4 or portable",
        std::string_view(name)));
  std::vector<TargetInfo> targets;
  for (TargetLevel level : levels)
    targets.push_back(targetInfo(level));
  return targets;
}

LogicalResult runChunk(ModuleOp module, const Options &options, const TargetInfo &target) {
  for (auto mixer : module.getOps<seq::MixerOp>()) {
    ScheduleOptions scheduleOptions;
    scheduleOptions.chunk = options.chunk;
    scheduleOptions.lanes = target.lanes(mixer.getCompute());
    scheduleOptions.registers = target.registers;
    materialise(mixer);
    if (failed(schedule(mixer, scheduleOptions)))
      return failure();
  }
  return verify(module);
}

/// The mixers' kernels as a module of their own.
OwningOpRef<ModuleOp> runTiles(ModuleOp module, const TargetInfo &target, llvm::StringRef suffix) {
  OwningOpRef<ModuleOp> tiles = ModuleOp::create(module.getLoc());
  for (auto mixer : module.getOps<seq::MixerOp>())
    if (failed(emitTiles(mixer, target, *tiles, suffix)))
      return {};
  return failed(verify(*tiles)) ? OwningOpRef<ModuleOp>() : std::move(tiles);
}

/// Everything that is compiled into one library, and the objects made so far, which it removes.
class LibraryBuilder {
public:
  LibraryBuilder(const Options &options, llvm::raw_ostream &errors, StageTimes *times)
      : options(options), errors(errors), times(times) {}

  LogicalResult build(llvm::ArrayRef<SourceFile> sources, const Outputs &outputs) {
    auto found = targetsNamed(options.cpu);
    if (!found)
      return report(found.takeError());
    targets = std::move(*found);
    if (options.target == Target::Cuda) {
      auto found = chipsOf(options);
      if (!found)
        return report(found.takeError());
      chips = std::move(*found);
    }
    for (const SourceFile &source : sources)
      for (const Overrides &sizes : options.sizes)
        if (failed(addSource(source, sizes)))
          return failure();
    if (failed(writeLibrary(outputs)))
      return failure();
    if (outputs.resources)
      resources.print(*outputs.resources);
    return success();
  }

private:
  /// By name, in the order of the file.
  using MixerPlans = llvm::MapVector<StringAttr, MixerPlan>;

  const Options &options;
  llvm::raw_ostream &errors;
  StageTimes *times;
  std::vector<TargetInfo> targets;
  std::vector<gpu::Chip> chips;
  gpu::Resources resources;
  LibraryPlan plan;
  std::vector<std::string> objects;
  std::deque<llvm::FileRemover> removers; // one an object
  unsigned modules = 0;

  LogicalResult report(llvm::Error error) {
    errors << "seqc: error: " << llvm::toString(std::move(error)) << "\n";
    return failure();
  }

  LogicalResult addSource(const SourceFile &source, const Overrides &sizes) {
    auto context = createContext();
    OwningOpRef<ModuleOp> module;
    {
      Timer timer(times, Stage::Seq);
      module = importForTarget(source, sizes, options, *context, errors);
    }
    if (!module)
      return failure();
    SourceReporter reporter(*context, source, errors);
    // Described by its equations: the stages that follow replace them.
    MixerPlans mixers;
    for (auto mixer : module->getOps<seq::MixerOp>()) {
      auto mixerPlan = planMixer(mixer);
      if (failed(mixerPlan))
        return failure();
      if (auto of = mixer.getFormOfAttr()) { // behind that mixer
        mixers[of.getAttr()].expanded = std::make_shared<MixerPlan>(std::move(*mixerPlan));
        continue;
      }
      mixerPlan->source = mixerText(source.text(), mixer.getSymName());
      mixers.insert({mixer.getSymNameAttr(), std::move(*mixerPlan)});
    }
    {
      Timer timer(times, Stage::Structure);
      if (failed(runStructure(*module, options)))
        return failure();
    }
    if (options.target == Target::Cuda) {
      if (failed(addKernelsForCuda(*module, mixers)))
        return failure();
      for (auto &[name, mixerPlan] : mixers)
        plan.add(std::move(mixerPlan));
      return success();
    }
    for (auto mixer : module->getOps<seq::MixerOp>())
      if (auto of = mixer.getSummaryOfAttr();
          of && failed(addSummary(mixers[of.getAttr()], mixer, summaryWork(mixer))))
        return failure();
    for (const TargetInfo &target : targets)
      if (failed(addTarget(*module, target, mixers)))
        return failure();
    for (auto &[name, mixerPlan] : mixers)
      plan.add(std::move(mixerPlan));
    return success();
  }

  LogicalResult addKernelsForCuda(ModuleOp module, MixerPlans &mixers) {
    llvm::FailureOr<gpu::DeviceKernels> kernels;
    {
      Timer timer(times, Stage::Tiles);
      kernels = gpu::emitDeviceKernels(module, [&](seq::MixerOp mixer) -> const MixerPlan & {
        return mixers[mixer.getSymNameAttr()];
      });
      if (failed(kernels))
        return failure();
    }
    Timer timer(times, Stage::Cpu);
    for (auto &[name, mixerPlan] : mixers)
      mixerPlan.expanded = nullptr;
    return success(succeeded(gpu::lowerDeviceKernels(*kernels)) &&
                   succeeded(gpu::addDeviceTargets(
                       *kernels, chips,
                       [&](StringAttr name) -> MixerPlan & { return mixers[name]; }, &resources)));
  }

  LogicalResult addTarget(ModuleOp module, const TargetInfo &target, MixerPlans &mixers) {
    OwningOpRef<ModuleOp> scheduled = module.clone();
    {
      Timer timer(times, Stage::Chunk);
      if (failed(runChunk(*scheduled, options, target)))
        return failure();
    }
    std::string suffix = fmt::format(".{}", modules++);
    OwningOpRef<ModuleOp> tiles;
    {
      Timer timer(times, Stage::Tiles);
      tiles = runTiles(*scheduled, target, suffix);
    }
    if (!tiles)
      return failure();
    for (auto mixer : scheduled->getOps<seq::MixerOp>()) {
      auto summarised = mixer.getSummaryOfAttr(), form = mixer.getFormOfAttr();
      addKernels(mixer, *tiles, target, suffix,
                 summarised ? mixers[summarised.getAttr()].summary->mixer
                 : form     ? *mixers[form.getAttr()].expanded
                            : mixers[mixer.getSymNameAttr()]);
    }
    Timer timer(times, Stage::Cpu);
    auto object = compileToObject(*tiles, target);
    if (!object)
      return report(object.takeError());
    return writeObject(object->bytes);
  }

  void addKernels(seq::MixerOp mixer, ModuleOp tiles, const TargetInfo &target,
                  llvm::StringRef suffix, MixerPlan &mixerPlan) {
    KernelPlan kernel;
    kernel.target = nameOfLevel(target.level);
    kernel.cpu = target.cpu;
    kernel.features = target.features;
    kernel.forwardSymbol = (mixer.getSymName() + ".forward" + suffix).str();
    std::string shared = (mixer.getSymName() + ".shared" + suffix).str();
    auto forward = tiles.lookupSymbol<func::FuncOp>(kernel.forwardSymbol);
    assert(forward && "the tiles stage made the kernel");
    auto bytes = [&](llvm::StringRef name) {
      auto attribute = forward->getAttrOfType<IntegerAttr>(name);
      return attribute ? attribute.getInt() : 0;
    };
    if (tiles.lookupSymbol(shared))
      kernel.sharedSymbol = shared;
    kernel.scratchBytes = bytes(kScratchBytes);
    kernel.sharedBytes = bytes(kSharedBytes);
    kernel.sequenceBytes = bytes(kSequenceBytes);
    kernel.partialBytes = static_cast<int32_t>(bytes(kPartialBytes));
    kernel.group = std::max<int32_t>(1, static_cast<int32_t>(bytes(kGroup)));
    kernel.groupRows = static_cast<int32_t>(bytes(kGroupRows));
    if (auto storage = forward->getAttrOfType<DictionaryAttr>(kStorageBytes))
      for (const DimPlan &dim : mixerPlan.dims) {
        auto own = storage.getAs<IntegerAttr>(dim.name);
        kernel.storageBytes.push_back(own ? own.getInt() : 0);
      }
    kernel.takesPages = forward->hasAttr(kTakesPages);
    kernel.makesEarlier = forward->hasAttr(kMakesEarlier);
    addKernel(mixerPlan, *mixer.getOps<seq::KernelOp>().begin(), std::move(kernel));
  }

  static std::string nameOfLevel(TargetLevel level) {
    switch (level) {
    case TargetLevel::Native:
      return "native";
    case TargetLevel::V4:
      return "x86-64-v4";
    case TargetLevel::V3:
      return "x86-64-v3";
    case TargetLevel::Baseline:
      return "x86-64-v2";
    }
    return "";
  }

  llvm::Expected<std::string> temporary() {
    llvm::SmallString<128> path;
    if (auto failed = llvm::sys::fs::createTemporaryFile("seqmix", "o", path))
      return llvm::createStringError("cannot make a temporary file: " + failed.message());
    removers.emplace_back(path);
    objects.push_back(path.str().str());
    return objects.back();
  }

  LogicalResult writeObject(llvm::StringRef bytes) {
    auto path = temporary();
    if (!path)
      return report(path.takeError());
    std::error_code failed;
    llvm::raw_fd_ostream os(*path, failed);
    os << bytes;
    os.close();
    if (failed || os.has_error())
      return report(llvm::createStringError("cannot write " + *path));
    return success();
  }

  LogicalResult writeLibrary(const Outputs &outputs) {
    Timer timer(times, Stage::Library);
    auto path = temporary();
    if (!path)
      return report(path.takeError());
    if (auto error = writeLibraryObject(plan, *path))
      return report(std::move(error));
    LinkOptions link;
    link.objects = objects;
    link.output = outputs.library;
    link.exports = exportedSymbols(plan);
    link.staticRuntime = options.staticRuntime;
    link.staysLoaded = options.target == Target::Cuda;
    link.runtimeDirectory = options.runtimeDirectory;
    if (auto error = linkLibrary(link))
      return report(std::move(error));
    auto name = llvm::sys::path::stem(outputs.header);
    if (failed(
            writeText(outputs.header, [&](llvm::raw_ostream &os) { writeHeader(plan, name, os); })))
      return failure();
    return writeText(outputs.manifest, [&](llvm::raw_ostream &os) { os << manifestText(plan); });
  }

  LogicalResult writeText(llvm::StringRef path,
                          llvm::function_ref<void(llvm::raw_ostream &)> write) {
    if (path.empty())
      return success();
    if (auto error = llvm::writeToOutput(path, [&](llvm::raw_ostream &os) {
          write(os);
          return llvm::Error::success();
        }))
      return report(std::move(error));
    return success();
  }
};

/// Calls `visit` with the module of each source and size at the structure stage, scheduled for the
/// first target if `scheduled`.
LogicalResult forEachModule(llvm::ArrayRef<SourceFile> sources, Stage last, const Options &options,
                            llvm::raw_ostream &errors,
                            llvm::function_ref<LogicalResult(ModuleOp, const TargetInfo &)> visit) {
  auto targets = targetsNamed(options.cpu);
  if (!targets) {
    errors << "seqc: error: " << llvm::toString(targets.takeError()) << "\n";
    return failure();
  }
  for (const SourceFile &source : sources)
    for (const Overrides &sizes : options.sizes) {
      auto context = createContext();
      auto module = importForTarget(source, sizes, options, *context, errors);
      if (!module)
        return failure();
      SourceReporter reporter(*context, source, errors);
      if (last >= Stage::Structure && failed(runStructure(*module, options)))
        return failure();
      if (last >= Stage::Chunk && options.target == Target::Cpu &&
          failed(runChunk(*module, options, targets->front())))
        return failure();
      if (failed(visit(*module, targets->front())))
        return failure();
    }
  return success();
}

} // namespace

LogicalResult compileSources(llvm::ArrayRef<SourceFile> sources, const Options &options,
                             const Outputs &outputs, llvm::raw_ostream &errors, StageTimes *times) {
  return LibraryBuilder(options, errors, times).build(sources, outputs);
}

LogicalResult emitStage(llvm::ArrayRef<SourceFile> sources, Stage stage, const Options &options,
                        llvm::raw_ostream &os, llvm::raw_ostream &errors) {
  if (stage == Stage::Ast) {
    for (const SourceFile &source : sources)
      for (const Overrides &sizes : options.sizes) {
        Diagnostics diagnostics;
        auto file = parseAndCheck(source, sizes, diagnostics);
        errors << diagnostics.render();
        if (!file || diagnostics.hasErrors())
          return failure();
        os << ast::print(*file);
      }
    return success();
  }
  return forEachModule(
      sources, stage, options, errors, [&](ModuleOp module, const TargetInfo &target) {
        OwningOpRef<ModuleOp> tiles;
        if (stage >= Stage::Tiles && options.target == Target::Cuda) {
          llvm::DenseMap<StringAttr, MixerPlan> plans;
          for (auto mixer : module.getOps<seq::MixerOp>()) {
            auto plan = planMixer(mixer);
            if (failed(plan))
              return failure();
            plans[mixer.getSymNameAttr()] = std::move(*plan);
          }
          auto kernels =
              gpu::emitDeviceKernels(module, [&](seq::MixerOp mixer) -> const MixerPlan & {
                return plans.find(mixer.getSymNameAttr())->second;
              });
          if (failed(kernels) || (stage >= Stage::Cpu && failed(gpu::lowerDeviceKernels(*kernels))))
            return failure();
          kernels->module->print(os);
          os << "\n";
          return success();
        }
        if (stage >= Stage::Tiles) {
          tiles = runTiles(module, target, "");
          if (!tiles || (stage >= Stage::Cpu && failed(lowerToLlvm(*tiles, target))))
            return failure();
          module = *tiles;
        }
        module.print(os);
        os << "\n";
        return success();
      });
}

LogicalResult explainSources(llvm::ArrayRef<SourceFile> sources, const Options &options,
                             llvm::raw_ostream &os, llvm::raw_ostream &errors) {
  return forEachModule(
      sources, Stage::Structure, options, errors, [&](ModuleOp module, const TargetInfo &target) {
        if (options.target == Target::Cuda) {
          for (auto mixer : module.getOps<seq::MixerOp>()) {
            if (mixer.getSummaryOf() || mixer.getFormOf() || mixer->hasAttr(gpu::kBlocksOf))
              continue;
            auto plan = planMixer(mixer);
            if (failed(plan))
              return failure();
            gpu::explainOnDevice(mixer, *plan, os);
          }
          return success();
        }
        // The schedule renames and inlines definitions, so the words come from the stage before.
        OwningOpRef<ModuleOp> scheduled = cast<ModuleOp>(module->clone());
        if (failed(runChunk(*scheduled, options, target)))
          return failure();
        for (auto [mixer, planned] :
             llvm::zip_equal(module.getOps<seq::MixerOp>(), scheduled->getOps<seq::MixerOp>())) {
          if (mixer.getSummaryOf() || mixer.getFormOf())
            continue; // explained with its mixer
          auto kernels = planned.getOps<seq::KernelOp>();
          auto expanded = seq::expandedFormOf(planned);
          explain(mixer, os,
                  {kernels.empty() ? seq::KernelOp() : *kernels.begin(),
                   expanded && makesEarlierRows(expanded, target)});
        }
        return success();
      });
}

} // namespace seqmix
