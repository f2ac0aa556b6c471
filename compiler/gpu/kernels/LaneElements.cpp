//===- LaneElements.cpp - the elements that lanes load and store ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/LaneBlock.h"

#include "dialect/tile/Tile.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace seqmix::gpu {

RankedTensorType LaneBlock::tileOf(Type element) const {
  if (shape.group > 1)
    return RankedTensorType::get({shape.lanes, shape.group}, element);
  return RankedTensorType::get({shape.lanes}, element);
}

Value LaneBlock::splat(Value scalar) {
  return isa<RankedTensorType>(scalar.getType())
             ? scalar
             : tensor::SplatOp::create(builder, loc, tileOf(scalar.getType()), scalar).getResult();
}

Value LaneBlock::places() {
  if (lanePlaces)
    return lanePlaces;
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  Value own = tile::IotaOp::create(builder, loc, tileOf(builder.getI32Type()), 0);
  own = arith::ExtUIOp::create(builder, loc, tileOf(builder.getI64Type()), own);
  return lanePlaces = arith::AddIOp::create(builder, loc, own, splat(firstLane));
}

Value LaneBlock::groupPlaces() {
  if (threadPlaces)
    return threadPlaces;
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  Value own = tile::IotaOp::create(builder, loc, tileOf(builder.getI32Type()), 1);
  return threadPlaces = arith::ExtUIOp::create(builder, loc, tileOf(builder.getI64Type()), own);
}

Value LaneBlock::rowExists(const Place &row) {
  if (row.constant + shape.group <= row.rows)
    return {};
  Value own = groupPlaces(), count = splat(i64(row.rows - row.constant));
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, own, count);
}

Value LaneBlock::sharedRow(Type element) {
  // In front of the loops: rows of neighbouring tokens have different places, so that one barrier
  // between them is enough.
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  auto type = tile::SmemType::get(builder.getContext(), {shape.lanes}, element, /*swizzle=*/0);
  return tile::AllocSmemOp::create(builder, loc, type, IntegerAttr());
}

/// How many lanes exist along a dim of that size, none where the condition (if any) does not hold;
/// null for all.
Value LaneBlock::lanesThatExist(int64_t size, Value condition) {
  Value count;
  if (size != shape.lanes * shape.blocks) {
    if (shape.blocks == 1) {
      count = i64(size);
    } else {
      if (!existing) {
        OpBuilder::InsertionGuard guard(builder);
        enterFront();
        existing = arith::SubIOp::create(builder, loc, i64(size), firstLane);
      }
      count = existing;
    }
  }
  if (!condition)
    return count;
  return arith::SelectOp::create(builder, loc, condition, count ? count : i64(shape.lanes), i64(0));
}

Value LaneBlock::isFirstOfLanes() {
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, firstLane, i64(0));
}

LaneBlock::Access LaneBlock::address(const LaneArray &array, ArrayRef<Place> places, Value token) {
  Access access;
  Value offset;
  auto advance = [&](Value number, Value stride) {
    Value more = arith::MulIOp::create(builder, loc, number, stride);
    offset = offset ? arith::AddIOp::create(builder, loc, offset, more).getResult() : more;
  };
  auto both = [&](Value one, Value other) {
    return one ? arith::AddIOp::create(builder, loc, one, other).getResult() : other;
  };
  for (auto [place, stride] : llvm::zip_equal(places, array.strides)) {
    if (place.constant)
      advance(i64(place.constant), stride);
    if (place.token)
      advance(token, stride);
    if (place.rest)
      advance(place.rest, stride);
    if (place.lane) {
      access.size = access.laneStride ? std::min(access.size, place.lanes) : place.lanes;
      access.laneStride = both(access.laneStride, stride);
      advance(firstLane, stride);
    }
    if (place.group) {
      const int64_t rows = std::min(place.rows - place.constant, shape.group);
      access.rows = access.rowStride ? std::min(access.rows, rows) : rows;
      access.rowStride = both(access.rowStride, stride);
    }
  }
  access.at =
      offset ? LLVM::GEPOp::create(builder, loc, array.base.getType(), storageType(array.dtype),
                                   array.base, ArrayRef<LLVM::GEPArg>{offset})
                   .getResult()
             : array.base;
  return access;
}

namespace {
/// Numbers of an access's dims, as its op has them.
struct Numbers {
  SmallVector<int64_t> constants;
  SmallVector<Value> values;
  void add(Value value, int64_t constant) {
    constants.push_back(value ? ShapedType::kDynamic : constant);
    if (value)
      values.push_back(value);
  }
};
} // namespace

Value LaneBlock::loadTile(const Access &access, Type element) {
  Numbers strides, counts;
  strides.add(access.laneStride, 0);
  counts.add(access.lanes, shape.lanes);
  if (shape.group > 1) {
    strides.add(access.rowStride, 0);
    const bool isWhole = !access.rowStride || access.rows == shape.group;
    counts.add(isWhole ? Value() : i64(access.rows), shape.group);
  }
  return tile::LoadGlobalOp::create(builder, loc, tileOf(element), access.at, strides.values,
                                    builder.getDenseI64ArrayAttr(strides.constants), counts.values,
                                    builder.getDenseI64ArrayAttr(counts.constants),
                                    builder.getI64IntegerAttr(0));
}

