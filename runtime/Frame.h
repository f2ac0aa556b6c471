//===- Frame.h - what a generated kernel is called with ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A kernel is `void kernel(const int64_t *frame)`. The runtime fills one frame a task; the compiler
// loads what it needs from fixed slots. This file is included by both, so it is the only place
// where the layout stands.
//
//   [0, SEQ_FRAME_FIRST)   the slots below
//   then, for every run-time dim but that of the tokens, as declared:
//       its extent, pointer (64-byte aligned) to (extent + SEQ_SEQUENCE_EDGE) * (bytes a position)
//       of storage; 0 when not needed
//   then, for every input, param and output in declared order (inputs and params, then outputs):
//       pointer to this task's element (batch offsets and, for packed sequences, the start row
//       already applied), stride between the batch elements of a batch block, one stride for each
//       non-batch dim in declared order          (strides in elements)
//       A param over the token dim stands still: its rows are numbered by the position.
//   then, for every component of the carry (states in declared order, then windows):
//       pointer to read from (0: start from the initial value), pointer to write to (0: not
//       wanted), stride between the batch elements of a batch block on each side   (in elements)
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_RUNTIME_FRAME_H
#define SEQMIX_RUNTIME_FRAME_H

enum SeqFrameSlot {
  SEQ_FRAME_TOKENS = 0,      // tokens of this run, >= 0
  SEQ_FRAME_POSITION = 1,    // t of the first token: the carry's position
  SEQ_FRAME_LENGTH = 2,      // the whole length of the sequence, for `T` used as a number
  SEQ_FRAME_SCRATCH = 3,     // pointer, 64-byte aligned, of the plan's scratch size: one a thread
  SEQ_FRAME_SHARED = 4,      // pointer, 64-byte aligned, to what the shared prologue made for this
                             // group; 0 when there is none
  SEQ_FRAME_SEQUENCE = 5,    // pointer, 64-byte aligned, to (tokens + SEQ_SEQUENCE_EDGE) * (bytes a
                             // token) of storage; 0 when not needed
  SEQ_FRAME_BLOCK = 6,       // batch elements of this task, 1 .. batch_block
  SEQ_FRAME_SPLIT_BEGIN = 7, // first element of the split dim
  SEQ_FRAME_SPLIT_COUNT = 8, // its elements in this task, 1 .. split_size
  SEQ_FRAME_HISTORY = 9, // tokens that stand in front of the first one in the tensors themselves (a
                         // later segment of a sequence)
  SEQ_FRAME_PARTS = 10,  // parts that the range of s of pairwise reductions is cut into; 0: none
  SEQ_FRAME_PART = 11,   // the part whose partial results the kernel leaves, doing nothing else, or
                         // SEQ_FRAME_PARTS: it merges those of all parts instead of reducing
  SEQ_FRAME_PARTIAL = 12, // pointer to the partial results: [parts, tokens, bytes a token]
  SEQ_FRAME_PAGES = 13,   // pointer to the numbers (i32) of the pages that the carry's rows stand
                          // in; 0 when all rows stand behind each other. The strides between batch
                          // elements of rows are then those between pages
  SEQ_FRAME_PAGE_ROWS = 14, // rows of a page
  // Tasks that read the same at s (query heads that share keys, say) may be reduced together: their
  // rows t are made one task after the other, in scratch memory, then swept as one.
  SEQ_FRAME_PHASE = 15, // SeqFramePhase
  SEQ_FRAME_ROWS = 16,  // rows that are swept together: of all those tasks, else the tokens. Parts
                        // have so many rows in the partial results
  SEQ_FRAME_FIRST_ROW = 17, // the first of them that is this task's
  SEQ_FRAME_FIRST = 20
};

enum SeqFramePhase {
  SEQ_PHASE_ALL = 0,  // everything that the part is
  SEQ_PHASE_MAKE = 1, // what the reductions read, and the rows of this task
  SEQ_PHASE_SWEEP = 2 // the reductions of all rows that were made
};

// Rows of the storage of a sequence, or of another run-time dim, beside those of the tokens: what
// is read in front of the first token and behind the last one.
enum { SEQ_SEQUENCE_EDGE = 64 };

// Kernels of a GPU are launched once for all tasks of a call, so their frame has no pointers and no
// offsets of a task: a block finds out which task it is from its number and the extents here, and
// adds the strides. Pointers are arguments of their own (SeqArgument). The frame is one argument by
// value, an array of int64:
//
//   [0, SEQ_DEVICE_FIRST)   the slots below
//   then, for every dim in declared order, its extent. Of packed sequences the first batch dim is
//       their number, the token dim all of their tokens
//   then, for every tensor in the order of the descriptor, the stride of each of its axes
//   then, for every component of the carry (the position, too) the strides of its axes, first on
//       the side that is read, then on the side that is written; 0 where a side is not given
//
// Strides are in elements, in the order of the buffer; an axis of extent 1 has stride 0 (1 when it
// is the last one, as has the token axis in a step).

enum SeqDeviceSlot {
  SEQ_DEVICE_SEGMENTS = 0,       // segments that each sequence is cut into, at least 1
  SEQ_DEVICE_SEQLENS_BITS = 1,   // 32 or 64; 0: sequences are not packed
  SEQ_DEVICE_SEQLENS_STRIDE = 2, // in elements
  SEQ_DEVICE_PAGE_STRIDE = 3,    // between the lines of the table of pages, in elements; 0: none
  SEQ_DEVICE_PAGE_ROWS = 4,      // rows of a page
  SEQ_DEVICE_FIRST = 8
};

// Of all arguments of a kernel together: what every driver takes.
enum { SEQ_DEVICE_ARGUMENT_BYTES = 4096 };

// Alignment of a region of the workspace, which is that of the driver's allocations.
enum { SEQ_REGION_ALIGN = 256 };

#endif // SEQMIX_RUNTIME_FRAME_H
