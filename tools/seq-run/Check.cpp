//===- Check.cpp - seq-run check ------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/parse/Cases.h"
#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Session.h"
#include "tools/seq-run/Table.h"
#include "tools/seq-run/Workers.h"

#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>

using namespace llvm;

namespace seqmix::run {

namespace {

/// One case of one file, and what came of it.
struct Row {
  unsigned file = 0;
  CaseLine line;
  std::string text; ///< "B=2 T=67 ..."
  ast::DType dtype = ast::DType::F32;
  bool hasStarted = false, hasEnded = false;
  std::string problem; ///< why it could not run
  std::vector<Outcome> outcomes;

  bool passed() const {
    return hasEnded && problem.empty() &&
           all_of(outcomes, [](const Outcome &outcome) { return outcome.passed; });
  }
};

std::string textOf(const SourceFile &source, const CaseLine &line) {
  StringRef text = source.text(line.range);
  text.consume_front("case");
  return text.trim().str();
}

/// What compilation depends on.
std::string keyOf(const Row &row) {
  std::string key = nameOf(row.dtype).str();
  for (const auto &[name, value] : row.line.overrides)
    key += fmt::format(" {}={}", name, value.real());
  return key;
}

struct Compiled {
  std::optional<Imported> imported;
  std::optional<Imported> asWritten; ///< where that is something else
  std::shared_ptr<LoadedLibrary> library;
  std::string problem;
};

Compiled compileFor(const SourceFile &source, const Row &row, const CheckOptions &options,
                    const std::string &path) {
  Compiled result;
  auto imported = importForTrial(source, row.line.overrides, row.dtype);
  if (!imported) {
    result.problem = toString(imported.takeError());
    return result;
  }
  result.imported = std::move(*imported);
  auto asWritten = importAsWritten(*result.imported, source, row.line.overrides, row.dtype);
  if (!asWritten) {
    result.problem = toString(asWritten.takeError());
    return result;
  }
  result.asWritten = std::move(*asWritten);
  if (options.oracleOnly)
    return result;
  Options compile = options.compile;
  compile.dtype = row.dtype;
  compile.sizes = {row.line.overrides};
  auto library = compileAndLoad(source, compile, path);
  if (library)
    result.library = std::move(*library);
  else
    result.problem = toString(library.takeError());
  return result;
}

/// Runs one case; gives the reason when that is not possible.
std::string runCase(const Row &row, Compiled &compiled, std::vector<Outcome> &outcomes) {
  if (!compiled.problem.empty())
    return compiled.problem;
  Problem problem;
  problem.mixer = compiled.imported->find(row.line.mixer);
  problem.name = row.line.mixer + "/" + row.text;
  problem.sizes = row.line.sizes;
  problem.lengths = row.line.lengths;
  problem.hasRandomCarry = row.line.randomCarry;
  problem.extreme = row.line.extreme;
  auto plan = planMixer(problem.mixer);
  if (failed(plan))
    return "has no interface";
  problem.plan = std::move(*plan);
  auto trial = Trial::prepare(problem);
  if (!trial)
    return toString(trial.takeError());
  if (compiled.asWritten) {
    auto outcome = trial->compareWith(compiled.asWritten->find(row.line.mixer));
    if (!outcome)
      return toString(outcome.takeError());
    if (*outcome)
      outcomes.push_back(**outcome);
  }
  if (!compiled.library)
    return "";
  auto mixer = CompiledMixer::find(compiled.library, row.line.mixer);
  if (!mixer)
    return toString(mixer.takeError());
  llvm::append_range(outcomes, trial->run(*mixer).outcomes);
  return "";
}

/// In a process of its own: all cases of one file.
void checkFile(const SourceFile &source, ArrayRef<Row> rows, ArrayRef<unsigned> numbers,
               const CheckOptions &options, Report report) {
  TemporaryDirectory directory;
  std::map<std::string, Compiled> compiled;
  for (unsigned number : numbers) {
    const Row &row = rows[number];
    report(json::Object{{"row", number}});
    auto [found, isNew] = compiled.try_emplace(keyOf(row));
    if (isNew)
      found->second =
          compileFor(source, row, options, directory.file(fmt::format("{}.so", compiled.size())));
    std::vector<Outcome> outcomes;
    std::string problem = runCase(row, found->second, outcomes);
    json::Array list;
    for (const Outcome &outcome : outcomes)
      list.push_back(toJson(outcome));
    report(json::Object{
        {"row", number}, {"problem", json::fixUTF8(problem)}, {"outcomes", std::move(list)}});
  }
}

std::string errorText(double error) { return fmt::format("{:.1e}", error); }

/// The largest error of the ways with this name, or "-".
std::string errorOf(const Row &row, StringRef way) {
  double most = -1;
  for (const Outcome &outcome : row.outcomes)
    if (outcome.way == way)
      most = std::max(most, outcome.error);
  return most < 0 ? "-" : errorText(most);
}

std::string verdict(const Row &row) {
  if (!row.problem.empty())
    return "FAILED to run";
  std::vector<std::string> failed;
  for (const Outcome &outcome : row.outcomes)
    if (!outcome.passed && !is_contained(failed, outcome.way))
      failed.push_back(outcome.way);
  return failed.empty() ? "ok" : fmt::format("FAILED: {}", fmt::join(failed, ", "));
}

std::vector<std::string> cellsOf(const Row &row) {
  double carry = 0;
  for (const Outcome &outcome : row.outcomes)
    carry = std::max(carry, outcome.carryError);
  bool isPacked = !row.line.lengths.empty();
  return {row.line.mixer,
          row.text,
          nameOf(row.dtype).str(),
          errorOf(row, "forward"),
          errorOf(row, "step"),
          errorOf(row, "split"),
          errorOf(row, isPacked ? "separate" : "packed"),
          errorOf(row, "strides"),
          errorOf(row, "as written"),
          row.outcomes.empty() ? "-" : errorText(carry),
          row.dtype == ast::DType::F64   ? "1e-12"
          : row.dtype == ast::DType::F32 ? "2e-05"
                                         : "ulp/2+2e-05",
          verdict(row)};
}

void printDetails(const Row &row, const SourceFile &source) {
  LineColumn at = source.lineColumn(row.line.range.begin);
  std::string where =
      fmt::format("{}:{}: {} ({})", source.name().str(), at.line, row.line.mixer, row.text);
  if (!row.problem.empty())
    fmt::print("{}: {}\n", where, StringRef(row.problem).rtrim().str());
  for (const Outcome &outcome : row.outcomes)
    if (!outcome.passed)
      fmt::print("{}: {}: {}\n", where, outcome.way, outcome.detail);
}

json::Object toJson(const Row &row, const SourceFile &source) {
  json::Array outcomes;
  for (const Outcome &outcome : row.outcomes)
    outcomes.push_back(toJson(outcome));
  return json::Object{{"file", source.name()},
                      {"mixer", row.line.mixer},
                      {"case", row.text},
                      {"dtype", nameOf(row.dtype)},
                      {"passed", row.passed()},
                      {"problem", json::fixUTF8(row.problem)},
                      {"outcomes", std::move(outcomes)}};
}

} // namespace

int runCheck(const CheckOptions &options) {
  auto sources = readSources(options.files);
  if (!sources) {
    errs() << "seq-run: error: " << toString(sources.takeError()) << "\n";
    return 1;
  }
  bool isBad = false;
  std::vector<Row> rows;
  std::vector<std::vector<unsigned>> byFile(sources->size());
  for (auto [number, source] : enumerate(*sources)) {
    Diagnostics diagnostics;
    diagnostics.setFile(source);
    for (CaseLine &line : parseCases(source, diagnostics)) {
      Row row;
      row.file = number;
      row.text = textOf(source, line);
      row.dtype = options.dtype                       ? *options.dtype
                  : line.dtype == ast::DType::Default ? ast::DType::F32
                                                      : line.dtype;
      row.line = std::move(line);
      if (!options.filter.empty() &&
          (row.line.mixer + " " + row.text).find(options.filter) == std::string::npos)
        continue;
      byFile[number].push_back(rows.size());
      rows.push_back(std::move(row));
    }
    if (diagnostics.hasErrors()) {
      errs() << diagnostics.render();
      isBad = true;
    }
  }
  std::vector<unsigned> files; // those with cases
  for (unsigned file = 0; file < byFile.size(); ++file)
    if (!byFile[file].empty())
      files.push_back(file);

  size_t mixerWidth = 0, caseWidth = 0;
  for (const Row &row : rows) {
    mixerWidth = std::max(mixerWidth, row.line.mixer.size());
    caseWidth = std::max(caseWidth, row.text.size());
  }
  Table table({{"mixer", mixerWidth, false},
               {"case", caseWidth, false},
               {"dtype"},
               {"forward", 7},
               {"step", 7},
               {"split", 7},
               {"packed", 7},
               {"strides", 7},
               {"written", 7},
               {"carry", 7},
               {"tolerance", 11},
               {"verdict", 0, false}});
  if (!options.json)
    table.header();
  Progress progress(files.size());
  std::vector<bool> isDone(files.size(), false);
  size_t printed = 0;
  runJobs(
      files.size(), options.jobs, options.secondsEach,
      [&](unsigned job, Report report) {
        checkFile((*sources)[files[job]], rows, byFile[files[job]], options, report);
      },
      [&](unsigned, json::Value value) {
        json::Object &object = *value.getAsObject();
        Row &row = rows[*object.getInteger("row")];
        row.hasStarted = true;
        json::Array *outcomes = object.getArray("outcomes");
        if (!outcomes)
          return;
        row.hasEnded = true;
        row.problem = object.getString("problem").value_or("").str();
        for (const json::Value &outcome : *outcomes)
          row.outcomes.push_back(outcomeFrom(*outcome.getAsObject()));
      },
      [&](unsigned job, const JobEnd &end) {
        for (unsigned number : byFile[files[job]])
          if (Row &row = rows[number]; !row.hasEnded)
            row.problem = row.hasStarted ? end.reason : "not reached: " + end.reason;
        isDone[job] = true;
        progress.advance((*sources)[files[job]].name().str());
        for (; printed < files.size() && isDone[printed]; ++printed) {
          progress.clear();
          for (unsigned number : byFile[files[printed]])
            if (!options.json)
              table.row(cellsOf(rows[number]));
        }
        return true;
      });

  size_t failures = count_if(rows, [](const Row &row) { return !row.passed(); });
  if (options.json) {
    json::Array list;
    for (const Row &row : rows)
      list.push_back(toJson(row, (*sources)[row.file]));
    outs() << formatv("{0:2}\n", json::Value(std::move(list)));
  } else {
    for (const Row &row : rows)
      printDetails(row, (*sources)[row.file]);
    fmt::print("{} cases, {} failed\n", rows.size(), failures);
  }
  if (rows.empty()) {
    errs() << "seq-run: error: no case to run\n";
    return 1;
  }
  return failures || isBad;
}

} // namespace seqmix::run
