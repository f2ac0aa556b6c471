//===- TilesLoopTest.cpp - dense recurrences, two directions, matrix states ----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/TilesSupport.h"

#include "runtime/Frame.h"

#include "gtest/gtest.h"

#include <cmath>
#include <cstring>

using namespace seqmix;
using namespace seqmix::test;

namespace {

std::string substitute(std::string text,
                       std::initializer_list<std::pair<llvm::StringRef, std::string>> pairs) {
  for (auto &[from, to] : pairs)
    for (size_t at; (at = text.find(from)) != std::string::npos;)
      text.replace(at, from.size(), to);
  return text;
}

/// z[t,i] = sum[m] R[i,m] h[t-1,m],  h[t,i] = tanh(z[t,i] + x[t,i]) + 0.25 c[t-1],
/// c[t] = 0.5 c[t-1] + h[t-1,0]
std::string dense(int64_t width, int64_t block) {
  return substitute(R"mlir(
seq.mixer @dense compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> WIDTH
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @R <param> [@D, @D] per [] : f32
  seq.state @h [@D] init 0.0 <forward>
  seq.state @c [] init 1.0 <forward>
  seq.define @z [@T, @D] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %s = seq.reduce <sum> [@D] as ["m"] {
    ^bb0(%m: index):
      %0 = seq.read @R[%i, %m] : f64
      %1 = seq.read @h[%t - 1, %m] : f64
      %2 = seq.binary <mul> %0, %1 : f64
      seq.yield %2 : f64
    }
    seq.yield %s : f64
  }
  seq.next @h [@T, @D] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %q = seq.constant 0.25 : f64
    %0 = seq.read @z[%t, %i] : f64
    %1 = seq.read @x[%t, %i] : f64
    %2 = seq.binary <add> %0, %1 : f64
    %3 = seq.unary <tanh> %2 : (f64) -> f64
    %4 = seq.read @c[%t - 1] : f64
    %5 = seq.binary <mul> %q, %4 : f64
    %6 = seq.binary <add> %3, %5 : f64
    seq.yield %6 : f64
  }
  seq.next @c [@T] as ["t"] {
  ^bb0(%t: index):
    %half = seq.constant 0.5 : f64
    %0 = seq.read @c[%t - 1] : f64
    %1 = seq.binary <mul> %half, %0 : f64
    %2 = seq.read @h[%t - 1, 0] : f64
    %3 = seq.binary <add> %1, %2 : f64
    seq.yield %3 : f64
  }
  seq.output @h : f32
  seq.kernel chunk 4 attributes {batch_block = BLOCK : i64} {
    seq.buffer @x <rows> order [0]
    seq.buffer @R <shared> order [1, 0]
    seq.buffer @z <token> order [0]
    seq.buffer @h <state> order [0]
    seq.buffer @h <rows> order [0]
    seq.buffer @c <state> order []
    seq.prologue <shared> {
      seq.gather @R
    }
    seq.pass <forward> {
      seq.gather @x
      seq.loop [@z, @h, @c] keep [@h]
      seq.scatter @h
    }
  }
}
)mlir",
                    {{"WIDTH", std::to_string(width)}, {"BLOCK", std::to_string(block)}});
}

void checkDense(int64_t width, int64_t block, int64_t batch, TargetLevel level) {
  KernelHarness kernel(dense(width, block), level);
  for (int64_t tokens : {0, 1, 3, 4, 5, 10}) {
    int64_t row = batch * tokens * width;
    auto reals = randomReals(row + width * width, -1, 1, 8);
    std::vector<float> x(reals.begin(), reals.begin() + row), r(reals.begin() + row, reals.end()),
        y(row, 77), h(batch * width, 0.125f), c(batch, 2);
    for (auto &weight : r)
      weight /= std::sqrt(static_cast<float>(width));
    kernel.tensor("x", x.data(), {width, 1}, tokens * width);
    kernel.tensor("R", r.data(), {width, 1});
    kernel.output("h", y.data(), {width, 1}, tokens * width);
    kernel.carry("h", h.data(), h.data(), width, width);
    kernel.carry("c", c.data(), c.data(), 1, 1);
    kernel.slot(SEQ_FRAME_BLOCK, batch);
    kernel.run(tokens);
    for (int64_t b = 0; b < batch; ++b) {
      std::vector<double> state(width, 0.125), next(width);
      double carried = 2;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < width; ++i) {
          double z = x[(b * tokens + t) * width + i];
          for (int64_t m = 0; m < width; ++m)
            z += double(r[i * width + m]) * state[m];
          next[i] = std::tanh(z) + 0.25 * carried;
          ASSERT_NEAR(y[(b * tokens + t) * width + i], next[i], 1e-5)
              << "width " << width << " batch " << b << " of " << batch << " t " << t << " i " << i;
        }
        carried = 0.5 * carried + state[0];
        state = next;
      }
      for (int64_t i = 0; i < width; ++i)
        ASSERT_NEAR(h[b * width + i], state[i], 1e-5) << "batch " << b << " i " << i;
      ASSERT_NEAR(c[b], carried, 1e-5);
    }
  }
}

