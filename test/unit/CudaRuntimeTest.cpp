//===- CudaRuntimeTest.cpp - calls of a mixer for GPUs, on a fake driver -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Descriptor.h"
#include "test/gpu/driver/FakeCuda.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <thread>

namespace seqmix::test {
namespace {

//===----------------------------------------------------------------------===//
// A mixer
//===----------------------------------------------------------------------===//

enum { B, H, T, K };
constexpr double kInf = std::numeric_limits<double>::infinity();

const SeqAxis kRows[] = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 1, 0}, {K, 1, 1, 0}};
const SeqAxis kGate[] = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 2, 0}};
const SeqAxis kState[] = {{B, -1, 1, 0}, {H, -1, 1, 0}, {K, 0, 1, 0}};
const SeqAxis kPosition[] = {{B, -1, 1, 0}};
const SeqTensor kTensors[] = {{"x", kRows, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 4, 0},
                              {"g", kGate, -kInf, kInf, SEQ_ROLE_INPUT, SEQ_F32, 3, 0},
                              {"y", kRows, -kInf, kInf, SEQ_ROLE_OUTPUT, SEQ_F32, 4, 0}};
const SeqComponent kComponents[] = {
    {"S", kState, 0, 0, SEQ_CARRY_STATE, SEQ_F32, 3, 0},
    {"position", kPosition, 0, 0, SEQ_CARRY_POSITION, SEQ_I32, 1, 0}};
const SeqDim kDims[] = {{"B", 0, SEQ_DIM_BATCH, 0},
                        {"H", 0, SEQ_DIM_BATCH, 0},
                        {"T", 0, SEQ_DIM_RUNTIME, 0},
                        {"K", 4, SEQ_DIM_FIXED, 0}};

const char kPtx[] = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry scan(\n)\n"
                    ".visible .entry summaries(\n)\n.visible .entry join(\n)\n";
const char kLaterPtx[] = ".version 8.4\n.target sm_90\n.visible .entry scan(\n)\n"
                         ".visible .entry summaries(\n)\n.visible .entry join(\n)\n";

