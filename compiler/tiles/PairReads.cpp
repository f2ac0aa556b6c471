//===- PairReads.cpp - elements at the positions of a pair ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Expressions.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AffineExpr.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

/// Rows of a block that is loaded along its rows and transposed.
static constexpr int64_t kBlock = 4;

LogicalResult ExprEmitter::readPair(ReadOp op, const SymbolInfo &info, ArrayRef<Emitted> operands) {
  auto name = op.getSourceAttr().getAttr();
  auto indices = indicesOf(op, info, operands);
  if (failed(indices))
    return failure();
  // The arguments of a part are the rows, their position first, and s.
  if (auto position = dyn_cast<AffineDimExpr>(op.getMap().getResult(0))) {
    auto argument = dyn_cast<BlockArgument>(op.getOperands()[position.getPosition()]);
    PairsOp pairs = scope.pairs->op;
    if (argument && argument.getOwner()->getParentOp() == pairs.getOperation()) {
      bool isColumn = argument.getArgNumber() == pairs.getRows().size();
      auto &side = isColumn ? scope.pairs->columns : scope.pairs->rows;
      if (auto found = side.find(name); found != side.end()) {
        bind(op, readPacked(found->second, isColumn ? scope.pairs->column : scope.pairs->row, info,
                            ArrayRef(*indices).drop_front()));
        return success();
      }
      const BufferLayout *buffer = kernel.layout.readable(name);
      if (argument == pairs.rowOf(argument.getOwner()) && scope.pairs->outerRow && buffer) {
        bind(op, elementOf(*buffer, *scope.pairs->outerRow, ArrayRef(*indices).drop_front(), {}));
        return success();
      }
    }
  }
  auto value = readPositions(op, info, *indices);
  if (failed(value))
    return failure();
  bind(op, std::move(*value));
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
        IndexValue index = dim.index(i, j);
        int64_t size = info.sizes[number], stride = buffer.strides[number] * buffer.featureStride;
        // Lanes behind the last element read what stands there, unless that is the caller's memory;
        // nothing counts them.
        int64_t high = buffer.positionStep ? index.touchHigh() : index.high;
        bool isWithin = index.step == 1 && stride == 1 && index.low >= 0 && high < size;
        if (!isWithin)
          index = checked(index, IndexValue::constant(size), inside);
        features = math.add(features, math.scale(index, buffer.strides[number]));
      }
      IndexValue step = buffer.positionStep ? IndexValue::of(buffer.positionStep)
                                            : IndexValue::constant(buffer.positionStride);
      IndexValue address = math.add(math.mul(position.index(i, j), step),
                                    math.scale(features, buffer.featureStride));
      loaded.push_back(load(buffer.memref, buffer.kind, address, inside));
    }
  return toEmitted(buffer.kind, rows, vectors, loaded);
}

/// The dim along which all elements of vectors follow each other, if its stride is only known at
/// run time.
static std::optional<size_t> denseDim(ArrayRef<SmallVector<IndexValue>> places,
                                      ArrayRef<IndexValue> strides) {
  std::optional<size_t> dense;
  for (ArrayRef<IndexValue> place : places)
    for (auto [number, index] : llvm::enumerate(place)) {
      if (index.isUniform())
        continue;
      if (index.vector || index.step != 1 || (dense && *dense != number))
        return std::nullopt;
      dense = number;
    }
  bool isKnown = dense && strides[*dense].isConstant();
  return isKnown ? std::nullopt : dense;
}

