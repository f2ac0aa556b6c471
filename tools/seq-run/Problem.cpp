//===- Problem.cpp ------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Problem.h"

#include "compiler/reference/Buffers.h"
#include "tools/seq-run/Draw.h"

#include "mlir/IR/Builders.h"

#include <cmath>
#include <fmt/format.h>
#include <numeric>

using namespace llvm;

namespace seqmix::run {

/// Positions are drawn from 0 to this.
static constexpr int64_t kMostPosition = 8;

bool hasFirstBatch(const MixerPlan &plan) {
  return !plan.dims.empty() && plan.dims[0].kind == SEQ_DIM_BATCH;
}

int axisOf(const std::vector<AxisPlan> &axes, int32_t dim) {
  for (auto [number, axis] : enumerate(axes))
    if (axis.dim == dim)
      return static_cast<int>(number);
  return -1;
}

bool hasTokens(const MixerPlan &plan, const TensorPlan &tensor) {
  return tensor.role != SEQ_ROLE_PARAM && axisOf(tensor.axes, plan.tokenDim) >= 0;
}

std::vector<int64_t> extentsOf(const Problem &problem) {
  std::vector<int64_t> extents;
  for (const DimPlan &dim : problem.plan.dims) {
    if (dim.kind == SEQ_DIM_FIXED) {
      extents.push_back(dim.size);
      continue;
    }
    auto given = problem.sizes.find(dim.name);
    if (given != problem.sizes.end()) {
      extents.push_back(given->second);
      continue;
    }
    mlir::seq::MixerOp mixer = problem.mixer;
    // Packed sequences share arrays that have room for the longest.
    auto lengthOf = [&](StringRef of) {
      bool isTokens = of == problem.plan.dims[problem.plan.tokenDim].name;
      return isTokens && !problem.lengths.empty()
                 ? *std::max_element(problem.lengths.begin(), problem.lengths.end())
                 : problem.sizes.at(of.str());
    };
    extents.push_back(
        reference::derivedExtent(mixer.lookupSymbol<mlir::seq::DimOp>(dim.name), lengthOf));
  }
  return extents;
}

static int64_t extentOf(const AxisPlan &axis, const std::vector<int64_t> &extents) {
  return axis.dim < 0 || axis.size > 0 ? axis.size : extents[axis.dim] / axis.div;
}

std::vector<int64_t> shapeOf(const MixerPlan &plan, const TensorPlan &tensor,
                             const std::vector<int64_t> &extents) {
  std::vector<int64_t> shape;
  for (const AxisPlan &axis : tensor.axes) {
    bool isRow = tensor.role == SEQ_ROLE_PARAM && axis.dim == plan.tokenDim;
    shape.push_back(extentOf(axis, extents) + (isRow ? 16 : 0));
  }
  return shape;
}

std::vector<int64_t> outputShape(const MixerPlan &plan, const TensorPlan &output,
                                 std::vector<int64_t> extents, int64_t sequences) {
  if (!hasTokens(plan, output) && hasFirstBatch(plan))
    extents[0] = sequences;
  return shapeOf(plan, output, extents);
}

std::vector<int64_t> shapeOf(const MixerPlan &plan, const ComponentPlan &component,
                             const std::vector<int64_t> &extents, int64_t sequences, int64_t rows) {
  std::vector<int64_t> shape;
  for (const AxisPlan &axis : component.axes)
    shape.push_back(axis.dim < 0 && axis.size < 0 ? rows
                    : axis.slot < 0 && axis.dim == 0 && hasFirstBatch(plan)
                        ? sequences / axis.div
                        : extentOf(axis, extents));
  return shape;
}

int64_t rowsOf(const Problem &problem) {
  const MixerPlan &plan = problem.plan;
  auto tokens = problem.sizes.find(plan.dims[plan.tokenDim].name);
  return (tokens == problem.sizes.end() ? 0 : tokens->second) + kMostPosition + 4;
}

void clearUnusedRows(const MixerPlan &plan, reference::Arrays &carry) {
  const reference::Array &positions = carry.at("position");
  for (const ComponentPlan &component : plan.components) {
    if (component.kind != SEQ_CARRY_ROWS)
      continue;
    reference::Array &array = carry.at(component.name);
    unsigned batch = llvm::count_if(component.axes, [](const AxisPlan &a) { return a.slot < 0; });
    int64_t rows = array.shape[batch], row = 1, outer = 1;
    for (int64_t extent : llvm::ArrayRef(array.shape).drop_front(batch + 1))
      row *= extent;
    for (int64_t extent : llvm::ArrayRef(array.shape).take_front(batch))
      outer *= extent;
    for (int64_t element = 0; element < outer; ++element) {
      int64_t sequence = batch == 0 ? 0 : element / (outer / array.shape[0]);
      auto end = static_cast<int64_t>(positions.values[sequence]);
      int64_t used = std::min(end, rows);
      for (int64_t slot = used; slot < rows; ++slot)
        std::fill_n(array.values.begin() + (element * rows + slot) * row, row, 0);
    }
  }
}

/// Windows of what has rows, too, hold the last of these.
static void takeWindowsFromRows(const MixerPlan &plan, reference::Arrays &carry) {
  const reference::Array &positions = carry.at("position");
  for (const ComponentPlan &rowsPart : plan.components) {
    std::string base = rowsPart.name.substr(0, rowsPart.name.rfind('_'));
    auto found = carry.find(base + "_window");
    if (rowsPart.kind != SEQ_CARRY_ROWS || found == carry.end())
      continue;
    const reference::Array &rows = carry.at(rowsPart.name);
    reference::Array &window = found->second;
    unsigned batch = llvm::count_if(rowsPart.axes, [](const AxisPlan &a) { return a.slot < 0; });
    int64_t slots = rows.shape[batch], tokens = window.shape[batch], row = 1, outer = 1;
    for (int64_t extent : llvm::ArrayRef(rows.shape).drop_front(batch + 1))
      row *= extent;
    for (int64_t extent : llvm::ArrayRef(rows.shape).take_front(batch))
      outer *= extent;
    for (int64_t element = 0; element < outer; ++element) {
      int64_t sequence = batch == 0 ? 0 : element / (outer / rows.shape[0]);
      auto position = static_cast<int64_t>(positions.values[sequence]);
      for (int64_t token = 0; token < tokens; ++token)
        if (int64_t n = position - tokens + token; n >= 0 && n >= position - slots)
          std::copy_n(rows.values.begin() + (element * slots + n % slots) * row, row,
                      window.values.begin() + (element * tokens + token) * row);
    }
  }
}

static mlir::Type storageOf(SeqDType dtype, mlir::MLIRContext *context) {
  mlir::Builder builder(context);
  switch (dtype) {
  case SEQ_F64:
    return builder.getF64Type();
  case SEQ_F32:
    return builder.getF32Type();
  case SEQ_BF16:
    return builder.getBF16Type();
  case SEQ_F16:
    return builder.getF16Type();
  case SEQ_I32:
    return builder.getI32Type();
  case SEQ_I64:
    return builder.getI64Type();
  case SEQ_BOOL:
    return builder.getI1Type();
  }
  return {};
}

static Distribution::Kind kindOf(SeqDType dtype) {
  return dtype == SEQ_I32    ? Distribution::Integer
         : dtype == SEQ_BOOL ? Distribution::Boolean
                             : Distribution::Real;
}

reference::Arrays drawInputs(const Problem &problem) {
  reference::Arrays inputs;
  std::vector<int64_t> extents = extentsOf(problem);
  for (const TensorPlan &tensor : problem.plan.tensors) {
    if (tensor.role == SEQ_ROLE_OUTPUT)
      continue;
    std::vector<int64_t> shape = shapeOf(problem.plan, tensor, extents);
    Distribution how;
    how.kind = kindOf(tensor.dtype);
    how.low = tensor.lo;
    how.high = tensor.hi;
    how.extreme = is_contained(problem.extreme, tensor.name);
    auto features = count_if(tensor.axes, [](const AxisPlan &axis) { return axis.slot >= 0; });
    if (tensor.role == SEQ_ROLE_PARAM && features >= 2)
      how.scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, shape.back())));
    reference::Array array = draw(problem.name + "/" + tensor.name, shape, how);
    reference::roundTo(storageOf(tensor.dtype, problem.mixer->getContext()), array);
    inputs[tensor.name] = std::move(array);
  }
  return inputs;
}

