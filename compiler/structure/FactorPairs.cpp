//===- FactorPairs.cpp - exponentials of sums of a row's and a column's terms -----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/Range.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_FACTORPAIRS
#include "compiler/Passes.h.inc"

namespace {

// What the kernels allow in their narrowest compute type, f32: exponentials up to 2^86 and
// numerators up to 2^40.
constexpr double kLargestExponent = 59;
constexpr double kLargestNumerator = 1099511627776.0;

/// A function of x as `constant + numerator / (1 + exp(scale * x))`, times x for `timesArgument`.
struct Curve {
  double constant, numerator, scale;
  Expr argument;
  bool timesArgument = false;
};

std::optional<Curve> curveOf(Expr f) {
  if (f->isUnary(UnaryFn::Tanh))
    return Curve{-1, 2, -2, f->operand(0)};
  if (f->isUnary(UnaryFn::Sigmoid))
    return Curve{0, 1, -1, f->operand(0)};
  if (f->isUnary(UnaryFn::Silu))
    return Curve{0, 1, -1, f->operand(0), true};
  // 1 / (1 + exp(x))
  if (!f->isBinary(BinaryFn::Div) || !f->operand(0)->is(ExprKind::Real) ||
      !f->operand(1)->isBinary(BinaryFn::Add))
    return std::nullopt;
  for (unsigned one : {0, 1})
    if (Expr exponential = f->operand(1)->operand(1 - one);
        f->operand(1)->operand(one)->isReal(1) && exponential->isUnary(UnaryFn::Exp))
      return Curve{0, f->operand(0)->real(), 1, exponential->operand(0)};
  return std::nullopt;
}

/// One seq.pairs whose rows have a position.
class PairFactorer {
public:
  PairFactorer(Model &model, PairsOp op) : model(model), context(model.exprs()), op(op) {}

  /// Puts factored forms of parts beside them. False when there are none.
  bool run() {
    SmallVector<unsigned> candidates;
    auto add = [&](int64_t part) {
      if (part >= 0 && !llvm::is_contained(candidates, part))
        candidates.push_back(part);
    };
    if (op.getScore())
      add(*op.getScore());
    for (auto result : op.getOuts().getAsRange<PairResultAttr>())
      add(result.getKind() == PairKind::Each ? result.getValue() : result.getWeight());
    struct Form {
      unsigned of;
      Equation equation;
      bool bounded;
    };
    SmallVector<Form> forms;
    for (unsigned part : candidates) {
      Equation equation = context.import(op, part);
      row = equation.left.front();
      over = equation.left[op.getRows().size()];
      isBounded = true;
      Expr factored = context.rewrite(equation.body, [&](Expr e) { return reduction(e); });
      if (factored == equation.body)
        continue;
      equation.body = factored;
      forms.push_back({part, equation, isBounded});
    }
    if (forms.empty())
      return false;
    OpBuilder builder(op);
    unsigned count = op.getParts().size();
    SmallVector<Attribute> attributes;
    for (auto [number, form] : llvm::enumerate(forms))
      attributes.push_back(
          FactoredPartAttr::get(op.getContext(), form.of, count + number, form.bounded));
    auto wider = PairsOp::create(builder, op.getLoc(), op.getRows(), op.getOverAttr(),
                                 op.getNames(), op.getOuts(), op.getScoreAttr(), op.getDomainAttr(),
                                 builder.getArrayAttr(attributes), count + forms.size());
    for (auto [from, to] : llvm::zip(op.getParts(), wider.getParts()))
      to.takeBody(from);
    for (auto [number, form] : llvm::enumerate(forms)) {
      Region &region = wider.getParts()[count + number];
      context.exportBody(form.equation.body, form.equation.left, region, op.getLoc());
      takeExponential(region, wider.getParts()[form.of]);
    }
    op.erase();
    return true;
  }

private:
  Model &model;
  ExprContext &context;
  PairsOp op;
  Var row = nullptr, over = nullptr;
  bool isBounded = true;

  bool ties(Expr e) const { return e->dependsOn(row) && e->dependsOn(over); }

  /// A weight's number of the score is an argument behind its indices.
  static void takeExponential(Region &region, Region &written) {
    if (region.getNumArguments() == written.getNumArguments())
      return;
    Value argument = region.addArgument(Float64Type::get(region.getContext()), region.getLoc());
    for (auto read : llvm::to_vector(region.getOps<ReadOp>()))
      if (read.getSource() == "e" && read.getOperands().empty()) {
        read.replaceAllUsesWith(argument);
        read.erase();
      }
  }

