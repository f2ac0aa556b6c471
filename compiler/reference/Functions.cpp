//===- Functions.cpp - the elementary functions in float64 ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/Functions.h"

#include "llvm/Support/ErrorHandling.h"

#include <cmath>
#include <numbers>

using mlir::seq::BinaryFn;
using mlir::seq::Predicate;
using mlir::seq::UnaryFn;

namespace seqmix::reference {
namespace {

double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
double softplus(double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))); }
double logSigmoid(double x) { return -softplus(-x); }
// x * sigmoid(x) tends to 0 for x to -inf, where the product itself is not a number.
double silu(double x) { return std::isinf(x) && x < 0 ? 0 : x * sigmoid(x); }
double gelu(double x) {
  return std::isinf(x) && x < 0 ? 0 : 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
}
double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }
double relu(double x) { return x > 0 ? x : x < 0 ? 0 : x; }
double rsqrt(double x) { return 1 / std::sqrt(x); }
double floorDiv(double a, double b) { return b == 0 ? 0 : std::floor(a / b); }
double floorMod(double a, double b) { return b == 0 ? 0 : a - b * std::floor(a / b); }
// Unlike std::fmax, not-a-number stays.
double maximum(double a, double b) { return a >= b || std::isnan(a) ? a : b; }
double minimum(double a, double b) { return a <= b || std::isnan(a) ? a : b; }

} // namespace

double logAddExp(double a, double b) {
  double most = maximum(a, b);
  if (std::isinf(most) || std::isnan(most))
    return most;
  return most + std::log1p(std::exp(minimum(a, b) - most));
}

UnaryFunction unaryFunction(UnaryFn fn) {
  switch (fn) {
  case UnaryFn::Neg:
    return [](double x) { return -x; };
  case UnaryFn::Exp:
    return [](double x) { return std::exp(x); };
  case UnaryFn::Log:
    return [](double x) { return std::log(x); };
  case UnaryFn::Log1p:
    return [](double x) { return std::log1p(x); };
  case UnaryFn::Expm1:
    return [](double x) { return std::expm1(x); };
  case UnaryFn::Sqrt:
    return [](double x) { return std::sqrt(x); };
  case UnaryFn::Rsqrt:
    return rsqrt;
  case UnaryFn::Abs:
    return [](double x) { return std::fabs(x); };
  case UnaryFn::Sign:
    return sign;
  case UnaryFn::Floor:
    return [](double x) { return std::floor(x); };
  case UnaryFn::Sigmoid:
    return sigmoid;
  case UnaryFn::LogSigmoid:
    return logSigmoid;
  case UnaryFn::Silu:
    return silu;
  case UnaryFn::Softplus:
    return softplus;
  case UnaryFn::Tanh:
    return [](double x) { return std::tanh(x); };
  case UnaryFn::Relu:
    return relu;
  case UnaryFn::Gelu:
    return gelu;
  case UnaryFn::Erf:
    return [](double x) { return std::erf(x); };
  case UnaryFn::Sin:
    return [](double x) { return std::sin(x); };
  case UnaryFn::Cos:
    return [](double x) { return std::cos(x); };
  case UnaryFn::Not:
    return [](double x) { return x == 0 ? 1.0 : 0.0; };
  }
  llvm_unreachable("every function is handled");
}

BinaryFunction binaryFunction(BinaryFn fn) {
  switch (fn) {
  case BinaryFn::Add:
    return [](double a, double b) { return a + b; };
  case BinaryFn::Sub:
    return [](double a, double b) { return a - b; };
  case BinaryFn::Mul:
    return [](double a, double b) { return a * b; };
  case BinaryFn::Div:
    return [](double a, double b) { return a / b; };
  case BinaryFn::FloorDiv:
    return floorDiv;
  case BinaryFn::Mod:
    return floorMod;
  case BinaryFn::Pow:
    return [](double a, double b) { return std::pow(a, b); };
  case BinaryFn::Min:
    return minimum;
  case BinaryFn::Max:
    return maximum;
  case BinaryFn::LogAddExp:
    return logAddExp;
  case BinaryFn::And:
    return [](double a, double b) { return a != 0 && b != 0 ? 1.0 : 0.0; };
  case BinaryFn::Or:
    return [](double a, double b) { return a != 0 || b != 0 ? 1.0 : 0.0; };
  }
  llvm_unreachable("every function is handled");
}

Comparison comparison(Predicate predicate) {
  switch (predicate) {
  case Predicate::Eq:
    return [](double a, double b) { return a == b; };
  case Predicate::Ne:
    return [](double a, double b) { return a != b; };
  case Predicate::Lt:
    return [](double a, double b) { return a < b; };
  case Predicate::Le:
    return [](double a, double b) { return a <= b; };
  case Predicate::Gt:
    return [](double a, double b) { return a > b; };
  case Predicate::Ge:
    return [](double a, double b) { return a >= b; };
  }
  llvm_unreachable("every predicate is handled");
}

} // namespace seqmix::reference
