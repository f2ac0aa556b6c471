//===- View.c - one tensor against what is expected of it -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

int64_t seqAxisExtent(const SeqCall *call, const SeqAxis *axis) {
  if (axis->dim < 0)
    return axis->size;
  int64_t extent = call->extent[axis->dim];
  return extent < 0 ? -1 : extent / axis->div;
}

void seqTextAxes(SeqText *text, const SeqCall *call, const SeqExpected *expected) {
  seqTextAppend(text, "[");
  const char *separator = "";
  for (int32_t i = 0; i < expected->rank; ++i) {
    const SeqAxis *axis = &expected->axes[i];
    if (expected->skip >> i & 1)
      continue;
    if (expected->one >> i & 1)
      seqTextAppend(text, "%s1", separator);
    else if (axis->dim < 0 && axis->size < 0)
      seqTextAppend(text, "%srows", separator);
    else if (axis->dim < 0)
      seqTextAppend(text, "%s%lld", separator, (long long)axis->size);
    else if (axis->div > 1)
      seqTextAppend(text, "%s%s/%lld", separator, call->mixer->dims[axis->dim].name,
                    (long long)axis->div);
    else
      seqTextAppend(text, "%s%s", separator, call->mixer->dims[axis->dim].name);
    separator = ", ";
  }
  seqTextAppend(text, "]");
}

static int failRank(const SeqCall *call, const SeqExpected *expected, const DLTensor *tensor) {
  char shape[256], axes[256];
  SeqText shapeText = {shape, shape + sizeof shape}, axesText = {axes, axes + sizeof axes};
  seqTextShape(&shapeText, tensor->shape, tensor->shape && tensor->ndim <= 16 ? tensor->ndim : 0);
  seqTextAxes(&axesText, call, expected);
  return seqFail(call, SEQ_INVALID_SHAPE, "%s has %d dims, shape %s; expected %d, %s",
                 expected->name, tensor->ndim, shape,
                 expected->rank - __builtin_popcount(expected->skip), axes);
}

static int checkType(const SeqCall *call, const SeqExpected *expected, const DLTensor *tensor) {
  if (!seqTypeMatches(expected->dtype, tensor->dtype)) {
    char name[64];
    SeqText text = {name, name + sizeof name};
    seqTextType(&text, tensor->dtype);
    return seqFail(call, SEQ_INVALID_DTYPE, "%s is %s; expected %s", expected->name, name,
                   seqTypeName(expected->dtype));
  }
  return seqCheckDevice(call, expected->name, tensor);
}

// Strides as given, or those of a compact tensor.
static int readStrides(const SeqCall *call, const SeqExpected *expected, const DLTensor *tensor,
                       SeqView *view) {
  int64_t compact = 1;
  int32_t from = tensor->ndim;
  bool empty = false; // strides of an array without elements mean nothing
  for (int32_t i = 0; i < tensor->ndim; ++i)
    empty |= tensor->shape[i] == 0;
  for (int32_t i = expected->rank - 1; i >= 0; --i) {
    bool last = i == expected->rank - 1;
    if (expected->skip >> i & 1) {
      view->extent[i] = 1;
      view->stride[i] = last;
      continue;
    }
    int64_t extent = tensor->shape[--from];
    if (extent < 0)
      return seqFail(call, SEQ_INVALID_SHAPE, "%s has the negative extent %lld in dim %d",
                     expected->name, (long long)extent, from);
    view->extent[i] = extent;
    view->stride[i] = tensor->strides ? tensor->strides[from] : compact;
    if (extent > 1 && !empty && view->stride[i] < 0)
      return seqFail(call, SEQ_INVALID_LAYOUT,
                     "%s has the negative stride %lld in dim %d; expected a copy in forward order",
                     expected->name, (long long)view->stride[i], from);
    if (extent <= 1 || empty)
      view->stride[i] = last;
    if (!tensor->strides && __builtin_mul_overflow(compact, extent, &compact))
      return seqFail(call, SEQ_INVALID_SHAPE, "%s is larger than memory", expected->name);
  }
  return SEQ_OK;
}

static int checkStrides(const SeqCall *call, const SeqExpected *expected, const SeqView *view) {
  const SeqAxis *axes = expected->axes;
  int32_t last = expected->rank - 1;
  for (int32_t i = 0; i <= last; ++i)
    if (view->extent[i] == 0)
      return SEQ_OK;
  bool features =
      last >= 0 && (axes[last].dim < 0 || call->mixer->dims[axes[last].dim].kind == SEQ_DIM_FIXED);
  if (features && view->extent[last] > 1 && view->stride[last] != 1)
    return seqFail(call, SEQ_INVALID_LAYOUT,
                   "%s has stride %lld in its last dim; expected 1: features must be contiguous",
                   expected->name, (long long)view->stride[last]);
  int64_t inner = 1;
  for (int32_t i = last; i >= 0 && (expected->dense >> i & 1); --i) {
    if (view->extent[i] > 1 && view->stride[i] != inner)
      return seqFail(call, SEQ_INVALID_LAYOUT,
                     "%s has stride %lld in dim %d; expected %lld: behind the batch dims the carry "
                     "must be contiguous",
                     expected->name, (long long)view->stride[i], i, (long long)inner);
    inner *= view->extent[i];
  }
  int64_t bytes = seqTypeBytes(expected->dtype), count = 1, reach = 0;
  for (int32_t i = 0; i <= last; ++i) {
    int64_t step;
    if (__builtin_mul_overflow(count, view->extent[i], &count) ||
        __builtin_mul_overflow(view->extent[i] - 1, view->stride[i], &step) ||
        __builtin_add_overflow(reach, step, &reach))
      return seqFail(call, SEQ_INVALID_SHAPE, "%s is larger than memory", expected->name);
  }
  if (reach >= INT64_MAX / bytes)
    return seqFail(call, SEQ_INVALID_SHAPE, "%s is larger than memory", expected->name);
  return SEQ_OK;
}

