//===- Module.cpp - descriptors and wrappers as LLVM IR ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Constants.h"
#include "compiler/library/Library.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

using namespace llvm;

namespace seqmix {
namespace {

class ModuleBuilder : Constants {
public:
  ModuleBuilder(const LibraryPlan &plan, Module &module) : Constants(module), plan(plan) {}

  void run() {
    for (const FamilyPlan &family : plan.mixers)
      addFamily(family);
    IRBuilder<> builder(context);
    startFunction("seqmix_manifest", pointer, {}, builder);
    builder.CreateRet(text(manifestText(plan)));
  }

private:
  //===--------------------------------------------------------------------===//
  // Descriptors
  //===--------------------------------------------------------------------===//

  Constant *axes(ArrayRef<AxisPlan> list) {
    SmallVector<Constant *> elements;
    for (const AxisPlan &axis : list)
      elements.push_back(
          structure({number32(axis.dim), number32(axis.slot), number(axis.div), number(axis.size)},
                    sizeof(SeqAxis)));
    return array(elements, "axes");
  }

  Constant *dims(const MixerPlan &mixer) {
    SmallVector<Constant *> elements;
    for (const DimPlan &dim : mixer.dims)
      elements.push_back(structure(
          {text(dim.name), number(dim.size), number32(dim.kind), number32(dim.by.empty() ? 0 : 1)},
          sizeof(SeqDim)));
    return array(elements, "dims");
  }

  Constant *tensors(const MixerPlan &mixer) {
    SmallVector<Constant *> elements;
    for (const TensorPlan &tensor : mixer.tensors)
      elements.push_back(
          structure({text(tensor.name), axes(tensor.axes), real(tensor.lo), real(tensor.hi),
                     number32(tensor.role), number32(tensor.dtype),
                     number32(static_cast<int32_t>(tensor.axes.size())), number32(0)},
                    sizeof(SeqTensor)));
    return array(elements, "tensors");
  }

  Constant *components(const MixerPlan &mixer) {
    SmallVector<Constant *> elements;
    for (const ComponentPlan &part : mixer.components)
      elements.push_back(structure({text(part.name), axes(part.axes), real(part.init),
                                    number(part.window), number32(part.kind), number32(part.dtype),
                                    number32(static_cast<int32_t>(part.axes.size())), number32(0)},
                                   sizeof(SeqComponent)));
    return array(elements, "components");
  }

  Constant *kernelSymbol(StringRef name) {
    if (name.empty())
      return null();
    auto *type = FunctionType::get(Type::getVoidTy(context), {pointer}, false);
    auto *function = cast<Function>(module.getOrInsertFunction(name, type).getCallee());
    function->setVisibility(GlobalValue::HiddenVisibility);
    function->setDSOLocal(true);
    return function;
  }

  Constant *kernels(const MixerPlan &mixer) {
    SmallVector<Constant *> elements;
    int32_t flags = (mixer.usesPosition ? SEQ_KERNEL_POSITION : 0) |
                    (mixer.startsAtZero ? SEQ_KERNEL_WHOLE : 0);
    for (const KernelPlan &kernel : mixer.kernels)
      elements.push_back(structure(
          {text(kernel.target),
           number(static_cast<int64_t>(featureBits(kernel.cpu, kernel.features))),
           kernelSymbol(kernel.sharedSymbol), kernelSymbol(kernel.forwardSymbol),
           number(kernel.scratchBytes), number(kernel.sharedBytes), number(kernel.sequenceBytes),
           number(kernel.splitSize), number32(kernel.splitDim), number32(kernel.batchBlock),
           number32(flags | (kernel.takesPages ? SEQ_KERNEL_PAGES : 0) |
                    (kernel.makesEarlier ? SEQ_KERNEL_EARLIER : 0)),
           number32(kernel.partialBytes), numbers(kernel.storageBytes), number32(kernel.group),
           number32(kernel.groupRows)},
          sizeof(SeqKernel)));
    return array(elements, "kernels");
  }

