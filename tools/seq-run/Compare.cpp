//===- Compare.cpp ------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Compare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace seqmix::run {

Tolerance Tolerance::of(SeqDType storage, SeqDType compute) {
  return {compute == SEQ_F64 ? 1e-12 : 2e-5, storage, compute};
}

namespace {

struct StorageFormat {
  int digits;      ///< bits of the significand
  int minExponent; ///< of the smallest normal number
  double largest;
};

/// Null for types in which nothing is rounded away.
const StorageFormat *formatOf(const Tolerance &tolerance) {
  static constexpr StorageFormat f32 = {24, -126, 0x1.fffffep127}, f16 = {11, -14, 65504},
                                 bf16 = {8, -126, 0x1.fep127};
  switch (tolerance.storage) {
  case SEQ_F32:
    return tolerance.compute == SEQ_F64 ? &f32 : nullptr;
  case SEQ_BF16:
    return &bf16;
  case SEQ_F16:
    return &f16;
  default:
    return nullptr;
  }
}

double halfUlp(const StorageFormat &format, double value) {
  int exponent;
  std::frexp(value, &exponent); // value in [0.5, 1) * 2^exponent
  return std::ldexp(0.5, std::max(exponent, format.minExponent + 1) - format.digits);
}

} // namespace

std::string elementName(const std::string &name, const std::vector<int64_t> &shape,
                        int64_t offset) {
  std::vector<int64_t> index(shape.size());
  for (size_t axis = shape.size(); axis-- > 0; offset /= std::max<int64_t>(1, shape[axis]))
    index[axis] = offset % std::max<int64_t>(1, shape[axis]);
  return fmt::format("{}[{}]", name, fmt::join(index, ", "));
}

Difference compare(const std::string &name, const reference::Array &got,
                   const reference::Array &want, const Tolerance &tolerance) {
  Difference result;
  if (got.shape != want.shape)
    return {INFINITY, false,
            fmt::format("{} has the shape [{}]; expected [{}]", name, fmt::join(got.shape, ", "),
                        fmt::join(want.shape, ", "))};
  const StorageFormat *format = formatOf(tolerance);
  double largest = 0;
  for (double value : want.values)
    if (std::isfinite(value))
      largest = std::max(largest, std::fabs(value));
  double leastNormal = tolerance.compute == SEQ_F64 ? 0x1p-1022 : 0x1p-126;
  double worst = 0;
  int64_t worstAt = -1;
  for (int64_t i = 0; i < want.size(); ++i) {
    double g = got.values[i], w = want.values[i], error;
    double allowed = tolerance.relative * largest + leastNormal;
    // What is too large for the storage type becomes infinite there.
    if (format && std::isfinite(w) && std::fabs(w) > format->largest)
      w = std::copysign(std::isfinite(g) ? format->largest : INFINITY, w);
    if (std::isfinite(w) && std::isfinite(g)) {
      error = std::fabs(g - w);
      if (format)
        allowed += halfUlp(*format, w);
    } else {
      bool same = std::isnan(w) ? std::isnan(g) : g == w;
      error = same ? 0 : INFINITY;
    }
    double relative = largest > 0 && std::isfinite(error) ? error / largest : error;
    result.error = std::max(result.error, relative);
    if (error > allowed && (worstAt < 0 || error - allowed > worst)) {
      worst = error - allowed;
      worstAt = i;
    }
  }
  if (worstAt >= 0) {
    result.isWithin = false;
    result.detail = fmt::format("{} is {:.9g}; expected {:.9g} (largest magnitude {:.3g})",
                                elementName(name, want.shape, worstAt), got.values[worstAt],
                                want.values[worstAt], largest);
  }
  return result;
}

Difference compareBits(const std::string &name, const reference::Array &got,
                       const reference::Array &want) {
  if (got.shape != want.shape)
    return {INFINITY, false, fmt::format("{} has another shape", name)};
  for (int64_t i = 0; i < want.size(); ++i) {
    double g = got.values[i], w = want.values[i];
    bool same =
        std::isnan(w) ? std::isnan(g) : std::bit_cast<uint64_t>(g) == std::bit_cast<uint64_t>(w);
    if (!same)
      return {std::fabs(g - w), false,
              fmt::format("{} is {:.17g}, not the same bits as {:.17g}",
                          elementName(name, want.shape, i), g, w)};
  }
  return {};
}

} // namespace seqmix::run
