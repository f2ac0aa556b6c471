//===- Inline.cpp - Calls of the file's functions --------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
// A call is replaced by a copy of the body in which the arguments stand for the parameters. An
// argument `x[i]` has one free index of that dim, `a` say; `x[e]` in the body is the argument with
// `a` replaced by `e`, and `i` itself is `a`. An index that the body binds is renamed where the
// call or an argument uses the same one, so that neither captures the other.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include <fmt/format.h>

using namespace seqmix;
using namespace seqmix::ast;

/// More nodes than this in one mixer come from functions that call functions twice, again and
/// again.
static constexpr size_t maxInlinedNodes = 100000;
/// Functions that call functions may do so this deep.
static constexpr size_t maxCallDepth = 16;

namespace {
using IndexSet = llvm::SmallPtrSet<Index *, 8>;

/// What the parameters and indices of one body stand for.
struct Substitution {
  struct Argument {
    Expr *value;
    Index *index; ///< the argument's own index of the parameter's dim; null for a plain number
  };
  llvm::DenseMap<const FnParam *, Argument> arguments;
  llvm::DenseMap<Index *, Index *> renamed;
  IndexSet taken; ///< indices that a binder of the body must not use
  const Fn *fn = nullptr;
  const InlineSite *site = nullptr;
};
} // namespace

namespace seqmix {
class Inliner {
public:
  explicit Inliner(MixerChecker &checker)
      : checker(checker), file(checker.file), mixer(checker.mixer),
        diagnostics(checker.diagnostics) {}

  bool checkRecursion();
  void run();

private:
  MixerChecker &checker;
  File &file;
  Mixer &mixer;
  Diagnostics &diagnostics;
  size_t nodes = 0;
  SourceRange outerCall; ///< the call in the equation that is being inlined
  bool stopped = false;
  unsigned depth = 0; ///< of the recursion in `expand`
  std::vector<const Fn *> visiting;
  llvm::SmallPtrSet<const Fn *, 4> visited;

  bool visit(Fn *fn);
  Expr *expand(Expr *e, IndexSet &scope, const Substitution *in);
  Expr *expandOperands(Expr *e, IndexSet &scope, const Substitution *in);
  Expr *expandReduce(ReduceExpr *reduce, IndexSet &scope, const Substitution *in);
  Expr *tooLarge();
  Expr *expandCall(CallExpr *call, Fn *fn, IndexSet &scope, const Substitution *in);
  Expr *expandRef(RefExpr *ref, IndexSet &scope, const Substitution &in);
  Expr *replaceIndex(const Expr *e, Index *from, const Expr *to);
  bool bindArgument(FnParam *param, Expr *value, const CallExpr *call, Substitution &out);
  Index *freshIndex(Index *like, const IndexSet &taken, const Fn *fn);
  std::vector<IndexUse> expandBinders(const std::vector<IndexUse> &indices, Substitution &in);
  template <typename T> T *finish(T *made, const Expr *from, const Substitution *in);
};
} // namespace seqmix

//===-----------------------------------------------------------------------------------------===//
// Indices of expressions
//===-----------------------------------------------------------------------------------------===//

static void collectFree(const Expr *e, std::vector<Index *> &bound, std::vector<Index *> &found) {
  size_t outer = bound.size();
  if (auto *ref = llvm::dyn_cast<RefExpr>(e)) {
    auto *index = llvm::dyn_cast_or_null<Index>(ref->decl);
    if (index && !llvm::is_contained(bound, index) && !llvm::is_contained(found, index))
      found.push_back(index);
  } else if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e)) {
    for (const IndexUse &use : reduce->indices)
      bound.push_back(use.index);
  } else if (auto *map = llvm::dyn_cast<MapExpr>(e)) {
    // A map keeps its index: free outside as it is inside.
    if (map->index.index && !llvm::is_contained(bound, map->index.index) &&
        !llvm::is_contained(found, map->index.index))
      found.push_back(map->index.index);
  }
  forEachChild(e, [&](Expr *child) { collectFree(child, bound, found); });
  bound.resize(outer);
}

std::vector<Index *> seqmix::freeIndices(const Expr *e) {
  std::vector<Index *> bound, found;
  collectFree(e, bound, found);
  return found;
}

