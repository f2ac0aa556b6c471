//===- Check.cpp - The order of the checks ---------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

/// Larger files are refused: ranges are 32-bit, and no mixer comes near.
static constexpr size_t maxFileSize = size_t(16) << 20;

bool MixerChecker::run() {
  using Step = void (MixerChecker::*)();
  // Each step relies on those before it having found nothing.
  static constexpr Step steps[] = {
      &MixerChecker::declareNames,
      &MixerChecker::evaluateSizes, // which dims are run-time decides what places may be
      &MixerChecker::resolvePlaces,
      &MixerChecker::evaluateBounds,
      &MixerChecker::evaluateInitialValues,
      &MixerChecker::resolveLeftSides,
      &MixerChecker::resolveOutputs,
      &MixerChecker::checkExtents,
      &MixerChecker::resolveExpressions,
      &MixerChecker::inlineFunctions, // before indices: arguments bring their own
      &MixerChecker::checkScopes,
      &MixerChecker::checkTypes,
      &MixerChecker::attachDomains,
      &MixerChecker::findTimeDim,
      &MixerChecker::checkDependencies,
      &MixerChecker::checkDomainReads,
      &MixerChecker::computeBatch, // in the order of evaluation
      &MixerChecker::findNoStep,
      &MixerChecker::warnAboutUnused,
  };
  for (Step step : steps) {
    (this->*step)();
    if (failed())
      return false;
  }
  return true;
}

static void checkMixerNames(const File &file, Diagnostics &diagnostics) {
  std::map<std::string, const Mixer *> seen;
  for (const Mixer *mixer : file.mixers) {
    auto [it, isNew] = seen.try_emplace(mixer->name, mixer);
    if (!isNew)
      diagnostics
          .error(mixer->nameRange, fmt::format("the file has two mixers named '{}'", mixer->name))
          .note(it->second->nameRange, "the first one is here");
  }
}

static void checkOverrides(const std::vector<RawMixer> &mixers, const Overrides &overrides,
                           Diagnostics &diagnostics) {
  std::vector<std::string> known;
  for (const RawMixer &raw : mixers) {
    for (const Dim *dim : raw.mixer->dims)
      known.push_back(dim->name);
    for (const Const *constant : raw.mixer->consts)
      known.push_back(constant->name);
  }
  for (const auto &[name, value] : overrides)
    if (!llvm::is_contained(known, name)) {
      std::string near = nearestName(name, known);
      diagnostics.error(fmt::format("no dim or constant is named '{}'{}", name,
                                    near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    }
}

std::unique_ptr<File> seqmix::parseAndCheck(SourceFile source, const Overrides &overrides,
                                            Diagnostics &diagnostics) {
  diagnostics.setFile(source);
  unsigned before = diagnostics.errorCount();
  if (source.text().size() > maxFileSize) {
    diagnostics.error(fmt::format("{}: the file is larger than 16 MiB", source.name().str()));
    return nullptr;
  }
  auto file = std::make_unique<File>();
  file->source = std::move(source);
  std::vector<RawMixer> mixers = parseMixers(*file, diagnostics);
  checkMixerNames(*file, diagnostics);
  checkOverrides(mixers, overrides, diagnostics);
  for (RawMixer &raw : mixers)
    if (!raw.hasErrors) // with a line missing, most of what the checks would say is wrong
      MixerChecker(*file, raw, overrides, diagnostics).run();
  diagnostics.sortByPlace();
  return diagnostics.errorCount() == before ? std::move(file) : nullptr;
}
