//===- Run.c - frames and tasks ---------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <string.h>

typedef struct Run {
  const SeqCall *call;
  const SeqPlan *plan;
  char *workspace;
  const SeqUnit *units; // null: units of `block` elements in order
  SeqView read[SEQ_MAX_COMPONENTS];
} Run;

/// What one task computes: some elements of the first batch dim, one of each other, one tile of the
/// split dim, some tokens.
typedef struct Task {
  SeqUnit unit;
  int64_t at[SEQ_MAX_DIMS]; // coordinate in every batch dim; that of the first is the unit's first
                            // element
  int64_t split;
  int64_t tokens;
  int64_t startRow;
  int64_t position; // of the first token
  int64_t history;  // tokens in front of it in the tensors
  int64_t group;    // of what the shared kernel made
} Task;

//===----------------------------------------------------------------------===//
// Frames
//===----------------------------------------------------------------------===//

static int64_t addressOf(const void *pointer) { return (int64_t)(intptr_t)pointer; }

static int64_t *fillTensor(const Run *run, const Task *task, int32_t index, int64_t *slot) {
  const SeqCall *call = run->call;
  const SeqTensor *tensor = &call->mixer->tensors[index];
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
static bool writesComponent(const Run *run, const Task *task, const SeqComponent *component) {
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
  int32_t split = run->call->kernel->split_dim;
  return split < 0 || task->split == 0 || (seen >> split & 1);
}

// Address of the task's element in a component, and the stride between elements of the first batch
// dim.
static int64_t locate(const Task *task, const SeqComponent *component, const SeqView *view,
                      int64_t *between) {
  *between = 0;
  if (!view->present || !view->data)
    return 0;
  int64_t offset = 0;
  for (int32_t i = 0; i < component->rank; ++i) {
    const SeqAxis *axis = &component->axes[i];
    if (axis->slot >= 0)
      continue;
    offset += task->at[axis->dim] / axis->div * view->stride[i];
    if (axis->dim == 0)
      *between = view->stride[i];
  }
  return addressOf(view->data + offset * seqTypeBytes(component->dtype));
}

static void fillFrame(const Run *run, const Task *task, int32_t thread, int64_t *frame) {
  const SeqCall *call = run->call;
  const SeqPlan *plan = run->plan;
  char *part = run->workspace + plan->threadsAt + thread * plan->threadBytes;
  memset(frame, 0, SEQ_FRAME_FIRST * sizeof *frame);
  frame[SEQ_FRAME_TOKENS] = task->tokens;
  frame[SEQ_FRAME_POSITION] = task->position;
  frame[SEQ_FRAME_LENGTH] = task->position + task->tokens;
  frame[SEQ_FRAME_SCRATCH] = addressOf(part + plan->scratchAt);
  if (call->kernel->shared)
    frame[SEQ_FRAME_SHARED] =
        addressOf(run->workspace + plan->sharedAt + task->group * plan->sharedBytes);
  if (call->kernel->sequence_bytes > 0)
    frame[SEQ_FRAME_SEQUENCE] = addressOf(part + plan->sequenceAt);
  frame[SEQ_FRAME_BLOCK] = task->unit.count;
  if (call->kernel->split_dim >= 0) {
    int64_t begin = task->split * call->kernel->split_size;
    int64_t left = call->mixer->dims[call->kernel->split_dim].size - begin;
    frame[SEQ_FRAME_SPLIT_BEGIN] = begin;
    frame[SEQ_FRAME_SPLIT_COUNT] =
        left < call->kernel->split_size ? left : call->kernel->split_size;
  }
  frame[SEQ_FRAME_HISTORY] = task->history;
  int64_t *slot = frame + SEQ_FRAME_FIRST;
  for (int32_t i = 0; i < call->mixer->tensor_count; ++i)
    slot = fillTensor(run, task, i, slot);
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *component = &call->mixer->components[i];
    if (component->kind == SEQ_CARRY_POSITION)
      continue;
    slot[0] = locate(task, component, &run->read[i], &slot[2]);
    slot[1] = locate(task, component, &call->carryOut[i], &slot[3]);
    if (!writesComponent(run, task, component))
      slot[1] = 0;
    slot += 4;
  }
}

static int64_t *threadFrame(const Run *run, int32_t thread) {
  char *part = run->workspace + run->plan->threadsAt + thread * run->plan->threadBytes;
  return (int64_t *)(void *)part;
}

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

static void runForward(void *context, int64_t number, int32_t thread) {
  const Run *run = context;
  const SeqCall *call = run->call;
  Task task = {.split = number % run->plan->splits};
  number /= run->plan->splits;
  for (int32_t dim = call->batchDims - 1; dim > 0; --dim) {
    task.at[dim] = number % call->extent[dim];
    number /= call->extent[dim];
  }
  if (run->units) {
    task.unit = run->units[number];
  } else {
    int64_t first = number * run->plan->block, left = call->sequences - first;
    task.unit.first = (int32_t)first;
    task.unit.count = (int32_t)(left < run->plan->block ? left : run->plan->block);
  }
  task.at[0] = task.unit.first;
  task.tokens = seqTokens(call, task.unit.first);
  task.startRow = seqStartRow(call, task.unit.first);
  task.position = seqPosition(call, task.unit.first);
  for (int32_t dim = 0; dim < call->batchDims; ++dim)
    if (call->mixer->shared_dims >> dim & 1)
      task.group = task.group * call->extent[dim] + task.at[dim];
  task.group = task.group * run->plan->splits + task.split;
  int64_t *frame = threadFrame(run, thread);
  fillFrame(run, &task, thread, frame);
  call->kernel->forward(frame);
}

