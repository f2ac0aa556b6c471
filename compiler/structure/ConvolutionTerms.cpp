//===- ConvolutionTerms.cpp - sums whose weights depend on the distance --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A factor over (t, s) is a weight of the distance n = t - s when nothing of s is left of it after
// t = n + s is put in. Distances of both signs make two filters, one of n >= 0 and one of -n > 0,
// each over the dim of the positions.
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/PairTerms.h"
#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

/// Integers from `low` to `high`, as far as they are known.
struct Interval {
  std::optional<int64_t> low, high;

  void raise(int64_t bound) { low = low ? std::max(*low, bound) : bound; }
  void lower(int64_t bound) { high = high ? std::min(*high, bound) : bound; }
};

/// Expressions of a distance, which lies in a range.
class DistanceTerms {
public:
  DistanceTerms(Model &model, Var distance)
      : model(model), context(model.exprs()), distance(distance) {}

  /// An expression over (row, over) as one of the distance; null when it is none.
  Expr of(Expr e, Var row, Var over) {
    Expr there = context.add(context.index(distance), context.index(over));
    Expr result = context.rewrite(context.substitute(e, {{row, there}}), [&](Expr node) {
      bool isInteger =
          node->is(ExprKind::Compare) && node->operand(0)->type() == ValueType::Integer;
      if (!isInteger)
        return node;
      Expr difference = context.sub(node->operand(0), node->operand(1));
      return context.compare(node->predicate(), difference, context.integer(0));
    });
    return result->dependsOn(over) ? nullptr : result;
  }

  /// Narrows a range by a condition; false when it is no bound of the distance.
  bool narrow(Interval &range, Expr condition) {
    if (!condition->is(ExprKind::Compare))
      return false;
    auto bound = signedOffset(condition->operand(0));
    if (!bound || !condition->operand(1)->is(ExprKind::Integer))
      return false;
    // sign * n + offset compared with zero.
    auto [sign, offset] = *bound;
    auto atLeast = [&](int64_t least) {
      sign > 0 ? range.raise(least - offset) : range.lower(offset - least);
    };
    auto atMost = [&](int64_t most) {
      sign > 0 ? range.lower(most - offset) : range.raise(offset - most);
    };
    switch (condition->predicate()) {
    case Predicate::Eq:
      atLeast(0);
      atMost(0);
      return true;
    case Predicate::Lt:
      atMost(-1);
      return true;
    case Predicate::Le:
      atMost(0);
      return true;
    case Predicate::Gt:
      atLeast(1);
      return true;
    case Predicate::Ge:
      atLeast(0);
      return true;
    case Predicate::Ne:
      return false;
    }
    llvm_unreachable("predicate");
  }

  /// The same value for distances of a range: conditions that are known and reads in front of the
  /// first position are put in.
  Expr within(Expr e, const Interval &range) {
    return context.rewrite(e, [&](Expr node) -> Expr {
      if (node->is(ExprKind::Compare) && node->operand(0)->type() == ValueType::Integer)
        return decided(node, range);
      if (node->isUnary(UnaryFn::Abs) && node->type() == ValueType::Integer)
        return absolute(node, range);
      bool isPosition = node->is(ExprKind::Read) && node->type() == ValueType::Real &&
                        model.variesOverTokens(node->symbol()) && !model.state(node->symbol());
      if (isPosition)
        if (Interval at = valueOf(node->operand(0), range); at.high && *at.high < 0)
          return context.real(0);
      return node;
    });
  }

  /// Whether everything that is read at a position is read at the distance plus a constant, or, of
  /// the caller's tensors, at one that the length counts for: then no later call goes on from here.
  bool isPlain(Expr e) {
    bool result = true;
    context.walk(e, [&](Expr node) {
      if (!node->is(ExprKind::Read) || node->operands().empty() ||
          !model.variesOverTokens(node->symbol()) || !node->operand(0)->dependsOn(distance))
        return;
      bool isFromEnd = false;
      context.walk(node->operand(0), [&](Expr part) { isFromEnd |= part->is(ExprKind::Extent); });
      bool isCallers = isa_and_nonnull<TensorOp>(model.lookup(node->symbol()));
      result &=
          context.offsetFrom(node->operand(0), distance).has_value() || (isFromEnd && isCallers);
    });
    return result;
  }

  /// Whether a value is zero because one of its factors is.
  static bool isZero(Expr e) {
    if (e->isReal(0))
      return true;
    if (e->isBinary(BinaryFn::Mul))
      return llvm::any_of(e->operands(), isZero);
    if (e->isBinary(BinaryFn::Div) || e->isUnary(UnaryFn::Neg))
      return isZero(e->operand(0));
    bool isSum = e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub);
    return isSum && llvm::all_of(e->operands(), isZero);
  }

