//===- Reads.cpp - elements of buffers and of the caller's memory --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Expressions.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AffineExpr.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

FailureOr<Emitted> ExprEmitter::affine(AffineExpr expr, ArrayRef<Emitted> operands) {
  IndexMath math = kernel.index();
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Emitted::integer(IndexValue::constant(constant.getValue()));
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return operands[dim.getPosition()];
  auto operation = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!operation)
    return failure();
  auto lhs = affine(operation.getLHS(), operands), rhs = affine(operation.getRHS(), operands);
  if (failed(lhs) || failed(rhs))
    return failure();
  return mapIndices({&*lhs, &*rhs}, [&](ArrayRef<IndexValue> values) {
    switch (operation.getKind()) {
    case AffineExprKind::Add:
      return math.add(values[0], values[1]);
    case AffineExprKind::Mul:
      return math.mul(values[0], values[1]);
    case AffineExprKind::Mod:
      return math.mod(values[0], values[1]);
    case AffineExprKind::FloorDiv:
      return math.floorDiv(values[0], values[1]);
    default:
      // ceilDiv(a, b) = -floorDiv(-a, b)
      return math.scale(math.floorDiv(math.scale(values[0], -1), values[1]), -1);
    }
  });
}

FailureOr<SmallVector<Emitted>> ExprEmitter::indicesOf(ReadOp op, const SymbolInfo &info,
                                                       ArrayRef<Emitted> operands) {
  IndexMath math = kernel.index();
  auto tensor = dyn_cast<TensorOp>(info.op);
  bool isParam = tensor && tensor.getRole() == Role::Param;
  SmallVector<Emitted> indices;
  for (auto [place, expr] : llvm::enumerate(op.getMap().getResults())) {
    auto index = affine(expr, operands);
    if (failed(index))
      return op.emitOpError("has an index that is not affine"), failure();
    if (op.isDataDependent(place)) {
      bool isPosition = info.perToken && place == 0;
      int64_t size = isPosition ? -1 : info.sizes[place - info.perToken];
      IndexValue first = IndexValue::constant(0), last = IndexValue::constant(size - 1);
      if (size < 0) {
        auto &positions =
            kernel.positions(isPosition ? info.position : info.dims[place - info.perToken]);
        bool fromZero = isParam || (isPosition && rowsOf(kernel, op.getSourceAttr().getAttr()));
        first = fromZero ? first : IndexValue::of(positions.position, 0);
        last = math.sub(IndexValue::of(positions.length), IndexValue::constant(1));
      }
      index = mapIndices({&*index}, [&](ArrayRef<IndexValue> values) {
        IndexValue result = math.max(math.min(values[0], last), first);
        result.low = 0;
        result.high = size < 0 ? IndexValue::kNoHigh : size - 1;
        return result;
      });
    }
    indices.push_back(std::move(*index));
  }
  return indices;
}

bool ExprEmitter::isNear(ReadOp op, const SymbolInfo &info) {
  if (isa<StateOp>(info.op))
    return true;
  if (!token || info.position != kernel.walked ||
      llvm::any_of(info.sizes, [](int64_t size) { return size < 0; }))
    return false;
  AffineExpr expr = op.getMap().getResult(0);
  bool isToken = false;
  for (auto [place, operand] : llvm::enumerate(op.getOperands())) {
    if (!expr.isFunctionOfDim(place))
      continue;
    if (operand == token) {
      AffineExpr own = getAffineDimExpr(place, op.getContext());
      isToken = !simplifyAffineExpr(expr - own, op.getOperands().size(), 0).isFunctionOfDim(place);
    } else if (!isa<BlockArgument>(operand)) {
      return false;
    }
  }
  return isToken;
}

FailureOr<Emitted> ExprEmitter::tokenRow(ReadOp op) {
  // A row counts from the chunk's first token, so the token itself is replaced by its row. That is
  // right as long as it enters with the factor one.
  AffineExpr expr = op.getMap().getResult(0);
  SmallVector<Emitted> operands;
  SmallVector<AffineExpr> zeros, ones;
  auto *context = op.getContext();
  for (Value operand : op.getOperands()) {
    bool isToken = operand == token;
    Emitted value = isToken ? scope.row : get(operand);
    if (isToken)
      for (IndexValue &index : value.indices)
        index.low = index.high = 0; // bounds of the distance to the token
    operands.push_back(std::move(value));
    zeros.push_back(getAffineConstantExpr(0, context));
    ones.push_back(getAffineConstantExpr(isToken ? 1 : 0, context));
  }
  auto atZero = dyn_cast<AffineConstantExpr>(expr.replaceDims(zeros));
  auto atOne = dyn_cast<AffineConstantExpr>(expr.replaceDims(ones));
  if (!atZero || !atOne || atOne.getValue() - atZero.getValue() != 1 || !expr.isPureAffine())
    return op.emitOpError("reads a token that is not this one plus or minus a distance");
  auto row = affine(expr, operands);
  if (failed(row))
    return op.emitOpError("has an index that is not affine");
  return row;
}

