//===- JitSupport.cpp - runs IR of the tile level inside a test ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/JitSupport.h"

#include "dialect/Seq.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include <cstring>
#include <immintrin.h>
#include <mutex>

using namespace mlir;

namespace seqmix::test {

struct JitModule::Impl {
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

JitModule::JitModule(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
JitModule::~JitModule() = default;

void *JitModule::lookup(llvm::StringRef name) const {
  return llvm::cantFail(impl->jit->lookup(name)).toPtr<void *>();
}

namespace {

void initialiseOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    registerAllPasses();
  });
}

/// Runs the passes under test and the lowering to the llvm dialect.
llvm::Error lower(ModuleOp module, const JitOptions &options) {
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    stream << diagnostic.getLocation() << ": " << diagnostic << '\n';
    return success();
  });
  auto fail = [&](StringRef what) {
    return llvm::createStringError(llvm::Twine(what) + "\n" + messages);
  };
  std::string pipeline = options.passes.empty() ? "" : options.passes + ",";
  pipeline += "canonicalize,cse,convert-vector-to-scf,lower-affine,expand-strided-metadata,"
              "lower-affine,convert-scf-to-cf,convert-func-to-llvm{use-bare-ptr-memref-call-conv=";
  pipeline += options.barePointers ? "1" : "0";
  pipeline += "},convert-vector-to-llvm,convert-math-to-llvm,convert-to-llvm,"
              "reconcile-unrealized-casts,canonicalize,cse";
  PassManager manager(module.getContext());
  if (failed(parsePassPipeline(pipeline, manager, stream)))
    return fail("wrong pipeline: " + pipeline);
  if (failed(manager.run(module)))
    return fail("lowering failed");
  return llvm::Error::success();
}

void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  for (auto &function : module) {
    function.addFnAttr("target-cpu", machine.getTargetCPU());
    function.addFnAttr("target-features", machine.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", "512");
  }
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

llvm::orc::JITTargetMachineBuilder targetBuilder(JitTarget target) {
  auto builder = llvm::cantFail(llvm::orc::JITTargetMachineBuilder::detectHost());
  if (target == JitTarget::Avx2) {
    builder.setCPU("x86-64-v3");
    builder.getFeatures() = llvm::SubtargetFeatures();
  } else if (target == JitTarget::Sse41) {
    builder.setCPU("x86-64");
    builder.getFeatures() = llvm::SubtargetFeatures("+sse4.1");
  }
  builder.setCodeGenOptLevel(llvm::CodeGenOptLevel::Aggressive);
  return builder;
}

} // namespace

llvm::Expected<std::unique_ptr<JitModule>> JitModule::compile(ModuleOp module,
                                                              const JitOptions &options) {
  initialiseOnce();
  OwningOpRef<ModuleOp> copy(module.clone());
  if (auto error = lower(*copy, options))
    return error;
  auto context = std::make_unique<llvm::LLVMContext>();
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    stream << diagnostic.getLocation() << ": " << diagnostic << '\n';
    return success();
  });
  auto translated = translateModuleToLLVMIR(*copy, *context);
  if (!translated)
    return llvm::createStringError("translation to LLVM IR failed\n" + messages);

  auto builder = targetBuilder(options.target);
  auto machine = builder.createTargetMachine();
  if (!machine)
    return machine.takeError();
  translated->setDataLayout((*machine)->createDataLayout());
  translated->setTargetTriple((*machine)->getTargetTriple());
  optimise(*translated, **machine);
  if (options.dump)
    translated->print(llvm::errs(), nullptr);

  auto jit = llvm::orc::LLJITBuilder()
                 .setJITTargetMachineBuilder(std::move(builder))
                 .setLinkProcessSymbolsByDefault(false)
                 .setPlatformSetUp(llvm::orc::setUpInactivePlatform)
                 .create();
  if (!jit)
    return jit.takeError();
  llvm::orc::SymbolMap symbols;
  auto define = [&](StringRef name, void *address) {
    symbols[(*jit)->mangleAndIntern(name)] = {llvm::orc::ExecutorAddr::fromPtr(address),
                                              llvm::JITSymbolFlags::Exported};
  };
  define("memcpy", reinterpret_cast<void *>(&std::memcpy));
  define("memmove", reinterpret_cast<void *>(&std::memmove));
  define("memset", reinterpret_cast<void *>(&std::memset));
  for (auto &[name, address] : options.symbols)
    define(name, address);
  if (auto error = (*jit)->getMainJITDylib().define(llvm::orc::absoluteSymbols(std::move(symbols))))
    return error;
  // The session reports which symbols are missing; the look-up itself says only that it failed.
  std::string reported;
  (*jit)->getExecutionSession().setErrorReporter(
      [&](llvm::Error error) { reported += llvm::toString(std::move(error)); });
  std::vector<std::string> defined;
  for (auto &function : *translated)
    if (!function.isDeclaration())
      defined.push_back(function.getName().str());
  if (auto error = (*jit)->addIRModule({std::move(translated), std::move(context)}))
    return error;
  // Link now, so that an unknown symbol is this call's error.
  for (auto &name : defined)
    if (auto address = (*jit)->lookup(name); !address)
      return llvm::joinErrors(address.takeError(), llvm::createStringError(reported));
  (*jit)->getExecutionSession().setErrorReporter(
      [](llvm::Error error) { llvm::errs() << llvm::toString(std::move(error)) << '\n'; });
  auto impl = std::make_unique<Impl>();
  impl->jit = std::move(*jit);
  return std::unique_ptr<JitModule>(new JitModule(std::move(impl)));
}

std::unique_ptr<MLIRContext> makeJitContext() {
  initialiseOnce();
  DialectRegistry registry;
  registry.insert<seq::SeqDialect>();
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerAllToLLVMIRTranslations(registry);
  auto context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

OwningOpRef<ModuleOp> parseModule(MLIRContext &context, llvm::StringRef text) {
  auto module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    llvm::report_fatal_error("the module of the test does not parse");
  return module;
}

bool hostHasAvx512() {
  auto features = llvm::sys::getHostCPUFeatures();
  for (auto *name : {"avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"})
    if (!features.lookup(name))
      return false;
  return true;
}

bool hostHasAvx2() {
  auto features = llvm::sys::getHostCPUFeatures();
  return features.lookup("avx2") && features.lookup("fma");
}

FlushDenormals::FlushDenormals() : saved(_mm_getcsr()) { _mm_setcsr(saved | 0x8040); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved); }

} // namespace seqmix::test
