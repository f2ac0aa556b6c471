//===- CudaSample.h - a mixer for GPUs, and calls of it on a fake driver -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_CUDASAMPLE_H
#define SEQMIX_TEST_UNIT_CUDASAMPLE_H

#include "runtime/Descriptor.h"
#include "test/gpu/driver/FakeCuda.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <deque>
#include <limits>

namespace seqmix::test {

//===----------------------------------------------------------------------===//
// A mixer
//===----------------------------------------------------------------------===//

enum { B, H, T, K };
inline constexpr double kInf = std::numeric_limits<double>::infinity();

inline const SeqAxis kRows[] = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 1, 0}, {K, 1, 1, 0}};
inline const SeqAxis kGate[] = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 2, 0}};
inline const SeqAxis kState[] = {{B, -1, 1, 0}, {H, -1, 1, 0}, {K, 0, 1, 0}};
inline const SeqAxis kPosition[] = {{B, -1, 1, 0}};
inline const SeqTensor kTensors[] = {{"x", kRows, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 4, 0},
                                     {"g", kGate, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 3, 0},
                                     {"y", kRows, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 4, 0}};
inline const SeqComponent kComponents[] = {
    {"S", kState, 0, 0, SEQ_CARRY_STATE, SEQ_F32, 3, 0},
    {"position", kPosition, 0, 0, SEQ_CARRY_POSITION, SEQ_I64, 1, 0}};
inline const SeqDim kDims[] = {{"B", 0, SEQ_DIM_BATCH, 0},
                               {"H", 0, SEQ_DIM_BATCH, 0},
                               {"T", 0, SEQ_DIM_RUNTIME, 0},
                               {"K", 4, SEQ_DIM_FIXED, 0}};

