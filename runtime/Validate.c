//===- Validate.c - a call's arguments, before anything is written ----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <stddef.h>

bool seqHasBatch(const SeqMixer *mixer) {
  return mixer->dim_count > 0 && mixer->dims[0].kind == SEQ_DIM_BATCH;
}

bool seqIsOtherLength(const SeqMixer *mixer, int32_t dim) {
  return mixer->dims[dim].kind == SEQ_DIM_RUNTIME && dim != mixer->token_dim;
}

void seqExtentsFor(const SeqCall *call, int64_t length, int64_t *extents) {
  for (int32_t i = 0; i < call->mixer->dim_count; ++i)
    extents[i] = call->extent[i];
  extents[call->mixer->token_dim] = length;
  if (call->mixer->derive)
    call->mixer->derive(extents);
}

static bool hasDim(const SeqTensor *tensor, int32_t dim) {
  for (int32_t i = 0; i < tensor->rank; ++i)
    if (tensor->axes[i].dim == dim)
      return true;
  return false;
}

bool seqHasTokens(const SeqMixer *mixer, const SeqTensor *tensor) {
  return tensor->role != SEQ_ROLE_PARAM && hasDim(tensor, mixer->token_dim);
}

// Rows of a param over the token dim: as many as the caller likes, but enough.
static bool isTokenRow(const SeqMixer *mixer, const SeqTensor *tensor, int32_t axis) {
  return tensor->role == SEQ_ROLE_PARAM && tensor->axes[axis].dim == mixer->token_dim;
}

SeqExpected seqExpectTensor(const SeqCall *call, int32_t index) {
  const SeqMixer *mixer = call->mixer;
  const SeqTensor *tensor = &mixer->tensors[index];
  SeqExpected expected = {tensor->name, tensor->axes, tensor->rank, tensor->dtype, 0, 0, 0};
  if (!seqHasTokens(mixer, tensor))
    return expected;
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (call->step && tensor->axes[i].dim == mixer->token_dim)
      expected.skip |= 1u << i;
    if (call->seqlens && tensor->axes[i].dim == 0 && seqHasBatch(mixer))
      expected.one |= 1u << i;
  }
  return expected;
}

//===----------------------------------------------------------------------===//
// Size, options
//===----------------------------------------------------------------------===//

static bool sizeFits(const SeqMixer *mixer, const DLTensor *const *tensors, bool step) {
  for (int32_t i = 0; i < mixer->tensor_count; ++i) {
    const SeqTensor *tensor = &mixer->tensors[i];
    if (!tensors[i] || !tensors[i]->shape)
      continue;
    bool skip = step && seqHasTokens(mixer, tensor);
    if (tensors[i]->ndim != tensor->rank - skip ||
        !seqTypeMatches(tensor->dtype, tensors[i]->dtype))
      return false;
    for (int32_t axis = 0, given = 0; axis < tensor->rank; ++axis) {
      const SeqDim *dim = &mixer->dims[tensor->axes[axis].dim];
      if (skip && tensor->axes[axis].dim == mixer->token_dim)
        continue;
      if (dim->kind == SEQ_DIM_FIXED && tensors[i]->shape[given] != dim->size)
        return false;
      ++given;
    }
  }
  return true;
}

// "K = 64, V = 64 in f32"
static void appendSize(SeqText *text, const SeqMixer *mixer) {
  const char *separator = "";
  for (int32_t i = 0; i < mixer->dim_count; ++i) {
    if (mixer->dims[i].kind != SEQ_DIM_FIXED)
      continue;
    seqTextAppend(text, "%s%s = %lld", separator, mixer->dims[i].name,
                  (long long)mixer->dims[i].size);
    separator = ", ";
  }
  if (mixer->tensor_count > 0)
    seqTextAppend(text, " in %s", seqTypeName(mixer->tensors[0].dtype));
}

