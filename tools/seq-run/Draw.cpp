//===- Draw.cpp -------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Draw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace seqmix::run {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

Stream::Stream(llvm::StringRef name) : key(0xcbf29ce484222325ull), counter(0) {
  for (unsigned char c : name)
    key = (key ^ c) * 0x100000001b3ull; // FNV-1a
}

uint64_t Stream::bits() { return mix(mix(key) + 0x9e3779b97f4a7c15ull * ++counter); }

double Stream::normal() {
  double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

static double drawOne(Stream &stream, const Distribution &how) {
  bool hasLow = std::isfinite(how.low), hasHigh = std::isfinite(how.high);
  if (how.kind == Distribution::Integer)
    return hasLow && hasHigh
               ? how.low +
                     static_cast<double>(stream.below(static_cast<int64_t>(how.high - how.low) + 1))
               : static_cast<double>(stream.below(4));
  if (how.kind == Distribution::Boolean)
    return stream.chance(0.3) ? 1 : 0;
  double value = !hasLow && !hasHigh ? how.scale * stream.normal()
                                     : stream.uniform(hasLow ? how.low : how.high - 4,
                                                      hasHigh ? how.high : how.low + 4);
  if (!how.extreme)
    return value;
  static constexpr double extremes[] = {0, -20, -1000};
  double other = std::clamp(extremes[stream.below(3)], how.low, how.high);
  return stream.chance(0.5) ? other : value;
}

reference::Array draw(llvm::StringRef name, std::vector<int64_t> shape, const Distribution &how) {
  reference::Array array(std::move(shape));
  Stream stream(name);
  for (double &value : array.values)
    value = drawOne(stream, how);
  return array;
}

} // namespace seqmix::run