/// What the fake takes for machine code: the header of an ELF file and names of its sections.
const std::string &machineCode() {
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

const char *const kNames[] = {"scan", "summaries", "join"};
enum { Scan, Summaries, Join };

const SeqFactor kHeads[] = {{SEQ_FACTOR_DIM, B, 1}, {SEQ_FACTOR_DIM, H, 1}};
const SeqFactor kHeadPairs[] = {{SEQ_FACTOR_DIM, H, 2}};
const SeqFactor kSegmentsOnly[] = {{SEQ_FACTOR_SEGMENTS, 0, 1}};
const SeqFactor kTilesOnly[] = {{SEQ_FACTOR_TILES, 0, 16}};
const SeqFactor kStates[] = {
    {SEQ_FACTOR_DIM, B, 1}, {SEQ_FACTOR_DIM, H, 1}, {SEQ_FACTOR_SEGMENTS, 0, 1}};
constexpr SeqAmount kOne = {1, nullptr, 0, 0};

const SeqArgument kScanArguments[] = {
    {SEQ_ARGUMENT_TENSOR, 0},    {SEQ_ARGUMENT_TENSOR, 1},    {SEQ_ARGUMENT_TENSOR, 2},
    {SEQ_ARGUMENT_CARRY_IN, 0},  {SEQ_ARGUMENT_CARRY_OUT, 0}, {SEQ_ARGUMENT_CARRY_IN, 1},
    {SEQ_ARGUMENT_CARRY_OUT, 1}, {SEQ_ARGUMENT_SEQLENS, 0},   {SEQ_ARGUMENT_FRAME, 0}};
const SeqArgument kJoinArguments[] = {
    {SEQ_ARGUMENT_WORKSPACE, 1}, {SEQ_ARGUMENT_WORKSPACE, 0}, {SEQ_ARGUMENT_FRAME, 0}};

const SeqLaunch kWhole[] = {
    {{{1, kHeads, 2, 0}, kOne, kOne}, kScanArguments, 9, Scan, {32, 2, 1}, 100}};
const SeqLaunch kCut[] = {
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
const SeqAmount kRegions[] = {{16, kStates, 3, 0}, {4, kStates, 3, 0}};
const SeqSchedule kForward[] = {{kWhole, nullptr, 1, 0, 0}, {kCut, kRegions, 3, 2, 32}};
const SeqLaunch kStepLaunch[] = {
    {{kOne, {1, kHeads, 2, 0}, kOne}, kScanArguments, 9, Scan, {32, 1, 1}, 0}};
const SeqSchedule kStep = {kStepLaunch, nullptr, 1, 0, 0};

/// A descriptor of its own for each test, since a code is loaded once.
struct Mixer {
  SeqImage images[2] = {{"sm_90a", machineCode().data(), static_cast<int64_t>(machineCode().size()),
                         SEQ_IMAGE_CUBIN, 90, 1, 0},
                        {"sm_80", kPtx, sizeof kPtx, SEQ_IMAGE_PTX, 80, 0, 0}};
  void *state = nullptr;
  SeqCode code = {images, kNames, &state, 2, 3};
  SeqDeviceTarget target = {"sm_80", &code, kForward, &kStep, 2, 0};
  SeqDevice device = {&target, 1, 0};
  SeqMixer mixer = {"scan",  nullptr, kDims,   kTensors, kComponents,
                    nullptr, nullptr, nullptr, 0,        SEQ_DESCRIPTOR_VERSION,
                    4,       3,       2,       0,        T,
                    nullptr, &device};
  const SeqMixer *sizes[1] = {&mixer};
  SeqMixerSet set = {"scan", sizes, 1, 0};
};

/// Memory of a device, which nobody may touch here.
struct DeviceTensor {
  DeviceTensor(uintptr_t address, std::vector<int64_t> shape, int device = 0,
               std::vector<int64_t> strides = {}, DLDataType type = {kDLFloat, 32, 1})
      : shape(std::move(shape)), strides(std::move(strides)) {
    value.data = reinterpret_cast<void *>(address);
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

constexpr DLDataType kI32 = {kDLInt, 32, 1};

/// A call with 2 sequences, 6 heads.
struct Call {
  explicit Call(int64_t tokens = 100, int device = 0)
      : x(0x10000000, {2, tokens, 6, 4}, device), g(0x20000000, {2, tokens, 3}, device),
        y(0x30000000, {2, tokens, 6, 4}, device), s(0x40000000, {2, 6, 4}, device),
        position(0x50000000, {2}, device, {}, kI32) {}
  DeviceTensor x, g, y, s, position;
  seq_options options = SEQ_OPTIONS_INIT;

  int forward(const Mixer &mixer) {
    const DLTensor *tensors[] = {&x.value, &g.value, &y.value};
    return seq_rt_forward(&mixer.set, tensors, &options);
  }
};

/// Three numbers of a launch as a vector, for comparisons.
std::vector<unsigned> list(const unsigned (&values)[3]) {
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
  many.options.workspace = reinterpret_cast<void *>(memory);
  many.options.workspace_bytes = workspace(2, 6, 4096);
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  // 12 blocks on 132 multiprocessors: 32 segments make 384, two for each of them.
  ASSERT_EQ(fake.launches.size(), 3U);
  EXPECT_EQ(list(fake.launches[0].grid), (std::vector<unsigned>{12, 32, 1}));
  EXPECT_EQ(list(fake.launches[1].grid), (std::vector<unsigned>{9, 2 * 256, 1}));
  EXPECT_EQ(list(fake.launches[2].grid), (std::vector<unsigned>{12, 32, 1}));
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 32);
  // 16 bytes a state of 12 * 32, and behind them 4.
  EXPECT_EQ(seen[0].pointers, (std::vector<uintptr_t>{memory + 12 * 32 * 16, memory}));
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1); // 60000 bytes are more than 48 KiB
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1);
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuLibraryGetKernel"], 3);
}

TEST_F(CudaSegments, KeepsSegmentsLong) {
  watch();
  Call few(100);
  few.options.workspace = reinterpret_cast<void *>(memory);
  few.options.workspace_bytes = workspace(2, 6, 100);
  ASSERT_EQ(few.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen[0].frame[SEQ_DEVICE_SEGMENTS], 2); // of at least 32 tokens
  seen.clear();
  Call one(63);
  ASSERT_EQ(one.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(seen.size(), 1U);
}

TEST_F(CudaSegments, DoesNotCutForDevicesThatAreFull) {
  fake.devices[0].multiprocessors = 16;
  ASSERT_EQ(many.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches.size(), 1U);
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
        options.workspace = reinterpret_cast<void *>(memory);
        options.workspace_bytes = bytes;
        EXPECT_EQ(seq_rt_forward(&own.set, tensors, &options), SEQ_OK) << seq_last_error();
      }
  }
}

