//===- GpuEmulatorFragmentsTest.cpp - mma.sync against the tables of the PTX ISA ---===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The places of elements are written here as the PTX ISA (9.7.14.5, "Matrix Fragments for ...")
// has them, element by element, and not as the emulator computes them.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Numbers.h"
#include "test/unit/GpuEmulatorSupport.h"

#include "gtest/gtest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

struct Place {
  unsigned row, column;
};

struct Shape {
  const char *element;
  unsigned k;
  bool isTf32;
  Place (*a)(unsigned lane, unsigned i);
  Place (*b)(unsigned lane, unsigned i);
};

/// The tests' names, else full of addresses.
void PrintTo(const Shape &shape, std::ostream *os) { *os << shape.element << ", k " << shape.k; }

// ".f16 and .bf16" of m16n8k16.
Place a16(unsigned lane, unsigned i) {
  unsigned groupId = lane >> 2, threadIdInGroup = lane % 4;
  unsigned row = i < 2 || (4 <= i && i < 6) ? groupId : groupId + 8;
  unsigned column = i < 4 ? (threadIdInGroup * 2) + (i & 1) : (threadIdInGroup * 2) + (i & 1) + 8;
  return {row, column};
}
Place b16(unsigned lane, unsigned i) {
  unsigned groupId = lane >> 2, threadIdInGroup = lane % 4;
  return {i < 2 ? (threadIdInGroup * 2) + (i & 1) : (threadIdInGroup * 2) + (i & 1) + 8, groupId};
}
// ".f16 and .bf16" of m16n8k8.
Place a8(unsigned lane, unsigned i) {
  unsigned groupId = lane >> 2, threadIdInGroup = lane % 4;
  return {i == 0 || i == 1 ? groupId : groupId + 8, threadIdInGroup * 2 + (i & 1)};
}
Place b8(unsigned lane, unsigned i) { return {(lane % 4 * 2) + i, lane >> 2}; }
// ".tf32" of m16n8k8 and m16n8k4.
Place aTf32(unsigned lane, unsigned i) {
  unsigned groupId = lane >> 2, threadIdInGroup = lane % 4;
  return {i == 0 || i == 2 ? groupId : groupId + 8,
          i == 0 || i == 1 ? threadIdInGroup : threadIdInGroup + 4};
}
Place bTf32(unsigned lane, unsigned i) { return {i == 0 ? lane % 4 : lane % 4 + 4, lane >> 2}; }
// Accumulators of all of them.
Place c(unsigned lane, unsigned i) {
  return {i < 2 ? lane >> 2 : (lane >> 2) + 8, (lane % 4 * 2) + (i & 1)};
}

/// A kernel that loads the registers of a lane, multiplies, and stores the sums.
std::string kernelFor(const Shape &shape) {
  const unsigned registersA = shape.isTf32 ? shape.k / 2 : shape.k / 4;
  const std::string type = std::string(shape.element) == "f16" ? "vector<2xf16>" : "i32";
  std::string body;
  auto load = [&](const char *name, unsigned count, const std::string &kind) {
    for (unsigned i = 0; i < count; ++i)
      body += fmt::format(
          "%at_{0}{1} = llvm.getelementptr %{0}[%t, {1}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, "
          "!llvm.array<{2} x i32>\n%{0}{1} = llvm.load %at_{0}{1} : !llvm.ptr<1> -> {3}\n",
          name, i, count, kind);
  };
  auto list = [](const char *name, unsigned count) {
    std::vector<std::string> names;
    for (unsigned i = 0; i < count; ++i)
      names.push_back(fmt::format("%{}{}", name, i));
    return fmt::format("{}", fmt::join(names, ", "));
  };
  load("a", registersA, type);
  load("b", registersA / 2, type);
  load("c", 4, "f32");
  body += fmt::format(
      "%d = nvvm.mma.sync A[{0}] B[{1}] C[{2}] {{layoutA = #nvvm.mma_layout<row>, "
      "layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<{3}>, "
      "multiplicandBPtxType = #nvvm.mma_type<{3}>, shape = #nvvm.shape<m = 16, n = 8, k = {4}>}} "
      ": ({5}, {5}, f32) -> !llvm.struct<(f32, f32, f32, f32)>\n",
      list("a", registersA), list("b", registersA / 2), list("c", 4), shape.element, shape.k, type);
  for (unsigned i = 0; i < 4; ++i)
    body += fmt::format(
        "%d{0} = llvm.extractvalue %d[{0}] : !llvm.struct<(f32, f32, f32, f32)>\n"
        "%to{0} = llvm.getelementptr %out[%t, {0}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, "
        "!llvm.array<4 x f32>\nllvm.store %d{0}, %to{0} : f32, !llvm.ptr<1>\n",
        i);
  return inModule(
      fmt::format("llvm.func @kernel(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>, "
                  "%out: !llvm.ptr<1>) attributes {{gpu.kernel, nvvm.kernel}} {{\n"
                  "%t = nvvm.read.ptx.sreg.tid.x : i32\n{}llvm.return\n}}\n",
                  body));
}

