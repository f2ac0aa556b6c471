//===- LibraryPlanTest.cpp - descriptions of mixers from their equations ----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/library/Library.h"
#include "test/unit/MixerSupport.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace seqmix;
using namespace seqmix::test;

namespace {

std::string axesText(const MixerPlan &plan, const std::vector<AxisPlan> &axes) {
  std::vector<std::string> texts;
  for (const AxisPlan &axis : axes) {
    std::string text =
        axis.dim >= 0 ? plan.dims[static_cast<size_t>(axis.dim)].name : std::to_string(axis.size);
    if (axis.div != 1)
      text += fmt::format("/{}", axis.div);
    if (axis.slot >= 0)
      text += fmt::format("@{}", axis.slot);
    texts.push_back(text);
  }
  return fmt::format("[{}]", fmt::join(texts, " "));
}

std::string tensorText(const MixerPlan &plan, const char *name) {
  for (const TensorPlan &tensor : plan.tensors)
    if (tensor.name == name)
      return fmt::format("{} {} {} {}", int(tensor.role), int(tensor.dtype),
                         axesText(plan, tensor.axes), tensor.hi);
  return "absent";
}

std::string carryText(const MixerPlan &plan) {
  std::string text;
  for (const ComponentPlan &part : plan.components)
    text += fmt::format("{} {} {} {} {}; ", part.name, int(part.kind), int(part.dtype),
                        axesText(plan, part.axes), part.init);
  return text;
}

MixerPlan planText(const std::string &text, ast::DType dtype = ast::DType::F32) {
  Imported imported = importText(text, dtype);
  EXPECT_TRUE(imported.module) << imported.errors;
  auto plan = planMixer(imported.mixer());
  EXPECT_TRUE(succeeded(plan));
  return *plan;
}

TEST(LibraryPlan, BuffersAndCarry) {
  MixerPlan plan = planText("mixer m\n"
                            "  dims   B, H batch; t in T; i in K = 6; j in V = 4\n"
                            "  input  q[t,i], k[t,i]\n"
                            "  input  v[t,j] : bf16 per B, H/2\n"
                            "  input  g[t] : f32 in [-5, 0] per B\n"
                            "  input  n[] : i32\n"
                            "  param  w[H,i], c[j]\n"
                            "  state  S[i,j] = -inf\n"
                            "  S[t,i,j] = g[t-2] * S[t-1,i,j] + k[t,i] * v[t-1,j] * n\n"
                            "  o[t,j] = sum[i] w[i] * q[t,i] * S[t,i,j] * c[j]\n"
                            "  output o[t,j]\n");
  EXPECT_EQ(plan.tokenDim, 2);
  EXPECT_EQ(tensorText(plan, "q"), "0 1 [B T@0 H K@1] inf");
  EXPECT_EQ(tensorText(plan, "v"), "0 2 [B T@0 H/2 V@1] inf");
  EXPECT_EQ(tensorText(plan, "g"), "0 1 [B T@0] 0");
  EXPECT_EQ(tensorText(plan, "n"), "0 4 [B H] inf");
  EXPECT_EQ(tensorText(plan, "w"), "1 1 [H K@0] inf");
  EXPECT_EQ(tensorText(plan, "c"), "1 1 [V@0] inf");
  EXPECT_EQ(tensorText(plan, "o"), "2 1 [B T@0 H V@1] inf");
  EXPECT_EQ(carryText(plan), "S 0 1 [B H K@0 V@1] -inf; v_window 1 1 [B H/2 1@0 V@1] 0; "
                             "g_window 1 1 [B 2@0] 0; position 2 6 [B] 0; ");
  EXPECT_FALSE(plan.noStep);
  EXPECT_FALSE(plan.usesPosition);
  EXPECT_EQ(plan.sharedDims, 2u); // w varies over H
}

TEST(LibraryPlan, DoublesAndOutputsOfStates) {
  MixerPlan plan =
      planText("mixer m\n  dims B batch; t in T; i in D = 3\n  input x[t,i]\n"
               "  state h[i] = 0\n  h[t,i] = 0.5 * h[t-1,i] + x[t,i]\n  output h[t,i]\n",
               ast::DType::F64);
  EXPECT_EQ(tensorText(plan, "h"), "2 0 [B T@0 D@1] inf");
  EXPECT_EQ(carryText(plan), "h 0 0 [B D@0] 0; position 2 6 [B] 0; ");
}

TEST(LibraryPlan, WithoutBatch) {
  MixerPlan plan =
      planText("mixer m\n  dims t in T; i in D = 3\n  input x[t,i]\n"
               "  state h[i] = 0\n  h[t,i] = 0.5 * h[t-1,i] + x[t,i]\n  output h[t,i]\n");
  EXPECT_EQ(tensorText(plan, "x"), "0 1 [T@0 D@1] inf");
  EXPECT_EQ(carryText(plan), "h 0 1 [D@0] 0; position 2 6 [1@0] 0; ");
}

TEST(LibraryPlan, PositionMattersWhereTheTokenIsANumber) {
  const char *format =
      "mixer m\n  dims B batch; t in T; i in D = 3\n  input x[t,i]\n  param f[T,i]\n"
      "  state h[i] = 0\n  h[t,i] = 0.5 * h[t-1,i] + {}\n  output h[t,i]\n";
  auto with = [&](const char *term) {
    return planText(fmt::format(fmt::runtime(format), term)).usesPosition;
  };
  EXPECT_FALSE(with("x[t,i]"));
  EXPECT_FALSE(with("x[t-3,i]"));
  EXPECT_TRUE(with("x[t,i] * t"));
  EXPECT_TRUE(with("f[t,i]"));
  EXPECT_TRUE(with("(x[t,i] if t % 4 == 0 else 0)"));
}

TEST(LibraryPlan, TextOfAMixer) {
  const char *file = "# one\nmixer a # first\n  dims B batch\n\n# case B=2\n\nmixer ab\n  x  \n"
                     "  # mixed\n  y\n# case\n";
  EXPECT_EQ(mixerText(file, "a"), "mixer a # first\n  dims B batch\n");
  EXPECT_EQ(mixerText(file, "ab"), "mixer ab\n  x\n  # mixed\n  y\n");
  EXPECT_EQ(mixerText(file, "b"), "");
}

TEST(LibraryPlan, FamiliesAndFeatures) {
  LibraryPlan library;
  const char *text = "mixer m\n  dims B batch; t in T; i in D = 3\n  input x[t,i]\n"
                     "  state h[i] = 0\n  h[t,i] = h[t+1,i] + x[t,i]\n  output h[t,i]\n";
  library.add(planText(text));
  library.add(planText(text));
  ASSERT_EQ(library.mixers.size(), 1u);
  EXPECT_EQ(library.mixers[0].sizes.size(), 2u);
  ASSERT_TRUE(library.mixers[0].sizes[0].noStep);
  auto exported = exportedSymbols(library);
  EXPECT_EQ(std::count(exported.begin(), exported.end(), "m_step"), 0);
  EXPECT_EQ(std::count(exported.begin(), exported.end(), "m_forward"), 1);
}

TEST(LibraryPlan, FeaturesOfTargets) {
  auto bit = [](SeqCpuFeature feature) { return uint64_t(1) << feature; };
  EXPECT_EQ(featureBits("", "+sse3,-fma,+prefer-256-bit"), bit(SEQ_CPU_SSE3));
  EXPECT_EQ(featureBits("", "+fma,-avx2") & bit(SEQ_CPU_AVX), bit(SEQ_CPU_AVX));
  EXPECT_EQ(featureBits("", ""), 0u);
  EXPECT_EQ(featureBits("x86-64", "") & bit(SEQ_CPU_SSE42), 0u);
  EXPECT_NE(featureBits("x86-64-v2", "") & bit(SEQ_CPU_SSE42), 0u);
  EXPECT_EQ(featureBits("x86-64-v2", "") & bit(SEQ_CPU_AVX), 0u);
  uint64_t v3 = bit(SEQ_CPU_AVX) | bit(SEQ_CPU_AVX2) | bit(SEQ_CPU_FMA) | bit(SEQ_CPU_F16C) |
                bit(SEQ_CPU_BMI) | bit(SEQ_CPU_BMI2) | bit(SEQ_CPU_LZCNT) | bit(SEQ_CPU_MOVBE);
  EXPECT_EQ(featureBits("x86-64-v3", "") & v3, v3);
  EXPECT_EQ(featureBits("x86-64-v3", "") & bit(SEQ_CPU_AVX512F), 0u);
  uint64_t v4 = v3 | bit(SEQ_CPU_AVX512F) | bit(SEQ_CPU_AVX512BW) | bit(SEQ_CPU_AVX512CD) |
                bit(SEQ_CPU_AVX512DQ) | bit(SEQ_CPU_AVX512VL);
  EXPECT_EQ(featureBits("x86-64-v4", "") & v4, v4);
  // What the string takes away is not needed.
  EXPECT_EQ(featureBits("x86-64-v4", "-avx512vl") & bit(SEQ_CPU_AVX512VL), 0u);
}

TEST(LibraryLink, SaysWhatIsMissing) {
  LinkOptions options;
  options.output = "unused.so";
  options.runtimeDirectory = "/nonexistent";
  std::string text = llvm::toString(linkLibrary(options));
  EXPECT_NE(text.find("the runtime '/nonexistent/libseqmix_rt.so' is not there"), std::string::npos)
      << text;
  options.runtimeDirectory = SEQMIX_RUNTIME_DIRECTORY;
  options.objects = {"/nonexistent.o"};
  text = llvm::toString(linkLibrary(options));
  EXPECT_NE(text.find("/nonexistent.o"), std::string::npos) << text;
}

} // namespace
