//===- GpuTileMovesTest.cpp - conversions, scans and reductions in any layout -------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/GpuTileSupport.h"

#include "dialect/tile/Tile.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::tile;
using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

std::string text(const Layout &layout) {
  static mlir::MLIRContext context;
  context.loadDialect<TileDialect>();
  std::string result;
  llvm::raw_string_ostream(result) << LayoutAttr::of(&context, layout);
  return result;
}

/// A kernel of two warps on 32x32 tiles, with names replaced in its text.
std::string kernel(llvm::StringRef body,
                   std::initializer_list<std::pair<const char *, std::string>> names) {
  std::string result = (llvm::Twine("#a = $from\n#b = $to\ngpu.module @m {\nllvm.func @k(%x: "
                                    "!llvm.ptr<1>, %y: !llvm.ptr<1>) attributes {gpu.kernel, "
                                    "tile.warps = 2 : i32} {") +
                        body + "llvm.return\n}\n}\n")
                           .str();
  for (const auto &[name, text] : names)
    for (size_t at = result.find(name); at != std::string::npos; at = result.find(name, at))
      result.replace(at, llvm::StringRef(name).size(), text);
  return result;
}

/// 32x32 tiles of two warps.
std::vector<Layout> layouts() {
  const unsigned rows[] = {2, 1}, columns[] = {1, 2};
  Layout scattered({32, 32}, {{0, 2}, {8, 0}, {1, 0}, {0, 16}},
                   {{0, 8}, {0, 1}, {16, 0}, {0, 4}, {2, 0}}, {{4, 0}});
  Layout sums = Layout::accumulator({32, 32}, rows);
  Layout order({32, 32}, {{8, 0}, {0, 16}, {0, 1}, {0, 8}}, sums.bases(1), sums.bases(2));
  return {sums,
          order,
          Layout::accumulator({32, 32}, columns),
          Layout::operand(0, {32, 32}, rows, 16),
          Layout::operand(1, {32, 32}, rows, 16),
          Layout::operand(0, {32, 32}, rows, 32),
          Layout::operand(1, {32, 32}, columns, 32),
          Layout::blocked({32, 32}, 4, 2),
          Layout::blocked({32, 32}, 1, 2, {0}),
          Layout::blocked({32, 32}, 1, 2, {1}),
          Layout::accumulator({32, 32}, rows).transposed(),
          scattered};
}

TEST(GpuTileMoves, ConvertBetweenAllLayouts) {
  std::vector<float> x = normals(area(32, 32), 1);
  unsigned kinds[4] = {};
  for (const Layout &from : layouts())
    for (const Layout &to : layouts()) {
      ++kinds[int(conversion(from, to).kind)];
      TileKernels kernels(kernel(R"mlir(
  %t = tile.load_global %x strides [32, 1] within [32, 32] : tensor<32x32xf32, #a>
  %u = tile.convert %t : tensor<32x32xf32, #a> -> tensor<32x32xf32, #b>
  tile.store_global %u to %y strides [32, 1] within [32, 32] : tensor<32x32xf32, #b>
)mlir",
                                 {{"$from", text(from)}, {"$to", text(to)}}));
      std::vector<float> y(area(32, 32));
      GlobalMemory memory;
      uint64_t px = memory.add("x", x, BufferUse::Input);
      uint64_t py = memory.add("y", y, BufferUse::Output);
      LaunchResult result = kernels.run("k", {1, 1, 1}, {px, py}, memory);
      EXPECT_TRUE(result.isClean()) << text(from) << text(to) << result.text();
      EXPECT_EQ(x, y) << text(from) << text(to);
    }
  for (unsigned kind : kinds)
    EXPECT_GT(kind, 0U);
}

