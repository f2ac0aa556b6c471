//===- Generator.cpp - the frame of a random mixer ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Generator.h"

#include "llvm/ADT/STLExtras.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace seqmix::run {

std::string randomMixer(uint64_t seed, uint64_t number, const std::string &name) {
  return Generator(seed, number, name).run();
}

Generator::Generator(uint64_t seed, uint64_t number, std::string name)
    : random(fmt::format("mixer/{}/{}", seed, number)), name(std::move(name)) {}

std::string Generator::run() {
  chooseDims();
  addPreliminaries();
  if (!random.chance(0.06)) // else only windows and functions of the token
    addStates();
  if (random.chance(0.25))
    addPairs();
  addOutputs();
  return text();
}

void Generator::chooseDims() {
  static constexpr const char *names[] = {"K", "V", "N"};
  static constexpr const char *indices[][2] = {{"i", "n"}, {"j", "m"}, {"a", "b"}};
  static constexpr int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 19, 24, 31, 32, 33, 40};
  unsigned count = 1 + random.below(3);
  for (unsigned d = 0; d < count; ++d) {
    int64_t size = random.pick<int64_t>(sizes);
    if (d == 2)
      size = 1 + size % 5; // so that states over three dims stay small
    dims.push_back({names[d], size, {indices[d][0], indices[d][1]}, false});
  }
  dims.push_back({"L", 2 + random.below(3), {"w"}, true});
  normFunctions.resize(dims.size());
  static constexpr const char *batchNames[] = {"B", "G", "H"};
  unsigned batchCount = random.chance(0.6) ? 2 : random.below(4);
  for (unsigned b = 0; b < batchCount; ++b)
    batch.push_back(batchCount == 2 && b == 1 ? "H" : batchNames[b]);
  if (batchCount >= 2 && random.chance(0.3))
    groupedBatch = batch.back();
}

/// A list of `rank` different feature dims with at most `most` elements; shorter when there are
/// none.
DimList Generator::chooseDimList(unsigned rank, int64_t most) {
  DimList order;
  for (unsigned d = 0; d < dims.size(); ++d)
    if (!dims[d].isWindow)
      order.push_back(d);
  for (unsigned d = order.size(); d > 1; --d)
    std::swap(order[d - 1], order[random.below(d)]);
  DimList list;
  int64_t size = 1;
  for (unsigned d : order) {
    if (list.size() == rank || size * dims[d].size > most)
      continue;
    list.push_back(d);
    size *= dims[d].size;
  }
  return list;
}

int64_t Generator::elements(const DimList &list) const {
  int64_t count = 1;
  for (unsigned d : list)
    count *= dims[d].size;
  return count;
}

Generator::Scope Generator::scopeOf(const DimList &list, bool overTokens) const {
  Scope scope;
  scope.overTokens = overTokens;
  scope.index.resize(dims.size());
  for (unsigned d : list)
    scope.index[d] = dims[d].indices[0];
  return scope;
}

std::string Generator::newName(const char *stem) { return fmt::format("{}{}", stem, ++names); }

/// Which batch dims an input varies over, where not all.
std::string Generator::batchSuffix() {
  if (batch.empty() || random.chance(0.7))
    return "";
  std::vector<std::string> kept;
  for (const std::string &dim : batch) {
    if (dim == groupedBatch && random.chance(0.6))
      kept.push_back(dim + "/2");
    else if (&dim == &batch[0] || random.chance(0.6))
      kept.push_back(dim);
  }
  return fmt::format(" per {}", fmt::join(kept, ", "));
}

static std::string rangeSuffix(GeneratedValue::Class cls, Stream &random) {
  static const std::string negative[] = {"f32 in [-5, 0]", "f32 in [-inf, 0]", "f32 in [-0.5, 0]",
                                         "f32 in [-20, 0]"};
  switch (cls) {
  case GeneratedValue::Fraction:
    return " : f32 in [0, 1]";
  case GeneratedValue::Negative:
    return " : " + random.pick<std::string>(negative);
  case GeneratedValue::Integer:
    return " : i32";
  case GeneratedValue::Boolean:
    return " : bool";
  case GeneratedValue::Real:
    return "";
  }
  return "";
}

std::string Generator::leftSide(const std::string &name, const DimList &list, bool overTokens,
                                const Scope &scope) const {
  std::vector<std::string> places;
  if (overTokens)
    places.push_back("t");
  for (unsigned d : list)
    places.push_back(scope.index[d]);
  return fmt::format("{}[{}]", name, fmt::join(places, ","));
}

Generator::Value Generator::addInput(const DimList &list, Value::Class cls, bool overTokens) {
  Value value{newName("x"), list, overTokens, Value::Input, cls};
  // i32 and bool have fixed storage; reals sometimes a type of their own.
  std::string type = rangeSuffix(cls, random);
  if (type.empty() && random.chance(0.05))
    type = random.chance(0.5) ? " : bf16" : " : f16";
  std::string batch = batchSuffix();
  showsExtents |= overTokens && batch.empty();
  inputs.push_back(leftSide(value.name, list, overTokens, scopeOf(list)) + type + batch);
  values.push_back(value);
  return values.back();
}

Generator::Value Generator::addParam(const DimList &list, Value::Class cls) {
  Value value{newName("p"), list, false, Value::Param, cls};
  std::vector<std::string> places;
  if (!batch.empty() && random.chance(0.3))
    places.push_back(batch.back()); // a head
  for (unsigned d : list)
    places.push_back(dims[d].indices[0]);
  if (places.empty()) // a param needs a place
    return addInput(list, cls);
  params.push_back(
      fmt::format("{}[{}]{}", value.name, fmt::join(places, ","), rangeSuffix(cls, random)));
  values.push_back(value);
  return values.back();
}

void Generator::equation(const std::string &lhs, const std::string &rhs, const std::string &where) {
  std::string line = fmt::format("{} = {}", lhs, rhs);
  if (!where.empty())
    line += "\n    where " + where;
  equations.push_back(line);
}

Generator::Value Generator::define(const DimList &list, const std::string &rhs, bool overTokens,
                                   const std::string &where) {
  Value value{newName("d"), list, overTokens, Value::Definition};
  equation(leftSide(value.name, list, overTokens, scopeOf(list)), rhs, where);
  values.push_back(value);
  return values.back();
}

std::string Generator::text() const {
  std::string out = fmt::format("mixer {}\n  dims ", name);
  if (!batch.empty())
    out += fmt::format("{} batch; ", fmt::join(batch, ", "));
  out += hasPairs ? "t, s in T" : "t in T";
  for (const GeneratedDim &dim : dims)
    out += fmt::format("; {} in {} = {}", fmt::join(dim.indices, ", "), dim.name, dim.size);
  out += "\n";
  for (const std::string &line : functions)
    out += "  fn " + line + "\n";
  for (const std::string &line : inputs)
    out += "  input " + line + "\n";
  for (const std::string &line : params)
    out += "  param " + line + "\n";
  for (const std::string &line : states)
    out += "  state " + line + "\n";
  for (const std::string &line : equations)
    out += "  " + line + "\n";
  for (const std::string &line : outputs)
    out += "  output " + line + "\n";
  return out;
}

} // namespace seqmix::run
