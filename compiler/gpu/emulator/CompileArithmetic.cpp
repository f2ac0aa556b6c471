//===- CompileArithmetic.cpp - element by element ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/ProgramCompiler.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

/// Ops with one to three operands of one type, which is also the result's.
std::optional<Opcode> elementwise(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<Opcode>>(op)
      .Case([](LLVM::AddOp) { return Opcode::Add; })
      .Case([](LLVM::SubOp) { return Opcode::Sub; })
      .Case([](LLVM::MulOp) { return Opcode::Mul; })
      .Case([](LLVM::UDivOp) { return Opcode::UDiv; })
      .Case([](LLVM::SDivOp) { return Opcode::SDiv; })
      .Case([](LLVM::URemOp) { return Opcode::URem; })
      .Case([](LLVM::SRemOp) { return Opcode::SRem; })
      .Case([](LLVM::AndOp) { return Opcode::And; })
      .Case([](LLVM::OrOp) { return Opcode::Or; })
      .Case([](LLVM::XOrOp) { return Opcode::Xor; })
      .Case([](LLVM::ShlOp) { return Opcode::Shl; })
      .Case([](LLVM::LShrOp) { return Opcode::LShr; })
      .Case([](LLVM::AShrOp) { return Opcode::AShr; })
      .Case([](LLVM::SMinOp) { return Opcode::SMin; })
      .Case([](LLVM::SMaxOp) { return Opcode::SMax; })
      .Case([](LLVM::UMinOp) { return Opcode::UMin; })
      .Case([](LLVM::UMaxOp) { return Opcode::UMax; })
      .Case([](LLVM::AbsOp) { return Opcode::Abs; })
      .Case([](LLVM::CtPopOp) { return Opcode::PopCount; })
      .Case([](LLVM::CountLeadingZerosOp) { return Opcode::LeadingZeros; })
      .Case([](LLVM::CountTrailingZerosOp) { return Opcode::TrailingZeros; })
      .Case([](LLVM::BitReverseOp) { return Opcode::ReverseBits; })
      .Case([](LLVM::ByteSwapOp) { return Opcode::SwapBytes; })
      .Case([](LLVM::FAddOp) { return Opcode::FAdd; })
      .Case([](LLVM::FSubOp) { return Opcode::FSub; })
      .Case([](LLVM::FMulOp) { return Opcode::FMul; })
      .Case([](LLVM::FDivOp) { return Opcode::FDiv; })
      .Case([](LLVM::FRemOp) { return Opcode::FRem; })
      .Case([](LLVM::FNegOp) { return Opcode::FNeg; })
      .Case([](LLVM::FAbsOp) { return Opcode::FAbs; })
      .Case<LLVM::FMAOp, LLVM::FMulAddOp>([](auto) { return Opcode::Fma; })
      .Case([](LLVM::MinNumOp) { return Opcode::MinNum; })
      .Case([](LLVM::MaxNumOp) { return Opcode::MaxNum; })
      .Case([](LLVM::MinimumOp) { return Opcode::Minimum; })
      .Case([](LLVM::MaximumOp) { return Opcode::Maximum; })
      .Case([](LLVM::CopySignOp) { return Opcode::CopySign; })
      .Case([](LLVM::PowOp) { return Opcode::Power; })
      .Case<LLVM::FreezeOp>([](auto) { return Opcode::Move; })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<UnaryFunction> function(Operation *op) {
  using F = UnaryFunction;
  return llvm::TypeSwitch<Operation *, std::optional<F>>(op)
      .Case([](LLVM::ExpOp) { return F::Exp; })
      .Case([](LLVM::Exp2Op) { return F::Exp2; })
      .Case([](LLVM::LogOp) { return F::Log; })
      .Case([](LLVM::Log2Op) { return F::Log2; })
      .Case([](LLVM::Log10Op) { return F::Log10; })
      .Case([](LLVM::SinOp) { return F::Sin; })
      .Case([](LLVM::CosOp) { return F::Cos; })
      .Case([](LLVM::TanhOp) { return F::Tanh; })
      .Case([](LLVM::SqrtOp) { return F::Sqrt; })
      .Case([](LLVM::FFloorOp) { return F::Floor; })
      .Case([](LLVM::FCeilOp) { return F::Ceil; })
      .Case([](LLVM::FTruncOp) { return F::Trunc; })
      .Case([](LLVM::RoundOp) { return F::Round; })
      .Case<LLVM::RoundEvenOp, LLVM::RintOp, LLVM::NearbyintOp>([](auto) { return F::RoundEven; })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<Opcode> conversion(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<Opcode>>(op)
      .Case<LLVM::TruncOp, LLVM::ZExtOp, LLVM::PtrToIntOp, LLVM::IntToPtrOp>(
          [](auto) { return Opcode::Truncate; })
      .Case([](LLVM::SExtOp) { return Opcode::SignExtend; })
      .Case([](LLVM::SIToFPOp) { return Opcode::SignedToFloat; })
      .Case([](LLVM::UIToFPOp) { return Opcode::UnsignedToFloat; })
      .Case([](LLVM::FPToSIOp) { return Opcode::FloatToSigned; })
      .Case([](LLVM::FPToUIOp) { return Opcode::FloatToUnsigned; })
      .Case<LLVM::FPExtOp, LLVM::FPTruncOp>([](auto) { return Opcode::FloatToFloat; })
      .Default([](Operation *) { return std::nullopt; });
}

} // namespace

LogicalResult ProgramCompiler::compileArithmetic(Operation *op) {
  Location loc = op->getLoc();
  if (auto opcode = elementwise(op)) {
    Registers results;
    TypeLayout layout = *layoutOf(op->getResult(0).getType());
    Registers a = get(op->getOperand(0));
    Registers b =
        op->getNumOperands() > 1 ? get(op->getOperand(1)) : Registers(a.size(), noRegister);
    Registers c =
        op->getNumOperands() > 2 ? get(op->getOperand(2)) : Registers(a.size(), noRegister);
    for (auto [i, piece] : llvm::enumerate(layout.pieces))
      results.push_back(emitValue(*opcode, loc, piece.scalar, a[i], b[i], c[i]));
    set(op->getResult(0), results);
    return success();
  }
  if (auto which = function(op)) {
    Registers results;
    TypeLayout layout = *layoutOf(op->getResult(0).getType());
    for (auto [piece, a] : llvm::zip_equal(layout.pieces, get(op->getOperand(0)))) {
      results.push_back(emitValue(Opcode::Function, loc, piece.scalar, a));
      program->code.back().detail = uint8_t(*which);
    }
    set(op->getResult(0), results);
    return success();
  }
  if (isa<LLVM::ICmpOp, LLVM::FCmpOp>(op)) {
    auto integers = dyn_cast<LLVM::ICmpOp>(op);
    uint8_t predicate = integers ? uint8_t(integers.getPredicate())
                                 : uint8_t(cast<LLVM::FCmpOp>(op).getPredicate());
    Registers results;
    TypeLayout layout = *layoutOf(op->getOperand(0).getType());
    for (auto [piece, a, b] :
         llvm::zip_equal(layout.pieces, get(op->getOperand(0)), get(op->getOperand(1)))) {
      results.push_back(
          emitValue(integers ? Opcode::ICompare : Opcode::FCompare, loc, piece.scalar, a, b));
      program->code.back().detail = predicate;
    }
    set(op->getResult(0), results);
    return success();
  }
  if (auto select = dyn_cast<LLVM::SelectOp>(op)) {
    Registers results;
    Registers conditions = get(select.getCondition());
    for (auto [i, a, b] : llvm::enumerate(get(select.getTrueValue()), get(select.getFalseValue())))
      results.push_back(emitValue(Opcode::Select, loc, Scalar(),
                                  conditions[conditions.size() == 1 ? 0 : i], a, b));
    set(op->getResult(0), results);
    return success();
  }
  return compileConversion(op);
}

LogicalResult ProgramCompiler::compileConversion(Operation *op) {
  if (isa<LLVM::BitcastOp>(op))
    return compileBitcast(op);
  if (auto cast = dyn_cast<LLVM::AddrSpaceCastOp>(op)) {
    auto from = dyn_cast<LLVM::LLVMPointerType>(cast.getArg().getType());
    auto to = dyn_cast<LLVM::LLVMPointerType>(cast.getType());
    if (!from || !to)
      return op->emitError("the emulator has no vectors of pointers");
    uint32_t result = emitValue(Opcode::CastSpace, op->getLoc(), Scalar(), getOne(cast.getArg()));
    program->code.back().detail = uint8_t(from.getAddressSpace());
    program->code.back().count = to.getAddressSpace();
    set(cast.getResult(), {result});
    return success();
  }
  auto opcode = conversion(op);
  if (!opcode)
    return compileMemory(op);
  TypeLayout from = *layoutOf(op->getOperand(0).getType());
  TypeLayout to = *layoutOf(op->getResult(0).getType());
  Registers results;
  for (auto [source, piece, a] : llvm::zip_equal(from.pieces, to.pieces, get(op->getOperand(0)))) {
    results.push_back(emitValue(*opcode, op->getLoc(), source.scalar, a));
    program->code.back().to = piece.scalar;
  }
  set(op->getResult(0), results);
  return success();
}

LogicalResult ProgramCompiler::compileBitcast(Operation *op) {
  Location loc = op->getLoc();
  TypeLayout from = *layoutOf(op->getOperand(0).getType());
  TypeLayout to = *layoutOf(op->getResult(0).getType());
  Registers sources = get(op->getOperand(0)), results;
  unsigned narrow = from.pieces[0].scalar.bits, wide = to.pieces[0].scalar.bits;
  if (narrow == wide) {
    set(op->getResult(0), sources);
    return success();
  }
  if (std::max(narrow, wide) % std::min(narrow, wide) != 0)
    return op->emitError("the emulator cannot cast between these widths");
  for (unsigned i = 0; i < to.pieces.size(); ++i) {
    Scalar scalar = to.pieces[i].scalar;
    if (narrow > wide) {
      unsigned ratio = narrow / wide;
      results.push_back(emitValue(Opcode::ExtractBits, loc, scalar, sources[i / ratio], noRegister,
                                  noRegister, int64_t(i % ratio) * wide));
      continue;
    }
    size_t ratio = wide / narrow;
    uint32_t whole = sources[i * ratio];
    for (unsigned j = 1; j < ratio; ++j)
      whole = emitValue(Opcode::InsertBits, loc, scalar, sources[i * ratio + j], whole, noRegister,
                        int64_t(j) * narrow);
    results.push_back(whole);
  }
  set(op->getResult(0), results);
  return success();
}

Registers ProgramCompiler::words(Value value, Location loc) {
  Registers sources = get(value), results;
  if (layoutOf(value.getType())->pieces[0].scalar.bits != 16)
    return sources;
  for (unsigned i = 0; i + 1 < sources.size(); i += 2)
    results.push_back(emitValue(Opcode::InsertBits, loc, {Scalar::Class::Integer, 32},
                                sources[i + 1], sources[i], noRegister, 16));
  return results;
}

LogicalResult ProgramCompiler::compileIntrinsicCall(LLVM::CallIntrinsicOp op) {
  using F = UnaryFunction;
  StringRef name = op.getIntrin();
  const bool flushes = name.contains(".ftz");
  std::optional<F> which =
      llvm::StringSwitch<std::optional<F>>(name)
          .StartsWith("llvm.nvvm.ex2.approx", flushes ? F::Exp2Flush : F::Exp2)
          .StartsWith("llvm.nvvm.lg2.approx", flushes ? F::Log2Flush : F::Log2)
          .StartsWith("llvm.nvvm.rsqrt.approx",
                      flushes ? F::ReciprocalSqrtFlush : F::ReciprocalSqrt)
          .StartsWith("llvm.nvvm.rcp", flushes ? F::ReciprocalFlush : F::Reciprocal)
          .StartsWith("llvm.nvvm.sqrt", flushes ? F::SqrtFlush : F::Sqrt)
          .StartsWith("llvm.nvvm.tanh.approx", F::Tanh)
          .Default(std::nullopt);
  const bool isUnary = op.getArgs().size() == 1 && op->getNumResults() == 1 &&
                       op.getArgs()[0].getType() == op->getResult(0).getType();
  if (!which || !isUnary)
    return op.emitError("the emulator does not know the intrinsic ") << name;
  Registers results;
  TypeLayout layout = *layoutOf(op->getResult(0).getType());
  for (auto [piece, a] : llvm::zip_equal(layout.pieces, get(op.getArgs()[0]))) {
    results.push_back(emitValue(Opcode::Function, op.getLoc(), piece.scalar, a));
    program->code.back().detail = uint8_t(*which);
  }
  set(op->getResult(0), results);
  return success();
}

} // namespace seqmix::gpu
