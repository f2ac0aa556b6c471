//===- AsWritten.cpp - the oracle on the equations as written ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Problem.h"

using namespace llvm;

namespace seqmix::run {

Expected<std::optional<Outcome>> Trial::compareWith(mlir::seq::MixerOp asWritten) const {
  if (!carry.empty())
    return std::nullopt;
  reference::RunOptions options;
  options.extents = problem.sizes;
  if (!problem.lengths.empty())
    options.cuSeqlens = startsOf(problem.lengths);
  Expected<reference::RunResult> got = reference::interpret(asWritten, inputs, options);
  if (!got)
    return got.takeError();
  // Exponents that are differences of long sums have lost some digits.
  Tolerance tolerance = Tolerance::of(SEQ_F64, SEQ_F64);
  tolerance.relative = 1e-10;
  Outcome outcome;
  outcome.way = "as written";
  for (const auto &[name, array] : want.outputs) {
    Difference difference = compare(name, got->outputs.at(name), array, tolerance);
    outcome.error = std::max(outcome.error, difference.error);
    if (difference.isWithin)
      continue;
    outcome.passed = false;
    outcome.beyond[name] = difference.error;
    if (outcome.detail.empty())
      outcome.detail = difference.detail;
  }
  return outcome;
}

} // namespace seqmix::run
