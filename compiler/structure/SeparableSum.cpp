//===- SeparableSum.cpp - sums over positions of low rank -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/SeparableSum.h"

#include "compiler/structure/Range.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

static constexpr size_t kMostTerms = 64;
static constexpr double kLargestPower = 4;

static std::string_view nameOf(Var var) { return var->name.getValue(); }

bool SeparableSum::fail(std::string text) {
  failure = std::move(text);
  return false;
}

std::optional<SmallVector<SeparableTerm>>
SeparableSum::run(Expr body, Expr domain, ArrayRef<Var> rank, std::string &reason) {
  Pending whole;
  whole.product = context.factors(body->type() == ValueType::Real ? body : context.toReal(body));
  whole.rank.append(rank.begin(), rank.end());
  bool isKnown = !domain || restrict(whole, domain);
  if (isKnown)
    work.push_back(std::move(whole));
  while (isKnown && !work.empty())
    isKnown = step(work.pop_back_val());
  if (!isKnown) {
    reason = failure;
    return std::nullopt;
  }
  // Expanding is depth-first from the back.
  std::reverse(terms.begin(), terms.end());
  return std::move(terms);
}

//===----------------------------------------------------------------------===//
// Domains
//===----------------------------------------------------------------------===//

/// Order and distance become bounds, conditions of one position factors.
bool SeparableSum::restrict(Pending &term, Expr condition) {
  if (condition->isBinary(BinaryFn::And))
    return restrict(term, condition->operand(0)) &&restrict(term, condition->operand(1));
  if (!ties(condition)) {
    term.product.factors.push_back(context.select(condition, context.real(1), context.real(0)));
    return true;
  }
  auto unknown = [&] {
    return fail(
        fmt::format("its domain '{}' is no order of the positions", toString(context, condition)));
  };
  if (!condition->is(ExprKind::Compare) || condition->operand(0)->type() != ValueType::Integer)
    return unknown();
  auto a = pairIndex(condition->operand(0), row, over),
       b = pairIndex(condition->operand(1), row, over);
  if (!a || !b || a->row - b->row != b->over - a->over)
    return unknown();
  // scale * (row - over) + constant, compared with 0
  int64_t scale = a->row - b->row, constant = a->constant - b->constant;
  Predicate predicate = condition->predicate();
  bool isBelow = predicate == Predicate::Le || predicate == Predicate::Lt;
  bool isAbove = predicate == Predicate::Ge || predicate == Predicate::Gt;
  if ((scale != 1 && scale != -1) || (!isBelow && !isAbove))
    return unknown();
  if (predicate == Predicate::Lt)
    ++constant;
  if (predicate == Predicate::Gt)
    --constant;
  if ((scale == 1) == isAbove)
    term.nearest = std::max(term.nearest.value_or(-constant * scale), -constant * scale);
  else
    term.farthest = std::min(term.farthest.value_or(-constant * scale), -constant * scale);
  return true;
}

//===----------------------------------------------------------------------===//
// Factors of both positions
//===----------------------------------------------------------------------===//

bool SeparableSum::step(Pending term) {
  auto *tied = llvm::find_if(term.product.factors, [&](Expr f) { return ties(f); });
  if (tied == term.product.factors.end())
    return finish(term);
  if (work.size() + terms.size() > kMostTerms)
    return fail("it has too many terms");
  Expr factor = *tied;
  term.product.factors.erase(tied);
  return split(term, factor);
}

/// Whether a value is made of the position or of a running sum, without bounds: a difference of two
/// of them must not be taken apart.
bool SeparableSum::grows(const Product &term) {
  Ranges ranges(model);
  llvm::DenseSet<StringAttr> seen;
  SmallVector<Expr> stack;
  for (Expr f : term.factors)
    if (Interval range = ranges.of(f); !std::isfinite(range.low) || !std::isfinite(range.high))
      stack.push_back(f);
  bool found = false;
  while (!found && !stack.empty())
    context.walk(stack.pop_back_val(), [&](Expr node) {
      bool isPosition =
          node->is(ExprKind::ToReal) && !node->operand(0)->is(ExprKind::Read) &&
          llvm::any_of(node->freeVars(), [&](Var var) { return model.isRuntime(var->dim); });
      found |= isPosition;
      if (!node->is(ExprKind::Read) || !seen.insert(node->symbol()).second)
        return;
      Equation *equation = model.equation(node->symbol());
      if (equation && model.state(node->symbol()))
        found |= stepOf(model, *equation) != nullptr;
      else if (equation)
        stack.push_back(equation->body);
    });
  return found;
}

