//===- Carry.c - the carry of a call ----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <string.h>

// One component: batch axes may be strided, what is behind them is contiguous.
static SeqExpected expectComponent(const SeqComponent *component) {
  SeqExpected expected = {
      component->name, component->axes, component->rank, component->dtype, 0, 0, 0};
  for (int32_t i = 0; i < component->rank; ++i)
    if (component->axes[i].slot >= 0)
      expected.dense |= 1u << i;
  return expected;
}

static bool hasFirstBatch(const SeqComponent *component) {
  for (int32_t i = 0; i < component->rank; ++i)
    if (component->axes[i].dim == 0)
      return true;
  return false;
}

static int bindComponent(SeqCall *call, const SeqComponent *component, const DLTensor *tensor,
                         SeqView *view) {
  view->present = false;
  if (!tensor && !call->step)
    return SEQ_OK;
  if (call->seqlens && !hasFirstBatch(component))
    return seqFail(call, SEQ_UNSUPPORTED,
                   "%s does not vary over %s: packed sequences cannot have a carry of it",
                   component->name, call->mixer->dims[0].name);
  SeqExpected expected = expectComponent(component);
  SeqAxis axes[SEQ_MAX_RANK];
  if (call->pages && component->kind == SEQ_CARRY_ROWS) {
    // [pages, other batch dims, rows of a page, features]
    memcpy(axes, component->axes, (size_t)component->rank * sizeof *axes);
    bool seen = false;
    for (int32_t i = 0; i < component->rank; ++i)
      if (axes[i].dim == 0 || (axes[i].slot >= 0 && !seen)) {
        seen |= axes[i].slot >= 0;
        axes[i].dim = -1;
        axes[i].size = -1;
      }
    expected.axes = axes;
  }
  int status = seqBindView(call, &expected, tensor, view);
  return status == SEQ_OK ? seqCheckExtents(call, &expected, view) : status;
}

int seqValidateCarry(SeqCall *call, const DLTensor *const *in, DLTensor *const *out) {
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *component = &call->mixer->components[i];
    int status = bindComponent(call, component, in ? in[i] : NULL, &call->carryIn[i]);
    if (status == SEQ_OK)
      status = bindComponent(call, component, out ? out[i] : NULL, &call->carryOut[i]);
    if (status != SEQ_OK)
      return status;
  }
  return SEQ_OK;
}

int64_t seqPosition(const SeqCall *call, int64_t sequence) {
  int32_t last = call->mixer->component_count - 1;
  if (last < 0 || call->mixer->components[last].kind != SEQ_CARRY_POSITION)
    return 0;
  const SeqView *view = &call->carryIn[last];
  if (!view->present)
    return 0;
  int64_t at = view->rank > 0 ? sequence * view->stride[0] : 0;
  return ((const int64_t *)(const void *)view->data)[at];
}
