//===- Expr.cpp - making and rewriting expressions -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Expr.h"

#include "compiler/reference/Functions.h"
#include "llvm/ADT/STLExtras.h"

#include <bit>
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::seq;

bool ExprNode::dependsOn(Var var) const { return llvm::is_contained(free, var); }

void ExprNode::Profile(llvm::FoldingSetNodeID &id) const {
  id.AddInteger(static_cast<unsigned>(nodeKind));
  id.AddInteger(static_cast<unsigned>(nodeType));
  id.AddInteger(code);
  id.AddInteger(std::bit_cast<uint64_t>(realValue));
  id.AddInteger(integerValue);
  id.AddPointer(name.getAsOpaquePointer());
  for (Expr e : nodeOperands)
    id.AddPointer(e);
  id.AddInteger(nodeOperands.size());
  for (Var v : bound)
    id.AddPointer(v);
}

Expr ExprContext::make(ExprNode &node) {
  llvm::FoldingSetNodeID id;
  node.Profile(id);
  void *position;
  if (Expr found = nodes.FindNodeOrInsertPos(id, position))
    return found;
  SmallVector<Var> free;
  unsigned height = 0;
  for (Expr e : node.nodeOperands) {
    height = std::max(height, e->height);
    for (Var v : e->free)
      if (!llvm::is_contained(free, v))
        free.push_back(v);
  }
  if (node.nodeKind == ExprKind::Index)
    free.push_back(node.bound.front());
  if (node.nodeKind == ExprKind::Reduce)
    llvm::erase_if(free, [&](Var v) { return llvm::is_contained(node.bound, v); });
  if (node.nodeKind == ExprKind::Map && !node.nodeOperands[0]->dependsOn(node.bound.front()))
    llvm::erase_if(free, [&](Var v) { return v == node.bound.front(); });
  if (node.nodeKind == ExprKind::Reduce || node.nodeKind == ExprKind::Map)
    for (Var v : node.bound)
      height = std::max(height, v->level);
  llvm::sort(free, [](Var a, Var b) { return a->id < b->id; });

  auto *made = new (allocator) ExprNode(node);
  made->nodeOperands = node.nodeOperands.copy(allocator);
  made->bound = node.bound.copy(allocator);
  made->free = ArrayRef<Var>(free).copy(allocator);
  made->height = height;
  made->nodeId = nextId++;
  nodes.InsertNode(made, position);
  return made;
}

Var ExprContext::freshVar(StringAttr dim, StringAttr name) {
  if (name)
    names.add(dim, name);
  vars.push_back({dim, name, static_cast<unsigned>(vars.size()), 0});
  return &vars.back();
}

Var ExprContext::boundVar(StringAttr dim, unsigned level) {
  Var &var = boundVars[{dim.getAsOpaquePointer(), level}];
  if (!var) {
    vars.push_back({dim, nullptr, static_cast<unsigned>(vars.size()), level});
    var = &vars.back();
  }
  return var;
}

Expr ExprContext::real(double value) {
  ExprNode node;
  node.nodeKind = ExprKind::Real;
  node.nodeType = ValueType::Real;
  node.realValue = value;
  return make(node);
}

Expr ExprContext::integer(int64_t value) {
  ExprNode node;
  node.nodeKind = ExprKind::Integer;
  node.nodeType = ValueType::Integer;
  node.integerValue = value;
  return make(node);
}

Expr ExprContext::boolean(bool value) {
  ExprNode node;
  node.nodeKind = ExprKind::Boolean;
  node.nodeType = ValueType::Boolean;
  node.integerValue = value;
  return make(node);
}

Expr ExprContext::index(Var var) {
  ExprNode node;
  node.nodeKind = ExprKind::Index;
  node.nodeType = ValueType::Integer;
  node.bound = var;
  return make(node);
}

Expr ExprContext::extent(StringAttr dim) {
  ExprNode node;
  node.nodeKind = ExprKind::Extent;
  node.nodeType = ValueType::Integer;
  node.name = dim;
  return make(node);
}

Expr ExprContext::read(StringAttr source, ArrayRef<Expr> subscripts, ValueType type) {
  ExprNode node;
  node.nodeKind = ExprKind::Read;
  node.nodeType = type;
  node.name = source;
  node.nodeOperands = subscripts;
  return make(node);
}

