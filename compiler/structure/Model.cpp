//===- Model.cpp - a mixer's equations as expressions -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Model.h"

#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

Model::Model(MixerOp mixer) : mixerOp(mixer), context(mixer.getContext()) {
  for (Operation &op : mixer.getBody().front()) {
    if (auto symbol = dyn_cast<SymbolOpInterface>(op))
      symbols[symbol.getNameAttr()] = &op;
    if (auto define = dyn_cast<DefineOp>(op))
      defineEquations.insert({define.getSymNameAttr(), context.import(define)});
    else if (auto next = dyn_cast<NextOp>(op))
      nextEquations.insert({next.getStateAttr().getAttr(), context.import(next)});
  }
}

Operation *Model::lookup(StringAttr name) const { return symbols.lookup(name); }

bool Model::isRuntime(StringAttr dim) const {
  return cast<DimOp>(lookup(dim)).getKind() == DimKind::Runtime;
}

int64_t Model::size(StringAttr dim) const { return *cast<DimOp>(lookup(dim)).getSize(); }

StateOp Model::state(StringAttr name) const { return dyn_cast_or_null<StateOp>(lookup(name)); }

ArrayAttr Model::dimsOf(StringAttr name) const {
  auto found = defineEquations.find(name);
  if (found != defineEquations.end()) {
    SmallVector<Attribute> dims;
    for (Var var : found->second.left)
      dims.push_back(FlatSymbolRefAttr::get(var->dim));
    return ArrayAttr::get(context.mlirContext(), dims);
  }
  Operation *op = lookup(name);
  if (!op)
    return nullptr;
  return llvm::TypeSwitch<Operation *, ArrayAttr>(op)
      .Case<TensorOp, StateOp, ProducedOp, DefineOp>([](auto op) { return op.getDims(); })
      .Default([](Operation *) { return ArrayAttr(); });
}

bool Model::variesOverTokens(StringAttr name) const {
  if (state(name))
    return true;
  ArrayAttr dims = dimsOf(name);
  return dims && !dims.empty() && isRuntime(cast<FlatSymbolRefAttr>(dims[0]).getAttr());
}

StringAttr Model::freshName(const Twine &base) {
  std::string text = base.str();
  bool isNumbered = text.back() == '.';
  for (unsigned i = 0;; ++i) {
    StringAttr name = context.attr(
        i == 0 && !isNumbered ? text : text + (isNumbered ? "" : ".") + std::to_string(i));
    if (!symbols.contains(name) && !defineEquations.contains(name))
      return name;
  }
}

Equation *Model::equation(StringAttr name) {
  auto define = defineEquations.find(name);
  if (define != defineEquations.end())
    return &define->second;
  auto next = nextEquations.find(name);
  return next != nextEquations.end() ? &next->second : nullptr;
}

Expr Model::define(const Twine &name, Expr body, Location loc, ArrayRef<Var> order, bool overAll) {
  SmallVector<Var> vars;
  for (Var var : body->freeVars())
    if (isRuntime(var->dim))
      vars.push_back(var);
  for (Var var : order)
    if ((overAll || body->dependsOn(var)) && !llvm::is_contained(vars, var))
      vars.push_back(var);
  for (Var var : body->freeVars())
    if (!llvm::is_contained(vars, var))
      vars.push_back(var);
  Equation equation{freshName(name), {}, nullptr, nullptr, loc};
  Substitution map;
  SmallVector<Expr> subscripts;
  for (Var var : vars) {
    equation.left.push_back(context.freshVar(var->dim, var->name));
    map[var] = context.index(equation.left.back());
    subscripts.push_back(context.index(var));
  }
  equation.body = context.substitute(body, map);
  StringAttr made = equation.name;
  ValueType type = body->type();
  addDefinition(std::move(equation));
  return context.read(made, subscripts, type);
}

void Model::addDefinition(Equation equation) {
  StringAttr name = equation.name;
  defineEquations.insert({name, std::move(equation)});
}

void Model::removeDefinition(StringAttr name) {
  // The op stays until `write`, but nothing finds it any more.
  defineEquations.erase(name);
  symbols.erase(name);
}

Var Model::tokenOf(const Equation &equation) const {
  return !equation.left.empty() && isRuntime(equation.left.front()->dim) ? equation.left.front()
                                                                         : nullptr;
}

std::optional<int64_t> Model::shift(Expr read, Var token) const {
  if (!variesOverTokens(read->symbol()))
    return 0;
  return token ? context.offsetFrom(read->operand(0), token) : std::nullopt;
}

