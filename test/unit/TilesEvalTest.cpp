//===- TilesEvalTest.cpp - definitions, reductions, storage types --------------===//
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

/// Definitions over x[t,m] (M wide) with params W[i,m], chunk 8:
///   n[t]   = rsqrt(sum[m] x[t,m]^2 + 1)             vectorised along the reduction
///   l[t]   = logsumexp[m] x[t,m]
///   p[t,i] = sum[m] W[i,m] * x[t,m] * n[t]          a product of matrices
///   s[t,i] = p[t,i-1] if i > 2 else max[m](W[i,m] * x[t,m] where m < i) + l[t]
///   y[t,i] = s[t,i] + n[t] * t + mod(i, 3)
std::string definitions(int64_t rows, int64_t width, const char *scalarLanes) {
  std::string text = R"mlir(
seq.mixer @definitions compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @M <fixed> WIDTH
  seq.dim @I <fixed> ROWS
  seq.tensor @x <input> [@T, @M] per [#seq.batch<@B, 1>] : f32
  seq.tensor @W <param> [@I, @M] per [] : f32
  seq.define @n [@T] as ["t"] {
  ^bb0(%t: index):
    %c = seq.constant 1.0 : f64
    %s = seq.reduce <sum> [@M] as ["m"] {
    ^bb0(%m: index):
      %0 = seq.read @x[%t, %m] : f64
      %1 = seq.binary <mul> %0, %0 : f64
      seq.yield %1 : f64
    }
    %0 = seq.binary <add> %s, %c : f64
    %1 = seq.unary <rsqrt> %0 : (f64) -> f64
    seq.yield %1 : f64
  }
  seq.define @l [@T] as ["t"] {
  ^bb0(%t: index):
    %s = seq.reduce <logsumexp> [@M] as ["m"] {
    ^bb0(%m: index):
      %0 = seq.read @x[%t, %m] : f64
      seq.yield %0 : f64
    }
    seq.yield %s : f64
  }
  seq.define @p [@T, @I] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %n = seq.read @n[%t] : f64
    %s = seq.reduce <sum> [@M] as ["m"] {
    ^bb0(%m: index):
      %0 = seq.read @x[%t, %m] : f64
      %1 = seq.read @W[%i, %m] : f64
      %2 = seq.binary <mul> %0, %1 : f64
      %3 = seq.binary <mul> %2, %n : f64
      seq.yield %3 : f64
    }
    seq.yield %s : f64
  }
  seq.define @s [@T, @I] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %c2 = seq.constant 2 : index
    %0 = seq.read @p[%t, %i - 1] : f64
    %big = seq.compare <gt> %i, %c2 : index
    %most = seq.reduce <max> [@M] as ["m"] {
    ^bb0(%m: index):
      %1 = seq.read @x[%t, %m] : f64
      %2 = seq.read @W[%i, %m] : f64
      %3 = seq.binary <mul> %1, %2 : f64
      seq.yield %3 : f64
    } where {
    ^bb0(%m: index):
      %1 = seq.compare <lt> %m, %i : index
      seq.yield %1 : i1
    }
    %l = seq.read @l[%t] : f64
    %4 = seq.binary <add> %most, %l : f64
    %5 = seq.select %big, %0, %4 : f64
    seq.yield %5 : f64
  }
  seq.define @y [@T, @I] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %c3 = seq.constant 3 : index
    %0 = seq.read @s[%t, %i] : f64
    %1 = seq.read @n[%t] : f64
    %2 = seq.to_real %t
    %3 = seq.binary <mul> %1, %2 : f64
    %4 = seq.binary <add> %0, %3 : f64
    %5 = seq.binary <mod> %i, %c3 : index
    %6 = seq.to_real %5
    %7 = seq.binary <add> %4, %6 : f64
    seq.yield %7 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 8 {
    seq.buffer @x <rows> order [0]
    seq.buffer @W <shared> order [1, 0]
    seq.buffer @n <rows> order []
    seq.buffer @l <rows> order []
    seq.buffer @p <rows> order [0]
    seq.buffer @s <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.prologue <shared> {
      seq.gather @W
    }
    seq.pass <forward> {
      seq.gather @x
      seq.eval @n lanes SCALAR
      seq.eval @l lanes SCALAR
      seq.eval @p lanes 1
      seq.eval @s lanes 1
      seq.eval @y lanes 1
      seq.scatter @y
    }
  }
}
)mlir";
  auto replace = [&](llvm::StringRef from, llvm::StringRef to) {
    for (size_t at; (at = text.find(from)) != std::string::npos;)
      text.replace(at, from.size(), to);
  };
  replace("WIDTH", std::to_string(width));
  replace("ROWS", std::to_string(rows));
  replace("SCALAR", scalarLanes);
  return text;
}

