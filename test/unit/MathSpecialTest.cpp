//===- MathSpecialTest.cpp - elementary functions at special values -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/MathFunctions.h"

#include "compiler/cpu/MathExpand.h"
#include "fmt/format.h"
#include "mlir/IR/Diagnostics.h"
#include "gtest/gtest.h"
#include <cmath>
#include <limits>

using namespace seqmix::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct UnaryCase {
  const char *function;
  double x, expected;
};

// Exact values; zeros compare without their sign unless the function is in `keepsSign`.
const UnaryCase unaryCases[] = {
    {"neg", 0, 0},
    {"neg", inf, -inf},
    {"exp", 0, 1},
    {"exp", inf, inf},
    {"exp", -inf, 0},
    {"exp", 1e30, inf},
    {"exp", -1e30, 0},
    {"log", 0, -inf},
    {"log", -0.0, -inf},
    {"log", 1, 0},
    {"log", inf, inf},
    {"log", -1, nan},
    {"log", -inf, nan},
    {"log", 1e-310, -inf},
    {"log1p", 0, 0},
    {"log1p", -1, -inf},
    {"log1p", -1.5, nan},
    {"log1p", inf, inf},
    {"log1p", -inf, nan},
    {"expm1", 0, 0},
    {"expm1", inf, inf},
    {"expm1", -inf, -1},
    {"expm1", 1e30, inf},
    {"expm1", -1e30, -1},
    {"sqrt", 0, 0},
    {"sqrt", inf, inf},
    {"sqrt", -1, nan},
    {"sqrt", 4, 2},
    {"rsqrt", 0, inf},
    {"rsqrt", inf, 0},
    {"rsqrt", -1, nan},
    {"rsqrt", 4, 0.5},
    {"abs", -inf, inf},
    {"abs", -0.0, 0},
    {"sign", 0, 0},
    {"sign", -0.0, 0},
    {"sign", inf, 1},
    {"sign", -inf, -1},
    {"sign", -2, -1},
    {"floor", -0.5, -1},
    {"floor", inf, inf},
    {"floor", -inf, -inf},
    {"floor", 2.75, 2},
    {"sigmoid", 0, 0.5},
    {"sigmoid", inf, 1},
    {"sigmoid", -inf, 0},
    {"sigmoid", -1e30, 0},
    {"logsigmoid", inf, 0},
    {"logsigmoid", -inf, -inf},
    {"logsigmoid", -1e30, -1e30},
    {"silu", 0, 0},
    {"silu", inf, inf},
    {"silu", -inf, 0},
    {"silu", 1e30, 1e30},
    {"silu", -1e30, 0},
    {"softplus", inf, inf},
    {"softplus", -inf, 0},
    {"softplus", 1e30, 1e30},
    {"softplus", -1e30, 0},
    {"tanh", 0, 0},
    {"tanh", inf, 1},
    {"tanh", -inf, -1},
    {"tanh", 40, 1},
    {"tanh", -40, -1},
    {"relu", 0, 0},
    {"relu", inf, inf},
    {"relu", -inf, 0},
    {"relu", -3, 0},
    {"gelu", 0, 0},
    {"gelu", inf, inf},
    {"gelu", -inf, 0},
    {"gelu", 1e30, 1e30},
    {"gelu", -1e30, 0},
    {"erf", 0, 0},
    {"erf", inf, 1},
    {"erf", -inf, -1},
    {"erf", 1e30, 1},
    {"erf", -40, -1},
    {"sin", 0, 0},
    {"sin", inf, nan},
    {"sin", -inf, nan},
    {"cos", 0, 1},
    {"cos", inf, nan},
    {"cos", -inf, nan},
};

struct BinaryCase {
  const char *function;
  double x, y, expected;
};

