//===- Entry.c - what the generated wrappers call ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef SEQMIX_VERSION
#error "the build defines SEQMIX_VERSION"
#endif

const char *seq_version(void) { return SEQMIX_VERSION; }

static void runForms(SeqCall *call, const SeqPlans *plans, char *workspace) {
  for (int32_t form = SEQ_FORM_OWN; form <= SEQ_FORM_EXPANDED; ++form) {
    if (!plans->isUsed[form])
      continue;
    seqEnterForm(call, form);
    seqRun(call, &plans->plan[form], workspace);
  }
  seqEnterForm(call, SEQ_FORM_OWN);
  seqWritePositions(call);
}

// A large workspace comes fresh from the system in each call, and every page of it costs a fault:
// with huge pages these are few. null: there is no memory.
static void *allocateWorkspace(int64_t bytes) {
  const int64_t hugePage = INT64_C(1) << 21;
  if (bytes < 2 * hugePage || bytes > INT64_MAX - hugePage)
    return aligned_alloc(SEQ_WORKSPACE_ALIGN, (size_t)bytes);
  size_t whole = (size_t)((bytes + hugePage - 1) / hugePage * hugePage);
  void *memory = aligned_alloc((size_t)hugePage, whole);
#ifdef MADV_HUGEPAGE
  if (memory)
    (void)madvise(memory, whole, MADV_HUGEPAGE); // advice: without it the call is only slower
#endif
  return memory;
}

static int runCall(SeqCall *call) {
  int status = seqCheckOverlap(call);
  if (call->mixer->device)
    return status == SEQ_OK ? seqDeviceRun(call) : status;
  if (status == SEQ_OK && call->options && (call->options->flags & SEQ_CHECKED))
    status = seqCheckRanges(call);
  if (status != SEQ_OK)
    return status;
  SeqPlans plans;
  if (!seqMakePlans(call, true, &plans))
    return seqFail(call, SEQ_OUT_OF_MEMORY, "the workspace would be larger than memory");
  if (call->options && call->options->workspace) {
    if (call->options->workspace_bytes < (size_t)plans.bytes)
      return seqFail(call, SEQ_WORKSPACE_TOO_SMALL,
                     "the workspace has %zu bytes; this call needs %lld (%s_workspace_size)",
                     call->options->workspace_bytes, (long long)plans.bytes, call->set->name);
    runForms(call, &plans, call->options->workspace);
    return SEQ_OK;
  }
  void *memory = NULL;
  if (plans.bytes > 0) // a multiple of the alignment
    memory = allocateWorkspace(plans.bytes);
  if (plans.bytes > 0 && !memory)
    return seqFail(call, SEQ_OUT_OF_MEMORY, "no memory for a workspace of %lld bytes",
                   (long long)plans.bytes);
  runForms(call, &plans, memory);
  free(memory);
  return SEQ_OK;
}

// A call without its views, which are large and filled one by one.
static void startCall(SeqCall *call, const SeqMixerSet *set, const char *function,
                      const seq_options *options) {
  seqClearError();
  call->set = set;
  call->mixer = set->sizes[0];
  call->kernel = NULL;
  call->options = options;
  call->function = function;
  call->step = false;
  call->seqlens = NULL;
  call->pages = NULL;
  call->pageRows = 0;
}

int seq_rt_forward(const SeqMixerSet *set, const DLTensor *const *tensors,
                   const seq_options *options) {
  SeqCall call;
  startCall(&call, set, "forward", options);
  int status = seqValidate(&call, tensors, NULL, options);
  return status == SEQ_OK ? runCall(&call) : status;
}

int seq_rt_step(const SeqMixerSet *set, const DLTensor *const *tensors, DLTensor *const *carry,
                const seq_options *options) {
  SeqCall call;
  startCall(&call, set, "step", options);
  call.step = true;
  int status = seqValidate(&call, tensors, carry, options);
  return status == SEQ_OK ? runCall(&call) : status;
}

