//===- PeakKernels.h - loops that reach the limits of a core --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_PEAKKERNELS_H
#define SEQMIX_TOOLS_SEQRUN_PEAKKERNELS_H

#include <cstddef>
#include <cstdint>

namespace seqmix::run {

/// The loops for one instruction set. Each returns a value made of all it computed.
struct PeakKernels {
  const char *isa;
  /// Rounds of independent multiply-adds in registers, and the floating-point operations of a
  /// round.
  double (*multiplyAddF32)(int64_t rounds);
  double (*multiplyAddF64)(int64_t rounds);
  int64_t flopsF32, flopsF64;
  /// Reads `count` floats (a multiple of 128, 64-byte aligned) `repeats` times.
  double (*read)(const float *data, size_t count, size_t repeats);
  /// a = b + s c over `count` floats, with stores that pass by the caches if `streaming`.
  double (*triad)(float *a, const float *b, const float *c, size_t count, bool streaming);
};

// PeakKernels.cpp, compiled once an instruction set.
const PeakKernels &peakKernelsBaseline();
const PeakKernels &peakKernelsAvx2();
const PeakKernels &peakKernelsAvx512();

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_PEAKKERNELS_H
