//===- CudaRun.c - launches the kernels of a call ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A call allocates nothing, copies nothing and waits for nothing: it puts one to a few launches
// into the stream. So it can be captured in a graph, once its kernels are loaded.
//
//===----------------------------------------------------------------------===//

#include "runtime/Cuda.h"

#include <string.h>

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

static int64_t dividedUp(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// Whether rows of earlier tokens, whose number stands in the device's memory, count.
static bool hasPast(const SeqCall *call) {
  bool hasRows = false, hasPosition = false;
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *part = &call->mixer->components[i];
    hasRows |= part->kind == SEQ_CARRY_ROWS;
    hasPosition |= part->kind == SEQ_CARRY_POSITION && call->carryIn[i].present;
  }
  return hasRows && hasPosition;
}

static int64_t factorOf(const SeqCall *call, const SeqFactor *factor, int64_t segments,
                        SeqSize *size) {
  switch (factor->kind) {
  case SEQ_FACTOR_SEGMENTS:
    return segments;
  case SEQ_FACTOR_TILES:
    if (call->seqlens)
      return factor->divisor == 1 ? call->tokens : call->tokens / factor->divisor + call->sequences;
    return seqMultiply(size, call->sequences, dividedUp(call->tokens, factor->divisor));
  case SEQ_FACTOR_PARTS: {
    int64_t parts = dividedUp(call->extent[factor->dim], factor->divisor);
    return parts > 0 ? parts : 1;
  }
  case SEQ_FACTOR_PLACES: {
    int64_t extent = call->extent[factor->dim];
    if (call->seqlens && !hasPast(call))
      return extent + seqMultiply(size, call->sequences, factor->divisor);
    return seqMultiply(size, call->sequences, extent + 2 * factor->divisor);
  }
  default:
    return dividedUp(call->extent[factor->dim], factor->divisor);
  }
}

static int64_t amountOf(const SeqCall *call, const SeqAmount *amount, int64_t segments,
                        SeqSize *size) {
  int64_t value = amount->number;
  for (int32_t i = 0; i < amount->count; ++i)
    value = seqMultiply(size, value, factorOf(call, &amount->factors[i], segments, size));
  return value;
}

static int64_t blocksOf(const SeqCall *call, const SeqLaunch *launch, SeqSize *size) {
  int64_t blocks = 1;
  for (int32_t i = 0; i < 3; ++i)
    blocks = seqMultiply(size, blocks, amountOf(call, &launch->grid[i], 1, size));
  return blocks;
}

// Of the launch that has the most.
static int64_t mostBlocksOf(const SeqCall *call, const SeqSchedule *schedule, SeqSize *size) {
  int64_t most = 0;
  for (int32_t i = 0; i < schedule->launch_count; ++i) {
    int64_t blocks = blocksOf(call, &schedule->launches[i], size);
    most = blocks > most ? blocks : most;
  }
  return most;
}

// Where each region begins, and how many bytes all have.
static int64_t placeRegions(const SeqCall *call, const SeqSchedule *schedule, int64_t segments,
                            int64_t *at, SeqSize *size) {
  int64_t end = 0;
  for (int32_t i = 0; i < schedule->region_count; ++i) {
    int64_t bytes = amountOf(call, &schedule->regions[i], segments, size);
    if (at)
      at[i] = end;
    size->overflow |= bytes > INT64_MAX / 4 || end > INT64_MAX / 4;
    if (!size->overflow)
      end += dividedUp(bytes, SEQ_REGION_ALIGN) * SEQ_REGION_ALIGN;
  }
  return end;
}

//===----------------------------------------------------------------------===//
// The schedule
//===----------------------------------------------------------------------===//

// The greatest number of multiprocessors that is made use of. With a bound, a workspace that fits
// every device can be told without one.
enum { SEQ_MOST_MULTIPROCESSORS = 256 };

typedef struct Choice {
  const SeqSchedule *schedule;
  int64_t segments;
} Choice;

static const SeqSchedule *cutting(const SeqDeviceTarget *target) {
  return target->forward_count > 1 ? &target->forward[1] : NULL;
}

