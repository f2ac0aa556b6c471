//===- RuntimeDriverTest.cpp - mixers for GPUs on machines without a driver --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Descriptor.h"

#include <gtest/gtest.h>

#include <dlfcn.h>
#include <limits>
#include <string>

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const SeqDim kDims[] = {{"T", 0, SEQ_DIM_RUNTIME, 0}};
const SeqAxis kAxes[] = {{0, 0, 1, 0}};
const SeqTensor kTensors[] = {{"x", kAxes, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 1, 0},
                              {"y", kAxes, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 1, 0}};
const SeqSchedule kForward = {nullptr, nullptr, 0, 0, 0};
void *state;
const SeqCode kCode = {nullptr, nullptr, &state, 0, 0};
const SeqDeviceTarget kTarget = {"sm_80", &kCode, &kForward, nullptr, 1, 0};
const SeqDevice kDevice = {&kTarget, 1, 0};
const SeqMixer kMixer = {"shift", nullptr, kDims,   kTensors, nullptr,
                         nullptr, nullptr, nullptr, 0,        SEQ_DESCRIPTOR_VERSION,
                         1,       2,       0,       0,        0,
                         nullptr, &kDevice};
const SeqMixer *const kSizes[] = {&kMixer};
const SeqMixerSet kSet = {"shift", kSizes, 1, 0};

TEST(RuntimeDriver, SaysSoWithoutADriver) {
  if (dlopen("libcuda.so.1", RTLD_NOW))
    GTEST_SKIP() << "this machine has a driver";
  int64_t shape[] = {4};
  DLTensor x = {
      reinterpret_cast<void *>(0x1000), {kDLCUDA, 0}, 1, {kDLFloat, 32, 1}, shape, nullptr, 0};
  DLTensor y = x;
  y.data = reinterpret_cast<void *>(0x2000);
  const DLTensor *tensors[] = {&x, &y};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(seq_rt_forward(&kSet, tensors, nullptr), SEQ_DRIVER_ERROR);
    std::string text = seq_last_error();
    EXPECT_EQ(text.rfind("shift_forward: this mixer was compiled for CUDA, and there is no CUDA "
                         "driver on this machine (libcuda.so.1: ",
                         0),
              0U)
        << text;
  }
  EXPECT_EQ(seq_rt_prepare(&kSet, 0), SEQ_DRIVER_ERROR);
  // What needs no driver works.
  const int64_t extents[] = {100};
  size_t bytes = 1;
  EXPECT_EQ(seq_rt_workspace_size(&kSet, extents, 0, &bytes), SEQ_OK) << seq_last_error();
  EXPECT_EQ(bytes, 0U);
}

} // namespace
