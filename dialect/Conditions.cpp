//===- Conditions.cpp - what is known of integers in a body ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/Conditions.h"

#include "dialect/Carry.h"

#include "mlir/Analysis/Presburger/IntegerRelation.h"
#include "mlir/Analysis/Presburger/Simplex.h"
#include "llvm/ADT/TypeSwitch.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace {
/// Beyond this many alternatives a condition is left out.
constexpr size_t kMaxAlternatives = 64;

/// `value - by >= 0` for `>=`, and the like.
LinearValue difference(const LinearValue &from, const LinearValue &minus, int64_t constant) {
  LinearValue result = from;
  result.add(minus, -1).constant += constant;
  return result;
}

std::string keyOf(const LinearValue &value) {
  std::string key = std::to_string(value.constant);
  for (auto [unknown, coefficient] : value.terms)
    key += "," + std::to_string(unknown) + "*" + std::to_string(coefficient);
  return key;
}
} // namespace

LinearValue &LinearValue::add(const LinearValue &other, int64_t factor) {
  for (auto [unknown, coefficient] : other.terms) {
    int64_t &mine = terms[unknown];
    mine += coefficient * factor;
    if (mine == 0)
      terms.erase(unknown);
  }
  constant += other.constant * factor;
  return *this;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

LinearValue Conditions::unknown() {
  LinearValue value;
  value.terms[unknowns++] = 1;
  return value;
}

LinearValue Conditions::named(const std::string &key) {
  auto [entry, isNew] = names.try_emplace(key, unknowns);
  if (isNew)
    return unknown();
  LinearValue value;
  value.terms[entry->second] = 1;
  return value;
}

/// The quotient rounded down, with the bounds that make it one.
LinearValue Conditions::quotient(const LinearValue &dividend, int64_t divisor) {
  unsigned before = unknowns;
  LinearValue result = named("(" + keyOf(dividend) + ")/" + std::to_string(divisor));
  if (unknowns != before) {
    LinearValue rest = dividend;
    ranges.push_back(rest.add(result, -divisor));
    LinearValue room;
    room.constant = divisor - 1;
    ranges.push_back(room.add(rest, -1));
  }
  return result;
}

LinearValue Conditions::value(AffineExpr expr, ArrayRef<LinearValue> operands) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return operands[dim.getPosition()];
  LinearValue result;
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    result.constant = constant.getValue();
    return result;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return unknown();
  LinearValue lhs = value(binary.getLHS(), operands), rhs = value(binary.getRHS(), operands);
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return lhs.add(rhs);
  case AffineExprKind::Mul:
    if (rhs.isConstant())
      return result.add(lhs, rhs.constant);
    if (lhs.isConstant())
      return result.add(rhs, lhs.constant);
    return unknown();
  case AffineExprKind::FloorDiv:
  case AffineExprKind::Mod: {
    if (!rhs.isConstant() || rhs.constant < 1)
      return unknown();
    LinearValue whole = quotient(lhs, rhs.constant);
    return binary.getKind() == AffineExprKind::Mod ? lhs.add(whole, -rhs.constant) : whole;
  }
  default:
    return unknown();
  }
}

LinearValue Conditions::ofBinary(BinaryOp op) {
  LinearValue lhs = value(op.getLhs()), rhs = value(op.getRhs()), result;
  switch (op.getFn()) {
  case BinaryFn::Add:
    return lhs.add(rhs);
  case BinaryFn::Sub:
    return lhs.add(rhs, -1);
  case BinaryFn::Mul:
    if (rhs.isConstant())
      return result.add(lhs, rhs.constant);
    if (lhs.isConstant())
      return result.add(rhs, lhs.constant);
    return unknown();
  case BinaryFn::FloorDiv:
  case BinaryFn::Mod: {
    if (!rhs.isConstant() || rhs.constant < 1)
      return unknown();
    LinearValue whole = quotient(lhs, rhs.constant);
    return op.getFn() == BinaryFn::Mod ? lhs.add(whole, -rhs.constant) : whole;
  }
  case BinaryFn::Min:
  case BinaryFn::Max:
    result = unknown();
    for (const LinearValue &side : {lhs, rhs})
      add(op.getFn() == BinaryFn::Min ? difference(side, result, 0) : difference(result, side, 0));
    return result;
  default:
    return unknown();
  }
}

LinearValue Conditions::value(Value integer) {
  if (auto found = bound.find(integer); found != bound.end())
    return found->second;
  return TypeSwitch<Operation *, LinearValue>(integer.getDefiningOp())
      .Case([&](ConstantOp op) {
        LinearValue result;
        result.constant = cast<IntegerAttr>(op.getValue()).getInt();
        return result;
      })
      .Case([&](ExtentOp op) {
        unsigned before = unknowns;
        LinearValue length = named(("length " + op.getDim()).str());
        if (unknowns != before)
          ranges.push_back(length);
        return length;
      })
      .Case([&](UnaryOp op) {
        LinearValue result;
        return op.getFn() == UnaryFn::Neg ? result.add(value(op.getOperand()), -1) : unknown();
      })
      .Case([&](BinaryOp op) { return ofBinary(op); })
      .Case([&](ReadOp op) {
        SmallVector<LinearValue> operands;
        for (Value operand : op.getOperands())
          operands.push_back(value(operand));
        std::string key = ("read " + op.getSource()).str();
        for (AffineExpr expr : op.getMap().getResults())
          key += "[" + keyOf(value(expr, operands)) + "]";
        return named(key);
      })
      .Default([&](Operation *) { return unknown(); });
}

