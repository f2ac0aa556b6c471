//===- Types.c - storage types ----------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

#include <math.h>
#include <string.h>

// DLPack 0.6 headers have no name for it.
enum { CodeBool = 6 };

int64_t seqTypeBytes(int32_t dtype) {
  switch (dtype) {
  case SEQ_F64:
  case SEQ_I64:
    return 8;
  case SEQ_F32:
  case SEQ_I32:
    return 4;
  case SEQ_BF16:
  case SEQ_F16:
    return 2;
  default:
    return 1;
  }
}

const char *seqTypeName(int32_t dtype) {
  static const char *const names[] = {"f64", "f32", "bf16", "f16", "i32", "bool", "i64"};
  return dtype >= 0 && dtype <= SEQ_I64 ? names[dtype] : "unknown";
}

DLDataType seqTypeToDLPack(int32_t dtype) {
  DLDataType type = {kDLFloat, (uint8_t)(8 * seqTypeBytes(dtype)), 1};
  if (dtype == SEQ_BF16)
    type.code = kDLBfloat;
  else if (dtype == SEQ_I32 || dtype == SEQ_I64)
    type.code = kDLInt;
  else if (dtype == SEQ_BOOL)
    type.code = CodeBool;
  return type;
}

bool seqTypeMatches(int32_t dtype, DLDataType type) {
  DLDataType wanted = seqTypeToDLPack(dtype);
  // Producers older than DLPack's boolean type export u8.
  bool sameCode = type.code == wanted.code || (dtype == SEQ_BOOL && type.code == kDLUInt);
  return sameCode && type.bits == wanted.bits && type.lanes == 1;
}

void seqTextType(SeqText *text, DLDataType type) {
  static const char *const codes[] = {"i", "u", "f", "opaque", "bf", "c", "bool"};
  if (type.code == CodeBool && type.bits == 8)
    seqTextAppend(text, "bool");
  else if (type.code <= CodeBool)
    seqTextAppend(text, "%s%d", codes[type.code], type.bits);
  else
    seqTextAppend(text, "type code %d of %d bits", type.code, type.bits);
  if (type.lanes != 1)
    seqTextAppend(text, " in vectors of %d", type.lanes);
}

static double halfToDouble(uint16_t bits) {
  int exponent = (bits >> 10) & 31;
  double fraction = bits & 1023;
  double value = exponent == 31  ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                 : exponent == 0 ? ldexp(fraction, -24)
                                 : ldexp(fraction + 1024, exponent - 25);
  return bits & 0x8000 ? -value : value;
}

double seqLoadElement(int32_t dtype, const char *data) {
  switch (dtype) {
  case SEQ_F64: {
    double value;
    memcpy(&value, data, sizeof value);
    return value;
  }
  case SEQ_F32: {
    float value;
    memcpy(&value, data, sizeof value);
    return value;
  }
  case SEQ_BF16: {
    uint16_t half;
    memcpy(&half, data, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  case SEQ_F16: {
    uint16_t half;
    memcpy(&half, data, sizeof half);
    return halfToDouble(half);
  }
  case SEQ_I32: {
    int32_t value;
    memcpy(&value, data, sizeof value);
    return value;
  }
  case SEQ_I64: {
    int64_t value;
    memcpy(&value, data, sizeof value);
    return (double)value;
  }
  default:
    return *data != 0;
  }
}
