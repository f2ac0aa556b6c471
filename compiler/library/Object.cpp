//===- Object.cpp - the descriptors' object file ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Library.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

llvm::Error seqmix::writeLibraryObject(const LibraryPlan &plan, StringRef path) {
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  LLVMContext context;
  auto module = buildLibraryModule(plan, context);
  assert(!verifyModule(*module, &errs()) && "the library module is well-formed");
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(module->getTargetTriple(), message);
  if (!target)
    return createStringError(message);
  std::unique_ptr<TargetMachine> machine(
      target->createTargetMachine(module->getTargetTriple(), "x86-64", "", TargetOptions(),
                                  Reloc::PIC_, std::nullopt, CodeGenOptLevel::Default));
  module->setDataLayout(machine->createDataLayout());
  std::error_code code;
  raw_fd_ostream os(path, code, sys::fs::OF_None);
  if (code)
    return createStringError(code, "cannot write '%s': %s", path.str().c_str(),
                             code.message().c_str());
  legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, os, nullptr, CodeGenFileType::ObjectFile))
    return createStringError("the target cannot write object files");
  passes.run(*module);
  os.flush();
  if (os.has_error()) {
    auto error = createStringError(os.error(), "cannot write '%s'", path.str().c_str());
    os.clear_error();
    return error;
  }
  return Error::success();
}
