//===- Expressions.cpp - equations as vector code ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Expressions.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

bool Emitted::sameIndices(const Emitted &other) const {
  if (indices.size() != other.indices.size() || rows != other.rows || vectors != other.vectors)
    return false;
  return llvm::all_of_zip(indices, other.indices,
                          [](const IndexValue &a, const IndexValue &b) { return a.sameAs(b); });
}

void Registers::set(StringAttr name, ArrayRef<Emitted> indices, const Emitted &value) {
  auto &list = entries[name];
  for (Entry &entry : list)
    if (llvm::all_of_zip(entry.indices, indices,
                         [](auto &a, auto &b) { return a.sameIndices(b); })) {
      entry.value = value;
      return;
    }
  list.push_back({SmallVector<Emitted>(indices), value});
}

const Emitted *Registers::find(StringAttr name, ArrayRef<Emitted> indices) const {
  auto found = entries.find(name);
  if (found == entries.end())
    return nullptr;
  for (const Entry &entry : found->second)
    if (llvm::all_of_zip(entry.indices, indices, [](auto &a, auto &b) { return a.sameIndices(b); }))
      return &entry.value;
  return nullptr;
}

Value ExprEmitter::broadcast(Value value) {
  if (isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(kernel.builder, kernel.loc, kernel.vectorType(value.getType()),
                                     value);
}

void ExprEmitter::unify(SmallVectorImpl<Value> &operands) {
  if (llvm::any_of(operands, [](Value value) { return isa<VectorType>(value.getType()); }))
    for (Value &operand : operands)
      operand = broadcast(operand);
}

Emitted ExprEmitter::map(ValueKind kind, ArrayRef<const Emitted *> operands,
                         function_ref<Value(ArrayRef<Value>)> emit) {
  Emitted result;
  result.kind = kind;
  for (auto *operand : operands) {
    result.rows = std::max(result.rows, operand->rows);
    result.vectors = std::max(result.vectors, operand->vectors);
  }
  for (int64_t row = 0; row < result.rows; ++row)
    for (int64_t vector = 0; vector < result.vectors; ++vector) {
      SmallVector<Value, 3> values;
      for (auto *operand : operands)
        values.push_back(operand->value(row, vector));
      unify(values);
      result.values.push_back(emit(values));
    }
  return result;
}

Emitted ExprEmitter::mapIndices(ArrayRef<const Emitted *> operands,
                                function_ref<IndexValue(ArrayRef<IndexValue>)> emit) {
  Emitted result;
  result.kind = ValueKind::Integer;
  for (auto *operand : operands) {
    result.rows = std::max(result.rows, operand->rows);
    result.vectors = std::max(result.vectors, operand->vectors);
  }
  for (int64_t row = 0; row < result.rows; ++row)
    for (int64_t vector = 0; vector < result.vectors; ++vector) {
      SmallVector<IndexValue, 3> values;
      for (auto *operand : operands)
        values.push_back(operand->index(row, vector));
      result.indices.push_back(emit(values));
    }
  return result;
}

Value ExprEmitter::realConstant(double value) {
  return arith::ConstantOp::create(kernel.builder, kernel.loc,
                                   kernel.builder.getFloatAttr(kernel.real, value));
}

Emitted ExprEmitter::number(Value) {
  IndexMath math = kernel.index();
  if (!kernel.chunkStart)
    return Emitted::integer(IndexValue::constant(0));
  IndexValue first = math.add(IndexValue::of(kernel.position), IndexValue::of(kernel.chunkStart));
  return mapIndices({&scope.row}, [&](ArrayRef<IndexValue> values) {
    IndexValue result = math.add(values[0], first);
    result.low = 0;
    return result;
  });
}

FailureOr<Emitted> ExprEmitter::equation(Region &body, Region &domain, bool perToken,
                                         ArrayRef<Emitted> indices) {
  auto bindArguments = [&](Block &block) {
    auto arguments = block.getArguments();
    if (perToken) {
      token = arguments.front();
      bind(token, number(token));
      arguments = arguments.drop_front();
    }
    for (auto [argument, index] : llvm::zip_equal(arguments, indices))
      bind(argument, index);
  };
  Block &block = body.front();
  bindArguments(block);
  if (failed(emitBlock(block)))
    return failure();
  Emitted result = get(block.getTerminator()->getOperand(0));
  if (domain.empty())
    return result;
  bindArguments(domain.front());
  if (failed(emitBlock(domain.front())))
    return failure();
  const Emitted &inside = get(domain.front().getTerminator()->getOperand(0));
  if (result.kind == ValueKind::Real) {
    Emitted zero;
    zero.values.push_back(realConstant(0));
    return selectReal(inside, result, zero);
  }
  return emitError(domain.getLoc(), "a domain of an equation that is not real has no code"),
         failure();
}

FailureOr<Emitted> ExprEmitter::part(Block &block, ArrayRef<Emitted> arguments) {
  for (auto [argument, value] : llvm::zip_equal(block.getArguments(), arguments))
    bind(argument, value);
  if (failed(emitBlock(block)))
    return failure();
  return get(block.getTerminator()->getOperand(0));
}

FailureOr<SmallVector<Emitted>> ExprEmitter::values(Block &block, ArrayRef<Emitted> arguments,
                                                    ArrayRef<Operation *> wanted) {
  for (auto [argument, value] : llvm::zip(block.getArguments(), arguments))
    bind(argument, value);
  llvm::SetVector<Operation *> needed(wanted.begin(), wanted.end());
  for (size_t next = 0; next < needed.size(); ++next)
    needed[next]->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (Operation *op = operand.getDefiningOp(); op && op->getBlock() == &block)
          needed.insert(op);
    });
  for (Operation &op : block)
    if (needed.contains(&op) && failed(emitOp(op)))
      return failure();
  SmallVector<Emitted> results;
  for (Operation *op : wanted)
    results.push_back(get(op->getResult(0)));
  return results;
}

