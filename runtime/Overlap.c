//===- Overlap.c - memory that is written must not be shared ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Sequences are computed in chunks and by several threads, so an output that shares memory with an
// input would give results that depend on the schedule. Only a component of the carry may be
// written where it was read from.

#include "runtime/Call.h"

// The bytes of a view as rows: `length` contiguous bytes, repeated at `steps` (in bytes).
typedef struct Rows {
  const char *name;
  uintptr_t data;
  int64_t length;
  int64_t reach; // bytes from the first to behind the last
  int32_t rank;
  int64_t steps[SEQ_MAX_RANK];
  int64_t counts[SEQ_MAX_RANK];
} Rows;

// False for a view without elements.
static bool makeRows(const SeqView *view, const char *name, int32_t dtype, Rows *rows) {
  int64_t bytes = seqTypeBytes(dtype);
  *rows = (Rows){.name = name, .data = (uintptr_t)view->data, .length = bytes, .reach = bytes};
  for (int32_t i = 0; i < view->rank; ++i) {
    if (view->extent[i] == 0)
      return false;
    if (view->extent[i] == 1)
      continue;
    // By size of the step, smallest first.
    int64_t step = view->stride[i] * bytes;
    int32_t at = rows->rank++;
    for (; at > 0 && rows->steps[at - 1] > step; --at) {
      rows->steps[at] = rows->steps[at - 1];
      rows->counts[at] = rows->counts[at - 1];
    }
    rows->steps[at] = step;
    rows->counts[at] = view->extent[i];
    rows->reach += (view->extent[i] - 1) * step;
  }
  // Rows that touch are one row.
  int32_t merged = 0;
  while (merged < rows->rank && rows->steps[merged] == rows->length)
    rows->length *= rows->counts[merged++];
  rows->rank -= merged;
  for (int32_t i = 0; i < rows->rank; ++i) {
    rows->steps[i] = rows->steps[i + merged];
    rows->counts[i] = rows->counts[i + merged];
  }
  return true;
}

// Whether two elements of one view share memory, as far as each dim steps over all smaller ones.
static bool overlapsItself(const Rows *rows) {
  int64_t reach = rows->length;
  for (int32_t i = 0; i < rows->rank; ++i) {
    if (rows->steps[i] < reach)
      return true;
    reach += (rows->counts[i] - 1) * rows->steps[i];
  }
  return false;
}

