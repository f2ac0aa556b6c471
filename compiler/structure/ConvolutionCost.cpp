//===- ConvolutionCost.cpp - what the forms of a convolution cost ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ConvolutionCost.h"

#include <algorithm>
#include <cmath>

using namespace mlir::seq;

namespace seqmix {

ConvolutionCost::ConvolutionCost(ConvolutionOp op, int64_t tokens) {
  int64_t first = op.getAhead() ? 1 - tokens : 0, last = op.getPast() ? tokens - 1 : -1;
  if (auto from = op.getFirst())
    first = std::max<int64_t>(first, *from);
  if (auto to = op.getLast())
    last = std::min<int64_t>(last, *to);
  direct = 0;
  // A distance n has tokens - |n| pairs.
  auto pairs = [&](double least, double most) {
    if (most >= least)
      direct += (most - least + 1) * (static_cast<double>(tokens) - (least + most) / 2);
  };
  pairs(std::max<double>(0, first), last);
  pairs(std::max<double>(1, -last), -first);
  double needed = tokens + std::max<double>(last, -static_cast<double>(first));
  double doublings = std::max(2.0, std::ceil(std::log2(std::max(needed, 1.0))) - 1);
  transforms = std::exp2(doublings) * (kStepCost * doublings + kTransformCost);
}

std::optional<int64_t> leastTransformed(ConvolutionOp op) {
  // Costs of transforms jump at powers of two, so that the last of these decides.
  constexpr int64_t kLongest = 1 << 24;
  auto isLess = [&](int64_t tokens) {
    ConvolutionCost cost(op, tokens);
    return cost.transforms < cost.direct;
  };
  if (!isLess(kLongest))
    return std::nullopt;
  int64_t least = kLongest;
  while (least > 1 && isLess(least / 2))
    least /= 2;
  int64_t low = least / 2;
  while (least - low > 1) {
    int64_t middle = (least + low) / 2;
    (isLess(middle) ? least : low) = middle;
  }
  return least;
}

} // namespace seqmix
