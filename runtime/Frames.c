//===- Frames.c - what a kernel is called with ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Run.h"

#include <string.h>

static int64_t addressOf(const void *pointer) { return (int64_t)(intptr_t)pointer; }

static int64_t *fillTensor(const SeqRun *run, const SeqTask *task, int32_t index, int64_t *slot) {
  const SeqCall *call = run->call;
  const SeqTensor *tensor = &run->mixer->tensors[index];
  const SeqView *view = &call->tensors[index];
  bool rows = seqHasTokens(call->mixer, tensor);
  bool packed = rows && call->seqlens;
  int64_t offset = 0, between = 0;
  int32_t features = 0;
  for (int32_t i = 0; i < tensor->rank; ++i) {
    const SeqAxis *axis = &tensor->axes[i];
    int64_t stride = view->stride[i];
    if (axis->slot >= 0) {
      slot[2 + axis->slot] = stride;
      ++features;
      if (axis->dim == call->mixer->token_dim && rows)
        offset += stride * task->startRow;
      if (axis->dim == call->mixer->token_dim && packed)
        between = task->tokens * stride;
      continue;
    }
    if (axis->dim == 0 && packed)
      continue;
    offset += task->at[axis->dim] / axis->div * stride;
    if (axis->dim == 0)
      between = stride;
  }
  slot[0] = view->data ? addressOf(view->data + offset * seqTypeBytes(tensor->dtype)) : 0;
  slot[1] = between;
  return slot + 2 + features;
}

// Several tasks may carry the same elements; the first of them writes.
static bool writesComponent(const SeqRun *run, const SeqTask *task, const SeqComponent *component) {
  uint64_t seen = 0;
  for (int32_t i = 0; i < component->rank; ++i) {
    const SeqAxis *axis = &component->axes[i];
    if (axis->dim < 0)
      continue;
    seen |= UINT64_C(1) << axis->dim;
    if (axis->slot < 0 && task->at[axis->dim] % axis->div != 0)
      return false;
  }
  for (int32_t dim = 0; dim < run->call->batchDims; ++dim)
    if (!(seen >> dim & 1) && task->at[dim] != 0)
      return false;
  int32_t split = run->kernel->split_dim;
  return split < 0 || task->split == 0 || (seen >> split & 1);
}

// Address of the task's element in a component, and the stride between elements of the first batch
// dim.
static int64_t locate(const SeqRun *run, const SeqTask *task, const SeqComponent *component,
                      const SeqView *view, int64_t *between) {
  *between = 0;
  if (!view->present || !view->data)
    return 0;
  int64_t offset = 0;
  for (int32_t i = 0; i < component->rank; ++i) {
    const SeqAxis *axis = &component->axes[i];
    if (axis->slot >= 0)
      continue;
    if (axis->dim == 0)
      *between = view->stride[i];
    if (axis->dim != 0 || component->kind != SEQ_CARRY_ROWS || !run->call->pages)
      offset += task->at[axis->dim] / axis->div * view->stride[i];
  }
  return addressOf(view->data + offset * seqTypeBytes(component->dtype));
}

// Where a task's element of a component is read from and written to, with the strides between
// elements of the first batch dim.
static void fillComponent(const SeqRun *run, const SeqTask *task, int32_t index, int64_t *slot) {
  const SeqComponent *component = &run->mixer->components[index];
  const SeqSegment *segment = task->segment;
  int32_t called = run->component ? run->component[index] : index; // of the mixer that is called
  bool isState = component->kind == SEQ_CARRY_STATE;
  bool first = !segment || segment->number == 0, last = !segment || segment->last;
  slot[0] = slot[1] = slot[2] = slot[3] = 0;
  if (isState && (run->component || !first)) {
    if (!run->component) // a summary starts from its own initial values
      slot[0] = locate(run, task, component, &run->border[index], &slot[2]) +
                segment->border * run->plan->segments.borderBytes;
  } else {
    slot[0] = locate(run, task, component, &run->read[called], &slot[2]);
  }
  if (!writesComponent(run, task, component) || task->part < task->parts)
    return;
  // The borders behind later segments are made from summaries.
  bool makesBorder = isState && !last && (run->component || first);
  if (makesBorder)
    slot[1] = locate(run, task, component, &run->border[index], &slot[3]) +
              (segment->border + 1) * run->plan->segments.borderBytes;
  else if (!run->component && (isState ? last : !segment || segment->hasEnd))
    slot[1] = locate(run, task, component, &run->call->carryOut[called], &slot[3]);
}

