//===- GpuTileLayoutTest.cpp - layouts as linear maps ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/tile/Tile.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"

#include <random>
#include <set>

using namespace mlir;
using namespace mlir::tile;

namespace {

Coordinates at(const Layout &layout, unsigned reg, unsigned lane, unsigned warp = 0) {
  return layout.coordinates(layout.map().apply(reg | lane << layout.registerBits() |
                                               warp << (layout.registerBits() + Layout::laneBits)));
}

TEST(GpuTileLinearMap, ComposesInvertsAndSolves) {
  // Any map that has an inverse: a product of elementary ones.
  std::seed_seq seed{3};
  std::mt19937 generator(seed);
  for (int round = 0; round < 50; ++round) {
    llvm::SmallVector<uint32_t> columns;
    for (unsigned bit = 0; bit < 10; ++bit)
      columns.push_back(1U << bit);
    for (int step = 0; step < 40; ++step) {
      unsigned from = generator() % 10, to = generator() % 10;
      if (from != to)
        columns[to] ^= columns[from];
    }
    LinearMap map(columns);
    EXPECT_EQ(map.rank(), 10U);
    std::optional<LinearMap> inverse = map.inverse(10);
    ASSERT_TRUE(inverse);
    for (uint32_t x = 0; x < 1024; ++x) {
      EXPECT_EQ(inverse->apply(map.apply(x)), x);
      EXPECT_EQ(map.after(*inverse).apply(x), x);
    }
  }
  LinearMap narrow({1, 2, 3});
  EXPECT_EQ(narrow.rank(), 2U);
  EXPECT_FALSE(narrow.solve(4));
  EXPECT_FALSE(narrow.inverse(3));
  EXPECT_EQ(narrow.apply(*narrow.solve(3, 3)), 3U);
  EXPECT_FALSE(narrow.solve(3, 1));
  EXPECT_EQ(narrow.product(LinearMap({1}), 2), LinearMap({1, 2, 3, 4}));
}

// The PTX ISA's formulas for the fragments of mma.m16n8k16 (bf16) and mma.m16n8k8 (tf32).
TEST(GpuTileLayout, HasTheFragmentsOfMatrixProducts) {
  const unsigned one[] = {1, 1};
  Layout sums = Layout::accumulator({16, 8}, one);
  Layout a = Layout::operand(0, {16, 16}, one, 16), b = Layout::operand(1, {16, 8}, one, 16);
  Layout a32 = Layout::operand(0, {16, 8}, one, 32), b32 = Layout::operand(1, {8, 8}, one, 32);
  ASSERT_EQ(sums.registers(), 4U);
  ASSERT_EQ(a.registers(), 8U);
  ASSERT_EQ(b.registers(), 4U);
  ASSERT_EQ(a32.registers(), 4U);
  ASSERT_EQ(b32.registers(), 2U);
  for (unsigned lane = 0; lane < 32; ++lane) {
    const int64_t group = lane / 4, member = lane % 4;
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(at(sums, unsigned(i), lane),
                (Coordinates{group + 8 * (i / 2), 2 * member + i % 2}));
    for (int64_t i = 0; i < 8; ++i)
      EXPECT_EQ(at(a, unsigned(i), lane),
                (Coordinates{group + 8 * (i / 2 % 2), 2 * member + i % 2 + 8 * (i / 4)}));
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(at(b, unsigned(i), lane), (Coordinates{2 * member + i % 2 + 8 * (i / 2), group}));
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(at(a32, unsigned(i), lane),
                (Coordinates{group + 8 * (i % 2), member + 4 * (i / 2)}));
    for (int64_t i = 0; i < 2; ++i)
      EXPECT_EQ(at(b32, unsigned(i), lane), (Coordinates{member + 4 * i, group}));
  }
}

/// Every element is somewhere, and as often as there are copies.
void expectCovers(const Layout &layout, size_t copies) {
  std::multiset<uint32_t> seen;
  for (uint32_t place = 0; place < 1U << layout.map().size(); ++place)
    seen.insert(layout.map().apply(place));
  for (uint32_t element = 0; element < 1U << layout.elementBits(); ++element)
    ASSERT_EQ(seen.count(element), copies) << element;
}

TEST(GpuTileLayout, SplitsOverWarpsAndCopies) {
  const unsigned rows[] = {4, 1}, both[] = {2, 2};
  expectCovers(Layout::accumulator({64, 64}, rows), 1);
  expectCovers(Layout::accumulator({64, 64}, both), 1);
  expectCovers(Layout::accumulator({16, 64}, rows), 4);
  expectCovers(Layout::operand(0, {64, 32}, both, 16), 2);
  expectCovers(Layout::operand(1, {32, 64}, rows, 16), 4);
  expectCovers(Layout::blocked({64, 64}, 8, 4), 1);
  expectCovers(Layout::blocked({64, 32}, 1, 4, {0}), 4);
  Layout scan = Layout::blocked({64, 128}, 1, 4, {0});
  EXPECT_EQ(scan.registers(), 64U);
  EXPECT_FALSE(scan.splitsOverWarps(0));
  EXPECT_TRUE(scan.splitsOverWarps(1));
  EXPECT_EQ(at(scan, 5, 3, 2), (Coordinates{5, 67}));
  // 16-byte accesses of whole rows of 64 elements.
  EXPECT_EQ(at(Layout::blocked({64, 64}, 8, 4), 3, 9, 1), (Coordinates{5, 11}));
}

TEST(GpuTileLayout, SlicesAndTransposes) {
  const unsigned rows[] = {4, 1};
  Layout sums = Layout::accumulator({64, 64}, rows);
  Layout row = sums.slice(1), column = sums.slice(0);
  EXPECT_EQ(row.registers(), 2U);
  EXPECT_EQ(column.registers(), 16U);
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(at(row, 1, lane, 3), (Coordinates{48 + 8 + lane / 4}));
    EXPECT_EQ(at(column, 5, lane, 3), (Coordinates{16 + 1 + 2 * int64_t(lane % 4)}));
    EXPECT_EQ(at(sums.transposed(), 2, lane, 1),
              (Coordinates{2 * int64_t(lane % 4), 16 + 8 + lane / 4}));
  }
  EXPECT_EQ(sums.transposed().transposed(), sums);
}

