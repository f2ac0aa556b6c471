//===- RuntimeLengthsTest.cpp - run-time dims beside that of the tokens -----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/RuntimeSample.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace seqmix::test {
namespace {

// x[t], k[s], y[t] and z[n] with n in N = T // 4 + 1: a task writes the extents that its frame
// holds.
enum { B, T, S, N, DimCount };
constexpr double kInf = std::numeric_limits<double>::infinity();

const SeqAxis kX[] = {{B, -1, 1, 0}, {T, 0, 1, 0}};
const SeqAxis kK[] = {{B, -1, 1, 0}, {S, 0, 1, 0}};
const SeqAxis kZ[] = {{B, -1, 1, 0}, {N, 0, 1, 0}};
const SeqTensor kTensors[] = {{"x", kX, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 2, 0},
                              {"k", kK, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 2, 0},
                              {"y", kX, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 2, 0},
                              {"z", kZ, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 2, 0}};
const SeqDim kDims[] = {{"B", 0, SEQ_DIM_BATCH, 0},
                        {"T", 0, SEQ_DIM_RUNTIME, 0},
                        {"S", 0, SEQ_DIM_RUNTIME, 0},
                        {"N", 0, SEQ_DIM_RUNTIME, 1}};
const int64_t kStorage[DimCount] = {0, 0, 8, 32};

void derive(int64_t *extents) { extents[N] = extents[T] / 4 + 1; }

void *pointerAt(const int64_t *slot) {
  void *pointer;
  memcpy(static_cast<void *>(&pointer), slot, sizeof(pointer));
  return pointer;
}

// Its slots: S and N with their storage, then pointer, block stride and token stride of each
// tensor.
void kernel(const int64_t *frame) {
  const int64_t *lengths = frame + SEQ_FRAME_FIRST, *tensors = lengths + 4;
  memset(pointerAt(lengths + 1), 1, static_cast<size_t>((lengths[0] + SEQ_SEQUENCE_EDGE) * 8));
  memset(pointerAt(lengths + 3), 2, static_cast<size_t>((lengths[2] + SEQ_SEQUENCE_EDGE) * 32));
  auto *y = static_cast<float *>(pointerAt(tensors + 6));
  auto *z = static_cast<float *>(pointerAt(tensors + 9));
  for (int64_t t = 0; t < frame[SEQ_FRAME_TOKENS]; ++t)
    y[t * tensors[8]] = static_cast<float>(100 * lengths[0] + lengths[2]);
  for (int64_t n = 0; n < lengths[2]; ++n)
    z[n * tensors[11]] = static_cast<float>(frame[SEQ_FRAME_TOKENS]);
}

const SeqKernel kKernel = {"x86-64", 0, nullptr,          kernel, 64,       0, 0, 0,
                           -1,       1, SEQ_KERNEL_WHOLE, 0,      kStorage, 1, 0};
const SeqMixer kMixer = {"lengths", nullptr, kDims,  kTensors, nullptr,
                         &kKernel,  nullptr, derive, 0,        SEQ_DESCRIPTOR_VERSION,
                         DimCount,  4,       0,      1,        T,
                         nullptr,   nullptr};
const SeqMixer *const kSizes[] = {&kMixer};
const SeqMixerSet kSet = {"lengths", kSizes, 1, 0};

struct Call {
  HostTensor<float> x, k, y, z;
  seq_options options = SEQ_OPTIONS_INIT;

  Call(int64_t batch, int64_t tokens, int64_t keys, int64_t rows)
      : x({batch, tokens}), k({batch, keys}), y({batch, tokens}), z({batch, rows}) {}
  int run() {
    const DLTensor *tensors[] = {x.get(), k.get(), y.get(), z.get()};
    return seq_rt_forward(&kSet, tensors, &options);
  }
};

TEST(RuntimeLengths, FramesHoldTheExtentsOfAllDims) {
  Call call(3, 10, 7, 3);
  ASSERT_EQ(call.run(), SEQ_OK) << seq_last_error();
  for (float value : call.y.data)
    EXPECT_EQ(value, 703);
  for (float value : call.z.data)
    EXPECT_EQ(value, 10);
}

TEST(RuntimeLengths, ADerivedExtentIsCheckedAndNotTaken) {
  Call call(1, 10, 7, 4);
  EXPECT_EQ(call.run(), SEQ_INVALID_SHAPE);
  EXPECT_NE(std::string(seq_last_error()).find("z has shape [1, 4]; expected [B, N] = [1, 3]"),
            std::string::npos)
      << seq_last_error();
}

TEST(RuntimeLengths, EachPackedSequenceHasItsOwn) {
  Call call(1, 12, 5, 3);
  // Tensors over other lengths have the sequences in the first dim.
  call.k = HostTensor<float>({3, 5});
  call.z = HostTensor<float>({3, 3});
  HostTensor<int32_t> starts({4});
  starts.data = {0, 9, 9, 12};
  call.options.cu_seqlens = starts.get();
  ASSERT_EQ(call.run(), SEQ_OK) << seq_last_error();
  EXPECT_EQ(call.y.at(0, 0), 503);
  EXPECT_EQ(call.y.at(0, 8), 503);
  EXPECT_EQ(call.y.at(0, 9), 501);
  EXPECT_EQ(call.z.at(0, 2), 9);
  EXPECT_EQ(call.z.at(1, 0), 0);
  EXPECT_EQ(call.z.at(2, 0), 3);
  EXPECT_EQ(call.z.at(2, 1), -77);
}

TEST(RuntimeLengths, TheWorkspaceHasRoomForWhatIsKept) {
  size_t small = 0, large = 0;
  int64_t extents[] = {1, 64, 8};
  ASSERT_EQ(seq_rt_workspace_size(&kSet, extents, 1, &small), SEQ_OK);
  extents[2] = 1008;
  ASSERT_EQ(seq_rt_workspace_size(&kSet, extents, 1, &large), SEQ_OK);
  EXPECT_EQ(large - small, 1000 * 8);
  extents[1] = 64 + 400;
  ASSERT_EQ(seq_rt_workspace_size(&kSet, extents, 1, &small), SEQ_OK);
  EXPECT_EQ(small - large, 100 * 32);
  extents[2] = -1;
  EXPECT_EQ(seq_rt_workspace_size(&kSet, extents, 1, &small), SEQ_INVALID_ARGUMENT);
  EXPECT_NE(std::string(seq_last_error()).find("S is -1; expected 0 or more"), std::string::npos);
}

} // namespace
} // namespace seqmix::test
