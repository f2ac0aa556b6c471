//===- FakeCuda.cpp - a CUDA driver for tests on machines without one --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/gpu/driver/FakeCuda.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace seqmix::test {
namespace {

// CUresult
enum Error {
  Success = 0,
  InvalidValue = 1,
  InvalidContext = 201,
  NoBinary = 209,
  InvalidPtx = 218,
  InvalidHandle = 400,
  NotFound = 500,
};

template <typename T> T *known(const std::vector<std::unique_ptr<T>> &list, const void *handle) {
  auto at = std::find_if(list.begin(), list.end(),
                         [&](const std::unique_ptr<T> &one) { return one.get() == handle; });
  return at == list.end() ? nullptr : at->get();
}

FakeContext *current() {
  std::vector<FakeContext *> &stack = FakeCuda::stack();
  return stack.empty() ? nullptr : stack.back();
}

bool isDevice(int device) {
  return device >= 0 && device < static_cast<int>(FakeCuda::get().devices.size());
}

/// A stream's context; the default streams are of the current one.
FakeContext *contextOf(const void *stream) {
  auto number = reinterpret_cast<uintptr_t>(stream);
  if (number <= 2)
    return current();
  FakeStream *found = known(FakeCuda::get().streams, stream);
  return found ? found->context : nullptr;
}

/// Whether the device can run the image, which the driver finds out when a kernel is first needed.
Error checkImage(const FakeLibrary &library, int device) {
  const FakeDevice &gpu = FakeCuda::get().devices[static_cast<size_t>(device)];
  if (!library.isPtx)
    return gpu.takesMachineCode ? Success : NoBinary;
  size_t at = library.image.find(".target sm_");
  long architecture =
      at == std::string::npos ? 0 : std::strtol(library.image.c_str() + at + 11, nullptr, 10);
  return gpu.takesPtx && architecture > 0 && architecture <= gpu.architecture ? Success
                                                                              : InvalidPtx;
}

} // namespace

FakeCuda &FakeCuda::get() {
  static FakeCuda fake;
  return fake;
}

std::vector<FakeContext *> &FakeCuda::stack() {
  static thread_local std::vector<FakeContext *> contexts;
  return contexts;
}

FakeContext *FakeCuda::makeContext(int device) {
  contexts.push_back(std::make_unique<FakeContext>(FakeContext{device, false}));
  return contexts.back().get();
}

FakeStream *FakeCuda::makeStream(FakeContext *context) {
  streams.push_back(std::make_unique<FakeStream>(FakeStream{context}));
  return streams.back().get();
}

FakeContext *FakeCuda::primary(int device) {
  for (const auto &context : contexts)
    if (context->isPrimary && context->device == device)
      return context.get();
  contexts.push_back(std::make_unique<FakeContext>(FakeContext{device, true}));
  return contexts.back().get();
}

int FakeCuda::begin(const char *name) {
  ++calls[name];
  auto failure = failures.find(name);
  return failure == failures.end() ? 0 : failure->second;
}

} // namespace seqmix::test

using namespace seqmix::test;

#define BEGIN(NAME)                                                                                \
  FakeCuda &fake = FakeCuda::get();                                                                \
  std::lock_guard<std::recursive_mutex> guard(fake.lock);                                          \
  if (int error = fake.begin(NAME))                                                                \
  return error

