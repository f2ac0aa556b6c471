//===- ParseCasesTest.cpp - Test cases in comments -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. See LICENSE for licence information.
//
//===-----------------------------------------------------------------------------------------===//
#include "compiler/parse/Cases.h"
#include "test/unit/ParseSupport.h"

using namespace seqmix;
using namespace seqmix::test;

namespace {

const std::string mixerText = R"(mixer m
  dims B, H batch; t in T; i in K = 4
  const W = 3
  input x[t,i]
  input k[t,i] per B, H/2
  input d[t] : i32
  o[t,i] = x[t,i] * k[t,i] * W + d[t]
  output o[t,i]
)";

std::vector<CaseLine> cases(const std::string &lines, std::string *messages = nullptr) {
  Diagnostics diagnostics;
  auto result = parseCases(SourceFile("test.seq", mixerText + lines), diagnostics);
  std::string all;
  for (const std::string &line : flatten(diagnostics))
    all += line + "\n";
  if (messages)
    *messages = all;
  else
    EXPECT_EQ(all, "");
  return result;
}

std::string errorOf(const std::string &line) {
  std::string messages;
  EXPECT_TRUE(cases(line, &messages).empty());
  return messages;
}

TEST(ParseCases, Settings) {
  auto list = cases("# case B=2 T=67 H=4 K=16 W=5 dtype=bf16 carry=random extreme=x,k\n"
                    "#case T=0 B=1 H=2\n# cases are not this\n# the case B=2\n");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].mixer, "m");
  EXPECT_EQ(list[0].sizes,
            (std::map<std::string, int64_t>{{"B", 2}, {"H", 4}, {"K", 16}, {"T", 67}}));
  EXPECT_EQ(list[0].overrides,
            (Overrides{{"K", ast::Number::ofInteger(16)}, {"W", ast::Number::ofInteger(5)}}));
  EXPECT_EQ(list[0].dtype, ast::DType::BF16);
  EXPECT_TRUE(list[0].randomCarry);
  EXPECT_EQ(list[0].extreme, (std::vector<std::string>{"x", "k"}));
  EXPECT_EQ(list[1].sizes.at("T"), 0);
  EXPECT_EQ(list[1].dtype, ast::DType::Default);
  EXPECT_FALSE(list[1].randomCarry);
}

TEST(ParseCases, PackedSequences) {
  auto list = cases("# case H=2 lengths=5,0,62\n# case B=1 T=3 H=2 lengths=3\n");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].lengths, (std::vector<int64_t>{5, 0, 62}));
  EXPECT_EQ(list[0].sizes.at("T"), 67);
  EXPECT_EQ(list[0].sizes.at("B"), 1);
  EXPECT_EQ(errorOf("# case B=2 H=2 lengths=3\n"),
            "error: 9:3: packed sequences have B=1, since the lengths say how many there are\n");
  EXPECT_EQ(errorOf("# case H=2 T=4 lengths=3,2\n"),
            "error: 9:3: the lengths add up to 5, but T=4\n");
  EXPECT_EQ(errorOf("# case H=2 lengths=3,-2\n"),
            "error: 9:12: expected lengths of at least 0 with commas between them, as in "
            "lengths=5,0,62, found '-2'\n");
}

TEST(ParseCases, Errors) {
  EXPECT_EQ(errorOf("# case B=2 T=3\n"), "error: 9:3: the case gives no size for 'H'\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=2 L=3\n"),
            "error: 9:20: 'L' is neither a dim nor a constant of 'm'\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=2 length=3\n"),
            "error: 9:20: 'length' is neither a dim nor a constant of 'm'; did you mean "
            "'lengths'?\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=3\n"), "error: 9:3: H=3 is not a multiple of 2\n"
                                             "note: 5:23: needed here\n");
  EXPECT_EQ(errorOf("# case B=0 T=3 H=2\n"),
            "error: 9:8: the size of 'B' must be a whole number of at least 1, found '0'\n");
  EXPECT_EQ(errorOf("# case B=2 T H=2\n"), "error: 9:12: expected NAME=VALUE, found 'T'\n");
  EXPECT_EQ(errorOf("# case B=2 B=2\n"), "error: 9:12: 'B' is given twice\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=2 dtype=i32\n"),
            "error: 9:20: expected dtype=f64, f32, bf16 or f16, found 'i32'\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=2 carry=zero\n"), "error: 9:20: expected carry=random\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=2 extreme=xx\n"),
            "error: 9:20: 'xx' is not an input of 'm'; did you mean 'x'?\n");
  EXPECT_EQ(errorOf("# case B=2 T=3 H=2 extreme=d\n"),
            "error: 9:20: 'd' is not real: it has no extreme values\n");
}

TEST(ParseCases, BelongToTheirMixer) {
  Diagnostics diagnostics;
  std::string second = "mixer second\n  dims B batch; t in T\n  input x[t]\n  o[t] = x[t]\n"
                       "  output o[t]\n# case B=3 T=4\n";
  auto list =
      parseCases(SourceFile("two.seq", "# case B=1 T=2 H=2\n" + mixerText + second), diagnostics);
  EXPECT_FALSE(diagnostics.hasErrors()) << diagnostics.render();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].mixer, "m");
  EXPECT_EQ(list[1].mixer, "second");
  EXPECT_TRUE(parseCases(SourceFile("none.seq", "# case B=1\n"), diagnostics).empty());
  EXPECT_TRUE(diagnostics.hasErrors());
}

} // namespace
