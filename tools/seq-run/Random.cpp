//===- Random.cpp - seq-run random ----------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Coverage.h"
#include "tools/seq-run/Generator.h"
#include "tools/seq-run/RandomTrial.h"
#include "tools/seq-run/Shrink.h"
#include "tools/seq-run/Table.h"
#include "tools/seq-run/Workers.h"

#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>
#include <map>

using namespace llvm;

namespace seqmix::run {

namespace {

struct Entry {
  uint64_t number = 0;
  ast::DType dtype = ast::DType::F64;
  bool hasEnded = false;
  RandomVerdict verdict;
};

std::string nameOfMixer(uint64_t number) { return fmt::format("random{}", number); }

std::vector<Entry> entriesOf(const RandomOptions &options) {
  std::vector<Entry> entries;
  uint64_t first = options.only.value_or(0), count = options.only ? 1 : options.count;
  for (uint64_t number = first; number < first + count; ++number) {
    // A batch is one library, so it has one type.
    bool isSingle = number / options.batch % 2 == 1;
    Entry entry;
    entry.number = number;
    entry.dtype = options.dtype ? *options.dtype : isSingle ? ast::DType::F32 : ast::DType::F64;
    entries.push_back(std::move(entry));
  }
  return entries;
}

/// In a process of its own: some mixers, compiled together.
void tryBatch(ArrayRef<Entry> batch, const RandomOptions &options, Report report) {
  std::vector<SourceFile> sources;
  for (const Entry &entry : batch) {
    std::string name = nameOfMixer(entry.number);
    sources.emplace_back(name + ".seq", randomMixer(options.seed, entry.number, name));
  }
  tryRandomMixers(sources, batch[0].dtype, options,
                  [&](size_t index, const RandomVerdict &verdict) {
                    json::Object object = toJson(verdict);
                    object["number"] = static_cast<int64_t>(batch[index].number);
                    report(std::move(object));
                  });
}

/// Runs the entries that have no verdict yet, `size` in a process. Entries of processes that died
/// stay without one, with the reason in it.
void runEntries(std::vector<Entry> &entries, unsigned size, const RandomOptions &options,
                Progress &progress) {
  std::vector<std::vector<Entry *>> batches;
  for (Entry &entry : entries) {
    if (entry.hasEnded)
      continue;
    if (batches.empty() || batches.back().size() == size || batches.back()[0]->dtype != entry.dtype)
      batches.emplace_back();
    batches.back().push_back(&entry);
  }
  runJobs(
      batches.size(), options.jobs, options.secondsEach,
      [&](unsigned job, Report report) {
        std::vector<Entry> batch;
        for (const Entry *entry : batches[job])
          batch.push_back(*entry);
        tryBatch(batch, options, report);
      },
      [&](unsigned job, json::Value value) {
        const json::Object &object = *value.getAsObject();
        for (Entry *entry : batches[job])
          if (static_cast<int64_t>(entry->number) == object.getInteger("number")) {
            entry->verdict = verdictFrom(object);
            entry->hasEnded = true;
            progress.advance(nameOfMixer(entry->number));
          }
      },
      [&](unsigned job, const JobEnd &end) {
        bool failed = false;
        for (Entry *entry : batches[job]) {
          if (!entry->hasEnded)
            entry->verdict.problem = end.ok ? "ended without a word" : end.reason;
          failed |= entry->hasEnded && !entry->verdict.passed();
        }
        return options.keepGoing || !failed;
      });
}

void printFailure(const Entry &entry, const RandomOptions &options) {
  std::string name = nameOfMixer(entry.number);
  fmt::print("\nFAILED: mixer {} of seed {}, {} (seq-run random --seed={} --only={} --dtype={})\n",
             entry.number, options.seed, nameOf(entry.dtype).str(), options.seed, entry.number,
             nameOf(entry.dtype).str());
  fmt::print("{}", entry.verdict.text());
  std::string text = randomMixer(options.seed, entry.number, name);
  if (options.shrink) {
    fmt::print("shrinking ...\n");
    std::fflush(stdout);
    std::string verdict;
    text = shrink(text, name, entry.dtype, options, verdict);
    fmt::print("{}", verdict);
  }
  fmt::print("{}\n", text);
}

} // namespace

int runRandom(const RandomOptions &options) {
  std::vector<Entry> entries = entriesOf(options);
  if (options.printOnly) {
    for (const Entry &entry : entries)
      fmt::print("{}\n", randomMixer(options.seed, entry.number, nameOfMixer(entry.number)));
    return 0;
  }
  Progress progress(entries.size());
  runEntries(entries, options.batch, options, progress);
  // A crash leaves the others of its batch without a verdict: one by one then.
  if (any_of(entries, [](const Entry &entry) { return !entry.verdict.problem.empty(); }))
    runEntries(entries, 1, options, progress);
  progress.clear();

  Coverage coverage;
  uint64_t failures = 0, run = 0, illConditioned = 0, trials = 0;
  for (Entry &entry : entries) {
    if (!entry.hasEnded && entry.verdict.problem.empty())
      continue; // stopped before it
    ++run;
    trials += entry.verdict.trials;
    illConditioned += entry.verdict.illConditioned;
    coverage.add(entry.verdict.coverage);
    if (entry.verdict.passed())
      continue;
    ++failures;
    if (failures <= 20)
      printFailure(entry, options);
  }
  coverage.print();
  fmt::print("seed {}: {} of {} mixers run in {} trials, {} failed", options.seed, run,
             entries.size(), trials, failures);
  if (illConditioned)
    fmt::print(", {} results beyond the tolerance but within what rounded inputs do",
               illConditioned);
  fmt::print("\n");
  return failures || run == 0;
}

} // namespace seqmix::run
