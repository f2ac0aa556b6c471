//===- StructureSumsTest.cpp - sums over tokens as states ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "StructureHarness.h"

#include "llvm/ADT/StringExtras.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;
using namespace seqmix::test;

namespace {

const char *const declarations = R"(
mixer m
  dims   B, H batch; t, s, r in T; i, n in K = 3; j in V = 4
  const  W = 3
  input  q[t,i], k[s,i], v[s,j]
  input  g[t] in [-5, 0]
  input  h[t,i] in [-5, 0]
  input  f[t]
  input  on[t] : bool
  input  doc[t] : i32 in [0, 2]
  param  c[H] in [0, 1]
  param  e[T,i]
  G[t]   = cumsum[t] g[t]
  U[t,i] = cumsum[t] h[t,i]
  F[t]   = cumsum[t] f[t]
)";

std::string withOutput(const std::string &equations) {
  return declarations + equations + "  output o[t,j]\n";
}

/// The states that sums became, as `forward backward` counts.
std::pair<int, int> statesOf(Structured &s) {
  std::pair<int, int> count(0, 0);
  for (auto state : s.mixer().getOps<StateOp>())
    if (state->hasAttr("seq.sum_of"))
      ++(state.getDirection() == Direction::Forward ? count.first : count.second);
  return count;
}

std::string reasonsOf(Structured &s) {
  auto reasons = s.mixer()->getAttrOfType<ArrayAttr>("seq.over_pairs");
  return reasons ? llvm::join(reasons.getAsValueRange<StringAttr>(), "; ") : "";
}

struct Linear {
  const char *name, *equations;
  int forward, backward;
};

class LinearSumsTest : public testing::TestWithParam<Linear> {};

TEST_P(LinearSumsTest, KeepsItsValues) {
  Structured s = structure(withOutput(GetParam().equations), 1, {}, true);
  ASSERT_TRUE(s.after) << s.errors;
  EXPECT_EQ(statesOf(s), std::pair(GetParam().forward, GetParam().backward)) << s.text();
  EXPECT_EQ(reasonsOf(s), "");
  for (int64_t tokens : {0, 1, 2, 9})
    expectSameValues(s, tokens);
  if (HasFailure())
    std::cerr << s.text();
}

const Linear linear[] = {
    {"plain", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t
)",
     1, 0},
    {"read_before", R"(
  o[t,j] = sum[s] (sum[i] exp(q[t,i]) * tanh(k[s,i])) * v[s,j]
    where s < t
)",
     1, 0},
    {"one_before", R"(
  o[t,j] = sum[s] v[s,j] * c^(t - s)
    where s <= t - 1
)",
     1, 0},
    {"both_indices_of_one_sum", R"(
  o[t,j] = sum[s,i] q[t,i] * k[s,i] * v[s,j]
    where s <= t
)",
     1, 0},
    {"rank_on_one_side", R"(
  o[t,j] = sum[s] (sum[i] k[s,i]) * v[s,j] + sum[r] (sum[i] q[t,i]) * v[r,j]
    where s <= t and r <= t
)",
     2, 0},
    {"same_state_twice", R"(
  a[t,s] = sum[i] q[t,i] * k[s,i]
    where s <= t
  b[t,s] = sum[i] k[t,i] * k[s,i]
    where s < t
  o[t,j] = sum[s] a[t,s] * v[s,j] - sum[r] b[t,r] * v[r,j]
)",
     1, 0},
    {"polynomial", R"(
  a[t,s] = 0.3 * sum[i] q[t,i] * k[s,i]
  w[t,s] = (1 + a[t,s])^2
    where s <= t
  o[t,j] = sum[s] w[t,s] * v[s,j]
)",
     3, 0},
    {"conditions_of_one_position", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t and on[s] and doc[t] < 2
)",
     1, 0},
    {"distance_by_index", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i] * exp(-(i + 1) * c * (t - s) / 4)) * v[s,j]
    where s <= t
)",
     1, 0},
    {"growing_distance", R"(
  o[t,j] = sum[s] exp(c * (t - s) + f[s]) * v[s,j]
    where s <= t
)",
     1, 0},
    {"below_the_line", R"(
  o[t,j] = sum[s] v[s,j] / exp(c * (t - s)) / 2^(t - s)
    where s <= t
)",
     1, 0},
    {"gates", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i] * exp(U[t,i] - U[s,i])) * exp(2 * (G[t] - G[s])) * v[s,j]
    where s <= t
)",
     1, 0},
    {"gates_read_before", R"(
  o[t,j] = sum[s] exp(G[t] - G[s]) * v[s,j] + sum[r] exp(G[t-1] - G[r]) * v[r,j]
    where s < t and r < t
)",
     1, 0},
    {"gates_of_the_write", R"(
  o[t,j] = sum[s] exp(G[t] - G[s-1]) * v[s,j]
    where s <= t
)",
     1, 0},
    {"bounded_parts", R"(
  o[t,j] = sum[s] exp(g[t] + h[s,0] - c * (t - s)) * v[s,j]
    where s <= t
)",
     1, 0},
    {"later_positions", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * exp(G[s] - G[t]) * v[s,j]
    where s >= t
)",
     0, 1},
    {"only_later_positions", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * exp(G[s] - G[t]) * c^(s - t - 1) * v[s,j]
    where s > t
)",
     0, 1},
    {"all_positions", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
)",
     1, 1},
    {"distance_on_both_sides", R"(
  o[t,j] = sum[s] exp(-c * abs(t - s)) * v[s,j]
)",
     1, 1},
    {"sum_in_a_sum", R"(
  z[s]   = sum[r] k[r,0]
    where r <= s
  o[t,j] = sum[s] f[t] * z[s] * v[s,j]
    where s <= t
)",
     2, 0},
    {"windows", R"(
  o[t,j] = sum[s] (sum[i] q[t-1,i] * k[s-2,i]) * v[s,j]
    where s <= t
)",
     1, 0},
    {"positions_in_factors", R"(
  o[t,j] = sum[s] cos(s) * e[s+1,0] * v[s,j] / (t + 1)
    where s <= t
)",
     1, 0},
};

