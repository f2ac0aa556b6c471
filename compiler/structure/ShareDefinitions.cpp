//===- ShareDefinitions.cpp - what a definition holds is read from it ---------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/Groups.h"

#include "mlir/IR/AttrTypeSubElements.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_SHAREDEFINITIONS
#include "compiler/Passes.h.inc"

namespace {

// Worth a row of a chunk: more than a few operations on each element.
bool isDear(ExprContext &context, Expr e) {
  bool found = false;
  context.walk(e, [&](Expr x) {
    if (x->is(ExprKind::Unary))
      found |= x->unaryFn() != UnaryFn::Neg && x->unaryFn() != UnaryFn::Abs &&
               x->unaryFn() != UnaryFn::Relu && x->unaryFn() != UnaryFn::Not &&
               x->unaryFn() != UnaryFn::Sign;
    found |= x->isBinary(BinaryFn::Div) || x->isBinary(BinaryFn::Pow) ||
             x->isBinary(BinaryFn::LogAddExp) || x->is(ExprKind::Reduce);
  });
  return found;
}

class Sharing {
public:
  explicit Sharing(MixerOp mixer) : mixer(mixer), model(mixer), context(model.exprs()) {}

  void run() {
    SmallVector<StringAttr> roots;
    for (auto state : mixer.getOps<StateOp>())
      roots.push_back(state.getSymNameAttr());
    for (auto produced : mixer.getOps<ProducedOp>())
      roots.push_back(produced.getSymNameAttr());
    carried = dependents(model, roots);
    // Each in terms of those in front of it, then all in terms of all.
    bool changed = false;
    for (auto &[name, equation] : model.definitions()) {
      changed |= share(equation);
      offer(equation);
    }
    for (Model::Equations *equations : {&model.definitions(), &model.nexts()})
      for (auto &[name, equation] : *equations)
        changed |= share(equation);
    if (!changed)
      return;
    renameFactors();
    model.write();
  }

private:
  /// The free variables of an expression in the order in which they occur in it.
  SmallVector<Var> varsOf(Expr e) {
    SmallVector<Var> vars;
    auto visit = [&](auto &self, Expr x) -> void {
      if (x->is(ExprKind::Index) && llvm::is_contained(e->freeVars(), x->var()) &&
          !llvm::is_contained(vars, x->var()))
        vars.push_back(x->var());
      for (Expr operand : x->operands())
        self(self, operand);
    };
    visit(visit, e);
    return vars;
  }

  /// The expression in variables that depend on their dims only, so that what differs in the names
  /// of indices is one node.
  Expr canonical(Expr e, ArrayRef<Var> vars) {
    llvm::DenseMap<StringAttr, unsigned> count;
    Substitution map;
    for (Var var : vars) {
      Var &common = commonVars[{var->dim, count[var->dim]++}];
      common = common ? common : context.freshVar(var->dim, nullptr);
      map[var] = context.index(common);
    }
    return context.substitute(e, map);
  }

  struct Source {
    const Equation *equation;
    SmallVector<unsigned> order; // for each left index, which of the expression's variables it is
  };

  /// Definitions outside of all loops over tokens, whose expression has each of their indices.
  void offer(const Equation &equation) {
    Expr body = equation.body;
    if (!model.tokenOf(equation) || equation.domain || carried.contains(equation.name) ||
        !isDear(context, body))
      return;
    SmallVector<Var> vars = varsOf(body);
    Source source{&equation, {}};
    for (Var left : equation.left) {
      auto *found = llvm::find(vars, left);
      if (found == vars.end())
        return;
      source.order.push_back(found - vars.begin());
    }
    kinds.insert(body->kind());
    sources.insert({canonical(body, vars), source});
  }

  bool share(Equation &equation) {
    Var token = model.tokenOf(equation);
    if (!token)
      return false;
    Expr before = equation.body;
    equation.body = context.rewrite(before, [&](Expr e) {
      if (!kinds.contains(e->kind()) || !e->dependsOn(token))
        return e;
      SmallVector<Var> vars = varsOf(e);
      auto found = sources.find(canonical(e, vars));
      if (found == sources.end() || found->second.equation == &equation ||
          vars[found->second.order[0]] != token)
        return e;
      SmallVector<Expr> subscripts;
      for (unsigned at : found->second.order)
        subscripts.push_back(context.index(vars[at]));
      return context.read(found->second.equation->name, subscripts, e->type());
    });
    if (equation.body == before)
      return false;
    // A factor that is another one by now.
    if (equation.body->is(ExprKind::Read) && equation.name.getValue().contains('.') &&
        llvm::equal(equation.body->operands(), equation.left,
                    [&](Expr at, Var var) { return at == context.index(var); }))
      renamed[equation.name] = equation.body->symbol();
    return true;
  }

  void renameFactors() {
    AttrTypeReplacer replacer;
    replacer.addReplacement([&](FlatSymbolRefAttr symbol) -> std::optional<Attribute> {
      auto found = renamed.find(symbol.getAttr());
      if (found == renamed.end())
        return std::nullopt;
      return FlatSymbolRefAttr::get(found->second);
    });
    for (auto affine : mixer.getOps<AffineOp>())
      replacer.replaceElementsIn(affine);
  }

  MixerOp mixer;
  Model model;
  ExprContext &context;
  llvm::DenseSet<StringAttr> carried;
  llvm::DenseMap<Expr, Source> sources;
  llvm::DenseSet<ExprKind> kinds;
  llvm::DenseMap<std::pair<StringAttr, unsigned>, Var> commonVars;
  llvm::DenseMap<StringAttr, StringAttr> renamed;
};

class ShareDefinitions : public impl::ShareDefinitionsBase<ShareDefinitions> {
  void runOnOperation() override {
    for (auto mixer : llvm::to_vector(getOperation().getOps<MixerOp>()))
      Sharing(mixer).run();
  }
};

} // namespace
} // namespace seqmix
