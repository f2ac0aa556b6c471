//===- kernels.cpp - throughput of whole kernels -------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// One task of schedules written by hand, 4096 tokens on one thread, as nanoseconds a token.
//
//===----------------------------------------------------------------------===//

#include "test/unit/TilesSupport.h"

#include "runtime/Frame.h"

#include <fmt/format.h>

#include <cstdlib>

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

constexpr int64_t kTokens = 4096;

std::vector<float> fill(int64_t count, double low, double high, unsigned seed) {
  auto reals = randomReals(count, low, high, seed);
  return std::vector<float>(reals.begin(), reals.end());
}

/// A matrix state with a decay a row: gates exp(g), output scaled.
void matrixState(int64_t width, int64_t chunk) {
  KernelHarness kernel(
      substitute(R"mlir(
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> WIDTH
  seq.dim @V <fixed> WIDTH
  seq.tensor @q <input> [@T, @K] per [#seq.batch<@B, 1>] : f32
  seq.tensor @k <input> [@T, @K] per [#seq.batch<@B, 1>] : f32
  seq.tensor @v <input> [@T, @V] per [#seq.batch<@B, 1>] : f32
  seq.tensor @g <input> [@T, @K] per [#seq.batch<@B, 1>] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.define @a [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @g[%t, %i] : f64
    %1 = seq.unary <exp> %0 : (f64) -> f64
    seq.yield %1 : f64
  }
  seq.produced @S.o [@T, @V]
  seq.affine @S rows [0] cols [1] row_decay @a
    updates [#seq.update<@k, [<right = @v>]>]
    reads [#seq.row_read<row = @q, before = false, result = @S.o>] <forward>
  seq.define @o [@T, @V] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %c = seq.constant 0.125 : f64
    %0 = seq.read @S.o[%t, %i] : f64
    %1 = seq.binary <mul> %0, %c : f64
    seq.yield %1 : f64
  }
  seq.output @o : f32
  seq.kernel chunk CHUNK {
    seq.buffer @q <rows> order [0]
    seq.buffer @k <rows> order [0]
    seq.buffer @v <rows> order [0]
    seq.buffer @g <rows> order [0]
    seq.buffer @a <rows> order [0]
    seq.buffer @S <state> order [0, 1]
    seq.buffer @S.o <rows> order [0]
    seq.buffer @o <rows> order [0]
    seq.pass <forward> {
      seq.gather @q
      seq.gather @k
      seq.gather @v
      seq.gather @g
      seq.eval @a lanes 1
      seq.solve @S block 4 panel 2
      seq.eval @o lanes 1
      seq.scatter @o
    }
  }
}
)mlir",
                 {{"WIDTH", std::to_string(width)}, {"CHUNK", std::to_string(chunk)}}));
  // Heads side by side in a token's row, as callers have them.
  const int64_t heads = 8, row = heads * width;
  auto q = fill(kTokens * row, -1, 1, 1), k = q, v = q, g = fill(kTokens * row, -1, 0, 2);
  std::vector<float> o(kTokens * row);
  kernel.carry("S", nullptr, nullptr);
  auto all = [&](int64_t tokens) {
    double time = 0;
    for (int64_t head = 0; head < heads; ++head) {
      int64_t at = head * width;
      kernel.tensor("q", q.data() + at, {row, 1});
      kernel.tensor("k", k.data() + at, {row, 1});
      kernel.tensor("v", v.data() + at, {row, 1});
      kernel.tensor("g", g.data() + at, {row, 1});
      kernel.output("o", o.data() + at, {row, 1});
      time += kernel.time(tokens, 1);
    }
    return time / heads / tokens;
  };
  double best = 1e30, step = 1e30;
  for (int repetition = 0; repetition < 8; ++repetition) {
    best = std::min(best, all(kTokens));
    step = std::min(step, all(1));
  }
  fmt::print("matrix state, decay a row, {}, chunk {:3}: {:8.1f} ns a token, {:8.1f} ns a step\n",
             width, chunk, best, step);
}

/// h[t,d,n] = exp(dt * A) h + dt B x, y = sum C h
void selective(int64_t width, int64_t chunk) {
  const int64_t states = 16;
  KernelHarness kernel(
      substitute(R"mlir(
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> WIDTH
  seq.dim @N <fixed> 16
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @z <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @delta <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @Bm <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @Cm <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @A <param> [@D, @N] per [] : f32
  seq.state @h [@D, @N] init 0.0 <forward>
  seq.define @dt [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @delta[%t, %d] : f64
    %1 = seq.unary <softplus> %0 : (f64) -> f64
    seq.yield %1 : f64
  }
  seq.next @h [@T, @D, @N] as ["t", "d", "n"] {
  ^bb0(%t: index, %d: index, %n: index):
    %0 = seq.read @dt[%t, %d] : f64
    %1 = seq.read @A[%d, %n] : f64
    %2 = seq.binary <mul> %0, %1 : f64
    %3 = seq.unary <exp> %2 : (f64) -> f64
    %4 = seq.read @h[%t - 1, %d, %n] : f64
    %5 = seq.binary <mul> %3, %4 : f64
    %6 = seq.read @Bm[%t, %n] : f64
    %7 = seq.read @x[%t, %d] : f64
    %8 = seq.binary <mul> %0, %7 : f64
    %9 = seq.binary <mul> %8, %6 : f64
    %10 = seq.binary <add> %5, %9 : f64
    seq.yield %10 : f64
  }
  seq.define @s [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %s = seq.reduce <sum> [@N] as ["n"] {
    ^bb0(%n: index):
      %0 = seq.read @Cm[%t, %n] : f64
      %1 = seq.read @h[%t, %d, %n] : f64
      %2 = seq.binary <mul> %0, %1 : f64
      seq.yield %2 : f64
    }
    seq.yield %s : f64
  }
  seq.define @y [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @s[%t, %d] : f64
    %1 = seq.read @z[%t, %d] : f64
    %2 = seq.unary <silu> %1 : (f64) -> f64
    %3 = seq.binary <mul> %0, %2 : f64
    seq.yield %3 : f64
  }
  seq.output @y : f32
  seq.kernel chunk CHUNK {
    seq.buffer @x <rows> order [0]
    seq.buffer @z <rows> order [0]
    seq.buffer @delta <rows> order [0]
    seq.buffer @dt <rows> order [0]
    seq.buffer @Bm <rows> order [0]
    seq.buffer @Cm <rows> order [0]
    seq.buffer @A <shared> order [1, 0]
    seq.buffer @h <state> order [1, 0]
    seq.buffer @s <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.prologue <shared> {
      seq.gather @A
    }
    seq.pass <forward> {
      seq.gather @x
      seq.gather @z
      seq.gather @delta
      seq.gather @Bm
      seq.gather @Cm
      seq.eval @dt lanes 1
      seq.loop [@h, @s] lanes @D keep []
      seq.eval @y lanes 1
      seq.scatter @y
    }
  }
}
)mlir",
                 {{"WIDTH", std::to_string(width)}, {"CHUNK", std::to_string(chunk)}}));
  auto x = fill(kTokens * width, -1, 1, 1), z = x, delta = fill(kTokens * width, -3, 0, 2),
       in = fill(kTokens * states, -1, 1, 3), out = in, a = fill(width * states, -2, -0.1, 4);
  std::vector<float> y(kTokens * width);
  kernel.tensor("x", x.data(), {width, 1});
  kernel.tensor("z", z.data(), {width, 1});
  kernel.tensor("delta", delta.data(), {width, 1});
  kernel.tensor("Bm", in.data(), {states, 1});
  kernel.tensor("Cm", out.data(), {states, 1});
  kernel.tensor("A", a.data(), {states, 1});
  kernel.output("y", y.data(), {width, 1});
  kernel.carry("h", nullptr, nullptr);
  double time = kernel.time(kTokens, 10);
  fmt::print("selective, {} x {}, chunk {:3}: {:8.1f} ns a token, {:.2f} G exp/s\n", width, states,
             chunk, time / kTokens, kTokens * width * states / time);
}

