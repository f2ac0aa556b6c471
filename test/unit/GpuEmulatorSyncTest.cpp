//===- GpuEmulatorSyncTest.cpp - barriers, masks and copies ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/GpuEmulatorSupport.h"

#include "gtest/gtest.h"

using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

/// The first warp writes, arrives and goes on; the second waits and reads; the third is not asked.
constexpr const char *producer = R"mlir(
llvm.mlir.global internal @tile() {addr_space = 3 : i32} : !llvm.array<32 x i32>
llvm.func @kernel(%out: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c5 = llvm.mlir.constant(5 : i32) : i32
  %c31 = llvm.mlir.constant(31 : i32) : i32
  %c64 = llvm.mlir.constant(64 : i32) : i32
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %lane = llvm.and %t, %c31 : i32
  %warp = llvm.lshr %t, %c5 : i32
  %other = llvm.sub %c31, %lane : i32
  %tile = llvm.mlir.addressof @tile : !llvm.ptr<3>
  %mine = llvm.getelementptr %tile[0, %lane] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x i32>
  %theirs = llvm.getelementptr %tile[0, %other] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x i32>
  llvm.switch %warp : i32, ^end [
    0: ^produce,
    1: ^consume
  ]
^produce:
  llvm.store %t, %mine : i32, !llvm.ptr<3> // produce
  nvvm.barrier.arrive id = %c1 number_of_threads = %c64
  llvm.br ^end // behind the arrival
^consume:
  nvvm.barrier id = %c1 number_of_threads = %c64 // wait for it
  %x = llvm.load %theirs : !llvm.ptr<3> -> i32 // consume
  %p = llvm.getelementptr %out[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
  llvm.store %x, %p : i32, !llvm.ptr<1>
  llvm.br ^end
^end:
  llvm.return
})mlir";

LaunchResult runProducer(Kernels &kernels, std::vector<int32_t> &out) {
  out.assign(32, -1);
  GlobalMemory memory;
  uint64_t address = memory.add("out", out, BufferUse::Output);
  return kernels.run("kernel", {{1, 1, 1}, {96, 1, 1}}, {address}, memory);
}

/// Blocks count themselves in a word that all of them read; the last one writes it.
std::string countingBlocks(const std::string &ordering) {
  return inModule(R"mlir(
llvm.func @kernel(%word: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %one = llvm.mlir.constant(4294967296 : i64) : i64
  %low = llvm.mlir.constant(4294967295 : i64) : i64
  %shift = llvm.mlir.constant(32 : i64) : i64
  %last = llvm.mlir.constant(3 : i64) : i64
  %read = llvm.load %word )mlir" +
                  ordering + R"mlir( {alignment = 8 : i64} : !llvm.ptr<1> -> i64 // read
  %own = llvm.and %read, %low : i64
  %old = llvm.atomicrmw add %word, %one monotonic : !llvm.ptr<1>, i64
  %earlier = llvm.lshr %old, %shift : i64
  %isLast = llvm.icmp "eq" %earlier, %last : i64
  llvm.cond_br %isLast, ^write, ^end
^write:
  %next = llvm.add %own, %last : i64
  llvm.store %next, %word atomic monotonic {alignment = 8 : i64} : i64, !llvm.ptr<1>
  llvm.br ^end
^end:
  llvm.return
})mlir");
}

TEST(GpuEmulatorSync, AtomicAccessesOfBlocksDoNotRace) {
  for (bool isAtomic : {true, false}) {
    Kernels kernels(countingBlocks(isAtomic ? "atomic monotonic" : ""));
    std::vector<int64_t> word = {40};
    GlobalMemory memory;
    uint64_t address = memory.add("word", word, BufferUse::InOut);
    LaunchResult result = kernels.run("kernel", {{4, 1, 1}, {1, 1, 1}}, {address}, memory);
    EXPECT_EQ(word[0], 43);
    EXPECT_EQ(result.isClean(), isAtomic) << result.text();
    if (!isAtomic)
      EXPECT_NE(result.text().find("another block of the same launch"), std::string::npos)
          << result.text();
  }
}

TEST(GpuEmulatorSync, NamedBarriersOrderThoseWhoCome) {
  Kernels kernels(inModule(producer));
  std::vector<int32_t> out;
  LaunchResult result = runProducer(kernels, out);
  EXPECT_TRUE(result.isClean()) << result.text();
  for (int lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], 31 - lane);
}

TEST(GpuEmulatorSync, WhatComesBehindAnArrivalIsNotOrdered) {
  Kernels kernels(inModule(replaced(producer, "llvm.br ^end // behind the arrival",
                                    "llvm.store %t, %mine : i32, !llvm.ptr<3> // too late\n"
                                    "llvm.br ^end")));
  std::vector<int32_t> out;
  LaunchResult result = runProducer(kernels, out);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Race);
  EXPECT_EQ(lineOf(result.reports[0].site.location), kernels.lineOf("// consume"));
  EXPECT_EQ(lineOf(result.reports[0].other->location), kernels.lineOf("// too late"));
}

