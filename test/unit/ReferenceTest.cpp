//===- ReferenceTest.cpp - the oracle against loops written by hand --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "MixerSupport.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace seqmix;
using namespace seqmix::test;
using reference::Array;
using reference::Arrays;
using reference::RunOptions;
using reference::RunResult;

namespace {

constexpr double kTolerance = 1e-13;

const char *const kGated = R"(
mixer gated
  dims   B, H batch; t in T; i in K = 3; j in V = 2
  input  q[t,i], k[t,i], v[t,j]
  input  g[t,i]
  state  S[i,j] = 0
  S[t,i,j] = exp(g[t,i]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j]   = K^-0.5 * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)";

Arrays gatedInputs(int64_t batch, int64_t tokens, int64_t heads) {
  Arrays inputs = {{"q", randomArray({batch, tokens, heads, 3}, 1)},
                   {"k", randomArray({batch, tokens, heads, 3}, 2)},
                   {"v", randomArray({batch, tokens, heads, 2}, 3)},
                   {"g", randomArray({batch, tokens, heads, 3}, 4)}};
  for (double &gate : inputs["g"].values)
    gate = -std::fabs(gate);
  return inputs;
}

TEST(Reference, MatrixStateAgreesWithLoops) {
  constexpr int64_t B = 2, T = 11, H = 3, K = 3, V = 2;
  Imported mixer = importText(kGated);
  Arrays inputs = gatedInputs(B, T, H);
  RunOptions options;
  options.carry["S"] = randomArray({B, H, K, V}, 5);
  RunResult result = run(mixer, inputs, options);
  Array expected({B, T, H, V}), final({B, H, K, V});
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h) {
      double S[K][V];
      for (int64_t i = 0; i < K * V; ++i)
        S[i / V][i % V] = options.carry["S"].values[(b * H + h) * K * V + i];
      for (int64_t t = 0; t < T; ++t) {
        int64_t token = (b * T + t) * H + h;
        for (int64_t i = 0; i < K; ++i)
          for (int64_t j = 0; j < V; ++j)
            S[i][j] = std::exp(inputs["g"].values[token * K + i]) * S[i][j] +
                      inputs["k"].values[token * K + i] * inputs["v"].values[token * V + j];
        for (int64_t j = 0; j < V; ++j)
          for (int64_t i = 0; i < K; ++i)
            expected.values[token * V + j] +=
                inputs["q"].values[token * K + i] * S[i][j] / std::sqrt(double(K));
      }
      for (int64_t i = 0; i < K * V; ++i)
        final.values[(b * H + h) * K * V + i] = S[i / V][i % V];
    }
  EXPECT_LT(difference(result.outputs["o"], expected), kTolerance);
  EXPECT_LT(difference(result.carry["S"], final), kTolerance);
  EXPECT_EQ(result.carry["position"].values, (std::vector<double>{T, T}));
}

TEST(Reference, SplitSequenceAgreesWithWhole) {
  Imported mixer = importText(kGated);
  Arrays inputs = gatedInputs(2, 9, 2);
  RunResult whole = run(mixer, inputs);
  for (int64_t at : {0, 1, 4, 9}) {
    Arrays first, second;
    for (const auto &[name, array] : inputs) {
      first[name] = slice(array, 1, 0, at);
      second[name] = slice(array, 1, at, 9);
    }
    RunResult before = run(mixer, first);
    RunOptions options;
    options.carry = before.carry;
    RunResult after = run(mixer, second, options);
    EXPECT_LT(difference(before.outputs["o"], slice(whole.outputs["o"], 1, 0, at)), kTolerance);
    EXPECT_LT(difference(after.outputs["o"], slice(whole.outputs["o"], 1, at, 9)), kTolerance);
    EXPECT_LT(difference(after.carry["S"], whole.carry["S"]), kTolerance);
    EXPECT_EQ(after.carry["position"].values, whole.carry["position"].values);
  }
}

