//===- PairExponent.cpp - exponentials of both of a pair's positions ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/PairExponent.h"

#include "compiler/structure/Range.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

// Exponentials of sums may be finite where those of the parts are not. Parts below this bound are
// safe in every type.
static constexpr double kLargestExponent = 20;

std::optional<PairIndex> pairIndex(Expr e, Var row, Var over) {
  auto scaled = [](PairIndex x, int64_t by) {
    return PairIndex{x.row * by, x.over * by, x.constant * by};
  };
  if (e->is(ExprKind::Integer))
    return PairIndex{0, 0, e->integer()};
  if (e->is(ExprKind::Index)) {
    if (e->var() == row)
      return PairIndex{1, 0, 0};
    return e->var() == over ? std::optional(PairIndex{0, 1, 0}) : std::nullopt;
  }
  if (e->isUnary(UnaryFn::Neg)) {
    auto inner = pairIndex(e->operand(0), row, over);
    return inner ? std::optional(scaled(*inner, -1)) : std::nullopt;
  }
  bool isSum = e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub);
  if (!isSum && !e->isBinary(BinaryFn::Mul))
    return std::nullopt;
  auto a = pairIndex(e->operand(0), row, over), b = pairIndex(e->operand(1), row, over);
  if (!a || !b)
    return std::nullopt;
  if (isSum) {
    PairIndex second = scaled(*b, e->isBinary(BinaryFn::Sub) ? -1 : 1);
    return PairIndex{a->row + second.row, a->over + second.over, a->constant + second.constant};
  }
  if (a->row == 0 && a->over == 0)
    return scaled(*b, a->constant);
  return b->row == 0 && b->over == 0 ? std::optional(scaled(*a, b->constant)) : std::nullopt;
}

Expr stepOf(Model &model, const Equation &equation) {
  ExprContext &context = model.exprs();
  SmallVector<Expr> before;
  for (Var var : equation.left)
    before.push_back(context.index(var));
  before[0] = context.sub(before[0], context.integer(1));
  Expr previous = context.read(equation.name, before);
  SmallVector<Product> added = context.summands(equation.body, [](Expr) { return false; });
  auto isPrevious = [&](const Product &p) {
    return p.coef == 1 && p.factors.size() == 1 && p.factors[0] == previous;
  };
  auto *own = llvm::find_if(added, isPrevious);
  if (own == added.end())
    return nullptr;
  added.erase(own);
  Expr step = context.sumOf(added);
  return context.reads(step, equation.name) ? nullptr : step;
}

bool PairExponents::fail(std::string text) {
  failure = std::move(text);
  return false;
}

Expr PairExponents::at(Expr e, Var var, int64_t offset) {
  return context.substitute(
      e, {{order.over, context.add(context.index(var), context.integer(offset))}});
}

std::optional<PairFactors> PairExponents::exponential(Expr exponent, std::string &reason) {
  bool isKnown = true;
  for (const Product &term : context.summands(exponent, [&](Expr f) { return ties(f); }))
    isKnown = isKnown && sort(term);
  if (!isKnown || !matchRunning() || !addDistances() || !addRest()) {
    reason =
        fmt::format("'{}' {}", toString(context, context.unary(UnaryFn::Exp, exponent)), failure);
    return std::nullopt;
  }
  PairFactors result;
  if (!steps.empty())
    result.decay = context.unary(UnaryFn::Exp, context.sumOf(steps));
  result.factors = factors;
  return result;
}

