//===- ParseCheckTest.cpp - What a checked tree knows ----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "test/unit/ParseSupport.h"

using namespace seqmix;
using namespace seqmix::ast;
using namespace seqmix::test;

namespace {

Equation *equationOf(const Mixer &mixer, llvm::StringRef name) {
  for (Equation *equation : mixer.equations)
    if (equation->name == name)
      return equation;
  return nullptr;
}

std::string rhsOf(const std::string &lines, llvm::StringRef name) {
  auto file = parseGood(around(lines));
  return file ? print(equationOf(*file->mixers[0], name)->rhs) : "";
}

TEST(ParseCheck, Sizes) {
  const char *text = R"(mixer m
  dims B batch; t in T; i in K = 64; r in R = 2 * L - 1; l in L = K // 4; c in N = T // 64
  const W = R + 1
  input x[t,i], z[t,r], y[t,l]
  param f[T,i], g[c]
  o[t,i] = x[t,i] * W + f[t,i] + g[0] + z[t,0] + y[t,0]
  output o[t,i]
)";
  auto file = parseGood(text);
  ASSERT_TRUE(file);
  Mixer &mixer = *file->mixers[0];
  EXPECT_EQ(mixer.dims[0]->size, std::nullopt);
  EXPECT_FALSE(mixer.dims[0]->isDerived());
  EXPECT_EQ(mixer.dims[1]->size, 64);
  EXPECT_EQ(mixer.dims[2]->size, 31);
  EXPECT_EQ(mixer.dims[3]->size, 16);
  EXPECT_TRUE(mixer.dims[4]->isDerived());
  EXPECT_EQ(mixer.consts[0]->value, Number::ofInteger(32));
  EXPECT_EQ(mixer.timeDim, mixer.dims[0]);

  Overrides overrides;
  std::string error;
  ASSERT_TRUE(addOverride("K=128", overrides, error));
  ASSERT_TRUE(addOverride(" W = 2.5 ", overrides, error));
  auto other = parseGood(text, overrides);
  EXPECT_EQ(other->mixers[0]->dims[2]->size, 63);
  EXPECT_EQ(other->mixers[0]->consts[0]->value, Number::ofReal(2.5));

  EXPECT_FALSE(addOverride("K", overrides, error));
  EXPECT_EQ(error, "expected NAME=NUMBER, as in K=128, found 'K'");
  EXPECT_FALSE(addOverride("K=x", overrides, error));
  EXPECT_FALSE(addOverride("3=3", overrides, error));
  EXPECT_EQ(diagnose(text, {{"k", Number::ofInteger(3)}}),
            "error: no dim or constant is named 'k'; did you mean 'K'?\n");
  EXPECT_EQ(diagnose(text, {{"T", Number::ofInteger(3)}}),
            "error: 2:22: the size of 'T' cannot be set to 3: it is known only at run time\n");
  EXPECT_EQ(diagnose(text, {{"K", Number::ofInteger(0)}}),
            "error: 2:34: the size of 'K' must be from 1 to 2147483647, found 0\n");
  EXPECT_EQ(diagnose(text, {{"K", Number::ofReal(1.5)}}),
            "error: 2:34: the size of 'K' must be an integer, found 1.5\n");
}

