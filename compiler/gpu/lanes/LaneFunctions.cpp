//===- LaneFunctions.cpp - functions and reductions for the lanes of a block -------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/LaneExpr.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

LaneExpr::Result LaneExpr::unary(UnaryOp op) {
  Result operand = eval(op.getOperand());
  if (failed(operand))
    return failure();
  if (operand->isInteger) {
    if (op.getFn() == UnaryFn::Neg && !operand->place.rest)
      return integer({-operand->place.constant,
                      -operand->place.token,
                      -operand->place.lane,
                      {},
                      operand->place.lanes,
                      -operand->place.group,
                      operand->place.rows});
    return integer({0, 0, 0, function(op.getFn(), number(operand->place))});
  }
  if (op.getFn() == UnaryFn::Neg)
    return real(arith::NegFOp::create(builder, block.loc, operand->value));
  Value result = function(op.getFn(), operand->value);
  if (!op.getType().isIndex())
    return real(result);
  Type type = builder.getI64Type();
  if (auto tile = dyn_cast<RankedTensorType>(result.getType()))
    type = tile.clone(type);
  return integer({0, 0, 0, arith::FPToSIOp::create(builder, block.loc, type, result)});
}

LaneExpr::Result LaneExpr::binary(BinaryOp op) {
  Result left = eval(op.getLhs()), right = eval(op.getRhs());
  if (failed(left) || failed(right))
    return failure();
  BinaryFn fn = op.getFn();
  if (left->isInteger) {
    auto expr = [&](AffineExpr a, AffineExpr b) -> AffineExpr {
      if (fn == BinaryFn::Add)
        return a + b;
      if (fn == BinaryFn::Sub)
        return a - b;
      return {};
    };
    MLIRContext *context = op.getContext();
    if (AffineExpr known = expr(getAffineDimExpr(0, context), getAffineDimExpr(1, context))) {
      auto result = place(op, known, {left->place, right->place});
      if (failed(result))
        return failure();
      return integer(*result);
    }
    if (left->place.isConstant() && right->place.isConstant() && right->place.constant > 0) {
      int64_t a = left->place.constant, b = right->place.constant;
      switch (fn) {
      case BinaryFn::Mul:
        return integer(Place::of(a * b));
      case BinaryFn::FloorDiv:
        return integer(Place::of(llvm::divideFloorSigned(a, b)));
      case BinaryFn::Mod:
        return integer(Place::of(llvm::mod(a, b)));
      case BinaryFn::Min:
        return integer(Place::of(std::min(a, b)));
      case BinaryFn::Max:
        return integer(Place::of(std::max(a, b)));
      default:
        break;
      }
    }
    return integer({0, 0, 0, function(fn, number(left->place), number(right->place))});
  }
  switch (fn) {
  case BinaryFn::Add:
    return real(add(left->value, right->value));
  case BinaryFn::Mul:
    return real(multiply(left->value, right->value));
  case BinaryFn::Sub: {
    Value both[] = {left->value, right->value};
    unify(both);
    return real(arith::SubFOp::create(builder, block.loc, both[0], both[1],
                                      arith::FastMathFlags::contract));
  }
  case BinaryFn::And:
  case BinaryFn::Or: {
    for (auto [one, other] : {std::pair(left, right), std::pair(right, left)})
      if (auto truth = known(one->value))
        return *truth == (fn == BinaryFn::Or) ? *one : *other;
    Value both[] = {left->value, right->value};
    unify(both);
    return real(fn == BinaryFn::And
                    ? arith::AndIOp::create(builder, block.loc, both[0], both[1]).getResult()
                    : arith::OrIOp::create(builder, block.loc, both[0], both[1]).getResult());
  }
  case BinaryFn::Pow: {
    // A constant exponent stays recognisable.
    Value exponent = right->value;
    return real(function(fn, left->value, exponent));
  }
  default:
    return real(function(fn, left->value, right->value));
  }
}

