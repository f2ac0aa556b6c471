//===- Sample.cpp - the plan of a library of hand-written kernels -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/library/Sample.h"

namespace seqmix {
namespace {

enum { B, H, T, Feature };

AxisPlan batch(int32_t dim, int64_t div = 1) { return {dim, -1, div, 0}; }
AxisPlan own(int32_t dim, int32_t slot) { return {dim, slot, 1, 0}; }
AxisPlan fixed(int64_t size, int32_t slot) { return {-1, slot, 1, size}; }

constexpr double kInf = std::numeric_limits<double>::infinity();

MixerPlan scanPlan(int64_t size) {
  MixerPlan plan;
  plan.name = "scan";
  plan.source = "mixer scan\n  dims   B, H batch; t in T; i in K = 8\n  input  x[t,i]\n"
                "  input  g[t] in [-2, 2] per B, H/2\n  param  w[H,i]\n  state  S[i] = 1\n"
                "  S[t,i] = g[t] * S[t-1,i] + x[t,i]\n"
                "  y[t,i] = w[i] * S[t,i] + x[t-1,i] + 2 * g[t-2] + t / 4\n  output y[t,i]\n";
  plan.dims = {{"B", SEQ_DIM_BATCH, 0, {}},
               {"H", SEQ_DIM_BATCH, 0, {}},
               {"T", SEQ_DIM_RUNTIME, 0, {}},
               {"K", SEQ_DIM_FIXED, size, {}}};
  plan.tokenDim = T;
  std::vector<AxisPlan> rows = {batch(B), own(T, 0), batch(H), own(Feature, 1)};
  plan.tensors = {
      {"x", SEQ_ROLE_INPUT, SEQ_F32, -kInf, kInf, rows},
      {"g", SEQ_ROLE_INPUT, SEQ_F32, -2, 2, {batch(B), own(T, 0), batch(H, 2)}},
      {"w", SEQ_ROLE_PARAM, SEQ_F32, -kInf, kInf, {batch(H), own(Feature, 0)}},
      {"y", SEQ_ROLE_OUTPUT, SEQ_F32, -kInf, kInf, rows},
  };
  plan.components = {
      {"S", SEQ_CARRY_STATE, SEQ_F32, 1, 0, {batch(B), batch(H), own(Feature, 0)}},
      {"x_window",
       SEQ_CARRY_WINDOW,
       SEQ_F32,
       0,
       1,
       {batch(B), batch(H), fixed(1, 0), own(Feature, 1)}},
      {"g_window", SEQ_CARRY_WINDOW, SEQ_F32, 0, 2, {batch(B), batch(H, 2), fixed(2, 0)}},
      {"position", SEQ_CARRY_POSITION, SEQ_I64, 0, 0, {batch(B)}},
  };
  KernelPlan kernel;
  kernel.target = "x86-64";
  kernel.features = "+sse3";
  kernel.forwardSymbol = size == 8 ? "sampleScan8Forward" : "sampleScan5Forward";
  kernel.sharedSymbol = size == 8 ? "sampleScan8Shared" : "sampleScan5Shared";
  kernel.scratchBytes = 256;
  kernel.sharedBytes = 4 * size;
  kernel.splitDim = Feature;
  kernel.splitSize = 4;
  kernel.batchBlock = 3;
  plan.kernels = {kernel};
  plan.sharedDims = 1u << H;
  plan.usesPosition = true;
  return plan;
}

MixerPlan copyPlan() {
  MixerPlan plan;
  plan.name = "copy";
  plan.noStep = "for this test it must not have one";
  plan.dims = {{"B", SEQ_DIM_BATCH, 0, {}},
               {"H", SEQ_DIM_BATCH, 0, {}},
               {"T", SEQ_DIM_RUNTIME, 0, {}},
               {"D", SEQ_DIM_FIXED, 3, {}}};
  plan.tokenDim = T;
  std::vector<AxisPlan> rows = {batch(B), own(T, 0), batch(H), own(Feature, 1)};
  plan.tensors = {
      {"x", SEQ_ROLE_INPUT, SEQ_BF16, -kInf, kInf, rows},
      {"keep", SEQ_ROLE_INPUT, SEQ_BOOL, -kInf, kInf, {batch(B), own(T, 0)}},
      {"n", SEQ_ROLE_INPUT, SEQ_I32, -kInf, kInf, {batch(B), batch(H)}},
      {"y", SEQ_ROLE_OUTPUT, SEQ_BF16, -kInf, kInf, rows},
      {"m", SEQ_ROLE_OUTPUT, SEQ_I32, -kInf, kInf, {batch(B), batch(H)}},
  };
  plan.components = {{"position", SEQ_CARRY_POSITION, SEQ_I64, 0, 0, {batch(B)}}};
  KernelPlan kernel;
  kernel.target = "x86-64";
  kernel.forwardSymbol = "sampleCopyForward";
  plan.kernels = {kernel};
  return plan;
}

MixerPlan decayPlan() {
  MixerPlan plan;
  plan.name = "decay";
  plan.dims = {{"B", SEQ_DIM_BATCH, 0, {}},
               {"H", SEQ_DIM_BATCH, 0, {}},
               {"T", SEQ_DIM_RUNTIME, 0, {}},
               {"K", SEQ_DIM_FIXED, 4, {}}};
  plan.tokenDim = T;
  std::vector<AxisPlan> rows = {batch(B), own(T, 0), batch(H), own(Feature, 1)};
  plan.tensors = {{"x", SEQ_ROLE_INPUT, SEQ_F32, -kInf, kInf, rows},
                  {"y", SEQ_ROLE_OUTPUT, SEQ_F32, -kInf, kInf, rows}};
  plan.components = {
      {"S", SEQ_CARRY_STATE, SEQ_F32, 0, 0, {batch(B), batch(H), own(Feature, 0)}},
      {"position", SEQ_CARRY_POSITION, SEQ_I64, 0, 0, {batch(B)}},
  };
  const SeqFactor heads[] = {{SEQ_FACTOR_DIM, B, 1}, {SEQ_FACTOR_DIM, H, 1}};
  const SeqFactor segments = {SEQ_FACTOR_SEGMENTS, 0, 1};
  LaunchPlan launch;
  launch.grid[0] = {1, {heads[0], heads[1]}};
  launch.threads = {32, 1, 1};
  launch.arguments = {{SEQ_ARGUMENT_TENSOR, 0},    {SEQ_ARGUMENT_TENSOR, 1},
                      {SEQ_ARGUMENT_CARRY_IN, 0},  {SEQ_ARGUMENT_CARRY_OUT, 0},
                      {SEQ_ARGUMENT_CARRY_OUT, 1}, {SEQ_ARGUMENT_FRAME, 0}};
  SchedulePlan whole, cut;
  whole.launches = {launch};
  launch.grid[1] = {1, {segments}};
  cut.launches = {launch, launch};
  cut.regions = {{16, {heads[0], heads[1], segments}}};
  cut.segmentTokens = 64;
  auto code = std::make_shared<CodePlan>();
  code->images = {{"sm_80", SEQ_IMAGE_PTX, 80, false,
                   ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry decay(\n)\n"}};
  code->kernels = {"decay"};
  plan.device = {{"sm_80", code, {whole, cut}, std::nullopt, false}};
  return plan;
}

} // namespace

LibraryPlan deviceSamplePlan() {
  LibraryPlan plan;
  plan.add(decayPlan());
  return plan;
}

LibraryPlan samplePlan() {
  LibraryPlan plan;
  plan.add(scanPlan(8));
  plan.add(copyPlan());
  plan.add(scanPlan(5));
  return plan;
}

} // namespace seqmix
