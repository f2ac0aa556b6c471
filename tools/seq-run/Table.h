//===- Table.h - aligned columns, and a progress bar --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_TABLE_H
#define SEQMIX_TOOLS_SEQRUN_TABLE_H

#include <cstddef>
#include <string>
#include <vector>

namespace seqmix::run {

/// Prints rows as they come; a column is as wide as it was told, or its title.
class Table {
public:
  struct Column {
    std::string title;
    size_t width = 0;
    bool isRight = true;
  };
  explicit Table(std::vector<Column> columns);
  void header() const;
  void row(const std::vector<std::string> &cells) const;

private:
  std::vector<Column> columns;
};

/// A bar on stderr when that is a terminal; nothing elsewhere.
class Progress {
public:
  explicit Progress(size_t total);
  ~Progress();
  void advance(const std::string &what);
  /// Takes the bar away, so that something can be printed.
  void clear() const;

private:
  size_t total, count = 0;
  bool isShown;
};

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_TABLE_H
