//===- gla.cpp - calls a compiled mixer from C++ --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Made by:  seqc examples/gla.seq -o libgla.so --header gla.h
//           c++ -std=c++17 -I. -Ifrontends/cpp -Iruntime examples/programs/gla.cpp ./libgla.so
//
//===----------------------------------------------------------------------===//

#include "gla.h"

#include "seqmix.hpp"

#include <cmath>
#include <cstdio>
#include <random>

namespace {

constexpr int64_t kBatch = 2, kTokens = 67, kHeads = 3, kKeys = 64, kValues = 64;

std::vector<float> draw(int64_t elements, float low, float high, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> number(low, high);
  std::vector<float> values(static_cast<size_t>(elements));
  for (float &value : values)
    value = number(engine);
  return values;
}

/// The same tensor at one token: [B, T, H, features] without T.
seqmix::Tensor at(const seqmix::Tensor &whole, int64_t t) {
  int64_t row = kHeads * whole.shape()[3];
  return seqmix::Tensor(whole.data<float>() + t * row, {kBatch, kHeads, whole.shape()[3]},
                        {kTokens * row, whole.shape()[3], 1});
}

} // namespace

int main() {
  auto qData = draw(kBatch * kTokens * kHeads * kKeys, -1, 1, 1);
  auto kData = draw(kBatch * kTokens * kHeads * kKeys, -1, 1, 2);
  auto vData = draw(kBatch * kTokens * kHeads * kValues, -1, 1, 3);
  auto gData = draw(kBatch * kTokens * kHeads * kKeys, -5, 0, 4);
  std::vector<float> whole(vData.size()), steps(vData.size());
  seqmix::Tensor q(qData.data(), {kBatch, kTokens, kHeads, kKeys});
  seqmix::Tensor k(kData.data(), {kBatch, kTokens, kHeads, kKeys});
  seqmix::Tensor v(vData.data(), {kBatch, kTokens, kHeads, kValues});
  seqmix::Tensor g(gData.data(), {kBatch, kTokens, kHeads, kKeys});
  seqmix::Tensor o(whole.data(), {kBatch, kTokens, kHeads, kValues});
  seqmix::Tensor oSteps(steps.data(), {kBatch, kTokens, kHeads, kValues});

  // The whole sequence in one call, then token by token with the carry.
  seqmix::check(gla_forward(q, k, v, g, o, nullptr), gla_last_error);
  seqmix::Carry carry(gla_carry_component, gla_carry_count(), 0, kBatch, kHeads);
  for (int64_t t = 0; t < kTokens; ++t)
    seqmix::check(
        gla_step(at(q, t), at(k, t), at(v, t), at(g, t), at(oSteps, t), carry.get(), nullptr),
        gla_last_error);

  // The equations again, by hand, for one head.
  std::vector<double> state(kKeys * kValues);
  double worst = 0, largest = 0, apart = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    auto row = [&](const seqmix::Tensor &x) { return x.data<float>() + t * kHeads * x.shape()[3]; };
    for (int64_t j = 0; j < kValues; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < kKeys; ++i) {
        double &s = state[static_cast<size_t>(i * kValues + j)];
        s = std::exp(static_cast<double>(row(g)[i])) * s +
            static_cast<double>(row(k)[i]) * row(v)[j];
        sum += row(q)[i] * s;
      }
      double expected = sum / std::sqrt(static_cast<double>(kKeys));
      worst = std::fmax(worst, std::fabs(expected - row(o)[j]));
      largest = std::fmax(largest, std::fabs(expected));
      apart = std::fmax(apart, std::fabs(static_cast<double>(row(o)[j]) - row(oSteps)[j]));
    }
  }
  std::printf(
      "C++    forward against the equations: %.1e   steps against forward: %.1e   (of max|o|)\n",
      worst / largest, apart / largest);
  return worst / largest < 2e-5 && apart / largest < 2e-5 ? 0 : 1;
}
