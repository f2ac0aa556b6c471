//===- GpuEmulatorTest.cpp - what kernels compute, and what is wrong with some -----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/GpuEmulatorSupport.h"

#include "gtest/gtest.h"

#include <numeric>

using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

std::vector<float> numbers(size_t count, float first = 0) {
  std::vector<float> result(count);
  std::iota(result.begin(), result.end(), first);
  return result;
}

TEST(GpuEmulator, AddsVectorsWithATail) {
  Kernels kernels(kernelFile("basics.mlir"));
  for (int n : {1, 31, 64, 100}) {
    std::vector<float> a = numbers(n), b = numbers(n, 0.5), c(n, -1);
    GlobalMemory memory;
    uint64_t pa = memory.add("a", a, BufferUse::Input), pb = memory.add("b", b, BufferUse::Input);
    uint64_t pc = memory.add("c", c, BufferUse::Output);
    LaunchResult result =
        kernels.run("vector_add", {{2, 1, 1}, {64, 1, 1}}, {pa, pb, pc, n}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    EXPECT_EQ(memory.unwrittenBytes("c"), 0U);
    for (int i = 0; i < n; ++i)
      EXPECT_EQ(c[i], a[i] + b[i]);
  }
}

TEST(GpuEmulator, FindsAccessesOutsideOfBuffers) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<float> a = numbers(64), b = numbers(64), c(40);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input), pb = memory.add("b", b, BufferUse::Input);
  uint64_t pc = memory.add("c", c, BufferUse::Output);
  LaunchResult result =
      kernels.run("vector_add", {{1, 1, 1}, {64, 1, 1}}, {pa, pb, pc, 64}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  const Report &report = result.reports[0];
  EXPECT_EQ(report.kind, ReportKind::OutOfBounds);
  EXPECT_EQ(lineOf(report.site.location), kernels.lineOf("// store c"));
  EXPECT_EQ(report.site.thread.x, 40U);
  EXPECT_EQ(report.count, 24U);
  EXPECT_NE(report.message.find("bytes 160 to 163 of 'c', which has 160"), std::string::npos)
      << report.message;
}

TEST(GpuEmulator, TellsOpsOfOneLocationApart) {
  Kernels kernels(inModule(R"mlir(
llvm.func @kernel(%a: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %p1 = llvm.getelementptr %a[1] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %x = llvm.load %a : !llvm.ptr<1> -> f32 loc("here")
  %y = llvm.load %p1 : !llvm.ptr<1> -> f32 loc("here")
  llvm.return
})mlir"));
  std::vector<uint8_t> a(1);
  GlobalMemory memory;
  uint64_t address = memory.add("a", a, BufferUse::Input);
  LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {address}, memory);
  ASSERT_EQ(result.reports.size(), 2U) << result.text();
  EXPECT_EQ(result.reports[0].site.location, result.reports[1].site.location);
  EXPECT_LT(result.reports[0].site.instruction, result.reports[1].site.instruction);
  EXPECT_EQ(result.reports[1].count, 32U);
}

TEST(GpuEmulator, FindsWritesToInputsAndMisalignedAccesses) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<float> a = numbers(32), b = numbers(32), c(32);
  std::vector<uint8_t> bytes(32 * 4 + 4);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", bytes, BufferUse::Input) + 2;
  uint64_t pb = memory.add("b", b, BufferUse::Input);
  uint64_t pc = memory.add("c", c, BufferUse::Input);
  LaunchResult result =
      kernels.run("vector_add", {{1, 1, 1}, {32, 1, 1}}, {pa, pb, pc, 32}, memory);
  ASSERT_EQ(result.reports.size(), 2U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Misaligned);
  EXPECT_EQ(lineOf(result.reports[0].site.location), kernels.lineOf("// load a"));
  EXPECT_EQ(result.reports[1].kind, ReportKind::ReadOnly);
  EXPECT_EQ(lineOf(result.reports[1].site.location), kernels.lineOf("// store c"));
}

