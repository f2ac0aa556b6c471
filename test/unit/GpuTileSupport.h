//===- GpuTileSupport.h - tile kernels on the emulator --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_GPUTILESUPPORT_H
#define SEQMIX_TEST_UNIT_GPUTILESUPPORT_H

#include "compiler/gpu/emulator/Emulator.h"

#include "llvm/ADT/StringRef.h"

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace seqmix::gpu::test {

/// The kernels of test/gpu/tile/NAME, lowered from tiles; or of a text. It aborts where the text is
/// wrong.
class TileKernels {
public:
  static TileKernels fromFile(llvm::StringRef name);
  explicit TileKernels(llvm::StringRef text);
  ~TileKernels();
  TileKernels(TileKernels &&);

  /// Runs a kernel with the threads and the shared memory that it asks for.
  LaunchResult run(llvm::StringRef kernel, Dim3 grid, std::initializer_list<Argument> arguments,
                   GlobalMemory &memory);
  /// How many ops of that name a lowered kernel has.
  unsigned count(llvm::StringRef kernel, llvm::StringRef op);
  unsigned sharedBytes(llvm::StringRef kernel);
  /// Takes the barrier with that number out of a lowered kernel: a test that the emulator misses
  /// it.
  void removeBarrier(llvm::StringRef kernel, unsigned number);
  unsigned barriers(llvm::StringRef kernel);

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

std::string tileFile(llvm::StringRef name);

constexpr size_t area(size_t rows, size_t columns) { return rows * columns; }

/// Normally distributed numbers, the same every time.
std::vector<float> normals(size_t count, unsigned seed);
std::vector<uint16_t> brains(const std::vector<float> &values);
float fromBrain(uint16_t value);

/// The largest difference, relative to the largest magnitude of the reference.
double relativeError(const std::vector<float> &values, const std::vector<double> &reference);

} // namespace seqmix::gpu::test

#endif // SEQMIX_TEST_UNIT_GPUTILESUPPORT_H
