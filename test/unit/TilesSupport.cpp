//===- TilesSupport.cpp - runs hand-written schedules --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/TilesSupport.h"

#include "compiler/cpu/Object.h"
#include "compiler/tiles/Tiles.h"
#include "dialect/Carry.h"
#include "runtime/Frame.h"
#include "test/unit/JitSupport.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

using namespace mlir;

namespace seqmix::test {

namespace {
struct AlignedBytes {
  explicit AlignedBytes(size_t size) : size(size) {
    data = std::aligned_alloc(64, (size + 127) / 64 * 64);
    // Values that show up when a kernel reads what it did not write.
    std::memset(data, 0xff, (size + 127) / 64 * 64);
  }
  AlignedBytes(const AlignedBytes &) = delete;
  ~AlignedBytes() { std::free(data); }
  void *data;
  size_t size;
};

seq::MixerOp mixerOf(ModuleOp module) { return *module.getOps<seq::MixerOp>().begin(); }
} // namespace

struct KernelHarness::Impl {
  std::unique_ptr<MLIRContext> context = makeJitContext();
  std::unique_ptr<llvm::orc::LLJIT> jit;
  llvm::StringMap<int64_t> tensors, outputs, carries;
  std::vector<int64_t> frame;
  std::string tiles;
  int64_t scratchBytes = 0, sharedBytes = 0, sequenceBytes = 0;
  void (*shared)(const int64_t *) = nullptr;
  void (*forward)(const int64_t *) = nullptr;
  std::unique_ptr<AlignedBytes> scratch, sharedData, sequence;
  llvm::StringMap<int64_t> ranks;
};

KernelHarness::KernelHarness(llvm::StringRef text, TargetLevel level)
    : impl(std::make_unique<Impl>()) {
  auto source = parseModule(*impl->context, text);
  auto mixer = mixerOf(*source);
  auto builder = OpBuilder(impl->context.get());
  OwningOpRef<ModuleOp> module(ModuleOp::create(builder.getUnknownLoc()));
  TargetInfo target = targetInfo(level);
  if (failed(emitTiles(mixer, target, *module)) || failed(verify(*module)))
    llvm::report_fatal_error("the kernel of the test has no code");
  llvm::raw_string_ostream(impl->tiles) << *module;
  auto object = llvm::cantFail(compileToObject(*module, target));
  impl->jit = llvm::cantFail(llvm::orc::LLJITBuilder()
                                 .setLinkProcessSymbolsByDefault(false)
                                 .setPlatformSetUp(llvm::orc::setUpInactivePlatform)
                                 .create());
  llvm::orc::SymbolMap symbols;
  auto define = [&](StringRef name, void *address) {
    symbols[impl->jit->mangleAndIntern(name)] = {llvm::orc::ExecutorAddr::fromPtr(address),
                                                 llvm::JITSymbolFlags::Exported};
  };
  define("memcpy", reinterpret_cast<void *>(&std::memcpy));
  define("memmove", reinterpret_cast<void *>(&std::memmove));
  define("memset", reinterpret_cast<void *>(&std::memset));
  llvm::cantFail(
      impl->jit->getMainJITDylib().define(llvm::orc::absoluteSymbols(std::move(symbols))));
  llvm::cantFail(
      impl->jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(object.bytes, "kernels.o")));
  for (auto function : module->getOps<func::FuncOp>()) {
    auto address = llvm::cantFail(impl->jit->lookup(function.getName()));
    bool isShared = function.getName().ends_with(".shared");
    (isShared ? impl->shared : impl->forward) = address.toPtr<void (*)(const int64_t *)>();
    auto bytes = [&](StringRef name) {
      return cast<IntegerAttr>(function->getAttr(name)).getInt();
    };
    impl->scratchBytes = bytes(kScratchBytes);
    impl->sharedBytes = bytes(kSharedBytes);
    impl->sequenceBytes = bytes(kSequenceBytes);
  }

