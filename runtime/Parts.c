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
// Tasks that read the same at s, as those of query heads that share keys do, are reduced together
// when they have few rows: what s brings then comes from memory once. Each makes its rows in the
// thread's scratch memory, all are swept, and in the second phase each takes its own.
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

// How many tasks along the last batch dim are reduced together.
static int64_t chooseGroup(const SeqCall *call) {
  const SeqKernel *kernel = call->kernel;
  if (kernel->group <= 1 || kernel->partial_bytes == 0 || call->batchDims < 2 || call->longest == 0)
    return 1;
  int64_t extent = call->extent[call->batchDims - 1], most = kernel->group_rows / call->longest;
  most = most < extent ? most : extent;
  if (most < 2)
    return 1;
  if (kernel->group >= extent) {
    int64_t groups = (extent + most - 1) / most;
    return (extent + groups - 1) / groups;
  }
  most = most < kernel->group ? most : kernel->group;
  while (kernel->group % most)
    --most;
  return most;
}

// A sequence that reaches few positions is not worth the further calls of the kernel.
static bool isGrouped(const SeqCall *call, const SeqPartPlan *plan, int64_t sequence) {
  return plan->group > 1 && reachOf(call, sequence) >= LEAST_COLUMNS;
}

// Decides into how many parts the longest range is cut. Without `exact`, for all calls up to these
// extents, at any position.
static void chooseParts(const SeqCall *call, bool exact, SeqPlan *plan) {
  SeqPartPlan *parts = &plan->parts;
  parts->most = 1;
  parts->columns = 0;
  parts->group = chooseGroup(call);
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
  tasks /= (double)parts->group;
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
  const SeqKernel *kernel = call->kernel;
  bool mayGroup = !exact && kernel->group > 1 && call->batchDims >= 2;
  parts->split = parts->most > 1 || parts->group > 1 || mayGroup;
  if (!parts->split)
    return;
  int64_t each = seqMultiply(size, plan->otherBatch, plan->own.splits);
  int64_t rows = call->seqlens ? call->tokens : seqMultiply(size, call->sequences, call->tokens);
  if (parts->columns >= 0) {
    rows = seqMultiply(size, seqMultiply(size, rows, each), parts->most);
  } else {
    // The tasks of all sequences together have as many parts as there are threads at most, unless
    // their number is given; those of groups count once.
    rows = call->longest < MOST_TOKENS ? call->longest : MOST_TOKENS;
    rows = seqMultiply(size, rows, parts->most);
    if (mayGroup) {
      int64_t tokens = kernel->group_rows / 2;
      tokens = tokens < call->longest ? tokens : call->longest;
      int64_t all = seqMultiply(size, seqMultiply(size, call->sequences, each), tokens);
      int64_t cut = seqMultiply(size, parts->most, kernel->group_rows);
      rows = rows > all ? rows : all;
      rows = rows > cut ? rows : cut;
    }
  }
  parts->partialAt = seqReserve(size, seqMultiply(size, rows, kernel->partial_bytes));
}

// Some tasks of a unit, neighbours along the last batch dim.
typedef struct Group {
  SeqUnit unit;
  int64_t first, count;
} Group;

// Groups of a unit.
static int64_t groupsEach(const SeqRun *run) {
  int64_t group = run->plan->parts.group, each = seqTasksEach(run);
  if (group == 1)
    return each;
  int64_t extent = run->call->extent[run->call->batchDims - 1];
  return each / extent * ((extent + group - 1) / group);
}

static Group groupAt(const SeqRun *run, int64_t number) {
  int64_t group = run->plan->parts.group, each = groupsEach(run);
  SeqUnit unit = seqUnitAt(run, number / each);
  number %= each;
  if (group == 1)
    return (Group){unit, number, 1};
  int64_t extent = run->call->extent[run->call->batchDims - 1];
  int64_t groups = (extent + group - 1) / group, begin = number % groups * group;
  int64_t left = extent - begin;
  return (Group){unit, number / groups * extent + begin, left < group ? left : group};
}

// A task with its place in the partial results.
static SeqTask taskAt(const SeqRun *run, SeqUnit unit, int64_t number, int64_t parts) {
  SeqTask task = seqTaskOf(run, unit, number);
  int64_t rows = run->call->seqlens ? task.startRow : unit.first * task.tokens;
  int64_t before = rows * seqTasksEach(run) + number * task.tokens;
  task.parts = parts;
  task.partial = run->workspace + run->plan->parts.partialAt +
                 before * run->plan->parts.most * run->kernel->partial_bytes;
  return task;
}

static void runTask(const SeqRun *run, const SeqTask *task, int32_t thread) {
  run->kernel->forward(seqFillFrame(run, task, thread));
}

static void reducePart(void *context, int64_t number, int32_t thread) {
  const SeqRun *run = context;
  const SeqPartPlan *plan = &run->plan->parts;
  int64_t part = number % plan->most;
  Group group = groupAt(run, number / plan->most);
  int64_t parts = seqPartsOf(run->call, plan, group.unit.first);
  if (!seqTakes(run->call, group.unit.first) || part >= parts)
    return; // there is no such part
  bool isOne = isGrouped(run->call, plan, group.unit.first);
  for (int64_t i = 0; i < group.count; ++i) {
    SeqTask task = taskAt(run, group.unit, group.first + i, isOne || parts > 1 ? parts : 0);
    task.part = part; // what is not cut is done here
    if (isOne) {
      task.phase = SEQ_PHASE_MAKE;
      task.rows = group.count * task.tokens;
      task.firstRow = i * task.tokens;
    }
    runTask(run, &task, thread);
  }
  if (!isOne)
    return;
  SeqTask task = taskAt(run, group.unit, group.first, parts);
  task.part = part;
  task.phase = SEQ_PHASE_SWEEP;
  task.rows = group.count * task.tokens;
  runTask(run, &task, thread);
}

static void mergeParts(void *context, int64_t number, int32_t thread) {
  const SeqRun *run = context;
  const SeqPartPlan *plan = &run->plan->parts;
  int64_t each = seqTasksEach(run);
  SeqUnit unit = seqUnitAt(run, number / each);
  number %= each;
  int64_t parts = seqPartsOf(run->call, plan, unit.first);
  bool isOne = isGrouped(run->call, plan, unit.first);
  if (!seqTakes(run->call, unit.first) || (parts == 1 && !isOne))
    return;
  SeqTask task = taskAt(run, unit, number, parts);
  task.part = parts;
  if (isOne) {
    int64_t extent = run->call->extent[run->call->batchDims - 1];
    int64_t place = number % extent % plan->group, begin = number % extent - place;
    int64_t left = extent - begin, count = left < plan->group ? left : plan->group;
    task.partial = taskAt(run, unit, number - place, parts).partial +
                   place * task.tokens * run->kernel->partial_bytes;
    task.rows = count * task.tokens;
  }
  runTask(run, &task, thread);
}

void seqRunParts(const SeqRun *run, int64_t tasks) {
  int64_t groups = tasks / seqTasksEach(run) * groupsEach(run);
  seqRunTasks(reducePart, (void *)run, groups * run->plan->parts.most, run->plan->threads);
  seqRunTasks(mergeParts, (void *)run, tasks, run->plan->threads);
}
