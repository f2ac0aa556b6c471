//===- Numbers.cpp - the number formats of a GPU -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Numbers.h"

#include <algorithm>
#include <cmath>

namespace seqmix::gpu {
namespace {

/// Bits of a 16-bit format with that many bits for the exponent.
uint16_t roundTo16(double value, unsigned exponentBits) {
  const unsigned fractionBits = 15 - exponentBits;
  const int bias = (1 << (exponentBits - 1)) - 1;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const uint16_t infinity = ((1U << exponentBits) - 1) << fractionBits;
  double magnitude = std::fabs(value);
  if (std::isnan(value))
    return infinity | (1U << (fractionBits - 1));
  if (magnitude == 0)
    return sign;
  if (std::isinf(value))
    return sign | infinity;
  // In units of the last place; rounding up into the next binade carries into the exponent.
  int exponent = std::max(std::ilogb(magnitude), 1 - bias);
  auto units = uint64_t(std::nearbyint(std::ldexp(magnitude, int(fractionBits) - exponent)));
  uint64_t bits = (uint64_t(exponent + bias - 1) << fractionBits) + units;
  return sign | uint16_t(std::min<uint64_t>(bits, infinity));
}

} // namespace

uint16_t singleToBrain(float value) {
  uint32_t bits = bitsOf(value);
  if (std::isnan(value))
    return (bits >> 16) | 0x40;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

uint16_t singleToHalf(float value) { return roundTo16(value, 5); }

float halfToSingle(uint16_t bits) {
  const float sign = bits & 0x8000 ? -1.0F : 1.0F;
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  if (exponent == 31)
    return fraction ? std::nanf("") : sign * INFINITY;
  if (exponent == 0)
    return sign * std::ldexp(float(fraction), -24);
  return sign * std::ldexp(float(fraction + 1024), exponent - 25);
}

double toDouble(Scalar scalar, uint64_t bits) {
  switch (scalar.kind) {
  case Scalar::Class::Half:
    return halfToSingle(bits);
  case Scalar::Class::Brain:
    return brainToSingle(bits);
  case Scalar::Class::Single:
    return singleOf(bits);
  case Scalar::Class::Double:
    return std::bit_cast<double>(bits);
  default:
    return double(bits);
  }
}

uint64_t fromDouble(Scalar scalar, double value) {
  switch (scalar.kind) {
  case Scalar::Class::Half:
    return roundTo16(value, 5);
  case Scalar::Class::Brain:
    return roundTo16(value, 8);
  case Scalar::Class::Single:
    return bitsOf(float(value));
  default:
    return std::bit_cast<uint64_t>(value);
  }
}

uint32_t roundToTf32(float value) {
  uint32_t bits = bitsOf(value);
  if (!std::isfinite(value))
    return bits;
  return (bits + 0x1000) & 0xffffe000U;
}

} // namespace seqmix::gpu
