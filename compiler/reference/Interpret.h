//===- Interpret.h - the oracle ------------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REFERENCE_INTERPRET_H
#define SEQMIX_COMPILER_REFERENCE_INTERPRET_H

#include "compiler/reference/Array.h"
#include "dialect/Seq.h"

#include "llvm/Support/Error.h"

#include <map>
#include <optional>
#include <string>

namespace seqmix::reference {

struct RunOptions {
  /// Components to start from, by name, and `position`. A component that is missing starts as in a
  /// new sequence. `carryComponents` gives names and shapes: batch extents, then the shape.
  Arrays carry;
  /// Packed sequences: sequence n holds the tokens [cuSeqlens[n], cuSeqlens[n + 1]). Empty: not
  /// packed.
  std::vector<int64_t> cuSeqlens;
  /// The whole length, for a token dim used as a number; by default position + tokens.
  std::optional<int64_t> length;
  /// Extents of batch and run-time dims that no input has: those of the caller's outputs and carry.
  std::map<std::string, int64_t> extents;
  /// Rows that a component of rows has room for at least, where none is given to start from.
  int64_t rows = 0;
  /// Changes the result of every operation that rounds by up to this part of it, at random: what
  /// arithmetic of that precision may do to the results.
  double noise = 0;
  uint64_t noiseSeed = 0;
};

struct RunResult {
  Arrays outputs;
  /// All components and `position`, as the next call takes them.
  Arrays carry;
};

/// Runs the equations of a mixer at the seq stage in float64, one batch element and one sequence
/// after another, as they stand. Inputs, params and outputs have the shapes of the caller's
/// buffers:
///
///   input, output   first batch dim, run-time dims, other batch dims, fixed dims
///   param           batch dims, dims
///   position        first batch dim (the number of sequences when packed), or [1] without one
///
/// Extents come from the inputs, then from the options. Gives an error that says what does not fit.
llvm::Expected<RunResult> interpret(mlir::seq::MixerOp mixer, const Arrays &inputs,
                                    const RunOptions &options = {});

} // namespace seqmix::reference

#endif // SEQMIX_COMPILER_REFERENCE_INTERPRET_H
