//===- RowReads.cpp - sums over the rows of states ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/RowReads.h"

#include "compiler/structure/CoupledForm.h"
#include "compiler/structure/Untie.h"
#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

Expr RowReads::inlineMatrices(Expr e) {
  return context.inlineReads(e, [&](StringAttr name) -> const Equation * {
    auto found = matrices.find(name);
    return found != matrices.end() ? &found->second : nullptr;
  });
}

bool RowReads::rewriteAll(const Group &owner, std::string &why) {
  group = &owner;
  reason = &why;
  llvm::DenseSet<StringAttr> outputs = model.outputs();
  for (StringAttr state : form.states)
    if (outputs.contains(state)) {
      why = "it is an output itself";
      return false;
    }
  auto rewriteEquation = [&](const Equation &equation, bool isState) {
    current = equation.name;
    Expr body = inlineMatrices(equation.body);
    for (auto &[matrix, unused] : matrices)
      if (context.reads(body, matrix)) {
        why = fmt::format("'{}' reads the matrix '{}' at another token",
                          std::string_view(equation.name.getValue()),
                          std::string_view(matrix.getValue()));
        return false;
      }
    if (!readsState(body) && body == equation.body)
      return true;
    body = rewriteSums(body, model.tokenOf(equation));
    if (readsState(body)) {
      if (isState || outputs.contains(equation.name)) {
        why = fmt::format("'{}' needs more of it than sums over its rows or over its columns",
                          std::string_view(equation.name.getValue()));
        return false;
      }
      Equation matrix = equation;
      matrix.body = body;
      matrices.insert({equation.name, matrix});
      form.dissolved.push_back(equation.name);
      return true;
    }
    form.rewritten[equation.name] = withReadsJoined(body, model.tokenOf(equation));
    return true;
  };
  for (auto &[name, equation] : model.definitions())
    if (!rewriteEquation(equation, false))
      return false;
  for (auto &[name, equation] : model.nexts())
    if (!form.isOf(name) && !rewriteEquation(equation, true))
      return false;
  for (auto &[name, body] : form.rewritten)
    for (FormRead &read : form.reads)
      read.isUsed |= context.reads(body, read.result);
  // A block's reads are taken together: what weighs them is there before.
  for (const FormRead &read : form.reads)
    for (Expr row : read.rows)
      if (StringAttr made = row ? madeFromReads(row) : StringAttr()) {
        why = fmt::format("'{}', with which it is read, is made from another read of it",
                          std::string_view(made.getValue()));
        return false;
      }
  return true;
}

// A symbol in an expression that is made from results of reads, at whatever token; null if there is
// none.
StringAttr RowReads::madeFromReads(Expr e) {
  llvm::DenseSet<StringAttr> results, seen;
  for (const FormRead &read : form.reads)
    results.insert(read.result);
  auto bodyOf = [&](StringAttr name) -> Expr {
    if (auto found = form.rewritten.find(name); found != form.rewritten.end())
      return found->second;
    const Equation *equation = model.equation(name);
    return equation ? equation->body : nullptr;
  };
  for (StringAttr symbol : model.sources(e)) {
    SmallVector<StringAttr> stack{symbol};
    while (!stack.empty()) {
      StringAttr name = stack.pop_back_val();
      if (results.contains(name) || form.isOf(name))
        return symbol;
      if (Expr body = seen.insert(name).second ? bodyOf(name) : nullptr)
        llvm::append_range(stack, model.sources(body));
    }
  }
  return {};
}

Expr RowReads::withCycleInlined(StringAttr state) {
  // Of one state, definitions of the cycle as rewritten. What several states give each other at the
  // same token is inlined, too, so that all is in terms of the token before.
  bool isOne = form.states.size() == 1;
  llvm::MapVector<StringAttr, Equation> cycle;
  for (StringAttr name : group->members) {
    if (name == state)
      continue;
    Equation member = *model.equation(name);
    if (auto found = form.rewritten.find(name); found != form.rewritten.end() && isOne)
      member.body = found->second;
    if (auto found = matrices.find(name); found != matrices.end() && isOne)
      member = found->second;
    cycle.insert({name, member});
  }
  Expr body =
      context.inlineReads(model.equation(state)->body, [&](StringAttr name) -> const Equation * {
        auto found = cycle.find(name);
        return found != cycle.end() ? &found->second : nullptr;
      });
  for (auto &[name, member] : cycle)
    if (!form.isOf(name) && context.reads(body, name)) {
      *reason =
          fmt::format("it depends on '{}' of another token", std::string_view(name.getValue()));
      return nullptr;
    }
  return body;
}

