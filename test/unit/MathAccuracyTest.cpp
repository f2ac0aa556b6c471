//===- MathAccuracyTest.cpp - elementary functions against extended precision ---===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/MathFunctions.h"

#include "fmt/format.h"
#include "gtest/gtest.h"
#include <cfloat>
#include <cmath>
#include <map>
#include <random>

using namespace seqmix::test;

namespace {

using Wide = long double;

template <typename T> struct Format;
template <> struct Format<float> {
  static constexpr int minExponent = -149, maxExponent = 127, mantissa = 23;
  static constexpr double accurateSine = 1e6;
};
template <> struct Format<double> {
  static constexpr int minExponent = -1074, maxExponent = 1023, mantissa = 52;
  static constexpr double accurateSine = 1e9;
};

template <typename T> constexpr Wide smallest = std::numeric_limits<T>::min();

/// |got - expected| in units of the last place of the expected value, or of `scale` if that is
/// larger. A result next to the denormals may be flushed, since an intermediate one may be among
/// them.
template <typename T> double ulps(T got, Wide expected, Wide scale = 0) {
  if (std::isnan(expected) || std::isnan(got))
    return std::isnan(expected) && std::isnan(got) ? 0 : INFINITY;
  Wide size = fabsl(expected);
  if ((size < smallest<T> * 1024 && got == 0) || fabsl(got - expected) <= smallest<T>)
    return 0;
  // Beyond the largest number the right result is inf, or that number when the reference is within
  // rounding of it.
  Wide largest = std::numeric_limits<T>::max();
  if (std::isinf(got) && size > largest * (1 - std::numeric_limits<T>::epsilon()))
    return std::signbit(got) == std::signbit(expected) ? 0 : INFINITY;
  if (std::isinf(got) || std::isinf(expected))
    return static_cast<Wide>(got) == expected ? 0 : INFINITY;
  size = std::max(size, fabsl(scale));
  int exponent = size < smallest<T> ? std::numeric_limits<T>::min_exponent : ilogbl(size) + 1;
  return static_cast<double>(fabsl(static_cast<Wide>(got) - expected) /
                             ldexpl(1, exponent - 1 - Format<T>::mantissa));
}

/// Every exponent and both signs with random mantissas, and ranges where the functions have their
/// shapes.
template <typename T> std::vector<T> sweep() {
  std::mt19937_64 random(20);
  std::uniform_real_distribution<double> mantissa(1, 2);
  std::vector<T> values;
  int repeats = sizeof(T) == 4 ? 64 : 16;
  for (int exponent = Format<T>::minExponent; exponent <= Format<T>::maxExponent; ++exponent)
    for (int i = 0; i < repeats; ++i)
      for (double sign : {-1.0, 1.0})
        values.push_back(static_cast<T>(sign * ldexpl(mantissa(random), exponent)));
  for (double reach : {1.0, 3.0, 12.0, 45.0, 110.0, sizeof(T) == 4 ? 200.0 : 760.0}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 12000; ++i)
      values.push_back(static_cast<T>(uniform(random)));
  }
  // Around 1, powers of two, and multiples of pi / 2.
  for (int i = -2000; i < 2000; ++i) {
    values.push_back(
        static_cast<T>(1 + i * static_cast<double>(std::numeric_limits<T>::epsilon())));
    values.push_back(static_cast<T>(ldexp(1, i % 120)));
    values.push_back(static_cast<T>(i * M_PI_2));
    values.push_back(static_cast<T>(i * 300.0 * M_PI_2));
  }
  while (values.size() % blockSize)
    values.push_back(1);
  return values;
}

template <typename T> const std::vector<T> &inputs() {
  static const std::vector<T> values = sweep<T>();
  return values;
}

/// References of the sweep, computed once a function.
template <typename T> const std::vector<Wide> &references(const MathFunction &function) {
  static std::map<std::string, std::vector<Wide>> cache;
  auto &entry = cache[function.name];
  if (entry.empty())
    for (T x : inputs<T>())
      entry.push_back(function.unary(x));
  return entry;
}

