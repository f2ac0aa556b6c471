//===- Reductions.cpp - sums, products, maxima over fixed dims -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Expressions.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AffineExpr.h"

#include <algorithm>
#include <limits>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Accumulators in flight that hide the latency of an addition.
constexpr int64_t kChains = 8;
/// Trip counts up to which a loop is written out.
constexpr int64_t kWrittenOut = 4;

double identityOf(ReduceKind kind) {
  switch (kind) {
  case ReduceKind::Prod:
    return 1;
  case ReduceKind::Max:
    return -std::numeric_limits<double>::infinity();
  case ReduceKind::Min:
    return std::numeric_limits<double>::infinity();
  default:
    return 0;
  }
}

BinaryFn functionOf(ReduceKind kind) {
  switch (kind) {
  case ReduceKind::Prod:
    return BinaryFn::Mul;
  case ReduceKind::Max:
    return BinaryFn::Max;
  case ReduceKind::Min:
    return BinaryFn::Min;
  default:
    return BinaryFn::Add;
  }
}

vector::CombiningKind combiningKindOf(ReduceKind kind) {
  switch (kind) {
  case ReduceKind::Prod:
    return vector::CombiningKind::MUL;
  case ReduceKind::Max:
    return vector::CombiningKind::MAXNUMF;
  case ReduceKind::Min:
    return vector::CombiningKind::MINNUMF;
  default:
    return vector::CombiningKind::ADD;
  }
}

/// The factor of an operand in an affine expression; nothing if it is not linear in it.
std::optional<int64_t> coefficient(AffineExpr expr, unsigned operand) {
  if (isa<AffineConstantExpr>(expr))
    return 0;
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dim.getPosition() == operand;
  auto operation = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!operation)
    return std::nullopt;
  auto lhs = coefficient(operation.getLHS(), operand);
  auto rhs = coefficient(operation.getRHS(), operand);
  if (!lhs || !rhs)
    return std::nullopt;
  if (operation.getKind() == AffineExprKind::Add)
    return *lhs + *rhs;
  if (*lhs == 0 && *rhs == 0)
    return 0;
  auto factor = dyn_cast<AffineConstantExpr>(operation.getRHS());
  if (operation.getKind() == AffineExprKind::Mul && factor)
    return *lhs * factor.getValue();
  return std::nullopt;
}

/// Whether `value` is made inside of the reduction.
bool isInside(Value value, ReduceOp op) {
  return op->isAncestor(value.getParentBlock()->getParentOp());
}
} // namespace

/// What the values around a reduction make it depend on: the shape of its accumulators.
ExprEmitter::Shape ExprEmitter::dependence(ReduceOp op) {
  Shape shape;
  op->walk([&](Operation *inner) {
    if (auto read = dyn_cast<ReadOp>(inner); read && scope.batch.rows > 1)
      shape.rows = std::max(shape.rows, scope.batch.rows);
    for (Value operand : inner->getOperands()) {
      if (isInside(operand, op))
        continue;
      const Emitted &value = get(operand);
      shape.rows = std::max(shape.rows, value.rows);
      shape.vectors = std::max(shape.vectors, value.vectors);
      bool uniform = value.kind == ValueKind::Integer ? value.indices[0].isUniform()
                                                      : !isa<VectorType>(value.values[0].getType());
      if (!uniform)
        shape.onLanes = true;
    }
  });
  return shape;
}

