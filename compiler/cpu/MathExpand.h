//===- MathExpand.h - elementary functions as arithmetic ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Rewrites `seq.unary` and `seq.binary` on scalars and 1-D vectors of f32 and f64 (and, where a
// function has a meaning for them, integers, index and i1) to ops of arith, vector and math that
// are one instruction each on a CPU with SSE4.1 (and FMA, unless the options say that it has none).
// Nothing is left that would call a library.
//
// What holds for every function:
//  - Accuracy: `docs/performance.md`, "Elementary functions".
//  - A NaN operand gives NaN, except: `min` and `max` return their second operand if one of the two
//    is NaN (so that they are one instruction), `pow(1, y)` and `pow(x, 0)` are 1.
//  - Kernels run with denormals flushed: a denormal operand may count as zero (for log and pow it
//    always does). A result below 1024 times the smallest normal number may be zero, and any result
//    may be off by that number. Functions that are the identity near zero may return +0 for -0.
//  - Limits at infinity are the mathematical ones: silu and gelu of -inf are 0, and
//    logaddexp(-inf, -inf) is -inf.
//  - sin and cos are accurate for |x| <= 1e6 (f32) and 1e9 (f64); beyond, they stay in [-1, 1].
//  - `mod` has the sign of the divisor and `floordiv` rounds down, on reals as on integers; `pow`
//    follows C's pow.
//  - floordiv and mod of integers by zero are undefined.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_MATHEXPAND_H
#define SEQMIX_COMPILER_CPU_MATHEXPAND_H

#include "mlir/IR/Operation.h"
#include "mlir/Support/LLVM.h"
#include <memory>

namespace mlir {
class Pass;
} // namespace mlir

namespace seqmix::cpu {

struct MathOptions {
  /// Use the instructions of AVX-512 (F, DQ, VL): the code then runs nowhere else.
  bool avx512 = false;
  /// Use fused multiply-adds. Without them the accuracy is the same, at more than twice the time
  /// where it rests on one.
  bool fma = true;
};

/// Rewrites every `seq.unary` and `seq.binary` inside `root`. Fails, with a located error, on
/// element types other than those above, on vectors of rank other than 1, and on functions that
/// have no meaning for the type.
mlir::LogicalResult expandMath(mlir::Operation *root, const MathOptions &options);

/// The same as a pass on any op: `seq-expand-math{avx512=true fma=true}`.
std::unique_ptr<mlir::Pass> createExpandMathPass(const MathOptions &options = {});
void registerExpandMathPass();

} // namespace seqmix::cpu

#endif // SEQMIX_COMPILER_CPU_MATHEXPAND_H
