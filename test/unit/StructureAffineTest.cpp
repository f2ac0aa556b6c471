//===- StructureAffineTest.cpp - canonical forms of matrix states -------------===//
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

const std::string dims = "mixer m\n  dims t in T; i, n, m in K = 4; j, p in V = 3\n";

// Updates, terms of all updates, reads: the size of a canonical form.
std::string shape(AffineOp op) {
  if (!op)
    return "none";
  unsigned terms = 0;
  for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
    terms += update.getTerms().size();
  auto elements = llvm::count_if(op.getReads().getAsRange<RowReadAttr>(),
                                 [](RowReadAttr read) { return read.getKind() != ReadKind::Rows; });
  std::string text;
  for (int64_t number : op.outerDims())
    text += "outer " + std::to_string(number) + " ";
  std::string decay = op.getRowDecayAttr()   ? (op.getColDecayAttr() ? "both" : "row")
                      : op.getColDecayAttr() ? "col"
                                             : "one";
  if (ArrayAttr coupling = op.getCouplingAttr()) {
    // Factors of all components.
    size_t lefts = 0, rows = 0;
    for (auto update : op.getUpdates().getAsRange<UpdateAttr>())
      lefts += update.getLefts().size();
    for (auto read : op.getReads().getAsRange<RowReadAttr>())
      rows += read.getRow().size();
    decay = std::to_string(op.componentCount()) + " components " + std::to_string(coupling.size()) +
            " entries " + std::to_string(lefts) + " lefts " + std::to_string(rows) + " rows" +
            (op.getColDecayAttr() ? " col" : "");
  }
  return text + decay + " updates " + std::to_string(op.getUpdates().size()) + " terms " +
         std::to_string(terms) + " reads " + std::to_string(op.getReads().size()) +
         (elements ? " of elements " + std::to_string(elements) : "");
}

struct Example {
  const char *name;
  const char *shape;
  const char *text;
};

class AffineTest : public testing::TestWithParam<Example> {};

TEST_P(AffineTest, HasTheFormAndTheValues) {
  Structured s = structure(dims + GetParam().text);
  expectSameValues(s);
  if (s.after) {
    EXPECT_EQ(shape(s.affine("S")), GetParam().shape) << s.text();
  }
}