bool isSine(const MathFunction &function) {
  return std::string(function.name) == "sin" || std::string(function.name) == "cos";
}

template <typename T> void checkUnary(const MathConfig &config, const MathFunction &function) {
  auto &compiled = CompiledMath::get(config);
  auto &x = inputs<T>();
  auto &expected = references<T>(function);
  double allowed = sizeof(T) == 4 ? function.ulpsF32 : function.ulpsF64;
  double worst = 0;
  T worstAt = 0;
  std::vector<T> y(x.size());
  {
    FlushDenormals flush;
    for (size_t i = 0; i < x.size(); i += blockSize)
      compiled.run(function.name, &x[i], &x[i], &y[i]);
  }
  for (size_t i = 0; i < x.size(); ++i) {
    if (isSine(function) && std::abs(x[i]) > Format<T>::accurateSine) {
      ASSERT_LE(std::abs(y[i]), 1) << function.name << "(" << x[i] << ")";
      continue;
    }
    double error = ulps(y[i], expected[i]);
    if (std::abs(x[i]) < smallest<T>) // a denormal operand may count as zero
      error = std::min(error, ulps(y[i], function.unary(std::copysign(Wide(0), x[i]))));
    if (error > worst)
      worst = error, worstAt = x[i];
  }
  T at = worstAt;
  std::vector<T> one(blockSize, at), result(blockSize);
  compiled.run(function.name, one.data(), one.data(), result.data());
  ::testing::Test::RecordProperty(function.name, fmt::format("{:.2f}", worst));
  EXPECT_LE(worst, allowed) << function.name << "(" << std::hexfloat << at << ") = " << result[0]
                            << ", expected " << function.unary(at) << std::defaultfloat << " ("
                            << at << ")";
}

class MathAccuracy : public ::testing::TestWithParam<MathConfig> {
protected:
  void SetUp() override {
    if (!GetParam().runs())
      GTEST_SKIP() << "this machine lacks the instructions";
  }
};

TEST_P(MathAccuracy, UnarySweep) {
  for (auto &function : mathFunctions())
    if (function.unary) {
      if (GetParam().f64)
        checkUnary<double>(GetParam(), function);
      else
        checkUnary<float>(GetParam(), function);
    }
}

template <typename T> void checkBinary(const MathConfig &config, const MathFunction &function) {
  auto &compiled = CompiledMath::get(config);
  double allowed = sizeof(T) == 4 ? function.ulpsF32 : function.ulpsF64;
  bool isLogAddExp = std::string(function.name) == "logaddexp";
  bool isPow = std::string(function.name) == "pow";
  std::mt19937_64 random(7);
  std::vector<T> a, b;
  // Random pairs of the sweep; for pow also bases and exponents whose power is in range.
  auto &x = inputs<T>();
  double logLargest = std::log(static_cast<double>(std::numeric_limits<T>::max()));
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (int i = 0; i < 20 * blockSize; ++i) {
    a.push_back(x[random() % x.size()]);
    b.push_back(x[random() % x.size()]);
    if (i % 2 && isPow && std::isnormal(a.back()) && std::abs(a.back()) != 1)
      b.back() = static_cast<T>(uniform(random) * logLargest /
                                std::log(std::abs(static_cast<double>(a.back()))));
    if (i % 4 == 1 && isPow)
      b.back() = std::round(b.back());
    if (i % 3 == 0 && !isPow)
      b.back() = a.back() + static_cast<T>(20 * uniform(random));
  }
  std::vector<T> y(a.size());
  {
    FlushDenormals flush;
    for (size_t i = 0; i < a.size(); i += blockSize)
      compiled.run(function.name, &a[i], &b[i], &y[i]);
  }
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if ((a[i] != 0 && !std::isnormal(a[i])) || (b[i] != 0 && !std::isnormal(b[i])))
      continue;
    // The sum may cancel, and the difference of the arguments is rounded; neither error is the
    // function's.
    Wide scale = 0;
    if (isLogAddExp) {
      Wide distance = fabsl(static_cast<Wide>(a[i]) - b[i]);
      scale = std::max<Wide>(fabsl(std::max(a[i], b[i])), (1 + distance) * expl(-distance));
    }
    double error = ulps(y[i], function.binary(a[i], b[i]), scale);
    if (error > worst)
      worst = error, at = i;
  }
  ::testing::Test::RecordProperty(function.name, fmt::format("{:.2f}", worst));
  EXPECT_LE(worst, allowed) << function.name << "(" << std::hexfloat << a[at] << ", " << b[at]
                            << ") = " << y[at] << ", expected " << function.binary(a[at], b[at])
                            << std::defaultfloat << " (" << a[at] << ", " << b[at] << ")";
}