/// h = sigmoid(f) h + (1 - sigmoid(f)) silu(x)
void scan(int64_t width, int64_t chunk, bool lanes) {
  KernelHarness kernel(substitute(R"mlir(
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> WIDTH
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.tensor @f <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.state @h [@D] init 0.0 <forward>
  seq.define @a [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @f[%t, %d] : f64
    %1 = seq.unary <sigmoid> %0 : (f64) -> f64
    seq.yield %1 : f64
  }
  seq.define @b [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %one = seq.constant 1.0 : f64
    %0 = seq.read @a[%t, %d] : f64
    %1 = seq.binary <sub> %one, %0 : f64
    %2 = seq.read @x[%t, %d] : f64
    %3 = seq.unary <silu> %2 : (f64) -> f64
    %4 = seq.binary <mul> %1, %3 : f64
    seq.yield %4 : f64
  }
  seq.next @h [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @a[%t, %d] : f64
    %1 = seq.read @h[%t - 1, %d] : f64
    %2 = seq.binary <mul> %0, %1 : f64
    %3 = seq.read @b[%t, %d] : f64
    %4 = seq.binary <add> %2, %3 : f64
    seq.yield %4 : f64
  }
  seq.output @h : f32
  seq.kernel chunk CHUNK {
    seq.buffer @x <rows> order [0]
    seq.buffer @f <rows> order [0]
    seq.buffer @a <rows> order [0]
    seq.buffer @b <rows> order [0]
    seq.buffer @h <state> order [0]
    seq.buffer @h <rows> order [0]
    seq.pass <forward> {
      seq.gather @x
      seq.gather @f
      seq.eval @a lanes 1
      seq.eval @b lanes 1
      seq.loop [@h] LANES keep []
      seq.scatter @h
    }
  }
}
)mlir",
                                  {{"WIDTH", std::to_string(width)},
                                   {"CHUNK", std::to_string(chunk)},
                                   {"LANES", lanes ? "lanes @D" : ""}}));
  auto x = fill(kTokens * width, -1, 1, 1), f = fill(kTokens * width, -3, 3, 2);
  std::vector<float> h(kTokens * width);
  kernel.tensor("x", x.data(), {width, 1});
  kernel.tensor("f", f.data(), {width, 1});
  kernel.output("h", h.data(), {width, 1});
  kernel.carry("h", nullptr, nullptr);
  double time = kernel.time(kTokens, 10);
  fmt::print("scan, {}, chunk {:3}, {}: {:8.1f} ns a token, {:.2f} G/s\n", width, chunk,
             lanes ? "lanes outside " : "tokens outside", time / kTokens, kTokens * width / time);
}

