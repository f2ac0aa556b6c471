//===- Run.h - tasks and their frames ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Private to Run.c, Frames.c, Parts.c and Segments.c.

#ifndef SEQMIX_RUNTIME_RUN_H
#define SEQMIX_RUNTIME_RUN_H

#include "runtime/Call.h"

/// Some tokens of one sequence. Segments are numbered in the direction of the states.
typedef struct SeqSegment {
  int64_t begin, tokens;
  int64_t border; // number of the border in front of it; that behind it is the next
  int32_t sequence;
  int32_t number;
  bool last;   // of its sequence
  bool hasEnd; // it holds the last token
} SeqSegment;

/// One kernel of a call: the mixer's own or its summary's.
typedef struct SeqRun {
  const SeqCall *call;
  const SeqPlan *plan;
  char *workspace;
  const SeqMixer *mixer;
  const SeqKernel *kernel;
  const SeqGrid *grid;
  const SeqUnit *units;     // null: units of `block` elements in order
  const SeqView *read;      // by component of the mixer that is called
  const SeqView *border;    // by component of the summary, in border 0
  const int32_t *component; // of a summary: the mixer's component for each of its own; else null
} SeqRun;

/// What one task computes: some elements of the first batch dim, one of each other, one tile of the
/// split dim, some tokens.
typedef struct SeqTask {
  SeqUnit unit;
  int64_t at[SEQ_MAX_DIMS]; // coordinate in every batch dim; that of the first is the unit's first
                            // element
  int64_t split;
  int64_t tokens;
  int64_t startRow;
  int64_t position;          // of the first token
  int64_t length;            // position behind the last token of the sequence
  int64_t history;           // tokens in front of the first one in the tensors
  int64_t group;             // of what the shared kernel made
  const SeqSegment *segment; // null: a whole sequence
  int64_t parts, part;       // as in the frame
  char *partial;
  int64_t phase, rows, firstRow; // likewise; rows 0: the tokens
} SeqTask;

/// Fills the frame of a thread for a task and returns it.
const int64_t *seqFillFrame(const SeqRun *run, const SeqTask *task, int32_t thread);

/// The `number`-th of the tasks of some elements of the first batch dim: their part of the other
/// batch dims and of the split dim.
SeqTask seqTaskOf(const SeqRun *run, SeqUnit unit, int64_t number);

/// Tasks of one element (or block) of the first batch dim.
int64_t seqTasksEach(const SeqRun *run);

/// The `place`-th of the units.
SeqUnit seqUnitAt(const SeqRun *run, int64_t place);

/// Runs each of the tasks for the parts of its range of s, and then merges them.
void seqRunParts(const SeqRun *run, int64_t tasks);

/// Makes what the tasks of a kernel share.
void seqRunShared(const SeqRun *run);

/// Runs the sequences of a call as segments. `units` in the order in which they are to be started.
void seqRunSegments(const SeqRun *own, const SeqUnit *units);

#endif // SEQMIX_RUNTIME_RUN_H
