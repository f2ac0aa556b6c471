//===- CudaMixersTest.cpp - examples compiled for GPUs, on the emulator ------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Every example that is lowered for CUDA and every file of test/gpu/{lanes,pairs,parts} is
// compiled to a library and called in all the ways that `seq-run check` knows, for the cases in its
// file, against the oracle: in one piece, and cut into three segments. The driver is a fake that
// gives launches to the emulator, which must have nothing to report.
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline.h"
#include "compiler/gpu/emulator/Emulator.h"
#include "compiler/gpu/kernels/Device.h"
#include "compiler/parse/Cases.h"
#include "test/gpu/driver/FakeCuda.h"
#include "tools/seq-run/Session.h"
#include "tools/seq-run/Trial.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <deque>
#include <map>

using namespace seqmix;
using namespace seqmix::run;
using namespace seqmix::test;

namespace {

/// The examples that must be lowered, without their folders and ".seq".
constexpr llvm::StringLiteral kLowered[] = {
    "aaren",
    "additive_attention",
    "alibi",
    "ar_net",
    "attention_sinks",
    "based_attention",
    "block_causal_attention",
    "block_diagonal_matrix",
    "butterfly_matrix",
    "cauchy_matrix",
    "causal_attention",
    "comba",
    "combiner_fixed",
    "cross_attention",
    "deltanet",
    "deltanet_negative",
    "deltaproduct",
    "dense_matrix",
    "dilated_attention",
    "document_attention",
    "dsa",
    "elman",
    "flash_gau",
    "fox",
    "full_attention",
    "gated_deltanet",
    "gau",
    "gla",
    "grouped_query_attention",
    "gru",
    "gsa",
    "hgrn",
    "hgrn2",
    "hstu",
    "hydra",
    "infllm",
    "informer",
    "jrt",
    "kda",
    "lama",
    "landmark_attention",
    "liger",
    "lightnet",
    "lightning",
    "linear_attention",
    "linear_attention_normalised",
    "linformer",
    "local_global_attention",
    "long_vq",
    "longhorn",
    "low_rank_matrix",
    "lru",
    "lstm",
    "ltsf_dlinear",
    "ltsf_nlinear",
    "mamba",
    "mamba2",
    "mega_attention",
    "mega_ema",
    "mingru",
    "minlstm",
    "mla",
    "mlstm",
    "moba",
    "monarch_matrix",
    "nsa",
    "paged_attention",
    "paragru",
    "paralstm",
    "performer",
    "performer_relu",
    "pointer_network",
    "prefix_attention",
    "qrnn",
    "recycled_attention",
    "relative_key_attention",
    "retnet",
    "rglru",
    "rope_attention",
    "rope_ntk",
    "rope_position_interpolation",
    "rope_truncated",
    "routing_attention",
    "rwkv4",
    "rwkv6",
    "rwkv7",
    "rwkv_channel_mix",
    "s4d",
    "s5_resets",
    "semiseparable_matrix",
    "seqboat",
    "set_prompting",
    "short_convolution",
    "sigmoid_attention",
    "simple_gla",
    "sliding_window_attention",
    "slstm",
    "softcap_attention",
    "sru",
    "sru_recurrent_gates",
    "streaming_attention",
    "strided_attention",
    "t5_attention",
    "t5_encoder_attention",
    "tcn_block",
    "urpe",
    "vandermonde_matrix",
    "vq_attention",
};

/// Those whose forward pass must take blocks of tokens in at least one case.
constexpr llvm::StringLiteral kInBlocks[] = {
    "columns",
    "comba",
    "cut_blocks",
    "deltanet",
    "deltanet_negative",
    "deltaproduct",
    "gated_deltanet",
    "gla",
    "gsa",
    "hgrn2",
    "kda",
    "lightnet",
    "lightning",
    "linear_attention",
    "linear_attention_normalised",
    "mamba2",
    "many_rows",
    "mlstm",
    "performer_relu",
    "retnet",
    "rwkv6",
    "rwkv7",
    "simple_gla",
    "slices",
    "states",
};

/// Those of them whose sequences must be cut in at least one case.
constexpr llvm::StringLiteral kCutInBlocks[] = {
    "comba",     "cut_blocks", "cut_dense", "deltanet",  "deltaproduct",     "gated_deltanet",
    "gla",       "hgrn2",      "kda",       "lightning", "linear_attention", "mamba2",
    "many_rows", "retnet",     "rwkv6",     "rwkv7",     "simple_gla",       "slices",
};

/// The lowered kernels of a mixer, ready for the emulator.
class Kernels {
public:
  static std::string compile(Kernels &kernels, const SourceFile &source, const Options &options) {
    std::string errors;
    llvm::raw_string_ostream os(errors);
    kernels.context = createContext();
    auto module = importForTarget(source, options.sizes[0], options, *kernels.context, os);
    if (!module)
      return errors;
    mlir::ScopedDiagnosticHandler handler(kernels.context.get(), [&](mlir::Diagnostic &diagnostic) {
      os << diagnostic.str() << "\n";
      return mlir::success();
    });
    std::map<std::string, MixerPlan> plans;
    for (auto mixer : module->getOps<mlir::seq::MixerOp>())
      if (auto plan = planMixer(mixer); succeeded(plan))
        plans[mixer.getSymName().str()] = std::move(*plan);
    if (failed(runStructure(*module, options)))
      return errors;
    auto lowered =
        gpu::emitDeviceKernels(*module, [&](mlir::seq::MixerOp mixer) -> const MixerPlan & {
          return plans.at(mixer.getSymName().str());
        });
    if (failed(lowered) || failed(gpu::lowerDeviceKernels(*lowered)))
      return errors;
    kernels.lowered = std::move(*lowered);
    kernels.lowered.kernels()->walk([&](mlir::LLVM::LLVMFuncOp function) {
      if (function.isExternal() || !function->hasAttr("nvvm.kernel"))
        return;
      auto program = gpu::compileKernel(function);
      if (succeeded(program))
        kernels.programs[function.getName().str()] = std::move(*program);
    });
    return errors;
  }