/// All indices that occur in `e`, free or bound.
static void collectAll(Expr *e, IndexSet &found) {
  walk(e, [&](Expr *node) {
    if (auto *ref = llvm::dyn_cast<RefExpr>(node)) {
      if (auto *index = llvm::dyn_cast_or_null<Index>(ref->decl))
        found.insert(index);
    } else if (auto *reduce = llvm::dyn_cast<ReduceExpr>(node)) {
      for (const IndexUse &use : reduce->indices)
        found.insert(use.index);
    } else if (auto *map = llvm::dyn_cast<MapExpr>(node)) {
      found.insert(map->index.index);
    }
  });
}

//===-----------------------------------------------------------------------------------------===//
// Inliner
//===-----------------------------------------------------------------------------------------===//

bool Inliner::visit(Fn *fn) {
  if (visited.contains(fn))
    return true;
  if (auto it = llvm::find(visiting, fn); it != visiting.end()) {
    std::string cycle;
    for (; it != visiting.end(); ++it)
      cycle += (*it)->name + " -> ";
    diagnostics.error(fn->nameRange, fmt::format("the function '{}' calls itself: {}{}", fn->name,
                                                 cycle, fn->name));
    return false;
  }
  if (visiting.size() == maxCallDepth) {
    diagnostics.error(fn->nameRange, fmt::format("functions call each other more than {} deep here",
                                                 maxCallDepth));
    return false;
  }
  visiting.push_back(fn);
  bool ok = true;
  walk(fn->body, [&](Expr *node) {
    auto *call = llvm::dyn_cast<CallExpr>(node);
    if (ok && call)
      if (Fn *callee = checker.userCalls.lookup(call))
        ok = visit(callee);
  });
  visiting.pop_back();
  visited.insert(fn);
  return ok;
}

bool Inliner::checkRecursion() {
  for (Fn *fn : mixer.fns)
    if (!visit(fn))
      return false;
  return true;
}

void Inliner::run() {
  for (Equation *equation : mixer.equations) {
    // The conditions' indices count as used: a condition must not restrict a function's own sum.
    IndexSet scope;
    for (const IndexUse &use : equation->indices)
      scope.insert(use.index);
    if (equation->where)
      collectAll(equation->where, scope);
    IndexSet inWhere = scope;
    if (Expr *rhs = expand(equation->rhs, scope, nullptr))
      equation->rhs = rhs;
    if (!equation->where)
      continue;
    collectAll(equation->rhs, inWhere);
    if (Expr *where = expand(equation->where, inWhere, nullptr))
      equation->where = where;
  }
}

template <typename T> T *Inliner::finish(T *made, const Expr *from, const Substitution *in) {
  made->type = from->type;
  made->inlinedAt = in ? in->site : from->inlinedAt;
  setDepth(made);
  nodes += made != from;
  if (nodes > maxInlinedNodes || made->depth > maxExprDepth)
    tooLarge();
  return stopped ? nullptr : made;
}

Expr *Inliner::tooLarge() {
  if (!stopped)
    diagnostics.error(outerCall, "inlining the functions makes the equation too large");
  stopped = true;
  return nullptr;
}

/// An index of the same dim that nothing here uses: another declared one, else a new one.
Index *Inliner::freshIndex(Index *like, const IndexSet &taken, const Fn *fn) {
  IndexSet inBody;
  collectAll(fn->body, inBody);
  for (Index *index : like->dim->indices)
    if (!taken.contains(index) && !inBody.contains(index))
      return index;
  std::string name;
  for (unsigned number = 1; name.empty() || checker.names.contains(name); ++number)
    name = fmt::format("{}_{}", like->name, number);
  auto *made = file.make<Index>(name, like->nameRange);
  made->dim = like->dim;
  made->isSynthetic = true;
  like->dim->indices.push_back(made);
  mixer.indices.push_back(made);
  checker.names[name] = made;
  return made;
}

/// The indices of a reduction in a body, renamed where they are in use outside of it.
std::vector<IndexUse> Inliner::expandBinders(const std::vector<IndexUse> &indices,
                                             Substitution &in) {
  std::vector<IndexUse> result;
  for (IndexUse use : indices) {
    Index *index = use.index;
    if (in.taken.contains(index))
      index = freshIndex(index, in.taken, in.fn);
    in.renamed[use.index] = index;
    in.taken.insert(index);
    use.index = index;
    use.name = index->name;
    result.push_back(use);
  }
  return result;
}

