//===- CudaCode.c - loads the kernels of a library --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// An image is loaded once for all contexts (a CUlibrary), and the driver brings it to a context
// when a kernel is first used there. Whether it takes an image for a device shows only then, so the
// image is chosen for each device.
//
//===----------------------------------------------------------------------===//

#include "runtime/Cuda.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// One image; guarded by the lock of its code, but for `kernels` and `allowed` once a device has
// chosen it.
typedef struct LoadedImage {
  CUlibrary library;

  CUkernel *kernels;        // one a kernel
  _Atomic int32_t *allowed; // bytes of dynamic shared memory, by kernel and device
} LoadedImage;

typedef struct LoadedCode {
  pthread_mutex_t lock;
  _Atomic int32_t chosen[SEQ_MAX_DEVICES]; // image + 1; 0 while it is not known
  LoadedImage images[];
} LoadedCode;

static void destroyCode(LoadedCode *state, const SeqCode *code) {
  for (int32_t i = 0; i < code->image_count; ++i) {
    free((void *)state->images[i].kernels);
    free((void *)state->images[i].allowed);
  }
  pthread_mutex_destroy(&state->lock);
  free(state);
}

static LoadedCode *createCode(const SeqCode *code) {
  size_t images = (size_t)code->image_count, kernels = (size_t)code->kernel_count;
  LoadedCode *state = calloc(1, sizeof *state + images * sizeof *state->images);
  if (!state)
    return NULL;
  pthread_mutex_init(&state->lock, NULL);
  for (size_t i = 0; i < images; ++i) {
    LoadedImage *image = &state->images[i];
    image->kernels = (CUkernel *)calloc(kernels, sizeof *image->kernels);
    image->allowed = calloc(kernels * SEQ_MAX_DEVICES, sizeof *image->allowed);
    if (!image->kernels || !image->allowed) {
      destroyCode(state, code);
      return NULL;
    }
  }
  return state;
}

