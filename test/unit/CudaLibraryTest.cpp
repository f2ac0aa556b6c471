//===- CudaLibraryTest.cpp - a library for GPUs, from its kernels to calls ---------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Kernels written by hand are compiled, embedded in a library, and called through its C interface.
// The driver is a fake that takes the library's images and gives launches to the emulator, so all
// is real but the hardware.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Serialize.h"
#include "compiler/library/Library.h"
#include "test/gpu/driver/FakeCuda.h"
#include "test/unit/GpuEmulatorSupport.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <dlfcn.h>
#include <limits>
#include <random>

using namespace seqmix;
using namespace seqmix::test;

namespace {

enum { B, H, T, K };
constexpr int64_t kSize = 32;
constexpr double kInf = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// The library
//===----------------------------------------------------------------------===//

AmountPlan product(std::initializer_list<SeqFactor> factors, int64_t number = 1) {
  return {number, factors};
}

/// The descriptor of the kernels in decay.mlir.
DeviceTargetPlan target(std::shared_ptr<CodePlan> code) {
  auto kernel = [&](llvm::StringRef name) {
    return static_cast<int32_t>(llvm::find(code->kernels, name) - code->kernels.begin());
  };
  const SeqFactor b = {SEQ_FACTOR_DIM, B, 1}, h = {SEQ_FACTOR_DIM, H, 1};
  const SeqFactor segments = {SEQ_FACTOR_SEGMENTS, 0, 1};
  const SeqArgument x = {SEQ_ARGUMENT_TENSOR, 0}, g = {SEQ_ARGUMENT_TENSOR, 1},
                    y = {SEQ_ARGUMENT_TENSOR, 2}, in = {SEQ_ARGUMENT_CARRY_IN, 0},
                    out = {SEQ_ARGUMENT_CARRY_OUT, 0}, sums = {SEQ_ARGUMENT_WORKSPACE, 0},
                    products = {SEQ_ARGUMENT_WORKSPACE, 1}, ends = {SEQ_ARGUMENT_SEQLENS, 0},
                    frame = {SEQ_ARGUMENT_FRAME, 0};
  auto launch = [&](llvm::StringRef name, AmountPlan blocks, AmountPlan rows,
                    std::vector<SeqArgument> arguments) {
    LaunchPlan plan;
    plan.grid = {std::move(blocks), std::move(rows), AmountPlan()};
    plan.threads = {32, 1, 1};
    plan.kernel = kernel(name);
    plan.arguments = std::move(arguments);
    return plan;
  };
  LaunchPlan advance =
      launch("advance", product({{SEQ_FACTOR_DIM, B, 32}}), product({}),
             {{SEQ_ARGUMENT_CARRY_IN, 1}, {SEQ_ARGUMENT_CARRY_OUT, 1}, ends, frame});
  SchedulePlan whole, cut;
  whole.launches = {
      launch("scan", product({b, h}), product({}), {x, g, y, in, out, in, ends, frame}), advance};
  cut.launches = {
      launch("summaries", product({b, h}), product({segments}),
             {x, g, sums, products, ends, frame}),
      launch("join", product({b, h}), product({}), {sums, products, in, frame}),
      launch("scan", product({b, h}), product({segments}), {x, g, y, in, out, sums, ends, frame}),
      advance};
  cut.regions = {product({b, h, segments}, 4 * kSize), product({b, h, segments}, 4 * kSize)};
  cut.segmentTokens = 32;
  return {"sm_80", std::move(code), {whole, cut}, std::nullopt, false};
}

MixerPlan decayPlan(std::shared_ptr<CodePlan> code) {
  MixerPlan plan;
  plan.name = "decay";
  plan.dims = {{"B", SEQ_DIM_BATCH, 0, {}},
               {"H", SEQ_DIM_BATCH, 0, {}},
               {"T", SEQ_DIM_RUNTIME, 0, {}},
               {"K", SEQ_DIM_FIXED, kSize, {}}};
  plan.tokenDim = T;
  std::vector<AxisPlan> rows = {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 1, 0}, {K, 1, 1, 0}};
  plan.tensors = {
      {"x", SEQ_ROLE_INPUT, SEQ_F32, -kInf, kInf, rows},
      {"g", SEQ_ROLE_INPUT, SEQ_F32, -kInf, kInf, {{B, -1, 1, 0}, {T, 0, 1, 0}, {H, -1, 2, 0}}},
      {"y", SEQ_ROLE_OUTPUT, SEQ_F32, -kInf, kInf, rows}};
  plan.components = {
      {"S", SEQ_CARRY_STATE, SEQ_F32, 0, 0, {{B, -1, 1, 0}, {H, -1, 1, 0}, {K, 0, 1, 0}}},
      {"position", SEQ_CARRY_POSITION, SEQ_I64, 0, 0, {{B, -1, 1, 0}}}};
  plan.device = {target(std::move(code))};
  return plan;
}