LaneExpr::Result LaneExpr::compare(CompareOp op) {
  Result left = eval(op.getLhs()), right = eval(op.getRhs());
  if (failed(left) || failed(right))
    return failure();
  Predicate predicate = op.getPredicate();
  if (left->isInteger) {
    // Tokens and lanes of both sides may cancel.
    if (!left->place.rest && !right->place.rest && left->place.token == right->place.token &&
        left->place.lane == right->place.lane && left->place.group == right->place.group) {
      int64_t a = left->place.constant, b = right->place.constant;
      bool holds = predicate == Predicate::Eq   ? a == b
                   : predicate == Predicate::Ne ? a != b
                   : predicate == Predicate::Lt ? a < b
                   : predicate == Predicate::Le ? a <= b
                   : predicate == Predicate::Gt ? a > b
                                                : a >= b;
      return real(arith::ConstantIntOp::create(builder, block.loc, holds ? 1 : 0, 1));
    }
    Value both[] = {number(left->place), number(right->place)};
    unify(both);
    constexpr arith::CmpIPredicate predicates[] = {
        arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,  arith::CmpIPredicate::slt,
        arith::CmpIPredicate::sle, arith::CmpIPredicate::sgt, arith::CmpIPredicate::sge};
    return real(arith::CmpIOp::create(
        builder, block.loc, predicates[static_cast<unsigned>(predicate)], both[0], both[1]));
  }
  Value both[] = {left->value, right->value};
  unify(both);
  if (getElementTypeOrSelf(both[0].getType()).isInteger(1))
    return real(arith::CmpIOp::create(builder, block.loc,
                                      predicate == Predicate::Eq ? arith::CmpIPredicate::eq
                                                                 : arith::CmpIPredicate::ne,
                                      both[0], both[1]));
  constexpr arith::CmpFPredicate predicates[] = {
      arith::CmpFPredicate::OEQ, arith::CmpFPredicate::UNE, arith::CmpFPredicate::OLT,
      arith::CmpFPredicate::OLE, arith::CmpFPredicate::OGT, arith::CmpFPredicate::OGE};
  return real(arith::CmpFOp::create(
      builder, block.loc, predicates[static_cast<unsigned>(predicate)], both[0], both[1]));
}

