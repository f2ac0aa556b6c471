//===- Panels.cpp - matrix states between carry and panels ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Solve.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <array>
#include <functional>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// The dims by which the matrices of a state are numbered: the outer ones, then the inner one.
SmallVector<int64_t> matrixDims(AffineOp affine) {
  SmallVector<int64_t> dims(affine.outerDims());
  if (auto inner = affine.getInner())
    dims.push_back(*inner);
  return dims;
}

bool isColsFirst(AffineOp affine) { return affine.getRows()[0] > affine.getCols()[0]; }

/// Whether the carry of a state is a row of matrices: its dims are those that number them, then all
/// rows, then all columns, or these two the other way round.
bool isMatrix(AffineOp affine) {
  SmallVector<int64_t> rowsFirst = matrixDims(affine), colsFirst = rowsFirst;
  llvm::append_range(rowsFirst, affine.getRows());
  llvm::append_range(colsFirst, affine.getCols());
  llvm::append_range(rowsFirst, affine.getCols());
  llvm::append_range(colsFirst, affine.getRows());
  return llvm::is_sorted(rowsFirst) || llvm::is_sorted(colsFirst);
}

/// Copies a state between its panels, of `type` a matrix, and a carry in which the dims alternate.
void emitScatteredPanels(Kernel &kernel, AffineOp affine, const SymbolInfo &info,
                         const BufferLayout &buffer, MemRefType type, Value pointer, bool store) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  Value memory = flatMemref(builder, loc, pointer, kernel.real);
  Value elements = kernel.memref(buffer);
  int64_t height = type.getDimSize(1), width = type.getDimSize(2);
  SmallVector<int64_t> strides(info.sizes.size());
  int64_t stride = 1;
  for (int64_t dim = info.sizes.size() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride *= info.sizes[dim];
  }
  SmallVector<int64_t> order = matrixDims(affine);
  size_t firstRow = order.size();
  llvm::append_range(order, affine.getRows());
  llvm::append_range(order, affine.getCols());
  size_t firstCol = firstRow + affine.getRows().size();
  // Numbers of the matrix, its row and its column, as far as the loops around know them.
  using Place = std::array<IndexValue, 3>;
  std::function<void(size_t, Place, IndexValue)> nest = [&](size_t depth, Place flat,
                                                            IndexValue element) {
    if (depth == order.size()) {
      IndexValue panelWidth = IndexValue::constant(width);
      IndexValue row = math.add(math.scale(math.add(math.scale(flat[0], type.getDimSize(0)),
                                                    math.floorDiv(flat[2], panelWidth)),
                                           height),
                                flat[1]);
      Value place = math.scalar(math.add(math.scale(row, width), math.mod(flat[2], panelWidth)));
      Value position = math.scalar(element);
      if (store)
        memref::StoreOp::create(builder, loc, memref::LoadOp::create(builder, loc, elements, place),
                                memory, position);
      else
        memref::StoreOp::create(
            builder, loc, memref::LoadOp::create(builder, loc, memory, position), elements, place);
      return;
    }
    int64_t size = info.sizes[order[depth]];
    kernel.forEach(kernel.constant(size), 1, [&](Value counter) {
      IndexValue index = IndexValue::of(counter, 0, size - 1);
      Place inner = flat;
      IndexValue &number = inner[depth < firstRow ? 0 : depth < firstCol ? 1 : 2];
      number = math.add(math.scale(number, size), index);
      nest(depth + 1, inner, math.add(element, math.scale(index, strides[order[depth]])));
    });
  };
  IndexValue zero = IndexValue::constant(0);
  nest(0, {zero, zero, zero}, zero);
}

AffineBlockSpec specOfState(Kernel &kernel, const BufferLayout &buffer) {
  // Block and panel do not matter beside the panel's width, which the buffer already has.
  SolveOp solve;
  kernel.op.walk([&](SolveOp found) {
    if (findAffine(kernel.mixer, buffer.of).getStateAttr() == found.getStateAttr())
      solve = found;
  });
  return affineSpec(kernel.mixer, findAffine(kernel.mixer, buffer.of), kernel.target,
                    solve.getBlock(), solve.getPanel(), kernel.layout.split,
                    kernel.layout.splitSize);
}

} // namespace

