//===- RuntimeRunTest.cpp - what calls compute ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/RuntimeSample.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

using namespace seqmix::test;

namespace {

struct Shape {
  int64_t batch, tokens, heads, size;
  int threads;
};

class RuntimeShapes : public testing::TestWithParam<Shape> {};

TEST_P(RuntimeShapes, ForwardAndCarryAgreeWithTheLoop) {
  const Shape &s = GetParam();
  for (int64_t gap : {0, 3}) {
    ScanCall call(s.batch, s.tokens, s.heads, s.size, 7, gap);
    call.options.threads = s.threads;
    ScanCarry carry(s.batch, s.heads, s.size), out(s.batch, s.heads, s.size);
    for (size_t b = 0; b < static_cast<size_t>(s.batch); ++b)
      carry.position.data[b] = static_cast<int64_t>(b / 2); // blocks of unequal positions
    for (float &value : carry.gWindow.data)
      value = 0.25f;
    ScanCarry loop = carry;
    ASSERT_EQ(call.forward(&carry, &out), SEQ_OK) << seq_last_error();
    expectNear(call.y.data, call.expected(&loop));
    // Where nothing is written (B = 0) both keep what was there.
    expectNear(out, loop);
  }
}

TEST_P(RuntimeShapes, CarryInPlace) {
  const Shape &s = GetParam();
  ScanCall call(s.batch, s.tokens, s.heads, s.size);
  call.options.threads = s.threads;
  ScanCarry carry(s.batch, s.heads, s.size), apart(s.batch, s.heads, s.size);
  for (float &value : carry.gWindow.data)
    value = -0.5f;
  ASSERT_EQ(call.forward(&carry, &apart), SEQ_OK);
  std::vector<float> y = call.y.data;
  ASSERT_EQ(call.forward(&carry, &carry), SEQ_OK) << seq_last_error();
  EXPECT_EQ(y, call.y.data);
  EXPECT_EQ(carry.state.data, apart.state.data);
  EXPECT_EQ(carry.gWindow.data, apart.gWindow.data);
  EXPECT_EQ(carry.xWindow.data, apart.xWindow.data);
  EXPECT_EQ(carry.position.data, apart.position.data);
}

TEST_P(RuntimeShapes, StepsAgreeWithForward) {
  const Shape &s = GetParam();
  ScanCall whole(s.batch, s.tokens, s.heads, s.size), steps = whole;
  whole.options.threads = steps.options.threads = s.threads;
  ScanCarry carry(s.batch, s.heads, s.size), end(s.batch, s.heads, s.size);
  ASSERT_EQ(whole.forward(nullptr, &end), SEQ_OK);
  for (int64_t t = 0; t < s.tokens; ++t)
    ASSERT_EQ(steps.step(t, carry), SEQ_OK) << seq_last_error();
  expectNear(steps.y.data, whole.y.data);
  if (s.tokens > 0)
    expectNear(carry, end);
}

TEST_P(RuntimeShapes, QueriedWorkspaceSuffices) {
  const Shape &s = GetParam();
  ScanCall call(s.batch, s.tokens, s.heads, s.size);
  int64_t extents[] = {s.batch, s.heads, s.tokens};
  size_t bytes = 0;
  ASSERT_EQ(seq_rt_workspace_size(&scanSet(), extents, s.threads, &bytes), SEQ_OK);
  ASSERT_EQ(bytes % 64, 0u);
  std::vector<char> memory(bytes + 64);
  auto address = (reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64;
  call.options.workspace = reinterpret_cast<void *>(address);
  call.options.workspace_bytes = bytes;
  call.options.threads = s.threads;
  ScanCarry carry(s.batch, s.heads, s.size);
  ScanCarry loop = carry;
  ASSERT_EQ(call.forward(&carry, &carry), SEQ_OK) << seq_last_error();
  expectNear(call.y.data, call.expected(&loop));
}

INSTANTIATE_TEST_SUITE_P(All, RuntimeShapes,
                         testing::Values(Shape{1, 1, 2, 8, 1}, Shape{2, 7, 4, 8, 1},
                                         Shape{5, 9, 2, 5, 2}, Shape{7, 3, 6, 8, 4},
                                         Shape{3, 0, 2, 8, 2}, Shape{0, 4, 2, 8, 2},
                                         Shape{2, 4, 0, 5, 2}, Shape{16, 33, 8, 8, 3},
                                         Shape{1, 1000, 2, 5, 0}));

TEST(Runtime, PackedSequencesGetTheBitsOfSingleOnes) {
  std::vector<int64_t> lengths = {5, 0, 12, 5, 5, 5, 1};
  ScanCall packed(1, 33, 4, 8, 3);
  HostTensor<int32_t> ends({8});
  for (int64_t n = 0, sum = 0; n < 8; ++n) {
    ends.at(n) = static_cast<int32_t>(sum);
    sum += n < 7 ? lengths[static_cast<size_t>(n)] : 0;
  }
  packed.options.cu_seqlens = ends.get();
  packed.options.threads = 2;
  ScanCarry carry(7, 4, 8), out(7, 4, 8);
  for (int32_t n = 0; n < 7; ++n)
    carry.position.at(n) = n == 4 ? 9 : 2;
  ScanCarry loop = carry;
  ASSERT_EQ(packed.forward(&carry, &out), SEQ_OK) << seq_last_error();
  expectNear(packed.y.data, packed.expected(&loop, lengths));
  expectNear(out, loop);

  int64_t start = 0;
  for (int64_t n = 0; n < 7; ++n) {
    int64_t length = lengths[static_cast<size_t>(n)];
    ScanCall alone(1, length, 4, 8);
    alone.w = packed.w;
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t h = 0; h < 4; ++h)
        for (int64_t i = 0; i < 8; ++i)
          alone.x.at(int64_t(0), t, h, i) = packed.x.at(int64_t(0), start + t, h, i);
      for (int64_t group = 0; group < 2; ++group)
        alone.g.at(int64_t(0), t, group) = packed.g.at(int64_t(0), start + t, group);
    }
    ScanCarry first(1, 4, 8), last(1, 4, 8);
    first.position.at(0) = carry.position.at(n);
    ASSERT_EQ(alone.forward(&first, &last), SEQ_OK);
    for (int64_t t = 0; t < length; ++t)
      for (int64_t i = 0; i < 8; ++i)
        EXPECT_EQ(alone.y.at(int64_t(0), t, int64_t(3), i),
                  packed.y.at(int64_t(0), start + t, int64_t(3), i));
    EXPECT_EQ(last.state.at(int64_t(0), int64_t(1), int64_t(5)),
              out.state.at(n, int64_t(1), int64_t(5)));
    start += length;
  }
}

