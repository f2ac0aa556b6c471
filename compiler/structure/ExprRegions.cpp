//===- ExprRegions.cpp - expressions from equations and back ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Expr.h"

#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::seq;

//===----------------------------------------------------------------------===//
// Import
//===----------------------------------------------------------------------===//

namespace {
class Importer {
public:
  explicit Importer(ExprContext &context) : context(context) {}

  void bind(Region &region, ArrayRef<Var> vars) {
    for (auto [argument, var] : llvm::zip_equal(region.getArguments(), vars))
      values[argument] = context.index(var);
  }

  void bindValue(Value value, Expr e) { values[value] = e; }

  Expr importRegion(Region &region) {
    for (Operation &op : region.front().without_terminator())
      values[op.getResult(0)] = importOp(&op);
    return values.lookup(cast<YieldOp>(region.front().getTerminator()).getValue());
  }

private:
  Expr importAffine(AffineExpr affine, ArrayRef<Expr> operands, unsigned numDims) {
    switch (affine.getKind()) {
    case AffineExprKind::Constant:
      return context.integer(cast<AffineConstantExpr>(affine).getValue());
    case AffineExprKind::DimId:
      return operands[cast<AffineDimExpr>(affine).getPosition()];
    case AffineExprKind::SymbolId:
      return operands[numDims + cast<AffineSymbolExpr>(affine).getPosition()];
    default:
      break;
    }
    auto binary = cast<AffineBinaryOpExpr>(affine);
    Expr lhs = importAffine(binary.getLHS(), operands, numDims);
    Expr rhs = importAffine(binary.getRHS(), operands, numDims);
    switch (affine.getKind()) {
    case AffineExprKind::Add:
      return context.add(lhs, rhs);
    case AffineExprKind::Mul:
      return context.mul(lhs, rhs);
    case AffineExprKind::Mod:
      return context.binary(BinaryFn::Mod, lhs, rhs);
    case AffineExprKind::FloorDiv:
      return context.binary(BinaryFn::FloorDiv, lhs, rhs);
    case AffineExprKind::CeilDiv:
      return context.neg(context.binary(BinaryFn::FloorDiv, context.neg(lhs), rhs));
    default:
      llvm_unreachable("affine expression");
    }
  }

  Expr importRead(ReadOp op) {
    SmallVector<Expr> operands, subscripts;
    for (Value operand : op.getOperands())
      operands.push_back(values.lookup(operand));
    AffineMap map = op.getMap();
    for (AffineExpr result : map.getResults())
      subscripts.push_back(importAffine(result, operands, map.getNumDims()));
    Type type = op.getType();
    return context.read(op.getSourceAttr().getAttr(), subscripts,
                        isa<IndexType>(type)   ? ValueType::Integer
                        : isa<FloatType>(type) ? ValueType::Real
                                               : ValueType::Boolean);
  }

  SmallVector<Var> freshVars(ArrayAttr dims, ArrayAttr names) {
    SmallVector<Var> vars;
    for (auto [dim, name] :
         llvm::zip_equal(dims.getAsRange<FlatSymbolRefAttr>(), names.getAsRange<StringAttr>()))
      vars.push_back(context.freshVar(dim.getAttr(), name));
    return vars;
  }

  Expr importConstant(ConstantOp op) {
    if (auto value = dyn_cast<FloatAttr>(op.getValue()))
      return context.real(value.getValueAsDouble());
    auto value = cast<IntegerAttr>(op.getValue());
    if (value.getType().isInteger(1))
      return context.boolean(value.getValue().getBoolValue());
    return context.integer(value.getInt());
  }

