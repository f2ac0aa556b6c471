//===- SumStates.cpp - states that sums over positions become --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/SumStates.h"

#include "compiler/structure/Range.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

//===----------------------------------------------------------------------===//
// Definitions
//===----------------------------------------------------------------------===//

Var SumStates::canonical(StringAttr dim, unsigned ordinal, StringRef name) {
  Var &var = canonicalVars[{dim.getAsOpaquePointer(), ordinal}];
  if (!var)
    var = context.freshVar(dim, context.attr(name));
  return var;
}

/// An element or a little arithmetic: not worth a definition of its own.
static bool isSimple(Expr e) {
  switch (e->kind()) {
  case ExprKind::Reduce:
  case ExprKind::Map:
    return false;
  case ExprKind::Unary:
    return e->unaryFn() == UnaryFn::Neg && isSimple(e->operand(0));
  case ExprKind::Binary:
    return e->binaryFn() != BinaryFn::Pow && e->binaryFn() != BinaryFn::Div &&
           llvm::all_of(e->operands(), isSimple);
  default:
    return llvm::all_of(e->operands(), isSimple);
  }
}

Expr SumStates::named(Expr e, StringRef what) {
  SmallVector<Var> vars;
  for (bool runtime : {true, false})
    llvm::copy_if(e->freeVars(), std::back_inserter(vars),
                  [&](Var var) { return isRuntime(var) == runtime; });
  Substitution toCanonical;
  SmallVector<Expr> subscripts;
  llvm::DenseMap<StringAttr, unsigned> ordinals;
  for (Var var : vars) {
    toCanonical[var] =
        context.index(canonical(var->dim, ordinals[var->dim]++, var->name.getValue()));
    subscripts.push_back(context.index(var));
  }
  StringAttr &name = definitions[context.substitute(e, toCanonical)];
  if (name && model.definitions().contains(name))
    return context.read(name, subscripts, e->type());
  Expr read = model.define(owner->name.getValue() + "." + what, e, owner->loc, vars);
  name = read->symbol();
  return read;
}

void SumStates::nameFactors(Product &product, StringRef what) {
  for (Expr &factor : product.factors)
    if (!isSimple(factor) && llvm::any_of(factor->freeVars(), [&](Var v) { return isRuntime(v); }))
      factor = named(factor, what);
}

//===----------------------------------------------------------------------===//
// Terms
//===----------------------------------------------------------------------===//

static bool isSummedAtWrite(const SeparableTerm &term, Var var) {
  bool isElsewhere = (term.decay && term.decay->dependsOn(var)) ||
                     llvm::any_of(term.row.factors, [&](Expr f) { return f->dependsOn(var); });
  return !isElsewhere && llvm::any_of(term.col.factors, [&](Expr f) { return f->dependsOn(var); });
}

SmallVector<Var> SumStates::dimsOf(const SeparableTerm &term) const {
  auto varies = [&](Var var) {
    return (term.decay && term.decay->dependsOn(var)) ||
           llvm::any_of(term.col.factors, [&](Expr f) { return f->dependsOn(var); });
  };
  SmallVector<Var> dims, others;
  for (Var var : term.rank)
    if (varies(var) && !isSummedAtWrite(term, var))
      dims.push_back(var);
  SmallVector<Expr> parts(term.col.factors);
  if (term.decay)
    parts.push_back(term.decay);
  for (Expr part : parts)
    for (Var var : part->freeVars())
      if (!isRuntime(var) && !llvm::is_contained(term.rank, var) &&
          !llvm::is_contained(others, var))
        others.push_back(var);
  llvm::sort(others, [](Var a, Var b) { return a->id < b->id; });
  dims.append(others);
  return dims;
}

/// Whether a factor at a position is known at that token.
bool SumStates::isKnownAtToken(Expr e, Var over, std::string &reason) {
  bool isKnown = true;
  Ranges ranges(model);
  context.walk(e, [&](Expr node) {
    if (!node->is(ExprKind::Read) || !model.variesOverTokens(node->symbol()))
      return;
    auto tensor = dyn_cast_or_null<TensorOp>(model.lookup(node->symbol()));
    Expr ahead = context.sub(node->operand(0), context.index(over));
    bool isShift = !ahead->dependsOn(over) &&
                   llvm::none_of(ahead->freeVars(), [&](Var var) { return isRuntime(var); });
    if ((tensor && tensor.getRole() == Role::Param) || (isShift && ranges.of(ahead).high <= 0))
      return;
    isKnown = false;
    reason = fmt::format("'{}' is not known at its own token", toString(context, node));
  });
  return isKnown;
}

