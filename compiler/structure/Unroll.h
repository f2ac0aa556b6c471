//===- Unroll.h - reductions written out --------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_UNROLL_H
#define SEQMIX_COMPILER_STRUCTURE_UNROLL_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// The elements of a reduction along one of its variables, which is over a fixed dim, combined one
/// by one; the other variables stay reduced.
mlir::seq::Expr unrollOver(Model &model, mlir::seq::ReduceKind kind,
                           const mlir::seq::OpenedExpr &opened, mlir::seq::Var var);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_UNROLL_H
