//===- GpuEmulatorMatmulTest.cpp - a matrix product, and how it can go wrong -------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Numbers.h"
#include "test/unit/GpuEmulatorSupport.h"

#include "gtest/gtest.h"

#include <cmath>
#include <random>

using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

constexpr size_t size = 64;

struct Product {
  LaunchResult result;
  double error = 0; // the largest, relative to the largest element
  std::unique_ptr<Kernels> kernels;
};

Product multiply(std::string text) {
  // The same numbers every time.
  std::seed_seq seed{1};
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> a(size * size), b(size * size);
  for (auto *matrix : {&a, &b})
    for (uint16_t &element : *matrix)
      element = singleToBrain(normal(generator));
  std::vector<float> c(size * size);
  GlobalMemory memory;
  uint64_t pa = memory.add("a", a, BufferUse::Input), pb = memory.add("b", b, BufferUse::Input);
  uint64_t pc = memory.add("c", c, BufferUse::Output);
  Product product;
  product.kernels = std::make_unique<Kernels>(std::move(text));
  product.result =
      product.kernels->run("matmul", {{1, 1, 1}, {128, 1, 1}, 8192}, {pa, pb, pc}, memory);
  EXPECT_EQ(memory.unwrittenBytes("c"), 0U);
  double largest = 0, error = 0;
  for (size_t i = 0; i < size; ++i)
    for (size_t j = 0; j < size; ++j) {
      double sum = 0;
      for (size_t k = 0; k < size; ++k)
        sum += double(brainToSingle(a[i * size + k])) * brainToSingle(b[k * size + j]);
      largest = std::max(largest, std::fabs(sum));
      error = std::max(error, std::fabs(sum - c[i * size + j]));
    }
  product.error = error / largest;
  return product;
}

/// Whether there is a report of that kind with ops at these marks and two threads.
bool hasReport(const Product &product, ReportKind kind, llvm::StringRef at, llvm::StringRef other) {
  for (const Report &report : product.result.reports)
    if (report.kind == kind && report.other &&
        lineOf(report.site.location) == product.kernels->lineOf(at) &&
        lineOf(report.other->location) == product.kernels->lineOf(other) &&
        (report.site.thread.x != report.other->thread.x))
      return true;
  return false;
}

TEST(GpuEmulator, MultipliesMatrices) {
  Product product = multiply(kernelFile("matmul.mlir"));
  EXPECT_TRUE(product.result.isClean()) << product.result.text();
  EXPECT_LT(product.error, 1e-6);
  EXPECT_EQ(product.result.bankConflicts(), 0U);
  EXPECT_FALSE(product.result.banks.empty());
}

TEST(GpuEmulator, FindsTheMissingBarrierBehindCopies) {
  Product product =
      multiply(replaced(kernelFile("matmul.mlir"), "nvvm.barrier // the slice is there", ""));
  EXPECT_TRUE(hasReport(product, ReportKind::UnfinishedCopy, "// fragments of A", "// copy of A") ||
              hasReport(product, ReportKind::Race, "// fragments of A", "// copy of A"))
      << product.result.text();
  EXPECT_TRUE(hasReport(product, ReportKind::Race, "// fragments of B 0", "// copy of B") ||
              hasReport(product, ReportKind::Race, "// copy of B", "// fragments of B 0"))
      << product.result.text();
}

TEST(GpuEmulator, FindsTheMissingBarrierBeforeCopies) {
  Product product = multiply(
      replaced(kernelFile("matmul.mlir"), "nvvm.barrier // the stage may be filled again", ""));
  EXPECT_TRUE(hasReport(product, ReportKind::Race, "// copy of A", "// fragments of A"))
      << product.result.text();
  EXPECT_TRUE(hasReport(product, ReportKind::Race, "// copy of B", "// fragments of B 3"))
      << product.result.text();
  // It races whatever happens: that the numbers are right by chance does not hide it.
  EXPECT_FALSE(product.result.isClean());
}

TEST(GpuEmulator, FindsTheMissingWait) {
  Product product = multiply(
      replaced(kernelFile("matmul.mlir"), "nvvm.cp.async.wait.group 1 // wait for the slice", ""));
  EXPECT_TRUE(hasReport(product, ReportKind::UnfinishedCopy, "// fragments of A", "// copy of A"))
      << product.result.text();
}

TEST(GpuEmulator, FindsAWrongSwizzleByItsNumbers) {
  // The copies of B use another permutation than the reads: all accesses are in order and in
  // bounds, and only the numbers tell.
  std::string text = kernelFile("matmul.mlir");
  text = replaced(text, "%place_b = llvm.call @place_b(%row_b, %chunk_b)",
                  "%place_b = llvm.call @place_b(%chunk_b, %row_b)");
  Product wrong = multiply(text);
  EXPECT_GT(wrong.error, 0.1);
}

TEST(GpuEmulator, FindsASlowLayoutByItsConflicts) {
  std::string text = replaced(kernelFile("matmul.mlir"),
                              "%swizzled = llvm.xor %chunk, %swap : i32 // swizzle of B",
                              "%swizzled = llvm.or %chunk, %chunk : i32");
  Product product = multiply(text);
  EXPECT_TRUE(product.result.isClean()) << product.result.text();
  EXPECT_LT(product.error, 1e-6);
  // Eight rows of 128 bytes at the same chunk are in the same four banks: 8 cycles for each phase.
  for (const OpBanks &op : product.result.banks)
    if (lineOf(op.location) == product.kernels->lineOf("// fragments of B 2")) {
      EXPECT_EQ(op.use.phases, 4U * 4 * 4); // warps, slices, matrices
      EXPECT_EQ(op.use.cycles, 8 * op.use.phases);
    }
  EXPECT_GT(product.result.bankConflicts(), 0U);
}

} // namespace
