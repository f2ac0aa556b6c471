//===- Segments.c - parts of one sequence at the same time ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A call that has fewer tasks than threads cuts its long sequences. With q threads for a task, a
// sequence becomes a first segment and q later ones of L tokens. In a first phase the first segment
// goes through the mixer's kernel, and the summaries of the later ones but the last are made; a
// summary costs r of the kernel's work for a token, so the first segment has r L tokens. Then the
// states at the borders follow from each other, and in a second phase the later segments go through
// the kernel. One thread takes (q + r) L for the same tokens, so this is (q + r) / (1 + r) times
// as fast.
//
// Where products of transitions grow, the states behind a segment would be differences of large
// numbers, though token by token they need not be large. A product above a small bound, or one that
// is no number (the compiler makes those that may grow so), is not used: from that segment on the
// sequence runs in one piece.
//
// Where a sequence is cut depends on lengths, extents and the number of threads of the call, and on
// its own values, never on where it stands in the batch.
//
//===----------------------------------------------------------------------===//

#include "runtime/Run.h"

// Fewer tokens than this are not worth a task with its own initial and final state.
enum { LEAST_TOKENS = 256 };
// The largest product of transitions that is used.
enum { SEQ_MOST_PRODUCT = 16 };

const SeqKernel *seqSummaryKernel(const SeqCall *call) {
  return &call->mixer->summary->mixer->kernels[call->kernel - call->mixer->kernels];
}

//===----------------------------------------------------------------------===//
// Where sequences are cut
//===----------------------------------------------------------------------===//

double seqWholeSequences(const SeqCall *call) {
  return call->seqlens ? (double)call->tokens / (double)call->longest : (double)call->sequences;
}

int64_t seqLaterSegments(const SeqSegmentPlan *plan, int64_t tokens) {
  if (plan->tokens == 0)
    return tokens - 1 < plan->most ? (tokens > 0 ? tokens - 1 : 0) : plan->most;
  int64_t count = (tokens - plan->least) / plan->tokens;
  return tokens < plan->least ? 0 : count < plan->most ? count : plan->most;
}

// Tokens in front of a segment in the direction of the states; for one behind the last all.
static int64_t segmentBegin(const SeqSegmentPlan *plan, int64_t tokens, int64_t later,
                            int64_t number) {
  if (plan->tokens == 0) {
    int64_t each = tokens / (later + 1), rest = tokens % (later + 1);
    return each * number + (number < rest ? number : rest);
  }
  return number == 0 ? 0 : tokens - (later + 1 - number) * plan->tokens;
}

// The tokens of a segment for which `q` threads a sequence do equal work in both phases.
static int64_t balancedTokens(int64_t longest, int64_t q, double work) {
  return (int64_t)((double)longest / ((double)q + work));
}

// Decides how the longest sequence is cut. Without `exact` for all calls up to these extents.
static void chooseSegments(const SeqCall *call, bool exact, SeqPlan *plan) {
  SeqSegmentPlan *segments = &plan->segments;
  const SeqSummary *summary = call->mixer->summary;
  segments->split = false;
  if (call->step || !summary || call->longest < 2 ||
      (call->options && (call->options->flags & SEQ_UNSPLIT)))
    return;
  int64_t forced = seqEnvironmentNumber("SEQMIX_SEGMENTS", 1 << 20, 0);
  if (forced > 0) {
    segments->split = forced > 1;
    segments->most = forced - 1;
    segments->tokens = 0;
    segments->least = 1;
    return;
  }
  int32_t threads = exact ? seqUsefulThreads(call, plan->threads) : plan->threads;
  double tasks =
      exact ? seqWholeSequences(call) * (double)plan->otherBatch * (double)plan->own.splits : 1;
  if (tasks <= 0)
    return;
  double most = (double)call->longest / LEAST_TOKENS - summary->work;
  double q = threads / tasks < most ? threads / tasks : most;
  if (q < 2)
    return;
  segments->split = true;
  segments->most = (int64_t)q;
  segments->tokens = balancedTokens(call->longest, segments->most, summary->work);
  int64_t least = (int64_t)((double)segments->tokens * summary->work / 2);
  segments->least = least > 1 ? least : 1;
}

static bool isFirstBatch(const SeqMixer *mixer, const SeqAxis *axis) {
  return axis->dim == 0 && seqHasBatch(mixer);
}