/// A row of an earlier call in place of one that this call does not have.
Value ExprEmitter::orCarried(Value own, unsigned component, const SymbolInfo &info,
                             ArrayRef<IndexValue> indices) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  // Of the tokens, whichever run-time dim the pass walks.
  IndexValue position = IndexValue::of(kernel.positions(info.position).position);
  auto either = [&](OpBuilder &, Location) {
    Strided rows = carriedRows(kernel, component, /*write=*/false);
    IndexValue row = indices[0];
    row.low = IndexValue::kNoLow;
    row.high = IndexValue::kNoHigh;
    Value isPast;
    row = checked(row, position, isPast);
    if (int64_t ring = kernel.layout.carryComponents()[component].shape[0]; ring > 0)
      row = math.mod(row, IndexValue::constant(ring));
    IndexValue address = math.add(rows.base, math.mul(row, rows.strides[1]));
    Value inside = isPast;
    for (auto [number, index] : llvm::enumerate(indices.drop_front())) {
      IndexValue feature = checked(index, IndexValue::constant(info.sizes[number]), inside);
      address = math.add(address, math.mul(feature, rows.strides[number + 2]));
    }
    Value value = load(rows.memref, info.kind, address, inside, /*mayBeEmpty=*/true);
    if (rows.dtype)
      value = fromStorage(builder, loc, kernel.target, value, rows.dtype, kernel.real);
    assert(value.getType() == own.getType() && "both have the lanes of the indices");
    if (isa<VectorType>(value.getType()))
      isPast = broadcast(isPast);
    scf::YieldOp::create(builder, loc,
                         arith::SelectOp::create(builder, loc, isPast, value, own).getResult());
  };
  Value hasPast = math.compare(arith::CmpIPredicate::sgt, position, IndexValue::constant(0));
  return scf::IfOp::create(builder, loc, hasPast, either,
                           [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, own); })
      .getResult(0);
}

std::optional<ExprEmitter::BlockDims> ExprEmitter::blockDims(ArrayRef<Emitted> indices,
                                                             int64_t rows, int64_t vectors) {
  if (rows != kBlock)
    return std::nullopt;
  std::optional<size_t> ofRows, ofLanes;
  for (auto [number, own] : llvm::enumerate(indices)) {
    bool isRow = true, isLane = true, isSame = true;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < vectors; ++j) {
        const IndexValue &index = own.index(i, j), &first = own.index(0, 0);
        isSame &= index.isUniform() && index.sameAs(first);
        IndexValue before = index;
        before.offset -= i;
        isRow &= index.isUniform() && before.sameAs(first);
        isLane &= !index.vector && index.step == 1 && index.sameAs(own.index(0, j));
      }
    if (isSame)
      continue;
    auto &dim = isRow ? ofRows : ofLanes;
    if ((!isRow && !isLane) || dim)
      return std::nullopt;
    dim = number;
  }
  return ofRows && ofLanes ? std::optional(BlockDims{*ofRows, *ofLanes}) : std::nullopt;
}

/// Four vectors of elements: `firsts` are where the four elements of each lane begin.
static SmallVector<Value> loadTransposed(Kernel &kernel, Value memref, ArrayRef<Value> firsts) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  int64_t lanes = kernel.lanes, groups = lanes / kBlock;
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  auto shuffle = [&](Value a, Value b, function_ref<int64_t(int64_t)> source, int64_t count) {
    auto places = llvm::map_to_vector(llvm::seq<int64_t>(0, count), source);
    return vector::ShuffleOp::create(builder, loc, a, b, places).getResult();
  };
  // Lane g * 4 + l of vector r is element l of lane g * 4 + r: squares of four remain to be turned.
  SmallVector<Value> squares;
  for (int64_t row = 0; row < kBlock; ++row) {
    SmallVector<Value> parts;
    for (int64_t group = 0; group < groups; ++group)
      parts.push_back(vector::LoadOp::create(builder, loc, VectorType::get({kBlock}, element),
                                             memref, firsts[group * kBlock + row]));
    for (int64_t width = kBlock; parts.size() > 1; width *= 2) {
      SmallVector<Value> pairs;
      for (size_t part = 0; part < parts.size(); part += 2)
        pairs.push_back(
            shuffle(parts[part], parts[part + 1], [](int64_t lane) { return lane; }, 2 * width));
      parts = std::move(pairs);
    }
    squares.push_back(parts[0]);
  }
  auto turn = [&](Value a, Value b, std::array<int64_t, kBlock> of) {
    return shuffle(
        a, b,
        [&](int64_t lane) {
          int64_t place = of[lane % kBlock], first = lane / kBlock * kBlock;
          return place < kBlock ? first + place : lanes + first + place - kBlock;
        },
        lanes);
  };
  SmallVector<Value> pairs;
  for (int64_t row : {0, 2}) {
    pairs.push_back(turn(squares[row], squares[row + 1], {0, 4, 1, 5}));
    pairs.push_back(turn(squares[row], squares[row + 1], {2, 6, 3, 7}));
  }
  SmallVector<Value> columns;
  for (int64_t half : {0, 1}) {
    columns.push_back(turn(pairs[half], pairs[half + 2], {0, 1, 4, 5}));
    columns.push_back(turn(pairs[half], pairs[half + 2], {2, 3, 6, 7}));
  }
  return columns;
}