int seqSelectSize(SeqCall *call, const DLTensor *const *tensors) {
  const SeqMixerSet *set = call->set;
  for (int32_t i = 0; i < set->count; ++i)
    if (set->sizes[i]->version != SEQ_DESCRIPTOR_VERSION)
      return seqFail(call, SEQ_UNSUPPORTED,
                     "the library was made for another runtime (descriptor %d, this one reads %d)",
                     set->sizes[i]->version, SEQ_DESCRIPTOR_VERSION);
  call->mixer = set->sizes[0];
  if (set->count == 1)
    return SEQ_OK;
  for (int32_t i = 0; i < set->count; ++i) {
    call->mixer = set->sizes[i];
    if (sizeFits(call->mixer, tensors, call->step))
      return SEQ_OK;
  }
  char sizes[1024], shapes[512];
  SeqText text = {sizes, sizes + sizeof sizes}, given = {shapes, shapes + sizeof shapes};
  for (int32_t i = 0; i < set->count; ++i) {
    seqTextAppend(&text, "%s", i ? "; " : "");
    appendSize(&text, set->sizes[i]);
  }
  const SeqMixer *first = set->sizes[0];
  for (int32_t i = 0; i < first->tensor_count; ++i) {
    if (!tensors[i] || !tensors[i]->shape || tensors[i]->ndim < 0 || tensors[i]->ndim > 16)
      continue;
    seqTextAppend(&given, " %s ", first->tensors[i].name);
    seqTextType(&given, tensors[i]->dtype);
    seqTextShape(&given, tensors[i]->shape, tensors[i]->ndim);
  }
  return seqFail(call, SEQ_INVALID_SHAPE,
                 "no size in this library fits the arguments%s; it was compiled for %s", shapes,
                 sizes);
}

static int checkOptions(const SeqCall *call, const seq_options *options) {
  if (!options)
    return SEQ_OK;
  if (options->size < offsetof(seq_options, pages)) // the first version's
    return seqFail(call, SEQ_INVALID_ARGUMENT,
                   "options.size is %u, expected %zu: initialise options with SEQ_OPTIONS_INIT",
                   options->size, sizeof(seq_options));
  // A caller of a later version may ask for what this runtime does not know.
  for (uint32_t i = sizeof(seq_options); i < options->size; ++i)
    if (((const char *)options)[i])
      return seqFail(call, SEQ_INVALID_ARGUMENT, "options has fields that runtime %s does not know",
                     seq_version());
  if (options->flags & ~(uint32_t)(SEQ_CHECKED | SEQ_UNSPLIT))
    return seqFail(call, SEQ_INVALID_ARGUMENT,
                   "options.flags is 0x%x; known are SEQ_CHECKED (1) and SEQ_UNSPLIT (2)",
                   options->flags);
  if (options->threads < 0 || options->threads > SEQ_MAX_THREADS)
    return seqFail(call, SEQ_INVALID_ARGUMENT, "options.threads is %d; expected 0 to %d",
                   options->threads, SEQ_MAX_THREADS);
  if (options->stream && !call->mixer->device)
    return seqFail(call, SEQ_INVALID_ARGUMENT, "options.stream must be null on the CPU");
  bool carry = options->carry_in || options->carry_out;
  if (carry && options->carry_count != call->mixer->component_count)
    return seqFail(call, SEQ_INVALID_ARGUMENT, "options.carry_count is %d; the carry has %d parts",
                   options->carry_count, call->mixer->component_count);
  if (call->step && (carry || options->cu_seqlens))
    return seqFail(call, SEQ_INVALID_ARGUMENT,
                   "a step takes its carry as an argument, and no cu_seqlens");
  if (options->workspace && (uintptr_t)options->workspace % SEQ_WORKSPACE_ALIGN != 0)
    return seqFail(call, SEQ_WORKSPACE_TOO_SMALL, "the workspace is not aligned to %d bytes",
                   SEQ_WORKSPACE_ALIGN);
  return SEQ_OK;
}

//===----------------------------------------------------------------------===//
// Extents
//===----------------------------------------------------------------------===//

static int64_t seqlen(const SeqCall *call, int64_t index) {
  const DLTensor *seqlens = call->seqlens;
  int64_t at = index * (seqlens->strides && seqlens->shape[0] > 1 ? seqlens->strides[0] : 1);
  const char *data = (const char *)seqlens->data + seqlens->byte_offset;
  return seqlens->dtype.bits == 64 ? ((const int64_t *)(const void *)data)[at]
                                   : ((const int32_t *)(const void *)data)[at];
}

