//===- Work.h - operations and bytes of a token ---------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_WORK_H
#define SEQMIX_COMPILER_STRUCTURE_WORK_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// Work of one token of one batch element, by the equations: additions, multiplications and the
/// like count one, as does each call of a function; a part counts once for each value of its own
/// indices.
struct Work {
  double operations = 0; ///< arithmetic
  double functions = 0;  ///< exp, sigmoid, division, ...
  double bytesIn = 0;    ///< inputs that vary over tokens, in their storage types
  double bytesOut = 0;   ///< outputs
  double moved = 0;      ///< elements of states that loops over tokens read and write

  Work &operator+=(const Work &other);
};

/// The work of one pair of positions.
Work workOf(Model &model, mlir::seq::PairsOp op);

/// Pairs of a row in a sequence of that many tokens, on average: of a causal domain those that it
/// allows, of any other all.
double pairsOfRow(mlir::seq::PairsOp op, double tokens);

/// Work as one number: roughly operations that take as long, on data that come from memory.
double timeOf(const Work &work);

/// The work of one token of a mixer at the structure stage; affine recurrences as the step form
/// does them.
Work workOf(Model &model);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_WORK_H