TEST(Reference, PackedSequencesAgreeWithSeparateOnes) {
  Imported mixer = importText(kGated);
  Arrays inputs = gatedInputs(1, 10, 2);
  RunOptions options;
  options.cuSeqlens = {0, 4, 4, 10};
  options.carry["S"] = randomArray({3, 2, 3, 2}, 9);
  RunResult packed = run(mixer, inputs, options);
  ASSERT_EQ(packed.carry["S"].shape, (std::vector<int64_t>{3, 2, 3, 2}));
  for (int64_t sequence = 0; sequence < 3; ++sequence) {
    int64_t begin = options.cuSeqlens[sequence], end = options.cuSeqlens[sequence + 1];
    Arrays own;
    for (const auto &[name, array] : inputs)
      own[name] = slice(array, 1, begin, end);
    RunOptions ownOptions;
    ownOptions.carry["S"] = slice(options.carry["S"], 0, sequence, sequence + 1);
    RunResult single = run(mixer, own, ownOptions);
    EXPECT_LT(difference(slice(packed.outputs["o"], 1, begin, end), single.outputs["o"]),
              kTolerance);
    EXPECT_LT(difference(slice(packed.carry["S"], 0, sequence, sequence + 1), single.carry["S"]),
              kTolerance);
    EXPECT_EQ(packed.carry["position"].values[sequence], end - begin);
  }
}

TEST(Reference, StatesRunBothWays) {
  Imported mixer = importText(R"(
mixer both
  dims  B batch; t in T
  input x[t], a[t]
  state F[] = 0
  state R[] = 2
  F[t] = a[t] * F[t-1] + x[t]
  R[t] = a[t] * R[t+1] + x[t]
  y[t] = F[t-1] + 3 * R[t+1] + x[t]
  output y[t]
)");
  constexpr int64_t T = 6;
  Arrays inputs = {{"x", randomArray({1, T}, 1)}, {"a", randomArray({1, T}, 2)}};
  const auto &x = inputs["x"].values, &a = inputs["a"].values;
  Array expected({1, T});
  double forward = 0, backward = 2;
  for (int64_t t = 0; t < T; ++t) {
    expected.values[t] += forward + x[t];
    forward = a[t] * forward + x[t];
  }
  for (int64_t t = T - 1; t >= 0; --t) {
    expected.values[t] += 3 * backward;
    backward = a[t] * backward + x[t];
  }
  RunResult result = run(mixer, inputs);
  EXPECT_LT(difference(result.outputs["y"], expected), kTolerance);
  EXPECT_NEAR(result.carry["F"].values[0], forward, kTolerance);
  EXPECT_NEAR(result.carry["R"].values[0], backward, kTolerance);
}

TEST(Reference, WindowsAreCarried) {
  Imported mixer = importText(R"(
mixer window
  dims  B batch; t in T; d in D = 2; w in W = 4
  input x[t,d]
  param c[w,d]
  z[t,d] = x[t,d] - 0.5 * x[t-1,d]
  y[t,d] = sum[w] c[w,d] * x[t-w,d] + z[t-2,d] + t
  output y[t,d]
)");
  constexpr int64_t T = 7, D = 2, W = 4;
  Arrays inputs = {{"x", randomArray({1, T, D}, 1)}, {"c", randomArray({W, D}, 2)}};
  auto x = [&](int64_t t, int64_t d) { return t < 0 ? 0 : inputs["x"].values[t * D + d]; };
  auto z = [&](int64_t t, int64_t d) { return t < 0 ? 0 : x(t, d) - 0.5 * x(t - 1, d); };
  Array expected({1, T, D});
  for (int64_t t = 0; t < T; ++t)
    for (int64_t d = 0; d < D; ++d) {
      double sum = z(t - 2, d) + double(t);
      for (int64_t w = 0; w < W; ++w)
        sum += inputs["c"].values[w * D + d] * x(t - w, d);
      expected.values[t * D + d] = sum;
    }
  RunResult whole = run(mixer, inputs);
  EXPECT_LT(difference(whole.outputs["y"], expected), kTolerance);
  EXPECT_EQ(whole.carry["x_window"].shape, (std::vector<int64_t>{1, W - 1, D}));
  EXPECT_EQ(whole.carry["z_window"].shape, (std::vector<int64_t>{1, 2, D}));
  // One token at a time, so that windows are longer than what is there.
  RunOptions options;
  for (int64_t t = 0; t < T; ++t) {
    Arrays token = {{"x", slice(inputs["x"], 1, t, t + 1)}, {"c", inputs["c"]}};
    RunResult step = run(mixer, token, options);
    EXPECT_LT(difference(step.outputs["y"], slice(expected, 1, t, t + 1)), kTolerance) << t;
    options.carry = step.carry;
  }
  EXPECT_LT(difference(options.carry["x_window"], whole.carry["x_window"]), kTolerance);
  EXPECT_LT(difference(options.carry["z_window"], whole.carry["z_window"]), kTolerance);
}

