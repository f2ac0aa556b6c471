//===- PairTiles.cpp - tiles over rows, columns and features -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairTiles.h"

#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// The least that a matrix product takes of features.
static constexpr int64_t kLeastFeatures = 16;

/// Registers of a thread that hold rows of factors from tile to tile, 16 of them for a warp: of one
/// factor, and of all. Warps that divide the features of sums have more left.
static constexpr int64_t kMostRegisters = 48, kMostOfDivided = 64, kRowsOfWarp = 16;

/// Bytes of factors that wait in shared memory from tile to tile: what is left is enough for those
/// of a tile.
static constexpr int64_t kMostParked = 144 << 10;

PairTiles::PairTiles(LaneBlock &block, int64_t rows, int64_t columns)
    : block(block), builder(block.builder), loc(block.loc), real(block.real), sizes{rows, columns},
      padded{rows, columns}, firsts(2) {}

Axis PairTiles::addFeature(int64_t size) {
  sizes.push_back(size);
  padded.push_back(std::max<int64_t>(kLeastFeatures, int64_t(llvm::PowerOf2Ceil(uint64_t(size)))));
  firsts.push_back(Value());
  return static_cast<Axis>(sizes.size()) - 1;
}

Axis PairTiles::addSlice(int64_t size, int64_t width, Value first) {
  sizes.push_back(size);
  padded.push_back(width);
  firsts.push_back(first);
  return static_cast<Axis>(sizes.size()) - 1;
}

Axis PairTiles::addFeatureOrSlice(int64_t size) {
  if (size <= mostFeatures || !slice)
    return addFeature(size);
  const Axis axis = addSlice(size, mostFeatures,
                             arith::MulIOp::create(builder, loc, slice, block.i64(mostFeatures)));
  slices[axis] = slice;
  return axis;
}

bool PairTiles::areSame(Axis a, Axis b) const {
  if (padded[a] != padded[b])
    return false;
  return a == b ||
         (firsts[a] ? slices.lookup(a) && slices.lookup(a) == slices.lookup(b) : !firsts[b]);
}

Value PairTiles::extentOf(Axis axis) {
  Value size = block.i64(sizes[axis]);
  return firsts[axis] ? arith::SubIOp::create(builder, loc, size, firsts[axis]).getResult() : size;
}

Type PairTiles::typeOf(ArrayRef<Axis> axes, Type element) const {
  if (axes.empty())
    return element;
  SmallVector<int64_t> shape;
  for (Axis axis : axes)
    shape.push_back(padded[axis]);
  return RankedTensorType::get(shape, element);
}

PairValue PairTiles::constant(double value) {
  return {arith::ConstantOp::create(builder, loc, builder.getFloatAttr(real, value)), {}, 0};
}

Value PairTiles::spread(const PairValue &own, ArrayRef<Axis> axes) {
  Value value = own.value;
  Type type = typeOf(axes, getElementTypeOrSelf(value.getType()));
  if (own.axes.size() == axes.size())
    return value;
  if (own.axes.empty()) {
    // A constant stays one.
    Attribute attribute;
    if (matchPattern(value, m_Constant(&attribute)))
      return arith::ConstantOp::create(builder, loc,
                                       DenseElementsAttr::get(cast<ShapedType>(type), attribute));
    return tensor::SplatOp::create(builder, loc, cast<RankedTensorType>(type), value);
  }
  const uint32_t added = own.axes[0] == axes[0] ? 1 : 0;
  return tile::BroadcastOp::create(builder, loc, type, value, added);
}

std::optional<Axes> PairTiles::united(ArrayRef<PairValue> values) {
  Axes all;
  for (const PairValue &value : values)
    for (Axis axis : value.axes)
      if (!llvm::is_contained(all, axis))
        all.push_back(axis);
  llvm::sort(all);
  return all.size() <= 2 ? std::optional(all) : std::nullopt;
}

Axes PairTiles::unify(MutableArrayRef<PairValue> values) {
  Axes axes = *united(values);
  for (PairValue &value : values)
    value = {spread(value, axes), axes, 0};
  return axes;
}

PairValue PairTiles::select(const PairValue &condition, const PairValue &whenTrue,
                            const PairValue &whenFalse) {
  PairValue all[] = {condition, whenTrue, whenFalse};
  Axes axes = unify(all);
  return {arith::SelectOp::create(builder, loc, all[0].value, all[1].value, all[2].value), axes, 0};
}

PairValue PairTiles::add(const PairValue &a, const PairValue &b) {
  PairValue both[] = {a, b};
  Axes axes = unify(both);
  return {arith::AddFOp::create(builder, loc, both[0].value, both[1].value,
                                arith::FastMathFlags::contract),
          axes, 0};
}

