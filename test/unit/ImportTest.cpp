//===- ImportTest.cpp - from the syntax tree to the seq dialect ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "MixerSupport.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace seqmix;
using namespace seqmix::test;

namespace {

template <typename Op> std::vector<Op> opsOf(Imported &imported) {
  std::vector<Op> found;
  imported.module->walk([&](Op op) { found.push_back(op); });
  return found;
}

TEST(Import, DefaultsOfStorageAndCompute) {
  const char *text = R"(
mixer m
  dims  B batch; t in T
  input x[t]
  input n[t] : i32
  input h[t] : f16
  y[t] = x[t] + h[t]
  z[t] = n[t] + 1
  c[t] = x[t] > 0
  output y[t]
  output z[t]
  output c[t] : bool
)";
  for (auto [dtype, storage, compute] :
       {std::tuple(ast::DType::BF16, "bf16", "f32"), std::tuple(ast::DType::F64, "f64", "f64")}) {
    Imported imported = importText(text, dtype);
    ASSERT_TRUE(imported.module) << imported.errors;
    std::string ir = imported.print();
    EXPECT_NE(ir.find(std::string("seq.mixer @m compute ") + compute), std::string::npos);
    for (const std::string &line :
         {std::string("@x <input> [@T] per [#seq.batch<@B, 1>] : ") + storage,
          std::string("@n <input> [@T] per [#seq.batch<@B, 1>] : i32"),
          std::string("@h <input> [@T] per [#seq.batch<@B, 1>] : f16"),
          std::string("seq.output @y : ") + storage, std::string("seq.output @z : ") + storage,
          std::string("seq.output @c : i1")})
      EXPECT_NE(ir.find(line), std::string::npos) << line << "\n" << ir;
  }
}

TEST(Import, ConditionsGoToTheReductionsThatTheyRestrict) {
  Imported imported = importText(R"(
mixer m
  dims  B batch; t, s in T; i in K = 4
  input x[t,i], y[s,i]
  a[t,s] = sum[i] x[t,i] * y[s,i]
    where s <= t and i < 3
  o[t] = sum[s] a[t,s]
    where s <= t
  output o[t]
)");
  ASSERT_TRUE(imported.module) << imported.errors;
  std::vector<seq::DefineOp> defines = opsOf<seq::DefineOp>(imported);
  std::vector<seq::ReduceOp> reductions = opsOf<seq::ReduceOp>(imported);
  ASSERT_EQ(defines.size(), 2u);
  ASSERT_EQ(reductions.size(), 2u);
  EXPECT_FALSE(defines[0].getDomain().empty()); // s <= t: both on the left
  EXPECT_TRUE(defines[1].getDomain().empty());
  EXPECT_FALSE(reductions[0].getDomain().empty()); // i < 3
  EXPECT_FALSE(reductions[1].getDomain().empty()); // s <= t
  // Each domain holds its own condition only.
  for (Region *domain : {&defines[0].getDomain(), &reductions[0].getDomain()}) {
    unsigned comparisons = 0;
    domain->walk([&](seq::CompareOp) { ++comparisons; });
    EXPECT_EQ(comparisons, 1u);
  }
}

TEST(Import, IndicesAreAffineAsFarAsTheyCanBe) {
  Imported imported = importText(R"(
mixer m
  dims  B batch; t in T; r in R = 9; c in N = T // 64
  input x[t], g[c]
  input n[t] : i32
  param b[r]
  y[t] = x[t-3] + b[2 * (t % 4) + 1] + b[n[t] - 1] + b[min(n[t], 3)] + g[t // 64]
  output y[t]
)");
  ASSERT_TRUE(imported.module) << imported.errors;
  std::string ir = imported.print();
  for (const char *part :
       {"seq.read @x[%t - 3]", "seq.read @b[(%t mod 4) * 2 + 1]", "- 1] : f64", "seq.binary <min>",
        "seq.read @g[%t floordiv 64]", "seq.dim @N <runtime> of [@T] by"})
    EXPECT_NE(ir.find(part), std::string::npos) << part << "\n" << ir;
}

TEST(Import, RunTimeDimsComeFirst) {
  Imported imported = importText(R"(
mixer m
  dims  B batch; t in T; d in D = 3
  input x[d,t]
  param f[d,T]
  y[d,t] = x[d,t] * f[d,t]
  output y[d,t]
)");
  ASSERT_TRUE(imported.module) << imported.errors;
  std::string ir = imported.print();
  for (const char *part :
       {"@x <input> [@T, @D]", "@f <param> [@D, @T]", "seq.define @y [@T, @D] as [\"t\", \"d\"]",
        "seq.read @x[%t, %d]", "seq.read @f[%d, %t]"})
    EXPECT_NE(ir.find(part), std::string::npos) << part << "\n" << ir;
}

TEST(Import, LocationsCoverTheExpression) {
  Imported imported = importText("mixer m\n"
                                 "  dims B batch; t in T\n"
                                 "  input x[t]\n"
                                 "  fn twice(a) = a + a\n"
                                 "  y[t] = 1 + twice(x[t])\n"
                                 "  output y[t]\n");
  ASSERT_TRUE(imported.module) << imported.errors;
  seq::BinaryOp inlined = opsOf<seq::BinaryOp>(imported)[0];
  auto range = dyn_cast<FileLineColRange>(inlined.getLoc());
  ASSERT_TRUE(range);
  EXPECT_EQ(range.getFilename().getValue(), "test.seq");
  EXPECT_EQ(range.getStartLine(), 5u);
  EXPECT_EQ(range.getStartColumn(), 14u); // of the call, not of the function's body
  EXPECT_EQ(range.getEndColumn(), 25u);
}

TEST(Import, SaysWhyThereIsNoStep) {
  Imported imported = importText(R"(
mixer m
  dims  B batch; t in T
  input x[t]
  y[t] = x[t+1]
  output y[t]
)");
  ASSERT_TRUE(imported.module) << imported.errors;
  ASSERT_TRUE(imported.mixer().getNoStep());
  EXPECT_FALSE(imported.mixer().getNoStep()->empty());
}

} // namespace
