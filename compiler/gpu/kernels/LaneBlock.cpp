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

void LaneBlock::noteLoop(Operation *loop) {
  if (!firstLoop || (loop->getBlock() == firstLoop->getBlock() && loop->isBeforeInBlock(firstLoop)))
    firstLoop = loop;
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
  case SEQ_I64:
    return builder.getI64Type();
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

static int64_t productOf(ArrayRef<int64_t> extents) {
  int64_t product = 1;
  for (int64_t extent : extents)
    product *= extent;
  return product;
}

AmountPlan LaneBlock::keptBytes(const MixerPlan &plan, int64_t bytes, bool isOfTokens) {
  AmountPlan result;
  result.number = bytes;
  if (isOfTokens)
    result.factors.push_back({SEQ_FACTOR_TILES, 0, 1});
  for (auto [number, dim] : llvm::enumerate(plan.dims))
    if (dim.kind == SEQ_DIM_BATCH && (number || !isOfTokens))
      result.factors.push_back({SEQ_FACTOR_DIM, static_cast<int32_t>(number), 1});
  return result;
}

AmountPlan LaneBlock::keptBytes(const MixerPlan &plan, SeqDType dtype, bool isOfTokens,
                                ArrayRef<int64_t> extents, int32_t places) {
  const int64_t bytes = dtype == SEQ_F64 ? 8 : dtype == SEQ_BOOL ? 1 : 4;
  // Where the tokens enter, the factor has all elements of the first batch dim.
  const int64_t between = places < 0 ? 0 : freePlaces(plan, places).value_or(0);
  AmountPlan result = keptBytes(plan, productOf(extents) * bytes, isOfTokens || between > 0);
  if (between > 0)
    result.factors.front() = {SEQ_FACTOR_PLACES, places, between};
  else if (places >= 0)
    result.factors.push_back({SEQ_FACTOR_DIM, places, 1});
  return result;
}

Value LaneBlock::keptRow() {
  auto add = [&](Value a, Value b) -> Value { return arith::AddIOp::create(builder, loc, a, b); };
  auto multiply = [&](Value a, Value b) -> Value {
    return arith::MulIOp::create(builder, loc, a, b);
  };
  // Sequences stand one after the other, for each element of the other batch dims.
  Value all = frameSlot(SEQ_DEVICE_FIRST + plan.tokenDim), first = i64(0), total = all;
  if (plan.dims[0].kind == SEQ_DIM_BATCH) {
    Value isPacked = isGiven(argument(SEQ_ARGUMENT_SEQLENS, 0));
    first = arith::SelectOp::create(builder, loc, isPacked, begin, multiply(batchIndices[0], all));
    total = arith::SelectOp::create(builder, loc, isPacked, all,
                                    multiply(frameSlot(SEQ_DEVICE_FIRST), all));
  }
  Value other = i64(0);
  for (auto [dim, own] : llvm::enumerate(plan.dims))
    if (own.kind == SEQ_DIM_BATCH && dim)
      other = add(multiply(other, frameSlot(SEQ_DEVICE_FIRST + static_cast<int64_t>(dim))),
                  batchIndices[dim]);
  return add(multiply(other, total), first);
}

LaneArray LaneBlock::kept(int32_t region, SeqDType dtype, bool isOfTokens,
                          ArrayRef<int64_t> extents, int32_t places) {
  OpBuilder::InsertionGuard guard(builder);
  enterFront();
  Value place = places >= 0 ? keptPlace(places) : isOfTokens ? keptRow() : batchElement();
  LaneArray array;
  array.dtype = dtype;
  int64_t stride = 1;
  for (int64_t extent : llvm::reverse(extents)) {
    array.strides.insert(array.strides.begin(), i64(stride));
    stride *= extent;
  }
  if (isOfTokens || places >= 0)
    array.strides.insert(array.strides.begin(), i64(stride));
  Value base = workspace(region);
  Value offset = arith::MulIOp::create(builder, loc, place, i64(stride));
  array.base = LLVM::GEPOp::create(builder, loc, base.getType(), storageType(dtype), base,
                                   ArrayRef<LLVM::GEPArg>{offset});
  return array;
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

} // namespace seqmix::gpu
