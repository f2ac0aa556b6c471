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

#include <functional>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Whether the carry of a state is a matrix: its dims are all rows, then all columns, or the other
/// way round.
bool isMatrix(AffineOp affine) {
  SmallVector<int64_t> rowsFirst(affine.getRows()), colsFirst(affine.getCols());
  llvm::append_range(rowsFirst, affine.getCols());
  llvm::append_range(colsFirst, affine.getRows());
  return llvm::is_sorted(rowsFirst) || llvm::is_sorted(colsFirst);
}

/// Copies a state between its panels and a carry in which rows and columns alternate.
void emitScatteredPanels(Kernel &kernel, AffineOp affine, const SymbolInfo &info, Value panels,
                         Value pointer, bool store) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  Value memory = flatMemref(builder, loc, pointer, kernel.real);
  int64_t width = cast<MemRefType>(panels.getType()).getDimSize(2);
  SmallVector<int64_t> strides(info.sizes.size());
  int64_t stride = 1;
  for (int64_t dim = info.sizes.size() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride *= info.sizes[dim];
  }
  SmallVector<int64_t> order(affine.getRows());
  llvm::append_range(order, affine.getCols());
  size_t rows = affine.getRows().size();
  std::function<void(size_t, IndexValue, IndexValue, IndexValue)> nest =
      [&](size_t depth, IndexValue row, IndexValue col, IndexValue element) {
        if (depth == order.size()) {
          IndexValue panelWidth = IndexValue::constant(width);
          SmallVector<Value> place = {math.scalar(math.floorDiv(col, panelWidth)), math.scalar(row),
                                      math.scalar(math.mod(col, panelWidth))};
          Value position = math.scalar(element);
          if (store)
            memref::StoreOp::create(builder, loc,
                                    memref::LoadOp::create(builder, loc, panels, place), memory,
                                    position);
          else
            memref::StoreOp::create(builder, loc,
                                    memref::LoadOp::create(builder, loc, memory, position), panels,
                                    place);
          return;
        }
        int64_t size = info.sizes[order[depth]];
        kernel.forEach(kernel.constant(size), 1, [&](Value number) {
          IndexValue index = IndexValue::of(number, 0, size - 1);
          IndexValue &flat = depth < rows ? row : col;
          IndexValue before = flat;
          flat = math.add(math.scale(flat, size), index);
          nest(depth + 1, row, col, math.add(element, math.scale(index, strides[order[depth]])));
          flat = before;
        });
      };
  IndexValue zero = IndexValue::constant(0);
  nest(0, zero, zero, zero);
}

AffineBlockSpec specOfState(Kernel &kernel, const BufferLayout &buffer) {
  // Block and panel do not matter beside the panel's width, which the buffer already has.
  SolveOp solve;
  kernel.op.walk([&](SolveOp found) {
    if (found.getStateAttr().getAttr() == buffer.of)
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
    Value panels = memrefAt(builder, loc, kernel.pointer(buffer), affineStateType(spec));
    auto affine = findAffine(kernel.mixer, buffer.of);
    if (!isMatrix(affine))
      return emitScatteredPanels(kernel, affine, kernel.layout.symbol(buffer.of), panels,
                                 carryPointer(kernel, component, store), store);
    CarryMatrix carry = carryMatrix(kernel, buffer, store);
    if (store)
      emitStateStore(builder, loc, spec, panels, carry.matrix, carry.colsFirst);
    else
      emitStateLoad(builder, loc, spec, carry.matrix, carry.colsFirst, panels);
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

CarryMatrix seqmix::carryMatrix(Kernel &kernel, const BufferLayout &state, bool write) {
  auto &builder = kernel.builder;
  auto affine = findAffine(kernel.mixer, state.of);
  auto spec = specOfState(kernel, state);
  auto &info = kernel.layout.symbol(state.of);
  Value pointer = carryPointer(kernel, *componentOf(kernel, state.of), write);
  bool colsFirst = affine.getRows().empty() || affine.getRows()[0] != 0;
  Strided side = carryElements(kernel, info, pointer, kernel.constant(0));
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  IndexMath math = kernel.index();
  Value start = advance(builder, kernel.loc, pointer, math.scalar(math.scale(side.base, bytes)));
  int64_t outer = colsFirst ? spec.cols : spec.rows, inner = colsFirst ? spec.rows : spec.cols;
  int64_t stride = 1;
  for (int64_t size :
       ArrayRef(info.sizes)
           .drop_front(colsFirst ? affine.getCols().size() : affine.getRows().size()))
    stride *= size;
  auto type = MemRefType::get({outer, inner}, kernel.real,
                              StridedLayoutAttr::get(builder.getContext(), 0, {stride, 1}));
  return {memrefAt(builder, kernel.loc, start, type), colsFirst};
}

Value seqmix::isStepInCarry(Kernel &kernel, const BufferLayout &state) {
  auto &builder = kernel.builder;
  unsigned component = *componentOf(kernel, state.of);
  if (!isMatrix(findAffine(kernel.mixer, state.of)))
    return arith::ConstantIntOp::create(builder, kernel.loc, 0, 1);
  Value step = arith::CmpIOp::create(builder, kernel.loc, arith::CmpIPredicate::eq, kernel.tokens,
                                     kernel.constant(1));
  for (bool write : {false, true})
    step =
        arith::AndIOp::create(builder, kernel.loc, step,
                              isGiven(builder, kernel.loc, carryPointer(kernel, component, write)));
  return step;
}