// Borders are laid out as a summary's components without the first batch dim.
static void planBorder(const SeqCall *call, SeqSize *size, SeqSegmentPlan *segments) {
  const SeqMixer *mixer = call->mixer->summary->mixer;
  SeqSize border = {0, false};
  for (int32_t i = 0; i < mixer->component_count; ++i) {
    const SeqComponent *component = &mixer->components[i];
    if (component->kind != SEQ_CARRY_STATE)
      continue;
    int64_t bytes = seqTypeBytes(component->dtype);
    for (int32_t axis = 0; axis < component->rank; ++axis)
      if (!isFirstBatch(mixer, &component->axes[axis]))
        bytes = seqMultiply(size, bytes, seqAxisExtent(call, &component->axes[axis]));
    segments->componentAt[i] = seqReserve(&border, bytes);
  }
  segments->borderBytes = border.value;
  size->overflow |= border.overflow;
}

// Counts segments and borders; without `exact` no fewer than any call up to these extents has.
static void countSegments(const SeqCall *call, bool exact, SeqSize *size, SeqPlan *plan) {
  SeqSegmentPlan *segments = &plan->segments;
  if (exact) {
    segments->borders = 0;
    for (int64_t i = 0; i < call->sequences; ++i)
      segments->borders += seqLaterSegments(segments, seqTokens(call, i));
  } else if (segments->tokens == 0) {
    segments->borders = seqMultiply(size, call->sequences, segments->most);
  } else {
    // Those of all sequences together: there are threads / tasks times (q + r) / q at most, with q
    // at least 2, and rounding L down adds a little. A call with fewer heads has more of them, each
    // smaller by as much.
    segments->borders = (int64_t)((1.0 + 1.0 / LEAST_TOKENS) * plan->threads *
                                  (1 + call->mixer->summary->work / 2)) +
                        1;
  }
  size->overflow |= __builtin_add_overflow(call->sequences, segments->borders, &segments->segments);
}

void seqPlanSegments(const SeqCall *call, bool exact, SeqSize *size, SeqPlan *plan) {
  SeqSegmentPlan *segments = &plan->segments;
  chooseSegments(call, exact, plan);
  if (!segments->split)
    return;
  countSegments(call, exact, size, plan);
  if (exact && segments->borders == 0) {
    segments->split = false;
    return;
  }
  planBorder(call, size, segments);
  segments->segmentsAt =
      seqReserve(size, seqMultiply(size, segments->segments, (int64_t)sizeof(SeqSegment)));
  segments->summariesAt =
      seqReserve(size, seqMultiply(size, segments->borders, (int64_t)sizeof(int64_t)));
  segments->bordersAt =
      seqReserve(size, seqMultiply(size, segments->borders, segments->borderBytes));
}

//===----------------------------------------------------------------------===//
// Segments as tasks
//===----------------------------------------------------------------------===//

typedef struct Phases {
  const SeqRun *own, *summary;
  const SeqSegment *first;  // the first segments of all sequences
  SeqSegment *later;        // the others; the i-th starts from border i
  const int64_t *summaries; // which of them have a summary
  int64_t firsts;
} Phases;

static void runSegment(const SeqRun *run, const SeqSegment *segment, int64_t number,
                       int32_t thread) {
  SeqTask task = seqTaskOf(run, (SeqUnit){segment->sequence, 1}, number);
  task.tokens = segment->tokens;
  task.startRow += segment->begin;
  task.position += segment->begin;
  task.history = segment->begin;
  task.segment = segment;
  run->kernel->forward(seqFillFrame(run, &task, thread));
}

// First segments and summaries.
static void runFirstPhase(void *context, int64_t number, int32_t thread) {
  const Phases *phases = context;
  int64_t each = seqTasksEach(phases->own);
  if (number < phases->firsts * each) {
    runSegment(phases->own, &phases->first[number / each], number % each, thread);
    return;
  }
  number -= phases->firsts * each;
  each = seqTasksEach(phases->summary);
  runSegment(phases->summary, &phases->later[phases->summaries[number / each]], number % each,
             thread);
}

static void runSecondPhase(void *context, int64_t number, int32_t thread) {
  const Phases *phases = context;
  int64_t each = seqTasksEach(phases->own);
  const SeqSegment *segment = &phases->later[number / each];
  if (segment->tokens > 0) // it was not joined to one in front of it
    runSegment(phases->own, segment, number % each, thread);
}

// Lists the segments, first ones in front, in the order of the units. Returns how many summaries
// there are.
static int64_t listSegments(const SeqRun *run, const SeqUnit *units, SeqSegment *list,
                            int64_t *summaries) {
  const SeqCall *call = run->call;
  const SeqSegmentPlan *plan = &run->plan->segments;
  SeqSegment *later = list + call->sequences;
  int64_t border = -1, laters = 0, count = 0;
  for (int64_t i = 0; i < call->sequences; ++i) {
    int32_t sequence = units[i].first;
    int64_t tokens = seqTokens(call, sequence), most = seqLaterSegments(plan, tokens);
    for (int64_t number = 0; number <= most; ++number) {
      SeqSegment segment = {.begin = segmentBegin(plan, tokens, most, number),
                            .border = border + number,
                            .sequence = sequence,
                            .number = (int32_t)number,
                            .last = number == most};
      segment.tokens = segmentBegin(plan, tokens, most, number + 1) - segment.begin;
      if (call->mixer->summary->backward)
        segment.begin = tokens - segment.begin - segment.tokens;
      segment.hasEnd = segment.begin + segment.tokens == tokens;
      if (number == 0) {
        list[i] = segment;
        continue;
      }
      if (!segment.last)
        summaries[count++] = laters;
      later[laters++] = segment;
    }
    border += most;
  }
  return count;
}

