//===- Target.cpp - what the stages know about a CPU ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/Target.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"

using namespace seqmix;

namespace {
TargetInfo hostInfo() {
  TargetInfo info;
  info.level = TargetLevel::Native;
  info.cpu = llvm::sys::getHostCPUName().str();
  // The name of a virtual machine's CPU says less than its features: both are given to LLVM.
  llvm::SubtargetFeatures features;
  auto host = llvm::sys::getHostCPUFeatures();
  for (auto &feature : host)
    features.AddFeature(feature.getKey(), feature.getValue());
  info.features = features.getString();
  info.hasFma = host.lookup("fma");
  info.hasF16c = host.lookup("f16c");
  info.hasAvx512 = host.lookup("avx512f") && host.lookup("avx512dq") && host.lookup("avx512bw") &&
                   host.lookup("avx512vl");
  info.hasBf16 = info.hasAvx512 && host.lookup("avx512bf16");
  bool avx2 = host.lookup("avx2");
  info.vectorBytes = info.hasAvx512 ? 64 : avx2 ? 32 : 16;
  info.registers = info.hasAvx512 ? 32 : 16;
  return info;
}
} // namespace

TargetInfo seqmix::targetInfo(TargetLevel level) {
  TargetInfo info;
  info.level = level;
  switch (level) {
  case TargetLevel::Native:
    return hostInfo();
  case TargetLevel::V4:
    info.cpu = "x86-64-v4";
    info.vectorBytes = 64;
    info.registers = 32;
    info.hasFma = info.hasF16c = info.hasAvx512 = true;
    break;
  case TargetLevel::V3:
    info.cpu = "x86-64-v3";
    info.vectorBytes = 32;
    info.hasFma = info.hasF16c = true;
    break;
  case TargetLevel::Baseline:
    info.cpu = "x86-64-v2"; // rounding to integers needs SSE4.1
    break;
  }
  return info;
}

std::optional<TargetLevel> seqmix::targetLevelNamed(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<TargetLevel>>(name)
      .Case("native", TargetLevel::Native)
      .Case("x86-64-v4", TargetLevel::V4)
      .Case("x86-64-v3", TargetLevel::V3)
      .Case("baseline", TargetLevel::Baseline)
      .Default(std::nullopt);
}