TEST(GpuEmulator, FindsBlocksThatWriteTheSame) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<float> a = numbers(64), out(64);
  GlobalMemory memory;
  uint64_t po = memory.add("out", out, BufferUse::Output);
  LaunchResult result = kernels.run("neighbour", {{2, 1, 1}, {64, 1, 1}, 256}, {po, 0}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Race);
  EXPECT_EQ(result.reports[0].block.x, 1U);
}

TEST(GpuEmulator, SumsABlock) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<float> a = numbers(768), sums(3);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input),
           ps = memory.add("sums", sums, BufferUse::Output);
  LaunchResult result = kernels.run("block_sum", {{3, 1, 1}, {256, 1, 1}}, {pa, ps}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(result.bankConflicts(), 0U);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(sums[i], std::accumulate(&a[i * 256], &a[i * 256] + 256, 0.0F));
}

TEST(GpuEmulator, FindsTheRaceBetweenPartialSums) {
  Kernels kernels(replaced(kernelFile("basics.mlir"), "nvvm.barrier // between partial sums", ""));
  std::vector<float> a = numbers(256), sums(1);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input),
           ps = memory.add("sums", sums, BufferUse::Output);
  LaunchResult result = kernels.run("block_sum", {{1, 1, 1}, {256, 1, 1}}, {pa, ps}, memory);
  // Warps run in turns, so here the first one reads before the others write; and lane 1 reads what
  // lane 0 of its own warp does not order, either.
  std::vector<ReportKind> kinds;
  bool hasRace = false;
  for (const Report &report : result.reports) {
    kinds.push_back(report.kind);
    if (report.kind != ReportKind::Race || !report.other)
      continue;
    hasRace = true;
    EXPECT_EQ(lineOf(report.site.location), kernels.lineOf("// store partial"));
    EXPECT_EQ(lineOf(report.other->location), kernels.lineOf("// load partial"));
    EXPECT_EQ(report.site.thread.x, 32U);
    EXPECT_EQ(report.other->thread.x, 1U);
  }
  EXPECT_TRUE(hasRace) << result.text();
  EXPECT_EQ(kinds, (std::vector{ReportKind::Uninitialised, ReportKind::Race})) << result.text();
}

TEST(GpuEmulator, MakesPrefixSumsWithShuffles) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<int32_t> a(64), out(64);
  std::iota(a.begin(), a.end(), -7);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input),
           po = memory.add("out", out, BufferUse::Output);
  LaunchResult result = kernels.run("prefix_sum", {{1, 1, 1}, {64, 1, 1}}, {pa, po}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  for (size_t i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], std::accumulate(&a[i / 32 * 32], &a[i] + 1, 0)) << i;
}

TEST(GpuEmulator, FindsReadsBeyondTheTile) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<float> out(64);
  GlobalMemory memory;
  uint64_t po = memory.add("out", out, BufferUse::Output);
  LaunchResult result = kernels.run("neighbour", {{1, 1, 1}, {64, 1, 1}, 256}, {po, 1}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::OutOfBounds);
  EXPECT_EQ(lineOf(result.reports[0].site.location), kernels.lineOf("// load neighbour"));
  EXPECT_EQ(result.reports[0].site.thread.x, 63U);
  // Behind the end of the tile, but in memory that the block has: nobody wrote it.
  result = kernels.run("neighbour", {{1, 1, 1}, {64, 1, 1}, 512}, {po, 1}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Uninitialised);
  EXPECT_EQ(result.reports[0].site.thread.x, 63U);
}