  Expr importOp(Operation *op) {
    return llvm::TypeSwitch<Operation *, Expr>(op)
        .Case<ConstantOp>([&](auto op) { return importConstant(op); })
        .Case<ExtentOp>([&](auto op) { return context.extent(op.getDimAttr().getAttr()); })
        .Case<ReadOp>([&](auto op) { return importRead(op); })
        .Case<UnaryOp>(
            [&](auto op) { return context.unary(op.getFn(), values.lookup(op.getOperand())); })
        .Case<BinaryOp>([&](auto op) {
          return context.binary(op.getFn(), values.lookup(op.getLhs()), values.lookup(op.getRhs()));
        })
        .Case<CompareOp>([&](auto op) {
          return context.compare(op.getPredicate(), values.lookup(op.getLhs()),
                                 values.lookup(op.getRhs()));
        })
        .Case<SelectOp>([&](auto op) {
          return context.select(values.lookup(op.getCondition()), values.lookup(op.getWhenTrue()),
                                values.lookup(op.getWhenFalse()));
        })
        .Case<ToRealOp>([&](auto op) { return context.toReal(values.lookup(op.getOperand())); })
        .Case<ReduceOp>([&](auto op) {
          SmallVector<Var> vars = freshVars(op.getDims(), op.getNames());
          bind(op.getBody(), vars);
          Expr body = importRegion(op.getBody()), domain = nullptr;
          if (!op.getDomain().empty()) {
            bind(op.getDomain(), vars);
            domain = importRegion(op.getDomain());
          }
          return context.reduce(op.getKind(), vars, body, domain);
        })
        .Case<MapOp>([&](auto op) {
          Var var = context.freshVar(op.getDimAttr().getAttr(), op.getNameAttr());
          bind(op.getBody(), var);
          Expr body = importRegion(op.getBody()), domain = nullptr;
          if (!op.getDomain().empty()) {
            bind(op.getDomain(), var);
            domain = importRegion(op.getDomain());
          }
          return context.map(op.getKind(), var, values.lookup(op.getAt()), body, domain,
                             op.getCount().value_or(0));
        })
        .Default([](Operation *) -> Expr { llvm_unreachable("not an expression of an equation"); });
  }

  ExprContext &context;
  llvm::DenseMap<Value, Expr> values;
};
} // namespace

Equation ExprContext::importEquation(StringAttr name, ArrayAttr dims, ArrayAttr names, Region &body,
                                     Region &domain, Location loc) {
  Equation equation{name, {}, nullptr, nullptr, loc};
  for (auto [dim, text] :
       llvm::zip_equal(dims.getAsRange<FlatSymbolRefAttr>(), names.getAsRange<StringAttr>()))
    equation.left.push_back(freshVar(dim.getAttr(), text));
  Importer importer(*this);
  importer.bind(body, equation.left);
  equation.body = importer.importRegion(body);
  if (!domain.empty()) {
    importer.bind(domain, equation.left);
    equation.domain = importer.importRegion(domain);
  }
  return equation;
}

Equation ExprContext::import(DefineOp op) {
  return importEquation(op.getSymNameAttr(), op.getDims(), op.getNames(), op.getBody(),
                        op.getDomain(), op.getLoc());
}

Equation ExprContext::import(NextOp op) {
  return importEquation(op.getStateAttr().getAttr(), op.getDims(), op.getNames(), op.getBody(),
                        op.getDomain(), op.getLoc());
}

Equation ExprContext::import(PairsOp op, unsigned part) {
  Region &region = op.getParts()[part];
  Equation equation{attr("part"), {}, nullptr, nullptr, op.getLoc()};
  SmallVector<Attribute> dims(op.getRows().begin(), op.getRows().end());
  dims.push_back(op.getOverAttr());
  // The features are those of the result that takes the part.
  for (auto result : op.getOuts().getAsRange<PairResultAttr>())
    if (result.getValue() == static_cast<int64_t>(part)) {
      auto *produced = SymbolTable::lookupNearestSymbolFrom(op, result.getProduced());
      ArrayRef<Attribute> all = cast<ProducedOp>(produced).getDims().getValue();
      dims.append(all.begin() + op.getRows().size(), all.end());
      break;
    }
  Importer importer(*this);
  for (auto [number, argument] : llvm::enumerate(region.getArguments())) {
    if (!argument.getType().isIndex()) {
      importer.bindValue(argument, read(attr("e"), {}));
      continue;
    }
    StringAttr name =
        number < op.getNames().size() ? cast<StringAttr>(op.getNames()[number]) : StringAttr();
    equation.left.push_back(freshVar(cast<FlatSymbolRefAttr>(dims[number]).getAttr(), name));
    importer.bindValue(argument, index(equation.left.back()));
  }
  equation.body = importer.importRegion(region);
  return equation;
}

