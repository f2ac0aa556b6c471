//===- Cases.cpp -----------------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Cases.h"
#include "compiler/parse/Parser.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

static constexpr int64_t maxSize = std::numeric_limits<int32_t>::max();

namespace {

/// One `name=value` of a case.
struct Setting {
  llvm::StringRef name, value;
  SourceRange range, nameRange;
};

class CaseParser {
public:
  CaseParser(SourceFile source, Diagnostics &diagnostics) : diagnostics(diagnostics) {
    file.source = std::move(source);
    diagnostics.setFile(file.source);
    Diagnostics unused; // errors of the mixers are for parseAndCheck
    unused.setFile(file.source);
    mixers = parseMixers(file, unused);
  }

  std::vector<CaseLine> run();

private:
  File file;
  Diagnostics &diagnostics;
  std::vector<RawMixer> mixers;
  const RawMixer *raw = nullptr; ///< the one of the current case

  const RawMixer *mixerAt(uint32_t offset) const;
  std::vector<Setting> split(SourceRange line);
  bool parseCase(SourceRange line, CaseLine &result);
  bool parseSetting(const Setting &setting, CaseLine &result);
  bool parseSize(const Setting &setting, CaseLine &result);
  bool parseNames(const Setting &setting, CaseLine &result);
  bool parseLengths(const Setting &setting, CaseLine &result);
  bool complete(CaseLine &result);
  bool error(SourceRange at, std::string message) {
    diagnostics.error(at, std::move(message));
    return false;
  }
};

} // namespace

const RawMixer *CaseParser::mixerAt(uint32_t offset) const {
  const RawMixer *found = nullptr;
  for (const RawMixer &candidate : mixers)
    if (!found || candidate.mixer->range.begin <= offset)
      found = &candidate;
  return found;
}

std::vector<Setting> CaseParser::split(SourceRange line) {
  std::vector<Setting> settings;
  llvm::StringRef text = file.source.text();
  for (uint32_t at = line.begin; at < line.end;) {
    if (text[at] == ' ' || text[at] == '\t') {
      ++at;
      continue;
    }
    uint32_t begin = at;
    while (at < line.end && text[at] != ' ' && text[at] != '\t')
      ++at;
    auto [name, value] = text.slice(begin, at).split('=');
    uint32_t nameEnd = begin + name.size();
    settings.push_back({name, value, {begin, at}, {begin, nameEnd}});
  }
  return settings;
}

bool CaseParser::parseLengths(const Setting &setting, CaseLine &result) {
  llvm::SmallVector<llvm::StringRef> parts;
  setting.value.split(parts, ',');
  for (llvm::StringRef part : parts) {
    int64_t length;
    if (part.getAsInteger(10, length) || length < 0 || length > maxSize)
      return error(setting.range, fmt::format("expected lengths of at least 0 with commas between "
                                              "them, as in lengths=5,0,62, found '{}'",
                                              part.str()));
    result.lengths.push_back(length);
  }
  return true;
}

