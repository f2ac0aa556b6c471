//===- LaneBlock.cpp - the memory that a block of threads works on ----------------===//
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

static constexpr unsigned kGlobal = 1; // address space

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

std::vector<SeqArgument> LaneBlock::arguments(const MixerPlan &plan, int32_t regions) {
  std::vector<SeqArgument> result;
  auto add = [&](int32_t kind, size_t count) {
    for (size_t i = 0; i < count; ++i)
      result.push_back({kind, static_cast<int32_t>(i)});
  };
  add(SEQ_ARGUMENT_TENSOR, plan.tensors.size());
  add(SEQ_ARGUMENT_CARRY_IN, plan.components.size());
  add(SEQ_ARGUMENT_CARRY_OUT, plan.components.size());
  add(SEQ_ARGUMENT_WORKSPACE, static_cast<size_t>(regions));
  add(SEQ_ARGUMENT_SEQLENS, 1);
  add(SEQ_ARGUMENT_FRAME, 1);
  return result;
}

int64_t LaneBlock::frameSlots(const MixerPlan &plan) {
  int64_t slots = SEQ_DEVICE_FIRST + static_cast<int64_t>(plan.dims.size());
  for (const TensorPlan &tensor : plan.tensors)
    slots += static_cast<int64_t>(tensor.axes.size());
  for (const ComponentPlan &component : plan.components)
    slots += 2 * static_cast<int64_t>(component.axes.size());
  return slots;
}

LLVM::LLVMFunctionType LaneBlock::functionType(MLIRContext *context, const MixerPlan &plan,
                                               int32_t regions) {
  SmallVector<Type> types(arguments(plan, regions).size(),
                          LLVM::LLVMPointerType::get(context, kGlobal));
  types.back() = LLVM::LLVMPointerType::get(context);
  return LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
}

void LaneBlock::markFrame(LLVM::LLVMFuncOp kernel, unsigned argument, const MixerPlan &plan) {
  Builder builder(kernel.getContext());
  Type frame = LLVM::LLVMArrayType::get(builder.getI64Type(), frameSlots(plan));
  kernel.setArgAttr(argument, LLVM::LLVMDialect::getByValAttrName(), TypeAttr::get(frame));
  kernel.setArgAttr(argument, LLVM::LLVMDialect::getAlignAttrName(), builder.getI64IntegerAttr(8));
  kernel.setArgAttr(argument, NVVM::NVVMDialect::getGridConstantAttrName(), builder.getUnitAttr());
}

Value LaneBlock::argument(int32_t kind, int32_t index) {
  for (auto [number, argument] : llvm::enumerate(arguments(plan, regions)))
    if (argument.kind == kind && argument.index == index)
      return kernel.getArgument(number);
  llvm_unreachable("kernels have all arguments");
}

LaneBlock::LaneBlock(const MixerPlan &plan, const LaneShape &shape, LLVM::LLVMFuncOp kernel,
                     Type real, int32_t regions)
    : builder(kernel.getContext()), loc(kernel.getLoc()), plan(plan), shape(shape), real(real),
      kernel(kernel), regions(regions) {
  builder.setInsertionPointToEnd(kernel.addEntryBlock(builder));
  findTask();
  findSequence();
  first = i64(0);
  end = tokens;
}

Value LaneBlock::i64(int64_t value) {
  return arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(value));
}

Value LaneBlock::zero(Type type) {
  return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
}

Value LaneBlock::frameSlot(int64_t slot) {
  Value &known = slots[slot];
  if (known)
    return known;
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  Value frame = argument(SEQ_ARGUMENT_FRAME, 0);
  Value at = LLVM::GEPOp::create(builder, loc, frame.getType(), builder.getI64Type(), frame,
                                 ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(slot)});
  return known = LLVM::LoadOp::create(builder, loc, builder.getI64Type(), at);
}

void LaneBlock::enterFront() {
  if (firstLoop)
    builder.setInsertionPoint(firstLoop);
}

Value LaneBlock::isGiven(Value pointer) {
  Value number = LLVM::PtrToIntOp::create(builder, loc, builder.getI64Type(), pointer);
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, number, i64(0));
}

//===----------------------------------------------------------------------===//
// The block's task
//===----------------------------------------------------------------------===//