// Tokens of the longest sequence, before the lengths are checked.
static int64_t longestSequence(const SeqCall *call) {
  if (!call->seqlens || call->mixer->device)
    return call->extent[call->mixer->token_dim];
  int64_t longest = 0;
  for (int64_t i = 0; i + 1 < call->seqlens->shape[0]; ++i) {
    int64_t tokens = seqlen(call, i + 1) - seqlen(call, i);
    longest = tokens > longest ? tokens : longest;
  }
  return longest;
}

// Takes the extents of batch and run-time dims from the tensors: first from axes that have them
// whole, then from grouped ones.
static void bindExtents(SeqCall *call) {
  const SeqMixer *mixer = call->mixer;
  for (int32_t i = 0; i < mixer->dim_count; ++i) {
    call->extent[i] = mixer->dims[i].kind == SEQ_DIM_FIXED ? mixer->dims[i].size : -1;
    call->boundBy[i] = -1;
  }
  if (call->step)
    call->extent[mixer->token_dim] = 1;
  if (call->seqlens)
    call->extent[0] = call->seqlens->shape[0] - 1;
  for (int grouped = 0; grouped <= 1; ++grouped) {
    for (int32_t i = 0; i < mixer->tensor_count; ++i) {
      const SeqTensor *tensor = &mixer->tensors[i];
      for (int32_t axis = 0; axis < tensor->rank; ++axis) {
        const SeqAxis *a = &tensor->axes[axis];
        if (a->dim < 0 || call->extent[a->dim] >= 0 || (a->div > 1) != grouped ||
            mixer->dims[a->dim].derived || isTokenRow(mixer, tensor, axis))
          continue;
        int64_t extent;
        if (__builtin_mul_overflow(call->tensors[i].extent[axis], a->div, &extent))
          extent = 0;
        call->extent[a->dim] = extent;
        call->boundBy[a->dim] = i;
      }
    }
  }
  // A dim that no tensor has: one element.
  for (int32_t i = 0; i < mixer->dim_count; ++i)
    if (call->extent[i] < 0)
      call->extent[i] = 1;
  // Tensors over derived dims have room for those of the longest sequence.
  if (mixer->derive) {
    int64_t tokens = call->extent[mixer->token_dim];
    seqExtentsFor(call, longestSequence(call), call->extent);
    call->extent[mixer->token_dim] = tokens;
  }
}

static int checkTensors(SeqCall *call) {
  const SeqMixer *mixer = call->mixer;
  for (int32_t i = 0; i < mixer->tensor_count; ++i) {
    const SeqTensor *tensor = &mixer->tensors[i];
    SeqView *view = &call->tensors[i];
    SeqExpected expected = seqExpectTensor(call, i);
    int64_t rows[SEQ_MAX_RANK];
    for (int32_t axis = 0; axis < tensor->rank; ++axis) {
      rows[axis] = view->extent[axis];
      if (isTokenRow(mixer, tensor, axis))
        view->extent[axis] = call->extent[mixer->token_dim];
      // One element for all packed sequences.
      bool packed = call->seqlens && tensor->axes[axis].dim == 0 && seqHasBatch(mixer);
      if (packed && !(expected.one >> axis & 1) && rows[axis] == 1 &&
          tensor->role != SEQ_ROLE_OUTPUT) {
        view->extent[axis] = seqAxisExtent(call, &tensor->axes[axis]);
        view->stride[axis] = 0;
      }
    }
    int status = seqCheckExtents(call, &expected, view);
    if (status != SEQ_OK)
      return status;
    for (int32_t axis = 0; axis < tensor->rank; ++axis)
      if (isTokenRow(mixer, tensor, axis))
        view->extent[axis] = rows[axis];
  }
  return SEQ_OK;
}

//===----------------------------------------------------------------------===//
// Sequences
//===----------------------------------------------------------------------===//

int64_t seqStartRow(const SeqCall *call, int64_t sequence) {
  return call->seqlens ? seqlen(call, sequence) : 0;
}