std::vector<int64_t> startsOf(const std::vector<int64_t> &lengths) {
  std::vector<int64_t> starts{0};
  for (int64_t length : lengths)
    starts.push_back(starts.back() + length);
  return starts;
}

static int64_t sequencesOf(const Problem &problem, const std::vector<int64_t> &extents) {
  if (!problem.lengths.empty())
    return problem.lengths.size();
  return hasFirstBatch(problem.plan) ? extents[0] : 1;
}

reference::Arrays drawCarry(const Problem &problem) {
  reference::Arrays carry;
  std::vector<int64_t> extents = extentsOf(problem);
  int64_t sequences = sequencesOf(problem, extents);
  for (const ComponentPlan &component : problem.plan.components) {
    Distribution how;
    how.kind = kindOf(component.dtype);
    auto shape = shapeOf(problem.plan, component, extents, sequences, rowsOf(problem));
    std::string name = problem.name + "/carry/" + component.name;
    reference::Array array = draw(name, shape, how);
    if (component.kind == SEQ_CARRY_POSITION) {
      Stream stream(name);
      for (double &value : array.values)
        value =
            problem.plan.startsAtZero ? 0 : static_cast<double>(stream.below(kMostPosition + 1));
    }
    reference::roundTo(storageOf(component.dtype, problem.mixer->getContext()), array);
    carry[component.name] = std::move(array);
  }
  takeWindowsFromRows(problem.plan, carry);
  return carry;
}

