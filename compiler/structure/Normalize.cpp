//===- Normalize.cpp - maps, domains and powers in simpler terms --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/Model.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_NORMALIZE
#include "compiler/Passes.h.inc"

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// What later stages cannot take
//===----------------------------------------------------------------------===//

class LoweringCheck {
public:
  explicit LoweringCheck(MixerOp mixer) : mixer(mixer) {}

  LogicalResult run() {
    for (auto dim : mixer.getOps<DimOp>())
      if (dim.getBy() && !grows(dim.getBy()->getResult(0)))
        return refuse(dim, fmt::format("a length '{}' that does not grow with those it is made of",
                                       name(dim)));
    for (Operation &op : mixer.getBody().front()) {
      if (auto define = dyn_cast<DefineOp>(op)) {
        if (failed(checkEquation(define, define.getDims(), define.getNames())))
          return failure();
      } else if (auto next = dyn_cast<NextOp>(op)) {
        if (failed(checkEquation(next, next.getDims(), next.getNames())))
          return failure();
      }
    }
    return success();
  }

private:
  static std::string_view name(SymbolOpInterface op) { return op.getName(); }

  static InFlightDiagnostic refuse(Operation *op, const std::string &what) {
    return emitError(op->getLoc()) << "not lowered yet: " << what;
  }

  bool isRuntime(FlatSymbolRefAttr dim) {
    auto op = mixer.lookupSymbol<DimOp>(dim.getAttr());
    return op && op.getKind() == DimKind::Runtime;
  }

  LogicalResult checkEquation(Operation *equation, ArrayAttr dims, ArrayAttr names) {
    std::string positions;
    unsigned count = 0;
    for (auto [dim, text] :
         llvm::zip(dims.getAsRange<FlatSymbolRefAttr>(), names.getAsRange<StringAttr>()))
      if (isRuntime(dim)) {
        positions += (count++ ? ", " : "") + text.str();
      }
    if (count > 1)
      return refuse(equation, fmt::format("a value for every pair of positions ({})", positions));
    Value token = count ? Value(equation->getRegion(0).getArgument(0)) : Value();
    WalkResult result = equation->walk<WalkOrder::PreOrder>([&](Operation *op) -> WalkResult {
      if (auto reduce = dyn_cast<ReduceOp>(op)) {
        for (auto dim : reduce.getDims().getAsRange<FlatSymbolRefAttr>())
          if (isRuntime(dim))
            return refuse(op, fmt::format("{} over all positions",
                                          std::string_view(stringifyReduceKind(reduce.getKind()))));
      } else if (auto map = dyn_cast<MapOp>(op)) {
        // A running sum up to the own token is a state since the import.
        if (isRuntime(map.getDimAttr()))
          return refuse(op, fmt::format("{} over all positions",
                                        std::string_view(stringifyMapKind(map.getKind()))));
      } else if (auto read = dyn_cast<ReadOp>(op)) {
        return checkRead(read, token);
      }
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }

  // States are read at this token or next to it; all else at any position.
  WalkResult checkRead(ReadOp read, Value token) {
    if (!isa_and_nonnull<StateOp>(mixer.lookupSymbol(read.getSource())))
      return WalkResult::advance();
    // The token plus constants and indices of fixed dims.
    AffineExpr position = read.getMap().getResult(0);
    bool usesToken = false, isKnown = true;
    for (auto [place, operand] : llvm::enumerate(read.getOperands())) {
      if (!position.isFunctionOfDim(place))
        continue;
      isKnown &= isa<BlockArgument>(operand);
      if (!isToken(operand, token))
        continue;
      AffineExpr rest = simplifyAffineExpr(position - getAffineDimExpr(place, read.getContext()),
                                           read.getOperands().size(), 0);
      usesToken = !rest.isFunctionOfDim(place);
    }
    if (usesToken && isKnown)
      return WalkResult::advance();
    return refuse(read, fmt::format("the state '{}' read at a position that is not this token's",
                                    std::string_view(read.getSource())));
  }

  /// Whether an extent never falls when those that it is made of rise: storage for the longest
  /// sequence then has room for all.
  static bool grows(AffineExpr by) {
    if (isa<AffineConstantExpr, AffineDimExpr>(by))
      return true;
    auto binary = dyn_cast<AffineBinaryOpExpr>(by);
    if (!binary || binary.getKind() == AffineExprKind::Mod || !grows(binary.getLHS()))
      return false;
    if (binary.getKind() == AffineExprKind::Add)
      return grows(binary.getRHS());
    auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS());
    return factor && factor.getValue() > 0;
  }

  bool isToken(Value value, Value token) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument)
      return false;
    if (argument == token)
      return true;
    Operation *owner = argument.getOwner()->getParentOp();
    // The argument of the domain's block stands for the same index.
    return token && owner == token.getParentBlock()->getParentOp() && argument.getArgNumber() == 0;
  }

  MixerOp mixer;
};

