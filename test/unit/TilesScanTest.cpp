//===- TilesScanTest.cpp - elementwise recurrences -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/TilesSupport.h"

#include "gtest/gtest.h"

#include <cmath>
#include <cstring>

using namespace seqmix;
using namespace seqmix::test;

namespace {

/// h[t,d] = a[t,d] * h[t-1,d] + x[t,d] * b[d], y[t,d] = h[t,d] + h[t-1,d] * t
std::string scan(llvm::StringRef type, int64_t width, llvm::StringRef lanes,
                 llvm::StringRef direction = "forward") {
  std::string before = direction == "forward" ? "- 1" : "+ 1";
  std::string text = R"mlir(
seq.mixer @scan compute TYPE {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> WIDTH
  seq.tensor @a <input> [@T, @D] per [#seq.batch<@B, 1>] : TYPE
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : TYPE
  seq.tensor @b <param> [@D] per [] : TYPE
  seq.state @h [@D] init 5.000000e-01 <DIRECTION>
  seq.next @h [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @a[%t, %d] : f64
    %1 = seq.read @h[%t BEFORE, %d] : f64
    %2 = seq.read @x[%t, %d] : f64
    %3 = seq.read @b[%d] : f64
    %4 = seq.binary <mul> %0, %1 : f64
    %5 = seq.binary <mul> %2, %3 : f64
    %6 = seq.binary <add> %4, %5 : f64
    seq.yield %6 : f64
  }
  seq.define @y [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @h[%t, %d] : f64
    %1 = seq.read @h[%t BEFORE, %d] : f64
    %2 = seq.to_real %t
    %3 = seq.binary <mul> %1, %2 : f64
    %4 = seq.binary <add> %0, %3 : f64
    seq.yield %4 : f64
  }
  seq.output @y : TYPE
  seq.kernel chunk 8 {
    seq.buffer @a <rows> order [0]
    seq.buffer @x <rows> order [0]
    seq.buffer @b <shared> order [0]
    seq.buffer @y <rows> order [0]
    seq.buffer @h <state> order [0]
    seq.prologue <shared> {
      seq.gather @b
    }
    seq.pass <DIRECTION> {
      seq.gather @a
      seq.gather @x
      seq.loop [@h, @y] LANES keep []
      seq.scatter @y
    }
  }
}
)mlir";
  auto replace = [&](llvm::StringRef from, llvm::StringRef to) {
    for (size_t at; (at = text.find(from)) != std::string::npos;)
      text.replace(at, from.size(), to);
  };
  replace("TYPE", type);
  replace("WIDTH", std::to_string(width));
  replace("LANES", lanes);
  replace("DIRECTION", direction);
  replace("BEFORE", before);
  return text;
}

template <typename Real>
void checkScan(llvm::StringRef type, llvm::StringRef lanes, llvm::StringRef direction,
               TargetLevel level, double tolerance) {
  for (int64_t width : {1, 5, 16, 37, 64}) {
    KernelHarness kernel(scan(type, width, lanes, direction), level);
    for (int64_t tokens : {0, 1, 7, 8, 9, 30}) {
      for (int64_t stride : {int64_t(1), int64_t(3)}) {
        int64_t rowStride = width * stride + 2, count = (tokens + 1) * rowStride;
        auto fill = [&](double low, double high, unsigned seed, int64_t size) {
          auto reals = randomReals(size, low, high, seed);
          return std::vector<Real>(reals.begin(), reals.end());
        };
        auto a = fill(-1, 1, 1, count), x = fill(-2, 2, 2, count), b = fill(-1, 1, 3, width);
        auto first = fill(-1, 1, 4, width);
        std::vector<Real> y(count, 77), last(width, 77);
        kernel.tensor("a", a.data(), {rowStride, stride});
        kernel.tensor("x", x.data(), {rowStride, stride});
        kernel.tensor("b", b.data(), {1});
        kernel.output("y", y.data(), {rowStride, stride});
        bool given = tokens % 2;
        kernel.carry("h", given ? first.data() : nullptr, last.data());
        kernel.run(tokens, 3);
        for (int64_t d = 0; d < width; ++d) {
          double h = given ? static_cast<double>(first[d]) : 0.5;
          for (int64_t step = 0; step < tokens; ++step) {
            int64_t t = direction == "forward" ? step : tokens - 1 - step;
            int64_t at = t * rowStride + d * stride;
            double before = h;
            h = a[at] * h + static_cast<double>(x[at]) * b[d];
            ASSERT_NEAR(y[at], h + before * (t + 3), tolerance * 4 * (t + 3))
                << "width " << width << " tokens " << tokens << " t " << t << " d " << d;
          }
          ASSERT_NEAR(last[d], h, tolerance * 4);
        }
        for (int64_t at = 0; at < count; ++at)
          if (at / rowStride >= tokens || at % rowStride >= width * stride ||
              at % rowStride % stride)
            ASSERT_EQ(y[at], Real(77)) << "wrote beyond the output";
      }
    }
  }
}

TEST(TilesScan, TokensOutside) {
  checkScan<float>("f32", "", "forward", TargetLevel::Native, 1e-6);
  checkScan<double>("f64", "", "forward", TargetLevel::Native, 1e-14);
}

TEST(TilesScan, TokensOutsideBackwards) {
  checkScan<float>("f32", "", "backward", TargetLevel::Native, 1e-6);
}

TEST(TilesScan, LanesOutside) {
  checkScan<float>("f32", "lanes @D", "forward", TargetLevel::Native, 1e-6);
  checkScan<double>("f64", "lanes @D", "forward", TargetLevel::Native, 1e-14);
  checkScan<float>("f32", "lanes @D", "backward", TargetLevel::Native, 1e-6);
}

TEST(TilesScan, OtherLevels) {
  checkScan<float>("f32", "lanes @D", "forward", TargetLevel::V3, 1e-6);
  checkScan<float>("f32", "", "forward", TargetLevel::Baseline, 1e-6);
  checkScan<double>("f64", "", "backward", TargetLevel::Baseline, 1e-14);
}

} // namespace
