//===- Parts.c - parts of the positions that pairs are reduced over ---------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A call over pairs (t, s) that has fewer tasks than threads, as a step of a small batch has, cuts
// the range of s. In a first phase a task runs once for each part and leaves the maximum and the
// sums of its rows; in a second phase it merges them, and does everything else. Where s is cut is
// the kernel's affair: it knows the domain. How many parts a sequence has follows from the lengths
// and extents of the call and its number of threads, never from where it stands in the batch.
//
//===----------------------------------------------------------------------===//

#include "runtime/Run.h"

// Fewer positions than this are not worth a task.
enum { LEAST_COLUMNS = 256 };
// Longer sequences are not cut: what parts leave for each row would make the workspace grow.
enum { MOST_TOKENS = 8192 };

// Positions s that the last token of a sequence may look at. Rows that a window keeps bound them.
static int64_t reachOf(const SeqCall *call, int64_t sequence) {
  int64_t tokens = seqTokens(call, sequence), past = 0;
  int64_t position = seqPosition(call, sequence);
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *part = &call->mixer->components[i];
    if (part->kind != SEQ_CARRY_ROWS)
      continue;
    int64_t held = part->window > 0 && part->window < position ? part->window : position;
    past = held > past ? held : past;
  }
  return past + tokens;
}

int64_t seqPartsOf(const SeqCall *call, const SeqPartPlan *plan, int64_t sequence) {
  if (plan->columns == 0)
    return plan->most;
  int64_t parts = (reachOf(call, sequence) + plan->columns - 1) / plan->columns;
  return parts < 1 ? 1 : parts < plan->most ? parts : plan->most;
}

// Decides into how many parts the longest range is cut. Without `exact`, for all calls up to these
// extents, at any position.
static void chooseParts(const SeqCall *call, bool exact, SeqPlan *plan) {
  SeqPartPlan *parts = &plan->parts;
  parts->most = 1;
  parts->columns = 0;
  if (call->kernel->partial_bytes == 0 || call->longest == 0 ||
      (call->options && (call->options->flags & SEQ_UNSPLIT)))
    return;
  int64_t forced = seqEnvironmentNumber("SEQMIX_PARTS", 1 << 16, 0);
  if (forced > 0) {
    parts->most = forced;
    return;
  }
  if (!exact) {
    parts->most = plan->threads;
    parts->columns = -1; // they follow from the positions
    return;
  }
  if (call->longest > MOST_TOKENS)
    return;
  int64_t longest = 0;
  for (int64_t i = 0; i < call->sequences; ++i) {
    int64_t reach = reachOf(call, i);
    longest = reach > longest ? reach : longest;
  }
  double tasks = seqWholeSequences(call) * (double)plan->otherBatch * (double)plan->own.splits;
  double most = (double)longest / (double)LEAST_COLUMNS;
  double each = tasks > 0 ? seqUsefulThreads(call, plan->threads) / tasks : 1;
  each = each < most ? each : most;
  if (each < 2)
    return;
  parts->most = (int64_t)each;
  parts->columns = (longest + parts->most - 1) / parts->most;
}

void seqPlanParts(const SeqCall *call, bool exact, SeqSize *size, SeqPlan *plan) {
  chooseParts(call, exact, plan);
  SeqPartPlan *parts = &plan->parts;
  parts->split = parts->most > 1;
  if (!parts->split)
    return;
  // The tasks of all sequences together have as many parts as there are threads at most, unless
  // their number is given.
  int64_t rows = call->seqlens ? call->tokens : seqMultiply(size, call->sequences, call->tokens);
  if (parts->columns < 0)
    rows = call->longest < MOST_TOKENS ? call->longest : MOST_TOKENS;
  else
    rows = seqMultiply(size, rows, seqMultiply(size, plan->otherBatch, plan->own.splits));
  int64_t bytes = seqMultiply(size, parts->most, call->kernel->partial_bytes);
  parts->partialAt = seqReserve(size, seqMultiply(size, rows, bytes));
}

typedef struct Phase {
  const SeqRun *run;
  bool merges;
} Phase;

static void runPart(void *context, int64_t number, int32_t thread) {
  const Phase *phase = context;
  const SeqRun *run = phase->run;
  const SeqPartPlan *plan = &run->plan->parts;
  int64_t part = phase->merges ? 0 : number % plan->most, each = seqTasksEach(run);
  number = phase->merges ? number : number / plan->most;
  SeqUnit unit = seqUnitAt(run, number / each);
  number %= each;
  int64_t parts = seqPartsOf(run->call, plan, unit.first);
  if (!seqTakes(run->call, unit.first) || (parts == 1 ? phase->merges || part > 0 : part >= parts))
    return; // there is no such part; what is not cut is done in the first phase
  SeqTask task = seqTaskOf(run, unit, number);
  if (parts > 1) {
    int64_t rows = run->call->seqlens ? task.startRow : unit.first * task.tokens;
    int64_t before = rows * each + number * task.tokens;
    task.parts = parts;
    task.part = phase->merges ? parts : part;
    task.partial =
        run->workspace + plan->partialAt + before * plan->most * run->kernel->partial_bytes;
  }
  run->kernel->forward(seqFillFrame(run, &task, thread));
}

void seqRunParts(const SeqRun *run, int64_t tasks) {
  Phase reduce = {run, false}, merge = {run, true};
  seqRunTasks(runPart, &reduce, tasks * run->plan->parts.most, run->plan->threads);
  seqRunTasks(runPart, &merge, tasks, run->plan->threads);
}
