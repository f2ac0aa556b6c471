//===- Trial.h - one case of one mixer on the oracle and compiled -------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_TRIAL_H
#define SEQMIX_TOOLS_SEQRUN_TRIAL_H

#include "compiler/library/Library.h"
#include "compiler/reference/Interpret.h"
#include "tools/seq-run/Caller.h"
#include "tools/seq-run/Compare.h"

#include <map>
#include <optional>

namespace seqmix::run {

/// A mixer and the sizes, sequences and values that it is tried with.
struct Problem {
  mlir::seq::MixerOp mixer; ///< at the seq stage
  MixerPlan plan;           ///< its interface
  std::string name;         ///< what values are drawn by
  /// Extents of batch and run-time dims.
  std::map<std::string, int64_t> sizes;
  std::vector<int64_t> lengths; ///< of packed sequences; empty: not packed
  bool hasRandomCarry = false;
  std::vector<std::string> extreme;
};

/// One way of running it: "forward", "step", "split", ...
struct Outcome {
  std::string way;
  double error = 0;      ///< of the outputs
  double carryError = 0; ///< of the final carry
  bool passed = true;
  std::string detail; ///< the first thing that is wrong
  /// The arrays that differ by more than the tolerance, and by how much.
  std::map<std::string, double> beyond;
};

struct TrialResult {
  std::vector<Outcome> outcomes;
  bool passed() const;
};

/// A problem with its inputs drawn and the oracle's answer.
class Trial {
public:
  /// Draws inputs and carry and runs the oracle.
  static llvm::Expected<Trial> prepare(const Problem &problem);

  /// Runs the compiled code in every way that the mixer has and compares.
  TrialResult run(const CompiledMixer &compiled) const;

  /// Compares the oracle with itself on the equations as written, without states for sums over
  /// tokens. Nothing where the carry is not the initial one, for theirs is another.
  llvm::Expected<std::optional<Outcome>> compareWith(mlir::seq::MixerOp asWritten) const;

  /// By how much each of the oracle's outputs and components moves, relative to its largest
  /// magnitude, when every real input and the result of every operation is changed by up to
  /// `relative` of it: what no arithmetic of that precision can avoid.
  llvm::Expected<std::map<std::string, double>> sensitivity(double relative) const;

  const reference::Arrays &givenInputs() const { return inputs; }
  /// Empty: it is the initial one.
  const reference::Arrays &givenCarry() const { return carry; }
  /// The oracle's answer.
  const reference::RunResult &expected() const { return want; }

private:
  friend class TrialRunner;
  Problem problem;
  reference::Arrays inputs;
  reference::Arrays carry; ///< empty: the initial one
  reference::RunResult want;
};

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_TRIAL_H