bool SeparableSum::split(Pending &term, Expr factor) {
  auto multiply = [&](Expr e) {
    Product p = context.factors(e);
    term.product.coef *= p.coef;
    llvm::append_range(term.product.factors, p.factors);
  };
  if (factor->is(ExprKind::Select) && factor->operand(2)->isReal(0)) {
    if (!restrict(term, factor->operand(0)))
      return false;
    multiply(factor->operand(1));
    work.push_back(std::move(term));
    return true;
  }
  if (factor->isBinary(BinaryFn::Add) || factor->isBinary(BinaryFn::Sub)) {
    for (const Product &summand : context.summands(factor, [](Expr) { return false; })) {
      if (Expr whole = context.product(summand); !ties(whole) && grows(summand))
        return fail(fmt::format("apart, '{}' outgrows the differences that it stands in",
                                toString(context, whole)));
      Pending part = term;
      part.product.coef *= summand.coef;
      llvm::append_range(part.product.factors, summand.factors);
      work.push_back(std::move(part));
    }
    return true;
  }
  bool isOverFixed =
      factor->isReduce(ReduceKind::Sum) &&
      llvm::none_of(factor->boundVars(), [&](Var var) { return model.isRuntime(var->dim); });
  if (isOverFixed) {
    OpenedExpr o = context.open(factor);
    if (o.domain && !restrict(term, o.domain))
      return false;
    term.rank.append(o.vars);
    multiply(o.body);
    work.push_back(std::move(term));
    return true;
  }
  bool isBelow = factor->isBinary(BinaryFn::Div) && factor->operand(0)->isReal(1);
  Expr base = isBelow ? factor->operand(1) : factor;
  if (base->isUnary(UnaryFn::Exp) || base->isBinary(BinaryFn::Pow)) {
    bool isPower = base->isBinary(BinaryFn::Pow);
    if (isPower && !isBelow && ties(base->operand(0)))
      return expandPower(term, base);
    Expr exponent = base->operand(isPower);
    if (isBelow)
      exponent = context.neg(exponent);
    term.powers.push_back({isPower ? base->operand(0) : nullptr, exponent});
    work.push_back(std::move(term));
    return true;
  }
  std::string what =
      factor->is(ExprKind::Map)
          ? fmt::format("its {} of pairs", std::string_view(stringifyMapKind(factor->mapKind())))
          : fmt::format("'{}'", toString(context, factor));
  return fail(fmt::format("{} is no sum of products of a factor of '{}' and one of '{}'", what,
                          nameOf(row), nameOf(over)));
}

bool SeparableSum::expandPower(Pending &term, Expr factor) {
  Expr exponent = factor->operand(1);
  double n = exponent->is(ExprKind::Real) ? exponent->real() : 0;
  if (n != 2 && n != 3 && n != kLargestPower)
    return fail(fmt::format("'{}' is no small whole power", toString(context, factor)));
  Product base = context.factors(factor->operand(0));
  for (int i = 0; i < int(n); ++i) {
    term.product.coef *= base.coef;
    llvm::append_range(term.product.factors, base.factors);
  }
  work.push_back(std::move(term));
  return true;
}

/// |row - over| where it is known which comes first.
Expr SeparableSum::withoutDistances(Expr e, Direction direction) {
  return context.rewrite(e, [&](Expr node) {
    if (!node->isUnary(UnaryFn::Abs))
      return node;
    bool isReal = node->operand(0)->is(ExprKind::ToReal);
    Expr inner = isReal ? node->operand(0)->operand(0) : node->operand(0);
    auto index = inner->type() == ValueType::Integer ? pairIndex(inner, row, over) : std::nullopt;
    if (!index || index->constant || index->row != -index->over)
      return node;
    bool isNegative = (index->row < 0) == (direction == Direction::Forward);
    Expr distance = isNegative ? context.neg(inner) : inner;
    return isReal ? context.toReal(distance) : distance;
  });
}

bool SeparableSum::finish(const Pending &term) {
  if (!term.nearest && !term.farthest) {
    // All positions: those up to the own one, and those behind it.
    Pending before = term, after = term;
    before.nearest = 0;
    after.farthest = -1;
    return finish(after) && finish(before); // the terms come out from the back
  }
  if (term.nearest && term.farthest)
    return fail(
        fmt::format("its domain is a window of {} positions", *term.farthest - *term.nearest + 1));
  SeparableTerm result;
  result.order = {row, over, term.nearest ? Direction::Forward : Direction::Backward,
                  term.nearest ? *term.nearest : *term.farthest};
  if (int64_t shift = result.order.shift * result.order.sign(); shift < 0)
    return fail(fmt::format("its domain reaches {} positions beyond '{}'", -shift, nameOf(row)));
  else if (shift > 1)
    return fail(fmt::format("its domain ends {} positions away from '{}'", shift, nameOf(row)));
  result.rank = term.rank;
  result.row.coef = term.product.coef;
  auto place = [&](Expr factor) {
    (factor->dependsOn(over) ? result.col : result.row).factors.push_back(factor);
  };
  llvm::for_each(term.product.factors, place);
  Expr decay = nullptr;
  for (auto [base, exponent] : term.powers) {
    Expr known = withoutDistances(exponent, result.order.direction);
    PairExponents exponents(model, result.order);
    auto parts =
        base ? exponents.power(base, known, failure) : exponents.exponential(known, failure);
    if (!parts)
      return false;
    if (parts->decay)
      decay = decay ? context.mul(decay, parts->decay) : parts->decay;
    llvm::for_each(parts->factors, place);
  }
  result.decay = decay;
  auto inOrder = [](Expr a, Expr b) { return ExprContext::compareStructure(a, b) < 0; };
  llvm::sort(result.row.factors, inOrder);
  llvm::sort(result.col.factors, inOrder);
  terms.push_back(std::move(result));
  return true;
}

} // namespace seqmix
