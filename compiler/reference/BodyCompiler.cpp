//===- BodyCompiler.cpp - from regions to closures ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/BodyCompiler.h"

#include "compiler/reference/Functions.h"

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir;

namespace seqmix::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The value of an affine expression of integers held as doubles.
int64_t evaluate(AffineExpr expr, llvm::ArrayRef<double> operands) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return static_cast<int64_t>(operands[dim.getPosition()]);
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  auto binary = cast<AffineBinaryOpExpr>(expr);
  int64_t lhs = evaluate(binary.getLHS(), operands), rhs = evaluate(binary.getRHS(), operands);
  auto floorDiv = [](int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); };
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return lhs + rhs;
  case AffineExprKind::Mul:
    return lhs * rhs;
  case AffineExprKind::FloorDiv:
    return floorDiv(lhs, rhs);
  case AffineExprKind::CeilDiv:
    return -floorDiv(-lhs, rhs);
  case AffineExprKind::Mod:
    return lhs - rhs * floorDiv(lhs, rhs);
  default:
    llvm_unreachable("not a binary expression");
  }
}

/// One index of a read.
struct IndexExpr {
  AffineExpr expr;
  bool dataDependent;
};

/// The element of a variable at given indices: 0 outside, but data-dependent indices are clamped.
double element(const Variable &variable, llvm::ArrayRef<IndexExpr> indices,
               llvm::ArrayRef<double> operands) {
  int64_t offset = 0;
  for (auto [number, index] : llvm::enumerate(indices)) {
    int64_t at = evaluate(index.expr, operands);
    int64_t extent = variable.extents[number];
    if (number == 0)
      at -= variable.origin;
    if (index.dataDependent) {
      Range range = number == 0 ? variable.rows : Range{0, extent};
      if (range.count == 0)
        return 0;
      at = std::clamp(at, range.begin, range.begin + range.count - 1);
    }
    if (at < 0 || at >= extent)
      return 0;
    offset += at * variable.strides[number];
  }
  return variable.values[offset];
}

double neutralElement(seq::ReduceKind kind) {
  switch (kind) {
  case seq::ReduceKind::Sum:
    return 0;
  case seq::ReduceKind::Prod:
    return 1;
  case seq::ReduceKind::Max:
  case seq::ReduceKind::LogSumExp:
    return -kInfinity;
  case seq::ReduceKind::Min:
    return kInfinity;
  }
  llvm_unreachable("every reduction is handled");
}

BinaryFunction combination(seq::ReduceKind kind) {
  switch (kind) {
  case seq::ReduceKind::Sum:
    return binaryFunction(seq::BinaryFn::Add);
  case seq::ReduceKind::Prod:
    return binaryFunction(seq::BinaryFn::Mul);
  case seq::ReduceKind::Max:
    return binaryFunction(seq::BinaryFn::Max);
  case seq::ReduceKind::Min:
    return binaryFunction(seq::BinaryFn::Min);
  case seq::ReduceKind::LogSumExp:
    return logAddExp;
  }
  llvm_unreachable("every reduction is handled");
}

/// Softmax of the points `where`, in place; zero outside and when there is none above -inf.
void softmax(std::vector<double> &values, const std::vector<char> &where) {
  double most = -kInfinity, total = 0;
  for (auto [value, inside] : llvm::zip_equal(values, where))
    if (inside)
      most = binaryFunction(seq::BinaryFn::Max)(most, value);
  for (auto [value, inside] : llvm::zip_equal(values, where)) {
    value = inside && most != -kInfinity ? std::exp(value - most) : 0;
    total += value;
  }
  for (auto [value, inside] : llvm::zip_equal(values, where))
    value = inside && total != 0 ? value / total : 0;
}

/// 1 at the `count` largest of the points `where`, the lowest index first among equals.
void topK(std::vector<double> &values, const std::vector<char> &where, int64_t count) {
  std::vector<size_t> order;
  for (size_t point = 0; point < values.size(); ++point)
    if (where[point])
      order.push_back(point);
  llvm::sort(order, [&](size_t a, size_t b) {
    return values[a] > values[b] || (values[a] == values[b] && a < b);
  });
  order.resize(std::min<size_t>(order.size(), count));
  std::fill(values.begin(), values.end(), 0);
  for (size_t point : order)
    values[point] = 1;
}

