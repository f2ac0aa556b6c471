//===- write-sample.cpp - writes the library of hand-written kernels --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// write-sample DIRECTORY RUNTIME_DIRECTORY KERNELS.o [static]: makes libsample.so, sample.h and
// sample.json, and the same of `device`, a library for GPUs.

#include "test/library/Sample.h"

#include "llvm/Support/FileSystem.h"

using namespace llvm;
using namespace seqmix;

static Error write(const LibraryPlan &plan, const std::string &directory, const std::string &name,
                   LinkOptions options) {
  std::string object = directory + "/" + name + ".o";
  if (Error error = writeLibraryObject(plan, object))
    return error;
  options.objects.push_back(object);
  options.output = directory + "/lib" + name + ".so";
  options.exports = exportedSymbols(plan);
  if (Error error = linkLibrary(options))
    return error;
  std::error_code code;
  raw_fd_ostream header(directory + "/" + name + ".h", code),
      manifest(directory + "/" + name + ".json", code);
  writeHeader(plan, name, header);
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
  options.staticRuntime = argc > 4;
  LinkOptions device = options;
  device.staysLoaded = true;
  exitOnError(write(deviceSamplePlan(), argv[1], "device", device));
  options.objects = {argv[3]};
  exitOnError(write(samplePlan(), argv[1], "sample", options));
}
