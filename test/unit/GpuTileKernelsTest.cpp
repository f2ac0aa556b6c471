//===- GpuTileKernelsTest.cpp - tile kernels against loops in float64 --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/GpuTileSupport.h"

#include "gtest/gtest.h"

using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

TileKernels &kernels() {
  static TileKernels all = TileKernels::fromFile("kernels.mlir");
  return all;
}

TEST(GpuTileKernels, RunRecurrencesOverAnyNumberOfTokens) {
  for (size_t tokens : {1, 31, 32, 45, 96}) {
    const size_t channels = 128, stride = 130;
    std::vector<float> g = normals(tokens * stride, 1), x = normals(tokens * stride, 2);
    for (float &gate : g)
      gate = -std::fabs(gate);
    std::vector<float> y(tokens * stride), last(channels);
    GlobalMemory memory;
    uint64_t pg = memory.add("g", g, BufferUse::Input), px = memory.add("x", x, BufferUse::Input);
    uint64_t py = memory.add("y", y, BufferUse::Output);
    uint64_t pl = memory.add("last", last, BufferUse::Output);
    LaunchResult result = kernels().run("recurrence", {2, 1, 1},
                                        {pg, px, py, pl, int64_t(tokens), int64_t(stride)}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    // Nothing is written beside the channels.
    EXPECT_EQ(memory.unwrittenBytes("y"), 4 * tokens * (stride - channels));
    std::vector<double> state(channels);
    std::vector<double> reference(tokens * stride);
    for (size_t t = 0; t < tokens; ++t)
      for (size_t c = 0; c < channels; ++c) {
        const size_t i = t * stride + c;
        reference[i] = state[c] = std::exp2(double(g[i])) * state[c] + x[i];
      }
    EXPECT_LT(relativeError(y, reference), 1e-6) << tokens;
    EXPECT_LT(relativeError(last, state), 1e-6) << tokens;
  }
}

TEST(GpuTileKernels, ReduceRowsOfRaggedTiles) {
  for (auto [rows, columns] : {std::pair<size_t, size_t>{64, 32}, {1, 1}, {37, 19}, {64, 31}}) {
    const size_t stride = 33;
    std::vector<float> x = normals(64 * stride, 3), y(64 * stride);
    for (float &score : x)
      score *= 10;
    GlobalMemory memory;
    // Exactly what exists: reads outside are reported.
    x.resize((rows - 1) * stride + columns);
    y.resize(x.size());
    uint64_t px = memory.add("x", x, BufferUse::Input), py = memory.add("y", y, BufferUse::Output);
    LaunchResult result = kernels().run(
        "softmax", {1, 1, 1}, {px, py, int64_t(rows), int64_t(columns), int64_t(stride)}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    EXPECT_EQ(memory.unwrittenBytes("y"), 4 * (rows - 1) * (stride - columns));
    std::vector<double> reference(y.size());
    for (size_t i = 0; i < rows; ++i) {
      double greatest = -1e30, sum = 0;
      for (size_t j = 0; j < columns; ++j)
        greatest = std::max(greatest, double(x[i * stride + j]));
      for (size_t j = 0; j < columns; ++j)
        sum += std::exp(x[i * stride + j] - greatest);
      for (size_t j = 0; j < columns; ++j)
        reference[i * stride + j] = std::exp(x[i * stride + j] - greatest) / sum;
    }
    EXPECT_LT(relativeError(y, reference), 2e-6) << rows << 'x' << columns;
  }
}

TEST(GpuTileKernels, MultiplyThroughSwizzledSharedMemory) {
  std::vector<uint16_t> a = brains(normals(area(64, 64), 4)), b = brains(normals(area(64, 64), 5));
  std::vector<float> c(area(64, 64));
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input), pb = memory.add("b", b, BufferUse::Input);
  uint64_t pc = memory.add("c", c, BufferUse::Output);
  LaunchResult result = kernels().run("matmul", {1, 1, 1}, {pa, pb, pc}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(result.bankConflicts(), 0U);
  EXPECT_EQ(memory.unwrittenBytes("c"), 0U);
  std::vector<double> reference(area(64, 64));
  for (size_t i = 0; i < 64; ++i)
    for (size_t j = 0; j < 64; ++j)
      for (size_t k = 0; k < 64; ++k)
        reference[i * 64 + j] += double(fromBrain(a[i * 64 + k])) * fromBrain(b[k * 64 + j]);
  EXPECT_LT(relativeError(c, reference), 1e-6);
  // Every warp loads its rows of A once and all of B, four matrices an op, and needs one barrier.
  EXPECT_EQ(kernels().count("matmul", "nvvm.ldmatrix"), 4U + 16U);
  EXPECT_EQ(kernels().count("matmul", "nvvm.mma.sync"), 32U);
  EXPECT_EQ(kernels().barriers("matmul"), 1U);
  EXPECT_EQ(kernels().sharedBytes("matmul"), 16384U);
}

TEST(GpuTileKernels, SolveTriangularSystems) {
  for (size_t rows : {32, 1, 5, 31}) {
    std::vector<float> m = normals(4 * area(32, 32), 9), b = normals(2 * area(32, 64), 10);
    for (float &value : m)
      value *= 0.3F;
    std::vector<float> inverse(area(32, 32)), x(2 * area(32, 64));
    GlobalMemory memory;
    uint64_t pm = memory.add("m", m, BufferUse::Input), pb = memory.add("b", b, BufferUse::Input);
    uint64_t pi = memory.add("inverse", inverse, BufferUse::Output);
    uint64_t px = memory.add("x", x, BufferUse::Output);
    LaunchResult result =
        kernels().run("solve", {1, 1, 1}, {pm, pb, pi, px, int64_t(rows)}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    EXPECT_EQ(memory.unwrittenBytes("inverse"), 0U);
    EXPECT_EQ(memory.unwrittenBytes("x"), 4 * 2 * 64 * (32 - rows));
    // Row by row in float64; rows of the matrices that do not exist are zero.
    std::vector<double> exact(area(32, 32));
    for (size_t t = 0; t < 32; ++t)
      for (size_t c = 0; c < 32; ++c) {
        double sum = t == c ? 1 : 0;
        for (size_t s = 0; s < t && t < rows; ++s)
          sum += double(m[t * 32 + s]) * exact[s * 32 + c];
        exact[t * 32 + c] = sum;
      }
    EXPECT_LT(relativeError(inverse, exact), 2e-6) << rows;
    std::vector<double> solved(2 * area(32, 64));
    for (size_t t = 0; t < rows; ++t)
      for (size_t c = 0; c < 64; ++c)
        for (size_t to = 0; to < 2; ++to) {
          double sum = b[to * 2048 + t * 64 + c];
          for (size_t from = 0; from < 2; ++from)
            for (size_t s = 0; s < t; ++s)
              sum +=
                  double(m[(2 * to + from) * 1024 + t * 32 + s]) * solved[from * 2048 + s * 64 + c];
          solved[to * 2048 + t * 64 + c] = sum;
        }
    EXPECT_LT(relativeError(x, solved), 2e-6) << rows;
  }
}

TEST(GpuTileKernels, ChainProductsInRegisters) {
  for (size_t tokens : {64, 1, 37}) {
    std::vector<uint16_t> q = brains(normals(tokens * 32, 6)), k = brains(normals(tokens * 32, 7));
    std::vector<uint16_t> v = brains(normals(tokens * 64, 8));
    std::vector<float> o(tokens * 64);
    GlobalMemory memory;
    uint64_t pq = memory.add("q", q, BufferUse::Input), pk = memory.add("k", k, BufferUse::Input);
    uint64_t pv = memory.add("v", v, BufferUse::Input), po = memory.add("o", o, BufferUse::Output);
    LaunchResult result =
        kernels().run("pairs", {1, 1, 1}, {pq, pk, pv, po, int64_t(tokens)}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    EXPECT_EQ(result.bankConflicts(), 0U);
    EXPECT_EQ(memory.unwrittenBytes("o"), 0U);
    std::vector<double> reference(tokens * 64);
    for (size_t t = 0; t < tokens; ++t)
      for (size_t s = 0; s <= t; ++s) {
        double score = 0;
        for (size_t d = 0; d < 32; ++d)
          score += double(fromBrain(q[t * 32 + d])) * fromBrain(k[s * 32 + d]);
        for (size_t d = 0; d < 64; ++d)
          reference[t * 64 + d] += score * fromBrain(v[s * 64 + d]);
      }
    EXPECT_LT(relativeError(o, reference), 4e-3) << tokens; // scores are rounded to bf16
  }
  // V has the place of K and Q.
  EXPECT_EQ(kernels().sharedBytes("pairs"), 8192U);
}

TEST(GpuTileKernels, NeedEachBarrier) {
  const unsigned barriers = kernels().barriers("pairs");
  EXPECT_EQ(barriers, 3U); // Q and K are there; they are not needed any more; V is there
  for (unsigned removed = 0; removed < barriers; ++removed) {
    TileKernels broken = TileKernels::fromFile("kernels.mlir");
    broken.removeBarrier("pairs", removed);
    std::vector<uint16_t> q(area(64, 32)), k(area(64, 32)), v(area(64, 64));
    std::vector<float> o(area(64, 64));
    GlobalMemory memory;
    uint64_t pq = memory.add("q", q, BufferUse::Input), pk = memory.add("k", k, BufferUse::Input);
    uint64_t pv = memory.add("v", v, BufferUse::Input), po = memory.add("o", o, BufferUse::Output);
    LaunchResult result = broken.run("pairs", {1, 1, 1}, {pq, pk, pv, po, int64_t(64)}, memory);
    EXPECT_FALSE(result.isClean()) << removed;
  }
}

TEST(GpuTileKernels, MultiplyTf32AndHalf) {
  std::vector<float> a = normals(area(32, 32), 9), b(area(32, 32)), c(area(32, 32));
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input), pb = memory.add("b", b, BufferUse::Output);
  uint64_t pc = memory.add("c", c, BufferUse::Output);
  LaunchResult result = kernels().run("square", {1, 1, 1}, {pa, pb, pc}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(memory.unwrittenBytes("b") + memory.unwrittenBytes("c"), 0U);
  std::vector<double> square(area(32, 32)), transposed(area(32, 32)), fourth(area(32, 32));
  for (size_t i = 0; i < 32; ++i)
    for (size_t j = 0; j < 32; ++j) {
      for (size_t k = 0; k < 32; ++k)
        square[i * 32 + j] += double(a[i * 32 + k]) * a[k * 32 + j];
      transposed[j * 32 + i] = square[i * 32 + j];
    }
  for (size_t i = 0; i < 32; ++i)
    for (size_t j = 0; j < 32; ++j)
      for (size_t k = 0; k < 32; ++k)
        fourth[i * 32 + j] += square[i * 32 + k] * square[k * 32 + j];
  EXPECT_LT(relativeError(b, transposed), 1e-3);
  EXPECT_LT(relativeError(c, fourth), 2e-3);
}

TEST(GpuTileKernels, ExchangeVectorsBetweenWarps) {
  constexpr size_t size = 128, steps = 3;
  std::vector<float> w = normals(area(size, size), 21), x = normals(size, 22), y(size);
  GlobalMemory memory;
  uint64_t pw = memory.add("w", w, BufferUse::Input), px = memory.add("x", x, BufferUse::Input);
  uint64_t py = memory.add("y", y, BufferUse::Output);
  LaunchResult result = kernels().run("power", {1, 1, 1}, {pw, px, py, int64_t(steps)}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(memory.unwrittenBytes("y"), 0U);
  std::vector<double> h(x.begin(), x.end());
  for (size_t step = 0; step < steps; ++step) {
    std::vector<double> next(size);
    double norm = 0;
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = 0; j < size; ++j)
        next[i] += double(w[j * size + i]) * h[j];
      norm += std::fabs(next[i]);
    }
    for (size_t i = 0; i < size; ++i)
      h[i] = next[i] / norm;
  }
  EXPECT_LT(relativeError(y, h), 1e-5);
  // One behind the row's store, one behind the sum's: each also ends reads of the other's memory.
  EXPECT_EQ(kernels().barriers("power"), 2U);
}

/// What a mixer's kernel will be: every kind of op in one, in a loop over blocks of tokens.
TEST(GpuTileKernels, RunMatrixRecurrences) {
  static TileKernels decay = TileKernels::fromFile("decay.mlir");
  constexpr size_t heads = 2, size = 64;
  for (size_t tokens : {64, 1, 150}) {
    const size_t line = heads * size;
    std::vector<uint16_t> q = brains(normals(tokens * line, 1)),
                          k = brains(normals(tokens * line, 2));
    std::vector<uint16_t> v = brains(normals(tokens * line, 3));
    std::vector<float> g = normals(tokens * heads, 4), o(tokens * line), end(heads * size * size);
    for (float &gate : g)
      gate = -0.1F * std::fabs(gate);
    g[tokens / 2] = -200; // what was before is forgotten at once
    GlobalMemory memory;
    uint64_t pq = memory.add("q", q, BufferUse::Input), pk = memory.add("k", k, BufferUse::Input);
    uint64_t pv = memory.add("v", v, BufferUse::Input), pg = memory.add("g", g, BufferUse::Input);
    uint64_t po = memory.add("o", o, BufferUse::Output);
    uint64_t pe = memory.add("end", end, BufferUse::Output);
    LaunchResult result = decay.run(
        "decay", {heads, 1, 1}, {pq, pk, pv, pg, po, pe, int64_t(tokens), int64_t(heads)}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    EXPECT_EQ(memory.unwrittenBytes("o") + memory.unwrittenBytes("end"), 0U);
    std::vector<double> outputs(o.size()), states(end.size());
    for (size_t t = 0; t < tokens; ++t)
      for (size_t h = 0; h < heads; ++h)
        for (size_t i = 0; i < size; ++i)
          for (size_t j = 0; j < size; ++j) {
            const size_t at = t * line + h * size;
            double &state = states[(h * size + i) * size + j];
            state = std::exp2(double(g[t * heads + h])) * state +
                    double(fromBrain(k[at + i])) * fromBrain(v[at + j]);
            outputs[at + j] += fromBrain(q[at + i]) * state;
          }
    EXPECT_LT(relativeError(o, outputs), 1e-2) << tokens;
    EXPECT_LT(relativeError(end, states), 5e-3) << tokens;
  }
  EXPECT_LE(decay.sharedBytes("decay"), 4U * 8192);
}

} // namespace