// Segments that a sequence has tokens for. The lengths of packed ones stand in the device's memory,
// so their mean counts, which is no more than the longest.
static int64_t segmentsOfTokens(const SeqCall *call, const SeqSchedule *cut) {
  int64_t tokens =
      call->seqlens && call->sequences > 0 ? call->tokens / call->sequences : call->tokens;
  return tokens / cut->segment_tokens;
}

// What a test asks for, as many segments as a launch can have at most; 0: nothing.
static int64_t askedSegments(void) { return seqEnvironmentNumber("SEQMIX_SEGMENTS", 65535, 0); }

// A block a multiprocessor is enough, or nearly so: below, sequences are cut such that there are
// two, as they hide each other's waits. Summaries with more blocks than the pass itself take more
// of the time than it: they pay where there are two multiprocessors for each of these.
static Choice choose(const SeqCall *call, const SeqDeviceTarget *target, int64_t multiprocessors,
                     SeqSize *size) {
  if (call->step && target->step)
    return (Choice){target->step, 1};
  Choice whole = {&target->forward[0], 1};
  const SeqSchedule *cut = cutting(target);
  if (!cut || call->step || (call->options && (call->options->flags & SEQ_UNSPLIT)))
    return whole;
  if (multiprocessors > SEQ_MOST_MULTIPROCESSORS)
    multiprocessors = SEQ_MOST_MULTIPROCESSORS;
  int64_t blocks = mostBlocksOf(call, &target->forward[0], size);
  int64_t most = segmentsOfTokens(call, cut);
  int64_t asked = askedSegments();
  if (size->overflow || blocks == 0)
    return whole;
  int64_t summaries = blocksOf(call, &cut->launches[0], size);
  bool isIdle = 4 * blocks < 3 * multiprocessors;
  if (summaries > blocks) {
    blocks = summaries;
    isIdle = 2 * blocks <= multiprocessors;
  }
  int64_t segments = 1;
  if (asked > 0)
    segments = asked;
  else if (isIdle)
    while (2 * segments <= most && blocks * segments < 2 * multiprocessors)
      segments *= 2;
  return segments > 1 ? (Choice){cut, segments} : whole;
}

// As many segments as any number of sequences up to that of the call can have on any device, so
// that the regions have room for all of them: 2 M blocks are passed by less than a factor of two.
static int64_t mostSegments(const SeqCall *call, const SeqDeviceTarget *target, SeqSize *size) {
  int64_t blocks = mostBlocksOf(call, &target->forward[0], size);
  int64_t most = segmentsOfTokens(call, cutting(target));
  int64_t asked = askedSegments();
  if (asked > 0)
    return asked;
  int64_t segments = dividedUp(INT64_C(4) * SEQ_MOST_MULTIPROCESSORS, blocks > 0 ? blocks : 1);
  segments = segments < most ? segments : most;
  return segments > 1 ? segments : 1;
}

