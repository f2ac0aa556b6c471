//===- Quotients.cpp - sums of quotients with packed exponentials ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Expressions.h"
#include "compiler/tiles/SweepPlan.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

#include <functional>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

/// Quotients that share a division. Four need more products than they save divisions: two are
/// faster.
static constexpr int64_t kShared = 2;

void ExprEmitter::bindExponential(Operation &op, const PackedExponential &packed) {
  SymbolInfo info;
  info.sizes = packed.sizes;
  SmallVector<Emitted> features;
  for (Value feature : packed.features)
    features.push_back(get(feature));
  bind(op.getResult(0),
       readPacked(packed.buffer, packed.ofColumn ? scope.pairs->column : scope.pairs->row, info,
                  features));
}

LogicalResult ExprEmitter::emitSlice(Value value) {
  if (env.contains(value))
    return success();
  Operation *op = value.getDefiningOp();
  assert(op && "all indices are bound");
  bool isPacked = scope.pairs && scope.pairs->exponentials.contains(op);
  WalkResult result = WalkResult::advance();
  if (!isPacked)
    result = op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands()) {
        bool isInner = inner != op && op->isAncestor(operand.getParentBlock()->getParentOp());
        if (!isInner && failed(emitSlice(operand)))
          return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
  return failure(result.wasInterrupted() || failed(emitOp(*op)));
}

FailureOr<Emitted> ExprEmitter::inside(Value wanted, ArrayRef<std::pair<Value, Emitted>> indices) {
  for (auto &[argument, index] : indices)
    bind(argument, index);
  if (failed(emitSlice(wanted)))
    return failure();
  return get(wanted);
}

bool ExprEmitter::isOfQuotients(ReduceOp op) {
  if (!scope.pairs || scope.unroll)
    return false;
  auto quotient = quotientOf(op);
  return quotient && scope.pairs->exponentials.contains(quotient->first) &&
         scope.pairs->exponentials.contains(quotient->second);
}

Value ExprEmitter::atMost(Value value, double limit) {
  SmallVector<Value> both = {value, realConstant(limit)};
  unify(both);
  auto larger = arith::CmpFPredicate::OGT;
  Value isLarge = arith::CmpFOp::create(kernel.builder, kernel.loc, larger, both[0], both[1]);
  return arith::SelectOp::create(kernel.builder, kernel.loc, isLarge, both[1], both[0]);
}

FailureOr<ExprEmitter::Quotient> ExprEmitter::quotientAt(ReduceOp op, ExprEmitter &emitter) {
  auto &builder = kernel.builder;
  auto quotient = op.getBody().front().getTerminator()->getOperand(0).getDefiningOp<BinaryOp>();
  auto only = [&](Value value) -> FailureOr<Value> {
    if (failed(emitter.emitSlice(value)))
      return failure();
    return emitter.get(value).value(0, 0);
  };
  auto scaled = scope.pairs->sums.find(op);
  if (scaled == scope.pairs->sums.end()) {
    auto top = only(quotient.getLhs()), bottom = only(quotient.getRhs());
    if (failed(top) || failed(bottom))
      return failure();
    // A quotient by more is zero to the last digit of the sum, and products of two are finite.
    SmallVector<Value> both = {*top, atMost(*bottom, largestDivisor(kernel.real))};
    unify(both);
    return Quotient{both[0], both[1]};
  }
  auto product = only(quotient.getRhs().getDefiningOp<BinaryOp>().getLhs());
  if (failed(product))
    return failure();
  IndexMath math = kernel.index();
  IndexValue address = IndexValue::constant(0);
  for (auto [feature, stride] : llvm::zip_equal(scaled->second.features, scaled->second.strides))
    address = math.add(address, math.scale(emitter.get(feature).index(0, 0), stride));
  SmallVector<Value> both = {*product, load(scaled->second.memref, ValueKind::Real, address, {})};
  unify(both);
  Value bottom = binary(BinaryFn::Add, both[0], both[1]);
  if (scope.pairs->clamped) {
    double limit = largestScaledDivisor(kernel.real);
    bottom = atMost(bottom, limit);
    bottom = arith::NegFOp::create(builder, kernel.loc, bottom);
    bottom = arith::NegFOp::create(builder, kernel.loc, atMost(bottom, limit));
  }
  return Quotient{{}, bottom};
}

