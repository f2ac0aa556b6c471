//===- CompileMemory.cpp - addresses, loads and stores -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/ProgramCompiler.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

FailureOr<Space> spaceOf(Operation *op, Type pointer) {
  auto type = dyn_cast<LLVM::LLVMPointerType>(pointer);
  unsigned number = type ? type.getAddressSpace() : ~0U;
  if (number == Generic || number == Global || number == Shared || number == Constant ||
      number == Local || number == Param)
    return Space(number);
  return op->emitError("the emulator has no memory behind ") << pointer;
}

} // namespace

FailureOr<uint32_t> ProgramCompiler::makeAccess(Operation *op, Type type, Value pointer,
                                                uint64_t alignment, Registers registers) {
  FailureOr<TypeLayout> layout = layoutAt(op, type);
  FailureOr<Space> space = spaceOf(op, pointer.getType());
  if (failed(layout) || failed(space))
    return failure();
  if (!layout->inMemory)
    return op->emitError("the emulator does not keep ") << type << " in memory";
  Access access;
  access.pieces = layout->pieces;
  access.extent = layout->extent;
  access.alignment = alignment ? alignment : layout->alignment;
  access.registers = std::move(registers);
  access.space = *space;
  program->accesses.push_back(std::move(access));
  return program->accesses.size() - 1;
}

LogicalResult ProgramCompiler::compileMemory(Operation *op) {
  Location loc = op->getLoc();
  if (auto load = dyn_cast<LLVM::LoadOp>(op)) {
    Registers results = newRegisters(layoutOf(load.getType())->pieces.size());
    FailureOr<uint32_t> access =
        makeAccess(op, load.getType(), load.getAddr(), load.getAlignment().value_or(0), results);
    if (failed(access))
      return failure();
    program->accesses[*access].isAtomic = load.getOrdering() != LLVM::AtomicOrdering::not_atomic;
    uint32_t address = getOne(load.getAddr());
    Instruction &made = emit(Opcode::Load, loc);
    made.a = address;
    made.immediate = *access;
    set(load.getRes(), results);
    return success();
  }
  if (auto store = dyn_cast<LLVM::StoreOp>(op)) {
    FailureOr<uint32_t> access =
        makeAccess(op, store.getValue().getType(), store.getAddr(),
                   store.getAlignment().value_or(0), get(store.getValue()));
    if (failed(access))
      return failure();
    program->accesses[*access].isAtomic = store.getOrdering() != LLVM::AtomicOrdering::not_atomic;
    uint32_t address = getOne(store.getAddr());
    Instruction &made = emit(Opcode::Store, loc);
    made.a = address;
    made.immediate = *access;
    return success();
  }
  if (auto alloca = dyn_cast<LLVM::AllocaOp>(op)) {
    auto count = alloca.getArraySize().getDefiningOp<LLVM::ConstantOp>();
    FailureOr<TypeLayout> layout = layoutAt(op, alloca.getElemType());
    FailureOr<Space> space = spaceOf(op, alloca.getType());
    if (failed(layout) || failed(space))
      return failure();
    if (!count || (*space != Generic && *space != Local))
      return op->emitError("the emulator allocates fixed numbers of elements in local memory only");
    uint64_t alignment = std::max<uint64_t>(alloca.getAlignment().value_or(1), layout->alignment);
    uint64_t begin = llvm::alignTo(program->localBytes, alignment);
    program->localBytes =
        begin + layout->size * cast<IntegerAttr>(count.getValue()).getValue().getZExtValue();
    set(alloca.getRes(), {constant(*space == Local ? begin : localWindow + begin)});
    return success();
  }
  if (auto gep = dyn_cast<LLVM::GEPOp>(op))
    return compileAddress(gep);
  if (auto address = dyn_cast<LLVM::AddressOfOp>(op))
    return compileAddressOf(address);
  return compileAtomic(op);
}

LogicalResult ProgramCompiler::compileAddress(LLVM::GEPOp op) {
  Location loc = op.getLoc();
  if (!isa<LLVM::LLVMPointerType>(op.getType()))
    return op.emitError("the emulator has no vectors of pointers");
  uint32_t address = getOne(op.getBase());
  int64_t fixed = 0;
  Type type = op.getElemType();
  for (auto [number, index] : llvm::enumerate(op.getIndices())) {
    if (auto record = number ? dyn_cast<LLVM::LLVMStructType>(type) : LLVM::LLVMStructType()) {
      int64_t member = cast<IntegerAttr>(index).getInt();
      // The offset of a member is where the members in front of it and its alignment end.
      for (int64_t i = 0; i <= member; ++i) {
        FailureOr<TypeLayout> layout = layoutAt(op, record.getBody()[i]);
        if (failed(layout))
          return failure();
      }
      uint64_t offset = 0;
      for (int64_t i = 0; i <= member; ++i) {
        TypeLayout layout = *layoutOf(record.getBody()[i]);
        offset = llvm::alignTo(offset, record.isPacked() ? 1 : layout.alignment);
        if (i < member)
          offset += layout.size;
      }
      fixed += offset;
      type = record.getBody()[member];
      continue;
    }
    if (number) {
      auto array = dyn_cast<LLVM::LLVMArrayType>(type);
      auto vector = dyn_cast<VectorType>(type);
      if (!array && !vector)
        return op.emitError("the emulator does not know how to index ") << type;
      type = array ? array.getElementType() : vector.getElementType();
    }
    FailureOr<TypeLayout> layout = layoutAt(op, type);
    if (failed(layout))
      return failure();
    int64_t stride = layout->size;
    if (auto number = dyn_cast<IntegerAttr>(index)) {
      fixed += number.getInt() * stride;
      continue;
    }
    Value value = cast<Value>(index);
    Scalar scalar = layoutOf(value.getType())->pieces[0].scalar;
    address = emitValue(Opcode::AddScaled, loc, scalar, address, getOne(value), noRegister, stride);
  }
  if (fixed)
    address =
        emitValue(Opcode::AddImmediate, loc, Scalar(), address, noRegister, noRegister, fixed);
  set(op.getRes(), {address});
  return success();
}

