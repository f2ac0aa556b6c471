//===- Constants.h - constants of a library's module --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// Private to the library stage.

#ifndef SEQMIX_COMPILER_LIBRARY_CONSTANTS_H
#define SEQMIX_COMPILER_LIBRARY_CONSTANTS_H

#include "compiler/library/Device.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/Module.h"

#include <map>

namespace seqmix {

/// Makes the parts that descriptors consist of.
class Constants {
public:
  explicit Constants(llvm::Module &module);

  llvm::Constant *number(int64_t value);
  llvm::Constant *number32(int32_t value);
  llvm::Constant *count(size_t value) { return number32(static_cast<int32_t>(value)); }
  llvm::Constant *real(double value);
  llvm::Constant *null();
  llvm::Constant *global(llvm::Constant *value, const llvm::Twine &name);
  llvm::Constant *text(llvm::StringRef value);
  llvm::Constant *numbers(llvm::ArrayRef<int64_t> values);

  /// A struct of the runtime's; its size must be what the C compiler makes of the declaration.
  llvm::Constant *structure(llvm::ArrayRef<llvm::Constant *> fields, size_t bytes);

  /// A pointer to the elements; null when there are none.
  llvm::Constant *array(llvm::ArrayRef<llvm::Constant *> elements, const llvm::Twine &name);

  /// A pointer to the SeqDevice of a mixer; null for one that runs on the CPU.
  llvm::Constant *device(llvm::ArrayRef<DeviceTargetPlan> targets);

  llvm::Module &module;
  llvm::LLVMContext &context;
  llvm::PointerType *pointer;
  llvm::Type *i32, *i64;

private:
  llvm::Constant *code(const CodePlan &plan);
  llvm::Constant *amount(const AmountPlan &plan);
  llvm::Constant *launch(const LaunchPlan &plan);
  llvm::Constant *schedule(const SchedulePlan &plan);

  llvm::StringMap<llvm::Constant *> texts;
  std::map<const CodePlan *, llvm::Constant *> codes;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_LIBRARY_CONSTANTS_H
