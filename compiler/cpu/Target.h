//===- Target.h - what the stages know about a CPU -----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_TARGET_H
#define SEQMIX_COMPILER_CPU_TARGET_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace seqmix {

/// The instruction sets that code is generated for. A portable library holds V4, V3 and Baseline.
enum class TargetLevel { Native, V4, V3, Baseline };

/// The level called native, x86-64-v4, x86-64-v3 or baseline; nothing for other names.
std::optional<TargetLevel> targetLevelNamed(llvm::StringRef name);

/// What the stages from `chunk` on need to know of a target; no LLVM type in it, so that planning
/// does not depend on the code generator.
struct TargetInfo {
  TargetLevel level = TargetLevel::Baseline;
  /// LLVM's name of the CPU and its features ("+avx2,+fma,...").
  std::string cpu, features;
  /// Bytes and number of the vector registers.
  int64_t vectorBytes = 16, registers = 16;
  bool hasFma = false, hasF16c = false, hasAvx512 = false, hasBf16 = false;

  /// Elements of a full vector register of `type` (f32 or f64).
  int64_t lanes(mlir::Type type) const { return vectorBytes * 8 / type.getIntOrFloatBitWidth(); }
};

/// Describes `level`; Native asks this machine.
TargetInfo targetInfo(TargetLevel level);

} // namespace seqmix

#endif // SEQMIX_COMPILER_CPU_TARGET_H