/// A copy of `e` with user calls replaced; `in` says what parameters stand for inside a body. In an
/// equation itself
/// (`in` is null) nodes are kept and only their operands change.
Expr *Inliner::expand(Expr *e, IndexSet &scope, const Substitution *in) {
  if (stopped)
    return nullptr;
  if (depth > maxExprDepth + maxCallDepth) // the result would be too high, too
    return tooLarge();
  ++depth;
  Expr *result = expandOperands(e, scope, in);
  --depth;
  return result;
}

Expr *Inliner::expandReduce(ReduceExpr *reduce, IndexSet &scope, const Substitution *in) {
  IndexSet inner = scope;
  Substitution local = in ? *in : Substitution();
  std::vector<IndexUse> indices = in ? expandBinders(reduce->indices, local) : reduce->indices;
  for (const IndexUse &use : indices)
    inner.insert(use.index);
  Expr *operand = expand(reduce->operand, inner, in ? &local : nullptr);
  if (!operand)
    return nullptr;
  if (in)
    return finish(file.make<ReduceExpr>(reduce->op, std::move(indices), operand, reduce->range),
                  reduce, in);
  reduce->operand = operand;
  return finish(reduce, reduce, in);
}

Expr *Inliner::expandOperands(Expr *e, IndexSet &scope, const Substitution *in) {
  switch (e->kind) {
  case Expr::Kind::Number:
    return in ? finish(file.make<NumberExpr>(llvm::cast<NumberExpr>(e)->value, e->range), e, in)
              : e;
  case Expr::Kind::Ref: {
    auto *ref = llvm::cast<RefExpr>(e);
    if (in)
      return expandRef(ref, scope, *in);
    for (Expr *&index : ref->indices) {
      index = expand(index, scope, in);
      if (!index)
        return nullptr;
    }
    return finish(ref, e, in);
  }
  case Expr::Kind::Unary: {
    auto *unary = llvm::cast<UnaryExpr>(e);
    Expr *operand = expand(unary->operand, scope, in);
    if (!operand)
      return nullptr;
    if (in)
      return finish(file.make<UnaryExpr>(unary->op, operand, e->range), e, in);
    unary->operand = operand;
    return finish(unary, e, in);
  }
  case Expr::Kind::Binary: {
    auto *binary = llvm::cast<BinaryExpr>(e);
    Expr *lhs = expand(binary->lhs, scope, in);
    Expr *rhs = lhs ? expand(binary->rhs, scope, in) : nullptr;
    if (!rhs)
      return nullptr;
    if (in) {
      auto *made = file.make<BinaryExpr>(binary->op, lhs, rhs, binary->opRange);
      made->range = binary->range;
      return finish(made, e, in);
    }
    binary->lhs = lhs;
    binary->rhs = rhs;
    return finish(binary, e, in);
  }
  case Expr::Kind::Cond: {
    auto *cond = llvm::cast<CondExpr>(e);
    Expr *whenTrue = expand(cond->whenTrue, scope, in);
    Expr *condition = whenTrue ? expand(cond->condition, scope, in) : nullptr;
    Expr *whenFalse = condition ? expand(cond->whenFalse, scope, in) : nullptr;
    if (!whenFalse)
      return nullptr;
    if (in) {
      auto *made = file.make<CondExpr>(whenTrue, condition, whenFalse);
      made->range = cond->range;
      return finish(made, e, in);
    }
    cond->whenTrue = whenTrue;
    cond->condition = condition;
    cond->whenFalse = whenFalse;
    return finish(cond, e, in);
  }
  case Expr::Kind::Call: {
    auto *call = llvm::cast<CallExpr>(e);
    if (Fn *fn = checker.userCalls.lookup(call))
      return expandCall(call, fn, scope, in);
    std::vector<Expr *> args;
    for (Expr *arg : call->args) {
      args.push_back(expand(arg, scope, in));
      if (!args.back())
        return nullptr;
    }
    if (!in) {
      call->args = std::move(args);
      return finish(call, e, in);
    }
    auto *made = file.make<CallExpr>(call->name, call->nameRange, std::move(args), call->range);
    made->fn = call->fn;
    return finish(made, e, in);
  }
  case Expr::Kind::Reduce:
    return expandReduce(llvm::cast<ReduceExpr>(e), scope, in);
  case Expr::Kind::Map: {
    auto *map = llvm::cast<MapExpr>(e);
    Expr *operand = expand(map->operand, scope, in);
    Expr *count = map->countExpr ? expand(map->countExpr, scope, in) : nullptr;
    if (!operand || (map->countExpr && !count))
      return nullptr;
    if (in) {
      IndexUse use = map->index;
      if (Index *renamed = in->renamed.lookup(use.index)) {
        use.index = renamed;
        use.name = renamed->name;
      }
      auto *made = file.make<MapExpr>(map->op, use, operand, e->range);
      made->countExpr = count;
      return finish(made, e, in);
    }
    map->operand = operand;
    map->countExpr = count;
    return finish(map, e, in);
  }
  }
  return nullptr;
}

