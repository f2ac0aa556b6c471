//===- Diagnostics.h - Located errors, warnings and notes ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Source.h"
#include "llvm/ADT/ArrayRef.h"
#include <optional>
#include <string>
#include <vector>

namespace seqmix {

enum class Severity { Error, Warning, Remark, Note };

/// One message. Without a range it belongs to no place (a wrong command line, say).
struct Diagnostic {
  Severity severity;
  std::string message;
  std::optional<SourceRange> range;
  SourceFile file;
  std::vector<Diagnostic> notes;

  /// Adds a note at another place of the same file.
  Diagnostic &note(SourceRange at, std::string text);
  /// Adds a note without a place.
  Diagnostic &note(std::string text);
};

/// Collects diagnostics in the order in which they are found. At most `errorLimit` errors are kept;
/// a second error at the same place is dropped, since it mostly follows from the first.
class Diagnostics {
public:
  static constexpr size_t errorLimit = 20;

  /// The file that the following ranges belong to.
  void setFile(SourceFile file) { current = std::move(file); }
  const SourceFile &file() const { return current; }

  /// Reports an error. The reference is valid until the next report.
  Diagnostic &error(SourceRange at, std::string message);
  Diagnostic &error(std::string message);
  Diagnostic &warning(SourceRange at, std::string message);
  Diagnostic &remark(SourceRange at, std::string message);

  bool hasErrors() const { return errors > 0; }
  unsigned errorCount() const { return errors; }
  /// True once the limit is reached: a stage may stop early.
  bool full() const { return errors >= errorLimit; }
  llvm::ArrayRef<Diagnostic> all() const { return list; }

  /// Orders the diagnostics by their place in the file; notes stay with their diagnostic.
  void sortByPlace();
  /// All diagnostics as text: `name:line:column: error: message`, the line, and a caret under it.
  std::string render() const;

private:
  Diagnostic &add(Severity severity, std::optional<SourceRange> at, std::string message);

  SourceFile current;
  std::vector<Diagnostic> list;
  Diagnostic discarded{Severity::Error, "", std::nullopt, {}, {}};
  unsigned errors = 0;
};

/// Renders one diagnostic with its notes; used by `Diagnostics::render`.
std::string render(const Diagnostic &diagnostic);

/// The candidate that is nearest to a misspelt name, or an empty string when none is near.
std::string nearestName(llvm::StringRef name, llvm::ArrayRef<std::string> candidates);

} // namespace seqmix