/// A folder that goes with the test.
struct Folder {
  Folder() { EXPECT_FALSE(llvm::sys::fs::createUniqueDirectory("seqmix-test", path)); }
  ~Folder() { (void)static_cast<bool>(llvm::sys::fs::remove_directories(path)); }
  std::string operator/(const char *name) const { return (path + "/" + name).str(); }
  llvm::SmallString<128> path;
};

/// Compiles the kernels for both chips, links the library and loads it.
class DecayLibrary {
public:
  DecayLibrary() : kernels(gpu::test::kernelFile("decay.mlir")) {
    auto code = std::make_shared<CodePlan>();
    for (const char *name : {"sm_90a", "sm_80"}) {
      auto chip = gpu::chipNamed(name);
      EXPECT_TRUE(bool(chip));
      auto image = gpu::serialize(kernels.module(), *chip);
      EXPECT_TRUE(llvm::succeeded(image));
      addImage(*code, *image);
      images.push_back(std::move(*image));
    }
    LibraryPlan plan;
    plan.add(decayPlan(std::move(code)));
    LinkOptions link;
    link.objects = {folder / "library.o"};
    link.output = folder / "libdecay.so";
    link.exports = exportedSymbols(plan);
    link.runtimeDirectory = SEQMIX_RUNTIME_DIRECTORY;
    link.staysLoaded = true;
    llvm::cantFail(writeLibraryObject(plan, link.objects[0]));
    llvm::cantFail(linkLibrary(link));
    handle = dlopen(link.output.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle, nullptr) << dlerror();
  }
  ~DecayLibrary() { dlclose(handle); }

  template <typename F> F *find(const char *name) const {
    void *symbol = dlsym(handle, name);
    EXPECT_NE(symbol, nullptr) << name;
    return reinterpret_cast<F *>(symbol);
  }
  std::string lastError() const { return find<const char *()>("decay_last_error")(); }

  gpu::test::Kernels kernels;
  std::vector<gpu::Image> images;

private:
  Folder folder;
  void *handle = nullptr;
};

//===----------------------------------------------------------------------===//
// Memory of the device
//===----------------------------------------------------------------------===//

template <typename T> struct Array {
  Array(gpu::GlobalMemory &memory, const char *name, std::vector<int64_t> extents,
        gpu::BufferUse use, DLDataType type)
      : shape(std::move(extents)) {
    size_t count = 1;
    for (int64_t extent : shape)
      count *= static_cast<size_t>(extent);
    data.resize(count);
    value.data = std::bit_cast<void *>(memory.add(name, data, use));
    value.device = {kDLCUDA, 0};
    value.ndim = static_cast<int32_t>(shape.size());
    value.dtype = type;
    value.shape = shape.data();
    value.strides = nullptr;
    value.byte_offset = 0;
  }
  Array(const Array &) = delete;
  std::vector<int64_t> shape;
  std::vector<T> data;
  DLTensor value;
};

constexpr DLDataType kF32 = {kDLFloat, 32, 1}, kI32 = {kDLInt, 32, 1}, kI64 = {kDLInt, 64, 1};

