//===- Names.cpp - Declarations and references -----------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include <algorithm>
#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

/// "an input", "a state".
static std::string withArticle(Decl::Kind kind) {
  std::string word = describe(kind).str();
  return (llvm::StringRef("aeiou").contains(word[0]) ? "an " : "a ") + word;
}

void MixerChecker::declare(Decl *decl) {
  auto [it, isNew] = names.try_emplace(decl->name, decl);
  if (isNew)
    return;
  diagnostics
      .error(decl->nameRange, fmt::format("'{}' is already the name of {}; all names of a mixer "
                                          "share one name space",
                                          decl->name, withArticle(it->second->kind)))
      .note(it->second->nameRange, "declared here");
}

void MixerChecker::declareNames() {
  auto declareAll = [&](const auto &list) {
    for (auto *decl : list)
      declare(decl);
  };
  declareAll(mixer.batchDims);
  declareAll(mixer.dims);
  declareAll(mixer.indices);
  declareAll(mixer.consts);
  declareAll(mixer.tensors);
  declareAll(mixer.states);
  declareAll(mixer.fns);
  if (failed())
    return;
  for (Equation *equation : mixer.equations) {
    Decl *known = names.lookup(equation->name);
    if (!known) {
      auto *definition = file.make<Definition>(equation->name, equation->nameRange);
      definition->range = equation->lhsRange;
      definition->equation = equation;
      equation->target = definition;
      mixer.definitions.push_back(definition);
      names[equation->name] = definition;
      continue;
    }
    equation->target = known;
    if (auto *state = llvm::dyn_cast<State>(known)) {
      if (!state->equation) {
        state->equation = equation;
        continue;
      }
      diagnostics
          .error(
              equation->lhsRange,
              fmt::format("the state '{}' has a second equation; it has exactly one", state->name))
          .note(state->equation->lhsRange, "the first one is here");
    } else if (auto *definition = llvm::dyn_cast<Definition>(known)) {
      diagnostics.error(equation->lhsRange, fmt::format("'{}' is defined twice", definition->name))
          .note(definition->equation->lhsRange, "the first definition is here");
    } else {
      diagnostics
          .error(equation->nameRange, fmt::format("'{}' is {} and cannot be defined by an equation",
                                                  known->name, withArticle(known->kind)))
          .note(known->nameRange, "declared here");
    }
  }
  for (State *state : mixer.states)
    if (!state->equation)
      diagnostics.error(state->nameRange,
                        fmt::format("the state '{}' has no equation", state->name));
}

//===-----------------------------------------------------------------------------------------===//
// Brackets of declarations
//===-----------------------------------------------------------------------------------------===//

std::string MixerChecker::didYouMean(llvm::StringRef name, llvm::ArrayRef<Decl::Kind> kinds) const {
  std::vector<std::string> candidates;
  for (const auto &entry : names)
    if (kinds.empty() || llvm::is_contained(kinds, entry.second->kind))
      candidates.push_back(entry.first().str());
  std::sort(candidates.begin(), candidates.end()); // the table has no order
  std::string near = nearestName(name, candidates);
  return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
}

bool MixerChecker::resolveBatch(const RawPlace &place, std::vector<BatchUse> &batch) {
  auto *dim = llvm::cast<BatchDim>(names.lookup(place.name));
  if (!batch.empty() && batch.back().dim->position >= dim->position) {
    bool twice = llvm::any_of(batch, [&](const BatchUse &use) { return use.dim == dim; });
    diagnostics.error(place.range,
                      twice ? fmt::format("the batch dim '{}' is named twice", place.name)
                            : fmt::format("batch dims stand in the order of their declaration: "
                                          "'{}' before '{}'",
                                          place.name, batch.back().dim->name));
    return false;
  }
  batch.push_back({dim, place.group, place.range});
  return true;
}

