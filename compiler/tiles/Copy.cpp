//===- Copy.cpp - moves elements between memories ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Copy.h"

#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Transpose.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
Type elementOf(const Strided &side) {
  return cast<MemRefType>(side.memref.getType()).getElementType();
}

/// Emits one nest of loops of a copy or fill.
class Mover {
public:
  Mover(Kernel &kernel, const Strided *from, const Strided &to, ArrayRef<IndexValue> sizes,
        Value value)
      : kernel(kernel), from(from), to(to), sizes(sizes), value(value) {}

  void nest(ArrayRef<int64_t> order, bool vectors, IndexValue source, IndexValue target) {
    IndexMath math = kernel.index();
    int64_t dim = order.front();
    if (order.size() == 1 && vectors)
      return line(dim, source, target);
    auto body = [&](const IndexValue &number) {
      IndexValue nextSource = source;
      if (from)
        nextSource = math.add(source, math.mul(number, from->strides[dim]));
      IndexValue nextTarget = math.add(target, math.mul(number, to.strides[dim]));
      if (order.size() == 1)
        return element(nextSource, nextTarget, {}, false);
      nest(order.drop_front(), vectors, nextSource, nextTarget);
    };
    if (sizes[dim].isConstant() && sizes[dim].offset == 1)
      return body(IndexValue::constant(0));
    kernel.forEach(math.scalar(sizes[dim]), 1, [&](Value number) { body(IndexValue::of(number)); });
  }

  /// Runs `order`, then moves squares of two dims, each contiguous on one side: their vectors are
  /// turned in registers.
  void squares(ArrayRef<int64_t> order, int64_t fromDim, int64_t toDim, IndexValue source,
               IndexValue target) {
    IndexMath math = kernel.index();
    if (!order.empty()) {
      kernel.forEach(math.scalar(sizes[order[0]]), 1, [&](Value number) {
        IndexValue at = IndexValue::of(number);
        squares(order.drop_front(), fromDim, toDim,
                math.add(source, math.mul(at, from->strides[order[0]])),
                math.add(target, math.mul(at, to.strides[order[0]])));
      });
      return;
    }
    int64_t lanes = kernel.lanes;
    int64_t rows = sizes[toDim].offset / lanes * lanes,
            columns = sizes[fromDim].offset / lanes * lanes;
    kernel.forEach(rows, lanes, [&](const IndexValue &row) {
      kernel.forEach(columns, lanes, [&](const IndexValue &column) {
        square(fromDim, toDim,
               math.add(math.add(source, column), math.mul(row, from->strides[toDim])),
               math.add(math.add(target, row), math.mul(column, to.strides[fromDim])));
      });
    });
    // What fills no square.
    rest(fromDim, toDim, 0, sizes[fromDim].offset, rows, sizes[toDim].offset, source, target);
    rest(fromDim, toDim, columns, sizes[fromDim].offset, 0, rows, source, target);
  }

private:
  void square(int64_t fromDim, int64_t toDim, const IndexValue &source, const IndexValue &target) {
    IndexMath math = kernel.index();
    auto &builder = kernel.builder;
    auto loc = kernel.loc;
    VectorType type = kernel.vectorType(elementOf(*from));
    SmallVector<Value> vectors;
    for (int64_t lane = 0; lane < kernel.lanes; ++lane) {
      IndexValue place = math.add(source, math.scale(from->strides[toDim], lane));
      Value loaded = vector::LoadOp::create(builder, loc, type, from->memref, math.scalar(place));
      if (from->dtype)
        loaded = fromStorage(builder, loc, kernel.target, loaded, from->dtype, kernel.real);
      vectors.push_back(loaded);
    }
    for (auto [lane, turned] : llvm::enumerate(transposed(builder, loc, vectors))) {
      IndexValue place =
          math.add(target, math.scale(to.strides[fromDim], static_cast<int64_t>(lane)));
      vector::StoreOp::create(builder, loc, turned, to.memref, math.scalar(place));
    }
  }

