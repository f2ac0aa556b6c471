//===- Device.h - the part of a library's plan that runs on GPUs --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// What runtime/Descriptor.h has for GPUs, as plain data.

#ifndef SEQMIX_COMPILER_LIBRARY_DEVICE_H
#define SEQMIX_COMPILER_LIBRARY_DEVICE_H

#include "compiler/gpu/Serialize.h"
#include "runtime/Descriptor.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace seqmix {

struct ImagePlan {
  std::string target; ///< "sm_90a"
  SeqImageKind kind = SEQ_IMAGE_PTX;
  int32_t architecture = 0;
  bool isExact = false;
  std::string bytes; ///< of PTX without the null byte behind it
};

/// Kernels that are loaded together.
struct CodePlan {
  std::vector<ImagePlan> images; ///< in the order in which they are tried
  std::vector<std::string> kernels;
};

struct AmountPlan {
  int64_t number = 1;
  std::vector<SeqFactor> factors;
};

struct LaunchPlan {
  std::array<AmountPlan, 3> grid;
  std::array<int32_t, 3> threads = {1, 1, 1};
  int32_t sharedBytes = 0; ///< dynamic
  int32_t kernel = 0;      ///< of the code
  std::vector<SeqArgument> arguments;
};

struct SchedulePlan {
  std::vector<LaunchPlan> launches;
  std::vector<AmountPlan> regions; ///< bytes
  int64_t segmentTokens = 0;
};

struct DeviceTargetPlan {
  std::string name;
  std::shared_ptr<CodePlan> code; ///< sizes and mixers may share one
  std::vector<SchedulePlan> forward;
  std::optional<SchedulePlan> step;
  bool takesPages = false;
};

/// Adds a compiled module to a code: its machine code, if there is some, in front of its PTX.
void addImage(CodePlan &code, const gpu::Image &image);

} // namespace seqmix

#endif // SEQMIX_COMPILER_LIBRARY_DEVICE_H