TEST_F(CudaSegments, NeedsTheCallersWorkspace) {
  EXPECT_EQ(many.forward(mixer), SEQ_WORKSPACE_TOO_SMALL);
  EXPECT_STREQ(seq_last_error(), "scan_forward: the workspace has 0 bytes; this call needs 7680 of "
                                 "device 0 (scan_workspace_size)");
  many.options.workspace = reinterpret_cast<void *>(memory + 64);
  many.options.workspace_bytes = 7680;
  EXPECT_EQ(many.forward(mixer), SEQ_WORKSPACE_TOO_SMALL);
  EXPECT_TEXT(seq_last_error(), "not aligned to 256 bytes");
  many.options.workspace = reinterpret_cast<void *>(0x30000000);
  EXPECT_EQ(many.forward(mixer), SEQ_INVALID_LAYOUT);
  EXPECT_TEXT(seq_last_error(), "the workspace overlaps y in memory");
  EXPECT_TRUE(fake.launches.empty());
}

TEST_F(CudaSegments, RefusesGridsThatAreTooLarge) {
  Call wide(65536 * 16 + 1);
  wide.options.workspace = reinterpret_cast<void *>(0x7000000000);
  wide.options.workspace_bytes = 1 << 30;
  wide.x.value.data = reinterpret_cast<void *>(0x1000000000);
  wide.y.value.data = reinterpret_cast<void *>(0x2000000000);
  EXPECT_EQ(wide.forward(mixer), SEQ_INVALID_SHAPE);
  EXPECT_TEXT(seq_last_error(), "kernel join would have 131074 blocks in dim 1 of its grid");
}

//===----------------------------------------------------------------------===//
// Devices, contexts, streams
//===----------------------------------------------------------------------===//

class CudaContexts : public CudaRuntime {
protected:
  CudaContexts() {
    fake.devices.assign(2, FakeDevice());
    call.options.flags = SEQ_UNSPLIT;
    other.options.flags = SEQ_UNSPLIT;
  }
  Call other{100, 1};
};

TEST_F(CudaContexts, UsesThePrimaryContextWhereNoneIsCurrent) {
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].context, fake.primary(0));
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuDevicePrimaryCtxRetain"], 1);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent_v2"], 2);
  EXPECT_EQ(fake.calls["cuCtxPopCurrent_v2"], 2);
}

TEST_F(CudaContexts, UsesTheCurrentContext) {
  FakeContext *own = fake.makeContext(0);
  FakeCuda::stack() = {own};
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].context, own);
  EXPECT_EQ(FakeCuda::stack(), std::vector<FakeContext *>{own});
  EXPECT_EQ(fake.calls["cuDevicePrimaryCtxRetain"], 0);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent_v2"], 0);
  FakeCuda::stack().clear();
}

TEST_F(CudaContexts, UsesTheStreamsContext) {
  FakeContext *own = fake.makeContext(0), *current = fake.makeContext(1);
  FakeCuda::stack() = {current};
  call.options.stream = fake.makeStream(own);
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].context, own);
  EXPECT_EQ(fake.launches[0].stream, call.options.stream);
  EXPECT_EQ(FakeCuda::stack(), std::vector<FakeContext *>{current});
  FakeCuda::stack().clear();
}