private:
  /// (1, c) for `n + c` and (-1, c) for `c - n`.
  std::optional<std::pair<int, int64_t>> signedOffset(Expr e) {
    if (auto offset = context.offsetFrom(e, distance))
      return std::pair(1, *offset);
    if (auto offset = context.offsetFrom(context.neg(e), distance))
      return std::pair(-1, -*offset);
    return std::nullopt;
  }

  Interval valueOf(Expr e, const Interval &range) {
    auto form = signedOffset(e);
    if (!form)
      return {};
    auto [sign, offset] = *form;
    auto shift = [offset = offset](std::optional<int64_t> bound, int sign) {
      return bound ? std::optional(sign * *bound + offset) : std::nullopt;
    };
    return sign > 0 ? Interval{shift(range.low, 1), shift(range.high, 1)}
                    : Interval{shift(range.high, -1), shift(range.low, -1)};
  }

  Expr decided(Expr compare, const Interval &range) {
    Interval value = valueOf(context.sub(compare->operand(0), compare->operand(1)), range);
    bool isNegative = value.high && *value.high < 0, isPositive = value.low && *value.low > 0;
    bool isAtMost = value.high && *value.high <= 0, isAtLeast = value.low && *value.low >= 0;
    auto known = [&](bool holds, bool fails) {
      return holds || fails ? context.boolean(holds) : compare;
    };
    switch (compare->predicate()) {
    case Predicate::Eq:
      return known(false, isNegative || isPositive);
    case Predicate::Ne:
      return known(isNegative || isPositive, false);
    case Predicate::Lt:
      return known(isNegative, isAtLeast);
    case Predicate::Le:
      return known(isAtMost, isPositive);
    case Predicate::Gt:
      return known(isPositive, isAtMost);
    case Predicate::Ge:
      return known(isAtLeast, isNegative);
    }
    llvm_unreachable("predicate");
  }

  Expr absolute(Expr e, const Interval &range) {
    Interval value = valueOf(e->operand(0), range);
    if (value.low && *value.low >= 0)
      return e->operand(0);
    return value.high && *value.high <= 0 ? context.neg(e->operand(0)) : e;
  }

  Model &model;
  ExprContext &context;
  Var distance;
};

/// The factors and conditions of a sum over s, by what they depend on.
struct Parts {
  Product signal, filter;
  SmallVector<Expr> signalConditions, filterConditions;
  Interval range;
};

} // namespace

/// Takes a sum apart; nothing when its weights are not those of distances.
static std::optional<Parts> separateByDistance(DistanceTerms &distances, Var row, Var over,
                                               ArrayRef<Expr> factors, Expr domain) {
  Parts parts;
  for (Expr factor : factors) {
    if (!factor->dependsOn(row)) {
      parts.signal.factors.push_back(factor);
      continue;
    }
    Expr weight = distances.of(factor, row, over);
    if (!weight)
      return std::nullopt;
    parts.filter.factors.push_back(weight);
  }
  SmallVector<Expr> conditions;
  if (domain)
    conditions.push_back(domain);
  while (!conditions.empty()) {
    Expr condition = conditions.pop_back_val();
    if (condition->isBinary(BinaryFn::And)) {
      llvm::append_range(conditions, condition->operands());
      continue;
    }
    bool onRow = condition->dependsOn(row), onOver = condition->dependsOn(over);
    if (onOver && !onRow) {
      parts.signalConditions.push_back(condition);
      continue;
    }
    Expr ofDistance = onRow && onOver ? distances.of(condition, row, over) : nullptr;
    if (!ofDistance)
      return std::nullopt;
    if (!distances.narrow(parts.range, ofDistance))
      parts.filterConditions.push_back(ofDistance);
  }
  return parts;
}

Var PairTerms::separateForDistances(Var over, const Product &term, Expr &domain, Product &outside,
                                    Product &inside) {
  if (over->dim != tokenDimOf(model.mixer()).getAttr())
    return nullptr;
  separateFactors(over, term, domain, outside, inside);
  SmallVector<Expr> all(inside.factors);
  all.push_back(domain);
  auto rows = rowsOf(all, {}, over);
  bool isOne = llvm::succeeded(rows) && !rows->empty() && rows->front()->dim == over->dim;
  return isOne ? rows->front() : nullptr;
}

bool PairTerms::isConvolution(Var over, const Product &term, Expr domain) {
  Product outside, inside;
  Var row = separateForDistances(over, term, domain, outside, inside);
  if (!row)
    return false;
  DistanceTerms distances(model, context.freshVar(over->dim, context.attr("n")));
  auto parts = separateByDistance(distances, row, over, inside.factors, domain);
  return parts && !parts->signal.factors.empty() && !parts->filter.factors.empty();
}