bool seqDeviceWorkspace(const SeqCall *call, int64_t *bytes) {
  SeqSize size = {0, false};
  *bytes = 0;
  for (int32_t i = 0; i < call->mixer->device->target_count; ++i) {
    const SeqDeviceTarget *target = &call->mixer->device->targets[i];
    int64_t own[3] = {placeRegions(call, &target->forward[0], 1, NULL, &size), 0, 0};
    if (target->step)
      own[1] = placeRegions(call, target->step, 1, NULL, &size);
    int64_t segments = cutting(target) ? mostSegments(call, target, &size) : 1;
    if (segments > 1)
      own[2] = placeRegions(call, cutting(target), segments, NULL, &size);
    for (int32_t j = 0; j < 3; ++j)
      *bytes = own[j] > *bytes ? own[j] : *bytes;
  }
  return !size.overflow;
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

enum {
  MaxSlots = SEQ_DEVICE_ARGUMENT_BYTES / sizeof(int64_t),
  MaxRegions = 16,
  MaxArguments = 256
};

typedef struct DeviceRun {
  const SeqCall *call;
  const SeqCuda *driver;
  SeqGpu gpu;
  SeqLoaded loaded;
  CUstream stream;
  Choice choice;
  char *workspace;
  int64_t regionAt[MaxRegions];
  int64_t frame[MaxSlots];
} DeviceRun;

static int64_t frameSlots(const SeqMixer *mixer) {
  int64_t slots = SEQ_DEVICE_FIRST + mixer->dim_count;
  for (int32_t i = 0; i < mixer->tensor_count; ++i)
    slots += mixer->tensors[i].rank;
  for (int32_t i = 0; i < mixer->component_count; ++i)
    slots += 2 * (int64_t)mixer->components[i].rank;
  return slots;
}

static int64_t *addStrides(int64_t *slot, const SeqView *view, int32_t rank) {
  for (int32_t i = 0; i < rank; ++i)
    *slot++ = view->present ? view->stride[i] : 0;
  return slot;
}

static void fillFrame(DeviceRun *run) {
  const SeqCall *call = run->call;
  int64_t *frame = run->frame;
  memset(frame, 0, SEQ_DEVICE_FIRST * sizeof *frame);
  frame[SEQ_DEVICE_SEGMENTS] = run->choice.segments;
  if (call->seqlens) {
    frame[SEQ_DEVICE_SEQLENS_BITS] = call->seqlens->dtype.bits;
    frame[SEQ_DEVICE_SEQLENS_STRIDE] =
        call->seqlens->strides && call->seqlens->shape[0] > 1 ? call->seqlens->strides[0] : 1;
  }
  if (call->pages && call->pageRows > 0) {
    frame[SEQ_DEVICE_PAGE_STRIDE] =
        call->pages->strides ? call->pages->strides[0] : call->pages->shape[1];
    frame[SEQ_DEVICE_PAGE_ROWS] = call->pageRows;
  }
  int64_t *slot = frame + SEQ_DEVICE_FIRST;
  for (int32_t i = 0; i < call->mixer->dim_count; ++i)
    *slot++ = call->extent[i];
  for (int32_t i = 0; i < call->mixer->tensor_count; ++i)
    slot = addStrides(slot, &call->tensors[i], call->mixer->tensors[i].rank);
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    slot = addStrides(slot, &call->carryIn[i], call->mixer->components[i].rank);
    slot = addStrides(slot, &call->carryOut[i], call->mixer->components[i].rank);
  }
}

static void *dataOf(const DLTensor *tensor) {
  return tensor ? (char *)tensor->data + tensor->byte_offset : NULL;
}