FailureOr<Value> ExprEmitter::addQuotients(ReduceOp op, int64_t row, int64_t vector,
                                           ArrayRef<SmallVector<IndexValue>> points, Value sum) {
  auto only = [&](const Emitted &all) {
    Emitted one;
    one.kind = all.kind;
    if (all.kind == ValueKind::Integer)
      one.indices.push_back(all.index(row, vector));
    else
      one.values.push_back(all.value(row, vector));
    return one;
  };
  PairScope pairs = *scope.pairs;
  pairs.row = only(pairs.row);
  pairs.column = only(pairs.column);
  pairs.known.clear();
  Scope own = scope;
  own.rows = own.vectors = 1;
  own.pairs = &pairs;
  Value top, bottom;
  for (ArrayRef<IndexValue> point : points) {
    ExprEmitter emitter(kernel, own);
    emitter.token = token;
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (!op->isAncestor(operand.getParentBlock()->getParentOp()))
          emitter.bind(operand, only(get(operand)));
    });
    for (auto [argument, index] : llvm::zip_equal(op.getBody().getArguments(), point))
      emitter.bind(argument, Emitted::integer(index));
    auto own = quotientAt(op, emitter);
    if (failed(own))
      return failure();
    if (!bottom) {
      top = own->top;
      bottom = own->bottom;
      continue;
    }
    auto times = [&](Value factor, Value value) {
      return factor ? binary(BinaryFn::Mul, factor, value) : value;
    };
    top = binary(BinaryFn::Add, times(top, own->bottom), times(own->top, bottom));
    bottom = binary(BinaryFn::Mul, bottom, own->bottom);
  }
  if (!top) {
    top = realConstant(1);
    if (isa<VectorType>(bottom.getType()))
      top = broadcast(top);
  }
  Value divided = binary(BinaryFn::Div, top, bottom);
  if (isa<VectorType>(sum.getType()))
    divided = broadcast(divided);
  return binary(BinaryFn::Add, sum, divided);
}

FailureOr<Emitted> ExprEmitter::reduceQuotients(ReduceOp op) {
  auto &builder = kernel.builder;
  Shape shape = dependence(op);
  SmallVector<int64_t> sizes;
  for (auto dim : op.getDims().getAsRange<FlatSymbolRefAttr>())
    sizes.push_back(fixedSize(kernel.mixer, dim));
  Value zero = realConstant(0);
  if (shape.onLanes)
    zero = broadcast(zero);
  SmallVector<IndexValue> indices(sizes.size());
  using Sums = SmallVector<Value>;
  auto some = [&](IndexValue first, int64_t count, Sums sums) -> FailureOr<Sums> {
    SmallVector<SmallVector<IndexValue>> points;
    for (int64_t number = 0; number < count; ++number) {
      indices.back() = first;
      indices.back().offset += number;
      points.push_back(indices);
    }
    for (int64_t row = 0; row < shape.rows; ++row)
      for (int64_t vector = 0; vector < shape.vectors; ++vector) {
        Value &sum = sums[row * shape.vectors + vector];
        auto next = addQuotients(op, row, vector, points, sum);
        if (failed(next))
          return failure();
        sum = *next;
      }
    return sums;
  };
  auto loop = [&](int64_t dim, int64_t end, int64_t step, const Sums &initial,
                  function_ref<FailureOr<Sums>(IndexValue, Sums)> body) -> FailureOr<Sums> {
    auto op = scf::ForOp::create(builder, kernel.loc, kernel.constant(0), kernel.constant(end),
                                 kernel.constant(step), initial);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(op.getBody());
    auto next =
        body(IndexValue::of(op.getInductionVar(), 0, sizes[dim] - 1), Sums(op.getRegionIterArgs()));
    if (failed(next))
      return failure();
    scf::YieldOp::create(builder, kernel.loc, *next);
    return Sums(op.getResults());
  };
  std::function<FailureOr<Sums>(size_t, const Sums &)> level =
      [&](size_t dim, const Sums &sums) -> FailureOr<Sums> {
    if (dim + 1 < sizes.size())
      return loop(dim, sizes[dim], 1, sums, [&](IndexValue index, const Sums &inner) {
        indices[dim] = index;
        return level(dim + 1, inner);
      });
    int64_t whole = sizes[dim] / kShared * kShared;
    FailureOr<Sums> result = sums;
    if (whole)
      result = loop(dim, whole, kShared, sums, [&](IndexValue index, const Sums &inner) {
        return some(index, kShared, inner);
      });
    if (succeeded(result) && whole < sizes[dim])
      result = some(IndexValue::constant(whole), sizes[dim] - whole, *result);
    return result;
  };
  auto sums = level(0, Sums(shape.rows * shape.vectors, zero));
  if (failed(sums))
    return failure();
  Emitted result;
  result.rows = shape.rows;
  result.vectors = shape.vectors;
  auto scaled = scope.pairs->sums.find(op);
  for (Value sum : *sums) {
    if (scaled != scope.pairs->sums.end()) {
      SmallVector<Value> factors = {sum, scaled->second.largest};
      unify(factors);
      sum = binary(BinaryFn::Mul, factors[0], factors[1]);
    }
    result.values.push_back(sum);
  }
  return result;
}
