//===- StructureRangeTest.cpp - interval analysis ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "StructureHarness.h"

#include "compiler/structure/Range.h"
#include <gtest/gtest.h>

#include <cmath>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;
using namespace seqmix::test;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// The interval of the definition `e` of a mixer with these lines.
class RangeTest : public testing::Test {
protected:
  Interval of(const std::string &lines) {
    // A module must not outlive its context.
    ranges.reset();
    model.reset();
    structured.before = {};
    structured.after = {};
    structured =
        structure("mixer m\n  dims t in T; i, n in K = 4\n"
                  "  input x[t], y[t,i]\n  input g[t] in [-5, 0]\n  input u[t] in [0, 1]\n" +
                  lines + "\n  output e[t]\n");
    if (!structured.before)
      return {kInf, -kInf};
    model.emplace(*structured.before->getOps<MixerOp>().begin());
    ranges.emplace(*model);
    return ranges->of(model->equation(model->exprs().attr("e"))->body);
  }
  std::vector<std::string> facts() {
    Facts facts;
    ranges->explain(model->equation(model->exprs().attr("e"))->body, facts);
    return facts.list;
  }

  Structured structured;
  std::optional<Model> model;
  std::optional<Ranges> ranges;
};

TEST_F(RangeTest, DeclaredRangesGoThroughFunctions) {
  Interval decay = of("  e[t] = exp(g[t])");
  EXPECT_DOUBLE_EQ(decay.low, std::exp(-5));
  EXPECT_EQ(decay.high, 1);
  EXPECT_EQ(of("  e[t] = 1 - u[t]"), (Interval{0, 1}));
  EXPECT_EQ(of("  e[t] = exp(-exp(x[t]))"), (Interval{0, 1}));
  EXPECT_EQ(of("  e[t] = -softplus(x[t]) * exp(x[t])").high, 0);
  EXPECT_EQ(of("  e[t] = logsigmoid(x[t]) / 16").high, 0);
  EXPECT_EQ(of("  e[t] = u[t] + (1 - u[t]) * sigmoid(x[t])").low, 0);
  EXPECT_EQ(of("  e[t] = tanh(x[t])"), (Interval{-1, 1}));
}

TEST_F(RangeTest, UnknownValuesAreUnbounded) {
  EXPECT_EQ(of("  e[t] = x[t]"), Interval());
  EXPECT_EQ(of("  e[t] = exp(x[t])"), (Interval{0, kInf}));
  EXPECT_EQ(of("  e[t] = 1 / x[t]"), Interval());
  // A state may start from any carry.
  EXPECT_EQ(of("  state s[] = 0\n  s[t] = 0.5 * s[t-1] + u[t]\n  e[t] = s[t]"), Interval());
}

TEST_F(RangeTest, ReadsOutsideTheExtentAreZero) {
  EXPECT_EQ(of("  f[t] = 1 + u[t]\n  e[t] = f[t-1]"), (Interval{0, 2}));
  EXPECT_EQ(of("  f[t] = 1 + u[t]\n  e[t] = f[t]"), (Interval{1, 2}));
}

TEST_F(RangeTest, SumsAndSquares) {
  EXPECT_EQ(of("  e[t] = sum[i] y[t,i] * y[t,i]").low, 0);
  EXPECT_EQ(of("  e[t] = sum[i] u[t]"), (Interval{0, 4}));
  EXPECT_EQ(of("  e[t] = max[i] (u[t] * i)"), (Interval{0, 3}));
}

TEST_F(RangeTest, SumsOfAValueThatOccursTwice) {
  EXPECT_EQ(of("  e[t] = u[t] + (1 - u[t]) * sigmoid(x[t])"), (Interval{0, 1}));
  EXPECT_EQ(of("  e[t] = u[t] * tanh(x[t]) - (1 - u[t])"), (Interval{-1, 1}));
  EXPECT_EQ(of("  e[t] = 2 * u[t] - u[t]"), (Interval{0, 1}));
  // Linear in each of two.
  EXPECT_EQ(of("  e[t] = u[t] * (1 - sigmoid(x[t])) + sigmoid(x[t]) * (1 - u[t])"),
            (Interval{0, 1}));
  // No linear function of u: 0.25 above the ends.
  Interval square = of("  e[t] = u[t] - u[t] * u[t]");
  EXPECT_LE(square.low, 0);
  EXPECT_GE(square.high, 0.25);
  EXPECT_GE(of("  e[t] = u[t] - exp(u[t]) * u[t] + 1").high, 1);
  EXPECT_GE(of("  e[t] = u[t] + (1 - u[t]) * sin(9 * u[t])").high, 1);
}

TEST_F(RangeTest, PartsOfSums) {
  EXPECT_EQ(of("  e[t] = t / (t + 1)"), (Interval{0, 1}));
  EXPECT_EQ(of("  e[t] = u[t] / (softplus(x[t]) + u[t] + 0.1)"), (Interval{0, 1}));
  // Not of numbers below zero.
  EXPECT_GT(of("  e[t] = t / (t - 1)").high, 1);
  EXPECT_GT(of("  e[t] = u[t] / (x[t] + u[t])").high, 1);
  EXPECT_GT(of("  e[t] = u[t] / (2 * u[t])").high, 1);
}

TEST_F(RangeTest, StabilisersBoundTheirExponents) {
  const std::string m = "  state m[] = -inf\n  lf[t] = logsigmoid(x[t])\n"
                        "  m[t] = max(lf[t] + m[t-1], u[t] - g[t])\n";
  EXPECT_EQ(of(m + "  e[t] = exp(lf[t] + m[t-1] - m[t])").high, 1);
  EXPECT_EQ(facts(),
            (std::vector<std::string>{"exp > 0", "m[t] >= lf[t] + m[t-1] (its equation)"}));
  EXPECT_EQ(of(m + "  e[t] = exp(logsigmoid(x[t]) + m[t-1] - m[t])").high, 1);
  EXPECT_EQ(of(m + "  e[t] = u[t] - g[t] - m[t]").high, 0);
  // Not a lower bound of m[t]: m may be smaller than this.
  EXPECT_EQ(of(m + "  e[t] = exp(m[t-1] - m[t])").high, kInf);
  EXPECT_EQ(of(m + "  e[t] = exp(x[t] - m[t])").high, kInf);
  // m[t-1] + lf[t] - 1 is smaller still.
  EXPECT_LE(of(m + "  e[t] = lf[t] + m[t-1] - 1 - m[t]").high, -1);
}

TEST_F(RangeTest, LogAddExpIsALargeMaximum) {
  const std::string z = "  state z[] = -inf\n  z[t] = logaddexp(z[t-1], x[t])\n";
  EXPECT_EQ(of(z + "  e[t] = exp(z[t-1] - z[t])").high, 1);
  EXPECT_EQ(of(z + "  e[t] = exp(x[t] - z[t])").high, 1);
}

} // namespace