std::optional<Place> MixerChecker::resolvePlace(const RawPlace &place) {
  Decl *decl = names.lookup(place.name);
  if (!decl) {
    diagnostics.error(place.range,
                      fmt::format("unknown index or dim '{}'{}", place.name,
                                  didYouMean(place.name, {Decl::Kind::Index, Decl::Kind::Dim})));
    return std::nullopt;
  }
  if (auto *index = llvm::dyn_cast<Index>(decl); index && !place.hasGroup)
    return Place{index->dim, index, place.range};
  if (auto *dim = llvm::dyn_cast<Dim>(decl); dim && !place.hasGroup)
    return Place{dim, nullptr, place.range};
  if (place.hasGroup)
    diagnostics
        .error(place.range, fmt::format("only batch dims are shared by groups; '{}' is {}",
                                        place.name, withArticle(decl->kind)))
        .note(decl->nameRange, "declared here");
  else
    diagnostics
        .error(place.range, fmt::format("expected an index or a dim, but '{}' is {}", place.name,
                                        withArticle(decl->kind)))
        .note(decl->nameRange, "declared here");
  return std::nullopt;
}

void MixerChecker::checkDistinct(const std::vector<Place> &places) {
  for (size_t i = 0; i < places.size(); ++i)
    for (size_t k = 0; k < i; ++k)
      if (places[i].index && places[i].index == places[k].index) {
        diagnostics
            .error(places[i].range,
                   fmt::format("the index '{}' is named twice; declare a second index of '{}'",
                               places[i].index->name, places[i].dim->name))
            .note(places[k].range, "the first one is here");
        return;
      }
}

void MixerChecker::resolveTensor(RawTensor &tensor) {
  Tensor &decl = *tensor.decl;
  for (const RawPlace &place : tensor.places) {
    auto *batch = llvm::dyn_cast_or_null<BatchDim>(names.lookup(place.name));
    if (!batch) {
      if (std::optional<Place> resolved = resolvePlace(place))
        decl.places.push_back(*resolved);
      continue;
    }
    if (!decl.isParam()) {
      diagnostics
          .error(place.range,
                 fmt::format("'{}' is a batch dim: an input varies over all of them; name them "
                             "after 'per' where it does not",
                             place.name))
          .note(batch->nameRange, "declared here");
      return;
    }
    if (!decl.places.empty()) {
      diagnostics.error(place.range,
                        fmt::format("the batch dim '{}' must stand before the indices of '{}'",
                                    place.name, decl.name));
      return;
    }
    resolveBatch(place, decl.batch);
  }
  checkDistinct(decl.places);
  if (decl.isParam() && tensor.hasPer) {
    diagnostics.error(tensor.perRange, "a param has no 'per': write its batch dims first in the "
                                       "brackets, as in 'param u[H,i]'");
    return;
  }
  if (decl.isParam())
    return;
  for (const RawPlace &place : tensor.per) {
    Decl *known = names.lookup(place.name);
    if (!known || !llvm::isa<BatchDim>(known)) {
      diagnostics.error(place.range,
                        fmt::format("expected a batch dim after 'per', but '{}' is {}{}",
                                    place.name, known ? withArticle(known->kind) : "unknown",
                                    known ? "" : didYouMean(place.name, {Decl::Kind::BatchDim})));
      return;
    }
    if (!resolveBatch(place, decl.batch))
      return;
  }
  if (!tensor.hasPer)
    for (BatchDim *batch : mixer.batchDims)
      decl.batch.push_back({batch, 1, batch->nameRange});
}