//===----------------------------------------------------------------------===//
// Export
//===----------------------------------------------------------------------===//

namespace {
// One block under construction: its variables, and the place where values that need no inner
// variable go.
struct Scope {
  Scope(ArrayRef<Var> vars, Block *block) : vars(vars), builder(OpBuilder::atBlockEnd(block)) {}

  SmallVector<Var> vars;
  OpBuilder builder;
  llvm::DenseMap<Expr, Value> values;
};

class Exporter {
public:
  Exporter(ExprContext &context, Location loc) : context(context), loc(loc) {}

  void fill(Region &region, ArrayRef<Var> vars, Expr e) {
    auto *block = new Block();
    region.push_back(block);
    auto &scope = *scopes.emplace_back(std::make_unique<Scope>(vars, block));
    for (Var var : vars)
      scope.values[context.index(var)] =
          block->addArgument(IndexType::get(context.mlirContext()), loc);
    Value value = emit(e);
    YieldOp::create(scope.builder, loc, value);
    scopes.pop_back();
  }

private:
  Scope &scopeOf(Expr e) {
    for (auto &scope : llvm::reverse(scopes))
      if (llvm::any_of(scope->vars, [&](Var v) { return e->dependsOn(v); }))
        return *scope;
    return *scopes.front();
  }

  Value emit(Expr e) {
    Scope &scope = scopeOf(e);
    if (Value known = scope.values.lookup(e))
      return known;
    Value value = emitIn(e, scope);
    scope.values[e] = value;
    return value;
  }

  AffineExpr affineOf(Expr e, SmallVectorImpl<Value> &operands) {
    MLIRContext *mlir = context.mlirContext();
    if (e->is(ExprKind::Integer))
      return getAffineConstantExpr(e->integer(), mlir);
    if (e->is(ExprKind::Binary)) {
      bool constantRight = e->operand(1)->is(ExprKind::Integer);
      bool positiveRight = constantRight && e->operand(1)->integer() > 0;
      switch (e->binaryFn()) {
      case BinaryFn::Add:
        return affineOf(e->operand(0), operands) + affineOf(e->operand(1), operands);
      case BinaryFn::Mul:
        if (e->operand(0)->is(ExprKind::Integer))
          return affineOf(e->operand(1), operands) * e->operand(0)->integer();
        break;
      case BinaryFn::FloorDiv:
        if (positiveRight)
          return affineOf(e->operand(0), operands).floorDiv(e->operand(1)->integer());
        break;
      case BinaryFn::Mod:
        if (positiveRight)
          return affineOf(e->operand(0), operands) % e->operand(1)->integer();
        break;
      default:
        break;
      }
    }
    Value value = emit(e);
    auto found = llvm::find(operands, value);
    unsigned position = found - operands.begin();
    if (found == operands.end())
      operands.push_back(value);
    return getAffineDimExpr(position, mlir);
  }

  Value emitRead(Expr e, Scope &scope) {
    MLIRContext *mlir = context.mlirContext();
    SmallVector<Value> operands;
    SmallVector<AffineExpr> results;
    for (Expr subscript : e->operands())
      results.push_back(affineOf(subscript, operands));
    Type type = e->type() == ValueType::Real      ? Type(Float64Type::get(mlir))
                : e->type() == ValueType::Integer ? Type(IndexType::get(mlir))
                                                  : Type(IntegerType::get(mlir, 1));
    return ReadOp::create(scope.builder, loc, type, FlatSymbolRefAttr::get(e->symbol()), operands,
                          AffineMapAttr::get(AffineMap::get(operands.size(), 0, results, mlir)));
  }

  template <typename T> void fillBinder(T op, Scope &scope, const OpenedExpr &o) {
    // Values of this block that the body needs must stand in front of the op.
    auto point = scope.builder.saveInsertionPoint();
    scope.builder.setInsertionPoint(op);
    fill(op.getBody(), o.vars, o.body);
    if (o.domain)
      fill(op.getDomain(), o.vars, o.domain);
    scope.builder.restoreInsertionPoint(point);
  }