static void *pointerOf(const DeviceRun *run, const SeqArgument *argument) {
  const SeqCall *call = run->call;
  switch (argument->kind) {
  case SEQ_ARGUMENT_TENSOR:
    return call->tensors[argument->index].data;
  case SEQ_ARGUMENT_CARRY_IN:
    return call->carryIn[argument->index].present ? call->carryIn[argument->index].data : NULL;
  case SEQ_ARGUMENT_CARRY_OUT:
    return call->carryOut[argument->index].present ? call->carryOut[argument->index].data : NULL;
  case SEQ_ARGUMENT_WORKSPACE: // a kernel may be in a schedule without that region, too
    return run->workspace && argument->index < run->choice.schedule->region_count
               ? run->workspace + run->regionAt[argument->index]
               : NULL;
  case SEQ_ARGUMENT_SEQLENS:
    return dataOf(call->seqlens);
  default:
    return call->pages && call->pageRows > 0 ? dataOf(call->pages) : NULL;
  }
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

static int failKernel(const DeviceRun *run, const SeqLaunch *launch, CUresult error,
                      const char *what) {
  char words[256];
  SeqText text = {words, words + sizeof words};
  seqTextAppend(&text, "kernel %s of %s: %s", run->loaded.target->code->kernels[launch->kernel],
                run->loaded.target->name, what);
  return seqCudaFail(run->call, run->driver, error, words);
}

// Grids of more blocks than the hardware counts to.
static int checkGrid(const DeviceRun *run, const SeqLaunch *launch, const int64_t *grid) {
  static const int64_t most[] = {INT32_MAX, 65535, 65535};
  for (int32_t i = 0; i < 3; ++i)
    if (grid[i] > most[i])
      return seqFail(run->call, SEQ_INVALID_SHAPE,
                     "kernel %s would have %lld blocks in dim %d of its grid, of %lld at most",
                     run->loaded.target->code->kernels[launch->kernel], (long long)grid[i], i,
                     (long long)most[i]);
  return SEQ_OK;
}

static int launchOne(DeviceRun *run, const SeqLaunch *launch) {
  SeqSize size = {0, false};
  int64_t grid[3];
  bool isEmpty = false;
  for (int32_t i = 0; i < 3; ++i) {
    grid[i] = amountOf(run->call, &launch->grid[i], run->choice.segments, &size);
    grid[i] = size.overflow ? INT64_MAX : grid[i];
    isEmpty |= grid[i] == 0;
  }
  if (isEmpty)
    return SEQ_OK;
  int status = checkGrid(run, launch, grid);
  if (status != SEQ_OK)
    return status;
  void *pointers[MaxArguments], *arguments[MaxArguments];
  for (int32_t i = 0; i < launch->argument_count; ++i) {
    const SeqArgument *argument = &launch->arguments[i];
    bool isFrame = argument->kind == SEQ_ARGUMENT_FRAME;
    pointers[i] = isFrame ? NULL : pointerOf(run, argument);
    arguments[i] = isFrame ? (void *)run->frame : (void *)&pointers[i];
  }
  CUresult error = seqCudaAllowShared(run->driver, &run->gpu, &run->loaded, launch);
  if (error != 0)
    return failKernel(run, launch, error, "its shared memory is refused (cuKernelSetAttribute)");
  // A CUkernel stands for the function in the context of the launch.
  error = run->driver->launchKernel(
      (CUfunction)(void *)run->loaded.kernels[launch->kernel], (unsigned)grid[0], (unsigned)grid[1],
      (unsigned)grid[2], (unsigned)launch->threads[0], (unsigned)launch->threads[1],
      (unsigned)launch->threads[2], (unsigned)launch->shared_bytes, run->stream, arguments, NULL);
  return error == 0 ? SEQ_OK : failKernel(run, launch, error, "the launch is refused");
}

static int bindWorkspace(DeviceRun *run) {
  const SeqCall *call = run->call;
  const SeqSchedule *schedule = run->choice.schedule;
  SeqSize size = {0, false};
  if (schedule->region_count > MaxRegions)
    return seqFail(call, SEQ_UNSUPPORTED, "the workspace has more than %d regions", MaxRegions);
  int64_t bytes = placeRegions(call, schedule, run->choice.segments, run->regionAt, &size);
  if (size.overflow)
    return seqFail(call, SEQ_OUT_OF_MEMORY, "the workspace would be larger than memory");
  run->workspace = call->options ? call->options->workspace : NULL;
  size_t given = run->workspace ? call->options->workspace_bytes : 0;
  if (given < (size_t)bytes)
    return seqFail(call, SEQ_WORKSPACE_TOO_SMALL,
                   "the workspace has %zu bytes; this call needs %lld of device %d "
                   "(%s_workspace_size)",
                   given, (long long)bytes, call->device, call->set->name);
  if (bytes > 0 && (uintptr_t)run->workspace % SEQ_REGION_ALIGN != 0)
    return seqFail(call, SEQ_WORKSPACE_TOO_SMALL, "the workspace is not aligned to %d bytes",
                   SEQ_REGION_ALIGN);
  return SEQ_OK;
}

static int runEntered(DeviceRun *run) {
  const SeqCall *call = run->call;
  int status = seqCudaLoad(call, run->driver, &run->gpu, &run->loaded);
  if (status != SEQ_OK)
    return status;
  if (call->pages && !(run->loaded.target->flags & SEQ_KERNEL_PAGES))
    return seqFail(call, SEQ_UNSUPPORTED,
                   "the kernels of this mixer do not take the carry's rows in pages");
  SeqSize size = {0, false};
  run->choice = choose(call, run->loaded.target, run->gpu.multiprocessors, &size);
  if (size.overflow)
    return seqFail(call, SEQ_INVALID_SHAPE, "the call has more blocks than 63 bits count");
  status = bindWorkspace(run);
  if (status != SEQ_OK)
    return status;
  fillFrame(run);
  for (int32_t i = 0; status == SEQ_OK && i < run->choice.schedule->launch_count; ++i)
    status = launchOne(run, &run->choice.schedule->launches[i]);
  return status;
}

// Limits that a compiler keeps to; a descriptor written by hand may not.
static int checkArguments(const SeqCall *call) {
  const SeqDevice *device = call->mixer->device;
  int64_t frame = frameSlots(call->mixer) * (int64_t)sizeof(int64_t);
  int64_t most = 0;
  for (int32_t i = 0; i < device->target_count; ++i) {
    const SeqDeviceTarget *target = &device->targets[i];
    for (int32_t s = 0; s < target->forward_count + (target->step != NULL); ++s) {
      const SeqSchedule *schedule = s < target->forward_count ? &target->forward[s] : target->step;
      for (int32_t l = 0; l < schedule->launch_count; ++l)
        most = schedule->launches[l].argument_count > most ? schedule->launches[l].argument_count
                                                           : most;
    }
  }
  if (most > MaxArguments || frame + most * (int64_t)sizeof(void *) > SEQ_DEVICE_ARGUMENT_BYTES)
    return seqFail(call, SEQ_UNSUPPORTED,
                   "the arguments of its kernels are more than %d bytes, with %lld of a frame",
                   SEQ_DEVICE_ARGUMENT_BYTES, (long long)frame);
  return SEQ_OK;
}

int seqDeviceRun(const SeqCall *call) {
  DeviceRun run;
  run.call = call;
  run.stream = call->options ? call->options->stream : NULL;
  int status = checkArguments(call);
  if (status == SEQ_OK)
    status = seqCudaDriver(call, &run.driver);
  if (status == SEQ_OK)
    status = seqCudaGpu(call, run.driver, call->device, &run.gpu);
  bool isEntered = false;
  if (status == SEQ_OK)
    status = seqCudaEnter(call, run.driver, &run.gpu, run.stream, &isEntered);
  if (status == SEQ_OK)
    status = runEntered(&run);
  if (isEntered)
    seqCudaLeave(run.driver);
  return status;
}

//===----------------------------------------------------------------------===//
// Ahead of calls
//===----------------------------------------------------------------------===//

static int prepareSchedule(DeviceRun *run, const SeqSchedule *schedule) {
  for (int32_t i = 0; i < schedule->launch_count; ++i) {
    const SeqLaunch *launch = &schedule->launches[i];
    CUresult error = seqCudaAllowShared(run->driver, &run->gpu, &run->loaded, launch);
    if (error != 0)
      return failKernel(run, launch, error, "its shared memory is refused (cuKernelSetAttribute)");
  }
  return SEQ_OK;
}

int seqDevicePrepare(const SeqCall *call) {
  DeviceRun run;
  run.call = call;
  int status = seqCudaDriver(call, &run.driver);
  if (status == SEQ_OK)
    status = seqCudaGpu(call, run.driver, call->device, &run.gpu);
  bool isEntered = false;
  if (status == SEQ_OK)
    status = seqCudaEnter(call, run.driver, &run.gpu, NULL, &isEntered);
  if (status == SEQ_OK)
    status = seqCudaLoad(call, run.driver, &run.gpu, &run.loaded);
  if (status == SEQ_OK) {
    const SeqDeviceTarget *target = run.loaded.target;
    for (int32_t i = 0; status == SEQ_OK && i < target->forward_count; ++i)
      status = prepareSchedule(&run, &target->forward[i]);
    if (status == SEQ_OK && target->step)
      status = prepareSchedule(&run, target->step);
  }
  if (isEntered)
    seqCudaLeave(run.driver);
  return status;
}