TEST_F(CudaContexts, LeavesTheContextOfAnotherDevice) {
  FakeContext *current = fake.makeContext(1);
  FakeCuda::stack() = {current};
  for (uintptr_t stream : {0, 1, 2}) {
    call.options.stream = reinterpret_cast<void *>(stream);
    ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
    EXPECT_EQ(fake.launches.back().context, fake.primary(0));
    EXPECT_EQ(fake.launches.back().stream, call.options.stream);
  }
  EXPECT_EQ(FakeCuda::stack(), std::vector<FakeContext *>{current});
  FakeCuda::stack().clear();
}

TEST_F(CudaContexts, LoadsOnceForAllDevicesAndContexts) {
  fake.devices[1].architecture = 80; // takes the PTX only
  FakeContext *own = fake.makeContext(0);
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  FakeCuda::stack() = {own};
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  FakeCuda::stack().clear();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  ASSERT_EQ(other.forward(mixer), SEQ_OK) << seq_last_error();
  ASSERT_EQ(other.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 2);
  EXPECT_FALSE(fake.launches[1].isPtx);
  EXPECT_TRUE(fake.launches[2].isPtx);
  EXPECT_EQ(fake.launches[2].context, fake.primary(1));
}

TEST_F(CudaContexts, AllowsSharedMemoryOnceADevice) {
  Call a(4096), b(4096, 1);
  for (Call *one : {&a, &b, &a, &b}) {
    one->options.workspace = reinterpret_cast<void *>(0x70000000);
    one->options.workspace_bytes = 1 << 20;
    ASSERT_EQ(one->forward(mixer), SEQ_OK) << seq_last_error();
  }
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 2);
}

TEST_F(CudaContexts, PreparesAheadOfCalls) {
  ASSERT_EQ(seq_rt_prepare(&mixer.set, 1), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1);
  other.options.flags = 0;
  other.options.workspace = reinterpret_cast<void *>(0x70000000);
  other.options.workspace_bytes = 1 << 20;
  ASSERT_EQ(other.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1);
  EXPECT_EQ(seq_rt_prepare(&mixer.set, 2), SEQ_INVALID_DEVICE);
  EXPECT_STREQ(seq_last_error(), "scan_prepare: there is no CUDA device 2; the driver has 2");
}

TEST_F(CudaContexts, RefusesAStreamOfAnotherDevice) {
  call.options.stream = fake.makeStream(fake.primary(1));
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "options.stream is of another device than the tensors");
  int word = 0;
  call.options.stream = &word;
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "options.stream is no stream");
}

