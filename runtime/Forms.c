//===- Forms.c - which form of a mixer a sequence takes ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Where pairs of positions read rows that are kept in the carry instead of what is made from them,
// the weights are multiplied once for each position t of the call, and a pair takes more products.
// The expanded form makes what pairs read, once for each position s: those of the call and, from
// the rows in the carry, those of earlier calls. Which of the two takes fewer products follows from
// the position and the tokens of a sequence alone, so a sequence has the same bits in every slot
// and for every number of threads.
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

// What is made of earlier positions is kept in the memory of a thread: no more than this.
enum { MOST_EARLIER_BYTES = 1 << 26 };

// Earlier positions whose rows the carry holds; all, or those of a window.
static int64_t heldPositions(const SeqMixer *mixer, int64_t position) {
  int64_t held = 0;
  for (int32_t i = 0; i < mixer->component_count; ++i) {
    const SeqComponent *part = &mixer->components[i];
    if (part->kind != SEQ_CARRY_ROWS)
      continue;
    int64_t rows = part->window > 0 && part->window < position ? part->window : position;
    held = rows > held ? rows : held;
  }
  return held;
}

// Pairs of the tokens with positions up to theirs, of which a window may hold the last.
static double pairsOf(const SeqMixer *mixer, int64_t position, int64_t tokens) {
  int64_t longest = position + tokens, window = heldPositions(mixer, longest);
  // Tokens in front of the first one that has a whole window.
  int64_t growing = window > position ? window - position : 0;
  growing = growing < tokens ? growing : tokens;
  double each = (double)position + ((double)growing + 1) / 2;
  return (double)growing * each + (double)(tokens - growing) * (double)window;
}

static const SeqKernel *expandedKernel(const SeqCall *call) {
  return &call->whole->expanded->mixer->kernels[call->kernel - call->mixer->kernels];
}

int32_t seqFormFor(const SeqCall *call, int64_t position, int64_t tokens) {
  const SeqExpanded *expanded = call->whole->expanded;
  if (!expanded)
    return SEQ_FORM_OWN;
  int64_t held = heldPositions(call->whole, position);
  if (position > 0) {
    const SeqKernel *kernel = expandedKernel(call);
    if (!(kernel->flags & SEQ_KERNEL_EARLIER))
      return SEQ_FORM_OWN;
    if (call->forcedForm >= 0)
      return call->forcedForm;
    if (kernel->sequence_bytes > 0 && held > MOST_EARLIER_BYTES / kernel->sequence_bytes)
      return SEQ_FORM_OWN;
  }
  double pairs = pairsOf(call->whole, position, tokens), rows = (double)tokens;
  const SeqWork *own = &expanded->own, *work = &expanded->work;
  double ofOwn = own->pair * pairs + own->column * rows + own->row * rows;
  double ofOther = work->pair * pairs + work->column * (rows + (double)held) + work->row * rows;
  return ofOther <= ofOwn ? SEQ_FORM_EXPANDED : SEQ_FORM_OWN;
}

bool seqTakes(const SeqCall *call, int64_t sequence) {
  return !call->whole->expanded ||
         seqFormFor(call, seqPosition(call, sequence), seqTokens(call, sequence)) == call->form;
}

int64_t seqKeptPositions(const SeqCall *call, bool exact) {
  int64_t most = call->longest;
  if (!exact || call->form == SEQ_FORM_OWN)
    return most;
  for (int64_t i = 0; i < call->sequences; ++i) {
    if (!seqTakes(call, i))
      continue;
    int64_t kept = heldPositions(call->whole, seqPosition(call, i)) + seqTokens(call, i);
    most = kept > most ? kept : most;
  }
  return most;
}

void seqEnterForm(SeqCall *call, int32_t form) {
  const SeqMixer *to = form == SEQ_FORM_EXPANDED ? call->whole->expanded->mixer : call->whole;
  call->kernel = &to->kernels[call->kernel - call->mixer->kernels];
  call->mixer = to;
  call->form = form;
}

static bool takesAny(const SeqCall *call) {
  bool some = !call->whole->expanded;
  for (int64_t i = 0; i < call->sequences && !some; ++i)
    some = seqTakes(call, i);
  return some;
}

bool seqMakePlans(SeqCall *call, bool exact, SeqPlans *plans) {
  bool fits = true;
  plans->bytes = 0;
  call->whole = call->mixer;
  call->forcedForm = (int32_t)seqEnvironmentNumber("SEQMIX_FORM", SEQ_FORM_EXPANDED, -1);
  for (int32_t form = 0; form < 2; ++form) {
    plans->isUsed[form] = false;
    if (form == SEQ_FORM_EXPANDED && !call->whole->expanded)
      continue;
    seqEnterForm(call, form);
    plans->isUsed[form] = !exact || takesAny(call);
    if (!plans->isUsed[form])
      continue;
    fits &= seqMakePlan(call, exact, &plans->plan[form]);
    plans->bytes = plans->plan[form].bytes > plans->bytes ? plans->plan[form].bytes : plans->bytes;
  }
  seqEnterForm(call, SEQ_FORM_OWN);
  return fits;
}