TEST(TilesLoop, DenseRecurrence) {
  for (int64_t width : {1, 7, 40, 96})
    checkDense(width, 1, 1, TargetLevel::Native);
  checkDense(40, 1, 1, TargetLevel::V3);
}

TEST(TilesLoop, BlocksOfBatchElements) {
  for (int64_t batch : {1, 3, 4, 6, 8})
    checkDense(40, 8, batch, TargetLevel::Native);
  checkDense(33, 2, 2, TargetLevel::V3);
}

/// Two directions: f forwards, r backwards, y[t] = f[t-1] + r[t+1] + x[t]; f is kept for the whole
/// sequence, r[t+1] is read of the rows that the chunk behind left.
std::string twoDirections() {
  return R"mlir(
seq.mixer @both compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> 21
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.state @F [@D] init 0.5 <forward>
  seq.state @R [@D] init 0.25 <backward>
  seq.next @F [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %half = seq.constant 0.5 : f64
    %0 = seq.read @F[%t - 1, %d] : f64
    %1 = seq.binary <mul> %half, %0 : f64
    %2 = seq.read @x[%t, %d] : f64
    %3 = seq.binary <add> %1, %2 : f64
    seq.yield %3 : f64
  }
  seq.next @R [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %half = seq.constant 0.75 : f64
    %0 = seq.read @R[%t + 1, %d] : f64
    %1 = seq.binary <mul> %half, %0 : f64
    %2 = seq.read @x[%t, %d] : f64
    %3 = seq.binary <add> %1, %2 : f64
    seq.yield %3 : f64
  }
  seq.define @y [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @F[%t - 1, %d] : f64
    %1 = seq.read @R[%t + 1, %d] : f64
    %2 = seq.read @x[%t + 2, %d] : f64
    %3 = seq.binary <add> %0, %1 : f64
    %4 = seq.binary <add> %3, %2 : f64
    seq.yield %4 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 4 {
    seq.buffer @x <rows> order [0] {ahead = 2 : i64}
    seq.buffer @F <state> order [0]
    seq.buffer @F <sequence> order [0] {halo = 1 : i64}
    seq.buffer @R <state> order [0]
    seq.buffer @R <rows> order [0] {ahead = 1 : i64}
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      seq.gather @x
      seq.loop [@F] lanes @D keep []
    }
    seq.pass <backward> {
      seq.gather @x
      seq.loop [@R] keep []
      seq.eval @y lanes 1
      seq.scatter @y
    }
  }
}
)mlir";
}

TEST(TilesLoop, TwoDirections) {
  KernelHarness kernel(twoDirections());
  const int64_t width = 21;
  for (int64_t tokens : {0, 1, 2, 3, 4, 5, 8, 11}) {
    auto reals = randomReals(tokens * width, -1, 1, 9);
    std::vector<float> x(reals.begin(), reals.end()), y(tokens * width), f(width), r(width);
    kernel.tensor("x", x.data(), {width, 1});
    kernel.output("y", y.data(), {width, 1});
    kernel.carry("F", nullptr, f.data());
    kernel.carry("R", nullptr, r.data());
    kernel.run(tokens);
    for (int64_t d = 0; d < width; ++d) {
      std::vector<double> forward(tokens + 1, 0.5), backward(tokens + 1, 0.25);
      for (int64_t t = 0; t < tokens; ++t)
        forward[t + 1] = 0.5 * forward[t] + x[t * width + d];
      for (int64_t t = tokens - 1; t >= 0; --t)
        backward[t] = 0.75 * backward[t + 1] + x[t * width + d];
      for (int64_t t = 0; t < tokens; ++t)
        ASSERT_NEAR(y[t * width + d],
                    forward[t] + backward[t + 1] + (t + 2 < tokens ? x[(t + 2) * width + d] : 0),
                    1e-5)
            << "tokens " << tokens << " t " << t << " d " << d;
      ASSERT_NEAR(f[d], forward[tokens], 1e-5);
      ASSERT_NEAR(r[d], backward[0], 1e-5);
    }
  }
}

