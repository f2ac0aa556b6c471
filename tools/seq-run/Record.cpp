//===- Record.cpp - seq-run record ----------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Cases with the oracle's results, for machines that have no oracle.
//
//===----------------------------------------------------------------------===//

#include "compiler/parse/Cases.h"
#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Npy.h"
#include "tools/seq-run/Problem.h"
#include "tools/seq-run/Session.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

#include <fmt/format.h>

using namespace llvm;

namespace seqmix::run {

namespace {

std::string textOf(const SourceFile &source, const CaseLine &line) {
  StringRef text = source.text(line.range);
  text.consume_front("case");
  return text.trim().str();
}

Error writeArrays(const std::string &folder, const reference::Arrays &arrays,
                  const std::string &prefix = "") {
  for (const auto &[name, array] : arrays)
    if (Error error = writeNpy(fmt::format("{}/{}{}.npy", folder, prefix, name), array))
      return error;
  return Error::success();
}

Error write(const std::string &folder, const Trial &trial, json::Object description) {
  for (const char *part : {"inputs", "outputs"})
    if (std::error_code code = sys::fs::create_directories(fmt::format("{}/{}", folder, part)))
      return createStringError(fmt::format("{}/{}: {}", folder, part, code.message()));
  std::error_code code;
  raw_fd_ostream os(folder + "/case.json", code);
  if (code)
    return createStringError(fmt::format("{}/case.json: {}", folder, code.message()));
  os << formatv("{0:2}\n", json::Value(std::move(description)));
  if (Error error = writeArrays(folder + "/inputs", trial.givenInputs()))
    return error;
  if (Error error = writeArrays(folder + "/inputs", trial.givenCarry(), "carry."))
    return error;
  if (Error error = writeArrays(folder + "/outputs", trial.expected().outputs))
    return error;
  return writeArrays(folder + "/outputs", trial.expected().carry, "carry.");
}

/// A case: its file, sizes and types.
json::Object describe(const SourceFile &source, const CaseLine &line, ast::DType dtype,
                      const Problem &problem) {
  mlir::seq::MixerOp mixer = problem.mixer;
  json::Object extents, definitions;
  for (auto [dim, extent] : zip_equal(problem.plan.dims, extentsOf(problem)))
    extents[dim.name] = extent;
  for (const auto &[name, value] : line.overrides)
    definitions[name] = value.real();
  return json::Object{{"file", source.name()},
                      {"mixer", line.mixer},
                      {"case", textOf(source, line)},
                      {"dtype", nameOf(dtype)},
                      {"compute", mixer.getCompute().isF64() ? "f64" : "f32"},
                      {"definitions", std::move(definitions)},
                      {"extents", std::move(extents)},
                      {"lengths", json::Array(problem.lengths)},
                      {"rows", rowsOf(problem)},
                      {"carry", problem.hasRandomCarry}};
}

Error recordCase(const SourceFile &source, const CaseLine &line, const RecordOptions &options,
                 size_t number) {
  ast::DType dtype = options.dtype                       ? *options.dtype
                     : line.dtype == ast::DType::Default ? ast::DType::F32
                                                         : line.dtype;
  auto imported = importForTrial(source, line.overrides, dtype, Sums::Linear, Target::Cuda);
  if (!imported)
    return imported.takeError();
  Problem problem;
  problem.mixer = imported->find(line.mixer);
  problem.name = line.mixer + "/" + textOf(source, line);
  problem.sizes = line.sizes;
  problem.lengths = line.lengths;
  problem.hasRandomCarry = line.randomCarry;
  problem.extreme = line.extreme;
  auto plan = planMixer(problem.mixer);
  if (failed(plan))
    return createStringError(line.mixer + " has no interface");
  problem.plan = std::move(*plan);
  auto trial = Trial::prepare(problem);
  if (!trial)
    return trial.takeError();
  return write(fmt::format("{}/{}.{}", options.outputs, line.mixer, number), *trial,
               describe(source, line, dtype, problem));
}

Error recordAll(const RecordOptions &options) {
  auto sources = readSources(options.files);
  if (!sources)
    return sources.takeError();
  size_t number = 0;
  for (const SourceFile &source : *sources) {
    Diagnostics diagnostics;
    diagnostics.setFile(source);
    for (const CaseLine &line : parseCases(source, diagnostics))
      if (Error error = recordCase(source, line, options, number++))
        return createStringError(fmt::format("{}: {}: {}", std::string_view(source.name()),
                                             textOf(source, line), toString(std::move(error))));
    if (diagnostics.hasErrors())
      return createStringError(diagnostics.render());
  }
  return number == 0 ? createStringError("the files have no cases") : Error::success();
}

} // namespace

int runRecord(const RecordOptions &options) {
  if (Error error = recordAll(options)) {
    errs() << "seq-run: error: " << StringRef(toString(std::move(error))).rtrim() << "\n";
    return 1;
  }
  return 0;
}

} // namespace seqmix::run
