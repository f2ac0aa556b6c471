//===- SampleKernels.c - kernels written by hand ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Two small mixers as a compiler would leave them, for tests of the runtime, the library stage and
// the frontends.
//
//   mixer scan                                      mixer copy
//     dims   B, H batch; t in T; i in K               dims   B, H batch; t in T; i in D = 3
//     input  x[t,i]                                   input  x[t,i] : bf16
//     input  g[t] in [-2, 2] per B, H/2               input  keep[t] : bool per B
//     param  w[H,i]                                   input  n[] : i32
//     state  S[i] = 1                                 y[t,i] = x[t,i] if keep[t] else 0
//     S[t,i] = g[t] * S[t-1,i] + x[t,i]               m[] = 2 * n
//     y[t,i] = w[i] * S[t,i] + x[t-1,i]               output y[t,i] : bf16
//              + 2 * g[t-2] + t / 4                   output m[] : i32
//     output y[t,i]
//
// `scan` is split along K by 4, takes up to 3 batch elements a task, and keeps w in what is shared
// by the batch. It has a summary for segments of sequences.

#include "test/library/SampleKernels.h"

#include "runtime/Frame.h"

#include <stddef.h>

enum {
  X = SEQ_FRAME_FIRST,
  G = X + 4,
  W = G + 3,
  Y = W + 3,
  S = Y + 4,
  XWindow = S + 4,
  GWindow = XWindow + 4
};

static float *pointer(const int64_t *frame, int slot, int64_t offset) {
  float *base = (float *)(intptr_t)frame[slot];
  return base ? base + offset : NULL;
}

void sampleScanShared(const int64_t *frame, int64_t size) {
  float *shared = (float *)(intptr_t)frame[SEQ_FRAME_SHARED];
  const float *w = pointer(frame, W, 0);
  for (int64_t i = 0; i < size; ++i)
    shared[i] = w[i * frame[W + 2]];
}

// Rows in front of the first one stand in the tensor as far as its history goes.
static float earlier(const int64_t *frame, const float *window, int64_t length, const float *rows,
                     int64_t stride, int64_t at) {
  if (at >= -frame[SEQ_FRAME_HISTORY])
    return rows[at * stride];
  return window ? window[length + at + frame[SEQ_FRAME_HISTORY]] : 0;
}

// One batch element, one column.
static void scanColumn(const int64_t *frame, int64_t element, int64_t i, int64_t size,
                       float *windows) {
  int64_t tokens = frame[SEQ_FRAME_TOKENS], position = frame[SEQ_FRAME_POSITION];
  const float *x = pointer(frame, X, element * frame[X + 1] + i * frame[X + 3]);
  const float *g = pointer(frame, G, element * frame[G + 1]);
  float *y = pointer(frame, Y, element * frame[Y + 1] + i * frame[Y + 3]);
  const float *shared = (const float *)(intptr_t)frame[SEQ_FRAME_SHARED];
  const float *read = pointer(frame, S, element * frame[S + 2] + i);
  float *write = pointer(frame, S + 1, element * frame[S + 3] + i);
  const float *xWindow = pointer(frame, XWindow, element * frame[XWindow + 2] + i);
  float *xWrite = pointer(frame, XWindow + 1, element * frame[XWindow + 3] + i);
  const float *gWindow = pointer(frame, GWindow, element * frame[GWindow + 2]);
  float state = read ? *read : 1;
  for (int64_t t = 0; t < tokens; ++t) {
    state = g[t * frame[G + 2]] * state + x[t * frame[X + 2]];
    y[t * frame[Y + 2]] = shared[i] * state + earlier(frame, xWindow, 1, x, frame[X + 2], t - 1) +
                          2 * earlier(frame, gWindow, 2, g, frame[G + 2], t - 2) +
                          (float)(position + t) / 4;
  }
  float lastX = earlier(frame, xWindow, 1, x, frame[X + 2], tokens - 1);
  windows[0] = earlier(frame, gWindow, 2, g, frame[G + 2], tokens - 2);
  windows[1] = earlier(frame, gWindow, 2, g, frame[G + 2], tokens - 1);
  if (write)
    *write = state;
  if (xWrite)
    *xWrite = lastX;
  (void)size;
}

void sampleScanForward(const int64_t *frame, int64_t size) {
  int64_t begin = frame[SEQ_FRAME_SPLIT_BEGIN], count = frame[SEQ_FRAME_SPLIT_COUNT];
  for (int64_t element = 0; element < frame[SEQ_FRAME_BLOCK]; ++element) {
    float windows[2] = {0, 0};
    for (int64_t i = begin; i < begin + count; ++i)
      scanColumn(frame, element, i, size, windows);
    float *write = pointer(frame, GWindow + 1, element * frame[GWindow + 3]);
    if (write) {
      write[0] = windows[0];
      write[1] = windows[1];
    }
  }
}

// The state of `scan` from zero, and the product of its gates.
void sampleScanSummary(const int64_t *frame) {
  enum { Made = Y, Product = Made + 4 }; // there are no outputs
  int64_t begin = frame[SEQ_FRAME_SPLIT_BEGIN], count = frame[SEQ_FRAME_SPLIT_COUNT];
  const float *g = pointer(frame, G, 0);
  float *product = pointer(frame, Product + 1, 0);
  for (int64_t i = begin; i < begin + count; ++i) {
    const float *x = pointer(frame, X, i * frame[X + 3]);
    float state = 0, all = 1;
    for (int64_t t = 0; t < frame[SEQ_FRAME_TOKENS]; ++t) {
      state = g[t * frame[G + 2]] * state + x[t * frame[X + 2]];
      all *= g[t * frame[G + 2]];
    }
    *pointer(frame, Made + 1, i) = state;
    if (product)
      *product = all;
  }
}

void sampleScan8Shared(const int64_t *frame) { sampleScanShared(frame, 8); }
void sampleScan8Forward(const int64_t *frame) { sampleScanForward(frame, 8); }
void sampleScan5Shared(const int64_t *frame) { sampleScanShared(frame, 5); }
void sampleScan5Forward(const int64_t *frame) { sampleScanForward(frame, 5); }

void sampleCopyForward(const int64_t *frame) {
  enum { CopyX = SEQ_FRAME_FIRST, Keep = CopyX + 4, N = Keep + 3, CopyY = N + 2, M = CopyY + 4 };
  const int16_t *x = (const int16_t *)(intptr_t)frame[CopyX];
  const int8_t *keep = (const int8_t *)(intptr_t)frame[Keep];
  int16_t *y = (int16_t *)(intptr_t)frame[CopyY];
  for (int64_t t = 0; t < frame[SEQ_FRAME_TOKENS]; ++t)
    for (int64_t i = 0; i < 3; ++i)
      y[t * frame[CopyY + 2] + i * frame[CopyY + 3]] =
          keep[t * frame[Keep + 2]] ? x[t * frame[CopyX + 2] + i * frame[CopyX + 3]] : 0;
  *(int32_t *)(intptr_t)frame[M] = 2 * *(const int32_t *)(intptr_t)frame[N];
}
