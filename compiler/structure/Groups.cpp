//===- Groups.cpp - which states run together ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Groups.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

// Tarjan's algorithm over the equations of a mixer.
class Components {
public:
  explicit Components(Model &model) : model(model) {
    for (auto &[name, equation] : model.definitions())
      nodes.push_back(name);
    for (auto &[name, equation] : model.nexts())
      nodes.push_back(name);
  }

  std::vector<SmallVector<StringAttr>> run() {
    for (StringAttr name : nodes)
      if (!number.contains(name))
        visit(name);
    return std::move(components);
  }

private:
  void visit(StringAttr name) {
    unsigned own = number[name] = low[name] = ++count;
    stack.push_back(name);
    for (StringAttr next : model.sources(model.equation(name)->body)) {
      if (!model.equation(next))
        continue;
      if (!number.contains(next)) {
        visit(next);
        low[name] = std::min(low[name], low[next]);
      } else if (llvm::is_contained(stack, next)) {
        low[name] = std::min(low[name], number[next]);
      }
    }
    if (low[name] != own)
      return;
    SmallVector<StringAttr> component;
    StringAttr member;
    do {
      member = stack.pop_back_val();
      component.push_back(member);
    } while (member != name);
    components.push_back(std::move(component));
  }

  Model &model;
  SmallVector<StringAttr> nodes, stack;
  llvm::DenseMap<StringAttr, unsigned> number, low;
  unsigned count = 0;
  std::vector<SmallVector<StringAttr>> components;
};

} // namespace

void orderMembers(Model &model, Group &group) {
  SmallVector<StringAttr> order;
  llvm::DenseSet<StringAttr> seen;
  std::function<void(StringAttr)> visit = [&](StringAttr name) {
    if (!group.contains(name) || !seen.insert(name).second)
      return;
    Equation *equation = model.equation(name);
    SmallVector<StringAttr> reads;
    model.exprs().walk(equation->body, [&](Expr node) {
      if (node->is(ExprKind::Read) && model.shift(node, model.tokenOf(*equation)).value_or(0) == 0)
        reads.push_back(node->symbol());
    });
    for (StringAttr read : reads)
      visit(read);
    order.push_back(name);
  };
  for (auto &[name, equation] : model.definitions())
    visit(name);
  for (auto &[name, equation] : model.nexts())
    visit(name);
  group.members = std::move(order);
}

FailureOr<std::vector<Group>> findGroups(Model &model) {
  std::vector<Group> groups;
  for (auto &component : Components(model).run()) {
    Group group;
    group.members = component;
    for (StringAttr name : component)
      if (model.state(name))
        group.states.push_back(name);
    if (group.states.empty()) {
      // A definition that reads itself at an earlier token carries a value without saying how it
      // starts.
      Equation *equation = model.equation(component.front());
      bool isCycle = component.size() > 1 || model.exprs().reads(equation->body, equation->name);
      if (!isCycle)
        continue;
      return emitError(equation->loc)
             << fmt::format("'{}' depends on its own value at another token; declare it as a state",
                            std::string_view(equation->name.getValue()));
    }
    llvm::sort(group.states, [&](StringAttr a, StringAttr b) {
      return model.state(a)->isBeforeInBlock(model.state(b));
    });
    group.direction = model.state(group.states.front()).getDirection();
    for (StringAttr name : group.states)
      if (model.state(name).getDirection() != group.direction) {
        auto error =
            emitError(model.state(name).getLoc()) << fmt::format(
                "states '{}' and '{}' depend on each other but run in different directions",
                std::string_view(name.getValue()),
                std::string_view(group.states.front().getValue()));
        error.attachNote(model.state(group.states.front()).getLoc()) << "the other state";
        return failure();
      }
    orderMembers(model, group);
    groups.push_back(std::move(group));
  }
  return groups;
}

bool readsMatrix(Model &model, const Group &source, const Group &reader) {
  SmallVector<StringAttr> stack(reader.members);
  llvm::DenseSet<StringAttr> seen;
  while (!stack.empty()) {
    StringAttr name = stack.pop_back_val();
    if (!seen.insert(name).second)
      continue;
    for (StringAttr read : model.sources(model.equation(name)->body)) {
      bool isMatrix = model.equation(read) && model.equation(read)->left.size() > 2;
      if (isMatrix && source.contains(read) && model.state(read))
        return true;
      if (isMatrix && !model.state(read))
        stack.push_back(read);
    }
  }
  return false;
}

std::optional<Group> joined(Model &model, const Group &source, const Group &reader) {
  Group both = source;
  both.members.append(reader.members.begin(), reader.members.end());
  both.states.append(reader.states.begin(), reader.states.end());
  for (StringAttr name : dependents(model, source.members)) {
    if (both.contains(name))
      continue;
    llvm::DenseSet<StringAttr> beyond = dependents(model, name);
    bool isBetween =
        llvm::any_of(reader.members, [&](StringAttr member) { return beyond.contains(member); });
    if (!isBetween)
      continue;
    if (!model.definitions().contains(name))
      return std::nullopt;
    both.members.push_back(name);
  }
  orderMembers(model, both);
  return both;
}

llvm::DenseSet<StringAttr> dependents(Model &model, ArrayRef<StringAttr> roots) {
  llvm::DenseMap<StringAttr, SmallVector<StringAttr>> readers;
  auto addReaders = [&](Model::Equations &equations) {
    for (auto &[name, equation] : equations)
      for (StringAttr source : model.sources(equation.body))
        readers[source].push_back(name);
  };
  addReaders(model.definitions());
  addReaders(model.nexts());
  for (auto affine : model.mixer().getOps<AffineOp>())
    for (StringAttr factor : factorsOf(affine)) {
      for (FlatSymbolRefAttr state : affine.states())
        readers[factor].push_back(state.getAttr());
      for (auto read : affine.getReads().getAsRange<RowReadAttr>())
        if (read.getResult())
          readers[factor].push_back(read.getResult().getAttr());
    }
  for (auto pairs : model.mixer().getOps<PairsOp>())
    for (StringAttr source : sourcesOf(pairs))
      for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
        readers[source].push_back(result.getProduced().getAttr());
  for (auto convolution : model.mixer().getOps<ConvolutionOp>())
    for (StringAttr source : sourcesOf(convolution))
      readers[source].push_back(convolution.getProducedAttr().getAttr());
  llvm::DenseSet<StringAttr> result;
  SmallVector<StringAttr> stack(roots.begin(), roots.end());
  while (!stack.empty())
    for (StringAttr reader : readers.lookup(stack.pop_back_val()))
      if (result.insert(reader).second)
        stack.push_back(reader);
  return result;
}

} // namespace seqmix