TEST(GpuEmulator, FindsTheRaceWithTheNeighbour) {
  std::vector<float> out(64);
  GlobalMemory memory;
  uint64_t po = memory.add("out", out, BufferUse::Output);
  std::string text = kernelFile("basics.mlir");
  const LaunchShape shape{{1, 1, 1}, {64, 1, 1}, 512};
  // bar.warp.sync orders the threads of a warp only.
  const std::string sync =
      "%all = llvm.mlir.constant(-1 : i32) : i32\n nvvm.bar.warp.sync %all : i32";
  Kernels without(replaced(text, "nvvm.barrier // before the neighbour", ""));
  Kernels warps(replaced(text, "nvvm.barrier // before the neighbour", sync));
  LaunchResult result = without.run("neighbour", shape, {po, 0}, memory);
  EXPECT_TRUE(result.isClean()) << result.text(); // a thread's own value
  result = without.run("neighbour", shape, {po, -1}, memory);
  ASSERT_FALSE(result.isClean());
  const Report &race = result.reports.back();
  EXPECT_EQ(race.kind, ReportKind::Race) << result.text();
  EXPECT_EQ(lineOf(race.site.location), without.lineOf("// load neighbour"));
  EXPECT_EQ(lineOf(race.other->location), without.lineOf("// store own"));
  result = warps.run("neighbour", shape, {po, -1}, memory);
  ASSERT_FALSE(result.isClean());
  EXPECT_EQ(result.reports.back().kind, ReportKind::Race) << result.text();
  EXPECT_EQ(result.reports.back().site.thread.x, 32U);
  EXPECT_EQ(result.reports.back().other->thread.x, 31U);
}

TEST(GpuEmulator, FindsShufflesThatNotAllLanesReach) {
  Kernels kernels(kernelFile("basics.mlir"));
  std::vector<int32_t> out(32);
  GlobalMemory memory;
  uint64_t po = memory.add("out", out, BufferUse::Output);
  LaunchResult result = kernels.run("divergent_shuffle", {{1, 1, 1}, {32, 1, 1}}, {po, 32}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  for (int i = 0; i < 32; ++i)
    EXPECT_EQ(out[i], i ^ 1);
  result = kernels.run("divergent_shuffle", {{1, 1, 1}, {32, 1, 1}}, {po, 20}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Divergence);
  EXPECT_EQ(lineOf(result.reports[0].site.location), kernels.lineOf("// divergent shuffle"));
  EXPECT_EQ(lineOf(result.reports[0].other->location), kernels.lineOf("// divergent end"));
  EXPECT_EQ(result.reports[0].other->thread.x, 20U);
}

TEST(GpuEmulator, FindsBarriersThatNeverComplete) {
  Kernels kernels(kernelFile("basics.mlir"));
  GlobalMemory memory;
  EXPECT_TRUE(kernels.run("deadlock", {{1, 1, 1}, {96, 1, 1}}, {3}, memory).isClean());
  LaunchResult result = kernels.run("deadlock", {{1, 1, 1}, {96, 1, 1}}, {2}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Deadlock);
  EXPECT_EQ(lineOf(result.reports[0].site.location), kernels.lineOf("// never complete"));
  EXPECT_EQ(lineOf(result.reports[0].other->location), kernels.lineOf("// early end"));
  EXPECT_EQ(result.reports[0].other->thread.x, 64U);
}

TEST(GpuEmulator, RefusesLaunchesThatNoDriverTakes) {
  Kernels kernels(kernelFile("basics.mlir"));
  GlobalMemory memory;
  auto message = [&](const LaunchShape &shape, std::initializer_list<Argument> arguments) {
    return llvm::toString(launch(kernels.get("deadlock"), shape, arguments, memory).takeError());
  };
  EXPECT_EQ(message({{1, 1, 1}, {2048, 1, 1}}, {1}),
            "kernel 'deadlock' cannot be launched: a grid of 1 blocks of 2048 threads");
  EXPECT_EQ(message({{1, 1, 1}, {32, 1, 1}}, {}),
            "kernel 'deadlock' cannot be launched: 0 arguments, but it has 1");
  EXPECT_EQ(message({{1, 1, 1}, {32, 1, 1}}, {int64_t(1)}),
            "kernel 'deadlock' cannot be launched: argument 0 has 8 bytes, but it takes 4");
  EXPECT_EQ(message({{1, 1, 1}, {32, 1, 1}, 240000}, {1}),
            "kernel 'deadlock' cannot be launched: 240000 bytes of shared memory");
}

} // namespace