Expr RowReads::componentBody(int64_t component) {
  current = form.states[component / form.innerSize];
  Expr body = withCycleInlined(current);
  if (!body)
    return nullptr;
  // All over the first state's variables, at the component's inner index.
  const Equation &first = *model.equation(form.states.front()), &own = *model.equation(current);
  Substitution map;
  for (auto [from, to] : llvm::zip_equal(own.left, first.left))
    map[from] =
        to == form.innerVar ? context.integer(component % form.innerSize) : context.index(to);
  body = context.substitute(body, map);
  // What is chosen by the index of a sum, read by read, is written out: no sum over zeros and ones.
  body = context.rewrite(body, [&](Expr node) { return writtenOut(node); });
  // What is chosen between reads is affine too.
  body = context.rewrite(body, [&](Expr node) -> Expr {
    bool isChoice = node->is(ExprKind::Select) && node->type() == ValueType::Real &&
                    dependsOnReads(node) && !dependsOnReads(node->operand(0));
    return isChoice ? linearSelect(node) : node;
  });
  return rewriteSums(body, form.token);
}

// A sum over few values of an index that chooses between reads, as the sum of its terms.
Expr RowReads::writtenOut(Expr sum) {
  if (!sum->isReduce(ReduceKind::Sum) || sum->operands().size() != 1 ||
      sum->boundVars().size() != 1 || model.isRuntime(sum->boundVars()[0]->dim) ||
      model.size(sum->boundVars()[0]->dim) > kMostFactors)
    return sum;
  OpenedExpr o = context.open(sum);
  bool isChosen = false;
  context.walk(o.body, [&](Expr e) {
    isChosen |= e->is(ExprKind::Select) && e->operand(0)->is(ExprKind::Compare) &&
                e->operand(0)->operand(0) == context.index(o.vars[0]) && dependsOnReads(e);
  });
  if (!isChosen)
    return sum;
  Expr total = context.real(0);
  for (int64_t value = 0; value < model.size(o.vars[0]->dim); ++value)
    total = context.add(total, context.substitute(o.body, {{o.vars[0], context.integer(value)}}));
  return total;
}

// `a if c else b` is affine in both sides: c * a + (1 - c) * b, with c one or zero.
Expr RowReads::linearSelect(Expr e) {
  Expr one = context.real(1), zero = context.real(0), condition = e->operand(0);
  auto side = [&](Expr value, Expr weight) {
    return value->isReal(0) ? zero : context.mul(weight, value);
  };
  return context.add(side(e->operand(1), context.select(condition, one, zero)),
                     side(e->operand(2), context.select(condition, zero, one)));
}

bool RowReads::dependsOnReads(Expr e) {
  return readsState(e) || llvm::any_of(form.reads, [&](const FormRead &read) {
           return context.reads(e, read.result);
         });
}

Expr RowReads::rewriteSums(Expr e, Var token) {
  // Sums over rows with one factor for all columns first, as far as they go: a sum around another
  // one may be such a sum where the inner one alone is not.
  for (bool elements : {false, true}) {
    takesElements = elements;
    e = context.rewrite(e, [&](Expr node) -> Expr {
      if (node->is(ExprKind::Select) && node->type() == ValueType::Real && readsState(node) &&
          !dependsOnReads(node->operand(0)))
        return linearSelect(node);
      return node->isReduce(ReduceKind::Sum) && readsState(node) ? contract(node, token) : node;
    });
  }
  return e;
}

// A sum in which every product with the state is a sum over its rows, as products of reads; the sum
// itself otherwise.
Expr RowReads::contract(Expr sum, Var token) {
  SmallVector<Term> work;
  SmallVector<Product> done;
  OpenedExpr o = context.open(sum);
  for (Product &p : context.summands(o.body, [&](Expr f) { return readsState(f); }))
    work.push_back({o.vars, std::move(p)});
  std::reverse(work.begin(), work.end());
  size_t readsBefore = form.reads.size();
  unsigned steps = 0;
  while (!work.empty()) {
    // A sum that grows this much when taken apart is no canonical form.
    if (++steps > 1000 || !contractTerm(work.pop_back_val(), token, work, done)) {
      form.reads.truncate(readsBefore);
      return sum;
    }
  }
  joinReads(done, token);
  return context.sumOf(done);
}

