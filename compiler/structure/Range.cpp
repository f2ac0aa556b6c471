//===- Range.cpp - what is provable about the size of values ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Range.h"

#include "compiler/reference/Functions.h"
#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Zero times an unbounded value is zero here: the bounds themselves are not reached.
double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Interval multiply(Interval a, Interval b) {
  double products[] = {times(a.low, b.low), times(a.low, b.high), times(a.high, b.low),
                       times(a.high, b.high)};
  return {*std::min_element(products, products + 4), *std::max_element(products, products + 4)};
}

Interval reciprocal(Interval a) {
  if (a.low >= 0)
    return {1 / a.high, a.low == 0 ? kInf : 1 / a.low};
  if (a.high <= 0)
    return {a.high == 0 ? -kInf : 1 / a.high, 1 / a.low};
  return {};
}

double plus(double a, double b, double otherwise) {
  double sum = a + b;
  return std::isnan(sum) ? otherwise : sum;
}

Interval add(Interval a, Interval b) {
  return {plus(a.low, b.low, -kInf), plus(a.high, b.high, kInf)};
}
Interval negate(Interval a) { return {-a.high, -a.low}; }

} // namespace

Interval Ranges::of(Expr e) {
  if (auto found = known.find(e); found != known.end())
    return found->second;
  // Values that depend on themselves are states at another token; nothing is known of them.
  known[e] = {};
  Interval result = compute(e);
  return known[e] = result;
}

Interval Ranges::compute(Expr e) {
  switch (e->kind()) {
  case ExprKind::Real:
    return {e->real(), e->real()};
  case ExprKind::Integer:
  case ExprKind::Boolean:
    return {double(e->integer()), double(e->integer())};
  case ExprKind::Index:
    return {0, model.isRuntime(e->var()->dim) ? kInf : double(model.size(e->var()->dim) - 1)};
  case ExprKind::Extent:
    return {0, kInf};
  case ExprKind::Read:
    return ofRead(e);
  case ExprKind::Unary:
    return ofUnary(e);
  case ExprKind::Binary:
    return ofBinary(e);
  case ExprKind::Compare:
    return {0, 1};
  case ExprKind::Select:
    return of(e->operand(1)).hull(of(e->operand(2)));
  case ExprKind::ToReal:
    return of(e->operand(0));
  case ExprKind::Reduce: {
    Interval body = of(e->operand(0));
    double count = 1;
    for (Var var : e->boundVars())
      count = model.isRuntime(var->dim) ? kInf : count * model.size(var->dim);
    if (e->isReduce(ReduceKind::Sum))
      return multiply(body, {count, count});
    if (e->isReduce(ReduceKind::Prod))
      return body.within(0, 1) ? Interval{0, 1} : body.low >= 0 ? Interval{0, kInf} : Interval{};
    return body;
  }
  case ExprKind::Map:
    return e->mapKind() == MapKind::Softmax ? Interval{0, 1} : Interval{};
  }
  llvm_unreachable("kind");
}

Interval Ranges::ofRead(Expr e) {
  Interval range;
  Equation *equation = model.equation(e->symbol());
  if (auto tensor = dyn_cast_or_null<TensorOp>(model.lookup(e->symbol()))) {
    if (auto promise = tensor.getRange())
      range = {cast<FloatAttr>((*promise)[0]).getValueAsDouble(),
               cast<FloatAttr>((*promise)[1]).getValueAsDouble()};
    else if (tensor.getDtype().isInteger(1))
      range = {0, 1};
  } else if (equation && !model.state(e->symbol())) {
    range = of(equation->body);
  } else {
    return {};
  }
  // Outside the extent, and before the first token, reads are zero.
  bool isInside = llvm::all_of(
      e->operands(), [](Expr at) { return at->is(ExprKind::Index) || at->is(ExprKind::Integer); });
  return isInside ? range : range.hull({0, 0});
}

//===----------------------------------------------------------------------===//
// Values that occur twice
//===----------------------------------------------------------------------===//

static bool isPart(Expr e) {
  return !e->isBinary(BinaryFn::Add) && !e->isBinary(BinaryFn::Sub) &&
         !e->isBinary(BinaryFn::Mul) && !e->isUnary(UnaryFn::Neg);
}