const BinaryCase binaryCases[] = {
    {"logaddexp", -inf, -inf, -inf},
    {"logaddexp", inf, inf, inf},
    {"logaddexp", inf, -inf, inf},
    {"logaddexp", -inf, 3, 3},
    {"logaddexp", 3, -inf, 3},
    {"logaddexp", 1e30, -1e30, 1e30},
    {"logaddexp", nan, 0, nan},
    {"logaddexp", -inf, nan, nan},
    // The second operand if one is NaN.
    {"min", nan, 1, 1},
    {"min", 1, nan, nan},
    {"max", nan, 1, 1},
    {"max", 1, nan, nan},
    {"min", -inf, inf, -inf},
    {"max", -inf, inf, inf},
    // The rules of C's pow.
    {"pow", nan, 0, 1},
    {"pow", 1, nan, 1},
    {"pow", 0, 0, 1},
    {"pow", inf, 0, 1},
    {"pow", 1, inf, 1},
    {"pow", -1, inf, 1},
    {"pow", -1, -inf, 1},
    {"pow", 2, inf, inf},
    {"pow", 0.5, inf, 0},
    {"pow", 2, -inf, 0},
    {"pow", 0.5, -inf, inf},
    {"pow", -2, inf, inf},
    {"pow", 0, 3, 0},
    {"pow", 0, -3, inf},
    {"pow", -0.0, -3, -inf},
    {"pow", -0.0, -2, inf},
    {"pow", -0.0, -0.5, inf},
    {"pow", 0, -inf, inf},
    {"pow", inf, 2, inf},
    {"pow", inf, -2, 0},
    {"pow", -inf, 3, -inf},
    {"pow", -inf, 2, inf},
    {"pow", -inf, -3, 0},
    {"pow", -inf, 0.5, inf},
    {"pow", -2, 3, -8},
    {"pow", -2, 2, 4},
    {"pow", -2, 0.5, nan},
    {"pow", -2, -1, -0.5},
    {"pow", nan, 2, nan},
    {"pow", 2, nan, nan},
    {"pow", -0.5, 1e30, 0},
    {"pow", -8, 1.0 / 3, nan},
    {"pow", 2, 10, 1024},
    {"mod", 5, 3, 2},
    {"mod", -5, 3, 1},
    {"mod", 5, -3, -1},
    {"mod", -5, -3, -2},
    {"mod", 6, 3, 0},
    {"mod", -6, 3, 0},
    {"mod", 5, inf, 5},
    {"mod", -5, inf, inf},
    {"mod", 5, -inf, -inf},
    {"mod", inf, 3, nan},
    {"mod", 5, 0, nan},
    {"mod", 0.5, 0.25, 0},
    {"floordiv", 5, 3, 1},
    {"floordiv", -5, 3, -2},
    {"floordiv", 5, -3, -2},
    {"floordiv", -6, 3, -2},
    {"floordiv", 5, inf, 0},
    {"div", 1, 0, inf},
    {"div", 0, 0, nan},
    {"sub", inf, inf, nan},
};

template <typename T> void expectSame(T got, double expected, const std::string &what) {
  T narrowed = static_cast<T>(expected);
  if (std::isnan(expected))
    EXPECT_TRUE(std::isnan(got)) << what << " = " << got;
  else if (std::isinf(narrowed) || narrowed == 0)
    EXPECT_EQ(got, narrowed) << what;
  else // a few ulps, checked closely elsewhere
    EXPECT_NEAR(got, narrowed, 4 * std::numeric_limits<T>::epsilon() * std::abs(narrowed)) << what;
}

template <typename T> void checkCases(const MathConfig &config) {
  auto &compiled = CompiledMath::get(config);
  std::vector<T> a(blockSize), b(blockSize), y(blockSize);
  auto run = [&](const char *function, double x, double other) {
    // One special lane between ordinary ones, in each place.
    for (int64_t i = 0; i < blockSize; ++i) {
      a[i] = static_cast<T>(i % 7 ? 0.75 : x);
      b[i] = static_cast<T>(i % 7 ? 1.25 : other);
    }
    compiled.run(function, a.data(), b.data(), y.data());
  };
  for (bool flushed : {false, true}) {
    std::optional<FlushDenormals> flush;
    if (flushed)
      flush.emplace();
    for (auto &test : unaryCases) {
      run(test.function, test.x, 0);
      for (int64_t i = 0; i < 7 * 16; i += 7)
        expectSame(y[i], test.expected, fmt::format("{}({})", test.function, test.x));
    }
    for (auto &test : binaryCases) {
      run(test.function, test.x, test.y);
      for (int64_t i = 0; i < 7 * 16; i += 7)
        expectSame(y[i], test.expected, fmt::format("{}({}, {})", test.function, test.x, test.y));
    }
    for (auto &function : mathFunctions())
      if (function.arguments == 1) {
        run(function.name, nan, 0);
        EXPECT_TRUE(std::isnan(y[0])) << function.name << "(nan) = " << y[0];
        EXPECT_FALSE(std::isnan(y[1])) << function.name;
      }
  }
}

