//===- Memory.cpp - frames and pointers ----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Memory.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace seqmix;

Type seqmix::framePointerType(MLIRContext *context) { return LLVM::LLVMPointerType::get(context); }

namespace {
Value loadSlot(OpBuilder &builder, Location loc, Value frame, int64_t slot, Type type) {
  Value address = LLVM::GEPOp::create(builder, loc, frame.getType(), builder.getI64Type(), frame,
                                      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(slot)});
  auto load = LLVM::LoadOp::create(builder, loc, type, address);
  // Nobody writes the frame while a kernel runs.
  load.setInvariant(true);
  return load;
}
} // namespace

Value seqmix::loadIndexSlot(OpBuilder &builder, Location loc, Value frame, int64_t slot) {
  return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                    loadSlot(builder, loc, frame, slot, builder.getI64Type()));
}

Value seqmix::loadPointerSlot(OpBuilder &builder, Location loc, Value frame, int64_t slot) {
  return loadSlot(builder, loc, frame, slot, frame.getType());
}

Value seqmix::isGiven(OpBuilder &builder, Location loc, Value pointer) {
  Value null = LLVM::ZeroOp::create(builder, loc, pointer.getType());
  return LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::ne, pointer, null);
}

Value seqmix::advance(OpBuilder &builder, Location loc, Value pointer, Value bytes) {
  Value amount = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), bytes);
  return LLVM::GEPOp::create(builder, loc, pointer.getType(), builder.getI8Type(), pointer,
                             ArrayRef<LLVM::GEPArg>{amount});
}

Value seqmix::advance(OpBuilder &builder, Location loc, Value pointer, int64_t bytes) {
  if (bytes == 0)
    return pointer;
  Value amount = arith::ConstantIndexOp::create(builder, loc, bytes);
  return advance(builder, loc, pointer, amount);
}

Value seqmix::memrefAt(OpBuilder &builder, Location loc, Value pointer, MemRefType type,
                       Value stride) {
  SmallVector<int64_t> strides;
  int64_t offset;
  [[maybe_unused]] auto known = type.getStridesAndOffset(strides, offset);
  assert(succeeded(known) && "the layout is strided");
  auto i64 = builder.getI64Type();
  SmallVector<Type> fields = {pointer.getType(), pointer.getType(), i64};
  if (type.getRank() > 0)
    fields.append(2, LLVM::LLVMArrayType::get(i64, type.getRank()));
  auto descriptorType = LLVM::LLVMStructType::getLiteral(builder.getContext(), fields);
  Value descriptor = LLVM::PoisonOp::create(builder, loc, descriptorType);
  auto insert = [&](Value value, ArrayRef<int64_t> position) {
    descriptor = LLVM::InsertValueOp::create(builder, loc, descriptor, value, position);
  };
  auto constant = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(builder, loc, i64, builder.getI64IntegerAttr(value));
  };
  insert(pointer, {0});
  insert(pointer, {1});
  insert(constant(0), {2});
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    // A dynamic size is only there to say that nobody relies on it.
    insert(constant(type.isDynamicDim(dim) ? 0 : type.getDimSize(dim)), {3, dim});
    if (!ShapedType::isDynamic(strides[dim]))
      insert(constant(strides[dim]), {4, dim});
    else
      insert(arith::IndexCastOp::create(builder, loc, i64, stride), {4, dim});
  }
  return UnrealizedConversionCastOp::create(builder, loc, type, descriptor).getResult(0);
}

Value seqmix::flatMemref(OpBuilder &builder, Location loc, Value pointer, Type element) {
  return memrefAt(builder, loc, pointer, MemRefType::get({ShapedType::kDynamic}, element));
}