/// A name in a body: a parameter, a renamed index, or something of the file.
Expr *Inliner::expandRef(RefExpr *ref, IndexSet &scope, const Substitution &in) {
  if (auto *param = llvm::dyn_cast<FnParam>(ref->decl)) {
    const Substitution::Argument &argument = in.arguments.find(param)->second;
    if (!argument.index)
      return replaceIndex(argument.value, nullptr, nullptr);
    Expr *place = expand(ref->indices[0], scope, &in);
    return place ? replaceIndex(argument.value, argument.index, place) : nullptr;
  }
  auto *made = file.make<RefExpr>(ref->name, ref->range);
  made->nameRange = ref->nameRange;
  made->hasBrackets = ref->hasBrackets;
  made->decl = ref->decl;
  if (auto *index = llvm::dyn_cast<Index>(ref->decl))
    if (Index *renamed = in.renamed.lookup(index)) {
      made->decl = renamed;
      made->name = renamed->name;
    }
  for (Expr *index : ref->indices) {
    Expr *place = expand(index, scope, &in);
    if (!place)
      return nullptr;
    made->indices.push_back(place);
  }
  return finish(made, ref, &in);
}

/// A copy of an argument with the index `from`, if any, replaced by `to`.
Expr *Inliner::replaceIndex(const Expr *e, Index *from, const Expr *to) {
  if (stopped)
    return nullptr;
  auto copy = [&](const Expr *child) { return replaceIndex(child, from, to); };
  switch (e->kind) {
  case Expr::Kind::Number:
    return finish(file.make<NumberExpr>(llvm::cast<NumberExpr>(e)->value, e->range), e, nullptr);
  case Expr::Kind::Ref: {
    auto *ref = llvm::cast<RefExpr>(e);
    if (from && ref->decl == from)
      return replaceIndex(to, nullptr, nullptr);
    auto *made = file.make<RefExpr>(ref->name, ref->range);
    made->nameRange = ref->nameRange;
    made->hasBrackets = ref->hasBrackets;
    made->decl = ref->decl;
    for (Expr *index : ref->indices) {
      made->indices.push_back(copy(index));
      if (!made->indices.back())
        return nullptr;
    }
    return finish(made, e, nullptr);
  }
  case Expr::Kind::Unary: {
    auto *unary = llvm::cast<UnaryExpr>(e);
    Expr *operand = copy(unary->operand);
    return operand ? finish(file.make<UnaryExpr>(unary->op, operand, e->range), e, nullptr)
                   : nullptr;
  }
  case Expr::Kind::Binary: {
    auto *binary = llvm::cast<BinaryExpr>(e);
    Expr *lhs = copy(binary->lhs);
    Expr *rhs = lhs ? copy(binary->rhs) : nullptr;
    if (!rhs)
      return nullptr;
    auto *made = file.make<BinaryExpr>(binary->op, lhs, rhs, binary->opRange);
    made->range = e->range;
    return finish(made, e, nullptr);
  }
  case Expr::Kind::Cond: {
    auto *cond = llvm::cast<CondExpr>(e);
    Expr *whenTrue = copy(cond->whenTrue);
    Expr *condition = whenTrue ? copy(cond->condition) : nullptr;
    Expr *whenFalse = condition ? copy(cond->whenFalse) : nullptr;
    if (!whenFalse)
      return nullptr;
    auto *made = file.make<CondExpr>(whenTrue, condition, whenFalse);
    made->range = e->range;
    return finish(made, e, nullptr);
  }
  case Expr::Kind::Call: {
    auto *call = llvm::cast<CallExpr>(e);
    std::vector<Expr *> args;
    for (Expr *arg : call->args) {
      args.push_back(copy(arg));
      if (!args.back())
        return nullptr;
    }
    auto *made = file.make<CallExpr>(call->name, call->nameRange, std::move(args), call->range);
    made->fn = call->fn;
    return finish(made, e, nullptr);
  }
  case Expr::Kind::Reduce: {
    auto *reduce = llvm::cast<ReduceExpr>(e);
    Expr *operand = copy(reduce->operand);
    return operand ? finish(file.make<ReduceExpr>(reduce->op, reduce->indices, operand, e->range),
                            e, nullptr)
                   : nullptr;
  }
  case Expr::Kind::Map: {
    auto *map = llvm::cast<MapExpr>(e);
    IndexUse use = map->index;
    if (from && use.index == from) {
      auto *ref = llvm::dyn_cast<RefExpr>(to);
      auto *index = ref ? llvm::dyn_cast<Index>(ref->decl) : nullptr;
      if (!index) {
        checker.errorAt(e, fmt::format("the index '{}' of '{}' would be replaced by an expression",
                                       from->name, spelling(map->op).str()));
        stopped = true;
        return nullptr;
      }
      use.index = index;
      use.name = index->name;
    }
    Expr *operand = copy(map->operand);
    Expr *count = map->countExpr ? copy(map->countExpr) : nullptr;
    if (!operand)
      return nullptr;
    auto *made = file.make<MapExpr>(map->op, use, operand, e->range);
    made->countExpr = count;
    return finish(made, e, nullptr);
  }
  }
  return nullptr;
}