PairValue PairTiles::multiply(const PairValue &a, const PairValue &b) {
  PairValue both[] = {a, b};
  Axes axes = unify(both);
  return {arith::MulFOp::create(builder, loc, both[0].value, both[1].value,
                                arith::FastMathFlags::contract),
          axes, 0};
}

PairValue PairTiles::number(const PairValue &index) {
  if (index.value)
    return index;
  Type i32 = builder.getI32Type();
  auto scalar = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(int32_t(value)));
  };
  if (index.axes.empty())
    return {scalar(index.offset), {}, 0};
  const Axis axis = index.axes[0];
  Value own = tile::IotaOp::create(builder, loc, cast<RankedTensorType>(typeOf({axis}, i32)), 0);
  Value first = axis == kRow ? firstRow : axis == kColumn ? firstColumn : firsts[axis];
  if (first && axis >= kFirstFeature)
    first = arith::TruncIOp::create(builder, loc, i32, first);
  if (first && index.offset)
    first = arith::AddIOp::create(builder, loc, first, scalar(index.offset));
  else if (index.offset)
    first = scalar(index.offset);
  if (first)
    own = arith::AddIOp::create(builder, loc, own, spread({first, {}, 0}, {axis}));
  return {own, {axis}, 0};
}

PairValue PairTiles::withoutPadding(const PairValue &value) {
  PairValue result = value;
  for (Axis axis : value.axes) {
    if (axis < kFirstFeature || !isPadded(axis))
      continue;
    PairValue exists = number(PairValue::along(axis)), size = number(PairValue::index(sizes[axis]));
    PairValue both[] = {exists, size};
    unify(both);
    exists.value = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, both[0].value,
                                         both[1].value);
    result =
        select(exists, result, {block.zero(getElementTypeOrSelf(value.value.getType())), {}, 0});
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value PairTiles::combine(ReduceKind kind, Value a, Value b) {
  switch (kind) {
  case ReduceKind::Sum:
    return arith::AddFOp::create(builder, loc, a, b);
  case ReduceKind::Prod:
    return arith::MulFOp::create(builder, loc, a, b);
  case ReduceKind::Max:
  case ReduceKind::Min: {
    Value isFirst = arith::CmpFOp::create(
        builder, loc,
        kind == ReduceKind::Max ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT, a, b);
    return arith::SelectOp::create(builder, loc, isFirst, a, b);
  }
  case ReduceKind::LogSumExp:
    return BinaryOp::create(builder, loc, BinaryFn::LogAddExp, a, b);
  }
  llvm_unreachable("every reduction is handled");
}

PairValue PairTiles::identity(ReduceKind kind) {
  const double infinity = std::numeric_limits<double>::infinity();
  return constant(kind == ReduceKind::Sum    ? 0
                  : kind == ReduceKind::Prod ? 1
                  : kind == ReduceKind::Min  ? infinity
                                             : -infinity);
}

PairValue PairTiles::reduce(const PairValue &value, Axis axis, ReduceKind kind) {
  PairValue input = value;
  if (!input.varies(axis)) {
    Axes axes = input.axes;
    axes.push_back(axis);
    llvm::sort(axes);
    input = {spread(input, axes), axes, 0};
  }
  if (axis >= kFirstFeature && isPadded(axis)) {
    PairValue places = number(PairValue::along(axis));
    PairValue both[] = {places, number(PairValue::index(sizes[axis]))};
    unify(both);
    places.value = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, both[0].value,
                                         both[1].value);
    input = select(places, input, identity(kind));
  }
  const auto dim = static_cast<uint32_t>(llvm::find(input.axes, axis) - input.axes.begin());
  Axes rest(input.axes);
  llvm::erase(rest, axis);
  auto reduced = tile::ReduceOp::create(builder, loc, TypeRange{typeOf(rest, real)},
                                        ValueRange{input.value}, dim);
  OpBuilder::InsertionGuard guard(builder);
  Block *body = builder.createBlock(&reduced.getBody());
  Value a = body->addArgument(real, loc), b = body->addArgument(real, loc);
  Value combined = combine(kind, a, b);
  tile::YieldOp::create(builder, loc, ValueRange{combined});
  return {reduced.getResult(0), rest, 0};
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The bf16 tile that a tile of reals has the values of, or null.
static Value narrow(OpBuilder &builder, Location loc, Value tile) {
  if (auto extended = tile.getDefiningOp<arith::ExtFOp>())
    return getElementTypeOrSelf(extended.getIn().getType()).isBF16() ? extended.getIn() : Value();
  Type type = cast<RankedTensorType>(tile.getType()).clone(builder.getBF16Type());
  if (matchPattern(tile, m_AnyZeroFloat()))
    return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  auto select = tile.getDefiningOp<arith::SelectOp>();
  if (!select)
    return {};
  Value whenTrue = narrow(builder, loc, select.getTrueValue());
  Value whenFalse = whenTrue ? narrow(builder, loc, select.getFalseValue()) : Value();
  if (!whenFalse)
    return {};
  return arith::SelectOp::create(builder, loc, select.getCondition(), whenTrue, whenFalse);
}

PairFactor PairProducts::cut(Value tile) {
  OpBuilder &builder = tiles.builder;
  Location loc = tiles.loc;
  if (tiles.real.isF32())
    if (Value narrowed = narrow(builder, loc, tile))
      return {{narrowed}};
  auto type = cast<RankedTensorType>(tile.getType());
  if (tiles.real.isF64() || type.getElementType().isF64()) {
    tile = convertReal(builder, loc, tile, tiles.real);
    type = cast<RankedTensorType>(tile.getType());
  }
  if (type.getElementType().isBF16() || tiles.real.isF64())
    return {{tile}};
  const bool isHalf = type.getElementType().isF16();
  Type f32 = type.clone(builder.getF32Type()), bf16 = type.clone(builder.getBF16Type());
  Value rest = isHalf ? arith::ExtFOp::create(builder, loc, f32, tile).getResult() : tile;
  PairFactor result;
  // Two parts are all bits of an f16.
  for (int64_t part = 0, count = isHalf ? 2 : order; part < count; ++part) {
    Value rounded = arith::TruncFOp::create(builder, loc, bf16, rest);
    result.parts.push_back(rounded);
    if (part + 1 < count)
      rest = arith::SubFOp::create(builder, loc, rest,
                                   arith::ExtFOp::create(builder, loc, f32, rounded));
  }
  return result;
}

PairFactor PairProducts::park(const PairFactor &factor) {
  OpBuilder &builder = tiles.builder;
  PairFactor memories;
  for (Value part : factor.parts) {
    auto type = cast<RankedTensorType>(part.getType());
    const int64_t row = type.getDimSize(1) * type.getElementTypeBitWidth() / 8;
    const unsigned swizzle = row >= 128 ? 128 : row >= 64 ? 64 : row >= 32 ? 32 : 0;
    Type shared =
        tile::SmemType::get(builder.getContext(), type.getShape(), type.getElementType(), swizzle);
    memories.parts.push_back(tile::AllocSmemOp::create(builder, tiles.loc, shared, IntegerAttr()));
    tile::StoreOp::create(builder, tiles.loc, part, memories.parts.back(),
                          /*transposed=*/false);
  }
  return memories;
}

PairFactor PairProducts::fetch(const PairFactor &memories, bool transposed) {
  PairFactor result;
  for (Value memory : memories.parts) {
    auto type = cast<tile::SmemType>(memory.getType());
    SmallVector<int64_t> shape(type.getShape());
    if (transposed)
      std::swap(shape[0], shape[1]);
    result.parts.push_back(tile::LoadOp::create(tiles.builder, tiles.loc,
                                                RankedTensorType::get(shape, type.getElementType()),
                                                memory, transposed));
  }
  return result;
}

bool PairProducts::takesShared(Axis row, Axis feature) {
  const int64_t bytes =
      tiles.paddedOf(row) * tiles.paddedOf(feature) * (tiles.real.isF64() ? 8 : 2 * order);
  if (parkedBytes + bytes > kMostParked)
    return false;
  parkedBytes += bytes;
  return true;
}

bool PairProducts::takesRegisters(const PairFactor &factor) {
  int64_t bits = 0;
  for (Value part : factor.parts) {
    auto type = cast<RankedTensorType>(part.getType());
    bits += kRowsOfWarp * type.getDimSize(1) * type.getElementTypeBitWidth();
  }
  constexpr int64_t kWarpBits = 1024; // of a register in all threads
  const bool isDivided = tiles.sizeOf(kRow) == kRowsOfWarp;
  if (bits > kMostRegisters * kWarpBits ||
      takenBits + bits > (isDivided ? kMostOfDivided : kMostRegisters) * kWarpBits)
    return false;
  takenBits += bits;
  return true;
}

Value PairProducts::multiply(const PairFactor &a, const PairFactor &b, Value sum) {
  for (size_t i = 0; i < a.parts.size(); ++i)
    for (size_t j = 0; j < b.parts.size(); ++j)
      if (int64_t(i + j) < order)
        sum = tile::DotOp::create(tiles.builder, tiles.loc, a.parts[i], b.parts[j], sum);
  return sum;
}

} // namespace seqmix::gpu
