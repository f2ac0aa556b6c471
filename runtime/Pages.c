//===- Pages.c - rows of the carry in pages ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// With options.pages the rows of a carry stand in pages of a fixed number of rows that all
// sequences share: [pages, other batch dims, rows of a page, features]. Row n of a sequence stands
// in the page that its line of the table has at n / rows of a page.
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <stddef.h>

static const DLTensor *pagesOf(const seq_options *options) {
  return options && options->size >= offsetof(seq_options, pages) + sizeof(const DLTensor *)
             ? options->pages
             : NULL;
}

int seqCheckPageTable(SeqCall *call, const seq_options *options) {
  const DLTensor *table = pagesOf(options);
  if (!table)
    return SEQ_OK;
  if (!seqHasBatch(call->mixer))
    return seqFail(call, SEQ_UNSUPPORTED, "pages needs a mixer with a batch dim");
  if (table->ndim != 2 || !table->shape || table->shape[0] < 0 || table->shape[1] < 0)
    return seqFail(call, SEQ_INVALID_SHAPE,
                   "pages must have the shape [sequences, pages of a sequence]");
  if (table->dtype.code != kDLInt || table->dtype.bits != 32 || table->dtype.lanes != 1)
    return seqFail(call, SEQ_INVALID_DTYPE, "pages must be i32");
  int status = seqCheckDevice(call, "pages", table);
  if (status != SEQ_OK)
    return status;
  bool isEmpty = table->shape[0] == 0 || table->shape[1] == 0;
  if (!isEmpty && (!table->data || ((uintptr_t)table->data + table->byte_offset) % 4 != 0))
    return seqFail(call, SEQ_INVALID_LAYOUT, "pages has no data, or is not aligned");
  if (table->strides && !isEmpty &&
      ((table->shape[1] > 1 && table->strides[1] != 1) ||
       (table->shape[0] > 1 && table->strides[0] < 0)))
    return seqFail(call, SEQ_INVALID_LAYOUT,
                   "pages has the strides [%lld, %lld]; the last must be 1, none negative",
                   (long long)table->strides[0], (long long)table->strides[1]);
  call->pages = table;
  return SEQ_OK;
}

const int32_t *seqPageLine(const SeqCall *call, int64_t sequence) {
  const DLTensor *table = call->pages;
  int64_t stride = table->strides ? table->strides[0] : table->shape[1];
  return (const int32_t *)(const void *)((const char *)table->data + table->byte_offset) +
         sequence * stride;
}

static int32_t rowsAxis(const SeqComponent *part) {
  int32_t axis = 0;
  while (part->axes[axis].slot < 0)
    ++axis;
  return axis;
}

// One page size for all components, and how many pages each of them has at least.
static int bindPools(SeqCall *call, int64_t *pages) {
  *pages = INT64_MAX;
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *part = &call->mixer->components[i];
    const SeqView *in = &call->carryIn[i], *out = &call->carryOut[i];
    if (part->kind != SEQ_CARRY_ROWS)
      continue;
    if (part->rank == 0 || part->axes[0].dim != 0 || part->axes[0].slot >= 0)
      return seqFail(call, SEQ_UNSUPPORTED, "%s does not vary over %s: it cannot stand in pages",
                     part->name, call->mixer->dims[0].name);
    if (in->present && out->present && (in->data != out->data || in->extent[0] != out->extent[0]))
      return seqFail(call, SEQ_INVALID_ARGUMENT,
                     "%s is in pages: the carry must be updated in place", part->name);
    const SeqView *view = out->present ? out : in;
    if (!view->present)
      continue;
    int64_t rows = view->extent[rowsAxis(part)];
    if (rows < 1 || (call->pageRows && rows != call->pageRows))
      return seqFail(call, SEQ_INVALID_SHAPE,
                     "%s has pages of %lld rows; all parts need the same number, at least 1",
                     part->name, (long long)rows);
    call->pageRows = rows;
    *pages = view->extent[0] < *pages ? view->extent[0] : *pages;
  }
  return SEQ_OK;
}

// Rows of a sequence that have a place: of a ring no more than it keeps.
static int64_t placedRows(const SeqCall *call, int64_t end) {
  int64_t most = 0;
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *part = &call->mixer->components[i];
    if (part->kind != SEQ_CARRY_ROWS || !(call->carryIn[i].present || call->carryOut[i].present))
      continue;
    int64_t rows = part->window > 0 && part->window < end ? part->window : end;
    most = rows > most ? rows : most;
  }
  return most;
}

static bool hasRing(const SeqCall *call) {
  for (int32_t i = 0; i < call->mixer->component_count; ++i)
    if (call->mixer->components[i].kind == SEQ_CARRY_ROWS && call->mixer->components[i].window > 0)
      return true;
  return false;
}

int seqCheckPages(SeqCall *call) {
  if (!call->pages)
    return SEQ_OK;
  if (call->kernel && !(call->kernel->flags & SEQ_KERNEL_PAGES)) // of a device: when it is known
    return seqFail(call, SEQ_UNSUPPORTED,
                   "the carry of this mixer has no rows that could stand in pages");
  int64_t pages;
  int status = bindPools(call, &pages);
  if (status != SEQ_OK || call->pageRows == 0)
    return status;
  if (call->pages->shape[0] != call->sequences)
    return seqFail(call, SEQ_INVALID_SHAPE, "pages has %lld lines; expected one a sequence, %lld",
                   (long long)call->pages->shape[0], (long long)call->sequences);
  if (call->mixer->device)
    return SEQ_OK; // the table is in its memory
  for (int64_t i = 0; i < call->sequences; ++i) {
    int64_t position = seqPosition(call, i), tokens = seqTokens(call, i);
    // Heads that share keys would read rows that another has overwritten.
    if (hasRing(call) && position > 0 && tokens > 1)
      return seqFail(call, SEQ_UNSUPPORTED,
                     "a window in pages goes on token by token: sequence %lld has %lld tokens from "
                     "position %lld on",
                     (long long)i, (long long)tokens, (long long)position);
    int64_t rows = placedRows(call, position + tokens);
    int64_t needed = rows / call->pageRows + (rows % call->pageRows != 0);
    if (needed > call->pages->shape[1])
      return seqFail(call, SEQ_INVALID_SHAPE,
                     "pages[%lld] has %lld pages of %lld rows; the sequence needs %lld",
                     (long long)i, (long long)call->pages->shape[1], (long long)call->pageRows,
                     (long long)needed);
    const int32_t *line = seqPageLine(call, i);
    for (int64_t page = 0; page < needed; ++page)
      if (line[page] < 0 || line[page] >= pages)
        return seqFail(call, SEQ_OUT_OF_RANGE, "pages[%lld, %lld] is %d; there are %lld pages",
                       (long long)i, (long long)page, line[page], (long long)pages);
  }
  return SEQ_OK;
}
