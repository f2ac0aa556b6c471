/*===- seqmix.h - calling a compiled sequence mixer --------------------------------===
 *
 * Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
 *
 *===----------------------------------------------------------------------===
 *
 * What every compiled library shares: status codes, the error text, the options of a call, the
 * number of threads. The functions of a mixer itself (NAME_forward, NAME_step, ...) stand in the
 * header that `seqc --header` writes. docs/abi.md is the reference.
 *
 *===----------------------------------------------------------------------===*/

#ifndef SEQMIX_SEQMIX_H
#define SEQMIX_SEQMIX_H

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SEQ_API __attribute__((visibility("default")))

/** What a call returns; seq_last_error() says why. Nothing has been written unless the status is
 * SEQ_OK. */
enum {
  SEQ_OK = 0,
  SEQ_INVALID_ARGUMENT = 1, /**< a null pointer, or an option that makes no sense */
  SEQ_INVALID_SHAPE = 2,    /**< rank, extents or the sizes that the library was compiled for */
  SEQ_INVALID_DTYPE = 3,
  SEQ_INVALID_DEVICE = 4,
  SEQ_INVALID_LAYOUT = 5,      /**< strides, alignment, or memory that overlaps */
  SEQ_INVALID_SEQLENS = 6,     /**< cu_seqlens */
  SEQ_WORKSPACE_TOO_SMALL = 7, /**< or not aligned */
  SEQ_OUT_OF_MEMORY = 8,
  SEQ_UNSUPPORTED_CPU = 9, /**< the library holds no code that this CPU can run */
  SEQ_OUT_OF_RANGE = 10,   /**< checked call: a NaN, or a value outside its declared range */
  SEQ_UNSUPPORTED = 11, /**< the mixer cannot do this (a step when it looks ahead, for instance) */
  SEQ_DRIVER_ERROR = 12 /**< no driver for the device, no code in the library for it, or the driver
                           refused something; what was launched before may have written outputs */
};

/** Bits of seq_options.flags. */
enum {
  SEQ_CHECKED = 1, /**< verify the declared ranges and look for NaN in every input before anything
                      is computed */
  SEQ_UNSPLIT = 2  /**< never run parts of one sequence at the same time: the same bits for every
                      number of threads and every batch */
};

/** Alignment, in bytes, of a workspace. */
enum { SEQ_WORKSPACE_ALIGN = 64 };

/** The largest rank of a tensor or a component of the carry. */
enum { SEQ_MAX_RANK = 12 };

/**
 * Options of a call; a null pointer stands for all defaults. Start from SEQ_OPTIONS_INIT, which
 * sets `size`, so that a library of another version knows which fields are there.
 */
typedef struct seq_options {
  uint32_t size;  /**< sizeof(seq_options) */
  uint32_t flags; /**< SEQ_CHECKED, SEQ_UNSPLIT */
  /** [sequences + 1], i32 or i64, from 0 to T, not decreasing: packed sequences. Null: every batch
   * element is one. */
  const DLTensor *cu_seqlens;
  /** Components of the carry in the manifest's order; null, or a null entry, starts from the
   * initial value. */
  const DLTensor *const *carry_in;
  /** Where the final carry goes; null, or a null entry, when it is not wanted. May be the tensors
   * of carry_in. */
  DLTensor *const *carry_out;
  int32_t carry_count; /**< entries of carry_in and carry_out; must be NAME_carry_count() when
                          either is given */
  int32_t threads;     /**< at most this many; 0: seq_num_threads() */
  void *workspace; /**< at least NAME_workspace_size() bytes, aligned to 64; null: allocated in the
                      call. Of a library for CUDA: memory of the device, aligned to 256; null only
                      when the size is 0 */
  size_t workspace_bytes;
  void *stream; /**< of a library for CUDA the stream (a CUstream or cudaStream_t) that the call
                   goes into, null for the default stream; else it must be null */
  /** [sequences, pages of a sequence], i32: rows of the carry stand in pages, [pages, other batch
   * dims, rows of a page, features] instead of [batch dims, rows, features], and row n of a
   * sequence in the page that stands here at n / rows of a page. Null: they do not. */
  const DLTensor *pages;
} seq_options;

#define SEQ_OPTIONS_INIT {sizeof(seq_options), 0, NULL, NULL, NULL, 0, 0, NULL, 0, NULL, NULL}

/** One component of the carry: a state, a window of earlier tokens, rows of earlier tokens, or the
 * position. An extent of -1 is for the caller to choose: how many rows there is room for. */
typedef struct seq_component {
  const char *name;
  DLDataType dtype;
  int32_t rank;
  int64_t shape[SEQ_MAX_RANK];
  double init; /**< the value it starts from */
  int32_t
      batch; /**< how many leading dims are batch dims; the rest must be contiguous, row by row */
} seq_component;

/** The text of this thread's last failed call, "" when there is none. Valid until this thread's
 * next call. */
SEQ_API const char *seq_last_error(void);

/** A status as text: "ok", "invalid shape", ... */
SEQ_API const char *seq_status_name(int status);

/** The version of the runtime, "major.minor.patch". */
SEQ_API const char *seq_version(void);

/** How many threads a call uses when its options do not say: SEQMIX_NUM_THREADS, else the CPUs of
 * this process. */
SEQ_API int seq_num_threads(void);

/** Sets that number for the whole process; 0 returns to the default. Not while calls are running.
 */
SEQ_API int seq_set_num_threads(int threads);

#ifdef __cplusplus
}
#endif

#endif /* SEQMIX_SEQMIX_H */
