//===- Session.cpp ------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Session.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>
#include <fmt/format.h>

using namespace llvm;

namespace seqmix::run {

TemporaryDirectory::TemporaryDirectory() {
  SmallString<128> made;
  if (std::error_code code = sys::fs::createUniqueDirectory("seq-run", made))
    report_fatal_error(Twine("cannot make a temporary folder: ") + code.message(), false);
  path = made.str().str();
}

TemporaryDirectory::~TemporaryDirectory() {
  if (std::error_code code = sys::fs::remove_directories(path, /*IgnoreErrors=*/false))
    errs() << "seq-run: cannot remove '" << path << "': " << code.message() << "\n";
}

Expected<std::vector<SourceFile>> readSources(ArrayRef<std::string> names) {
  std::vector<SourceFile> sources;
  for (const std::string &name : names) {
    auto buffer = MemoryBuffer::getFileOrSTDIN(name);
    if (!buffer)
      return createStringError("cannot read '" + name + "': " + buffer.getError().message());
    sources.emplace_back(name == "-" ? "<stdin>" : name, (*buffer)->getBuffer().str());
  }
  return sources;
}

Expected<std::shared_ptr<LoadedLibrary>> compileAndLoad(ArrayRef<SourceFile> sources,
                                                        const Options &options,
                                                        const std::string &libraryPath) {
  std::string messages;
  raw_string_ostream errors(messages);
  Outputs outputs;
  outputs.library = libraryPath;
  if (failed(compileSources(sources, options, outputs, errors)))
    return createStringError("cannot compile: " + messages);
  return LoadedLibrary::open(libraryPath);
}

mlir::seq::MixerOp Imported::find(StringRef mixer) {
  for (auto op : module->getOps<mlir::seq::MixerOp>())
    if (op.getSymName() == mixer)
      return op;
  return {};
}

Expected<Imported> importForTrial(const SourceFile &source, const Overrides &sizes,
                                  ast::DType dtype, Sums sums, Target target) {
  std::string messages;
  raw_string_ostream errors(messages);
  Imported imported{createContext(), {}};
  Options options;
  options.target = target;
  options.dtype = dtype;
  imported.module =
      sums == Sums::Linear
          ? importForTarget(source, sizes, options, *imported.context, errors)
          : importSource(source, sizes, dtype, *imported.context, errors, Sums::AsWritten);
  if (!imported.module)
    return createStringError(messages);
  return std::move(imported);
}

Expected<std::optional<Imported>> importAsWritten(Imported &imported, const SourceFile &source,
                                                  const Overrides &sizes, ast::DType dtype) {
  auto walk = imported.module->walk([](mlir::Operation *op) {
    bool isOther = op->hasAttr("seq.sum_of") || op->hasAttr("seq.latent_rows");
    return isOther ? mlir::WalkResult::interrupt() : mlir::WalkResult::advance();
  });
  if (!walk.wasInterrupted())
    return std::nullopt;
  auto asWritten = importForTrial(source, sizes, dtype, Sums::AsWritten);
  if (!asWritten)
    return asWritten.takeError();
  return std::move(*asWritten);
}

json::Value jsonNumber(double value) {
  if (std::isfinite(value))
    return value;
  return fmt::format("{}", value);
}

double numberOf(const json::Value *value) {
  if (!value)
    return 0;
  if (auto number = value->getAsNumber())
    return *number;
  return std::strtod(value->getAsString().value_or("nan").str().c_str(), nullptr);
}

json::Object toJson(const Outcome &outcome) {
  return json::Object{{"way", outcome.way},
                      {"error", jsonNumber(outcome.error)},
                      {"carry_error", jsonNumber(outcome.carryError)},
                      {"passed", outcome.passed},
                      {"detail", json::fixUTF8(outcome.detail)}};
}

Outcome outcomeFrom(const json::Object &object) {
  return {
      object.getString("way").value_or("").str(),    numberOf(object.get("error")),
      numberOf(object.get("carry_error")),           object.getBoolean("passed").value_or(false),
      object.getString("detail").value_or("").str(), {}};
}

} // namespace seqmix::run
