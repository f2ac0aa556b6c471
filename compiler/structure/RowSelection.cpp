//===- RowSelection.cpp - the n largest of a row as places ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/RowSelection.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

Expr RowSelection::rewrite(Expr e, StringAttr owner, Location loc) {
  failed = false;
  Expr marked = context.rewrite(e, [&](Expr node) {
    bool isChoice = node->is(ExprKind::Map) && node->mapKind() == MapKind::TopK &&
                    model.isRuntime(node->boundVars().front()->dim);
    return isChoice && !failed ? mark(node, owner, loc) : node;
  });
  if (failed)
    return nullptr;
  marked = markNamed(marked);
  return marked == e ? e : test(gather(marked), owner);
}

bool RowSelection::addNamed(const Equation &equation) {
  Expr body = equation.body;
  bool isChoice = !equation.domain && body->is(ExprKind::Map) && body->mapKind() == MapKind::TopK &&
                  model.isRuntime(body->boundVars().front()->dim);
  if (!isChoice)
    return true;
  failed = false;
  Expr marker = mark(body, equation.name, equation.loc);
  if (failed)
    return false;
  SmallVector<unsigned> order;
  for (Var left : equation.left)
    for (auto [number, operand] : llvm::enumerate(marker->operands()))
      if (operand == context.index(left))
        order.push_back(number);
  if (order.size() != equation.left.size() || order.size() != marker->operands().size())
    return true;
  Choice &choice = choices[marker->symbol()];
  choice.definition = equation.name;
  choice.order = order;
  markers[equation.name] = marker->symbol();
  return true;
}

Expr RowSelection::markNamed(Expr e) {
  return context.rewrite(e, [&](Expr node) {
    auto found = node->is(ExprKind::Read) ? markers.find(node->symbol()) : markers.end();
    if (found == markers.end())
      return node;
    SmallVector<Expr> operands(node->operands().size());
    for (auto [place, number] : llvm::enumerate(choices.find(found->second)->second.order))
      operands[number] = node->operands()[place];
    return context.read(found->second, operands, ValueType::Boolean);
  });
}

StringAttr RowSelection::dimOf(int64_t size) {
  StringAttr name = context.attr("selected." + std::to_string(size));
  if (!model.lookup(name)) {
    OpBuilder builder(context.mlirContext());
    builder.setInsertionPointToStart(&model.mixer().getBody().front());
    model.declare(DimOp::create(builder, model.mixer().getLoc(), name, DimKind::Fixed,
                                builder.getI64IntegerAttr(size), ArrayAttr(), AffineMapAttr()));
  }
  return name;
}

Expr RowSelection::both(Expr a, Expr b) {
  return !a ? b : !b ? a : context.binary(BinaryFn::And, a, b);
}

void RowSelection::conditionsOf(Expr e, SmallVectorImpl<Expr> &conditions) const {
  if (!e)
    return;
  if (e->isBinary(BinaryFn::And)) {
    conditionsOf(e->operand(0), conditions);
    conditionsOf(e->operand(1), conditions);
  } else if (!llvm::is_contained(conditions, e)) {
    conditions.push_back(e);
  }
}

Expr RowSelection::mark(Expr map, StringAttr owner, Location loc) {
  OpenedExpr o = context.open(map);
  StringAttr dim = dimOf(map->count());
  SmallVector<Var> rows;
  StringAttr places = terms.addPlaces(owner, o, dim, loc, rows);
  if (!places) {
    failed = true;
    return map;
  }
  StringAttr marker = context.attr((places.getValue() + ".marker").str());
  if (!choices.contains(marker)) {
    Equation equation{model.freshName(places.getValue() + ".rows"), {}, nullptr, nullptr, loc};
    SmallVector<Expr> subscripts;
    auto add = [&](StringAttr ofDim) {
      equation.left.push_back(context.freshVar(ofDim, StringAttr()));
      subscripts.push_back(context.index(equation.left.back()));
    };
    for (Var row : rows)
      add(row->dim);
    add(dim);
    equation.body = context.unary(UnaryFn::Floor, context.read(places, subscripts));
    choices[marker] = {equation.name, dim, {}, {}};
    model.addDefinition(std::move(equation));
  }
  SmallVector<Expr> subscripts;
  for (Var row : rows)
    subscripts.push_back(context.index(row));
  subscripts.push_back(o.at);
  return context.read(marker, subscripts, ValueType::Boolean);
}

//===----------------------------------------------------------------------===//
// Reductions over places
//===----------------------------------------------------------------------===//

std::optional<RowSelection::Restriction> RowSelection::restrictionOf(ArrayRef<Expr> conditions,
                                                                     Var position) {
  for (Expr condition : conditions) {
    if (!condition->is(ExprKind::Read) || !choices.contains(condition->symbol()))
      continue;
    auto operands = condition->operands();
    if (llvm::any_of(operands.drop_back(), [&](Expr row) { return row->dependsOn(position); }))
      continue;
    Expr at = operands.back(), index = context.index(position);
    if (at == index)
      return Restriction{condition, 1};
    bool isBlock = at->isBinary(BinaryFn::FloorDiv) && at->operand(0) == index &&
                   at->operand(1)->is(ExprKind::Integer) && at->operand(1)->integer() > 0;
    if (isBlock && gathersBlocks)
      return Restriction{condition, at->operand(1)->integer()};
  }
  return std::nullopt;
}

Var RowSelection::freshPlace(const Restriction &restriction) {
  StringAttr dim = choiceOf(restriction.condition).dim;
  if (restriction.block > 1)
    dim = dimOf(model.size(dim) * restriction.block);
  return context.freshVar(dim, StringAttr());
}