bool RowReads::contractTerm(Term term, Var token, SmallVectorImpl<Term> &work,
                            SmallVectorImpl<Product> &done) {
  SmallVector<Expr> ofState;
  for (Expr f : term.product.factors)
    if (readsState(f))
      ofState.push_back(f);
  if (ofState.empty()) {
    done.push_back(summed(term));
    return true;
  }
  if (ofState.size() > 1)
    return false;
  Expr factor = ofState.front();
  if (factor->is(ExprKind::Read)) {
    if (Var index = indexOfComponent(factor))
      return readEach(term, index, token, work, done);
    if (Var index = indexOfRow(term, factor, token))
      return readEach(term, index, token, work, done);
    if (untieRow(term, factor, token, work))
      return true;
    std::optional<Product> product = rowRead(term, factor, token);
    if (!product && takesElements)
      product = elementRead(term, factor, token);
    if (product)
      done.push_back(*product);
    return product.has_value();
  }
  if (!factor->isReduce(ReduceKind::Sum))
    return false;
  // A sum inside: both ranges of indices together.
  OpenedExpr inner = context.open(factor);
  Product rest{term.product.coef, {}};
  llvm::copy_if(term.product.factors, std::back_inserter(rest.factors),
                [&](Expr f) { return f != factor; });
  SmallVector<Var> vars = term.vars;
  llvm::append_range(vars, inner.vars);
  for (Product &p : context.summands(inner.body, [&](Expr f) { return readsState(f); })) {
    Product joined{rest.coef * p.coef, rest.factors};
    llvm::append_range(joined.factors, p.factors);
    work.push_back({vars, joined});
  }
  return true;
}

RowReads::Subscripts RowReads::subscripts(Expr state, Var token) {
  Subscripts result{{}, {token}};
  auto add = [&](ArrayRef<int64_t> places, SmallVectorImpl<Var> &vars) {
    for (int64_t place : places)
      if (state->operand(place + 1)->is(ExprKind::Index))
        vars.push_back(state->operand(place + 1)->var());
  };
  add(form.sides.rows, result.rows);
  add(form.sides.outer, result.common);
  return result;
}

// The inner index at which a state is read: each of its values is a component.
Var RowReads::indexOfComponent(Expr state) {
  if (!form.sides.inner)
    return nullptr;
  Expr at = state->operand(*form.sides.inner + 1);
  return at->is(ExprKind::Index) ? at->var() : nullptr;
}

// An index of few values, none of the state's own, that a factor over the rows has: the row is
// another one for each value.
Var RowReads::indexOfRow(const Term &term, Expr state, Var token) {
  Subscripts own = subscripts(state, token);
  for (Expr f : term.product.factors) {
    if (f == state || llvm::none_of(own.rows, [&](Var v) { return f->dependsOn(v); }))
      continue;
    for (Var v : f->freeVars())
      if (!state->dependsOn(v) && v != token && !model.isRuntime(v->dim) &&
          model.size(v->dim) <= kMostFactors)
        return v;
  }
  return nullptr;
}

// One term for each value of an index that is summed over; else the value is chosen where it is
// known.
bool RowReads::readEach(const Term &term, Var index, Var token, SmallVectorImpl<Term> &work,
                        SmallVectorImpl<Product> &done) {
  int64_t count = model.size(index->dim);
  auto at = [&](int64_t value) {
    Term one{{}, {term.product.coef, {}}};
    llvm::copy_if(term.vars, std::back_inserter(one.vars), [&](Var v) { return v != index; });
    for (Expr f : term.product.factors)
      one.product.factors.push_back(context.substitute(f, {{index, context.integer(value)}}));
    return one;
  };
  if (llvm::is_contained(term.vars, index)) {
    for (int64_t value = count - 1; value >= 0; --value)
      work.push_back(at(value));
    return true;
  }
  SmallVector<Expr> values;
  for (int64_t value = 0; value < count; ++value) {
    SmallVector<Term> parts{at(value)};
    SmallVector<Product> results;
    while (!parts.empty())
      if (!contractTerm(parts.pop_back_val(), token, parts, results))
        return false;
    values.push_back(context.sumOf(results));
  }
  Expr chosen = values.pop_back_val();
  while (!values.empty()) {
    Expr here = context.integer(static_cast<int64_t>(values.size()) - 1);
    chosen = context.select(context.compare(Predicate::Eq, context.index(index), here),
                            values.pop_back_val(), chosen);
  }
  done.push_back({1, {chosen}});
  return true;
}

// Takes apart a factor that varies over the rows and the columns, where that is possible.
bool RowReads::untieRow(const Term &term, Expr state, Var token, SmallVectorImpl<Term> &work) {
  Subscripts own = subscripts(state, token);
  Untier untier(model, own.rows, own.common);
  auto isTied = [&](Expr f) { return f != state && untier.mixes(f); };
  auto tied = llvm::find_if(term.product.factors, isTied);
  if (tied == term.product.factors.end())
    return false;
  Expr other = untier.untie(*tied);
  bool isSum = (*tied)->isBinary(BinaryFn::Add) || (*tied)->isBinary(BinaryFn::Sub);
  if (!other && !isSum)
    return false;
  Product product = term.product;
  if (other)
    product.factors[tied - term.product.factors.begin()] = other;
  for (Product &p : context.summands(context.product(product), isTied))
    work.push_back({term.vars, p});
  return true;
}

