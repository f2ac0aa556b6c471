//===- PairReads.cpp - elements at the positions of a pair ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Expressions.h"
#include "compiler/tiles/Memory.h"

#include "mlir/IR/AffineExpr.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

LogicalResult ExprEmitter::readPair(ReadOp op, const SymbolInfo &info, ArrayRef<Emitted> operands) {
  auto name = op.getSourceAttr().getAttr();
  SmallVector<Emitted> indices;
  for (AffineExpr expr : op.getMap().getResults()) {
    auto index = affine(expr, operands);
    if (failed(index))
      return op.emitOpError("has an index that is not affine");
    indices.push_back(std::move(*index));
  }
  // The arguments of a part are t (unless there is one row) and s.
  if (auto position = dyn_cast<AffineDimExpr>(op.getMap().getResult(0))) {
    auto argument = dyn_cast<BlockArgument>(op.getOperands()[position.getPosition()]);
    PairsOp pairs = scope.pairs->op;
    if (argument && argument.getOwner()->getParentOp() == pairs.getOperation()) {
      bool isColumn = argument.getArgNumber() == pairs.getRows().size();
      auto &side = isColumn ? scope.pairs->columns : scope.pairs->rows;
      if (auto found = side.find(name); found != side.end()) {
        bind(op, readPacked(found->second, isColumn ? scope.pairs->column : scope.pairs->row, info,
                            ArrayRef(indices).drop_front()));
        return success();
      }
    }
  }
  if (!isa<TensorOp>(info.op))
    return op.emitOpError("reads '") << name.getValue() << "' at a position that is not packed";
  bind(op, readPositions(kernel.tensor(name), info, indices));
  return success();
}

Emitted ExprEmitter::readPacked(const PairBuffer &buffer, const Emitted &position,
                                const SymbolInfo &info, ArrayRef<Emitted> dims) {
  IndexMath math = kernel.index();
  int64_t rows = position.rows, vectors = position.vectors;
  for (auto &dim : dims) {
    rows = std::max(rows, dim.rows);
    vectors = std::max(vectors, dim.vectors);
  }
  SmallVector<Value> loaded;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      Value inside;
      IndexValue features = IndexValue::constant(0);
      for (auto [number, dim] : llvm::enumerate(dims)) {
        IndexValue index =
            checked(dim.index(i, j), IndexValue::constant(info.sizes[number]), inside);
        features = math.add(features, math.scale(index, buffer.strides[number]));
      }
      IndexValue address = math.add(math.scale(position.index(i, j), buffer.positionStride),
                                    math.scale(features, buffer.featureStride));
      loaded.push_back(load(buffer.memref, buffer.kind, address, inside));
    }
  return toEmitted(buffer.kind, rows, vectors, loaded);
}

Emitted ExprEmitter::readPositions(const CallerMemory &memory, const SymbolInfo &info,
                                   ArrayRef<Emitted> indices) {
  IndexMath math = kernel.index();
  bool isParam = cast<TensorOp>(info.op).getRole() == Role::Param;
  int64_t rows = 1, vectors = 1;
  for (auto &index : indices) {
    rows = std::max(rows, index.rows);
    vectors = std::max(vectors, index.vectors);
  }
  SmallVector<Value> loaded;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      Value inside;
      IndexValue address = IndexValue::constant(0);
      for (auto [number, own] : llvm::enumerate(indices)) {
        IndexValue index = own.index(i, j);
        bool isFixed = number > 0 && info.sizes[number - 1] >= 0;
        IndexValue extent = isFixed ? IndexValue::constant(info.sizes[number - 1])
                                    : IndexValue::of(isParam ? kernel.length : kernel.tokens);
        // An input's first row is the call's first token, a param's position zero.
        if (!isFixed && !isParam)
          index = math.sub(index, IndexValue::of(kernel.position));
        if (!isFixed)
          index.low = IndexValue::kNoLow;
        index = checked(index, extent, inside);
        Value stride = number == 0 ? memory.tokenStride : memory.strides[number - 1];
        address = math.add(address, math.mul(index, IndexValue::of(stride)));
      }
      Value value = load(memory.memref, info.kind, address, inside);
      loaded.push_back(
          fromStorage(kernel.builder, kernel.loc, kernel.target, value, memory.dtype, kernel.real));
    }
  return toEmitted(info.kind, rows, vectors, loaded);
}
