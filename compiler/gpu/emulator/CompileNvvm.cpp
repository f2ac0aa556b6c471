//===- CompileNvvm.cpp - ops of the nvvm dialect -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/ProgramCompiler.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

std::optional<Special> specialRegister(Operation *op) {
  using S = Special;
  return llvm::TypeSwitch<Operation *, std::optional<S>>(op)
      .Case([](NVVM::ThreadIdXOp) { return S::ThreadX; })
      .Case([](NVVM::ThreadIdYOp) { return S::ThreadY; })
      .Case([](NVVM::ThreadIdZOp) { return S::ThreadZ; })
      .Case([](NVVM::BlockIdXOp) { return S::BlockX; })
      .Case([](NVVM::BlockIdYOp) { return S::BlockY; })
      .Case([](NVVM::BlockIdZOp) { return S::BlockZ; })
      .Case([](NVVM::BlockDimXOp) { return S::ThreadsX; })
      .Case([](NVVM::BlockDimYOp) { return S::ThreadsY; })
      .Case([](NVVM::BlockDimZOp) { return S::ThreadsZ; })
      .Case([](NVVM::GridDimXOp) { return S::BlocksX; })
      .Case([](NVVM::GridDimYOp) { return S::BlocksY; })
      .Case([](NVVM::GridDimZOp) { return S::BlocksZ; })
      .Case([](NVVM::LaneIdOp) { return S::Lane; })
      .Case([](NVVM::WarpIdOp) { return S::Warp; })
      .Case([](NVVM::WarpSizeOp) { return S::WarpSize; })
      .Case([](NVVM::WarpDimOp) { return S::Warps; })
      .Case([](NVVM::LaneMaskEqOp) { return S::LanesEqual; })
      .Case([](NVVM::LaneMaskLtOp) { return S::LanesLess; })
      .Case([](NVVM::LaneMaskLeOp) { return S::LanesLessEqual; })
      .Case([](NVVM::LaneMaskGtOp) { return S::LanesGreater; })
      .Case([](NVVM::LaneMaskGeOp) { return S::LanesGreaterEqual; })
      .Default([](Operation *) { return std::nullopt; });
}

} // namespace

LogicalResult ProgramCompiler::compileNvvm(Operation *op) {
  Location loc = op->getLoc();
  if (auto special = specialRegister(op)) {
    Scalar scalar = layoutOf(op->getResult(0).getType())->pieces[0].scalar;
    uint32_t result = emitValue(Opcode::SpecialRegister, loc, scalar, noRegister);
    program->code.back().detail = uint8_t(*special);
    set(op->getResult(0), {result});
    return success();
  }
  if (auto reciprocal = dyn_cast<NVVM::RcpApproxFtzF32Op>(op)) {
    uint32_t result =
        emitValue(Opcode::Function, loc, {Scalar::Class::Single, 32}, getOne(reciprocal.getArg()));
    program->code.back().detail = uint8_t(UnaryFunction::ReciprocalFlush);
    set(reciprocal.getRes(), {result});
    return success();
  }
  if (isa<NVVM::ConvertF32x2ToBF16x2Op, NVVM::ConvertF32x2ToF16x2Op>(op)) {
    auto brain = dyn_cast<NVVM::ConvertF32x2ToBF16x2Op>(op);
    auto half = dyn_cast<NVVM::ConvertF32x2ToF16x2Op>(op);
    auto rounding = brain ? brain.getRnd() : half.getRnd();
    auto saturation = brain ? brain.getSat() : half.getSat();
    bool relu = brain ? brain.getRelu() : half.getRelu();
    if (rounding != NVVM::FPRoundingMode::RN || relu || saturation != NVVM::SaturationMode::NONE)
      return op->emitError("the emulator converts to the nearest number (rn) only");
    // The first operand goes to the high half.
    Registers results;
    for (Value source : {op->getOperand(1), op->getOperand(0)}) {
      results.push_back(
          emitValue(Opcode::FloatToFloat, loc, {Scalar::Class::Single, 32}, getOne(source)));
      program->code.back().to = {brain ? Scalar::Class::Brain : Scalar::Class::Half, 16};
    }
    set(op->getResult(0), results);
    return success();
  }
  if (auto convert = dyn_cast<NVVM::ConvertFloatToTF32Op>(op)) {
    if (convert.getRnd() != NVVM::FPRoundingMode::RNA || convert.getRelu() ||
        convert.getSat() != NVVM::SaturationMode::NONE)
      return op->emitError("the emulator converts to tf32 with ties away from zero (rna) only");
    set(convert.getRes(),
        {emitValue(Opcode::ToTf32, loc, {Scalar::Class::Single, 32}, getOne(convert.getSrc()))});
    return success();
  }
  if (auto permute = dyn_cast<NVVM::PermuteOp>(op)) {
    if (permute.getMode() != NVVM::PermuteMode::DEFAULT || !permute.getHi())
      return op->emitError("the emulator knows the default mode of prmt only");
    set(permute.getRes(),
        {emitValue(Opcode::Permute, loc, {Scalar::Class::Integer, 32}, getOne(permute.getLo()),
                   getOne(permute.getHi()), getOne(permute.getSelector()))});
    return success();
  }
  // Nothing here is reordered, so a fence has no effect; races are found without it.
  if (isa<NVVM::MembarOp, NVVM::NanosleepOp, NVVM::PrefetchOp>(op))
    return success();
  return compileWarpOp(op);
}

