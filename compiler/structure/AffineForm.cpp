//===- AffineForm.cpp - the canonical affine form of matrix states ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// In two steps. First every sum over the rows of the state, wherever it stands, becomes a read U of
// a per-token tensor; a definition that still holds elements of the state after that (a matrix
// between two sub-steps of a token) is inlined into its readers. Then the state's equation, with
// the definitions of its cycle inlined, is a polynomial in S[t-1] and the U's; its terms are sorted
// into the decay, inputs and low-rank part, and their factors into rows, columns and scalars.
// Several components have a polynomial each, in all components of S[t-1].
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/AffineForm.h"
#include "compiler/structure/CoupledForm.h"
#include "compiler/structure/RowReads.h"
#include "compiler/structure/Unroll.h"
#include "compiler/structure/Untie.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

std::optional<int64_t> AffineForm::componentOf(Expr read) const {
  int64_t state = llvm::find(states, read->symbol()) - states.begin();
  if (!sides.inner)
    return state;
  Expr at = read->operand(*sides.inner + 1);
  if (!at->is(ExprKind::Integer))
    return std::nullopt;
  return state * innerSize + at->integer();
}

namespace {

// A product sorted by what its factors vary over.
struct Separated {
  Product scalar; // the constant is here
  Product row, col;
};

class AffineFinder {
public:
  AffineFinder(Model &model, const Group &group, const AffineSides &sides, std::string &reason)
      : model(model), context(model.exprs()), group(group), reason(reason) {
    llvm::append_range(form.states, group.states);
    form.direction = group.direction;
    form.sides = sides;
    const Equation &equation = *model.equation(form.states.front());
    form.token = equation.left.front();
    for (auto [number, var] : llvm::enumerate(ArrayRef(equation.left).drop_front())) {
      int64_t place = number;
      if (place == sides.inner) {
        form.innerVar = var;
        form.innerSize = model.size(var->dim);
        continue;
      }
      bool isOuter = llvm::is_contained(sides.outer, place),
           isRow = llvm::is_contained(sides.rows, place);
      (isOuter ? form.outerVars : isRow ? form.rowVars : form.colVars).push_back(var);
      if (isOuter || isRow)
        form.rowSide.push_back(var);
      if (isOuter || !isRow)
        form.colSide.push_back(var);
      form.bothSides.push_back(var);
    }
  }

  std::optional<AffineForm> run() {
    SmallVector<Var> common{form.token};
    llvm::append_range(common, form.outerVars);
    untier.emplace(model, form.rowVars, common);
    RowReads reads(model, form);
    if (!reads.rewriteAll(group, reason))
      return std::nullopt;
    SmallVector<Expr> bodies;
    for (component = 0; component < form.components(); ++component) {
      Expr body = reads.componentBody(component);
      if (!body)
        return std::nullopt;
      bodies.push_back(body);
    }
    for (auto [number, read] : llvm::enumerate(form.reads))
      readNames[read.result] = number;
    diagonal.resize(form.components() * form.components());
    SmallVector<SmallVector<FormUpdate>> updates;
    for (component = 0; component < form.components(); ++component) {
      if (!collectTerms(bodies[component]))
        return std::nullopt;
      updates.push_back(takeUpdates());
      mergeRights(updates.back());
    }
    if (!combineDecays())
      return std::nullopt;
    form.updates = mergeComponents(context, form, updates);
    return std::move(form);
  }

private:
  std::string show(Expr e) { return toString(context, e); }

  bool fail(std::string text) {
    reason = std::move(text);
    return false;
  }

  bool dependsOnAny(Expr e, ArrayRef<Var> vars) {
    return llvm::any_of(vars, [&](Var v) { return e->dependsOn(v); });
  }
  bool mixes(Expr e) { return untier->mixes(e); }
  bool isStateRead(Expr e) { return e->is(ExprKind::Read) && form.isOf(e->symbol()); }

  bool dependsOnState(Expr e) {
    bool found = false;
    context.walk(e, [&](Expr node) {
      found |= node->is(ExprKind::Read) &&
               (form.isOf(node->symbol()) || readNames.contains(node->symbol()));
    });
    return found;
  }

  bool separate(const Product &p, Separated &result) {
    result.scalar.coef = p.coef;
    for (Expr f : p.factors) {
      if (mixes(f))
        return false;
      if (dependsOnAny(f, form.rowVars))
        result.row.factors.push_back(f);
      else if (dependsOnAny(f, form.colVars))
        result.col.factors.push_back(f);
      else
        result.scalar.factors.push_back(f);
    }
    return true;
  }