//===----------------------------------------------------------------------===//
// From border to border
//===----------------------------------------------------------------------===//

// What a factor's strides are along the axes of a state.
static void factorStrides(const SeqRun *summary, const SeqComponent *state, int32_t factor,
                          uint32_t places, int64_t *strides) {
  const SeqComponent *component = &summary->mixer->components[factor];
  const SeqView *view = &summary->border[factor];
  int32_t next = 0; // own axis of the factor
  while (next < component->rank && component->axes[next].slot < 0)
    ++next;
  for (int32_t i = 0; i < state->rank; ++i) {
    if (state->axes[i].slot < 0)
      strides[i] = view->stride[i]; // all states have the same batch axes
    else
      strides[i] = places >> state->axes[i].slot & 1 ? view->stride[next++] : 0;
  }
}

// to += factor * factor2 * from, for a line of elements.
static void addLineF32(float *to, const float *from, const float *a, int64_t aStride,
                       const float *b, int64_t bStride, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    to[i] += a[i * aStride] * b[i * bStride] * from[i];
}

static void addLineF64(double *to, const double *from, const double *a, int64_t aStride,
                       const double *b, int64_t bStride, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    to[i] += a[i * aStride] * b[i * bStride] * from[i];
}

// Adds one transition's part to the states at a border, from those at the border in front of it.
static void addTransition(const SeqRun *summary, const SeqTransition *transition, char *border,
                          const char *before) {
  static const float one32 = 1;
  static const double one64 = 1;
  const SeqComponent *state = &summary->mixer->components[transition->to];
  const SeqView *view = &summary->border[transition->to];
  int64_t bytes = seqTypeBytes(state->dtype), strides[2][SEQ_MAX_RANK] = {{0}};
  const int64_t *at = summary->plan->segments.componentAt;
  const char *factors[2];
  for (int i = 0; i < 2; ++i) {
    int32_t factor = transition->factors[i];
    factors[i] = state->dtype == SEQ_F64 ? (const char *)&one64 : (const char *)&one32;
    if (factor < 0)
      continue;
    factors[i] = border + at[factor];
    factorStrides(summary, state, factor, transition->places[i], strides[i]);
  }
  int32_t inner = state->rank - 1; // there is a batch axis or an own one, or a single element
  int64_t line = inner >= 0 ? view->extent[inner] : 1, lines = 1;
  for (int32_t i = 0; i < inner; ++i)
    lines *= view->extent[i];
  for (int64_t number = 0; number < lines; ++number) {
    int64_t rest = number, offset[2] = {0, 0};
    for (int32_t i = inner - 1; i >= 0; --i) {
      int64_t place = rest % view->extent[i];
      rest /= view->extent[i];
      offset[0] += place * strides[0][i];
      offset[1] += place * strides[1][i];
    }
    char *to = border + at[transition->to] + number * line * bytes;
    const char *from = before + at[transition->from] + number * line * bytes;
    const char *a = factors[0] + offset[0] * bytes, *b = factors[1] + offset[1] * bytes;
    int64_t aStride = inner >= 0 ? strides[0][inner] : 0;
    int64_t bStride = inner >= 0 ? strides[1][inner] : 0;
    if (state->dtype == SEQ_F64)
      addLineF64((double *)(void *)to, (const double *)(const void *)from,
                 (const double *)(const void *)a, aStride, (const double *)(const void *)b, bStride,
                 line);
    else
      addLineF32((float *)(void *)to, (const float *)(const void *)from,
                 (const float *)(const void *)a, aStride, (const float *)(const void *)b, bStride,
                 line);
  }
}

// Whether no element of a product is large or no number: what it is multiplied with may be canceled
// in the segment, and then the sum has no correct digit.
static bool isBounded(const SeqRun *summary, int32_t factor, const char *border) {
  const SeqComponent *component = &summary->mixer->components[factor];
  const SeqView *view = &summary->border[factor];
  const char *data = border + summary->plan->segments.componentAt[factor];
  int64_t count = 1;
  for (int32_t axis = 0; axis < component->rank; ++axis)
    count *= view->extent[axis];
  bool bounded = true;
  for (int64_t i = 0; i < count; ++i) {
    double value = component->dtype == SEQ_F64 ? ((const double *)(const void *)data)[i]
                                               : (double)((const float *)(const void *)data)[i];
    bounded &= value >= -SEQ_MOST_PRODUCT && value <= SEQ_MOST_PRODUCT;
  }
  return bounded;
}

