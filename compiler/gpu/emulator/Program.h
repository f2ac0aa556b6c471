//===- Program.h - a kernel as a flat list of small instructions --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Vectors and structs are scalars in registers of their own, so inserting and extracting elements
// costs nothing at run time. Calls are inlined. Blocks stand in the order of the function, and
// lanes that diverge are run lowest address first, so they meet again where the branches join.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_PROGRAM_H
#define SEQMIX_COMPILER_GPU_EMULATOR_PROGRAM_H

#include "compiler/gpu/emulator/Types.h"

#include "mlir/IR/Location.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mlir::LLVM {
class LLVMFuncOp;
} // namespace mlir::LLVM

namespace seqmix::gpu {

enum class Opcode : uint8_t {
  // Arithmetic on `a`, `b`, `c` of the type `scalar`.
  Add,
  Sub,
  Mul,
  UDiv,
  SDiv,
  URem,
  SRem,
  And,
  Or,
  Xor,
  Shl,
  LShr,
  AShr,
  SMin,
  SMax,
  UMin,
  UMax,
  Abs,
  PopCount,
  LeadingZeros,
  TrailingZeros,
  ReverseBits,
  SwapBytes,
  FAdd,
  FSub,
  FMul,
  FDiv,
  FRem,
  Fma,
  MinNum,
  MaxNum,
  Minimum,
  Maximum,
  CopySign,
  Power,
  FNeg,
  FAbs,
  Function,      // unary, `detail` is a UnaryFunction
  ICompare,      // `detail` is the predicate of llvm.icmp
  FCompare,      // of llvm.fcmp
  Select,        // a ? b : c
  SelectByIndex, // a == immediate ? b : c
  PickByIndex,   // operands[a + index in b], `count` of them
  Permute,       // prmt in its default mode
  // Conversions from `scalar` to `to`.
  Truncate, // also pointers, bit patterns
  SignExtend,
  SignedToFloat,
  UnsignedToFloat,
  FloatToSigned,
  FloatToUnsigned,
  FloatToFloat,
  ToTf32,
  ExtractBits, // (a >> immediate) of width `to`
  InsertBits,  // b | a << immediate
  CastSpace,   // a pointer from space `detail` to `count`
  AddScaled,   // a + b * immediate, b a signed number of type `scalar`
  AddImmediate,
  Move,
  SpecialRegister, // `detail` is a Special
  // Memory; `a` is the address, `immediate` the number of the access.
  Load,
  Store,
  AtomicReadModifyWrite, // `detail` is an LLVM::AtomicBinOp
  CompareExchange,
  CopyAsync, // a: shared, b: global, immediate: bytes, c: bytes that are read
  CommitGroup,
  WaitGroup, // immediate: groups that may stay in flight
  // What lanes do together.
  Shuffle, // `detail` is an NVVM::ShflKind; mask a, value b, offset c, clamp operands[count]
  Vote,
  Reduce,
  Elect,
  SyncWarp,
  Barrier, // id a, threads b (0: all), predicate c
  BarrierArrive,
  MultiplyMatrices,
  LoadMatrix,
  StoreMatrix,
  TransposeMatrix,
  // Control.
  Jump,
  Branch, // a ? target : immediate
  Switch, // operands: a pair for each case, then the default
  Exit,
  Unreachable,
};

enum class UnaryFunction : uint8_t {
  Exp,
  Exp2,
  Log,
  Log2,
  Log10,
  Sin,
  Cos,
  Tanh,
  Sqrt,
  ReciprocalSqrt,
  Reciprocal,
  Floor,
  Ceil,
  Trunc,
  Round,
  RoundEven,
  Exp2Flush,
  Log2Flush,
  ReciprocalSqrtFlush,
  ReciprocalFlush,
  SqrtFlush,
};

enum class Special : uint8_t {
  ThreadX,
  ThreadY,
  ThreadZ,
  BlockX,
  BlockY,
  BlockZ,
  ThreadsX,
  ThreadsY,
  ThreadsZ,
  BlocksX,
  BlocksY,
  BlocksZ,
  Lane,
  Warp,
  WarpSize,
  Warps,
  LanesEqual,
  LanesLess,
  LanesLessEqual,
  LanesGreater,
  LanesGreaterEqual,
  DynamicShared,
};

/// Address spaces of NVPTX.
enum Space : uint8_t { Generic = 0, Global = 1, Shared = 3, Constant = 4, Local = 5, Param = 101 };

constexpr uint32_t noRegister = ~0U;

struct Instruction {
  Opcode opcode;
  uint8_t detail = 0;
  Scalar scalar, to;
  uint32_t result = noRegister;
  uint32_t a = noRegister, b = noRegister, c = noRegister;
  uint32_t count = 0;
  uint32_t target = 0;
  int64_t immediate = 0;
};

/// What a load or store moves: registers `first + i` of an operand list, and where in memory.
struct Access {
  llvm::SmallVector<Piece, 4> pieces;
  llvm::SmallVector<uint32_t, 4> registers;
  uint32_t extent = 0;
  uint32_t alignment = 1;
  Space space = Generic;
  bool isAtomic = false;
};

/// The operands of one mma.sync.
struct MatrixProduct {
  enum class Element : uint8_t { Brain, Half, Tf32, Double };
  Element element = Element::Brain;
  unsigned k = 16;
  llvm::SmallVector<uint32_t, 4> a, b, c, results;
};

struct Parameter {
  TypeLayout layout;
  llvm::SmallVector<uint32_t, 4> registers;
  bool isByValue = false;
  std::string name;
};

struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<mlir::Location> locations; // one an instruction
  std::vector<uint32_t> operands;
  std::vector<Access> accesses;
  std::vector<MatrixProduct> products;
  std::vector<std::pair<uint32_t, uint64_t>> constants; // registers and what they hold
  std::vector<Parameter> parameters;
  /// The bytes of constants, at `constantBase`.
  std::vector<uint8_t> constantData;
  uint32_t registers = 0;
  uint32_t localBytes = 0;
  uint32_t staticShared = 0; // ends where dynamic shared memory begins
  uint32_t dynamicAlignment = 16;
  uint32_t requiredThreads[3] = {0, 0, 0};
};

/// Addresses are chosen such that one of the wrong space is never valid by chance. Shared memory
/// begins behind what the driver keeps for itself on sm_90.
constexpr uint64_t sharedBegin = 1024;
constexpr uint64_t sharedWindow = 0x7f0000000000;
constexpr uint64_t localWindow = 0x7e0000000000;
constexpr uint64_t constantBase = 0x7d0000000000;
constexpr uint64_t localBegin = 64;

/// Translates a kernel. What the emulator does not know is an error at the op.
llvm::FailureOr<std::unique_ptr<Program>> compileKernel(mlir::LLVM::LLVMFuncOp kernel);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_PROGRAM_H
