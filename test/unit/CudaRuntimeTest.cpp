//===- CudaRuntimeTest.cpp - what calls of a mixer for GPUs launch ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/CudaSample.h"

namespace seqmix::test {
namespace {

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

TEST_F(CudaRuntime, RunsWholeSequencesInOneLaunch) {
  watch();
  call.options.flags = SEQ_UNSPLIT;
  DLTensor *in[] = {&call.s.value, nullptr}, *out[] = {nullptr, &call.position.value};
  call.options.carry_in = in;
  call.options.carry_out = out;
  call.options.carry_count = 2;
  FakeStream *own = fake.makeStream(fake.primary(0));
  call.options.stream = own;
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  ASSERT_EQ(fake.launches.size(), 1U);
  const FakeLaunch &launch = fake.launches[0];
  EXPECT_EQ(launch.kernel, "scan");
  EXPECT_FALSE(launch.isPtx);
  EXPECT_EQ(list(launch.grid), (std::vector<unsigned>{12, 1, 1}));
  EXPECT_EQ(list(launch.block), (std::vector<unsigned>{32, 2, 1}));
  EXPECT_EQ(launch.sharedBytes, 100U);
  EXPECT_EQ(launch.stream, own);
  EXPECT_EQ(seen[0].pointers, (std::vector<uintptr_t>{0x10000000, 0x20000000, 0x30000000,
                                                      0x40000000, 0, 0, 0x50000000, 0}));
  const std::vector<int64_t> expected = {
      1,    0,  0,   0, 0, 0, 0, 0, // segments; no lengths, no pages
      2,    6,  100, 4,             // B, H, T, K
      2400, 24, 4,   1,             // x
      300,  3,  1,                  // g
      2400, 24, 4,   1,             // y
      24,   4,  1,   0, 0, 0,       // S: read, not written
      0,    1,                      // position: not read, written
  };
  EXPECT_EQ(seen[0].frame, expected);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 0);
}

TEST_F(CudaRuntime, FindsStridesAndOffsets) {
  watch();
  call.options.flags = SEQ_UNSPLIT;
  DeviceTensor x(0x10000000, {2, 100, 6, 4}, 0, {4, 80, 8, 1});
  x.value.byte_offset = 64;
  const DLTensor *tensors[] = {&x.value, &call.g.value, &call.y.value};
  ASSERT_EQ(seq_rt_forward(&mixer.set, tensors, &call.options), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen[0].pointers[0], 0x10000040U);
  EXPECT_EQ((std::vector<int64_t>(seen[0].frame.begin() + 12, seen[0].frame.begin() + 16)),
            (std::vector<int64_t>{4, 80, 8, 1}));
}

TEST_F(CudaRuntime, PacksSequences) {
  watch();
  call.options.flags = SEQ_UNSPLIT;
  DeviceTensor x(0x10000000, {1, 100, 6, 4}), g(0x20000000, {1, 100, 3}),
      y(0x30000000, {1, 100, 6, 4}), ends(0x60000000, {4}, 0, {}, {kDLInt, 64, 1});
  const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
  call.options.cu_seqlens = &ends.value;
  ASSERT_EQ(seq_rt_forward(&mixer.set, tensors, &call.options), SEQ_OK) << seq_last_error();
  EXPECT_EQ(list(fake.launches[0].grid), (std::vector<unsigned>{18, 1, 1})); // 3 sequences
  EXPECT_EQ(seen[0].pointers[7], 0x60000000U);
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEQLENS_BITS], 64);
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEQLENS_STRIDE], 1);
  EXPECT_EQ(seen[0].frame[int{SEQ_DEVICE_FIRST} + B], 3);
  EXPECT_EQ(seen[0].frame[int{SEQ_DEVICE_FIRST} + T], 100);
}

TEST_F(CudaRuntime, LaunchesStepsOfTheirOwn) {
  watch();
  DeviceTensor x(0x10000000, {2, 6, 4}), g(0x20000000, {2, 3}), y(0x30000000, {2, 6, 4});
  const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
  DLTensor *carry[] = {&call.s.value, &call.position.value};
  ASSERT_EQ(seq_rt_step(&mixer.set, tensors, carry, nullptr), SEQ_OK) << seq_last_error();
  ASSERT_EQ(fake.launches.size(), 1U);
  EXPECT_EQ(list(fake.launches[0].grid), (std::vector<unsigned>{1, 12, 1}));
  EXPECT_EQ(seen[0].pointers[3], 0x40000000U);
  EXPECT_EQ(seen[0].pointers[4], 0x40000000U);
  EXPECT_EQ(seen[0].frame[int{SEQ_DEVICE_FIRST} + T], 1);
}