/// Whether arithmetic of finite precision rounds what the op gives.
bool isRounded(Operation &op) {
  if (!op.getResult(0).getType().isF64())
    return false;
  if (auto unary = dyn_cast<seq::UnaryOp>(op))
    return !llvm::is_contained({seq::UnaryFn::Neg, seq::UnaryFn::Abs, seq::UnaryFn::Sign,
                                seq::UnaryFn::Floor, seq::UnaryFn::Relu},
                               unary.getFn());
  if (auto binary = dyn_cast<seq::BinaryOp>(op))
    return binary.getFn() != seq::BinaryFn::Min && binary.getFn() != seq::BinaryFn::Max;
  return isa<seq::MapOp>(op) && cast<seq::MapOp>(op).getKind() != seq::MapKind::TopK;
}

bool isRoundedReduction(seq::ReduceOp op) {
  return op.getType().isF64() && op.getKind() != seq::ReduceKind::Max &&
         op.getKind() != seq::ReduceKind::Min;
}

/// The values from outside that a region and those inside it use.
llvm::SetVector<Value> valuesFromOutside(Operation *op) {
  llvm::SetVector<Value> found;
  for (Region &region : op->getRegions())
    region.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (!op->isAncestor(operand.getParentBlock()->getParentOp()))
          found.insert(operand);
    });
  return found;
}

} // namespace

unsigned BodyCompiler::slot(Value value) {
  auto [entry, isNew] = slots.try_emplace(value, program.constants.size());
  if (isNew)
    program.constants.push_back(0);
  return entry->second;
}

Space BodyCompiler::space(llvm::ArrayRef<llvm::StringRef> dims, Region &bodyRegion,
                          Region &domain) {
  Space space;
  for (llvm::StringRef dim : dims)
    space.dims.push_back(program.dimNumber(dim));
  space.body = body(bodyRegion);
  space.hasDomain = !domain.empty();
  if (space.hasDomain)
    space.domain = body(domain);
  return space;
}

Body BodyCompiler::body(Region &region) {
  Body body;
  for (BlockArgument argument : region.getArguments())
    body.arguments.push_back(slot(argument));
  for (Operation &op : region.front()) {
    if (auto yield = dyn_cast<seq::YieldOp>(op))
      body.result = slot(yield.getValue());
    else if (Step made = step(op)) {
      body.steps.push_back(std::move(made));
      if (isRounded(op))
        body.steps.push_back([to = slot(op.getResult(0))](Environment &env) {
          env.value[to] = env.disturbed(env.value[to]);
        });
    }
  }
  return body;
}

Step BodyCompiler::step(Operation &op) {
  return llvm::TypeSwitch<Operation &, Step>(op)
      .Case([&](seq::ExtentOp op) { return extent(op); })
      .Case([&](seq::ReadOp op) { return read(op); })
      .Case([&](seq::UnaryOp op) { return unary(op); })
      .Case([&](seq::BinaryOp op) { return binary(op); })
      .Case([&](seq::CompareOp op) { return compare(op); })
      .Case([&](seq::SelectOp op) { return select(op); })
      .Case([&](seq::ToRealOp op) { return toReal(op); })
      .Case([&](seq::ReduceOp op) { return reduce(op); })
      .Case([&](seq::MapOp op) { return map(op); })
      .Default([&](Operation &op) {
        constant(cast<seq::ConstantOp>(op));
        return Step();
      });
}

/// Constants stand in their slots from the start.
void BodyCompiler::constant(seq::ConstantOp op) {
  double value = 0;
  if (auto real = dyn_cast<FloatAttr>(op.getValue()))
    value = real.getValueAsDouble();
  else if (auto truth = dyn_cast<BoolAttr>(op.getValue()))
    value = truth.getValue();
  else
    value = static_cast<double>(cast<IntegerAttr>(op.getValue()).getInt());
  program.constants[slot(op.getResult())] = value;
}

Step BodyCompiler::extent(seq::ExtentOp op) {
  return [dim = program.dimNumber(op.getDim()), to = slot(op)](Environment &env) {
    env.value[to] = static_cast<double>(env.lengths[dim]);
  };
}

Step BodyCompiler::read(seq::ReadOp op) {
  llvm::SmallVector<IndexExpr, 4> indices;
  for (auto [place, expr] : llvm::enumerate(op.getMap().getResults()))
    indices.push_back({expr, op.isDataDependent(place)});
  llvm::SmallVector<unsigned, 4> from;
  for (Value operand : op.getOperands())
    from.push_back(slot(operand));
  return [variable = program.variableNumber(op.getSource()), indices, from,
          to = slot(op)](Environment &env) {
    llvm::SmallVector<double, 6> operands;
    for (unsigned slot : from)
      operands.push_back(env.value[slot]);
    env.value[to] = element(env.variables[variable], indices, operands);
  };
}