SmallVector<Value> ExprEmitter::loadBlock(const Array &array, ArrayRef<Emitted> indices,
                                          BlockDims dims, int64_t vectors,
                                          function_ref<SmallVector<Value>()> otherwise) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  Value isUsual =
      math.compare(arith::CmpIPredicate::eq, array.strides[dims.rows], IndexValue::constant(1));
  // The index `further` on, which has to be one of the array.
  auto within = [&](size_t number, IndexValue index, int64_t further) {
    index.step = 0;
    index.offset += further;
    index = math.sub(index, array.origins[number]);
    index.low = IndexValue::kNoLow;
    index.high = IndexValue::kNoHigh;
    checked(index, array.extents[number], isUsual);
    return index;
  };
  SmallVector<IndexValue> starts(vectors, array.base);
  for (auto [number, own] : llvm::enumerate(indices))
    for (int64_t vector = 0; vector < vectors; ++vector) {
      IndexValue index = own.index(0, vector), stride = array.strides[number];
      int64_t last = number == dims.rows ? kBlock - 1 : number == dims.lanes ? kernel.lanes - 1 : 0;
      IndexValue first = within(number, index, 0);
      if (last)
        within(number, index, last);
      starts[vector] = math.add(starts[vector], math.mul(first, stride));
    }
  auto choice = scf::IfOp::create(
      builder, loc, isUsual,
      [&](OpBuilder &, Location) {
        SmallVector<Value> loaded(kBlock * vectors);
        for (int64_t vector = 0; vector < vectors; ++vector) {
          SmallVector<Value> firsts;
          for (int64_t lane = 0; lane < kernel.lanes; ++lane)
            firsts.push_back(
                math.scalar(math.add(starts[vector], math.scale(array.strides[dims.lanes], lane))));
          for (auto [row, value] : llvm::enumerate(loadTransposed(kernel, array.memref, firsts)))
            loaded[row * vectors + vector] = value;
        }
        scf::YieldOp::create(builder, loc, loaded);
      },
      [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, otherwise()); });
  return llvm::to_vector_of<Value>(choice.getResults());
}