SmallVector<StringAttr> Model::sources(Expr e) const {
  llvm::SetVector<StringAttr> result;
  context.walk(e, [&](Expr node) {
    if (node->is(ExprKind::Read))
      result.insert(node->symbol());
  });
  return result.takeVector();
}

llvm::DenseSet<StringAttr> Model::outputs() const {
  llvm::DenseSet<StringAttr> result;
  for (auto output : mixer().getOps<OutputOp>())
    result.insert(output.getSourceAttr().getAttr());
  return result;
}

//===----------------------------------------------------------------------===//
// Writing back
//===----------------------------------------------------------------------===//

static StringAttr firstResult(PairsOp op) {
  return cast<PairResultAttr>(op.getOuts()[0]).getProduced().getAttr();
}

SmallVector<StringAttr> factorsOf(AffineOp op) {
  SmallVector<StringAttr> result;
  auto add = [&](FlatSymbolRefAttr symbol) {
    if (symbol)
      result.push_back(symbol.getAttr());
  };
  add(op.getRowDecayAttr());
  add(op.getColDecayAttr());
  if (ArrayAttr coupling = op.getCouplingAttr())
    for (auto entry : coupling.getAsRange<CouplingAttr>())
      add(entry.getFactor());
  for (auto update : op.getUpdates().getAsRange<UpdateAttr>()) {
    for (RowFactorAttr left : update.getLefts())
      add(left.getSymbol());
    for (TermAttr term : update.getTerms()) {
      add(term.getCoef());
      add(term.getRight());
    }
  }
  for (auto read : op.getReads().getAsRange<RowReadAttr>())
    for (RowFactorAttr row : read.getRow())
      add(row.getSymbol());
  return result;
}

SmallVector<StringAttr> sourcesOf(Operation *op) {
  if (auto affine = dyn_cast_or_null<AffineOp>(op))
    return factorsOf(affine);
  llvm::SetVector<StringAttr> result;
  if (auto pairs = dyn_cast_or_null<PairsOp>(op))
    pairs.walk([&](ReadOp read) { result.insert(read.getSourceAttr().getAttr()); });
  if (auto convolution = dyn_cast_or_null<ConvolutionOp>(op))
    for (LagOperandAttr operand : convolution.getLagOperands())
      result.insert(operand.getSymbol().getAttr());
  return result.takeVector();
}

namespace {
// Orders equations and canonical recurrences.
class Sorter {
public:
  Sorter(Model &model) : model(model) {
    for (auto &[name, equation] : model.nexts())
      nodes.insert({name, nullptr});
    for (auto &[name, equation] : model.definitions())
      nodes.insert({name, nullptr});
    for (auto affine : model.mixer().getOps<AffineOp>()) {
      nodes[affine.getStateAttr().getAttr()] = affine;
      for (FlatSymbolRefAttr state : affine.states())
        if (state != affine.getStateAttr())
          makers[state.getAttr()] = affine.getStateAttr().getAttr();
      for (auto read : affine.getReads().getAsRange<RowReadAttr>())
        if (read.getResult())
          makers[read.getResult().getAttr()] = affine.getStateAttr().getAttr();
    }
    for (auto pairs : model.mixer().getOps<PairsOp>()) {
      nodes[firstResult(pairs)] = pairs;
      for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
        makers[result.getProduced().getAttr()] = firstResult(pairs);
    }
    for (auto convolution : model.mixer().getOps<ConvolutionOp>())
      nodes[convolution.getProducedAttr().getAttr()] = convolution;
    for (auto group : model.mixer().getOps<RecurrenceOp>())
      groups.push_back(group);
  }

  // Names of definitions and states in order.
  SmallVector<StringAttr> sort() {
    SmallVector<StringAttr> names;
    for (auto &[name, op] : nodes)
      names.push_back(name);
    for (StringAttr name : names)
      visit(name);
    return order;
  }

