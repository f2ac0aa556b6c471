//===- CompileMatrices.cpp - tensor core ops and inline PTX ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/ProgramCompiler.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

/// The name of the only instruction of a snippet that has one result and one operand, or nothing.
StringRef onlyInstruction(NVVM::InlinePtxOp op) {
  if (op->getNumResults() != 1 || op.getReadOnlyArgs().size() != 1 ||
      !op.getReadWriteArgs().empty() || op.getPredicate())
    return {};
  auto [name, rest] = op.getPtxCode().trim().split(' ');
  std::string operands;
  for (char letter : rest)
    if (letter != ' ')
      operands.push_back(letter);
  StringRef list = StringRef(operands).rtrim(';');
  return list == "{$w0},{$r0}" || list == "$0,$1" ? name : StringRef();
}

} // namespace

LogicalResult ProgramCompiler::compileMatrixOp(Operation *op) {
  Location loc = op->getLoc();
  if (isa<NVVM::MmaOp>(op))
    return compileMma(op);
  if (auto load = dyn_cast<NVVM::LdMatrixOp>(op)) {
    if (load.getEltType() != NVVM::LdStMatrixEltType::B16 || load.getShape().getM() != 8 ||
        load.getShape().getN() != 8)
      return op->emitError("the emulator loads matrices of 8x8 16-bit elements only");
    Registers results = newRegisters(load.getNum());
    uint32_t address = getOne(load.getPtr());
    uint32_t list = program->operands.size();
    llvm::append_range(program->operands, results);
    Instruction &made = emit(Opcode::LoadMatrix, loc);
    made.a = address;
    made.b = list;
    made.count = load.getNum();
    made.detail = load.getLayout() == NVVM::MMALayout::col;
    set(load.getRes(), results);
    return success();
  }
  if (auto store = dyn_cast<NVVM::StMatrixOp>(op)) {
    if (store.getEltType() != NVVM::LdStMatrixEltType::B16 || store.getShape().getM() != 8 ||
        store.getShape().getN() != 8)
      return op->emitError("the emulator stores matrices of 8x8 16-bit elements only");
    Registers sources;
    for (Value source : store.getSources())
      sources.push_back(getOne(source));
    uint32_t address = getOne(store.getPtr());
    uint32_t list = program->operands.size();
    llvm::append_range(program->operands, sources);
    Instruction &made = emit(Opcode::StoreMatrix, loc);
    made.a = address;
    made.b = list;
    made.count = sources.size();
    made.detail = store.getLayout() == NVVM::MMALayout::col;
    return success();
  }
  return compilePtx(op);
}

LogicalResult ProgramCompiler::compileMma(Operation *op) {
  auto mma = cast<NVVM::MmaOp>(op);
  MatrixProduct product;
  auto element = mma.getMultiplicandAPtxType();
  bool isKnown = element && mma.getMultiplicandBPtxType() == element;
  unsigned m = mma.getShape().getM(), n = mma.getShape().getN(), k = mma.getShape().getK();
  if (isKnown && *element == NVVM::MMATypes::tf32)
    product.element = MatrixProduct::Element::Tf32;
  else if (isKnown && *element == NVVM::MMATypes::f16)
    product.element = MatrixProduct::Element::Half;
  else
    isKnown = isKnown && *element == NVVM::MMATypes::bf16;
  if (element && *element == NVVM::MMATypes::f64)
    return compileDoubles(mma);
  bool isTf32 = product.element == MatrixProduct::Element::Tf32;
  isKnown &= m == 16 && n == 8 && (isTf32 ? k == 4 || k == 8 : k == 8 || k == 16);
  isKnown &= mma.getLayoutA() == NVVM::MMALayout::row && mma.getLayoutB() == NVVM::MMALayout::col;
  isKnown &= llvm::all_of(mma.getOperandC().getTypes(), [](Type type) { return type.isF32(); });
  if (!isKnown)
    return op->emitError("the emulator multiplies matrices of bf16, f16 (m16n8k8, m16n8k16) and "
                         "tf32 (m16n8k4, m16n8k8) with f32 sums and of f64 (m8n8k4) only");
  product.k = k;
  for (Value value : mma.getOperandA())
    llvm::append_range(product.a, words(value, op->getLoc()));
  for (Value value : mma.getOperandB())
    llvm::append_range(product.b, words(value, op->getLoc()));
  for (Value value : mma.getOperandC())
    product.c.push_back(getOne(value));
  unsigned registersA = isTf32 ? k / 2 : k / 4;
  if (product.a.size() != registersA || product.b.size() != registersA / 2 || product.c.size() != 4)
    return op->emitError("the numbers of operands do not fit the shape");
  product.results = newRegisters(4);
  set(mma.getRes(), product.results);
  emit(Opcode::MultiplyMatrices, op->getLoc()).immediate = program->products.size();
  program->products.push_back(std::move(product));
  return success();
}

