//===- Emulator.h - runs GPU kernels on the CPU, and watches them -------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Runs an `llvm.func` of llvm and nvvm ops, as a gpu.module has them before it is translated: block
// after block, all threads of a block, warps in turns between barriers. Apart from what the kernel
// computes it tells
//
// - races: two accesses of a byte of shared memory, one of them a write, that no barrier or
//   bar.warp.sync orders, whatever order the emulator ran them in; and accesses of bytes that an
//   asynchronous copy has not delivered. In global memory: the same against the last write, and
//   between blocks.
// - accesses outside of shared, global or local memory, or not aligned; reads of what nobody wrote;
//   writes to inputs
// - threads that do not come to an op that others execute with them, and barriers that never
//   complete. Stricter than the hardware: a thread that has ended counts as missing.
// - how many cycles the accesses of each op take in the banks of shared memory.
//
// It does not model time, caches, the order of memory operations on the way, or the errors of
// approximations: ex2.approx and the like are exact up to rounding. Sums in mma.sync are f32 sums
// of exact products in the order of k; the hardware's order and rounding are not documented.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_EMULATOR_H
#define SEQMIX_COMPILER_GPU_EMULATOR_EMULATOR_H

#include "compiler/gpu/emulator/GlobalMemory.h"
#include "compiler/gpu/emulator/Program.h"
#include "compiler/gpu/emulator/Report.h"
#include "compiler/gpu/emulator/SharedMemory.h"

#include "llvm/Support/Error.h"

#include <cstring>

namespace seqmix::gpu {

/// The bytes of one kernel argument.
class Argument {
public:
  template <typename T> Argument(const T &value) : bytes(sizeof(T)) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::memcpy(bytes.data(), &value, sizeof(T));
  }
  static Argument ofBytes(llvm::ArrayRef<uint8_t> bytes) {
    Argument argument;
    argument.bytes = bytes;
    return argument;
  }
  llvm::ArrayRef<uint8_t> data() const { return bytes; }

private:
  Argument() = default;
  std::vector<uint8_t> bytes;
};

struct LaunchShape {
  Dim3 grid, block;
  uint32_t sharedBytes = 0; // dynamic
  /// Instructions of all warps together, after which a launch is stopped.
  uint64_t limit = 2'000'000'000;
};

/// Accesses of shared memory by one op.
struct OpBanks {
  mlir::Location location;
  BankUse use;
};

struct LaunchResult {
  std::vector<Report> reports;
  std::vector<OpBanks> banks; // of ops that accessed shared memory
  uint64_t instructions = 0;  // of warps

  bool isClean() const { return reports.empty(); }
  uint64_t bankConflicts() const;
  /// All reports, a line each.
  std::string text() const;
};

/// Runs a program that `compileKernel` made. Fails for launches that no driver would accept: other
/// arguments than the kernel has, too many threads, too much shared memory.
llvm::Expected<LaunchResult> launch(const Program &program, const LaunchShape &shape,
                                    llvm::ArrayRef<Argument> arguments, GlobalMemory &memory);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_EMULATOR_H