TEST_P(MathAccuracy, BinarySweep) {
  for (auto &function : mathFunctions())
    if (function.binary) {
      if (GetParam().f64)
        checkBinary<double>(GetParam(), function);
      else
        checkBinary<float>(GetParam(), function);
    }
}

/// x - y floor(x / y) in extended precision; fmod is exact.
Wide flooredMod(Wide x, Wide y) {
  Wide r = fmodl(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

template <typename T> void checkDivision(const MathConfig &config) {
  auto &compiled = CompiledMath::get(config);
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform(-1000, 1000), divisor(0.01, 50);
  std::vector<T> a(blockSize), b(blockSize), quotient(blockSize), remainder(blockSize);
  for (int i = 0; i < blockSize; ++i) {
    a[i] = static_cast<T>(i % 2 ? uniform(random) : std::round(uniform(random)));
    b[i] = static_cast<T>(i % 2 ? divisor(random) : std::ceil(divisor(random)));
    if (i % 3 == 0)
      b[i] = -b[i];
  }
  compiled.run("floordiv", a.data(), b.data(), quotient.data());
  compiled.run("mod", a.data(), b.data(), remainder.data());
  for (int i = 0; i < blockSize; ++i) {
    EXPECT_EQ(quotient[i], std::floor(a[i] / b[i])) << a[i] << " // " << b[i];
    Wide expected = flooredMod(a[i], b[i]);
    EXPECT_LE(fabsl(remainder[i] - expected), fabsl(b[i]) * std::numeric_limits<T>::epsilon() / 2)
        << a[i] << " % " << b[i];
    EXPECT_LE(std::abs(remainder[i]), std::abs(b[i]));
    EXPECT_GE(remainder[i] * b[i], 0);
  }
}

TEST_P(MathAccuracy, RealDivision) {
  if (GetParam().f64)
    checkDivision<double>(GetParam());
  else
    checkDivision<float>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    , MathAccuracy,
    ::testing::Values(
        MathConfig{false, 16, MathLevel::Avx512}, MathConfig{false, 8, MathLevel::Avx512},
        MathConfig{false, 4, MathLevel::Avx512}, MathConfig{false, 12, MathLevel::Avx512},
        MathConfig{false, 0, MathLevel::Avx512}, MathConfig{false, 32, MathLevel::Avx512},
        MathConfig{false, 16, MathLevel::Avx2}, MathConfig{false, 8, MathLevel::Avx2},
        MathConfig{false, 4, MathLevel::Avx2}, MathConfig{false, 1, MathLevel::Avx2},
        MathConfig{false, 0, MathLevel::Avx2}, MathConfig{true, 8, MathLevel::Avx512},
        MathConfig{true, 4, MathLevel::Avx512}, MathConfig{true, 16, MathLevel::Avx512},
        MathConfig{true, 3, MathLevel::Avx512}, MathConfig{true, 4, MathLevel::Avx2},
        MathConfig{true, 8, MathLevel::Avx2}, MathConfig{true, 0, MathLevel::Avx2},
        MathConfig{false, 4, MathLevel::Sse41}, MathConfig{false, 0, MathLevel::Sse41},
        MathConfig{true, 2, MathLevel::Sse41}, MathConfig{true, 8, MathLevel::Sse41}),
    [](const auto &info) { return info.param.name(); });

} // namespace
