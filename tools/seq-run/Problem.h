//===- Problem.h - shapes, values and slices of a problem ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_PROBLEM_H
#define SEQMIX_TOOLS_SEQRUN_PROBLEM_H

#include "tools/seq-run/Trial.h"

namespace seqmix::run {

/// Extents by number of the plan's dims; those of fixed dims are the plan's.
std::vector<int64_t> extentsOf(const Problem &problem);

/// The shape of a tensor. A param over the tokens gets room for 16 tokens in front of the sequence.
std::vector<int64_t> shapeOf(const MixerPlan &plan, const TensorPlan &tensor,
                             const std::vector<int64_t> &extents);
/// The shape of an output, which is there once for each of `sequences` if it has no tokens.
std::vector<int64_t> outputShape(const MixerPlan &plan, const TensorPlan &output,
                                 std::vector<int64_t> extents, int64_t sequences);
/// The shape of a component of the carry, for `sequences` sequences. `rows`: how many rows of
/// earlier tokens there is room for.
std::vector<int64_t> shapeOf(const MixerPlan &plan, const ComponentPlan &component,
                             const std::vector<int64_t> &extents, int64_t sequences, int64_t rows);
/// Rows that are enough for every call of a problem, with some to spare.
int64_t rowsOf(const Problem &problem);
/// Sets the rows that a carry does not hold to zero.
void clearUnusedRows(const MixerPlan &plan, reference::Arrays &carry);

bool hasFirstBatch(const MixerPlan &plan);
bool hasTokens(const MixerPlan &plan, const TensorPlan &tensor);
/// The axis of a tensor that is this dim, or -1.
int axisOf(const std::vector<AxisPlan> &axes, int32_t dim);

/// Draws all inputs and params, rounded to storage.
reference::Arrays drawInputs(const Problem &problem);
/// Draws states and windows from N(0, 1) (integers from 0 to 3) and positions from 0 to 8.
reference::Arrays drawCarry(const Problem &problem);
/// The carry that a new sequence starts from.
reference::Arrays initialCarry(const Problem &problem, int64_t sequences);

/// First tokens of packed sequences, and the end of the last one.
std::vector<int64_t> startsOf(const std::vector<int64_t> &lengths);

/// The elements of an array with these indices along an axis, in this order.
reference::Array takeAlong(const reference::Array &array, unsigned axis,
                           const std::vector<int64_t> &indices);
/// Puts `part` into `whole` at these indices along an axis.
void putAlong(reference::Array &whole, unsigned axis, const std::vector<int64_t> &indices,
              const reference::Array &part);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_PROBLEM_H