  // Definitions that an output or a state needs.
  llvm::DenseSet<StringAttr> live() {
    llvm::DenseSet<StringAttr> result;
    llvm::DenseSet<StringAttr> outputs = model.outputs();
    SmallVector<StringAttr> stack(outputs.begin(), outputs.end());
    for (auto &[name, op] : nodes)
      if (model.state(name))
        stack.push_back(name);
    // The carry holds windows of definitions even when nothing reads them in the end.
    for (const CarryComponent &component : carryComponents(model.mixer()))
      if (component.kind != CarryComponent::State && model.equation(component.of.getAttr()))
        stack.push_back(component.of.getAttr());
    for (RecurrenceOp group : groups)
      for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>())
        stack.push_back(member.getAttr());
    while (!stack.empty()) {
      StringAttr name = stack.pop_back_val();
      if (auto maker = makers.find(name); maker != makers.end())
        name = maker->second;
      if (!result.insert(name).second)
        continue;
      llvm::append_range(stack, sourcesOf(nodes.lookup(name)));
      if (Equation *equation = model.equation(name)) {
        llvm::append_range(stack, model.sources(equation->body));
        if (equation->domain)
          llvm::append_range(stack, model.sources(equation->domain));
      }
    }
    return result;
  }

private:
  void visit(StringAttr name) {
    if (auto maker = makers.find(name); maker != makers.end())
      name = maker->second;
    if (!nodes.contains(name) || !seen.insert(name).second)
      return;
    if (Operation *op = nodes.lookup(name); isa_and_nonnull<AffineOp, PairsOp, ConvolutionOp>(op)) {
      for (StringAttr source : sourcesOf(op))
        visit(source);
    } else if (Equation *equation = model.equation(name)) {
      Var token = model.tokenOf(*equation);
      SmallVector<StringAttr> reads;
      for (Expr part : {equation->body, equation->domain})
        if (part)
          model.exprs().walk(part, [&](Expr node) {
            // A window may reach this token.
            if (node->is(ExprKind::Read) && model.shift(node, token).value_or(0) == 0)
              reads.push_back(node->symbol());
          });
      for (StringAttr read : reads)
        visit(read);
    }
    order.push_back(name);
  }

  Model &model;
  llvm::MapVector<StringAttr, Operation *> nodes;
  llvm::DenseMap<StringAttr, StringAttr> makers; // produced tensor or further state -> state
  SmallVector<RecurrenceOp> groups;
  llvm::DenseSet<StringAttr> seen;
  SmallVector<StringAttr> order;
};
} // namespace

void Model::write() {
  Sorter sorter(*this);
  SmallVector<StringAttr> order = sorter.sort();
  llvm::DenseSet<StringAttr> live = sorter.live();
  Block &block = mixerOp.getBody().front();

  llvm::DenseMap<StringAttr, Operation *> canonical;
  for (auto affine : mixerOp.getOps<AffineOp>())
    canonical[affine.getStateAttr().getAttr()] = affine;
  for (auto pairs : mixerOp.getOps<PairsOp>())
    canonical[firstResult(pairs)] = pairs;
  for (auto convolution : mixerOp.getOps<ConvolutionOp>())
    canonical[convolution.getProducedAttr().getAttr()] = convolution;
  for (Operation &op : llvm::make_early_inc_range(block))
    if (isa<DefineOp, NextOp>(op)) {
      if (auto define = dyn_cast<DefineOp>(op))
        symbols.erase(define.getSymNameAttr());
      op.erase();
    }

  // Equations follow the declarations; groups and outputs stand last.
  Operation *end = nullptr;
  for (Operation &op : block)
    if (isa<RecurrenceOp, OutputOp, KernelOp>(op)) {
      end = &op;
      break;
    }
  OpBuilder builder(mixerOp.getContext());
  if (end)
    builder.setInsertionPoint(end);
  else
    builder.setInsertionPointToEnd(&block);

  for (StringAttr name : order) {
    if (Operation *op = canonical.lookup(name)) {
      op->remove();
      builder.insert(op);
      continue;
    }
    Equation *equation = this->equation(name);
    if (!equation || !live.contains(name)) {
      symbols.erase(name);
      defineEquations.erase(name);
      continue;
    }
    SmallVector<Attribute> dims, names;
    for (Var var : equation->left) {
      dims.push_back(FlatSymbolRefAttr::get(var->dim));
      names.push_back(var->name ? var->name : context.attr(var->dim.getValue().lower()));
    }
    Region *body, *domain;
    if (state(name)) {
      auto op = NextOp::create(builder, equation->loc, FlatSymbolRefAttr::get(name),
                               builder.getArrayAttr(dims), builder.getArrayAttr(names));
      body = &op.getBody();
      domain = &op.getDomain();
    } else {
      auto op = DefineOp::create(builder, equation->loc, name, builder.getArrayAttr(dims),
                                 builder.getArrayAttr(names));
      body = &op.getBody();
      domain = &op.getDomain();
      symbols[name] = op;
    }
    context.exportBody(equation->body, equation->left, *body, equation->loc);
    if (equation->domain)
      context.exportBody(equation->domain, equation->left, *domain, equation->loc);
  }
}

} // namespace seqmix