  const gpu::Program *find(const std::string &name) const {
    auto found = programs.find(name);
    return found == programs.end() ? nullptr : found->second.get();
  }

  /// Whether calls of a mixer may cut sequences.
  bool hasSegments(const std::string &mixer) const { return find(mixer + "_scan"); }

private:
  std::unique_ptr<mlir::MLIRContext> context;
  gpu::DeviceKernels lowered;
  std::map<std::string, std::unique_ptr<gpu::Program>> programs;
};

/// Memory of the process under addresses of a device, and launches on the emulator.
class EmulatedDevice : public CallDevice {
public:
  explicit EmulatedDevice(const Kernels &kernels) : kernels(kernels) {
    FakeCuda::get().onLaunch = [this](const FakeLaunch &launch) { return emulate(launch); };
  }
  ~EmulatedDevice() override { FakeCuda::get().onLaunch = nullptr; }

  DLTensor *enter(DLTensor *tensor) override {
    int64_t last = 0;
    bool isEmpty = false;
    for (int32_t axis = 0; axis < tensor->ndim; ++axis) {
      isEmpty |= tensor->shape[axis] == 0;
      last += (tensor->shape[axis] - 1) * tensor->strides[axis];
    }
    const int64_t size = tensor->dtype.bits / 8;
    auto *data = static_cast<uint8_t *>(tensor->data) + tensor->byte_offset;
    DLTensor &copy = copies.emplace_back(*tensor);
    copy.device = {kDLCUDA, 0};
    copy.byte_offset = 0;
    copy.data = addressOf(data, isEmpty ? 0 : static_cast<size_t>((last + 1) * size));
    return &copy;
  }

  void *enterWorkspace(void *data, size_t bytes) override {
    return addressOf(static_cast<uint8_t *>(data), bytes);
  }

  llvm::Error finish() override {
    copies.clear();
    addresses.clear();
    memory = gpu::GlobalMemory();
    FakeCuda::get().launches.clear();
    if (reports.empty())
      return llvm::Error::success();
    return llvm::createStringError("the emulator reports: " + std::exchange(reports, ""));
  }

  size_t launches = 0;

private:
  const Kernels &kernels;
  gpu::GlobalMemory memory;
  std::deque<DLTensor> copies;
  std::map<uint8_t *, void *> addresses;
  std::string reports;

  void *addressOf(uint8_t *data, size_t bytes) {
    void *&address = addresses[data];
    if (!address)
      address = std::bit_cast<void *>(memory.add("memory " + std::to_string(addresses.size()),
                                                 {data, bytes}, gpu::BufferUse::InOut));
    return address;
  }

