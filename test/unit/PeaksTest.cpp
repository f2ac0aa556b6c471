//===- PeaksTest.cpp - the measured peaks are in a sane relation ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Peaks.h"

#include "fmt/format.h"
#include "gtest/gtest.h"
#include <chrono>

using namespace seqmix::run;

namespace {

void print(const char *name, const CorePeaks &peaks) {
  fmt::print("{:4} f32 {:.0f} f64 {:.0f} GFLOP/s; read/triad GB/s: L1 {:.0f}/{:.0f} L2 "
             "{:.0f}/{:.0f} memory "
             "{:.1f}/{:.1f}\n",
             name, peaks.f32 / 1e9, peaks.f64 / 1e9, peaks.l1.read / 1e9, peaks.l1.triad / 1e9,
             peaks.l2.read / 1e9, peaks.l2.triad / 1e9, peaks.memory.read / 1e9,
             peaks.memory.triad / 1e9);
}

TEST(Peaks, AreInOrder) {
  auto start = std::chrono::steady_clock::now();
  Peaks peaks = measurePeaks();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} {} threads, {:.2f} s\n", peaks.isa, peaks.threads, seconds);
  print("one", peaks.one);
  print("all", peaks.all);
  EXPECT_GE(peaks.threads, 1u);
  for (auto *core : {&peaks.one, &peaks.all}) {
    EXPECT_GT(core->f64, 1e9);
    EXPECT_LT(core->f64, 1e14);
    // Twice the lanes: other work on the machine may blur it, but not to the same rate or to four
    // times.
    EXPECT_GT(core->f32, 1.2 * core->f64);
    EXPECT_LT(core->f32, 4 * core->f64);
    EXPECT_GT(core->l1.read, core->memory.read);
    EXPECT_GT(core->l1.triad, core->memory.triad);
    EXPECT_GT(core->memory.triad, 1e8);
  }
}

TEST(Peaks, TakesTheThreadsAskedFor) {
  Peaks peaks = measurePeaks({1, 0.1});
  EXPECT_EQ(peaks.threads, 1u);
  EXPECT_EQ(peaks.all.f32, peaks.one.f32);
}

} // namespace
