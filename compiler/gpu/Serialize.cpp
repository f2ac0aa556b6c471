//===- Serialize.cpp - from lowered kernels to PTX ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Serialize.h"

#include "compiler/gpu/Assemble.h"
#include "dialect/tile/Tile.h"

#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/OptBisect.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

using namespace mlir;

// The AMD and CPU code generators of the LLVM library are not wanted, so not InitializeAllTargets.
extern "C" {
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}

namespace seqmix::gpu {
namespace {

llvm::Expected<std::unique_ptr<llvm::TargetMachine>> makeMachine(const Chip &chip) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string message;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return llvm::createStringError(message);
  std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(triple, chip.name, chip.features(), {}, std::nullopt,
                                  std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return llvm::createStringError("no code generator for " + chip.name);
  return machine;
}

void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

/// Lets kernels that ask for it keep the order that they are written in: code sinking moves sums
/// behind the last of many stores, where all that is summed up is in registers until then.
class KeepOrder : public llvm::OptPassGate {
public:
  explicit KeepOrder(llvm::Module &module) : context(module.getContext()) {
    for (const llvm::Function &function : module)
      if (function.hasFnAttribute(tile::keepsOrderName))
        functions.insert(("function (" + function.getName() + ")").str());
    context.setOptPassGate(*this);
  }
  ~KeepOrder() override { context.setOptPassGate(before); }
  KeepOrder(const KeepOrder &) = delete;
  KeepOrder &operator=(const KeepOrder &) = delete;

  bool isEnabled() const override { return !functions.empty(); }
  bool shouldRunPass(llvm::StringRef pass, llvm::StringRef description) const override {
    return pass != "machine-sink" || !functions.contains(description);
  }

private:
  llvm::LLVMContext &context;
  llvm::OptPassGate &before = context.getOptPassGate();
  llvm::StringSet<> functions;
};

/// A copy of the module whose ops can all be translated. Some nvvm ops have inline PTX as their
/// only form, which a pass writes.
OwningOpRef<ModuleOp> lowered(Operation *module) {
  OwningOpRef<ModuleOp> holder = ModuleOp::create(module->getLoc());
  holder->getBody()->push_back(module->clone());
  PassManager passes(module->getContext());
  passes.addPass(createConvertNVVMToLLVMPass());
  return failed(passes.run(*holder)) ? OwningOpRef<ModuleOp>() : std::move(holder);
}

llvm::Expected<std::string> emitPtx(llvm::Module &module, const Chip &chip) {
  auto machine = makeMachine(chip);
  if (!machine)
    return machine.takeError();
  module.setTargetTriple((*machine)->getTargetTriple());
  module.setDataLayout((*machine)->createDataLayout());
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", chip.name);
    function.addFnAttr("target-features", chip.features());
    function.setDoesNotThrow();
  }
  std::string message;
  llvm::raw_string_ostream errors(message);
  if (llvm::verifyModule(module, &errors))
    return llvm::createStringError("the kernels' LLVM IR is not well-formed: " + message);
  optimise(module, **machine);
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager emit;
  if ((*machine)->addPassesToEmitFile(emit, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return llvm::createStringError("the target does not write assembly");
  KeepOrder gate(module);
  emit.run(module);
  return text.str().str();
}

/// From lowered kernels to the image's PTX and, where ptxas is installed, its machine code.
LogicalResult compile(Operation *kernels, Image &image) {
  llvm::LLVMContext context;
  auto translated = translateModuleToLLVMIR(kernels, context, "kernels");
  if (!translated)
    return failure();
  llvm::Expected<std::string> ptx = emitPtx(*translated, image.chip);
  if (!ptx)
    return kernels->emitError(llvm::toString(ptx.takeError()));
  image.ptx = std::move(*ptx);
  if (llvm::Error error = assemble(image))
    return kernels->emitError(llvm::toString(std::move(error)));
  return success();
}

unsigned spillBytes(const Image &image) {
  unsigned bytes = 0;
  for (const KernelUse &use : image.uses)
    bytes += use.spillStoreBytes + use.spillLoadBytes;
  return bytes;
}

/// Lets fewer blocks share a multiprocessor for kernels that spill: by one, if they ask for
/// several, else only one, as ptxas may leave a thread no more than 32 registers so that several
/// fit. Whether that changes anything.
bool askForRegisters(Operation *kernels, const Image &image) {
  bool isAny = false;
  for (const KernelUse &use : image.uses) {
    Operation *kernel = SymbolTable::lookupSymbolIn(kernels, use.name);
    if (!kernel || use.spillStoreBytes + use.spillLoadBytes == 0 ||
        !kernel->hasAttr(NVVM::NVVMDialect::getReqntidAttrName()) ||
        kernel->hasAttr(NVVM::NVVMDialect::getMaxnregAttrName()))
      continue;
    const StringRef name = NVVM::NVVMDialect::getMinctasmAttrName();
    int64_t blocks = 2;
    if (auto asked = kernel->getAttrOfType<IntegerAttr>(name))
      blocks = asked.getInt();
    if (blocks == 1)
      continue;
    kernel->setAttr(name, Builder(kernels->getContext()).getI32IntegerAttr(blocks - 1));
    isAny = true;
  }
  return isAny;
}

} // namespace

llvm::FailureOr<Image> serialize(Operation *module, const Chip &chip) {
  if (failed(checkChip(module, chip)))
    return failure();
  Image image;
  image.chip = chip;
  module->walk([&](LLVM::LLVMFuncOp function) {
    if (!function.isExternal() && function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      image.kernels.push_back(function.getName().str());
  });
  if (image.kernels.empty())
    return module->emitError("has no kernel (a function with the attribute nvvm.kernel)");
  OwningOpRef<ModuleOp> holder = lowered(module);
  if (!holder)
    return failure();
  MLIRContext &context = *module->getContext();
  registerBuiltinDialectTranslation(context);
  registerLLVMDialectTranslation(context);
  registerGPUDialectTranslation(context);
  registerNVVMDialectTranslation(context);
  Operation *kernels = &holder->getBody()->front();
  if (failed(compile(kernels, image)))
    return failure();
  Image last = image;
  while (askForRegisters(kernels, last)) {
    Image next;
    next.chip = chip;
    next.kernels = image.kernels;
    if (failed(compile(kernels, next)))
      return failure();
    if (spillBytes(next) < spillBytes(image))
      image = next;
    last = std::move(next);
  }
  return image;
}

} // namespace seqmix::gpu
