//===- CoupledForm.cpp - matrix states that are coupled -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/CoupledForm.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

std::vector<Group> coupledGroups(Model &model, const std::vector<Group> &groups) {
  std::vector<Group> coupled = groups;
  auto joinOne = [&] {
    for (auto a = coupled.begin(); a != coupled.end(); ++a)
      for (auto b = coupled.begin(); b != coupled.end(); ++b) {
        if (a == b || a->direction != b->direction || !readsMatrix(model, *a, *b))
          continue;
        if (std::optional<Group> both = joined(model, *a, *b)) {
          *a = std::move(*both);
          coupled.erase(b);
          return true;
        }
      }
    return false;
  };
  while (joinOne())
    ;
  for (Group &group : coupled)
    llvm::sort(group.states, [&](StringAttr a, StringAttr b) {
      return model.state(a)->isBeforeInBlock(model.state(b));
    });
  return coupled;
}

namespace {

bool dependsOnAny(Expr e, ArrayRef<Var> vars) {
  return llvm::any_of(vars, [&](Var v) { return e->dependsOn(v); });
}

// a / b, when b's factors are among a's.
std::optional<Product> quotient(const Product &a, const Product &b) {
  if (b.coef == 0)
    return std::nullopt;
  Product result{a.coef / b.coef, a.factors};
  for (Expr f : b.factors) {
    auto found = llvm::find(result.factors, f);
    if (found == result.factors.end())
      return std::nullopt;
    result.factors.erase(found);
  }
  return result;
}

class UpdateMerger {
public:
  UpdateMerger(ExprContext &context, const AffineForm &form) : context(context), form(form) {}

  // Adds an update of one component to those that there are; false if it shares no terms.
  bool add(SmallVectorImpl<FormUpdate> &all, const FormUpdate &update, int64_t component) {
    Expr left = update.lefts[component];
    for (FormUpdate &other : all) {
      if (other.lefts[component])
        continue;
      if (Expr scale = ratio(update, other)) {
        other.lefts[component] = scaled(left, scale);
        return true;
      }
      if (Expr scale = ratio(other, update)) {
        scaleAll(other, scale);
        other.lefts[component] = left;
        other.terms = update.terms;
        return true;
      }
      // One term each: its factor may always stand on the left.
      if (hasFactorOfRow(update) && hasFactorOfRow(other) &&
          update.terms[0].right == other.terms[0].right &&
          update.terms[0].read == other.terms[0].read) {
        scaleAll(other, other.terms[0].coef);
        other.terms[0].coef = nullptr;
        other.lefts[component] = scaled(left, update.terms[0].coef);
        return true;
      }
    }
    return false;
  }

private:
  Expr scaled(Expr left, Expr scale) { return scale->isReal(1) ? left : context.mul(scale, left); }

  void scaleAll(FormUpdate &update, Expr scale) {
    for (Expr &own : update.lefts)
      own = own ? scaled(own, scale) : own;
  }
  bool hasFactorOfRow(const FormUpdate &update) {
    return update.terms.size() == 1 && update.terms[0].coef &&
           !dependsOnAny(update.terms[0].coef, form.colVars);
  }

  // The factor, constant over the columns, that makes the terms of `b` those of `a`; or null.
  Expr ratio(const FormUpdate &a, const FormUpdate &b) {
    if (a.terms.size() != b.terms.size())
      return nullptr;
    Expr scale = nullptr;
    for (const FormTerm &term : a.terms) {
      auto same = llvm::find_if(b.terms, [&](const FormTerm &other) {
        return other.right == term.right && other.read == term.read;
      });
      if (same == b.terms.end())
        return nullptr;
      Expr own = ratio(term.coef, same->coef);
      if (!own || (scale && own != scale))
        return nullptr;
      scale = own;
    }
    return scale && !dependsOnAny(scale, form.colVars) ? scale : nullptr;
  }

  Expr ratio(Expr a, Expr b) {
    if (a == b)
      return context.real(1);
    SmallVector<Product> terms;
    Product divisor = b ? context.factors(b) : Product();
    for (const Product &term :
         context.summands(a ? a : context.real(1), [](Expr) { return false; }))
      if (std::optional<Product> part = quotient(term, divisor))
        terms.push_back(*part);
      else
        return nullptr;
    return context.sumOf(terms);
  }

  ExprContext &context;
  const AffineForm &form;
};

// A product with one read of the form, and what else is in it.
struct ReadProduct {
  Expr read = nullptr;
  int64_t number = -1;
  Product rest;
};

ReadProduct readIn(const AffineForm &form, const Product &product) {
  ReadProduct result;
  result.rest.coef = product.coef;
  for (Expr f : product.factors) {
    auto found =
        llvm::find_if(form.reads, [&](const FormRead &read) { return f->isReadOf(read.result); });
    if (found == form.reads.end()) {
      result.rest.factors.push_back(f);
      continue;
    }
    result.read = f;
    result.number = found - form.reads.begin();
  }
  return result;
}

bool areDisjoint(const RowFactors &a, const RowFactors &b) {
  return llvm::none_of(llvm::zip_equal(a, b),
                       [](auto pair) { return std::get<0>(pair) && std::get<1>(pair); });
}

} // namespace

SmallVector<FormUpdate> mergeComponents(ExprContext &context, const AffineForm &form,
                                        ArrayRef<SmallVector<FormUpdate>> updates) {
  UpdateMerger merger(context, form);
  SmallVector<FormUpdate> all;
  for (auto [component, own] : llvm::enumerate(updates))
    for (const FormUpdate &update : own)
      if (!merger.add(all, update, component))
        all.push_back(update);
  return all;
}

void mergeReads(ExprContext &context, AffineForm &form, Var token,
                SmallVectorImpl<Product> &products,
                llvm::function_ref<unsigned(ReadKind, const RowFactors &, bool)> findRead) {
  for (size_t i = 0; i < products.size(); ++i)
    for (size_t j = i + 1; j < products.size(); ++j) {
      ReadProduct a = readIn(form, products[i]), b = readIn(form, products[j]);
      if (!a.read || !b.read || a.read->operands() != b.read->operands())
        continue;
      RowFactors rows = form.reads[a.number].rows, others = form.reads[b.number].rows;
      bool before = form.reads[a.number].before;
      ReadKind kind = form.reads[a.number].kind;
      if (before != form.reads[b.number].before || kind != form.reads[b.number].kind ||
          !areDisjoint(rows, others))
        continue;
      Product rest = a.rest;
      // What differs goes into the rows, as far as these may have it.
      if (a.rest.coef != b.rest.coef || a.rest.factors != b.rest.factors) {
        auto isOfToken = [&](Expr f) {
          return llvm::all_of(f->freeVars(), [&](Var v) { return v == token; });
        };
        if (!llvm::all_of(a.rest.factors, isOfToken) || !llvm::all_of(b.rest.factors, isOfToken))
          continue;
        auto scale = [&](RowFactors &own, const Product &by) {
          Expr factor = context.rename(context.product(by), token, form.token);
          for (Expr &row : own)
            row = row ? context.product(context.factors(context.mul(factor, row))) : row;
        };
        scale(rows, a.rest);
        scale(others, b.rest);
        rest = {1, {}};
      }
      for (auto [row, other] : llvm::zip_equal(rows, others))
        row = row ? row : other;
      unsigned number = findRead(kind, rows, before);
      rest.factors.push_back(context.read(form.reads[number].result, a.read->operands()));
      products[i] = context.factors(context.product(rest));
      products.erase(products.begin() + j);
      j = i; // what is merged may take more
    }
}

} // namespace seqmix
