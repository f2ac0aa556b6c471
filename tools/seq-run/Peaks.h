//===- Peaks.h - what this machine can do at most --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_PEAKS_H
#define SEQMIX_TOOLS_SEQRUN_PEAKS_H

#include <cstddef>
#include <string>

namespace seqmix::run {

/// Bytes a second: of reading an array, and of a = b + s c (two reads and a write a element, each
/// counted once).
struct Bandwidth {
  double read = 0;
  double triad = 0;
};

/// The peaks of one core, or of several at once (then sums).
struct CorePeaks {
  /// Floating-point operations a second of multiply-adds in registers; a multiply-add is two.
  double f32 = 0, f64 = 0;
  /// From arrays that lie in the first-level cache, in the second-level cache, and in memory. The
  /// triad on memory stores past the caches, so that nothing but the three arrays moves.
  Bandwidth l1, l2, memory;
};

struct Peaks {
  /// The widest instruction set that the loops used: "avx512", "avx2" or "sse2".
  std::string isa;
  /// Threads behind `all`, each on a CPU of its own.
  unsigned threads = 1;
  /// Bytes of all arrays of one measurement of one thread, by level.
  size_t l1Bytes = 0, l2Bytes = 0, memoryBytes = 0;
  CorePeaks one, all;
};

struct PeakOptions {
  /// Threads behind `all`; 0 for every CPU that this process may use.
  unsigned threads = 0;
  /// Time to spend, roughly; making the arrays comes on top.
  double seconds = 1.0;
};

/// Measures. Every figure is the best of several short windows, since other work on the machine
/// only ever slows it.
Peaks measurePeaks(const PeakOptions &options = {});

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_PEAKS_H
