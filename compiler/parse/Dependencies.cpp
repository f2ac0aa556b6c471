//===- Dependencies.cpp - States, directions, cycles, order ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Checker.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <fmt/format.h>
#include <numeric>

using namespace seqmix;
using namespace seqmix::ast;

namespace seqmix {

class DependencyChecker {
public:
  explicit DependencyChecker(MixerChecker &checker)
      : checker(checker), mixer(checker.mixer), diagnostics(checker.diagnostics) {}

  void run();

private:
  /// One read of an equation's value by another equation.
  struct Read {
    unsigned from, to; ///< the reader and what it reads, as positions in mixer.equations
    const RefExpr *ref;
    /// Tokens between reader and value (-1 for `t-1`); nothing where the read is at other tokens.
    std::optional<int64_t> shift;
    bool crosses() const { return !shift || *shift != 0; }
  };

  MixerChecker &checker;
  Mixer &mixer;
  Diagnostics &diagnostics;
  std::vector<Read> reads;
  std::vector<unsigned>
      component; ///< of each equation: components are numbered in order of evaluation
  unsigned components = 0;

  llvm::DenseMap<const Equation *, unsigned> positions;
  llvm::DenseMap<const State *, const Read *>
      directedBy;                ///< a read in its group that crosses tokens
  std::vector<size_t> firstRead; ///< reads of equation i: [firstRead[i], firstRead[i + 1])
  std::vector<std::vector<unsigned>> members; ///< the equations of each component

  llvm::ArrayRef<Read> readsOf(unsigned equation) const {
    return llvm::ArrayRef(reads).slice(firstRead[equation],
                                       firstRead[equation + 1] - firstRead[equation]);
  }
  State *stateOf(unsigned equation) const {
    return llvm::dyn_cast<State>(mixer.equations[equation]->target);
  }
  void collectReads();
  void addRead(unsigned reader, const RefExpr *ref, bool accumulated);
  bool checkStateReads();
  void findComponents();
  bool findCycle(const std::vector<unsigned> &nodes, llvm::function_ref<bool(const Read &)> follow,
                 std::vector<const Read *> &cycle) const;
  std::string describeCycle(const std::vector<const Read *> &cycle) const;
  void reportCycle(const std::vector<const Read *> &cycle, std::string message);
  bool checkComponent(unsigned number);
  bool checkOuterReads();
  void orderEquations();
};

} // namespace seqmix

/// The first place of `places` that runs over the tokens.
static int timePlace(const std::vector<Place> &places, const Dim *timeDim) {
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i].dim == timeDim)
      return i;
  return -1;
}

void DependencyChecker::addRead(unsigned reader, const RefExpr *ref, bool accumulated) {
  const Equation &equation = *mixer.equations[reader];
  const Equation *target = nullptr;
  if (auto *state = llvm::dyn_cast<State>(ref->decl))
    target = state->equation;
  else if (auto *definition = llvm::dyn_cast<Definition>(ref->decl))
    target = definition->equation;
  if (!target)
    return;
  Read read{reader, positions.lookup(target), ref, std::nullopt};
  int place = timePlace(target->places, mixer.timeDim);
  int own = timePlace(equation.places, mixer.timeDim);
  if (place < 0) {
    read.shift = 0; // the value has no time
  } else if (own >= 0 && !accumulated) {
    std::optional<Shift> shift = shiftOf(ref->indices[place]);
    if (shift && shift->index == equation.places[own].index)
      read.shift = shift->offset;
  }
  reads.push_back(read);
}

void DependencyChecker::collectReads() {
  for (unsigned i = 0; i < mixer.equations.size(); ++i)
    positions[mixer.equations[i]] = i;
  for (unsigned i = 0; i < mixer.equations.size(); ++i) {
    firstRead.push_back(reads.size());
    Equation *equation = mixer.equations[i];
    // Below cumsum[t] or softmax[t] of the own token a value is read at other tokens too.
    int own = timePlace(equation->places, mixer.timeDim);
    const Index *token = own < 0 ? nullptr : equation->places[own].index;
    auto collect = [&](auto &self, const Expr *e, bool accumulated) -> void {
      if (auto *ref = llvm::dyn_cast<RefExpr>(e))
        addRead(i, ref, accumulated);
      auto *map = llvm::dyn_cast<MapExpr>(e);
      bool below = accumulated || (map && map->index.index == token);
      forEachChild(e, [&](Expr *child) { self(self, child, below); });
    };
    collect(collect, equation->rhs, false);
    if (equation->where)
      collect(collect, equation->where, false);
  }
  firstRead.push_back(reads.size());
}