LogicalResult ProgramCompiler::compileDoubles(Operation *op) {
  auto mma = cast<NVVM::MmaOp>(op);
  if (mma.getShape().getM() != 8 || mma.getShape().getN() != 8 || mma.getShape().getK() != 4 ||
      mma.getLayoutA() != NVVM::MMALayout::row || mma.getLayoutB() != NVVM::MMALayout::col ||
      mma.getOperandA().size() != 1 || mma.getOperandB().size() != 1 ||
      mma.getOperandC().size() != 2)
    return op->emitError("the emulator multiplies matrices of f64 as m8n8k4 only");
  MatrixProduct product;
  product.element = MatrixProduct::Element::Double;
  product.k = 4;
  product.a.push_back(getOne(mma.getOperandA()[0]));
  product.b.push_back(getOne(mma.getOperandB()[0]));
  for (Value value : mma.getOperandC())
    product.c.push_back(getOne(value));
  product.results = newRegisters(2);
  set(mma.getRes(), product.results);
  emit(Opcode::MultiplyMatrices, op->getLoc()).immediate = program->products.size();
  program->products.push_back(std::move(product));
  return success();
}

LogicalResult ProgramCompiler::compilePtx(Operation *op) {
  auto snippet = dyn_cast<NVVM::InlinePtxOp>(op);
  if (!snippet)
    return op->emitError("the emulator does not know this op");
  Location loc = op->getLoc();
  StringRef name = onlyInstruction(snippet);
  using F = UnaryFunction;
  if (name == "movmatrix.sync.aligned.m8n8.trans.b16") {
    uint32_t source = getOne(snippet.getReadOnlyArgs()[0]);
    set(op->getResult(0), {emitValue(Opcode::TransposeMatrix, loc, {Scalar::Class::Integer, 32},
                                     noRegister, source)});
    return success();
  }
  if ((name == "mov.b32" || name == "mov.b64") &&
      op->getResult(0).getType() == snippet.getReadOnlyArgs()[0].getType()) {
    set(op->getResult(0), {getOne(snippet.getReadOnlyArgs()[0])});
    return success();
  }
  auto single = llvm::StringSwitch<std::optional<F>>(name)
                    .Case("tanh.approx.f32", F::Tanh)
                    .Case("ex2.approx.f32", F::Exp2)
                    .Case("ex2.approx.ftz.f32", F::Exp2Flush)
                    .Case("lg2.approx.f32", F::Log2)
                    .Case("lg2.approx.ftz.f32", F::Log2Flush)
                    .Case("rcp.approx.ftz.f32", F::ReciprocalFlush)
                    .Case("rsqrt.approx.ftz.f32", F::ReciprocalSqrtFlush)
                    .Default(std::nullopt);
  auto pair = llvm::StringSwitch<std::optional<F>>(name)
                  .Case("ex2.approx.ftz.bf16x2", F::Exp2Flush)
                  .Case("tanh.approx.bf16x2", F::Tanh)
                  .Default(std::nullopt);
  Type type = op->getResult(0).getType();
  if (single && type.isF32()) {
    uint32_t result = emitValue(Opcode::Function, loc, {Scalar::Class::Single, 32},
                                getOne(snippet.getReadOnlyArgs()[0]));
    program->code.back().detail = uint8_t(*single);
    set(op->getResult(0), {result});
    return success();
  }
  if (pair && type.isInteger(32)) {
    const Scalar brain = {Scalar::Class::Brain, 16};
    uint32_t source = getOne(snippet.getReadOnlyArgs()[0]);
    uint32_t halves[2];
    for (unsigned i = 0; i < 2; ++i) {
      uint32_t part = emitValue(Opcode::ExtractBits, loc, brain, source, noRegister, noRegister,
                                16 * int64_t(i));
      halves[i] = emitValue(Opcode::Function, loc, brain, part);
      program->code.back().detail = uint8_t(*pair);
    }
    set(op->getResult(0), {emitValue(Opcode::InsertBits, loc, {Scalar::Class::Integer, 32},
                                     halves[1], halves[0], noRegister, 16)});
    return success();
  }
  return op->emitError("the emulator does not know this inline PTX: ") << snippet.getPtxCode();
}

} // namespace seqmix::gpu
