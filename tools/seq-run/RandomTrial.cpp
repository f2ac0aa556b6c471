//===- RandomTrial.cpp --------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/RandomTrial.h"

#include "tools/seq-run/Coverage.h"
#include "tools/seq-run/Draw.h"
#include "tools/seq-run/Problem.h"

#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace llvm;

namespace seqmix::run {

std::string RandomVerdict::text() const {
  std::string out;
  if (!problem.empty())
    out += "  " + problem + "\n";
  for (const std::string &failure : failures)
    out += "  " + failure + "\n";
  return out;
}

json::Object toJson(const RandomVerdict &verdict) {
  json::Array failures, coverage;
  for (const std::string &failure : verdict.failures)
    failures.push_back(json::fixUTF8(failure));
  for (const std::string &feature : verdict.coverage)
    coverage.push_back(feature);
  return json::Object{{"problem", json::fixUTF8(verdict.problem)},
                      {"failures", std::move(failures)},
                      {"coverage", std::move(coverage)},
                      {"trials", static_cast<int64_t>(verdict.trials)},
                      {"ill_conditioned", static_cast<int64_t>(verdict.illConditioned)}};
}

RandomVerdict verdictFrom(const json::Object &object) {
  RandomVerdict verdict;
  verdict.problem = object.getString("problem").value_or("").str();
  for (const json::Value &failure : *object.getArray("failures"))
    verdict.failures.push_back(failure.getAsString().value_or("").str());
  for (const json::Value &feature : *object.getArray("coverage"))
    verdict.coverage.push_back(feature.getAsString().value_or("").str());
  verdict.trials = object.getInteger("trials").value_or(0);
  verdict.illConditioned = object.getInteger("ill_conditioned").value_or(0);
  return verdict;
}

/// Sizes and sequences of the `round`-th trial: whole, from a random carry, packed.
static Problem shapeProblem(const Problem &base, unsigned round) {
  static constexpr int64_t tokenCounts[] = {0, 1, 2, 5, 16, 17, 31, 33, 67};
  static constexpr int64_t packedCounts[] = {0, 1, 3, 16, 17, 20};
  Problem problem = base;
  problem.name = fmt::format("{}/{}", base.name, round);
  Stream stream(problem.name + "/shape");
  int64_t elements = 1;
  for (const DimPlan &dim : problem.plan.dims) {
    if (dim.kind != SEQ_DIM_BATCH)
      continue;
    int64_t group = 0;
    for (const TensorPlan &tensor : problem.plan.tensors)
      for (const AxisPlan &axis : tensor.axes)
        if (axis.dim >= 0 && problem.plan.dims[axis.dim].name == dim.name)
          group = std::max(group, axis.div);
    // What no tensor of a call has, neither input nor output, is 1.
    int64_t most = group == 0 || elements >= 4 ? 1 : 3;
    int64_t extent = std::max<int64_t>(group, 1) * (1 + stream.below(most));
    problem.sizes[dim.name] = extent;
    elements *= extent;
  }
  const std::string &time = problem.plan.dims[problem.plan.tokenDim].name;
  problem.sizes[time] = stream.pick<int64_t>(tokenCounts);
  if (round == 0 && problem.sizes[time] < 16)
    problem.sizes[time] = 33; // one trial is long enough for several blocks
  problem.hasRandomCarry = round > 0;
  if (round == 2 && hasFirstBatch(problem.plan)) {
    int64_t total = 0;
    for (unsigned sequence = 0, count = 1 + stream.below(4); sequence < count; ++sequence) {
      problem.lengths.push_back(stream.pick<int64_t>(packedCounts));
      total += problem.lengths.back();
    }
    problem.sizes[problem.plan.dims[0].name] = 1;
    problem.sizes[time] = total;
  }
  return problem;
}

static std::string describe(const Problem &problem) {
  std::vector<std::string> words;
  for (const auto &[name, size] : problem.sizes)
    words.push_back(fmt::format("{}={}", name, size));
  if (!problem.lengths.empty())
    words.push_back(fmt::format("lengths={}", fmt::join(problem.lengths, ",")));
  if (problem.hasRandomCarry)
    words.push_back("carry=random");
  return fmt::format("{}", fmt::join(words, " "));
}

/// A difference counts against the compiler only if it is much more than what rounding the inputs
/// and every result in between does to the oracle.
static bool isIllConditioned(const Trial &trial, const Outcome &outcome, bool isDouble) {
  if (outcome.beyond.empty()) // not the results of an array are wrong
    return false;
  double unit = isDouble ? 0x1p-53 : 0x1p-24, probe = isDouble ? 1e-9 : unit;
  auto moved = trial.sensitivity(probe);
  if (!moved) {
    consumeError(moved.takeError());
    return false;
  }
  return all_of(outcome.beyond, [&](const auto &array) {
    return array.second < 64 * moved->at(array.first) * unit / probe;
  });
}

static void tryOne(Imported &imported, Imported *asWritten, const CompiledMixer *compiled,
                   StringRef name, RandomVerdict &verdict) {
  Problem base;
  base.mixer = imported.find(name);
  base.name = name.str();
  auto plan = planMixer(base.mixer);
  if (failed(plan)) {
    verdict.problem = "has no interface";
    return;
  }
  base.plan = std::move(*plan);
  bool isDouble = base.mixer.getCompute().isF64();
  for (unsigned round = 0; round < 3; ++round) {
    Problem problem = shapeProblem(base, round);
    auto trial = Trial::prepare(problem);
    if (!trial) {
      verdict.problem =
          fmt::format("{}: the oracle: {}", describe(problem), toString(trial.takeError()));
      return;
    }
    ++verdict.trials;
    std::vector<Outcome> outcomes;
    if (asWritten) {
      auto outcome = trial->compareWith(asWritten->find(name));
      if (!outcome) {
        verdict.problem = fmt::format("{}: the oracle on the equations as written: {}",
                                      describe(problem), toString(outcome.takeError()));
        return;
      }
      if (*outcome)
        outcomes.push_back(**outcome);
    }
    if (compiled)
      append_range(outcomes, trial->run(*compiled).outcomes);
    for (const Outcome &outcome : outcomes) {
      if (outcome.passed)
        continue;
      if (isIllConditioned(*trial, outcome, isDouble)) {
        ++verdict.illConditioned;
        continue;
      }
      verdict.failures.push_back(fmt::format("{}: {}: error {:.2g} (carry {:.2g}): {}",
                                             describe(problem), outcome.way, outcome.error,
                                             outcome.carryError, outcome.detail));
    }
  }
}

void tryRandomMixers(ArrayRef<SourceFile> sources, ast::DType dtype, const RandomOptions &options,
                     function_ref<void(size_t, const RandomVerdict &)> done) {
  TemporaryDirectory directory;
  Options compile = options.compile;
  compile.dtype = dtype;
  compile.sizes = {Overrides()};
  std::shared_ptr<LoadedLibrary> library;
  std::string problem;
  if (!options.oracleOnly) {
    auto loaded = compileAndLoad(sources, compile, directory.file("random.so"));
    if (loaded)
      library = std::move(*loaded);
    else
      problem = toString(loaded.takeError());
    if (!library && sources.size() > 1) {
      // One of them is the reason.
      for (size_t index = 0; index < sources.size(); ++index)
        tryRandomMixers(sources[index], dtype, options,
                        [&](size_t, const RandomVerdict &verdict) { done(index, verdict); });
      return;
    }
  }
  for (auto [index, source] : enumerate(sources)) {
    RandomVerdict verdict;
    verdict.problem = problem;
    StringRef name = source.name().drop_back(StringRef(".seq").size());
    auto imported = importForTrial(source, {}, dtype);
    if (!imported) {
      verdict.problem = "not well typed: " + toString(imported.takeError());
    } else if (problem.empty()) {
      std::optional<CompiledMixer> mixer;
      if (library) {
        auto found = CompiledMixer::find(library, name.str());
        if (found)
          mixer = std::move(*found);
        else
          verdict.problem = toString(found.takeError());
      }
      auto asWritten = importAsWritten(*imported, source, {}, dtype);
      if (!asWritten)
        verdict.problem = "not well typed: " + toString(asWritten.takeError());
      if (verdict.problem.empty())
        tryOne(*imported, *asWritten ? &**asWritten : nullptr, mixer ? &*mixer : nullptr, name,
               verdict);
      verdict.coverage = coverageOf(*imported->module, compile);
    }
    done(index, verdict);
  }
}

} // namespace seqmix::run
