//===- Constants.cpp - constants of a library's module ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Constants.h"

#include "llvm/IR/DataLayout.h"

using namespace llvm;

namespace seqmix {

Constants::Constants(Module &module)
    : module(module), context(module.getContext()), pointer(PointerType::get(context, 0)),
      i32(Type::getInt32Ty(context)), i64(Type::getInt64Ty(context)) {}

Constant *Constants::number(int64_t value) {
  return ConstantInt::get(i64, static_cast<uint64_t>(value));
}
Constant *Constants::number32(int32_t value) { return ConstantInt::getSigned(i32, value); }
Constant *Constants::real(double value) {
  return ConstantFP::get(Type::getDoubleTy(context), value);
}
Constant *Constants::null() { return ConstantPointerNull::get(pointer); }

Constant *Constants::global(Constant *value, const Twine &name) {
  auto *variable = new GlobalVariable(module, value->getType(), /*isConstant=*/true,
                                      GlobalValue::PrivateLinkage, value, name);
  variable->setAlignment(Align(8));
  return variable;
}

Constant *Constants::text(StringRef value) {
  Constant *&known = texts[value];
  if (!known)
    known = global(ConstantDataArray::getString(context, value), "text");
  return known;
}

Constant *Constants::numbers(ArrayRef<int64_t> values) {
  SmallVector<Constant *> elements;
  for (int64_t value : values)
    elements.push_back(number(value));
  return array(elements, "numbers");
}

Constant *Constants::structure(ArrayRef<Constant *> fields, size_t bytes) {
  Constant *value = ConstantStruct::getAnon(context, fields);
  assert(module.getDataLayout().getTypeAllocSize(value->getType()) == bytes &&
         "the struct is laid out as in Descriptor.h");
  (void)bytes;
  return value;
}

Constant *Constants::array(ArrayRef<Constant *> elements, const Twine &name) {
  if (elements.empty())
    return null();
  auto *type = ArrayType::get(elements.front()->getType(), elements.size());
  return global(ConstantArray::get(type, elements), name);
}

//===----------------------------------------------------------------------===//
// GPUs
//===----------------------------------------------------------------------===//

Constant *Constants::code(const CodePlan &plan) {
  Constant *&known = codes[&plan];
  if (known)
    return known;
  SmallVector<Constant *> images, names;
  for (const ImagePlan &image : plan.images) {
    bool isText = image.kind == SEQ_IMAGE_PTX;
    Constant *bytes = ConstantDataArray::getString(context, image.bytes, /*AddNull=*/isText);
    auto size = static_cast<int64_t>(image.bytes.size() + (isText ? 1 : 0));
    images.push_back(
        structure({text(image.target), global(bytes, "image"), number(size), number32(image.kind),
                   number32(image.architecture), number32(image.isExact ? 1 : 0), number32(0)},
                  sizeof(SeqImage)));
  }
  for (const std::string &name : plan.kernels)
    names.push_back(text(name));
  auto *state = new GlobalVariable(module, pointer, /*isConstant=*/false,
                                   GlobalValue::PrivateLinkage, null(), "code.state");
  known = global(structure({array(images, "images"), array(names, "kernels"), state,
                            count(plan.images.size()), count(plan.kernels.size())},
                           sizeof(SeqCode)),
                 "code");
  return known;
}

Constant *Constants::amount(const AmountPlan &plan) {
  SmallVector<Constant *> factors;
  for (const SeqFactor &factor : plan.factors)
    factors.push_back(structure(
        {number32(factor.kind), number32(factor.dim), number(factor.divisor)}, sizeof(SeqFactor)));
  return structure(
      {number(plan.number), array(factors, "factors"), count(plan.factors.size()), number32(0)},
      sizeof(SeqAmount));
}

Constant *Constants::launch(const LaunchPlan &plan) {
  SmallVector<Constant *> grid, arguments, threads;
  for (const AmountPlan &axis : plan.grid)
    grid.push_back(amount(axis));
  for (const SeqArgument &argument : plan.arguments)
    arguments.push_back(
        structure({number32(argument.kind), number32(argument.index)}, sizeof(SeqArgument)));
  for (int32_t extent : plan.threads)
    threads.push_back(number32(extent));
  return structure({ConstantArray::get(ArrayType::get(grid[0]->getType(), 3), grid),
                    array(arguments, "arguments"), count(plan.arguments.size()),
                    number32(plan.kernel), ConstantArray::get(ArrayType::get(i32, 3), threads),
                    number32(plan.sharedBytes)},
                   sizeof(SeqLaunch));
}

Constant *Constants::schedule(const SchedulePlan &plan) {
  SmallVector<Constant *> launches, regions;
  for (const LaunchPlan &one : plan.launches)
    launches.push_back(launch(one));
  for (const AmountPlan &region : plan.regions)
    regions.push_back(amount(region));
  return structure({array(launches, "launches"), array(regions, "regions"),
                    count(plan.launches.size()), count(plan.regions.size()),
                    number(plan.segmentTokens)},
                   sizeof(SeqSchedule));
}

Constant *Constants::device(ArrayRef<DeviceTargetPlan> targets) {
  if (targets.empty())
    return null();
  SmallVector<Constant *> elements;
  for (const DeviceTargetPlan &target : targets) {
    SmallVector<Constant *> forward, step;
    for (const SchedulePlan &plan : target.forward)
      forward.push_back(schedule(plan));
    if (target.step)
      step.push_back(schedule(*target.step));
    elements.push_back(structure({text(target.name), code(*target.code), array(forward, "forward"),
                                  array(step, "step"), count(forward.size()),
                                  number32(target.takesPages ? SEQ_KERNEL_PAGES : 0)},
                                 sizeof(SeqDeviceTarget)));
  }
  return global(structure({array(elements, "targets"), count(targets.size()), number32(0)},
                          sizeof(SeqDevice)),
                "device");
}

void addImage(CodePlan &code, const gpu::Image &image) {
  auto add = [&](SeqImageKind kind, const std::string &bytes) {
    code.images.push_back({image.chip.name, kind, static_cast<int32_t>(image.chip.architecture),
                           image.chip.isExact, bytes});
  };
  if (!image.cubin.empty())
    add(SEQ_IMAGE_CUBIN, image.cubin);
  add(SEQ_IMAGE_PTX, image.ptx);
  assert((code.kernels.empty() || code.kernels == image.kernels) &&
         "all images of a code have the same kernels");
  code.kernels = image.kernels;
}

} // namespace seqmix
