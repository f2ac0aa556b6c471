//===- Run.c - the tasks of a call -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Run.h"

#include <string.h>

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

int64_t seqTasksEach(const SeqRun *run) { return run->plan->otherBatch * run->grid->splits; }

SeqTask seqTaskOf(const SeqRun *run, SeqUnit unit, int64_t number) {
  const SeqCall *call = run->call;
  SeqTask task = {.unit = unit, .split = number % run->grid->splits};
  number /= run->grid->splits;
  for (int32_t dim = call->batchDims - 1; dim > 0; --dim) {
    task.at[dim] = number % call->extent[dim];
    number /= call->extent[dim];
  }
  task.at[0] = unit.first;
  task.tokens = seqTokens(call, unit.first);
  task.startRow = seqStartRow(call, unit.first);
  task.position = seqPosition(call, unit.first);
  task.length = task.position + task.tokens;
  for (int32_t dim = 0; dim < call->batchDims; ++dim)
    if (run->mixer->shared_dims >> dim & 1)
      task.group = task.group * call->extent[dim] + task.at[dim];
  task.group = task.group * run->grid->splits + task.split;
  return task;
}

SeqUnit seqUnitAt(const SeqRun *run, int64_t place) {
  if (run->units)
    return run->units[place];
  int64_t block = run->plan->block, left = run->call->sequences - place * block;
  return (SeqUnit){(int32_t)(place * block), (int32_t)(left < block ? left : block)};
}

static void runForward(void *context, int64_t number, int32_t thread) {
  const SeqRun *run = context;
  int64_t each = seqTasksEach(run);
  SeqUnit unit = seqUnitAt(run, number / each);
  if (!seqTakes(run->call, unit.first))
    return;
  SeqTask task = seqTaskOf(run, unit, number % each);
  run->kernel->forward(seqFillFrame(run, &task, thread));
}

static void runShared(void *context, int64_t number, int32_t thread) {
  const SeqRun *run = context;
  SeqTask task = {.unit = {0, 1}, .group = number, .split = number % run->grid->splits};
  number /= run->grid->splits;
  for (int32_t dim = run->call->batchDims - 1; dim >= 0; --dim) {
    if (!(run->mixer->shared_dims >> dim & 1))
      continue;
    task.at[dim] = number % run->call->extent[dim];
    number /= run->call->extent[dim];
  }
  run->kernel->shared(seqFillFrame(run, &task, thread));
}

void seqRunShared(const SeqRun *run) {
  if (run->kernel->shared)
    seqRunTasks(runShared, (void *)run, run->grid->groups, run->plan->threads);
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

void seqWritePositions(const SeqCall *call) {
  int32_t last = call->mixer->component_count - 1;
  if (last < 0 || call->mixer->components[last].kind != SEQ_CARRY_POSITION ||
      !call->carryOut[last].present)
    return;
  const SeqView *view = &call->carryOut[last];
  int64_t *data = (int64_t *)(void *)view->data;
  for (int64_t i = 0; i < call->sequences; ++i)
    data[view->rank > 0 ? i * view->stride[0] : 0] = seqPosition(call, i) + seqTokens(call, i);
}

void seqRun(const SeqCall *call, const SeqPlan *plan, char *workspace) {
  SeqView read[SEQ_MAX_COMPONENTS];
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    read[i] = call->carryIn[i];
    if (plan->snapshotAt[i] >= 0)
      takeSnapshot(&call->mixer->components[i], workspace + plan->snapshotAt[i], &read[i]);
  }
  SeqRun run = {.call = call,
                .plan = plan,
                .workspace = workspace,
                .mixer = call->mixer,
                .kernel = call->kernel,
                .grid = &plan->own,
                .read = read};
  int64_t units = plan->units;
  if (plan->listUnits) {
    SeqUnit *list = (SeqUnit *)(void *)(workspace + plan->unitsAt);
    units = listUnits(call, plan->block, list);
    run.units = list;
  }
  int64_t tasks = units * seqTasksEach(&run);
  if (tasks > 0) {
    seqRunShared(&run);
    if (plan->segments.split)
      seqRunSegments(&run, run.units);
    else if (plan->parts.split)
      seqRunParts(&run, tasks);
    else
      seqRunTasks(runForward, &run, tasks, plan->threads);
  }
}