TEST(Reference, PairsInADomainWithGroupedHeads) {
  Imported mixer = importText(R"(
mixer pairs
  dims  B, H batch; t, s in T; i in K = 3; j in V = 2
  const W = 3
  input q[t,i]
  input k[s,i], v[s,j] per B, H/2
  param slope[H]
  p[t,s] = softmax[s] (sum[i] q[t,i] * k[s,i] - slope * (t - s))
    where s <= t and t - s < W
  o[t,j] = sum[s] p[t,s] * v[s,j]
  output o[t,j]
)");
  constexpr int64_t T = 8, H = 4, G = 2, K = 3, V = 2, W = 3;
  Arrays inputs = {{"q", randomArray({1, T, H, K}, 1)},
                   {"k", randomArray({1, T, G, K}, 2)},
                   {"v", randomArray({1, T, G, V}, 3)},
                   {"slope", randomArray({H}, 4)}};
  Array expected({1, T, H, V});
  for (int64_t h = 0; h < H; ++h)
    for (int64_t t = 0; t < T; ++t) {
      double total = 0;
      for (int64_t s = std::max<int64_t>(0, t - W + 1); s <= t; ++s) {
        double score = -inputs["slope"].values[h] * double(t - s);
        for (int64_t i = 0; i < K; ++i)
          score +=
              inputs["q"].values[(t * H + h) * K + i] * inputs["k"].values[(s * G + h / 2) * K + i];
        total += std::exp(score);
        for (int64_t j = 0; j < V; ++j)
          expected.values[(t * H + h) * V + j] +=
              std::exp(score) * inputs["v"].values[(s * G + h / 2) * V + j];
      }
      for (int64_t j = 0; j < V; ++j)
        expected.values[(t * H + h) * V + j] /= total;
    }
  EXPECT_LT(difference(run(mixer, inputs).outputs["o"], expected), kTolerance);
}

TEST(Reference, MapsAndReductions) {
  Imported mixer = importText(R"(
mixer maps
  dims  B batch; t in T; d in D = 4
  input x[t,d]
  c[t,d] = cumsum[t] x[t,d]
  m[t,d] = topk[d, 2] x[t,d]
  a[t]   = logsumexp[d] x[t,d]
  n[t]   = min[d] x[t,d]
  z[t]   = prod[d] (x[t,d] if m[t,d] else 1)
  output c[t,d], a[t], n[t], z[t]
  output m[t,d] : bool
)");
  Arrays inputs;
  inputs["x"] = Array({1, 2, 4});
  inputs["x"].values = {1, 3, 3, 3, -1, 0, 2, -5};
  RunResult result = run(mixer, inputs);
  EXPECT_EQ(result.outputs["c"].values, (std::vector<double>{1, 3, 3, 3, 0, 3, 5, -2}));
  EXPECT_EQ(result.outputs["m"].values, (std::vector<double>{0, 1, 1, 0, 0, 1, 1, 0}));
  EXPECT_NEAR(result.outputs["a"].values[0], std::log(std::exp(1.0) + 3 * std::exp(3.0)), 1e-14);
  EXPECT_EQ(result.outputs["n"].values, (std::vector<double>{1, -5}));
  EXPECT_EQ(result.outputs["z"].values, (std::vector<double>{9, 0}));
}