// Extents and storage of the run-time dims beside that of the tokens.
static int64_t *fillLengths(const SeqRun *run, const SeqTask *task, char *part, int64_t *slot) {
  int64_t extents[SEQ_MAX_DIMS];
  seqExtentsFor(run->call, task->length, extents);
  for (int32_t dim = 0; dim < run->mixer->dim_count; ++dim) {
    if (!seqIsOtherLength(run->mixer, dim))
      continue;
    int64_t at = run->plan->storageAt[dim];
    slot[0] = extents[dim];
    slot[1] = at >= 0 ? addressOf(part + at) : 0;
    slot += 2;
  }
  return slot;
}

const int64_t *seqFillFrame(const SeqRun *run, const SeqTask *task, int32_t thread) {
  const SeqKernel *kernel = run->kernel;
  const SeqPlan *plan = run->plan;
  char *part = run->workspace + plan->threadsAt + thread * plan->threadBytes;
  int64_t *frame = (int64_t *)(void *)part;
  memset(frame, 0, SEQ_FRAME_FIRST * sizeof *frame);
  frame[SEQ_FRAME_TOKENS] = task->tokens;
  frame[SEQ_FRAME_POSITION] = task->position;
  frame[SEQ_FRAME_LENGTH] = task->length;
  frame[SEQ_FRAME_SCRATCH] = addressOf(part + plan->scratchAt);
  if (kernel->shared)
    frame[SEQ_FRAME_SHARED] =
        addressOf(run->workspace + run->grid->sharedAt + task->group * run->grid->sharedBytes);
  if (kernel->sequence_bytes > 0)
    frame[SEQ_FRAME_SEQUENCE] = addressOf(part + plan->sequenceAt);
  frame[SEQ_FRAME_BLOCK] = task->unit.count;
  if (kernel->split_dim >= 0) {
    int64_t begin = task->split * kernel->split_size;
    int64_t left = run->mixer->dims[kernel->split_dim].size - begin;
    frame[SEQ_FRAME_SPLIT_BEGIN] = begin;
    frame[SEQ_FRAME_SPLIT_COUNT] = left < kernel->split_size ? left : kernel->split_size;
  }
  frame[SEQ_FRAME_HISTORY] = task->history;
  frame[SEQ_FRAME_PARTS] = task->parts;
  frame[SEQ_FRAME_PART] = task->part;
  frame[SEQ_FRAME_PARTIAL] = addressOf(task->partial);
  frame[SEQ_FRAME_PHASE] = task->phase;
  frame[SEQ_FRAME_ROWS] = task->rows ? task->rows : task->tokens;
  frame[SEQ_FRAME_FIRST_ROW] = task->firstRow;
  if (run->call->pages && run->call->pageRows > 0) {
    frame[SEQ_FRAME_PAGES] = addressOf(seqPageLine(run->call, task->unit.first));
    frame[SEQ_FRAME_PAGE_ROWS] = run->call->pageRows;
  }
  int64_t *slot = fillLengths(run, task, part, frame + SEQ_FRAME_FIRST);
  for (int32_t i = 0; i < run->mixer->tensor_count; ++i)
    slot = fillTensor(run, task, i, slot);
  for (int32_t i = 0; i < run->mixer->component_count; ++i)
    if (run->mixer->components[i].kind != SEQ_CARRY_POSITION) {
      fillComponent(run, task, i, slot);
      slot += 4;
    }
  return frame;
}
