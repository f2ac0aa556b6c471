//===- TilesSolveTest.cpp - matrix states in block form ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/TilesSupport.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>

using namespace seqmix;
using namespace seqmix::test;

namespace {

constexpr int64_t rows = 20, cols = 37;

/// S[i,j] = g[i] S[i,j] + k[i] (b v[j] + c u[j]), u[j] = sum_i k[i] S[i,j] before, o[j] = sum_i
/// q[i] S[i,j]; the state's dims in the order of the recurrence, or exchanged.
std::string solve(bool colsFirst, llvm::StringRef direction) {
  std::string text = R"mlir(
seq.mixer @solve compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @N <fixed> ROWS
  seq.dim @P <fixed> COLS
  seq.tensor @g <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @k <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @q <input> [@T, @N] per [#seq.batch<@B, 1>] : f32
  seq.tensor @v <input> [@T, @P] per [#seq.batch<@B, 1>] : f32
  seq.tensor @b <input> [@T] per [#seq.batch<@B, 1>] : f32
  seq.tensor @c <input> [@T] per [#seq.batch<@B, 1>] : f32
  seq.state @S DIMS init 2.500000e-01 <DIRECTION>
  seq.produced @o [@T, @P]
  seq.affine @S NUMBERS row_decay @g updates [#seq.update<@k, [#seq.term<coef = @b, right = @v>, #seq.term<coef = @c, read = 1>]>] reads [#seq.row_read<row = @q, before = false, result = @o>, #seq.row_read<row = @k, before = true>] <DIRECTION>
  seq.output @o : f32
  seq.kernel chunk 16 {
    seq.buffer @g <rows> order [0]
    seq.buffer @k <rows> order [0]
    seq.buffer @q <rows> order [0]
    seq.buffer @v <rows> order [0]
    seq.buffer @b <rows> order []
    seq.buffer @c <rows> order []
    seq.buffer @o <rows> order [0]
    seq.buffer @S <state> order [0, 1]
    seq.pass <DIRECTION> {
      seq.gather @g
      seq.gather @k
      seq.gather @q
      seq.gather @v
      seq.gather @b
      seq.gather @c
      seq.solve @S block 4 panel 2
      seq.scatter @o
    }
  }
}
)mlir";
  auto replace = [&](llvm::StringRef from, const std::string &to) {
    for (size_t at; (at = text.find(from)) != std::string::npos;)
      text.replace(at, from.size(), to);
  };
  replace("ROWS", std::to_string(rows));
  replace("COLS", std::to_string(cols));
  replace("DIMS", colsFirst ? "[@P, @N]" : "[@N, @P]");
  replace("NUMBERS", colsFirst ? "rows [1] cols [0]" : "rows [0] cols [1]");
  replace("DIRECTION", direction.str());
  return text;
}

class Solve : public testing::TestWithParam<std::tuple<bool, bool>> {
protected:
  void SetUp() override {
    colsFirst = std::get<0>(GetParam());
    backward = std::get<1>(GetParam());
    auto fill = [](std::vector<float> &to, int64_t count, double low, double high, unsigned seed) {
      auto reals = randomReals(count, low, high, seed);
      to.assign(reals.begin(), reals.end());
    };
    fill(g, tokens * rows, 0.3, 1, 1);
    fill(k, tokens * rows, -0.3, 0.3, 2);
    fill(q, tokens * rows, -0.3, 0.3, 3);
    fill(v, tokens * cols, -1, 1, 4);
    fill(b, tokens, 0, 1, 5);
    fill(c, tokens, -1, 0, 6);
    o.assign(tokens * cols, 77);
    fill(first, rows * cols, -1, 1, 7);
    last.assign(rows * cols, 77);
  }

  int64_t stateAt(int64_t i, int64_t j) const { return colsFirst ? j * rows + i : i * cols + j; }

  /// The definition from `state` on; the state's elements are in the order of its dims.
  std::vector<double> expect(std::vector<double> &state) const {
    std::vector<double> results(tokens * cols);
    for (int64_t step = 0; step < tokens; ++step) {
      const int64_t t = backward ? tokens - 1 - step : step;
      for (int64_t j = 0; j < cols; ++j) {
        double u = 0, result = 0;
        for (int64_t i = 0; i < rows; ++i)
          u += k[t * rows + i] * state[stateAt(i, j)];
        const double w = static_cast<double>(b[t]) * v[t * cols + j] + c[t] * u;
        for (int64_t i = 0; i < rows; ++i) {
          double &s = state[stateAt(i, j)];
          s = g[t * rows + i] * s + k[t * rows + i] * w;
          result += q[t * rows + i] * s;
        }
        results[t * cols + j] = result;
      }
    }
    return results;
  }

  /// Runs `count` tokens from token `t` on.
  void run(KernelHarness &kernel, int64_t t, int64_t count, const float *from, float *to) {
    kernel.tensor("g", g.data() + t * rows, {rows, 1});
    kernel.tensor("k", k.data() + t * rows, {rows, 1});
    kernel.tensor("q", q.data() + t * rows, {rows, 1});
    kernel.tensor("v", v.data() + t * cols, {cols, 1});
    kernel.tensor("b", b.data() + t, {1});
    kernel.tensor("c", c.data() + t, {1});
    kernel.output("o", o.data() + t * cols, {cols, 1});
    kernel.carry("S", from, to);
    kernel.run(count, t);
  }

  static void expectNear(const std::vector<float> &got, const std::vector<double> &want) {
    ASSERT_EQ(got.size(), want.size());
    double most = 0, error = 0;
    for (size_t n = 0; n < got.size(); ++n) {
      most = std::max(most, std::abs(want[n]));
      error = std::max(error, std::abs(got[n] - want[n]));
    }
    EXPECT_LE(error, 2e-6 * most);
  }

  static constexpr int64_t tokens = 39;
  bool colsFirst = false, backward = false;
  std::vector<float> g, k, q, v, b, c, o, first, last;
};

TEST_P(Solve, WholeSequences) {
  KernelHarness kernel(solve(colsFirst, backward ? "backward" : "forward"));
  for (bool given : {false, true}) {
    run(kernel, 0, tokens, given ? first.data() : nullptr, last.data());
    std::vector<double> state(rows * cols, 0.25);
    if (given)
      state.assign(first.begin(), first.end());
    expectNear(o, expect(state));
    expectNear(last, state);
  }
}

/// A run of one token that has a carry on both sides goes another way than all others.
TEST_P(Solve, TokenByToken) {
  KernelHarness kernel(solve(colsFirst, backward ? "backward" : "forward"));
  std::vector<double> state(rows * cols, 0.25);
  const std::vector<double> results = expect(state);
  std::vector<float> other(rows * cols, 77), *from = nullptr, *to = &last;
  for (int64_t step = 0; step < tokens; ++step) {
    run(kernel, backward ? tokens - 1 - step : step, 1, from ? from->data() : nullptr, to->data());
    // In place for a while, then from one carry to the other.
    from = to;
    to = step < tokens / 2 ? to : to == &last ? &other : &last;
  }
  expectNear(o, results);
  expectNear(*from, state);
}

INSTANTIATE_TEST_SUITE_P(Orders, Solve, testing::Combine(testing::Bool(), testing::Bool()));

} // namespace