void checkDefinitions(int64_t rows, int64_t width, const char *scalarLanes, TargetLevel level) {
  KernelHarness kernel(definitions(rows, width, scalarLanes), level);
  for (int64_t tokens : {0, 1, 4, 7, 8, 21}) {
    auto reals = randomReals(tokens * width + rows * width, -1, 1, 5);
    std::vector<float> x(reals.begin(), reals.begin() + tokens * width),
        w(reals.begin() + tokens * width, reals.end()), y(tokens * rows + 1, 77);
    kernel.tensor("x", x.data(), {width, 1});
    kernel.tensor("W", w.data(), {width, 1});
    kernel.output("y", y.data(), {rows, 1});
    kernel.run(tokens, 2);
    for (int64_t t = 0; t < tokens; ++t) {
      const float *xt = x.data() + t * width;
      double squares = 0, sum = 0;
      for (int64_t m = 0; m < width; ++m) {
        squares += double(xt[m]) * xt[m];
        sum += std::exp(double(xt[m]));
      }
      double n = 1 / std::sqrt(squares + 1), l = std::log(sum);
      auto p = [&](int64_t i) {
        double total = 0;
        for (int64_t m = 0; m < width; ++m)
          total += double(w[i * width + m]) * xt[m];
        return total * n;
      };
      for (int64_t i = 0; i < rows; ++i) {
        double s;
        if (i > 2) {
          s = p(i - 1);
        } else {
          s = -INFINITY;
          for (int64_t m = 0; m < std::min(i, width); ++m)
            s = std::max(s, double(w[i * width + m]) * xt[m]);
          s += l;
        }
        double expected = s + n * (t + 2) + i % 3, got = y[t * rows + i];
        if (std::isinf(expected))
          ASSERT_EQ(got, expected) << "t " << t << " i " << i;
        else
          ASSERT_NEAR(got, expected, 5e-6)
              << rows << "x" << width << " tokens " << tokens << " t " << t << " i " << i;
      }
    }
    ASSERT_EQ(y.back(), 77);
  }
}

TEST(TilesEval, ReductionsAndIndices) {
  checkDefinitions(37, 21, "-1", TargetLevel::Native);
  checkDefinitions(64, 64, "-1", TargetLevel::Native);
  checkDefinitions(5, 3, "-1", TargetLevel::Native);
  checkDefinitions(20, 9, "0", TargetLevel::Native);
}

TEST(TilesEval, ReductionsAndIndicesOnOtherLevels) {
  checkDefinitions(37, 21, "-1", TargetLevel::V3);
  checkDefinitions(37, 21, "0", TargetLevel::Baseline);
}