/// Blocks along x: the lanes of the first batch dim's elements; along y: the other batch dims.
void LaneBlock::findTask() {
  auto wide = [&](Value number) -> Value {
    return arith::ExtUIOp::create(builder, loc, builder.getI64Type(), number);
  };
  Type i32 = builder.getI32Type();
  Value x = wide(NVVM::BlockIdXOp::create(builder, loc, i32));
  Value y = wide(NVVM::BlockIdYOp::create(builder, loc, i32));
  Value blocks = i64(shape.blocks);
  firstLane = arith::MulIOp::create(builder, loc, arith::RemUIOp::create(builder, loc, x, blocks),
                                    i64(shape.lanes));
  batchIndices.resize(plan.dims.size());
  for (int32_t dim = static_cast<int32_t>(plan.dims.size()) - 1; dim >= 0; --dim) {
    if (plan.dims[dim].kind != SEQ_DIM_BATCH)
      continue;
    if (dim == 0) {
      batchIndices[dim] = arith::DivUIOp::create(builder, loc, x, blocks);
      continue;
    }
    Value extent = frameSlot(SEQ_DEVICE_FIRST + dim);
    batchIndices[dim] = arith::RemUIOp::create(builder, loc, y, extent);
    y = arith::DivUIOp::create(builder, loc, y, extent);
  }
}

Value LaneBlock::batchElement() {
  Value number = i64(0);
  for (auto [dim, own] : llvm::enumerate(plan.dims)) {
    if (own.kind != SEQ_DIM_BATCH)
      continue;
    Value extent = frameSlot(SEQ_DEVICE_FIRST + static_cast<int64_t>(dim));
    number = arith::AddIOp::create(
        builder, loc, arith::MulIOp::create(builder, loc, number, extent), batchIndices[dim]);
  }
  return number;
}

