//===- RuntimeFormsTest.cpp - which form a sequence takes -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/RuntimeSample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace seqmix::test {
namespace {

// x[t] and y[t], with the rows of x in the carry: a task writes the number of its form, and the
// expanded one fills the storage for all positions.
enum { B, T, DimCount };
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int64_t kTokenBytes = 64, kWindow = 50;

const SeqAxis kX[] = {{B, -1, 1, 0}, {T, 0, 1, 0}};
const SeqAxis kRows[] = {{B, -1, 1, 0}, {-1, 0, 1, -1}};
const SeqAxis kRing[] = {{B, -1, 1, 0}, {-1, 0, 1, kWindow}};
const SeqAxis kPosition[] = {{B, -1, 1, 0}};
const SeqTensor kTensors[] = {{"x", kX, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 2, 0},
                              {"y", kX, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 2, 0}};
const SeqDim kDims[] = {{"B", 0, SEQ_DIM_BATCH, 0}, {"T", 0, SEQ_DIM_RUNTIME, 0}};
const SeqComponent kAll[] = {{"x_rows", kRows, 0, 0, SEQ_CARRY_ROWS, SEQ_F32, 2, 0},
                             {"position", kPosition, 0, 0, SEQ_CARRY_POSITION, SEQ_I64, 1, 0}};
const SeqComponent kLast[] = {{"x_rows", kRing, 0, kWindow, SEQ_CARRY_ROWS, SEQ_F32, 2, 0},
                              {"position", kPosition, 0, 0, SEQ_CARRY_POSITION, SEQ_I64, 1, 0}};

void *pointerAt(const int64_t *slot) {
  void *pointer;
  memcpy(static_cast<void *>(&pointer), slot, sizeof(pointer));
  return pointer;
}

void write(const int64_t *frame, float form) {
  const int64_t *y = frame + SEQ_FRAME_FIRST + 3;
  for (int64_t t = 0; t < frame[SEQ_FRAME_TOKENS]; ++t)
    static_cast<float *>(pointerAt(y))[t * y[2]] = form;
}

void ownKernel(const int64_t *frame) { write(frame, 0); }

template <int64_t Held> void expandedKernel(const int64_t *frame) {
  int64_t earlier = std::min(frame[SEQ_FRAME_POSITION], Held);
  int64_t positions = earlier + frame[SEQ_FRAME_TOKENS] + SEQ_SEQUENCE_EDGE;
  memset(pointerAt(frame + SEQ_FRAME_SEQUENCE), 1, static_cast<size_t>(positions * kTokenBytes));
  write(frame, 1);
}

SeqKernel kernelOf(SeqKernelFn forward, int64_t tokenBytes, int32_t flags) {
  return {"x86-64", 0, nullptr, forward, 64, 0, tokenBytes, 0, -1, 1, flags, 0, nullptr, 1, 0};
}

SeqMixer mixerOf(const SeqComponent *components, const SeqKernel *kernel,
                 const SeqExpanded *expanded) {
  return {"forms",  nullptr, kDims,   kTensors, components,
          kernel,   nullptr, nullptr, 0,        SEQ_DESCRIPTOR_VERSION,
          DimCount, 2,       2,       1,        T,
          expanded, nullptr};
}

/// A mixer of which a pair takes 10 products, or 4 where each position takes 100 more instead of
/// each token.
struct Forms {
  SeqKernel own, other;
  SeqMixer otherMixer;
  SeqExpanded expanded;
  SeqMixer mixer;
  const SeqMixer *sizes[1];
  SeqMixerSet set;

  explicit Forms(int32_t flags = SEQ_KERNEL_EARLIER, const SeqComponent *components = kAll,
                 int64_t tokenBytes = kTokenBytes)
      : own(kernelOf(ownKernel, 0, 0)),
        other(kernelOf(components == kLast ? expandedKernel<kWindow> : expandedKernel<INT64_MAX>,
                       tokenBytes, flags)),
        otherMixer(mixerOf(components, &other, nullptr)),
        expanded{&otherMixer, {10, 0, 100}, {4, 100, 0}},
        mixer(mixerOf(components, &own, &expanded)), sizes{&mixer}, set{"forms", sizes, 1, 0} {}
  Forms(const Forms &) = delete;