class MathSpecial : public ::testing::TestWithParam<MathConfig> {
protected:
  void SetUp() override {
    if (!GetParam().runs())
      GTEST_SKIP() << "this machine lacks the instructions";
  }
};

TEST_P(MathSpecial, Values) {
  if (GetParam().f64)
    checkCases<double>(GetParam());
  else
    checkCases<float>(GetParam());
}

// Saturating functions must not leave their range by a rounding error: the logarithm of 1 - f(x) is
// taken of them.
template <typename T> void checkRanges(const MathConfig &config) {
  auto &compiled = CompiledMath::get(config);
  std::vector<T> x(blockSize), y(blockSize);
  for (int block = 0; block < 300; ++block) {
    for (int64_t i = 0; i < blockSize; ++i)
      x[i] = static_cast<T>(40.0 * static_cast<double>(block * blockSize + i) / (300 * blockSize));
    for (auto *function : {"tanh", "sigmoid", "erf", "sin", "cos"}) {
      compiled.run(function, x.data(), x.data(), y.data());
      for (int64_t i = 0; i < blockSize; ++i)
        ASSERT_LE(std::abs(y[i]), T(1)) << function << "(" << x[i] << ")";
    }
  }
}

TEST_P(MathSpecial, RangesHold) {
  if (GetParam().f64)
    checkRanges<double>(GetParam());
  else
    checkRanges<float>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(, MathSpecial,
                         ::testing::Values(MathConfig{false, 16, MathLevel::Avx512},
                                           MathConfig{false, 8, MathLevel::Avx512},
                                           MathConfig{false, 16, MathLevel::Avx2},
                                           MathConfig{false, 0, MathLevel::Avx2},
                                           MathConfig{true, 8, MathLevel::Avx512},
                                           MathConfig{true, 4, MathLevel::Avx2},
                                           MathConfig{false, 4, MathLevel::Sse41},
                                           MathConfig{true, 2, MathLevel::Sse41}),
                         [](const auto &info) { return info.param.name(); });

std::unique_ptr<JitModule> compileText(const std::string &text) {
  auto context = makeJitContext();
  auto module = parseModule(*context, text);
  EXPECT_TRUE(mlir::succeeded(seqmix::cpu::expandMath(*module, {hostHasAvx512()})));
  return llvm::cantFail(JitModule::compile(*module));
}

TEST(MathInteger, FloorsOnAllSigns) {
  auto jit = compileText(R"mlir(
    func.func @floordiv(%a: i64, %b: i64) -> i64 {
      %r = seq.binary <floordiv> %a, %b : i64
      return %r : i64
    }
    func.func @mod(%a: i64, %b: i64) -> i64 {
      %r = seq.binary <mod> %a, %b : i64
      return %r : i64
    }
    func.func @by8(%a: index) -> index {
      %c8 = arith.constant 8 : index
      %r = seq.binary <floordiv> %a, %c8 : index
      return %r : index
    }
    func.func @mod8(%a: index) -> index {
      %c8 = arith.constant 8 : index
      %r = seq.binary <mod> %a, %c8 : index
      return %r : index
    }
  )mlir");
  auto *divide = jit->get<int64_t(int64_t, int64_t)>("floordiv");
  auto *modulo = jit->get<int64_t(int64_t, int64_t)>("mod");
  auto *by8 = jit->get<int64_t(int64_t)>("by8");
  auto *mod8 = jit->get<int64_t(int64_t)>("mod8");
  for (int64_t a = -40; a <= 40; ++a) {
    for (int64_t b = -9; b <= 9; ++b) {
      if (b == 0)
        continue;
      auto quotient =
          static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
      EXPECT_EQ(divide(a, b), quotient) << a << " // " << b;
      EXPECT_EQ(modulo(a, b), a - b * quotient) << a << " % " << b;
    }
    EXPECT_EQ(by8(a), divide(a, 8));
    EXPECT_EQ(mod8(a), modulo(a, 8));
  }
}

TEST(MathInteger, UnaryAndLogic) {
  auto jit = compileText(R"mlir(
    func.func @sign(%a: i32) -> i32 {
      %r = seq.unary <sign> %a : (i32) -> i32
      return %r : i32
    }
    func.func @abs(%a: i32) -> i32 {
      %r = seq.unary <abs> %a : (i32) -> i32
      return %r : i32
    }
    func.func @implies(%a: i1, %b: i1) -> i1 {
      %n = seq.unary <not> %a : (i1) -> i1
      %r = seq.binary <or> %n, %b : i1
      return %r : i1
    }
    func.func @clamp(%a: i32, %lo: i32, %hi: i32) -> i32 {
      %0 = seq.binary <max> %a, %lo : i32
      %1 = seq.binary <min> %0, %hi : i32
      return %1 : i32
    }
  )mlir");
  EXPECT_EQ(jit->get<int(int)>("sign")(-7), -1);
  EXPECT_EQ(jit->get<int(int)>("sign")(0), 0);
  EXPECT_EQ(jit->get<int(int)>("sign")(7), 1);
  EXPECT_EQ(jit->get<int(int)>("abs")(-7), 7);
  EXPECT_EQ(jit->get<int(int, int, int)>("clamp")(-7, -3, 3), -3);
  auto *implies = jit->get<bool(bool, bool)>("implies");
  for (bool a : {false, true})
    for (bool b : {false, true})
      EXPECT_EQ(implies(a, b), !a || b);
}

TEST(MathPow, WholeExponents) {
  std::string text;
  for (int n = -8; n <= 8; ++n)
    text += fmt::format(R"mlir(
      func.func @p{}(%a: f64) -> f64 {{
        %c = arith.constant {}.0 : f64
        %r = seq.binary <pow> %a, %c : f64
        return %r : f64
      }})mlir",
                        n + 8, n);
  auto jit = compileText(text);
  for (int n = -8; n <= 8; ++n) {
    auto *power = jit->get<double(double)>(fmt::format("p{}", n + 8));
    for (double x : {-3.5, -1.0, 0.1, 1.0, 2.0, 17.25}) {
      double expected = std::pow(x, n);
      EXPECT_NEAR(power(x), expected, std::abs(expected) * 1e-15) << x << "^" << n;
    }
    EXPECT_EQ(power(0.0), std::pow(0.0, n));
    EXPECT_EQ(power(inf), std::pow(inf, n));
    EXPECT_EQ(power(-inf), std::pow(-inf, n));
  }
}