extern "C" {

SEQMIX_FAKE int cuInit(unsigned flags) {
  BEGIN("cuInit");
  return flags == 0 ? Success : InvalidValue;
}

SEQMIX_FAKE int cuDriverGetVersion(int *version) {
  BEGIN("cuDriverGetVersion");
  *version = fake.version;
  return Success;
}

SEQMIX_FAKE int cuDeviceGetCount(int *count) {
  BEGIN("cuDeviceGetCount");
  *count = static_cast<int>(fake.devices.size());
  return Success;
}

SEQMIX_FAKE int cuDeviceGet(int *device, int ordinal) {
  BEGIN("cuDeviceGet");
  *device = ordinal;
  return isDevice(ordinal) ? Success : 101;
}

SEQMIX_FAKE int cuDeviceGetName(char *name, int length, int device) {
  BEGIN("cuDeviceGetName");
  std::snprintf(name, static_cast<size_t>(length), "Fake GPU %d", device);
  return isDevice(device) ? Success : 101;
}

SEQMIX_FAKE int cuDeviceGetAttribute(int *value, int attribute, int device) {
  BEGIN("cuDeviceGetAttribute");
  if (!isDevice(device))
    return 101;
  const FakeDevice &gpu = fake.devices[static_cast<size_t>(device)];
  if (attribute != 16 && attribute != 75 && attribute != 76)
    return InvalidValue;
  *value = attribute == 16   ? gpu.multiprocessors
           : attribute == 75 ? gpu.architecture / 10
                             : gpu.architecture % 10;
  return Success;
}

SEQMIX_FAKE int cuDevicePrimaryCtxRetain(FakeContext **context, int device) {
  BEGIN("cuDevicePrimaryCtxRetain");
  if (!isDevice(device))
    return 101;
  *context = fake.primary(device);
  return Success;
}

SEQMIX_FAKE int cuCtxGetCurrent(FakeContext **context) {
  BEGIN("cuCtxGetCurrent");
  *context = current();
  return Success;
}

SEQMIX_FAKE int cuCtxGetDevice(int *device) {
  BEGIN("cuCtxGetDevice");
  if (!current())
    return InvalidContext;
  *device = current()->device;
  return Success;
}

SEQMIX_FAKE int cuCtxPushCurrent_v2(FakeContext *context) {
  BEGIN("cuCtxPushCurrent_v2");
  if (!known(fake.contexts, context))
    return InvalidContext;
  FakeCuda::stack().push_back(context);
  return Success;
}

SEQMIX_FAKE int cuCtxPopCurrent_v2(FakeContext **context) {
  BEGIN("cuCtxPopCurrent_v2");
  if (!current())
    return InvalidContext;
  *context = current();
  FakeCuda::stack().pop_back();
  return Success;
}

SEQMIX_FAKE int cuStreamGetCtx(FakeStream *stream, FakeContext **context) {
  BEGIN("cuStreamGetCtx");
  *context = contextOf(stream);
  return *context ? Success : InvalidHandle;
}

SEQMIX_FAKE int cuLibraryLoadData(FakeLibrary **library, const void *code, int *jitOptions,
                                  void **jitValues, unsigned jitCount, int *, void **,
                                  unsigned count) {
  BEGIN("cuLibraryLoadData");
  if ((jitCount && (jitCount != 2 || jitOptions[0] != 5 || jitOptions[1] != 6)) || count)
    return InvalidValue;
  // The driver finds the end of both forms itself: text by its null byte, ELF by its headers.
  const char *bytes = static_cast<const char *>(code);
  bool isElf = std::memcmp(bytes, "\177ELF", 4) == 0;
  size_t size = 0;
  if (isElf) {
    uint64_t sections = 0;
    uint16_t entry = 0, number = 0;
    std::memcpy(&sections, bytes + 40, sizeof sections);
    std::memcpy(&entry, bytes + 58, sizeof entry);
    std::memcpy(&number, bytes + 60, sizeof number);
    size = sections + size_t(entry) * number;
    uint64_t programs = 0;
    std::memcpy(&programs, bytes + 32, sizeof programs);
    size = std::max<size_t>(size, programs);
  } else {
    size = std::strlen(bytes);
    if (!std::strstr(bytes, ".version")) {
      if (jitCount)
        std::snprintf(static_cast<char *>(jitValues[0]), reinterpret_cast<size_t>(jitValues[1]),
                      "ptxas fatal: no version");
      return InvalidPtx;
    }
  }
  fake.libraries.push_back(
      std::make_unique<FakeLibrary>(FakeLibrary{std::string(bytes, size), !isElf}));
  *library = fake.libraries.back().get();
  return Success;
}

SEQMIX_FAKE int cuLibraryUnload(FakeLibrary *library) {
  BEGIN("cuLibraryUnload");
  return known(fake.libraries, library) ? Success : InvalidHandle;
}

SEQMIX_FAKE int cuLibraryGetKernel(FakeKernel **kernel, FakeLibrary *library, const char *name) {
  BEGIN("cuLibraryGetKernel");
  if (!known(fake.libraries, library))
    return InvalidHandle;
  std::string entry =
      library->isPtx ? ".entry " + std::string(name) + "(" : ".text." + std::string(name) + '\0';
  if (library->image.find(entry) == std::string::npos)
    return NotFound;
  fake.kernels.push_back(std::make_unique<FakeKernel>(FakeKernel{library, name, {}}));
  *kernel = fake.kernels.back().get();
  return Success;
}

SEQMIX_FAKE int cuKernelGetFunction(void **function, FakeKernel *kernel) {
  BEGIN("cuKernelGetFunction");
  if (!known(fake.kernels, kernel))
    return InvalidHandle;
  if (!current())
    return InvalidContext;
  *function = kernel;
  return checkImage(*kernel->library, current()->device);
}

SEQMIX_FAKE int cuKernelSetAttribute(int attribute, int value, FakeKernel *kernel, int device) {
  BEGIN("cuKernelSetAttribute");
  if (!known(fake.kernels, kernel))
    return InvalidHandle;
  if (attribute != 8 || !isDevice(device) || value > 227 * 1024)
    return InvalidValue;
  kernel->sharedBytes[device] = value;
  return Success;
}

SEQMIX_FAKE int cuLaunchKernel(void *function, unsigned gridX, unsigned gridY, unsigned gridZ,
                               unsigned blockX, unsigned blockY, unsigned blockZ,
                               unsigned sharedBytes, FakeStream *stream, void **arguments,
                               void **extra) {
  BEGIN("cuLaunchKernel");
  FakeKernel *kernel = known(fake.kernels, function);
  FakeContext *context = contextOf(stream);
  if (!kernel || extra)
    return InvalidHandle;
  if (!context)
    return stream ? InvalidHandle : InvalidContext;
  auto allowed = kernel->sharedBytes.find(context->device);
  unsigned most =
      allowed == kernel->sharedBytes.end() ? 48 * 1024 : static_cast<unsigned>(allowed->second);
  if (gridX == 0 || gridY == 0 || gridZ == 0 || blockX * blockY * blockZ == 0 ||
      blockX * blockY * blockZ > 1024 || gridY > 65535 || gridZ > 65535 || sharedBytes > most)
    return InvalidValue;
  if (int error = checkImage(*kernel->library, context->device))
    return error;
  FakeLaunch launch{kernel->name,
                    kernel->library->isPtx,
                    {gridX, gridY, gridZ},
                    {blockX, blockY, blockZ},
                    sharedBytes,
                    stream,
                    context,
                    arguments};
  fake.launches.push_back(launch);
  return fake.onLaunch ? fake.onLaunch(launch) : 0;
}

// For tests in Python.

SEQMIX_FAKE int fakeLaunchCount() { return static_cast<int>(FakeCuda::get().launches.size()); }

SEQMIX_FAKE void *fakeLaunchStream(int launch) {
  return FakeCuda::get().launches[static_cast<size_t>(launch)].stream;
}

SEQMIX_FAKE int cuGetErrorName(int error, const char **name) {
  BEGIN("cuGetErrorName");
  *name = error == NoBinary ? "CUDA_ERROR_NO_BINARY_FOR_GPU" : "CUDA_ERROR_FAKE";
  return Success;
}

SEQMIX_FAKE int cuGetErrorString(int error, const char **text) {
  BEGIN("cuGetErrorString");
  *text = error == NoBinary ? "no kernel image is available" : "a fake error";
  return Success;
}

} // extern "C"