void MixerChecker::resolvePlaces() {
  for (RawTensor &tensor : raw.tensors)
    resolveTensor(tensor);
  for (RawState &state : raw.states) {
    for (const RawPlace &place : state.places) {
      std::optional<Place> resolved = resolvePlace(place);
      if (!resolved)
        continue;
      if (resolved->dim->isRunTime())
        diagnostics
            .error(place.range,
                   fmt::format("a state has a fixed size, but the length of '{}' is known only at "
                               "run time; the time is not written in the declaration",
                               resolved->dim->name))
            .note(resolved->dim->nameRange, "declared here");
      state.decl->places.push_back(*resolved);
    }
    checkDistinct(state.decl->places);
  }
  for (const Fn *fn : mixer.fns)
    for (size_t i = 0; i < fn->params.size(); ++i)
      for (size_t k = 0; k < i; ++k)
        if (fn->params[i]->name == fn->params[k]->name)
          diagnostics.error(fn->params[i]->nameRange,
                            fmt::format("the argument '{}' is named twice", fn->params[i]->name));
  for (RawFnParam &param : raw.fnParams) {
    // An argument may hide a value of the mixer, but not what indices and calls are made of.
    Decl *known = names.lookup(param.decl->name);
    if (known && llvm::isa<BatchDim, Dim, Index, Fn>(known))
      diagnostics
          .error(param.decl->nameRange, fmt::format("the argument '{}' has the name of {}",
                                                    param.decl->name, withArticle(known->kind)))
          .note(known->nameRange, "declared here");
    if (param.index.empty())
      continue;
    auto *index = llvm::dyn_cast_or_null<Index>(names.lookup(param.index));
    if (!index)
      diagnostics.error(param.indexRange,
                        fmt::format("'{}' is not an index{}", param.index,
                                    didYouMean(param.index, {Decl::Kind::Index})));
    param.decl->index = index;
  }
}

//===-----------------------------------------------------------------------------------------===//
// Left sides and references
//===-----------------------------------------------------------------------------------------===//

bool MixerChecker::resolveIndexUse(IndexUse &use, llvm::StringRef what) {
  Decl *decl = names.lookup(use.name);
  if (auto *index = llvm::dyn_cast_or_null<Index>(decl)) {
    use.index = index;
    return true;
  }
  std::string hint;
  if (auto *dim = llvm::dyn_cast_or_null<Dim>(decl); dim && !dim->indices.empty())
    hint = fmt::format("; '{}' is an index of that dim", dim->indices[0]->name);
  if (!decl)
    diagnostics.error(use.range, fmt::format("unknown index '{}'{}", use.name,
                                             didYouMean(use.name, {Decl::Kind::Index})));
  else
    diagnostics
        .error(use.range, fmt::format("expected an index {}, but '{}' is {}{}", what.str(),
                                      use.name, withArticle(decl->kind), hint))
        .note(decl->nameRange, "declared here");
  return false;
}

void MixerChecker::resolveLeftSides() {
  for (Equation *equation : mixer.equations) {
    bool ok = true;
    for (IndexUse &use : equation->indices) {
      if (!resolveIndexUse(use, "on the left side")) {
        ok = false;
        continue;
      }
      equation->places.push_back({use.index->dim, use.index, use.range});
    }
    if (!ok)
      continue;
    checkDistinct(equation->places);
    auto *state = llvm::dyn_cast<State>(equation->target);
    if (!state)
      continue;
    size_t expected = state->places.size() + 1;
    if (equation->places.size() != expected || !equation->places[0].dim->isRunTime() ||
        equation->places[0].dim->isDerived()) {
      std::string wanted = state->name + "[t";
      for (const Place &place : state->places)
        wanted += "," + (place.index ? place.index->name : place.dim->name);
      Diagnostic &error = diagnostics.error(
          equation->lhsRange,
          fmt::format("the left side of a state names its time first, an index of a run-time "
                      "dim, and then its own indices: expected '{}]'",
                      wanted));
      error.note(state->range, "declared here");
      if (equation->places.size() == expected)
        error.note(equation->places[0].dim->range,
                   fmt::format("'{}' is no run-time dim: those have no '= size'",
                               equation->places[0].dim->name));
      continue;
    }
    for (size_t i = 1; i < expected; ++i)
      if (equation->places[i].dim != state->places[i - 1].dim) {
        diagnostics
            .error(equation->places[i].range,
                   fmt::format("this place of '{}' is over '{}', but '{}' runs over '{}'",
                               state->name, state->places[i - 1].dim->name,
                               equation->indices[i].name, equation->places[i].dim->name))
            .note(state->range, "declared here");
        break;
      }
  }
}