TEST(ParseCheck, TensorDeclarations) {
  auto file = parseGood(around(R"(
  input q[t,i], w[t,i] : bf16 in [-5, 2 * K]
  input k[s,i] : f32 per B, H/4
  input doc[t] : i32 per B
  input e[]
  param A[H,i,j], slope[H], f[T,i]
  o[t,i] = q[t,i] * w[t,i] + k[t,i] * doc[t] * e * e[] + slope * f[t,i] + sum[j] A[i,j]
  output o[t,i] : f16
)"));
  ASSERT_TRUE(file);
  auto &tensors = file->mixers[0]->tensors;
  EXPECT_EQ(tensors[0]->dtype, DType::BF16);
  EXPECT_EQ(tensors[1]->bounds->low, -5);
  EXPECT_EQ(tensors[1]->bounds->high, 8);
  ASSERT_EQ(tensors[2]->batch.size(), 2u);
  EXPECT_EQ(tensors[2]->batch[1].group, 4);
  ASSERT_EQ(tensors[3]->batch.size(), 1u);
  EXPECT_EQ(tensors[3]->type(), Type::Integer);
  EXPECT_EQ(tensors[4]->batch.size(), 2u);
  EXPECT_TRUE(tensors[4]->places.empty());
  ASSERT_EQ(tensors[5]->batch.size(), 1u);
  EXPECT_EQ(tensors[5]->batch[0].dim->name, "H");
  EXPECT_EQ(tensors[5]->places.size(), 2u);
  EXPECT_EQ(tensors[7]->places[0].index, nullptr);
  EXPECT_EQ(tensors[7]->places[0].dim->name, "T");
  EXPECT_EQ(file->mixers[0]->outputs[0]->dtype, DType::F16);
}

TEST(ParseCheck, FunctionsAreInlined) {
  const std::string declarations = "  input k[t,i], x[t]\n  fn norm(z[i]) = z[i] * rsqrt(sum[n] "
                                   "z[n]^2 + 1e-6)\n  fn phi(x) = x + 1 if x > 0 else exp(x)\n";
  EXPECT_EQ(rhsOf(declarations + "  o[t,i] = norm(k[t,i] * x[t])\n  output o[t,i]\n", "o"),
            "k[t, i] * x[t] * rsqrt(sum[n] (k[t, n] * x[t])^2 + 1e-06)");
  EXPECT_EQ(rhsOf(declarations + "  o[t] = phi(2 * x[t])\n  output o[t]\n", "o"),
            "2 * x[t] + 1 if 2 * x[t] > 0 else exp(2 * x[t])");
  EXPECT_EQ(
      rhsOf(declarations + "  o[t,i] = phi(norm(k[t,i]))\n  output o[t,i]\n", "o").find("norm"),
      std::string::npos);
}

TEST(ParseCheck, InlinedIndicesDoNotCapture) {
  const std::string declarations = "  input k[t,i]\n  fn norm(z[i]) = z[i] / sqrt(sum[n] z[n]^2)\n";
  // The call's own index is the function's bound one.
  EXPECT_EQ(rhsOf(declarations + "  o[t,n] = norm(k[t,n])\n  output o[t,n]\n", "o"),
            "k[t, n] / sqrt(sum[n_1] k[t, n_1]^2)");
  // The argument binds the function's bound index.
  EXPECT_EQ(
      rhsOf(declarations + "  o[t,i] = norm(k[t,i] * (sum[n] k[t,n]))\n  output o[t,i]\n", "o"),
      "k[t, i] * (sum[n] k[t, n]) / sqrt(sum[n_1] (k[t, n_1] * (sum[n] k[t, n]))^2)");
  // Another declared index is taken before a new one is made.
  EXPECT_EQ(rhsOf("  input k[t,i]\n  fn norm(z[i]) = sqrt(sum[i] z[i]^2)\n"
                  "  o[t,i] = k[t,i] / norm(k[t,i])\n  output o[t,i]\n",
                  "o"),
            "k[t, i] / sqrt(sum[n] k[t, n]^2)");
  // A condition on `n` restricts the equation's sums, not the function's.
  auto file = parseGood(around("  input k[t,i]\n  fn norm(z[i]) = z[i] / sqrt(sum[n] z[n]^2)\n"
                               "  o[t,i] = sum[n] k[t,n] * norm(k[t,i])\n    where n <= i\n"
                               "  output o[t,i]\n"));
  unsigned restricted = 0, all = 0;
  walk(equationOf(*file->mixers[0], "o")->rhs, [&](Expr *e) {
    if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e)) {
      ++all;
      restricted += !reduce->domain.empty();
    }
  });
  EXPECT_EQ(all, 2u);
  EXPECT_EQ(restricted, 1u);
}

TEST(ParseCheck, ArgumentsAtOtherIndices) {
  EXPECT_EQ(rhsOf("  input k[t,i]\n  fn rot(z[i]) = z[i+1] - z[0] + i\n"
                  "  o[t,n] = rot(k[t,n] * n)\n  output o[t,n]\n",
                  "o"),
            "k[t, n + 1] * (n + 1) - k[t, 0] * 0 + n");
  EXPECT_EQ(rhsOf("  input k[t,i], q[t,i]\n  fn dot(a[i], b[i]) = sum[n] a[n] * b[n]\n"
                  "  o[t] = dot(k[t,i], q[t-1,i])\n  output o[t]\n",
                  "o"),
            "sum[n] k[t, n] * q[t - 1, n]");
}

