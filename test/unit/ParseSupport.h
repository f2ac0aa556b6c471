//===- ParseSupport.h - What the tests of the parser share -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#pragma once

#include "compiler/parse/Parse.h"
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace seqmix::test {

inline std::filesystem::path sourceDir() { return SEQMIX_SOURCE_DIR; }

inline std::string readFile(const std::filesystem::path &path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.good()) << path;
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// All .seq files of a folder, by name.
inline std::vector<std::filesystem::path> seqFiles(const std::filesystem::path &folder) {
  std::vector<std::filesystem::path> files;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".seq")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Parses a text that must be right.
inline std::unique_ptr<ast::File> parseGood(const std::string &text,
                                            const Overrides &overrides = {}) {
  Diagnostics diagnostics;
  auto file = parseAndCheck(SourceFile("test.seq", text), overrides, diagnostics);
  EXPECT_TRUE(file) << diagnostics.render();
  return file;
}

/// `error: line:column: text`, and the same for warnings and notes, in order.
inline void flatten(const Diagnostic &diagnostic, std::vector<std::string> &lines) {
  static const char *names[] = {"error", "warning", "remark", "note"};
  std::string line = fmt::format("{}: ", names[static_cast<int>(diagnostic.severity)]);
  if (diagnostic.range) {
    LineColumn at = diagnostic.file.lineColumn(diagnostic.range->begin);
    line += fmt::format("{}:{}: ", at.line, at.column);
  }
  lines.push_back(line + diagnostic.message);
  for (const Diagnostic &note : diagnostic.notes)
    flatten(note, lines);
}

inline std::vector<std::string> flatten(const Diagnostics &diagnostics) {
  std::vector<std::string> lines;
  for (const Diagnostic &diagnostic : diagnostics.all())
    flatten(diagnostic, lines);
  return lines;
}

/// The diagnostics of a text, one a line.
inline std::string diagnose(const std::string &text, const Overrides &overrides = {}) {
  Diagnostics diagnostics;
  parseAndCheck(SourceFile("test.seq", text), overrides, diagnostics);
  std::string all;
  for (const std::string &line : flatten(diagnostics))
    all += line + "\n";
  return all;
}

/// A mixer with the usual dims around some lines.
inline std::string around(const std::string &lines) {
  return "mixer m\n  dims B, H batch; t, s in T; i, n in K = 4; j in V = 3\n" + lines;
}

} // namespace seqmix::test