LogicalResult ExprEmitter::emitBlock(Block &block) {
  for (Operation &op : block.without_terminator())
    if (failed(emitOp(op)))
      return failure();
  return success();
}

Emitted ExprEmitter::toReal(const Emitted &value) {
  auto &builder = kernel.builder;
  IndexMath math = kernel.index();
  Emitted result;
  result.rows = value.rows;
  result.vectors = value.vectors;
  for (const IndexValue &index : value.indices) {
    if (index.isConstant()) {
      result.values.push_back(realConstant(static_cast<double>(index.offset)));
      continue;
    }
    bool narrow = index.isBounded() && index.low >= INT32_MIN && index.high <= INT32_MAX;
    Value integer = math.materialise(index);
    Type type = narrow ? builder.getI32Type() : builder.getI64Type();
    Type target = kernel.real;
    if (isa<VectorType>(integer.getType())) {
      type = kernel.vectorType(type);
      target = kernel.vectorType(target);
    }
    integer = arith::IndexCastOp::create(builder, kernel.loc, type, integer);
    result.values.push_back(arith::SIToFPOp::create(builder, kernel.loc, target, integer));
  }
  return result;
}

Emitted ExprEmitter::selectReal(const Emitted &condition, const Emitted &whenTrue,
                                const Emitted &whenFalse) {
  return map(whenTrue.kind, {&condition, &whenTrue, &whenFalse}, [&](ArrayRef<Value> values) {
    return arith::SelectOp::create(kernel.builder, kernel.loc, values[0], values[1], values[2])
        .getResult();
  });
}