TEST(Reference, CumulativeSumsAreCarried) {
  Imported mixer = importText(R"(
mixer sums
  dims  B batch; t in T; d in D = 2; e in E = 2
  input x[t,d]
  param w[d,e]
  c[t,d] = 2 * cumsum[t] x[t,d]
    where t % 2 == 0
  y[t,e] = sum[d] w[d,e] * cumsum[t] (x[t,d] * w[d,e]) + sum[d] (c[t,d] if t % 2 == 0 else c[t-1,d])
  output y[t,e]
)");
  constexpr int64_t T = 5;
  Arrays inputs = {{"x", randomArray({1, T, 2}, 1)}, {"w", randomArray({2, 2}, 2)}};
  const auto &x = inputs["x"].values, &w = inputs["w"].values;
  Array expected({1, T, 2});
  for (int64_t t = 0; t < T; ++t)
    for (int64_t e = 0; e < 2; ++e)
      for (int64_t d = 0; d < 2; ++d)
        for (int64_t u = 0; u <= t; ++u) {
          expected.values[t * 2 + e] += w[d * 2 + e] * x[u * 2 + d] * w[d * 2 + e];
          if (u % 2 == 0)
            expected.values[t * 2 + e] += 2 * x[u * 2 + d];
        }
  RunResult whole = run(mixer, inputs);
  EXPECT_LT(difference(whole.outputs["y"], expected), kTolerance);
  EXPECT_EQ(whole.carry["y.cumsum"].shape, (std::vector<int64_t>{1, 2, 2}));
  Arrays first = inputs, second = inputs;
  first["x"] = slice(inputs["x"], 1, 0, 3);
  second["x"] = slice(inputs["x"], 1, 3, T);
  RunOptions options;
  options.carry = run(mixer, first).carry;
  RunResult after = run(mixer, second, options);
  EXPECT_LT(difference(after.carry["c.cumsum"], whole.carry["c.cumsum"]), kTolerance);
  EXPECT_LT(difference(after.carry["y.cumsum"], whole.carry["y.cumsum"]), kTolerance);
}

TEST(Reference, LengthAndReadsOutside) {
  Imported mixer = importText(R"(
mixer reads
  dims  B batch; t in T; r in R = 3
  input x[t]
  input n[t] : i32
  param b[r], f[T]
  y[t] = x[t+1] + b[t - 1] + b[n[t]] + f[t] / T
  output y[t]
)");
  Arrays inputs = {
      {"x", randomArray({1, 4}, 1)}, {"b", randomArray({3}, 2)}, {"f", randomArray({6}, 3)}};
  inputs["n"] = Array({1, 4});
  inputs["n"].values = {-7, 1, 2, 9};
  const auto &x = inputs["x"].values, &b = inputs["b"].values, &f = inputs["f"].values;
  Array expected({1, 4});
  expected.values = {x[1] + b[0] + f[0] / 4, x[2] + b[0] + b[1] + f[1] / 4,
                     x[3] + b[1] + b[2] + f[2] / 4, b[2] + b[2] + f[3] / 4};
  EXPECT_LT(difference(run(mixer, inputs).outputs["y"], expected), kTolerance);
}

TEST(Reference, NoTokensGiveBackTheCarry) {
  Imported mixer = importText(kGated);
  RunOptions options;
  options.carry["S"] = randomArray({2, 2, 3, 2}, 1);
  options.carry["position"] = Array({2}, 5);
  RunResult result = run(mixer, gatedInputs(2, 0, 2), options);
  EXPECT_EQ(result.outputs["o"].shape, (std::vector<int64_t>{2, 0, 2, 2}));
  EXPECT_EQ(result.carry["S"].values, options.carry["S"].values);
  EXPECT_EQ(result.carry["position"].values, options.carry["position"].values);
}

