//===- Functions.h - the elementary functions in float64 ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REFERENCE_FUNCTIONS_H
#define SEQMIX_COMPILER_REFERENCE_FUNCTIONS_H

#include "dialect/Seq.h"

namespace seqmix::reference {

using UnaryFunction = double (*)(double);
using BinaryFunction = double (*)(double, double);
using Comparison = bool (*)(double, double);

/// The functions by name. Integers and truth values come as doubles too; `//` and `%` round towards
/// minus infinity, and give 0 for the divisor 0.
UnaryFunction unaryFunction(mlir::seq::UnaryFn fn);
BinaryFunction binaryFunction(mlir::seq::BinaryFn fn);
Comparison comparison(mlir::seq::Predicate predicate);

/// log(exp(a) + exp(b)) without overflow; -inf is its neutral element.
double logAddExp(double a, double b);

} // namespace seqmix::reference

#endif // SEQMIX_COMPILER_REFERENCE_FUNCTIONS_H