void ExprEmitter::require(Value condition, Value &inside) {
  if (!inside) {
    inside = condition;
    return;
  }
  SmallVector<Value> both = {inside, condition};
  unify(both);
  inside = arith::AndIOp::create(kernel.builder, kernel.loc, both[0], both[1]);
}

IndexValue ExprEmitter::checked(const IndexValue &index, const IndexValue &extent, Value &inside) {
  IndexMath math = kernel.index();
  IndexValue zero = IndexValue::constant(0), result = index;
  bool belowExtent = extent.isConstant() && index.touchHigh() < extent.offset;
  if (index.low < 0)
    require(math.compare(arith::CmpIPredicate::sge, index, zero), inside);
  if (!belowExtent)
    require(math.compare(arith::CmpIPredicate::slt, index, extent), inside);
  // Vectors are masked; a scalar load needs an address that exists.
  if (!index.isUniform())
    return result;
  if (index.low < 0)
    result = math.max(result, zero);
  if (!belowExtent)
    result = math.min(result, math.sub(extent, IndexValue::constant(1)));
  // An empty extent has no address; its reads are masked by the loops around them.
  return result;
}

Value ExprEmitter::load(Value memref, ValueKind, const IndexValue &address, Value mask,
                        bool mayBeEmpty) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  auto zero = [&](Type type) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  };
  if (address.isUniform()) {
    auto element = [&]() -> Value {
      return memref::LoadOp::create(builder, loc, memref, math.scalar(address));
    };
    if (!mask)
      return element();
    if (mayBeEmpty && !isa<VectorType>(mask.getType()))
      return scf::IfOp::create(
                 builder, loc, mask,
                 [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, element()); },
                 [&](OpBuilder &, Location) {
                   scf::YieldOp::create(builder, loc,
                                        zero(cast<MemRefType>(memref.getType()).getElementType()));
                 })
          .getResult(0);
    Value loaded = element();
    if (isa<VectorType>(mask.getType()))
      loaded = broadcast(loaded);
    return arith::SelectOp::create(builder, loc, mask, loaded, zero(loaded.getType()));
  }
  VectorType type = kernel.vectorType(element);
  if (mask)
    mask = broadcast(mask);
  if (!address.vector && address.step == 1) {
    IndexValue first = address;
    first.step = 0;
    Value position = math.scalar(first);
    if (!mask)
      return vector::LoadOp::create(builder, loc, type, memref, position);
    return vector::MaskedLoadOp::create(builder, loc, type, memref, position, mask, zero(type));
  }
  if (!mask)
    mask = arith::ConstantOp::create(
        builder, loc,
        DenseElementsAttr::get(kernel.vectorType(builder.getI1Type()), builder.getBoolAttr(true)));
  return vector::GatherOp::create(builder, loc, type, memref, ValueRange{kernel.constant(0)},
                                  math.vector(address), mask, zero(type));
}

Emitted ExprEmitter::toEmitted(ValueKind kind, int64_t rows, int64_t vectors,
                               ArrayRef<Value> loaded) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  Emitted result;
  result.kind = kind;
  result.rows = rows;
  result.vectors = vectors;
  for (Value value : loaded) {
    bool isVector = isa<VectorType>(value.getType());
    if (kind == ValueKind::Real) {
      result.values.push_back(value);
    } else if (kind == ValueKind::Truth) {
      Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(value.getType()));
      result.values.push_back(
          arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value, zero));
    } else {
      Type type = builder.getIndexType();
      if (isVector)
        type = kernel.vectorType(type);
      IndexValue index;
      (isVector ? index.vector : index.base) =
          arith::IndexCastOp::create(builder, loc, type, value);
      index.low = INT32_MIN;
      index.high = INT32_MAX;
      result.indices.push_back(index);
    }
  }
  return result;
}

/// Whether a vector runs along the whole of a buffer's contiguous dim, whose padding is there to be
/// read and written.
static bool runsAlong(const BufferLayout &buffer, int64_t dim, const IndexValue &index) {
  return dim == buffer.contiguous && index.step == 1 && index.low >= 0 &&
         index.high < buffer.extents[dim] && index.touchHigh() < buffer.paddedExtent;
}