TEST_F(CudaContexts, LoadsOnceForManyThreads) {
  std::vector<std::thread> threads;
  std::vector<int> statuses(8, -1);
  for (size_t i = 0; i < statuses.size(); ++i)
    threads.emplace_back([&, i] {
      Call own(4096, static_cast<int>(i % 2));
      own.options.workspace = reinterpret_cast<void *>(0x70000000);
      own.options.workspace_bytes = 1 << 20;
      for (int n = 0; n < 20; ++n)
        statuses[i] = own.forward(mixer);
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(statuses, std::vector<int>(8, SEQ_OK));
  EXPECT_EQ(fake.launches.size(), 8U * 20 * 3);
  EXPECT_EQ(fake.calls["cuInit"], 1);
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 2);
  EXPECT_EQ(fake.calls["cuDevicePrimaryCtxRetain"], 2);
}

//===----------------------------------------------------------------------===//
// Wrong calls
//===----------------------------------------------------------------------===//

TEST_F(CudaContexts, RefusesTensorsThatAreElsewhere) {
  call.g.value.device = {kDLCPU, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_STREQ(seq_last_error(),
               "scan_forward: g is in the CPU's memory; expected a CUDA device: the library was "
               "compiled for CUDA (without --target it is for the CPU)");
  call.g.value.device = {kDLCUDA, 1};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_STREQ(seq_last_error(), "scan_forward: g is on CUDA device 1, but x is on CUDA device 0");
  call.g.value.device = {kDLROCM, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "g is on a device of type 10; expected a CUDA device");
  call.g.value.device = {kDLCUDAManaged, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  for (DeviceTensor *tensor : {&call.x, &call.g, &call.y})
    tensor->value.device = {kDLCPU, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "x is in the CPU's memory; expected a CUDA device");
}

TEST_F(CudaContexts, RefusesCarriesAndLengthsThatAreElsewhere) {
  Call host(100);
  host.s.value.device = {kDLCPU, 0};
  DLTensor *carry[] = {&host.s.value, nullptr};
  host.options.carry_out = carry;
  host.options.carry_count = 2;
  EXPECT_EQ(host.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "S is in the CPU's memory; expected a CUDA device");
  Call packed(100);
  DeviceTensor ends(0x60000000, {3}, 1, {}, kI32);
  packed.options.cu_seqlens = &ends.value;
  EXPECT_EQ(packed.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "cu_seqlens is on CUDA device 1, but x is on CUDA device 0");
}

TEST_F(CudaRuntime, RefusesWhatWouldWaitForTheDevice) {
  call.options.flags = SEQ_CHECKED;
  EXPECT_EQ(call.forward(mixer), SEQ_UNSUPPORTED);
  EXPECT_TEXT(seq_last_error(), "a checked call would have to wait for the device");
}

TEST_F(CudaRuntime, ChecksShapesAndOverlapsAsOnTheCpu) {
  call.g.shape[1] = 99;
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_SHAPE);
  EXPECT_TEXT(seq_last_error(), "g has shape [2, 99, 3]; expected [B, T, H/2]");
  call.g.shape[1] = 100;
  call.y.value.data = call.x.value.data;
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_LAYOUT);
  EXPECT_TEXT(seq_last_error(), "the output y overlaps x in memory");
  EXPECT_TRUE(fake.calls.empty());
}

TEST_F(CudaRuntime, RefusesPagesWhereKernelsDoNotTakeThem) {
  DeviceTensor pages(0x60000000, {2, 4}, 0, {}, kI32);
  call.options.flags = SEQ_UNSPLIT;
  call.options.pages = &pages.value;
  EXPECT_EQ(call.forward(mixer), SEQ_UNSUPPORTED);
  EXPECT_TEXT(seq_last_error(), "do not take the carry's rows in pages");
}

//===----------------------------------------------------------------------===//
// Images
//===----------------------------------------------------------------------===//

TEST_F(CudaContexts, TakesPtxWhereMachineCodeIsRefused) {
  fake.devices[0].takesMachineCode = false;
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_TRUE(fake.launches[0].isPtx);
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 2);
}

TEST_F(CudaContexts, SaysWhyNoImageIsTaken) {
  fake.devices[0].takesMachineCode = false;
  fake.devices[0].takesPtx = false;
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_STREQ(seq_last_error(),
               "scan_forward: the library has no code that the driver takes for CUDA device 0 "
               "(Fake GPU 0, sm_90); machine code for sm_90a: no kernel image is available "
               "(CUDA_ERROR_NO_BINARY_FOR_GPU, 209); PTX for sm_80: a fake error "
               "(CUDA_ERROR_FAKE, 218)");
  fake.devices[0].takesPtx = true; // tried again
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
}

TEST_F(CudaContexts, KnowsWhichChipsAnImageIsFor) {
  fake.devices[1].architecture = 75;
  EXPECT_EQ(other.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "sm_75); machine code for sm_90a is for other chips; PTX for sm_80 "
                                "is for other chips");
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 0);
  // Machine code of sm_90a does not run on later chips; PTX of sm_80 does.
  Mixer later;
  fake.devices[0].architecture = 100;
  ASSERT_EQ(call.forward(later), SEQ_OK) << seq_last_error();
  EXPECT_TRUE(fake.launches[0].isPtx);
}