inline const char kPtx[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry scan(\n)\n"
    ".visible .entry summaries(\n)\n.visible .entry join(\n)\n";
inline const char kLaterPtx[] = ".version 8.4\n.target sm_90\n.visible .entry scan(\n)\n"
                                ".visible .entry summaries(\n)\n.visible .entry join(\n)\n";

/// What the fake takes for machine code: the header of an ELF file and names of its sections.
inline const std::string &machineCode() {
  static const std::string bytes = [] {
    std::string text = std::string("\177ELF", 4) + std::string(124, '\0');
    for (const char *name : {"scan", "summaries", "join"})
      text += ".text." + std::string(name) + '\0';
    uint64_t end = text.size();
    std::memcpy(text.data() + 40, &end, sizeof end);
    return text;
  }();
  return bytes;
}

inline const char *const kNames[] = {"scan", "summaries", "join"};
enum { Scan, Summaries, Join };

inline const SeqFactor kHeads[] = {{SEQ_FACTOR_DIM, B, 1}, {SEQ_FACTOR_DIM, H, 1}};
inline const SeqFactor kHeadPairs[] = {{SEQ_FACTOR_DIM, H, 2}};
inline const SeqFactor kSegmentsOnly[] = {{SEQ_FACTOR_SEGMENTS, 0, 1}};
inline const SeqFactor kTilesOnly[] = {{SEQ_FACTOR_TILES, 0, 16}};
inline const SeqFactor kStates[] = {
    {SEQ_FACTOR_DIM, B, 1}, {SEQ_FACTOR_DIM, H, 1}, {SEQ_FACTOR_SEGMENTS, 0, 1}};
inline constexpr SeqAmount kOne = {1, nullptr, 0, 0};

inline const SeqArgument kScanArguments[] = {
    {SEQ_ARGUMENT_TENSOR, 0},    {SEQ_ARGUMENT_TENSOR, 1},    {SEQ_ARGUMENT_TENSOR, 2},
    {SEQ_ARGUMENT_CARRY_IN, 0},  {SEQ_ARGUMENT_CARRY_OUT, 0}, {SEQ_ARGUMENT_CARRY_IN, 1},
    {SEQ_ARGUMENT_CARRY_OUT, 1}, {SEQ_ARGUMENT_SEQLENS, 0},   {SEQ_ARGUMENT_FRAME, 0}};
inline const SeqArgument kJoinArguments[] = {
    {SEQ_ARGUMENT_WORKSPACE, 1}, {SEQ_ARGUMENT_WORKSPACE, 0}, {SEQ_ARGUMENT_FRAME, 0}};

inline const SeqLaunch kWhole[] = {
    {{{1, kHeads, 2, 0}, kOne, kOne}, kScanArguments, 9, Scan, {32, 2, 1}, 100}};
inline const SeqLaunch kCut[] = {
    {{{1, kHeads, 2, 0}, {1, kSegmentsOnly, 1, 0}, kOne},
     kJoinArguments,
     3,
     Summaries,
     {64, 1, 1},
     60000},
    {{{3, kHeadPairs, 1, 0}, {1, kTilesOnly, 1, 0}, kOne}, kJoinArguments, 3, Join, {32, 1, 1}, 0},
    {{{1, kHeads, 2, 0}, {1, kSegmentsOnly, 1, 0}, kOne},
     kScanArguments,
     9,
     Scan,
     {32, 2, 1},
     100}};
inline const SeqAmount kRegions[] = {{16, kStates, 3, 0}, {4, kStates, 3, 0}};
inline const SeqSchedule kForward[] = {{kWhole, nullptr, 1, 0, 0}, {kCut, kRegions, 3, 2, 32}};
inline const SeqLaunch kStepLaunch[] = {
    {{kOne, {1, kHeads, 2, 0}, kOne}, kScanArguments, 9, Scan, {32, 1, 1}, 0}};
inline const SeqSchedule kStep = {kStepLaunch, nullptr, 1, 0, 0};

/// What the runtime loads lives as long as the process, so must the pointer to it.
inline void **newState() {
  static std::deque<void *> states;
  return &states.emplace_back(nullptr);
}

/// A descriptor of its own for each test, since a code is loaded once.
struct Mixer {
  SeqImage images[2] = {{"sm_90a", machineCode().data(), static_cast<int64_t>(machineCode().size()),
                         SEQ_IMAGE_CUBIN, 90, 1, 0},
                        {"sm_80", kPtx, sizeof kPtx, SEQ_IMAGE_PTX, 80, 0, 0}};
  SeqCode code = {images, kNames, newState(), 2, 3};
  SeqDeviceTarget target = {"sm_80", &code, kForward, &kStep, 2, 0};
  SeqDevice device = {&target, 1, 0};
  SeqMixer mixer = {"scan",  nullptr, kDims,   kTensors, kComponents,
                    nullptr, nullptr, nullptr, 0,        SEQ_DESCRIPTOR_VERSION,
                    4,       3,       2,       0,        T,
                    nullptr, &device};
  const SeqMixer *sizes[1] = {&mixer};
  SeqMixerSet set = {"scan", sizes, 1, 0};
};

/// A place in memory of a device.
inline void *addressOf(uintptr_t number) { return std::bit_cast<void *>(number); }

/// Memory of a device, which nobody may touch here.
struct DeviceTensor {
  DeviceTensor(uintptr_t address, std::vector<int64_t> shape, int device = 0,
               std::vector<int64_t> strides = {}, DLDataType type = {kDLFloat, 32, 1})
      : shape(std::move(shape)), strides(std::move(strides)) {
    value.data = addressOf(address);
    value.device = {kDLCUDA, device};
    value.ndim = static_cast<int32_t>(this->shape.size());
    value.dtype = type;
    value.shape = this->shape.data();
    value.strides = this->strides.empty() ? nullptr : this->strides.data();
    value.byte_offset = 0;
  }
  DeviceTensor(const DeviceTensor &) = delete;
  std::vector<int64_t> shape, strides;
  DLTensor value;
};

inline constexpr DLDataType kI32 = {kDLInt, 32, 1}, kI64 = {kDLInt, 64, 1};

/// A call with 2 sequences, 6 heads.
struct Call {
  explicit Call(int64_t tokens = 100, int device = 0)
      : x(0x10000000, {2, tokens, 6, 4}, device), g(0x20000000, {2, tokens, 3}, device),
        y(0x30000000, {2, tokens, 6, 4}, device), s(0x40000000, {2, 6, 4}, device),
        position(0x50000000, {2}, device, {}, kI64) {}
  DeviceTensor x, g, y, s, position;
  seq_options options = SEQ_OPTIONS_INIT;

  int forward(const Mixer &mixer) {
    const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
    return seq_rt_forward(&mixer.set, tensors, &options);
  }
};

/// Three numbers of a launch as a vector, for comparisons.
inline std::vector<unsigned> list(const unsigned (&values)[3]) {
  return {values[0], values[1], values[2]};
}

class CudaRuntime : public ::testing::Test {
protected:
  FakeCuda &fake = FakeCuda::get();
  Mixer mixer;
  Call call;

  /// The pointers that a launch had, and its frame.
  struct Seen {
    std::vector<uintptr_t> pointers;
    std::vector<int64_t> frame;
  };
  std::vector<Seen> seen;

  /// Keeps the arguments of all launches: a frame stands where the number of arguments says.
  void watch() {
    fake.onLaunch = [this](const FakeLaunch &launch) {
      size_t count = launch.kernel == "scan" ? 8 : 2;
      Seen one;
      for (size_t i = 0; i < count; ++i)
        one.pointers.push_back(*static_cast<uintptr_t *>(launch.arguments[i]));
      auto *frame = static_cast<int64_t *>(launch.arguments[count]);
      one.frame.assign(frame, frame + SEQ_DEVICE_FIRST + 4 + 11 + 8);
      seen.push_back(one);
      return 0;
    };
  }

  void TearDown() override {
    fake.onLaunch = nullptr;
    fake.failures.clear();
    EXPECT_TRUE(FakeCuda::stack().empty()) << "a context was left current";
    FakeCuda::stack().clear();
  }

  /// Fails one function in a call and returns the error's text.
  std::string errorOf(const char *function, int error = 999) {
    fake.failures = {{function, error}};
    EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR) << function;
    fake.failures.clear();
    return seq_last_error();
  }
};

#define EXPECT_TEXT(TEXT, PART) EXPECT_NE(std::string(TEXT).find(PART), std::string::npos) << (TEXT)

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_CUDASAMPLE_H