//===----------------------------------------------------------------------===//
// Conditions
//===----------------------------------------------------------------------===//

void Conditions::add(const LinearValue &atLeastZero) {
  for (auto &alternative : alternatives)
    alternative.push_back(atLeastZero);
}

Conditions::Cases Conditions::both(const Cases &a, const Cases &b) {
  if (a.size() * b.size() > kMaxAlternatives)
    return a;
  Cases cases;
  for (const auto &left : a)
    for (const auto &right : b) {
      cases.push_back(left);
      llvm::append_range(cases.back(), right);
    }
  return cases;
}

void Conditions::assumeOneOf(const Cases &cases) { alternatives = both(alternatives, cases); }

void Conditions::assumeAtLeast(const LinearValue &value, int64_t least) {
  LinearValue above = value;
  above.constant -= least;
  add(above);
}

void Conditions::assumeInside(const LinearValue &value, FlatSymbolRefAttr dim) {
  add(value);
  auto op = mixer.lookupSymbol<DimOp>(dim.getAttr());
  LinearValue extent;
  if (op.getSize())
    extent.constant = static_cast<int64_t>(*op.getSize());
  else
    extent = named(("length " + dim.getValue()).str());
  add(difference(extent, value, -1));
}

std::optional<std::vector<std::vector<LinearValue>>> Conditions::casesOf(Value condition,
                                                                         bool holds) {
  Operation *op = condition.getDefiningOp();
  if (auto unary = dyn_cast_or_null<UnaryOp>(op))
    return casesOf(unary.getOperand(), !holds);
  if (auto compare = dyn_cast_or_null<CompareOp>(op)) {
    if (!compare.getLhs().getType().isIndex())
      return std::nullopt;
    LinearValue lhs = value(compare.getLhs()), rhs = value(compare.getRhs());
    auto above = [](const LinearValue &x, const LinearValue &y, int64_t by) {
      return std::vector<LinearValue>{difference(x, y, -by)};
    };
    switch (compare.getPredicate()) {
    case Predicate::Lt:
      return {{holds ? above(rhs, lhs, 1) : above(lhs, rhs, 0)}};
    case Predicate::Le:
      return {{holds ? above(rhs, lhs, 0) : above(lhs, rhs, 1)}};
    case Predicate::Gt:
      return {{holds ? above(lhs, rhs, 1) : above(rhs, lhs, 0)}};
    case Predicate::Ge:
      return {{holds ? above(lhs, rhs, 0) : above(rhs, lhs, 1)}};
    case Predicate::Eq:
    case Predicate::Ne:
      if ((compare.getPredicate() == Predicate::Eq) == holds)
        return {{{difference(lhs, rhs, 0), difference(rhs, lhs, 0)}}};
      return {{above(lhs, rhs, 1), above(rhs, lhs, 1)}};
    }
  }
  auto binary = dyn_cast_or_null<BinaryOp>(op);
  if (!binary || (binary.getFn() != BinaryFn::And && binary.getFn() != BinaryFn::Or))
    return std::nullopt;
  auto lhs = casesOf(binary.getLhs(), holds), rhs = casesOf(binary.getRhs(), holds);
  if ((binary.getFn() == BinaryFn::And) != holds) { // either of them
    if (!lhs || !rhs)
      return std::nullopt;
    llvm::append_range(*lhs, *rhs);
    return lhs;
  }
  if (!lhs || !rhs)
    return lhs ? lhs : rhs;
  return both(*lhs, *rhs);
}

void Conditions::assume(Value condition, bool holds) {
  if (auto cases = casesOf(condition, holds))
    assumeOneOf(*cases);
}

std::optional<int64_t> Conditions::most(const LinearValue &value) const {
  using namespace presburger;
  auto row = [&](const LinearValue &of) {
    SmallVector<llvm::DynamicAPInt, 8> coefficients(unknowns + 1, llvm::DynamicAPInt(0));
    for (auto [unknown, coefficient] : of.terms)
      coefficients[unknown] = coefficient;
    coefficients.back() = of.constant;
    return coefficients;
  };
  int64_t most = std::numeric_limits<int64_t>::min();
  for (const auto &alternative : alternatives) {
    Simplex simplex(unknowns);
    for (const auto *list : {&ranges, &alternative})
      for (const LinearValue &atLeastZero : *list)
        simplex.addInequality(row(atLeastZero));
    if (simplex.isEmpty())
      continue;
    MaybeOptimum<Fraction> optimum = simplex.computeOptimum(Simplex::Direction::Up, row(value));
    if (optimum.isUnbounded())
      return std::nullopt;
    if (optimum.isBounded())
      most = std::max(most, int64_t(floor(*optimum)));
  }
  return most;
}
