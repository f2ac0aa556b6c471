//===- RuntimeWrongCallsTest.cpp - calls that must be refused ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/RuntimeSample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

using namespace seqmix::test;

namespace {

constexpr float kUntouched = -77;

// A call of B = 2, T = 6, H = 4, K = 8 that a test spoils.
struct Spoiled {
  ScanCall call{2, 6, 4, 8};
  ScanCarry in{2, 4, 8}, out{2, 4, 8};
  std::vector<const DLTensor *> tensors = call.tensors();
  std::vector<DLTensor *> read = in.get(), write = out.get();
  seq_options options = SEQ_OPTIONS_INIT;
  HostTensor<int32_t> ends{{3}};

  Spoiled() {
    for (float &value : call.y.data)
      value = kUntouched;
    for (float &value : out.state.data)
      value = kUntouched;
    options.carry_count = 4;
  }
  void useCarry() {
    options.carry_in = read.data();
    options.carry_out = write.data();
  }
};

struct WrongCall {
  const char *name;
  int status;
  const char *text;
  std::function<void(Spoiled &)> spoil;
};

class RuntimeWrongCalls : public testing::TestWithParam<WrongCall> {};

TEST_P(RuntimeWrongCalls, AreRefusedWithASentence) {
  for (bool single : {true, false}) {
    Spoiled s;
    GetParam().spoil(s);
    int status = seq_rt_forward(single ? &scanSet8() : &scanSet(), s.tensors.data(), &s.options);
    std::string text = seq_last_error();
    if (single) {
      EXPECT_EQ(status, GetParam().status) << text;
      EXPECT_NE(text.find(GetParam().text), std::string::npos) << text;
    }
    EXPECT_NE(status, SEQ_OK);
    EXPECT_EQ(text.rfind("scan_forward: ", 0), 0u) << text;
    for (float value : s.call.y.data)
      ASSERT_EQ(value, kUntouched);
    for (float value : s.out.state.data)
      ASSERT_EQ(value, kUntouched);
  }
}

int64_t shape3[3] = {2, 6, 4}, negative[4] = {2, -6, 4, 8},
        huge[4] = {int64_t(1) << 40, int64_t(1) << 40, 4, 8};
int64_t reversed[4] = {192, 32, 8, -1}, apart[4] = {384, 64, 16, 2}, still[4] = {0, 32, 8, 1};
int64_t odd[4] = {2, 6, 3, 8};
char work[64 * 1024 + 64];

void *aligned() {
  return reinterpret_cast<void *>((reinterpret_cast<uintptr_t>(work) + 63) / 64 * 64);
}

void pack(Spoiled &s, int32_t first, int32_t middle, int32_t last) {
  s.call = ScanCall(1, 6, 4, 8);
  for (float &value : s.call.y.data)
    value = kUntouched;
  s.tensors = s.call.tensors();
  s.ends.data = {first, middle, last};
  s.options.cu_seqlens = s.ends.get();
}

const WrongCall kCalls[] = {
    {"Null", SEQ_INVALID_ARGUMENT, "g is null", [](Spoiled &s) { s.tensors[1] = nullptr; }},
    {"Rank", SEQ_INVALID_SHAPE, "x has 3 dims, shape [2, 6, 4]; expected 4, [B, T, H, K]",
     [](Spoiled &s) {
       s.call.x.dl.ndim = 3;
       s.call.x.dl.shape = shape3;
     }},
    {"NoShape", SEQ_INVALID_ARGUMENT, "x has no shape",
     [](Spoiled &s) { s.call.x.dl.shape = nullptr; }},
    {"FixedSize", SEQ_INVALID_SHAPE,
     "w has shape [4, 7]; expected [H, K] = [4, 8] (K = 8 is fixed)",
     [](Spoiled &s) { s.call.w.shape[1] = 7; }},
    {"OtherTokens", SEQ_INVALID_SHAPE,
     "g has shape [2, 5, 2]; expected [B, T, H/2] = [2, 6, 2] (T = 6 as in x)",
     [](Spoiled &s) { s.call.g.shape[1] = 5; }},
    {"OutputShape", SEQ_INVALID_SHAPE,
     "y has shape [2, 6, 3, 8]; expected [B, T, H, K] = [2, 6, 4, 8] (H = 4 as in x)",
     [](Spoiled &s) { s.call.y.shape[2] = 3; }},
    {"HeadsNotGrouped", SEQ_INVALID_SHAPE, "H = 3 is not a multiple of 2, but g is [B, T, H/2]",
     [](Spoiled &s) { s.call.x.dl.shape = odd; }},
    {"NegativeExtent", SEQ_INVALID_SHAPE, "x has the negative extent -6 in dim 1",
     [](Spoiled &s) { s.call.x.dl.shape = negative; }},
    {"TooLarge", SEQ_INVALID_SHAPE, "x is larger than memory",
     [](Spoiled &s) {
       s.call.x.dl.shape = huge;
       s.call.x.dl.strides = nullptr;
     }},
    {"DType", SEQ_INVALID_DTYPE, "g is f64; expected f32",
     [](Spoiled &s) { s.call.g.dl.dtype.bits = 64; }},
    {"Lanes", SEQ_INVALID_DTYPE, "x is f32 in vectors of 4; expected f32",
     [](Spoiled &s) { s.call.x.dl.dtype.lanes = 4; }},
    {"Device", SEQ_INVALID_DEVICE,
     "x is on CUDA device 0; expected the CPU's memory: the library was compiled for the CPU "
     "(--target=cuda makes one for GPUs)",
     [](Spoiled &s) { s.call.x.dl.device.device_type = kDLCUDA; }},
    {"NegativeStride", SEQ_INVALID_LAYOUT, "x has the negative stride -1 in dim 3",
     [](Spoiled &s) { s.call.x.dl.strides = reversed; }},
    {"FeaturesApart", SEQ_INVALID_LAYOUT, "x has stride 2 in its last dim; expected 1",
     [](Spoiled &s) { s.call.x.dl.strides = apart; }},
    {"NoData", SEQ_INVALID_ARGUMENT, "x has no data",
     [](Spoiled &s) { s.call.x.dl.data = nullptr; }},
    {"Unaligned", SEQ_INVALID_LAYOUT, "x is not aligned to its elements of 4 bytes",
     [](Spoiled &s) { s.call.x.dl.byte_offset = 2; }},
    {"OutputIsInput", SEQ_INVALID_LAYOUT, "the output y overlaps x in memory",
     [](Spoiled &s) { s.call.y.dl.data = s.call.x.dl.data; }},
    {"OutputOverlapsInput", SEQ_INVALID_LAYOUT, "the output y overlaps x in memory",
     [](Spoiled &s) {
       s.call.x.dl.data = s.call.y.dl.data;
       s.call.x.dl.byte_offset = 32;
     }},
    {"OutputBroadcast", SEQ_INVALID_LAYOUT, "the output y has elements that share memory",
     [](Spoiled &s) { s.call.y.dl.strides = still; }},
    {"OptionsSize", SEQ_INVALID_ARGUMENT, "initialise options with SEQ_OPTIONS_INIT",
     [](Spoiled &s) { s.options.size = 8; }},
    {"Flags", SEQ_INVALID_ARGUMENT, "options.flags is 0x8",
     [](Spoiled &s) { s.options.flags = 8; }},
    {"Threads", SEQ_INVALID_ARGUMENT, "options.threads is -1",
     [](Spoiled &s) { s.options.threads = -1; }},
    {"Stream", SEQ_INVALID_ARGUMENT, "stream must be null",
     [](Spoiled &s) { s.options.stream = &s; }},
    {"CarryCount", SEQ_INVALID_ARGUMENT, "options.carry_count is 3; the carry has 4 parts",
     [](Spoiled &s) {
       s.useCarry();
       s.options.carry_count = 3;
     }},
    {"CarryShape", SEQ_INVALID_SHAPE, "S has shape [2, 4, 7]; expected [B, H, K] = [2, 4, 8]",
     [](Spoiled &s) {
       s.useCarry();
       s.in.state.shape[2] = 7;
     }},
    {"CarryWindowShape", SEQ_INVALID_SHAPE, "g_window has shape [2, 2, 3]; expected [B, H/2, 2]",
     [](Spoiled &s) {
       s.useCarry();
       s.out.gWindow.shape[2] = 3;
     }},
    {"CarryNotDense", SEQ_INVALID_LAYOUT, "g_window has stride 2 in its last dim; expected 1",
     [](Spoiled &s) {
       s.useCarry();
       s.in.gWindow.strides[2] = 2;
     }},
    {"CarryDType", SEQ_INVALID_DTYPE, "position is f64; expected i64",
     [](Spoiled &s) {
       s.useCarry();
       s.in.position.dl.dtype.code = kDLFloat;
     }},
    {"CarryPosition", SEQ_INVALID_ARGUMENT, "position[1] is -4; expected 0 or more",
     [](Spoiled &s) {
       s.useCarry();
       s.in.position.data[1] = -4;
     }},
    {"CarryPositionEnd", SEQ_INVALID_SHAPE, "beyond the largest, 2^31 - 1",
     [](Spoiled &s) {
       s.useCarry();
       s.in.position.data[0] = 2147483644;
     }},
    {"CarryPositionOverflow", SEQ_INVALID_SHAPE,
     "position 9223372036854775807 is beyond the largest, 2^31 - 1",
     [](Spoiled &s) {
       s.useCarry();
       s.in.position.data[1] = INT64_MAX;
     }},
    {"CarryOutputsOverlap", SEQ_INVALID_LAYOUT, "the final carry S overlaps",
     [](Spoiled &s) {
       s.useCarry();
       s.out.state.dl.data = s.out.xWindow.dl.data;
     }},
    {"CarryShifted", SEQ_INVALID_LAYOUT, "the final carry S overlaps the initial carry S in memory",
     [](Spoiled &s) {
       s.useCarry();
       s.in.state.dl.data = s.out.state.dl.data;
       s.in.state.dl.byte_offset = 4;
     }},
    {"CarryIsInput", SEQ_INVALID_LAYOUT, "the final carry S overlaps x in memory",
     [](Spoiled &s) {
       s.useCarry();
       s.out.state.dl.data = s.call.x.dl.data;
     }},
    {"SeqlensStart", SEQ_INVALID_SEQLENS, "cu_seqlens starts with 1; expected 0",
     [](Spoiled &s) { pack(s, 1, 4, 6); }},
    {"SeqlensFalls", SEQ_INVALID_SEQLENS, "cu_seqlens[2] is 3 behind 4",
     [](Spoiled &s) { pack(s, 0, 4, 3); }},
    {"SeqlensEnd", SEQ_INVALID_SEQLENS, "cu_seqlens ends with 5; expected T = 6",
     [](Spoiled &s) { pack(s, 0, 4, 5); }},
    {"SeqlensBeyond", SEQ_INVALID_SEQLENS, "expected a number from there to T = 6",
     [](Spoiled &s) { pack(s, 0, 7, 7); }},
    {"SeqlensType", SEQ_INVALID_DTYPE, "cu_seqlens must be i32 or i64",
     [](Spoiled &s) {
       pack(s, 0, 4, 6);
       s.ends.dl.dtype.code = kDLFloat;
     }},
    {"SeqlensRank", SEQ_INVALID_SEQLENS, "cu_seqlens must have one dim",
     [](Spoiled &s) {
       pack(s, 0, 4, 6);
       s.ends.dl.ndim = 0;
     }},
    {"PackedBatch", SEQ_INVALID_SHAPE,
     "x has shape [2, 6, 4, 8]; expected [1, T, H, K] = [1, 6, 4, 8]",
     [](Spoiled &s) {
       s.ends.data = {0, 2, 6};
       s.options.cu_seqlens = s.ends.get();
     }},
    {"PackedCarry", SEQ_INVALID_SHAPE,
     "S has shape [3, 4, 8]; expected [B, H, K] = [2, 4, 8] (B = 2 sequences in cu_seqlens)",
     [](Spoiled &s) {
       pack(s, 0, 4, 6);
       s.in.state.shape[0] = 3;
       s.useCarry();
     }},
    {"WorkspaceSmall", SEQ_WORKSPACE_TOO_SMALL, "the workspace has 64 bytes; this call needs",
     [](Spoiled &s) {
       s.options.workspace = aligned();
       s.options.workspace_bytes = 64;
     }},
    {"WorkspaceUnaligned", SEQ_WORKSPACE_TOO_SMALL, "not aligned to 64 bytes",
     [](Spoiled &s) {
       s.options.workspace = static_cast<char *>(aligned()) + 8;
       s.options.workspace_bytes = 60000;
     }},
    {"WorkspaceOverlaps", SEQ_INVALID_LAYOUT, "the workspace overlaps g in memory",
     [](Spoiled &s) {
       s.options.workspace = aligned();
       s.options.workspace_bytes = 64000;
       s.call.g.dl.data = static_cast<char *>(aligned()) + 128;
     }},
    {"CheckedRange", SEQ_OUT_OF_RANGE, "g[1, 5, 0] is 2.5; the mixer promises [-2, 2]",
     [](Spoiled &s) {
       s.options.flags = SEQ_CHECKED;
       s.call.g.at(1, 5, 0) = 2.5f;
     }},
    {"CheckedNaN", SEQ_OUT_OF_RANGE, "w[2, 7] is not a number",
     [](Spoiled &s) {
       s.options.flags = SEQ_CHECKED;
       s.call.w.at(2, 7) = std::numeric_limits<float>::quiet_NaN();
     }},
};

INSTANTIATE_TEST_SUITE_P(All, RuntimeWrongCalls, testing::ValuesIn(kCalls),
                         [](const auto &info) { return std::string(info.param.name); });

TEST(RuntimeLayouts, SlicesOfOneBufferDoNotOverlap) {
  // x and y are columns of one [B, T, H, 16] buffer, and of one [B, T, 2, H, 8] buffer.
  for (bool interleavedHeads : {true, false}) {
    ScanCall call(2, 5, 4, 8);
    std::vector<float> want = call.expected(nullptr);
    HostTensor<float> both({2, 5, 4, 16});
    int64_t head = interleavedHeads ? 16 : 8, offset = interleavedHeads ? 8 : 32;
    auto tensors = call.tensors();
    for (HostTensor<float> *tensor : {&call.x, &call.y}) {
      bool isOutput = tensor == &call.y;
      float *base = both.data.data() + (isOutput ? offset : 0);
      if (!isOutput)
        for (int64_t b = 0; b < 2; ++b)
          for (int64_t t = 0; t < 5; ++t)
            for (int64_t h = 0; h < 4; ++h)
              for (int64_t i = 0; i < 8; ++i)
                base[((b * 5 + t) * 64) + h * head + i] = call.x.at(b, t, h, i);
      tensor->strides = {320, 64, head, 1};
      tensor->dl.data = base;
    }
    ASSERT_EQ(seq_rt_forward(&scanSet(), tensors.data(), nullptr), SEQ_OK) << seq_last_error();
    for (int64_t b = 0, n = 0; b < 2; ++b)
      for (int64_t t = 0; t < 5; ++t)
        for (int64_t h = 0; h < 4; ++h)
          for (int64_t i = 0; i < 8; ++i, ++n)
            ASSERT_NEAR(both.data[static_cast<size_t>(offset + (b * 5 + t) * 64 + h * head + i)],
                        want[static_cast<size_t>(n)], 1e-4);
  }
}

TEST(RuntimeLayouts, BroadcastInputs) {
  ScanCall call(3, 4, 2, 8);
  auto tensors = call.tensors();
  call.x.strides[0] = 0;
  call.g.strides[1] = 0;
  ASSERT_EQ(seq_rt_forward(&scanSet(), tensors.data(), nullptr), SEQ_OK) << seq_last_error();
  std::vector<float> got = call.y.data, want = call.expected(nullptr);
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 1e-4);
}