  /// The form of each sequence of a packed call.
  std::vector<float> run(std::vector<int64_t> positions, std::vector<int64_t> lengths,
                         int32_t threads = 1) {
    auto sequences = static_cast<int64_t>(lengths.size());
    HostTensor<int32_t> starts({sequences + 1});
    HostTensor<int64_t> position({sequences});
    int64_t tokens = 0, farthest = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      starts.data[i] = static_cast<int32_t>(tokens);
      tokens += lengths[i];
      farthest = std::max(farthest, positions[i]);
    }
    starts.data.back() = static_cast<int32_t>(tokens);
    position.data = positions;
    bool isRing = mixer.components == kLast;
    HostTensor<float> x({1, tokens}), y({1, tokens});
    HostTensor<float> rows({sequences, isRing ? kWindow : farthest + tokens});
    DLTensor *carry[] = {rows.get(), position.get()};
    const DLTensor *given[] = {carry[0], carry[1]};
    seq_options options = SEQ_OPTIONS_INIT;
    options.cu_seqlens = starts.get();
    options.carry_in = given;
    options.carry_count = 2;
    options.threads = threads;
    // All positions are those of the query.
    int64_t extents[] = {sequences, farthest + tokens};
    size_t bytes = 0;
    EXPECT_EQ(seq_rt_workspace_size(&set, extents, threads, &bytes), SEQ_OK) << seq_last_error();
    std::vector<char> memory(bytes + SEQ_WORKSPACE_ALIGN + 1, 5);
    auto address = reinterpret_cast<uintptr_t>(memory.data());
    size_t before = (SEQ_WORKSPACE_ALIGN - address % SEQ_WORKSPACE_ALIGN) % SEQ_WORKSPACE_ALIGN;
    options.workspace = memory.data() + before;
    options.workspace_bytes = bytes;
    const DLTensor *tensors[] = {x.get(), y.get()};
    EXPECT_EQ(seq_rt_forward(&set, tensors, &options), SEQ_OK) << seq_last_error();
    EXPECT_EQ(memory[before + bytes], 5) << "a kernel wrote behind the workspace";
    std::vector<float> forms;
    for (size_t i = 0; i < lengths.size(); ++i)
      forms.push_back(y.at(0, starts.data[i]));
    return forms;
  }
};

TEST(RuntimeForms, ASequenceTakesWhatItsLengthsMakeCheaper) {
  Forms forms;
  // Behind P others, T tokens take 6 T (P + (T + 1) / 2) products of pairs more, or 100 P.
  EXPECT_EQ(forms.run({0, 0}, {1, 300}), (std::vector<float>{1, 1}));
  EXPECT_EQ(forms.run({1000, 1000}, {16, 17}), (std::vector<float>{0, 1}));
  EXPECT_EQ(forms.run({10, 10}, {10, 11}), (std::vector<float>{0, 1}));
}

TEST(RuntimeForms, NothingElseDecides) {
  Forms forms;
  std::vector<int64_t> positions = {1000, 0, 10, 1000, 10};
  std::vector<int64_t> lengths = {17, 5, 10, 16, 11};
  EXPECT_EQ(forms.run(positions, lengths), (std::vector<float>{1, 1, 0, 0, 1}));
  EXPECT_EQ(forms.run(positions, lengths, 3), (std::vector<float>{1, 1, 0, 0, 1}));
}

TEST(RuntimeForms, AWindowBoundsPairsAndRows) {
  Forms forms(SEQ_KERNEL_EARLIER, kLast);
  // 300 T products of pairs more, or 100 * 50.
  EXPECT_EQ(forms.run({5000, 5000}, {16, 17}), (std::vector<float>{0, 1}));
}

TEST(RuntimeForms, AKernelThatMakesNoEarlierRowsTakesNewSequences) {
  Forms forms(0);
  EXPECT_EQ(forms.run({0, 1000}, {5, 500}), (std::vector<float>{1, 0}));
}

TEST(RuntimeForms, EarlierRowsAreKeptUpToABound) {
  Forms forms(SEQ_KERNEL_EARLIER, kAll, 1 << 16);
  EXPECT_EQ(forms.run({1024, 1025}, {200, 200}), (std::vector<float>{1, 0}));
}

} // namespace
} // namespace seqmix::test
