//===- Classify.cpp - the algebraic class of a group --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Classify.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

class Classifier {
public:
  Classifier(Model &model, const Group &group)
      : model(model), context(model.exprs()), group(group) {}

  StateClass run() {
    bool isAffine = true, isTropical = true;
    for (StringAttr name : group.states) {
      const Equation &equation = *model.equation(name);
      Expr body = context.inlineReads(equation.body, [&](StringAttr read) -> const Equation * {
        return group.contains(read) && !model.state(read) ? model.equation(read) : nullptr;
      });
      noteReads(equation, body);
      isAffine &= affine(body);
      isTropical &= tropical(body);
      if (isAffine)
        noteDecay(equation, body);
    }
    if (isTropical && !isAffine && !readsElsewhere)
      return StateClass::Stabilised;
    if (!isAffine)
      return readsElsewhere ? StateClass::NonlinearDense : StateClass::NonlinearDiagonal;
    if (readsElsewhere)
      return StateClass::DenseLinear;
    if (readsOthers)
      return StateClass::CoupledLinear;
    return decayDims > 1 ? StateClass::Selective : StateClass::Elementwise;
  }

private:
  bool dependsOnGroup(Expr e) {
    bool found = false;
    context.walk(
        e, [&](Expr node) { found |= node->is(ExprKind::Read) && group.contains(node->symbol()); });
    return found;
  }

  // Which elements of which states the equation reads.
  void noteReads(const Equation &equation, Expr body) {
    context.walk(body, [&](Expr node) {
      if (!node->is(ExprKind::Read) || !group.contains(node->symbol()))
        return;
      readsOthers |= node->symbol() != equation.name;
      for (auto [at, var] :
           llvm::zip_longest(node->operands().drop_front(), ArrayRef(equation.left).drop_front()))
        readsElsewhere |= !at || !var || *at != context.index(*var);
    });
  }

  // Affine in what the group carries.
  bool affine(Expr e) {
    if (!dependsOnGroup(e) || e->is(ExprKind::Read))
      return true;
    switch (e->kind()) {
    case ExprKind::Unary:
      return e->isUnary(UnaryFn::Neg) && affine(e->operand(0));
    case ExprKind::Binary:
      switch (e->binaryFn()) {
      case BinaryFn::Add:
      case BinaryFn::Sub:
        return affine(e->operand(0)) && affine(e->operand(1));
      case BinaryFn::Mul:
        return (!dependsOnGroup(e->operand(0)) && affine(e->operand(1))) ||
               (!dependsOnGroup(e->operand(1)) && affine(e->operand(0)));
      case BinaryFn::Div:
        return !dependsOnGroup(e->operand(1)) && affine(e->operand(0));
      default:
        return false;
      }
    case ExprKind::Select:
      return !dependsOnGroup(e->operand(0)) && affine(e->operand(1)) && affine(e->operand(2));
    case ExprKind::Reduce:
      return e->isReduce(ReduceKind::Sum) && affine(e->operand(0));
    default:
      return false;
    }
  }

  // A sum in the semirings of maximum, minimum or logaddexp: sums with what the group does not
  // carry inside those functions.
  bool tropical(Expr e) {
    if (!dependsOnGroup(e) || e->is(ExprKind::Read))
      return true;
    if (e->is(ExprKind::Select))
      return !dependsOnGroup(e->operand(0)) && tropical(e->operand(1)) && tropical(e->operand(2));
    if (!e->is(ExprKind::Binary))
      return false;
    switch (e->binaryFn()) {
    case BinaryFn::Add:
      return (!dependsOnGroup(e->operand(0)) || !dependsOnGroup(e->operand(1))) &&
             tropicalOperands(e);
    case BinaryFn::Sub:
      return !dependsOnGroup(e->operand(1)) && tropicalOperands(e);
    case BinaryFn::Max:
    case BinaryFn::Min:
    case BinaryFn::LogAddExp:
      return tropicalOperands(e);
    default:
      return false;
    }
  }
  bool tropicalOperands(Expr e) { return tropical(e->operand(0)) && tropical(e->operand(1)); }

  // How many of its indices the factor of a state depends on.
  void noteDecay(const Equation &equation, Expr body) {
    for (const Product &term : context.summands(body, [&](Expr f) { return dependsOnGroup(f); })) {
      if (llvm::none_of(term.factors, [&](Expr f) { return dependsOnGroup(f); }))
        continue;
      unsigned count = 0;
      for (Var var : ArrayRef(equation.left).drop_front())
        count += llvm::any_of(term.factors,
                              [&](Expr f) { return !dependsOnGroup(f) && f->dependsOn(var); });
      decayDims = std::max(decayDims, count);
    }
  }

  Model &model;
  ExprContext &context;
  const Group &group;
  bool readsOthers = false, readsElsewhere = false;
  unsigned decayDims = 0;
};

} // namespace

StateClass classify(Model &model, const Group &group) { return Classifier(model, group).run(); }

StringAttr findLanes(Model &model, ArrayRef<StringAttr> members) {
  ExprContext &context = model.exprs();
  auto placeOf = [&](StringAttr name, StringAttr dim) -> std::optional<unsigned> {
    const Equation &equation = *model.equation(name);
    std::optional<unsigned> found;
    for (auto [place, var] : llvm::enumerate(equation.left))
      if (var->dim == dim) {
        if (found)
          return std::nullopt;
        found = place;
      }
    return found;
  };
  auto isIndependent = [&](StringAttr dim) {
    for (StringAttr name : members) {
      std::optional<unsigned> own = placeOf(name, dim);
      if (!own)
        return false;
      const Equation &equation = *model.equation(name);
      Expr lane = context.index(equation.left[*own]);
      bool isSame = true;
      context.walk(equation.body, [&](Expr node) {
        if (!node->is(ExprKind::Read) || !llvm::is_contained(members, node->symbol()))
          return;
        std::optional<unsigned> place = placeOf(node->symbol(), dim);
        isSame &= place && node->operand(*place) == lane;
      });
      if (!isSame)
        return false;
    }
    return true;
  };
  StringAttr best;
  for (Var var : model.equation(members.front())->left)
    if (!model.isRuntime(var->dim) && isIndependent(var->dim) &&
        (!best || model.size(var->dim) >= model.size(best)))
      best = var->dim;
  return best;
}

} // namespace seqmix
