//===- Bench.cpp - seq-run bench ------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Work.h"
#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Peaks.h"
#include "tools/seq-run/Problem.h"
#include "tools/seq-run/Session.h"
#include "tools/seq-run/Table.h"

#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>

using namespace llvm;

namespace seqmix::run {

namespace {

struct Measurement {
  std::string mixer, sizes;
  int64_t threads = 1;
  std::vector<double> seconds; ///< a call, sorted
  double tokens = 0;           ///< of all batch elements together, in a call
  Work work;                   ///< of one of them

  double median() const { return quantile(0.5); }
  /// Half the distance of the quartiles, relative to the median.
  double spread() const { return (quantile(0.75) - quantile(0.25)) / (2 * median()); }
  double operations() const { return tokens * (work.operations + work.functions) / median(); }
  double bytes() const { return tokens * (work.bytesIn + work.bytesOut) / median(); }

private:
  double quantile(double q) const { return seconds[static_cast<size_t>(q * (seconds.size() - 1))]; }
};

std::string machineName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (StringRef(line).starts_with("model name"))
      return StringRef(line).split(':').second.trim().str();
  return "unknown CPU";
}

/// A mixer's buffers, ready to be called again and again.
class Bench {
public:
  static Expected<std::unique_ptr<Bench>> prepare(Problem problem, CompiledMixer compiled,
                                                  bool steps, int64_t threads);
  /// Seconds of one call.
  double call();
  double tokensInCall() const;
  Error error = Error::success();

  ~Bench() {
    consumeError(std::move(error));
    std::free(workspace);
  }

private:
  Bench(Problem problem, CompiledMixer compiled, bool steps)
      : problem(std::move(problem)), compiled(std::move(compiled)), steps(steps) {}

  Problem problem;
  CompiledMixer compiled;
  bool steps;
  std::vector<int64_t> extents;
  std::vector<TensorBuffer> tensors, carry;
  std::vector<DLTensor *> tensorList, carryList;
  seq_options options = SEQ_OPTIONS_INIT;
  void *workspace = nullptr;
};

Expected<std::unique_ptr<Bench>> Bench::prepare(Problem problem, CompiledMixer compiled, bool steps,
                                                int64_t threads) {
  std::unique_ptr<Bench> bench(new Bench(std::move(problem), std::move(compiled), steps));
  consumeError(std::move(bench->error)); // an unchecked success
  const MixerPlan &plan = bench->problem.plan;
  if (steps && plan.noStep)
    return createStringError(fmt::format("{} has no step: {}", plan.name, *plan.noStep));
  if (steps)
    bench->problem.sizes[plan.dims[plan.tokenDim].name] = 1;
  bench->extents = extentsOf(bench->problem);
  reference::Arrays inputs = drawInputs(bench->problem);
  for (const TensorPlan &tensor : plan.tensors) {
    bool isOutput = tensor.role == SEQ_ROLE_OUTPUT;
    reference::Array array =
        isOutput ? reference::Array(shapeOf(plan, tensor, bench->extents)) : inputs.at(tensor.name);
    if (steps && hasTokens(plan, tensor))
      array.shape.erase(array.shape.begin() + axisOf(tensor.axes, plan.tokenDim));
    bench->tensors.emplace_back(tensor.dtype, array.shape, TensorBuffer::Aligned);
    bench->tensors.back().store(array);
  }
  int64_t sequences = hasFirstBatch(plan) ? bench->extents[0] : 1;
  reference::Arrays start = initialCarry(bench->problem, sequences);
  for (const ComponentPlan &component : plan.components) {
    const reference::Array &array = start.at(component.name);
    bench->carry.emplace_back(component.dtype, array.shape, TensorBuffer::Aligned);
    bench->carry.back().store(array);
  }
  for (TensorBuffer &buffer : bench->tensors)
    bench->tensorList.push_back(buffer.tensor());
  for (TensorBuffer &buffer : bench->carry)
    bench->carryList.push_back(buffer.tensor());
  std::vector<int64_t> query;
  for (int32_t dim : workspaceDims(plan))
    query.push_back(bench->extents[dim]);
  auto bytes = bench->compiled.workspaceSize(query, static_cast<int>(threads));
  if (!bytes)
    return bytes.takeError();
  bench->workspace = std::aligned_alloc(64, (*bytes + 64) / 64 * 64);
  bench->options.workspace = bench->workspace;
  bench->options.workspace_bytes = *bytes;
  bench->options.threads = static_cast<int32_t>(threads);
  if (!steps) {
    bench->options.carry_out = bench->carryList.data();
    bench->options.carry_count = static_cast<int32_t>(plan.components.size());
  }
  return std::move(bench);
}

double Bench::call() {
  auto start = std::chrono::steady_clock::now();
  Error failed = steps ? compiled.step(tensorList, carryList, &options)
                       : compiled.forward(tensorList, &options);
  std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  if (failed)
    error = joinErrors(std::move(error), std::move(failed));
  return spent.count();
}

double Bench::tokensInCall() const {
  double count = static_cast<double>(extents[problem.plan.tokenDim]);
  for (auto [dim, extent] : zip_equal(problem.plan.dims, extents))
    if (dim.kind == SEQ_DIM_BATCH)
      count *= static_cast<double>(extent);
  return count;
}

/// Extents of batch and run-time dims: as given, else B = 1, T = 1024, H = 8 and others as large as
/// their groups ask for.
Expected<std::map<std::string, int64_t>> sizesOf(const MixerPlan &plan,
                                                 const BenchOptions &options) {
  std::map<std::string, int64_t> sizes;
  for (auto [number, dim] : enumerate(plan.dims)) {
    if (dim.kind == SEQ_DIM_FIXED)
      continue;
    int64_t group = 1;
    for (const TensorPlan &tensor : plan.tensors)
      for (const AxisPlan &axis : tensor.axes)
        if (axis.dim == static_cast<int32_t>(number))
          group = std::max(group, axis.div);
    auto given = options.extents.find(dim.name);
    int64_t extent = given != options.extents.end() ? given->second
                     : dim.kind == SEQ_DIM_RUNTIME  ? 1024
                     : dim.name == "H"              ? 8
                                                    : 1;
    if (given != options.extents.end() && extent % group != 0)
      return createStringError(fmt::format("{}={} is not a multiple of {}, which {} needs",
                                           dim.name, extent, group, plan.name));
    sizes[dim.name] = (extent + group - 1) / group * group;
  }
  return sizes;
}

std::string describe(const Problem &problem) {
  std::vector<std::string> words;
  for (const auto &[name, size] : problem.sizes)
    words.push_back(fmt::format("{}={}", name, size));
  for (const DimPlan &dim : problem.plan.dims)
    if (dim.kind == SEQ_DIM_FIXED)
      words.push_back(fmt::format("{}={}", dim.name, dim.size));
  return fmt::format("{}", fmt::join(words, " "));
}

class BenchRunner {
public:
  explicit BenchRunner(const BenchOptions &options) : options(options) {}