/// Gated delta rule in block form, state [i, j], optionally stored [j, i], a part of j a task.
std::string delta(int64_t keys, int64_t values, bool transposed, int64_t split) {
  return substitute(R"mlir(
seq.mixer @delta compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> KEYS
  seq.dim @V <fixed> VALUES
  seq.tensor @q <input> [@T, @K] per [#seq.batch<@B, 1>] : f32
  seq.tensor @k <input> [@T, @K] per [#seq.batch<@B, 1>] : f32
  seq.tensor @v <input> [@T, @V] per [#seq.batch<@B, 1>] : f32
  seq.tensor @a <input> [@T] per [#seq.batch<@B, 1>] : f32
  seq.tensor @b <input> [@T] per [#seq.batch<@B, 1>] : f32
  seq.state @S [STATE] init 0.0 <forward>
  seq.define @c [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @a[%t] : f64
    %1 = seq.read @b[%t] : f64
    %2 = seq.binary <mul> %0, %1 : f64
    %3 = seq.unary <neg> %2 : (f64) -> f64
    seq.yield %3 : f64
  }
  seq.produced @S.o [@T, @V]
  seq.affine @S rows [ROW] cols [COL] row_decay @a
    updates [#seq.update<@k, [<coef = @b, right = @v>, <coef = @c, read = 0>]>]
    reads [#seq.row_read<row = @k, before = true>,
           #seq.row_read<row = @q, before = false, result = @S.o>] <forward>
  seq.output @S.o : f32
  seq.kernel chunk 8 SPLIT {
    seq.buffer @q <rows> order [0]
    seq.buffer @k <rows> order [0]
    seq.buffer @v <rows> order [0]
    seq.buffer @a <rows> order []
    seq.buffer @b <rows> order []
    seq.buffer @c <rows> order []
    seq.buffer @S <state> order [0, 1]
    seq.buffer @S.o <rows> order [0]
    seq.pass <forward> {
      seq.gather @q
      seq.gather @k
      seq.gather @v
      seq.gather @a
      seq.gather @b
      seq.eval @c lanes 0
      seq.solve @S block 4 panel 2
      seq.scatter @S.o
    }
  }
}
)mlir",
                    {{"KEYS", std::to_string(keys)},
                     {"VALUES", std::to_string(values)},
                     {"STATE", transposed ? "@V, @K" : "@K, @V"},
                     {"ROW", transposed ? "1" : "0"},
                     {"COL", transposed ? "0" : "1"},
                     {"SPLIT", split ? "split @V by " + std::to_string(split) : ""}});
}

void checkDelta(int64_t keys, int64_t values, bool transposed, int64_t split) {
  KernelHarness kernel(delta(keys, values, transposed, split));
  for (int64_t tokens : {0, 1, 6, 8, 19}) {
    auto fill = [&](int64_t count, double low, double high, unsigned seed) {
      auto reals = randomReals(count, low, high, seed);
      return std::vector<float>(reals.begin(), reals.end());
    };
    auto q = fill(tokens * keys, -1, 1, 1), k = fill(tokens * keys, -0.5, 0.5, 2),
         v = fill(tokens * values, -1, 1, 3), a = fill(tokens, 0, 1, 4), b = fill(tokens, 0, 1, 5),
         first = fill(keys * values, -1, 1, 6);
    std::vector<float> o(tokens * values, 77), last(keys * values, 77);
    kernel.tensor("q", q.data(), {keys, 1});
    kernel.tensor("k", k.data(), {keys, 1});
    kernel.tensor("v", v.data(), {values, 1});
    kernel.tensor("a", a.data(), {1});
    kernel.tensor("b", b.data(), {1});
    kernel.output("S.o", o.data(), {values, 1});
    bool given = tokens != 6;
    kernel.carry("S", given ? first.data() : nullptr, last.data());
    for (int64_t begin = 0; begin < values; begin += split ? split : values) {
      kernel.slot(SEQ_FRAME_SPLIT_BEGIN, begin);
      kernel.slot(SEQ_FRAME_SPLIT_COUNT, split);
      kernel.run(tokens);
    }
    auto at = [&](int64_t i, int64_t j) { return transposed ? j * keys + i : i * values + j; };
    std::vector<double> state(keys * values);
    for (int64_t i = 0; i < keys * values; ++i)
      state[i] = given ? first[i] : 0;
    double scale = 1;
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t j = 0; j < values; ++j) {
        double read = 0, out = 0;
        for (int64_t i = 0; i < keys; ++i)
          read += double(k[t * keys + i]) * state[at(i, j)];
        double u = double(b[t]) * (v[t * values + j] - a[t] * read);
        for (int64_t i = 0; i < keys; ++i) {
          double &element = state[at(i, j)];
          element = a[t] * element + double(k[t * keys + i]) * u;
          out += double(q[t * keys + i]) * element;
        }
        scale = std::max(scale, std::abs(out));
        ASSERT_NEAR(o[t * values + j], out, 1e-5 * scale)
            << keys << "x" << values << " tokens " << tokens << " t " << t << " j " << j;
      }
    for (int64_t i = 0; i < keys * values; ++i)
      ASSERT_NEAR(last[i], state[i], 1e-5 * scale) << i;
  }
}

TEST(TilesLoop, BlockForm) {
  checkDelta(16, 16, false, 0);
  checkDelta(20, 37, false, 0);
  checkDelta(20, 37, true, 0);
  checkDelta(24, 64, false, 32);
  checkDelta(24, 64, true, 32);
}

/// h[t,d,n] = a[t,d] * h[t-1,d,n] + B[t,n] * x[t,d], y[t,d] = sum[n] C[t,n] * h[t,d,n], with lanes
/// along d in parts of SPLIT elements; N states stay in registers if they are few.
std::string selective(int64_t states) {
  return substitute(R"mlir(
seq.mixer @selective compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> 50
  seq.dim @N <fixed> STATES
  seq.tensor @a <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @Bm <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @Cm <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @s <param> [@D] per [] : f32
  seq.state @h [@D, @N] init 0.0 <forward>
  seq.next @h [@T, @D, @N] as ["t", "d", "n"] {
  ^bb0(%t: index, %d: index, %n: index):
    %0 = seq.read @a[%t, %d] : f64
    %1 = seq.read @h[%t - 1, %d, %n] : f64
    %2 = seq.read @Bm[%t, %n] : f64
    %3 = seq.read @x[%t, %d] : f64
    %4 = seq.binary <mul> %0, %1 : f64
    %5 = seq.binary <mul> %2, %3 : f64
    %6 = seq.binary <add> %4, %5 : f64
    seq.yield %6 : f64
  }
  seq.define @y [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %s = seq.reduce <sum> [@N] as ["n"] {
    ^bb0(%n: index):
      %0 = seq.read @Cm[%t, %n] : f64
      %1 = seq.read @h[%t, %d, %n] : f64
      %2 = seq.binary <mul> %0, %1 : f64
      seq.yield %2 : f64
    }
    %0 = seq.read @s[%d] : f64
    %1 = seq.binary <mul> %s, %0 : f64
    seq.yield %1 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 4 split @D by 20 {
    seq.buffer @a <rows> order [0]
    seq.buffer @x <rows> order [0]
    seq.buffer @Bm <rows> order [0]
    seq.buffer @Cm <rows> order [0]
    seq.buffer @h <state> order [1, 0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      seq.gather @a
      seq.gather @x
      seq.gather @Bm
      seq.gather @Cm
      seq.loop [@h, @y] lanes @D keep []
      seq.scatter @y
    }
  }
}
)mlir",
                    {{"STATES", std::to_string(states)}});
}

void checkSelective(int64_t states) {
  KernelHarness kernel(selective(states));
  const int64_t width = 50;
  for (int64_t tokens : {1, 4, 10}) {
    auto fill = [&](int64_t count, double low, double high, unsigned seed) {
      auto reals = randomReals(count, low, high, seed);
      return std::vector<float>(reals.begin(), reals.end());
    };
    auto a = fill(tokens * width, 0, 1, 1), x = fill(tokens * width, -1, 1, 2),
         in = fill(tokens * states, -1, 1, 3), out = fill(tokens * states, -1, 1, 4),
         s = fill(width, -1, 1, 5);
    std::vector<float> y(tokens * width, 77), h(width * states, 0.5);
    kernel.tensor("a", a.data(), {width, 1});
    kernel.tensor("x", x.data(), {width, 1});
    kernel.tensor("Bm", in.data(), {states, 1});
    kernel.tensor("Cm", out.data(), {states, 1});
    kernel.tensor("s", s.data(), {1});
    kernel.output("y", y.data(), {width, 1});
    kernel.carry("h", h.data(), h.data());
    for (int64_t begin = 0; begin < width; begin += 20) {
      kernel.slot(SEQ_FRAME_SPLIT_BEGIN, begin);
      kernel.slot(SEQ_FRAME_SPLIT_COUNT, std::min<int64_t>(20, width - begin));
      kernel.run(tokens);
    }
    for (int64_t d = 0; d < width; ++d) {
      std::vector<double> state(states, 0.5);
      for (int64_t t = 0; t < tokens; ++t) {
        double sum = 0;
        for (int64_t n = 0; n < states; ++n) {
          state[n] = a[t * width + d] * state[n] + double(in[t * states + n]) * x[t * width + d];
          sum += out[t * states + n] * state[n];
        }
        ASSERT_NEAR(y[t * width + d], sum * s[d], 1e-5) << "t " << t << " d " << d;
      }
      for (int64_t n = 0; n < states; ++n)
        ASSERT_NEAR(h[d * states + n], state[n], 1e-5) << "d " << d << " n " << n;
    }
  }
}

TEST(TilesLoop, SelectiveScan) {
  checkSelective(16);
  checkSelective(3);
  checkSelective(70);
}

} // namespace