TEST(RuntimeErrors, TextIsForgottenByTheNextCall) {
  ScanCall call(1, 2, 2, 8);
  auto tensors = call.tensors();
  tensors[0] = nullptr;
  EXPECT_EQ(seq_rt_forward(&scanSet8(), tensors.data(), nullptr), SEQ_INVALID_ARGUMENT);
  EXPECT_STREQ(seq_last_error(), "scan_forward: x is null");
  EXPECT_EQ(call.forward(), SEQ_OK);
  EXPECT_STREQ(seq_last_error(), "");
  EXPECT_STREQ(seq_status_name(SEQ_INVALID_SHAPE), "invalid shape");
}

TEST(RuntimeErrors, StepNeedsItsCarry) {
  ScanCall call(1, 2, 2, 8);
  ScanCarry carry(1, 2, 8);
  EXPECT_EQ(call.step(0, carry), SEQ_OK);
  auto parts = carry.get();
  parts[3] = nullptr;
  HostTensor<float> x({1, 2, 8}), g({1, 1}), y({1, 2, 8});
  const DLTensor *tensors[] = {x.get(), g.get(), call.w.get(), y.get()};
  EXPECT_EQ(seq_rt_step(&scanSet8(), tensors, parts.data(), nullptr), SEQ_INVALID_ARGUMENT);
  EXPECT_STREQ(seq_last_error(), "scan_step: position is null");
  EXPECT_EQ(seq_rt_step(&scanSet8(), tensors, nullptr, nullptr), SEQ_INVALID_ARGUMENT);
  EXPECT_STREQ(seq_last_error(), "scan_step: carry is null");
  tensors[0] = call.x.get();
  EXPECT_EQ(seq_rt_step(&scanSet8(), tensors, carry.get().data(), nullptr), SEQ_INVALID_SHAPE);
  EXPECT_STREQ(seq_last_error(),
               "scan_step: x has 4 dims, shape [1, 2, 2, 8]; expected 3, [B, H, K]");
}

TEST(RuntimeErrors, NoCodeForThisCpu) {
  SeqMixer mixer = *scanSet().sizes[0];
  mixer.kernel_count = 1; // the imaginary one
  const SeqMixer *sizes[] = {&mixer};
  SeqMixerSet set = {"scan", sizes, 1, 0};
  ScanCall call(1, 2, 2, 8);
  EXPECT_EQ(call.forward(set), SEQ_UNSUPPORTED_CPU);
  EXPECT_NE(std::string(seq_last_error()).find("was compiled for imaginary"), std::string::npos);
  mixer.version = 99;
  EXPECT_EQ(call.forward(set), SEQ_UNSUPPORTED);
  mixer.version = SEQ_DESCRIPTOR_VERSION;
  mixer.kernel_count = 2;
  setenv("SEQMIX_TARGET", "x86-64-v9", 1);
  EXPECT_EQ(call.forward(set), SEQ_UNSUPPORTED_CPU);
  EXPECT_NE(std::string(seq_last_error()).find("SEQMIX_TARGET names none"), std::string::npos);
  setenv("SEQMIX_TARGET", "x86-64", 1);
  EXPECT_EQ(call.forward(set), SEQ_OK);
  unsetenv("SEQMIX_TARGET");
}

} // namespace
