//===- parse_fuzz.cpp - Any bytes through lexer, parser, checks and printer ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Cases.h"
#include "compiler/parse/Parse.h"

#include <cstdio>
#include <cstdlib>

using namespace seqmix;

static void fail(const char *what, const std::string &text) {
  std::fprintf(stderr, "%s\n%s\n", what, text.c_str());
  std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  SourceFile source("fuzz.seq", std::string(reinterpret_cast<const char *>(data), size));
  Diagnostics diagnostics;
  auto file = parseAndCheck(source, {}, diagnostics);
  std::string messages = diagnostics.render();
  if ((file != nullptr) == diagnostics.hasErrors())
    fail("a file is given exactly if there is no error", messages);
  Diagnostics ofCases;
  parseCases(source, ofCases);
  ofCases.render();
  if (!file)
    return 0;
  // What is printed must parse to the same tree.
  std::string printed = ast::print(*file);
  Diagnostics again;
  auto second = parseAndCheck(SourceFile("printed.seq", printed), {}, again);
  if (!second)
    fail("the printed file does not parse", printed + again.render());
  if (!ast::sameFile(*file, *second))
    fail("the printed file says something else", printed + ast::print(*second));
  return 0;
}
