//===- FormGroups.cpp - states that run token by token ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/Classify.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_FORMGROUPS
#include "compiler/Passes.h.inc"

namespace {

class GroupFormer {
public:
  explicit GroupFormer(MixerOp mixer) : model(mixer), context(model.exprs()) {}

  LogicalResult run() {
    FailureOr<std::vector<Group>> found = findGroups(model);
    if (failed(found))
      return failure();
    groups = std::move(*found);
    while (fuseOne() || fuseProduct())
      ;
    splitSums();
    for (Group &group : groups) {
      StateClass stateClass = classify(model, group);
      joinReductions(group);
      add(group, stateClass);
    }
    model.write();
    return success();
  }

private:
  bool readsGroup(Expr e, const Group &group) {
    bool found = false;
    context.walk(
        e, [&](Expr node) { found |= node->is(ExprKind::Read) && group.contains(node->symbol()); });
    return found;
  }

  unsigned groupsRead(Expr e) {
    return llvm::count_if(groups, [&](const Group &group) { return readsGroup(e, group); });
  }

  // A group that needs the elements of another one's matrix runs with it, so that the matrix is not
  // kept for every token.
  bool fuseOne() {
    for (auto a = groups.begin(); a != groups.end(); ++a)
      for (auto b = groups.begin(); b != groups.end(); ++b)
        if (a != b && a->direction == b->direction && readsMatrix(model, *a, *b) && fuse(*a, *b)) {
          groups.erase(b);
          return true;
        }
    return false;
  }

  // In a summary the product of a transition runs with its state, so that its coefficients are made
  // once.
  bool fuseProduct() {
    auto groupOf = [&](FlatSymbolRefAttr name) {
      return llvm::find_if(groups, [&](const Group &g) { return g.contains(name.getAttr()); });
    };
    for (auto transition : model.mixer().getOps<TransitionOp>())
      for (auto factor : transition.getFactors().getAsRange<FlatSymbolRefAttr>()) {
        auto state = groupOf(transition.getToAttr()), product = groupOf(factor);
        if (state != groups.end() && state != product && fuse(*state, *product)) {
          groups.erase(product);
          return true;
        }
      }
    return false;
  }

  bool fuse(Group &a, const Group &b) {
    std::optional<Group> both = joined(model, a, b);
    if (!both)
      return false;
    bool hadLanes = findLanes(model, a.members) && findLanes(model, b.members);
    if (hadLanes && !findLanes(model, both->members))
      return false;
    a = std::move(*both);
    return true;
  }

  // A sum over states of two groups becomes one sum for each, so that either can join its group.
  void splitSums() {
    for (auto &[name, equation] : model.definitions())
      equation.body = context.rewrite(equation.body, [&](Expr node) -> Expr {
        if (!node->isReduce(ReduceKind::Sum) || groupsRead(node) < 2)
          return node;
        OpenedExpr o = context.open(node);
        SmallVector<Product> parts;
        for (const Product &term :
             context.summands(o.body, [&](Expr f) { return groupsRead(f) > 1; }))
          parts.push_back(context.factors(context.sum(o.vars, context.product(term))));
        return context.sumOf(parts);
      });
  }

  int64_t elements(ArrayRef<Var> vars) {
    int64_t count = 1;
    for (Var var : vars)
      if (!model.isRuntime(var->dim))
        count *= model.size(var->dim);
    return count;
  }

  int64_t largestState(const Group &group) {
    int64_t largest = 0;
    for (StringAttr name : group.states)
      largest = std::max(largest, elements(model.equation(name)->left));
    return largest;
  }

