//===- Diagnostics.cpp -----------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Diagnostics.h"

#include "llvm/Support/ConvertUTF.h"
#include <algorithm>
#include <fmt/format.h>

using namespace seqmix;

Diagnostic &Diagnostic::note(SourceRange at, std::string text) {
  notes.push_back({Severity::Note, std::move(text), at, file, {}});
  return *this;
}

Diagnostic &Diagnostic::note(std::string text) {
  notes.push_back({Severity::Note, std::move(text), std::nullopt, file, {}});
  return *this;
}

/// Messages quote the source: what a terminal cannot show becomes '?'.
static std::string printable(std::string text) {
  const auto *begin = reinterpret_cast<const llvm::UTF8 *>(text.data());
  bool isUtf8 = llvm::isLegalUTF8String(&begin, begin + text.size());
  for (char &c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127 || (byte >= 128 && !isUtf8))
      c = '?';
  }
  return text;
}

Diagnostic &Diagnostics::add(Severity severity, std::optional<SourceRange> at,
                             std::string message) {
  discarded = {severity, "", at, current, {}};
  if (severity == Severity::Error) {
    if (full())
      return discarded;
    if (at)
      for (const Diagnostic &old : list)
        if (old.severity == Severity::Error && old.range && old.range->begin == at->begin &&
            old.file.name() == current.name())
          return discarded;
    ++errors;
  } else if (list.size() > 4 * errorLimit) {
    return discarded;
  }
  list.push_back({severity, printable(std::move(message)), at, current, {}});
  return list.back();
}

Diagnostic &Diagnostics::error(SourceRange at, std::string message) {
  return add(Severity::Error, at, std::move(message));
}
Diagnostic &Diagnostics::error(std::string message) {
  return add(Severity::Error, std::nullopt, std::move(message));
}
Diagnostic &Diagnostics::warning(SourceRange at, std::string message) {
  return add(Severity::Warning, at, std::move(message));
}
Diagnostic &Diagnostics::remark(SourceRange at, std::string message) {
  return add(Severity::Remark, at, std::move(message));
}

void Diagnostics::sortByPlace() {
  std::vector<size_t> order(list.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    // Those without a place come last; equal places keep their order.
    uint64_t placeA = list[a].range ? list[a].range->begin : UINT64_MAX;
    uint64_t placeB = list[b].range ? list[b].range->begin : UINT64_MAX;
    return placeA != placeB ? placeA < placeB : a < b;
  });
  std::vector<Diagnostic> sorted;
  sorted.reserve(list.size());
  for (size_t i : order)
    sorted.push_back(std::move(list[i]));
  list = std::move(sorted);
}

static const char *severityName(Severity severity) {
  switch (severity) {
  case Severity::Error:
    return "error";
  case Severity::Warning:
    return "warning";
  case Severity::Remark:
    return "remark";
  case Severity::Note:
    return "note";
  }
  return "";
}

/// A window of this many characters is shown of a longer line.
static constexpr size_t shownWidth = 160;

/// Splits a line into characters: one code point each, or one byte where it is not valid UTF-8.
static std::vector<llvm::StringRef> charactersOf(llvm::StringRef line) {
  std::vector<llvm::StringRef> result;
  for (size_t i = 0; i < line.size();) {
    const auto *begin = reinterpret_cast<const llvm::UTF8 *>(line.data() + i);
    size_t length = llvm::getNumBytesForUTF8(*begin);
    if (i + length > line.size() || !llvm::isLegalUTF8Sequence(begin, begin + length))
      length = 1;
    result.push_back(line.substr(i, length));
    i += length;
  }
  return result;
}

/// The line and a caret line under `range`; characters that a terminal cannot show become '?'.
static std::string excerpt(const SourceFile &file, SourceRange range) {
  LineColumn at = file.lineColumn(range.begin);
  llvm::StringRef line = file.line(at.line);
  uint32_t lineBegin = file.lineStart(at.line);
  std::vector<llvm::StringRef> characters = charactersOf(line);

  size_t begin = characters.size(), end = 0;
  for (size_t i = 0, offset = lineBegin; i < characters.size(); offset += characters[i++].size()) {
    if (offset <= range.begin)
      begin = i;
    if (offset < range.end)
      end = i + 1;
  }
  if (range.begin >= lineBegin + line.size())
    begin = characters.size();
  end = std::max(end, begin + 1);

  size_t from = 0, to = characters.size();
  if (to > shownWidth) {
    from = begin > shownWidth / 2 ? begin - shownWidth / 2 : 0;
    to = std::min(to, from + shownWidth);
  }
  std::string shown = from > 0 ? "..." : "", marks(shown.size(), ' ');
  for (size_t i = from; i < to; ++i) {
    llvm::StringRef c = characters[i];
    bool hidden = c.size() == 1 && c != "\t" &&
                  (static_cast<unsigned char>(c[0]) < 32 || static_cast<unsigned char>(c[0]) > 126);
    shown += hidden ? "?" : c.str();
  }
  for (size_t i = from; i < begin && i < to; ++i)
    marks += characters[i] == "\t" ? '\t' : ' ';
  marks += '^';
  for (size_t i = begin + 1; i < std::min(end, to); ++i)
    marks += '~';
  if (to < characters.size())
    shown += "...";
  return fmt::format("  {}\n  {}\n", shown, marks);
}

std::string seqmix::render(const Diagnostic &diagnostic) {
  std::string text;
  if (diagnostic.range) {
    LineColumn at = diagnostic.file.lineColumn(diagnostic.range->begin);
    text = fmt::format("{}:{}:{}: {}: {}\n", diagnostic.file.name().str(), at.line, at.column,
                       severityName(diagnostic.severity), diagnostic.message);
    text += excerpt(diagnostic.file, *diagnostic.range);
  } else {
    text = fmt::format("{}: {}\n", severityName(diagnostic.severity), diagnostic.message);
  }
  for (const Diagnostic &note : diagnostic.notes)
    text += render(note);
  return text;
}

std::string Diagnostics::render() const {
  std::string text;
  for (const Diagnostic &diagnostic : list)
    text += seqmix::render(diagnostic);
  if (full())
    text += fmt::format("error: {} errors found, the rest is not shown\n", errors);
  return text;
}

std::string seqmix::nearestName(llvm::StringRef name, llvm::ArrayRef<std::string> candidates) {
  std::string best;
  unsigned bestDistance = std::max<size_t>(1, name.size() / 3) + 1;
  for (const std::string &candidate : candidates) {
    if (name.size() <= 1 && candidate.size() <= 1 && !name.equals_insensitive(candidate))
      continue; // two different letters are not a misspelling
    unsigned distance =
        name.equals_insensitive(candidate)
            ? 0
            : name.edit_distance(candidate, /*AllowReplacements=*/true, bestDistance);
    if (distance < bestDistance && distance < name.size()) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}