// sum over vars of the product, with the factors that do not depend on them in front.
Product RowReads::summed(const Term &term) {
  Product outside{term.product.coef, {}}, inside;
  for (Expr f : term.product.factors) {
    bool isBound = llvm::any_of(term.vars, [&](Var v) { return f->dependsOn(v); });
    (isBound ? inside : outside).factors.push_back(f);
  }
  if (!term.vars.empty())
    outside.factors.push_back(context.sum(term.vars, context.product(inside)));
  return context.factors(context.product(outside));
}

std::optional<Product> RowReads::rowRead(const Term &term, Expr state, Var token) {
  std::optional<int64_t> shift = model.shift(state, token);
  int64_t past = form.direction == Direction::Forward ? -1 : 1;
  std::optional<int64_t> component = form.componentOf(state);
  if (!component || !shift || (*shift != 0 && *shift != past))
    return std::nullopt;
  SmallVector<Var> rowVars;
  for (int64_t place : form.sides.rows) {
    Expr at = state->operand(place + 1);
    if (!at->is(ExprKind::Index) || !llvm::is_contained(term.vars, at->var()) ||
        llvm::is_contained(rowVars, at->var()))
      return std::nullopt;
    rowVars.push_back(at->var());
  }
  auto usesRow = [&](Expr e) {
    return llvm::any_of(rowVars, [&](Var v) { return e->dependsOn(v); });
  };
  // Where the state is read at a plain outer index, the row may vary over it.
  Substitution map{{token, context.index(form.token)}};
  SmallVector<Expr> subscripts{context.index(token)};
  auto outer = form.outerVars.begin();
  for (int64_t place = 0; place + 1 < static_cast<int64_t>(state->operands().size()); ++place) {
    Expr subscript = state->operand(place + 1);
    if (llvm::is_contained(form.sides.rows, place) || place == form.sides.inner)
      continue;
    if (usesRow(subscript))
      return std::nullopt;
    subscripts.push_back(subscript);
    if (!llvm::is_contained(form.sides.outer, place))
      continue;
    Var canonical = *outer++;
    if (subscript->is(ExprKind::Index) &&
        !map.insert({subscript->var(), context.index(canonical)}).second)
      return std::nullopt;
  }
  Product row;
  Term rest{{}, {term.product.coef, {}}};
  for (Expr f : term.product.factors) {
    if (f == state)
      continue;
    if (!usesRow(f)) {
      rest.product.factors.push_back(f);
      continue;
    }
    bool isRowOnly = llvm::all_of(
        f->freeVars(), [&](Var v) { return map.contains(v) || llvm::is_contained(rowVars, v); });
    if (!isRowOnly)
      return std::nullopt;
    row.factors.push_back(f);
  }
  llvm::copy_if(term.vars, std::back_inserter(rest.vars),
                [&](Var v) { return !llvm::is_contained(rowVars, v); });
  for (auto [own, canonical] : llvm::zip_equal(rowVars, form.rowVars))
    map[own] = context.index(canonical);
  RowFactors rows(form.components());
  rows[*component] =
      context.product(context.factors(context.substitute(context.product(row), map)));
  unsigned number = findRead(ReadKind::Rows, rows, *shift != 0);
  rest.product.factors.push_back(context.read(form.reads[number].result, subscripts));
  return summed(rest);
}

// A body that adds reads of several components, with these as one read.
Expr RowReads::withReadsJoined(Expr body, Var token) {
  if (form.components() == 1)
    return body;
  SmallVector<Product> terms = context.summands(body, [](Expr) { return false; });
  size_t count = terms.size();
  joinReads(terms, token);
  return terms.size() == count ? body : context.sumOf(terms);
}

void RowReads::joinReads(SmallVectorImpl<Product> &terms, Var token) {
  mergeReads(context, form, token, terms, [&](ReadKind kind, const RowFactors &rows, bool before) {
    return findRead(kind, rows, before);
  });
}

unsigned RowReads::findRead(ReadKind kind, const RowFactors &rows, bool before) {
  for (auto [number, read] : llvm::enumerate(form.reads))
    if (read.kind == kind && read.rows == rows && read.before == before)
      return number;
  for (unsigned i = 0;; ++i) {
    StringAttr name = context.attr(fmt::format("{}.{}", std::string_view(current.getValue()), i));
    bool isTaken =
        model.lookup(name) || model.equation(name) ||
        llvm::any_of(form.reads, [&](const FormRead &read) { return read.result == name; });
    if (isTaken)
      continue;
    form.reads.push_back({kind, rows, before, name});
    return form.reads.size() - 1;
  }
}

} // namespace seqmix