void LaneBlock::storeTile(const Access &access, Value value) {
  Numbers strides, counts;
  strides.add(access.laneStride, 0);
  counts.add(access.lanes, shape.lanes);
  if (shape.group > 1) {
    // What all threads of a group have, the first writes.
    strides.add(access.rowStride, 0);
    const int64_t rows = access.rowStride ? access.rows : 1;
    counts.add(rows == shape.group ? Value() : i64(rows), shape.group);
  }
  tile::StoreGlobalOp::create(builder, loc, value, access.at, strides.values,
                              builder.getDenseI64ArrayAttr(strides.constants), counts.values,
                              builder.getDenseI64ArrayAttr(counts.constants),
                              builder.getI64IntegerAttr(0));
}

Value convertReal(OpBuilder &builder, Location loc, Value value, Type element) {
  Type type = value.getType(), own = getElementTypeOrSelf(type);
  if (own == element)
    return value;
  Type wanted = element;
  if (auto tile = dyn_cast<RankedTensorType>(type))
    wanted = tile.clone(element);
  if (own.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
    return arith::ExtFOp::create(builder, loc, wanted, value);
  return arith::TruncFOp::create(builder, loc, wanted, value);
}

/// In the type of values.
Value LaneBlock::widen(Value value, SeqDType dtype) {
  Type type = value.getType();
  auto shaped = [&](Type element) -> Type {
    return isa<RankedTensorType>(type) ? tileOf(element) : element;
  };
  switch (dtype) {
  case SEQ_I64:
    return value;
  case SEQ_I32:
    return arith::ExtSIOp::create(builder, loc, shaped(builder.getI64Type()), value);
  case SEQ_BOOL: {
    Value none = zero(type);
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value, none);
  }
  default:
    return convertReal(builder, loc, value, real);
  }
}

Value LaneBlock::narrow(Value value, SeqDType dtype) {
  Type type = value.getType();
  Type own = storageType(dtype);
  Type wanted = isa<RankedTensorType>(type) ? Type(tileOf(own)) : own;
  switch (dtype) {
  case SEQ_I64:
    return value;
  case SEQ_I32:
    // The carry has truth values as integers, too.
    return getElementTypeOrSelf(type).isInteger(1)
               ? arith::ExtUIOp::create(builder, loc, wanted, value).getResult()
               : arith::TruncIOp::create(builder, loc, wanted, value).getResult();
  case SEQ_BOOL:
    return arith::ExtUIOp::create(builder, loc, wanted, value);
  default:
    return convertReal(builder, loc, value, own);
  }
}

Value LaneBlock::load(const LaneArray &array, ArrayRef<Place> places, Value token, Value exists) {
  exists = conjunction(exists, array.isThere);
  Access access = address(array, places, token);
  Type type = storageType(array.dtype);
  if (access.laneStride || access.rowStride) {
    // Lanes that have an element in common may all load it.
    const int64_t size = access.laneStride ? access.size : shape.lanes * shape.blocks;
    access.lanes = lanesThatExist(size, exists);
    return widen(loadTile(access, type), array.dtype);
  }
  if (!exists)
    return widen(LLVM::LoadOp::create(builder, loc, type, access.at), array.dtype);
  auto choice = scf::IfOp::create(builder, loc, TypeRange{type}, exists, /*withElse=*/true);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    Value element = LLVM::LoadOp::create(builder, loc, type, access.at);
    scf::YieldOp::create(builder, loc, element);
    builder.setInsertionPointToStart(choice.elseBlock());
    scf::YieldOp::create(builder, loc, zero(type));
  }
  return widen(choice.getResult(0), array.dtype);
}

void LaneBlock::store(const LaneArray &array, ArrayRef<Place> places, Value token, Value value) {
  Value isWanted = conjunction(array.isThere, array.isWritten);
  Access access = address(array, places, token);
  if (access.laneStride) {
    access.lanes = lanesThatExist(access.size, isWanted);
  } else {
    // The first lane of all has it.
    isWanted = conjunction(isWanted, isFirstOfLanes());
    access.lanes = arith::SelectOp::create(builder, loc, isWanted, i64(1), i64(0));
    access.laneStride = i64(0);
  }
  storeTile(access, splat(narrow(value, array.dtype)));
}

//===----------------------------------------------------------------------===//
// Positions
//===----------------------------------------------------------------------===//

/// Bits of a position that are its own.
static constexpr int64_t kPositionBits = 32;
static constexpr StringLiteral kDeviceScope = "device";