Expr PairTerms::convolutionOf(Var over, const Product &term, Expr domain) {
  Product outside, inside;
  Var row = separateForDistances(over, term, domain, outside, inside);
  Expr read = row ? convolution(over, row, inside.factors, domain) : nullptr;
  if (!read)
    return nullptr;
  outside.factors.push_back(read);
  return context.product(outside);
}

bool PairTerms::isPlain(Expr e, Var position) {
  if (!e->is(ExprKind::Read) || e->operands().empty() || model.state(e->symbol()))
    return false;
  ArrayAttr dims = model.dimsOf(e->symbol());
  llvm::SmallDenseSet<Var> seen;
  return llvm::all_of(llvm::enumerate(e->operands()), [&](auto entry) {
    Expr index = entry.value();
    bool isIndex = index->is(ExprKind::Index) && seen.insert(index->var()).second;
    return isIndex && (entry.index() > 0 || index->var() == position) &&
           cast<FlatSymbolRefAttr>(dims[entry.index()]).getAttr() == index->var()->dim;
  });
}

Expr PairTerms::convolution(Var over, Var row, ArrayRef<Expr> factors, Expr domain) {
  Var distance = context.freshVar(over->dim, context.attr("n"));
  DistanceTerms distances(model, distance);
  auto parts = separateByDistance(distances, row, over, factors, domain);
  if (!parts || parts->signal.factors.empty() || parts->filter.factors.empty())
    return nullptr;

  auto restricted = [&](Expr e, ArrayRef<Expr> conditions) {
    for (Expr condition : conditions)
      e = context.select(condition, e, context.real(0));
    return e;
  };
  Expr weight = restricted(context.product(parts->filter), parts->filterConditions);
  Interval &range = parts->range;
  Expr past = nullptr, ahead = nullptr;
  if (!range.high || *range.high >= 0) {
    Interval own = range;
    own.raise(0);
    past = distances.within(weight, own);
  }
  if (!range.low || *range.low < 0) {
    auto negated = [](std::optional<int64_t> bound) {
      return bound ? std::optional(-*bound) : std::nullopt;
    };
    Interval own{negated(range.high), negated(range.low)};
    own.raise(1);
    ahead = distances.within(
        context.substitute(weight, {{distance, context.neg(context.index(distance))}}), own);
  }
  for (Expr *filter : {&past, &ahead})
    if (*filter && DistanceTerms::isZero(*filter))
      *filter = nullptr;
  if (!past && !ahead)
    return nullptr;
  for (Expr filter : {past, ahead})
    if (filter && !distances.isPlain(filter))
      return nullptr;

  PairRequest request{{}, {}, {}, PairKind::Sum, nullptr, nullptr, nullptr, nullptr, {}, *loc};
  request.rows = {rowVar(over->dim)};
  request.overDim = over->dim;
  LagSum sum;
  sum.first = range.low;
  sum.last = range.high;
  auto operand = [&](Expr e, Var position, StringRef what) -> LagOperand {
    if (!isPlain(e, position))
      e = named(e, what, position);
    LagOperand result{e->symbol(), {}};
    for (Expr index : e->operands().drop_front())
      result.features.push_back(index->var());
    return result;
  };
  sum.signal =
      operand(restricted(context.product(parts->signal), parts->signalConditions), over, "signal");
  if (past)
    sum.past = operand(past, distance, "past");
  if (ahead)
    sum.ahead = operand(ahead, distance, "ahead");

  // The indices of the equation, in the order in which they came.
  SmallVector<Var> features;
  for (const LagOperand &own : {sum.signal, sum.past, sum.ahead})
    for (Var var : own.features)
      if (!llvm::is_contained(features, var))
        features.push_back(var);
  llvm::sort(features, [](Var a, Var b) { return a->id < b->id; });
  SmallVector<Expr> subscripts = {context.index(row)};
  Substitution toCanonical;
  llvm::DenseMap<StringAttr, unsigned> ordinals;
  for (Var var : features) {
    request.features.push_back(
        canonical(var->dim, 2 + ordinals[var->dim]++, var->name ? var->name.getValue() : "i"));
    subscripts.push_back(context.index(var));
    for (LagOperand *own : {&sum.signal, &sum.past, &sum.ahead})
      llvm::replace(own->features, var, request.features.back());
  }
  request.lags = std::move(sum);
  auto same = llvm::find_if(all, [&](const PairRequest &other) {
    return other.lags && *other.lags == *request.lags && other.features == request.features;
  });
  if (same == all.end()) {
    declare(request);
    all.push_back(std::move(request));
    same = std::prev(all.end());
  }
  return context.read(same->name, subscripts);
}

} // namespace seqmix
