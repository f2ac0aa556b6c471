//===- FrontendCppTest.cpp - seqmix.hpp on the sample library ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "sample.h"

#include "frontends/cpp/seqmix.hpp"
#include "test/gpu/driver/FakeCuda.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace {

constexpr int64_t kBatch = 2, kTokens = 5, kHeads = 2, kSize = 8;

struct Arguments {
  std::vector<float> xData = std::vector<float>(kBatch * kTokens * kHeads * kSize);
  std::vector<float> gData = std::vector<float>(kBatch * kTokens * kHeads / 2, 0.5f);
  std::vector<float> wData = std::vector<float>(kHeads * kSize, 2.0f), yData = xData;
  seqmix::Tensor x{xData.data(), {kBatch, kTokens, kHeads, kSize}};
  seqmix::Tensor g{gData.data(), {kBatch, kTokens, kHeads / 2}};
  seqmix::Tensor w{wData.data(), {kHeads, kSize}};
  seqmix::Tensor y{yData.data(), {kBatch, kTokens, kHeads, kSize}};
  Arguments() { std::iota(xData.begin(), xData.end(), 0.0f); }

  /// A row of a tensor at token t, without the token dim.
  seqmix::Tensor at(const seqmix::Tensor &whole, int64_t t) const {
    auto shape = whole.shape();
    int64_t row = shape.size() == 4 ? shape[2] * shape[3] : shape[2];
    std::vector<int64_t> strides = {kTokens * row, shape.size() == 4 ? shape[3] : 1};
    if (shape.size() == 4)
      strides.push_back(1);
    shape.erase(shape.begin() + 1);
    return seqmix::Tensor(whole.data<float>() + t * row, shape, strides);
  }
};

// y of the first batch element, head 0, column `i`, by the equations.
float expected(const Arguments &a, int64_t tokens, int64_t i) {
  float state = 1, y = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    auto x = [&](int64_t at) { return a.xData[static_cast<size_t>(at * kHeads * kSize + i)]; };
    state = 0.5f * state + x(t);
    y = 2 * state + (t > 0 ? x(t - 1) : 0) + (t > 1 ? 1.0f : 0.0f) + static_cast<float>(t) / 4;
  }
  return y;
}

TEST(FrontendCpp, LinkedLibrary) {
  Arguments a;
  seqmix::Carry carry(scan_carry_component, scan_carry_count(), 0, kBatch, kHeads);
  EXPECT_EQ(carry.count(), 4u);
  EXPECT_EQ(carry["S"].data<float>()[3], 1);
  seqmix::check(scan_forward(a.x, a.g, a.w, a.y, seqmix::Options().carryOut(carry).threads(2)));
  EXPECT_FLOAT_EQ(a.yData[static_cast<size_t>((kTokens - 1) * kHeads * kSize + 3)],
                  expected(a, kTokens, 3));
  EXPECT_EQ(carry["position"].data<int64_t>()[1], kTokens);
  EXPECT_THROW(carry["h"], std::out_of_range);
  try {
    seqmix::check(scan_forward(a.x, a.g, a.x, a.y, nullptr));
    FAIL();
  } catch (const seqmix::Error &error) {
    EXPECT_EQ(error.status(), SEQ_INVALID_SHAPE);
    EXPECT_NE(std::string(error.what()).find("no size in this library fits"), std::string::npos);
  }
}