  Constant *transitions(const SummaryPlan &summary) {
    SmallVector<Constant *> elements;
    for (const TransitionPlan &plan : summary.transitions) {
      auto pair = [&](int32_t a, int32_t b) {
        return ConstantArray::get(ArrayType::get(i32, 2), {number32(a), number32(b)});
      };
      elements.push_back(structure(
          {number32(plan.to), number32(plan.from), pair(plan.factors[0], plan.factors[1]),
           pair(static_cast<int32_t>(plan.places[0]), static_cast<int32_t>(plan.places[1]))},
          sizeof(SeqTransition)));
    }
    return array(elements, "transitions");
  }

  Constant *summary(const MixerPlan &plan) {
    if (!plan.summary)
      return null();
    const SummaryPlan &summary = *plan.summary;
    SmallVector<Constant *> components;
    for (int32_t number : summary.components)
      components.push_back(number32(number));
    return global(
        structure({mixer(summary.mixer), array(components, "components"), transitions(summary),
                   real(summary.work), number32(static_cast<int32_t>(summary.transitions.size())),
                   number32(summary.backward)},
                  sizeof(SeqSummary)),
        plan.name + ".summary");
  }

  Value *extentOf(IRBuilder<> &builder, ExtentStep::Kind kind, Value *lhs, Value *rhs) {
    if (kind == ExtentStep::Add)
      return builder.CreateAdd(lhs, rhs);
    if (kind == ExtentStep::Mul)
      return builder.CreateMul(lhs, rhs);
    // The remainder takes the sign of what is divided.
    Value *rest = builder.CreateSRem(lhs, rhs), *zero = number(0);
    Value *isNegative = builder.CreateICmpSLT(rest, zero);
    rest = builder.CreateSelect(isNegative, builder.CreateAdd(rest, rhs), rest);
    if (kind == ExtentStep::Mod)
      return rest;
    Value *quotient = builder.CreateSDiv(builder.CreateSub(lhs, rest), rhs);
    if (kind == ExtentStep::FloorDiv)
      return quotient;
    Value *isWhole = builder.CreateICmpEQ(rest, zero);
    return builder.CreateSelect(isWhole, quotient, builder.CreateAdd(quotient, number(1)));
  }

  /// The function that sets the extents of derived dims.
  Constant *derive(const MixerPlan &mixer) {
    if (none_of(mixer.dims, [](const DimPlan &dim) { return !dim.by.empty(); }))
      return null();
    IRBuilder<> builder(context);
    auto *function =
        startFunction(mixer.name + ".derive", Type::getVoidTy(context), {pointer}, builder);
    function->setLinkage(GlobalValue::PrivateLinkage);
    auto at = [&](int32_t dim) {
      return builder.CreateConstInBoundsGEP1_64(i64, function->getArg(0), dim);
    };
    for (auto [own, dim] : enumerate(mixer.dims)) {
      if (dim.by.empty())
        continue;
      SmallVector<Value *> stack;
      for (const ExtentStep &step : dim.by) {
        if (step.kind == ExtentStep::Number) {
          stack.push_back(number(step.value));
        } else if (step.kind == ExtentStep::Dim) {
          stack.push_back(builder.CreateLoad(i64, at(static_cast<int32_t>(step.value))));
        } else {
          Value *rhs = stack.pop_back_val(), *lhs = stack.pop_back_val();
          stack.push_back(extentOf(builder, step.kind, lhs, rhs));
        }
      }
      Value *extent = stack.back();
      Value *isNegative = builder.CreateICmpSLT(extent, number(0));
      builder.CreateStore(builder.CreateSelect(isNegative, number(0), extent),
                          at(static_cast<int32_t>(own)));
    }
    builder.CreateRetVoid();
    return function;
  }

