//===- PairSlices.cpp - loops over the features of pairs ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// What is no product of something of the row and something of the column is made for one feature
// after the other. What only one of them enters is made for a slice of features at once, and stored
// to shared memory, a line for each feature.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairExpr.h"

#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Features of a slice.
static constexpr int64_t kSlice = 32;
/// Terms that a product of sums is written as at most.
static constexpr size_t kMostTerms = 8;

SmallVector<PairExpr::Term> PairExpr::expanded(SmallVector<Term> terms, const Axes &axes,
                                               BlockArgument feature) {
  for (size_t number = 0; number < terms.size();) {
    const Term term = terms[number];
    SmallVector<Term> inner;
    // Squares stay: the difference of large terms would lose what a small difference has.
    const auto *sum = llvm::find_if(term.factors, [&](Value factor) {
      if (!variesAlong(factor, axes) || !dependsOn(factor, feature) ||
          llvm::count(term.factors, factor) > 1)
        return false;
      inner = termsOf(factor);
      return inner.size() > 1;
    });
    if (sum == term.factors.end() || terms.size() + inner.size() > kMostTerms) {
      ++number;
      continue;
    }
    for (Term &one : inner) {
      one.isNegative ^= term.isNegative;
      for (Value factor : term.factors)
        if (factor != *sum)
          one.factors.push_back(factor);
    }
    terms.erase(terms.begin() + number);
    terms.insert(terms.begin() + number, inner.begin(), inner.end());
  }
  return terms;
}

FailureOr<Value> PairExpr::inSlices(int64_t size, Value start,
                                    llvm::function_ref<FailureOr<Value>(Axis, Value)> body) {
  if (size <= kSlice)
    return body(tiles.addFeature(size), start);
  auto loop = scf::ForOp::create(builder, loc, block.i64(0), block.i64(size), block.i64(kSlice),
                                 ValueRange{start});
  block.noteLoop(loop);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(loop.getBody());
  const Axis axis = tiles.addSlice(size, kSlice, loop.getInductionVar());
  levels.push_back({loop, axis, {}, {}});
  auto result = body(axis, loop.getRegionIterArg(0));
  levels.pop_back();
  if (failed(result))
    return failure();
  scf::YieldOp::create(builder, loc, *result);
  return loop.getResult(0);
}

/// The largest parts of an expression that vary over one axis beside the feature.
void PairExpr::collectLines(Value value, BlockArgument argument, Axis feature,
                            llvm::SetVector<Value> &found) {
  if (isa<BlockArgument>(value) || !dependsOn(value, argument))
    return;
  Axes axes = axesOf(value);
  llvm::erase(axes, feature);
  if (axes.empty())
    return;
  if (axes.size() == 1 && (isa<FloatType>(value.getType()) || value.getType().isInteger(1))) {
    found.insert(value);
    return;
  }
  Operation *op = value.getDefiningOp();
  if (isa<ReduceOp>(op))
    return; // it is made in the loop
  for (Value operand : op->getOperands())
    collectLines(operand, argument, feature, found);
}

FailureOr<Value>
PairExpr::byFeature(ArrayRef<Term> terms, BlockArgument argument, int64_t size, Value start,
                    llvm::function_ref<FailureOr<Value>(const PairValue &, Value, Value)> body) {
  llvm::scope_exit restore(
      [&, before = bindings.lookup(argument)] { bindings[argument] = before; });
  llvm::SetVector<Value> parts;
  {
    const Axis any = tiles.addSlice(size, kSlice, Value());
    bindings[argument] = PairValue::along(any);
    for (const Term &term : terms)
      for (Value factor : term.factors)
        collectLines(factor, argument, any, parts);
  }
  return inSlices(size, start, [&](Axis feature, Value before) -> FailureOr<Value> {
    bindings[argument] = PairValue::along(feature);
    SmallVector<std::pair<Value, Axis>> memories;
    for (Value part : parts) {
      Result value = eval(part);
      if (failed(value))
        return failure();
      Axes axes = axesOf(part);
      if (part.getType().isInteger(1)) // as a number
        *value = tiles.select(*value, tiles.constant(1), tiles.constant(0));
      Value whole = tiles.spread(*value, axes);
      Type type = tile::SmemType::get(
          builder.getContext(), {tiles.paddedOf(feature), tiles.paddedOf(axes[0])}, tiles.real, 0);
      Value memory = tile::AllocSmemOp::create(builder, loc, type, IntegerAttr());
      tile::StoreOp::create(builder, loc, whole, memory,
                            /*transposed=*/true);
      memories.push_back({memory, axes[0]});
    }
    const Value first = tiles.firstOf(feature);
    Value count = arith::MinSIOp::create(builder, loc, tiles.extentOf(feature), block.i64(kSlice));
    llvm::SaveAndRestore<llvm::DenseMap<Value, PairValue>> known(lines);
    auto loop =
        scf::ForOp::create(builder, loc, block.i64(0), count, block.i64(1), ValueRange{before});
    block.noteLoop(loop);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToEnd(loop.getBody());
    Value own = loop.getInductionVar();
    Value number = first ? arith::AddIOp::create(builder, loc, first, own).getResult() : own;
    number = arith::TruncIOp::create(builder, loc, builder.getI32Type(), number);
    numbers.insert(number);
    levels.push_back({loop, -1, number, {}});
    llvm::scope_exit leave([&] { levels.pop_back(); });
    bindings[argument] = PairValue{number, {}, 0};
    for (auto [part, memory] : llvm::zip_equal(parts, memories)) {
      auto type = cast<RankedTensorType>(tiles.typeOf({memory.second}, tiles.real));
      lines[part] = {
          tile::LoadLineOp::create(builder, loc, type, memory.first, own), {memory.second}, 0};
      if (part.getType().isInteger(1)) {
        Value line = lines[part].value;
        lines[part].value = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNE, line,
                                                  block.zero(line.getType()));
      }
    }
    PairValue sum;
    for (const Term &term : terms) {
      PairValue product;
      for (Value factor : term.factors) {
        Result value = eval(factor);
        if (failed(value))
          return failure();
        product = product.value ? tiles.multiply(product, *value) : *value;
      }
      if (term.isNegative)
        product.value = arith::NegFOp::create(builder, loc, product.value);
      sum = sum.value ? tiles.add(sum, product) : product;
    }
    auto after = body(sum, number, loop.getRegionIterArg(0));
    if (failed(after))
      return failure();
    scf::YieldOp::create(builder, loc, *after);
    return loop.getResult(0);
  });
}

