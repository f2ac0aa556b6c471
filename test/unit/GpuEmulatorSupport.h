//===- GpuEmulatorSupport.h - kernels from text for the emulator ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_GPUEMULATORSUPPORT_H
#define SEQMIX_TEST_UNIT_GPUEMULATORSUPPORT_H

#include "compiler/gpu/emulator/Emulator.h"

#include "llvm/ADT/StringRef.h"

#include <memory>
#include <string>
#include <vector>

namespace seqmix::gpu::test {

/// The text of test/gpu/emulator/NAME.
std::string kernelFile(llvm::StringRef name);
/// A kernel in a gpu.module from the text of its function.
std::string inModule(llvm::StringRef functions);
/// The text with `from` replaced, which must stand in it exactly once: a test that breaks nothing
/// would prove nothing.
std::string replaced(std::string text, llvm::StringRef from, llvm::StringRef to);

/// A module in memory, lowered to the llvm and nvvm dialects, and its kernels. It aborts where the
/// text is wrong, since that is the test's own.
class Kernels {
public:
  explicit Kernels(std::string text);
  ~Kernels();
  const Program &get(llvm::StringRef kernel);
  /// The gpu.module, lowered.
  mlir::Operation *module() const;
  /// What the emulator says to a kernel that it does not take.
  std::string error(llvm::StringRef kernel);
  /// Runs a kernel; the launch must be accepted.
  LaunchResult run(llvm::StringRef kernel, const LaunchShape &shape,
                   std::initializer_list<Argument> arguments, GlobalMemory &memory);
  /// The number of the line that has the text in it.
  unsigned lineOf(llvm::StringRef mark) const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// The line of a location; of an inlined function's op, that op's.
unsigned lineOf(mlir::Location location);

} // namespace seqmix::gpu::test

#endif // SEQMIX_TEST_UNIT_GPUEMULATORSUPPORT_H