/// Three gates with dense matrices, as one task of `batch` elements.
void gates(int64_t width, int64_t batch) {
  const int64_t tokens = 256;
  std::string matrices, members, buffers, gathers;
  for (auto *name : {"r", "z", "n"}) {
    matrices += substitute(R"mlir(
  seq.tensor @RX <param> [@D, @D] per [] : f32
  seq.define @sX [@T, @D] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %s = seq.reduce <sum> [@D] as ["m"] {
    ^bb0(%m: index):
      %0 = seq.read @RX[%i, %m] : f64
      %1 = seq.read @h[%t - 1, %m] : f64
      %2 = seq.binary <mul> %0, %1 : f64
      seq.yield %2 : f64
    }
    seq.yield %s : f64
  })mlir",
                           {{"X", name}});
    members += substitute("@sX, ", {{"X", name}});
    buffers += substitute(
        "seq.buffer @RX <shared> order [1, 0]\nseq.buffer @sX <token> order [0]\n", {{"X", name}});
    gathers += substitute("seq.gather @RX\n", {{"X", name}});
  }
  KernelHarness kernel(substitute(R"mlir(
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> WIDTH
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.state @h [@D] init 0.0 <forward>
MATRICES
  seq.next @h [@T, @D] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %one = seq.constant 1.0 : f64
    %x = seq.read @x[%t, %i] : f64
    %0 = seq.read @sr[%t, %i] : f64
    %1 = seq.read @sz[%t, %i] : f64
    %2 = seq.read @sn[%t, %i] : f64
    %3 = seq.unary <sigmoid> %0 : (f64) -> f64
    %4 = seq.unary <sigmoid> %1 : (f64) -> f64
    %5 = seq.binary <mul> %3, %2 : f64
    %6 = seq.binary <add> %5, %x : f64
    %7 = seq.unary <tanh> %6 : (f64) -> f64
    %8 = seq.read @h[%t - 1, %i] : f64
    %9 = seq.binary <mul> %4, %8 : f64
    %10 = seq.binary <sub> %one, %4 : f64
    %11 = seq.binary <mul> %10, %7 : f64
    %12 = seq.binary <add> %9, %11 : f64
    seq.yield %12 : f64
  }
  seq.output @h : f32
  seq.kernel chunk 16 attributes {batch_block = BATCH : i64} {
    seq.buffer @x <rows> order [0]
    seq.buffer @h <state> order [0]
    seq.buffer @h <rows> order [0]
BUFFERS
    seq.prologue <shared> {
GATHERS
    }
    seq.pass <forward> {
      seq.gather @x
      seq.loop [MEMBERS@h] keep []
      seq.scatter @h
    }
  }
}
)mlir",
                                  {{"WIDTH", std::to_string(width)},
                                   {"BATCH", std::to_string(batch)},
                                   {"MATRICES", matrices},
                                   {"MEMBERS", members},
                                   {"BUFFERS", buffers},
                                   {"GATHERS", gathers}}));
  auto x = fill(batch * tokens * width, -1, 1, 1), r = fill(width * width, -0.05, 0.05, 2);
  std::vector<float> h(batch * tokens * width);
  kernel.tensor("x", x.data(), {width, 1}, tokens * width);
  for (auto *name : {"Rr", "Rz", "Rn"})
    kernel.tensor(name, r.data(), {width, 1});
  kernel.output("h", h.data(), {width, 1}, tokens * width);
  kernel.carry("h", nullptr, nullptr);
  kernel.slot(SEQ_FRAME_BLOCK, batch);
  double time = kernel.time(tokens, 10);
  fmt::print("three gates, {}, batch {:2}: {:8.2f} us a token, {:.1f} GFLOP/s\n", width, batch,
             time / tokens / 1000, 6.0 * batch * width * width * tokens / time);
}
} // namespace

int main(int argc, char **argv) {
  llvm::StringRef which = argc > 1 ? argv[1] : "";
  if (which.empty() || which == "matrix")
    for (int64_t width : {64, 128})
      for (int64_t chunk : {16, 32, 64})
        matrixState(width, chunk);
  if (which.empty() || which == "selective")
    for (int64_t chunk : {16, 32})
      selective(512, chunk);
  if (which.empty() || which == "scan")
    for (bool lanes : {false, true})
      for (int64_t width : {128, 1024})
        scan(width, width > 512 ? 8 : 32, lanes);
  if (which.empty() || which == "gates")
    for (int64_t width : {64, 128, 256})
      for (int64_t batch : {1, 8})
        gates(width, batch);
  return EXIT_SUCCESS;
}
