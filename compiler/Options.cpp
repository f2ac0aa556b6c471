//===- Options.cpp - reading the values of options ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Options.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringSwitch.h"

namespace seqmix {
namespace {

llvm::Error addAll(llvm::StringRef list, Overrides &overrides) {
  llvm::SmallVector<llvm::StringRef> parts;
  list.split(parts, ',');
  for (llvm::StringRef part : parts) {
    std::string error;
    if (!addOverride(part.trim(), overrides, error))
      return llvm::createStringError(error);
  }
  return llvm::Error::success();
}

} // namespace

llvm::Error readSizes(const std::vector<std::string> &definitions,
                      const std::vector<std::string> &sizes, Options &options) {
  Overrides common;
  for (const std::string &definition : definitions)
    if (auto error = addAll(definition, common))
      return error;
  options.sizes.clear();
  for (const std::string &list : sizes) {
    Overrides overrides = common;
    if (auto error = addAll(list, overrides))
      return error;
    options.sizes.push_back(std::move(overrides));
  }
  if (options.sizes.empty())
    options.sizes.push_back(common);
  return llvm::Error::success();
}

std::optional<ast::DType> dtypeNamed(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<ast::DType>>(name)
      .Case("f64", ast::DType::F64)
      .Case("f32", ast::DType::F32)
      .Case("bf16", ast::DType::BF16)
      .Case("f16", ast::DType::F16)
      .Default(std::nullopt);
}

llvm::StringRef nameOf(ast::DType dtype) {
  switch (dtype) {
  case ast::DType::Default:
    return "default";
  case ast::DType::F64:
    return "f64";
  case ast::DType::F32:
    return "f32";
  case ast::DType::BF16:
    return "bf16";
  case ast::DType::F16:
    return "f16";
  case ast::DType::I32:
    return "i32";
  case ast::DType::Bool:
    return "bool";
  }
  return "";
}

} // namespace seqmix
