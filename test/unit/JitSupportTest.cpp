//===- JitSupportTest.cpp - the in-memory compiler of the tests ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/JitSupport.h"

#include "gtest/gtest.h"
#include <cmath>

using namespace seqmix::test;

namespace {

constexpr const char *axpy = R"mlir(
func.func @axpy(%a: f32, %x: memref<32xf32>, %y: memref<32xf32>) {
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %c32 = arith.constant 32 : index
  %s = vector.broadcast %a : f32 to vector<16xf32>
  scf.for %i = %c0 to %c32 step %c16 {
    %0 = vector.load %x[%i] : memref<32xf32>, vector<16xf32>
    %1 = vector.load %y[%i] : memref<32xf32>, vector<16xf32>
    %2 = vector.fma %s, %0, %1 : vector<16xf32>
    vector.store %2, %y[%i] : memref<32xf32>, vector<16xf32>
  }
  return
}
)mlir";

TEST(JitSupport, RunsVectorsOnBothTargets) {
  auto context = makeJitContext();
  auto module = parseModule(*context, axpy);
  for (auto target : {JitTarget::Host, JitTarget::Avx2}) {
    if (target == JitTarget::Avx2 && !hostHasAvx2())
      continue;
    JitOptions options;
    options.target = target;
    auto jit = llvm::cantFail(JitModule::compile(*module, options));
    float x[32], y[32];
    for (int i = 0; i < 32; ++i)
      x[i] = i, y[i] = 1;
    jit->get<void(float, float *, float *)>("axpy")(2, x, y);
    for (int i = 0; i < 32; ++i)
      EXPECT_EQ(y[i], 2 * i + 1);
  }
}

TEST(JitSupport, RefusesLibm) {
  auto context = makeJitContext();
  auto module = parseModule(*context, R"mlir(
    func.func @f(%x: f32) -> f32 {
      %0 = math.tan %x : f32
      return %0 : f32
    }
  )mlir");
  auto jit = JitModule::compile(*module);
  ASSERT_FALSE(static_cast<bool>(jit));
  EXPECT_NE(llvm::toString(jit.takeError()).find("tanf"), std::string::npos);

  JitOptions options;
  options.symbols.emplace_back("tanf", reinterpret_cast<void *>(&::tanf));
  auto linked = llvm::cantFail(JitModule::compile(*module, options));
  EXPECT_FLOAT_EQ(linked->get<float(float)>("f")(1.0f), std::tan(1.0f));
}

TEST(JitSupport, ReportsWhatDoesNotLower) {
  auto context = makeJitContext();
  auto module = parseModule(*context, R"mlir(
    func.func @f(%x: f32) -> f32 {
      %0 = seq.unary <exp> %x : (f32) -> f32
      return %0 : f32
    }
  )mlir");
  auto jit = JitModule::compile(*module);
  ASSERT_FALSE(static_cast<bool>(jit));
  EXPECT_NE(llvm::toString(jit.takeError()).find("seq.unary"), std::string::npos);
}

} // namespace