Emitted ExprEmitter::elementOf(const BufferLayout &buffer, const Emitted &row,
                               ArrayRef<Emitted> dims, Value base) {
  IndexMath math = kernel.index();
  bool hasRows = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  int64_t rows = hasRows ? row.rows : 1, vectors = hasRows ? row.vectors : 1;
  if (buffer.batchStride)
    rows = std::max(rows, scope.batch.rows);
  for (auto &dim : dims) {
    rows = std::max(rows, dim.rows);
    vectors = std::max(vectors, dim.vectors);
  }
  SmallVector<Value> loaded;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      Value inside;
      SmallVector<IndexValue> indices;
      for (auto [number, dim] : llvm::enumerate(dims)) {
        const IndexValue &index = dim.index(i, j);
        int64_t extent = buffer.extents[number];
        indices.push_back(runsAlong(buffer, number, index)
                              ? index
                              : checked(index, IndexValue::constant(extent), inside));
      }
      const IndexValue &position = row.index(i, j);
      IndexValue address = kernel.address(buffer, position, scope.batch.index(i, j), indices);
      if (base)
        address = math.add(address, IndexValue::of(base));
      loaded.push_back(load(kernel.memref(buffer), buffer.kind, address, inside));
    }
  return toEmitted(buffer.kind, rows, vectors, loaded);
}

Emitted ExprEmitter::readCaller(const CallerMemory &memory, const SymbolInfo &info,
                                ArrayRef<Emitted> dims) {
  IndexMath math = kernel.index();
  auto tensor = cast<TensorOp>(info.op);
  bool perBatch = tensor.getRole() == Role::Input && kernel.layout.batchBlock > 1;
  int64_t rows = perBatch ? scope.batch.rows : 1, vectors = 1;
  for (auto &dim : dims) {
    rows = std::max(rows, dim.rows);
    vectors = std::max(vectors, dim.vectors);
  }
  SmallVector<Value> loaded;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      Value inside;
      IndexValue address = IndexValue::constant(0);
      if (perBatch)
        address = math.mul(scope.batch.index(i, j), IndexValue::of(memory.blockStride));
      for (auto [number, dim] : llvm::enumerate(dims)) {
        IndexValue extent = info.sizes[number] < 0
                                ? IndexValue::of(kernel.positions(info.dims[number]).length)
                                : IndexValue::constant(info.sizes[number]);
        IndexValue index = dim.index(i, j);
        if (kernel.isSplit(info.dims[number])) {
          index = math.add(index, IndexValue::of(kernel.splitBegin));
          index.low = 0;
          index.high = IndexValue::kNoHigh;
        }
        index = checked(index, extent, inside);
        address = math.add(address, math.mul(index, IndexValue::of(memory.strides[number])));
      }
      Value value = load(memory.memref, info.kind, address, inside);
      loaded.push_back(
          fromStorage(kernel.builder, kernel.loc, kernel.target, value, memory.dtype, kernel.real));
    }
  return toEmitted(info.kind, rows, vectors, loaded);
}

LogicalResult ExprEmitter::emitRead(ReadOp op) {
  auto name = op.getSourceAttr().getAttr();
  if (!kernel.layout.isSymbol(name))
    return op.emitOpError("reads an unknown symbol");
  const SymbolInfo &info = kernel.layout.symbol(name);
  SmallVector<Emitted> operands;
  for (Value operand : op.getOperands())
    operands.push_back(get(operand));
  if (scope.pairs && info.perToken)
    return readPair(op, info, operands);
  auto indices = indicesOf(op, info, operands);
  if (failed(indices))
    return failure();
  Emitted row = Emitted::integer(IndexValue::constant(0));
  if (info.perToken && !isNear(op, info)) {
    auto value = readPositions(op, info, *indices);
    if (failed(value))
      return failure();
    bind(op, std::move(*value));
    return success();
  }
  if (info.perToken) {
    auto found = tokenRow(op);
    if (failed(found))
      return failure();
    row = std::move(*found);
  }
  SmallVector<Emitted> dims(ArrayRef(*indices).drop_front(info.perToken ? 1 : 0));

  SmallVector<Emitted> key = {row};
  llvm::append_range(key, dims);
  if (auto *known = scope.registers.find(name, key)) {
    bind(op, *known);
    return success();
  }

  int64_t low = row.indices[0].low, high = row.indices[0].high;
  for (auto &index : row.indices) {
    low = std::min(low, index.low);
    high = std::max(high, index.high);
  }
  if (auto state = scope.states.find(name); state != scope.states.end()) {
    int64_t before = kernel.direction == Direction::Forward ? -1 : 1;
    if (low != high || (low != 0 && low != before))
      return op.emitOpError("reads a state at a token other than this one and the one before");
    Value base = low == 0 ? state->second.current : state->second.previous;
    bind(op, elementOf(*state->second.buffer, row, dims, base));
    return success();
  }
  if (auto *buffer = kernel.layout.readable(name)) {
    if ((buffer->space == Space::Rows || buffer->space == Space::Sequence) &&
        (low < -buffer->halo || high > buffer->ahead))
      return op.emitOpError("reads tokens further away than the buffer of '")
             << name.getValue() << "' holds";
    if (buffer->space == Space::Token && (low != 0 || high != 0))
      return op.emitOpError("reads another token of a buffer that holds one");
    bind(op, elementOf(*buffer, row, dims, {}));
    return success();
  }
  auto tensor = dyn_cast<TensorOp>(info.op);
  if (!tensor || info.perToken)
    return op.emitOpError("reads '") << name.getValue() << "', which has no buffer";
  bind(op, readCaller(kernel.tensor(name), info, dims));
  return success();
}