namespace {
arith::CmpIPredicate integerPredicate(Predicate predicate) {
  switch (predicate) {
  case Predicate::Eq:
    return arith::CmpIPredicate::eq;
  case Predicate::Ne:
    return arith::CmpIPredicate::ne;
  case Predicate::Lt:
    return arith::CmpIPredicate::slt;
  case Predicate::Le:
    return arith::CmpIPredicate::sle;
  case Predicate::Gt:
    return arith::CmpIPredicate::sgt;
  case Predicate::Ge:
    return arith::CmpIPredicate::sge;
  }
  llvm_unreachable("all predicates are covered");
}

arith::CmpFPredicate realPredicate(Predicate predicate) {
  switch (predicate) {
  case Predicate::Eq:
    return arith::CmpFPredicate::OEQ;
  case Predicate::Ne:
    return arith::CmpFPredicate::UNE;
  case Predicate::Lt:
    return arith::CmpFPredicate::OLT;
  case Predicate::Le:
    return arith::CmpFPredicate::OLE;
  case Predicate::Gt:
    return arith::CmpFPredicate::OGT;
  case Predicate::Ge:
    return arith::CmpFPredicate::OGE;
  }
  llvm_unreachable("all predicates are covered");
}
} // namespace

LogicalResult ExprEmitter::emitOp(Operation &op) {
  if (scope.pairs && scope.pairs->exponentials.contains(&op)) {
    bindExponential(op, scope.pairs->exponentials.find(&op)->second);
    return success();
  }
  if (scope.pairs)
    if (auto known = scope.pairs->known.find(&op); known != scope.pairs->known.end()) {
      bind(op.getResult(0), known->second);
      return success();
    }
  auto &builder = kernel.builder;
  IndexMath math = kernel.index();
  return llvm::TypeSwitch<Operation *, LogicalResult>(&op)
      .Case([&](ConstantOp constant) {
        Emitted result;
        if (auto real = dyn_cast<FloatAttr>(constant.getValue())) {
          result.values.push_back(realConstant(real.getValueAsDouble()));
        } else if (auto integer = cast<IntegerAttr>(constant.getValue());
                   integer.getType().isInteger(1)) {
          result.kind = ValueKind::Truth;
          result.values.push_back(arith::ConstantOp::create(builder, kernel.loc, integer));
        } else {
          result = Emitted::integer(IndexValue::constant(integer.getInt()));
        }
        bind(constant, std::move(result));
        return success();
      })
      .Case([&](ExtentOp extent) {
        bind(extent, Emitted::integer(IndexValue::of(
                         kernel.positions(extent.getDimAttr().getAttr()).length, 0)));
        return success();
      })
      .Case([&](ToRealOp convert) {
        bind(convert, toReal(get(convert.getOperand())));
        return success();
      })
      .Case([&](CompareOp compare) {
        const Emitted &lhs = get(compare.getLhs()), &rhs = get(compare.getRhs());
        if (lhs.kind == ValueKind::Integer) {
          Emitted result;
          result.kind = ValueKind::Truth;
          result.rows = std::max(lhs.rows, rhs.rows);
          result.vectors = std::max(lhs.vectors, rhs.vectors);
          for (int64_t row = 0; row < result.rows; ++row)
            for (int64_t vector = 0; vector < result.vectors; ++vector)
              result.values.push_back(math.compare(integerPredicate(compare.getPredicate()),
                                                   lhs.index(row, vector), rhs.index(row, vector)));
          bind(compare, std::move(result));
          return success();
        }
        bool isTruth = lhs.kind == ValueKind::Truth;
        bind(compare, map(ValueKind::Truth, {&lhs, &rhs}, [&](ArrayRef<Value> values) -> Value {
               if (isTruth)
                 return arith::CmpIOp::create(builder, kernel.loc,
                                              integerPredicate(compare.getPredicate()), values[0],
                                              values[1]);
               return arith::CmpFOp::create(builder, kernel.loc,
                                            realPredicate(compare.getPredicate()), values[0],
                                            values[1]);
             }));
        return success();
      })
      .Case([&](SelectOp select) {
        const Emitted &condition = get(select.getCondition());
        const Emitted &whenTrue = get(select.getWhenTrue());
        const Emitted &whenFalse = get(select.getWhenFalse());
        if (whenTrue.kind != ValueKind::Integer) {
          bind(select, selectReal(condition, whenTrue, whenFalse));
          return success();
        }
        Emitted result;
        result.kind = ValueKind::Integer;
        result.rows = std::max({condition.rows, whenTrue.rows, whenFalse.rows});
        result.vectors = std::max({condition.vectors, whenTrue.vectors, whenFalse.vectors});
        for (int64_t row = 0; row < result.rows; ++row)
          for (int64_t vector = 0; vector < result.vectors; ++vector)
            result.indices.push_back(math.select(condition.value(row, vector),
                                                 whenTrue.index(row, vector),
                                                 whenFalse.index(row, vector)));
        bind(select, std::move(result));
        return success();
      })
      .Case([&](ReadOp read) { return emitRead(read); })
      .Case([&](UnaryOp unary) { return emitUnary(unary); })
      .Case([&](BinaryOp binary) { return emitBinary(binary); })
      .Case([&](ReduceOp reduce) { return emitReduce(reduce); })
      .Default([](Operation *other) {
        return other->emitOpError("has no code at the tile level; an earlier stage expands it");
      });
}