int seqBindView(const SeqCall *call, const SeqExpected *expected, const DLTensor *tensor,
                SeqView *view) {
  view->present = false;
  view->rank = expected->rank;
  if (!tensor)
    return seqFail(call, SEQ_INVALID_ARGUMENT, "%s is null", expected->name);
  int32_t rank = expected->rank - __builtin_popcount(expected->skip);
  if (tensor->ndim != rank)
    return failRank(call, expected, tensor);
  if (rank > 0 && !tensor->shape)
    return seqFail(call, SEQ_INVALID_ARGUMENT, "%s has no shape", expected->name);
  int status = checkType(call, expected, tensor);
  if (status == SEQ_OK)
    status = readStrides(call, expected, tensor, view);
  if (status == SEQ_OK)
    status = checkStrides(call, expected, view);
  if (status != SEQ_OK)
    return status;
  bool empty = false;
  for (int32_t i = 0; i < view->rank; ++i)
    empty |= view->extent[i] == 0;
  if (!empty && !tensor->data)
    return seqFail(call, SEQ_INVALID_ARGUMENT, "%s has no data", expected->name);
  view->data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
  int64_t bytes = seqTypeBytes(expected->dtype);
  if (!empty && (uintptr_t)view->data % (uintptr_t)bytes != 0)
    return seqFail(call, SEQ_INVALID_LAYOUT, "%s is not aligned to its elements of %d bytes",
                   expected->name, (int)bytes);
  view->present = true;
  return SEQ_OK;
}

// "k has shape [2, 66, 4, 64]; expected [B, T, H, K] = [2, 67, 4, 64] (T = 67 as in q)".
static int failExtents(const SeqCall *call, const SeqExpected *expected, const SeqView *view,
                       int32_t wrong) {
  char text[512];
  SeqText out = {text, text + sizeof text};
  int64_t given[SEQ_MAX_RANK], wanted[SEQ_MAX_RANK];
  int32_t rank = 0;
  for (int32_t i = 0; i < expected->rank; ++i) {
    if (expected->skip >> i & 1)
      continue;
    given[rank] = view->extent[i];
    int64_t extent = seqAxisExtent(call, &expected->axes[i]);
    wanted[rank++] = expected->one >> i & 1 ? 1 : extent < 0 ? view->extent[i] : extent;
  }
  seqTextAppend(&out, "%s has shape ", expected->name);
  seqTextShape(&out, given, rank);
  seqTextAppend(&out, "; expected ");
  seqTextAxes(&out, call, expected);
  seqTextAppend(&out, " = ");
  seqTextShape(&out, wanted, rank);
  int32_t dim = expected->axes[wrong].dim;
  if (expected->one >> wrong & 1)
    seqTextAppend(&out, " (packed sequences stand behind each other in one batch element)");
  else if (dim >= 0 && call->mixer->dims[dim].kind == SEQ_DIM_FIXED)
    seqTextAppend(&out, " (%s = %lld is fixed)", call->mixer->dims[dim].name,
                  (long long)call->extent[dim]);
  else if (dim == 0 && call->seqlens)
    seqTextAppend(&out, " (%s = %lld sequences in cu_seqlens)", call->mixer->dims[0].name,
                  (long long)call->extent[0]);
  else if (dim >= 0 && call->boundBy[dim] >= 0)
    seqTextAppend(&out, " (%s = %lld as in %s)", call->mixer->dims[dim].name,
                  (long long)call->extent[dim], call->mixer->tensors[call->boundBy[dim]].name);
  return seqFail(call, SEQ_INVALID_SHAPE, "%s", text);
}

int seqCheckExtents(const SeqCall *call, const SeqExpected *expected, const SeqView *view) {
  for (int32_t i = 0; i < expected->rank; ++i) {
    const SeqAxis *axis = &expected->axes[i];
    if (expected->skip >> i & 1)
      continue;
    bool one = expected->one >> i & 1;
    int64_t extent = one ? 1 : seqAxisExtent(call, axis);
    if (!one && axis->dim >= 0 && call->extent[axis->dim] % axis->div != 0) {
      char axes[256];
      SeqText text = {axes, axes + sizeof axes};
      seqTextAxes(&text, call, expected);
      return seqFail(call, SEQ_INVALID_SHAPE, "%s = %lld is not a multiple of %lld, but %s is %s",
                     call->mixer->dims[axis->dim].name, (long long)call->extent[axis->dim],
                     (long long)axis->div, expected->name, axes);
    }
    if (!one && axis->dim < 0 && axis->size < 0)
      continue; // as many rows as the caller has room for
    if (view->extent[i] != extent)
      return failExtents(call, expected, view, i);
  }
  return SEQ_OK;
}
