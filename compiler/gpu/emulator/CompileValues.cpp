//===- CompileValues.cpp - constants, vectors and structs --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/ProgramCompiler.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

/// The bits of an attribute's numbers, in order.
LogicalResult bitsOf(Attribute attribute, SmallVectorImpl<uint64_t> &bits) {
  if (auto integer = dyn_cast<IntegerAttr>(attribute)) {
    bits.push_back(integer.getValue().getZExtValue());
    return success();
  }
  if (auto number = dyn_cast<FloatAttr>(attribute)) {
    bits.push_back(number.getValue().bitcastToAPInt().getZExtValue());
    return success();
  }
  if (auto dense = dyn_cast<DenseIntElementsAttr>(attribute)) {
    for (const APInt &value : dense.getValues<APInt>())
      bits.push_back(value.getZExtValue());
    return success();
  }
  if (auto dense = dyn_cast<DenseFPElementsAttr>(attribute)) {
    for (const APFloat &value : dense.getValues<APFloat>())
      bits.push_back(value.bitcastToAPInt().getZExtValue());
    return success();
  }
  if (auto array = dyn_cast<ArrayAttr>(attribute)) {
    for (Attribute element : array)
      if (failed(bitsOf(element, bits)))
        return failure();
    return success();
  }
  return failure();
}

/// The first piece of the element at that place, and how many it has.
std::pair<unsigned, unsigned> piecesAt(Type type, ArrayRef<int64_t> position) {
  unsigned first = 0;
  for (int64_t index : position) {
    if (auto record = dyn_cast<LLVM::LLVMStructType>(type)) {
      for (Type member : record.getBody().take_front(index))
        first += layoutOf(member)->pieces.size();
      type = record.getBody()[index];
    } else {
      type = cast<LLVM::LLVMArrayType>(type).getElementType();
      first += index * layoutOf(type)->pieces.size();
    }
  }
  return {first, layoutOf(type)->pieces.size()};
}

} // namespace

LogicalResult ProgramCompiler::compileConstant(Operation *op) {
  if (auto number = dyn_cast<LLVM::ConstantOp>(op)) {
    SmallVector<uint64_t> bits;
    size_t count = layoutOf(number.getType())->pieces.size();
    if (failed(bitsOf(number.getValue(), bits)) || (bits.size() != count && bits.size() != 1))
      return op->emitError("the emulator does not know this constant");
    Registers registers;
    for (size_t i = 0; i < count; ++i)
      registers.push_back(constant(bits[bits.size() == 1 ? 0 : i]));
    set(number.getResult(), registers);
    return success();
  }
  if (isa<LLVM::UndefOp, LLVM::PoisonOp, LLVM::ZeroOp>(op)) {
    size_t count = layoutOf(op->getResult(0).getType())->pieces.size();
    set(op->getResult(0), Registers(count, constant(0)));
    return success();
  }
  return compileStructure(op);
}

LogicalResult ProgramCompiler::compileStructure(Operation *op) {
  Location loc = op->getLoc();
  if (auto extract = dyn_cast<LLVM::ExtractValueOp>(op)) {
    auto [first, count] = piecesAt(extract.getContainer().getType(), extract.getPosition());
    Registers whole = get(extract.getContainer());
    set(extract.getRes(), Registers(ArrayRef<uint32_t>(whole).slice(first, count)));
    return success();
  }
  if (auto insert = dyn_cast<LLVM::InsertValueOp>(op)) {
    Registers whole = get(insert.getContainer());
    Registers part = get(insert.getValue());
    unsigned first = piecesAt(insert.getContainer().getType(), insert.getPosition()).first;
    llvm::copy(part, whole.begin() + first);
    set(insert.getRes(), whole);
    return success();
  }
  if (auto extract = dyn_cast<LLVM::ExtractElementOp>(op)) {
    Registers whole = get(extract.getVector());
    if (auto fixed = extract.getPosition().getDefiningOp<LLVM::ConstantOp>()) {
      uint64_t at = cast<IntegerAttr>(fixed.getValue()).getValue().getZExtValue();
      if (at >= whole.size())
        return op->emitError("an element behind the end of the vector");
      set(extract.getRes(), {whole[at]});
      return success();
    }
    uint32_t list = program->operands.size();
    llvm::append_range(program->operands, whole);
    uint32_t result =
        emitValue(Opcode::PickByIndex, loc, Scalar(), list, getOne(extract.getPosition()));
    program->code.back().count = whole.size();
    set(extract.getRes(), {result});
    return success();
  }
  if (auto insert = dyn_cast<LLVM::InsertElementOp>(op)) {
    Registers whole = get(insert.getVector());
    uint32_t value = getOne(insert.getValue());
    if (auto fixed = insert.getPosition().getDefiningOp<LLVM::ConstantOp>()) {
      uint64_t at = cast<IntegerAttr>(fixed.getValue()).getValue().getZExtValue();
      if (at >= whole.size())
        return op->emitError("an element behind the end of the vector");
      whole[at] = value;
    } else {
      uint32_t index = getOne(insert.getPosition());
      for (auto [i, element] : llvm::enumerate(whole))
        element = emitValue(Opcode::SelectByIndex, loc, Scalar(), index, value, element, i);
    }
    set(insert.getRes(), whole);
    return success();
  }
  if (auto shuffle = dyn_cast<LLVM::ShuffleVectorOp>(op)) {
    Registers both = get(shuffle.getV1()), results;
    llvm::append_range(both, get(shuffle.getV2()));
    for (int32_t index : shuffle.getMask())
      results.push_back(index < 0 ? constant(0) : both[index]);
    set(shuffle.getRes(), results);
    return success();
  }
  // Hints without an effect on what a kernel computes.
  if (isa<LLVM::AssumeOp, LLVM::LifetimeStartOp, LLVM::LifetimeEndOp, LLVM::NoAliasScopeDeclOp,
          LLVM::Prefetch>(op))
    return success();
  if (auto call = dyn_cast<LLVM::CallIntrinsicOp>(op))
    return compileIntrinsicCall(call);
  return compileArithmetic(op);
}

LogicalResult ProgramCompiler::placeConstant(LLVM::GlobalOp global, uint64_t &address) {
  FailureOr<TypeLayout> layout = layoutAt(global, global.getGlobalType());
  if (failed(layout))
    return failure();
  std::vector<uint8_t> &data = program->constantData;
  uint64_t begin = llvm::alignTo(data.size(), std::max<uint64_t>(layout->alignment, 16));
  data.resize(begin + layout->size);
  address = constantBase + begin;
  Attribute value = global.getValueOrNull();
  SmallVector<uint64_t> bits;
  if (auto text = dyn_cast_or_null<StringAttr>(value)) {
    for (char letter : text.getValue())
      bits.push_back(uint8_t(letter));
  } else if (!value || !global.getConstant() || failed(bitsOf(value, bits))) {
    return global.emitError("in global memory the emulator has constants with numbers only");
  }
  if (bits.size() != layout->pieces.size() && bits.size() != 1)
    return global.emitError("a value that does not have the type of the constant");
  for (auto [i, piece] : llvm::enumerate(layout->pieces))
    std::memcpy(&data[begin + piece.offset], &bits[bits.size() == 1 ? 0 : i], piece.scalar.bytes());
  return success();
}

} // namespace seqmix::gpu