/// The first diagnostic that the expansion of `text` gives.
std::string expansionError(const std::string &text) {
  auto context = makeJitContext();
  auto module = parseModule(*context, text);
  std::string message;
  mlir::ScopedDiagnosticHandler handler(context.get(), [&](mlir::Diagnostic &diagnostic) {
    if (message.empty())
      message = diagnostic.str();
    return mlir::success();
  });
  EXPECT_TRUE(mlir::failed(seqmix::cpu::expandMath(*module, {})));
  return message;
}

TEST(MathErrors, NameWhatIsWrong) {
  auto error = expansionError(R"mlir(
    func.func @f(%a: i32) -> i32 {
      %r = seq.binary <pow> %a, %a : i32
      return %r : i32
    })mlir");
  EXPECT_NE(error.find("no meaning on 'i32'"), std::string::npos) << error;
  error = expansionError(R"mlir(
    func.func @f(%a: f16) -> f16 {
      %r = seq.unary <exp> %a : (f16) -> f16
      return %r : f16
    })mlir");
  EXPECT_NE(error.find("expected f32, f64 or integers"), std::string::npos) << error;
  error = expansionError(R"mlir(
    func.func @f(%a: vector<2x4xf32>) -> vector<2x4xf32> {
      %r = seq.unary <exp> %a : (vector<2x4xf32>) -> vector<2x4xf32>
      return %r : vector<2x4xf32>
    })mlir");
  EXPECT_NE(error.find("vector of rank 2"), std::string::npos) << error;
  error = expansionError(R"mlir(
    func.func @f(%a: f64) -> index {
      %r = seq.unary <floor> %a : (f64) -> index
      return %r : index
    })mlir");
  EXPECT_NE(error.find("result of type 'index'"), std::string::npos) << error;
}

} // namespace
