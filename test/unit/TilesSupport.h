//===- TilesSupport.h - runs hand-written schedules ------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_TILESSUPPORT_H
#define SEQMIX_TEST_UNIT_TILESSUPPORT_H

#include "compiler/cpu/Target.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace seqmix::test {

/// A mixer with a kernel, compiled; its frame is filled by name.
class KernelHarness {
public:
  /// Compiles the text of one mixer at the chunk stage. Aborts with the diagnostics on failure.
  KernelHarness(llvm::StringRef text, TargetLevel level = TargetLevel::Native);
  ~KernelHarness();

  /// A tensor: its first element, and a stride for each of its dims (elements).
  void tensor(llvm::StringRef name, const void *data, llvm::ArrayRef<int64_t> strides,
              int64_t blockStride = 0);
  void output(llvm::StringRef name, void *data, llvm::ArrayRef<int64_t> strides,
              int64_t blockStride = 0);
  /// A component of the carry by name; null for absent.
  void carry(llvm::StringRef name, const void *from, void *to, int64_t fromStride = 0,
             int64_t toStride = 0);
  /// Sets a slot of the frame.
  void slot(int number, int64_t value);

  /// Runs the shared prologue (if there is one) and the kernel for `tokens` tokens.
  void run(int64_t tokens, int64_t position = 0);
  /// The same many times; nanoseconds of the fastest.
  double time(int64_t tokens, int repetitions);

  /// The module after emitTiles, as text; the symbols that the object needs.
  const std::string &tiles() const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// What emitTiles reports for a mixer that has no code.
std::string tilesError(llvm::StringRef text);

/// Deterministic numbers in [low, high).
std::vector<double> randomReals(size_t count, double low, double high, unsigned seed);

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_TILESSUPPORT_H