//===----------------------------------------------------------------------===//
// Rewriting
//===----------------------------------------------------------------------===//

class Normalizer {
public:
  explicit Normalizer(MixerOp mixer) : model(mixer), context(model.exprs()) {}

  void run() {
    SmallVector<StringAttr> names;
    for (auto &[name, equation] : model.definitions())
      names.push_back(name);
    for (auto &[name, equation] : model.nexts())
      names.push_back(name);
    for (StringAttr name : names) {
      // Rewriting adds equations, which moves the others.
      Equation equation = *model.equation(name);
      current = &equation;
      Expr body = simplify(equation.body);
      if (equation.domain)
        body = context.select(simplify(equation.domain), body, context.real(0));
      Equation *stored = model.equation(name);
      stored->body = body;
      stored->domain = nullptr;
    }
    model.write();
  }

private:
  Expr simplify(Expr e) {
    return context.rewrite(e, [&](Expr node) -> Expr {
      if (node->is(ExprKind::Reduce))
        return expandReduce(node);
      if (node->is(ExprKind::Map))
        return expandMap(node);
      if (node->isBinary(BinaryFn::Pow))
        return expandPower(node);
      return node;
    });
  }

  // Small constant powers as products; exact for whole numbers, and the library's square roots are.
  Expr expandPower(Expr e) {
    Expr base = e->operand(0), exponent = e->operand(1);
    if (!exponent->is(ExprKind::Real))
      return e;
    double n = exponent->real();
    if (n == 0.5)
      return context.unary(UnaryFn::Sqrt, base);
    if (n == -0.5)
      return context.unary(UnaryFn::Rsqrt, base);
    if (n == 0)
      return context.real(1);
    if (n != std::floor(n) || std::fabs(n) > 8)
      return e;
    Expr result = nullptr, square = base;
    for (int left = static_cast<int>(std::fabs(n)); left; left /= 2) {
      if (left % 2)
        result = result ? context.mul(result, square) : square;
      if (left > 1)
        square = context.mul(square, square);
    }
    return n < 0 ? context.div(context.real(1), result) : result;
  }

  // Outside its domain a reduction sees its neutral element.
  Expr guarded(ReduceKind kind, Expr body, Expr domain) {
    if (!domain)
      return body;
    return context.select(domain, body, context.real(neutralElement(kind)));
  }

  Expr expandReduce(Expr e) {
    bool isLogSum = e->reduceKind() == ReduceKind::LogSumExp;
    if (!isLogSum && e->operands().size() == 1)
      return e;
    OpenedExpr o = context.open(e);
    Expr body = guarded(e->reduceKind(), o.body, o.domain);
    if (!isLogSum)
      return context.reduce(e->reduceKind(), o.vars, body);
    Expr score = named("score", body, o.vars);
    Expr shift = shiftFor(context.reduce(ReduceKind::Max, o.vars, score));
    Expr total = context.sum(o.vars, context.unary(UnaryFn::Exp, context.sub(score, shift)));
    return context.add(shift, context.unary(UnaryFn::Log, total));
  }

  // The largest score where it is finite: subtracting it keeps the exponentials below one, and
  // without it infinite scores would turn into differences of infinities.
  Expr shiftFor(Expr largest) {
    Expr max = named("max", largest);
    Expr isFinite =
        context.compare(Predicate::Lt, context.unary(UnaryFn::Abs, max), context.real(kInf));
    return context.select(isFinite, max, context.real(0));
  }

