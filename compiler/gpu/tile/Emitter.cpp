//===- Emitter.cpp - scalar code of a thread ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <map>

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {

Value Emitter::i32(int64_t value) {
  return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(int32_t(value)));
}

Value Emitter::i64(int64_t value) {
  return arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(value));
}

Value Emitter::zero(Type type) {
  return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
}

Value Emitter::threadId() {
  return copy(NVVM::ThreadIdXOp::create(builder, loc, builder.getI32Type()));
}

Value Emitter::laneId() { return arith::AndIOp::create(builder, loc, threadId(), i32(31)); }

Value Emitter::apply(const LinearMap &map, Value number) {
  std::map<int, uint32_t> masks; // by how far bits move to the left
  for (auto [bit, column] : llvm::enumerate(map.bits()))
    for (unsigned place = 0; place < 32; ++place)
      if (column >> place & 1)
        masks[int(place) - int(bit)] |= 1U << bit;
  Value result;
  for (auto [distance, mask] : masks) {
    Value part = arith::AndIOp::create(builder, loc, number, i32(mask));
    if (distance > 0)
      part = arith::ShLIOp::create(builder, loc, part, i32(distance));
    else if (distance < 0)
      part = arith::ShRUIOp::create(builder, loc, part, i32(-distance));
    result = result ? arith::XOrIOp::create(builder, loc, result, part) : part;
  }
  return result ? result : i32(0);
}

Value Emitter::copy(Value number) {
  Operation *around = builder.getInsertionBlock()->getParentOp();
  while (around && !around->hasAttr(inPlaceName))
    around = around->getParentOp();
  if (!around)
    return number;
  const StringRef text =
      number.getType().isInteger(64) ? "mov.b64 {$w0}, {$r0};" : "mov.b32 {$w0}, {$r0};";
  return NVVM::InlinePtxOp::create(builder, loc, TypeRange{number.getType()}, ValueRange{number},
                                   ValueRange{}, text, Value())
      ->getResult(0);
}

Value Emitter::xorWith(Value value, uint32_t mask) {
  return mask ? arith::XOrIOp::create(builder, loc, value, i32(mask)) : value;
}

Value Emitter::hasBits(Value value, uint32_t mask, bool set) {
  Value bits = arith::AndIOp::create(builder, loc, value, i32(mask));
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, bits, i32(set ? mask : 0));
}

Value Emitter::threadCoordinate(const Layout &layout, unsigned dim) {
  SmallVector<uint32_t> columns;
  for (uint32_t element : layout.threadBases())
    columns.push_back(layout.coordinates(element)[dim]);
  return apply(LinearMap(columns), threadId());
}

Value Emitter::shuffle(Value value, Value lane) { return shuffle(value, lane, false); }
Value Emitter::shuffleXor(Value value, uint32_t mask) { return shuffle(value, i32(mask), true); }

Value Emitter::shuffle(Value value, Value lane, bool isXor) {
  Type type = value.getType();
  const unsigned bits = type.getIntOrFloatBitWidth();
  Type integer = builder.getIntegerType(bits);
  auto cast = [&](Value from, Type to) -> Value {
    return from.getType() == to ? from : LLVM::BitcastOp::create(builder, loc, to, from);
  };
  if (bits == 64) {
    // As two words.
    Value whole = cast(value, integer), result;
    for (unsigned shift : {0, 32}) {
      Value part = arith::ShRUIOp::create(builder, loc, whole, i64(shift));
      part = arith::TruncIOp::create(builder, loc, builder.getI32Type(), part);
      part = arith::ExtUIOp::create(builder, loc, integer, shuffle(part, lane, isXor));
      part = arith::ShLIOp::create(builder, loc, part, i64(shift));
      result = result ? arith::OrIOp::create(builder, loc, result, part) : part;
    }
    return cast(result, type);
  }
  if (bits != 32) {
    Value word = arith::ExtUIOp::create(builder, loc, builder.getI32Type(), cast(value, integer));
    return cast(arith::TruncIOp::create(builder, loc, integer, shuffle(word, lane, isXor)), type);
  }
  return NVVM::ShflOp::create(builder, loc, type, i32(-1), value, lane, i32(31),
                              isXor ? NVVM::ShflKind::bfly : NVVM::ShflKind::idx, UnitAttr());
}

Registers Emitter::unpack(Value vector) {
  auto type = dyn_cast<VectorType>(vector.getType());
  if (!type)
    return {vector};
  Registers elements;
  for (int64_t i = 0; i < type.getNumElements(); ++i)
    elements.push_back(LLVM::ExtractElementOp::create(builder, loc, vector, i32(i)));
  return elements;
}

Value Emitter::pack(ArrayRef<Value> elements) {
  if (elements.size() == 1)
    return elements[0];
  auto type = VectorType::get(elements.size(), elements[0].getType());
  Value vector = LLVM::PoisonOp::create(builder, loc, type);
  for (auto [i, element] : llvm::enumerate(elements))
    vector = LLVM::InsertElementOp::create(builder, loc, vector, element, i32(i));
  return vector;
}

Value Emitter::packWord(Value low, Value high) {
  return LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), pack({low, high}));
}

} // namespace seqmix::gpu
