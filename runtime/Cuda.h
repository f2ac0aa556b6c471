//===- Cuda.h - the CUDA driver ---------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Private to the runtime. The driver is looked for when a mixer for CUDA is called first, by
// dlopen: the library itself needs neither a driver nor the toolkit. Types and numbers are the
// driver's own interface (cuda.h), as far as it is used here.

#ifndef SEQMIX_RUNTIME_CUDA_H
#define SEQMIX_RUNTIME_CUDA_H

#include "runtime/Call.h"

typedef int CUresult; // 0: success
typedef int CUdevice;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUlib_st *CUlibrary;
typedef struct CUkern_st *CUkernel;
typedef struct CUfunc_st *CUfunction;

enum {
  SEQ_CU_MULTIPROCESSOR_COUNT = 16,           // CUdevice_attribute
  SEQ_CU_COMPUTE_CAPABILITY_MAJOR = 75,       // likewise
  SEQ_CU_COMPUTE_CAPABILITY_MINOR = 76,       // likewise
  SEQ_CU_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,   // CUfunction_attribute
  SEQ_CU_JIT_ERROR_LOG_BUFFER = 5,            // CUjit_option
  SEQ_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6, // likewise
  SEQ_CU_ORDINARY_SHARED_BYTES = 48 * 1024,   // that a kernel can have without asking
};

// X(name here, symbol, parameters...). Where cuda.h renames a function, the symbol is the new name.
#define SEQ_CUDA_FUNCTIONS(X)                                                                      \
  X(init, "cuInit", unsigned flags)                                                                \
  X(driverGetVersion, "cuDriverGetVersion", int *version)                                          \
  X(deviceGetCount, "cuDeviceGetCount", int *count)                                                \
  X(deviceGet, "cuDeviceGet", CUdevice *device, int ordinal)                                       \
  X(deviceGetName, "cuDeviceGetName", char *name, int length, CUdevice device)                     \
  X(deviceGetAttribute, "cuDeviceGetAttribute", int *value, int attribute, CUdevice device)        \
  X(devicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", CUcontext *context, CUdevice device)       \
  X(ctxGetCurrent, "cuCtxGetCurrent", CUcontext *context)                                          \
  X(ctxGetDevice, "cuCtxGetDevice", CUdevice *device)                                              \
  X(ctxPushCurrent, "cuCtxPushCurrent_v2", CUcontext context)                                      \
  X(ctxPopCurrent, "cuCtxPopCurrent_v2", CUcontext *context)                                       \
  X(streamGetCtx, "cuStreamGetCtx", CUstream stream, CUcontext *context)                           \
  X(libraryLoadData, "cuLibraryLoadData", CUlibrary *library, const void *code, int *jitOptions,   \
    void **jitValues, unsigned jitCount, int *options, void **values, unsigned count)              \
  X(libraryUnload, "cuLibraryUnload", CUlibrary library)                                           \
  X(libraryGetKernel, "cuLibraryGetKernel", CUkernel *kernel, CUlibrary library, const char *name) \
  X(kernelGetFunction, "cuKernelGetFunction", CUfunction *function, CUkernel kernel)               \
  X(kernelSetAttribute, "cuKernelSetAttribute", int attribute, int value, CUkernel kernel,         \
    CUdevice device)                                                                               \
  X(launchKernel, "cuLaunchKernel", CUfunction function, unsigned gridX, unsigned gridY,           \
    unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,       \
    CUstream stream, void **arguments, void **extra)                                               \
  X(getErrorName, "cuGetErrorName", CUresult error, const char **name)                             \
  X(getErrorString, "cuGetErrorString", CUresult error, const char **text)

typedef struct SeqCuda {
#define SEQ_CUDA_MEMBER(NAME, SYMBOL, ...) CUresult (*(NAME))(__VA_ARGS__);
  SEQ_CUDA_FUNCTIONS(SEQ_CUDA_MEMBER)
#undef SEQ_CUDA_MEMBER
} SeqCuda;

enum { SEQ_MAX_DEVICES = 64 };

/// A GPU, as far as calls need it.
typedef struct SeqGpu {
  CUdevice device;
  int32_t ordinal;
  int32_t architecture;    // 90
  int32_t multiprocessors; // at least 1
} SeqGpu;

/// Sets `driver`, which is initialised; fails with why there is none.
int seqCudaDriver(const SeqCall *call, const SeqCuda **driver);

/// Sets this thread's error text from what the driver returned for "what".
int seqCudaFail(const SeqCall *call, const SeqCuda *driver, CUresult error, const char *what);

/// Appends the driver's text of an error, with its name.
void seqTextCudaError(SeqText *text, const SeqCuda *driver, CUresult error);

/// Describes a device.
int seqCudaGpu(const SeqCall *call, const SeqCuda *driver, int32_t ordinal, SeqGpu *gpu);

/// Makes a context of the device current where none is: that of the stream, else the device's
/// primary one. `isEntered` says whether seqCudaLeave must be called.
int seqCudaEnter(const SeqCall *call, const SeqCuda *driver, const SeqGpu *gpu, CUstream stream,
                 bool *isEntered);
void seqCudaLeave(const SeqCuda *driver);

/// What a launch needs of a target on a device.
typedef struct SeqLoaded {
  const SeqDeviceTarget *target;
  CUkernel *kernels; // by kernel of the code
  int32_t image;
} SeqLoaded;

/// Finds the best target with an image that the driver takes, in the current context; loads it when
/// that is the first time.
int seqCudaLoad(const SeqCall *call, const SeqCuda *driver, const SeqGpu *gpu, SeqLoaded *loaded);

/// Allows a kernel so much dynamic shared memory on the device.
CUresult seqCudaAllowShared(const SeqCuda *driver, const SeqGpu *gpu, const SeqLoaded *loaded,
                            const SeqLaunch *launch);

#endif // SEQMIX_RUNTIME_CUDA_H
