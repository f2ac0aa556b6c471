//===- RuntimeSample.cpp - calling the sample mixer in tests of the runtime -===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/RuntimeSample.h"

#include "test/library/SampleKernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace seqmix::test {
namespace {

enum { B, H, T, K };
constexpr double kInf = std::numeric_limits<double>::infinity();

const SeqAxis kRows[] = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 1, 0}, {K, 1, 1, 0}};
const SeqAxis kGate[] = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 2, 0}};
const SeqAxis kWeight[] = {{H, -1, 1, 0}, {K, 0, 1, 0}};
const SeqTensor kTensors[] = {{"x", kRows, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 4, 0},
                              {"g", kGate, -2, 2, SEQ_ROLE_INPUT, SEQ_F32, 3, 0},
                              {"w", kWeight, -kInf, kInf, SEQ_ROLE_PARAM, SEQ_F32, 2, 0},
                              {"y", kRows, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 4, 0}};

const SeqAxis kState[] = {{B, -1, 1, 0}, {H, -1, 1, 0}, {K, 0, 1, 0}};
const SeqAxis kXWindow[] = {{B, -1, 1, 0}, {H, -1, 1, 0}, {-1, 0, 1, 1}, {K, 1, 1, 0}};
const SeqAxis kGWindow[] = {{B, -1, 1, 0}, {H, -1, 2, 0}, {-1, 0, 1, 2}};
const SeqAxis kPosition[] = {{B, -1, 1, 0}};
const SeqComponent kComponents[] = {
    {"S", kState, 1, 0, SEQ_CARRY_STATE, SEQ_F32, 3, 0},
    {"x_window", kXWindow, 0, 1, SEQ_CARRY_WINDOW, SEQ_F32, 4, 0},
    {"g_window", kGWindow, 0, 2, SEQ_CARRY_WINDOW, SEQ_F32, 3, 0},
    {"position", kPosition, 0, 0, SEQ_CARRY_POSITION, SEQ_I64, 1, 0}};

// A kernel that no CPU can run stands first: it must be passed over.
SeqKernel impossible() {
  return {"imaginary", UINT64_C(1) << 60, nullptr, nullptr, 0, 0, 0, 0, -1, 1, 0, 0, nullptr, 1, 0};
}

const SeqKernel kKernels8[] = {impossible(),
                               {"x86-64", UINT64_C(1) << SEQ_CPU_SSE3, sampleScan8Shared,
                                sampleScan8Forward, 256, 32, 0, 4, K, 3, SEQ_KERNEL_POSITION, 0,
                                nullptr, 1, 0}};
const SeqKernel kKernels5[] = {{"x86-64", 0, sampleScan5Shared, sampleScan5Forward, 256, 20, 0, 4,
                                K, 3, SEQ_KERNEL_POSITION, 0, nullptr, 1, 0}};

const SeqDim kDims8[] = {{"B", 0, SEQ_DIM_BATCH, 0},
                         {"H", 0, SEQ_DIM_BATCH, 0},
                         {"T", 0, SEQ_DIM_RUNTIME, 0},
                         {"K", 8, SEQ_DIM_FIXED, 0}};
const SeqDim kDims5[] = {kDims8[0], kDims8[1], kDims8[2], {"K", 5, SEQ_DIM_FIXED, 0}};

// The summary: the state, and the product of the gates, which is one number a head.
const SeqAxis kProduct[] = {{B, -1, 1, 0}, {H, -1, 1, 0}};
const SeqComponent kMade[] = {{"S", kState, 0, 0, SEQ_CARRY_STATE, SEQ_F32, 3, 0},
                              {"S.product", kProduct, 1, 0, SEQ_CARRY_STATE, SEQ_F32, 2, 0},
                              {"position", kPosition, 0, 0, SEQ_CARRY_POSITION, SEQ_I64, 1, 0}};
const SeqKernel kMaking[] = {
    impossible(), {"x86-64", 0, nullptr, sampleScanSummary, 0, 0, 0, 4, K, 1, 0, 0, nullptr, 1, 0}};
const SeqMixer kSummary = {
    "scan.summary",         nullptr, kDims8, kTensors, kMade, kMaking, nullptr, nullptr, 1u << H,
    SEQ_DESCRIPTOR_VERSION, 4,       3,      3,        2,     T,       nullptr, nullptr};
const int32_t kOwn[] = {0, -1, 3};
const SeqTransition kTransition = {0, 0, {1, -1}, {0, 0}};
const SeqSummary kSegments = {&kSummary, kOwn, &kTransition, 0.5, 1, 0};

const SeqMixer kScan8 = {"scan",    nullptr,    kDims8,  kTensors, kComponents,
                         kKernels8, &kSegments, nullptr, 1u << H,  SEQ_DESCRIPTOR_VERSION,
                         4,         4,          4,       2,        T,
                         nullptr,   nullptr};
const SeqMixer kScan5 = {"scan",    nullptr, kDims5,  kTensors, kComponents,
                         kKernels5, nullptr, nullptr, 1u << H,  SEQ_DESCRIPTOR_VERSION,
                         4,         4,       4,       1,        T,
                         nullptr,   nullptr};