using Forward = int(const DLTensor *, const DLTensor *, const DLTensor *, const seq_options *);
using Step = int(const DLTensor *, const DLTensor *, const DLTensor *, DLTensor *const *,
                 const seq_options *);

class CudaLibrary : public ::testing::Test {
protected:
  void SetUp() override {
    FakeCuda::get().onLaunch = [this](const FakeLaunch &launch) { return emulate(launch); };
  }
  void TearDown() override { FakeCuda::get().onLaunch = nullptr; }

  /// Runs a launch on the emulator, which must have nothing to report.
  int emulate(const FakeLaunch &one) {
    const gpu::Program &program = library.kernels.get(one.kernel);
    std::vector<gpu::Argument> arguments;
    for (auto [index, parameter] : llvm::enumerate(program.parameters)) {
      uint32_t size = parameter.isByValue ? parameter.layout.size : parameter.layout.extent;
      arguments.push_back(gpu::Argument::ofBytes(
          {static_cast<const uint8_t *>(one.arguments[index]), size_t(size)}));
    }
    gpu::LaunchShape shape;
    shape.grid = {one.grid[0], one.grid[1], one.grid[2]};
    shape.block = {one.block[0], one.block[1], one.block[2]};
    shape.sharedBytes = one.sharedBytes;
    auto result = gpu::launch(program, shape, arguments, memory);
    if (!result) {
      ADD_FAILURE() << llvm::toString(result.takeError());
      return 1;
    }
    EXPECT_TRUE(result->isClean()) << one.kernel << "\n" << result->text();
    return 0;
  }

  std::vector<std::string> launched() const {
    std::vector<std::string> names;
    for (const FakeLaunch &one : FakeCuda::get().launches)
      names.push_back(one.kernel);
    return names;
  }

  DecayLibrary library;
  gpu::GlobalMemory memory;
};

/// A call with random numbers and what must come out of it.
struct Problem {
  Problem(gpu::GlobalMemory &memory, std::vector<int64_t> lengths, bool isPacked, int64_t heads)
      : lengths(std::move(lengths)), heads(heads), isPacked(isPacked),
        sequences(static_cast<int64_t>(this->lengths.size())), rows(countRows()),
        x(memory, "x", {isPacked ? 1 : sequences, rows, heads, kSize}, gpu::BufferUse::Input, kF32),
        g(memory, "g", {isPacked ? 1 : sequences, rows, heads / 2}, gpu::BufferUse::Input, kF32),
        y(memory, "y", {isPacked ? 1 : sequences, rows, heads, kSize}, gpu::BufferUse::Output,
          kF32),
        in(memory, "S.in", {sequences, heads, kSize}, gpu::BufferUse::Input, kF32),
        out(memory, "S.out", {sequences, heads, kSize}, gpu::BufferUse::Output, kF32),
        positionIn(memory, "p.in", {sequences}, gpu::BufferUse::Input, kI64),
        positionOut(memory, "p.out", {sequences}, gpu::BufferUse::Output, kI64),
        ends(memory, "ends", {sequences + 1}, gpu::BufferUse::Input, kI32) {
    std::mt19937 random(5);
    std::uniform_real_distribution<float> any(-1, 1), gate(0.6F, 1);
    for (float &value : x.data)
      value = any(random);
    for (float &value : g.data)
      value = gate(random);
    for (float &value : in.data)
      value = any(random);
    for (int64_t n = 0; n < sequences; ++n) {
      positionIn.data[n] = static_cast<int64_t>(100 * n);
      ends.data[n + 1] = ends.data[n] + static_cast<int32_t>(this->lengths[n]);
    }
  }

  int64_t countRows() const {
    int64_t all = 0;
    for (int64_t length : lengths)
      all = isPacked ? all + length : length;
    return all;
  }

