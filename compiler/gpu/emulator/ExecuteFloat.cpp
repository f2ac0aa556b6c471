//===- ExecuteFloat.cpp - floating-point operations --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "compiler/gpu/emulator/DialectEnums.h"
#include "compiler/gpu/emulator/Numbers.h"

#include <cmath>
#include <limits>

namespace seqmix::gpu {
namespace {

bool compareFloats(mlir::LLVM::FCmpPredicate predicate, double a, double b) {
  using P = mlir::LLVM::FCmpPredicate;
  const bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
  case P::_false:
    return false;
  case P::oeq:
    return a == b;
  case P::ogt:
    return a > b;
  case P::oge:
    return a >= b;
  case P::olt:
    return a < b;
  case P::ole:
    return a <= b;
  case P::one:
    return !unordered && a != b;
  case P::ord:
    return !unordered;
  case P::ueq:
    return unordered || a == b;
  case P::ugt:
    return unordered || a > b;
  case P::uge:
    return unordered || a >= b;
  case P::ult:
    return unordered || a < b;
  case P::ule:
    return unordered || a <= b;
  case P::une:
    return unordered || a != b;
  case P::uno:
    return unordered;
  case P::_true:
    return true;
  }
  return false;
}

double flush(double value) {
  return std::fabs(value) < double(std::numeric_limits<float>::min()) ? std::copysign(0.0, value)
                                                                      : value;
}

double apply(UnaryFunction function, double x) {
  using F = UnaryFunction;
  switch (function) {
  case F::Exp:
    return std::exp(x);
  case F::Exp2:
    return std::exp2(x);
  case F::Log:
    return std::log(x);
  case F::Log2:
    return std::log2(x);
  case F::Log10:
    return std::log10(x);
  case F::Sin:
    return std::sin(x);
  case F::Cos:
    return std::cos(x);
  case F::Tanh:
    return std::tanh(x);
  case F::Sqrt:
    return std::sqrt(x);
  case F::ReciprocalSqrt:
    return 1 / std::sqrt(x);
  case F::Reciprocal:
    return 1 / x;
  case F::Floor:
    return std::floor(x);
  case F::Ceil:
    return std::ceil(x);
  case F::Trunc:
    return std::trunc(x);
  case F::Round:
    return std::round(x);
  case F::RoundEven:
    return std::nearbyint(x);
  case F::Exp2Flush:
    return flush(std::exp2(flush(x)));
  case F::Log2Flush:
    return std::log2(flush(x));
  case F::ReciprocalSqrtFlush:
    return 1 / std::sqrt(flush(x));
  case F::ReciprocalFlush:
    return flush(1 / flush(x));
  case F::SqrtFlush:
    return std::sqrt(flush(x));
  }
  return 0;
}

/// The lesser or greater, where -0 is less than 0.
template <typename T> T extremum(T x, T y, bool isMaximum) {
  if (x == y)
    return std::signbit(x) == isMaximum ? y : x;
  return (x < y) == isMaximum ? y : x;
}

template <typename T> T combine(Opcode opcode, T x, T y, T z) {
  switch (opcode) {
  case Opcode::FAdd:
    return x + y;
  case Opcode::FSub:
    return x - y;
  case Opcode::FMul:
    return x * y;
  case Opcode::FDiv:
    return x / y;
  case Opcode::FRem:
    return std::fmod(x, y);
  case Opcode::Fma:
    return std::fma(x, y, z);
  case Opcode::MinNum:
  case Opcode::MaxNum:
    if (std::isnan(x) || std::isnan(y))
      return std::isnan(x) ? y : x;
    return extremum(x, y, opcode == Opcode::MaxNum);
  case Opcode::Minimum:
  case Opcode::Maximum:
    if (std::isnan(x) || std::isnan(y))
      return std::numeric_limits<T>::quiet_NaN();
    return extremum(x, y, opcode == Opcode::Maximum);
  default: // Power
    return std::pow(x, y);
  }
}

} // namespace

void Warp::executeFloat(const Instruction &op, LaneMask active) {
  using Class = Scalar::Class;
  uint64_t *result = lanesOf(op.result);
  const uint64_t *a = lanesOf(op.a);
  const uint64_t *b = op.b == noRegister ? a : lanesOf(op.b);
  const uint64_t *c = op.c == noRegister ? a : lanesOf(op.c);
  const Scalar scalar = op.scalar;
  const uint64_t sign = uint64_t(1) << (scalar.bits - 1);
  auto singles = [&](auto f) {
    forEachLane(active, [&](unsigned lane) {
      result[lane] = bitsOf(f(singleOf(a[lane]), singleOf(b[lane])));
    });
  };
  switch (op.opcode) {
  case Opcode::FNeg:
    forEachLane(active, [&](unsigned lane) { result[lane] = a[lane] ^ sign; });
    return;
  case Opcode::FAbs:
    forEachLane(active, [&](unsigned lane) { result[lane] = a[lane] & ~sign; });
    return;
  case Opcode::CopySign:
    forEachLane(active,
                [&](unsigned lane) { result[lane] = (a[lane] & ~sign) | (b[lane] & sign); });
    return;
  case Opcode::Function:
    forEachLane(active, [&](unsigned lane) {
      result[lane] = fromDouble(scalar, apply(UnaryFunction(op.detail), toDouble(scalar, a[lane])));
    });
    return;
  default:
    break;
  }
  // The frequent ones get loops of their own.
  if (scalar.kind == Class::Single && op.opcode == Opcode::FAdd)
    return singles([](float x, float y) { return x + y; });
  if (scalar.kind == Class::Single && op.opcode == Opcode::FSub)
    return singles([](float x, float y) { return x - y; });
  if (scalar.kind == Class::Single && op.opcode == Opcode::FMul)
    return singles([](float x, float y) { return x * y; });
  if (scalar.kind == Class::Single) {
    forEachLane(active, [&](unsigned lane) {
      result[lane] =
          bitsOf(combine(op.opcode, singleOf(a[lane]), singleOf(b[lane]), singleOf(c[lane])));
    });
    return;
  }
  // A sum, product or quotient of 16-bit numbers that is rounded to double first is the same.
  forEachLane(active, [&](unsigned lane) {
    result[lane] =
        fromDouble(scalar, combine(op.opcode, toDouble(scalar, a[lane]), toDouble(scalar, b[lane]),
                                   toDouble(scalar, c[lane])));
  });
}

void Warp::compareFloat(const Instruction &op, LaneMask active) {
  uint64_t *result = lanesOf(op.result);
  const uint64_t *a = lanesOf(op.a), *b = lanesOf(op.b);
  forEachLane(active, [&](unsigned lane) {
    result[lane] = compareFloats(mlir::LLVM::FCmpPredicate(op.detail), toDouble(op.scalar, a[lane]),
                                 toDouble(op.scalar, b[lane]));
  });
}

} // namespace seqmix::gpu