TEST(GpuEmulatorSync, FindsBarriersWithOtherNumbersOfThreads) {
  Kernels more(inModule(replaced(producer, "%c64 = llvm.mlir.constant(64 : i32) : i32",
                                 "%c64 = llvm.mlir.constant(96 : i32) : i32")));
  std::vector<int32_t> out;
  LaunchResult result = runProducer(more, out);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Deadlock);
  EXPECT_EQ(lineOf(result.reports[0].site.location), more.lineOf("// wait for it"));
  Kernels uneven(inModule(replaced(producer, "%c64 = llvm.mlir.constant(64 : i32) : i32",
                                   "%c64 = llvm.mlir.constant(60 : i32) : i32")));
  result = runProducer(uneven, out);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Divergence);
  EXPECT_EQ(result.reports[0].message, "60 threads cannot meet at a barrier");
}

TEST(GpuEmulatorSync, BarriersReduce) {
  Kernels kernels(inModule(R"mlir(
llvm.func @kernel(%out: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %rest = llvm.urem %t, %c3 : i32
  %is = llvm.icmp "eq" %rest, %c0 : i32
  %i = llvm.zext %is : i1 to i32
  %r = nvvm.barrier #nvvm.reduction<popc> %i -> i32
  %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
  llvm.store %r, %p : i32, !llvm.ptr<1>
  llvm.return
})mlir"));
  std::vector<int32_t> out(80);
  GlobalMemory memory;
  uint64_t address = memory.add("out", out, BufferUse::Output);
  // The last warp has half of its threads.
  LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {80, 1, 1}}, {address}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(out, std::vector<int32_t>(80, 27));
}

/// Lanes exchange through shared memory with a sync of `mask` between.
LaunchResult exchange(int32_t mask, int32_t distance, std::vector<int32_t> &out) {
  Kernels kernels(inModule(R"mlir(
llvm.mlir.global internal @tile() {addr_space = 3 : i32} : !llvm.array<32 x i32>
llvm.func @kernel(%out: !llvm.ptr<1>, %mask: i32, %distance: i32) attributes {gpu.kernel, nvvm.kernel} {
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %tile = llvm.mlir.addressof @tile : !llvm.ptr<3>
  %mine = llvm.getelementptr %tile[0, %t] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x i32>
  %other = llvm.xor %t, %distance : i32
  %theirs = llvm.getelementptr %tile[0, %other] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x i32>
  llvm.store %t, %mine : i32, !llvm.ptr<3>
  %own = llvm.shl %c1, %t : i32
  %named = llvm.and %own, %mask : i32
  %zero = llvm.mlir.constant(0 : i32) : i32
  %isNamed = llvm.icmp "ne" %named, %zero : i32
  llvm.cond_br %isNamed, ^sync, ^end
^sync:
  nvvm.bar.warp.sync %mask : i32
  %x = llvm.load %theirs : !llvm.ptr<3> -> i32
  %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
  llvm.store %x, %p : i32, !llvm.ptr<1>
  llvm.br ^end
^end:
  llvm.return
})mlir"));
  out.assign(32, -1);
  GlobalMemory memory;
  uint64_t address = memory.add("out", out, BufferUse::Output);
  return kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {address, mask, distance}, memory);
}

TEST(GpuEmulatorSync, SyncsOfPartOfAWarp) {
  std::vector<int32_t> out;
  LaunchResult result = exchange(0xff, 4, out);
  EXPECT_TRUE(result.isClean()) << result.text();
  for (int lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], lane < 8 ? lane ^ 4 : -1);
  // Lane 8 + i is not among the eight that met.
  result = exchange(0xff, 8, out);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Race);
  EXPECT_EQ(result.reports[0].site.thread.x, 0U);
  EXPECT_EQ(result.reports[0].other->thread.x, 8U);
}

TEST(GpuEmulatorSync, FindsThreadsOutsideOfTheMask) {
  Kernels kernels(inModule(R"mlir(
llvm.func @kernel() attributes {gpu.kernel, nvvm.kernel} {
  %mask = llvm.mlir.constant(255 : i32) : i32
  nvvm.bar.warp.sync %mask : i32
  llvm.return
})mlir"));
  GlobalMemory memory;
  LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {}, memory);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Divergence);
  EXPECT_EQ(result.reports[0].site.thread.x, 8U);
}

