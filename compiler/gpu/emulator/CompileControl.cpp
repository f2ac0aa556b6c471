//===- CompileControl.cpp - functions, blocks and calls ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/ProgramCompiler.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/SaveAndRestore.h"

#include <algorithm>

using namespace mlir;

namespace seqmix::gpu {

FailureOr<TypeLayout> layoutAt(Operation *op, Type type) {
  FailureOr<TypeLayout> layout = layoutOf(type);
  if (failed(layout))
    return op->emitError("the emulator has no values of type ") << type;
  return layout;
}

FailureOr<std::unique_ptr<Program>> compileKernel(LLVM::LLVMFuncOp kernel) {
  return ProgramCompiler(kernel).compile();
}

FailureOr<std::unique_ptr<Program>> ProgramCompiler::compile() {
  if (kernel.isExternal())
    return kernel.emitError("a kernel without a body cannot be run");
  program->name = kernel.getName().str();
  program->staticShared = sharedBegin;
  program->localBytes = localBegin;
  if (auto threads =
          kernel->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getReqntidAttrName()))
    std::copy_n(threads.asArrayRef().begin(), std::min<size_t>(threads.size(), 3),
                program->requiredThreads);
  Frame outer;
  outer.isKernel = true;
  llvm::SaveAndRestore within(frame, &outer);
  if (failed(compileParameters()) || failed(compileBody(kernel, outer)))
    return failure();
  program->staticShared = llvm::alignTo(program->staticShared, program->dynamicAlignment);
  return std::move(program);
}

LogicalResult ProgramCompiler::compileParameters() {
  for (BlockArgument argument : kernel.getArguments()) {
    Parameter parameter;
    parameter.name = "argument " + std::to_string(argument.getArgNumber());
    Type type = argument.getType();
    if (auto byValue = kernel.getArgAttrOfType<TypeAttr>(argument.getArgNumber(),
                                                         LLVM::LLVMDialect::getByValAttrName())) {
      parameter.isByValue = true;
      type = byValue.getValue();
    }
    FailureOr<TypeLayout> layout = layoutAt(kernel, type);
    if (failed(layout))
      return failure();
    parameter.layout = *layout;
    parameter.registers = newRegisters(parameter.isByValue ? 1 : layout->pieces.size());
    set(argument, parameter.registers);
    program->parameters.push_back(std::move(parameter));
  }
  return success();
}

LogicalResult ProgramCompiler::compileBody(LLVM::LLVMFuncOp function, Frame &inner) {
  llvm::SaveAndRestore within(frame, &inner);
  // Values may be asked for before their op is translated, so their types are checked first.
  for (Block &block : function.getBody()) {
    for (Type type : block.getArgumentTypes())
      if (failed(layoutAt(function, type)))
        return failure();
    for (Operation &op : block)
      for (Type type : op.getResultTypes())
        if (failed(layoutAt(&op, type)))
          return failure();
  }
  for (Block &block : function.getBody())
    if (failed(compileBlock(block)))
      return failure();
  for (auto [at, block] : inner.jumps)
    program->code[at].target = inner.begins.at(block);
  for (uint32_t at : inner.returns)
    program->code[at].target = program->code.size();
  return success();
}

LogicalResult ProgramCompiler::compileBlock(Block &block) {
  frame->begins[&block] = program->code.size();
  for (Operation &op : block)
    if (failed(compileOp(&op)))
      return failure();
  return success();
}

LogicalResult ProgramCompiler::compileOp(Operation *op) {
  if (op->hasTrait<OpTrait::IsTerminator>())
    return compileControl(op);
  if (auto call = dyn_cast<LLVM::CallOp>(op))
    return compileCall(call);
  if (isa<NVVM::NVVMDialect>(op->getDialect()))
    return compileNvvm(op);
  if (isa<LLVM::LLVMDialect>(op->getDialect()))
    return compileConstant(op);
  return op->emitError("the emulator runs ops of the llvm and nvvm dialects only");
}

void ProgramCompiler::emitEdge(Block *to, ValueRange arguments, Location loc) {
  Registers from, into;
  for (auto [argument, value] : llvm::zip_equal(to->getArguments(), arguments)) {
    llvm::append_range(into, get(argument));
    llvm::append_range(from, get(value));
  }
  emitMoves(from, into, loc);
  frame->jumps.push_back({program->code.size(), to});
  emit(Opcode::Jump, loc);
}