  Error measureFile(const SourceFile &source, Progress &progress);
  std::vector<Measurement> measurements;

private:
  Error measureMixer(const SourceFile &source, mlir::seq::MixerOp mixer,
                     const std::shared_ptr<LoadedLibrary> &library);

  const BenchOptions &options;
};

/// Tokens of a sequence.
int64_t tokensOf(const Problem &problem) {
  return problem.sizes.at(problem.plan.dims[problem.plan.tokenDim].name);
}

Error BenchRunner::measureMixer(const SourceFile &source, mlir::seq::MixerOp mixer,
                                const std::shared_ptr<LoadedLibrary> &library) {
  Problem problem;
  problem.mixer = mixer;
  problem.name = mixer.getSymName().str() + "/bench";
  auto plan = planMixer(mixer);
  if (failed(plan))
    return createStringError("has no interface");
  problem.plan = std::move(*plan);
  auto sizes = sizesOf(problem.plan, options);
  if (!sizes)
    return sizes.takeError();
  problem.sizes = std::move(*sizes);

  auto lowered = importForTrial(source, options.compile.sizes[0], options.compile.dtype);
  if (!lowered)
    return lowered.takeError();
  if (failed(runStructure(*lowered->module, options.compile)))
    return createStringError("the structure stage fails");
  Model model(lowered->find(mixer.getSymName()));

  for (int64_t threads : options.threads) {
    auto compiled = CompiledMixer::find(library, mixer.getSymName().str());
    if (!compiled)
      return compiled.takeError();
    auto bench = Bench::prepare(problem, std::move(*compiled), options.steps, threads);
    if (!bench)
      return bench.takeError();
    Measurement measured;
    measured.mixer = mixer.getSymName().str();
    measured.sizes = describe(problem);
    measured.threads = threads;
    measured.tokens = (*bench)->tokensInCall();
    measured.work = workOf(model);
    for (auto pairs : model.mixer().getOps<mlir::seq::PairsOp>()) {
      Work ofPair = workOf(model, pairs);
      double count = pairsOfRow(pairs, static_cast<double>(tokensOf(problem)));
      measured.work.operations += ofPair.operations * count;
      measured.work.functions += ofPair.functions * count;
    }
    for (int warm = 0; warm < 2; ++warm)
      (*bench)->call();
    double spent = 0;
    auto wanted = [&] {
      size_t done = measured.seconds.size();
      return options.repetitions ? done < static_cast<size_t>(options.repetitions)
                                 : done < 5 || (spent < 0.5 && done < 10000);
    };
    while (wanted() && !(*bench)->error) {
      measured.seconds.push_back((*bench)->call());
      spent += measured.seconds.back();
    }
    if ((*bench)->error)
      return std::exchange((*bench)->error, Error::success());
    llvm::sort(measured.seconds);
    measurements.push_back(std::move(measured));
  }
  return Error::success();
}

Error BenchRunner::measureFile(const SourceFile &source, Progress &progress) {
  auto imported = importForTrial(source, options.compile.sizes[0], options.compile.dtype);
  if (!imported)
    return imported.takeError();
  TemporaryDirectory directory;
  std::shared_ptr<LoadedLibrary> library;
  for (auto mixer : imported->module->getOps<mlir::seq::MixerOp>()) {
    if (mixer.getFormOf() || mixer.getSymName().find(options.filter) == StringRef::npos)
      continue;
    if (!library) {
      auto loaded = compileAndLoad(source, options.compile, directory.file("bench.so"));
      if (!loaded)
        return loaded.takeError();
      library = std::move(*loaded);
    }
    if (Error error = measureMixer(source, mixer, library))
      return error;
  }
  progress.advance(source.name().str());
  return Error::success();
}

/// The peaks for a number of threads, measured once.
class PeakList {
public:
  const CorePeaks &of(int64_t threads) {
    auto [found, isNew] = list.try_emplace(std::max<int64_t>(threads, 1));
    if (isNew) {
      PeakOptions options;
      options.threads = static_cast<unsigned>(found->first);
      Peaks peaks = measurePeaks(options);
      found->second = found->first == 1 ? peaks.one : peaks.all;
      isa = peaks.isa;
    }
    return found->second;
  }
  std::string isa;

private:
  std::map<int64_t, CorePeaks> list;
};

double peakOperations(const CorePeaks &peaks, ast::DType dtype) {
  return dtype == ast::DType::F64 ? peaks.f64 : peaks.f32;
}

void printTable(const std::vector<Measurement> &measurements, const BenchOptions &options,
                PeakList &peaks) {
  size_t mixerWidth = 0, sizeWidth = 0;
  for (const Measurement &m : measurements) {
    mixerWidth = std::max(mixerWidth, m.mixer.size());
    sizeWidth = std::max(sizeWidth, m.sizes.size());
  }
  Table table({{"mixer", mixerWidth, false},
               {"sizes", sizeWidth, false},
               {"threads"},
               {options.steps ? "us/step" : "ms/call", 9},
               {"spread", 6},
               {"ns/token/head", 0},
               {"GFLOP/s", 8},
               {"of peak", 7},
               {"GB/s", 7},
               {"of memory", 9}});
  table.header();
  for (const Measurement &m : measurements) {
    const CorePeaks &peak = peaks.of(m.threads);
    table.row(
        {m.mixer, m.sizes, fmt::format("{}", m.threads),
         fmt::format("{:.3f}", m.median() * (options.steps ? 1e6 : 1e3)),
         fmt::format("{:.1f}%", 100 * m.spread()),
         fmt::format("{:.2f}", 1e9 * m.median() / m.tokens),
         fmt::format("{:.2f}", 1e-9 * m.operations()),
         fmt::format("{:.1f}%", 100 * m.operations() / peakOperations(peak, options.compile.dtype)),
         fmt::format("{:.2f}", 1e-9 * m.bytes()),
         fmt::format("{:.1f}%", 100 * m.bytes() / peak.memory.read)});
  }
}

json::Value toJson(const std::vector<Measurement> &measurements, const BenchOptions &options,
                   PeakList &peaks) {
  json::Array list;
  for (const Measurement &m : measurements) {
    const CorePeaks &peak = peaks.of(m.threads);
    list.push_back(json::Object{
        {"mixer", m.mixer},
        {"sizes", m.sizes},
        {"threads", m.threads},
        {"step", options.steps},
        {"repetitions", static_cast<int64_t>(m.seconds.size())},
        {"median_seconds", m.median()},
        {"least_seconds", m.seconds.front()},
        {"spread", m.spread()},
        {"ns_per_token_per_head", 1e9 * m.median() / m.tokens},
        {"flops", m.operations()},
        {"flops_of_peak", m.operations() / peakOperations(peak, options.compile.dtype)},
        {"bytes_per_second", m.bytes()},
        {"bytes_of_memory_peak", m.bytes() / peak.memory.read}});
  }
  return json::Object{{"machine", machineName()},
                      {"dtype", nameOf(options.compile.dtype)},
                      {"isa", peaks.isa},
                      {"measurements", std::move(list)}};
}

} // namespace

int runBench(const BenchOptions &options) {
  auto sources = readSources(options.files);
  if (!sources) {
    errs() << "seq-run: error: " << toString(sources.takeError()) << "\n";
    return 1;
  }
  BenchRunner runner(options);
  Progress progress(sources->size());
  bool isBad = false;
  for (const SourceFile &source : *sources)
    if (Error error = runner.measureFile(source, progress)) {
      progress.clear();
      errs() << source.name() << ": " << toString(std::move(error)) << "\n";
      isBad = true;
    }
  progress.clear();
  PeakList peaks;
  if (options.json) {
    outs() << formatv("{0:2}\n", toJson(runner.measurements, options, peaks));
  } else if (!runner.measurements.empty()) {
    const CorePeaks &one = peaks.of(1);
    fmt::print("{}, {}: one core {:.1f} GFLOP/s in {}, memory {:.1f} GB/s\n", machineName(),
               peaks.isa, 1e-9 * peakOperations(one, options.compile.dtype),
               options.compile.dtype == ast::DType::F64 ? "f64" : "f32", 1e-9 * one.memory.read);
    printTable(runner.measurements, options, peaks);
  }
  return isBad || runner.measurements.empty();
}

} // namespace seqmix::run
