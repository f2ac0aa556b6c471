//===- math.cpp - throughput of the elementary functions ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Operands and results lie in the first-level cache. Items are results: `items_per_second=10G/s` is
// ten results a nanosecond.
//
//===----------------------------------------------------------------------===//

#include "test/unit/MathFunctions.h"

#include "benchmark/benchmark.h"
#include "fmt/format.h"

using namespace seqmix::test;

namespace {

template <typename T>
void measure(benchmark::State &state, const MathConfig &config, const MathFunction &function) {
  auto &compiled = CompiledMath::get(config);
  std::vector<T> a(blockSize), b(blockSize), y(blockSize);
  for (int64_t i = 0; i < blockSize; ++i) {
    double x = 16.0 * static_cast<double>(i) / blockSize - 8; // both signs, nothing special
    a[i] = static_cast<T>(x);
    b[i] = static_cast<T>(2.5 - x / 4);
  }
  FlushDenormals flush;
  auto *code =
      reinterpret_cast<void (*)(const T *, const T *, T *)>(compiled.address(function.name));
  for (auto _ : state) {
    code(a.data(), b.data(), y.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * blockSize);
}

} // namespace

int main(int argc, char **argv) {
  const MathConfig configs[] = {{false, 16, MathLevel::Avx512},
                                {false, 8, MathLevel::Avx2},
                                {true, 8, MathLevel::Avx512},
                                {true, 4, MathLevel::Avx2}};
  for (auto &config : configs) {
    if (!config.runs())
      continue;
    for (auto &function : mathFunctions())
      benchmark::RegisterBenchmark(fmt::format("{}/{}", config.name(), function.name).c_str(),
                                   [&config, &function](benchmark::State &state) {
                                     if (config.f64)
                                       measure<double>(state, config, function);
                                     else
                                       measure<float>(state, config, function);
                                   });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