TEST(FrontendCpp, LoadedLibrary) {
  seqmix::Library library(SEQMIX_SAMPLE_LIBRARY);
  seqmix::Mixer scan = library.mixer("scan");
  Arguments a, steps;
  seqmix::Carry end = scan.carry(0, kBatch, kHeads), carry = scan.carry(0, kBatch, kHeads);
  seqmix::Buffer work = scan.workspace(2, kBatch, kHeads, kTokens);
  scan.forward(seqmix::Options().carryOut(end).threads(2).workspace(work), a.x, a.g, a.w, a.y);
  for (int64_t t = 0; t < kTokens; ++t)
    scan.step(carry, {}, steps.at(steps.x, t), steps.at(steps.g, t), steps.w, steps.at(steps.y, t));
  EXPECT_EQ(a.yData, steps.yData);
  for (size_t i = 0; i < static_cast<size_t>(kBatch * kHeads * kSize); ++i)
    EXPECT_EQ(end["S"].data<float>()[i], carry["S"].data<float>()[i]);

  EXPECT_TRUE(scan.hasStep());
  EXPECT_FALSE(library.mixer("copy").hasStep());
  EXPECT_NE(library.manifest().find("\"x_window\""), std::string::npos);
  EXPECT_THROW(library.mixer("gru"), seqmix::Error);
  EXPECT_THROW(scan.forward({}, a.x, a.g, a.y), seqmix::Error);
  EXPECT_THROW(seqmix::Library("absent.so"), seqmix::Error);
  try {
    scan.forward(seqmix::Options().threads(-2), a.x, a.g, a.w, a.y);
    FAIL();
  } catch (const seqmix::Error &error) {
    EXPECT_STREQ(error.what(), "scan_forward: options.threads is -2; expected 0 to 1024");
  }
}

TEST(FrontendCpp, PackedSequencesAndDLPack) {
  Arguments a;
  std::vector<int32_t> ends = {0, 2, 5};
  seqmix::Tensor lengths(ends.data(), {3}), one(a.xData.data(), {1, kTokens, kHeads, kSize});
  seqmix::Tensor g(a.gData.data(), {1, kTokens, kHeads / 2}),
      y(a.yData.data(), {1, kTokens, kHeads, kSize});
  seqmix::Carry carry(scan_carry_component, scan_carry_count(), 0, 2, kHeads);
  DLTensor raw = *one.get();
  seqmix::check(scan_forward(seqmix::Tensor(raw), g, a.w, y,
                             seqmix::Options().cuSeqlens(lengths).carryInPlace(carry).checked()));
  EXPECT_FLOAT_EQ(a.yData[static_cast<size_t>(kHeads * kSize + 3)], expected(a, 2, 3));
  EXPECT_EQ(carry["position"].data<int64_t>()[0], 2);
  EXPECT_EQ(carry["position"].data<int64_t>()[1], 3);
}

