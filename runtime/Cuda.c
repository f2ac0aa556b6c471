//===- Cuda.c - the CUDA driver ---------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

void seqTextCudaError(SeqText *text, const SeqCuda *driver, CUresult error) {
  const char *name = NULL, *words = NULL;
  if (driver->getErrorName(error, &name) != 0 || !name)
    name = "unknown";
  if (driver->getErrorString(error, &words) != 0 || !words)
    words = "unknown error";
  seqTextAppend(text, "%s (%s, %d)", words, name, error);
}

int seqCudaFail(const SeqCall *call, const SeqCuda *driver, CUresult error, const char *what) {
  char words[512];
  SeqText text = {words, words + sizeof words};
  seqTextCudaError(&text, driver, error);
  return seqFail(call, SEQ_DRIVER_ERROR, "%s: the CUDA driver says: %s", what, words);
}

//===----------------------------------------------------------------------===//
// The driver
//===----------------------------------------------------------------------===//

// Written once, by the thread that has the lock; then only read.
static SeqCuda functions;
static _Atomic bool isReady;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *symbolOf(void *library, const char *name, const char **missing) {
  void *symbol = dlsym(library, name);
  if (!symbol && !*missing)
    *missing = name;
  return symbol;
}

// A driver that lacks functions is older than those.
static int failOld(const SeqCall *call, const char *missing) {
  int version = 0;
  if (functions.driverGetVersion && functions.driverGetVersion(&version) == 0)
    return seqFail(call, SEQ_DRIVER_ERROR,
                   "the CUDA driver is for CUDA %d.%d and has no %s; a driver for CUDA 12.0 or "
                   "later is needed",
                   version / 1000, version % 1000 / 10, missing);
  return seqFail(call, SEQ_DRIVER_ERROR,
                 "the CUDA driver has no %s; a driver for CUDA 12.0 or later is needed", missing);
}

static int openDriver(const SeqCall *call) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *why = dlerror();
    return seqFail(call, SEQ_DRIVER_ERROR,
                   "this mixer was compiled for CUDA, and there is no CUDA driver on this machine "
                   "(%s)",
                   why ? why : "libcuda.so.1 cannot be loaded");
  }
  const char *missing = NULL;
  // An object pointer becomes a function pointer: POSIX's way is through the bytes.
#define SEQ_CUDA_LOOKUP(NAME, SYMBOL, ...)                                                         \
  {                                                                                                \
    void *symbol = symbolOf(library, SYMBOL, &missing);                                            \
    memcpy((void *)&functions.NAME, (const void *)&symbol, sizeof symbol);                         \
  }
  SEQ_CUDA_FUNCTIONS(SEQ_CUDA_LOOKUP)
#undef SEQ_CUDA_LOOKUP
  if (missing)
    return failOld(call, missing);
  CUresult error = functions.init(0);
  if (error != 0)
    return seqCudaFail(call, &functions, error, "the CUDA driver does not start (cuInit)");
  atomic_store_explicit(&isReady, true, memory_order_release);
  return SEQ_OK;
}

int seqCudaDriver(const SeqCall *call, const SeqCuda **driver) {
  *driver = &functions;
  if (atomic_load_explicit(&isReady, memory_order_acquire))
    return SEQ_OK;
  pthread_mutex_lock(&lock);
  int status = atomic_load_explicit(&isReady, memory_order_acquire) ? SEQ_OK : openDriver(call);
  pthread_mutex_unlock(&lock);
  return status;
}

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

typedef struct Known {
  _Atomic bool isKnown;
  SeqGpu gpu;
  _Atomic(CUcontext) primary;
} Known;

static Known known[SEQ_MAX_DEVICES];

static int describe(const SeqCall *call, const SeqCuda *driver, int32_t ordinal, SeqGpu *gpu) {
  int count = 0, major = 0, minor = 0, multiprocessors = 0;
  CUresult error = driver->deviceGetCount(&count);
  if (error != 0)
    return seqCudaFail(call, driver, error, "cuDeviceGetCount");
  if (ordinal < 0 || ordinal >= count)
    return seqFail(call, SEQ_INVALID_DEVICE, "there is no CUDA device %d; the driver has %d",
                   ordinal, count);
  error = driver->deviceGet(&gpu->device, ordinal);
  if (error != 0)
    return seqCudaFail(call, driver, error, "cuDeviceGet");
  error = driver->deviceGetAttribute(&major, SEQ_CU_COMPUTE_CAPABILITY_MAJOR, gpu->device);
  if (error == 0)
    error = driver->deviceGetAttribute(&minor, SEQ_CU_COMPUTE_CAPABILITY_MINOR, gpu->device);
  if (error == 0)
    error = driver->deviceGetAttribute(&multiprocessors, SEQ_CU_MULTIPROCESSOR_COUNT, gpu->device);
  if (error != 0)
    return seqCudaFail(call, driver, error, "cuDeviceGetAttribute");
  gpu->ordinal = ordinal;
  gpu->architecture = 10 * major + minor;
  gpu->multiprocessors = multiprocessors > 0 ? multiprocessors : 1;
  return SEQ_OK;
}