int64_t seqTokens(const SeqCall *call, int64_t sequence) {
  return call->seqlens ? seqlen(call, sequence + 1) - seqlen(call, sequence) : call->tokens;
}

static bool hasPairsOfTokens(const SeqMixer *mixer, const SeqTensor *tensor) {
  int32_t count = 0;
  for (int32_t i = 0; i < tensor->rank; ++i)
    count += tensor->axes[i].dim == mixer->token_dim;
  return tensor->role != SEQ_ROLE_PARAM && count > 1;
}

// Checks all that is needed to read the number of sequences.
static int checkSeqlensTensor(SeqCall *call, const DLTensor *seqlens) {
  if (!seqlens)
    return SEQ_OK;
  if (!seqHasBatch(call->mixer))
    return seqFail(call, SEQ_UNSUPPORTED, "cu_seqlens needs a mixer with a batch dim");
  for (int32_t i = 0; i < call->mixer->tensor_count; ++i)
    if (hasPairsOfTokens(call->mixer, &call->mixer->tensors[i]))
      return seqFail(call, SEQ_UNSUPPORTED,
                     "cu_seqlens does not go with %s, which has a value for every pair of tokens",
                     call->mixer->tensors[i].name);
  int status = call->mixer->device ? seqCheckDeviceSeqlens(call) : SEQ_OK;
  if (status != SEQ_OK)
    return status;
  if (seqlens->ndim != 1 || !seqlens->shape || seqlens->shape[0] < 1)
    return seqFail(call, SEQ_INVALID_SEQLENS,
                   "cu_seqlens must have one dim of the number of sequences plus one");
  bool integers = seqlens->dtype.code == kDLInt && seqlens->dtype.lanes == 1 &&
                  (seqlens->dtype.bits == 32 || seqlens->dtype.bits == 64);
  if (!integers)
    return seqFail(call, SEQ_INVALID_DTYPE, "cu_seqlens must be i32 or i64");
  status = seqCheckDevice(call, "cu_seqlens", seqlens);
  if (status != SEQ_OK)
    return status;
  if (!seqlens->data ||
      ((uintptr_t)seqlens->data + seqlens->byte_offset) % (seqlens->dtype.bits / 8) != 0)
    return seqFail(call, SEQ_INVALID_LAYOUT, "cu_seqlens has no data, or is not aligned");
  if (seqlens->strides && seqlens->shape[0] > 1 && seqlens->strides[0] < 1)
    return seqFail(call, SEQ_INVALID_LAYOUT, "cu_seqlens has the stride %lld; expected 1",
                   (long long)seqlens->strides[0]);
  if (seqlens->shape[0] > INT32_MAX)
    return seqFail(call, SEQ_INVALID_SEQLENS, "cu_seqlens has more than 2^31 - 1 entries");
  call->seqlens = seqlens;
  return SEQ_OK;
}

static int checkSeqlens(SeqCall *call) {
  call->tokens = call->extent[call->mixer->token_dim];
  call->sequences = seqHasBatch(call->mixer) ? call->extent[0] : 1;
  call->longest = call->tokens;
  if (!call->seqlens || call->mixer->device)
    return SEQ_OK;
  if (seqlen(call, 0) != 0)
    return seqFail(call, SEQ_INVALID_SEQLENS, "cu_seqlens starts with %lld; expected 0",
                   (long long)seqlen(call, 0));
  call->longest = 0;
  for (int64_t i = 0; i < call->sequences; ++i) {
    int64_t begin = seqlen(call, i), end = seqlen(call, i + 1);
    if (end < begin || end > call->tokens)
      return seqFail(
          call, SEQ_INVALID_SEQLENS,
          "cu_seqlens[%lld] is %lld behind %lld; expected a number from there to T = %lld",
          (long long)i + 1, (long long)end, (long long)begin, (long long)call->tokens);
    if (end - begin > call->longest)
      call->longest = end - begin;
  }
  if (seqlen(call, call->sequences) != call->tokens)
    return seqFail(call, SEQ_INVALID_SEQLENS, "cu_seqlens ends with %lld; expected T = %lld",
                   (long long)seqlen(call, call->sequences), (long long)call->tokens);
  return SEQ_OK;
}