const char *const kHidden = R"(
mixer hidden
  dims   B, H batch; t in T
  input  x[t] per B
  state  s[] = 1
  s[t] = 0.5 * s[t-1] + x[t]
  output s[t]
)";

TEST(Reference, TakesExtentsThatNoInputHasFromTheOptions) {
  Imported mixer = importText(kHidden);
  Arrays inputs{{"x", randomArray({2, 3}, 1)}};
  RunOptions options;
  options.extents = {{"B", 7}, {"H", 4}}; // B is the input's
  RunResult result = run(mixer, inputs, options);
  EXPECT_EQ(result.outputs["s"].shape, (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(result.carry["s"].shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(result.outputs["s"].values[0], 0.5 + inputs["x"].values[0]);
  EXPECT_EQ(result.outputs["s"].values[3], 0.5 + inputs["x"].values[0]);
}

TEST(Reference, NoiseMovesResultsByItsSize) {
  Imported mixer = importText(kGated);
  Arrays inputs = gatedInputs(2, 9, 2);
  RunResult exact = run(mixer, inputs);
  RunOptions options;
  options.noise = 1e-6;
  RunResult moved = run(mixer, inputs, options);
  double change = difference(moved.outputs["o"], exact.outputs["o"]);
  EXPECT_GT(change, 1e-8);
  EXPECT_LT(change, 1e-4);
  EXPECT_EQ(run(mixer, inputs, options).outputs["o"].values, moved.outputs["o"].values);
  options.noiseSeed = 1;
  EXPECT_NE(run(mixer, inputs, options).outputs["o"].values, moved.outputs["o"].values);
}

std::string errorOf(Imported &mixer, const Arrays &inputs, const RunOptions &options = {}) {
  auto result = reference::interpret(mixer.mixer(), inputs, options);
  return result ? "" : llvm::toString(result.takeError());
}

TEST(Reference, SaysWhatDoesNotFit) {
  Imported mixer = importText(kGated);
  Arrays inputs = gatedInputs(1, 4, 2);
  inputs.erase("k");
  EXPECT_EQ(errorOf(mixer, inputs), "'k' is not given");
  inputs["k"] = Array({1, 5, 2, 3});
  EXPECT_EQ(errorOf(mixer, inputs), "'k' has 5 elements along T, another input has 4");
  inputs["k"] = Array({1, 4, 2, 7});
  EXPECT_EQ(errorOf(mixer, inputs), "'k' has 7 elements along K, which is 3");
  inputs["k"] = Array({1, 4, 2});
  EXPECT_EQ(errorOf(mixer, inputs), "'k' has shape [1, 4, 2]; expected 4 dims");
  Imported hidden = importText(kHidden);
  EXPECT_EQ(errorOf(hidden, {{"x", randomArray({2, 3}, 1)}}), "no input shows the extent of H");
  inputs = gatedInputs(1, 4, 2);
  RunOptions options;
  options.carry["S"] = Array({1, 2, 3});
  EXPECT_EQ(errorOf(mixer, inputs, options),
            "component 'S' of the carry has shape [1, 2, 3]; expected [1, 2, 3, 2]");
  options = {};
  options.cuSeqlens = {0, 3};
  EXPECT_EQ(errorOf(mixer, inputs, options),
            "the starts of packed sequences must rise from 0 to 4");
}

TEST(Reference, RoundsToStorage) {
  mlir::MLIRContext context;
  EXPECT_EQ(reference::roundTo(mlir::BFloat16Type::get(&context), 1.00390625), 1.0); // a tie
  EXPECT_EQ(reference::roundTo(mlir::BFloat16Type::get(&context), 1.01171875), 1.015625);
  EXPECT_EQ(reference::roundTo(mlir::Float16Type::get(&context), 70000), HUGE_VAL);
  EXPECT_EQ(reference::roundTo(mlir::Float32Type::get(&context), 0.1), double(0.1f));
  EXPECT_EQ(reference::roundTo(mlir::IntegerType::get(&context, 32), -2.5), -2);
}

} // namespace