LaneExpr::Result LaneExpr::select(SelectOp op) {
  Result condition = eval(op.getCondition());
  if (failed(condition))
    return failure();
  if (auto truth = known(condition->value))
    return eval(*truth ? op.getWhenTrue() : op.getWhenFalse());
  Result whenTrue = eval(op.getWhenTrue()), whenFalse = eval(op.getWhenFalse());
  if (failed(whenTrue) || failed(whenFalse))
    return failure();
  Value chosen = choose(condition->value, asValue(*whenTrue), asValue(*whenFalse));
  return whenTrue->isInteger ? integer({0, 0, 0, chosen}) : real(chosen);
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

LogicalResult LaneExpr::points(Region &inner, Region &domain, ArrayRef<int64_t> sizes,
                               llvm::function_ref<void(ArrayRef<int64_t>, Value, Value)> visit,
                               const Place &lanePlace, int64_t rows) {
  SmallVector<int64_t> point(sizes.size(), 0), counts;
  int64_t count = 1;
  for (int64_t size : sizes) {
    counts.push_back(size == kLanes  ? 1
                     : size == kRows ? llvm::divideCeil(rows, block.shape.group)
                                     : size);
    count *= counts.back();
  }
  for (int64_t n = 0; n < count; ++n) {
    SmallVector<Place> arguments;
    int64_t rest = n;
    for (int64_t dim = static_cast<int64_t>(sizes.size()) - 1; dim >= 0; --dim) {
      point[dim] = rest % counts[dim];
      rest /= counts[dim];
    }
    Value exists;
    for (auto [place, size] : llvm::zip_equal(point, sizes)) {
      arguments.push_back(size == kLanes  ? lanePlace
                          : size == kRows ? Place::ofRow(place, rows, block.shape.group)
                                          : Place::of(place));
      if (size == kRows)
        exists = block.rowExists(arguments.back());
    }
    if (!domain.empty()) {
      Result inside = body(domain, arguments);
      if (failed(inside))
        return failure();
      auto truth = known(inside->value);
      if (truth && !*truth)
        continue;
      if (!truth) {
        Value both[] = {inside->value, exists ? exists : inside->value};
        unify(both);
        exists = exists ? arith::AndIOp::create(builder, block.loc, both[0], both[1]).getResult()
                        : inside->value;
      }
    }
    Result value = body(inner, arguments);
    if (failed(value))
      return failure();
    visit(point, value->value, exists);
  }
  return success();
}

/// Of the sum of a dense product.
static constexpr int64_t kParts = 4;

static Value combine(ReduceKind kind, Value a, Value b, llvm::function_ref<Value(Value, Value)> add,
                     llvm::function_ref<Value(Value, Value)> multiply,
                     llvm::function_ref<Value(BinaryFn, Value, Value)> other) {
  switch (kind) {
  case ReduceKind::Sum:
    return add(a, b);
  case ReduceKind::Prod:
    return multiply(a, b);
  case ReduceKind::Max:
    return other(BinaryFn::Max, a, b);
  case ReduceKind::Min:
    return other(BinaryFn::Min, a, b);
  case ReduceKind::LogSumExp:
    return other(BinaryFn::LogAddExp, a, b);
  }
  llvm_unreachable("every reduction is handled");
}

LaneExpr::Result LaneExpr::reduce(ReduceOp op) {
  llvm::SaveAndRestore place(inPlace, inPlace && !isInFront ? unknownZero() : inPlace);
  SmallVector<int64_t> sizes;
  const bool isOfLanes = !dependsOnLane(dependencies.of(op));
  const bool isOfGroup = !dependsOnRow(dependencies.of(op));
  bool isReduced = false, isDense = false; // tiles to scalars; or every lane over all lanes
  int64_t along = 0, rows = 0; // places of the lanes' dim, and of the one that is divided
  for (Attribute dim : op.getDims()) {
    int64_t size = sizeOf(dim);
    if (size < 0)
      return refuse(op, "a reduction over positions"), failure();
    if (isLanes(dim)) {
      if (block.shape.blocks != 1)
        return refuse(op, "a reduction over lanes of several blocks"), failure();
      const bool isFirst = !llvm::is_contained(sizes, kLanes);
      isReduced |= isOfLanes && isFirst;
      isDense |= !isOfLanes || !isFirst;
      if (isFirst && (isOfLanes || !isUnrolled)) {
        along = size;
        size = kLanes;
      }
    } else if (isRows(dim) && isOfGroup && !rows) {
      rows = size;
      size = kRows;
    }
    sizes.push_back(size);
  }
  llvm::SaveAndRestore inside(dense, dense + (isDense ? 1 : 0));
  const double infinity = std::numeric_limits<double>::infinity();
  const ReduceKind kind = op.getKind();
  Value neutral = constant(kind == ReduceKind::Sum    ? 0
                           : kind == ReduceKind::Prod ? 1
                           : kind == ReduceKind::Min  ? infinity
                                                      : -infinity);
  auto join = [&](Value a, Value b) {
    return combine(
        kind, a, b, [&](Value a, Value b) { return add(a, b); },
        [&](Value a, Value b) { return multiply(a, b); },
        [&](BinaryFn fn, Value a, Value b) { return function(fn, a, b); });
  };
  // Parts of long sums do not wait for each other.
  SmallVector<Value> parts(isDense ? kParts : 1);
  auto visit = [&](size_t number, Value value, Value counts) {
    if (counts)
      value = choose(counts, value, neutral);
    Value &part = parts[number % parts.size()];
    part = part ? join(part, value) : value;
  };
  size_t number = 0;
  auto visitPoint = [&](ArrayRef<int64_t>, Value value, Value counts) {
    visit(number++, value, counts);
  };
  if (!isReduced && llvm::is_contained(sizes, kLanes)) {
    llvm::fill(parts, block.splat(neutral));
    if (failed(loopOverLanes(op, sizes, along, parts, visit)))
      return failure();
  } else if (failed(points(op.getBody(), op.getDomain(), sizes, visitPoint, Place::ofLane(along),
                           rows))) {
    return failure();
  }
  Value result;
  for (Value part : parts)
    if (part)
      result = result ? join(result, part) : part;
  if (!result)
    return real(neutral);
  if (rows)
    result = combineRows(result, join);
  return real(isReduced ? combineLanes(existingOr(result, neutral, along), join) : result);
}

LaneExpr::Result LaneExpr::map(MapOp op) {
  int64_t size = sizeOf(op.getDimAttr());
  if (size < 0)
    return refuse(op, "a map over positions"), failure();
  Result at = eval(op.getAt());
  if (failed(at))
    return failure();
  if (isLanes(op.getDimAttr()) && block.shape.blocks == 1)
    return mapLanes(op, at->place);
  if (!at->place.isConstant())
    return refuse(op, "a map at a place that is computed"), failure();
  const double infinity = std::numeric_limits<double>::infinity();
  std::map<int64_t, std::pair<Value, Value>> values;
  if (failed(points(op.getBody(), op.getDomain(), {size},
                    [&](ArrayRef<int64_t> point, Value value, Value counts) {
                      values[point[0]] = {value, counts};
                    })))
    return failure();
  if (op.getKind() == MapKind::CumSum) {
    Value sum = constant(0);
    for (auto &[point, value] : values)
      if (point <= at->place.constant)
        sum = add(sum, value.second ? choose(value.second, value.first, constant(0)) : value.first);
    return real(sum);
  }
  if (op.getKind() != MapKind::Softmax)
    return refuse(op, "the greatest of several"), failure();
  Value least = constant(-infinity), most = least;
  for (auto &[point, value] : values) {
    if (value.second)
      value.first = choose(value.second, value.first, least);
    most = function(BinaryFn::Max, most, value.first);
  }
  // Where nothing is above -inf, everything is zero.
  Value both[] = {most, least};
  unify(both);
  Value isEmpty =
      arith::CmpFOp::create(builder, block.loc, arith::CmpFPredicate::OEQ, both[0], both[1]);
  Value shift = choose(isEmpty, constant(0), most);
  Value sum, own = constant(0);
  for (auto &[point, value] : values) {
    Value difference = add(value.first, arith::NegFOp::create(builder, block.loc, shift));
    Value weight = function(UnaryFn::Exp, difference);
    sum = sum ? add(sum, weight) : weight;
    if (point == at->place.constant)
      own = weight;
  }
  Value parts[] = {own, sum ? choose(isEmpty, constant(1), sum) : constant(1)};
  unify(parts);
  return real(arith::DivFOp::create(builder, block.loc, parts[0], parts[1]));
}

} // namespace seqmix::gpu
