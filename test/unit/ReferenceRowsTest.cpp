//===- ReferenceRowsTest.cpp - what is read at earlier positions -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "MixerSupport.h"

#include "dialect/Rows.h"

#include <gtest/gtest.h>

using namespace seqmix;
using namespace seqmix::test;

namespace {

struct Example {
  const char *name;
  const char *rows; ///< "x all, v 5", or why there are none
  const char *text;
};

void PrintTo(const Example &example, std::ostream *out) { *out << example.name; }

std::string describe(mlir::seq::MixerOp mixer) {
  mlir::seq::RowReads rows = mlir::seq::findRowReads(mixer);
  if (!rows.later.empty())
    return "later: " + rows.later;
  std::string text;
  for (const auto &each : rows.sources)
    text += (text.empty() ? "" : ", ") + mlir::SymbolTable::getSymbolName(each.of).str() + " " +
            (each.window ? std::to_string(*each.window) : "all");
  return text;
}

const Example examples[] = {
    {"causal", "k all, v all", R"(
mixer causal
  dims   B, H batch; t, s in T; i in K = 4
  input  q[t,i], v[s]
  input  k[s,i] : bf16 per B, H/2
  p[t,s] = softmax[s] (sum[i] q[t,i] * k[s,i])
    where s <= t
  o[t]   = sum[s] p[t,s] * v[s]
  output o[t]
)"},
    // A window, here one that a condition on blocks makes, needs its own length only; a score
    // without a domain is read inside of that of its reader.
    {"windows", "x 8, v 5", R"(
mixer windows
  dims   B batch; t, s in T
  input  x[t], v[t], w[t]
  a[t,s] = x[t] * x[s]
  y[t]   = sum[s] a[t,s] * v[s]
    where s <= t and s // 8 == t // 8 and 2 * (t - s) < 9
  z[t]   = sum[s] x[s] * w[s]
    where s == t
  output y[t], z[t]
  u[t]   = sum[s] x[s]
    where s <= t and t // 8 == s // 8
  output u[t]
)"},
    // Where one case of a condition has no end there is none; a read of the own token is none of a
    // row, nor is one before it a window of what is read elsewhere.
    {"cases", "x all", R"(
mixer cases
  dims   B batch; t, s in T
  input  x[t], y[t]
  o[t] = y[t-2] + sum[s] x[s-1] * x[t]
    where s <= t and (s < 4 or t - s < 3)
  output o[t]
)"},
    // Definitions are rows, whatever they are made of.
    {"latent", "k all, v all", R"(
mixer latent
  dims   B, H batch; t, s in T; i, r in K = 4
  input  q[t,i]
  input  c[s,r] per B
  param  W[H,i,r]
  k[s,i] = sum[r] W[i,r] * c[s,r]
  v[s,i] = c[s,i] * k[s,i]
  p[t,s] = softmax[s] (sum[i] q[t,i] * k[s,i])
    where s <= t
  o[t,i] = sum[s] p[t,s] * v[s,i]
  output o[t,i]
)"},
    {"made", "z all, d all, f all, F all", R"(
mixer made
  dims   B batch; t, s in T; i in K = 2
  input  x[t,i], y[t]
  z[s]   = exp(y[s])
  F[t]   = cumsum[t] y[t]
  d[t,i] = x[t,i] - x[t-1,i]
  f[t]   = exp(-t)
  o[t]   = sum[s,i] z[s] * d[s,i] * f[t-s] * (F[t] - F[s])
    where s <= t
  output o[t]
)"},
    // An index from an input is known to be earlier where the domain says it.
    {"lists", "x all", R"(
mixer lists
  dims   B batch; t in T; n in N = 4
  input  x[t]
  input  at[t,n] : i32
  y[t] = sum[n] x[at[t,n]]
    where at[t,n] <= t
  output y[t]
)"},
    // Blocks that are complete are followed to their tokens; a select keeps the last, incomplete
    // one out.
    {"blocks", "k all, v all", R"(
mixer blocks
  dims   B batch; t, s in T; c in N = (T + 7) // 8
  input  q[t], k[s], v[s]
  m[c]   = sum[s] k[s]
    where s // 8 == c
  g[t,c] = topk[c, 2] (inf if c == t // 8 else q[t] * m[c])
    where c <= t // 8
  p[t,s] = softmax[s] (q[t] * k[s])
    where s <= t and g[t, s // 8]
  o[t]   = sum[s] p[t,s] * v[s]
  output o[t]
)"},
    // Keys of another length are inputs of every call.
    {"cross", "", R"(
mixer cross
  dims   B batch; t in T; s in S
  input  q[t], k[s], v[s]
  p[t,s] = softmax[s] (q[t] * k[s])
  o[t]   = sum[s] p[t,s] * v[s-1]
  output o[t]
)"},
    {"both_ways", "later: 'x' may be read at positions after 't'", R"(
mixer both_ways
  dims   B batch; t, s in T
  input  x[t]
  y[t] = sum[s] x[s]
    where t - s < 4 and s - t < 4
  output y[t]
)"},
    {"whole", "later: all of 'x' is read", R"(
mixer whole
  dims   B batch; t in T
  input  x[t]
  y[] = max[t] x[t]
  output y[]
)"},
    {"first", "later: 'x' may be read at positions after 't'", R"(
mixer first
  dims   B batch; t, s in T
  input  x[t]
  m[]  = max[s] x[s]
  y[t] = x[t] - m
  output y[t]
)"},
    {"weights", "later: the output 'p' has a value for each pair of positions", R"(
mixer weights
  dims   B batch; t, s in T
  input  x[t]
  p[t,s] = softmax[s] (x[t] * x[s])
    where s <= t
  output p[t,s]
)"},
    {"pairs_given", "later: 'b' has a value for each pair of positions", R"(
mixer pairs_given
  dims   B batch; t, s in T
  input  x[t], b[t,s]
  y[t] = sum[s] b[t,s] * x[t]
    where s <= t
  output y[t]
)"},
    {"twice",
     "later: 'a', which has a value for each pair of positions, is read at other tokens than the "
     "own one",
     R"(
mixer twice
  dims   B batch; t, s, u in T
  input  x[t]
  a[t,s] = x[t] * x[s]
    where s <= t
  y[t]   = sum[s,u] a[s,u]
    where s <= t and u <= s
  output y[t]
)"},
};

class RowsTest : public testing::TestWithParam<Example> {};

TEST_P(RowsTest, FindsWhatIsRead) {
  Imported mixer = importText(GetParam().text);
  EXPECT_EQ(describe(mixer.mixer()), GetParam().rows);
}

INSTANTIATE_TEST_SUITE_P(All, RowsTest, testing::ValuesIn(examples),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
