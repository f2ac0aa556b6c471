//===- BlockTiles.cpp - products of tiles, and running products --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/BlockTiles.h"

#include "dialect/tile/Tile.h"

using namespace mlir;

namespace seqmix::gpu {

static RankedTensorType withElement(Value tile, Type element) {
  return RankedTensorType::get(cast<RankedTensorType>(tile.getType()).getShape(), element);
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

Value BlockTiles::multiply(Value a, Value b) {
  return arith::MulFOp::create(builder, loc, a, b, arith::FastMathFlags::contract);
}

Value BlockTiles::add(Value a, Value b) {
  return arith::AddFOp::create(builder, loc, a, b, arith::FastMathFlags::contract);
}

Value BlockTiles::select(Value condition, Value tile, double other) {
  return arith::SelectOp::create(builder, loc, condition, tile,
                                 expr.constant(other, tile.getType()));
}

Value BlockTiles::zeros(const BlockFrame &frame) {
  return expr.constant(0, BlockExpr::tileType(frame, block.real));
}

Value BlockTiles::broadcast(Value tile, unsigned dim, const BlockFrame &frame) {
  return tile::BroadcastOp::create(builder, loc, BlockExpr::tileType(frame, block.real), tile, dim);
}

Value BlockTiles::pick(Value tile, unsigned dim, int64_t place) {
  auto type = cast<RankedTensorType>(tile.getType());
  auto rest = RankedTensorType::get({type.getDimSize(1 - dim)}, type.getElementType());
  return tile::PickOp::create(builder, loc, rest, tile, dim, static_cast<int32_t>(place));
}

Value BlockTiles::places(const BlockFrame &frame, unsigned dim) {
  return tile::IotaOp::create(builder, loc, BlockExpr::tileType(frame, builder.getI32Type()), dim);
}

Value BlockTiles::compare(arith::CmpIPredicate predicate, Value a, Value b) {
  return arith::CmpIOp::create(builder, loc, predicate, a, b);
}

Value BlockTiles::integer(int32_t value, Value like) {
  return arith::ConstantOp::create(builder, loc,
                                   DenseElementsAttr::get(cast<RankedTensorType>(like.getType()),
                                                          builder.getI32IntegerAttr(value)));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Parts BlockTiles::split(Value tile, unsigned count) {
  RankedTensorType narrow = withElement(tile, builder.getBF16Type());
  Parts parts = {arith::TruncFOp::create(builder, loc, narrow, tile)};
  while (parts.size() < count) {
    Value last = arith::ExtFOp::create(builder, loc, tile.getType(), parts.back());
    tile = arith::SubFOp::create(builder, loc, tile, last);
    parts.push_back(arith::TruncFOp::create(builder, loc, narrow, tile));
  }
  return parts;
}

Value BlockTiles::join(const Parts &parts) {
  Value sum;
  for (Value part : llvm::reverse(parts)) {
    Value wide = arith::ExtFOp::create(builder, loc, withElement(part, block.real), part);
    sum = sum ? add(sum, wide) : wide;
  }
  return sum;
}

Value BlockTiles::transpose(Value tile) {
  auto type = cast<RankedTensorType>(tile.getType());
  auto turned =
      RankedTensorType::get({type.getDimSize(1), type.getDimSize(0)}, type.getElementType());
  return tile::TransposeOp::create(builder, loc, turned, tile);
}

Parts BlockTiles::transpose(const Parts &parts) {
  return llvm::map_to_vector<2>(parts, [&](Value part) { return transpose(part); });
}

Value BlockTiles::dot(const Parts &a, const Parts &b, Value sum) {
  for (size_t small = std::max(a.size(), b.size()); small-- > 0;) // the smaller products first
    for (size_t i = 0; i <= small; ++i)
      if (i < a.size() && small - i < b.size())
        sum = tile::DotOp::create(builder, loc, sum.getType(), a[i], b[small - i], sum);
  return sum;
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

Parts BlockTiles::allocate(int64_t rows, int64_t columns, unsigned parts) {
  auto type = tile::SmemType::get(builder.getContext(), {rows, columns}, builder.getBF16Type(),
                                  static_cast<unsigned>(std::min<int64_t>(128, 2 * columns)));
  Parts result;
  for (unsigned part = 0; part < parts; ++part)
    result.push_back(tile::AllocSmemOp::create(builder, loc, type, IntegerAttr()));
  return result;
}

Value BlockTiles::allocate(const BlockFrame &frame) {
  SmallVector<int64_t> shape(BlockExpr::tileType(frame, block.real).getShape());
  const int64_t swizzle = shape.size() == 2 ? std::min<int64_t>(128, 4 * shape[1]) : 0;
  auto type = tile::SmemType::get(builder.getContext(), shape, builder.getF32Type(),
                                  static_cast<unsigned>(swizzle));
  return tile::AllocSmemOp::create(builder, loc, type, IntegerAttr());
}

void BlockTiles::store(Value tile, Value shared, bool transposed) {
  tile::StoreOp::create(builder, loc, tile, shared, transposed);
}

Value BlockTiles::load(Value shared, bool transposed) {
  auto type = cast<tile::SmemType>(shared.getType());
  SmallVector<int64_t> shape(type.getShape());
  if (transposed)
    std::swap(shape[0], shape[1]);
  return tile::LoadOp::create(builder, loc, RankedTensorType::get(shape, type.getElementType()),
                              shared, transposed);
}

Value BlockTiles::element(Value shared, int64_t place) {
  auto type = cast<tile::SmemType>(shared.getType());
  return tile::LoadElementOp::create(builder, loc, type.getElementType(), shared, block.i64(place));
}

void BlockTiles::store(const Parts &parts, ArrayRef<Value> shared) {
  for (auto [part, tile] : llvm::zip_equal(parts, shared))
    store(part, tile);
}

Parts BlockTiles::load(ArrayRef<Value> shared, bool transposed) {
  Parts parts;
  for (Value tile : shared)
    parts.push_back(load(tile, transposed));
  return parts;
}

Value BlockTiles::least(Value tile) {
  for (Type type : {Type(RankedTensorType::get(
                        {cast<RankedTensorType>(tile.getType()).getDimSize(0)}, block.real)),
                    block.real}) {
    const bool isMatrix = isa<RankedTensorType>(type);
    auto reduce =
        tile::ReduceOp::create(builder, loc, TypeRange{type}, ValueRange{tile}, isMatrix ? 1 : 0);
    OpBuilder::InsertionGuard guard(builder);
    Block *body = builder.createBlock(&reduce.getBody(), {}, {block.real, block.real}, {loc, loc});
    Value both = arith::MinNumFOp::create(builder, loc, body->getArgument(0), body->getArgument(1));
    tile::YieldOp::create(builder, loc, both);
    tile = reduce.getResult(0);
  }
  return tile;
}

//===----------------------------------------------------------------------===//
// Running products
//===----------------------------------------------------------------------===//

/// Elements are triples: the product, that without the last element, whether a group begins in it.
BlockTiles::Products BlockTiles::products(Value tile, const BlockFrame &frame, int64_t group,
                                          bool reverse) {
  Value ones = expr.constant(1, tile.getType());
  SmallVector<Value> inputs = {tile, ones};
  if (group) {
    Value place = places(frame, 0);
    Value inGroup =
        arith::AndIOp::create(builder, loc, place, integer(static_cast<int32_t>(group - 1), place));
    inputs.push_back(compare(arith::CmpIPredicate::eq, inGroup,
                             integer(reverse ? static_cast<int32_t>(group - 1) : 0, place)));
  }
  SmallVector<Type> types, scalars;
  for (Value input : inputs) {
    types.push_back(input.getType());
    scalars.push_back(getElementTypeOrSelf(input.getType()));
  }
  const size_t count = inputs.size();
  auto scan = tile::ScanOp::create(builder, loc, types, inputs, 0, reverse);
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Type> arguments = llvm::to_vector(llvm::concat<Type>(scalars, scalars));
  Block *body = builder.createBlock(&scan.getBody(), {}, arguments,
                                    SmallVector<Location>(arguments.size(), loc));
  auto first = [&](size_t i) -> Value { return body->getArgument(i); };
  auto second = [&](size_t i) -> Value { return body->getArgument(count + i); };
  SmallVector<Value> results;
  for (size_t i : {0, 1}) {
    Value both = arith::MulFOp::create(builder, loc, first(0), second(i));
    if (group)
      both = arith::SelectOp::create(builder, loc, second(2), second(i), both);
    results.push_back(both);
  }
  if (group)
    results.push_back(arith::OrIOp::create(builder, loc, first(2), second(2)));
  tile::YieldOp::create(builder, loc, results);
  return {scan.getResult(0), scan.getResult(1)};
}

} // namespace seqmix::gpu
