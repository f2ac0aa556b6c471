//===- Buffers.cpp - how arrays of a call are laid out --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/Buffers.h"

#include "dialect/Carry.h"

#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace mlir;

namespace seqmix::reference {
namespace {

seq::DimOp lookUpDim(seq::MixerOp mixer, llvm::StringRef name) {
  return cast<seq::DimOp>(
      SymbolTable::lookupSymbolIn(mixer, StringAttr::get(mixer.getContext(), name)));
}

bool isRunTime(seq::MixerOp mixer, llvm::StringRef dim) {
  return lookUpDim(mixer, dim).getKind() == seq::DimKind::Runtime;
}

Buffer makeBuffer(seq::MixerOp mixer, llvm::StringRef name, ArrayRef<seq::BatchAttr> batch,
                  ArrayAttr dims, bool isParam) {
  Buffer buffer;
  buffer.name = name.str();
  buffer.isParam = isParam;
  for (llvm::StringRef dim : dims.getAsValueRange<FlatSymbolRefAttr>())
    buffer.dims.push_back(dim.str());
  std::vector<Axis> batchAxes, runTime, fixed;
  for (seq::BatchAttr attr : batch)
    batchAxes.push_back({true, attr.getDim().getValue().str(), attr.getDiv(), 0});
  for (auto [position, dim] : llvm::enumerate(buffer.dims))
    (!isParam && isRunTime(mixer, dim) ? runTime : fixed)
        .push_back({false, dim, 1, unsigned(position)});
  // Run-time dims follow the first batch dim; there are none among a param's axes here.
  if (!batchAxes.empty()) {
    buffer.axes.push_back(batchAxes.front());
    batchAxes.erase(batchAxes.begin());
  }
  llvm::append_range(buffer.axes, isParam ? batchAxes : runTime);
  llvm::append_range(buffer.axes, isParam ? runTime : batchAxes);
  llvm::append_range(buffer.axes, fixed);
  return buffer;
}

/// Notes the extent that an axis of an array shows; an error when another one shows less or more.
llvm::Error noteExtent(seq::MixerOp mixer, const Buffer &buffer, const Axis &axis, int64_t extent,
                       Extents &extents) {
  seq::DimOp dim = lookUpDim(mixer, axis.dim);
  int64_t shown = extent * axis.div;
  if (dim.getKind() == seq::DimKind::Fixed && shown != int64_t(*dim.getSize()))
    return makeError(fmt::format("'{}' has {} elements along {}, which is {}", buffer.name, extent,
                                 axis.dim, *dim.getSize()));
  bool isLength = dim.getKind() == seq::DimKind::Runtime;
  if (isLength && (buffer.isParam || dim.getBy()))
    return llvm::Error::success();
  auto [known, isNew] = extents.try_emplace(axis.dim, shown);
  if (isNew || known->second == shown)
    return llvm::Error::success();
  if (axis.div != 1)
    return makeError(fmt::format("'{}' has {} elements along {}/{}, but {} is {}", buffer.name,
                                 extent, axis.dim, axis.div, axis.dim, known->second));
  return makeError(fmt::format("'{}' has {} elements along {}, another input has {}", buffer.name,
                               extent, axis.dim, known->second));
}

} // namespace

llvm::Error makeError(const std::string &text) {
  return llvm::createStringError(std::errc::invalid_argument, text.c_str());
}

std::vector<Buffer> inputBuffers(seq::MixerOp mixer) {
  std::vector<Buffer> buffers;
  for (auto tensor : mixer.getOps<seq::TensorOp>())
    buffers.push_back(makeBuffer(mixer, tensor.getSymName(),
                                 llvm::to_vector(tensor.getBatch().getAsRange<seq::BatchAttr>()),
                                 tensor.getDims(), tensor.getRole() == seq::Role::Param));
  return buffers;
}

std::vector<Buffer> outputBuffers(seq::MixerOp mixer) {
  std::vector<Buffer> buffers;
  for (auto output : mixer.getOps<seq::OutputOp>()) {
    llvm::StringRef source = output.getSource();
    ArrayAttr dims;
    for (auto define : mixer.getOps<seq::DefineOp>())
      if (define.getSymName() == source)
        dims = define.getDims();
    for (auto next : mixer.getOps<seq::NextOp>())
      if (next.getState() == source)
        dims = next.getDims();
    buffers.push_back(
        makeBuffer(mixer, source, seq::batchDimsOf(mixer, source), dims, /*isParam=*/false));
  }
  return buffers;
}

std::string tokenDim(seq::MixerOp mixer) {
  auto dim = seq::tokenDimOf(mixer);
  return dim ? dim.getValue().str() : std::string();
}

int64_t derivedExtent(seq::DimOp dim, llvm::function_ref<int64_t(llvm::StringRef)> length) {
  Builder builder(dim.getContext());
  SmallVector<Attribute> operands, results;
  for (llvm::StringRef of : dim.getOf()->getAsValueRange<FlatSymbolRefAttr>())
    operands.push_back(builder.getI64IntegerAttr(length(of)));
  if (failed(dim.getBy()->constantFold(operands, results)))
    return 0;
  return std::max<int64_t>(0, cast<IntegerAttr>(results[0]).getInt());
}

llvm::Expected<Extents> inferExtents(seq::MixerOp mixer, const Arrays &inputs,
                                     const Extents &others) {
  Extents extents;
  for (const Buffer &buffer : inputBuffers(mixer)) {
    auto found = inputs.find(buffer.name);
    if (found == inputs.end())
      return makeError(fmt::format("'{}' is not given", buffer.name));
    const Array &array = found->second;
    if (array.shape.size() != buffer.axes.size())
      return makeError(fmt::format("'{}' has shape [{}]; expected {} dims", buffer.name,
                                   fmt::join(array.shape, ", "), buffer.axes.size()));
    for (auto [axis, extent] : llvm::zip_equal(buffer.axes, array.shape))
      if (llvm::Error error = noteExtent(mixer, buffer, axis, extent, extents))
        return error;
  }
  for (auto dim : mixer.getOps<seq::DimOp>()) {
    std::string name = dim.getSymName().str();
    if (dim.getKind() == seq::DimKind::Fixed)
      extents[name] = *dim.getSize();
    else if (dim.getBy())
      extents[name] = derivedExtent(dim, [&](llvm::StringRef of) { return extents[of.str()]; });
    else if (auto other = others.find(name); !extents.count(name) && other != others.end())
      extents.insert(*other);
    else if (!extents.count(name))
      return makeError(fmt::format("no input shows the extent of {}", name));
  }
  return extents;
}

void forEachElement(const Buffer &buffer, llvm::ArrayRef<int64_t> shape,
                    const std::map<std::string, int64_t> &batchIndex, int64_t begin,
                    const Variable &variable, int64_t row, int64_t rows,
                    llvm::function_ref<void(int64_t, int64_t)> visit) {
  SmallVector<int64_t> strides(buffer.dims.size());
  int64_t offset = 0, stride = 1;
  for (size_t number = shape.size(); number-- > 0;) {
    const Axis &axis = buffer.axes[number];
    if (axis.isBatch)
      offset += batchIndex.at(axis.dim) / axis.div * stride;
    else
      strides[axis.position] = stride;
    stride *= shape[number];
  }
  if (buffer.dims.empty())
    return visit(offset, 0);
  SmallVector<int64_t> counts(variable.extents.begin(), variable.extents.end());
  counts[0] = rows;
  if (llvm::is_contained(counts, 0))
    return;
  SmallVector<int64_t> point(counts.size(), 0);
  while (true) {
    int64_t from = offset + begin * strides[0], to = row * variable.strides[0];
    for (size_t dim = 0; dim < point.size(); ++dim) {
      from += point[dim] * strides[dim];
      to += point[dim] * variable.strides[dim];
    }
    visit(from, to);
    size_t dim = point.size();
    while (dim > 0 && ++point[dim - 1] == counts[dim - 1])
      point[--dim] = 0;
    if (dim == 0)
      return;
  }
}

} // namespace seqmix::reference