static bool hasBoundedProducts(const SeqRun *summary, const char *border) {
  const SeqSummary *of = summary->call->mixer->summary;
  for (int32_t j = 0; j < of->transition_count; ++j)
    for (int i = 0; i < 2; ++i)
      if (of->transitions[j].factors[i] >= 0 &&
          !isBounded(summary, of->transitions[j].factors[i], border))
        return false;
  return true;
}

// Makes one segment of a later one and of all behind it.
static void joinRest(const Phases *phases, SeqSegment *from, int64_t count) {
  const SeqCall *call = phases->own->call;
  int64_t tokens = seqTokens(call, from->sequence), end = from->begin + from->tokens;
  if (call->mixer->summary->backward)
    from->begin = 0;
  else
    end = tokens;
  from->tokens = end - from->begin;
  from->hasEnd = end == tokens;
  from->last = true;
  for (int64_t i = 1; i < count; ++i)
    from[i].tokens = 0;
}

// The borders of one sequence, one after the other. The first one is there already: the states
// behind the first segment.
static void joinBorders(void *context, int64_t number, int32_t thread) {
  (void)thread;
  const Phases *phases = context;
  const SeqRun *run = phases->summary;
  const SeqSegmentPlan *plan = &run->plan->segments;
  const SeqSegment *first = &phases->first[number];
  const SeqSummary *summary = run->call->mixer->summary;
  int64_t later = seqLaterSegments(plan, seqTokens(run->call, first->sequence));
  for (int64_t i = 1; i < later; ++i) {
    char *border = run->workspace + plan->bordersAt + (first->border + 1 + i) * plan->borderBytes;
    if (!hasBoundedProducts(run, border)) {
      joinRest(phases, &phases->later[first->border + i], later + 1 - i);
      return;
    }
    for (int32_t j = 0; j < summary->transition_count; ++j)
      addTransition(run, &summary->transitions[j], border, border - plan->borderBytes);
  }
}

// The components of border 0: rows of compact elements, the same for every sequence.
static void viewBorder(const SeqCall *call, const SeqPlan *plan, char *workspace, SeqView *views) {
  const SeqMixer *mixer = call->mixer->summary->mixer;
  for (int32_t i = 0; i < mixer->component_count; ++i) {
    const SeqComponent *component = &mixer->components[i];
    SeqView *view = &views[i];
    *view = (SeqView){.present = component->kind == SEQ_CARRY_STATE, .rank = component->rank};
    view->data = workspace + plan->segments.bordersAt + plan->segments.componentAt[i];
    int64_t stride = 1;
    for (int32_t axis = component->rank - 1; axis >= 0; --axis) {
      bool first = isFirstBatch(mixer, &component->axes[axis]);
      view->extent[axis] = first ? 1 : seqAxisExtent(call, &component->axes[axis]);
      view->stride[axis] = first ? 0 : stride;
      stride *= view->extent[axis];
    }
  }
}

//===----------------------------------------------------------------------===//
// The call
//===----------------------------------------------------------------------===//

void seqRunSegments(const SeqRun *called, const SeqUnit *units) {
  const SeqCall *call = called->call;
  const SeqPlan *plan = called->plan;
  const SeqSummary *summary = call->mixer->summary;
  SeqView border[SEQ_MAX_COMPONENTS];
  viewBorder(call, plan, called->workspace, border);
  SeqRun own = *called, made = *called;
  own.border = made.border = border;
  made.mixer = summary->mixer;
  made.kernel = seqSummaryKernel(call);
  made.grid = &plan->summary;
  made.component = summary->components;

  SeqSegment *list = (SeqSegment *)(void *)(called->workspace + plan->segments.segmentsAt);
  int64_t *summaries = (int64_t *)(void *)(called->workspace + plan->segments.summariesAt);
  int64_t count = listSegments(called, units, list, summaries);
  Phases phases = {.own = &own,
                   .summary = &made,
                   .first = list,
                   .later = list + call->sequences,
                   .summaries = summaries,
                   .firsts = call->sequences};
  if (count > 0)
    seqRunShared(&made);
  seqRunTasks(runFirstPhase, &phases,
              phases.firsts * seqTasksEach(&own) + count * seqTasksEach(&made), plan->threads);
  if (count > 0)
    seqRunTasks(joinBorders, &phases, phases.firsts, plan->threads);
  seqRunTasks(runSecondPhase, &phases, plan->segments.borders * seqTasksEach(&own), plan->threads);
}