  Value emitIn(Expr e, Scope &scope) {
    OpBuilder &builder = scope.builder;
    SmallVector<Value> operands;
    if (!e->is(ExprKind::Reduce) && !e->is(ExprKind::Map) && !e->is(ExprKind::Read))
      for (Expr operand : e->operands())
        operands.push_back(emit(operand));
    switch (e->kind()) {
    case ExprKind::Real:
      return ConstantOp::create(builder, loc, builder.getF64FloatAttr(e->real()));
    case ExprKind::Integer:
      return ConstantOp::create(builder, loc, builder.getIndexAttr(e->integer()));
    case ExprKind::Boolean:
      return ConstantOp::create(builder, loc,
                                builder.getIntegerAttr(builder.getI1Type(), e->integer()));
    case ExprKind::Index:
      llvm_unreachable("an index outside its block");
    case ExprKind::Extent:
      return ExtentOp::create(builder, loc, FlatSymbolRefAttr::get(e->symbol()));
    case ExprKind::Read:
      return emitRead(e, scope);
    case ExprKind::Unary: {
      Type type =
          e->type() == ValueType::Integer ? Type(builder.getIndexType()) : operands[0].getType();
      return UnaryOp::create(builder, loc, type, e->unaryFn(), operands[0]);
    }
    case ExprKind::Binary:
      return BinaryOp::create(builder, loc, e->binaryFn(), operands[0], operands[1]);
    case ExprKind::Compare:
      return CompareOp::create(builder, loc, e->predicate(), operands[0], operands[1]);
    case ExprKind::Select:
      return SelectOp::create(builder, loc, operands[0], operands[1], operands[2]);
    case ExprKind::ToReal:
      return ToRealOp::create(builder, loc, operands[0]);
    case ExprKind::Reduce: {
      OpenedExpr o = context.open(e);
      auto op = ReduceOp::create(builder, loc, builder.getF64Type(), e->reduceKind(),
                                 dimsOf(builder, o.vars), namesOf(builder, o.vars));
      fillBinder(op, scope, o);
      return op;
    }
    case ExprKind::Map: {
      OpenedExpr o = context.open(e);
      Value at = emit(o.at);
      Type type =
          e->type() == ValueType::Boolean ? Type(builder.getI1Type()) : Type(builder.getF64Type());
      auto op = MapOp::create(
          builder, loc, type, MapKindAttr::get(context.mlirContext(), e->mapKind()),
          FlatSymbolRefAttr::get(o.vars[0]->dim), cast<StringAttr>(namesOf(builder, o.vars)[0]), at,
          e->count() ? builder.getI64IntegerAttr(e->count()) : IntegerAttr());
      fillBinder(op, scope, o);
      return op;
    }
    }
    llvm_unreachable("kind");
  }

  static ArrayAttr dimsOf(OpBuilder &builder, ArrayRef<Var> vars) {
    SmallVector<Attribute> dims;
    for (Var var : vars)
      dims.push_back(FlatSymbolRefAttr::get(var->dim));
    return builder.getArrayAttr(dims);
  }
  // Names that no enclosing block uses.
  ArrayAttr namesOf(OpBuilder &builder, ArrayRef<Var> vars) {
    SmallVector<std::string> used;
    for (auto &scope : scopes)
      for (Var var : scope->vars)
        used.push_back(chosenNames.contains(var) ? chosenNames[var]
                       : var->name               ? var->name.str()
                                                 : std::string());
    SmallVector<Attribute> names;
    for (Var var : vars) {
      used.push_back(context.indexNames().pick(var->dim, used));
      chosenNames[var] = used.back();
      names.push_back(builder.getStringAttr(used.back()));
    }
    return builder.getArrayAttr(names);
  }

  llvm::DenseMap<Var, std::string> chosenNames;
  ExprContext &context;
  Location loc;
  SmallVector<std::unique_ptr<Scope>> scopes;
};
} // namespace

void ExprContext::exportBody(Expr e, ArrayRef<Var> left, Region &region, Location loc) {
  Exporter(*this, loc).fill(region, left, e);
}