void MixerChecker::unknownName(SourceRange at, llvm::StringRef name, bool calls) {
  diagnostics.error(at, fmt::format("unknown {} '{}'{}", calls ? "function" : "name", name.str(),
                                    didYouMean(name, calls ? llvm::ArrayRef({Decl::Kind::Fn})
                                                           : llvm::ArrayRef<Decl::Kind>())));
}

void MixerChecker::resolveRef(RefExpr *ref, const Fn *fn) {
  if (fn)
    for (FnParam *param : fn->params)
      if (param->name == ref->name) {
        ref->decl = param;
        if (param->index && (!ref->hasBrackets || ref->indices.size() != 1))
          diagnostics
              .error(ref->range, fmt::format("the argument '{}' has one index: write '{}[{}]'",
                                             ref->name, ref->name, param->index->name))
              .note(param->range, "declared here");
        else if (!param->index && ref->hasBrackets)
          diagnostics
              .error(ref->range,
                     fmt::format("the argument '{}' is a number without indices; declare it as "
                                 "'{}[i]' to index it",
                                 ref->name, ref->name))
              .note(param->range, "declared here");
        return;
      }
  Decl *decl = names.lookup(ref->name);
  if (!decl)
    return unknownName(ref->nameRange, ref->name);
  ref->decl = decl;
  if (llvm::isa<BatchDim>(decl))
    diagnostics
        .error(ref->range, fmt::format("'{}' is a batch dim: equations are mapped over it and "
                                       "cannot name it",
                                       ref->name))
        .note(decl->nameRange, "declared here");
  else if (llvm::isa<Fn>(decl))
    diagnostics
        .error(ref->range,
               fmt::format("'{}' is a function: call it with '{}(...)'", ref->name, ref->name))
        .note(decl->nameRange, "declared here");
  else if (ref->hasBrackets && llvm::isa<Dim, Index, Const>(decl))
    diagnostics
        .error(ref->range,
               fmt::format("'{}' is {} and has no indices", ref->name, withArticle(decl->kind)))
        .note(decl->nameRange, "declared here");
}