/// The number of the reduced dim along which vectors run, or -1.
int64_t ExprEmitter::laneDim(ReduceOp op) {
  int64_t best = -1, bestScore = 0;
  for (auto [number, dim] : llvm::enumerate(op.getDims().getAsRange<FlatSymbolRefAttr>())) {
    if (fixedSize(kernel.mixer, dim) * 2 < kernel.lanes)
      continue;
    Value argument = op.getBody().getArgument(number);
    int64_t score = 0;
    op.getBody().walk([&](ReadOp read) {
      auto name = read.getSourceAttr().getAttr();
      if (!kernel.layout.isSymbol(name))
        return;
      const SymbolInfo &info = kernel.layout.symbol(name);
      const BufferLayout *buffer = kernel.layout.readable(name);
      if (auto state = scope.states.find(name); state != scope.states.end())
        buffer = state->second.buffer;
      ArrayRef<int64_t> strides = buffer ? ArrayRef(buffer->strides) : ArrayRef<int64_t>();
      bool isStored = buffer;
      if (scope.pairs)
        for (auto *side : {&scope.pairs->rows, &scope.pairs->columns})
          if (auto packed = side->find(name); packed != side->end()) {
            isStored = packed->second.featureStride == 1;
            strides = packed->second.strides;
          }
      std::optional<int64_t> stride = 0;
      for (auto [position, operand] : llvm::enumerate(read.getOperands()))
        if (operand == argument)
          for (auto [result, expr] : llvm::enumerate(read.getMap().getResults())) {
            auto factor = coefficient(expr, position);
            int64_t dimNumber = static_cast<int64_t>(result) - info.perToken;
            // Rows of the caller's that are chosen one by one are dense in most calls.
            bool isLast = result + 1 == read.getMap().getNumResults();
            if (!isStored && isLast && factor == 1 && info.perToken && !isNear(read, info)) {
              if (stride)
                ++*stride;
              continue;
            }
            if (!factor || !isStored || dimNumber < 0) {
              if (!factor || *factor != 0)
                stride = std::nullopt;
              continue;
            }
            if (stride)
              *stride += *factor * strides[dimNumber];
          }
      score += !stride ? -4 : *stride == 1 ? 1 : *stride == 0 ? 0 : -4;
    });
    if (score > bestScore) {
      bestScore = score;
      best = number;
    }
  }
  return best;
}

/// The reduced value at one point (or vector of points) of the dims.
FailureOr<Emitted> ExprEmitter::reduceTerm(ReduceOp op, ArrayRef<IndexValue> indices, Value mask) {
  auto bindArguments = [&](Block &block) {
    for (auto [argument, index] : llvm::zip_equal(block.getArguments(), indices))
      bind(argument, Emitted::integer(index));
  };
  Block &body = op.getBody().front();
  bindArguments(body);
  if (failed(emitBlock(body)))
    return failure();
  Emitted term = get(body.getTerminator()->getOperand(0));
  if (term.kind == ValueKind::Integer)
    term = toReal(term);
  Emitted identity;
  // Both passes of a log-sum-exp skip what is minus infinity.
  auto kind = op.getKind() == ReduceKind::LogSumExp ? ReduceKind::Max : op.getKind();
  identity.values.push_back(realConstant(identityOf(kind)));
  if (!op.getDomain().empty()) {
    Block &domain = op.getDomain().front();
    bindArguments(domain);
    if (failed(emitBlock(domain)))
      return failure();
    term = selectReal(get(domain.getTerminator()->getOperand(0)), term, identity);
  }
  if (mask) {
    Emitted inside;
    inside.kind = ValueKind::Truth;
    inside.values.push_back(mask);
    term = selectReal(inside, term, identity);
  }
  return term;
}