  Expr expandMap(Expr e) {
    OpenedExpr o = context.open(e);
    Var var = o.vars[0];
    if (e->mapKind() == MapKind::CumSum)
      return cumulativeSum(o);
    if (e->mapKind() == MapKind::TopK)
      return topK(o, e->count());
    Expr score = named("score", guarded(ReduceKind::Max, o.body, o.domain), o.vars);
    Expr shift = shiftFor(context.reduce(ReduceKind::Max, var, score));
    Expr weight = named("exp", context.unary(UnaryFn::Exp, context.sub(score, shift)), o.vars);
    Expr total = named("sum", context.sum(var, weight));
    Expr here = context.div(context.substitute(weight, {{var, o.at}}), total);
    if (!o.domain)
      return here;
    // Nothing in the domain: all zero.
    return context.select(context.compare(Predicate::Gt, total, context.real(0)), here,
                          context.real(0));
  }

  /// The largest and the first place where it stands, then those that follow it in this order, and
  /// so on: what does not follow the last of them is among the n.
  Expr topK(const OpenedExpr &o, int64_t count) {
    Var var = o.vars[0];
    Expr score = named("score", o.body, o.vars), here = context.substitute(score, {{var, o.at}});
    Expr place = context.toReal(o.at);
    Expr value = nullptr, first = nullptr; // the last of those that were found
    auto both = [&](Expr a, Expr b) { return a ? context.binary(BinaryFn::And, a, b) : b; };
    auto isBehind = [&](Expr otherValue, Expr otherPlace, Expr ownValue, Expr ownPlace) {
      return context.binary(BinaryFn::Or, context.compare(Predicate::Lt, otherValue, ownValue),
                            both(context.compare(Predicate::Eq, otherValue, ownValue),
                                 context.compare(Predicate::Gt, otherPlace, ownPlace)));
    };
    Expr own = context.toReal(context.index(var));
    constexpr int64_t most = 16;
    if (count > most || 4 * count > model.size(var->dim)) {
      // Many of few: those with less than n in front of them.
      Expr isBefore = both(o.domain, isBehind(here, place, score, own));
      Expr rank = context.sum(var, context.select(isBefore, context.real(1), context.real(0)));
      return inDomain(o, context.compare(Predicate::Lt, rank, context.real(double(count))));
    }
    for (int64_t number = 0; number < count; ++number) {
      Expr isLeft = o.domain;
      if (value)
        isLeft = both(isLeft, isBehind(score, own, value, first));
      Expr left = isLeft ? context.select(isLeft, score, context.real(-kInf)) : score;
      value = named("top", context.reduce(ReduceKind::Max, var, left));
      Expr isFound = both(isLeft, context.compare(Predicate::Eq, score, value));
      Expr found = context.select(isFound, own, context.real(kInf));
      first = named("place", context.reduce(ReduceKind::Min, var, found));
    }
    return inDomain(o, context.unary(UnaryFn::Not, isBehind(here, place, value, first)));
  }

  Expr inDomain(const OpenedExpr &o, Expr truth) {
    if (!o.domain)
      return truth;
    Expr domain = context.substitute(o.domain, {{o.vars[0], o.at}});
    return context.binary(BinaryFn::And, domain, truth);
  }

  Expr cumulativeSum(const OpenedExpr &o) {
    Expr upTo = context.compare(Predicate::Le, context.index(o.vars[0]), o.at);
    Expr domain = o.domain ? context.binary(BinaryFn::And, upTo, o.domain) : upTo;
    return context.sum(o.vars, guarded(ReduceKind::Sum, o.body, domain));
  }

  // A value that is used more than once gets a definition; reads and constants need none.
  Expr named(StringRef what, Expr e, ArrayRef<Var> last = {}) {
    if (e->is(ExprKind::Read) || e->is(ExprKind::Real))
      return e;
    SmallVector<Var> order;
    for (Var var : current->left)
      order.push_back(var);
    order.append(last.begin(), last.end());
    return model.define(current->name.getValue() + "." + what, e, current->loc, order);
  }

  Model model;
  ExprContext &context;
  Equation *current = nullptr;
};

class Normalize : public impl::NormalizeBase<Normalize> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>()) {
      if (failed(LoweringCheck(mixer).run()))
        return signalPassFailure();
      Normalizer(mixer).run();
    }
  }
};

} // namespace
} // namespace seqmix