Expr RowSelection::positionOf(const Restriction &restriction, Var place) {
  Expr number = context.index(place), block = context.integer(restriction.block);
  SmallVector<Expr> subscripts(restriction.condition->operands().drop_back());
  bool isBlock = restriction.block > 1;
  subscripts.push_back(isBlock ? context.binary(BinaryFn::FloorDiv, number, block) : number);
  Expr row = context.read(choiceOf(restriction.condition).rows, subscripts, ValueType::Integer);
  if (!isBlock)
    return row;
  return context.add(context.mul(block, row), context.binary(BinaryFn::Mod, number, block));
}

Expr RowSelection::isThere(const Restriction &restriction, Var place, StringAttr positions) {
  Expr position = positionOf(restriction, place);
  Expr result = context.compare(Predicate::Ge, position, context.integer(0));
  if (restriction.block == 1)
    return result;
  // The last block may be a shorter one.
  return both(result, context.compare(Predicate::Lt, position, context.extent(positions)));
}

Expr RowSelection::domainOf(const Restriction &restriction, ArrayRef<Expr> conditions, Var position,
                            Var place) {
  Substitution toPlace{{position, positionOf(restriction, place)}};
  Expr domain = isThere(restriction, place, position->dim);
  for (Expr condition : conditions)
    if (condition != restriction.condition)
      domain = both(domain, context.substitute(condition, toPlace));
  return domain;
}

/// A map at the position of a place that is restricted to the same rows is one over places.
Expr RowSelection::gatherMap(Expr e, const Restriction &restriction, Expr position, Var place) {
  if (!e->is(ExprKind::Map) || e->operand(0) != position)
    return e;
  OpenedExpr o = context.open(e);
  SmallVector<Expr> conditions;
  conditionsOf(o.domain, conditions);
  auto own = restrictionOf(conditions, o.vars[0]);
  bool isSame =
      own && own->block == restriction.block &&
      own->condition->symbol() == restriction.condition->symbol() &&
      own->condition->operands().drop_back() == restriction.condition->operands().drop_back();
  if (!isSame)
    return e;
  Var other = freshPlace(*own);
  Substitution toPlace{{o.vars[0], positionOf(*own, other)}};
  return context.map(e->mapKind(), other, context.index(place), context.substitute(o.body, toPlace),
                     domainOf(*own, conditions, o.vars[0], other), e->count());
}

void RowSelection::restrictionsOf(Expr e, Var position, SmallVectorImpl<Expr> &conditions) const {
  for (Expr factor : context.factors(e).factors) {
    if (factor->is(ExprKind::Select) && factor->operand(2)->isReal(0)) {
      conditionsOf(factor->operand(0), conditions);
      restrictionsOf(factor->operand(1), position, conditions);
    } else if (factor->is(ExprKind::Map) && factor->operand(0) == context.index(position)) {
      OpenedExpr map = context.open(factor);
      if (map.domain)
        conditionsOf(context.substitute(map.domain, {{map.vars[0], map.at}}), conditions);
    }
  }
}

Expr RowSelection::gatherReduce(Expr e) {
  OpenedExpr o = context.open(e);
  auto *found = llvm::find_if(o.vars, [&](Var var) { return model.isRuntime(var->dim); });
  if (found == o.vars.end())
    return e;
  Var position = *found;
  SmallVector<Expr> conditions, restricting;
  conditionsOf(o.domain, conditions);
  restricting = conditions;
  // A sum sees nothing where a factor is zero.
  if (e->reduceKind() == ReduceKind::Sum && o.body->type() == ValueType::Real)
    restrictionsOf(o.body, position, restricting);
  auto restriction = restrictionOf(restricting, position);
  if (!restriction)
    return e;
  Var place = freshPlace(*restriction);
  Expr at = positionOf(*restriction, place);
  Substitution toPlace{{position, at}};
  Expr holds = context.substitute(restriction->condition, toPlace);
  Expr body = context.rewrite(context.substitute(o.body, toPlace), [&](Expr node) -> Expr {
    if (node == holds)
      return context.boolean(true);
    if (node->isBinary(BinaryFn::And))
      for (unsigned side : {0, 1})
        if (node->operand(side) == context.boolean(true))
          return node->operand(1 - side);
    if (node->is(ExprKind::Select) && node->operand(0) == context.boolean(true))
      return node->operand(1);
    return gatherMap(node, *restriction, at, place);
  });
  *found = place;
  return context.reduce(e->reduceKind(), o.vars, body,
                        domainOf(*restriction, conditions, position, place));
}

Expr RowSelection::gather(Expr e) {
  return context.rewrite(
      e, [&](Expr node) { return node->is(ExprKind::Reduce) ? gatherReduce(node) : node; });
}

Expr RowSelection::test(Expr marked, StringAttr owner) {
  return context.rewrite(marked, [&](Expr node) {
    if (!node->is(ExprKind::Read) || !choices.contains(node->symbol()))
      return node;
    const Choice &choice = choiceOf(node);
    if (choice.definition && choice.definition != owner) {
      SmallVector<Expr> subscripts;
      for (unsigned number : choice.order)
        subscripts.push_back(node->operands()[number]);
      return context.read(choice.definition, subscripts, ValueType::Boolean);
    }
    Var place = context.freshVar(choice.dim, StringAttr());
    SmallVector<Expr> subscripts(node->operands().drop_back());
    subscripts.push_back(context.index(place));
    Expr row = context.read(choice.rows, subscripts, ValueType::Integer);
    Expr isRow = context.compare(Predicate::Eq, row, node->operands().back());
    Expr count = context.sum(place, context.select(isRow, context.real(1), context.real(0)));
    return context.compare(Predicate::Gt, count, context.real(0));
  });
}

} // namespace seqmix