INSTANTIATE_TEST_SUITE_P(All, LinearSumsTest, testing::ValuesIn(linear),
                         [](const auto &info) { return info.param.name; });

struct Refused {
  const char *name, *equations, *reason;
};

class RefusedSumsTest : public testing::TestWithParam<Refused> {};

TEST_P(RefusedSumsTest, SaysWhy) {
  Structured s = structure(withOutput(GetParam().equations), 1, {}, true);
  ASSERT_TRUE(s.after) << s.errors;
  EXPECT_EQ(statesOf(s), std::pair(0, 0)) << s.text();
  EXPECT_EQ(reasonsOf(s), GetParam().reason);
  expectSameValues(s, 9);
}

const Refused refused[] = {
    {"function_of_a_score", R"(
  o[t,j] = sum[s] silu(sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t
)",
     "o: 'silu(sum[i] q[t,i] * k[s,i])' is no sum of products of a factor of 't' and one of 's'"},
    {"exponential_of_a_score", R"(
  o[t,j] = sum[s] exp(sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t
)",
     "o: 'exp(sum[i] q[t,i] * k[s,i])' is no exponential of a distance: 'sum[i] k[s,i] * q[t,i]' "
     "ties two positions"},
    {"softmax", R"(
  p[t,s] = softmax[s] q[t,0] * k[s,0]
    where s <= t
  o[t,j] = sum[s] p[t,s] * v[s,j]
)",
     "o: its softmax of pairs is no sum of products of a factor of 't' and one of 's'"},
    {"window", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t and t - s < W
)",
     "o: its domain is a window of 3 positions"},
    {"documents", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t and doc[s] == doc[t]
)",
     "o: its domain 'doc[s] == doc[t]' is no order of the positions"},
    {"unbounded_gates", R"(
  o[t,j] = sum[s] exp(F[t] - F[s]) * v[s,j]
    where s <= t
)",
     "o: 'exp(F[t] - F[s])' has an exponent that is not known to fall with the distance: nothing "
     "bounds 'f[s]' by 0"},
    {"unbounded_parts", R"(
  o[t,j] = sum[s] exp(f[t] + k[s,0]) * v[s,j]
    where s <= t
)",
     "o: 'exp(f[t] + k[s,0])' cannot be taken apart: 'f[t]' has no declared upper bound, and its "
     "exponential alone could overflow"},
    {"difference_of_running_sums", R"(
  o[t,j] = sum[s] (F[t] - F[s]) * v[s,j]
    where s <= t
)",
     "o: apart, 'F[t]' outgrows the differences that it stands in"},
    {"any_function_of_the_distance", R"(
  o[t,j] = sum[s] e[t-s,0] * v[s,j]
    where s <= t
)",
     "o: 'e[t-s,0]' is no sum of products of a factor of 't' and one of 's'"},
    {"farther_back", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s < t - 2
)",
     "o: its domain ends 3 positions away from 't'"},
    {"beyond", R"(
  o[t,j] = sum[s] (sum[i] q[t,i] * k[s,i]) * v[s,j]
    where s <= t + 1
)",
     "o: its domain reaches 1 positions beyond 't'"},
};

INSTANTIATE_TEST_SUITE_P(All, RefusedSumsTest, testing::ValuesIn(refused),
                         [](const auto &info) { return info.param.name; });

TEST(LinearSums, CostDecides) {
  std::string text = withOutput(R"(
  a[t,s] = sum[i] q[t,i] * k[s,i]
  o[t,j] = sum[s] a[t,s]^4 * v[s,j]
    where s <= t
)");
  Structured small = structure(text, 1, {}, true);
  EXPECT_EQ(statesOf(small), std::pair(1, 0));
  size_t at = text.find("K = 3");
  Structured large = structure(text.replace(at, 5, "K = 32"), 1, {}, true);
  EXPECT_EQ(statesOf(large), std::pair(0, 0));
  EXPECT_EQ(reasonsOf(large),
            "o: its rank makes a state of 4194304 elements, more than pairs cost");
}

TEST(LinearSums, LeavesWhatIsReadAhead) {
  Structured s = structure(withOutput(R"(
  o[t,j] = sum[s] k[s+1,0] * v[s,j]
    where s <= t
)"),
                           1, {}, true);
  EXPECT_EQ(statesOf(s), std::pair(0, 0));
  EXPECT_EQ(reasonsOf(s), "o: 'k[s+1,0]' is not known at its own token");
}

TEST(LinearSums, DropsRunningSumsOfExponents) {
  Structured s = structure(withOutput(R"(
  o[t,j] = sum[s] exp(G[t] - G[s]) * v[s,j]
    where s <= t
)"),
                           1, {}, true);
  EXPECT_TRUE((*s.before->getOps<MixerOp>().begin()).lookupSymbol("G.cumsum"));
  EXPECT_FALSE(s.mixer().lookupSymbol("G.cumsum"));
}

} // namespace