  Constant *work(const SeqWork &work) {
    return structure({real(work.pair), real(work.column), real(work.row)}, sizeof(SeqWork));
  }

  Constant *expanded(const MixerPlan &plan) {
    if (!plan.expanded)
      return null();
    return global(structure({mixer(*plan.expanded), work(plan.work), work(plan.expanded->work)},
                            sizeof(SeqExpanded)),
                  plan.name + ".expanded");
  }

  Constant *mixer(const MixerPlan &mixer) {
    return global(
        structure({text(mixer.name), mixer.noStep ? text(*mixer.noStep) : null(), dims(mixer),
                   tensors(mixer), components(mixer), kernels(mixer), summary(mixer), derive(mixer),
                   number(static_cast<int64_t>(mixer.sharedDims)), number32(SEQ_DESCRIPTOR_VERSION),
                   count(mixer.dims.size()), count(mixer.tensors.size()),
                   count(mixer.components.size()), count(mixer.kernels.size()),
                   number32(mixer.tokenDim), expanded(mixer), device(mixer.device)},
                  sizeof(SeqMixer)),
        mixer.name + ".size");
  }

  //===--------------------------------------------------------------------===//
  // Wrappers
  //===--------------------------------------------------------------------===//

  Function *startFunction(const Twine &name, Type *result, ArrayRef<Type *> arguments,
                          IRBuilder<> &builder) {
    auto *function = Function::Create(FunctionType::get(result, arguments, false),
                                      GlobalValue::ExternalLinkage, name, module);
    function->addFnAttr(Attribute::NoUnwind);
    builder.SetInsertPoint(BasicBlock::Create(context, "entry", function));
    return function;
  }

  /// An array on the stack that holds the given arguments.
  Value *pack(IRBuilder<> &builder, Type *type, ArrayRef<Value *> values) {
    auto *arrayType = ArrayType::get(type, std::max<size_t>(values.size(), 1));
    Value *memory = builder.CreateAlloca(arrayType);
    for (auto [index, value] : enumerate(values))
      builder.CreateStore(value, builder.CreateConstInBoundsGEP2_64(arrayType, memory, 0, index));
    return memory;
  }

  void callRuntime(IRBuilder<> &builder, StringRef name, ArrayRef<Value *> arguments) {
    SmallVector<Type *> types;
    for (Value *argument : arguments)
      types.push_back(argument->getType());
    auto callee = module.getOrInsertFunction(name, FunctionType::get(i32, types, false));
    builder.CreateRet(builder.CreateCall(callee, arguments));
  }

  void addCall(const FamilyPlan &family, Constant *set, bool step) {
    IRBuilder<> builder(context);
    size_t tensorCount = family.sizes.front().tensors.size();
    SmallVector<Type *> types(tensorCount + (step ? 2 : 1), pointer);
    auto *function =
        startFunction(family.name + (step ? "_step" : "_forward"), i32, types, builder);
    SmallVector<Value *> arguments(make_pointer_range(function->args()));
    Value *tensorArray = pack(builder, pointer, ArrayRef(arguments).take_front(tensorCount));
    SmallVector<Value *> operands = {set, tensorArray};
    append_range(operands, ArrayRef(arguments).drop_front(tensorCount));
    callRuntime(builder, step ? "seq_rt_step" : "seq_rt_forward", operands);
  }

  void addWorkspaceSize(const FamilyPlan &family, Constant *set) {
    IRBuilder<> builder(context);
    size_t count = workspaceDims(family.sizes.front()).size();
    SmallVector<Type *> types(count, i64);
    append_values(types, i32, pointer);
    auto *function = startFunction(family.name + "_workspace_size", i32, types, builder);
    SmallVector<Value *> arguments(make_pointer_range(function->args()));
    Value *extents = pack(builder, i64, ArrayRef(arguments).take_front(count));
    callRuntime(builder, "seq_rt_workspace_size",
                {set, extents, arguments[count], arguments[count + 1]});
  }