TEST(ParseCheck, InlinedNodesKnowTheirCall) {
  auto file = parseGood(around("  input x[t]\n  fn f(z) = z + 1\n  fn g(z) = f(z) * 2\n"
                               "  o[t] = g(x[t])\n  output o[t]\n"));
  auto *product = llvm::cast<BinaryExpr>(file->mixers[0]->equations[0]->rhs);
  ASSERT_TRUE(product->inlinedAt);
  EXPECT_EQ(product->inlinedAt->fn->name, "g");
  EXPECT_EQ(file->source.text(product->siteRange()), "g(x[t])");
  auto *sum = llvm::cast<BinaryExpr>(product->lhs);
  EXPECT_EQ(sum->inlinedAt->fn->name, "f");
  EXPECT_EQ(file->source.text(sum->siteRange()), "g(x[t])");
  EXPECT_EQ(file->source.text(sum->range), "z + 1");
  EXPECT_EQ(sum->lhs->inlinedAt, nullptr) << "the argument is the caller's";
}

TEST(ParseCheck, Domains) {
  auto file = parseGood(around(R"(
  input x[s], y[s]
  input doc[t] : i32
  a[t,s] = x[s] * t
    where s <= t and doc[s] == doc[t]
  o[t] = (sum[s] a[t,s] * y[s]) + (max[s] x[s]) + sum[i] i
    where t - s < 8 and t >= 0
  output o[t]
)"));
  ASSERT_TRUE(file);
  Mixer &mixer = *file->mixers[0];
  EXPECT_EQ(equationOf(mixer, "a")->domain.size(), 2u);
  Equation *o = equationOf(mixer, "o");
  ASSERT_EQ(o->domain.size(), 1u);
  EXPECT_EQ(print(o->domain[0]), "t >= 0");
  std::vector<size_t> counts;
  walk(o->rhs, [&](Expr *e) {
    if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e))
      counts.push_back(reduce->domain.size());
  });
  EXPECT_EQ(counts, (std::vector<size_t>{1, 1, 0}));
}

