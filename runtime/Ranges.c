//===- Ranges.c - checked calls: declared ranges and NaN --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <math.h>

static int failElement(const SeqCall *call, const SeqTensor *tensor, const int64_t *index,
                       uint32_t skip, double value) {
  char at[128];
  SeqText text = {at, at + sizeof at};
  const char *separator = "";
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (skip >> i & 1)
      continue;
    seqTextAppend(&text, "%s%lld", separator, (long long)index[i]);
    separator = ", ";
  }
  if (isnan(value))
    return seqFail(call, SEQ_OUT_OF_RANGE, "%s[%s] is not a number", tensor->name, at);
  return seqFail(call, SEQ_OUT_OF_RANGE, "%s[%s] is %g; the mixer promises [%g, %g]", tensor->name,
                 at, value, tensor->lo, tensor->hi);
}

static int checkTensor(const SeqCall *call, int32_t number) {
  const SeqTensor *tensor = &call->mixer->tensors[number];
  const SeqView *view = &call->tensors[number];
  int64_t index[SEQ_MAX_RANK] = {0}, at = 0, bytes = seqTypeBytes(tensor->dtype);
  for (int32_t i = 0; i < tensor->rank; ++i)
    if (view->extent[i] == 0)
      return SEQ_OK;
  for (;;) {
    double value = seqLoadElement(tensor->dtype, view->data + at * bytes);
    if (!(value >= tensor->lo && value <= tensor->hi))
      return failElement(call, tensor, index, seqExpectTensor(call, number).skip, value);
    int32_t axis = tensor->rank - 1;
    for (; axis >= 0; --axis) {
      at += view->stride[axis];
      if (++index[axis] < view->extent[axis])
        break;
      at -= view->stride[axis] * view->extent[axis];
      index[axis] = 0;
    }
    if (axis < 0)
      return SEQ_OK;
  }
}

int seqCheckRanges(const SeqCall *call) {
  for (int32_t i = 0; i < call->mixer->tensor_count; ++i) {
    if (call->mixer->tensors[i].role == SEQ_ROLE_OUTPUT)
      continue;
    int status = checkTensor(call, i);
    if (status != SEQ_OK)
      return status;
  }
  return SEQ_OK;
}
