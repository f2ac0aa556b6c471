//===- Reference.cpp - seq-run reference ----------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/Interpret.h"
#include "dialect/Carry.h"
#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Npy.h"
#include "tools/seq-run/Session.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

using namespace llvm;

namespace seqmix::run {

namespace {

/// The mixer of a name; without one, the only mixer.
Expected<mlir::seq::MixerOp> findMixer(Imported &imported, const ReferenceOptions &options) {
  if (!options.mixer.empty()) {
    if (auto mixer = imported.find(options.mixer))
      return mixer;
    return createStringError(fmt::format("{} has no mixer '{}'", options.file, options.mixer));
  }
  auto mixers = make_filter_range(imported.module->getOps<mlir::seq::MixerOp>(),
                                  [](mlir::seq::MixerOp mixer) { return !mixer.getFormOf(); });
  if (std::distance(mixers.begin(), mixers.end()) != 1)
    return createStringError(
        fmt::format("{} does not have one mixer; choose one with --mixer", options.file));
  return *mixers.begin();
}

std::string fileOf(const std::string &folder, const std::string &name) {
  return fmt::format("{}/{}.npy", folder, name);
}

Error readInto(reference::Arrays &arrays, const std::string &name, const std::string &path) {
  Expected<reference::Array> array = readNpy(path);
  if (!array)
    return array.takeError();
  arrays[name] = std::move(*array);
  return Error::success();
}

Error runOracle(const ReferenceOptions &options) {
  auto sources = readSources(options.file);
  if (!sources)
    return sources.takeError();
  auto imported = importForTrial(sources->front(), options.sizes, options.dtype,
                                 options.asWritten ? Sums::AsWritten : Sums::Linear);
  if (!imported)
    return imported.takeError();
  Expected<mlir::seq::MixerOp> found = findMixer(*imported, options);
  if (!found)
    return found.takeError();
  mlir::seq::MixerOp mixer = *found;

  reference::Arrays inputs;
  for (auto tensor : mixer.getOps<mlir::seq::TensorOp>()) {
    std::string name = tensor.getSymName().str();
    if (Error error = readInto(inputs, name, fileOf(options.inputs, name)))
      return error;
  }
  reference::RunOptions run;
  run.cuSeqlens = options.cuSeqlens;
  std::vector<std::string> components = {"position"};
  for (const mlir::seq::CarryComponent &component : mlir::seq::carryComponents(mixer))
    components.push_back(component.name);
  for (const std::string &name : components)
    if (std::string path = fileOf(options.inputs, "carry." + name); sys::fs::exists(path))
      if (Error error = readInto(run.carry, name, path))
        return error;

  Expected<reference::RunResult> result = reference::interpret(mixer, inputs, run);
  if (!result)
    return result.takeError();
  if (std::error_code code = sys::fs::create_directories(options.outputs))
    return createStringError(fmt::format("{}: {}", options.outputs, code.message()));
  for (const auto &[name, array] : result->outputs)
    if (Error error = writeNpy(fileOf(options.outputs, name), array))
      return error;
  for (const auto &[name, array] : result->carry)
    if (Error error = writeNpy(fileOf(options.outputs, "carry." + name), array))
      return error;
  return Error::success();
}

} // namespace

int runReference(const ReferenceOptions &options) {
  if (Error error = runOracle(options)) {
    errs() << "seq-run: error: " << StringRef(toString(std::move(error))).rtrim() << "\n";
    return 1;
  }
  return 0;
}

} // namespace seqmix::run
