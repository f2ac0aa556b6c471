//===- GpuEmulatorSupport.cpp - kernels from text for the emulator -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/GpuEmulatorSupport.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <map>

using namespace mlir;

namespace seqmix::gpu::test {

std::string kernelFile(llvm::StringRef name) {
  auto file = llvm::MemoryBuffer::getFile(std::string(SEQMIX_GPU_KERNELS) + "/" + name.str());
  if (!file)
    llvm::report_fatal_error("no kernels in " + name);
  return (*file)->getBuffer().str();
}

std::string inModule(llvm::StringRef functions) {
  return ("gpu.module @kernels {\n" + functions + "\n}\n").str();
}

std::string replaced(std::string text, llvm::StringRef from, llvm::StringRef to) {
  size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos)
    llvm::report_fatal_error("the kernel must have once: " + from);
  return text.replace(at, from.size(), to);
}

struct Kernels::Impl {
  std::string text;
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::map<std::string, std::unique_ptr<Program>> programs;
  std::string diagnostics;

  LLVM::LLVMFuncOp find(llvm::StringRef name) {
    LLVM::LLVMFuncOp found;
    module->walk([&](LLVM::LLVMFuncOp function) {
      if (function.getName() == name)
        found = function;
    });
    if (!found)
      llvm::report_fatal_error("no kernel " + name);
    return found;
  }
};

Kernels::Kernels(std::string text) : impl(std::make_unique<Impl>()) {
  impl->text = std::move(text);
  MLIRContext &context = impl->context;
  context.disableMultithreading();
  context.loadDialect<arith::ArithDialect, cf::ControlFlowDialect, scf::SCFDialect,
                      mlir::gpu::GPUDialect, LLVM::LLVMDialect, NVVM::NVVMDialect>();
  context.getDiagEngine().registerHandler(
      [this](Diagnostic &diagnostic) { impl->diagnostics += diagnostic.str() + '\n'; });
  impl->module = parseSourceString<ModuleOp>(impl->text, &context);
  PassManager passes(&context);
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  if (!impl->module || failed(passes.run(*impl->module)))
    llvm::report_fatal_error(llvm::StringRef("wrong kernel: " + impl->diagnostics));
}

Kernels::~Kernels() = default;

const Program &Kernels::get(llvm::StringRef kernel) {
  std::unique_ptr<Program> &program = impl->programs[kernel.str()];
  if (!program) {
    FailureOr<std::unique_ptr<Program>> made = compileKernel(impl->find(kernel));
    if (failed(made))
      llvm::report_fatal_error(llvm::StringRef("no program: " + impl->diagnostics));
    program = std::move(*made);
  }
  return *program;
}

Operation *Kernels::module() const { return &impl->module->getBody()->front(); }

std::string Kernels::error(llvm::StringRef kernel) {
  impl->diagnostics.clear();
  if (succeeded(compileKernel(impl->find(kernel))))
    return "";
  return impl->diagnostics;
}

LaunchResult Kernels::run(llvm::StringRef kernel, const LaunchShape &shape,
                          std::initializer_list<Argument> arguments, GlobalMemory &memory) {
  llvm::Expected<LaunchResult> result = launch(get(kernel), shape, arguments, memory);
  if (!result)
    llvm::report_fatal_error(result.takeError());
  return std::move(*result);
}

unsigned Kernels::lineOf(llvm::StringRef mark) const {
  llvm::StringRef text = impl->text;
  size_t at = text.find(mark);
  if (at == llvm::StringRef::npos || text.find(mark, at + 1) != llvm::StringRef::npos)
    llvm::report_fatal_error("the kernel must have once: " + mark);
  return text.take_front(at).count('\n') + 1;
}

unsigned lineOf(Location location) {
  if (auto call = dyn_cast<CallSiteLoc>(location))
    return lineOf(call.getCallee());
  if (auto file = dyn_cast<FileLineColLoc>(location))
    return file.getLine();
  return 0;
}

} // namespace seqmix::gpu::test