// The state of a code, made when it is first asked for. It lives as long as the process: so do the
// kernels that the driver has loaded.
static LoadedCode *stateOf(const SeqCode *code) {
  void *state = __atomic_load_n(code->state, __ATOMIC_ACQUIRE);
  if (state)
    return state;
  LoadedCode *made = createCode(code);
  if (!made)
    return NULL;
  if (__atomic_compare_exchange_n(code->state, &state, made, false, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    return made;
  destroyCode(made, code); // another thread was faster
  return state;
}

static bool fitsArchitecture(const SeqImage *image, int32_t architecture) {
  if (image->exact)
    return image->architecture == architecture;
  if (image->kind == SEQ_IMAGE_CUBIN && image->architecture / 10 != architecture / 10)
    return false;
  return image->architecture <= architecture;
}

// `log` gets what the driver's compiler says to PTX.
static CUresult loadImage(const SeqCuda *driver, const SeqCode *code, const SeqImage *image,
                          LoadedImage *loaded, char *log, size_t logBytes) {
  CUlibrary library = NULL;
  int options[] = {SEQ_CU_JIT_ERROR_LOG_BUFFER, SEQ_CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, NULL};
  memcpy((void *)&values[1], &logBytes, sizeof logBytes); // a number stands in the pointer itself
  unsigned count = image->kind == SEQ_IMAGE_PTX ? 2 : 0;
  CUresult error =
      driver->libraryLoadData(&library, image->bytes, options, values, count, NULL, NULL, 0);
  for (int32_t i = 0; error == 0 && i < code->kernel_count; ++i)
    error = driver->libraryGetKernel(&loaded->kernels[i], library, code->kernels[i]);
  if (error == 0)
    loaded->library = library;
  else if (library)
    (void)driver->libraryUnload(library); // the error that counts is the first one
  return error;
}

// Whether the driver takes the image in the current context.
static CUresult tryImage(const SeqCuda *driver, const SeqCode *code, const SeqImage *image,
                         LoadedImage *loaded, char *log, size_t logBytes) {
  if (!loaded->library) {
    CUresult error = loadImage(driver, code, image, loaded, log, logBytes);
    if (error != 0)
      return error;
  }
  for (int32_t i = 0; i < code->kernel_count; ++i) {
    CUfunction function = NULL;
    CUresult error = driver->kernelGetFunction(&function, loaded->kernels[i]);
    if (error != 0)
      return error;
  }
  return 0;
}

// The image of a code for a device, -1 for none; why goes to `text`.
static int32_t chooseImage(const SeqCuda *driver, const SeqGpu *gpu, const SeqCode *code,
                           LoadedCode *state, SeqText *text) {
  for (int32_t i = 0; i < code->image_count; ++i) {
    const SeqImage *image = &code->images[i];
    const char *kind = image->kind == SEQ_IMAGE_PTX ? "PTX" : "machine code";
    if (!fitsArchitecture(image, gpu->architecture)) {
      seqTextAppend(text, "; %s for %s is for other chips", kind, image->target);
      continue;
    }
    char log[512] = "";
    CUresult error = tryImage(driver, code, image, &state->images[i], log, sizeof log - 1);
    if (error == 0)
      return i;
    seqTextAppend(text, "; %s for %s: ", kind, image->target);
    seqTextCudaError(text, driver, error);
    if (*log)
      seqTextAppend(text, ": %s", log);
  }
  return -1;
}

static int failNone(const SeqCall *call, const SeqCuda *driver, const SeqGpu *gpu,
                    const char *reasons) {
  char name[128] = "";
  if (driver->deviceGetName(name, sizeof name, gpu->device) != 0)
    name[0] = '\0';
  return seqFail(call, SEQ_DRIVER_ERROR,
                 "the library has no code that the driver takes for CUDA device %d (%s, sm_%d)%s",
                 gpu->ordinal, name, gpu->architecture, reasons);
}

int seqCudaLoad(const SeqCall *call, const SeqCuda *driver, const SeqGpu *gpu, SeqLoaded *loaded) {
  const SeqDevice *device = call->mixer->device;
  char reasons[1024] = "";
  SeqText text = {reasons, reasons + sizeof reasons};
  const char *wanted = getenv("SEQMIX_TARGET");
  for (int32_t i = 0; i < device->target_count; ++i) {
    const SeqCode *code = device->targets[i].code;
    if (wanted && *wanted && strcmp(wanted, device->targets[i].name) != 0) {
      seqTextAppend(&text, "; %s is not SEQMIX_TARGET", device->targets[i].name);
      continue;
    }
    LoadedCode *state = stateOf(code);
    if (!state)
      return seqFail(call, SEQ_OUT_OF_MEMORY, "no memory for the kernels of %s",
                     device->targets[i].name);
    _Atomic int32_t *chosen = &state->chosen[gpu->ordinal];
    int32_t image = atomic_load_explicit(chosen, memory_order_acquire) - 1;
    if (image < 0) {
      pthread_mutex_lock(&state->lock);
      image = atomic_load_explicit(chosen, memory_order_acquire) - 1;
      if (image < 0)
        image = chooseImage(driver, gpu, code, state, &text);
      atomic_store_explicit(chosen, image + 1, memory_order_release);
      pthread_mutex_unlock(&state->lock);
    }
    if (image >= 0) {
      *loaded = (SeqLoaded){&device->targets[i], state->images[image].kernels, image};
      return SEQ_OK;
    }
  }
  return failNone(call, driver, gpu, reasons);
}

CUresult seqCudaAllowShared(const SeqCuda *driver, const SeqGpu *gpu, const SeqLoaded *loaded,
                            const SeqLaunch *launch) {
  if (launch->shared_bytes <= SEQ_CU_ORDINARY_SHARED_BYTES)
    return 0;
  LoadedCode *state = __atomic_load_n(loaded->target->code->state, __ATOMIC_ACQUIRE);
  _Atomic int32_t *allowed =
      &state->images[loaded->image].allowed[launch->kernel * SEQ_MAX_DEVICES + gpu->ordinal];
  if (atomic_load_explicit(allowed, memory_order_acquire) >= launch->shared_bytes)
    return 0;
  // Kernels of two threads must not leave the smaller number.
  pthread_mutex_lock(&state->lock);
  CUresult error = 0;
  if (atomic_load_explicit(allowed, memory_order_acquire) < launch->shared_bytes) {
    error = driver->kernelSetAttribute(SEQ_CU_MAX_DYNAMIC_SHARED_SIZE_BYTES, launch->shared_bytes,
                                       loaded->kernels[launch->kernel], gpu->device);
    if (error == 0)
      atomic_store_explicit(allowed, launch->shared_bytes, memory_order_release);
  }
  pthread_mutex_unlock(&state->lock);
  return error;
}