  /// Elements of a rectangle, one by one.
  void rest(int64_t fromDim, int64_t toDim, int64_t column, int64_t columnEnd, int64_t row,
            int64_t rowEnd, const IndexValue &source, const IndexValue &target) {
    if (column == columnEnd || row == rowEnd)
      return;
    IndexMath math = kernel.index();
    SmallVector<IndexValue> part(sizes);
    part[fromDim] = IndexValue::constant(columnEnd - column);
    part[toDim] = IndexValue::constant(rowEnd - row);
    IndexValue partSource = math.add(source, math.scale(from->strides[fromDim], column));
    partSource = math.add(partSource, math.scale(from->strides[toDim], row));
    IndexValue partTarget = math.add(target, math.scale(to.strides[fromDim], column));
    partTarget = math.add(partTarget, math.scale(to.strides[toDim], row));
    Mover(kernel, from, to, part, value).nest({fromDim, toDim}, false, partSource, partTarget);
  }

  /// A line of contiguous elements: whole vectors, then a masked one.
  void line(int64_t dim, const IndexValue &source, const IndexValue &target) {
    IndexMath math = kernel.index();
    auto &builder = kernel.builder;
    auto loc = kernel.loc;
    auto maskType = kernel.vectorType(builder.getI1Type());
    const IndexValue &size = sizes[dim];
    auto at = [&](const IndexValue &number, Value mask) {
      element(math.add(source, number), math.add(target, number), mask, true);
    };
    if (size.isConstant()) {
      int64_t whole = size.offset / kernel.lanes * kernel.lanes, rest = size.offset - whole;
      kernel.forEach(whole, kernel.lanes, [&](IndexValue number) { at(number, {}); });
      if (!rest)
        return;
      SmallVector<bool> used(kernel.lanes);
      for (int64_t lane = 0; lane < rest; ++lane)
        used[lane] = true;
      at(IndexValue::constant(whole),
         arith::ConstantOp::create(builder, loc,
                                   DenseElementsAttr::get(maskType, ArrayRef<bool>(used))));
      return;
    }
    Value count = math.scalar(size), width = kernel.constant(kernel.lanes);
    Value rest = arith::RemUIOp::create(builder, loc, count, width);
    Value whole = arith::SubIOp::create(builder, loc, count, rest);
    kernel.forEach(whole, kernel.lanes, [&](Value number) { at(IndexValue::of(number), {}); });
    Value some =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, rest, kernel.constant(0));
    auto branch = scf::IfOp::create(builder, loc, some, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    Value mask = math.compare(arith::CmpIPredicate::slt, {{}, 0, 1, {}}, IndexValue::of(rest));
    at(IndexValue::of(whole), mask);
  }

  void element(const IndexValue &source, const IndexValue &target, Value mask, bool isVector) {
    auto &builder = kernel.builder;
    auto loc = kernel.loc;
    IndexMath math = kernel.index();
    Value moved = value;
    if (from) {
      Value position = math.scalar(source);
      if (!isVector) {
        moved = memref::LoadOp::create(builder, loc, from->memref, position);
      } else {
        VectorType type = kernel.vectorType(elementOf(*from));
        if (mask) {
          Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
          moved =
              vector::MaskedLoadOp::create(builder, loc, type, from->memref, position, mask, zero);
        } else {
          moved = vector::LoadOp::create(builder, loc, type, from->memref, position);
        }
      }
      if (from->dtype)
        moved = fromStorage(builder, loc, kernel.target, moved, from->dtype, kernel.real);
      if (to.dtype)
        moved = toStorage(builder, loc, kernel.target, moved, to.dtype);
    } else if (isVector) {
      moved = vector::BroadcastOp::create(builder, loc, kernel.vectorType(elementOf(to)), value);
    }
    Value position = math.scalar(target);
    if (!isVector)
      memref::StoreOp::create(builder, loc, moved, to.memref, position);
    else if (mask)
      vector::MaskedStoreOp::create(builder, loc, to.memref, position, mask, moved);
    else
      vector::StoreOp::create(builder, loc, moved, to.memref, position);
  }