FailureOr<SmallVector<Value>> ExprEmitter::reduceLoops(ReduceOp op, ReduceKind kind, int64_t lane,
                                                       SmallVector<Value> initial, int64_t rows,
                                                       int64_t vectors, const Emitted *shift) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  int64_t count = op.getDims().size();
  SmallVector<int64_t> sizes, order;
  for (auto dim : op.getDims().getAsRange<FlatSymbolRefAttr>())
    sizes.push_back(fixedSize(kernel.mixer, dim));
  for (int64_t dim = 0; dim < count; ++dim)
    if (dim != lane)
      order.push_back(dim);
  if (lane >= 0)
    order.push_back(lane);

  SmallVector<IndexValue> indices(count);
  // Adds the point at `indices` to a set of accumulators.
  auto accumulate = [&](MutableArrayRef<Value> sums, Value mask) -> LogicalResult {
    auto term = reduceTerm(op, indices, mask);
    if (failed(term))
      return failure();
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < vectors; ++j) {
        Value &sum = sums[i * vectors + j];
        Value value = term->value(i, j);
        if (shift) {
          SmallVector<Value> operands = {value, shift->value(i, j)};
          unify(operands);
          value = binary(BinaryFn::Sub, operands[0], operands[1]);
          value = UnaryOp::create(builder, loc, value.getType(), UnaryFn::Exp, value);
        }
        if (isa<VectorType>(sum.getType()))
          value = broadcast(value);
        sum = binary(functionOf(kind), sum, value);
      }
    return success();
  };

  std::function<FailureOr<SmallVector<Value>>(int64_t, SmallVector<Value>)> level =
      [&](int64_t depth, SmallVector<Value> sums) -> FailureOr<SmallVector<Value>> {
    if (depth == count) {
      if (failed(accumulate(sums, {})))
        return failure();
      return sums;
    }
    int64_t dim = order[depth], step = dim == lane ? kernel.lanes : 1;
    int64_t whole = sizes[dim] / step, rest = sizes[dim] % step;
    bool innermost = depth == count - 1;
    int64_t sets = 1;
    if (innermost && whole >= 8)
      sets = std::max<int64_t>(1, std::min<int64_t>(4, kChains / (rows * vectors)));
    int64_t looped = scope.unroll || whole <= kWrittenOut ? 0 : whole / sets * sets;
    auto at = [&](Value base, int64_t offset) {
      int64_t last = (whole - 1) * step + (step - 1);
      indices[dim] = base ? IndexValue::of(base, 0, last) : IndexValue::constant(offset);
      if (base)
        indices[dim].offset = offset;
      if (step > 1) {
        indices[dim].step = 1;
        indices[dim].high = base ? last : offset + step - 1;
      }
    };
    if (looped) {
      SmallVector<Value> carried = sums;
      for (int64_t set = 1; set < sets; ++set)
        for (Value sum : sums) {
          Value identity = realConstant(identityOf(kind));
          carried.push_back(isa<VectorType>(sum.getType()) ? broadcast(identity) : identity);
        }
      auto loop =
          scf::ForOp::create(builder, loc, kernel.constant(0), kernel.constant(looped * step),
                             kernel.constant(sets * step), carried);
      {
        OpBuilder::InsertionGuard guard(builder);
        builder.setInsertionPointToStart(loop.getBody());
        SmallVector<Value> inner(loop.getRegionIterArgs());
        for (int64_t set = 0; set < sets; ++set) {
          at(loop.getInductionVar(), set * step);
          auto own = MutableArrayRef<Value>(inner).slice(set * sums.size(), sums.size());
          auto next = level(depth + 1, SmallVector<Value>(own));
          if (failed(next))
            return failure();
          llvm::copy(*next, own.begin());
        }
        scf::YieldOp::create(builder, loc, inner);
      }
      SmallVector<Value> results(loop.getResults());
      for (int64_t set = 1; set < sets; ++set)
        for (size_t number = 0; number < sums.size(); ++number)
          results[number] =
              binary(functionOf(kind), results[number], results[set * sums.size() + number]);
      results.truncate(sums.size());
      sums = std::move(results);
    }
    for (int64_t number = looped; number < whole; ++number) {
      at({}, number * step);
      auto next = level(depth + 1, sums);
      if (failed(next))
        return failure();
      sums = std::move(*next);
    }
    if (rest) {
      // The lanes are innermost: the last vector is masked.
      at({}, whole * step);
      indices[dim].step = 1;
      indices[dim].low = whole * step;
      indices[dim].high = sizes[dim] - 1;
      indices[dim].slack = step - rest;
      SmallVector<bool> used(step);
      for (int64_t number = 0; number < rest; ++number)
        used[number] = true;
      Value mask = arith::ConstantOp::create(
          builder, loc,
          DenseElementsAttr::get(kernel.vectorType(builder.getI1Type()), ArrayRef<bool>(used)));
      if (failed(accumulate(sums, mask)))
        return failure();
    }
    return sums;
  };
  return level(0, std::move(initial));
}