TEST_F(CudaRuntime, LaunchesNothingForNoElements) {
  Call empty(0);
  EXPECT_EQ(empty.forward(mixer), SEQ_OK) << seq_last_error();
  DeviceTensor x(0, {0, 5, 6, 4}), g(0, {0, 5, 3}), y(0, {0, 5, 6, 4});
  const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
  EXPECT_EQ(seq_rt_forward(&mixer.set, tensors, nullptr), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches.size(), 1U); // that of the states, for sequences without tokens
}

//===----------------------------------------------------------------------===//
// Segments and workspace
//===----------------------------------------------------------------------===//

class CudaSegments : public CudaRuntime {
protected:
  Call many{4096};
  const uintptr_t memory = 0x70000000;

  size_t workspace(int64_t sequences, int64_t heads, int64_t tokens) {
    const int64_t extents[] = {sequences, heads, tokens};
    size_t bytes = 0;
    EXPECT_EQ(seq_rt_workspace_size(&mixer.set, extents, 0, &bytes), SEQ_OK) << seq_last_error();
    return bytes;
  }
};

TEST_F(CudaSegments, CutsWhereBlocksAreFew) {
  watch();
  many.options.workspace = addressOf(memory);
  many.options.workspace_bytes = workspace(2, 6, 4096);
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  // 12 blocks on 132 multiprocessors: 32 segments make 384, two for each of them.
  ASSERT_EQ(fake.launches.size(), 3U);
  EXPECT_EQ(list(fake.launches[0].grid), (std::vector<unsigned>{12, 32, 1}));
  EXPECT_EQ(list(fake.launches[1].grid), (std::vector<unsigned>{9, 2 * 256, 1}));
  EXPECT_EQ(list(fake.launches[2].grid), (std::vector<unsigned>{12, 32, 1}));
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 32);
  // 16 bytes a state of 12 * 32, and behind them 4.
  EXPECT_EQ(seen[0].pointers, (std::vector<uintptr_t>{memory + uintptr_t{12} * 32 * 16, memory}));
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1); // 60000 bytes are more than 48 KiB
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1);
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuLibraryGetKernel"], 3);
}

TEST_F(CudaSegments, KeepsSegmentsLong) {
  watch();
  Call few(100);
  few.options.workspace = addressOf(memory);
  few.options.workspace_bytes = workspace(2, 6, 100);
  ASSERT_EQ(few.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 2); // of at least 32 tokens
  seen.clear();
  Call one(63);
  ASSERT_EQ(one.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen.size(), 1U);
}

TEST_F(CudaSegments, CountsTheMeanLengthOfPackedSequences) {
  watch();
  DeviceTensor ends(0x60000000, {4}, 0, {}, {kDLInt, 64, 1});
  for (int64_t tokens : {95, 96, 192, 300}) {
    DeviceTensor x(0x10000000, {1, tokens, 6, 4}), g(0x20000000, {1, tokens, 3}),
        y(0x30000000, {1, tokens, 6, 4});
    const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
    seq_options options = SEQ_OPTIONS_INIT;
    options.cu_seqlens = &ends.value;
    options.workspace = addressOf(memory);
    options.workspace_bytes = workspace(3, 6, tokens / 3);
    seen.clear();
    ASSERT_EQ(seq_rt_forward(&mixer.set, tensors, &options), SEQ_OK) << seq_last_error();
    EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], tokens < 192 ? 1 : 2) << tokens;
  }
}

