//===- ProgramCompiler.h - from the llvm and nvvm dialects to a program --*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_PROGRAMCOMPILER_H
#define SEQMIX_COMPILER_GPU_EMULATOR_PROGRAMCOMPILER_H

#include "compiler/gpu/emulator/Program.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/DenseMap.h"

namespace seqmix::gpu {

using Registers = llvm::SmallVector<uint32_t, 4>;

class ProgramCompiler {
public:
  explicit ProgramCompiler(mlir::LLVM::LLVMFuncOp kernel)
      : kernel(kernel), program(std::make_unique<Program>()) {}
  llvm::FailureOr<std::unique_ptr<Program>> compile();

private:
  /// A function that is being inlined: where its values are and where it returns to.
  struct Frame {
    llvm::DenseMap<mlir::Value, Registers> values;
    llvm::DenseMap<mlir::Block *, uint32_t> begins;
    llvm::SmallVector<std::pair<uint32_t, mlir::Block *>> jumps; // to be aimed
    llvm::SmallVector<uint32_t> returns;
    Registers results;
    bool isKernel = false;
  };

  mlir::LogicalResult compileParameters();
  mlir::LogicalResult compileBody(mlir::LLVM::LLVMFuncOp function, Frame &inner);
  mlir::LogicalResult compileBlock(mlir::Block &block);
  mlir::LogicalResult compileOp(mlir::Operation *op);
  mlir::LogicalResult compileControl(mlir::Operation *op);
  mlir::LogicalResult compileCall(mlir::LLVM::CallOp op);
  mlir::LogicalResult compileConstant(mlir::Operation *op);
  mlir::LogicalResult compileStructure(mlir::Operation *op);
  mlir::LogicalResult compileArithmetic(mlir::Operation *op);
  mlir::LogicalResult compileConversion(mlir::Operation *op);
  mlir::LogicalResult compileBitcast(mlir::Operation *op);
  mlir::LogicalResult compileIntrinsicCall(mlir::LLVM::CallIntrinsicOp op);
  mlir::LogicalResult compileMemory(mlir::Operation *op);
  mlir::LogicalResult compileAddress(mlir::LLVM::GEPOp op);
  mlir::LogicalResult compileAddressOf(mlir::LLVM::AddressOfOp op);
  mlir::LogicalResult compileAtomic(mlir::Operation *op);
  mlir::LogicalResult placeConstant(mlir::LLVM::GlobalOp global, uint64_t &address);
  mlir::LogicalResult compileNvvm(mlir::Operation *op);
  mlir::LogicalResult compileSpecialRegister(mlir::Operation *op);
  mlir::LogicalResult compileWarpOp(mlir::Operation *op);
  mlir::LogicalResult compileCopyAsync(mlir::Operation *op);
  mlir::LogicalResult compileMatrixOp(mlir::Operation *op);
  mlir::LogicalResult compilePtx(mlir::Operation *op);
  mlir::LogicalResult compileMma(mlir::Operation *op);
  mlir::LogicalResult compileDoubles(mlir::Operation *op);

  /// The registers of a value; of a block argument, made when first asked for.
  Registers get(mlir::Value value);
  uint32_t getOne(mlir::Value value) { return get(value)[0]; }
  void set(mlir::Value value, Registers registers);
  uint32_t newRegister() { return program->registers++; }
  Registers newRegisters(size_t count);
  uint32_t constant(uint64_t bits);
  Instruction &emit(Opcode opcode, mlir::Location loc);
  /// An instruction with a new register for its result, which it returns.
  uint32_t emitValue(Opcode opcode, mlir::Location loc, Scalar scalar, uint32_t a,
                     uint32_t b = noRegister, uint32_t c = noRegister, int64_t immediate = 0);
  /// Moves as if all at once.
  void emitMoves(llvm::ArrayRef<uint32_t> from, llvm::ArrayRef<uint32_t> to, mlir::Location loc);
  void emitEdge(mlir::Block *to, mlir::ValueRange arguments, mlir::Location loc);
  /// The registers of a value as 32-bit ones: f16 pairs are packed.
  Registers words(mlir::Value value, mlir::Location loc);
  llvm::FailureOr<uint32_t> makeAccess(mlir::Operation *op, mlir::Type type, mlir::Value pointer,
                                       uint64_t alignment, Registers registers);
  mlir::Location place(mlir::Location loc);

  mlir::LLVM::LLVMFuncOp kernel;
  std::unique_ptr<Program> program;
  Frame *frame = nullptr;
  llvm::SmallVector<std::pair<mlir::Operation *, mlir::Location>> callers;
  llvm::DenseMap<uint64_t, uint32_t> constants;
  llvm::DenseMap<mlir::Operation *, uint64_t> addresses; // of variables
};

/// The layout of a type, or an error at the op.
llvm::FailureOr<TypeLayout> layoutAt(mlir::Operation *op, mlir::Type type);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_PROGRAMCOMPILER_H