LogicalResult ExprEmitter::emitUnary(UnaryOp op) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  const Emitted &operand = get(op.getOperand());
  UnaryFn fn = op.getFn();
  IndexMath math = kernel.index();
  if (operand.kind == ValueKind::Truth) {
    bind(op, map(ValueKind::Truth, {&operand}, [&](ArrayRef<Value> values) -> Value {
           Value one =
               arith::ConstantOp::create(builder, loc, builder.getOneAttr(values[0].getType()));
           return arith::XOrIOp::create(builder, loc, values[0], one);
         }));
    return success();
  }
  if (operand.kind == ValueKind::Integer) {
    if (fn == UnaryFn::Floor) {
      bind(op, operand);
      return success();
    }
    if (fn != UnaryFn::Neg && fn != UnaryFn::Abs && fn != UnaryFn::Sign && fn != UnaryFn::Relu)
      return op.emitOpError("of an integer has no code at the tile level");
    bind(op, mapIndices({&operand}, [&](ArrayRef<IndexValue> values) {
           IndexValue zero = IndexValue::constant(0), negated = math.scale(values[0], -1);
           if (fn == UnaryFn::Neg)
             return negated;
           if (fn == UnaryFn::Abs)
             return math.max(values[0], negated);
           if (fn == UnaryFn::Relu)
             return math.max(values[0], zero);
           return math.max(math.min(values[0], IndexValue::constant(1)), IndexValue::constant(-1));
         }));
    return success();
  }
  if (fn == UnaryFn::Neg) {
    bind(op, map(ValueKind::Real, {&operand}, [&](ArrayRef<Value> values) -> Value {
           return arith::NegFOp::create(builder, loc, values[0]);
         }));
    return success();
  }
  Emitted result = map(ValueKind::Real, {&operand}, [&](ArrayRef<Value> values) -> Value {
    return UnaryOp::create(builder, loc, values[0].getType(), fn, values[0]);
  });
  if (fn != UnaryFn::Floor || !isa<IndexType>(op.getResult().getType())) {
    bind(op, std::move(result));
    return success();
  }
  Emitted integers;
  integers.kind = ValueKind::Integer;
  integers.rows = result.rows;
  integers.vectors = result.vectors;
  for (Value value : result.values) {
    bool isVector = isa<VectorType>(value.getType());
    auto shaped = [&](Type type) -> Type { return isVector ? kernel.vectorType(type) : type; };
    Value integer = arith::FPToSIOp::create(builder, loc, shaped(builder.getI64Type()), value);
    integer = arith::IndexCastOp::create(builder, loc, shaped(builder.getIndexType()), integer);
    IndexValue index;
    (isVector ? index.vector : index.base) = integer;
    integers.indices.push_back(index);
  }
  bind(op, std::move(integers));
  return success();
}