Value LaneBlock::position() {
  if (sequencePosition)
    return sequencePosition;
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  if (plan.startsAtZero)
    return sequencePosition = i64(0);
  const LaneArray &before = carryIn(static_cast<int32_t>(plan.components.size()) - 1);
  auto choice = scf::IfOp::create(builder, loc, TypeRange{builder.getI64Type()}, before.isThere,
                                  /*withElse=*/true);
  builder.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(builder, loc, i64(0));
  builder.setInsertionPointToStart(choice.thenBlock());
  Value counted = LLVM::LoadOp::create(builder, loc, builder.getI64Type(), before.base,
                                       /*alignment=*/8, /*isVolatile=*/false,
                                       /*isNonTemporal=*/false, /*isInvariant=*/false,
                                       /*isInvariantGroup=*/false, LLVM::AtomicOrdering::monotonic,
                                       kDeviceScope);
  Value own = arith::AndIOp::create(builder, loc, counted, i64((int64_t(1) << kPositionBits) - 1));
  scf::YieldOp::create(builder, loc, own);
  return sequencePosition = choice.getResult(0);
}

void LaneBlock::storePosition() {
  if (readsPosition())
    return countIn();
  auto number = static_cast<int32_t>(plan.components.size()) - 1;
  const LaneArray &before = carryIn(number), &after = carryOut(number);
  // A mixer without batch dims has an axis of its own.
  SmallVector<Place> places(before.strides.size(), Place::of(0));
  // Only the lane that writes it may read it, as both may be in the same place.
  Value isWriter = conjunction(conjunction(after.isWritten, isEnding), isFirstOfLanes());
  Value isRead = conjunction(isWriter, before.isThere), none = i64(0);
  Access access = address(before, places, Value());
  access.lanes = arith::SelectOp::create(builder, loc, isRead, i64(1), none);
  access.laneStride = none;
  Value position = loadTile(access, storageType(before.dtype));
  // Other threads have the lane, too, where there are more threads than lanes.
  if (shape.threads > shape.lanes)
    tile::BarrierOp::create(builder, loc);
  position = arith::AddIOp::create(builder, loc, widen(position, before.dtype), splat(tokens));
  store(after, places, Value(), position);
}

void LaneBlock::countIn() {
  auto number = static_cast<int32_t>(plan.components.size()) - 1;
  const LaneArray &before = carryIn(number), &after = carryOut(number);
  Type i32 = builder.getI32Type(), wide = builder.getI64Type();
  auto widened = [&](Value value) -> Value {
    return arith::ExtUIOp::create(builder, loc, wide, value);
  };
  auto multiply = [&](Value a, Value b) -> Value {
    return arith::MulIOp::create(builder, loc, a, b);
  };
  auto isSame = [&](Value a, Value b) -> Value {
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, a, b);
  };
  // Of each sequence as many blocks come here, from all of the grid.
  Value readers = multiply(multiply(widened(NVVM::GridDimXOp::create(builder, loc, i32)),
                                    widened(NVVM::GridDimYOp::create(builder, loc, i32))),
                           widened(NVVM::GridDimZOp::create(builder, loc, i32)));
  for (const AxisPlan &axis : plan.components[number].axes)
    if (axis.slot < 0)
      readers =
          arith::DivUIOp::create(builder, loc, readers, frameSlot(SEQ_DEVICE_FIRST + axis.dim));
  Value behind = arith::AddIOp::create(builder, loc, position(), tokens);
  Value isWritten = conjunction(after.isThere, conjunction(after.isWritten, isFirstOfLanes()));
  Value isInPlace = isSame(LLVM::PtrToIntOp::create(builder, loc, wide, before.base),
                           LLVM::PtrToIntOp::create(builder, loc, wide, after.base));
  Value isThere = isGiven(argument(SEQ_ARGUMENT_CARRY_OUT, number));
  tile::BarrierOp::create(builder, loc); // all threads of the block have read
  Value isFirst = isSame(NVVM::ThreadIdXOp::create(builder, loc, i32),
                         arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(0)));
  auto write = [&](Value condition) {
    auto choice = scf::IfOp::create(builder, loc, condition, /*withElse=*/false);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    LLVM::StoreOp::create(builder, loc, behind, after.base, /*alignment=*/8, /*isVolatile=*/false,
                          /*isNonTemporal=*/false, /*isInvariantGroup=*/false,
                          LLVM::AtomicOrdering::monotonic, kDeviceScope);
  };
  auto own = scf::IfOp::create(builder, loc, conjunction(isFirst, isThere), /*withElse=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(own.thenBlock());
  auto place = scf::IfOp::create(builder, loc, isInPlace, /*withElse=*/true);
  builder.setInsertionPointToStart(place.thenBlock());
  Value counted = LLVM::AtomicRMWOp::create(
      builder, loc, LLVM::AtomicBinOp::add, after.base, i64(int64_t(1) << kPositionBits),
      LLVM::AtomicOrdering::monotonic, kDeviceScope, /*alignment=*/8);
  Value earlier = arith::ShRUIOp::create(builder, loc, counted, i64(kPositionBits));
  write(isSame(arith::AddIOp::create(builder, loc, earlier, i64(1)), readers));
  builder.setInsertionPointToStart(place.elseBlock());
  write(isWritten);
}

} // namespace seqmix::gpu