  // The frame's layout, as runtime/Frame.h describes it.
  int64_t slot = SEQ_FRAME_FIRST;
  for (auto tensor : mixer.getOps<seq::TensorOp>()) {
    impl->tensors[tensor.getSymName()] = slot;
    slot += 2 + tensor.getDims().size();
  }
  for (auto output : mixer.getOps<seq::OutputOp>()) {
    impl->outputs[output.getSource()] = slot;
    Operation *declared = SymbolTable::lookupSymbolIn(mixer, output.getSourceAttr().getAttr());
    auto dims = declared->getAttrOfType<ArrayAttr>("dims");
    slot += 2 + dims.size() + isa<seq::StateOp>(declared);
  }
  for (auto &component : carryComponents(mixer)) {
    impl->carries[component.name] = slot;
    slot += 4;
  }
  impl->frame.assign(slot, 0);
  impl->frame[SEQ_FRAME_BLOCK] = 1;
  impl->scratch = std::make_unique<AlignedBytes>(impl->scratchBytes);
  impl->sharedData = std::make_unique<AlignedBytes>(impl->sharedBytes);
}

KernelHarness::~KernelHarness() = default;
const std::string &KernelHarness::tiles() const { return impl->tiles; }

void KernelHarness::slot(int number, int64_t value) { impl->frame[number] = value; }

void KernelHarness::tensor(llvm::StringRef name, const void *data, llvm::ArrayRef<int64_t> strides,
                           int64_t blockStride) {
  int64_t slot = impl->tensors.at(name);
  impl->frame[slot] = reinterpret_cast<int64_t>(data);
  impl->frame[slot + 1] = blockStride;
  llvm::copy(strides, impl->frame.begin() + slot + 2);
}

void KernelHarness::output(llvm::StringRef name, void *data, llvm::ArrayRef<int64_t> strides,
                           int64_t blockStride) {
  int64_t slot = impl->outputs.at(name);
  impl->frame[slot] = reinterpret_cast<int64_t>(data);
  impl->frame[slot + 1] = blockStride;
  llvm::copy(strides, impl->frame.begin() + slot + 2);
}

void KernelHarness::carry(llvm::StringRef name, const void *from, void *to, int64_t fromStride,
                          int64_t toStride) {
  int64_t slot = impl->carries.at(name);
  impl->frame[slot] = reinterpret_cast<int64_t>(from);
  impl->frame[slot + 1] = reinterpret_cast<int64_t>(to);
  impl->frame[slot + 2] = fromStride;
  impl->frame[slot + 3] = toStride;
}

void KernelHarness::run(int64_t tokens, int64_t position) {
  FlushDenormals flush;
  impl->sequence =
      std::make_unique<AlignedBytes>((tokens + SEQ_SEQUENCE_EDGE) * impl->sequenceBytes);
  auto &frame = impl->frame;
  frame[SEQ_FRAME_TOKENS] = tokens;
  frame[SEQ_FRAME_POSITION] = position;
  frame[SEQ_FRAME_LENGTH] = tokens + position;
  frame[SEQ_FRAME_SCRATCH] = reinterpret_cast<int64_t>(impl->scratch->data);
  frame[SEQ_FRAME_SHARED] = reinterpret_cast<int64_t>(impl->sharedData->data);
  frame[SEQ_FRAME_SEQUENCE] = reinterpret_cast<int64_t>(impl->sequence->data);
  if (impl->shared)
    impl->shared(frame.data());
  impl->forward(frame.data());
}

double KernelHarness::time(int64_t tokens, int repetitions) {
  if (repetitions > 1 || impl->shared)
    run(tokens); // warms up
  impl->frame[SEQ_FRAME_TOKENS] = impl->frame[SEQ_FRAME_LENGTH] = tokens;
  impl->frame[SEQ_FRAME_SCRATCH] = reinterpret_cast<int64_t>(impl->scratch->data);
  FlushDenormals flush;
  double best = 1e30;
  for (int number = 0; number < repetitions; ++number) {
    auto begin = std::chrono::steady_clock::now();
    impl->forward(impl->frame.data());
    std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
    best = std::min(best, taken.count());
  }
  return best;
}

std::string tilesError(llvm::StringRef text) {
  auto context = makeJitContext();
  auto source = parseModule(*context, text);
  OwningOpRef<ModuleOp> module(ModuleOp::create(UnknownLoc::get(context.get())));
  std::string messages;
  ScopedDiagnosticHandler handler(context.get(), [&](Diagnostic &diagnostic) {
    messages += diagnostic.str() + "\n";
    return success();
  });
  if (succeeded(emitTiles(mixerOf(*source), targetInfo(TargetLevel::Native), *module)))
    return "";
  return messages;
}

std::vector<double> randomReals(size_t count, double low, double high, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> distribution(low, high);
  std::vector<double> values(count);
  std::generate(values.begin(), values.end(), [&] { return distribution(engine); });
  return values;
}

} // namespace seqmix::test