  // Expands until no factor ties rows to columns, then sorts each term.
  bool collectTerms(Expr body) {
    SmallVector<Product> work =
        context.summands(body, [&](Expr f) { return dependsOnState(f) || mixes(f); });
    std::reverse(work.begin(), work.end());
    while (!work.empty()) {
      Product term = work.pop_back_val();
      auto tied = llvm::find_if(term.factors, [&](Expr f) { return mixes(f) && !isStateRead(f); });
      if (tied == term.factors.end()) {
        if (!addTerm(term))
          return false;
        continue;
      }
      Expr other = writtenOut(*tied);
      if (!other && dependsOnState(*tied))
        return fail(fmt::format("it is not affine: '{}'", show(*tied)));
      if (!other)
        other = untier->untie(*tied);
      if (!other) {
        bool isDecay = llvm::any_of(term.factors, [&](Expr f) { return isStateRead(f); });
        return fail(fmt::format("{} '{}' ties its rows to its columns{}",
                                isDecay ? "the decay" : "the input", show(*tied),
                                untier->lacksBound()
                                    ? ": the parts of its exponent have no declared upper "
                                      "bound, and one alone could overflow"
                                    : ""));
      }
      *tied = other;
      Expr product = context.product(term);
      if (++steps > 1000)
        return fail("its equation has too many terms");
      SmallVector<Product> expanded =
          context.summands(product, [&](Expr f) { return dependsOnState(f) || mixes(f); });
      for (Product &p : llvm::reverse(expanded))
        work.push_back(std::move(p));
    }
    return true;
  }

  // A short sum of products of rows and columns as these products; null for anything else.
  Expr writtenOut(Expr e) {
    if (!e->isReduce(ReduceKind::Sum))
      return nullptr;
    OpenedExpr opened = context.open(e);
    auto isShort = [&](Var var) {
      return !model.isRuntime(var->dim) && model.size(var->dim) <= kMostFactors;
    };
    auto var = llvm::find_if(opened.vars, isShort);
    return var == opened.vars.end() ? nullptr : unrollOver(model, ReduceKind::Sum, opened, *var);
  }

  bool addTerm(const Product &term) {
    Expr state = nullptr;
    Product rest{term.coef, {}};
    for (Expr f : term.factors) {
      if (!dependsOnState(f)) {
        rest.factors.push_back(f);
        continue;
      }
      if (state)
        return fail(fmt::format("it appears twice in the term '{}'", show(context.product(term))));
      state = f;
    }
    Separated parts;
    if (!separate(rest, parts))
      return fail(
          fmt::format("the term '{}' ties its rows to its columns", show(context.product(term))));
    if (!state) {
      addUpdate(parts, -1);
      return true;
    }
    if (!state->is(ExprKind::Read))
      return fail(fmt::format("it is not affine: '{}'", show(state)));
    if (isStateRead(state)) {
      const Equation &equation = *model.equation(form.states.front());
      std::optional<int64_t> from = form.componentOf(state);
      for (auto [subscript, var] :
           llvm::zip(state->operands().drop_front(), ArrayRef(equation.left).drop_front()))
        if (!from || (var != form.innerVar && subscript != context.index(var)))
          return fail(fmt::format("it reads other elements of itself, '{}'", show(state)));
      if (model.shift(state, form.token).value_or(0) == 0)
        return fail(fmt::format("it depends on '{}' of its own token", show(state)));
      diagonal[component * form.components() + *from].push_back(parts);
      return true;
    }
    int64_t number = readNames.lookup(state->symbol());
    if (ReadKind kind = form.reads[number].kind; kind != ReadKind::Rows)
      return fail(sumsColumns(kind)
                      ? "its update reads it along its rows and along its columns, which makes its "
                        "transition a matrix on either side"
                      : "its update sums over its rows with a factor that varies over the columns");
    if (!form.reads[number].before)
      return fail("it reads itself at its own token");
    if (state->operands().front() != context.index(form.token))
      return fail("it reads itself two tokens back");
    for (auto [subscript, var] : llvm::zip(state->operands().drop_front(), form.colSide))
      if (subscript != context.index(var))
        return fail(fmt::format("it mixes its columns, '{}'", show(state)));
    addUpdate(parts, number);
    return true;
  }

  struct PendingTerm {
    Expr right; // null for a read
    int64_t read;
    SmallVector<Product> coefs;
  };

  // Factors over the columns belong to the right factor; beside a read they stay with the scalars.
  void addUpdate(const Separated &parts, int64_t read) {
    Expr left = context.product(parts.row), right = nullptr;
    Product coef = parts.scalar;
    if (read < 0)
      right = context.product(parts.col);
    else
      llvm::append_range(coef.factors, parts.col.factors);
    auto &terms = pending[left];
    auto same =
        llvm::find_if(terms, [&](PendingTerm &t) { return t.right == right && t.read == read; });
    if (same == terms.end()) {
      terms.push_back({right, read, {}});
      same = &terms.back();
    }
    same->coefs.push_back(coef);
  }