FailureOr<Emitted> ExprEmitter::uniform(ReadOp op) {
  if (failed(emitRead(op)))
    return failure();
  return get(op);
}

void ExprEmitter::storeVector(Value memref, Value value, const IndexValue &address) {
  IndexValue first = address;
  first.step = 0;
  vector::StoreOp::create(kernel.builder, kernel.loc, value, memref, kernel.index().scalar(first));
}

void ExprEmitter::store(const BufferLayout &buffer, const Emitted &value, const Emitted &row,
                        ArrayRef<Emitted> dims, ArrayRef<Value> mask, Value base) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  bool hasRows = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  int64_t rows = hasRows ? row.rows : 1, vectors = hasRows ? row.vectors : 1;
  if (buffer.batchStride)
    rows = std::max(rows, scope.batch.rows);
  for (auto &dim : dims) {
    rows = std::max(rows, dim.rows);
    vectors = std::max(vectors, dim.vectors);
  }
  Value memref = kernel.memref(buffer);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < vectors; ++j) {
      SmallVector<IndexValue> indices;
      // Lanes behind the end of a dim without padding would write elements of others.
      Value inside;
      for (auto [number, dim] : llvm::enumerate(dims)) {
        indices.push_back(dim.index(i, j));
        if (!indices.back().isUniform() && !runsAlong(buffer, number, indices.back()))
          checked(indices.back(), IndexValue::constant(buffer.extents[number]), inside);
      }
      IndexValue address =
          kernel.address(buffer, row.index(i, j), scope.batch.index(i, j), indices);
      if (base)
        address = math.add(address, IndexValue::of(base));
      Value element;
      if (value.kind == ValueKind::Integer) {
        Value index = math.materialise(value.index(i, j));
        Type type = builder.getI32Type();
        if (isa<VectorType>(index.getType()))
          type = kernel.vectorType(type);
        element = arith::IndexCastOp::create(builder, loc, type, index);
      } else if (value.kind == ValueKind::Truth) {
        Value truth = value.value(i, j);
        Type type = builder.getI32Type();
        if (isa<VectorType>(truth.getType()))
          type = kernel.vectorType(type);
        element = arith::ExtUIOp::create(builder, loc, type, truth);
      } else {
        element = value.value(i, j);
      }
      if (address.isUniform()) {
        memref::StoreOp::create(builder, loc, element, memref, math.scalar(address));
        continue;
      }
      element = broadcast(element);
      Value lanes = mask.empty() ? Value() : mask[j];
      IndexValue first = address;
      first.step = 0;
      IndexValue token = row.index(i, j);
      if (!lanes && buffer.ahead > 0 && !token.vector && token.step == 1) {
        // The rows behind the last token are not this step's to write.
        token.step = 0;
        Value left = arith::SubIOp::create(builder, loc, kernel.chunkRows, math.scalar(token));
        lanes = vector::CreateMaskOp::create(builder, loc, kernel.vectorType(builder.getI1Type()),
                                             left);
      }
      if (inside) {
        inside = broadcast(inside);
        lanes = lanes ? arith::AndIOp::create(builder, loc, broadcast(lanes), inside) : inside;
      }
      if (!address.vector && address.step == 1) {
        if (lanes)
          vector::MaskedStoreOp::create(builder, loc, memref, math.scalar(first), lanes, element);
        else
          vector::StoreOp::create(builder, loc, element, memref, math.scalar(first));
        continue;
      }
      if (!lanes)
        lanes =
            arith::ConstantOp::create(builder, loc,
                                      DenseElementsAttr::get(kernel.vectorType(builder.getI1Type()),
                                                             builder.getBoolAttr(true)));
      vector::ScatterOp::create(builder, loc, Type(), memref, ValueRange{kernel.constant(0)},
                                math.vector(address), lanes, element);
    }
}
