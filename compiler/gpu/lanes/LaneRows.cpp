//===- LaneRows.cpp - rows that a group of threads divides -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Where a thread would have too many rows of a state, a group of n threads of one warp divides
// them: tiles then have a second dim, the place in the group, and thread g has rows g, n + g and so
// on, in a register each. What does not depend on rows is the same in all threads of a group. A sum
// over rows is that of a thread's own rows, and then one along the second dim. Rows behind the last
// one are loaded as zero, not stored, and left out of reductions.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/LaneExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

bool LaneExpr::isRows(Attribute dim) const {
  return llvm::any_of(block.shape.rowDims, [&](int32_t number) {
    return cast<FlatSymbolRefAttr>(dim).getValue() == block.plan.dims[number].name;
  });
}

bool LaneExpr::dependsOnRow(ArrayRef<BlockArgument> arguments) const {
  return llvm::any_of(arguments, [&](BlockArgument argument) {
    const Place place = bindings.lookup(argument);
    return place.group || (place.rest && isa<RankedTensorType>(place.rest.getType()));
  });
}

int64_t LaneExpr::elementsOfThread(Operation *symbol) const {
  int64_t count = 1;
  bool hasLanes = false, hasRows = false;
  for (auto dim : chunk::dimsOf(symbol).getAsRange<FlatSymbolRefAttr>()) {
    if (isLanes(dim) && !std::exchange(hasLanes, true))
      continue;
    const int64_t size = std::max<int64_t>(sizeOf(dim), 1);
    count *= isRows(dim) && !std::exchange(hasRows, true)
                 ? llvm::divideCeil(size, block.shape.group)
                 : size;
  }
  return count;
}

Value LaneExpr::combineRows(Value value, llvm::function_ref<Value(Value, Value)> combine) {
  value = block.splat(value);
  Type tile = value.getType(), element = getElementTypeOrSelf(tile);
  Type vector = RankedTensorType::get({block.shape.lanes}, element);
  auto reduce = tile::ReduceOp::create(builder, block.loc, TypeRange{vector}, ValueRange{value},
                                       /*dim=*/1);
  {
    OpBuilder::InsertionGuard guard(builder);
    Block &body = reduce.getBody().emplaceBlock();
    body.addArguments({element, element}, {block.loc, block.loc});
    builder.setInsertionPointToEnd(&body);
    tile::YieldOp::create(builder, block.loc,
                          ValueRange{combine(body.getArgument(0), body.getArgument(1))});
  }
  return tile::BroadcastOp::create(builder, block.loc, tile, reduce.getOutputs()[0], /*dim=*/1);
}

/// What a thread of the group carries at a row that is the same for all threads.
std::optional<Value> LaneExpr::carriedByOther(StringAttr name, LaneElement element,
                                              int64_t distance) {
  size_t at = 0;
  for (auto dim : chunk::dimsOf(symbol(name)).getAsRange<FlatSymbolRefAttr>()) {
    if (sizeOf(dim) < 0)
      continue;
    if (!isRows(dim)) {
      ++at;
      continue;
    }
    const int64_t row = element[at];
    if (row < 0)
      return std::nullopt;
    element[at] = -2 - row / block.shape.group;
    auto found = carried->find({name, element, distance});
    if (found == carried->end())
      return std::nullopt;
    Value value = found->second;
    auto tile = cast<RankedTensorType>(value.getType());
    const bool isTruth = tile.getElementType().isInteger(1);
    Type stored = isTruth ? Type(builder.getI32Type()) : tile.getElementType();
    if (isTruth)
      value = arith::ExtUIOp::create(builder, block.loc, block.tileOf(stored), value);
    Type vector = RankedTensorType::get({block.shape.lanes}, stored);
    value = tile::PickOp::create(builder, block.loc, vector, value, /*dim=*/1,
                                 static_cast<int32_t>(row % block.shape.group));
    value = tile::BroadcastOp::create(builder, block.loc, block.tileOf(stored), value, /*dim=*/1);
    return isTruth ? arith::TruncIOp::create(builder, block.loc, tile, value).getResult() : value;
  }
  return std::nullopt;
}

} // namespace seqmix::gpu
