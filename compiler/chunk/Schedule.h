//===- Schedule.h - from canonical recurrences to the steps of a task -*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CHUNK_SCHEDULE_H
#define SEQMIX_COMPILER_CHUNK_SCHEDULE_H

#include "dialect/Seq.h"

namespace seqmix {

/// What the cost model knows of a target, and what the user fixed.
struct ScheduleOptions {
  int64_t lanes = 16;            ///< elements of the compute type in a vector
  int64_t registers = 32;        ///< vector registers
  int64_t cacheBytes = 48 << 10; ///< what the rows of a chunk should stay within
  int64_t chunk = 0;             ///< tokens of a chunk; 0: chosen
};

/// Adds the seq.kernel of a mixer at the structure stage whose definitions are all to be held in
/// buffers. Fails with a located error when the mixer cannot be scheduled.
mlir::LogicalResult schedule(mlir::seq::MixerOp mixer, const ScheduleOptions &options);

} // namespace seqmix

#endif // SEQMIX_COMPILER_CHUNK_SCHEDULE_H