bool Inliner::bindArgument(FnParam *param, Expr *value, const CallExpr *call, Substitution &out) {
  Substitution::Argument argument{value, nullptr};
  if (param->index) {
    std::vector<Index *> candidates;
    for (Index *index : freeIndices(value))
      if (index->dim == param->index->dim)
        candidates.push_back(index);
    if (candidates.size() != 1) {
      std::string names;
      for (Index *index : candidates)
        names += (names.empty() ? "'" : ", '") + index->name + "'";
      checker
          .errorAt(value, fmt::format("the argument '{}' of '{}' must have one index of '{}', but "
                                      "it has {}{}",
                                      param->name, call->name, param->index->dim->name,
                                      candidates.empty() ? "none" : "several: ", names))
          .note(param->range, "declared here");
      return false;
    }
    argument.index = candidates[0];
    auto [it, isNew] = out.renamed.try_emplace(param->index, argument.index);
    if (!isNew && it->second != argument.index) {
      checker
          .errorAt(value, fmt::format("the arguments of '{}' have different indices, '{}' and "
                                      "'{}', where the function has one, '{}'",
                                      call->name, it->second->name, argument.index->name,
                                      param->index->name))
          .note(param->range, "declared here");
      return false;
    }
  }
  collectAll(value, out.taken);
  out.arguments[param] = argument;
  return true;
}

Expr *Inliner::expandCall(CallExpr *call, Fn *fn, IndexSet &scope, const Substitution *in) {
  if (!in)
    outerCall = call->range;
  Substitution body;
  body.fn = fn;
  body.site = file.makeSite({fn, call->range, in ? in->site : nullptr});
  body.taken = scope;
  for (auto [param, arg] : llvm::zip(fn->params, call->args)) {
    Expr *value = expand(arg, scope, in);
    if (!value || !bindArgument(param, value, call, body))
      return nullptr;
  }
  IndexSet inner = scope;
  inner.insert(body.taken.begin(), body.taken.end());
  return expand(fn->body, inner, &body);
}

void MixerChecker::inlineFunctions() {
  Inliner inliner(*this);
  if (inliner.checkRecursion())
    inliner.run();
}