static int64_t greatestDivisor(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Exact for rows of a common period (slices of one buffer); otherwise whether the two ranges of
// addresses meet.
static bool overlap(const Rows *a, const Rows *b) {
  if (a->data >= b->data + (uintptr_t)b->reach || b->data >= a->data + (uintptr_t)a->reach)
    return false;
  int64_t period = 0;
  for (int32_t i = 0; i < a->rank; ++i)
    period = greatestDivisor(period, a->steps[i]);
  for (int32_t i = 0; i < b->rank; ++i)
    period = greatestDivisor(period, b->steps[i]);
  if (period == 0 || a->length + b->length > period)
    return true;
  int64_t distance = (int64_t)(b->data - a->data) % period;
  distance += distance < 0 ? period : 0;
  return distance < a->length || distance + b->length > period;
}

static bool sameLayout(const SeqView *a, const SeqView *b) {
  if (a->data != b->data)
    return false;
  for (int32_t i = 0; i < a->rank; ++i)
    if (a->stride[i] != b->stride[i])
      return false;
  return true;
}

typedef struct Memory {
  Rows rows;
  int32_t component; // its number, or -1
  bool written;
} Memory;

static bool mayShare(const SeqCall *call, const Memory *a, const Memory *b) {
  if (!a->written && !b->written)
    return true;
  bool carry = a->component >= 0 && a->component == b->component && a->written != b->written;
  return carry && sameLayout(&call->carryIn[a->component], &call->carryOut[a->component]);
}

static int32_t collect(const SeqCall *call, Memory *memory) {
  const SeqMixer *mixer = call->mixer;
  int32_t count = 0;
  for (int32_t i = 0; i < mixer->tensor_count; ++i) {
    Memory *m = &memory[count];
    *m = (Memory){.component = -1, .written = mixer->tensors[i].role == SEQ_ROLE_OUTPUT};
    count += makeRows(&call->tensors[i], mixer->tensors[i].name, mixer->tensors[i].dtype, &m->rows);
  }
  for (int32_t i = 0; i < mixer->component_count; ++i) {
    const SeqComponent *component = &mixer->components[i];
    for (int out = 0; out <= 1; ++out) {
      const SeqView *view = out ? &call->carryOut[i] : &call->carryIn[i];
      Memory *m = &memory[count];
      *m = (Memory){.component = i, .written = out};
      count += view->present && makeRows(view, component->name, component->dtype, &m->rows);
    }
  }
  return count;
}

// The bytes of an array of integers that the options give.
static Rows rowsOf(const char *name, const DLTensor *array) {
  Rows rows = {.name = name};
  int64_t elements = 1;
  for (int32_t i = 0; array && i < array->ndim; ++i)
    elements = array->shape[i] == 0 ? 0 : elements;
  if (!array || elements == 0)
    return rows;
  int64_t dense = 1;
  for (int32_t i = array->ndim - 1; i >= 0; --i) {
    elements += (array->shape[i] - 1) * (array->strides ? array->strides[i] : dense);
    dense *= array->shape[i];
  }
  rows.data = (uintptr_t)array->data + array->byte_offset;
  rows.length = rows.reach = elements * (array->dtype.bits / 8);
  return rows;
}

// The workspace and arrays of integers, which every view that is written must leave alone (and the
// workspace everything).
static int checkRest(const SeqCall *call, const Memory *memory, int32_t count) {
  const Rows integers[] = {rowsOf("cu_seqlens", call->seqlens), rowsOf("pages", call->pages)};
  Rows work = {.name = "workspace"};
  if (call->options && call->options->workspace) {
    work.data = (uintptr_t)call->options->workspace;
    work.length = work.reach = (int64_t)call->options->workspace_bytes;
  }
  for (int32_t i = 0; i < count; ++i)
    if (work.length > 0 && overlap(&memory[i].rows, &work))
      return seqFail(call, SEQ_INVALID_LAYOUT, "the workspace overlaps %s in memory",
                     memory[i].rows.name);
  for (const Rows *rows = integers; rows < integers + 2; ++rows) {
    if (rows->length == 0)
      continue;
    for (int32_t i = 0; i < count; ++i)
      if (memory[i].written && overlap(&memory[i].rows, rows))
        return seqFail(call, SEQ_INVALID_LAYOUT, "%s overlaps %s in memory", memory[i].rows.name,
                       rows->name);
    if (work.length > 0 && overlap(&work, rows))
      return seqFail(call, SEQ_INVALID_LAYOUT, "the workspace overlaps %s in memory", rows->name);
  }
  return SEQ_OK;
}

int seqCheckOverlap(const SeqCall *call) {
  Memory memory[SEQ_MAX_TENSORS + 2 * SEQ_MAX_COMPONENTS];
  int32_t count = collect(call, memory);
  for (int32_t i = 0; i < count; ++i) {
    const Memory *a = &memory[i];
    if (!a->written)
      continue;
    const char *kind = a->component >= 0 ? "the final carry " : "the output ";
    if (overlapsItself(&a->rows))
      return seqFail(call, SEQ_INVALID_LAYOUT,
                     "%s%s has elements that share memory (a broadcast?); expected one place each",
                     kind, a->rows.name);
    for (int32_t j = 0; j < count; ++j) {
      const Memory *b = &memory[j];
      if (i == j || mayShare(call, a, b) || !overlap(&a->rows, &b->rows))
        continue;
      return seqFail(call, SEQ_INVALID_LAYOUT, "%s%s overlaps %s%s in memory", kind, a->rows.name,
                     b->component < 0 ? ""
                     : b->written     ? "the final carry "
                                      : "the initial carry ",
                     b->rows.name);
    }
  }
  return checkRest(call, memory, count);
}
