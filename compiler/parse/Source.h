//===- Source.h - A source file and ranges in it ---------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace seqmix {

/// A half-open range of bytes in one source file.
struct SourceRange {
  uint32_t begin = 0;
  uint32_t end = 0;

  /// The smallest range that covers both.
  SourceRange to(SourceRange other) const {
    return {begin < other.begin ? begin : other.begin, end > other.end ? end : other.end};
  }
  bool operator==(const SourceRange &) const = default;
};

/// A line and a column, both from 1. Columns count characters (UTF-8 code points), a tab is one.
struct LineColumn {
  unsigned line = 1;
  unsigned column = 1;
};

/// A named text; copies share the text, so ranges and names stay valid with any of them.
class SourceFile {
public:
  SourceFile() : SourceFile("", "") {}
  SourceFile(std::string name, std::string text);

  llvm::StringRef name() const { return data->name; }
  llvm::StringRef text() const { return data->text; }
  llvm::StringRef text(SourceRange range) const { return text().slice(range.begin, range.end); }
  /// Number of lines; a file without a final line break counts its last line.
  unsigned lineCount() const { return data->lineStarts.size(); }
  /// Where a byte offset lies; offsets past the end are taken as the end.
  LineColumn lineColumn(uint32_t offset) const;
  /// The text of a line (from 1) without its line break.
  llvm::StringRef line(unsigned number) const;
  /// Offset of the first byte of a line (from 1).
  uint32_t lineStart(unsigned number) const { return data->lineStarts[number - 1]; }

private:
  struct Data {
    std::string name;
    std::string text;
    std::vector<uint32_t> lineStarts;
  };
  std::shared_ptr<const Data> data;
};

} // namespace seqmix
