//===- PeakKernels.cpp - loops that reach the limits of a core ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Compiled once for each instruction set; the flags choose the branch.
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/PeakKernels.h"

#include <immintrin.h>

namespace {

#if defined(__AVX512F__)
using F32 = __m512;
using F64 = __m512d;
constexpr const char *isa = "avx512";
// More chains than the latency of a multiply-add times the multipliers, fewer than the registers.
constexpr int chains = 24;
void storeStreaming(float *at, F32 value) { _mm512_stream_ps(at, value); }
#elif defined(__AVX2__)
using F32 = __m256;
using F64 = __m256d;
constexpr const char *isa = "avx2";
constexpr int chains = 12;
void storeStreaming(float *at, F32 value) { _mm256_stream_ps(at, value); }
#else
using F32 = __m128;
using F64 = __m128d;
constexpr const char *isa = "sse2";
constexpr int chains = 12;
void storeStreaming(float *at, F32 value) { _mm_stream_ps(at, value); }
#endif

template <typename Vector, typename Scalar> constexpr int lanes = sizeof(Vector) / sizeof(Scalar);
template <typename Vector, typename Scalar>
constexpr int64_t flopsOfRound = int64_t(2) * chains * lanes<Vector, Scalar>;

template <typename Vector, typename Scalar> double total(const Vector *values, int count) {
  double sum = 0;
  for (int i = 0; i < count; ++i)
    for (int lane = 0; lane < lanes<Vector, Scalar>; ++lane)
      sum += values[i][lane];
  return sum;
}

template <typename Vector, typename Scalar> double multiplyAdd(int64_t rounds) {
  // The factors come from memory that may change, so that the loop cannot be solved in closed form.
  static volatile Scalar factors[2] = {Scalar(0.999), Scalar(0.001)};
  Vector factor = Vector{} + factors[0], term = Vector{} + factors[1], sums[chains];
  for (int i = 0; i < chains; ++i)
    sums[i] = Vector{} + Scalar(i);
  for (int64_t round = 0; round < rounds; ++round)
#pragma GCC unroll 24
    for (int i = 0; i < chains; ++i)
      sums[i] = sums[i] * factor + term;
  return total<Vector, Scalar>(sums, chains);
}

double readAll(const float *data, size_t count, size_t repeats) {
  constexpr size_t parts = 8, width = lanes<F32, float>;
  F32 sums[parts] = {};
  for (size_t repeat = 0; repeat < repeats; ++repeat)
    for (size_t i = 0; i < count; i += parts * width)
#pragma GCC unroll 8
      for (size_t part = 0; part < parts; ++part)
        sums[part] += *reinterpret_cast<const F32 *>(data + i + part * width);
  return total<F32, float>(sums, parts);
}

double triadAll(float *a, const float *b, const float *c, size_t count, bool streaming) {
  constexpr size_t width = lanes<F32, float>;
  F32 factor = F32{} + 1.5f;
  auto at = [](const float *p) { return *reinterpret_cast<const F32 *>(p); };
  if (streaming) {
    for (size_t i = 0; i < count; i += width)
      storeStreaming(a + i, at(b + i) + factor * at(c + i));
    _mm_sfence();
  } else {
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i += width)
      *reinterpret_cast<F32 *>(a + i) = at(b + i) + factor * at(c + i);
  }
  return a[count - 1];
}

constexpr seqmix::run::PeakKernels kernels = {isa,
                                              multiplyAdd<F32, float>,
                                              multiplyAdd<F64, double>,
                                              flopsOfRound<F32, float>,
                                              flopsOfRound<F64, double>,
                                              readAll,
                                              triadAll};

} // namespace

const seqmix::run::PeakKernels &seqmix::run::SEQMIX_PEAK_KERNELS() { return kernels; }