// Sets batch and, when they are given, run-time extents of a query (that of the tokens first);
// those of fixed dims are the mixer's.
static int setExtents(SeqCall *call, const int64_t *extents, bool lengths) {
  const SeqMixer *mixer = call->mixer;
  int32_t given = 0;
  for (int pass = 0; pass < 3; ++pass) {
    for (int32_t i = 0; i < mixer->dim_count; ++i) {
      const SeqDim *dim = &mixer->dims[i];
      int own = dim->kind == SEQ_DIM_BATCH ? 0 : i == mixer->token_dim ? 1 : 2;
      if (own != pass)
        continue;
      bool known = dim->kind == SEQ_DIM_FIXED || dim->derived || (pass > 0 && !lengths);
      call->extent[i] = known ? dim->size : extents[given++];
      if (call->extent[i] < 0)
        return seqFail(call, SEQ_INVALID_ARGUMENT, "%s is %lld; expected 0 or more", dim->name,
                       (long long)call->extent[i]);
    }
  }
  call->batchDims = 0;
  while (call->batchDims < mixer->dim_count && mixer->dims[call->batchDims].kind == SEQ_DIM_BATCH)
    ++call->batchDims;
  return SEQ_OK;
}

int seq_rt_workspace_size(const SeqMixerSet *set, const int64_t *extents, int32_t threads,
                          size_t *bytes) {
  seq_options options = SEQ_OPTIONS_INIT;
  options.threads = threads;
  SeqCall call;
  startCall(&call, set, "workspace_size", &options);
  if (!bytes)
    return seqFail(&call, SEQ_INVALID_ARGUMENT, "bytes is null");
  if (threads < 0 || threads > SEQ_MAX_THREADS)
    return seqFail(&call, SEQ_INVALID_ARGUMENT, "threads is %d; expected 0 to %d", threads,
                   SEQ_MAX_THREADS);
  int64_t most = 0;
  for (int32_t i = 0; i < set->count; ++i) {
    call.mixer = set->sizes[i];
    int status = setExtents(&call, extents, true);
    if (status == SEQ_OK)
      status = seqSelectTarget(&call);
    if (status != SEQ_OK)
      return status;
    call.sequences = seqHasBatch(call.mixer) ? call.extent[0] : 1;
    call.longest = call.tokens = call.extent[call.mixer->token_dim];
    if (call.mixer->device && call.mixer->derive)
      seqExtentsFor(&call, call.longest, call.extent);
    SeqPlans plans;
    int64_t bytesHere = 0;
    bool fits = call.mixer->device ? seqDeviceWorkspace(&call, &bytesHere)
                                   : seqMakePlans(&call, false, &plans);
    if (!fits)
      return seqFail(&call, SEQ_OUT_OF_MEMORY, "the workspace would be larger than memory");
    bytesHere = call.mixer->device ? bytesHere : plans.bytes;
    most = bytesHere > most ? bytesHere : most;
  }
  *bytes = (size_t)most;
  return SEQ_OK;
}

int seq_rt_prepare(const SeqMixerSet *set, int32_t device) {
  SeqCall call;
  startCall(&call, set, "prepare", NULL);
  call.device = device;
  int status = SEQ_OK;
  for (int32_t i = 0; status == SEQ_OK && i < set->count; ++i) {
    call.mixer = set->sizes[i];
    if (call.mixer->device)
      status = seqDevicePrepare(&call);
  }
  return status;
}

int seq_rt_carry_component(const SeqMixerSet *set, int32_t size, int32_t component,
                           const int64_t *extents, seq_component *info) {
  SeqCall call;
  startCall(&call, set, "carry_component", NULL);
  if (!info)
    return seqFail(&call, SEQ_INVALID_ARGUMENT, "info is null");
  if (size < 0 || size >= set->count)
    return seqFail(&call, SEQ_INVALID_ARGUMENT, "size is %d; there are %d", size, set->count);
  call.mixer = set->sizes[size];
  if (component < 0 || component >= call.mixer->component_count)
    return seqFail(&call, SEQ_INVALID_ARGUMENT, "component is %d; the carry has %d", component,
                   call.mixer->component_count);
  int status = setExtents(&call, extents, false);
  if (status != SEQ_OK)
    return status;
  const SeqComponent *part = &call.mixer->components[component];
  *info = (seq_component){.name = part->name,
                          .dtype = seqTypeToDLPack(part->dtype),
                          .rank = part->rank,
                          .init = part->init};
  for (int32_t i = 0; i < part->rank; ++i) {
    info->shape[i] = seqAxisExtent(&call, &part->axes[i]);
    info->batch += part->axes[i].slot < 0;
  }
  return SEQ_OK;
}