Expr ExprContext::unary(UnaryFn fn, Expr operand) {
  if (fn == UnaryFn::Not) {
    if (operand->is(ExprKind::Boolean))
      return boolean(!operand->integer());
    if (operand->isUnary(UnaryFn::Not))
      return operand->operand(0);
  }
  if (fn == UnaryFn::Neg && operand->isUnary(UnaryFn::Neg))
    return operand->operand(0);
  if (operand->is(ExprKind::Real) && fn != UnaryFn::Floor)
    return real(seqmix::reference::unaryFunction(fn)(operand->real()));
  bool isFloor = fn == UnaryFn::Floor;
  ExprNode node;
  node.nodeKind = ExprKind::Unary;
  node.nodeType = isFloor ? ValueType::Integer : operand->type();
  node.code = static_cast<unsigned>(fn);
  node.nodeOperands = operand;
  Expr e = make(node);
  return e->type() == ValueType::Integer && fn == UnaryFn::Neg ? linear(e) : e;
}

static int64_t floorDivide(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

Expr ExprContext::binary(BinaryFn fn, Expr lhs, Expr rhs) {
  if (lhs->is(ExprKind::Real) && rhs->is(ExprKind::Real))
    return real(seqmix::reference::binaryFunction(fn)(lhs->real(), rhs->real()));
  if (lhs->is(ExprKind::Integer) && rhs->is(ExprKind::Integer)) {
    int64_t a = lhs->integer(), b = rhs->integer();
    switch (fn) {
    case BinaryFn::Add:
      return integer(a + b);
    case BinaryFn::Sub:
      return integer(a - b);
    case BinaryFn::Mul:
      return integer(a * b);
    case BinaryFn::Min:
      return integer(std::min(a, b));
    case BinaryFn::Max:
      return integer(std::max(a, b));
    case BinaryFn::FloorDiv:
      if (b != 0)
        return integer(floorDivide(a, b));
      break;
    case BinaryFn::Mod:
      if (b != 0)
        return integer(a - b * floorDivide(a, b));
      break;
    default:
      break;
    }
  }
  if (lhs->type() == ValueType::Boolean) {
    bool isAnd = fn == BinaryFn::And;
    if (lhs->is(ExprKind::Boolean))
      return bool(lhs->integer()) == isAnd ? rhs : lhs;
    if (rhs->is(ExprKind::Boolean))
      return bool(rhs->integer()) == isAnd ? lhs : rhs;
  }
  if (lhs->type() == ValueType::Real) {
    if (fn == BinaryFn::Mul && lhs->isReal(1))
      return rhs;
    if ((fn == BinaryFn::Mul || fn == BinaryFn::Div || fn == BinaryFn::Pow) && rhs->isReal(1))
      return lhs;
    if (fn == BinaryFn::Mul && lhs->isReal(-1))
      return neg(rhs);
    if (fn == BinaryFn::Mul && rhs->isReal(-1))
      return neg(lhs);
    if (fn == BinaryFn::Add && lhs->isReal(0))
      return rhs;
    if ((fn == BinaryFn::Add || fn == BinaryFn::Sub) && rhs->isReal(0))
      return lhs;
    if (fn == BinaryFn::Sub && lhs->isReal(0))
      return neg(rhs);
    if (fn == BinaryFn::Add && rhs->isUnary(UnaryFn::Neg))
      return sub(lhs, rhs->operand(0));
    if (fn == BinaryFn::Sub && rhs->isUnary(UnaryFn::Neg))
      return add(lhs, rhs->operand(0));
  }
  ExprNode node;
  node.nodeKind = ExprKind::Binary;
  node.nodeType = lhs->type();
  node.code = static_cast<unsigned>(fn);
  Expr operands[] = {lhs, rhs};
  node.nodeOperands = operands;
  Expr e = make(node);
  bool isLinear = fn == BinaryFn::Add || fn == BinaryFn::Sub || fn == BinaryFn::Mul;
  return e->type() == ValueType::Integer && isLinear ? linear(e) : e;
}

Expr ExprContext::compare(Predicate predicate, Expr lhs, Expr rhs) {
  auto holds = [&](auto a, auto b) {
    switch (predicate) {
    case Predicate::Eq:
      return a == b;
    case Predicate::Ne:
      return a != b;
    case Predicate::Lt:
      return a < b;
    case Predicate::Le:
      return a <= b;
    case Predicate::Gt:
      return a > b;
    case Predicate::Ge:
      return a >= b;
    }
    llvm_unreachable("predicate");
  };
  if (lhs->is(ExprKind::Real) && rhs->is(ExprKind::Real))
    return boolean(holds(lhs->real(), rhs->real()));
  if (lhs->is(ExprKind::Integer) && rhs->is(ExprKind::Integer))
    return boolean(holds(lhs->integer(), rhs->integer()));
  ExprNode node;
  node.nodeKind = ExprKind::Compare;
  node.nodeType = ValueType::Boolean;
  node.code = static_cast<unsigned>(predicate);
  Expr operands[] = {lhs, rhs};
  node.nodeOperands = operands;
  return make(node);
}

Expr ExprContext::select(Expr condition, Expr whenTrue, Expr whenFalse) {
  if (condition->is(ExprKind::Boolean))
    return condition->integer() ? whenTrue : whenFalse;
  if (whenTrue == whenFalse)
    return whenTrue;
  ExprNode node;
  node.nodeKind = ExprKind::Select;
  node.nodeType = whenTrue->type();
  Expr operands[] = {condition, whenTrue, whenFalse};
  node.nodeOperands = operands;
  return make(node);
}

Expr ExprContext::toReal(Expr operand) {
  if (operand->is(ExprKind::Integer))
    return real(static_cast<double>(operand->integer()));
  ExprNode node;
  node.nodeKind = ExprKind::ToReal;
  node.nodeType = ValueType::Real;
  node.nodeOperands = operand;
  return make(node);
}

// Puts the reduction's own variables in place of `vars`, numbered above every reduction inside.
void ExprContext::close(ArrayRef<Var> vars, SmallVectorImpl<Expr *> &parts,
                        SmallVectorImpl<Var> &closed) {
  unsigned height = 0;
  for (Expr *part : parts)
    height = std::max(height, (*part)->height);
  Substitution map;
  for (Var var : vars) {
    closed.push_back(boundVar(var->dim, ++height));
    map[var] = index(closed.back());
  }
  // The numbers are above all inside, so no reduction inside can take the new variables for its
  // own.
  for (Expr *part : parts)
    *part = substitute(*part, map);
}

double mlir::seq::neutralElement(ReduceKind kind) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  switch (kind) {
  case ReduceKind::Sum:
    return 0;
  case ReduceKind::Prod:
    return 1;
  case ReduceKind::Max:
  case ReduceKind::LogSumExp:
    return -infinity;
  case ReduceKind::Min:
    return infinity;
  }
  llvm_unreachable("reduction");
}