TEST_F(CudaContexts, TakesTheFirstTargetThatFits) {
  Mixer two;
  SeqImage late = {"sm_90", kLaterPtx, sizeof kLaterPtx, SEQ_IMAGE_PTX, 90, 0, 0};
  void *state = nullptr;
  SeqCode code = {&late, kNames, &state, 1, 3};
  SeqLaunch other = kWhole[0];
  other.threads[0] = 96;
  SeqSchedule schedule = {&other, nullptr, 1, 0, 0};
  SeqDeviceTarget targets[] = {{"sm_90", &code, &schedule, nullptr, 1, 0}, two.target};
  two.device = {targets, 2, 0};
  fake.devices[1].architecture = 86;
  ASSERT_EQ(call.forward(two), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].block[0], 96U);
  ASSERT_EQ(this->other.forward(two), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[1].block[0], 32U);
}

//===----------------------------------------------------------------------===//
// Errors of the driver
//===----------------------------------------------------------------------===//

TEST_F(CudaRuntime, ReportsEveryFunctionThatFails) {
  call.options.flags = SEQ_UNSPLIT;
  EXPECT_TEXT(errorOf("cuInit", 100), "scan_forward: the CUDA driver does not start (cuInit): the "
                                      "CUDA driver says: a fake error (CUDA_ERROR_FAKE, 100)");
  for (const char *function : {"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute",
                               "cuCtxGetCurrent", "cuDevicePrimaryCtxRetain"})
    EXPECT_TEXT(errorOf(function), std::string("scan_forward: ") + function +
                                       ": the CUDA driver says: a fake error (CUDA_ERROR_FAKE, "
                                       "999)");
  EXPECT_TEXT(errorOf("cuCtxPushCurrent_v2"), "cuCtxPushCurrent: the CUDA driver says");
  for (const char *function : {"cuLibraryLoadData", "cuLibraryGetKernel", "cuKernelGetFunction"})
    EXPECT_TEXT(errorOf(function), "machine code for sm_90a: a fake error (CUDA_ERROR_FAKE, 999); "
                                   "PTX for sm_80: a fake error (CUDA_ERROR_FAKE, 999)");
  EXPECT_TEXT(errorOf("cuLaunchKernel", 700),
              "scan_forward: kernel scan of sm_80: the launch is refused: the CUDA driver says: a "
              "fake error (CUDA_ERROR_FAKE, 700)");
  EXPECT_TRUE(fake.launches.empty());
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error(); // nothing is left of it
}

TEST_F(CudaRuntime, ReportsErrorsWithACurrentContext) {
  call.options.flags = SEQ_UNSPLIT;
  FakeCuda::stack() = {fake.makeContext(0)};
  EXPECT_TEXT(errorOf("cuCtxGetDevice"), "cuCtxGetDevice: the CUDA driver says");
  call.options.stream = fake.makeStream(FakeCuda::stack()[0]);
  EXPECT_TEXT(errorOf("cuStreamGetCtx"), "options.stream is no stream (cuStreamGetCtx)");
  EXPECT_TEXT(errorOf("cuCtxGetDevice"), "cuCtxGetDevice: the CUDA driver says");
  FakeCuda::stack().clear();
}

TEST_F(CudaRuntime, ReportsSharedMemoryThatIsRefused) {
  call.options.workspace = reinterpret_cast<void *>(0x70000000);
  call.options.workspace_bytes = 1 << 20;
  EXPECT_TEXT(errorOf("cuKernelSetAttribute"),
              "scan_forward: kernel summaries of sm_80: its shared memory is refused");
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
}

TEST_F(CudaRuntime, SurvivesADriverWithoutWords) {
  call.options.flags = SEQ_UNSPLIT;
  fake.failures = {{"cuGetErrorName", 1}, {"cuGetErrorString", 1}, {"cuLaunchKernel", 5}};
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "unknown error (unknown, 5)");
}

} // namespace
} // namespace seqmix::test