// What sums and products are made of.
static void addParts(Expr e, SmallVectorImpl<Expr> &parts) {
  if (isPart(e))
    return parts.push_back(e);
  for (Expr operand : e->operands())
    addParts(operand, parts);
}

static bool contains(ExprContext &context, Expr e, Expr u) {
  bool found = false;
  context.walk(e, [&](Expr x) { found |= x == u; });
  return found;
}

// Whether an expression is c * u + d.
static bool isLinear(ExprContext &context, Expr e, Expr u) {
  if (isPart(e))
    return e == u || !contains(context, e, u);
  SmallVector<Expr> parts[2];
  for (auto [operand, list] : llvm::zip(e->operands(), parts)) {
    if (!isLinear(context, operand, u))
      return false;
    addParts(operand, list);
  }
  return !e->isBinary(BinaryFn::Mul) || !llvm::is_contained(parts[0], u) ||
         !llvm::is_contained(parts[1], u);
}

// `l + (1 - l) * s` is no larger than 1 for l and s in [0, 1], though its sides are 1 each.
std::optional<Interval> Ranges::overEnds(Expr e) {
  constexpr unsigned kMostValues = 4;
  if (depth == kMostValues)
    return std::nullopt;
  SmallVector<Expr> left, right;
  addParts(e->operand(0), left);
  addParts(e->operand(1), right);
  for (Expr u : left) {
    if (!llvm::is_contained(right, u) || u->is(ExprKind::Real) || !isLinear(context, e, u))
      continue;
    Interval range = of(u);
    if (!std::isfinite(range.low) || !std::isfinite(range.high))
      continue;
    ++depth;
    auto at = [&](double value) {
      return of(context.rewrite(e, [&](Expr x) { return x == u ? context.real(value) : x; }));
    };
    Interval result = at(range.low).hull(at(range.high));
    --depth;
    return result;
  }
  return std::nullopt;
}

Interval Ranges::ofUnary(Expr e) {
  Interval x = of(e->operand(0));
  auto apply = [&](double v) {
    double y = reference::unaryFunction(e->unaryFn())(v);
    return std::isnan(y) ? v : y;
  };
  switch (e->unaryFn()) {
  case UnaryFn::Neg:
    return negate(x);
  case UnaryFn::Exp:
  case UnaryFn::Expm1:
  case UnaryFn::Sigmoid:
  case UnaryFn::LogSigmoid:
  case UnaryFn::Softplus:
  case UnaryFn::Tanh:
  case UnaryFn::Relu:
  case UnaryFn::Erf:
  case UnaryFn::Sign:
  case UnaryFn::Floor:
    return {apply(x.low), apply(x.high)};
  case UnaryFn::Log:
  case UnaryFn::Log1p: {
    double edge = e->unaryFn() == UnaryFn::Log ? 0 : -1;
    return {x.low <= edge ? -kInf : apply(x.low), x.high <= edge ? -kInf : apply(x.high)};
  }
  case UnaryFn::Sqrt:
    return {x.low > 0 ? std::sqrt(x.low) : 0, x.high > 0 ? std::sqrt(x.high) : 0};
  case UnaryFn::Rsqrt:
    return {x.high > 0 ? 1 / std::sqrt(x.high) : 0, x.low > 0 ? 1 / std::sqrt(x.low) : kInf};
  case UnaryFn::Abs:
    if (x.low >= 0)
      return x;
    return {x.high <= 0 ? -x.high : 0, std::max(-x.low, x.high)};
  // These dip below zero once, on the negative side.
  case UnaryFn::Silu:
    return {x.low >= 0 ? apply(x.low) : -0.2785, x.high <= 0 ? 0 : apply(x.high)};
  case UnaryFn::Gelu:
    return {x.low >= 0 ? apply(x.low) : -0.17, x.high <= 0 ? 0 : apply(x.high)};
  case UnaryFn::Sin:
  case UnaryFn::Cos:
    return {-1, 1};
  case UnaryFn::Not:
    return {0, 1};
  }
  llvm_unreachable("function");
}

