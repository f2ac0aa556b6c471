//===- FakeCuda.h - a CUDA driver for tests on machines without one ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A shared library with the name and the entry points of the driver, as far as the runtime uses
// them. A test that links with it has it instead of a driver: the runtime's dlopen finds what is
// loaded already. It checks handles and contexts as the driver does, records what is launched, and
// fails on demand. It has no memory: pointers are numbers to it.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_GPU_DRIVER_FAKECUDA_H
#define SEQMIX_TEST_GPU_DRIVER_FAKECUDA_H

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace seqmix::test {

#define SEQMIX_FAKE __attribute__((visibility("default")))

struct FakeDevice {
  int architecture = 90;
  int multiprocessors = 132;
  bool takesMachineCode = true;
  bool takesPtx = true;
};

struct FakeContext {
  int device;
  bool isPrimary;
};

struct FakeStream {
  FakeContext *context;
};

struct FakeLibrary {
  std::string image;
  bool isPtx;
};

struct FakeKernel {
  FakeLibrary *library;
  std::string name;
  std::map<int, int> sharedBytes; ///< allowed, by device
};

struct FakeLaunch {
  std::string kernel;
  bool isPtx = false;
  unsigned grid[3] = {}, block[3] = {}, sharedBytes = 0;
  FakeStream *stream = nullptr;
  FakeContext *context = nullptr;
  void **arguments = nullptr; ///< valid during the launch only
};

class SEQMIX_FAKE FakeCuda {
public:
  static FakeCuda &get();

  std::vector<FakeDevice> devices{FakeDevice()};
  int version = 12080;

  /// What a function returns instead of doing anything, by the name of its symbol.
  std::map<std::string, int> failures;
  /// How often each function was called, and what was launched.
  std::map<std::string, int> calls;
  std::vector<FakeLaunch> launches;
  /// Runs a launch; returns the driver's error.
  std::function<int(const FakeLaunch &)> onLaunch;

  FakeContext *makeContext(int device);
  FakeStream *makeStream(FakeContext *context);
  FakeContext *primary(int device);
  /// The contexts of this thread, the current one last.
  static std::vector<FakeContext *> &stack();

  /// Counts a call; the error that it is to fail with.
  int begin(const char *name);

  std::recursive_mutex lock;
  std::vector<std::unique_ptr<FakeContext>> contexts;
  std::vector<std::unique_ptr<FakeStream>> streams;
  std::vector<std::unique_ptr<FakeLibrary>> libraries;
  std::vector<std::unique_ptr<FakeKernel>> kernels;
};

} // namespace seqmix::test

#endif // SEQMIX_TEST_GPU_DRIVER_FAKECUDA_H