LogicalResult ProgramCompiler::compileAddressOf(LLVM::AddressOfOp op) {
  auto global = SymbolTable::lookupNearestSymbolFrom<LLVM::GlobalOp>(op, op.getGlobalNameAttr());
  if (!global)
    return op.emitError("the emulator has no addresses of functions");
  auto [entry, isNew] = addresses.try_emplace(global, 0);
  if (isNew && global.getAddrSpace() != Shared) {
    uint64_t address = 0;
    if (failed(placeConstant(global, address)))
      return failure();
    addresses[global] = address;
  } else if (isNew) {
    FailureOr<TypeLayout> layout = layoutAt(global, global.getGlobalType());
    if (failed(layout))
      return failure();
    // Variables of no size are what the launch adds: they all begin behind the others.
    uint64_t alignment = std::max<uint64_t>(global.getAlignment().value_or(16), layout->alignment);
    if (layout->size == 0) {
      program->dynamicAlignment = std::max<uint32_t>(program->dynamicAlignment, alignment);
    } else {
      uint64_t begin = llvm::alignTo(program->staticShared, alignment);
      program->staticShared = begin + layout->size;
      addresses[global] = begin;
    }
  }
  uint64_t address = addresses[global];
  if (global.getAddrSpace() == Shared && address == 0) {
    uint32_t result = emitValue(Opcode::SpecialRegister, op.getLoc(), Scalar(), noRegister);
    program->code.back().detail = uint8_t(Special::DynamicShared);
    set(op.getRes(), {result});
    return success();
  }
  set(op.getRes(), {constant(address)});
  return success();
}

LogicalResult ProgramCompiler::compileAtomic(Operation *op) {
  Location loc = op->getLoc();
  if (auto atomic = dyn_cast<LLVM::AtomicRMWOp>(op)) {
    switch (atomic.getBinOp()) {
    case LLVM::AtomicBinOp::fmaximum:
    case LLVM::AtomicBinOp::fminimum:
    case LLVM::AtomicBinOp::usub_cond:
    case LLVM::AtomicBinOp::usub_sat:
    case LLVM::AtomicBinOp::nand:
      return op->emitError("the emulator does not know this atomic operation");
    default:
      break;
    }
    Registers values = get(atomic.getVal());
    FailureOr<uint32_t> access = makeAccess(op, atomic.getVal().getType(), atomic.getPtr(),
                                            atomic.getAlignment().value_or(0), values);
    if (failed(access))
      return failure();
    if (values.size() != 1)
      return op->emitError("the emulator has no atomic operations on vectors");
    uint32_t result =
        emitValue(Opcode::AtomicReadModifyWrite, loc, program->accesses[*access].pieces[0].scalar,
                  getOne(atomic.getPtr()), values[0], noRegister, *access);
    program->code.back().detail = uint8_t(atomic.getBinOp());
    set(atomic.getRes(), {result});
    return success();
  }
  if (auto exchange = dyn_cast<LLVM::AtomicCmpXchgOp>(op)) {
    FailureOr<uint32_t> access =
        makeAccess(op, exchange.getVal().getType(), exchange.getPtr(),
                   exchange.getAlignment().value_or(0), get(exchange.getVal()));
    if (failed(access))
      return failure();
    Scalar scalar = program->accesses[*access].pieces[0].scalar;
    uint32_t expected = getOne(exchange.getCmp());
    uint32_t old = emitValue(Opcode::CompareExchange, loc, scalar, getOne(exchange.getPtr()),
                             expected, getOne(exchange.getVal()), *access);
    uint32_t same = emitValue(Opcode::ICompare, loc, scalar, old, expected);
    program->code.back().detail = uint8_t(LLVM::ICmpPredicate::eq);
    set(exchange.getRes(), {old, same});
    return success();
  }
  if (isa<LLVM::FenceOp>(op))
    return success(); // threads see each other's writes at once here; a fence orders no two of them
  return op->emitError("the emulator does not know this op");
}

} // namespace seqmix::gpu
