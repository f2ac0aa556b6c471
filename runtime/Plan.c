//===- Plan.c - the tasks of a call and its workspace -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"
#include "runtime/Frame.h"

int64_t seqMultiply(SeqSize *size, int64_t a, int64_t b) {
  int64_t result = 0;
  size->overflow |= __builtin_mul_overflow(a, b, &result);
  return result;
}

int64_t seqReserve(SeqSize *size, int64_t bytes) {
  int64_t at = size->value;
  size->overflow |= __builtin_add_overflow(at, bytes, &size->value) ||
                    size->value > INT64_MAX - SEQ_WORKSPACE_ALIGN;
  if (!size->overflow)
    size->value =
        (size->value + SEQ_WORKSPACE_ALIGN - 1) / SEQ_WORKSPACE_ALIGN * SEQ_WORKSPACE_ALIGN;
  return at;
}

// Whether some tensor or component groups the elements of the first batch dim: they are then not
// one stride apart.
static bool groupsFirstBatch(const SeqMixer *mixer) {
  for (int32_t i = 0; i < mixer->tensor_count; ++i)
    for (int32_t axis = 0; axis < mixer->tensors[i].rank; ++axis)
      if (mixer->tensors[i].axes[axis].dim == 0 && mixer->tensors[i].axes[axis].div > 1)
        return true;
  return false;
}

