//===- StructureExamplesTest.cpp - every example through the structure stage --===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "StructureHarness.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <gtest/gtest.h>

#include <regex>

using namespace seqmix;
using namespace seqmix::test;

namespace {

std::vector<std::string> exampleFiles() {
  std::vector<std::string> files;
  for (const char *directory : {SEQMIX_EXAMPLES, SEQMIX_NEW_MIXERS}) {
    std::error_code error;
    for (llvm::sys::fs::recursive_directory_iterator it(directory, error), end; it != end && !error;
         it.increment(error))
      if (llvm::sys::path::extension(it->path()) == ".seq")
        files.push_back(it->path());
  }
  llvm::sort(files);
  return files;
}

class ExamplesTest : public testing::TestWithParam<std::string> {};

// Values do not depend on sizes; small ones are quick to evaluate, and rows and columns differ.
TEST_P(ExamplesTest, KeepsItsValues) {
  auto buffer = llvm::MemoryBuffer::getFile(GetParam());
  ASSERT_TRUE(bool(buffer));
  std::string text = (*buffer)->getBuffer().str();
  Overrides sizes;
  std::regex extent("([A-Z][A-Za-z0-9_]*) = ([0-9]+)");
  int64_t size = 3;
  for (std::sregex_iterator it(text.begin(), text.end(), extent), end; it != end; ++it)
    if (std::stol((*it)[2]) > 8) {
      std::string error;
      ASSERT_TRUE(addOverride((*it)[1].str() + "=" + std::to_string(size++), sizes, error))
          << error;
    }
  for (int64_t minSize : {1, 1000}) {
    Structured s = structure(text, minSize, sizes, /*findSums=*/true);
    expectSameValues(s, 6);
    if (HasFailure()) {
      std::cerr << s.text();
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExamplesTest, testing::ValuesIn(exampleFiles()),
                         [](const auto &info) { return llvm::sys::path::stem(info.param).str(); });

} // namespace