Value ExprEmitter::binary(BinaryFn fn, Value lhs, Value rhs) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  auto contract = arith::FastMathFlags::contract;
  switch (fn) {
  case BinaryFn::Add:
    return arith::AddFOp::create(builder, loc, lhs, rhs, contract);
  case BinaryFn::Sub:
    return arith::SubFOp::create(builder, loc, lhs, rhs, contract);
  case BinaryFn::Mul:
    return arith::MulFOp::create(builder, loc, lhs, rhs, contract);
  case BinaryFn::Div:
    return arith::DivFOp::create(builder, loc, lhs, rhs);
  case BinaryFn::Min:
  case BinaryFn::Max: {
    // One instruction on x86, unlike arith.maximumf and arith.maxnumf.
    auto predicate = fn == BinaryFn::Max ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT;
    Value first = arith::CmpFOp::create(builder, loc, predicate, lhs, rhs);
    return arith::SelectOp::create(builder, loc, first, lhs, rhs);
  }
  case BinaryFn::FloorDiv:
  case BinaryFn::Mod: {
    Value quotient = arith::DivFOp::create(builder, loc, lhs, rhs);
    quotient = UnaryOp::create(builder, loc, lhs.getType(), UnaryFn::Floor, quotient);
    if (fn == BinaryFn::FloorDiv)
      return quotient;
    Value whole = arith::MulFOp::create(builder, loc, quotient, rhs, contract);
    return arith::SubFOp::create(builder, loc, lhs, whole, contract);
  }
  default:
    return BinaryOp::create(builder, loc, lhs.getType(), fn, lhs, rhs);
  }
}

LogicalResult ExprEmitter::emitBinary(BinaryOp op) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  const Emitted &lhs = get(op.getLhs()), &rhs = get(op.getRhs());
  BinaryFn fn = op.getFn();
  if (lhs.kind == ValueKind::Integer) {
    IndexMath math = kernel.index();
    bool known = true;
    Emitted result = mapIndices({&lhs, &rhs}, [&](ArrayRef<IndexValue> values) {
      switch (fn) {
      case BinaryFn::Add:
        return math.add(values[0], values[1]);
      case BinaryFn::Sub:
        return math.sub(values[0], values[1]);
      case BinaryFn::Mul:
        return math.mul(values[0], values[1]);
      case BinaryFn::FloorDiv:
        return math.floorDiv(values[0], values[1]);
      case BinaryFn::Mod:
        return math.mod(values[0], values[1]);
      case BinaryFn::Min:
        return math.min(values[0], values[1]);
      case BinaryFn::Max:
        return math.max(values[0], values[1]);
      default:
        known = false;
        return values[0];
      }
    });
    if (!known)
      return op.emitOpError("of integers has no code at the tile level");
    bind(op, std::move(result));
    return success();
  }
  if (lhs.kind == ValueKind::Truth) {
    if (fn != BinaryFn::And && fn != BinaryFn::Or)
      return op.emitOpError("of truth values has no code at the tile level");
    bind(op, map(ValueKind::Truth, {&lhs, &rhs}, [&](ArrayRef<Value> values) -> Value {
           if (fn == BinaryFn::And)
             return arith::AndIOp::create(builder, loc, values[0], values[1]);
           return arith::OrIOp::create(builder, loc, values[0], values[1]);
         }));
    return success();
  }
  // Small whole exponents are products.
  if (auto exponent = op.getRhs().getDefiningOp<ConstantOp>(); fn == BinaryFn::Pow && exponent) {
    double power = cast<FloatAttr>(exponent.getValue()).getValueAsDouble();
    if (power == 2 || power == 3 || power == 4) {
      bind(op, map(ValueKind::Real, {&lhs}, [&](ArrayRef<Value> values) -> Value {
             Value square = binary(BinaryFn::Mul, values[0], values[0]);
             if (power == 2)
               return square;
             return binary(BinaryFn::Mul, square, power == 3 ? values[0] : square);
           }));
      return success();
    }
  }
  bind(op, map(ValueKind::Real, {&lhs, &rhs},
               [&](ArrayRef<Value> values) { return binary(fn, values[0], values[1]); }));
  return success();
}