/// Copies 16 bytes a thread, of which those in front of `count` floats are read.
constexpr const char *copyTail = R"mlir(
llvm.mlir.global internal @tile() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<128 x f32>
llvm.func @kernel(%a: !llvm.ptr<1>, %out: !llvm.ptr<1>, %count: i32) attributes {gpu.kernel, nvvm.kernel} {
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c2 = llvm.mlir.constant(2 : i32) : i32
  %c16 = llvm.mlir.constant(16 : i32) : i32
  %c31 = llvm.mlir.constant(31 : i32) : i32
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %tile = llvm.mlir.addressof @tile : !llvm.ptr<3>
  %first = llvm.shl %t, %c2 : i32
  %left = llvm.sub %count, %first : i32
  %leftBytes = llvm.shl %left, %c2 : i32
  %most = llvm.intr.smin(%leftBytes, %c16) : (i32, i32) -> i32
  %bytes = llvm.intr.smax(%most, %c0) : (i32, i32) -> i32
  %to = llvm.getelementptr %tile[0, %first] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<128 x f32>
  %from = llvm.getelementptr %a[%first] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  nvvm.cp.async.shared.global %to, %from, 16, cache = cg, %bytes : !llvm.ptr<3>, !llvm.ptr<1>, i32
  nvvm.cp.async.commit.group
  nvvm.cp.async.wait.group 0 // wait
  %x = llvm.load %to : !llvm.ptr<3> -> vector<4xf32> // own
  nvvm.barrier // all
  %t4 = llvm.sub %c31, %t : i32
  %first4 = llvm.shl %t4, %c2 : i32
  %theirs = llvm.getelementptr %tile[0, %first4] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<128 x f32>
  %y = llvm.load %theirs : !llvm.ptr<3> -> vector<4xf32>
  %p = llvm.getelementptr %out[%first] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  llvm.store %y, %p : vector<4xf32>, !llvm.ptr<1>
  llvm.return
})mlir";

LaunchResult runCopy(Kernels &kernels, std::vector<float> &a, std::vector<float> &out) {
  out.assign(128, -1);
  GlobalMemory memory;
  uint64_t from = memory.add("a", a, BufferUse::Input);
  uint64_t to = memory.add("out", out, BufferUse::Output);
  return kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {from, to, int32_t(a.size())}, memory);
}

TEST(GpuEmulatorSync, CopiesFillWithZeros) {
  Kernels kernels(inModule(copyTail));
  std::vector<float> a(101, 2.0F), out;
  LaunchResult result = runCopy(kernels, a, out);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(result.bankConflicts(), 0U);
  for (int i = 0; i < 128; ++i)
    EXPECT_EQ(out[i], 4 * (31 - i / 4) + i % 4 < 101 ? 2.0F : 0.0F) << i;
}

TEST(GpuEmulatorSync, CopiesArriveAtTheWaitAndBehindABarrier) {
  std::vector<float> a(128, 2.0F), out;
  Kernels noWait(inModule(replaced(copyTail, "nvvm.cp.async.wait.group 0 // wait", "")));
  LaunchResult result = runCopy(noWait, a, out);
  ASSERT_FALSE(result.isClean());
  EXPECT_EQ(result.reports[0].kind, ReportKind::UnfinishedCopy);
  EXPECT_EQ(lineOf(result.reports[0].site.location), noWait.lineOf("// own"));
  Kernels noBarrier(inModule(replaced(copyTail, "nvvm.barrier // all", "")));
  result = runCopy(noBarrier, a, out);
  ASSERT_EQ(result.reports.size(), 1U) << result.text();
  EXPECT_EQ(result.reports[0].kind, ReportKind::Race);
  EXPECT_EQ(lineOf(result.reports[0].site.location), noBarrier.lineOf("%y = llvm.load"));
  // A group that may stay in flight has not arrived.
  Kernels earlier(inModule(replaced(copyTail, "wait.group 0 // wait", "wait.group 1 // wait")));
  result = runCopy(earlier, a, out);
  ASSERT_FALSE(result.isClean());
  EXPECT_EQ(result.reports[0].kind, ReportKind::UnfinishedCopy);
}

TEST(GpuEmulatorSync, StopsKernelsThatDoNotEnd) {
  Kernels kernels(inModule(R"mlir(
llvm.func @kernel() attributes {gpu.kernel, nvvm.kernel} {
  llvm.br ^loop
^loop:
  llvm.br ^loop // for ever
})mlir"));
  GlobalMemory memory;
  LaunchShape shape{{1, 1, 1}, {32, 1, 1}};
  shape.limit = 1000;
  LaunchResult result = kernels.run("kernel", shape, {}, memory);
  ASSERT_EQ(result.reports.size(), 1U);
  EXPECT_EQ(result.reports[0].kind, ReportKind::Limit);
}

} // namespace