TEST_F(CudaSegments, CutsAsATestAsks) {
  watch();
  Call few(3);
  setenv("SEQMIX_SEGMENTS", "5", 1);
  few.options.workspace = addressOf(memory);
  few.options.workspace_bytes = workspace(2, 6, 3);
  EXPECT_EQ(few.forward(mixer), SEQ_OK) << seq_last_error();
  setenv("SEQMIX_SEGMENTS", "1", 1);
  EXPECT_EQ(workspace(2, 6, 4096), 0U);
  EXPECT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  unsetenv("SEQMIX_SEGMENTS");
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 5);
  EXPECT_EQ(seen[3].frame[SEQ_DEVICE_SEGMENTS], 1);
}

TEST_F(CudaSegments, DoesNotCutForDevicesThatAreFull) {
  fake.devices[0].multiprocessors = 16;
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches.size(), 1U);
}

TEST_F(CudaSegments, CutsLaterWhereSummariesHaveMoreBlocks) {
  watch();
  SeqLaunch launches[] = {kCut[0], kCut[1], kCut[2]};
  SeqSchedule forward[] = {kForward[0], kForward[1]};
  forward[1].launches = launches;
  mixer.target.forward = forward;
  many.options.workspace = addressOf(memory);
  many.options.workspace_bytes = workspace(2, 6, 4096);
  // 36 blocks on 132 multiprocessors: 8 segments make 288.
  launches[0].grid[0].number = 3;
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 8);
  // 72 would leave less than two for each, though the pass has 12.
  launches[0].grid[0].number = 6;
  seen.clear();
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 1);
}

TEST_F(CudaSegments, TellsAWorkspaceThatSuffices) {
  for (int multiprocessors : {1, 100, 132, 148, 1000}) {
    Mixer own;
    const int64_t extents[] = {3, 7, 3000};
    size_t bytes = 0;
    ASSERT_EQ(seq_rt_workspace_size(&own.set, extents, 0, &bytes), SEQ_OK);
    // A device's description is kept, so each has its own number.
    fake.devices.push_back({90, multiprocessors, true, true});
    int device = static_cast<int>(fake.devices.size()) - 1;
    for (int64_t sequences : {1, 2, 3})
      for (int64_t tokens : {1, 64, 1000, 3000}) {
        DeviceTensor x(0x10000000, {sequences, tokens, 6, 4}, device),
            g(0x20000000, {sequences, tokens, 3}, device),
            y(0x30000000, {sequences, tokens, 6, 4}, device);
        const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
        seq_options options = SEQ_OPTIONS_INIT;
        options.workspace = addressOf(memory);
        options.workspace_bytes = bytes;
        EXPECT_EQ(seq_rt_forward(&own.set, tensors, &options), SEQ_OK) << seq_last_error();
      }
  }
}

TEST_F(CudaSegments, TellsOfNoneWhereNothingIsCut) {
  EXPECT_EQ(workspace(2, 6, 63), 0U);
  EXPECT_GT(workspace(2, 6, 64), 0U);
}

TEST_F(CudaSegments, NeedsTheCallersWorkspace) {
  EXPECT_EQ(many.forward(mixer), SEQ_WORKSPACE_TOO_SMALL);
  EXPECT_STREQ(seq_last_error(), "scan_forward: the workspace has 0 bytes; this call needs 7680 of "
                                 "device 0 (scan_workspace_size)");
  many.options.workspace = addressOf(memory + 64);
  many.options.workspace_bytes = 7680;
  EXPECT_EQ(many.forward(mixer), SEQ_WORKSPACE_TOO_SMALL);
  EXPECT_TEXT(seq_last_error(), "not aligned to 256 bytes");
  many.options.workspace = addressOf(0x30000000);
  EXPECT_EQ(many.forward(mixer), SEQ_INVALID_LAYOUT);
  EXPECT_TEXT(seq_last_error(), "the workspace overlaps y in memory");
  EXPECT_TRUE(fake.launches.empty());
}

TEST_F(CudaSegments, RefusesGridsThatAreTooLarge) {
  Call wide(65536 * 16 + 1);
  wide.options.workspace = addressOf(0x7000000000);
  wide.options.workspace_bytes = 1 << 30;
  wide.x.value.data = addressOf(0x1000000000);
  wide.y.value.data = addressOf(0x2000000000);
  EXPECT_EQ(wide.forward(mixer), SEQ_INVALID_SHAPE);
  EXPECT_TEXT(seq_last_error(), "kernel join would have 131074 blocks in dim 1 of its grid");
}

} // namespace
} // namespace seqmix::test