TEST(ParseCheck, DirectionsAndGroups) {
  auto file = parseGood(around(R"(
  input x[t]
  state f[] = 0
  state r[] = 0
  state a[] = 0
  state b[] = 0
  state last[] = 0
  o[t] = f[t-1] + r[t+1] + a[t] + last[t+1]
  f[t] = 0.5 * f[t-1] + x[t]
  r[t] = 0.5 * r[t+1] + x[t]
  a[t] = b[t-1] + f[t]
  b[t] = u[t] + x[t]
  u[t] = a[t] + 1
  last[t] = x[t]
  output o[t]
)"));
  ASSERT_TRUE(file);
  auto &states = file->mixers[0]->states;
  EXPECT_EQ(states[0]->direction, Direction::Forward);
  EXPECT_EQ(states[1]->direction, Direction::Backward);
  EXPECT_EQ(states[4]->direction, Direction::Backward);
  EXPECT_EQ(states[2]->group, states[3]->group);
  EXPECT_NE(states[0]->group, states[2]->group);
  std::string order;
  for (Equation *equation : file->mixers[0]->order)
    order += equation->name + " ";
  EXPECT_EQ(order, "f r a u b last o ");
}

TEST(ParseCheck, NoStep) {
  auto reason = [](const std::string &lines) {
    auto file = parseGood(around(lines));
    return file && file->mixers[0]->noStep ? file->mixers[0]->noStep->reason : "";
  };
  EXPECT_EQ(reason("  input x[t]\n  o[t] = x[t] + x[t-3]\n  output o[t]\n"), "");
  EXPECT_EQ(reason("  input x[t]\n  o[t] = x[t+1]\n  output o[t]\n"), "'x' is read ahead of 't'");
  EXPECT_EQ(reason("  input x[t]\n  o[t] = sum[i] x[t+i]\n  output o[t]\n"),
            "'x' is read ahead of 't'");
  EXPECT_EQ(reason("  input x[t]\n  o[t] = sum[i] x[t-i]\n  output o[t]\n"), "");
  EXPECT_EQ(reason("  input x[t]\n  o[t] = sum[i] x[t+i-3]\n  output o[t]\n"), "");
  EXPECT_EQ(reason("  input x[t]\n  o[t] = x[t] / T\n  output o[t]\n"),
            "the length 'T' is used as a number");
  EXPECT_EQ(reason("  input x[t]\n  param f[T]\n  o[t] = x[t] * f[t+1]\n  output o[t]\n"),
            "'f' is read ahead of 't'");
  EXPECT_EQ(reason("  input x[t]\n  param f[T]\n  o[t] = x[t] * sum[i] f[t-i]\n  output o[t]\n"),
            "");
  EXPECT_EQ(reason("  input x[t]\n  state h[] = 0\n  h[t] = h[t+1] + x[t]\n  output h[t]\n"),
            "the state 'h' runs backwards");
}

TEST(ParseCheck, BatchOfDefinitions) {
  auto file = parseGood(around(R"(
  input q[t,i]
  input k[s,i] per B, H/4
  input v[s,i] per B, H/6
  param w[i]
  a[i] = exp(w[i])
  b[t,i] = k[t,i] * a[i]
  c[t,i] = b[t,i] + v[t,i]
  d[t,i] = c[t,i] * q[t,i]
  output d[t,i]
)"));
  ASSERT_TRUE(file);
  auto &definitions = file->mixers[0]->definitions;
  EXPECT_TRUE(definitions[0]->batch.empty());
  ASSERT_EQ(definitions[1]->batch.size(), 2u);
  EXPECT_EQ(definitions[1]->batch[1].group, 4);
  EXPECT_EQ(definitions[2]->batch[1].group, 2);
  EXPECT_EQ(definitions[3]->batch[1].group, 1);
}

TEST(ParseCheck, AffineIndices) {
  auto file = parseGood(around("  input x[t], y[t,i]\n"
                               "  o[t] = sum[i] (x[2 * t - 3 * (i - 1) + K] + y[t-2,i])\n"
                               "  output o[t]\n"));
  const Expr *e = nullptr;
  const Expr *shifted = nullptr;
  walk(file->mixers[0]->equations[0]->rhs, [&](Expr *node) {
    if (auto *ref = llvm::dyn_cast<RefExpr>(node)) {
      if (ref->name == "x")
        e = ref->indices[0];
      if (ref->name == "y")
        shifted = ref->indices[0];
    }
  });
  std::optional<Affine> form = affineOf(e);
  ASSERT_TRUE(form);
  ASSERT_EQ(form->terms.size(), 2u);
  EXPECT_EQ(form->terms[0].decl->name, "t");
  EXPECT_EQ(form->terms[0].coefficient, 2);
  EXPECT_EQ(form->terms[1].coefficient, -3);
  EXPECT_EQ(form->constant, 7);
  EXPECT_FALSE(shiftOf(e));
  ASSERT_TRUE(shiftOf(shifted));
  EXPECT_EQ(shiftOf(shifted)->offset, -2);
}

TEST(ParseCheck, Warnings) {
  EXPECT_EQ(diagnose(around("  input x[t,i], y[t]\n  a[t] = 1\n  o[t] = x[t,4]\n  output o[t]\n")),
            "warning: 3:17: the input 'y' is never used\n"
            "warning: 4:3: the definition 'a' is never used\n"
            "warning: 5:14: this place of 'x' has the extent 4: reading it at 4 gives zero\n");
  EXPECT_EQ(diagnose(around("  input x[t]\n  o[t] = x[T] + x[t]\n  output o[t]\n")),
            "warning: 4:12: this place of 'x' ends before 'T', its length: reading it there gives "
            "zero; write an index of 'T'\n");
}

TEST(ParseCheck, RestrictedReads) {
  auto errors = [](const std::string &lines) { return diagnose(around(lines)); };
  const std::string a = "  input x[s]\n  a[t,s] = x[s] * t\n    where s <= t and t - s < K\n";
  const std::string end = "  output o[t]\n";
  EXPECT_EQ(errors(a + "  o[t] = max[s] a[t,s]\n    where t - s <= 3 and t >= s\n" + end), "");
  EXPECT_EQ(errors(a + "  o[t] = max[s] a[t,s]\n    where s == t or s == t - 2\n" + end), "");
  EXPECT_EQ(errors(a + "  o[t] = sum[s] (1 + a[t,s]) * x[s]\n" + end), "");
  EXPECT_EQ(errors(a + "  o[t] = a[t,t-1]\n" + end), "") << "before the start a read is zero";
  EXPECT_EQ(errors(a + "  o[t] = max[s] (a[t,s] if s <= t and not s < t - 3 else 0)\n" + end), "");
  EXPECT_EQ(errors(a + "  o[t] = sum[i] a[t,t-i]^2\n" + end), "");
  EXPECT_NE(errors(a + "  o[t] = a[t,t-4]\n" + end), "");
  EXPECT_NE(errors(a + "  o[t] = max[s] a[t,s]\n    where s == t or s == t - 4\n" + end), "");
  EXPECT_NE(errors(a + "  o[t] = sum[s] x[s] / a[t,s]\n" + end), "");
  const std::string doc = "  input x[s]\n  input doc[s] : i32\n  a[t,s] = x[s] * t\n"
                          "    where doc[s] == doc[t]\n";
  EXPECT_EQ(errors(doc + "  o[t] = max[s] a[t,s]\n    where s <= t and doc[t] == doc[s]\n" + end),
            "");
  EXPECT_NE(errors(doc + "  o[t] = max[s] a[t,s]\n    where s <= t\n" + end), "");
  const std::string half = "  input x[s]\n  a[t] = x[t]\n    where t % 2 == 0\n";
  EXPECT_EQ(errors(half + "  o[t] = a[2 * t]\n" + end), "");
  EXPECT_EQ(errors(half + "  o[t] = a[t // 2 * 2]\n" + end), "");
  EXPECT_NE(errors(half + "  o[t] = a[2 * t + 1]\n" + end), "");
}

TEST(ParseCheck, LargeFiles) {
  constexpr int count = 20000;
  auto chain = [&](const std::string &last, auto line) {
    std::string text = "  input x[t]\n  output o0[t]\n";
    for (int i = 0; i < count; ++i)
      text += line(i);
    return diagnose(around(text + last));
  };
  auto readsNext = [](int i) { return fmt::format("  o{}[t] = o{}[t]\n", i, i + 1); };
  EXPECT_EQ(chain(fmt::format("  o{}[t] = x[t]\n", count), readsNext), "");
  std::string cycle = chain(fmt::format("  o{}[t] = o0[t] + x[t]\n", count), readsNext);
  EXPECT_NE(cycle.find("'o0' depends on itself at the same token: o0 -> o1 -> "),
            std::string::npos);
  EXPECT_LT(cycle.size(), 3000u);
  EXPECT_EQ(chain(fmt::format("  state h[] = 0\n  h[t] = o0[t-1] + x[t]\n  o{}[t] = h[t]\n", count),
                  readsNext),
            "");
  std::string functions;
  for (int i = 0; i < count; ++i)
    functions += fmt::format("  fn f{}(z) = f{}(z)\n", i, i + 1);
  EXPECT_NE(diagnose(around(functions + fmt::format("  fn f{}(z) = z\n", count))), "");
  std::string dims = "mixer m\n  dims a in A0 = 1";
  for (int i = 0; i < count; ++i)
    dims += fmt::format("; a{} in A{} = A{}", i, i + 1, i + 2);
  EXPECT_NE(diagnose(dims), "");
}

TEST(ParseCheck, Rendering) {
  Diagnostics diagnostics;
  parseAndCheck(SourceFile("gla.seq", around("  input q[t,i]\n  o[t] = q[t,n]\n  output o[t]\n")),
                {}, diagnostics);
  EXPECT_EQ(diagnostics.render(),
            "gla.seq:4:14: error: index 'n' is free on the right-hand side; write 'sum[n]' or add "
            "it to o[t]\n"
            "    o[t] = q[t,n]\n"
            "               ^\n");
  Diagnostics longLine;
  parseAndCheck(SourceFile("long.seq", "mixer m\n  o[t] = " + std::string(5000, '(') + "a\tb"), {},
                longLine);
  std::string text = longLine.render();
  EXPECT_LT(text.size(), 2000u);
  EXPECT_NE(text.find("..."), std::string::npos);
  EXPECT_EQ(nearestName("sigmiod", {"silu", "sigmoid", "sign"}), "sigmoid");
  EXPECT_EQ(nearestName("q", {"k", "v"}), "");
}

} // namespace