Expr SumStates::read(const SeparableTerm &term, std::string &reason) {
  const PairOrder &order = term.order;
  if (order.direction == Direction::Forward) {
    SmallVector<Expr> parts(term.col.factors);
    if (term.decay)
      parts.push_back(term.decay);
    if (!llvm::all_of(parts, [&](Expr e) { return isKnownAtToken(e, order.over, reason); }))
      return nullptr;
  }
  SmallVector<Var> dims = dimsOf(term), atWrite, atRead;
  for (Var var : term.rank)
    (isSummedAtWrite(term, var) ? atWrite : atRead).push_back(var);
  Product col = term.col, row = term.row;
  if (!atWrite.empty()) {
    Product outside{col.coef, {}}, inside;
    for (Expr f : col.factors) {
      bool isBound = llvm::any_of(atWrite, [&](Var v) { return f->dependsOn(v); });
      (isBound ? inside : outside).factors.push_back(f);
    }
    outside.factors.push_back(context.sum(atWrite, context.product(inside)));
    col = outside;
  }
  nameFactors(col, "col");
  nameFactors(row, "row");
  StringAttr state = stateOf(order, dims, term.decay, context.product(col));
  SmallVector<Expr> subscripts{context.sub(context.index(order.row), context.integer(order.shift))};
  for (Var var : dims)
    subscripts.push_back(context.index(var));
  Product outside{row.coef, {}}, inside{1, {context.read(state, subscripts)}};
  for (Expr f : row.factors) {
    bool isBound = llvm::any_of(atRead, [&](Var v) { return f->dependsOn(v); });
    (isBound ? inside : outside).factors.push_back(f);
  }
  Expr read = context.product(inside);
  outside.factors.push_back(atRead.empty() ? read : context.sum(atRead, read));
  return context.product(outside);
}

//===----------------------------------------------------------------------===//
// States
//===----------------------------------------------------------------------===//

/// A state with S[t] = decay * S[t -+ 1] + col, the same for equal ones.
StringAttr SumStates::stateOf(const PairOrder &order, ArrayRef<Var> dims, Expr decay, Expr col) {
  Substitution toCanonical;
  SmallVector<Var> left{canonical(order.over->dim, 0, order.row->name.getValue())};
  toCanonical[order.over] = context.index(left[0]);
  llvm::DenseMap<StringAttr, unsigned> ordinals;
  std::vector<std::string> used{left[0]->name.str()};
  for (Var var : dims) {
    std::string name = var->name.str();
    if (llvm::is_contained(used, name))
      name = context.indexNames().pick(var->dim, used);
    left.push_back(canonical(var->dim, ordinals[var->dim]++, name));
    used.push_back(left.back()->name.str());
    toCanonical[var] = context.index(left.back());
  }
  col = context.substitute(col, toCanonical);
  decay = decay ? context.substitute(decay, toCanonical) : nullptr;
  for (const Made &made : states)
    if (made.decay == decay && made.col == col &&
        model.state(made.name).getDirection() == order.direction &&
        model.equation(made.name)->left == left)
      return made.name;

  StringAttr name = model.freshName(owner->name.getValue() + ".state");
  declare(name, ArrayRef(left).drop_front(), order.direction);
  SmallVector<Expr> before;
  for (Var var : left)
    before.push_back(context.index(var));
  before[0] = context.sub(before[0], context.integer(order.sign()));
  Expr kept = context.read(name, before);
  if (decay)
    kept = context.mul(decay, kept);
  model.nexts().insert({name, Equation{name, left, context.add(kept, col), nullptr, owner->loc}});
  states.push_back({name, decay, col});
  return name;
}

void SumStates::declare(StringAttr name, ArrayRef<Var> dims, Direction direction) {
  // Behind the other states, so that the carry has the declared ones first.
  Operation *last = nullptr;
  for (Operation &op : model.mixer().getBody().front())
    if (isa<DimOp, TensorOp, StateOp>(op))
      last = &op;
  OpBuilder builder(context.mlirContext());
  builder.setInsertionPointAfter(last);
  SmallVector<Attribute> symbols;
  for (Var var : dims)
    symbols.push_back(FlatSymbolRefAttr::get(var->dim));
  auto state = StateOp::create(builder, owner->loc, name, builder.getArrayAttr(symbols),
                               llvm::APFloat(0.0), direction);
  state->setAttr("seq.sum_of", owner->name);
  model.declare(state);
}

void SumStates::dropTo(size_t count) {
  for (; states.size() > count; states.pop_back())
    drop(states.back().name);
}

void SumStates::drop(StringAttr name) {
  StateOp state = model.state(name);
  model.nexts().erase(name);
  model.removeDefinition(name);
  state.erase();
}

/// A running sum that only stood in exponents is no longer carried.
void SumStates::dropUnread() {
  auto isMade = [](StringAttr name) { return name.getValue().contains('.'); };
  llvm::DenseSet<StringAttr> reached, outputs = model.outputs();
  SmallVector<StringAttr> stack(outputs.begin(), outputs.end());
  for (auto &[name, equation] : model.nexts())
    if (!isMade(name))
      stack.push_back(name);
  while (!stack.empty()) {
    StringAttr name = stack.pop_back_val();
    Equation *equation = reached.insert(name).second ? model.equation(name) : nullptr;
    if (!equation)
      continue;
    llvm::append_range(stack, model.sources(equation->body));
    if (equation->domain)
      llvm::append_range(stack, model.sources(equation->domain));
  }
  SmallVector<StringAttr> unread;
  for (auto &[name, equation] : model.nexts())
    if (!reached.contains(name))
      unread.push_back(name);
  llvm::for_each(unread, [&](StringAttr name) { drop(name); });
  // Nor are windows of definitions that only stood there.
  unread.clear();
  for (auto &[name, equation] : model.definitions())
    if (!reached.contains(name))
      unread.push_back(name);
  llvm::for_each(unread, [&](StringAttr name) { model.removeDefinition(name); });
}

void SumStates::finish() {
  dropUnread();
  for (const Made &made : states)
    if (model.state(made.name).getDirection() == Direction::Backward && !model.mixer().getNoStep())
      model.mixer().setNoStep(
          fmt::format("the state '{}' runs backwards", std::string_view(made.name.getValue())));
}

} // namespace seqmix