  void addCarryComponent(const FamilyPlan &family, Constant *set, size_t batchDims) {
    IRBuilder<> builder(context);
    SmallVector<Type *> types = {i32, i32};
    types.append(batchDims, i64);
    types.push_back(pointer);
    auto *function = startFunction(family.name + "_carry_component", i32, types, builder);
    SmallVector<Value *> arguments(make_pointer_range(function->args()));
    Value *extents = pack(builder, i64, ArrayRef(arguments).slice(2, batchDims));
    callRuntime(builder, "seq_rt_carry_component",
                {set, arguments[0], arguments[1], extents, arguments.back()});
  }

  void addPrepare(const FamilyPlan &family, Constant *set) {
    IRBuilder<> builder(context);
    auto *function = startFunction(family.name + "_prepare", i32, {i32}, builder);
    callRuntime(builder, "seq_rt_prepare", {set, function->getArg(0)});
  }

  /// Bound as the calls are, so it finds their runtime's text even when a process holds several.
  void addLastError(const FamilyPlan &family) {
    IRBuilder<> builder(context);
    startFunction(family.name + "_last_error", pointer, {}, builder);
    auto callee = module.getOrInsertFunction("seq_last_error", FunctionType::get(pointer, false));
    builder.CreateRet(builder.CreateCall(callee));
  }

  void addCount(const Twine &name, size_t count) {
    IRBuilder<> builder(context);
    startFunction(name, i32, {}, builder);
    builder.CreateRet(number32(static_cast<int32_t>(count)));
  }

  void addFamily(const FamilyPlan &family) {
    SmallVector<Constant *> sizes;
    for (const MixerPlan &size : family.sizes)
      sizes.push_back(mixer(size));
    Constant *set = global(structure({text(family.name), array(sizes, "sizes"),
                                      number32(static_cast<int32_t>(sizes.size())), number32(0)},
                                     sizeof(SeqMixerSet)),
                           family.name + ".set");
    const MixerPlan &first = family.sizes.front();
    size_t batchDims =
        count_if(first.dims, [](const DimPlan &dim) { return dim.kind == SEQ_DIM_BATCH; });
    addCall(family, set, /*step=*/false);
    if (!first.noStep)
      addCall(family, set, /*step=*/true);
    addWorkspaceSize(family, set);
    addCarryComponent(family, set, batchDims);
    if (!first.device.empty())
      addPrepare(family, set);
    addLastError(family);
    addCount(family.name + "_carry_count", first.components.size());
    addCount(family.name + "_size_count", family.sizes.size());
    addCount(family.name + "_tensor_count", first.tensors.size());
    addCount(family.name + "_batch_count", batchDims);
    addCount(family.name + "_length_count", workspaceDims(first).size() - batchDims);
  }

  const LibraryPlan &plan;
};

} // namespace

std::unique_ptr<Module> buildLibraryModule(const LibraryPlan &plan, LLVMContext &context) {
  auto module = std::make_unique<Module>("library", context);
  module->setTargetTriple(Triple("x86_64-unknown-linux-gnu"));
  module->setDataLayout(
      "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128");
  ModuleBuilder(plan, *module).run();
  return module;
}

std::vector<std::string> exportedSymbols(const LibraryPlan &plan) {
  std::vector<std::string> names = {"seqmix_manifest"};
  for (const FamilyPlan &family : plan.mixers) {
    for (const char *suffix :
         {"_forward", "_workspace_size", "_carry_component", "_carry_count", "_size_count",
          "_tensor_count", "_batch_count", "_length_count", "_last_error"})
      names.push_back(family.name + suffix);
    if (!family.sizes.front().noStep)
      names.push_back(family.name + "_step");
    if (!family.sizes.front().device.empty())
      names.push_back(family.name + "_prepare");
  }
  return names;
}

} // namespace seqmix
