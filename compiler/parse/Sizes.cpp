//===- Sizes.cpp - Dims, constants, ranges and initial values --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include "llvm/ADT/StringExtras.h"
#include <cmath>
#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

/// Extents and positions are 32-bit at the library's boundary.
static constexpr int64_t maxExtent = std::numeric_limits<int32_t>::max();
/// Elements of one batch element of one tensor, a bound that no address computation overflows.
static constexpr int64_t maxElements = int64_t(1) << 40;

bool seqmix::addOverride(llvm::StringRef text, Overrides &overrides, std::string &error) {
  auto [name, value] = text.split('=');
  name = name.trim();
  value = value.trim();
  bool isName = !name.empty() && !llvm::isDigit(name[0]) &&
                llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
  int64_t integer;
  double real;
  if (isName && !value.getAsInteger(10, integer)) {
    overrides[name.str()] = Number::ofInteger(integer);
    return true;
  }
  if (isName && !value.empty() && !value.getAsDouble(real) && !std::isnan(real)) {
    overrides[name.str()] = Number::ofReal(real);
    return true;
  }
  error = fmt::format("expected NAME=NUMBER, as in K=128, found '{}'", text.str());
  return false;
}

/// Resolves the names of a constant expression, evaluating what it reads first. With
/// `runTimeAllowed` it may read run-time dims and says so in `isRunTime`.
bool MixerChecker::resolveConstantExpr(Expr *e, llvm::StringRef what, bool runTimeAllowed,
                                       bool *isRunTime) {
  bool ok = true;
  walk(e, [&](Expr *node) {
    if (!ok)
      return;
    if (auto *call = llvm::dyn_cast<CallExpr>(node)) {
      unsigned before = diagnostics.errorCount();
      resolveCall(call);
      ok = diagnostics.errorCount() == before;
      if (ok && !call->fn) {
        diagnostics.error(call->range,
                          fmt::format("{} can call built-in functions only", what.str()));
        ok = false;
      }
      return;
    }
    if (llvm::isa<ReduceExpr, MapExpr>(node)) {
      diagnostics.error(node->range, fmt::format("{} must be a number", what.str()));
      ok = false;
    }
    auto *ref = llvm::dyn_cast<RefExpr>(node);
    if (!ref)
      return;
    Decl *decl = names.lookup(ref->name);
    if (!decl) {
      diagnostics.error(ref->nameRange,
                        fmt::format("unknown name '{}'{}", ref->name,
                                    didYouMean(ref->name, {Decl::Kind::Dim, Decl::Kind::Const})));
      ok = false;
      return;
    }
    ref->decl = decl;
    auto *dim = llvm::dyn_cast<Dim>(decl);
    auto *constant = llvm::dyn_cast<Const>(decl);
    if ((!dim && !constant) || ref->hasBrackets) {
      diagnostics
          .error(ref->range, fmt::format("{} can read dims and constants only; '{}' is a different "
                                         "kind of name ({})",
                                         what.str(), ref->name, describe(decl->kind).str()))
          .note(decl->nameRange, "declared here");
      ok = false;
      return;
    }
    ok = dim ? evaluateDim(dim) : evaluateConst(constant);
    if (!ok || !dim || !dim->isRunTime())
      return;
    if (!runTimeAllowed) {
      diagnostics
          .error(ref->range, fmt::format("{} must be known at compile time, but the length of '{}' "
                                         "is known only at run time",
                                         what.str(), dim->name))
          .note(dim->nameRange, "declared here");
      ok = false;
    }
    if (isRunTime)
      *isRunTime = true;
  });
  return ok;
}

std::optional<Number> MixerChecker::evaluate(Expr *e, llvm::StringRef what) {
  unsigned before = diagnostics.errorCount();
  if (typeOf(e) == Type::Boolean)
    errorAt(e, fmt::format("{} must be a number, found a boolean", what.str()));
  if (diagnostics.errorCount() != before)
    return std::nullopt;
  std::optional<Number> value = constantValue(e);
  if (!value) {
    errorAt(e, fmt::format("{} cannot be computed: it overflows 64 bits, divides by zero, or is "
                           "not a plain formula",
                           what.str()));
    return std::nullopt;
  }
  if (std::isnan(value->real())) {
    errorAt(e, fmt::format("{} is not a number", what.str()));
    return std::nullopt;
  }
  return value;
}

/// Reports sizes that need each other; true if `decl` may be evaluated now.
static bool enter(const Decl *decl, std::vector<const Decl *> &evaluating,
                  Diagnostics &diagnostics) {
  constexpr size_t maxChain = 16; // evaluation is recursive
  auto it = llvm::find(evaluating, decl);
  if (it == evaluating.end() && evaluating.size() < maxChain)
    return true;
  if (it == evaluating.end()) {
    diagnostics.error(decl->nameRange,
                      fmt::format("more than {} sizes depend on each other in a row "
                                  "here",
                                  maxChain));
    return false;
  }
  std::string cycle;
  for (; it != evaluating.end(); ++it)
    cycle += (*it)->name + " -> ";
  diagnostics.error(decl->nameRange, fmt::format("the size of '{}' depends on itself: {}{}",
                                                 decl->name, cycle, decl->name));
  return false;
}

