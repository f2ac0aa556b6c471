//===- Error.c - this thread's error text -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char errorText[2048];

const char *seq_last_error(void) { return errorText; }

void seqClearError(void) { errorText[0] = '\0'; }

static void appendList(SeqText *text, const char *format, va_list arguments) {
  size_t room = (size_t)(text->end - text->at);
  int length = vsnprintf(text->at, room, format, arguments);
  if (length < 0)
    return;
  text->at += (size_t)length < room ? (size_t)length : room - 1;
}

void seqTextAppend(SeqText *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  appendList(text, format, arguments);
  va_end(arguments);
}

int seqFail(const SeqCall *call, int status, const char *format, ...) {
  SeqText text = {errorText, errorText + sizeof errorText};
  seqTextAppend(&text, "%s_%s: ", call->set->name, call->function);
  va_list arguments;
  va_start(arguments, format);
  appendList(&text, format, arguments);
  va_end(arguments);
  return status;
}

void seqTextShape(SeqText *text, const int64_t *shape, int32_t rank) {
  seqTextAppend(text, "[");
  for (int32_t i = 0; i < rank; ++i)
    seqTextAppend(text, "%s%lld", i ? ", " : "", (long long)shape[i]);
  seqTextAppend(text, "]");
}

const char *seq_status_name(int status) {
  switch (status) {
  case SEQ_OK:
    return "ok";
  case SEQ_INVALID_ARGUMENT:
    return "invalid argument";
  case SEQ_INVALID_SHAPE:
    return "invalid shape";
  case SEQ_INVALID_DTYPE:
    return "invalid dtype";
  case SEQ_INVALID_DEVICE:
    return "invalid device";
  case SEQ_INVALID_LAYOUT:
    return "invalid layout";
  case SEQ_INVALID_SEQLENS:
    return "invalid cu_seqlens";
  case SEQ_WORKSPACE_TOO_SMALL:
    return "workspace too small";
  case SEQ_OUT_OF_MEMORY:
    return "out of memory";
  case SEQ_UNSUPPORTED_CPU:
    return "unsupported cpu";
  case SEQ_OUT_OF_RANGE:
    return "value out of range";
  case SEQ_UNSUPPORTED:
    return "unsupported";
  case SEQ_DRIVER_ERROR:
    return "driver error";
  default:
    return "unknown status";
  }
}