TEST(GpuTileMoves, ConvertSmallAndWideElements) {
  // Through shuffles and through shared memory: truth values, bytes, halves, doubles.
  const auto all = layouts();
  for (const char *type : {"i8", "i16", "i64"})
    for (const Layout &to : {all[4], all[2]}) {
      const bool wide = type == std::string("i64");
      TileKernels kernels(kernel(R"mlir(
  %t = tile.load_global %x strides [32, 1] within [32, 32] : tensor<32x32xi32, #a>
  %n = arith.$into %t : tensor<32x32xi32, #a> to tensor<32x32x$type, #a>
  %u = tile.convert %n : tensor<32x32x$type, #a> -> tensor<32x32x$type, #b>
  %w = arith.$back %u : tensor<32x32x$type, #b> to tensor<32x32xi32, #b>
  %seven = arith.constant dense<7> : tensor<32x32xi32, #b>
  %five = arith.constant dense<5> : tensor<32x32xi32, #a>
  %less = arith.cmpi ult, %t, %five : tensor<32x32xi32, #a>
  %moved = tile.convert %less : tensor<32x32xi1, #a> -> tensor<32x32xi1, #b>
  %r = arith.select %moved, %seven, %w : tensor<32x32xi1, #b>, tensor<32x32xi32, #b>
  tile.store_global %r to %y strides [32, 1] within [32, 32] : tensor<32x32xi32, #b>
)mlir",
                                 {{"$from", text(all[0])},
                                  {"$to", text(to)},
                                  {"$type", type},
                                  {"$into", wide ? "extui" : "trunci"},
                                  {"$back", wide ? "trunci" : "extui"}}));
      std::vector<uint32_t> x(area(32, 32)), y(area(32, 32));
      for (size_t i = 0; i < x.size(); ++i)
        x[i] = uint32_t(i % 251);
      GlobalMemory memory;
      uint64_t px = memory.add("x", x, BufferUse::Input);
      uint64_t py = memory.add("y", y, BufferUse::Output);
      LaunchResult result = kernels.run("k", {1, 1, 1}, {px, py}, memory);
      EXPECT_TRUE(result.isClean()) << result.text();
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_EQ(y[i], x[i] < 5 ? 7 : x[i]) << type << i;
    }
}

TEST(GpuTileMoves, ScanAndReduceAlongAnyDimOfAnyLayout) {
  std::vector<float> x = normals(area(32, 32), 2);
  unsigned tried = 0;
  for (const Layout &layout : layouts())
    for (unsigned dim : {0, 1})
      for (bool reverse : {false, true}) {
        if (layout.splitsOverWarps(dim))
          continue;
        ++tried;
        // Of pairs (a, b) the last a and the sum of b: not commutative.
        TileKernels kernels(kernel(R"mlir(
  %t = tile.load_global %x strides [32, 1] within [32, 32] : $tile
  %l, %s = tile.scan %t, %t $dim $order {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32):
    %e = arith.addf %b, %d : f32
    tile.yield %c, %e : f32, f32
  } : $tile, $tile -> $tile, $tile
  %m = tile.reduce %t $dim {
  ^bb0(%a: f32, %b: f32):
    %c = arith.maximumf %a, %b : f32
    tile.yield %c : f32
  } : $tile -> $row
  %p = tile.pick %t $dim at 13 : $tile -> $row
  %mm = tile.broadcast %m $dim : $row -> $tile
  %pp = tile.broadcast %p $dim : $row -> $tile
  %y1 = llvm.getelementptr %y[1024] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %y2 = llvm.getelementptr %y[2048] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %y3 = llvm.getelementptr %y[3072] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  tile.store_global %l to %y strides [32, 1] within [32, 32] : $tile
  tile.store_global %s to %y1 strides [32, 1] within [32, 32] : $tile
  tile.store_global %mm to %y2 strides [32, 1] within [32, 32] : $tile
  tile.store_global %pp to %y3 strides [32, 1] within [32, 32] : $tile
)mlir",
                                   {{"$tile", "tensor<32x32xf32, #a>"},
                                    {"$row", "tensor<32xf32, #b>"},
                                    {"$dim", "dim " + std::to_string(dim)},
                                    {"$order", reverse ? "reverse" : ""},
                                    {"$from", text(layout)},
                                    {"$to", text(layout.slice(dim))}}));
        std::vector<float> y(4096);
        GlobalMemory memory;
        uint64_t px = memory.add("x", x, BufferUse::Input);
        uint64_t py = memory.add("y", y, BufferUse::Output);
        LaunchResult result = kernels.run("k", {1, 1, 1}, {px, py}, memory);
        EXPECT_TRUE(result.isClean()) << result.text();
        std::vector<double> reference(4096);
        auto index = [&](size_t line, size_t place) {
          return dim == 0 ? place * 32 + line : line * 32 + place;
        };
        for (size_t line = 0; line < 32; ++line) {
          double sum = 0, most = -1e30;
          for (size_t place = 0; place < 32; ++place)
            most = std::max(most, double(x[index(line, place)]));
          for (size_t i = 0; i < 32; ++i) {
            const size_t at = index(line, reverse ? 31 - i : i);
            reference[at] = x[at];
            reference[1024 + at] = sum += x[at];
            reference[2048 + at] = most;
            reference[3072 + at] = x[index(line, 13)];
          }
        }
        EXPECT_LT(relativeError(y, reference), 1e-6) << text(layout) << dim << reverse;
      }
  EXPECT_GE(tried, 16U);
}

} // namespace