FailureOr<Emitted> ExprEmitter::reduce(ReduceOp op, ReduceKind kind, int64_t lane,
                                       const Emitted *shift) {
  auto &builder = kernel.builder;
  Shape shape = dependence(op);
  bool isVector = lane >= 0 || shape.onLanes;
  Value identity = realConstant(identityOf(kind));
  if (isVector)
    identity = broadcast(identity);
  SmallVector<Value> initial(shape.rows * shape.vectors, identity);
  auto sums = reduceLoops(op, kind, lane, initial, shape.rows, shape.vectors, shift);
  if (failed(sums))
    return failure();
  Emitted result;
  result.rows = shape.rows;
  result.vectors = shape.vectors;
  for (Value sum : *sums) {
    if (lane >= 0)
      sum = vector::ReductionOp::create(builder, kernel.loc, combiningKindOf(kind), sum,
                                        arith::FastMathFlags::reassoc);
    result.values.push_back(sum);
  }
  return result;
}

LogicalResult ExprEmitter::emitReduce(ReduceOp op) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  for (auto dim : op.getDims().getAsRange<FlatSymbolRefAttr>()) {
    auto declared = cast<DimOp>(SymbolTable::lookupSymbolIn(kernel.mixer, dim.getAttr()));
    if (declared.getKind() != DimKind::Fixed)
      return op.emitOpError("reduces a run-time dim, which has no code at the tile level");
    if (kernel.isSplit(dim.getAttr()))
      return op.emitOpError("reduces the dim along which tasks are split");
  }
  if (isOfQuotients(op)) {
    auto result = reduceQuotients(op);
    if (failed(result))
      return failure();
    bind(op, std::move(*result));
    return success();
  }
  // Vectors run along the left side's dim if the term depends on it, else along a reduced one.
  bool onLanes = dependence(op).onLanes;
  int64_t lane = onLanes || scope.unroll ? -1 : laneDim(op);
  if (op.getKind() != ReduceKind::LogSumExp) {
    auto result = reduce(op, op.getKind(), lane, nullptr);
    if (failed(result))
      return failure();
    bind(op, std::move(*result));
    return success();
  }
  // log sum exp(x) = m + log sum exp(x - m) with the maximum m; an infinite m is the result.
  auto largest = reduce(op, ReduceKind::Max, lane, nullptr);
  if (failed(largest))
    return failure();
  auto isInfinite = [&](Value value) -> Value {
    Value magnitude = UnaryOp::create(builder, loc, value.getType(), UnaryFn::Abs, value);
    SmallVector<Value> operands = {magnitude,
                                   realConstant(std::numeric_limits<double>::infinity())};
    unify(operands);
    return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, operands[0], operands[1]);
  };
  Emitted shift = map(ValueKind::Real, {&*largest}, [&](ArrayRef<Value> values) -> Value {
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(values[0].getType()));
    return arith::SelectOp::create(builder, loc, isInfinite(values[0]), zero, values[0]);
  });
  auto total = reduce(op, ReduceKind::Sum, lane, &shift);
  if (failed(total))
    return failure();
  bind(op, map(ValueKind::Real, {&*largest, &*total}, [&](ArrayRef<Value> values) -> Value {
         Value log = UnaryOp::create(builder, loc, values[1].getType(), UnaryFn::Log, values[1]);
         Value sum = binary(BinaryFn::Add, values[0], log);
         return arith::SelectOp::create(builder, loc, isInfinite(values[0]), values[0], sum);
       }));
  return success();
}
