//===- ExprImport.cpp - from expressions to values -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/seq/ExprImport.h"

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"

using namespace mlir;

namespace seqmix {

Location locationOf(const SourceFile &source, SourceRange range, MLIRContext *context) {
  LineColumn begin = source.lineColumn(range.begin), end = source.lineColumn(range.end);
  return FileLineColRange::get(StringAttr::get(context, source.name()), begin.line, begin.column,
                               end.line, end.column);
}

llvm::SmallVector<unsigned> dimOrder(const ast::Decl *decl) {
  std::vector<ast::Place> places = ast::placesOf(decl);
  llvm::SmallVector<unsigned> order;
  bool isParam = decl->kind == ast::Decl::Kind::Param;
  for (auto [place, what] : llvm::enumerate(places))
    if (isParam || what.dim->isRunTime())
      order.push_back(place);
  for (auto [place, what] : llvm::enumerate(places))
    if (!isParam && !what.dim->isRunTime())
      order.push_back(place);
  return order;
}

Location ExprImporter::loc(const ast::Expr *expr) {
  return locationOf(source, expr->siteRange(), builder.getContext());
}

Value ExprImporter::number(const ast::Number &number, ast::Type type, Location loc) {
  TypedAttr attribute = builder.getF64FloatAttr(number.real());
  if (type == ast::Type::Integer)
    attribute = builder.getIndexAttr(number.integer);
  return seq::ConstantOp::create(builder, loc, attribute);
}

Value ExprImporter::real(const ast::Expr *expr) {
  if (expr->type != ast::Type::Integer)
    return value(expr);
  if (std::optional<ast::Number> constant = ast::constantValue(expr))
    return number(*constant, ast::Type::Real, loc(expr));
  if (llvm::isa<ast::ReduceExpr, ast::MapExpr>(expr))
    return reductionOrMap(expr);
  Value integer = value(expr);
  return seq::ToRealOp::create(builder, loc(expr), builder.getF64Type(), integer);
}

Value ExprImporter::as(ast::Type type, const ast::Expr *expr) {
  return type == ast::Type::Real ? real(expr) : value(expr);
}

Value ExprImporter::value(const ast::Expr *expr) {
  if (expr->type != ast::Type::Boolean)
    if (std::optional<ast::Number> constant = ast::constantValue(expr))
      return number(*constant, expr->type, loc(expr));
  switch (expr->kind) {
  case ast::Expr::Kind::Number:
    return number(llvm::cast<ast::NumberExpr>(expr)->value, expr->type, loc(expr));
  case ast::Expr::Kind::Ref:
    return reference(llvm::cast<ast::RefExpr>(expr));
  case ast::Expr::Kind::Unary:
    return unary(llvm::cast<ast::UnaryExpr>(expr));
  case ast::Expr::Kind::Binary:
    return binary(llvm::cast<ast::BinaryExpr>(expr));
  case ast::Expr::Kind::Cond:
    return conditional(llvm::cast<ast::CondExpr>(expr));
  case ast::Expr::Kind::Call:
    return call(llvm::cast<ast::CallExpr>(expr));
  case ast::Expr::Kind::Reduce:
  case ast::Expr::Kind::Map: {
    Value result = reductionOrMap(expr);
    return expr->type == ast::Type::Integer
               ? seq::UnaryOp::create(builder, loc(expr), builder.getIndexType(),
                                      seq::UnaryFn::Floor, result)
               : result;
  }
  }
  llvm_unreachable("every kind of expression is handled");
}

Value ExprImporter::reference(const ast::RefExpr *expr) {
  if (auto *index = llvm::dyn_cast<ast::Index>(expr->decl)) {
    Value argument = bound.lookup(index);
    assert(argument && "a checked tree binds every index");
    return argument;
  }
  if (auto *dim = llvm::dyn_cast<ast::Dim>(expr->decl))
    return seq::ExtentOp::create(builder, loc(expr), builder.getIndexType(), dim->name);
  return read(expr);
}

Value ExprImporter::unary(const ast::UnaryExpr *expr) {
  Value operand = value(expr->operand);
  auto fn = expr->op == ast::UnaryOp::Neg ? seq::UnaryFn::Neg : seq::UnaryFn::Not;
  return seq::UnaryOp::create(builder, loc(expr), operand.getType(), fn, operand);
}

static seq::BinaryFn binaryFn(ast::BinaryOp op) {
  switch (op) {
  case ast::BinaryOp::Add:
    return seq::BinaryFn::Add;
  case ast::BinaryOp::Sub:
    return seq::BinaryFn::Sub;
  case ast::BinaryOp::Mul:
    return seq::BinaryFn::Mul;
  case ast::BinaryOp::Div:
    return seq::BinaryFn::Div;
  case ast::BinaryOp::FloorDiv:
    return seq::BinaryFn::FloorDiv;
  case ast::BinaryOp::Mod:
    return seq::BinaryFn::Mod;
  case ast::BinaryOp::Pow:
    return seq::BinaryFn::Pow;
  case ast::BinaryOp::And:
    return seq::BinaryFn::And;
  case ast::BinaryOp::Or:
    return seq::BinaryFn::Or;
  default:
    llvm_unreachable("comparisons are seq.compare");
  }
}

Value ExprImporter::binary(const ast::BinaryExpr *expr) {
  if (ast::isComparison(expr->op))
    return comparison(expr);
  Value lhs = as(expr->type, expr->lhs);
  Value rhs = as(expr->type, expr->rhs);
  return seq::BinaryOp::create(builder, loc(expr), lhs.getType(), binaryFn(expr->op), lhs, rhs);
}

static seq::Predicate predicate(ast::BinaryOp op) {
  switch (op) {
  case ast::BinaryOp::Lt:
    return seq::Predicate::Lt;
  case ast::BinaryOp::Le:
    return seq::Predicate::Le;
  case ast::BinaryOp::Gt:
    return seq::Predicate::Gt;
  case ast::BinaryOp::Ge:
    return seq::Predicate::Ge;
  case ast::BinaryOp::Eq:
    return seq::Predicate::Eq;
  case ast::BinaryOp::Ne:
    return seq::Predicate::Ne;
  default:
    llvm_unreachable("not a comparison");
  }
}

Value ExprImporter::comparison(const ast::BinaryExpr *expr) {
  bool real = expr->lhs->type == ast::Type::Real || expr->rhs->type == ast::Type::Real;
  ast::Type type = real ? ast::Type::Real : expr->lhs->type;
  Value lhs = as(type, expr->lhs);
  Value rhs = as(type, expr->rhs);
  return seq::CompareOp::create(builder, loc(expr), builder.getI1Type(), predicate(expr->op), lhs,
                                rhs);
}

Value ExprImporter::conditional(const ast::CondExpr *expr) {
  Value condition = value(expr->condition);
  Value whenTrue = as(expr->type, expr->whenTrue);
  Value whenFalse = as(expr->type, expr->whenFalse);
  return seq::SelectOp::create(builder, loc(expr), condition, whenTrue, whenFalse);
}

static seq::UnaryFn unaryFn(ast::Builtin fn) {
  switch (fn) {
  case ast::Builtin::Exp:
    return seq::UnaryFn::Exp;
  case ast::Builtin::Log:
    return seq::UnaryFn::Log;
  case ast::Builtin::Log1p:
    return seq::UnaryFn::Log1p;
  case ast::Builtin::Expm1:
    return seq::UnaryFn::Expm1;
  case ast::Builtin::Sqrt:
    return seq::UnaryFn::Sqrt;
  case ast::Builtin::Rsqrt:
    return seq::UnaryFn::Rsqrt;
  case ast::Builtin::Abs:
    return seq::UnaryFn::Abs;
  case ast::Builtin::Sign:
    return seq::UnaryFn::Sign;
  case ast::Builtin::Floor:
    return seq::UnaryFn::Floor;
  case ast::Builtin::Sigmoid:
    return seq::UnaryFn::Sigmoid;
  case ast::Builtin::LogSigmoid:
    return seq::UnaryFn::LogSigmoid;
  case ast::Builtin::Silu:
    return seq::UnaryFn::Silu;
  case ast::Builtin::Softplus:
    return seq::UnaryFn::Softplus;
  case ast::Builtin::Tanh:
    return seq::UnaryFn::Tanh;
  case ast::Builtin::Relu:
    return seq::UnaryFn::Relu;
  case ast::Builtin::Gelu:
    return seq::UnaryFn::Gelu;
  case ast::Builtin::Erf:
    return seq::UnaryFn::Erf;
  case ast::Builtin::Sin:
    return seq::UnaryFn::Sin;
  case ast::Builtin::Cos:
    return seq::UnaryFn::Cos;
  case ast::Builtin::LogAddExp:
  case ast::Builtin::Min:
  case ast::Builtin::Max:
    break;
  }
  llvm_unreachable("a function of two arguments");
}

Value ExprImporter::call(const ast::CallExpr *expr) {
  assert(expr->fn && "calls of the file's functions are inlined");
  Location at = loc(expr);
  switch (*expr->fn) {
  case ast::Builtin::Floor: {
    if (expr->args[0]->type == ast::Type::Integer)
      return value(expr->args[0]);
    Value operand = value(expr->args[0]);
    return seq::UnaryOp::create(builder, at, builder.getIndexType(), seq::UnaryFn::Floor, operand);
  }
  case ast::Builtin::Min:
  case ast::Builtin::Max:
  case ast::Builtin::LogAddExp: {
    auto fn = *expr->fn == ast::Builtin::Min   ? seq::BinaryFn::Min
              : *expr->fn == ast::Builtin::Max ? seq::BinaryFn::Max
                                               : seq::BinaryFn::LogAddExp;
    Value lhs = as(expr->type, expr->args[0]);
    Value rhs = as(expr->type, expr->args[1]);
    return seq::BinaryOp::create(builder, at, lhs.getType(), fn, lhs, rhs);
  }
  default: {
    Value operand = as(expr->type, expr->args[0]);
    return seq::UnaryOp::create(builder, at, operand.getType(), unaryFn(*expr->fn), operand);
  }
  }
}

void ExprImporter::fillRegion(Region &region, ArrayRef<const ast::Index *> arguments, Location loc,
                              function_ref<Value()> body) {
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Type> types(arguments.size(), builder.getIndexType());
  SmallVector<Location> locations(arguments.size(), loc);
  Block *block = builder.createBlock(&region, region.end(), types, locations);
  SmallVector<Value> outer;
  for (auto [index, argument] : llvm::zip_equal(arguments, block->getArguments())) {
    outer.push_back(bound.lookup(index));
    bound[index] = argument;
  }
  Value result = body();
  seq::YieldOp::create(builder, result.getLoc(), result);
  for (auto [index, value] : llvm::zip_equal(arguments, outer))
    bound[index] = value;
}

void ExprImporter::fillDomain(Region &region, ArrayRef<const ast::Index *> arguments,
                              ArrayRef<ast::Expr *> conditions) {
  if (conditions.empty())
    return;
  fillRegion(region, arguments, loc(conditions.front()), [&] {
    Value all = value(conditions.front());
    for (const ast::Expr *condition : conditions.drop_front()) {
      Value next = value(condition);
      all = seq::BinaryOp::create(builder, loc(condition), all.getType(), seq::BinaryFn::And, all,
                                  next);
    }
    return all;
  });
}

static seq::ReduceKind reduceKind(ast::Reduction op) {
  switch (op) {
  case ast::Reduction::Sum:
    return seq::ReduceKind::Sum;
  case ast::Reduction::Prod:
    return seq::ReduceKind::Prod;
  case ast::Reduction::Max:
    return seq::ReduceKind::Max;
  case ast::Reduction::Min:
    return seq::ReduceKind::Min;
  case ast::Reduction::LogSumExp:
    return seq::ReduceKind::LogSumExp;
  }
  llvm_unreachable("every reduction is handled");
}

Value ExprImporter::reduction(const ast::ReduceExpr *expr) {
  SmallVector<const ast::Index *> indices;
  SmallVector<Attribute> dims, names;
  for (const ast::IndexUse &use : expr->indices) {
    indices.push_back(use.index);
    dims.push_back(FlatSymbolRefAttr::get(builder.getContext(), use.index->dim->name));
    names.push_back(builder.getStringAttr(use.index->name));
  }
  auto reduce =
      seq::ReduceOp::create(builder, loc(expr), builder.getF64Type(), reduceKind(expr->op),
                            builder.getArrayAttr(dims), builder.getArrayAttr(names));
  fillRegion(reduce.getBody(), indices, loc(expr), [&] { return real(expr->operand); });
  fillDomain(reduce.getDomain(), indices, expr->domain);
  return reduce;
}

Value ExprImporter::reductionOrMap(const ast::Expr *expr) {
  if (auto *reduce = llvm::dyn_cast<ast::ReduceExpr>(expr))
    return reduction(reduce);
  return map(llvm::cast<ast::MapExpr>(expr));
}

Value ExprImporter::map(const ast::MapExpr *expr) {
  const ast::Index *index = expr->index.index;
  bool isTopK = expr->op == ast::MapOp::Topk;
  auto kind = expr->op == ast::MapOp::Softmax  ? seq::MapKind::Softmax
              : expr->op == ast::MapOp::Cumsum ? seq::MapKind::CumSum
                                               : seq::MapKind::TopK;
  Type type = isTopK ? Type(builder.getI1Type()) : Type(builder.getF64Type());
  auto map = seq::MapOp::create(builder, loc(expr), type, kind, index->dim->name, index->name,
                                bound.lookup(index),
                                isTopK ? builder.getI64IntegerAttr(expr->count) : IntegerAttr());
  fillRegion(map.getBody(), index, loc(expr), [&] { return real(expr->operand); });
  fillDomain(map.getDomain(), index, expr->domain);
  return map;
}

Value ExprImporter::read(const ast::RefExpr *expr) {
  SmallVector<Value> operands;
  SmallVector<AffineExpr> results;
  for (unsigned place : dimOrder(expr->decl))
    results.push_back(affine(expr->indices[place], operands));
  auto map = AffineMap::get(operands.size(), 0, results, builder.getContext());
  Type type = expr->type == ast::Type::Integer   ? Type(builder.getIndexType())
              : expr->type == ast::Type::Boolean ? Type(builder.getI1Type())
                                                 : Type(builder.getF64Type());
  return seq::ReadOp::create(builder, loc(expr), type, expr->decl->name, operands, map);
}

/// The expression over `operands`, as far as it is affine; what is not becomes an operand itself.
AffineExpr ExprImporter::affine(const ast::Expr *expr, SmallVectorImpl<Value> &operands) {
  MLIRContext *context = builder.getContext();
  if (auto constant = ast::constantValue(expr); constant && constant->isInteger)
    return getAffineConstantExpr(constant->integer, context);
  if (auto *unary = llvm::dyn_cast<ast::UnaryExpr>(expr))
    if (unary->op == ast::UnaryOp::Neg)
      return -affine(unary->operand, operands);
  if (auto *binary = llvm::dyn_cast<ast::BinaryExpr>(expr)) {
    auto lhs = ast::constantValue(binary->lhs), rhs = ast::constantValue(binary->rhs);
    switch (binary->op) {
    case ast::BinaryOp::Add:
      return affine(binary->lhs, operands) + affine(binary->rhs, operands);
    case ast::BinaryOp::Sub:
      return affine(binary->lhs, operands) - affine(binary->rhs, operands);
    case ast::BinaryOp::Mul:
      if (lhs || rhs)
        return affine(binary->lhs, operands) * affine(binary->rhs, operands);
      break;
    case ast::BinaryOp::FloorDiv:
      if (rhs && rhs->integer > 0)
        return affine(binary->lhs, operands).floorDiv(rhs->integer);
      break;
    case ast::BinaryOp::Mod:
      if (rhs && rhs->integer > 0)
        return affine(binary->lhs, operands) % rhs->integer;
      break;
    default:
      break;
    }
  }
  Value operand = value(expr);
  auto found = llvm::find(operands, operand);
  unsigned position = found - operands.begin();
  if (found == operands.end())
    operands.push_back(operand);
  return getAffineDimExpr(position, context);
}

} // namespace seqmix
