//===- SweepDomain.cpp - which positions a sweep visits -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepDomain.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
std::optional<int64_t> constantOf(Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  auto integer = constant ? dyn_cast<IntegerAttr>(constant.getValue()) : IntegerAttr();
  return integer ? std::optional(integer.getInt()) : std::nullopt;
}

/// A value that no position enters: an element of a symbol without places.
bool isUniform(ReadOp read) { return read.getMap().getNumResults() == 0; }

Value uniformValue(Kernel &kernel, Operation *op) {
  if (auto extent = dyn_cast<ExtentOp>(op))
    return kernel.positions(extent.getDimAttr().getAttr()).length;
  Scope scope;
  ExprEmitter emitter(kernel, scope);
  auto value = emitter.uniform(cast<ReadOp>(op));
  return failed(value) ? Value() : kernel.index().scalar(value->index(0, 0));
}

} // namespace

SmallVector<Bounds> seqmix::domainIntervals(Kernel &kernel, PairsOp pairs, const PairBox &box,
                                            Value extent) {
  PairDomain domain(pairs);
  SmallVector<Value> symbols;
  for (Value symbol : domain.symbols)
    symbols.push_back(uniformValue(kernel, symbol.getDefiningOp()));
  return pairIntervals(
      kernel.builder, kernel.loc, domain, extent, box.rows,
      [&](StringAttr name) { return box.rowReads.lookup(name); }, symbols);
}

//===----------------------------------------------------------------------===//
// Boxes
//===----------------------------------------------------------------------===//

namespace {
/// Interval arithmetic on the domain's expressions.
class BoxEvaluator {
public:
  BoxEvaluator(Kernel &kernel, PairsOp pairs, const PairBox &box, Value extent)
      : kernel(kernel), builder(kernel.builder), loc(kernel.loc), pairs(pairs), box(box),
        extent(extent) {}

  struct Truth {
    Value never, always;
  };

  Truth truth(Value value) {
    if (auto unary = value.getDefiningOp<UnaryOp>(); unary && unary.getFn() == UnaryFn::Not) {
      Truth inner = truth(unary.getOperand());
      return {inner.always, inner.never};
    }
    if (auto binary = value.getDefiningOp<BinaryOp>()) {
      Truth a = truth(binary.getLhs()), b = truth(binary.getRhs());
      bool isAnd = binary.getFn() == BinaryFn::And;
      return {isAnd ? either(a.never, b.never) : both(a.never, b.never),
              isAnd ? both(a.always, b.always) : either(a.always, b.always)};
    }
    auto compare = value.getDefiningOp<CompareOp>();
    if (!compare || !compare.getLhs().getType().isIndex())
      return unknown();
    Bounds a = bounds(compare.getLhs()), b = bounds(compare.getRhs());
    if (!a.isKnown() || !b.isKnown())
      return unknown();
    using P = arith::CmpIPredicate;
    switch (compare.getPredicate()) {
    case Predicate::Lt:
      return {is(P::sge, a.low, b.high), is(P::slt, a.high, b.low)};
    case Predicate::Le:
      return {is(P::sgt, a.low, b.high), is(P::sle, a.high, b.low)};
    case Predicate::Gt:
      return {is(P::sle, a.high, b.low), is(P::sgt, a.low, b.high)};
    case Predicate::Ge:
      return {is(P::slt, a.high, b.low), is(P::sge, a.low, b.high)};
    case Predicate::Eq:
    case Predicate::Ne: {
      Value apart = either(is(P::slt, a.high, b.low), is(P::sgt, a.low, b.high));
      // Equal everywhere only when both are one and the same number.
      Value same = both(is(P::eq, a.low, b.high), is(P::eq, a.high, b.low));
      return compare.getPredicate() == Predicate::Eq ? Truth{apart, same} : Truth{same, apart};
    }
    }
    llvm_unreachable("all predicates are covered");
  }

private:
  Kernel &kernel;
  OpBuilder &builder;
  Location loc;
  PairsOp pairs;
  const PairBox &box;
  Value extent;
  llvm::DenseMap<Value, Bounds> known;

  Value is(arith::CmpIPredicate predicate, Value a, Value b) {
    return builder.createOrFold<arith::CmpIOp>(loc, predicate, a, b);
  }
  Value both(Value a, Value b) { return builder.createOrFold<arith::AndIOp>(loc, a, b); }
  Value either(Value a, Value b) { return builder.createOrFold<arith::OrIOp>(loc, a, b); }
  Value no() { return arith::ConstantOp::create(builder, loc, builder.getBoolAttr(false)); }
  Truth unknown() { return {no(), no()}; }
  template <typename Op> Value op(Value a, Value b) { return builder.createOrFold<Op>(loc, a, b); }