std::optional<PairFactors> PairExponents::power(Expr base, Expr exponent, std::string &reason) {
  Expr whole = exponent->is(ExprKind::ToReal) ? exponent->operand(0) : exponent;
  auto index =
      whole->type() == ValueType::Integer ? pairIndex(whole, order.row, order.over) : std::nullopt;
  bool isOfBase = base->dependsOn(order.row) || base->dependsOn(order.over);
  if (!isOfBase && index && index->row == -index->over) {
    auto powered = [&](int64_t by) {
      return by == 1 ? base : context.binary(BinaryFn::Pow, base, context.real(double(by)));
    };
    PairFactors result;
    result.decay = powered(index->row * order.sign());
    if (int64_t nearest = index->row * order.shift + index->constant)
      result.factors.push_back(powered(nearest));
    return result;
  }
  if (base->is(ExprKind::Real) && base->real() > 0)
    return exponential(context.mul(context.real(std::log(base->real())), exponent), reason);
  reason = fmt::format("'{}' is no power of a distance",
                       toString(context, context.binary(BinaryFn::Pow, base, exponent)));
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// The terms of the exponent
//===----------------------------------------------------------------------===//

bool PairExponents::sort(const Product &term) {
  auto isIndex = [&](Expr f) {
    return f->is(ExprKind::ToReal) && f->operand(0)->type() == ValueType::Integer &&
           (f->dependsOn(order.row) || f->dependsOn(order.over)) &&
           pairIndex(f->operand(0), order.row, order.over);
  };
  if (llvm::count_if(term.factors, isIndex) == 1) {
    Product rest{term.coef, {}};
    PairIndex index;
    for (Expr f : term.factors) {
      if (isIndex(f))
        index = *pairIndex(f->operand(0), order.row, order.over);
      else
        rest.factors.push_back(f);
    }
    Expr multiple = context.product({1, rest.factors});
    if (!multiple->dependsOn(order.row) && !multiple->dependsOn(order.over)) {
      auto &[ofRowIndex, ofOverIndex] = distances[multiple];
      ofRowIndex += rest.coef * double(index.row);
      ofOverIndex += rest.coef * double(index.over);
      if (index.constant)
        ofNone.push_back({rest.coef * double(index.constant), rest.factors});
      return true;
    }
  }
  Expr whole = context.product(term);
  if (!whole->dependsOn(order.row))
    (whole->dependsOn(order.over) ? ofOver : ofNone).push_back(term);
  else if (!whole->dependsOn(order.over))
    ofRow.push_back(term);
  else
    return fail(fmt::format("is no exponential of a distance: '{}' ties two positions",
                            toString(context, whole)));
  return true;
}

/// The state whose multiple a term is, if each token adds to it.
std::optional<PairExponents::Running> PairExponents::running(const Product &term, Var position) {
  // Definitions are read in the place of their token.
  Expr whole = context.product(term);
  std::optional<int64_t> shift;
  context.walk(whole, [&](Expr node) {
    if (node->is(ExprKind::Read) && model.variesOverTokens(node->symbol()) && !shift)
      shift = context.offsetFrom(node->operand(0), position);
  });
  if (!shift)
    return std::nullopt;
  whole = context.substitute(
      whole, {{position, context.sub(context.index(position), context.integer(*shift))}});
  Expr inlined = context.inlineReads(whole, [&](StringAttr name) {
    auto found = model.definitions().find(name);
    return found != model.definitions().end() ? &found->second : nullptr;
  });
  SmallVector<Product> terms = context.summands(inlined, [](Expr) { return true; });
  if (terms.size() != 1)
    return std::nullopt;
  Product &product = terms[0];
  auto isState = [&](Expr f) { return f->is(ExprKind::Read) && model.state(f->symbol()); };
  auto found = llvm::find_if(product.factors, isState);
  if (found == product.factors.end())
    return std::nullopt;
  Expr read = *found;
  product.factors.erase(found);
  auto offset = context.offsetFrom(read->operand(0), position);
  Expr multiple = context.product({1, product.factors});
  if (!offset || multiple->dependsOn(position) ||
      model.state(read->symbol()).getDirection() != Direction::Forward)
    return std::nullopt;
  const Equation &equation = *model.equation(read->symbol());
  Expr step = stepOf(model, equation);
  if (!step)
    return std::nullopt;
  Substitution here{{equation.left[0], context.index(order.over)}};
  SmallVector<Expr> subscripts{context.index(order.over)};
  for (auto [var, subscript] :
       llvm::zip_equal(ArrayRef(equation.left).drop_front(), read->operands().drop_front())) {
    here[var] = subscript;
    subscripts.push_back(subscript);
  }
  return Running{context.mul(multiple, context.read(read->symbol(), subscripts)),
                 context.mul(multiple, context.substitute(step, here)), *offset + *shift,
                 product.coef};
}

/// Pairs c * G[t] with -c * G[s].
bool PairExponents::matchRunning() {
  for (auto *term = ofRow.begin(); term != ofRow.end();) {
    std::optional<Running> row = running(*term, order.row), over;
    auto *partner = row ? llvm::find_if(ofOver,
                                        [&](const Product &candidate) {
                                          over = running(candidate, order.over);
                                          return over && over->multiple == row->multiple &&
                                                 over->coef == -row->coef;
                                        })
                        : ofOver.end();
    if (!row || !over || partner == ofOver.end()) {
      ++term;
      continue;
    }
    // From one token to the next, away from the nearest.
    Product step{row->coef * double(order.sign()), {row->step}};
    Expr fall = context.product(step);
    if (!(Ranges(model).of(fall).high <= 0))
      return fail(fmt::format("has an exponent that is not known to fall with the distance: "
                              "nothing bounds '{}' by 0",
                              toString(context, fall)));
    bool isForward = order.direction == Direction::Forward;
    int64_t nearest = isForward ? row->offset + order.shift : -(row->offset + order.shift);
    int64_t behind = over->offset;
    if (nearest < 0 || nearest > 1 || behind > 0 || behind < (isForward ? -1 : 0))
      return fail("reads a running sum at other tokens");
    steps.push_back({1, {isForward ? fall : at(fall, order.over, 1)}});
    if (nearest)
      factors.push_back(
          context.unary(UnaryFn::Exp, at(fall, order.row, isForward ? row->offset : 1)));
    if (behind)
      factors.push_back(context.unary(UnaryFn::Exp, fall));
    term = ofRow.erase(term);
    ofOver.erase(partner);
  }
  return true;
}

bool PairExponents::addDistances() {
  for (auto &[multiple, coefs] : distances) {
    auto [row, over] = coefs;
    if (row != -over)
      return fail("grows with the position itself");
    if (row == 0)
      continue;
    steps.push_back({row * double(order.sign()), {multiple}});
    if (order.shift)
      ofNone.push_back({row * double(order.shift), {multiple}});
  }
  return true;
}

bool PairExponents::addRest() {
  // Alone, a part may overflow where the whole does not: where the other part or the distance
  // between the nearest two lowers it.
  bool isLowered = (!ofRow.empty() && !ofOver.empty()) || (order.shift && !steps.empty());
  Ranges ranges(model);
  for (auto *part : {&ofRow, &ofOver}) {
    if (part->empty())
      continue;
    Expr exponent = context.sumOf(*part);
    if (isLowered && ranges.of(exponent).high > kLargestExponent)
      return fail(fmt::format("cannot be taken apart: '{}' has no declared upper bound, and its "
                              "exponential alone could overflow",
                              toString(context, exponent)));
    factors.push_back(context.unary(UnaryFn::Exp, exponent));
  }
  if (!ofNone.empty())
    factors.push_back(context.unary(UnaryFn::Exp, context.sumOf(ofNone)));
  return true;
}

} // namespace seqmix