// Whether `whole` is a sum of `part` and more, none of it below zero: then part / whole is at
// most 1.
bool Ranges::isPartOf(Expr part, Expr whole) {
  auto plain = [](Expr e) { return e->is(ExprKind::ToReal) ? e->operand(0) : e; };
  bool isFound = false;
  SmallVector<Expr> stack{plain(whole)};
  while (!stack.empty()) {
    Expr e = stack.pop_back_val();
    if (of(e).low < 0)
      return false;
    if (!isFound && e == plain(part))
      isFound = true;
    else if (e->isBinary(BinaryFn::Add))
      stack.append({plain(e->operand(0)), plain(e->operand(1))});
  }
  return isFound;
}

Interval Ranges::ofBinary(Expr e) {
  Interval a = of(e->operand(0)), b = of(e->operand(1));
  switch (e->binaryFn()) {
  case BinaryFn::Add:
  case BinaryFn::Sub: {
    Interval sum = add(a, e->isBinary(BinaryFn::Add) ? b : negate(b));
    if (e->type() == ValueType::Real)
      if (auto ends = overEnds(e))
        sum = {std::max(sum.low, ends->low), std::min(sum.high, ends->high)};
    if (e->type() == ValueType::Real && sum.high > 0)
      if (std::optional<double> bound = boundedByMaximum(e, nullptr))
        sum.high = std::min(sum.high, *bound);
    return sum;
  }
  case BinaryFn::Mul:
    if (e->operand(0) == e->operand(1)) {
      double low = a.low * a.low, high = a.high * a.high;
      return {a.low <= 0 && a.high >= 0 ? 0 : std::min(low, high), std::max(low, high)};
    }
    return multiply(a, b);
  case BinaryFn::Div: {
    Interval quotient = multiply(a, reciprocal(b));
    return isPartOf(e->operand(0), e->operand(1)) ? Interval{0, std::min(quotient.high, 1.0)}
                                                  : quotient;
  }
  case BinaryFn::Min:
    return {std::min(a.low, b.low), std::min(a.high, b.high)};
  case BinaryFn::Max:
    return {std::max(a.low, b.low), std::max(a.high, b.high)};
  case BinaryFn::LogAddExp:
    return {reference::logAddExp(a.low, b.low), reference::logAddExp(a.high, b.high)};
  case BinaryFn::Pow:
    if (a.low > 0 && b.low == b.high)
      return {std::min(std::pow(a.low, b.low), std::pow(a.high, b.low)),
              std::max(std::pow(a.low, b.low), std::pow(a.high, b.low))};
    if (a.low > 0 && a.low == a.high)
      return {std::min(std::pow(a.low, b.low), std::pow(a.low, b.high)),
              std::max(std::pow(a.low, b.low), std::pow(a.low, b.high))};
    return a.low >= 0 ? Interval{0, kInf} : Interval{};
  case BinaryFn::Mod:
    return b.low > 0 ? Interval{0, b.high} : Interval{};
  case BinaryFn::FloorDiv:
    return a.low >= 0 && b.low > 0 ? Interval{0, a.high} : Interval{};
  case BinaryFn::And:
  case BinaryFn::Or:
    return {0, 1};
  }
  llvm_unreachable("function");
}

//===----------------------------------------------------------------------===//
// Stabilisers
//===----------------------------------------------------------------------===//

// Values that are no larger than a read, by the equation of what it reads.
SmallVector<Expr> Ranges::lowerBounds(Expr read) {
  SmallVector<Expr> result;
  Equation *equation = model.equation(read->symbol());
  if (!equation || equation->left.size() != read->operands().size())
    return result;
  Expr body = context.instantiate(*equation, read->operands());
  if (!body)
    return result;
  SmallVector<Expr> stack{body};
  while (!stack.empty()) {
    Expr e = stack.pop_back_val();
    if (e->isBinary(BinaryFn::Max) || e->isBinary(BinaryFn::LogAddExp))
      stack.append({e->operand(1), e->operand(0)});
    else
      result.push_back(e);
  }
  if (result.size() < 2)
    result.clear();
  return result;
}

