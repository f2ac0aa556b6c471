//===- Table.cpp --------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Table.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace seqmix::run {

Table::Table(std::vector<Column> given) : columns(std::move(given)) {
  for (Column &column : columns)
    column.width = std::max(column.width, column.title.size());
}

void Table::row(const std::vector<std::string> &cells) const {
  std::string line;
  for (size_t c = 0; c < columns.size() && c < cells.size(); ++c) {
    line += c ? "  " : "";
    line += columns[c].isRight ? fmt::format("{:>{}}", cells[c], columns[c].width)
                               : fmt::format("{:<{}}", cells[c], columns[c].width);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

void Table::header() const {
  std::vector<std::string> titles;
  for (const Column &column : columns)
    titles.push_back(column.title);
  row(titles);
}

Progress::Progress(size_t total) : total(total), isShown(isatty(STDERR_FILENO)) {}

Progress::~Progress() { clear(); }

void Progress::clear() const {
  if (isShown)
    fmt::print(stderr, "\r\033[K");
}

void Progress::advance(const std::string &what) {
  ++count;
  if (!isShown || total == 0)
    return;
  constexpr size_t width = 30;
  size_t filled = std::min(width, width * count / total);
  fmt::print(stderr, "\r\033[K[{}{}] {}/{} {}", std::string(filled, '='),
             std::string(width - filled, ' '), count, total, what);
  std::fflush(stderr);
}

} // namespace seqmix::run