/// A state is read at t, t-1 or t+1 of its reader's own time, by all readers in one direction.
bool DependencyChecker::checkStateReads() {
  llvm::DenseMap<const State *, const Read *> earlier;
  unsigned before = diagnostics.errorCount();
  for (const Read &read : reads) {
    State *state = stateOf(read.to);
    if (!state)
      continue;
    const Equation &reader = *mixer.equations[read.from];
    const Expr *time = read.ref->indices[0];
    std::optional<Shift> shift = shiftOf(time);
    bool ownTime = shift && llvm::any_of(reader.indices, [&](const IndexUse &use) {
                     return use.index == shift->index;
                   });
    if (!ownTime || std::abs(shift->offset) > 1) {
      std::string t = reader.indices.empty() ? "t" : reader.indices[0].name;
      checker
          .errorAt(time, fmt::format("the state '{}' is read at {}, {}-1 or {}+1 only{}",
                                     state->name, t, t, t,
                                     ownTime ? "; carry an older value in a state of its own"
                                             : "; a definition of it can be read elsewhere"))
          .note(state->range, "declared here");
      continue;
    }
    if (shift->offset == 0)
      continue;
    state->direction = shift->offset < 0 ? Direction::Forward : Direction::Backward;
    auto [it, isNew] = earlier.try_emplace(state, &read);
    int64_t first = shiftOf(it->second->ref->indices[0]).value_or(*shift).offset;
    if (!isNew && first != shift->offset)
      checker
          .errorAt(time, fmt::format("the state '{}' is read both at t-1 and at t+1; it runs in "
                                     "one direction",
                                     state->name))
          .note(it->second->ref->indices[0]->range, "the other read is here");
  }
  return diagnostics.errorCount() == before;
}

/// Strongly connected components by Tarjan's algorithm with an explicit stack; numbered so that
/// what is read comes first.
void DependencyChecker::findComponents() {
  unsigned count = mixer.equations.size();
  constexpr unsigned none = ~0u;
  std::vector<unsigned> number(count, none), low(count, 0), stack;
  std::vector<bool> onStack(count, false);
  component.assign(count, none);
  unsigned counter = 0;
  struct Frame {
    unsigned node;
    size_t edge;
  };
  for (unsigned root = 0; root < count; ++root) {
    if (number[root] != none)
      continue;
    std::vector<Frame> frames{{root, 0}};
    while (!frames.empty()) {
      Frame &frame = frames.back();
      unsigned node = frame.node;
      if (frame.edge == 0 && number[node] == none) {
        number[node] = low[node] = counter++;
        stack.push_back(node);
        onStack[node] = true;
      }
      if (frame.edge < readsOf(node).size()) {
        unsigned to = readsOf(node)[frame.edge++].to;
        if (number[to] == none)
          frames.push_back({to, 0});
        else if (onStack[to])
          low[node] = std::min(low[node], number[to]);
        continue;
      }
      if (low[node] == number[node]) {
        unsigned member;
        do {
          member = stack.back();
          stack.pop_back();
          onStack[member] = false;
          component[member] = components;
        } while (member != node);
        ++components;
      }
      frames.pop_back();
      if (!frames.empty())
        low[frames.back().node] = std::min(low[frames.back().node], low[node]);
    }
  }
}