std::optional<double> Ranges::boundedByMaximum(Expr e, Facts *facts) {
  auto anything = [](Expr) { return true; };
  auto inlineDefinitions = [&](Expr x) {
    return context.inlineReads(x, [&](StringAttr name) -> const Equation * {
      auto found = model.definitions().find(name);
      return found != model.definitions().end() ? &found->second : nullptr;
    });
  };
  // As written, and with the definitions in place of their names.
  for (bool inlined : {false, true}) {
    Expr whole = inlined ? inlineDefinitions(e) : e;
    for (const Product &term : context.summands(whole, anything)) {
      if (term.coef != -1 || term.factors.size() != 1 || !term.factors[0]->is(ExprKind::Read))
        continue;
      Expr read = term.factors[0];
      for (Expr bound : lowerBounds(read)) {
        Expr rest = context.sumOf(
            context.summands(context.add(context.add(whole, read), context.neg(bound)), anything));
        if (inlined)
          rest = context.sumOf(context.summands(inlineDefinitions(rest), anything));
        // One maximum inside another is not looked for: the rest is bounded by intervals.
        bool isLarger = context.reads(rest, read->symbol()) && rest != whole;
        double high = rest->is(ExprKind::Real) ? rest->real() : isLarger ? kInf : of(rest).high;
        if (high > 0)
          continue;
        if (facts)
          facts->insert(fmt::format("{} >= {} (its equation)", seq::toString(context, read),
                                    seq::toString(context, bound)));
        return high;
      }
    }
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

std::string toString(Interval interval) {
  auto number = [](double x) {
    return std::isinf(x) ? std::string(x > 0 ? "inf" : "-inf")
                         : fmt::format("{:.4g}", x == 0 ? 0 : x);
  };
  return fmt::format("[{}, {}]", number(interval.low), number(interval.high));
}

void Ranges::explain(Expr e, Facts &facts) {
  if ((e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub)) && e->type() == ValueType::Real)
    if (boundedByMaximum(e, &facts))
      return;
  if (e->is(ExprKind::Read)) {
    Interval range = of(e);
    if (range == Interval{})
      return;
    if (isa_and_nonnull<TensorOp>(model.lookup(e->symbol())))
      facts.insert(fmt::format("{} in {} (declared)", std::string_view(e->symbol().getValue()),
                               toString(range)));
    else if (Equation *equation = model.equation(e->symbol()))
      explain(equation->body, facts);
    return;
  }
  if (e->is(ExprKind::Index)) {
    if (e->var()->name && model.isRuntime(e->var()->dim))
      facts.insert(fmt::format("{} >= 0", std::string_view(e->var()->name.getValue())));
    return;
  }
  if (e->is(ExprKind::Select)) { // the condition bounds nothing
    explain(e->operand(1), facts);
    explain(e->operand(2), facts);
    return;
  }
  if (e->is(ExprKind::Unary)) {
    switch (e->unaryFn()) {
    case UnaryFn::Exp:
      facts.insert("exp > 0");
      break;
    case UnaryFn::Sigmoid:
      facts.insert("sigmoid in [0, 1]");
      break;
    case UnaryFn::LogSigmoid:
      facts.insert("logsigmoid <= 0");
      break;
    case UnaryFn::Softplus:
      facts.insert("softplus >= 0");
      break;
    case UnaryFn::Tanh:
      facts.insert("tanh in [-1, 1]");
      break;
    case UnaryFn::Erf:
      facts.insert("erf in [-1, 1]");
      return;
    case UnaryFn::Relu:
      facts.insert("relu >= 0");
      break;
    case UnaryFn::Abs:
      facts.insert("abs >= 0");
      break;
    case UnaryFn::Sin:
    case UnaryFn::Cos:
      facts.insert("sin, cos in [-1, 1]");
      return;
    default:
      break;
    }
    // The argument's bound counts where the function's own says nothing.
    if (e->unaryFn() == UnaryFn::Neg || of(e->operand(0)) != Interval{})
      explain(e->operand(0), facts);
    return;
  }
  if (e->is(ExprKind::Binary) && e->operand(0) == e->operand(1) && e->isBinary(BinaryFn::Mul)) {
    facts.insert("squares >= 0");
    return;
  }
  for (Expr operand : e->operands())
    explain(operand, facts);
}

} // namespace seqmix