  void joinReductions(Group &group) {
    StringAttr lanes = findLanes(model, group.members);
    llvm::DenseSet<StringAttr> downstream = dependents(model, group.members);
    for (StringAttr member : group.members)
      downstream.erase(member);
    SmallVector<StringAttr> names;
    for (auto &[name, equation] : model.definitions())
      if (!taken.contains(name) && !group.contains(name))
        names.push_back(name);
    for (StringAttr name : names) {
      Equation equation = *model.equation(name);
      Var token = model.tokenOf(equation);
      if (!token || !readsGroup(equation.body, group))
        continue;
      auto isWanted = [&](Expr node) {
        return node->is(ExprKind::Reduce) && readsGroup(node, group) && node->dependsOn(token) &&
               elements(node->freeVars()) < largestState(group) &&
               readsInTime(node, token, group, downstream);
      };
      if (isWanted(equation.body)) {
        if (keepsLanes(group, lanes, name)) {
          group.members.push_back(name);
          taken.insert(name);
          downstream.erase(name);
        }
        continue;
      }
      Expr body = extract(equation.body, isWanted, [&](Expr node) -> Expr {
        Expr read = model.define(name.getValue() + ".", node, equation.loc, equation.left);
        if (!keepsLanes(group, lanes, read->symbol())) {
          model.removeDefinition(read->symbol());
          return node;
        }
        group.members.push_back(read->symbol());
        taken.insert(read->symbol());
        return read;
      });
      model.equation(name)->body = body;
    }
  }

  // The reduction needs nothing that is made from the group later on, and reads it at this token or
  // the one before.
  bool readsInTime(Expr e, Var token, const Group &group,
                   const llvm::DenseSet<StringAttr> &downstream) {
    int64_t past = group.direction == Direction::Forward ? -1 : 1;
    bool isInTime = true;
    context.walk(e, [&](Expr node) {
      if (!node->is(ExprKind::Read))
        return;
      if (group.contains(node->symbol())) {
        std::optional<int64_t> shift = model.shift(node, token);
        isInTime &= shift == 0 || (shift == past && model.state(node->symbol()));
      } else {
        isInTime &= !downstream.contains(node->symbol());
      }
    });
    return isInTime;
  }

  // Without lanes only states that are matrices are worth keeping out of memory.
  bool keepsLanes(const Group &group, StringAttr lanes, StringAttr joining) {
    if (!lanes)
      return llvm::any_of(group.states,
                          [&](StringAttr name) { return model.equation(name)->left.size() > 2; });
    SmallVector<StringAttr> members = group.members;
    members.push_back(joining);
    return findLanes(model, members) != nullptr;
  }

  // Replaces the outermost wanted parts that stand under no reduction.
  Expr extract(Expr e, llvm::function_ref<bool(Expr)> isWanted,
               llvm::function_ref<Expr(Expr)> replace) {
    if (isWanted(e))
      return replace(e);
    if (e->is(ExprKind::Reduce) || e->is(ExprKind::Map) || e->operands().empty())
      return e;
    SmallVector<Expr> operands;
    for (Expr operand : e->operands())
      operands.push_back(extract(operand, isWanted, replace));
    return context.withOperands(e, operands);
  }

  void add(const Group &group, StateClass stateClass) {
    MLIRContext *mlir = context.mlirContext();
    auto symbols = [&](ArrayRef<StringAttr> names) {
      SmallVector<Attribute> list;
      for (StringAttr name : names)
        list.push_back(FlatSymbolRefAttr::get(name));
      return ArrayAttr::get(mlir, list);
    };
    OpBuilder builder(mlir);
    Block &block = model.mixer().getBody().front();
    auto outputs = model.mixer().getOps<OutputOp>();
    if (outputs.empty())
      builder.setInsertionPointToEnd(&block);
    else
      builder.setInsertionPoint(*outputs.begin());
    StringAttr lanes = findLanes(model, group.members);
    RecurrenceOp::create(builder, model.equation(group.states.front())->loc, symbols(group.states),
                         symbols(group.members), StateClassAttr::get(mlir, stateClass),
                         DirectionAttr::get(mlir, group.direction),
                         lanes ? FlatSymbolRefAttr::get(lanes) : FlatSymbolRefAttr());
  }

  Model model;
  ExprContext &context;
  std::vector<Group> groups;
  llvm::DenseSet<StringAttr> taken; // definitions that are in a group now
};

class FormGroups : public impl::FormGroupsBase<FormGroups> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      if (failed(GroupFormer(mixer).run()))
        return signalPassFailure();
  }
};

} // namespace
} // namespace seqmix