  /// The greatest difference from sums in double.
  double error(bool hasCarry) const {
    double worst = 0;
    for (int64_t n = 0; n < sequences; ++n)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = 0; i < kSize; ++i) {
          double state = hasCarry ? in.data[(n * heads + h) * kSize + i] : 0;
          for (int64_t t = 0; t < lengths[n]; ++t) {
            int64_t row = isPacked ? ends.data[n] + t : n * rows + t;
            state =
                g.data[row * (heads / 2) + h / 2] * state + x.data[(row * heads + h) * kSize + i];
            worst = std::max(worst, std::abs(state - y.data[(row * heads + h) * kSize + i]));
          }
          if (hasCarry)
            worst = std::max(worst, std::abs(state - out.data[(n * heads + h) * kSize + i]));
        }
    return worst;
  }

  std::vector<int64_t> lengths;
  int64_t heads;
  bool isPacked;
  int64_t sequences, rows;
  Array<float> x, g, y, in, out;
  Array<int64_t> positionIn, positionOut;
  Array<int32_t> ends;
};

TEST_F(CudaLibrary, RunsWholeSequences) {
  Problem problem(memory, {20, 20, 20}, false, 4);
  auto *forward = library.find<Forward>("decay_forward");
  ASSERT_EQ(forward(&problem.x.value, &problem.g.value, &problem.y.value, nullptr), SEQ_OK)
      << library.lastError();
  EXPECT_EQ(launched(), (std::vector<std::string>{"scan", "advance"}));
  EXPECT_LT(problem.error(false), 1e-5);
  EXPECT_EQ(memory.unwrittenBytes("y"), 0U);
  EXPECT_EQ(FakeCuda::get().launches[0].isPtx, library.images[0].cubin.empty());
}

TEST_F(CudaLibrary, RunsSegmentsFromACarry) {
  Problem problem(memory, {100, 100}, false, 2);
  DLTensor *in[] = {&problem.in.value, &problem.positionIn.value};
  DLTensor *out[] = {&problem.out.value, &problem.positionOut.value};
  seq_options options = SEQ_OPTIONS_INIT;
  options.carry_in = in;
  options.carry_out = out;
  options.carry_count = 2;
  size_t bytes = 0;
  ASSERT_EQ((library.find<int(int64_t, int64_t, int64_t, int32_t, size_t *)>(
                "decay_workspace_size")(2, 2, 100, 0, &bytes)),
            SEQ_OK);
  ASSERT_GT(bytes, 0U);
  Array<uint8_t> workspace(memory, "workspace", {static_cast<int64_t>(bytes)},
                           gpu::BufferUse::Output, kF32);
  options.workspace = workspace.value.data;
  options.workspace_bytes = bytes;
  auto *forward = library.find<Forward>("decay_forward");
  ASSERT_EQ(forward(&problem.x.value, &problem.g.value, &problem.y.value, &options), SEQ_OK)
      << library.lastError();
  EXPECT_EQ(launched(), (std::vector<std::string>{"summaries", "join", "scan", "advance"}));
  EXPECT_EQ(FakeCuda::get().launches[0].grid[1], 2U);
  EXPECT_LT(problem.error(true), 1e-5);
  EXPECT_EQ(memory.unwrittenBytes("y"), 0U);
  EXPECT_EQ(memory.unwrittenBytes("S.out"), 0U);
  EXPECT_EQ(problem.positionOut.data, (std::vector<int64_t>{100, 200}));
}

TEST_F(CudaLibrary, RunsPackedSequences) {
  Problem problem(memory, {13, 0, 40, 1}, true, 2);
  DLTensor *in[] = {&problem.in.value, &problem.positionIn.value};
  DLTensor *out[] = {&problem.out.value, &problem.positionOut.value};
  seq_options options = SEQ_OPTIONS_INIT;
  options.flags = SEQ_UNSPLIT;
  options.carry_in = in;
  options.carry_out = out;
  options.carry_count = 2;
  options.cu_seqlens = &problem.ends.value;
  auto *forward = library.find<Forward>("decay_forward");
  ASSERT_EQ(forward(&problem.x.value, &problem.g.value, &problem.y.value, &options), SEQ_OK)
      << library.lastError();
  EXPECT_LT(problem.error(true), 1e-5);
  EXPECT_EQ(memory.unwrittenBytes("y"), 0U);
  EXPECT_EQ(problem.positionOut.data, (std::vector<int64_t>{13, 100, 240, 301}));
}