  Bounds bounds(Value value) {
    auto [entry, isNew] = known.insert({value, {}});
    if (!isNew)
      return entry->second;
    Bounds found = find(value);
    return known[value] = found;
  }

  Bounds find(Value value) {
    if (auto constant = constantOf(value))
      return {kernel.constant(*constant), kernel.constant(*constant)};
    if (auto argument = dyn_cast<BlockArgument>(value))
      return argument == pairs.columnOf(argument.getOwner()) ? box.column
                                                             : box.rows[argument.getArgNumber()];
    Operation *defining = value.getDefiningOp();
    if (isa<ExtentOp>(defining)) {
      Value number = uniformValue(kernel, defining);
      return {number, number};
    }
    if (auto read = dyn_cast<ReadOp>(defining)) {
      auto name = read.getSourceAttr().getAttr();
      if (isUniform(read)) {
        Value number = uniformValue(kernel, read);
        return {number, number};
      }
      PairPlace place = placeOfInteger(pairs, read);
      return place == PairPlace::Row      ? box.rowReads.lookup(name)
             : place == PairPlace::Column ? box.columnReads.lookup(name)
                                          : Bounds();
    }
    if (auto unary = dyn_cast<UnaryOp>(defining)) {
      Bounds inner = bounds(unary.getOperand());
      if (!inner.isKnown())
        return {};
      Value zero = kernel.constant(0);
      Bounds negated{op<arith::SubIOp>(zero, inner.high), op<arith::SubIOp>(zero, inner.low)};
      if (unary.getFn() == UnaryFn::Neg)
        return negated;
      if (unary.getFn() == UnaryFn::Abs)
        return {op<arith::MaxSIOp>(zero, op<arith::MaxSIOp>(inner.low, negated.low)),
                op<arith::MaxSIOp>(inner.high, negated.high)};
      return {};
    }
    auto binary = dyn_cast<BinaryOp>(defining);
    return binary ? ofBinary(binary) : Bounds();
  }

  Bounds ofBinary(BinaryOp binary) {
    Bounds a = bounds(binary.getLhs()), b = bounds(binary.getRhs());
    if (!a.isKnown() || !b.isKnown())
      return {};
    auto right = constantOf(binary.getRhs()), left = constantOf(binary.getLhs());
    switch (binary.getFn()) {
    case BinaryFn::Add:
      return {op<arith::AddIOp>(a.low, b.low), op<arith::AddIOp>(a.high, b.high)};
    case BinaryFn::Sub:
      return {op<arith::SubIOp>(a.low, b.high), op<arith::SubIOp>(a.high, b.low)};
    case BinaryFn::Min:
      return {op<arith::MinSIOp>(a.low, b.low), op<arith::MinSIOp>(a.high, b.high)};
    case BinaryFn::Max:
      return {op<arith::MaxSIOp>(a.low, b.low), op<arith::MaxSIOp>(a.high, b.high)};
    case BinaryFn::Mul: {
      if (!left && !right)
        return {};
      Bounds scaled{op<arith::MulIOp>(a.low, b.low), op<arith::MulIOp>(a.high, b.high)};
      if ((left ? *left : *right) < 0)
        std::swap(scaled.low, scaled.high);
      return scaled;
    }
    case BinaryFn::FloorDiv:
      if (!right || *right <= 0)
        return {};
      return {op<arith::FloorDivSIOp>(a.low, b.low), op<arith::FloorDivSIOp>(a.high, b.low)};
    case BinaryFn::Mod: {
      if (!right || *right <= 0)
        return {};
      // Within one period the remainder is the distance to its start.
      Value first = op<arith::FloorDivSIOp>(a.low, b.low),
            last = op<arith::FloorDivSIOp>(a.high, b.low);
      Value start = op<arith::MulIOp>(first, b.low);
      Value one = is(arith::CmpIPredicate::eq, first, last);
      auto choose = [&](Value within, int64_t otherwise) {
        return builder.createOrFold<arith::SelectOp>(loc, one, within, kernel.constant(otherwise));
      };
      return {choose(op<arith::SubIOp>(a.low, start), 0),
              choose(op<arith::SubIOp>(a.high, start), *right - 1)};
    }
    default:
      return {};
    }
  }
};
} // namespace

BoxState seqmix::boxState(Kernel &kernel, PairsOp pairs, const PairBox &box, Value extent) {
  auto &builder = kernel.builder;
  Block *domain = pairs.getDomainBlock();
  if (!domain)
    return {arith::ConstantOp::create(builder, kernel.loc, builder.getBoolAttr(false)),
            arith::ConstantOp::create(builder, kernel.loc, builder.getBoolAttr(true))};
  auto truth =
      BoxEvaluator(kernel, pairs, box, extent).truth(domain->getTerminator()->getOperand(0));
  return {truth.never, truth.always};
}
