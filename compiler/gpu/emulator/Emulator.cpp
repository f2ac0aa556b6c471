//===- Emulator.cpp - runs GPU kernels on the CPU, and watches them ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Emulator.h"

#include "compiler/gpu/emulator/Machine.h"

#include <fmt/format.h>

namespace seqmix::gpu {
namespace {

constexpr uint32_t greatestBlock = 1024;
constexpr uint32_t greatestShared = 227 * 1024; // what a block can have on sm_90

llvm::Error refuse(const Program &program, std::string message) {
  return llvm::createStringError(
      fmt::format("kernel '{}' cannot be launched: {}", program.name, message));
}

llvm::Error checkShape(const Program &program, const LaunchShape &shape) {
  const Dim3 &block = shape.block;
  if (block.count() == 0 || block.count() > greatestBlock || shape.grid.count() == 0)
    return refuse(program, fmt::format("a grid of {} blocks of {} threads", shape.grid.count(),
                                       block.count()));
  const uint32_t extents[3] = {block.x, block.y, block.z};
  for (unsigned i = 0; i < 3; ++i)
    if (program.requiredThreads[i] && program.requiredThreads[i] != extents[i])
      return refuse(program, fmt::format("{} threads in dimension {}, but it is made for {}",
                                         extents[i], i, program.requiredThreads[i]));
  const uint32_t shared = program.staticShared - sharedBegin + shape.sharedBytes;
  if (shared > greatestShared)
    return refuse(program, fmt::format("{} bytes of shared memory", shared));
  return llvm::Error::success();
}

llvm::Error setArguments(Launch &launch, llvm::ArrayRef<Argument> arguments) {
  const Program &program = launch.program;
  if (arguments.size() != program.parameters.size())
    return refuse(program, fmt::format("{} arguments, but it has {}", arguments.size(),
                                       program.parameters.size()));
  for (auto [parameter, argument] : llvm::zip_equal(program.parameters, arguments)) {
    llvm::ArrayRef<uint8_t> data = argument.data();
    const uint32_t size = parameter.isByValue ? parameter.layout.size : parameter.layout.extent;
    if (data.size() != size)
      return refuse(program, fmt::format("{} has {} bytes, but it takes {}", parameter.name,
                                         data.size(), size));
    if (parameter.isByValue) {
      launch.constantData.resize(llvm::alignTo(launch.constantData.size(), 128));
      launch.arguments.push_back(
          {parameter.registers[0], constantBase + launch.constantData.size()});
      llvm::append_range(launch.constantData, data);
      continue;
    }
    for (auto [piece, index] : llvm::zip_equal(parameter.layout.pieces, parameter.registers)) {
      uint64_t bits = 0;
      std::memcpy(&bits, data.data() + piece.offset, piece.scalar.bytes());
      launch.arguments.push_back({index, bits & piece.scalar.mask()});
    }
  }
  return llvm::Error::success();
}

} // namespace

uint64_t LaunchResult::bankConflicts() const {
  uint64_t sum = 0;
  for (const OpBanks &op : banks)
    sum += op.use.conflicts();
  return sum;
}

std::string LaunchResult::text() const {
  std::string result;
  for (const Report &report : reports)
    result += report.text() + '\n';
  return result;
}

llvm::Expected<LaunchResult> launch(const Program &program, const LaunchShape &shape,
                                    llvm::ArrayRef<Argument> arguments, GlobalMemory &memory) {
  if (llvm::Error error = checkShape(program, shape))
    return std::move(error);
  Launch state{program, shape, memory, {}, program.constantData, {}, {}};
  state.banks.resize(program.code.size());
  if (llvm::Error error = setArguments(state, arguments))
    return std::move(error);
  memory.beginLaunch();
  uint32_t number = 0;
  for (uint32_t z = 0; z < shape.grid.z && !state.hasFailed; ++z)
    for (uint32_t y = 0; y < shape.grid.y && !state.hasFailed; ++y)
      for (uint32_t x = 0; x < shape.grid.x && !state.hasFailed; ++x)
        Block(state, {x, y, z}, number++).run();
  LaunchResult result;
  result.reports = state.log.take();
  result.instructions = state.instructions;
  for (auto [location, use] : llvm::zip_equal(program.locations, state.banks))
    if (use.phases)
      result.banks.push_back({location, use});
  return result;
}

} // namespace seqmix::gpu