  /// A sum over features with curves of sums of t's and s's terms in it, or `e` itself.
  Expr reduction(Expr e) {
    if (!e->isReduce(ReduceKind::Sum) || e->operands().size() > 1)
      return e;
    OpenedExpr o = context.open(e);
    auto hasCurve = [&](Expr f) {
      bool found = false;
      if (ties(f))
        context.walk(f, [&](Expr x) { found |= ties(x) && curveOf(x).has_value(); });
      return found;
    };
    if (!hasCurve(o.body))
      return e;
    Expr result = nullptr;
    SmallVector<Product> rest;
    auto accumulate = [&](Expr term) { result = result ? context.add(result, term) : term; };
    for (const Product &term : context.summands(o.body, hasCurve))
      if (Expr own = quotient(o.vars, term))
        accumulate(own);
      else
        rest.push_back(term);
    if (!result)
      return e;
    if (!rest.empty())
      accumulate(context.sum(o.vars, context.sumOf(rest)));
    return result;
  }

  /// The sum of a term with one such curve as one of quotients, or null.
  Expr quotient(ArrayRef<Var> vars, const Product &term) {
    Product rest{1, {}};
    std::optional<Curve> curve;
    for (Expr f : term.factors) {
      if (!ties(f)) {
        rest.factors.push_back(f);
        continue;
      }
      auto own = curveOf(f);
      if (curve || !own)
        return nullptr;
      curve = own;
    }
    if (!curve)
      return nullptr;
    SmallVector<Product> ofRow, ofOver;
    for (Product summand : context.summands(curve->argument, [](Expr) { return false; })) {
      Expr whole = context.product(summand);
      if (ties(whole))
        return nullptr;
      summand.coef *= curve->scale;
      (whole->dependsOn(over) ? ofOver : ofRow).push_back(summand);
    }
    Expr rowExponent = context.sumOf(ofRow), overExponent = context.sumOf(ofOver);
    if (!rowExponent->dependsOn(row) || !isOfElements(rowExponent) || !isOfElements(overExponent))
      return nullptr;
    Expr factor = context.product(rest), numerator = factor;
    if (curve->timesArgument)
      numerator = context.mul(factor, curve->argument);
    bool varies = numerator->dependsOn(row) || numerator->dependsOn(over);
    // The constant of the curve times the factor is summed once, not for each pair.
    if (curve->constant != 0 && factor->dependsOn(over))
      return nullptr;
    Ranges ranges(model);
    bool isKnown = ranges.of(numerator).within(-kLargestNumerator, kLargestNumerator);
    // Numerators without a position are looked at once; all others would have to be for each pair.
    if (varies && !isKnown)
      return nullptr;
    isBounded &= isKnown && ranges.of(rowExponent).high <= kLargestExponent &&
                 ranges.of(overExponent).high <= kLargestExponent;
    auto exp = [&](Expr x) { return context.unary(UnaryFn::Exp, x); };
    Expr divisor = context.add(context.mul(exp(rowExponent), exp(overExponent)), context.real(1));
    Expr sum = context.sum(vars, context.div(numerator, divisor));
    sum = context.mul(context.real(term.coef * curve->numerator), sum);
    if (curve->constant == 0)
      return sum;
    Expr constant = context.sum(vars, factor);
    auto owner = cast<PairResultAttr>(op.getOuts()[0]).getProduced().getAttr();
    Expr whole = model.define(owner.getValue() + ".constant", constant, op.getLoc());
    return context.add(sum, context.mul(context.real(term.coef * curve->constant), whole));
  }

  /// Whether what an exponent reads is packed: elements at the pair's own positions, and numbers
  /// that no data choose.
  bool isOfElements(Expr e) {
    bool isElements = true;
    context.walk(e, [&](Expr x) {
      if (x->is(ExprKind::Reduce) || x->is(ExprKind::Map) || x->is(ExprKind::Select))
        isElements = false;
      if (!x->is(ExprKind::Read))
        return;
      for (Expr at : x->operands())
        isElements &= at->is(ExprKind::Index) || at->is(ExprKind::Integer);
      if (model.variesOverTokens(x->symbol()))
        isElements &= x->operand(0) == context.index(row) || x->operand(0) == context.index(over);
    });
    return isElements;
  }
};

class FactorPairs : public impl::FactorPairsBase<FactorPairs> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>()) {
      Model model(mixer);
      bool changed = false;
      for (auto pairs : llvm::to_vector(mixer.getOps<PairsOp>()))
        if (pairs.getRowDim())
          changed |= PairFactorer(model, pairs).run();
      if (changed)
        model.write();
    }
  }
};

} // namespace
} // namespace seqmix
