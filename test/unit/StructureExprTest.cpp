//===- StructureExprTest.cpp - expressions of the structure stage -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Expr.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::seq;

namespace {
class ExprTest : public testing::Test {
protected:
  ExprTest() { mlir.loadDialect<SeqDialect>(); }

  Var var(StringRef dim, StringRef name) { return c.freshVar(c.attr(dim), c.attr(name)); }
  Expr read(StringRef source, ArrayRef<Var> vars) {
    SmallVector<Expr> subscripts;
    for (Var v : vars)
      subscripts.push_back(c.index(v));
    return c.read(c.attr(source), subscripts);
  }
  std::string text(Expr e) { return toString(c, e); }

  MLIRContext mlir;
  ExprContext c{&mlir};
  Var t = var("T", "t"), i = var("K", "i"), n = var("K", "n"), j = var("V", "j");
};

TEST_F(ExprTest, EqualReductionsAreOneNode) {
  Expr a = c.sum(i, c.mul(read("k", {t, i}), read("k", {t, i})));
  Expr b = c.sum(n, c.mul(read("k", {t, n}), read("k", {t, n})));
  EXPECT_EQ(a, b);
  EXPECT_EQ(a->freeVars().size(), 1u);
}

TEST_F(ExprTest, SubstitutionDoesNotCapture) {
  // sum[n] sum[i] a[x,n] b[n,i] with x := sum[..] and x := n of an outer reduction.
  Var x = var("K", "x");
  Expr e = c.sum(n, c.mul(read("a", {x, n}), c.sum(i, read("b", {n, i}))));
  Var n2 = var("K", "n");
  Expr outer = c.sum(n2, c.rename(e, x, n2));
  EXPECT_EQ(text(outer), "sum[i] sum[n] a[i,n] * (sum[x] b[n,x])");
  // The same with a reduction put under another one that has the same number.
  Expr low = c.read(c.attr("w"), {c.index(x)});
  Expr inner = c.sum(n, c.mul(read("b", {i, n}), low));
  Expr replaced =
      c.rewrite(inner, [&](Expr node) { return node == low ? c.sum(n, read("d", {x, n})) : node; });
  Expr closed = c.sum(i, replaced);
  OpenedExpr o = c.open(closed);
  ASSERT_EQ(o.vars.size(), 1u);
  EXPECT_TRUE(o.body->dependsOn(o.vars[0]));
  EXPECT_TRUE(o.body->dependsOn(x));
}

TEST_F(ExprTest, IntegersHaveOneForm) {
  Expr a = c.sub(c.add(c.index(t), c.integer(2)), c.integer(3));
  EXPECT_EQ(a, c.add(c.index(t), c.integer(-1)));
  EXPECT_EQ(c.offsetFrom(a, t), -1);
  EXPECT_EQ(c.offsetFrom(c.index(n), t), std::nullopt);
  EXPECT_EQ(c.sub(a, a), c.integer(0));
  EXPECT_EQ(c.add(c.index(i), c.index(t)), c.add(c.index(t), c.index(i)));
}

TEST_F(ExprTest, FoldsOnlyWhatHoldsForEveryValue) {
  Expr x = read("x", {t});
  EXPECT_EQ(c.mul(c.real(1), x), x);
  EXPECT_EQ(c.neg(c.neg(x)), x);
  EXPECT_NE(c.mul(c.real(0), x), c.real(0));
  EXPECT_EQ(c.mul(c.real(3), c.real(4)), c.real(12));
}

TEST_F(ExprTest, ProductsAreCanonical) {
  Expr a = read("a", {t}), b = read("b", {t, i}), d = read("d", {t});
  Expr one = c.div(c.mul(c.neg(a), c.mul(c.real(2), b)), d);
  Expr two = c.mul(c.real(-2), c.mul(c.div(b, d), a));
  EXPECT_EQ(c.factors(one).factors, c.factors(two).factors);
  EXPECT_EQ(c.factors(one).coef, -2);
  EXPECT_EQ(text(c.product(c.factors(one))), "-(2 * a[t] * b[t,i] / d[t])");
}

TEST_F(ExprTest, SumsAreTakenApart) {
  Expr q = read("q", {t, i}), s = read("S", {t, i, j}), u = read("u", {i}), v = read("v", {t, j});
  Expr e = c.sum(i, c.mul(q, c.add(s, c.mul(u, v))));
  auto terms = c.summands(e, [](Expr) { return true; });
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_EQ(text(c.product(terms[0])), "sum[i] S[t,i,j] * q[t,i]");
  EXPECT_EQ(text(c.product(terms[1])), "v[t,j] * (sum[i] q[t,i] * u[i])");
}

TEST_F(ExprTest, InliningRespectsExtents) {
  Equation f{c.attr("f"),
             {t, i},
             c.mul(read("a", {t}), read("b", {t, i})),
             nullptr,
             UnknownLoc::get(&mlir)};
  Var t2 = var("T", "t"), m = var("K", "m");
  auto lookup = [&](StringAttr name) { return name == "f" ? &f : nullptr; };
  Expr plain = c.read(c.attr("f"), {c.index(t2), c.index(m)});
  EXPECT_EQ(c.inlineReads(plain, lookup), c.mul(read("a", {t2}), read("b", {t2, m})));
  Expr shifted = c.read(c.attr("f"), {c.add(c.index(t2), c.integer(-1)), c.index(m)});
  EXPECT_EQ(c.inlineReads(shifted, lookup), shifted);
}

TEST_F(ExprTest, RegionsRoundTrip) {
  const char *source = R"(
    seq.mixer @m compute f32 {
      seq.dim @T <runtime>
      seq.dim @K <fixed> 4
      seq.tensor @x <input> [@T, @K] per [] : f32
      seq.define @y [@T, @K] as ["t", "i"] {
      ^bb0(%t: index, %i: index):
        %0 = seq.read @x[%t - 1, %i] : f64
        %1 = seq.reduce <sum> [@K] as ["n"] {
        ^bb0(%n: index):
          %2 = seq.read @x[%t, %n] : f64
          %3 = seq.binary <mul> %2, %2 : f64
          seq.yield %3 : f64
        } where {
        ^bb0(%n: index):
          %4 = seq.compare <le> %n, %i : index
          seq.yield %4 : i1
        }
        %5 = seq.unary <rsqrt> %1 : (f64) -> f64
        %6 = seq.binary <mul> %0, %5 : f64
        seq.yield %6 : f64
      }
    })";
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(source, &mlir);
  ASSERT_TRUE(module);
  DefineOp define = *cast<MixerOp>(module->getBody()->front()).getOps<DefineOp>().begin();
  Equation equation = c.import(define);
  define.getBody().front().erase();
  c.exportBody(equation.body, equation.left, define.getBody(), define.getLoc());
  ASSERT_TRUE(succeeded(verify(*module)));
  Equation again = c.import(define);
  Substitution map;
  for (auto [a, b] : llvm::zip(again.left, equation.left))
    map[a] = c.index(b);
  EXPECT_EQ(c.substitute(again.body, map), equation.body);
  EXPECT_EQ(text(equation.body), "x[t-1,i] * rsqrt(sum[n] x[t,n] * x[t,n] where n <= i)");
}
} // namespace
