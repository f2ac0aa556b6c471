//===- Program.cpp - equations in the form in which the oracle runs them --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/Program.h"

#include "compiler/reference/BodyCompiler.h"

#include <algorithm>
#include <functional>
#include <numeric>

using namespace mlir;

namespace seqmix::reference {

void Variable::allocate(llvm::ArrayRef<int64_t> sizes) {
  extents.assign(sizes.begin(), sizes.end());
  strides.assign(sizes.size(), 1);
  for (size_t dim = sizes.size(); dim-- > 1;)
    strides[dim - 1] = strides[dim] * sizes[dim];
  values.assign(std::accumulate(sizes.begin(), sizes.end(), int64_t(1), std::multiplies<>()), 0);
}

double Environment::nextNoise() {
  // The generator SplitMix64 (Steele, Lea, Flood 2014).
  uint64_t x = noiseState += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return static_cast<double>(x ^ (x >> 31)) * 0x1p-63 - 1;
}

llvm::MutableArrayRef<double> Variable::row(int64_t number) {
  return llvm::MutableArrayRef(values).slice(number * strides[0], strides[0]);
}

void Space::forEachPoint(Environment &env, const int64_t *first,
                         llvm::function_ref<void(llvm::ArrayRef<int64_t>)> visit) const {
  llvm::SmallVector<Range, 4> ranges;
  for (unsigned dim : dims)
    ranges.push_back(isEquation && ranges.empty() ? env.dims[dim] : env.whole[dim]);
  if (first)
    ranges[0] = {*first, 1};
  llvm::SmallVector<int64_t, 4> point;
  for (Range range : ranges) {
    if (range.count <= 0)
      return;
    point.push_back(range.begin);
  }
  while (true) {
    for (auto [dim, index] : llvm::enumerate(point)) {
      env.value[body.arguments[dim]] = static_cast<double>(index);
      if (hasDomain)
        env.value[domain.arguments[dim]] = static_cast<double>(index);
    }
    if (!hasDomain || domain.run(env) != 0)
      visit(point);
    size_t dim = point.size();
    while (dim > 0 && ++point[dim - 1] == ranges[dim - 1].begin + ranges[dim - 1].count) {
      point[dim - 1] = ranges[dim - 1].begin;
      --dim;
    }
    if (dim == 0)
      return;
  }
}

void Equation::run(Environment &env, const int64_t *token) const {
  space.forEachPoint(env, token, [&](llvm::ArrayRef<int64_t> point) {
    double result = space.body.run(env);
    Variable &target = env.variables[variable];
    int64_t offset = 0;
    for (auto [dim, index] : llvm::enumerate(point))
      offset += (dim == 0 ? index - target.origin : index) * target.strides[dim];
    target.values[offset] = result;
  });
}

Program::Program(seq::MixerOp mixer) {
  for (Operation &op : mixer.getBody().front()) {
    if (auto dim = dyn_cast<seq::DimOp>(op))
      dimNumbers.emplace(dim.getSymName().str(), dimNumbers.size());
    else if (isa<seq::TensorOp, seq::StateOp, seq::DefineOp>(op))
      variableNumbers.emplace(SymbolTable::getSymbolName(&op).str(), variableNumbers.size());
  }
  BodyCompiler compiler(*this);
  for (Operation &op : mixer.getBody().front()) {
    Equation equation;
    ArrayAttr dims;
    if (auto define = dyn_cast<seq::DefineOp>(op)) {
      dims = define.getDims();
      equation.variable = variableNumber(define.getSymName());
    } else if (auto next = dyn_cast<seq::NextOp>(op)) {
      dims = next.getDims();
      equation.variable = variableNumber(next.getState());
    } else {
      continue;
    }
    equation.op = &op;
    llvm::SmallVector<llvm::StringRef> names(dims.getAsValueRange<FlatSymbolRefAttr>());
    equation.space = compiler.space(names, op.getRegion(0), op.getRegion(1));
    equation.space.isEquation = true;
    op.walk([&](seq::ReadOp read) { equation.reads.push_back(variableNumber(read.getSource())); });
    list.push_back(std::move(equation));
  }
  findGroups();
}

/// Tarjan's strongly connected components of "reads": they come out after what they read.
void Program::findGroups() {
  std::map<unsigned, unsigned> definedBy;
  for (auto [number, equation] : llvm::enumerate(list))
    definedBy[equation.variable] = number;
  std::vector<unsigned> order(list.size(), 0), low(list.size(), 0), stack;
  std::vector<char> onStack(list.size(), false);
  unsigned visited = 0;
  std::function<void(unsigned)> visit = [&](unsigned number) {
    order[number] = low[number] = ++visited;
    stack.push_back(number);
    onStack[number] = true;
    bool readsItself = false;
    for (unsigned read : list[number].reads) {
      auto found = definedBy.find(read);
      if (found == definedBy.end())
        continue;
      unsigned other = found->second;
      readsItself |= other == number;
      if (!order[other])
        visit(other);
      if (onStack[other])
        low[number] = std::min(low[number], low[other]);
    }
    if (low[number] != order[number])
      return;
    Group group;
    unsigned member = 0;
    do {
      member = stack.back();
      stack.pop_back();
      onStack[member] = false;
      group.members.push_back(member);
    } while (member != number);
    llvm::sort(group.members);
    group.isRecurrent = group.members.size() > 1 || readsItself;
    groupList.push_back(std::move(group));
  };
  for (unsigned number = 0; number < list.size(); ++number)
    if (!order[number])
      visit(number);
}

Environment Program::environment() const {
  Environment env;
  env.value = constants;
  env.variables.resize(variableCount());
  env.dims.resize(dimCount());
  env.whole.resize(dimCount());
  env.lengths.resize(dimCount());
  env.maps.resize(mapCount);
  return env;
}

} // namespace seqmix::reference