template <typename Call> void expectRefused(int status, const char *text, Call call) {
  try {
    call();
    ADD_FAILURE() << "not refused: " << text;
  } catch (const seqmix::Error &error) {
    EXPECT_EQ(error.status(), status) << error.what();
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(FrontendCpp, WrongCallsOfLoadedMixers) {
  seqmix::Library library(SEQMIX_SAMPLE_LIBRARY);
  seqmix::Mixer scan = library.mixer("scan"), copy = library.mixer("copy");
  Arguments a;
  std::fill(a.yData.begin(), a.yData.end(), -77.0f);
  // As many arguments as the function has: a wrong number would be a call of another type.
  expectRefused(SEQ_INVALID_ARGUMENT, "scan has 2 batch dims; got the extents of 1",
                [&] { scan.carry(0, kBatch); });
  expectRefused(SEQ_INVALID_ARGUMENT, "scan has 2 batch dims; got the extents of 3",
                [&] { scan.workspace(1, kBatch, kHeads, kSize, kTokens); });
  expectRefused(SEQ_INVALID_ARGUMENT, "B is -1; expected 0 or more",
                [&] { scan.workspace(1, -1, kHeads, kTokens); });
  expectRefused(SEQ_INVALID_ARGUMENT, "a query of the carry was refused",
                [&] { scan.carry(7, kBatch, kHeads); });
  expectRefused(SEQ_INVALID_ARGUMENT, "scan takes 4 tensors",
                [&] { scan.forward({}, a.x, a.g, a.w, a.y, a.y); });
  expectRefused(SEQ_UNSUPPORTED, "copy has no step", [&] {
    seqmix::Carry none = copy.carry(0, kBatch, kHeads);
    copy.step(none, {}, a.x, a.g, a.w, a.y, a.y);
  });
  // A carry of another mixer, in forward and step, loaded and linked.
  seqmix::Carry own = scan.carry(0, kBatch, kHeads), other = copy.carry(0, kBatch, kHeads);
  ASSERT_NE(own.count(), other.count());
  seqmix::Tensor x = a.at(a.x, 0), g = a.at(a.g, 0), y = a.at(a.y, 0);
  expectRefused(SEQ_INVALID_ARGUMENT, "parts; that of scan has 4",
                [&] { scan.step(other, {}, x, g, a.w, y); });
  expectRefused(SEQ_INVALID_ARGUMENT, "options.carry_count is",
                [&] { scan.forward(seqmix::Options().carryIn(other), a.x, a.g, a.w, a.y); });
  EXPECT_NE(scan_step(x, g, a.w, y, other, nullptr), SEQ_OK);
  // Its own, of other extents.
  seqmix::Carry wide = scan.carry(0, kBatch + 1, kHeads);
  expectRefused(SEQ_INVALID_SHAPE, "S has shape [3, 2, 8]; expected [B, H, K] = [2, 2, 8]",
                [&] { scan.forward(seqmix::Options().carryOut(wide), a.x, a.g, a.w, a.y); });
  seqmix::Buffer little(64);
  expectRefused(SEQ_WORKSPACE_TOO_SMALL, "the workspace has 64 bytes",
                [&] { scan.forward(seqmix::Options().workspace(little), a.x, a.g, a.w, a.y); });
  for (float value : a.yData)
    ASSERT_EQ(value, -77.0f);
  for (size_t i = 0; i < static_cast<size_t>((kBatch + 1) * kHeads * kSize); ++i)
    ASSERT_EQ(wide["S"].data<float>()[i], 1.0f);
}

TEST(FrontendCpp, WrongTensors) {
  std::vector<float> data(8);
  expectRefused(SEQ_INVALID_SHAPE, "a tensor has 2 dims but 1 strides",
                [&] { seqmix::Tensor(data.data(), {2, 4}, {4}); });
  DLTensor raw = {nullptr, {kDLCPU, 0}, 0, {}, nullptr, nullptr, 0};
  raw.ndim = 2;
  expectRefused(SEQ_INVALID_SHAPE, "a tensor has 2 dims but no shape",
                [&] { seqmix::Tensor{raw}; });
  raw.ndim = -1;
  expectRefused(SEQ_INVALID_SHAPE, "a tensor has -1 dims", [&] { seqmix::Tensor{raw}; });
}

TEST(FrontendCpp, CallsLibrariesForCuda) {
  auto &fake = seqmix::test::FakeCuda::get();
  seqmix::Library library(SEQMIX_DEVICE_LIBRARY);
  seqmix::Mixer decay = library.mixer("decay");
  decay.prepare(0);
  EXPECT_TRUE(fake.launches.empty());
  // Addresses of a device, which nobody may touch here.
  auto at = [](uintptr_t address, std::vector<int64_t> shape) {
    void *data = nullptr;
    std::memcpy(&data, &address, sizeof data);
    return seqmix::Tensor(static_cast<float *>(data), std::move(shape)).onCuda(0);
  };
  seqmix::Tensor x = at(0x10000000, {2, 4096, 3, 4}), y = at(0x20000000, {2, 4096, 3, 4});
  expectRefused(SEQ_WORKSPACE_TOO_SMALL, "this call needs",
                [&] { decay.forward(seqmix::Options(), x, y); });
  size_t bytes = decay.workspaceBytes(0, 2, 3, 4096);
  ASSERT_GT(bytes, 0U);
  auto *stream = fake.makeStream(fake.primary(0));
  decay.forward(
      seqmix::Options().workspace(reinterpret_cast<void *>(0x50000000), bytes).stream(stream), x,
      y);
  ASSERT_EQ(fake.launches.size(), 2U);
  EXPECT_EQ(fake.launches[1].stream, stream);
  std::vector<seqmix::Tensor> parts = {
      at(0x30000000, {2, 3, 4}),
      seqmix::Tensor(reinterpret_cast<int64_t *>(0x40000000), {2}).onCuda(0)};
  seqmix::Carry carry(parts);
  decay.step(carry, {}, at(0x10000000, {2, 3, 4}), at(0x20000000, {2, 3, 4}));
  EXPECT_EQ(fake.launches.size(), 3U);
  std::vector<float> host(2 * 20 * 3 * 4);
  seqmix::Tensor onHost(host.data(), {2, 20, 3, 4});
  expectRefused(SEQ_INVALID_DEVICE, "x is in the CPU's memory; expected a CUDA device",
                [&] { decay.forward(seqmix::Options(), onHost, onHost); });
}

} // namespace
