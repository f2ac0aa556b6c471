//===- GpuTileSupport.cpp - tile kernels on the emulator ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/GpuTileSupport.h"

#include "compiler/gpu/Passes.h"
#include "compiler/gpu/emulator/Numbers.h"

#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MemoryBuffer.h"

#include <map>

using namespace mlir;

namespace seqmix::gpu::test {

std::string tileFile(llvm::StringRef name) {
  auto file = llvm::MemoryBuffer::getFile(std::string(SEQMIX_GPU_KERNELS) + "/" + name.str());
  if (!file)
    llvm::report_fatal_error("no kernels in " + name);
  return (*file)->getBuffer().str();
}

struct TileKernels::Impl {
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

TileKernels TileKernels::fromFile(llvm::StringRef name) { return TileKernels(tileFile(name)); }
TileKernels::~TileKernels() = default;
TileKernels::TileKernels(TileKernels &&) = default;

TileKernels::TileKernels(llvm::StringRef text) : impl(std::make_unique<Impl>()) {
  MLIRContext &context = impl->context;
  context.disableMultithreading();
  context.loadDialect<arith::ArithDialect, cf::ControlFlowDialect, scf::SCFDialect,
                      math::MathDialect, tensor::TensorDialect, mlir::gpu::GPUDialect,
                      LLVM::LLVMDialect, NVVM::NVVMDialect, tile::TileDialect>();
  context.getDiagEngine().registerHandler(
      [this](Diagnostic &diagnostic) { impl->diagnostics += diagnostic.str() + '\n'; });
  impl->module = parseSourceString<ModuleOp>(text, &context);
  PassManager passes(&context);
  addTilePasses(passes);
  if (!impl->module || failed(passes.run(*impl->module)))
    llvm::report_fatal_error(llvm::StringRef("wrong kernel: " + impl->diagnostics));
}

LaunchResult TileKernels::run(llvm::StringRef kernel, Dim3 grid,
                              std::initializer_list<Argument> arguments, GlobalMemory &memory) {
  LLVM::LLVMFuncOp function = impl->find(kernel);
  std::unique_ptr<Program> &program = impl->programs[kernel.str()];
  if (!program) {
    FailureOr<std::unique_ptr<Program>> made = compileKernel(function);
    if (failed(made))
      llvm::report_fatal_error(llvm::StringRef("no program: " + impl->diagnostics));
    program = std::move(*made);
  }
  auto threads =
      function->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getReqntidAttrName());
  LaunchShape shape{grid, {uint32_t(threads[0]), 1, 1}, sharedBytes(kernel)};
  llvm::Expected<LaunchResult> result = launch(*program, shape, arguments, memory);
  if (!result)
    llvm::report_fatal_error(result.takeError());
  return std::move(*result);
}

unsigned TileKernels::count(llvm::StringRef kernel, llvm::StringRef op) {
  unsigned result = 0;
  impl->find(kernel).walk(
      [&](Operation *other) { result += other->getName().getStringRef() == op; });
  return result;
}

unsigned TileKernels::sharedBytes(llvm::StringRef kernel) {
  auto bytes = impl->find(kernel)->getAttrOfType<IntegerAttr>("shared_bytes");
  return bytes ? bytes.getInt() : 0;
}

static SmallVector<Operation *> findBarriers(LLVM::LLVMFuncOp kernel) {
  SmallVector<Operation *> found;
  kernel.walk([&](Operation *op) {
    if (isa<NVVM::Barrier0Op, NVVM::BarrierOp>(op))
      found.push_back(op);
  });
  return found;
}

void TileKernels::removeBarrier(llvm::StringRef kernel, unsigned number) {
  findBarriers(impl->find(kernel))[number]->erase();
  impl->programs.erase(kernel.str());
}

unsigned TileKernels::barriers(llvm::StringRef kernel) {
  return findBarriers(impl->find(kernel)).size();
}

std::vector<float> normals(size_t count, unsigned seed) {
  std::seed_seq sequence{seed};
  std::mt19937 generator(sequence);
  std::normal_distribution<float> normal;
  std::vector<float> result(count);
  for (float &value : result)
    value = normal(generator);
  return result;
}

std::vector<uint16_t> brains(const std::vector<float> &values) {
  std::vector<uint16_t> result;
  for (float value : values)
    result.push_back(singleToBrain(value));
  return result;
}

float fromBrain(uint16_t value) { return brainToSingle(value); }

double relativeError(const std::vector<float> &values, const std::vector<double> &reference) {
  double largest = 0, error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::fabs(reference[i]));
    // NaN is an error too.
    if (double difference = std::fabs(values[i] - reference[i]); !(difference <= error))
      error = difference;
  }
  return error / largest;
}

} // namespace seqmix::gpu::test
