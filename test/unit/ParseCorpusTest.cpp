//===- ParseCorpusTest.cpp - Files that must parse and files that must not
//---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "test/unit/ParseSupport.h"

using namespace seqmix;
using namespace seqmix::test;

namespace {

/// Checks `text`, prints it, and checks that the print says the same.
void expectRoundTrip(const std::string &name, const std::string &text) {
  SCOPED_TRACE(name);
  Diagnostics diagnostics;
  auto file = parseAndCheck(SourceFile(name, text), {}, diagnostics);
  ASSERT_TRUE(file) << diagnostics.render();
  EXPECT_TRUE(diagnostics.all().empty()) << diagnostics.render();
  std::string printed = ast::print(*file);
  Diagnostics again;
  auto second = parseAndCheck(SourceFile(name + " (printed)", printed), {}, again);
  ASSERT_TRUE(second) << again.render() << printed;
  EXPECT_TRUE(ast::sameFile(*file, *second)) << printed;
  EXPECT_EQ(printed, ast::print(*second));
}

/// The lines `# error: ...`, `# warning: ...` and `# note: ...` of a file.
std::vector<std::string> expectations(const std::string &text) {
  std::vector<std::string> result;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    for (const char *kind : {"# error: ", "# warning: ", "# note: "})
      if (line.rfind(kind, 0) == 0)
        result.push_back(line.substr(2));
  return result;
}

TEST(ParseCorpus, ValidFilesRoundTrip) {
  std::vector<std::filesystem::path> files = seqFiles(sourceDir() / "test/parse/valid");
  EXPECT_GE(files.size(), 40u);
  for (const auto &path : files)
    expectRoundTrip(path.filename(), readFile(path));
}

TEST(ParseCorpus, ExamplesRoundTrip) {
  size_t found = 0;
  for (const auto &entry : std::filesystem::recursive_directory_iterator(sourceDir() / "examples"))
    if (entry.path().extension() == ".seq") {
      expectRoundTrip(entry.path().filename(), readFile(entry.path()));
      ++found;
    }
  EXPECT_GE(found, 30u);
}

TEST(ParseCorpus, WrongFilesGetTheirDiagnostics) {
  std::vector<std::filesystem::path> files = seqFiles(sourceDir() / "test/parse/errors");
  EXPECT_GE(files.size(), 60u);
  for (const auto &path : files) {
    SCOPED_TRACE(path.filename());
    std::string text = readFile(path);
    std::vector<std::string> expected = expectations(text);
    EXPECT_FALSE(expected.empty());
    Diagnostics diagnostics;
    auto file = parseAndCheck(SourceFile(path.filename(), text), {}, diagnostics);
    EXPECT_FALSE(file);
    EXPECT_EQ(flatten(diagnostics), expected);
    EXPECT_FALSE(diagnostics.render().empty());
  }
}

/// Every prefix of a file ends somewhere odd; none may do more than give errors.
TEST(ParseCorpus, PrefixesAreSafe) {
  for (const auto &path : seqFiles(sourceDir() / "test/parse/valid")) {
    std::string text = readFile(path);
    for (size_t length = 0; length < text.size(); length += 7) {
      Diagnostics diagnostics;
      auto file = parseAndCheck(SourceFile("prefix", text.substr(0, length)), {}, diagnostics);
      EXPECT_NE(file != nullptr, diagnostics.hasErrors());
    }
  }
}

/// The blocks of the language page that begin with `mixer`.
TEST(ParseCorpus, DocumentedExamplesAreRight) {
  std::stringstream stream(readFile(sourceDir() / "docs/language.md"));
  size_t found = 0;
  std::string block;
  bool inside = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("```", 0) != 0) {
      if (inside)
        block += line + "\n";
      continue;
    }
    inside = !inside;
    if (inside) {
      block.clear();
    } else if (block.rfind("mixer", 0) == 0) {
      expectRoundTrip("language.md: " + block.substr(0, block.find('\n')), block);
      ++found;
    }
  }
  EXPECT_GE(found, 8u);
}

} // namespace