/// y[t,i] = x[t,i] * 2 + n[t] * b[t] with x and y in one storage type, n an integer and b a truth
/// value a token, read back two tokens (n) and one token (x) with windows.
std::string storage(llvm::StringRef type, llvm::StringRef compute) {
  std::string text = R"mlir(
seq.mixer @storage compute COMPUTE {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @I <fixed> 19
  seq.tensor @x <input> [@T, @I] per [#seq.batch<@B, 1>] : TYPE
  seq.tensor @n <input> [@T] per [#seq.batch<@B, 1>] : i32
  seq.tensor @b <input> [@T] per [#seq.batch<@B, 1>] : i1
  seq.define @y [@T, @I] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    %1 = seq.read @x[%t - 1, %i] : f64
    %2 = seq.binary <add> %0, %1 : f64
    %3 = seq.read @n[%t - 2] : index
    %4 = seq.to_real %3
    %5 = seq.read @b[%t] : i1
    %6 = seq.select %5, %4, %2 : f64
    seq.yield %6 : f64
  }
  seq.output @y : TYPE
  seq.kernel chunk 4 {
    seq.buffer @x <rows> order [0] {halo = 1 : i64}
    seq.buffer @n <rows> order [] {halo = 2 : i64}
    seq.buffer @b <rows> order []
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      seq.gather @x
      seq.gather @n
      seq.gather @b
      seq.eval @y lanes 1
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
  replace("COMPUTE", compute);
  return text;
}

uint16_t toBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (bits >> 16) | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
float fromBf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}
uint16_t toF16(float value) {
  _Float16 half = static_cast<_Float16>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
float fromF16(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

/// Runs the mixer in two parts with the carry in between, updated in place.
template <typename Stored, typename Compute>
void checkStorage(llvm::StringRef type, llvm::StringRef compute, TargetLevel level,
                  Stored (*store)(float), float (*load)(Stored)) {
  KernelHarness kernel(storage(type, compute), level);
  const int64_t width = 19;
  for (int64_t tokens : {2, 5, 9})
    for (int64_t split = 0; split <= tokens; ++split)
      for (bool columns : {false, true}) {
        // Token-major, or each feature's tokens one after the other.
        int64_t tokenStride = columns ? 1 : width, stride = columns ? tokens : 1;
        auto reals = randomReals(tokens * width, -3, 3, 6);
        std::vector<Stored> x(tokens * width), y(tokens * width, Stored(1));
        for (int64_t at = 0; at < tokens * width; ++at)
          x[at] = store(static_cast<float>(reals[at]));
        std::vector<int32_t> n(tokens);
        std::vector<uint8_t> b(tokens);
        for (int64_t t = 0; t < tokens; ++t) {
          n[t] = static_cast<int32_t>(t * 37 - 100);
          b[t] = t % 3 == 1;
        }
        std::vector<Compute> xWindow(width);
        std::vector<int32_t> nWindow(2);
        for (int part = 0; part < 2; ++part) {
          int64_t first = part ? split : 0, count = part ? tokens - split : split;
          kernel.tensor("x", x.data() + first * tokenStride, {tokenStride, stride});
          kernel.tensor("n", n.data() + first, {1});
          kernel.tensor("b", b.data() + first, {1});
          kernel.output("y", y.data() + first * tokenStride, {tokenStride, stride});
          kernel.carry("x_window", part ? xWindow.data() : nullptr, xWindow.data());
          kernel.carry("n_window", part ? nWindow.data() : nullptr, nWindow.data());
          kernel.run(count, first);
        }
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t i = 0; i < width; ++i) {
            auto at = [&](int64_t token) { return token * tokenStride + i * stride; };
            float expected = b[t] ? (t >= 2 ? static_cast<float>(n[t - 2]) : 0.0f)
                                  : load(x[at(t)]) + (t >= 1 ? load(x[at(t - 1)]) : 0.0f);
            ASSERT_EQ(load(y[at(t)]), load(store(expected)))
                << type.str() << " tokens " << tokens << " split " << split << " t " << t << " i "
                << i;
          }
        for (int64_t i = 0; i < width; ++i)
          ASSERT_EQ(static_cast<float>(xWindow[i]),
                    load(x[(tokens - 1) * tokenStride + i * stride]));
        ASSERT_EQ(nWindow[0], n[tokens - 2]);
        ASSERT_EQ(nWindow[1], n[tokens - 1]);
      }
}

template <typename Real> Real toReal(float value) { return value; }
template <typename Real> float fromReal(Real value) { return static_cast<float>(value); }

TEST(TilesEval, StorageAndWindows) {
  for (auto level : {TargetLevel::Native, TargetLevel::V3, TargetLevel::Baseline}) {
    checkStorage<float, float>("f32", "f32", level, toReal<float>, fromReal<float>);
    checkStorage<uint16_t, float>("bf16", "f32", level, toBf16, fromBf16);
    checkStorage<uint16_t, float>("f16", "f32", level, toF16, fromF16);
  }
  checkStorage<double, double>("f64", "f64", TargetLevel::Native, toReal<double>, fromReal<double>);
  checkStorage<float, double>("f32", "f64", TargetLevel::Native, toReal<float>, fromReal<float>);
}

TEST(TilesEval, ReportsWhatHasNoCode) {
  auto text = storage("f32", "f32");
  text.replace(text.find("{halo = 1 : i64}"), 16, "");
  EXPECT_NE(tilesError(text).find("further away than the buffer of 'x' holds"), std::string::npos);
}

} // namespace