/// A cycle among `nodes` over the reads that `follow` accepts.
bool DependencyChecker::findCycle(const std::vector<unsigned> &nodes,
                                  llvm::function_ref<bool(const Read &)> follow,
                                  std::vector<const Read *> &cycle) const {
  // Nodes that read nothing of what is left cannot be on a cycle; without them every walk ends in
  // one.
  llvm::DenseMap<unsigned, unsigned> open; // reads left, of each node left
  llvm::DenseMap<unsigned, std::vector<unsigned>> readers;
  auto counts = [&](const Read &read) {
    return component[read.from] == component[read.to] && follow(read);
  };
  for (unsigned node : nodes) {
    unsigned &left = open[node];
    for (const Read &read : readsOf(node))
      if (counts(read)) {
        ++left;
        readers[read.to].push_back(node);
      }
  }
  std::vector<unsigned> free;
  for (unsigned node : nodes)
    if (open[node] == 0)
      free.push_back(node);
  while (!free.empty()) {
    unsigned node = free.back();
    free.pop_back();
    open.erase(node);
    for (unsigned reader : readers.lookup(node))
      if (--open[reader] == 0)
        free.push_back(reader);
  }
  if (open.empty())
    return false;
  unsigned at = *llvm::find_if(nodes, [&](unsigned node) { return open.contains(node); });
  llvm::DenseMap<unsigned, size_t> visited; // where on the walk
  std::vector<const Read *> path;
  while (visited.try_emplace(at, path.size()).second) {
    const Read *step = llvm::find_if(
        readsOf(at), [&](const Read &read) { return counts(read) && open.contains(read.to); });
    path.push_back(step);
    at = step->to;
  }
  cycle.assign(path.begin() + visited[at], path.end());
  // Begin with the first in the file.
  auto first =
      llvm::min_element(cycle, [](const Read *a, const Read *b) { return a->from < b->from; });
  std::rotate(cycle.begin(), first, cycle.end());
  return true;
}

/// This many steps of a cycle are shown.
static constexpr size_t shownSteps = 12;

std::string DependencyChecker::describeCycle(const std::vector<const Read *> &cycle) const {
  std::string text = mixer.equations[cycle[0]->from]->name;
  size_t shown = cycle.size() <= shownSteps ? cycle.size() : shownSteps - 1;
  for (const Read *read : llvm::ArrayRef(cycle).take_front(shown))
    text += " -> " + mixer.equations[read->to]->name;
  if (shown < cycle.size())
    text += " -> ... -> " + mixer.equations[cycle[0]->from]->name;
  return text;
}

void DependencyChecker::reportCycle(const std::vector<const Read *> &cycle, std::string message) {
  Diagnostic &error =
      diagnostics.error(mixer.equations[cycle[0]->from]->lhsRange, std::move(message));
  for (const Read *read : llvm::ArrayRef(cycle).take_front(shownSteps))
    error.note(read->ref->range,
               fmt::format("'{}' reads '{}' here", mixer.equations[read->from]->name,
                           mixer.equations[read->to]->name));
}

bool DependencyChecker::checkComponent(unsigned number) {
  const std::vector<unsigned> &nodes = members[number];
  std::vector<const Read *> cycle;
  if (findCycle(nodes, [](const Read &read) { return read.shift == 0; }, cycle)) {
    bool hasState = llvm::any_of(cycle, [&](const Read *read) { return stateOf(read->to); });
    reportCycle(cycle, fmt::format("'{}' depends on itself at the same token: {}{}",
                                   mixer.equations[cycle[0]->from]->name, describeCycle(cycle),
                                   hasState ? "; read a state of the cycle at t-1 or t+1" : ""));
    return false;
  }
  // Through definitions alone nothing would say where the recurrence starts.
  auto amongDefinitions = [&](const Read &read) {
    return !stateOf(read.from) && !stateOf(read.to);
  };
  if (findCycle(nodes, amongDefinitions, cycle)) {
    const Equation &equation = *mixer.equations[cycle[0]->from];
    reportCycle(cycle, fmt::format("'{}' depends on its own values at other tokens: {}; declare "
                                   "it as a state with 'state {} = 0'",
                                   equation.name, describeCycle(cycle),
                                   equation.places.size() > 1 ? equation.name + "[...]"
                                                              : equation.name + "[]"));
    return false;
  }
  const Read *first = nullptr;
  std::optional<Direction> direction;
  std::vector<const Read *> inner;
  for (unsigned node : nodes)
    for (const Read &read : readsOf(node))
      if (component[read.to] == number)
        inner.push_back(&read);
  for (const Read *each : inner) {
    const Read &read = *each;
    if (!read.shift) {
      checker
          .errorAt(read.ref,
                   fmt::format("'{}' depends on '{}' here at other tokens than t, t-1 or "
                               "t+1, and '{}' depends on '{}'; a recurrence goes from "
                               "token to token",
                               mixer.equations[read.from]->name, mixer.equations[read.to]->name,
                               mixer.equations[read.to]->name, mixer.equations[read.from]->name))
          .note(mixer.equations[read.to]->lhsRange, "defined here");
      return false;
    }
    if (*read.shift == 0)
      continue;
    if (first && (first->shift.value_or(0) < 0) != (*read.shift < 0)) {
      checker
          .errorAt(read.ref, fmt::format("'{}' and '{}' depend on each other and must run in one "
                                         "direction, but one read is at t-1 and one at t+1",
                                         mixer.equations[read.from]->name,
                                         mixer.equations[first->from]->name))
          .note(first->ref->range, "the other read is here");
      return false;
    }
    if (!first)
      first = &read;
    direction = *read.shift < 0 ? Direction::Forward : Direction::Backward;
  }
  for (unsigned node : nodes)
    if (State *state = stateOf(node); state && direction) {
      state->direction = *direction;
      directedBy[state] = first;
    }
  return true;
}

