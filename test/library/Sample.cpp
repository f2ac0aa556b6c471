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
      {"position", SEQ_CARRY_POSITION, SEQ_I32, 0, 0, {batch(B)}},
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
  plan.components = {{"position", SEQ_CARRY_POSITION, SEQ_I32, 0, 0, {batch(B)}}};
  KernelPlan kernel;
  kernel.target = "x86-64";
  kernel.forwardSymbol = "sampleCopyForward";
  plan.kernels = {kernel};
  return plan;
}

} // namespace

LibraryPlan samplePlan() {
  LibraryPlan plan;
  plan.add(scanPlan(8));
  plan.add(copyPlan());
  plan.add(scanPlan(5));
  return plan;
}

} // namespace seqmix