LogicalResult ProgramCompiler::compileWarpOp(Operation *op) {
  Location loc = op->getLoc();
  const Scalar word = {Scalar::Class::Integer, 32};
  if (auto shuffle = dyn_cast<NVVM::ShflOp>(op)) {
    bool withPredicate = shuffle.getReturnValueAndIsValid().value_or(false);
    Registers results = newRegisters(withPredicate ? 2 : 1);
    uint32_t mask = getOne(shuffle.getThreadMask()), value = getOne(shuffle.getVal());
    uint32_t offset = getOne(shuffle.getOffset()), clamp = getOne(shuffle.getMaskAndClamp());
    Instruction &made = emit(Opcode::Shuffle, loc);
    made.detail = uint8_t(shuffle.getKind());
    made.result = results[0];
    made.a = mask;
    made.b = value;
    made.c = offset;
    made.count = clamp;
    made.target = withPredicate ? results[1] : noRegister;
    set(shuffle.getRes(), results);
    return success();
  }
  if (auto vote = dyn_cast<NVVM::VoteSyncOp>(op)) {
    uint32_t result =
        emitValue(Opcode::Vote, loc, word, getOne(vote.getMask()), getOne(vote.getPred()));
    program->code.back().detail = uint8_t(vote.getKind());
    set(vote.getRes(), {result});
    return success();
  }
  if (auto reduce = dyn_cast<NVVM::ReduxOp>(op)) {
    if (!reduce.getType().isInteger(32))
      return op->emitError("redux.sync of floats needs sm_100a");
    uint32_t result = emitValue(Opcode::Reduce, loc, word, getOne(reduce.getMaskAndClamp()),
                                getOne(reduce.getVal()));
    program->code.back().detail = uint8_t(reduce.getKind());
    set(reduce.getRes(), {result});
    return success();
  }
  if (auto elect = dyn_cast<NVVM::ElectSyncOp>(op)) {
    uint32_t mask = elect.getMembermask() ? getOne(elect.getMembermask()) : constant(allLanes);
    set(elect.getPred(), {emitValue(Opcode::Elect, loc, word, mask)});
    return success();
  }
  if (auto sync = dyn_cast<NVVM::SyncWarpOp>(op)) {
    uint32_t mask = getOne(sync.getMask());
    emit(Opcode::SyncWarp, loc).a = mask;
    return success();
  }
  if (isa<NVVM::Barrier0Op>(op)) {
    uint32_t zero = constant(0);
    Instruction &made = emit(Opcode::Barrier, loc);
    made.a = made.b = zero;
    return success();
  }
  if (auto barrier = dyn_cast<NVVM::BarrierOp>(op)) {
    uint32_t id = barrier.getBarrierId() ? getOne(barrier.getBarrierId()) : constant(0);
    uint32_t threads =
        barrier.getNumberOfThreads() ? getOne(barrier.getNumberOfThreads()) : constant(0);
    uint32_t predicate =
        barrier.getReductionPredicate() ? getOne(barrier.getReductionPredicate()) : noRegister;
    uint32_t result = barrier.getRes() ? newRegister() : noRegister;
    Instruction &made = emit(Opcode::Barrier, loc);
    made.a = id;
    made.b = threads;
    made.c = predicate;
    made.result = result;
    if (barrier.getReductionOp())
      made.detail = uint8_t(*barrier.getReductionOp());
    if (barrier.getRes())
      set(barrier.getRes(), {result});
    return success();
  }
  if (auto arrive = dyn_cast<NVVM::BarrierArriveOp>(op)) {
    uint32_t id = arrive.getBarrierId() ? getOne(arrive.getBarrierId()) : constant(0);
    uint32_t threads = getOne(arrive.getNumberOfThreads());
    Instruction &made = emit(Opcode::BarrierArrive, loc);
    made.a = id;
    made.b = threads;
    return success();
  }
  return compileCopyAsync(op);
}

LogicalResult ProgramCompiler::compileCopyAsync(Operation *op) {
  Location loc = op->getLoc();
  if (auto copy = dyn_cast<NVVM::CpAsyncOp>(op)) {
    uint32_t to = getOne(copy.getDst()), from = getOne(copy.getSrc());
    uint32_t bytes = copy.getCpSize() ? getOne(copy.getCpSize()) : noRegister;
    Instruction &made = emit(Opcode::CopyAsync, loc);
    made.a = to;
    made.b = from;
    made.c = bytes;
    made.immediate = copy.getSize();
    return success();
  }
  if (isa<NVVM::CpAsyncCommitGroupOp>(op)) {
    emit(Opcode::CommitGroup, loc);
    return success();
  }
  if (auto wait = dyn_cast<NVVM::CpAsyncWaitGroupOp>(op)) {
    emit(Opcode::WaitGroup, loc).immediate = wait.getN();
    return success();
  }
  return compileMatrixOp(op);
}

} // namespace seqmix::gpu