static void runShared(void *context, int64_t number, int32_t thread) {
  const Run *run = context;
  const SeqCall *call = run->call;
  Task task = {.unit = {0, 1}, .group = number, .split = number % run->plan->splits};
  number /= run->plan->splits;
  for (int32_t dim = call->batchDims - 1; dim >= 0; --dim) {
    if (!(call->mixer->shared_dims >> dim & 1))
      continue;
    task.at[dim] = number % call->extent[dim];
    number /= call->extent[dim];
  }
  int64_t *frame = threadFrame(run, thread);
  fillFrame(run, &task, thread, frame);
  call->kernel->shared(frame);
}

//===----------------------------------------------------------------------===//
// Units: packed sequences, and batch elements of different positions
//===----------------------------------------------------------------------===//

static bool sameUnit(const SeqCall *call, const SeqUnit *unit, int64_t element) {
  if (seqTokens(call, unit->first) != seqTokens(call, element))
    return false;
  return !(call->kernel->flags & SEQ_KERNEL_POSITION) ||
         seqPosition(call, unit->first) == seqPosition(call, element);
}

static int64_t unitWork(const SeqCall *call, SeqUnit unit) {
  return seqTokens(call, unit.first) * unit.count;
}

// Restores the heap (least work on top) below `at`.
static void siftDown(const SeqCall *call, SeqUnit *units, int64_t at, int64_t count) {
  for (int64_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && unitWork(call, units[child + 1]) < unitWork(call, units[child]))
      ++child;
    if (unitWork(call, units[at]) <= unitWork(call, units[child]))
      return;
    SeqUnit unit = units[at];
    units[at] = units[child];
    units[child] = unit;
  }
}

// Most work first, so that the last tasks to end are short ones. In place: a call must not
// allocate.
static void sortUnits(const SeqCall *call, SeqUnit *units, int64_t count) {
  for (int64_t i = count / 2 - 1; i >= 0; --i)
    siftDown(call, units, i, count);
  for (int64_t last = count - 1; last > 0; --last) {
    SeqUnit unit = units[0];
    units[0] = units[last];
    units[last] = unit;
    siftDown(call, units, 0, last);
  }
}

static int64_t listUnits(const SeqCall *call, int64_t block, SeqUnit *units) {
  int64_t count = 0;
  for (int64_t i = 0; i < call->sequences; ++i) {
    SeqUnit *last = count > 0 ? &units[count - 1] : NULL;
    if (last && last->count < block && sameUnit(call, last, i))
      ++last->count;
    else
      units[count++] = (SeqUnit){(int32_t)i, 1};
  }
  sortUnits(call, units, count);
  return count;
}

//===----------------------------------------------------------------------===//
// The call
//===----------------------------------------------------------------------===//

// Copies a component into the workspace, batch dims compact, and reads it from there.
static void takeSnapshot(const SeqComponent *component, char *to, SeqView *view) {
  SeqView from = *view;
  int64_t rowBytes = seqTypeBytes(component->dtype), stride = 1, rows = 1;
  int32_t batch = 0;
  while (batch < component->rank && component->axes[batch].slot < 0)
    ++batch;
  for (int32_t i = component->rank - 1; i >= 0; --i) {
    view->stride[i] = stride;
    stride *= view->extent[i];
    if (i >= batch)
      rowBytes *= view->extent[i];
    else
      rows *= view->extent[i];
  }
  view->data = to;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t rest = row, offset = 0;
    for (int32_t i = batch - 1; i >= 0; --i) {
      offset += rest % from.extent[i] * from.stride[i];
      rest /= from.extent[i];
    }
    memcpy(to + row * rowBytes, from.data + offset * seqTypeBytes(component->dtype),
           (size_t)rowBytes);
  }
}

static void writePositions(const SeqCall *call) {
  int32_t last = call->mixer->component_count - 1;
  if (last < 0 || call->mixer->components[last].kind != SEQ_CARRY_POSITION ||
      !call->carryOut[last].present)
    return;
  const SeqView *view = &call->carryOut[last];
  int32_t *data = (int32_t *)(void *)view->data;
  for (int64_t i = 0; i < call->sequences; ++i)
    data[view->rank > 0 ? i * view->stride[0] : 0] =
        (int32_t)(seqPosition(call, i) + seqTokens(call, i));
}

void seqRun(const SeqCall *call, const SeqPlan *plan, char *workspace) {
  Run run = {.call = call, .plan = plan, .workspace = workspace};
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    run.read[i] = call->carryIn[i];
    if (plan->snapshotAt[i] >= 0)
      takeSnapshot(&call->mixer->components[i], workspace + plan->snapshotAt[i], &run.read[i]);
  }
  int64_t units = plan->units;
  if (plan->listUnits) {
    SeqUnit *list = (SeqUnit *)(void *)(workspace + plan->unitsAt);
    units = listUnits(call, plan->block, list);
    run.units = list;
  }
  int64_t tasks = units * plan->otherBatch * plan->splits;
  if (tasks > 0 && call->kernel->shared)
    seqRunTasks(runShared, &run, plan->groups, plan->threads);
  if (tasks > 0)
    seqRunTasks(runForward, &run, tasks, plan->threads);
  writePositions(call);
}
