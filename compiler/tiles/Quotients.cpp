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

/// Quotients that share a division. Four would have fewer divisions than the divider has time for,
/// and more products: two are faster.
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
  auto quotient = op.getBody().front().getTerminator()->getOperand(0).getDefiningOp<BinaryOp>();
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
    if (failed(emitter.emitSlice(quotient.getLhs())) ||
        failed(emitter.emitSlice(quotient.getRhs())))
      return failure();
    SmallVector<Value> parts = {emitter.get(quotient.getLhs()).value(0, 0),
                                emitter.get(quotient.getRhs()).value(0, 0),
                                realConstant(largestDivisor(kernel.real))};
    unify(parts);
    // A quotient by more is zero to the last digit of the sum, and products of two are finite.
    Value isLarge = arith::CmpFOp::create(kernel.builder, kernel.loc, arith::CmpFPredicate::OGT,
                                          parts[1], parts[2]);
    parts[1] = arith::SelectOp::create(kernel.builder, kernel.loc, isLarge, parts[2], parts[1]);
    if (!top) {
      top = parts[0];
      bottom = parts[1];
      continue;
    }
    top = binary(BinaryFn::Add, binary(BinaryFn::Mul, top, parts[1]),
                 binary(BinaryFn::Mul, parts[0], bottom));
    bottom = binary(BinaryFn::Mul, bottom, parts[1]);
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
  result.values.assign(sums->begin(), sums->end());
  return result;
}