const SeqMixer *const kSizes[] = {&kScan8, &kScan5};
const SeqMixerSet kSet = {"scan", kSizes, 2, 0}, kSet8 = {"scan", kSizes, 1, 0};

} // namespace

const SeqMixerSet &scanSet() { return kSet; }
const SeqMixerSet &scanSet8() { return kSet8; }

ScanCarry::ScanCarry(int64_t batch, int64_t heads, int64_t size)
    : state({batch, heads, size}), xWindow({batch, heads, 1, size}), gWindow({batch, heads / 2, 2}),
      position({batch}) {
  initialise();
}

void ScanCarry::initialise() {
  for (float &value : state.data)
    value = 1;
  for (auto *window : {&xWindow, &gWindow})
    for (float &value : window->data)
      value = 0;
  for (int64_t &value : position.data)
    value = 0;
}

ScanCall::ScanCall(int64_t batch, int64_t tokens, int64_t heads, int64_t size, unsigned seed,
                   int64_t gap)
    : batch(batch), tokens(tokens), heads(heads), size(size), x({batch, tokens, heads, size}, gap),
      g({batch, tokens, heads / 2}, gap), w({heads, size}, gap),
      y({batch, tokens, heads, size}, gap) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> value(-1, 1);
  for (auto *tensor : {&x, &g, &w})
    for (float &element : tensor->data)
      element = value(random);
}

int ScanCall::forward(const SeqMixerSet &set) {
  return seq_rt_forward(&set, tensors().data(), &options);
}

int ScanCall::forward(ScanCarry *in, ScanCarry *out) {
  std::vector<DLTensor *> read, write;
  if (in)
    read = in->get();
  if (out)
    write = out->get();
  seq_options chosen = options;
  chosen.carry_in = in ? read.data() : nullptr;
  chosen.carry_out = out ? write.data() : nullptr;
  chosen.carry_count = 4;
  return seq_rt_forward(&scanSet(), tensors().data(), &chosen);
}

int ScanCall::step(int64_t t, ScanCarry &carry) {
  std::vector<std::vector<int64_t>> shapes, strides;
  std::vector<DLTensor> rows;
  std::vector<const DLTensor *> list;
  for (const DLTensor *whole : tensors()) {
    rows.push_back(*whole);
    shapes.emplace_back(whole->shape, whole->shape + whole->ndim);
    strides.emplace_back(whole->strides, whole->strides + whole->ndim);
    if (whole == &w.dl)
      continue;
    rows.back().byte_offset = sizeof(float) * static_cast<uint64_t>(t * strides.back()[1]);
    shapes.back().erase(shapes.back().begin() + 1);
    strides.back().erase(strides.back().begin() + 1);
    rows.back().ndim -= 1;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].shape = shapes[i].data();
    rows[i].strides = strides[i].data();
    list.push_back(&rows[i]);
  }
  return seq_rt_step(&scanSet(), list.data(), carry.get().data(), &options);
}

std::vector<float> ScanCall::expected(ScanCarry *carry, std::vector<int64_t> lengths) {
  bool packed = !lengths.empty();
  if (!packed)
    lengths.assign(static_cast<size_t>(batch), tokens);
  ScanCarry own(static_cast<int64_t>(lengths.size()), heads, size);
  ScanCarry &c = carry ? *carry : own;
  HostTensor<float> result = y;
  int64_t row = 0;
  for (int64_t n = 0; n < static_cast<int64_t>(lengths.size()); ++n) {
    int64_t length = lengths[static_cast<size_t>(n)], b = packed ? 0 : n;
    int64_t start = packed ? row : 0;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < size; ++i) {
        float state = c.state.at(n, h, i);
        for (int64_t t = 0; t < length; ++t) {
          auto gate = [&](int64_t at) {
            return at >= 0 ? g.at(b, start + at, h / 2) : c.gWindow.at(n, h / 2, 2 + at);
          };
          float before = t > 0 ? x.at(b, start + t - 1, h, i) : c.xWindow.at(n, h, int64_t(0), i);
          state = gate(t) * state + x.at(b, start + t, h, i);
          result.at(b, start + t, h, i) = w.at(h, i) * state + before + 2 * gate(t - 2) +
                                          static_cast<float>(c.position.at(n) + t) / 4;
        }
        c.state.at(n, h, i) = state;
        if (length > 0)
          c.xWindow.at(n, h, int64_t(0), i) = x.at(b, start + length - 1, h, i);
      }
    for (int64_t group = 0; group < heads / 2; ++group)
      for (int64_t t = 0; t < length; ++t) {
        c.gWindow.at(n, group, int64_t(0)) = c.gWindow.at(n, group, int64_t(1));
        c.gWindow.at(n, group, int64_t(1)) = g.at(b, start + t, group);
      }
    c.position.at(n) += length;
    row += length;
  }
  return result.data;
}

void expectNear(const std::vector<float> &got, const std::vector<float> &want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], 1e-5 * std::max(1.0f, std::abs(want[i]))) << "element " << i;
}

void expectNear(const ScanCarry &got, const ScanCarry &want) {
  expectNear(got.state.data, want.state.data);
  expectNear(got.xWindow.data, want.xWindow.data);
  expectNear(got.gWindow.data, want.gWindow.data);
  EXPECT_EQ(got.position.data, want.position.data);
}

} // namespace seqmix::test