Step BodyCompiler::unary(seq::UnaryOp op) {
  return [fn = unaryFunction(op.getFn()), from = slot(op.getOperand()),
          to = slot(op)](Environment &env) { env.value[to] = fn(env.value[from]); };
}

Step BodyCompiler::binary(seq::BinaryOp op) {
  return [fn = binaryFunction(op.getFn()), lhs = slot(op.getLhs()), rhs = slot(op.getRhs()),
          to = slot(op)](Environment &env) { env.value[to] = fn(env.value[lhs], env.value[rhs]); };
}

Step BodyCompiler::compare(seq::CompareOp op) {
  return [fn = comparison(op.getPredicate()), lhs = slot(op.getLhs()), rhs = slot(op.getRhs()),
          to = slot(op)](Environment &env) { env.value[to] = fn(env.value[lhs], env.value[rhs]); };
}

Step BodyCompiler::select(seq::SelectOp op) {
  return [condition = slot(op.getCondition()), whenTrue = slot(op.getWhenTrue()),
          whenFalse = slot(op.getWhenFalse()), to = slot(op)](Environment &env) {
    env.value[to] = env.value[env.value[condition] != 0 ? whenTrue : whenFalse];
  };
}

Step BodyCompiler::toReal(seq::ToRealOp op) {
  return [from = slot(op.getOperand()), to = slot(op)](Environment &env) {
    env.value[to] = env.value[from];
  };
}

Step BodyCompiler::reduce(seq::ReduceOp op) {
  llvm::SmallVector<llvm::StringRef> dims(op.getDims().getAsValueRange<FlatSymbolRefAttr>());
  return [space = space(dims, op.getBody(), op.getDomain()), combine = combination(op.getKind()),
          neutral = neutralElement(op.getKind()), isSum = isRoundedReduction(op),
          to = slot(op)](Environment &env) {
    double total = neutral;
    space.forEachPoint(env, nullptr, [&](llvm::ArrayRef<int64_t>) {
      total = combine(total, space.body.run(env));
      if (isSum)
        total = env.disturbed(total);
    });
    env.value[to] = total;
  };
}

/// All points are computed at once, and kept for as long as nothing that the body uses changes. A
/// cumulative sum is continued point by point instead, since in a recurrence the later ones may not
/// be known yet.
Step BodyCompiler::map(seq::MapOp op) {
  Space space = this->space(op.getDim(), op.getBody(), op.getDomain());
  llvm::SmallVector<unsigned> used;
  for (Value value : valuesFromOutside(op))
    if (!value.getDefiningOp<seq::ConstantOp>())
      used.push_back(slot(value));
  return [space, used, kind = op.getKind(), count = op.getCount().value_or(0),
          number = program.mapCount++, at = slot(op.getAt()), to = slot(op)](Environment &env) {
    std::vector<double> key;
    for (unsigned slot : used)
      key.push_back(env.value[slot]);
    Range range = env.whole[space.dims[0]];
    int64_t point = static_cast<int64_t>(env.value[at]) - range.begin;
    std::vector<double> &results = env.maps[number][key];
    auto inside = [&](int64_t point) {
      env.value[space.body.arguments[0]] = static_cast<double>(range.begin + point);
      if (!space.hasDomain)
        return true;
      env.value[space.domain.arguments[0]] = static_cast<double>(range.begin + point);
      return space.domain.run(env) != 0;
    };
    if (kind == seq::MapKind::CumSum) {
      while (static_cast<int64_t>(results.size()) <= point) {
        double before = results.empty() ? 0 : results.back();
        results.push_back(inside(results.size()) ? before + space.body.run(env) : before);
      }
    } else if (results.empty()) {
      std::vector<double> values(range.count);
      std::vector<char> where(range.count);
      for (int64_t point = 0; point < range.count; ++point) {
        where[point] = inside(point);
        values[point] = where[point] ? space.body.run(env) : 0;
      }
      if (kind == seq::MapKind::Softmax)
        softmax(values, where);
      else
        topK(values, where, count);
      results = std::move(values);
    }
    env.value[to] = point >= 0 && point < range.count ? results[point] : 0;
  };
}

} // namespace seqmix::reference
