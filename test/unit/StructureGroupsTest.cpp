//===- StructureGroupsTest.cpp - classes, lanes and members of recurrences ----===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "StructureHarness.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix::test;

namespace {

const std::string dims = "mixer m\n  dims t in T; i, n in K = 4; j, p in V = 3\n";

std::string describe(RecurrenceOp op) {
  if (!op)
    return "none";
  std::string text;
  for (auto member : op.getMembers().getAsRange<FlatSymbolRefAttr>())
    text += member.getValue().str() + " ";
  text += stringifyStateClass(op.getStateClass()).str();
  if (op.getLanesAttr())
    text += " lanes " + op.getLanesAttr().getValue().str();
  if (op.getDirection() == Direction::Backward)
    text += " backward";
  return text;
}

struct Example {
  const char *name;
  const char *group; // of the state S
  const char *text;
};

class GroupsTest : public testing::TestWithParam<Example> {};

TEST_P(GroupsTest, HasTheClassAndTheValues) {
  Structured s = structure(dims + GetParam().text);
  expectSameValues(s);
  if (s.after) {
    EXPECT_EQ(describe(s.recurrence("S")), GetParam().group) << s.text();
  }
}

const Example examples[] = {
    {"elementwise", "S elementwise lanes K", R"(
  input x[t,i], f[t,i]
  state S[i] = 0
  S[t,i] = sigmoid(f[t,i]) * S[t-1,i] + (1 - sigmoid(f[t,i])) * x[t,i]
  output S[t,i]
)"},
    {"selective", "S y.0 selective lanes K", R"(
  input x[t,i], d[t,i], b[t,j], c[t,j]
  param a[i,j]
  state S[i,j] = 0
  S[t,i,j] = exp(-exp(a[i,j]) * softplus(d[t,i])) * S[t-1,i,j] + softplus(d[t,i]) * b[t,j] * x[t,i]
  y[t,i] = (sum[j] c[t,j] * S[t,i,j] + x[t,i]) * silu(x[t,i])
  output y[t,i]
)"},
    {"reduction_alone_joins", "S y selective lanes K", R"(
  input x[t,i], b[t,j], c[t,j]
  param a[i,j]
  state S[i,j] = 0
  S[t,i,j] = sigmoid(a[i,j]) * S[t-1,i,j] + b[t,j] * x[t,i]
  y[t,i] = sum[j] c[t,j] * S[t,i,j]
  output y[t,i]
)"},
    {"rotation", "S R coupled_linear lanes K", R"(
  input u[t,i]
  param lr[i], li[i]
  state S[i] = 0
  state R[i] = 0
  S[t,i] = lr[i] * S[t-1,i] - li[i] * R[t-1,i] + u[t,i]
  R[t,i] = lr[i] * R[t-1,i] + li[i] * S[t-1,i]
  o[t] = sum[i] (S[t,i] - 0.5 * R[t,i])
  output o[t]
)"},
    {"momentum", "M S o coupled_linear lanes V", R"(
  input q[t,i], k[t,i], v[t,j], mu[t]
  param b[i,j]
  state S[i,j] = 0
  state M[i,j] = 0
  M[t,i,j] = mu[t] * M[t-1,i,j] + k[t,i] * v[t,j] - b[i,j] * S[t-1,i,j]
  S[t,i,j] = 0.9 * S[t-1,i,j] + M[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"momentum_first", "M D S o coupled_linear lanes V", R"(
  input q[t,i], k[t,i], v[t,j], mu[t], a[t]
  param b[i,j]
  state S[i,j] = 0
  state M[i,j] = 0
  M[t,i,j] = mu[t] * M[t-1,i,j] + k[t,i] * v[t,j]
  D[t,i,j] = b[i,j] * M[t,i,j]
  S[t,i,j] = a[t] * S[t-1,i,j] + D[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"matrix_feeds_gate", "S elementwise lanes K", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i] = 0
  state M[i,j] = 0
  M[t,i,j] = 0.5 * M[t-1,i,j] + k[t,i] * v[t,j]
  S[t,i] = 0.9 * S[t-1,i] + sum[j] v[t,j] * M[t,i,j]
  output S[t,i]
)"},
    {"delta_with_momentum", "e M S o dense_linear lanes V", R"(
  input q[t,i], k[t,i], v[t,j], mu[t]
  param b[i,j]
  state S[i,j] = 0
  state M[i,j] = 0
  e[t,j] = v[t,j] - sum[n] k[t,n] * S[t-1,n,j]
  M[t,i,j] = b[i,j] * mu[t] * M[t-1,i,j] + k[t,i] * e[t,j]
  S[t,i,j] = 0.9 * S[t-1,i,j] + M[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"dense", "S dense_linear", R"(
  input x[t,i]
  param A[i,n]
  state S[i] = 0
  S[t,i] = sum[n] A[i,n] * S[t-1,n] + x[t,i]
  output S[t,i]
)"},
    {"stabiliser", "S stabilised lanes K", R"(
  input k[t,i], f[t,i]
  state S[i] = -inf
  S[t,i] = max(logsigmoid(f[t,i]) + S[t-1,i], k[t,i])
  output S[t,i]
)"},
    {"logsum", "S stabilised lanes K", R"(
  input k[t,i], v[t,j], q[t,i]
  state S[i] = -inf
  state C[i,j] = 0
  S[t,i] = logaddexp(S[t-1,i], k[t,i])
  C[t,i,j] = exp(S[t-1,i] - S[t,i]) * C[t-1,i,j] + exp(k[t,i] - S[t,i]) * v[t,j]
  o[t,j] = sum[i] q[t,i] * C[t,i,j]
  output o[t,j]
)"},
    {"nonlinear_diagonal", "z S nonlinear_diagonal lanes K", R"(
  input x[t,i]
  param w[i]
  state S[i] = 0
  z[t,i] = sigmoid(x[t,i] + w[i] * S[t-1,i])
  S[t,i] = z[t,i] * S[t-1,i] + (1 - z[t,i]) * tanh(x[t,i])
  output S[t,i]
)"},
    {"nonlinear_dense", "S nonlinear_dense", R"(
  input x[t,i]
  param w[i,n]
  state S[i] = 0
  S[t,i] = tanh(x[t,i] + sum[n] w[i,n] * S[t-1,n])
  output S[t,i]
)"},
    {"squared_matrix", "S o nonlinear_diagonal lanes V", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  S[t,i,j] = 0.5 * S[t-1,i,j] + k[t,i] * v[t,j] - 0.1 * S[t-1,i,j]^3
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"reads_other_way", "S nonlinear_dense lanes V", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  S[t,i,j] = 0.5 * S[t-1,i,j] + k[t,i] * tanh(v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  o[t,i] = sum[j] v[t,j] * S[t,i,j]
  output o[t,i]
)"},
    {"nonlinear_delta", "u S o nonlinear_dense lanes V", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  u[t,j] = tanh(v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  S[t,i,j] = 0.5 * S[t-1,i,j] + k[t,i] * u[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"gate_from_state", "g S o nonlinear_dense", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  g[t] = sigmoid(sum[i,j] k[t,i] * v[t,j] * S[t-1,i,j])
  S[t,i,j] = g[t] * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"reversed", "S elementwise lanes K backward", R"(
  input x[t,i]
  state S[i] = 0
  S[t,i] = 0.5 * S[t+1,i] + x[t,i]
  o[t,i] = S[t+1,i] + x[t,i]
  output o[t,i]
)"},
    {"both_contractions", "S o dense_linear", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j]) - v[t,j] * sum[p] v[t,p] * S[t-1,i,p]
  o[t,i] = sum[j] v[t,j] * S[t,i,j]
  output o[t,i]
)"},
    {"weighed_by_what_is_read", "u S dense_linear lanes V", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  u[t,j] = v[t,j] - sum[n] k[t,n] * S[t-1,n,j]
  S[t,i,j] = S[t-1,i,j] + k[t,i] * u[t,j]
  a[t] = tanh(sum[j] v[t,j] * u[t,j])
  q2[t,i] = exp(q[t,i] * a[t])
  o[t,j] = sum[i] q2[t,i] * S[t,i,j]
  output o[t,j]
)"},
};

INSTANTIATE_TEST_SUITE_P(Classes, GroupsTest, testing::ValuesIn(examples),
                         [](const auto &info) { return std::string(info.param.name); });

TEST(NormalizeTest, SoftmaxBetweenTwoRecurrences) {
  Structured s = structure(dims + R"(
  input q[t,i], k[t,i], v[t,j], f[t,p]
  state A[i,p] = 0
  state B[p,j] = 0
  A[t,i,p] = sigmoid(f[t,p]) * A[t-1,i,p] + k[t,i] * f[t,p]
  w[t,p] = softmax[p] (sum[i] q[t,i] * A[t,i,p])
  l[t] = logsumexp[p] (sum[i] q[t,i] * A[t,i,p])
  B[t,p,j] = sigmoid(f[t,p]) * B[t-1,p,j] + w[t,p] * v[t,j]
  o[t,j] = l[t] + sum[p] w[t,p] * B[t,p,j]
  output o[t,j]
)");
  expectSameValues(s);
  EXPECT_TRUE(s.affine("A"));
  EXPECT_TRUE(s.affine("B"));
}

TEST(NormalizeTest, DomainsAndPowers) {
  Structured s = structure(dims + R"(
  input q[t,i], k[t,i]
  a[t,i] = sum[n] q[t,n] * k[t,i]^3
    where n <= i
  b[t,i] = softmax[i] k[t,i]
    where i < 2
  c[t] = max[i] (q[t,i]^2)
    where i > 1
  d[t] = (sum[i] k[t,i]^-2) * 2^(sum[i] q[t,i])
  output a[t,i], b[t,i], c[t], d[t]
)");
  expectSameValues(s);
}

TEST(NormalizeTest, RefusesTriples) {
  Structured s = structure(R"(mixer m
  dims t, s, r in T
  input q[t], k[s]
  o[t] = sum[s] sum[r] tanh(q[t] * k[s] * k[r])
    where r <= s and s <= t
  output o[t]
)");
  EXPECT_FALSE(s.after);
  EXPECT_NE(s.errors.find("not lowered yet: a sum over positions for every pair of positions"),
            std::string::npos)
      << s.errors;
}

TEST(AffineReasonTest, UnboundedExponentIsNotSplit) {
  Structured s = structure(dims + R"(
  input q[t,i], k[t,i], v[t,j], a[t,i], b[t,j]
  state S[i,j] = 0
  S[t,i,j] = exp(a[t,i] + b[t,j]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)");
  expectSameValues(s);
  EXPECT_FALSE(s.affine("S"));
  EXPECT_NE(s.text().find("no declared upper bound"), std::string::npos) << s.text();
}

} // namespace