  Kernel &kernel;
  const Strided *from;
  const Strided &to;
  ArrayRef<IndexValue> sizes;
  Value value;
};

/// The dim that may be contiguous where a copy is read, if whole squares of it and of the dim that
/// is contiguous where it goes are worth turning.
std::optional<int64_t> turnedDim(const Kernel &kernel, const Strided *from, const Strided &to,
                                 ArrayRef<IndexValue> sizes, int64_t innermost) {
  constexpr int64_t least = 4; // squares
  int64_t lanes = kernel.lanes;
  auto isLong = [&](int64_t dim) { return sizes[dim].isConstant() && sizes[dim].offset >= lanes; };
  const IndexValue &stride = to.strides[innermost];
  if (!from || to.dtype || !stride.isConstant() || stride.offset != 1 || !isLong(innermost))
    return std::nullopt;
  for (int64_t dim = sizes.size() - 1; dim >= 0; --dim) {
    const IndexValue &own = from->strides[dim];
    if (dim != innermost && isLong(dim) && (!own.isConstant() || own.offset == 1) &&
        sizes[dim].offset * sizes[innermost].offset >= least * lanes * lanes)
      return dim;
  }
  return std::nullopt;
}

void move(Kernel &kernel, const Strided *from, const Strided &to, ArrayRef<IndexValue> sizes,
          int64_t innermost, Value value) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  SmallVector<int64_t> order;
  for (int64_t dim = 0; dim < static_cast<int64_t>(sizes.size()); ++dim)
    if (dim != innermost)
      order.push_back(dim);
  order.push_back(innermost);
  Mover mover(kernel, from, to, sizes, value);
  IndexValue source = from ? from->base : IndexValue::constant(0);

  // Vectors need stride one on both sides, which may only be known at run time.
  Value contiguous;
  bool never = false;
  auto require = [&](const IndexValue &stride) {
    if (stride.isConstant()) {
      never |= stride.offset != 1;
      return;
    }
    Value one = math.compare(arith::CmpIPredicate::eq, stride, IndexValue::constant(1));
    contiguous =
        contiguous ? arith::AndIOp::create(builder, loc, contiguous, one).getResult() : one;
  };
  if (from)
    require(from->strides[innermost]);
  require(to.strides[innermost]);
  if (sizes[innermost].isConstant() && sizes[innermost].offset == 1)
    never = true;
  auto either = [&](Value condition, function_ref<void()> whenTrue,
                    function_ref<void()> whenFalse) {
    auto branch = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    whenTrue();
    builder.setInsertionPointToStart(branch.elseBlock());
    whenFalse();
  };
  auto oneByOne = [&] { mover.nest(order, false, source, to.base); };
  auto scattered = [&] {
    auto turned = turnedDim(kernel, from, to, sizes, innermost);
    if (!turned)
      return oneByOne();
    SmallVector<int64_t> outer;
    llvm::copy_if(order, std::back_inserter(outer),
                  [&](int64_t dim) { return dim != innermost && dim != *turned; });
    auto turn = [&] { mover.squares(outer, *turned, innermost, source, to.base); };
    const IndexValue &stride = from->strides[*turned];
    if (stride.isConstant())
      return turn();
    either(math.compare(arith::CmpIPredicate::eq, stride, IndexValue::constant(1)), turn, oneByOne);
  };
  if (never)
    return scattered();
  if (!contiguous)
    return mover.nest(order, true, source, to.base);
  either(contiguous, [&] { mover.nest(order, true, source, to.base); }, scattered);
}
} // namespace

void seqmix::emitCopy(Kernel &kernel, const Strided &from, const Strided &to,
                      ArrayRef<IndexValue> sizes, int64_t innermost) {
  move(kernel, &from, to, sizes, innermost, {});
}

