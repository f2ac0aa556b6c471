//===- Scopes.cpp - Free indices, ranks and places -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

std::string seqmix::leftSide(const SourceFile &source, const Equation &equation) {
  return source.text(equation.lhsRange).str();
}

Diagnostic &MixerChecker::errorAt(const Expr *e, SourceRange part, std::string message) {
  if (!e->inlinedAt)
    return diagnostics.error(part, std::move(message));
  Diagnostic &error = diagnostics.error(e->siteRange(), std::move(message));
  return error.note(part, fmt::format("in the function '{}', here", e->inlinedAt->fn->name));
}

Diagnostic &MixerChecker::errorAt(const Expr *e, std::string message) {
  return errorAt(e, e->range, std::move(message));
}

void MixerChecker::bind(const IndexUse &use, Expr *reduction, Scope &scope) {
  for (const Binding &outer : scope)
    if (outer.index == use.index) {
      errorAt(reduction, use.range,
              fmt::format("the index '{}' is already in use here; take another index of '{}'",
                          use.name, use.index->dim->name))
          .note(outer.range, fmt::format("'{}' comes from here", use.name));
      return;
    }
  scope.push_back({use.index, use.range});
}

/// Checks a read of a tensor, a state or a definition against its declaration.
void MixerChecker::checkRead(RefExpr *ref) {
  std::vector<Place> places = placesOf(ref->decl);
  SourceRange declared = ref->decl->range;
  if (ref->indices.size() != places.size()) {
    std::string wanted = ref->name;
    for (size_t i = 0; i < places.size(); ++i)
      wanted += (i ? "," : "[") + (places[i].index ? places[i].index->name : places[i].dim->name);
    wanted += places.empty() ? "" : "]";
    std::string count = places.empty() ? "no" : fmt::format("{}", places.size());
    errorAt(ref, fmt::format("'{}' has {} {}, found {}: expected '{}'", ref->name, count,
                             places.size() == 1 ? "index" : "indices", ref->indices.size(), wanted))
        .note(declared, "declared here");
    return;
  }
  for (auto [place, index] : llvm::zip(places, ref->indices)) {
    if (auto *bare = llvm::dyn_cast<RefExpr>(index)) {
      auto *named = llvm::dyn_cast<Index>(bare->decl);
      if (named && named->dim != place.dim) {
        errorAt(bare, fmt::format("this place of '{}' is over '{}', but '{}' runs over '{}'",
                                  ref->name, place.dim->name, bare->name, named->dim->name))
            .note(place.range, "declared here");
        continue;
      }
    }
    auto *bare = llvm::dyn_cast<RefExpr>(index);
    if (bare && bare->decl == place.dim && !place.dim->size)
      diagnostics.warning(bare->siteRange(),
                          fmt::format("this place of '{}' ends before '{}', its length: reading it "
                                      "there gives zero; write an index of '{}'",
                                      ref->name, bare->name, bare->name));
    std::optional<Number> constant = constantValue(index);
    if (constant && constant->isInteger && place.dim->size &&
        (constant->integer < 0 || constant->integer >= *place.dim->size))
      diagnostics.warning(index->siteRange(),
                          fmt::format("this place of '{}' has the extent {}: reading it at {} "
                                      "gives zero",
                                      ref->name, *place.dim->size, constant->integer));
  }
}

/// A reduction of one operand over this index that stands in front of the reference, or null.
static const ReduceExpr *endedBefore(const RefExpr *ref, const Index *index,
                                     const Equation &equation) {
  const ReduceExpr *found = nullptr;
  walk(equation.rhs, [&](Expr *e) {
    auto *reduce = llvm::dyn_cast<ReduceExpr>(e);
    if (!reduce || reduce->op == Reduction::Sum || reduce->op == Reduction::Prod ||
        reduce->range.end > ref->range.begin)
      return;
    for (const IndexUse &use : reduce->indices)
      if (use.index == index)
        found = reduce;
  });
  return found;
}

void MixerChecker::checkScope(Expr *e, const Equation &equation, Scope &scope, bool inWhere) {
  size_t outer = scope.size();
  auto inScope = [&](const Index *index) {
    return llvm::any_of(scope, [&](const Binding &b) { return b.index == index; });
  };
  if (auto *ref = llvm::dyn_cast<RefExpr>(e)) {
    auto *index = llvm::dyn_cast<Index>(ref->decl);
    if (index && !inScope(index)) {
      if (inWhere)
        errorAt(ref, fmt::format("the index '{}' of the condition is neither on the left of the "
                                 "equation nor bound by a reduction in it",
                                 ref->name))
            .note(equation.lhsRange, "the left side is here");
      else if (const ReduceExpr *ended = endedBefore(ref, index, equation))
        errorAt(ref, fmt::format("index '{}' is free here: '{}[{}]' takes one operand only; put "
                                 "all that it is of into brackets",
                                 ref->name, spelling(ended->op).str(), ref->name));
      else
        errorAt(ref, fmt::format("index '{}' is free on the right-hand side; write 'sum[{}]' or "
                                 "add it to {}",
                                 ref->name, ref->name, leftSide(file.source, equation)));
    }
    if (llvm::isa<Tensor, State, Definition>(ref->decl))
      checkRead(ref);
  } else if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e)) {
    for (const IndexUse &use : reduce->indices)
      bind(use, reduce, scope);
  } else if (auto *map = llvm::dyn_cast<MapExpr>(e)) {
    if (!inScope(map->index.index)) {
      errorAt(
          map, map->index.range,
          fmt::format("'{}[{}]' keeps its index, so '{}' must be on the left of the equation or "
                      "bound around it",
                      spelling(map->op).str(), map->index.name, map->index.name))
          .note(equation.lhsRange, "the left side is here");
      scope.push_back({map->index.index, map->index.range}); // said once
    }
  }
  if (inWhere && llvm::isa<ReduceExpr, MapExpr>(e)) {
    errorAt(e, "a condition cannot contain a reduction; define it in an equation of its own");
    return;
  }
  forEachChild(e, [&](Expr *child) { checkScope(child, equation, scope, inWhere); });
  scope.resize(outer);
}

void MixerChecker::checkScopes() {
  for (Equation *equation : mixer.equations) {
    Scope scope;
    for (const IndexUse &use : equation->indices)
      scope.push_back({use.index, use.range});
    checkScope(equation->rhs, *equation, scope, /*inWhere=*/false);
    if (!equation->where)
      continue;
    // A condition may name what any reduction of the equation binds.
    walk(equation->rhs, [&](Expr *e) {
      if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e))
        for (const IndexUse &use : reduce->indices)
          scope.push_back({use.index, use.range});
    });
    checkScope(equation->where, *equation, scope, /*inWhere=*/true);
  }
}