bool seqComponentShared(const SeqCall *call, const SeqPlan *plan, const SeqComponent *component) {
  if (component->kind == SEQ_CARRY_POSITION)
    return false;
  uint64_t whole = 0;
  for (int32_t i = 0; i < component->rank; ++i)
    if (component->axes[i].dim >= 0 && component->axes[i].div == 1)
      whole |= UINT64_C(1) << component->axes[i].dim;
  for (int32_t dim = 0; dim < call->batchDims; ++dim)
    if (!(whole >> dim & 1) && call->extent[dim] > 1)
      return true;
  int32_t split = call->kernel->split_dim;
  return plan->own.splits > 1 && split >= 0 && !(whole >> split & 1);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Of a position of a run-time dim other than the token dim.
static int64_t storageBytes(const SeqKernel *kernel, int32_t dim) {
  return kernel->storage_bytes ? kernel->storage_bytes[dim] : 0;
}

// Tokens so far, of the sequence that has the most. (A query is told them as the tokens.)
static int64_t farthestEnd(const SeqCall *call) {
  int64_t most = call->longest;
  for (int64_t i = 0; i < call->sequences; ++i) {
    int64_t position = seqPosition(call, i);
    most = larger(most, position > 0 ? position + seqTokens(call, i) : 0);
  }
  return most;
}

static int64_t frameBytes(const SeqMixer *mixer) {
  int64_t slots = SEQ_FRAME_FIRST + 4 * (int64_t)mixer->component_count;
  for (int32_t dim = 0; dim < mixer->dim_count; ++dim)
    slots += seqIsOtherLength(mixer, dim) ? 2 : 0;
  for (int32_t i = 0; i < mixer->tensor_count; ++i)
    slots += 2 + mixer->tensors[i].rank;
  return slots * (int64_t)sizeof(int64_t);
}

static bool positionsDiffer(const SeqCall *call) {
  for (int64_t i = 1; i < call->sequences; ++i)
    if (seqPosition(call, i) != seqPosition(call, 0))
      return true;
  return false;
}

// Elements of a unit: as many as the kernel takes, but no so many that threads would have nothing
// to do.
static int64_t chooseBlock(const SeqCall *call, int64_t tasksEach, int64_t threads) {
  int64_t block = call->kernel->batch_block;
  if (block <= 1 || groupsFirstBatch(call->mixer))
    return 1;
  if (tasksEach <= 0 || tasksEach >= threads)
    return block;
  const int64_t rows = 4; // of a register tile
  int64_t units = (threads + tasksEach - 1) / tasksEach;
  int64_t even = (call->sequences + units - 1) / units;
  even = even > rows ? (even + rows - 1) / rows * rows : even;
  return even < 1 ? 1 : even < block ? even : block;
}

// Tasks along the split dim of a kernel, and runs of what they share, which covers the task's part
// of that dim only.
static void planGrid(const SeqCall *call, const SeqMixer *mixer, const SeqKernel *kernel,
                     SeqSize *size, SeqGrid *grid) {
  grid->groups = grid->splits = 1;
  for (int32_t dim = 0; dim < call->batchDims; ++dim)
    if (mixer->shared_dims >> dim & 1)
      grid->groups = seqMultiply(size, grid->groups, call->extent[dim]);
  if (kernel->split_dim >= 0) {
    int64_t extent = mixer->dims[kernel->split_dim].size;
    grid->splits = (extent + kernel->split_size - 1) / kernel->split_size;
  }
  grid->groups = seqMultiply(size, grid->groups, grid->splits);
}

static void reserveShared(const SeqKernel *kernel, SeqSize *size, SeqGrid *grid) {
  SeqSize group = {0, false};
  seqReserve(&group, kernel->shared_bytes);
  grid->sharedBytes = group.value;
  grid->sharedAt =
      seqReserve(size, kernel->shared ? seqMultiply(size, group.value, grid->groups) : 0);
  size->overflow |= group.overflow;
}

static void planTasks(const SeqCall *call, bool exact, SeqSize *size, SeqPlan *plan) {
  const SeqKernel *kernel = call->kernel;
  plan->otherBatch = 1;
  for (int32_t dim = 1; dim < call->batchDims; ++dim)
    plan->otherBatch = seqMultiply(size, plan->otherBatch, call->extent[dim]);
  planGrid(call, call->mixer, kernel, size, &plan->own);
  plan->block =
      chooseBlock(call, seqMultiply(size, plan->otherBatch, plan->own.splits), plan->threads);
  seqPlanSegments(call, exact, size, plan);
  if (plan->segments.split) {
    plan->block = 1; // a segment is of one sequence
    planGrid(call, call->mixer->summary->mixer, seqSummaryKernel(call), size, &plan->summary);
  }
  plan->parts.split = false;
  if (!plan->segments.split)
    seqPlanParts(call, exact, size, plan);
  bool byPosition = (kernel->flags & SEQ_KERNEL_POSITION) && plan->block > 1;
  plan->listUnits =
      !exact || call->seqlens || plan->segments.split || (byPosition && positionsDiffer(call));
  plan->units =
      plan->listUnits ? call->sequences : (call->sequences + plan->block - 1) / plan->block;
}

static int64_t componentBytes(const SeqCall *call, const SeqComponent *component, SeqSize *size) {
  int64_t bytes = seqTypeBytes(component->dtype);
  for (int32_t i = 0; i < component->rank; ++i)
    bytes =
        seqMultiply(size, bytes, seqAxisExtent(call, &component->axes[i])); // rows: those of a ring
  return bytes;
}

// A component that several tasks read must not change under them: it is read from a copy when it is
// updated in place.
static bool needsSnapshot(const SeqCall *call, const SeqPlan *plan, int32_t index, bool exact) {
  const SeqView *in = &call->carryIn[index], *out = &call->carryOut[index];
  if (call->mixer->components[index].kind == SEQ_CARRY_POSITION ||
      (exact && !(in->present && out->present && in->data == out->data)))
    return false;
  const SeqComponent *component = &call->mixer->components[index];
  if (component->kind == SEQ_CARRY_ROWS &&
      (component->window == 0 || call->longest <= 1 || call->pages))
    return false; // new rows stand behind all that are read, one alone in place of what no token
                  // reads
  return plan->segments.split || seqComponentShared(call, plan, &call->mixer->components[index]);
}

static int64_t viewExtent(const SeqView *view, int32_t axis) {
  return view->present ? view->extent[axis] : 1;
}

static double viewElements(const SeqView *view) {
  double elements = 1;
  for (int32_t i = 0; i < view->rank; ++i)
    elements *= (double)view->extent[i];
  return elements;
}

// Threads that pay for being woken, by a rough count of what is computed: every token reads and
// writes the states, and meets the params.
int32_t seqUsefulThreads(const SeqCall *call, int32_t most) {
  const SeqMixer *mixer = call->mixer;
  const double elementsEach = 50000; // some microseconds
  double sequences = call->sequences > 0 ? (double)call->sequences : 1;
  double total = call->seqlens ? (double)call->tokens : (double)call->tokens * sequences;
  double work = 0;
  for (int32_t i = 0; i < mixer->tensor_count; ++i)
    work +=
        viewElements(&call->tensors[i]) * (mixer->tensors[i].role == SEQ_ROLE_PARAM ? total : 1.0);
  for (int32_t i = 0; i < mixer->component_count; ++i) {
    double elements = 1;
    for (int32_t axis = 0; axis < mixer->components[i].rank; ++axis) {
      int64_t extent = seqAxisExtent(call, &mixer->components[i].axes[axis]);
      elements *= extent < 0 ? (double)viewExtent(&call->carryIn[i], axis) : (double)extent;
    }
    work += elements * total / sequences;
  }
  double useful = 1 + work / elementsEach;
  return useful < most ? (int32_t)useful : most;
}

bool seqMakePlan(const SeqCall *call, bool exact, SeqPlan *plan) {
  SeqSize size = {0, false};
  int32_t threads = call->options ? call->options->threads : 0;
  plan->threads = threads > 0 ? threads : seq_num_threads();
  if (exact && threads == 0)
    plan->threads = seqUsefulThreads(call, plan->threads);
  planTasks(call, exact, &size, plan);
  int64_t most =
      seqMultiply(&size, seqMultiply(&size, plan->units, plan->otherBatch), plan->own.splits);
  if (plan->parts.split)
    most = seqMultiply(&size, most, plan->parts.most);
  if (plan->own.groups > most)
    most = plan->own.groups;
  if (most < plan->threads && !plan->segments.split)
    plan->threads = (int32_t)(most > 0 ? most : 1);

  const SeqMixer *other = plan->segments.split ? call->mixer->summary->mixer : call->mixer;
  const SeqKernel *kernel = call->kernel,
                  *second = plan->segments.split ? seqSummaryKernel(call) : kernel;
  SeqSize part = {0, false};
  plan->frameBytes = larger(frameBytes(call->mixer), frameBytes(other));
  seqReserve(&part, plan->frameBytes);
  plan->scratchAt = seqReserve(&part, larger(kernel->scratch_bytes, second->scratch_bytes));
  plan->sequenceAt =
      seqReserve(&part, seqMultiply(&size, seqKeptPositions(call, exact) + SEQ_SEQUENCE_EDGE,
                                    larger(kernel->sequence_bytes, second->sequence_bytes)));
  // Derived dims grow with the tokens, those of earlier calls among them.
  int64_t extents[SEQ_MAX_DIMS];
  seqExtentsFor(call, exact && call->mixer->derive ? farthestEnd(call) : call->longest, extents);
  for (int32_t dim = 0; dim < call->mixer->dim_count; ++dim) {
    int64_t bytes = larger(storageBytes(kernel, dim), storageBytes(second, dim));
    plan->storageAt[dim] =
        bytes > 0 ? seqReserve(&part, seqMultiply(&size, extents[dim] + SEQ_SEQUENCE_EDGE, bytes))
                  : -1;
  }
  plan->threadBytes = part.value;
  plan->threadsAt = seqReserve(&size, seqMultiply(&size, plan->threadBytes, plan->threads));

  reserveShared(kernel, &size, &plan->own);
  if (plan->segments.split)
    reserveShared(second, &size, &plan->summary);
  plan->unitsAt = seqReserve(
      &size, plan->listUnits ? seqMultiply(&size, plan->units, (int64_t)sizeof(SeqUnit)) : 0);
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    plan->snapshotAt[i] = -1;
    if (needsSnapshot(call, plan, i, exact))
      plan->snapshotAt[i] =
          seqReserve(&size, componentBytes(call, &call->mixer->components[i], &size));
  }
  plan->bytes = size.value;
  return !size.overflow && !part.overflow;
}