  SmallVector<FormUpdate> takeUpdates() {
    SmallVector<FormUpdate> updates;
    for (auto &[left, terms] : pending) {
      FormUpdate update{RowFactors(form.components()), {}};
      update.lefts[component] = left;
      for (PendingTerm &term : terms) {
        Expr coef = context.sumOf(term.coefs);
        if (coef->isReal(0))
          continue;
        FormTerm made{coef->isReal(1) ? nullptr : coef, term.right, term.read};
        // A right factor that is constant over the columns: the scalar itself.
        if (made.right && made.right->isReal(1)) {
          made.right = coef;
          made.coef = nullptr;
        }
        update.terms.push_back(made);
      }
      if (!update.terms.empty())
        updates.push_back(std::move(update));
    }
    pending.clear();
    return updates;
  }

  // The parts of one entry as a sum, with their factors over the rows or over the columns.
  Expr joined(ArrayRef<Separated> entry, bool withRow, bool withCol) {
    SmallVector<Product> terms;
    for (const Separated &parts : entry) {
      Product p = parts.scalar;
      if (withRow)
        llvm::append_range(p.factors, parts.row.factors);
      if (withCol)
        llvm::append_range(p.factors, parts.col.factors);
      terms.push_back(p);
    }
    return context.sumOf(terms);
  }

  bool combineDecays() {
    SmallVector<const Separated *> all;
    for (const SmallVector<Separated> &entry : diagonal)
      for (const Separated &parts : entry)
        all.push_back(&parts);
    auto allEqual = [&](auto get) {
      return llvm::all_of(all, [&](const Separated *parts) { return get(*parts) == get(*all[0]); });
    };
    auto rowOf = [](const Separated &p) { return p.row.factors; };
    auto colOf = [](const Separated &p) { return p.col.factors; };
    if (all.empty()) {
      form.rowDecay = context.real(0);
    } else if (allEqual(colOf)) {
      form.rowDecay = joined(diagonal[0], true, false);
      form.colDecay = context.product(all[0]->col);
    } else if (allEqual(rowOf) && form.components() == 1) {
      form.rowDecay = context.product(all[0]->row);
      form.colDecay = joined(diagonal[0], false, true);
    } else {
      return fail(form.components() == 1
                      ? "its decay is no product of a factor over the rows and one over the columns"
                      : "the decays of the coupled states have no common factor over the columns");
    }
    // A scalar belongs to the rows' side only when there is nothing over the columns to take it.
    if (form.colDecay && form.colDecay->isReal(1))
      form.colDecay = nullptr;
    if (form.components() == 1) {
      if (form.rowDecay->isReal(1))
        form.rowDecay = nullptr;
      return true;
    }
    form.rowDecay = nullptr;
    for (const SmallVector<Separated> &entry : diagonal) {
      Expr decay = entry.empty() ? nullptr : joined(entry, true, false);
      form.coupling.push_back(decay && decay->isReal(0) ? nullptr : decay);
    }
    return true;
  }

  // k1 v^T + k2 v^T = (k1 + k2) v^T: one update instead of two.
  void mergeRights(SmallVector<FormUpdate> &updates) {
    for (size_t i = 0; i < updates.size(); ++i) {
      FormUpdate &first = updates[i];
      auto isScaled = [&](const FormUpdate &u) {
        return u.terms.size() == 1 &&
               !(u.terms[0].coef && dependsOnAny(u.terms[0].coef, form.colVars));
      };
      if (!isScaled(first))
        continue;
      bool merged = false;
      Expr left = first.lefts[component];
      auto scaled = [&](const FormUpdate &u) {
        Expr own = u.lefts[component];
        return u.terms[0].coef ? context.mul(u.terms[0].coef, own) : own;
      };
      for (size_t j = updates.size() - 1; j > i; --j) {
        FormUpdate &other = updates[j];
        if (!isScaled(other) || other.terms[0].right != first.terms[0].right ||
            other.terms[0].read != first.terms[0].read)
          continue;
        left = context.add(merged ? left : scaled(first), scaled(other));
        merged = true;
        updates.erase(updates.begin() + j);
      }
      if (merged) {
        updates[i].lefts[component] = left;
        updates[i].terms[0].coef = nullptr;
      }
    }
  }

  Model &model;
  ExprContext &context;
  const Group &group;
  std::string &reason;
  AffineForm form;
  llvm::DenseMap<StringAttr, int64_t> readNames;
  int64_t component = 0;                        // whose equation is in work
  SmallVector<SmallVector<Separated>> diagonal; // by component to, from
  llvm::MapVector<Expr, SmallVector<PendingTerm>> pending;
  unsigned steps = 0;
  std::optional<Untier> untier;
};

} // namespace

std::optional<AffineForm> findAffineForm(Model &model, const Group &group, const AffineSides &sides,
                                         std::string &reason) {
  return AffineFinder(model, group, sides, reason).run();
}

} // namespace seqmix
