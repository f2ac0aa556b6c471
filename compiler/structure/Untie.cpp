//===- Untie.cpp - factors of rows and factors of the rest --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Untie.h"

#include "compiler/structure/Range.h"
#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

// Exponentials of sums may be finite where those of the parts are not. Parts below this bound are
// safe in every type.
constexpr double kLargestExponent = 20;

bool Untier::isOfRows(Expr e) const {
  return llvm::any_of(rows, [&](Var v) { return e->dependsOn(v); });
}

bool Untier::mixes(Expr e) const {
  return isOfRows(e) && llvm::any_of(e->freeVars(), [&](Var v) {
           return !llvm::is_contained(common, v) && !llvm::is_contained(rows, v);
         });
}

Expr Untier::untie(Expr e) {
  if (e->is(ExprKind::Read)) {
    auto found = model.definitions().find(e->symbol());
    return found != model.definitions().end() ? context.instantiate(found->second, e->operands())
                                              : nullptr;
  }
  if (e->isBinary(BinaryFn::Div) && e->operand(0)->isReal(1))
    if (Expr below = untie(e->operand(1)))
      return context.div(context.real(1), below);
  if (e->isUnary(UnaryFn::Abs)) {
    Product p = context.factors(e->operand(0));
    if (p.factors.size() < 2)
      return nullptr;
    Expr result = context.real(std::fabs(p.coef));
    for (Expr f : p.factors)
      result = context.mul(result, context.unary(UnaryFn::Abs, f));
    return result;
  }
  if (e->isUnary(UnaryFn::Exp))
    return untieExponential(e->operand(0));
  return nullptr;
}

// exp(a[i] + b[j]) = exp(a[i]) * exp(b[j]), where neither part can overflow while the whole does
// not.
Expr Untier::untieExponential(Expr exponent) {
  SmallVector<Product> ofRows, others;
  for (Product &term : context.summands(exponent, [&](Expr f) { return mixes(f); })) {
    Expr e = context.product(term);
    if (mixes(e)) {
      Expr other = e->is(ExprKind::Read) ? untie(e) : nullptr;
      if (!other)
        return nullptr;
      return context.unary(UnaryFn::Exp,
                           context.rewrite(exponent, [&](Expr n) { return n == e ? other : n; }));
    }
    (isOfRows(e) ? ofRows : others).push_back(term);
  }
  Expr rowPart = context.sumOf(ofRows), otherPart = context.sumOf(others);
  Ranges ranges(model);
  if (ranges.of(rowPart).high > kLargestExponent || ranges.of(otherPart).high > kLargestExponent) {
    sawUnbounded = true;
    return nullptr;
  }
  return context.mul(context.unary(UnaryFn::Exp, rowPart), context.unary(UnaryFn::Exp, otherPart));
}

} // namespace seqmix