Expr ExprContext::reduce(ReduceKind kind, ArrayRef<Var> vars, Expr body, Expr domain) {
  if (domain && domain->is(ExprKind::Boolean) && domain->integer())
    domain = nullptr;
  if (vars.empty())
    return domain ? select(domain, body, real(neutralElement(kind))) : body;
  SmallVector<Expr *> parts{&body};
  if (domain)
    parts.push_back(&domain);
  SmallVector<Var> closed;
  close(vars, parts, closed);
  ExprNode node;
  node.nodeKind = ExprKind::Reduce;
  node.nodeType = body->type();
  node.code = static_cast<unsigned>(kind);
  node.bound = closed;
  SmallVector<Expr> operands{body};
  if (domain)
    operands.push_back(domain);
  node.nodeOperands = operands;
  return make(node);
}

Expr ExprContext::map(MapKind kind, Var var, Expr at, Expr body, Expr domain, int64_t count) {
  SmallVector<Expr *> parts{&body};
  if (domain)
    parts.push_back(&domain);
  SmallVector<Var> closed;
  close(var, parts, closed);
  ExprNode node;
  node.nodeKind = ExprKind::Map;
  node.nodeType = kind == MapKind::TopK ? ValueType::Boolean : ValueType::Real;
  node.code = static_cast<unsigned>(kind);
  node.integerValue = count;
  node.bound = closed;
  SmallVector<Expr> operands{at, body};
  if (domain)
    operands.push_back(domain);
  node.nodeOperands = operands;
  return make(node);
}

OpenedExpr ExprContext::open(Expr e) {
  assert((e->is(ExprKind::Reduce) || e->is(ExprKind::Map)) && "nothing to open");
  bool isMap = e->is(ExprKind::Map);
  OpenedExpr opened;
  Substitution map;
  SmallVector<std::string> used;
  for (Var free : e->free)
    if (free->name)
      used.push_back(free->name.str());
  for (Var own : e->bound) {
    used.push_back(names.pick(own->dim, used));
    opened.vars.push_back(freshVar(own->dim, nullptr));
    vars.back().name = attr(used.back());
    map[own] = index(opened.vars.back());
  }
  if (isMap)
    opened.at = e->operand(0);
  opened.body = substitute(e->operand(isMap), map);
  if (e->operands().size() > 1u + isMap)
    opened.domain = substitute(e->operand(1 + isMap), map);
  return opened;
}

Expr ExprContext::withOperands(Expr e, ArrayRef<Expr> operands) {
  switch (e->kind()) {
  case ExprKind::Read:
    return read(e->symbol(), operands, e->type());
  case ExprKind::Unary:
    return unary(e->unaryFn(), operands[0]);
  case ExprKind::Binary:
    return binary(e->binaryFn(), operands[0], operands[1]);
  case ExprKind::Compare:
    return compare(e->predicate(), operands[0], operands[1]);
  case ExprKind::Select:
    return select(operands[0], operands[1], operands[2]);
  case ExprKind::ToReal:
    return toReal(operands[0]);
  default:
    assert(operands.empty() && "not for reductions and maps");
    return e;
  }
}