class Fragments : public ::testing::TestWithParam<Shape> {};

TEST_P(Fragments, AreWhereThePtxIsaSays) {
  const Shape &shape = GetParam();
  const unsigned perRegister = shape.isTf32 ? 1 : 2;
  const unsigned registersA = shape.isTf32 ? shape.k / 2 : shape.k / 4;
  // Small integers, exact in each format, no two rows or columns alike.
  auto valueA = [](unsigned row, unsigned column) {
    return float((row * row * 7 + column * 13 + row * column) % 61) - 30;
  };
  auto valueB = [](unsigned row, unsigned column) {
    return float((row * 11 + column * column * 3 + row * column * 5) % 53) - 26;
  };
  auto bits = [&](float value) -> uint32_t {
    if (shape.isTf32)
      return bitsOf(value);
    return std::string(shape.element) == "f16" ? singleToHalf(value) : singleToBrain(value);
  };
  std::vector<uint32_t> a(size_t(warpSize) * registersA), b(size_t(warpSize) * registersA / 2);
  std::vector<float> sums(128), results(128);
  auto fill = [&](std::vector<uint32_t> &words, Place (*place)(unsigned, unsigned), auto value) {
    const unsigned perLane = words.size() / warpSize * perRegister;
    for (unsigned lane = 0; lane < warpSize; ++lane)
      for (unsigned i = 0; i < perLane; ++i) {
        Place at = place(lane, i);
        words[(size_t(lane) * perLane + i) / perRegister] |= bits(value(at.row, at.column))
                                                             << (i % perRegister * 16);
      }
  };
  fill(a, shape.a, valueA);
  fill(b, shape.b, valueB);
  for (unsigned i = 0; i < 128; ++i)
    sums[i] = float(i);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input), pb = memory.add("b", b, BufferUse::Input);
  uint64_t pc = memory.add("c", sums, BufferUse::Input);
  uint64_t pd = memory.add("d", results, BufferUse::Output);
  Kernels kernels(kernelFor(shape));
  LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {pa, pb, pc, pd}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  for (unsigned lane = 0; lane < warpSize; ++lane)
    for (unsigned i = 0; i < 4; ++i) {
      Place at = c(lane, i);
      const size_t index = size_t(lane) * 4 + i;
      double expected = sums[index];
      for (unsigned k = 0; k < shape.k; ++k)
        expected += double(valueA(at.row, k)) * valueB(k, at.column);
      EXPECT_EQ(results[index], expected) << lane << ' ' << i;
    }
}

INSTANTIATE_TEST_SUITE_P(
    GpuEmulator, Fragments,
    ::testing::Values(Shape{"bf16", 16, false, a16, b16}, Shape{"bf16", 8, false, a8, b8},
                      Shape{"f16", 16, false, a16, b16}, Shape{"f16", 8, false, a8, b8},
                      Shape{"tf32", 8, true, aTf32, bTf32}, Shape{"tf32", 4, true, aTf32, bTf32}),
    [](const auto &info) {
      return std::string(info.param.element) + "k" + std::to_string(info.param.k);
    });

} // namespace
