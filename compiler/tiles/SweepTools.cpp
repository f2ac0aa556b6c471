//===- SweepTools.cpp - what the code of a sweep is made of ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/SweepEmitter.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

double seqmix::identityOf(PairKind kind) {
  switch (kind) {
  case PairKind::Sum:
    return 0;
  case PairKind::Prod:
    return 1;
  case PairKind::Min:
    return kInf;
  case PairKind::Max:
  case PairKind::ScoreMax:
    return -kInf;
  case PairKind::Each:
  case PairKind::Places:
    break;
  }
  llvm_unreachable("all kinds are covered");
}

BinaryFn seqmix::functionOf(PairKind kind) {
  switch (kind) {
  case PairKind::Sum:
    return BinaryFn::Add;
  case PairKind::Prod:
    return BinaryFn::Mul;
  case PairKind::Min:
    return BinaryFn::Min;
  case PairKind::Max:
  case PairKind::ScoreMax:
    return BinaryFn::Max;
  case PairKind::Each:
  case PairKind::Places:
    break;
  }
  llvm_unreachable("all kinds are covered");
}

Value SweepEmitter::constant(int64_t value) { return kernel.constant(value); }

Value SweepEmitter::add(Value a, Value b) { return builder.createOrFold<arith::AddIOp>(loc, a, b); }

Value SweepEmitter::sub(Value a, Value b) { return builder.createOrFold<arith::SubIOp>(loc, a, b); }

Value SweepEmitter::mul(Value a, Value b) { return builder.createOrFold<arith::MulIOp>(loc, a, b); }

Value SweepEmitter::mul(Value a, int64_t b) { return mul(a, constant(b)); }

Value SweepEmitter::minimum(Value a, Value b) { return arith::MinSIOp::create(builder, loc, a, b); }

Value SweepEmitter::maximum(Value a, Value b) { return arith::MaxSIOp::create(builder, loc, a, b); }

Value SweepEmitter::isLess(Value a, Value b) {
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, a, b);
}

Value SweepEmitter::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(builder, loc, condition, a, b);
}

Value SweepEmitter::real(double value) {
  return arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(vectorType, builder.getFloatAttr(kernel.real, value)));
}

Value SweepEmitter::broadcast(Value value) {
  if (isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(builder, loc, kernel.vectorType(value.getType()), value);
}

Value SweepEmitter::exp(Value value) {
  return UnaryOp::create(builder, loc, value.getType(), UnaryFn::Exp, value);
}

Value SweepEmitter::minus(Value a, Value b) { return arith::SubFOp::create(builder, loc, a, b); }

Value SweepEmitter::times(Value a, Value b) { return arith::MulFOp::create(builder, loc, a, b); }

Value SweepEmitter::larger(Value a, Value b) {
  Value first = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGT, a, b);
  return select(first, a, b);
}

Value SweepEmitter::combine(PairKind kind, Value a, Value b) {
  auto contract = arith::FastMathFlags::contract;
  switch (functionOf(kind)) {
  case BinaryFn::Add:
    return arith::AddFOp::create(builder, loc, a, b, contract);
  case BinaryFn::Mul:
    return times(a, b);
  case BinaryFn::Max:
    return larger(a, b);
  default:
    return select(arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, a, b), a, b);
  }
}

Value SweepEmitter::multiplyAdd(Value a, Value b, Value sum) {
  auto contract = arith::FastMathFlags::contract;
  return arith::AddFOp::create(builder, loc, arith::MulFOp::create(builder, loc, a, b, contract),
                               sum, contract);
}

Value SweepEmitter::memoryAt(int64_t offset, Type element) {
  Value pointer = advance(builder, loc, kernel.scratch, kernel.layout.sweepScratch + offset);
  return flatMemref(builder, loc, pointer, element);
}

Value SweepEmitter::memoryAt(int64_t offset) { return memoryAt(offset, kernel.real); }

Value SweepEmitter::load(Value memref, Value position, int64_t offset) {
  return vector::LoadOp::create(builder, loc, vectorType, memref, add(position, constant(offset)));
}

void SweepEmitter::store(Value value, Value memref, Value position, int64_t offset) {
  vector::StoreOp::create(builder, loc, value, memref, add(position, constant(offset)));
}

void SweepEmitter::when(Value condition, function_ref<void()> body,
                        function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  body();
  if (otherwise) {
    builder.setInsertionPointToStart(branch.elseBlock());
    otherwise();
  }
}

SmallVector<Value>
SweepEmitter::loop(Value from, Value to, int64_t step, ArrayRef<Value> initial,
                   function_ref<SmallVector<Value>(Value, ArrayRef<Value>)> body) {
  auto op = scf::ForOp::create(builder, loc, from, to, constant(step), initial);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(op.getBody());
  SmallVector<Value> arguments(op.getRegionIterArgs());
  SmallVector<Value> next = body(op.getInductionVar(), arguments);
  if (!initial.empty())
    scf::YieldOp::create(builder, loc, next);
  return SmallVector<Value>(op.getResults());
}