int seqCudaGpu(const SeqCall *call, const SeqCuda *driver, int32_t ordinal, SeqGpu *gpu) {
  if (ordinal < 0 || ordinal >= SEQ_MAX_DEVICES)
    return describe(call, driver, ordinal, gpu); // says that there is none
  Known *entry = &known[ordinal];
  int status = SEQ_OK;
  if (!atomic_load_explicit(&entry->isKnown, memory_order_acquire)) {
    pthread_mutex_lock(&lock);
    if (!atomic_load_explicit(&entry->isKnown, memory_order_acquire)) {
      status = describe(call, driver, ordinal, &entry->gpu);
      if (status == SEQ_OK)
        atomic_store_explicit(&entry->isKnown, true, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
  }
  if (status == SEQ_OK)
    *gpu = entry->gpu;
  return status;
}

// The device's primary context, which is that of PyTorch and of the CUDA runtime. It is retained
// for the life of the process, once.
static int primaryContext(const SeqCall *call, const SeqCuda *driver, const SeqGpu *gpu,
                          CUcontext *context) {
  Known *entry = &known[gpu->ordinal];
  *context = atomic_load_explicit(&entry->primary, memory_order_acquire);
  if (*context)
    return SEQ_OK;
  CUresult error = 0;
  pthread_mutex_lock(&lock);
  *context = atomic_load_explicit(&entry->primary, memory_order_acquire);
  if (!*context) {
    error = driver->devicePrimaryCtxRetain(context, gpu->device);
    if (error == 0)
      atomic_store_explicit(&entry->primary, *context, memory_order_release);
  }
  pthread_mutex_unlock(&lock);
  return error == 0 ? SEQ_OK : seqCudaFail(call, driver, error, "cuDevicePrimaryCtxRetain");
}

// 1 and 2 are the names of the default streams, which are not of one context.
static bool isStreamOfContext(CUstream stream) { return (uintptr_t)stream > 2; }

int seqCudaEnter(const SeqCall *call, const SeqCuda *driver, const SeqGpu *gpu, CUstream stream,
                 bool *isEntered) {
  *isEntered = false;
  CUcontext current = NULL, wanted = NULL;
  CUresult error = driver->ctxGetCurrent(&current);
  if (error != 0)
    return seqCudaFail(call, driver, error, "cuCtxGetCurrent");
  if (isStreamOfContext(stream)) {
    error = driver->streamGetCtx(stream, &wanted);
    if (error != 0)
      return seqCudaFail(call, driver, error, "options.stream is no stream (cuStreamGetCtx)");
  } else if (current) {
    CUdevice device = -1;
    error = driver->ctxGetDevice(&device);
    if (error != 0)
      return seqCudaFail(call, driver, error, "cuCtxGetDevice");
    wanted = device == gpu->device ? current : NULL;
  }
  if (!wanted) {
    int status = primaryContext(call, driver, gpu, &wanted);
    if (status != SEQ_OK)
      return status;
  }
  if (wanted != current) {
    error = driver->ctxPushCurrent(wanted);
    if (error != 0)
      return seqCudaFail(call, driver, error, "cuCtxPushCurrent");
    *isEntered = true;
  }
  if (!isStreamOfContext(stream))
    return SEQ_OK;
  CUdevice device = -1;
  error = driver->ctxGetDevice(&device);
  if (error == 0 && device == gpu->device)
    return SEQ_OK;
  if (*isEntered)
    seqCudaLeave(driver);
  *isEntered = false;
  return error != 0 ? seqCudaFail(call, driver, error, "cuCtxGetDevice")
                    : seqFail(call, SEQ_INVALID_DEVICE,
                              "options.stream is of another device than the tensors, which are on "
                              "CUDA device %d",
                              gpu->ordinal);
}

void seqCudaLeave(const SeqCuda *driver) {
  CUcontext popped;
  (void)driver->ctxPopCurrent(&popped); // what was pushed is there
}
