//===- write-sample.cpp - writes the library of hand-written kernels --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// write-sample DIRECTORY RUNTIME_DIRECTORY KERNELS.o [static]: makes libsample.so, sample.h and
// sample.json.

#include "test/library/Sample.h"

#include "llvm/Support/FileSystem.h"

using namespace llvm;
using namespace seqmix;

static Error write(const LibraryPlan &plan, const std::string &directory, LinkOptions options) {
  std::string object = directory + "/library.o";
  if (Error error = writeLibraryObject(plan, object))
    return error;
  options.objects.push_back(object);
  options.output = directory + "/libsample.so";
  options.exports = exportedSymbols(plan);
  if (Error error = linkLibrary(options))
    return error;
  std::error_code code;
  raw_fd_ostream header(directory + "/sample.h", code), manifest(directory + "/sample.json", code);
  writeHeader(plan, "sample", header);
  manifest << manifestText(plan);
  return code ? createStringError(code, "cannot write into '%s'", directory.c_str())
              : Error::success();
}

int main(int argc, char **argv) {
  ExitOnError exitOnError("write-sample: ");
  if (argc < 4)
    return 2;
  sys::fs::create_directories(argv[1]);
  LinkOptions options;
  options.runtimeDirectory = argv[2];
  options.objects = {argv[3]};
  options.staticRuntime = argc > 4;
  exitOnError(write(samplePlan(), argv[1], options));
}