// Earlier rows must be given, and there must be room for the new ones.
static int checkRows(const SeqCall *call, int64_t sequence, int64_t position) {
  for (int32_t i = 0; i < call->mixer->component_count; ++i) {
    const SeqComponent *part = &call->mixer->components[i];
    if (part->kind != SEQ_CARRY_ROWS)
      continue;
    if (position > 0 && !call->carryIn[i].present)
      return seqFail(call, SEQ_INVALID_ARGUMENT,
                     "position[%lld] is %lld, but %s, the rows before it, is not given",
                     (long long)sequence, (long long)position, part->name);
    if (part->window > 0 || call->pages)
      continue;
    int32_t axis = 0;
    while (part->axes[axis].slot < 0)
      ++axis;
    int64_t end = position + seqTokens(call, sequence);
    const SeqView *in = &call->carryIn[i], *out = &call->carryOut[i];
    if (in->present && in->extent[axis] < position)
      return seqFail(call, SEQ_INVALID_SHAPE, "%s has %lld rows, but position[%lld] is %lld",
                     part->name, (long long)in->extent[axis], (long long)sequence,
                     (long long)position);
    if (out->present && out->extent[axis] < end)
      return seqFail(call, SEQ_INVALID_SHAPE,
                     "%s has room for %lld rows; the sequences reach %lld tokens", part->name,
                     (long long)out->extent[axis], (long long)end);
  }
  return SEQ_OK;
}

// Kernels count positions in i32, and params over the token dim must reach the last token.
static int checkPositions(const SeqCall *call) {
  const SeqMixer *mixer = call->mixer;
  int64_t total = 0;
  for (int64_t i = 0; i < call->sequences; ++i) {
    int64_t position = seqPosition(call, i);
    if (position < 0)
      return seqFail(call, SEQ_INVALID_ARGUMENT, "position[%lld] is %lld; expected 0 or more",
                     (long long)i, (long long)position);
    if (position > INT32_MAX)
      return seqFail(call, SEQ_INVALID_SHAPE, "position %lld is beyond the largest, 2^31 - 1",
                     (long long)position);
    if (position > 0 && (call->kernel->flags & SEQ_KERNEL_WHOLE))
      return seqFail(call, SEQ_UNSUPPORTED,
                     "position[%lld] is %lld, but this mixer reads all positions of a sequence in "
                     "one call, from 0 on",
                     (long long)i, (long long)position);
    int status = checkRows(call, i, position);
    if (status != SEQ_OK)
      return status;
    int64_t end = position + seqTokens(call, i);
    total = end > total ? end : total;
  }
  if (total > INT32_MAX)
    return seqFail(call, SEQ_INVALID_SHAPE, "position %lld is beyond the largest, 2^31 - 1",
                   (long long)total);
  for (int32_t i = 0; i < mixer->tensor_count; ++i)
    for (int32_t axis = 0; axis < mixer->tensors[i].rank; ++axis)
      if (isTokenRow(mixer, &mixer->tensors[i], axis) && call->tensors[i].extent[axis] < total)
        return seqFail(call, SEQ_INVALID_SHAPE,
                       "%s has %lld rows in dim %s; the sequences reach %lld tokens",
                       mixer->tensors[i].name, (long long)call->tensors[i].extent[axis],
                       mixer->dims[mixer->token_dim].name, (long long)total);
  return SEQ_OK;
}

//===----------------------------------------------------------------------===//
// All of it
//===----------------------------------------------------------------------===//

int seqSelectTarget(SeqCall *call) {
  const char *missing;
  if (call->mixer->device)
    return SEQ_OK; // by its tensors' device
  call->kernel = seqSelectKernel(call->mixer, &missing);
  if (call->kernel)
    return SEQ_OK;
  char targets[256];
  SeqText text = {targets, targets + sizeof targets};
  for (int32_t i = 0; i < call->mixer->kernel_count; ++i)
    seqTextAppend(&text, "%s%s", i ? ", " : "", call->mixer->kernels[i].target);
  if (!*missing)
    return seqFail(call, SEQ_UNSUPPORTED_CPU,
                   "SEQMIX_TARGET names none of the targets in this library: %s", targets);
  return seqFail(
      call, SEQ_UNSUPPORTED_CPU,
      "this library was compiled for %s; this CPU lacks %s (compile with --cpu=portable)", targets,
      missing);
}