ReduceOp PairExpr::sumInside(const Term &term, Value factor, Axis feature) {
  auto reduce = factor.getDefiningOp<ReduceOp>();
  if (!reduce || reduce.getKind() != ReduceKind::Sum || !reduce.getDomain().empty() ||
      reduce.getDims().size() != 1 || sizeOf(reduce.getDims()[0]) < 0 ||
      llvm::count_if(term.factors, [&](Value own) { return varies(own, feature); }) != 1)
    return {};
  // Its terms are products of something that depends on the pair and something of the column.
  const Axes pair = {kRow, kColumn};
  BlockArgument argument = reduce.getBody().front().getArgument(0);
  bindings[argument] = PairValue::index(0); // it is along neither
  for (const Term &inner : termsOf(reduce.getBody().front().getTerminator()->getOperand(0)))
    for (Value own : inner.factors)
      if (varies(own, feature) && variesAlong(own, pair))
        return {};
  return reduce;
}

PairExpr::Result PairExpr::weightedBy(PairValue weights, ArrayRef<Value> factors, bool isNegative) {
  for (Value factor : factors) {
    Result value = eval(factor);
    if (failed(value))
      return failure();
    weights = tiles.multiply(weights, *value);
  }
  if (isNegative)
    weights.value = arith::NegFOp::create(builder, loc, weights.value);
  return weights;
}

FailureOr<Value> PairExpr::weightedInside(const Term &term, ReduceOp reduce, BlockArgument argument,
                                          Axis feature, const PairValue &weights, Value sum) {
  auto others = llvm::make_filter_range(term.factors,
                                        [&](Value factor) { return factor != reduce.getResult(); });
  Result made = weightedBy(weights, llvm::to_vector(others), term.isNegative);
  if (failed(made))
    return failure();
  PairValue own = *made;
  Block &inside = reduce.getBody().front();
  auto loop = scf::ForOp::create(builder, loc, block.i64(0), block.i64(sizeOf(reduce.getDims()[0])),
                                 block.i64(1), ValueRange{sum});
  block.noteLoop(loop);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(loop.getBody());
  Value number =
      arith::TruncIOp::create(builder, loc, builder.getI32Type(), loop.getInductionVar());
  numbers.insert(number);
  levels.push_back({loop, -1, number, {}});
  llvm::scope_exit leave([&] { levels.pop_back(); });
  bindings[inside.getArgument(0)] = PairValue{number, {}, 0};
  Result after = weighted(inside.getTerminator()->getOperand(0), argument, feature, own,
                          loop.getRegionIterArg(0));
  if (failed(after))
    return failure();
  scf::YieldOp::create(builder, loc, after->value);
  return loop.getResult(0);
}

Value PairExpr::atFeature(const PairValue &value, Axis feature, Value number, ReduceKind kind) {
  PairValue places[] = {tiles.number(PairValue::along(feature)), {number, {}, 0}};
  tiles.unify(places);
  Value isOwn = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, places[0].value,
                                      places[1].value);
  PairValue result = tiles.select({isOwn, {feature}, 0}, value, tiles.identity(kind));
  return tiles.spread(result, {kRow, feature});
}

FailureOr<Value> PairExpr::reducedByFeature(Block &part, ArrayRef<PairValue> arguments,
                                            Axis feature, ReduceKind kind, const PairValue &mask,
                                            Value before) {
  for (auto [argument, value] : llvm::zip_equal(part.getArguments(), arguments))
    bindings[argument] = value;
  Value whole = part.getTerminator()->getOperand(0);
  // What is the same for all rows is reduced at once.
  if (!varies(whole, kRow) && !mask.varies(kRow)) {
    Result own = eval(whole);
    if (failed(own))
      return failure();
    PairValue terms = tiles.select(mask, *own, tiles.identity(kind));
    terms = {tiles.spread(terms, {kColumn, feature}), {kColumn, feature}, 0};
    return tiles.combine(kind, before,
                         tiles.spread(tiles.reduce(terms, kColumn, kind), {kRow, feature}));
  }
  const Term term{false, {whole}};
  return byFeature(term, part.getArguments().back(), tiles.sizeOf(feature), before,
                   [&](const PairValue &value, Value number, Value sum) -> FailureOr<Value> {
                     PairValue own = tiles.reduce(tiles.select(mask, value, tiles.identity(kind)),
                                                  kColumn, kind);
                     return tiles.combine(kind, sum, atFeature(own, feature, number, kind));
                   });
}

} // namespace seqmix::gpu