/// A read from outside of a state's group goes the way of the group.
bool DependencyChecker::checkOuterReads() {
  for (const Read &read : reads) {
    State *state = stateOf(read.to);
    const Read *first = state ? directedBy.lookup(state) : nullptr;
    int64_t shift = read.shift.value_or(0);
    bool forward = state && state->direction == Direction::Forward;
    if (!first || shift == 0 || (shift < 0) == forward)
      continue;
    checker
        .errorAt(read.ref,
                 fmt::format("the state '{}' runs {}, so it is read at t or {}", state->name,
                             forward ? "forwards" : "backwards", forward ? "t-1" : "t+1"))
        .note(first->ref->range, "its direction comes from this read");
    return false;
  }
  return true;
}

/// Components as they are numbered; inside one, reads at the same token first. Among equals the
/// file's order.
void DependencyChecker::orderEquations() {
  // A reader waits for what it reads: at the same token inside its component, at any outside.
  unsigned count = mixer.equations.size();
  std::vector<unsigned> waiting(count, 0);
  std::vector<std::vector<unsigned>> readers(count);
  for (const Read &read : reads)
    if (component[read.to] != component[read.from] || read.shift == 0) {
      ++waiting[read.from];
      readers[read.to].push_back(read.from);
    }
  std::set<unsigned> ready;
  for (unsigned i = 0; i < count; ++i)
    if (waiting[i] == 0)
      ready.insert(i);
  std::vector<int> groupOf(components, -1);
  unsigned group = 0;
  while (!ready.empty()) {
    unsigned i = *ready.begin();
    ready.erase(ready.begin());
    mixer.order.push_back(mixer.equations[i]);
    for (unsigned reader : readers[i])
      if (--waiting[reader] == 0)
        ready.insert(reader);
    State *state = stateOf(i);
    if (!state)
      continue;
    if (groupOf[component[i]] < 0)
      groupOf[component[i]] = group++;
    state->group = groupOf[component[i]];
  }
  assert(mixer.order.size() == count && "cycles at one token were reported");
}

void DependencyChecker::run() {
  collectReads();
  if (!checkStateReads())
    return;
  findComponents();
  members.resize(components);
  for (unsigned i = 0; i < component.size(); ++i)
    members[component[i]].push_back(i);
  bool ok = true;
  for (unsigned i = 0; i < components; ++i)
    ok &= checkComponent(i);
  if (ok && checkOuterReads())
    orderEquations();
}

//===-----------------------------------------------------------------------------------------===//
// Time, batch dims, step
//===-----------------------------------------------------------------------------------------===//

void MixerChecker::findTimeDim() {
  const State *first = nullptr;
  for (State *state : mixer.states) {
    const Place &time = state->equation->places[0];
    if (mixer.timeDim && mixer.timeDim != time.dim) {
      diagnostics
          .error(time.range,
                 fmt::format("the state '{}' runs over '{}', but '{}' over '{}'; more "
                             "than one time axis is reserved for a later version",
                             state->name, time.dim->name, first->name, mixer.timeDim->name))
          .note(first->equation->places[0].range, "the other time is here");
      return;
    }
    mixer.timeDim = time.dim;
    first = first ? first : state;
  }
  auto adopt = [&](const std::vector<Place> &places) {
    for (const Place &place : places)
      if (!mixer.timeDim && place.dim->isRunTime() && !place.dim->isDerived())
        mixer.timeDim = place.dim;
  };
  for (Output *output : mixer.outputs)
    adopt(output->equation()->places);
  for (Tensor *tensor : mixer.tensors)
    if (!tensor->isParam())
      adopt(tensor->places);
}