static int checkLimits(SeqCall *call) {
  const SeqMixer *mixer = call->mixer;
  if (mixer->tensor_count > SEQ_MAX_TENSORS || mixer->component_count > SEQ_MAX_COMPONENTS ||
      mixer->dim_count > SEQ_MAX_DIMS)
    return seqFail(call, SEQ_UNSUPPORTED, "more than %d tensors, %d carry parts or %d dims",
                   SEQ_MAX_TENSORS, SEQ_MAX_COMPONENTS, SEQ_MAX_DIMS);
  call->batchDims = 0;
  while (call->batchDims < mixer->dim_count && mixer->dims[call->batchDims].kind == SEQ_DIM_BATCH)
    ++call->batchDims;
  return SEQ_OK;
}

// Where positions stand in the device's memory, derived extents there are those of as many tokens
// as the rows of the carry have room for.
static void extendDerived(SeqCall *call) {
  const SeqMixer *mixer = call->mixer;
  int64_t tokens = call->extent[mixer->token_dim], reach = INT64_MAX;
  bool hasPast = false;
  for (int32_t i = 0; i < mixer->component_count; ++i) {
    const SeqComponent *part = &mixer->components[i];
    const SeqView *in = &call->carryIn[i], *out = &call->carryOut[i];
    hasPast |= part->kind == SEQ_CARRY_POSITION && in->present;
    if (part->kind != SEQ_CARRY_ROWS || part->window > 0)
      continue;
    int32_t axis = 0;
    while (part->axes[axis].slot < 0)
      ++axis;
    int64_t room = out->present  ? out->extent[axis]
                   : in->present ? in->extent[axis] + tokens
                                 : INT64_MAX;
    reach = room < reach ? room : reach;
  }
  if (!hasPast || reach == INT64_MAX)
    return;
  seqExtentsFor(call, reach > INT32_MAX ? INT32_MAX : reach, call->extent);
  call->extent[mixer->token_dim] = tokens;
}

int seqValidate(SeqCall *call, const DLTensor *const *tensors, DLTensor *const *carry,
                const seq_options *options) {
  int status = seqSelectSize(call, tensors);
  if (status == SEQ_OK)
    status = checkLimits(call);
  if (status == SEQ_OK && call->step && call->mixer->no_step)
    status = seqFail(call, SEQ_UNSUPPORTED, "there is no step: %s", call->mixer->no_step);
  if (status == SEQ_OK)
    status = checkOptions(call, options);
  if (status == SEQ_OK)
    status = seqSelectTarget(call);
  seqBindDevice(call, tensors);
  if (status == SEQ_OK)
    status = checkSeqlensTensor(call, options ? options->cu_seqlens : NULL);
  if (status == SEQ_OK)
    status = seqCheckPageTable(call, options);
  for (int32_t i = 0; status == SEQ_OK && i < call->mixer->tensor_count; ++i) {
    SeqExpected expected = seqExpectTensor(call, i);
    status = seqBindView(call, &expected, tensors[i], &call->tensors[i]);
  }
  if (status != SEQ_OK)
    return status;
  bindExtents(call);
  status = checkTensors(call);
  if (status == SEQ_OK)
    status = checkSeqlens(call);
  if (status == SEQ_OK && call->step)
    status = carry ? seqValidateCarry(call, (const DLTensor *const *)carry, carry)
                   : seqFail(call, SEQ_INVALID_ARGUMENT, "carry is null");
  else if (status == SEQ_OK)
    status = seqValidateCarry(call, options ? options->carry_in : NULL,
                              options ? options->carry_out : NULL);
  if (status == SEQ_OK)
    status = call->mixer->device ? seqCheckDeviceCall(call) : checkPositions(call);
  if (status == SEQ_OK && call->mixer->device && call->mixer->derive)
    extendDerived(call);
  return status == SEQ_OK ? seqCheckPages(call) : status;
}
