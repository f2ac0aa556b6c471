//===- PhaseTerms.cpp - sums with exp(i theta t s) as convolutions ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// As t s = (t^2 + s^2 - (t - s)^2) / 2, the cosine of theta t s is one of P_t + P_s - Q_{t-s} with
// phases of squares: products of factors of t, of s and of the distance. So such sums, discrete
// Fourier transforms of any length among them, are convolutions of the signal times the phases of
// s. Phases that are fractions of a turn stay exact at any length.
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/PairTerms.h"
#include "compiler/structure/Turns.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {
/// An angle with the product of a position t and s, once each.
struct PositionAngle {
  Turns turns; // without the two
  Var row;
};
} // namespace

static std::optional<PositionAngle> angleOf(ExprContext &context, Expr factor, Var over) {
  if (!factor->isUnary(UnaryFn::Cos) && !factor->isUnary(UnaryFn::Sin))
    return std::nullopt;
  auto turns = Turns::of(context, factor->operand(0));
  if (!turns)
    return std::nullopt;
  PositionAngle angle{*turns, nullptr};
  angle.turns.factors.clear();
  bool hasOver = false;
  for (Expr e : turns->factors) {
    bool isPosition = e->is(ExprKind::Index) && e->var()->dim == over->dim;
    if (isPosition && e->var() == over && !hasOver)
      hasOver = true;
    else if (isPosition && e->var() != over && !angle.row)
      angle.row = e->var();
    else
      angle.turns.factors.push_back(e);
  }
  auto isOther = [&](Expr e) { return !e->dependsOn(over) && !e->dependsOn(angle.row); };
  bool isAngle = hasOver && angle.row && llvm::all_of(angle.turns.factors, isOther) &&
                 llvm::all_of(angle.turns.divisors, isOther);
  return isAngle ? std::optional(std::move(angle)) : std::nullopt;
}

std::optional<SmallVector<Product>> PairTerms::phaseTerms(Var over, const Product &term) {
  for (auto [place, factor] : llvm::enumerate(term.factors)) {
    auto angle = angleOf(context, factor, over);
    if (!angle)
      continue;
    // Half the angle of a square.
    auto phase = [&](Expr position, UnaryFn function) {
      Turns turns = angle->turns;
      turns.above % 2 == 0 ? turns.above /= 2 : turns.below *= 2;
      turns.factors.append({position, position});
      return context.unary(function, turns.reduced(context));
    };
    Expr t = context.index(angle->row), s = context.index(over);
    auto at = [&](Expr position) {
      return std::pair(phase(position, UnaryFn::Cos), phase(position, UnaryFn::Sin));
    };
    auto [cosRow, sinRow] = at(t);
    auto [cosOver, sinOver] = at(s);
    auto [cosLag, sinLag] = at(context.sub(t, s));
    Product rest = term;
    rest.factors.erase(rest.factors.begin() + place);
    SmallVector<Product> result;
    auto add = [&](double sign, Expr ofRow, Expr ofLag, Expr ofOver) {
      Product part = rest;
      part.coef *= sign;
      part.factors.append({ofRow, ofLag, ofOver});
      result.push_back(std::move(part));
    };
    // cos(P_t + R) = cos P_t cos R - sin P_t sin R and so on, where R = P_s - Q.
    bool isCos = factor->isUnary(UnaryFn::Cos);
    Expr ofCos = isCos ? cosRow : sinRow, ofSin = isCos ? sinRow : cosRow;
    double sign = isCos ? -1 : 1;
    add(1, ofCos, cosLag, cosOver);
    add(1, ofCos, sinLag, sinOver);
    add(sign, ofSin, cosLag, sinOver);
    add(-sign, ofSin, sinLag, cosOver);
    return result;
  }
  return std::nullopt;
}

SmallVector<Product> PairTerms::expandPhases(Var over, ArrayRef<Product> terms, Expr domain) {
  // Those with the same weights of t and of the distance are one convolution of the signals' sum.
  struct Merged {
    SmallVector<Expr> weights;
    SmallVector<Product> signals;
  };
  SmallVector<Product> result;
  std::vector<Merged> all;
  for (const Product &term : terms) {
    auto parts = phaseTerms(over, term);
    if (!parts || !llvm::all_of(*parts, [&](const Product &part) {
          return isConvolution(over, part, domain);
        })) {
      result.push_back(term);
      continue;
    }
    for (const Product &part : *parts) {
      SmallVector<Expr> weights;
      Product signal{part.coef, {}};
      for (Expr factor : part.factors) {
        bool isSignal = factor->dependsOn(over) && llvm::all_of(factor->freeVars(), [&](Var var) {
                          return var == over || !isRuntime(var);
                        });
        (isSignal ? signal.factors : weights).push_back(factor);
      }
      auto same = llvm::find_if(all, [&](const Merged &other) { return other.weights == weights; });
      if (same == all.end())
        same = all.insert(all.end(), {weights, {}});
      same->signals.push_back(std::move(signal));
    }
  }
  for (Merged &merged : all) {
    // With the sign outside, a signal and its negative are one definition.
    double sign = merged.signals.front().coef < 0 ? -1 : 1;
    for (Product &signal : merged.signals)
      signal.coef *= sign;
    Product product{sign, merged.weights};
    product.factors.push_back(context.sumOf(merged.signals));
    result.push_back(std::move(product));
  }
  return result;
}

} // namespace seqmix