void MixerChecker::resolveCall(CallExpr *call) {
  unsigned expected = 0;
  Decl *decl = names.lookup(call->name);
  if (std::optional<Builtin> fn = builtinNamed(call->name)) {
    call->fn = fn;
    expected = arity(*fn);
  } else if (auto *fn = llvm::dyn_cast_or_null<Fn>(decl)) {
    userCalls[call] = fn;
    expected = fn->params.size();
  } else if (decl) {
    diagnostics
        .error(call->nameRange, fmt::format("'{}' is {}, not a function; indices stand in [ ]",
                                            call->name, withArticle(decl->kind)))
        .note(decl->nameRange, "declared here");
    return;
  } else {
    std::vector<std::string> candidates;
    for (unsigned i = 0; i <= static_cast<unsigned>(Builtin::Max); ++i)
      candidates.push_back(spelling(static_cast<Builtin>(i)).str());
    for (Fn *known : mixer.fns)
      candidates.push_back(known->name);
    std::string near = nearestName(call->name, candidates);
    diagnostics.error(call->nameRange,
                      fmt::format("unknown function '{}'{}", call->name,
                                  near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    return;
  }
  if (call->args.size() == expected)
    return;
  Diagnostic &error = diagnostics.error(
      call->range, fmt::format("'{}' takes {} {}, found {}", call->name, expected,
                               expected == 1 ? "argument" : "arguments", call->args.size()));
  if (decl)
    error.note(decl->range, "declared here");
}

void MixerChecker::resolve(Expr *e, const Fn *fn) {
  walk(e, [&](Expr *node) {
    if (auto *ref = llvm::dyn_cast<RefExpr>(node)) {
      resolveRef(ref, fn);
    } else if (auto *call = llvm::dyn_cast<CallExpr>(node)) {
      resolveCall(call);
    } else if (auto *reduce = llvm::dyn_cast<ReduceExpr>(node)) {
      for (IndexUse &use : reduce->indices)
        resolveIndexUse(use, fmt::format("of '{}'", spelling(reduce->op).str()));
    } else if (auto *map = llvm::dyn_cast<MapExpr>(node)) {
      resolveIndexUse(map->index, fmt::format("of '{}'", spelling(map->op).str()));
    }
  });
}

void MixerChecker::resolveExpressions() {
  for (Fn *fn : mixer.fns)
    resolve(fn->body, fn);
  for (Equation *equation : mixer.equations) {
    resolve(equation->rhs, nullptr);
    if (equation->where)
      resolve(equation->where, nullptr);
  }
}

//===-----------------------------------------------------------------------------------------===//
// Outputs
//===-----------------------------------------------------------------------------------------===//

void MixerChecker::resolveOutputs() {
  if (mixer.outputs.empty())
    diagnostics.error(mixer.nameRange, fmt::format("the mixer '{}' has no 'output'", mixer.name));
  std::set<std::string> seen;
  for (Output *output : mixer.outputs) {
    Decl *decl = names.lookup(output->name);
    if (!decl) {
      diagnostics.error(
          output->nameRange,
          fmt::format("the output '{}' has no equation{}", output->name,
                      didYouMean(output->name, {Decl::Kind::Definition, Decl::Kind::State})));
      continue;
    }
    if (!llvm::isa<State, Definition>(decl)) {
      diagnostics
          .error(output->nameRange, fmt::format("'{}' is {}; an output is defined by an equation",
                                                output->name, withArticle(decl->kind)))
          .note(decl->nameRange, "declared here");
      continue;
    }
    if (!seen.insert(output->name).second) {
      diagnostics.error(output->nameRange, fmt::format("'{}' is already an output", output->name));
      continue;
    }
    output->value = decl;
    const Equation &equation = *output->equation();
    bool same = output->indices.size() == equation.indices.size();
    for (size_t i = 0; i < output->indices.size(); ++i) {
      if (!resolveIndexUse(output->indices[i], "of the output"))
        same = true; // already reported
      else if (same)
        same = output->indices[i].index->dim == equation.places[i].dim;
    }
    if (!same)
      diagnostics
          .error(output->range,
                 fmt::format("the output must have the indices of its equation: '{}'",
                             leftSide(file.source, equation)))
          .note(equation.lhsRange, "defined here");
  }
}

void MixerChecker::warnAboutUnused() {
  llvm::SmallPtrSet<const Decl *, 16> used;
  for (Equation *equation : mixer.equations) {
    auto mark = [&](Expr *e) {
      walk(e, [&](Expr *node) {
        if (auto *ref = llvm::dyn_cast<RefExpr>(node); ref && (ref->decl != equation->target))
          used.insert(ref->decl);
      });
    };
    mark(equation->rhs);
    if (equation->where)
      mark(equation->where);
  }
  for (Output *output : mixer.outputs)
    used.insert(output->value);
  auto warn = [&](const Decl *decl) {
    if (!used.contains(decl))
      diagnostics.warning(decl->nameRange, fmt::format("the {} '{}' is never used",
                                                       describe(decl->kind).str(), decl->name));
  };
  for (Tensor *tensor : mixer.tensors)
    warn(tensor);
  for (State *state : mixer.states)
    warn(state);
  for (Definition *definition : mixer.definitions)
    warn(definition);
}