void MixerChecker::checkDependencies() { DependencyChecker(*this).run(); }

/// A definition varies over the batch dims of what it reads; groups of several reads meet in their
/// greatest common divisor.
void MixerChecker::computeBatch() {
  for (Equation *equation : mixer.order) {
    auto *definition = llvm::dyn_cast<Definition>(equation->target);
    if (!definition)
      continue;
    std::vector<int64_t> groups(mixer.batchDims.size(), 0); // 0: does not vary
    auto add = [&](const std::vector<BatchUse> &batch) {
      for (const BatchUse &use : batch)
        groups[use.dim->position] = std::gcd(groups[use.dim->position], use.group);
    };
    auto collect = [&](Expr *e) {
      walk(e, [&](Expr *node) {
        auto *ref = llvm::dyn_cast<RefExpr>(node);
        if (!ref)
          return;
        if (auto *tensor = llvm::dyn_cast<Tensor>(ref->decl))
          add(tensor->batch);
        else if (auto *read = llvm::dyn_cast<Definition>(ref->decl))
          add(read->batch);
        else if (llvm::isa<State>(ref->decl))
          std::fill(groups.begin(), groups.end(), 1);
      });
    };
    collect(equation->rhs);
    if (equation->where)
      collect(equation->where);
    for (BatchDim *dim : mixer.batchDims)
      if (int64_t group = groups[dim->position])
        definition->batch.push_back({dim, group, dim->nameRange});
  }
}

/// The largest value of `e - t`, or nothing where it is not affine in `t` and indices that have a
/// greatest value or are subtracted.
static std::optional<int64_t> farthestAhead(const Expr *e, const Index *t) {
  std::optional<Affine> form = affineOf(e);
  if (!form)
    return std::nullopt;
  int64_t most = form->constant;
  bool hasTime = false;
  for (const Affine::Term &term : form->terms) {
    if (term.decl == t && term.coefficient == 1) {
      hasTime = true;
      continue;
    }
    auto *index = llvm::dyn_cast<Index>(term.decl);
    if (index && term.coefficient < 0)
      continue;
    if (!index || !index->dim->size)
      return std::nullopt;
    int64_t reach = 0;
    if (term.coefficient > 0 &&
        (llvm::MulOverflow(term.coefficient, *index->dim->size - 1, reach) ||
         llvm::AddOverflow(most, reach, most)))
      return std::nullopt;
  }
  return hasTime ? std::optional(most) : std::nullopt;
}

void MixerChecker::findNoStep() {
  auto set = [&](std::string reason, SourceRange range) {
    if (!mixer.noStep)
      mixer.noStep = NoStep{std::move(reason), range};
  };
  for (State *state : mixer.states)
    if (state->direction == Direction::Backward)
      set(fmt::format("the state '{}' runs backwards", state->name), state->nameRange);
  for (Equation *equation : mixer.equations) {
    int own = timePlace(equation->places, mixer.timeDim);
    const Index *t = own < 0 ? nullptr : equation->places[own].index;
    auto look = [&](Expr *e) {
      walk(e, [&](Expr *node) {
        auto *ref = llvm::dyn_cast<RefExpr>(node);
        if (!ref)
          return;
        if (auto *dim = llvm::dyn_cast<Dim>(ref->decl); dim && dim->isRunTime())
          set(fmt::format("the length '{}' is used as a number", dim->name), ref->siteRange());
        if (!t)
          return;
        std::vector<Place> places = placesOf(ref->decl);
        for (auto [place, index] : llvm::zip(places, ref->indices))
          if (place.dim == mixer.timeDim && farthestAhead(index, t).value_or(0) > 0)
            set(fmt::format("'{}' is read ahead of '{}'", ref->name, t->name), ref->siteRange());
      });
    };
    look(equation->rhs);
    if (equation->where)
      look(equation->where);
  }
}