TEST(GpuTileLayout, TellsWhatAConversionTakes) {
  const unsigned one[] = {1, 1}, rows[] = {4, 1}, columns[] = {1, 4};
  Layout sums = Layout::accumulator({64, 64}, rows);
  EXPECT_EQ(conversion(sums, sums).kind, ConversionKind::Free);
  // Sums are the next product's first factor as they are, and the second one's when transposed.
  EXPECT_EQ(conversion(sums, Layout::operand(0, {64, 64}, rows, 16)).kind, ConversionKind::Free);
  Layout order({64, 64}, {{8, 0}, {0, 1}, {0, 8}, {0, 16}, {0, 32}}, sums.bases(1), sums.bases(2));
  EXPECT_EQ(conversion(sums, order).kind, ConversionKind::Registers);
  EXPECT_EQ(conversion(Layout::accumulator({64, 64}, columns).transposed(),
                       Layout::operand(0, {64, 64}, rows, 16))
                .kind,
            ConversionKind::Shared);
  Layout single = Layout::accumulator({16, 16}, one);
  EXPECT_EQ(conversion(single.transposed(), Layout::operand(1, {16, 16}, one, 16)).kind,
            ConversionKind::Registers);
  EXPECT_EQ(conversion(single, Layout::operand(1, {16, 16}, one, 16)).kind,
            ConversionKind::Shuffle);
  EXPECT_EQ(conversion(sums, Layout::blocked({64, 64}, 4, 4)).kind, ConversionKind::Shared);
  // Rows of sums to one row a lane.
  EXPECT_EQ(conversion(sums.slice(1), Layout::accumulator({64, 32}, rows).slice(1)).kind,
            ConversionKind::Free);
}

TEST(GpuTileLayout, FindsTheSourceOfEachElement) {
  const unsigned rows[] = {2, 1};
  const Layout layouts[] = {
      Layout::accumulator({32, 32}, rows),    Layout::operand(0, {32, 32}, rows, 16),
      Layout::operand(1, {32, 32}, rows, 16), Layout::blocked({32, 32}, 4, 2),
      Layout::blocked({32, 32}, 1, 2, {0}),   Layout::accumulator({32, 32}, rows).transposed()};
  unsigned found = 0;
  for (const Layout &from : layouts)
    for (const Layout &to : layouts) {
      const Conversion how = conversion(from, to);
      if (how.kind != ConversionKind::Registers && how.kind != ConversionKind::Shuffle)
        continue;
      ++found;
      for (uint32_t place = 0; place < 1U << to.map().size(); ++place) {
        const uint32_t source = how.source.apply(place);
        ASSERT_EQ(from.map().apply(source), to.map().apply(place));
        const unsigned warp = Layout::laneBits + from.registerBits();
        ASSERT_EQ(source >> warp, place >> (Layout::laneBits + to.registerBits()));
        if (how.kind == ConversionKind::Registers) {
          ASSERT_EQ(source >> from.registerBits(), place >> to.registerBits());
          ASSERT_EQ(source & from.registerMask(), how.source.apply(place & to.registerMask()));
        }
      }
    }
  EXPECT_GE(found, 4U);
}

/// Cycles by counting the words that each bank has to give, quarter (or half) of a warp by quarter.
unsigned countCycles(const LinearMap &offsets, unsigned bytes) {
  const unsigned lanes = bytes == 16 ? 8 : bytes == 8 ? 16 : 32;
  unsigned cycles = 0;
  for (unsigned first = 0; first < 32; first += lanes) {
    std::set<uint32_t> words[32];
    size_t most = 1;
    for (unsigned lane = first; lane < first + lanes; ++lane)
      for (unsigned byte = 0; byte < bytes; byte += 4) {
        const uint32_t word = (offsets.apply(lane) + byte) / 4;
        words[word % 32].insert(word);
        most = std::max(most, words[word % 32].size());
      }
    cycles += most;
  }
  return cycles;
}

TEST(GpuTileLayout, CountsBankConflictsOfSwizzles) {
  MLIRContext context;
  context.loadDialect<TileDialect>();
  Type brain = Builder(&context).getBF16Type();
  const unsigned rows[] = {4, 1};
  for (unsigned swizzle : {0U, 32U, 64U, 128U}) {
    auto tile = SmemType::get(&context, {64, 64}, brain, swizzle);
    LinearMap offsets = tile.offsets();
    // A permutation of all bytes.
    EXPECT_EQ(offsets.rank(), 12U);
    EXPECT_TRUE(offsets.inverse(13) == std::nullopt); // the lowest bit is within an element
    // ldmatrix: eight rows at one chunk. Sums: pairs of elements, as mma leaves them.
    LinearMap matrix = offsets.after(LinearMap({64, 128, 256, 8, 512}));
    EXPECT_EQ(bankCycles(matrix, 16), countCycles(matrix, 16)) << swizzle;
    EXPECT_EQ(bankCycles(matrix, 16), swizzle ? 4U : 32U) << swizzle;
    Layout sums = Layout::accumulator({64, 64}, rows);
    LinearMap lanes = offsets.after(LinearMap(sums.threadBases().take_front(5)));
    EXPECT_EQ(bankCycles(lanes, 4), countCycles(lanes, 4)) << swizzle;
  }
}

} // namespace
