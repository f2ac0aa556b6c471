//===- RuntimeSegmentsTest.cpp - parts of one sequence at the same time -----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/library/SampleKernels.h"
#include "test/unit/RuntimeSample.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>

using namespace seqmix::test;

namespace {

/// Cuts sequences into so many segments while it lives.
class Forced {
public:
  explicit Forced(int segments) { setenv("SEQMIX_SEGMENTS", std::to_string(segments).c_str(), 1); }
  ~Forced() { unsetenv("SEQMIX_SEGMENTS"); }
  Forced(const Forced &) = delete;
  Forced &operator=(const Forced &) = delete;
};

/// A carry that is nowhere what a sequence starts from.
ScanCarry someCarry(int64_t batch, int64_t heads) {
  ScanCarry carry(batch, heads, 8);
  float value = 0.25f;
  for (auto *part : {&carry.state, &carry.xWindow, &carry.gWindow})
    for (float &element : part->data)
      element = value += 0.125f;
  for (size_t b = 0; b < carry.position.data.size(); ++b)
    carry.position.data[b] = static_cast<int64_t>(3 * b);
  return carry;
}

// The kernels of `scan` behind counters.
std::atomic<int> wholes, laters, summaries;
void countedForward(const int64_t *frame) {
  ++(frame[SEQ_FRAME_HISTORY] > 0 ? laters : wholes);
  sampleScan8Forward(frame);
}
void countedSummary(const int64_t *frame) {
  ++summaries;
  sampleScanSummary(frame);
}

/// `scan` with K = 8 and counted kernels.
struct Counted {
  SeqKernel kernel, making;
  SeqMixer mixer, made;
  SeqSummary summary;
  const SeqMixer *sizes[1];
  SeqMixerSet set;
  Counted()
      : kernel(scanSet8().sizes[0]->kernels[1]),
        making(scanSet8().sizes[0]->summary->mixer->kernels[1]), mixer(*scanSet8().sizes[0]),
        made(*mixer.summary->mixer), summary(*mixer.summary), sizes{&mixer},
        set{"scan", sizes, 1, 0} {
    kernel.forward = countedForward;
    making.forward = countedSummary;
    mixer.kernels = &kernel;
    made.kernels = &making;
    mixer.kernel_count = made.kernel_count = 1;
    mixer.summary = &summary;
    summary.mixer = &made;
    wholes = laters = summaries = 0;
  }
  Counted(const Counted &) = delete;
  Counted &operator=(const Counted &) = delete;
};

struct Shape {
  int64_t batch, tokens, heads;
  int segments, threads;
};

class RuntimeSegments : public testing::TestWithParam<Shape> {};

TEST_P(RuntimeSegments, AgreeWithTheLoop) {
  const Shape &s = GetParam();
  Forced forced(s.segments);
  ScanCall call(s.batch, s.tokens, s.heads, 8, 5, 3);
  call.options.threads = s.threads;
  ScanCarry in = someCarry(s.batch, s.heads), out(s.batch, s.heads, 8), loop = in;
  ASSERT_EQ(call.forward(&in, &out), SEQ_OK) << seq_last_error();
  std::vector<float> expected = call.expected(&loop);
  expectNear(call.y.data, expected);
  expectNear(out, loop);
  // In place the windows are read by first segments and written by last ones.
  ASSERT_EQ(call.forward(&in, &in), SEQ_OK) << seq_last_error();
  expectNear(call.y.data, expected);
  expectNear(in, loop);
  ScanCarry initial(s.batch, s.heads, 8);
  ASSERT_EQ(call.forward(nullptr, nullptr), SEQ_OK) << seq_last_error();
  expectNear(call.y.data, call.expected(&initial));
}

TEST_P(RuntimeSegments, FitTheQueriedWorkspace) {
  const Shape &s = GetParam();
  Forced forced(s.segments);
  int64_t extents[] = {s.batch, s.heads, s.tokens};
  size_t bytes = 0;
  ASSERT_EQ(seq_rt_workspace_size(&scanSet8(), extents, s.threads, &bytes), SEQ_OK);
  std::vector<char> memory(bytes + 128, 'x');
  auto address = (reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64;
  size_t begin = address - reinterpret_cast<uintptr_t>(memory.data());
  ScanCall call(s.batch, s.tokens, s.heads, 8);
  call.options.workspace = reinterpret_cast<void *>(address);
  call.options.workspace_bytes = bytes;
  call.options.threads = s.threads;
  ScanCarry carry = someCarry(s.batch, s.heads), loop = carry;
  ASSERT_EQ(call.forward(&carry, &carry), SEQ_OK) << seq_last_error();
  expectNear(call.y.data, call.expected(&loop));
  for (size_t i = begin + bytes; i < memory.size(); ++i)
    ASSERT_EQ(memory[i], 'x') << "behind the workspace";
}

INSTANTIATE_TEST_SUITE_P(All, RuntimeSegments,
                         testing::Values(Shape{1, 64, 2, 3, 2}, Shape{2, 7, 4, 7, 1},
                                         Shape{3, 5, 2, 9, 4}, Shape{1, 0, 2, 3, 2},
                                         Shape{1, 1, 2, 3, 2}, Shape{1, 2, 2, 3, 2},
                                         Shape{0, 9, 2, 3, 2}, Shape{2, 9, 0, 3, 2},
                                         Shape{4, 33, 6, 2, 3}, Shape{1, 1000, 2, 40, 0}));

TEST(Segments, GiveTheSameBitsForEveryNumberOfThreadsAndSlot) {
  Forced forced(4);
  ScanCall first(3, 50, 4, 8, 2);
  for (int64_t t = 0; t < 50; ++t) // the last element is the first
    for (int64_t h = 0; h < 4; ++h) {
      for (int64_t i = 0; i < 8; ++i)
        first.x.at(int64_t(2), t, h, i) = first.x.at(int64_t(0), t, h, i);
      first.g.at(int64_t(2), t, h / 2) = first.g.at(int64_t(0), t, h / 2);
    }
  first.options.threads = 1;
  ASSERT_EQ(first.forward(), SEQ_OK);
  for (int64_t t = 0; t < 50; ++t)
    for (int64_t h = 0; h < 4; ++h)
      for (int64_t i = 0; i < 8; ++i)
        ASSERT_EQ(first.y.at(int64_t(0), t, h, i), first.y.at(int64_t(2), t, h, i));
  for (int threads : {2, 3, 7}) {
    ScanCall call = first;
    call.options.threads = threads;
    for (int again = 0; again < 20; ++again) {
      ASSERT_EQ(call.forward(), SEQ_OK);
      ASSERT_EQ(call.y.data, first.y.data) << threads << " threads";
    }
  }
}

// Gates above 1 in the tokens of one segment of some elements.
void growAt(ScanCall &call, int64_t begin, int64_t end, int64_t element) {
  for (int64_t t = begin; t < end; ++t)
    for (int64_t h = 0; h < call.g.shape[2]; ++h)
      call.g.at(element, t, h) = 1.9f;
}

TEST(Segments, AreOneWhereProductsGrow) {
  auto run = [](int64_t begin, int64_t end) {
    Forced forced(4);
    Counted counted;
    ScanCall call(1, 80, 2, 8);
    growAt(call, begin, end, 0);
    call.options.threads = 3;
    EXPECT_EQ(call.forward(counted.set), SEQ_OK) << seq_last_error();
    ScanCarry loop(1, 2, 8);
    expectNear(call.y.data, call.expected(&loop));
    return std::vector<int>{wholes, laters, summaries};
  };
  using Runs = std::vector<int>;
  EXPECT_EQ(run(0, 0), (Runs{4, 12, 8}));
  EXPECT_EQ(run(0, 20), (Runs{4, 12, 8})); // the first has no summary
  EXPECT_EQ(run(20, 40), (Runs{4, 4, 8}));
  EXPECT_EQ(run(40, 60), (Runs{4, 8, 8}));
  EXPECT_EQ(run(60, 80), (Runs{4, 12, 8})); // nor has the last
}

TEST(Segments, AreCutByTheirOwnValuesOnly) {
  Forced forced(3);
  ScanCall both(2, 60, 2, 8), alone(2, 60, 2, 8);
  growAt(both, 20, 40, 1);
  ScanCarry loop(2, 2, 8);
  ASSERT_EQ(both.forward(), SEQ_OK) << seq_last_error();
  ASSERT_EQ(alone.forward(), SEQ_OK) << seq_last_error();
  expectNear(both.y.data, both.expected(&loop));
  for (int64_t t = 0; t < 60; ++t)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t i = 0; i < 8; ++i)
        ASSERT_EQ(both.y.at(int64_t(0), t, h, i), alone.y.at(int64_t(0), t, h, i));
}

TEST(Segments, OfPackedSequences) {
  std::vector<int64_t> lengths = {5, 0, 12, 1, 40, 2};
  for (int segments : {2, 3, 5, 50}) {
    Forced forced(segments);
    ScanCall packed(1, 60, 4, 8, 3);
    HostTensor<int32_t> ends({7});
    for (int64_t n = 0, sum = 0; n < 7; ++n) {
      ends.at(n) = static_cast<int32_t>(sum);
      sum += n < 6 ? lengths[static_cast<size_t>(n)] : 0;
    }
    packed.options.cu_seqlens = ends.get();
    packed.options.threads = 2;
    ScanCarry carry = someCarry(6, 4), out(6, 4, 8), loop = carry;
    ASSERT_EQ(packed.forward(&carry, &out), SEQ_OK) << seq_last_error();
    expectNear(packed.y.data, packed.expected(&loop, lengths));
    expectNear(out, loop);
  }
}

TEST(Segments, AreMadeWhereThereAreFewerTasksThanThreads) {
  auto run = [](int64_t batch, int64_t tokens, int threads, uint32_t flags) {
    Counted counted;
    ScanCall call(batch, tokens, 2, 8);
    call.options.threads = threads;
    call.options.flags = flags;
    EXPECT_EQ(call.forward(counted.set), SEQ_OK) << seq_last_error();
    return std::vector<int>{wholes, laters, summaries};
  };
  // Four tasks, two heads and two tiles; q threads for each.
  using Runs = std::vector<int>;
  EXPECT_EQ(run(1, 20000, 4, 0), (Runs{4, 0, 0}));
  EXPECT_EQ(run(1, 20000, 7, 0), (Runs{4, 0, 0}));
  EXPECT_EQ(run(1, 20000, 8, 0), (Runs{4, 8, 4}));
  EXPECT_EQ(run(1, 20000, 12, 0), (Runs{4, 12, 8}));
  EXPECT_EQ(run(2, 20000, 12, 0), (Runs{8, 0, 0}));
  EXPECT_EQ(run(1, 20000, 12, SEQ_UNSPLIT), (Runs{4, 0, 0}));
  EXPECT_EQ(run(1, 500, 12, 0), (Runs{4, 0, 0})); // too short
}

TEST(Segments, OfLongCallsFitTheQueriedWorkspace) {
  int64_t extents[] = {3, 4, 30000};
  for (int threads : {1, 8, 16, 40}) {
    size_t bytes = 0;
    ASSERT_EQ(seq_rt_workspace_size(&scanSet8(), extents, threads, &bytes), SEQ_OK);
    std::vector<char> memory(bytes + 64);
    auto address = (reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64;
    for (int64_t batch : {1, 2, 3})
      for (int64_t heads : {2, 4})
        for (int64_t tokens : {600, 5000, 30000}) {
          ScanCall call(batch, tokens, heads, 8);
          call.options.threads = threads;
          call.options.workspace = reinterpret_cast<void *>(address);
          call.options.workspace_bytes = bytes;
          ASSERT_EQ(call.forward(), SEQ_OK) << seq_last_error();
        }
    // One long sequence among short ones.
    ScanCall packed(1, 30000, 2, 8);
    HostTensor<int64_t> ends({4});
    ends.data = {0, 10, 29000, 30000};
    packed.options.cu_seqlens = ends.get();
    packed.options.threads = threads;
    packed.options.workspace = reinterpret_cast<void *>(address);
    packed.options.workspace_bytes = bytes;
    ScanCarry loop(3, 2, 8);
    ASSERT_EQ(packed.forward(), SEQ_OK) << seq_last_error();
    expectNear(packed.y.data, packed.expected(&loop, {10, 28990, 1000}));
  }
}

} // namespace