TEST(Runtime, ChoosesTheSizeFromTheTensors) {
  ScanCall eight(2, 3, 2, 8), five(2, 3, 2, 5);
  EXPECT_EQ(eight.forward(), SEQ_OK);
  EXPECT_EQ(five.forward(), SEQ_OK);
  expectNear(five.y.data, five.expected(nullptr));
  ScanCall six(2, 3, 2, 6);
  EXPECT_EQ(six.forward(), SEQ_INVALID_SHAPE);
  std::string text = seq_last_error();
  EXPECT_NE(text.find("compiled for K = 8 in f32; K = 5 in f32"), std::string::npos) << text;
}

TEST(Runtime, CarryComponents) {
  int64_t extents[] = {3, 4};
  seq_component info;
  ASSERT_EQ(seq_rt_carry_component(&scanSet(), 1, 2, extents, &info), SEQ_OK);
  EXPECT_STREQ(info.name, "g_window");
  EXPECT_EQ(std::vector<int64_t>(info.shape, info.shape + info.rank),
            (std::vector<int64_t>{3, 2, 2}));
  EXPECT_EQ(info.batch, 2);
  ASSERT_EQ(seq_rt_carry_component(&scanSet(), 1, 0, extents, &info), SEQ_OK);
  EXPECT_EQ(info.shape[2], 5);
  EXPECT_EQ(info.init, 1);
  EXPECT_EQ(seq_rt_carry_component(&scanSet(), 2, 0, extents, &info), SEQ_INVALID_ARGUMENT);
  EXPECT_EQ(seq_rt_carry_component(&scanSet(), 0, 4, extents, &info), SEQ_INVALID_ARGUMENT);
}

} // namespace