void seqmix::emitFill(Kernel &kernel, const Strided &to, ArrayRef<IndexValue> sizes, double value) {
  Type type = elementOf(to);
  TypedAttr attr;
  if (isa<FloatType>(type))
    attr = kernel.builder.getFloatAttr(type, value);
  else
    attr = kernel.builder.getIntegerAttr(type, static_cast<int64_t>(value));
  Value constant = arith::ConstantOp::create(kernel.builder, kernel.loc, attr);
  int64_t innermost = sizes.size() - 1;
  for (int64_t dim = 0; dim < static_cast<int64_t>(sizes.size()); ++dim)
    if (to.strides[dim].isConstant() && to.strides[dim].offset == 1)
      innermost = dim;
  move(kernel, nullptr, to, sizes, innermost, constant);
}

Strided seqmix::bufferElements(Kernel &kernel, const BufferLayout &buffer) {
  Strided result;
  result.memref = kernel.memref(buffer);
  result.strides.push_back(IndexValue::constant(buffer.batchStride));
  result.strides.push_back(kernel.rowStride(buffer));
  for (int64_t stride : buffer.strides)
    result.strides.push_back(IndexValue::constant(stride));
  return result;
}

SmallVector<IndexValue> seqmix::bufferSizes(Kernel &kernel, const BufferLayout &buffer,
                                            const IndexValue &rows) {
  SmallVector<IndexValue> sizes;
  sizes.push_back(buffer.batchStride ? IndexValue::of(kernel.block) : IndexValue::constant(1));
  sizes.push_back(rows);
  for (auto [dim, extent] : llvm::zip_equal(kernel.layout.symbol(buffer.of).dims, buffer.extents))
    sizes.push_back(kernel.isSplit(dim) ? IndexValue::of(kernel.splitCount)
                                        : IndexValue::constant(extent));
  return sizes;
}

int64_t seqmix::contiguousDim(const BufferLayout &buffer) { return buffer.contiguous + 2; }

Strided seqmix::callerElements(Kernel &kernel, const CallerMemory &memory, const SymbolInfo &info,
                               const IndexValue &token) {
  IndexMath math = kernel.index();
  Strided result;
  result.memref = memory.memref;
  result.dtype = memory.dtype;
  result.strides.push_back(IndexValue::of(memory.blockStride));
  IndexValue tokenStride =
      memory.tokenStride ? IndexValue::of(memory.tokenStride) : IndexValue::constant(0);
  result.strides.push_back(tokenStride);
  IndexValue first = token;
  if (auto tensor = dyn_cast<TensorOp>(info.op); tensor && tensor.getRole() == Role::Param)
    if (info.position) // params stand still
      first = math.add(first, IndexValue::of(kernel.positions(info.position).position));
  result.base = math.mul(first, tokenStride);
  for (auto [dim, stride] : llvm::zip_equal(info.dims, memory.strides)) {
    result.strides.push_back(IndexValue::of(stride));
    if (kernel.isSplit(dim))
      result.base = math.add(result.base,
                             math.mul(IndexValue::of(kernel.splitBegin), IndexValue::of(stride)));
  }
  return result;
}

Value seqmix::tokensBefore(const Kernel &kernel, const SymbolInfo &info) {
  auto tensor = dyn_cast<TensorOp>(info.op);
  const Positions &own = kernel.positions(info.position);
  return tensor && tensor.getRole() == Role::Param ? own.position : own.history;
}

Strided seqmix::carryElements(Kernel &kernel, const SymbolInfo &info, Value pointer,
                              Value blockStride) {
  IndexMath math = kernel.index();
  Strided result;
  result.memref = flatMemref(kernel.builder, kernel.loc, pointer, kernel.elementType(info.kind));
  SmallVector<int64_t> strides(info.sizes.size());
  int64_t stride = 1;
  for (int64_t dim = info.sizes.size() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride *= info.sizes[dim];
  }
  result.strides.push_back(IndexValue::of(blockStride));
  result.strides.push_back(IndexValue::constant(stride));
  for (auto [dim, own] : llvm::zip_equal(info.dims, strides)) {
    result.strides.push_back(IndexValue::constant(own));
    if (kernel.isSplit(dim))
      result.base = math.add(result.base, math.scale(IndexValue::of(kernel.splitBegin), own));
  }
  return result;
}