bool MixerChecker::evaluateDim(Dim *dim) {
  if (!enter(dim, evaluating, diagnostics))
    return false;
  Progress known = progress.lookup(dim);
  if (known == Progress::Done || known == Progress::Failed)
    return known == Progress::Done;
  progress[dim] = Progress::Failed; // until all is well
  auto given = overrides.find(dim->name);
  std::string what = fmt::format("the size of '{}'", dim->name);
  SourceRange at = dim->sizeExpr ? dim->sizeExpr->range : dim->nameRange;
  std::optional<Number> value;
  bool isRunTime = !dim->sizeExpr;
  if (dim->sizeExpr) {
    evaluating.push_back(dim);
    bool ok = resolveConstantExpr(dim->sizeExpr, what, /*runTimeAllowed=*/true, &isRunTime);
    evaluating.pop_back();
    if (!ok)
      return false;
  }
  if (given != overrides.end() && isRunTime) {
    diagnostics.error(dim->nameRange,
                      fmt::format("{} cannot be set to {}: it is known only at run time", what,
                                  given->second.real()));
    return false;
  }
  if (isRunTime) {
    if (dim->sizeExpr) {
      unsigned before = diagnostics.errorCount();
      if (typeOf(dim->sizeExpr) != Type::Integer && diagnostics.errorCount() == before)
        diagnostics.error(at, fmt::format("{} must be an integer; use '//' to divide", what));
      if (diagnostics.errorCount() != before)
        return false;
    }
    progress[dim] = Progress::Done;
    return true;
  }
  value = given != overrides.end() ? std::optional(given->second) : evaluate(dim->sizeExpr, what);
  if (!value)
    return false;
  if (!value->isInteger) {
    diagnostics.error(at, fmt::format("{} must be an integer, found {:#}", what, value->real()));
    return false;
  }
  if (value->integer < 1 || value->integer > maxExtent) {
    diagnostics.error(
        at, fmt::format("{} must be from 1 to {}, found {}", what, maxExtent, value->integer));
    return false;
  }
  dim->size = value->integer;
  progress[dim] = Progress::Done;
  return true;
}

bool MixerChecker::evaluateConst(Const *constant) {
  if (!enter(constant, evaluating, diagnostics))
    return false;
  Progress known = progress.lookup(constant);
  if (known == Progress::Done || known == Progress::Failed)
    return known == Progress::Done;
  progress[constant] = Progress::Failed; // until all is well
  std::string what = fmt::format("the constant '{}'", constant->name);
  evaluating.push_back(constant);
  bool ok = resolveConstantExpr(constant->valueExpr, what, /*runTimeAllowed=*/false, nullptr);
  evaluating.pop_back();
  if (!ok)
    return false;
  auto given = overrides.find(constant->name);
  std::optional<Number> value =
      given != overrides.end() ? std::optional(given->second) : evaluate(constant->valueExpr, what);
  if (!value)
    return false;
  constant->value = *value;
  progress[constant] = Progress::Done;
  return true;
}

void MixerChecker::evaluateSizes() {
  for (Dim *dim : mixer.dims)
    evaluateDim(dim);
  for (Const *constant : mixer.consts)
    evaluateConst(constant);
}

void MixerChecker::evaluateBounds() {
  const Expr *last = nullptr; // names of one line share their range
  for (RawTensor &tensor : raw.tensors) {
    if (!tensor.low)
      continue;
    bool isNew = tensor.low != last;
    last = tensor.low;
    if (tensor.decl->dtype == DType::Bool) {
      diagnostics.error(tensor.boundsRange, "a bool has no range");
      continue;
    }
    if (isNew && (!resolveConstantExpr(tensor.low, "a range", false, nullptr) ||
                  !resolveConstantExpr(tensor.high, "a range", false, nullptr)))
      continue;
    if (failed())
      return;
    std::optional<Number> low = evaluate(tensor.low, "the lower end"),
                          high = evaluate(tensor.high, "the upper end");
    if (!low || !high)
      continue;
    if (low->real() > high->real())
      diagnostics.error(tensor.boundsRange,
                        fmt::format("the range is empty: its lower end {} is above its upper end "
                                    "{}",
                                    low->real(), high->real()));
    tensor.decl->bounds = Bounds{low->real(), high->real(), tensor.boundsRange};
  }
}

void MixerChecker::evaluateInitialValues() {
  for (State *state : mixer.states) {
    std::string what = fmt::format("the initial value of '{}'", state->name);
    if (!resolveConstantExpr(state->initExpr, what, false, nullptr))
      continue;
    if (std::optional<Number> value = evaluate(state->initExpr, what))
      state->init = value->real();
  }
}

void MixerChecker::checkExtents() {
  auto check = [&](const std::vector<Place> &places, const Decl *decl) {
    int64_t elements = 1;
    for (const Place &place : places) {
      if (!place.dim->size)
        continue;
      if (elements <= maxElements / *place.dim->size) {
        elements *= *place.dim->size;
        continue;
      }
      diagnostics.error(
          decl->range, fmt::format("'{}' has more than 2^40 elements a batch element", decl->name));
      return;
    }
  };
  for (Tensor *tensor : mixer.tensors)
    check(tensor->places, tensor);
  for (State *state : mixer.states)
    check(state->places, state);
  for (Definition *definition : mixer.definitions)
    check(definition->equation->places, definition);
}