const Example examples[] = {
    {"both_sides", "row updates 1 terms 2 reads 3 of elements 1", R"(
  input q[t,i], c[t,j], k[t,i], v[t,j]
  input g[t] : f32 in [-20, 0]
  state S[i,j] = 0
  u[t,j] = v[t,j] - sum[i] k[t,i] * S[t-1,i,j]
  S[t,i,j] = exp(g[t]) * S[t-1,i,j] + k[t,i] * u[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  r[t,i] = sum[j] (S[t,i,j] + k[t,i] * v[t,j]) * c[t,j]
  output o[t,j], r[t,i]
)"},
    {"element_weights", "row updates 1 terms 1 reads 3 of elements 3", R"(
  input k[t,i], v[t,j], e[t,i,j]
  input g[t,i] : f32 in [-20, 0]
  param w[j,i]
  state S[i,j] = 0
  S[t,i,j] = exp(g[t,i]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = sum[i] w[j,i] * S[t,i,j]
  y[t,i] = sum[j] w[j,i] * S[t-1,i,j]
  z[t] = sum[i,j] tanh(e[t,i,j]) * S[t-1,i,j]
  output o[t,j], y[t,i], z[t]
)"},
    {"both_sides_in_an_update", "none", R"(
  input q[t,i], c[t,j], k[t,i], v[t,j]
  state S[i,j] = 0
  u[t,j] = sum[i] k[t,i] * S[t-1,i,j]
  r[t,i] = sum[j] S[t-1,i,j] * c[t,j]
  S[t,i,j] = S[t-1,i,j] - k[t,i] * u[t,j] - r[t,i] * c[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"element_weights_in_an_update", "none", R"(
  input q[t,i], k[t,i], v[t,j]
  param w[i,j]
  state S[i,j] = 0
  u[t,j] = sum[i] w[i,j] * S[t-1,i,j]
  S[t,i,j] = S[t-1,i,j] - k[t,i] * (u[t,j] + v[t,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"plain", "one updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = K^-0.5 * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"per_row_decay", "row updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  input g[t,i] : f32 in [-5, 0]
  state S[i,j] = 0
  S[t,i,j] = exp(g[t,i]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = K^-0.5 * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"bonus", "row updates 1 terms 1 reads 1", R"(
  input r[t,i], k[t,i], v[t,j]
  input w[t,i] in [-inf, 0]
  param u[i]
  state S[i,j] = 0
  S[t,i,j] = exp(w[t,i]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = sum[i] r[t,i] * (S[t-1,i,j] + u[i] * k[t,i] * v[t,j])
  output o[t,j]
)"},
    {"delta", "one updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  input beta[t] in [0, 1]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + beta[t] * k[t,i] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"gated_delta", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  input g[t] : f32 in [-20, 0]
  input beta[t] in [0, 1]
  state S[i,j] = 0
  kn[t,i] = k[t,i] * rsqrt(sum[n] k[t,n]^2 + 1e-6)
  u[t,j] = beta[t] * (v[t,j] - sum[n] kn[t,n] * exp(g[t]) * S[t-1,n,j])
  S[t,i,j] = exp(g[t]) * S[t-1,i,j] + kn[t,i] * u[t,j]
  o[t,j] = K^-0.5 * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"two_keys", "row updates 2 terms 2 reads 2", R"(
  input r[t,i], w[t,i], k[t,i], v[t,j], a[t,i]
  param k_k[i], k_a[i]
  state S[i,j] = 0
  fn unit(x[i]) = x[i] / max(sqrt(sum[n] x[n]^2), 1e-12)
  g[t,i]   = -exp(-0.5) * sigmoid(w[t,i])
  kk[t,i]  = unit(k[t,i] * k_k[i])
  km[t,i]  = k[t,i] * (1 + (a[t,i] - 1) * k_a[i])
  S[t,i,j] = exp(g[t,i]) * S[t-1,i,j] - kk[t,i] * a[t,i] * (sum[n] kk[t,n] * S[t-1,n,j]) + km[t,i] * v[t,j]
  o[t,j]   = sum[i] r[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"product_of_two", "row updates 2 terms 6 reads 3", R"(
  input q[t,i], k1[t,i], k2[t,i], v1[t,j], v2[t,j]
  input b1[t], b2[t] : f32 in [0, 2]
  input g[t] : f32 in [-inf, 0]
  state S[i,j] = 0
  D0[t,i,j] = exp(g[t]) * S[t-1,i,j]
  D1[t,i,j] = D0[t,i,j] + k1[t,i] * b1[t] * (v1[t,j] - sum[n] k1[t,n] * D0[t,n,j])
  S[t,i,j]  = D1[t,i,j] + k2[t,i] * b2[t] * (v2[t,j] - sum[n] k2[t,n] * D1[t,n,j])
  o[t,j]    = K^-0.5 * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"product_of_three", "one updates 3 terms 12 reads 4", R"(
  dims c in N = 3
  input q[t,i], k[t,c,i], v[t,c,j]
  input b[t,c] : f32 in [0, 2]
  state S[i,j] = 0
  D1[t,i,j] = S[t-1,i,j] + k[t,0,i] * b[t,0] * (v[t,0,j] - sum[n] k[t,0,n] * S[t-1,n,j])
  D2[t,i,j] = D1[t,i,j] + k[t,1,i] * b[t,1] * (v[t,1,j] - sum[n] k[t,1,n] * D1[t,n,j])
  S[t,i,j]  = D2[t,i,j] + k[t,2,i] * b[t,2] * (v[t,2,j] - sum[n] k[t,2,n] * D2[t,n,j])
  o[t,j]    = K^-0.5 * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"read_between", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  input g[t,i] in [-2, 0]
  state S[i,j] = 0
  D[t,i,j] = exp(g[t,i]) * S[t-1,i,j]
  u[t,j] = v[t,j] - sum[n] k[t,n] * D[t,n,j]
  S[t,i,j] = D[t,i,j] + k[t,i] * u[t,j]
  o[t,j] = sum[i] q[t,i] * D[t,i,j] + u[t,j]
  output o[t,j]
)"},
    {"both_axes", "both updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  input a[t,i], b[t,j] : f32 in [-3, 0]
  state S[i,j] = 0
  S[t,i,j] = exp(a[t,i] + b[t,j]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"reversed", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  input g[t] : f32 in [-2, 0]
  state S[i,j] = 0
  S[t,i,j] = exp(g[t]) * S[t+1,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * S[t+1,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"columns_first", "row updates 1 terms 1 reads 1", R"(
  input x[t,p], b[t,n], c[t,n], delta[t]
  state S[p,n] = 0
  dt[t]    = softplus(delta[t])
  S[t,p,n] = exp(-dt[t]) * S[t-1,p,n] + dt[t] * x[t,p] * b[t,n]
  y[t,p]   = (sum[n] S[t,p,n] * c[t,n] + x[t,p]) * silu(x[t,p])
  output y[t,p]
)"},
    {"equal_rights", "one updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], l[t,i], v[t,j]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + k[t,i] * v[t,j] + 0.5 * l[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"token_shift", "row updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  param mu[i]
  state S[i,j] = 0
  ks[t,i] = k[t,i] + mu[i] * (k[t-1,i] - k[t,i])
  S[t,i,j] = sigmoid(ks[t,i] + k[t-2,i]) * S[t-1,i,j] + ks[t,i] * v[t-1,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"matrix_definitions", "row updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  a[t,i,j] = sigmoid(k[t,i]) * 0.5
  kv[t,i,j] = k[t,i] * v[t,j]
  S[t,i,j] = a[t,i,j] * S[t-1,i,j] + (1 - sigmoid(k[t,i])) * kv[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"oja", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  input beta[t] in [0, 1]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] - beta[t] * S[t-1,i,j] + k[t,i] * beta[t] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"per_column_decay", "col updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j], b[t,j]
  state S[i,j] = 0
  S[t,i,j] = sigmoid(b[t,j]) * S[t-1,i,j] + k[t,i] * (1 - sigmoid(b[t,j])) * v[t,j]
  o[t,j] = silu(v[t,j]) * sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"transposed_delta", "one updates 1 terms 2 reads 2", R"(
  input q[t,j], k[t,j], v[t,i]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + (v[t,i] - sum[p] S[t-1,i,p] * k[t,p]) * k[t,j]
  o[t,i] = sum[j] q[t,j] * S[t,i,j]
  output o[t,i]
)"},
    {"decay_after_write", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], g[t,i]
  state S[i,j] = 0
  W[t,i,j] = S[t-1,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  S[t,i,j] = sigmoid(g[t,i]) * W[t,i,j]
  o[t,j] = sum[i] q[t,i] * W[t,i,j]
  output o[t,j]
)"},
    {"momentum_of_keys", "row updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  state z[i] = 0
  state S[i,j] = 0
  z[t,i] = 0.5 * z[t-1,i] + k[t,i]
  S[t,i,j] = sigmoid(z[t-1,i]) * S[t-1,i,j] + z[t,i] * v[t,j]
  o[t,j] = (sum[i] q[t,i] * S[t,i,j]) / (1 + abs(sum[i] q[t,i] * z[t,i]))
  output o[t,j]
)"},
    {"both_tokens_of_trapezoid", "row updates 2 terms 2 reads 1", R"(
  input q[t,i], k[t,i], v[t,j], d[t]
  state S[i,j] = 0
  S[t,i,j] = exp(-softplus(d[t])) * (S[t-1,i,j] + 0.5 * k[t-1,i] * v[t-1,j]) + 0.5 * k[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"error_as_output", "one updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  state S[i,j] = 0
  e[t,j] = v[t,j] - sum[n] k[t,n] * S[t-1,n,j]
  S[t,i,j] = S[t-1,i,j] + k[t,i] * e[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j] - e[t-1,j]
  output o[t,j], e[t,j]
)"},
    {"scaled_sum", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], b[t]
  state S[i,j] = 0
  D[t,i,j] = 0.5 * (S[t-1,i,j] - b[t] * k[t,i] * (sum[n] k[t,n] * S[t-1,n,j]))
  S[t,i,j] = D[t,i,j] + k[t,i] * v[t,j] / 2
  o[t,j] = -(sum[i] q[t,i] * S[t,i,j]) / 3
  output o[t,j]
)"},
    {"chosen_state", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], g[t]
  input first[t] : bool
  state S[i,j] = 0
  R[t,i,j] = 0 if first[t] else S[t-1,i,j]
  S[t,i,j] = sigmoid(g[t]) * R[t,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * R[t,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"chosen_update", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j]
  input skip[t] : bool
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] if skip[t] else 0.5 * S[t-1,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"delta_under_an_exponential_of_both", "both updates 1 terms 2 reads 3", R"(
  input q[t,i], k[t,i], v[t,j], b[t,j]
  input a[t,i] in [-3, 0]
  state S[i,j] = 0
  f[t,i,j] = exp(a[t,i] - softplus(b[t,j]))
  S[t,i,j] = f[t,i,j] * S[t-1,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * f[t,n,j] * S[t-1,n,j])
  o[t,j] = sum[i] (q[t,i] + v[t,j]) * S[t,i,j]
  output o[t,j]
)"},
    {"strength_per_column", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], g[t]
  input beta[t,j] in [0, 1]
  state S[i,j] = 0
  S[t,i,j] = sigmoid(g[t]) * S[t-1,i,j] + k[t,i] * beta[t,j] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"delta_after_both_decays", "both updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], a[t,i], b[t,j], beta[t]
  state S[i,j] = 0
  D[t,i,j] = sigmoid(a[t,i]) * sigmoid(b[t,j]) * S[t-1,i,j]
  S[t,i,j] = D[t,i,j] + k[t,i] * beta[t] * (v[t,j] - sum[n] k[t,n] * D[t,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"two_strengths", "one updates 2 terms 3 reads 3", R"(
  input q[t,i], k[t,i], l[t,i], v[t,j], a[t,j], b[t,j]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] - k[t,i] * a[t,j] * (sum[n] k[t,n] * S[t-1,n,j]) - l[t,i] * b[t,j] * (sum[n] l[t,n] * S[t-1,n,j]) + k[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"three_indices", "row updates 1 terms 1 reads 1", R"(
  dims a in A = 2
  input q[t,i,a], k[t,i,a], v[t,j], g[t,a]
  state S[i,a,j] = 0
  S[t,i,a,j] = sigmoid(g[t,a]) * S[t-1,i,a,j] + k[t,i,a] * v[t,j]
  o[t,j] = sum[i,a] q[t,i,a] * S[t,i,a,j]
  output o[t,j]
)"},
    {"sum_of_products", "row updates 2 terms 2 reads 1", R"(
  dims r in R = 2
  input q[t,i], k[t,r,i], v[t,r,j]
  input g[t] in [-5, 0]
  state S[i,j] = 0
  S[t,i,j] = exp(g[t]) * S[t-1,i,j] + sum[r] k[t,r,i] * v[t,r,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"rows_with_an_index", "one updates 1 terms 1 reads 3", R"(
  dims r in R = 3
  input q[t,r,i], k[t,i], v[t,j], w[t,r]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,r,j] = w[t,r] * sum[i] q[t,r,i] * S[t,i,j]
  y[t,j] = sum[r,i] w[t,r] * q[t,r,i] * S[t,i,j]
  output o[t,r,j], y[t,j]
)"},
    {"delta_over_an_index", "one updates 2 terms 4 reads 3", R"(
  dims r in R = 2
  input q[t,i], k[t,r,i], v[t,r,j]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + 0.1 * sum[r] k[t,r,i] * (v[t,r,j] - sum[n] k[t,r,n] * S[t-1,n,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"outer_dim", "outer 0 row updates 1 terms 2 reads 3", R"(
  dims h in H = 2
  input q[t,h,i], k[t,h,i], v[t,h,j], b[h]
  input g[t,h] in [-5, 0]
  param mix[h]
  state S[h,i,j] = 0
  S[t,h,i,j] = exp(g[t,h]) * S[t-1,h,i,j] + b[h] * k[t,h,i] * (v[t,h,j] - sum[n] k[t,h,n] * S[t-1,h,n,j])
  o[t,h,j] = sum[i] q[t,h,i] * S[t,h,i,j]
  y[t,j] = sum[h,i] mix[h] * q[t,h,i] * S[t-1,h,i,j]
  output o[t,h,j], y[t,j]
)"},
    {"outer_dim_between", "outer 1 row updates 1 terms 1 reads 1", R"(
  dims h in H = 2
  input q[t,i,h], k[t,i,h], v[t,j,h]
  input g[t,h,i] in [-5, 0]
  state S[i,h,j] = 0
  S[t,i,h,j] = exp(g[t,h,i]) * S[t-1,i,h,j] + k[t,i,h] * v[t,j,h]
  o[t,h,j] = sum[i] q[t,i,h] * S[t,i,h,j]
  output o[t,h,j]
)"},
    {"outer_dim_read_at_another_index", "outer 0 one updates 1 terms 1 reads 1", R"(
  dims h in H = 2
  input q[t,i], k[t,h,i], v[t,h,j]
  state S[h,i,j] = 0
  S[t,h,i,j] = S[t-1,h,i,j] + k[t,h,i] * v[t,h,j]
  o[t,j] = (sum[i] q[t,i] * S[t,0,i,j]) - sum[i] q[t,i] * S[t,1,i,j]
  output o[t,j]
)"},
    {"two_row_dims_of_one_name", "col updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j]
  input g[t,n] in [-5, 0]
  state S[i,n,j] = 0
  S[t,i,n,j] = exp(g[t,n]) * S[t-1,i,n,j] + k[t,i] * k[t,n] * v[t,j]
  o[t,j] = sum[i,n] q[t,i] * q[t,n] * S[t,i,n,j]
  output o[t,j]
)"},
    {"two_column_dims_of_one_name", "col updates 1 terms 1 reads 1", R"(
  input q[t,j], k[t,j], v[t,i], w[t,n]
  input g[t,n] in [-5, 0]
  state S[j,i,n] = 0
  S[t,j,i,n] = exp(g[t,n]) * S[t-1,j,i,n] + k[t,j] * v[t,i] * w[t,n]
  o[t,i,n] = sum[j] q[t,j] * S[t,j,i,n]
  output o[t,i,n]
)"},
    {"square_state", "row updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,i], w[t]
  state S[i,n] = 0
  S[t,i,n] = sigmoid(w[t]) * S[t-1,i,n] + k[t,i] * (v[t,n] - sum[m] k[t,m] * S[t-1,m,n])
  o[t,n] = sum[i] q[t,i] * S[t,i,n]
  output o[t,n]
)"},
    {"whole_columns_summed", "row updates 1 terms 1 reads 1", R"(
  input k[t,i], v[t,j], g[t]
  state S[i,j] = 0
  S[t,i,j] = sigmoid(g[t]) * S[t-1,i,j] + k[t,i] * v[t,j]
  o[t,j] = (sum[i] S[t,i,j]) * v[t,j]
  output o[t,j]
)"},
    {"keys_only", "row updates 1 terms 1 reads 1", R"(
  input k[t,i], q[t,i], g[t]
  state S[i,j] = 0
  S[t,i,j] = sigmoid(g[t]) * S[t-1,i,j] + k[t,i]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"summed_over_columns", "one updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j], w[t,j]
  state S[i,j] = 0
  S[t,i,j] = S[t-1,i,j] + k[t,i] * v[t,j]
  y[t] = sum[j] w[t,j] * sum[i] q[t,i] * S[t,i,j]
  z[t] = sum[i] q[t,i] * sum[j] w[t,j] * S[t,i,j]
  x[t] = sum[i,j] q[t,i] * w[t,j] * S[t,i,j]
  output x[t], y[t], z[t]
)"},
};

// States that depend on each other.
const Example coupledExamples[] = {
    {"momentum", "2 components 4 entries 2 lefts 1 rows updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j], mu[t]
  state S[i,j] = 0
  state M[i,j] = 0
  M[t,i,j] = mu[t] * M[t-1,i,j] + k[t,i] * v[t,j] - 0.1 * S[t-1,i,j]
  S[t,i,j] = 0.9 * S[t-1,i,j] + M[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"one_way", "2 components 3 entries 2 lefts 1 rows updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j], mu[t], a[t]
  state S[i,j] = 0
  state M[i,j] = 0
  M[t,i,j] = mu[t] * M[t-1,i,j] + k[t,i] * v[t,j]
  D[t,i,j] = 0.5 * M[t,i,j]
  S[t,i,j] = a[t] * S[t-1,i,j] + D[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"delta_with_momentum", "2 components 3 entries 2 lefts 2 rows updates 1 terms 2 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], mu[t]
  state S[i,j] = 0
  state M[i,j] = 0
  e[t,j] = v[t,j] - sum[n] k[t,n] * S[t-1,n,j]
  M[t,i,j] = mu[t] * M[t-1,i,j] + k[t,i] * e[t,j]
  S[t,i,j] = 0.9 * S[t-1,i,j] + M[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    // What the second one reads of the first one's new value is in terms of the old one.
    {"sum_of_the_new", "2 components 2 entries 2 lefts 3 rows updates 2 terms 5 reads 3", R"(
  input q[t,i], k[t,i], v[t,j], a[t]
  state M[i,j] = 0
  state S[i,j] = 0
  M[t,i,j] = a[t] * M[t-1,i,j] + k[t,i] * (v[t,j] - sum[n] k[t,n] * S[t-1,n,j])
  y[t,j] = sum[n] q[t,n] * M[t,n,j]
  S[t,i,j] = 0.5 * S[t-1,i,j] + q[t,i] * y[t,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"rotation_backwards", "2 components 4 entries 1 lefts 3 rows updates 1 terms 1 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], a[t,i], b[t,i]
  state S[i,j] = 0
  state Y[i,j] = 0
  S[t,i,j] = a[t,i] * S[t+1,i,j] - b[t,i] * Y[t+1,i,j] + k[t,i] * v[t,j]
  Y[t,i,j] = b[t,i] * S[t+1,i,j] + a[t,i] * Y[t+1,i,j]
  o[t,j] = sum[i] q[t,i] * (S[t,i,j] - 2 * Y[t+1,i,j]) + sum[i] q[t,i] * Y[t,i,j]
  output o[t,j]
)"},
    {"column_decay", "2 components 3 entries 1 lefts 1 rows col updates 1 terms 1 reads 1", R"(
  input q[t,i], k[t,i], v[t,j], a[t], c[t,j]
  state F[i,j] = 0
  state S[i,j] = 0
  F[t,i,j] = c[t,j] * a[t] * F[t-1,i,j] + k[t,i] * v[t,j]
  S[t,i,j] = c[t,j] * (S[t-1,i,j] + 0.5 * F[t-1,i,j])
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    {"three", "3 components 6 entries 3 lefts 2 rows updates 1 terms 1 reads 2", R"(
  input q[t,i], k[t,i], v[t,j], a[t]
  state A[i,j] = 0
  state B[i,j] = 0
  state S[i,j] = 0
  A[t,i,j] = a[t] * A[t-1,i,j] + k[t,i] * v[t,j]
  B[t,i,j] = 0.5 * B[t-1,i,j] + A[t,i,j]
  S[t,i,j] = 0.25 * S[t-1,i,j] + B[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  y[t,j] = sum[i] k[t,i] * A[t-1,i,j]
  output o[t,j], y[t,j]
)"},
    {"inner", "2 components 4 entries 2 lefts 2 rows updates 1 terms 1 reads 1", R"(
  dims a, b in J = 2
  input q[t,i], k[t,i], v[t,j], s[t,b], r[t,b]
  input tr[t,a,b]
  state S[i,j,a] = 0
  S[t,i,j,a] = (sum[b] tr[t,a,b] * S[t-1,i,j,b]) + s[t,a] * k[t,i] * v[t,j]
  o[t,j] = sum[i] q[t,i] * (sum[a] r[t,a] * S[t,i,j,a])
  output o[t,j]
)"},
    // Each element of the inner dim is read, and one is chosen.
    {"inner_output", "2 components 4 entries 2 lefts 2 rows updates 1 terms 1 reads 2", R"(
  dims a, b in J = 2
  input q[t,i], k[t,i], v[t,j], s[t,b]
  input tr[t,a,b]
  state S[a,i,j] = 0
  S[t,a,i,j] = (sum[b] tr[t,a,b] * S[t-1,b,i,j]) + s[t,a] * k[t,i] * v[t,j]
  o[t,a,j] = sum[i] q[t,i] * S[t,a,i,j]
  output o[t,a,j]
)"},
    {"decay_of_rows_and_columns", "none", R"(
  input q[t,i], k[t,i], v[t,j]
  param b[i,j]
  state M[i,j] = 0
  state S[i,j] = 0
  M[t,i,j] = 0.5 * M[t-1,i,j] + k[t,i] * v[t,j]
  S[t,i,j] = b[i,j] * S[t-1,i,j] + M[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
    // Columns are the rows of the other matrices: the output is a sum over columns.
    {"different_column_decays",
     "2 components 3 entries 2 lefts 1 rows updates 1 terms 1 reads 1 of elements 1", R"(
  input q[t,i], k[t,i], v[t,j], c[t,j]
  state M[i,j] = 0
  state S[i,j] = 0
  M[t,i,j] = c[t,j] * M[t-1,i,j] + k[t,i] * v[t,j]
  S[t,i,j] = 0.5 * S[t-1,i,j] + M[t,i,j]
  o[t,j] = sum[i] q[t,i] * S[t,i,j]
  output o[t,j]
)"},
};

INSTANTIATE_TEST_SUITE_P(Coupled, AffineTest, testing::ValuesIn(coupledExamples),
                         [](const auto &info) { return std::string(info.param.name); });
INSTANTIATE_TEST_SUITE_P(Forms, AffineTest, testing::ValuesIn(examples),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