LogicalResult ProgramCompiler::compileControl(Operation *op) {
  Location loc = op->getLoc();
  if (auto branch = dyn_cast<LLVM::BrOp>(op)) {
    emitEdge(branch.getDest(), branch.getDestOperands(), loc);
    return success();
  }
  if (auto branch = dyn_cast<LLVM::CondBrOp>(op)) {
    uint32_t condition = getOne(branch.getCondition());
    uint32_t at = program->code.size();
    emit(Opcode::Branch, loc).a = condition;
    program->code[at].target = at + 1;
    emitEdge(branch.getTrueDest(), branch.getTrueDestOperands(), loc);
    program->code[at].immediate = program->code.size();
    emitEdge(branch.getFalseDest(), branch.getFalseDestOperands(), loc);
    return success();
  }
  if (auto choice = dyn_cast<LLVM::SwitchOp>(op)) {
    uint32_t value = getOne(choice.getValue());
    uint32_t at = program->code.size();
    uint32_t list = program->operands.size();
    unsigned cases = choice.getCaseDestinations().size();
    emit(Opcode::Switch, loc).a = value;
    program->code[at].b = list;
    program->code[at].count = cases;
    program->operands.resize(list + 2 * cases + 1);
    for (unsigned i = 0; i < cases; ++i) {
      APInt number = *std::next(choice.getCaseValues()->getValues<APInt>().begin(), i);
      program->operands[list + 2 * i] = constant(number.getZExtValue());
      program->operands[list + 2 * i + 1] = program->code.size();
      emitEdge(choice.getCaseDestinations()[i], choice.getCaseOperands(i), loc);
    }
    program->operands[list + 2 * cases] = program->code.size();
    emitEdge(choice.getDefaultDestination(), choice.getDefaultOperands(), loc);
    return success();
  }
  if (auto end = dyn_cast<LLVM::ReturnOp>(op)) {
    if (frame->isKernel) {
      emit(Opcode::Exit, loc);
      return success();
    }
    Registers from;
    for (Value value : end->getOperands())
      llvm::append_range(from, get(value));
    emitMoves(from, frame->results, loc);
    frame->returns.push_back(program->code.size());
    emit(Opcode::Jump, loc);
    return success();
  }
  if (isa<NVVM::Exit>(op)) {
    emit(Opcode::Exit, loc);
    return success();
  }
  if (isa<LLVM::UnreachableOp>(op)) {
    emit(Opcode::Unreachable, loc);
    return success();
  }
  return op->emitError("the emulator does not know this terminator");
}

LogicalResult ProgramCompiler::compileCall(LLVM::CallOp op) {
  auto callee = op.getCalleeAttr()
                    ? SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(op, op.getCalleeAttr())
                    : LLVM::LLVMFuncOp();
  if (!callee || callee.isExternal())
    return op.emitError("the emulator calls only functions with a body in the module");
  bool isRecursive = callee == kernel || llvm::any_of(callers, [&](const auto &caller) {
                       return caller.first == callee.getOperation();
                     });
  if (isRecursive)
    return op.emitError("the emulator does not run recursive functions");
  Frame inner;
  for (auto [argument, value] : llvm::zip_equal(callee.getArguments(), op.getArgOperands()))
    inner.values[argument] = get(value);
  for (Type type : op->getResultTypes())
    llvm::append_range(inner.results, newRegisters(layoutOf(type)->pieces.size()));
  callers.push_back({callee, op.getLoc()});
  if (failed(compileBody(callee, inner)))
    return failure();
  callers.pop_back();
  if (op->getNumResults() == 1)
    set(op->getResult(0), inner.results);
  return success();
}

Registers ProgramCompiler::get(Value value) {
  auto found = frame->values.find(value);
  if (found != frame->values.end())
    return found->second;
  // A block's argument, or a value whose block stands further down: loops enter those.
  Registers made = newRegisters(layoutOf(value.getType())->pieces.size());
  return frame->values[value] = made;
}

void ProgramCompiler::set(Value value, Registers registers) {
  auto [entry, isNew] = frame->values.try_emplace(value);
  if (isNew)
    entry->second = std::move(registers);
  else
    emitMoves(registers, Registers(entry->second), value.getLoc());
}

Registers ProgramCompiler::newRegisters(size_t count) {
  Registers registers(count);
  for (uint32_t &number : registers)
    number = newRegister();
  return registers;
}

uint32_t ProgramCompiler::constant(uint64_t bits) {
  // The map's own keys are marked by the two greatest numbers.
  if (bits >= ~uint64_t(1)) {
    program->constants.push_back({newRegister(), bits});
    return program->constants.back().first;
  }
  auto [entry, isNew] = constants.try_emplace(bits, 0);
  if (isNew) {
    entry->second = newRegister();
    program->constants.push_back({entry->second, bits});
  }
  return entry->second;
}

Location ProgramCompiler::place(Location loc) {
  for (const auto &caller : llvm::reverse(callers))
    loc = CallSiteLoc::get(loc, caller.second);
  return loc;
}

Instruction &ProgramCompiler::emit(Opcode opcode, Location loc) {
  program->locations.push_back(place(loc));
  program->code.push_back({});
  program->code.back().opcode = opcode;
  return program->code.back();
}

uint32_t ProgramCompiler::emitValue(Opcode opcode, Location loc, Scalar scalar, uint32_t a,
                                    uint32_t b, uint32_t c, int64_t immediate) {
  Instruction &made = emit(opcode, loc);
  made.scalar = made.to = scalar;
  made.result = newRegister();
  made.a = a;
  made.b = b;
  made.c = c;
  made.immediate = immediate;
  return made.result;
}

void ProgramCompiler::emitMoves(ArrayRef<uint32_t> from, ArrayRef<uint32_t> to, Location loc) {
  llvm::DenseSet<uint32_t> written(to.begin(), to.end());
  Registers sources(from);
  // What another move overwrites is saved first.
  for (auto [index, source] : llvm::enumerate(sources))
    if (source != to[index] && written.contains(source))
      source = emitValue(Opcode::Move, loc, Scalar(), source);
  for (auto [source, result] : llvm::zip_equal(sources, to)) {
    if (source == result)
      continue;
    Instruction &move = emit(Opcode::Move, loc);
    move.a = source;
    move.result = result;
  }
}

} // namespace seqmix::gpu
