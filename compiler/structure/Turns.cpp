//===- Turns.cpp - angles that are fractions of a turn --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Turns.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <numbers>
#include <numeric>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

/// A real number as a fraction of small integers, to the last digits of a double.
static std::optional<std::pair<int64_t, int64_t>> fractionOf(double value) {
  constexpr double kTolerance = 1e-15;
  constexpr int64_t kMost = 1 << 20;
  // Convergents of the continued fraction.
  int64_t above = 1, below = 0, lastAbove = 0, lastBelow = 1;
  double rest = std::fabs(value);
  while (rest < kMost) {
    auto whole = static_cast<int64_t>(std::floor(rest));
    int64_t nextAbove = whole * above + lastAbove, nextBelow = whole * below + lastBelow;
    if (nextAbove > kMost || nextBelow > kMost)
      return std::nullopt;
    lastAbove = std::exchange(above, nextAbove);
    lastBelow = std::exchange(below, nextBelow);
    double fraction = static_cast<double>(above) / static_cast<double>(below);
    if (above && std::fabs(fraction - std::fabs(value)) <= kTolerance * fraction)
      return std::pair(value < 0 ? -above : above, below);
    rest = 1 / (rest - static_cast<double>(whole));
  }
  return std::nullopt;
}

/// Flattens an integer product; false where its coefficient would get too large.
static bool collectFactors(Expr e, int64_t &coef, SmallVectorImpl<Expr> &factors) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (e->isBinary(BinaryFn::Mul))
    return llvm::all_of(e->operands(),
                        [&](Expr operand) { return collectFactors(operand, coef, factors); });
  if (!e->is(ExprKind::Integer)) {
    factors.push_back(e);
    return true;
  }
  return !__builtin_mul_overflow(coef, e->integer(), &coef) && coef && std::abs(coef) < kMost;
}

std::optional<Turns> Turns::of(ExprContext &context, Expr angle) {
  Product product = context.factors(angle);
  auto half = fractionOf(product.coef / std::numbers::pi);
  if (!half)
    return std::nullopt;
  Turns turns{half->first, half->second, {}, {}};
  for (Expr factor : product.factors) {
    bool isBelow = factor->isBinary(BinaryFn::Div) && factor->operand(0)->isReal(1);
    Expr number = isBelow ? factor->operand(1) : factor;
    if (!number->is(ExprKind::ToReal) || number->operand(0)->type() != ValueType::Integer ||
        !collectFactors(number->operand(0), isBelow ? turns.below : turns.above,
                        isBelow ? turns.divisors : turns.factors))
      return std::nullopt;
  }
  // One that is taken modulo whole turns already.
  if (turns.factors.size() == 1 && turns.factors[0]->isBinary(BinaryFn::Mod)) {
    Expr inner = turns.factors[0]->operand(0);
    int64_t period = 1, coef = 1;
    SmallVector<Expr> periods, factors;
    bool isKnown = collectFactors(turns.factors[0]->operand(1), period, periods) &&
                   collectFactors(inner, coef, factors);
    auto sorted = [](SmallVector<Expr> list) {
      llvm::sort(list, [](Expr a, Expr b) { return a->id() < b->id(); });
      return list;
    };
    if (isKnown && sorted(periods) == sorted(turns.divisors) &&
        turns.above * period % (2 * turns.below) == 0) {
      turns.above *= coef;
      turns.factors = factors;
    }
  }
  int64_t common = std::gcd(turns.above, turns.below);
  turns.above /= common;
  turns.below /= common;
  return turns;
}

Expr Turns::product(ExprContext &context, int64_t coef, ArrayRef<Expr> list) const {
  Expr result = nullptr;
  for (Expr factor : list)
    result = result ? context.mul(result, factor) : factor;
  if (!result)
    return context.integer(coef);
  return coef == 1 ? result : context.mul(context.integer(coef), result);
}

Expr Turns::reduced(ExprContext &context) const {
  Expr rest = context.binary(BinaryFn::Mod, product(context, above, factors),
                             product(context, 2 * below, divisors));
  return context.div(context.mul(context.real(std::numbers::pi), context.toReal(rest)),
                     context.toReal(product(context, below, divisors)));
}

Expr Turns::reducedInReals(ExprContext &context) const {
  Expr number = context.toReal(product(context, above, factors));
  Expr period = context.toReal(product(context, 2 * below, divisors));
  Expr whole = context.toReal(context.unary(UnaryFn::Floor, context.div(number, period)));
  Expr rest = context.sub(number, context.mul(whole, period));
  return context.mul(context.real(2 * std::numbers::pi), context.div(rest, period));
}

} // namespace seqmix