reference::Arrays initialCarry(const Problem &problem, int64_t sequences) {
  reference::Arrays carry;
  std::vector<int64_t> extents = extentsOf(problem);
  for (const ComponentPlan &component : problem.plan.components)
    carry[component.name] = reference::Array(
        shapeOf(problem.plan, component, extents, sequences, rowsOf(problem)), component.init);
  return carry;
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

/// Elements before and behind an axis: an array is [outer, axis, inner].
static std::pair<int64_t, int64_t> around(const std::vector<int64_t> &shape, unsigned axis) {
  auto product = [](auto begin, auto end) {
    return std::accumulate(begin, end, int64_t(1), std::multiplies<>());
  };
  return {product(shape.begin(), shape.begin() + axis),
          product(shape.begin() + axis + 1, shape.end())};
}

reference::Array takeAlong(const reference::Array &array, unsigned axis,
                           const std::vector<int64_t> &indices) {
  std::vector<int64_t> shape = array.shape;
  shape[axis] = indices.size();
  reference::Array part(shape);
  auto [outer, inner] = around(shape, axis);
  double *next = part.values.data();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t index : indices)
      next =
          std::copy_n(array.values.begin() + (o * array.shape[axis] + index) * inner, inner, next);
  return part;
}

void putAlong(reference::Array &whole, unsigned axis, const std::vector<int64_t> &indices,
              const reference::Array &part) {
  auto [outer, inner] = around(whole.shape, axis);
  const double *next = part.values.data();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t index : indices) {
      std::copy_n(next, inner, whole.values.begin() + (o * whole.shape[axis] + index) * inner);
      next += inner;
    }
}

} // namespace seqmix::run