void seqmix::emitPanels(Kernel &kernel, const BufferLayout &buffer, bool store) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  auto spec = specOfState(kernel, buffer);
  unsigned component = *componentOf(kernel, buffer.of);
  Value given = isGiven(builder, loc, carryPointer(kernel, component, store));
  auto copy = [&] {
    auto type = affineStateType(spec);
    auto affine = findAffine(kernel.mixer, buffer.of);
    if (!isMatrix(affine))
      return emitScatteredPanels(kernel, affine, kernel.layout.symbol(buffer.of), buffer, type,
                                 carryPointer(kernel, component, store), store);
    auto copyMatrix = [&](const IndexValue &matrix) {
      IndexMath math = kernel.index();
      int64_t bytes = type.getNumElements() * (kernel.real.getIntOrFloatBitWidth() / 8);
      Value start =
          advance(builder, loc, kernel.pointer(buffer), math.scalar(math.scale(matrix, bytes)));
      Value panels = memrefAt(builder, loc, start, type);
      CarryMatrix carry = carryMatrix(kernel, buffer, matrix, store);
      if (store)
        emitStateStore(builder, loc, spec, panels, carry.matrix, carry.colsFirst);
      else
        emitStateLoad(builder, loc, spec, carry.matrix, carry.colsFirst, panels);
    };
    int64_t count = matrixCount(kernel.mixer, affine);
    if (count == 1)
      copyMatrix(IndexValue::constant(0));
    else
      kernel.forEach(kernel.constant(count), 1,
                     [&](Value matrix) { copyMatrix(IndexValue::of(matrix, 0, count - 1)); });
  };
  auto fill = [&] {
    Strided all;
    all.memref = kernel.memref(buffer);
    all.strides.push_back(IndexValue::constant(1));
    emitFill(kernel, all, {IndexValue::constant(buffer.elements)},
             kernel.layout.carryComponents()[component].init);
  };
  emitIf(
      kernel, isStepInCarry(kernel, buffer), [] {},
      [&] {
        if (store)
          emitIf(kernel, given, copy);
        else
          emitIf(kernel, given, copy, fill);
      });
}

CarryMatrix seqmix::carryMatrix(Kernel &kernel, const BufferLayout &state, const IndexValue &matrix,
                                bool write) {
  auto &builder = kernel.builder;
  auto affine = findAffine(kernel.mixer, state.of);
  auto spec = specOfState(kernel, state);
  auto &info = kernel.layout.symbol(state.of);
  Value pointer = carryPointer(kernel, *componentOf(kernel, state.of), write);
  bool colsFirst = isColsFirst(affine);
  Strided side = carryElements(kernel, info, pointer, kernel.constant(0));
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  IndexMath math = kernel.index();
  int64_t outer = colsFirst ? spec.cols : spec.rows, inner = colsFirst ? spec.rows : spec.cols;
  // In the carry the split dim has all of its elements.
  int64_t stride = 1, elements = 1;
  for (int64_t number : colsFirst ? affine.getRows() : affine.getCols())
    stride *= info.sizes[number];
  for (ArrayRef<int64_t> dims : {affine.getRows(), affine.getCols()})
    for (int64_t number : dims)
      elements *= info.sizes[number];
  IndexValue first = math.add(side.base, math.scale(matrix, elements));
  Value start = advance(builder, kernel.loc, pointer, math.scalar(math.scale(first, bytes)));
  auto type = MemRefType::get({outer, inner}, kernel.real,
                              StridedLayoutAttr::get(builder.getContext(), 0, {stride, 1}));
  return {memrefAt(builder, kernel.loc, start, type), colsFirst};
}

bool seqmix::isSteppedInCarry(AffineOp affine) {
  // Along the rows a step has sums over these with one factor for all columns only.
  bool isPlain = affine.componentCount() == 1 &&
                 llvm::all_of(affine.getReads().getAsRange<RowReadAttr>(),
                              [](RowReadAttr read) { return read.getKind() == ReadKind::Rows; });
  return isMatrix(affine) && (isPlain || !isColsFirst(affine));
}

Value seqmix::isStepInCarry(Kernel &kernel, const BufferLayout &state) {
  auto &builder = kernel.builder;
  AffineOp affine = findAffine(kernel.mixer, state.of);
  if (!isSteppedInCarry(affine))
    return arith::ConstantIntOp::create(builder, kernel.loc, 0, 1);
  Value step = arith::CmpIOp::create(builder, kernel.loc, arith::CmpIPredicate::eq, kernel.tokens,
                                     kernel.constant(1));
  for (FlatSymbolRefAttr own : affine.states())
    for (bool write : {false, true}) {
      Value pointer = carryPointer(kernel, *componentOf(kernel, own.getAttr()), write);
      step =
          arith::AndIOp::create(builder, kernel.loc, step, isGiven(builder, kernel.loc, pointer));
    }
  return step;
}
