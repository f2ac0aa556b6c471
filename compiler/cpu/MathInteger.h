//===- MathInteger.h - functions of integers and truth values --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CPU_MATHINTEGER_H
#define SEQMIX_COMPILER_CPU_MATHINTEGER_H

#include "dialect/Seq.h"
#include "mlir/IR/Builders.h"

namespace seqmix::cpu {

/// The function on signed integers, indices or i1 (scalars or vectors); null if it has no meaning
/// there.
mlir::Value emitInteger(mlir::OpBuilder &builder, mlir::Location loc, mlir::seq::UnaryFn fn,
                        mlir::Value operand);
mlir::Value emitInteger(mlir::OpBuilder &builder, mlir::Location loc, mlir::seq::BinaryFn fn,
                        mlir::Value lhs, mlir::Value rhs);

} // namespace seqmix::cpu

#endif // SEQMIX_COMPILER_CPU_MATHINTEGER_H
