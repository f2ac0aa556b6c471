//===- ConvolutionCost.h - what the forms of a convolution cost -----*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_CONVOLUTIONCOST_H
#define SEQMIX_COMPILER_STRUCTURE_CONVOLUTIONCOST_H

#include "dialect/Seq.h"

namespace seqmix {

/// Costs for each vector of complex numbers of a transform, in products of the direct form, as
/// measured: of a step between two sizes, of everything else, and of each position in a vector
/// after the first. The kernels choose by them at run time.
constexpr int64_t kStepCost = 9, kTransformCost = 25, kPhaseCost = 3;

/// What the forms cost for a sequence of so many tokens, in products of vectors.
struct ConvolutionCost {
  ConvolutionCost(mlir::seq::ConvolutionOp op, int64_t tokens);
  double direct, transforms;
};

/// The shortest sequence for which transforms cost less than the direct form.
std::optional<int64_t> leastTransformed(mlir::seq::ConvolutionOp op);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_CONVOLUTIONCOST_H