void LaneBlock::findSequence() {
  Value all = frameSlot(SEQ_DEVICE_FIRST + plan.tokenDim);
  if (plan.dims[0].kind != SEQ_DIM_BATCH) {
    tokens = all;
    return;
  }
  Value lengths = argument(SEQ_ARGUMENT_SEQLENS, 0);
  Type wide = builder.getI64Type();
  auto ends = [&](Type type) {
    return [=, this](OpBuilder &, Location) {
      SmallVector<Value> bounds;
      for (int64_t next : {0, 1}) {
        Value number = arith::AddIOp::create(builder, loc, batchIndices[0], i64(next));
        Value at =
            arith::MulIOp::create(builder, loc, number, frameSlot(SEQ_DEVICE_SEQLENS_STRIDE));
        Value address = LLVM::GEPOp::create(builder, loc, lengths.getType(), type, lengths,
                                            ArrayRef<LLVM::GEPArg>{at});
        Value bound = LLVM::LoadOp::create(builder, loc, type, address);
        bounds.push_back(type == wide ? bound : arith::ExtSIOp::create(builder, loc, wide, bound));
      }
      scf::YieldOp::create(builder, loc, bounds);
    };
  };
  auto choose = [&](Value condition, auto whenTrue, auto whenFalse) {
    auto choice =
        scf::IfOp::create(builder, loc, TypeRange{wide, wide}, condition, /*withElse=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    whenTrue(builder, loc);
    builder.setInsertionPointToStart(choice.elseBlock());
    whenFalse(builder, loc);
    return choice;
  };
  // Slots are loaded here, not in a branch.
  Value bits = frameSlot(SEQ_DEVICE_SEQLENS_BITS);
  frameSlot(SEQ_DEVICE_SEQLENS_STRIDE);
  Value isNarrow = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, bits, i64(32));
  auto bounds = choose(
      isGiven(lengths),
      [&](OpBuilder &, Location) {
        auto packed = choose(isNarrow, ends(builder.getI32Type()), ends(wide));
        scf::YieldOp::create(builder, loc, packed.getResults());
      },
      [&](OpBuilder &, Location) { scf::YieldOp::create(builder, loc, ValueRange{i64(0), all}); });
  begin = bounds.getResult(0);
  tokens = arith::SubIOp::create(builder, loc, bounds.getResult(1), begin);
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

Type LaneBlock::storageType(SeqDType dtype) {
  switch (dtype) {
  case SEQ_F64:
    return builder.getF64Type();
  case SEQ_F32:
    return builder.getF32Type();
  case SEQ_BF16:
    return builder.getBF16Type();
  case SEQ_F16:
    return builder.getF16Type();
  case SEQ_I32:
    return builder.getI32Type();
  default:
    return builder.getI8Type();
  }
}

Value LaneBlock::conjunction(Value a, Value b) {
  return a && b ? arith::AndIOp::create(builder, loc, a, b).getResult() : a ? a : b;
}

/// Strides of the axes stand in the frame from `firstSlot` on.
LaneArray LaneBlock::makeArray(Value base, ArrayRef<AxisPlan> axes, int64_t firstSlot,
                               SeqDType dtype, bool isOfTokens) {
  LaneArray array;
  array.dtype = dtype;
  Value offset = i64(0);
  auto advance = [&](Value number, Value stride) {
    offset = arith::AddIOp::create(builder, loc, offset,
                                   arith::MulIOp::create(builder, loc, number, stride));
  };
  SmallVector<bool> isOwn(plan.dims.size(), false);
  auto onlyIf = [&](Value number) {
    array.isWritten =
        conjunction(array.isWritten,
                    arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, number, i64(0)));
  };
  for (auto [number, axis] : llvm::enumerate(axes)) {
    Value stride = frameSlot(firstSlot + static_cast<int64_t>(number));
    if (axis.slot >= 0) {
      if (axis.slot >= static_cast<int32_t>(array.strides.size()))
        array.strides.resize(axis.slot + 1);
      array.strides[axis.slot] = stride;
      if (isOfTokens && axis.dim == plan.tokenDim && begin)
        advance(begin, stride);
      continue;
    }
    Value index = batchIndex(axis.dim);
    isOwn[axis.dim] = true;
    if (axis.div > 1) {
      onlyIf(arith::RemUIOp::create(builder, loc, index, i64(axis.div)));
      index = arith::DivUIOp::create(builder, loc, index, i64(axis.div));
    }
    advance(index, stride);
  }
  for (auto [dim, own] : llvm::enumerate(isOwn))
    if (plan.dims[dim].kind == SEQ_DIM_BATCH && !own)
      onlyIf(batchIndex(static_cast<int32_t>(dim)));
  array.base = LLVM::GEPOp::create(builder, loc, base.getType(), storageType(dtype), base,
                                   ArrayRef<LLVM::GEPArg>{offset});
  return array;
}

const LaneArray &LaneBlock::tensor(int32_t number) {
  auto [entry, isNew] = tensors.try_emplace(number);
  if (isNew) {
    OpBuilder::InsertionGuard guard(builder);
    enterFront();
    int64_t first = SEQ_DEVICE_FIRST + static_cast<int64_t>(plan.dims.size());
    for (int32_t before = 0; before < number; ++before)
      first += static_cast<int64_t>(plan.tensors[before].axes.size());
    const TensorPlan &tensor = plan.tensors[number];
    LaneArray array = makeArray(argument(SEQ_ARGUMENT_TENSOR, number), tensor.axes, first,
                                tensor.dtype, tensor.role != SEQ_ROLE_PARAM);
    return tensors[number] = std::move(array);
  }
  return entry->second;
}

static int64_t firstSlotOfComponent(const MixerPlan &plan, int32_t component, bool isOut) {
  int64_t slot = SEQ_DEVICE_FIRST + static_cast<int64_t>(plan.dims.size());
  for (const TensorPlan &tensor : plan.tensors)
    slot += static_cast<int64_t>(tensor.axes.size());
  for (int32_t before = 0; before < component; ++before)
    slot += 2 * static_cast<int64_t>(plan.components[before].axes.size());
  return slot + (isOut ? static_cast<int64_t>(plan.components[component].axes.size()) : 0);
}

const LaneArray &LaneBlock::carryIn(int32_t component) {
  auto [entry, isNew] = ins.try_emplace(component);
  if (!isNew)
    return entry->second;
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  const ComponentPlan &own = plan.components[component];
  Value base = argument(SEQ_ARGUMENT_CARRY_IN, component);
  LaneArray array = makeArray(base, own.axes, firstSlotOfComponent(plan, component, false),
                              own.dtype, /*isOfTokens=*/false);
  array.isThere = isGiven(base);
  return ins[component] = std::move(array);
}

const LaneArray &LaneBlock::carryOut(int32_t component) {
  auto [entry, isNew] = outs.try_emplace(component);
  if (!isNew)
    return entry->second;
  const ComponentPlan &own = plan.components[component];
  Value base = argument(SEQ_ARGUMENT_CARRY_OUT, component);
  LaneArray array = makeArray(base, own.axes, firstSlotOfComponent(plan, component, true),
                              own.dtype, /*isOfTokens=*/false);
  array.isThere = conjunction(isGiven(base), isEnding);
  return outs[component] = std::move(array);
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

RankedTensorType LaneBlock::tileOf(Type element) const {
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

Value LaneBlock::address(const LaneArray &array, ArrayRef<Place> places, Value token,
                         Value &laneStride, int64_t &size) {
  Value offset;
  auto advance = [&](Value number, Value stride) {
    Value more = arith::MulIOp::create(builder, loc, number, stride);
    offset = offset ? arith::AddIOp::create(builder, loc, offset, more).getResult() : more;
  };
  for (auto [place, stride] : llvm::zip_equal(places, array.strides)) {
    if (place.constant)
      advance(i64(place.constant), stride);
    if (place.token)
      advance(token, stride);
    if (place.rest)
      advance(place.rest, stride);
    if (place.lane) {
      size = laneStride ? std::min(size, place.lanes) : place.lanes;
      laneStride =
          laneStride ? arith::AddIOp::create(builder, loc, laneStride, stride).getResult() : stride;
      advance(firstLane, stride);
    }
  }
  if (!offset)
    return array.base;
  return LLVM::GEPOp::create(builder, loc, array.base.getType(), storageType(array.dtype),
                             array.base, ArrayRef<LLVM::GEPArg>{offset});
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
  Value laneStride;
  int64_t size = 0;
  Value at = address(array, places, token, laneStride, size);
  Type type = storageType(array.dtype);
  if (laneStride) {
    Value count = lanesThatExist(size, exists);
    SmallVector<Value> counts;
    if (count)
      counts.push_back(count);
    Value tile = tile::LoadGlobalOp::create(
        builder, loc, tileOf(type), at, ValueRange{laneStride},
        builder.getDenseI64ArrayAttr({ShapedType::kDynamic}), counts,
        builder.getDenseI64ArrayAttr({count ? ShapedType::kDynamic : shape.lanes}),
        builder.getI64IntegerAttr(0));
    return widen(tile, array.dtype);
  }
  if (!exists)
    return widen(LLVM::LoadOp::create(builder, loc, type, at), array.dtype);
  auto choice = scf::IfOp::create(builder, loc, TypeRange{type}, exists, /*withElse=*/true);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    Value element = LLVM::LoadOp::create(builder, loc, type, at);
    scf::YieldOp::create(builder, loc, element);
    builder.setInsertionPointToStart(choice.elseBlock());
    scf::YieldOp::create(builder, loc, zero(type));
  }
  return widen(choice.getResult(0), array.dtype);
}

void LaneBlock::store(const LaneArray &array, ArrayRef<Place> places, Value token, Value value) {
  Value isWanted = conjunction(array.isThere, array.isWritten);
  Value laneStride;
  int64_t size = 0;
  Value at = address(array, places, token, laneStride, size);
  value = splat(narrow(value, array.dtype));
  Value count;
  if (laneStride) {
    count = lanesThatExist(size, isWanted);
  } else {
    // The first lane of all has it.
    isWanted = conjunction(isWanted, isFirstOfLanes());
    count = arith::SelectOp::create(builder, loc, isWanted, i64(1), i64(0));
    laneStride = i64(0);
  }
  SmallVector<Value> counts;
  if (count)
    counts.push_back(count);
  tile::StoreGlobalOp::create(
      builder, loc, value, at, ValueRange{laneStride},
      builder.getDenseI64ArrayAttr({ShapedType::kDynamic}), counts,
      builder.getDenseI64ArrayAttr({count ? ShapedType::kDynamic : shape.lanes}),
      builder.getI64IntegerAttr(0));
}

Value LaneBlock::position() {
  if (sequencePosition)
    return sequencePosition;
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  if (plan.startsAtZero)
    return sequencePosition = i64(0);
  const LaneArray &before = carryIn(static_cast<int32_t>(plan.components.size()) - 1);
  SmallVector<Place> places(before.strides.size(), Place::of(0));
  return sequencePosition = load(before, places, Value());
}

void LaneBlock::storePosition() {
  auto number = static_cast<int32_t>(plan.components.size()) - 1;
  const LaneArray &before = carryIn(number), &after = carryOut(number);
  // A mixer without batch dims has an axis of its own.
  SmallVector<Place> places(before.strides.size(), Place::of(0));
  // Only the lane that writes it may read it, as both may be in the same place.
  Value isWriter = conjunction(conjunction(after.isWritten, isEnding), isFirstOfLanes());
  Value isRead = conjunction(isWriter, before.isThere), none = i64(0), laneStride;
  int64_t size = 0;
  Value count = arith::SelectOp::create(builder, loc, isRead, i64(1), none);
  Value position = tile::LoadGlobalOp::create(
      builder, loc, tileOf(storageType(before.dtype)),
      address(before, places, Value(), laneStride, size), ValueRange{none},
      builder.getDenseI64ArrayAttr({ShapedType::kDynamic}), count,
      builder.getDenseI64ArrayAttr({ShapedType::kDynamic}), builder.getI64IntegerAttr(0));
  // Other threads have the lane, too, where there are more threads than lanes.
  if (shape.threads > shape.lanes)
    tile::BarrierOp::create(builder, loc);
  position = arith::AddIOp::create(builder, loc, widen(position, before.dtype), splat(tokens));
  store(after, places, Value(), position);
}

} // namespace seqmix::gpu