FailureOr<Emitted> ExprEmitter::readPositions(ReadOp op, const SymbolInfo &info,
                                              ArrayRef<Emitted> indices) {
  IndexMath math = kernel.index();
  auto name = op.getSourceAttr().getAttr();
  auto tensor = dyn_cast<TensorOp>(info.op);
  bool isParam = tensor && tensor.getRole() == Role::Param;
  const BufferLayout *buffer = tensor ? nullptr : kernel.layout.buffer(name, Space::Sequence);
  if (!tensor && !buffer)
    return op.emitOpError("reads '") << name.getValue() << "' at a position that is not kept",
           failure();
  SmallVector<IndexValue> strides;
  Value memref = buffer ? kernel.memref(*buffer) : kernel.tensor(name).memref;
  if (buffer) {
    strides.push_back(IndexValue::constant(buffer->rowStride));
    for (int64_t stride : buffer->strides)
      strides.push_back(IndexValue::constant(stride));
  } else {
    strides.push_back(IndexValue::of(kernel.tensor(name).tokenStride));
    for (Value stride : kernel.tensor(name).strides)
      strides.push_back(IndexValue::of(stride));
  }
  IndexValue base = IndexValue::constant(buffer ? buffer->halo * buffer->rowStride : 0);
  int64_t rows = 1, vectors = 1;
  for (auto &index : indices) {
    rows = std::max(rows, index.rows);
    vectors = std::max(vectors, index.vectors);
  }
  auto carried = rowsOf(kernel, name);
  SmallVector<SmallVector<IndexValue>> places;
  SmallVector<Value> insides;
  auto locate = [&] {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < vectors; ++j) {
        Value inside;
        auto &place = places.emplace_back();
        for (auto [number, own] : llvm::enumerate(indices)) {
          IndexValue index = own.index(i, j);
          if (number > 0 && info.sizes[number - 1] >= 0) {
            place.push_back(checked(index, IndexValue::constant(info.sizes[number - 1]), inside));
            continue;
          }
          auto &positions = kernel.positions(number == 0 ? info.position : info.dims[number - 1]);
          IndexValue extent = IndexValue::of(isParam ? positions.length : positions.tokens);
          // An input's first row is the call's first token, a param's position zero.
          if (!isParam)
            index = math.sub(index, IndexValue::of(positions.position));
          index.low = IndexValue::kNoLow;
          if (op.isDataDependent(number) && !carried) {
            // Clamped: it stands for an element if there are any.
            Value isThere =
                math.compare(arith::CmpIPredicate::sgt, extent, IndexValue::constant(0));
            require(isThere, inside);
            place.push_back(index);
          } else {
            place.push_back(checked(index, extent, inside));
          }
        }
        insides.push_back(inside);
      }
  };
  auto loadAll = [&](ArrayRef<IndexValue> by, ArrayRef<Value> masks) {
    SmallVector<Value> loaded;
    for (auto [place, mask] : llvm::zip_equal(places, masks)) {
      IndexValue address = base;
      for (auto [index, stride] : llvm::zip_equal(place, by))
        address = math.add(address, math.mul(index, stride));
      loaded.push_back(load(memref, info.kind, address, mask, /*mayBeEmpty=*/true));
    }
    return loaded;
  };
  SmallVector<Value> loaded;
  auto loadPlaces = [&]() -> SmallVector<Value> {
    locate();
    auto dense = denseDim(places, strides);
    if (!dense)
      return loadAll(strides, insides);
    SmallVector<IndexValue> ones(strides);
    ones[*dense] = IndexValue::constant(1);
    if (scope.dense.contains(name) && *dense + 1 == strides.size())
      return loadAll(ones, insides);
    // Lanes along what is contiguous in most calls: whole vectors there, and single elements else.
    auto &builder = kernel.builder;
    auto loc = kernel.loc;
    Value isUsual =
        math.compare(arith::CmpIPredicate::eq, strides[*dense], IndexValue::constant(1));
    SmallVector<Value> masks(insides);
    for (Value &mask : masks)
      if (mask && !isa<VectorType>(mask.getType()))
        isUsual = arith::AndIOp::create(builder, loc, isUsual, std::exchange(mask, Value()));
    auto choice = scf::IfOp::create(
        builder, loc, isUsual,
        [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, loadAll(ones, masks)); },
        [&](OpBuilder &, Location) {
          scf::YieldOp::create(builder, loc, loadAll(strides, insides));
        });
    return llvm::to_vector_of<Value>(choice.getResults());
  };
  auto block = carried ? std::nullopt : blockDims(indices, rows, vectors);
  bool isNever = block && strides[block->rows].isConstant() && strides[block->rows].offset != 1;
  if (block && !isNever && kernel.lanes % kBlock == 0) {
    Array array{memref, base, strides, {}, {}};
    for (size_t number = 0; number < indices.size(); ++number) {
      bool isFixed = number > 0 && info.sizes[number - 1] >= 0;
      IndexValue origin = IndexValue::constant(0), extent = origin;
      if (isFixed) {
        extent = IndexValue::constant(info.sizes[number - 1]);
      } else {
        auto &positions = kernel.positions(number == 0 ? info.position : info.dims[number - 1]);
        extent = IndexValue::of(isParam ? positions.length : positions.tokens);
        if (!isParam)
          origin = IndexValue::of(positions.position);
      }
      array.extents.push_back(extent);
      array.origins.push_back(origin);
    }
    loaded = loadBlock(array, indices, *block, vectors, loadPlaces);
  } else {
    loaded = loadPlaces();
  }
  if (tensor)
    for (Value &value : loaded)
      value = fromStorage(kernel.builder, kernel.loc, kernel.target, value, tensor.getDtype(),
                          kernel.real);
  if (carried)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < vectors; ++j) {
        Value &value = loaded[i * vectors + j];
        auto place = llvm::map_to_vector(indices, [&](const Emitted &e) { return e.index(i, j); });
        value = orCarried(value, *carried, info, place);
      }
  return toEmitted(info.kind, rows, vectors, loaded);
}
