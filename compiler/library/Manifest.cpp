//===- Manifest.cpp - the JSON manifest -------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Library.h"

#include "llvm/Support/JSON.h"

#include <fmt/format.h>

#include <cmath>

using namespace llvm;

namespace seqmix {
namespace {

constexpr const char *kDTypes[] = {"f64", "f32", "bf16", "f16", "i32", "bool", "i64"};
constexpr const char *kDimKinds[] = {"batch", "runtime", "fixed"};
constexpr const char *kRoles[] = {"input", "param", "output"};
constexpr const char *kParts[] = {"state", "window", "position", "rows"};

// JSON has no infinities.
json::Value number(double value) {
  if (std::isfinite(value))
    return value;
  return value > 0 ? "inf" : "-inf";
}

json::Array axesOf(const MixerPlan &mixer, ArrayRef<AxisPlan> axes) {
  json::Array result;
  for (const AxisPlan &axis : axes) {
    json::Object object;
    if (axis.dim >= 0)
      object["dim"] = mixer.dims[axis.dim].name;
    else
      object["size"] = axis.size;
    if (axis.div != 1)
      object["div"] = axis.div;
    if (axis.slot < 0)
      object["batch"] = true;
    result.push_back(std::move(object));
  }
  return result;
}

json::Value tensorOf(const MixerPlan &mixer, const TensorPlan &tensor) {
  json::Object object{{"name", tensor.name},
                      {"role", kRoles[tensor.role]},
                      {"dtype", kDTypes[tensor.dtype]},
                      {"axes", axesOf(mixer, tensor.axes)}};
  if (std::isfinite(tensor.lo) || std::isfinite(tensor.hi))
    object["range"] = json::Array{number(tensor.lo), number(tensor.hi)};
  return object;
}

json::Value partOf(const MixerPlan &mixer, const ComponentPlan &part) {
  json::Object object{{"name", part.name},
                      {"kind", kParts[part.kind]},
                      {"dtype", kDTypes[part.dtype]},
                      {"axes", axesOf(mixer, part.axes)},
                      {"init", number(part.init)}};
  if (part.kind == SEQ_CARRY_WINDOW || part.window > 0)
    object["window"] = part.window;
  return object;
}

json::Value sizeOf(const MixerPlan &mixer) {
  json::Object fixed;
  json::Array tensors, carry, targets;
  for (const DimPlan &dim : mixer.dims)
    if (dim.kind == SEQ_DIM_FIXED)
      fixed[dim.name] = dim.size;
  for (const TensorPlan &tensor : mixer.tensors)
    tensors.push_back(tensorOf(mixer, tensor));
  for (const ComponentPlan &part : mixer.components)
    carry.push_back(partOf(mixer, part));
  for (const KernelPlan &kernel : mixer.kernels)
    targets.push_back(kernel.target);
  for (const DeviceTargetPlan &target : mixer.device)
    targets.push_back(target.name);
  return json::Object{{"fixed", std::move(fixed)},
                      {"tensors", std::move(tensors)},
                      {"carry", std::move(carry)},
                      {"targets", std::move(targets)}};
}

/// The expression of a derived extent; `//` and `%` round down.
std::string extentText(const MixerPlan &mixer, const DimPlan &dim) {
  SmallVector<std::string> stack;
  for (const ExtentStep &step : dim.by) {
    if (step.kind == ExtentStep::Number) {
      stack.push_back(std::to_string(step.value));
      continue;
    }
    if (step.kind == ExtentStep::Dim) {
      stack.push_back(mixer.dims[step.value].name);
      continue;
    }
    static constexpr const char *operators[] = {"", "", " + ", " * ", " // ", " // ", " % "};
    std::string rhs = stack.pop_back_val(), lhs = stack.pop_back_val();
    bool isUp = step.kind == ExtentStep::CeilDiv;
    stack.push_back(fmt::format("{}{}{}{})", isUp ? "-(-" : "(", lhs, operators[step.kind], rhs));
  }
  return stack.back();
}

json::Value dimOf(const MixerPlan &mixer, const DimPlan &dim) {
  json::Object object{{"name", dim.name}, {"kind", kDimKinds[dim.kind]}};
  if (!dim.by.empty())
    object["by"] = extentText(mixer, dim);
  return object;
}

json::Value familyOf(const FamilyPlan &family) {
  const MixerPlan &first = family.sizes.front();
  json::Array dims, sizes;
  for (const DimPlan &dim : first.dims)
    dims.push_back(dimOf(first, dim));
  for (const MixerPlan &size : family.sizes)
    sizes.push_back(sizeOf(size));
  json::Object object{{"name", family.name},
                      {"token_dim", first.dims[first.tokenDim].name},
                      {"no_step", first.noStep ? json::Value(*first.noStep) : json::Value(nullptr)},
                      {"device", first.device.empty() ? "cpu" : "cuda"},
                      {"dims", std::move(dims)},
                      {"sizes", std::move(sizes)}};
  if (!first.source.empty())
    object["source"] = first.source;
  return object;
}

} // namespace

std::string manifestText(const LibraryPlan &plan) {
  json::Array mixers;
  for (const FamilyPlan &family : plan.mixers)
    mixers.push_back(familyOf(family));
  json::Value manifest = json::Object{{"seqmix", SEQMIX_VERSION},
                                      {"manifest", 1},
                                      {"descriptor", int64_t(SEQ_DESCRIPTOR_VERSION)},
                                      {"mixers", std::move(mixers)}};
  std::string text;
  raw_string_ostream os(text);
  os << formatv("{0:2}", manifest) << '\n';
  return text;
}

} // namespace seqmix
