//===- ParseExprTest.cpp - Tokens, operators, literals ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "test/unit/ParseSupport.h"

#include <cmath>

using namespace seqmix;
using namespace seqmix::ast;
using namespace seqmix::test;

namespace {

/// The tree of `o[t] = text` with every operator bracketed.
std::string tree(const Expr *e) {
  if (auto *unary = llvm::dyn_cast<UnaryExpr>(e))
    return fmt::format("({} {})", unary->op == UnaryOp::Neg ? "neg" : "not", tree(unary->operand));
  if (auto *binary = llvm::dyn_cast<BinaryExpr>(e))
    return fmt::format("({} {} {})", tree(binary->lhs), spelling(binary->op).str(),
                       tree(binary->rhs));
  if (auto *cond = llvm::dyn_cast<CondExpr>(e))
    return fmt::format("({} ? {} : {})", tree(cond->condition), tree(cond->whenTrue),
                       tree(cond->whenFalse));
  if (auto *reduce = llvm::dyn_cast<ReduceExpr>(e))
    return fmt::format("{}<{}>", spelling(reduce->op).str(), tree(reduce->operand));
  if (auto *map = llvm::dyn_cast<MapExpr>(e))
    return fmt::format("{}<{}>", spelling(map->op).str(), tree(map->operand));
  return print(e);
}

std::string treeOf(const std::string &text) {
  auto file =
      parseGood(around("  input a[t], b[t], c[t], x[t,i]\n  o[t] = " + text + "\n  output o[t]\n"));
  return file ? tree(file->mixers[0]->equations[0]->rhs) : "";
}

TEST(ParseExpr, Precedence) {
  EXPECT_EQ(treeOf("a[t] + b[t] * c[t]"), "(a[t] + (b[t] * c[t]))");
  EXPECT_EQ(treeOf("a[t] - b[t] - c[t]"), "((a[t] - b[t]) - c[t])");
  EXPECT_EQ(treeOf("a[t] / b[t] * c[t]"), "((a[t] / b[t]) * c[t])");
  EXPECT_EQ(treeOf("-a[t]^2"), "(neg (a[t] ^ 2))");
  EXPECT_EQ(treeOf("2^3^a[t]"), "(2 ^ (3 ^ a[t]))");
  EXPECT_EQ(treeOf("K^-0.5 * a[t]"), "((K ^ (neg 0.5)) * a[t])");
  EXPECT_EQ(treeOf("2^-3^a[t]"), "(2 ^ (neg (3 ^ a[t])))");
  EXPECT_EQ(treeOf("--a[t]"), "(neg (neg a[t]))");
  EXPECT_EQ(treeOf("1 if a[t] < 0 and not b[t] < 0 or c[t] == 1 else 2"),
            "((((a[t] < 0) and (not (b[t] < 0))) or (c[t] == 1)) ? 1 : 2)");
  EXPECT_EQ(treeOf("1 if a[t] < 0 else 2 if b[t] < 0 else 3"),
            "((a[t] < 0) ? 1 : ((b[t] < 0) ? 2 : 3))");
  EXPECT_EQ(treeOf("t // 3 % 2 * a[t]"), "(((t // 3) % 2) * a[t])");
}

TEST(ParseExpr, ReductionsTakeTheRestOfTheProduct) {
  EXPECT_EQ(treeOf("2 * sum[i] x[t,i] * a[t] + b[t]"), "((2 * sum<(x[t, i] * a[t])>) + b[t])");
  EXPECT_EQ(treeOf("sum[i] x[t,i] / a[t]"), "sum<(x[t, i] / a[t])>");
  EXPECT_EQ(treeOf("(sum[i] x[t,i]) / a[t]"), "(sum<x[t, i]> / a[t])");
  EXPECT_EQ(treeOf("max[i] x[t,i] * a[t]"), "(max<x[t, i]> * a[t])");
  EXPECT_EQ(treeOf("logsumexp[i] (x[t,i] * a[t])"), "logsumexp<(x[t, i] * a[t])>");
  EXPECT_EQ(treeOf("max[i] exp(x[t,i])"), "max<exp(x[t, i])>");
  EXPECT_EQ(treeOf("max(a[t], b[t])"), "max(a[t], b[t])");
  EXPECT_EQ(treeOf("-sum[i] x[t,i]"), "(neg sum<x[t, i]>)");
  EXPECT_EQ(treeOf("prod[i,n] x[t,i] * x[t,n]"), "prod<(x[t, i] * x[t, n])>");
}

TEST(ParseExpr, LinesContinue) {
  EXPECT_EQ(treeOf("a[t] +\n   b[t]"), "(a[t] + b[t])");
  EXPECT_EQ(treeOf("\n   a[t]"), "a[t]");
  EXPECT_EQ(treeOf("max(a[t],  # one\n   # two\n\n   b[t])"), "max(a[t], b[t])");
  EXPECT_EQ(treeOf("(a[t]\n   + b[t])"), "(a[t] + b[t])");
  EXPECT_EQ(treeOf("1 if a[t] < 0 and\n b[t] < 0 else\n 2"),
            "(((a[t] < 0) and (b[t] < 0)) ? 1 : 2)");
}

TEST(ParseExpr, Numbers) {
  auto value = [](const std::string &text) {
    auto file = parseGood(around("  const W = " + text +
                                 "\n  input a[t]\n  o[t] = W * a[t]\n"
                                 "  output o[t]\n"));
    return file ? file->mixers[0]->consts[0]->value : Number();
  };
  EXPECT_EQ(value("1024"), Number::ofInteger(1024));
  EXPECT_EQ(value("1e3"), Number::ofReal(1000));
  EXPECT_EQ(value("1.5e-3"), Number::ofReal(0.0015));
  EXPECT_EQ(value(".5"), Number::ofReal(0.5));
  EXPECT_EQ(value("2."), Number::ofReal(2));
  EXPECT_EQ(value("9223372036854775807"), Number::ofInteger(INT64_MAX));
  EXPECT_EQ(value("-9223372036854775807 - 1"), Number::ofInteger(INT64_MIN));
  EXPECT_EQ(value("-7 // 2"), Number::ofInteger(-4));
  EXPECT_EQ(value("-7 % 2"), Number::ofInteger(1));
  EXPECT_EQ(value("7 % -2"), Number::ofInteger(-1));
  EXPECT_EQ(value("2^10"), Number::ofInteger(1024));
  EXPECT_EQ(value("2^-1"), Number::ofReal(0.5));
  EXPECT_EQ(value("K * V - 1"), Number::ofInteger(11));
  EXPECT_EQ(value("floor(7 / 2)"), Number::ofInteger(3));
  EXPECT_EQ(value("min(3, 5)"), Number::ofInteger(3));
  EXPECT_EQ(value("-inf"), Number::ofReal(-INFINITY));
  EXPECT_DOUBLE_EQ(value("exp(1)").real(), std::exp(1.0));
}

TEST(ParseExpr, Types) {
  auto type = [](const std::string &text) {
    auto file =
        parseGood(around("  input a[t]\n  input d[t] : i32\n  input b[t] : bool\n  v[t] = " + text +
                         "\n  o[t] = a[t]\n  output o[t]\n"));
    return file ? file->mixers[0]->equations[0]->rhs->type : Type::Real;
  };
  EXPECT_EQ(type("t + 1"), Type::Integer);
  EXPECT_EQ(type("d[t] * 2 - K"), Type::Integer);
  EXPECT_EQ(type("d[t] / 2"), Type::Real);
  EXPECT_EQ(type("d[t]^2"), Type::Integer);
  EXPECT_EQ(type("2^d[t]"), Type::Real);
  EXPECT_EQ(type("floor(a[t])"), Type::Integer);
  EXPECT_EQ(type("floor(a[t]) // 2"), Type::Integer);
  EXPECT_EQ(type("min(d[t], 3)"), Type::Integer);
  EXPECT_EQ(type("min(d[t], 3.0)"), Type::Real);
  EXPECT_EQ(type("d[t] if b[t] else 2"), Type::Integer);
  EXPECT_EQ(type("d[t] if b[t] else a[t]"), Type::Real);
  EXPECT_EQ(type("b[t] and a[t] > 0"), Type::Boolean);
  EXPECT_EQ(type("sum[n] n"), Type::Integer);
  EXPECT_EQ(type("max[n] (n + 1)"), Type::Real);
  EXPECT_EQ(type("exp(2)"), Type::Real);
}

TEST(ParseExpr, OddBytes) {
  std::string good = "  input a[t]\n  o[t] = a[t]\n  output o[t]";
  EXPECT_EQ(diagnose(around(good)), "") << "no line break at the end";
  std::string crlf = around(good);
  for (size_t i = 0; (i = crlf.find('\n', i)) != std::string::npos; i += 2)
    crlf.replace(i, 1, "\r\n");
  EXPECT_EQ(diagnose(crlf), "");
  EXPECT_EQ(diagnose("\xEF\xBB\xBF" + around(good)), "") << "byte order mark";
  EXPECT_EQ(diagnose(std::string("mixer a\0b", 9)),
            "error: 1:8: unexpected control character (code 0)\n");
  EXPECT_EQ(diagnose("mixer \xFF\xFE"), "error: 1:7: the file is not valid UTF-8 here\n");
  EXPECT_EQ(diagnose(""), "error: 1:1: the file has no mixer; expected 'mixer NAME'\n");
  EXPECT_EQ(diagnose("mixer"), "error: 1:6: expected a name after 'mixer', found the end of the "
                               "line\n");
}

TEST(ParseExpr, Depth) {
  auto wrap = [](const std::string &text) {
    return around("  input a[t]\n  o[t] = " + text + "\n  output o[t]\n");
  };
  auto repeat = [](const std::string &text, size_t count) {
    std::string all;
    for (size_t i = 0; i < count; ++i)
      all += text;
    return all;
  };
  EXPECT_EQ(diagnose(wrap(repeat("(", 400) + "a[t]" + repeat(")", 400))), "");
  for (const std::string &deep :
       {repeat("(", 100000), repeat("-", 100000), repeat("exp(", 100000), repeat("not ", 100000),
        repeat("2^", 100000), repeat("1 if 1 < 2 else ", 100000), repeat("a[", 100000),
        repeat("sum[i] ", 100000)})
    EXPECT_NE(diagnose(wrap(deep)).find("nested too deeply"), std::string::npos);
  EXPECT_EQ(diagnose(wrap("a[t]" + repeat(" + a[t]", 250))), "");
  EXPECT_NE(diagnose(wrap("a[t]" + repeat(" + a[t]", 100000))).find("too large"),
            std::string::npos);
}

TEST(ParseExpr, ErrorsAreBounded) {
  std::string text = "mixer m\n";
  for (int i = 0; i < 1000; ++i)
    text += "  input 3\n";
  Diagnostics diagnostics;
  EXPECT_FALSE(parseAndCheck(SourceFile("many.seq", text), {}, diagnostics));
  EXPECT_EQ(diagnostics.errorCount(), Diagnostics::errorLimit);
  EXPECT_NE(diagnostics.render().find("20 errors found, the rest is not shown"), std::string::npos);
}

} // namespace