TEST_F(CudaLibrary, StepsWhereForwardGoes) {
  Problem problem(memory, {6, 6}, false, 2);
  Array<float> state(memory, "S", {2, 2, kSize}, gpu::BufferUse::InOut, kF32);
  Array<int64_t> position(memory, "p", {2}, gpu::BufferUse::InOut, kI64);
  state.data = problem.in.data;
  DLTensor *carry[] = {&state.value, &position.value};
  auto *step = library.find<Step>("decay_step");
  for (int64_t t = 0; t < 6; ++t) {
    // One token of the arrays: without the token dim, the same strides.
    int64_t xShape[] = {2, 2, kSize}, xStrides[] = {6 * 2 * kSize, kSize, 1};
    int64_t gShape[] = {2, 1}, gStrides[] = {6, 1};
    DLTensor x = problem.x.value, g = problem.g.value, y = problem.y.value;
    for (DLTensor *tensor : {&x, &y}) {
      tensor->ndim = 3;
      tensor->shape = xShape;
      tensor->strides = xStrides;
      tensor->byte_offset = static_cast<uint64_t>(t * 2 * kSize * 4);
    }
    g.ndim = 2;
    g.shape = gShape;
    g.strides = gStrides;
    g.byte_offset = static_cast<uint64_t>(t * 4);
    ASSERT_EQ(step(&x, &g, &y, carry, nullptr), SEQ_OK) << library.lastError();
  }
  problem.out.data = state.data;
  EXPECT_LT(problem.error(true), 1e-5);
  EXPECT_EQ(position.data, (std::vector<int64_t>{6, 6}));
}

TEST_F(CudaLibrary, TakesTheImageOfTheChip) {
  FakeCuda::get().devices = {{80, 108, true, true}};
  Problem problem(memory, {5, 5}, false, 2);
  auto *forward = library.find<Forward>("decay_forward");
  ASSERT_EQ(forward(&problem.x.value, &problem.g.value, &problem.y.value, nullptr), SEQ_OK)
      << library.lastError();
  EXPECT_LT(problem.error(false), 1e-5);
  // Neither form for sm_90a was even tried.
  EXPECT_EQ(FakeCuda::get().calls["cuLibraryLoadData"], 1);
}

TEST_F(CudaLibrary, PreparesAndReports) {
  auto *prepare = library.find<int(int32_t)>("decay_prepare");
  ASSERT_EQ(prepare(0), SEQ_OK) << library.lastError();
  EXPECT_EQ(FakeCuda::get().calls["cuLibraryGetKernel"], 4);
  EXPECT_EQ(prepare(3), SEQ_INVALID_DEVICE);
  FakeCuda::get().failures["cuLaunchKernel"] = 719;
  Problem problem(memory, {5, 5}, false, 2);
  auto *forward = library.find<Forward>("decay_forward");
  EXPECT_EQ(forward(&problem.x.value, &problem.g.value, &problem.y.value, nullptr),
            SEQ_DRIVER_ERROR);
  EXPECT_EQ(library.lastError(), "decay_forward: kernel scan of sm_80: the launch is refused: the "
                                 "CUDA driver says: a fake error (CUDA_ERROR_FAKE, 719)");
  FakeCuda::get().failures.clear();
}

TEST(CudaLibraryPlan, SaysInHeaderAndManifestWhatItIsFor) {
  auto code = std::make_shared<CodePlan>();
  code->kernels = {"scan", "summaries", "join", "advance"};
  LibraryPlan plan;
  plan.add(decayPlan(code));
  std::string manifest = manifestText(plan), header;
  EXPECT_NE(manifest.find("\"device\": \"cuda\""), std::string::npos) << manifest;
  EXPECT_NE(manifest.find("\"sm_80\""), std::string::npos) << manifest;
  llvm::raw_string_ostream os(header);
  writeHeader(plan, "decay", os);
  EXPECT_NE(header.find("SEQ_API int decay_prepare(int32_t device);"), std::string::npos) << header;
}

} // namespace