  int emulate(const FakeLaunch &one) {
    ++launches;
    const gpu::Program *program = kernels.find(one.kernel);
    if (!program) {
      reports += "no kernel '" + one.kernel + "'";
      return 1;
    }
    std::vector<gpu::Argument> arguments;
    for (auto [index, parameter] : llvm::enumerate(program->parameters)) {
      uint32_t size = parameter.isByValue ? parameter.layout.size : parameter.layout.extent;
      arguments.push_back(gpu::Argument::ofBytes(
          {static_cast<const uint8_t *>(one.arguments[index]), size_t(size)}));
    }
    gpu::LaunchShape shape;
    shape.grid = {one.grid[0], one.grid[1], one.grid[2]};
    shape.block = {one.block[0], one.block[1], one.block[2]};
    shape.sharedBytes = one.sharedBytes;
    memory.beginLaunch();
    auto result = gpu::launch(*program, shape, arguments, memory);
    if (!result) {
      reports += llvm::toString(result.takeError());
      return 1;
    }
    reports += result->text();
    return 0;
  }
};

/// The files of the repository's examples, of mixers that were written after the compiler, and of
/// what else must be lowered.
std::vector<std::string> examples() {
  std::vector<std::string> paths;
  std::error_code code;
  for (const char *folder : {SEQMIX_EXAMPLES, SEQMIX_NEW_MIXERS, SEQMIX_GPU_MIXERS "/lanes",
                             SEQMIX_GPU_MIXERS "/pairs", SEQMIX_GPU_MIXERS "/parts"})
    for (llvm::sys::fs::recursive_directory_iterator it(folder, code), end; it != end;
         it.increment(code))
      if (llvm::sys::path::extension(it->path()) == ".seq")
        paths.push_back(it->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string nameOfExample(const std::string &path) { return llvm::sys::path::stem(path).str(); }

/// With its folder's, as files of several folders may have one name.
std::string nameOfTest(const std::string &path) {
  std::string folder = llvm::sys::path::filename(llvm::sys::path::parent_path(path)).str();
  std::replace(folder.begin(), folder.end(), '-', '_');
  return folder + "_" + nameOfExample(path);
}

bool mustBeLowered(const std::string &path) {
  return llvm::StringRef(path).starts_with(SEQMIX_GPU_MIXERS) ||
         llvm::is_contained(kLowered, nameOfExample(path));
}

class CudaMixers : public ::testing::TestWithParam<std::string> {};

void runTrial(const Trial &trial, const CompiledMixer &mixer) {
  for (const Outcome &outcome : trial.run(mixer).outcomes)
    EXPECT_TRUE(outcome.passed) << outcome.way << ": " << outcome.detail;
}

TEST_P(CudaMixers, AgreeWithTheOracle) {
  // Machine code is another test's.
  setenv("SEQMIX_PTXAS", "", 1);
  auto buffer = llvm::MemoryBuffer::getFile(GetParam());
  ASSERT_TRUE(bool(buffer));
  SourceFile source(llvm::sys::path::filename(GetParam()).str(), (*buffer)->getBuffer().str());
  Diagnostics diagnostics;
  std::vector<CaseLine> cases = parseCases(source, diagnostics);
  ASSERT_FALSE(cases.empty()) << diagnostics.render();
  TemporaryDirectory folder;
  size_t number = 0, blocks = 0, cutBlocks = 0;
  for (const CaseLine &line : cases) {
    SCOPED_TRACE(source.text(line.range).str());
    Options options;
    options.target = Target::Cuda;
    options.chips = {"sm_80"};
    options.sizes = {line.overrides};
    options.dtype = line.dtype == ast::DType::Default ? ast::DType::F32 : line.dtype;
    options.runtimeDirectory = SEQMIX_RUNTIME_DIRECTORY;
    Kernels kernels;
    std::string errors = Kernels::compile(kernels, source, options);
    // Whether others are lowered depends on their sizes.
    if (!errors.empty() && !mustBeLowered(GetParam())) {
      EXPECT_NE(errors.find("not lowered for CUDA yet: "), std::string::npos) << errors;
      continue;
    }
    ASSERT_EQ(errors, "");
    auto library = compileAndLoad(source, options, folder.file(std::to_string(number++) + ".so"));
    ASSERT_TRUE(bool(library)) << llvm::toString(library.takeError());
    auto imported =
        importForTrial(source, line.overrides, options.dtype, Sums::Linear, Target::Cuda);
    ASSERT_TRUE(bool(imported)) << llvm::toString(imported.takeError());
    Problem problem;
    problem.mixer = imported->find(line.mixer);
    auto plan = planMixer(problem.mixer);
    ASSERT_TRUE(succeeded(plan));
    problem.plan = std::move(*plan);
    problem.name = line.mixer;
    problem.sizes = line.sizes;
    problem.lengths = line.lengths;
    problem.hasRandomCarry = line.randomCarry;
    problem.extreme = line.extreme;
    auto trial = Trial::prepare(problem);
    ASSERT_TRUE(bool(trial)) << llvm::toString(trial.takeError());
    auto mixer = CompiledMixer::find(*library, line.mixer);
    ASSERT_TRUE(bool(mixer)) << llvm::toString(mixer.takeError());
    EmulatedDevice device(kernels);
    mixer->useDevice(&device);
    runTrial(*trial, *mixer);
    EXPECT_GT(device.launches, 0U);
    // Where a forward pass takes blocks, steps have a kernel of their own.
    blocks += kernels.find(line.mixer + "_step") != nullptr;
    if (!kernels.hasSegments(line.mixer))
      continue;
    cutBlocks += kernels.find(line.mixer + "_step") != nullptr;
    const size_t before = std::exchange(device.launches, 0);
    setenv("SEQMIX_SEGMENTS", "3", 1);
    runTrial(*trial, *mixer);
    unsetenv("SEQMIX_SEGMENTS");
    EXPECT_GT(device.launches, before);
  }
  if (llvm::is_contained(kInBlocks, nameOfExample(GetParam())))
    EXPECT_GT(blocks, 0U);
  if (llvm::is_contained(kCutInBlocks, nameOfExample(GetParam())))
    EXPECT_GT(cutBlocks, 0U);
}

INSTANTIATE_TEST_SUITE_P(Examples, CudaMixers, ::testing::ValuesIn(examples()),
                         [](const auto &info) { return nameOfTest(info.param); });

} // namespace
