//===- GeneratorOutputs.cpp - what a random mixer gives back ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Generator.h"

#include "llvm/ADT/STLExtras.h"

#include <fmt/format.h>

namespace seqmix::run {

/// An output's equation and declaration, in a storage type of its own now and then.
void Generator::addOutput(const DimList &list, std::string rhs) {
  // Extents that no input has are those of the outputs; mostly one has all.
  bool mayHide = random.chance(0.2);
  while (!mayHide && !showsExtents)
    rhs = fmt::format("{} + {}", read(addInput({}, Value::Real), scopeOf({})), rhs);
  std::string name = newName("o");
  std::string lhs = leftSide(name, list, true, scopeOf(list));
  equation(lhs, rhs);
  static constexpr const char *types[] = {" : f32", " : bf16", " : f16", " : f64"};
  outputs.push_back(lhs + (random.chance(0.15) ? random.pick<const char *>(types) : ""));
}

/// A read of a state that sums over some of its dims; `left` is what stays.
std::string Generator::readOut(const Value &state, DimList &left) {
  Scope scope = scopeOf(state.dims);
  left.clear();
  DimList summed;
  for (unsigned d : state.dims)
    (state.dims.size() < 2 || summed.size() == 2 || random.chance(0.5) ? left : summed)
        .push_back(d);
  if (elements(left) > 700 || (summed.empty() && state.dims.size() == 2 && random.chance(0.8))) {
    summed.assign(1, state.dims[0]);
    left.assign(state.dims.begin() + 1, state.dims.end());
  }
  // Before or after the token's update; in front of the first token stands the initial value,
  // which may be infinite.
  bool mayBeInfinite = states.size() && llvm::any_of(states, [&](const std::string &line) {
                         return line.starts_with(state.name + "[") && line.ends_with("inf");
                       });
  bool before = !mayBeInfinite && random.chance(0.25);
  std::string operand = read(state, scope, before ? (state.backward ? "t+1" : "t-1") : "t");
  if (summed.empty())
    return operand;
  Scope query = scopeOf({summed[0]});
  if (before && state.dims.size() == 2 && random.chance(0.4))
    operand = fmt::format("({} + {} * {} * {})", operand, number(-1, 1),
                          atom(scopeOf({state.dims[0]})), atom(scopeOf({state.dims[1]})));
  std::string indices, factor = atom(query);
  for (unsigned d : summed)
    indices += (indices.empty() ? "" : ",") + scope.index[d];
  if (summed.size() == 2 && random.chance(0.5))
    factor += " * " + atom(scopeOf({summed[1]}));
  // Now and then a weight for every element.
  if (state.dims.size() >= 2 && elements(state.dims) <= 600 && random.chance(0.15))
    factor += " * " + atom(scope);
  return fmt::format("{} * (sum[{}] {} * {})", root(summed[0]), indices, factor, operand);
}

void Generator::addOutputs() {
  std::vector<Value> readable;
  for (const Value &value : values)
    if (value.origin == Value::State)
      readable.push_back(value);
  std::vector<Value> sources = readable;
  for (const Value &state : readable) // perhaps along another side
    if (state.dims.size() >= 2 && random.chance(0.25))
      sources.push_back(state);
  if (readable.empty() || random.chance(0.15)) {
    DimList list = chooseDimList(random.below(3), 600);
    addOutput(list, unit(scopeOf(list), 3));
  }
  for (const Value &state : sources) {
    if (elements(state.dims) <= 600 && random.chance(0.1)) {
      outputs.push_back(leftSide(state.name, state.dims, true, scopeOf(state.dims)));
      continue;
    }
    DimList left;
    std::string value = readOut(state, left);
    Scope scope = scopeOf(left);
    double kind = random.uniform();
    if (kind < 0.15)
      value = fmt::format("silu({}) * ({})", atom(scope), value);
    else if (kind < 0.25)
      value = fmt::format("{} + {}", value, unit(scope, 1));
    else if (kind < 0.4) {
      // A definition that is normed, delayed or both.
      Value middle = define(left, value);
      value = read(middle, scope);
      if (!left.empty() && random.chance(0.5)) {
        Scope inner = scope;
        std::string index;
        if (bind(inner, left[0], index))
          value = fmt::format("{} * rsqrt((sum[{}] {}^2) / {} + 0.1)", value, index,
                              read(middle, inner), dims[left[0]].name);
      } else {
        value = fmt::format("{} + {}", value, read(middle, scope, state.backward ? "t+1" : "t-1"));
      }
    } else if (kind < 0.48 && readable.size() > 1) {
      Value other = random.pick<Value>(readable);
      DimList otherLeft;
      std::string divisor = readOut(other, otherLeft);
      bool fits = llvm::all_of(other.dims, [&](unsigned d) {
        return llvm::is_contained(left, d) == llvm::is_contained(otherLeft, d);
      });
      if (fits)
        value = fmt::format("({}) / max(abs({}), 1)", value, divisor);
    } else if (kind < 0.52) {
      value = fmt::format("({} if {} else 0)", value, condition(scope, 1));
    } else if (kind < 0.55) {
      value = fmt::format("{} + {}", value, read(addInput(left, Value::Real), scope, "t+1"));
    }
    addOutput(left, value);
  }
}

} // namespace seqmix::run