bool CaseParser::parseNames(const Setting &setting, CaseLine &result) {
  llvm::SmallVector<llvm::StringRef> parts;
  setting.value.split(parts, ',');
  for (llvm::StringRef part : parts) {
    std::vector<std::string> known;
    const Tensor *found = nullptr;
    for (const Tensor *tensor : raw->mixer->tensors) {
      known.push_back(tensor->name);
      if (tensor->name == part)
        found = tensor;
    }
    std::string near = nearestName(part, known);
    if (!found)
      return error(setting.range,
                   fmt::format("'{}' is not an input of '{}'{}", part.str(), raw->mixer->name,
                               near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    if (found->type() != Type::Real)
      return error(setting.range,
                   fmt::format("'{}' is not real: it has no extreme values", part.str()));
    result.extreme.push_back(part.str());
  }
  return true;
}

bool CaseParser::parseSize(const Setting &setting, CaseLine &result) {
  const Mixer &mixer = *raw->mixer;
  Overrides given;
  std::string unused;
  const Decl *decl = nullptr;
  std::vector<std::string> known = {"dtype", "lengths", "carry", "extreme"};
  auto look = [&](const auto &list) {
    for (const Decl *candidate : list) {
      known.push_back(candidate->name);
      if (candidate->name == setting.name)
        decl = candidate;
    }
  };
  look(mixer.batchDims);
  look(mixer.dims);
  look(mixer.consts);
  if (!decl) {
    std::string near = nearestName(setting.name, known);
    return error(setting.nameRange,
                 fmt::format("'{}' is neither a dim nor a constant of '{}'{}", setting.name.str(),
                             mixer.name,
                             near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  if (!addOverride(file.source.text(setting.range), given, unused))
    return error(setting.range, fmt::format("expected a number, as in {}=3, found '{}'",
                                            setting.name.str(), setting.value.str()));
  Number value = given.begin()->second;
  if (llvm::isa<Const>(decl)) {
    result.overrides[decl->name] = value;
    return true;
  }
  auto *dim = llvm::dyn_cast<Dim>(decl);
  bool mayBeZero = dim && !dim->sizeExpr; // T=0 is a case worth having
  if (!value.isInteger || value.integer < (mayBeZero ? 0 : 1) || value.integer > maxSize)
    return error(setting.range, fmt::format("the size of '{}' must be a whole number of at least "
                                            "{}, found '{}'",
                                            decl->name, mayBeZero ? 0 : 1, setting.value.str()));
  result.sizes[decl->name] = value.integer;
  if (dim && dim->sizeExpr)
    result.overrides[decl->name] = value;
  return true;
}

bool CaseParser::parseSetting(const Setting &setting, CaseLine &result) {
  if (setting.name.empty() || setting.value.empty())
    return error(setting.range, fmt::format("expected NAME=VALUE, found '{}'",
                                            file.source.text(setting.range).str()));
  if (setting.name == "lengths")
    return parseLengths(setting, result);
  if (setting.name == "extreme")
    return parseNames(setting, result);
  if (setting.name == "carry") {
    if (setting.value != "random")
      return error(setting.range, "expected carry=random");
    result.randomCarry = true;
    return true;
  }
  if (setting.name == "dtype") {
    result.dtype = llvm::StringSwitch<DType>(setting.value)
                       .Case("f64", DType::F64)
                       .Case("f32", DType::F32)
                       .Case("bf16", DType::BF16)
                       .Case("f16", DType::F16)
                       .Default(DType::Default);
    return result.dtype != DType::Default ||
           error(setting.range, fmt::format("expected dtype=f64, f32, bf16 or f16, found '{}'",
                                            setting.value.str()));
  }
  return parseSize(setting, result);
}

/// Fills in what the lengths say, and checks that every size that only a case can give is there.
bool CaseParser::complete(CaseLine &result) {
  const Mixer &mixer = *raw->mixer;
  if (!result.lengths.empty()) {
    const Dim *time = nullptr;
    for (const Dim *dim : mixer.dims)
      if (!time && !dim->sizeExpr)
        time = dim;
    if (!time || mixer.batchDims.empty())
      return error(result.range, "'lengths' needs a batch dim and a run-time dim");
    int64_t total = 0;
    for (int64_t length : result.lengths)
      total += length; // no overflow: a line holds no 2^32 lengths
    auto [given, isNew] = result.sizes.try_emplace(time->name, total);
    if (!isNew && given->second != total)
      return error(result.range, fmt::format("the lengths add up to {}, but {}={}", total,
                                             time->name, given->second));
    auto [batch, isNewBatch] = result.sizes.try_emplace(mixer.batchDims[0]->name, 1);
    if (!isNewBatch && batch->second != 1)
      return error(result.range,
                   fmt::format("packed sequences have {}=1, since the lengths say how many there "
                               "are",
                               batch->first));
  }
  std::vector<std::string> missing;
  for (const BatchDim *dim : mixer.batchDims)
    if (!result.sizes.count(dim->name))
      missing.push_back(dim->name);
  for (const Dim *dim : mixer.dims)
    if (!dim->sizeExpr && !result.sizes.count(dim->name))
      missing.push_back(dim->name);
  if (!missing.empty())
    return error(result.range, fmt::format("the case gives no size for '{}'", missing[0]));
  for (const RawTensor &tensor : raw->tensors)
    for (const std::vector<RawPlace> *places : {&tensor.places, &tensor.per})
      for (const RawPlace &place : *places) {
        auto size = result.sizes.find(place.name);
        if (place.hasGroup && size != result.sizes.end() && size->second % place.group != 0) {
          diagnostics
              .error(result.range, fmt::format("{}={} is not a multiple of {}", place.name,
                                               size->second, place.group))
              .note(place.range, "needed here");
          return false;
        }
      }
  return true;
}

bool CaseParser::parseCase(SourceRange line, CaseLine &result) {
  result.range = line;
  raw = mixerAt(line.begin);
  if (!raw)
    return error(line, "the case belongs to no mixer");
  result.mixer = raw->mixer->name;
  std::vector<Setting> settings = split(line);
  llvm::SmallVector<llvm::StringRef> seen;
  for (const Setting &setting : llvm::ArrayRef(settings).drop_front(1)) { // without 'case'
    if (llvm::is_contained(seen, setting.name))
      return error(setting.nameRange, fmt::format("'{}' is given twice", setting.name.str()));
    seen.push_back(setting.name);
    if (!parseSetting(setting, result))
      return false;
  }
  return complete(result);
}

std::vector<CaseLine> CaseParser::run() {
  std::vector<CaseLine> cases;
  const SourceFile &source = file.source;
  for (unsigned number = 1; number <= source.lineCount(); ++number) {
    llvm::StringRef line = source.line(number);
    llvm::StringRef rest = line.ltrim();
    if (!rest.consume_front("#"))
      continue;
    rest = rest.ltrim();
    if (rest != "case" && !rest.starts_with("case ") && !rest.starts_with("case\t"))
      continue;
    uint32_t begin = rest.data() - source.text().data();
    CaseLine result;
    if (parseCase({begin, static_cast<uint32_t>(begin + rest.rtrim().size())}, result))
      cases.push_back(std::move(result));
  }
  return cases;
}

std::vector<CaseLine> seqmix::parseCases(SourceFile source, Diagnostics &diagnostics) {
  return CaseParser(std::move(source), diagnostics).run();
}
