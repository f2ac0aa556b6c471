//===- GpuEmulatorOpsTest.cpp - op by op -------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Numbers.h"
#include "test/unit/GpuEmulatorSupport.h"

#include "gtest/gtest.h"

#include <cmath>
#include <numeric>

using namespace seqmix::gpu;
using namespace seqmix::gpu::test;

namespace {

/// A kernel whose lanes each compute `%r`, of `type`, from their number `%t`: what they stored.
template <typename T> std::vector<T> eachLane(const std::string &body, const std::string &type) {
  Kernels kernels(inModule(R"mlir(
llvm.func @kernel(%out: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %t = nvvm.read.ptx.sreg.tid.x : i32
)mlir" + body + R"mlir(
  %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, )mlir" +
                           type + "\n  llvm.store %r, %p : " + type + R"mlir(, !llvm.ptr<1>
  llvm.return
})mlir"));
  std::vector<T> out(32);
  GlobalMemory memory;
  uint64_t address = memory.add("out", out, BufferUse::Output);
  LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {address}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  return out;
}

TEST(GpuEmulatorOps, Integers) {
  auto out = eachLane<int32_t>(R"mlir(
  %c16 = llvm.mlir.constant(16 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %m = llvm.sub %t, %c16 : i32
  %q = llvm.sdiv %m, %c3 : i32
  %s = llvm.ashr %m, %c3 : i32
  %l = llvm.intr.smax(%q, %s) : (i32, i32) -> i32
  %w = llvm.sext %l : i32 to i64
  %k = llvm.mlir.constant(1000000007 : i64) : i64
  %p64 = llvm.mul %w, %k : i64
  %r = llvm.trunc %p64 : i64 to i32)mlir",
                               "i32");
  for (int t = 0; t < 32; ++t) {
    int m = t - 16;
    EXPECT_EQ(out[t], int32_t(uint64_t(std::max(m / 3, m >> 3)) * 1000000007)) << t;
  }
}

TEST(GpuEmulatorOps, SwitchesAndLoopsDiverge) {
  // Collatz: as many iterations as each lane needs, then a table by the remainder.
  auto out = eachLane<int32_t>(R"mlir(
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %n0 = llvm.add %t, %c1 : i32
  llvm.br ^head(%n0, %c0 : i32, i32)
^head(%n: i32, %steps: i32):
  %more = llvm.icmp "ne" %n, %c1 : i32
  llvm.cond_br %more, ^body, ^done
^body:
  %odd = llvm.and %n, %c1 : i32
  %isOdd = llvm.icmp "eq" %odd, %c1 : i32
  %next = llvm.add %steps, %c1 : i32
  llvm.cond_br %isOdd, ^up, ^down
^up:
  %triple = llvm.mul %n, %c3 : i32
  %n1 = llvm.add %triple, %c1 : i32
  llvm.br ^head(%n1, %next : i32, i32)
^down:
  %n2 = llvm.lshr %n, %c1 : i32
  llvm.br ^head(%n2, %next : i32, i32)
^done:
  %rest = llvm.urem %steps, %c3 : i32
  llvm.switch %rest : i32, ^other(%steps : i32) [
    0: ^other(%c1 : i32),
    1: ^other(%c3 : i32)
  ]
^other(%r: i32):)mlir",
                               "i32");
  for (int t = 0; t < 32; ++t) {
    int steps = 0;
    for (int n = t + 1; n != 1; ++steps)
      n = n % 2 ? 3 * n + 1 : n / 2;
    EXPECT_EQ(out[t], steps % 3 == 0 ? 1 : steps % 3 == 1 ? 3 : steps) << t;
  }
}

TEST(GpuEmulatorOps, FloatsAndApproximations) {
  auto out = eachLane<float>(R"mlir(
  %f = llvm.uitofp %t : i32 to f32
  %half = llvm.mlir.constant(0.5 : f32) : f32
  %x = llvm.intr.fma(%f, %half, %half) : (f32, f32, f32) -> f32
  %e = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz"(%x) : (f32) -> f32
  %i = nvvm.rcp.approx.ftz.f %e : f32
  %n = llvm.fneg %i : f32
  %s = llvm.fadd %e, %n {fastmathFlags = #llvm.fastmath<contract>} : f32
  %r = nvvm.inline_ptx "tanh.approx.f32 {$w0}, {$r0};" ro(%s : f32) -> f32)mlir",
                             "f32");
  for (int t = 0; t < 32; ++t) {
    double x = t * 0.5 + 0.5;
    EXPECT_NEAR(out[t], std::tanh(std::exp2(x) - std::exp2(-x)), 1e-6) << t;
  }
}

TEST(GpuEmulatorOps, SixteenBitNumbers) {
  auto out = eachLane<uint32_t>(R"mlir(
  %f = llvm.uitofp %t : i32 to f32
  %third = llvm.mlir.constant(0.333333343 : f32) : f32
  %lo = llvm.fmul %f, %third : f32
  %hi = llvm.fneg %lo : f32
  %v = nvvm.convert.f32x2.to.bf16x2 %hi, %lo {rnd = #nvvm.fp_rnd_mode<rn>} : vector<2xbf16>
  %r = llvm.bitcast %v : vector<2xbf16> to i32)mlir",
                                "i32");
  for (int t = 0; t < 32; ++t) {
    float value = float(t) * 0.333333343F;
    EXPECT_EQ(out[t], uint32_t(singleToBrain(value)) | uint32_t(singleToBrain(-value)) << 16);
  }
  auto halves = eachLane<uint16_t>(R"mlir(
  %f = llvm.uitofp %t : i32 to f16
  %third = llvm.mlir.constant(0.333251953 : f16) : f16
  %r = llvm.fmul %f, %third : f16)mlir",
                                   "f16");
  for (int t = 0; t < 32; ++t)
    EXPECT_EQ(halves[t], singleToHalf(float(t) * halfToSingle(0x3555))) << t;
  EXPECT_EQ(singleToHalf(65520.0F), 0x7c00); // half way above the greatest
  EXPECT_EQ(singleToHalf(std::ldexp(1.0F, -25)), 0);
  EXPECT_EQ(singleToHalf(std::ldexp(1.5F, -25)), 1);
  EXPECT_EQ(roundToTf32(1.0F + std::ldexp(1.0F, -11)),
            uint32_t(bitsOf(1.0F + std::ldexp(1.0F, -10))));
}

TEST(GpuEmulatorOps, VectorsAndLocalMemory) {
  auto out = eachLane<int32_t>(R"mlir(
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %c4 = llvm.mlir.constant(4 : i32) : i32
  %a = llvm.alloca %c1 x !llvm.array<8 x i32> : (i32) -> !llvm.ptr
  %v0 = llvm.mlir.constant(dense<[10, 20, 30, 40]> : vector<4xi32>) : vector<4xi32>
  %i = llvm.and %t, %c3 : i32
  %v1 = llvm.insertelement %t, %v0[%i : i32] : vector<4xi32>
  llvm.store %v1, %a {alignment = 4 : i64} : vector<4xi32>, !llvm.ptr
  %p1 = llvm.getelementptr %a[0, %i] : (!llvm.ptr, i32) -> !llvm.ptr, !llvm.array<8 x i32>
  %x = llvm.load %p1 : !llvm.ptr -> i32
  %v2 = llvm.shufflevector %v1, %v0 [1, 4] : vector<4xi32>
  %y = llvm.extractelement %v2[%c0 : i32] : vector<2xi32>
  %j = llvm.xor %i, %c3 : i32
  %z = llvm.extractelement %v1[%j : i32] : vector<4xi32>
  %xy = llvm.add %x, %y : i32
  %r = llvm.add %xy, %z : i32)mlir",
                               "i32");
  for (int t = 0; t < 32; ++t) {
    int v[4] = {10, 20, 30, 40};
    v[t % 4] = t;
    EXPECT_EQ(out[t], t + v[1] + v[t % 4 ^ 3]) << t;
  }
}

TEST(GpuEmulatorOps, ShufflesVotesAndReductions) {
  const std::string constants = R"mlir(
  %all = llvm.mlir.constant(-1 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %c5 = llvm.mlir.constant(5 : i32) : i32
)mlir";
  // Segments of 8 lanes: mask 0x18 in bits 8 to 12, bound 7.
  auto down = eachLane<int32_t>(constants + R"mlir(
  %clamp = llvm.mlir.constant(6175 : i32) : i32
  %r = nvvm.shfl.sync down %all, %t, %c3, %clamp : i32 -> i32)mlir",
                                "i32");
  auto index = eachLane<int32_t>(constants + R"mlir(
  %clamp = llvm.mlir.constant(6175 : i32) : i32
  %r = nvvm.shfl.sync idx %all, %t, %c5, %clamp : i32 -> i32)mlir",
                                 "i32");
  auto ballot = eachLane<uint32_t>(constants + R"mlir(
  %rest = llvm.urem %t, %c3 : i32
  %is = llvm.icmp "eq" %rest, %c1 : i32
  %r = nvvm.vote.sync ballot %all, %is -> i32)mlir",
                                   "i32");
  auto greatest = eachLane<int32_t>(constants + R"mlir(
  %m = llvm.mul %t, %c5 : i32
  %n = llvm.sub %c3, %m : i32
  %r = nvvm.redux.sync min %n, %all : i32 -> i32)mlir",
                                    "i32");
  for (int t = 0; t < 32; ++t) {
    EXPECT_EQ(down[t], t % 8 + 3 < 8 ? t + 3 : t) << t;
    EXPECT_EQ(index[t], t / 8 * 8 + 5) << t;
    EXPECT_EQ(ballot[t], 0x92492492U) << t;
    EXPECT_EQ(greatest[t], 3 - 31 * 5) << t;
  }
  auto transposed = eachLane<uint32_t>(R"mlir(
  %c16 = llvm.mlir.constant(16 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %two = llvm.shl %t, %c1 : i32
  %next = llvm.add %two, %c1 : i32
  %high = llvm.shl %next, %c16 : i32
  %x = llvm.or %two, %high : i32
  %r = nvvm.inline_ptx "movmatrix.sync.aligned.m8n8.trans.b16 {$w0}, {$r0};" ro(%x : i32) -> i32)mlir",
                                       "i32");
  for (uint32_t t = 0; t < 32; ++t) // element (row, column) was 8 row + column
    EXPECT_EQ(transposed[t], (8 * (2 * (t % 4)) + t / 4) | (8 * (2 * (t % 4) + 1) + t / 4) << 16);
}

TEST(GpuEmulatorOps, Atomics) {
  Kernels kernels(inModule(R"mlir(
llvm.mlir.global internal @counter() {addr_space = 3 : i32} : i32
llvm.func @kernel(%out: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %one = llvm.mlir.constant(1.0 : f32) : f32
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %counter = llvm.mlir.addressof @counter : !llvm.ptr<3>
  %first = llvm.icmp "eq" %t, %c0 : i32
  llvm.cond_br %first, ^zero, ^meet
^zero:
  llvm.store %c0, %counter : i32, !llvm.ptr<3>
  llvm.br ^meet
^meet:
  nvvm.barrier
  %old = llvm.atomicrmw add %counter, %t monotonic : !llvm.ptr<3>, i32
  %sum = llvm.atomicrmw fadd %out, %one monotonic : !llvm.ptr<1>, f32
  nvvm.barrier
  %total = llvm.load %counter : !llvm.ptr<3> -> i32
  %p = llvm.getelementptr %out[1] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
  llvm.cond_br %first, ^write, ^end
^write:
  llvm.store %total, %p : i32, !llvm.ptr<1>
  llvm.br ^end
^end:
  llvm.return
})mlir"));
  std::vector<uint32_t> out(2);
  GlobalMemory memory;
  uint64_t address = memory.add("out", out, BufferUse::InOut);
  LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {64, 1, 1}}, {address}, memory);
  EXPECT_TRUE(result.isClean()) << result.text();
  EXPECT_EQ(singleOf(out[0]), 64.0F);
  EXPECT_EQ(out[1], 63U * 64 / 2);
}

TEST(GpuEmulatorOps, StoresMatricesAsItLoadsThem) {
  // A warp stores four matrices (transposed or not) and reads them back by rows.
  for (bool isTransposed : {false, true}) {
    const std::string layout = isTransposed ? "col" : "row";
    Kernels kernels(inModule(
        R"mlir(
llvm.mlir.global internal @tile() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<256 x i16>
llvm.func @kernel(%out: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %all = llvm.mlir.constant(-1 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c16 = llvm.mlir.constant(16 : i32) : i32
  %c64 = llvm.mlir.constant(64 : i32) : i32
  %t = nvvm.read.ptx.sreg.tid.x : i32
  %tile = llvm.mlir.addressof @tile : !llvm.ptr<3>
  %two = llvm.shl %t, %c1 : i32
  %next = llvm.add %two, %c1 : i32
  %high = llvm.shl %next, %c16 : i32
  %m0 = llvm.or %two, %high : i32
  %both = llvm.mlir.constant(4194368 : i32) : i32
  %m1 = llvm.add %m0, %both : i32
  %m2 = llvm.add %m1, %both : i32
  %m3 = llvm.add %m2, %both : i32
  %row = llvm.getelementptr %tile[%t] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, vector<8xi16>
  nvvm.stmatrix %row, %m0, %m1, %m2, %m3 {layout = #nvvm.mma_layout<)mlir" +
        layout +
        R"mlir(>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : !llvm.ptr<3>, i32, i32, i32, i32
  nvvm.bar.warp.sync %all : i32
  %v = llvm.load %row : !llvm.ptr<3> -> vector<8xi16> // row
  %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, vector<8xi16>
  llvm.store %v, %p : vector<8xi16>, !llvm.ptr<1>
  llvm.return
})mlir"));
    std::vector<uint16_t> out(256);
    GlobalMemory memory;
    uint64_t address = memory.add("out", out, BufferUse::Output);
    LaunchResult result = kernels.run("kernel", {{1, 1, 1}, {32, 1, 1}}, {address}, memory);
    EXPECT_TRUE(result.isClean()) << result.text();
    EXPECT_EQ(result.bankConflicts(), 0U);
    for (int matrix = 0; matrix < 4; ++matrix)
      for (int row = 0; row < 8; ++row)
        for (int column = 0; column < 8; ++column)
          EXPECT_EQ(out[matrix * 64 + row * 8 + column],
                    64 * matrix + (isTransposed ? 8 * column + row : 8 * row + column));
  }
}

TEST(GpuEmulatorOps, ProductsOfTf32) {
  // A is the row of the element, B its column: each sum over k of 8 products.
  auto out = eachLane<float>(R"mlir(
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c2 = llvm.mlir.constant(2 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %c4 = llvm.mlir.constant(4 : i32) : i32
  %zero = llvm.mlir.constant(0.0 : f32) : f32
  %group = llvm.lshr %t, %c2 : i32
  %member = llvm.and %t, %c3 : i32
  %k1 = llvm.add %member, %c4 : i32
  %f0 = llvm.uitofp %member : i32 to f32
  %f1 = llvm.uitofp %k1 : i32 to f32
  %g = llvm.uitofp %group : i32 to f32
  %a0f = llvm.fmul %f0, %g : f32
  %a2f = llvm.fmul %f1, %g : f32
  %a0 = nvvm.convert.float.to.tf32 %a0f {rnd = #nvvm.fp_rnd_mode<rna>}
  %a2 = nvvm.convert.float.to.tf32 %a2f {rnd = #nvvm.fp_rnd_mode<rna>}
  %b0 = nvvm.convert.float.to.tf32 %f0 {rnd = #nvvm.fp_rnd_mode<rna>}
  %b1 = nvvm.convert.float.to.tf32 %f1 {rnd = #nvvm.fp_rnd_mode<rna>}
  %zi = llvm.bitcast %zero : f32 to i32
  %d = nvvm.mma.sync A[%a0, %zi, %a2, %zi] B[%b0, %b1] C[%g, %g, %g, %g] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<tf32>, multiplicandBPtxType = #nvvm.mma_type<tf32>, shape = #nvvm.shape<m = 16, n = 8, k = 8>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
  %r = llvm.extractvalue %d[1] : !llvm.struct<(f32, f32, f32, f32)>)mlir",
                             "f32");
  // a[i, k] = k i for i < 8, b[k, j] = k, c[i, j] = i: 140 i + i.
  for (int t = 0; t < 32; ++t)
    EXPECT_EQ(int(out[t]), 141 * (t / 4)) << t;
}

TEST(GpuEmulatorOps, ProductsOfHalves) {
  // a[i, k] = k, b[k, j] = j, c = 0: 120 j; two registers of A are of the upper rows.
  auto out = eachLane<float>(R"mlir(
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c2 = llvm.mlir.constant(2 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %i0 = llvm.mlir.constant(0 : i32) : i32
  %i1 = llvm.mlir.constant(1 : i32) : i32
  %zero = llvm.mlir.constant(0.0 : f32) : f32
  %one = llvm.mlir.constant(1.0 : f16) : f16
  %eight = llvm.mlir.constant(dense<8.0> : vector<2xf16>) : vector<2xf16>
  %group = llvm.lshr %t, %c2 : i32
  %member = llvm.and %t, %c3 : i32
  %column = llvm.shl %member, %c1 : i32
  %k0 = llvm.uitofp %column : i32 to f16
  %k1 = llvm.fadd %k0, %one : f16
  %j = llvm.uitofp %group : i32 to f16
  %undef = llvm.mlir.undef : vector<2xf16>
  %a00 = llvm.insertelement %k0, %undef[%i0 : i32] : vector<2xf16>
  %a0 = llvm.insertelement %k1, %a00[%i1 : i32] : vector<2xf16>
  %a2 = llvm.fadd %a0, %eight : vector<2xf16>
  %b00 = llvm.insertelement %j, %undef[%i0 : i32] : vector<2xf16>
  %b0 = llvm.insertelement %j, %b00[%i1 : i32] : vector<2xf16>
  %d = nvvm.mma.sync A[%a0, %a0, %a2, %a2] B[%b0, %b0] C[%zero, %zero, %zero, %zero] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (vector<2xf16>, vector<2xf16>, f32) -> !llvm.struct<(f32, f32, f32, f32)>
  %x = llvm.extractvalue %d[1] : !llvm.struct<(f32, f32, f32, f32)>
  %y = llvm.extractvalue %d[3] : !llvm.struct<(f32, f32, f32, f32)>
  %r = llvm.fadd %x, %y : f32)mlir",
                             "f32");
  for (int t = 0; t < 32; ++t)
    EXPECT_EQ(out[t], 2 * 120.0F * float(2 * (t % 4) + 1)) << t;
}

TEST(GpuEmulatorOps, SaysWhatItDoesNotKnow) {
  Kernels kernels(inModule(R"mlir(
llvm.func @unknown_ptx(%x: i32) attributes {gpu.kernel, nvvm.kernel} {
  %r = nvvm.inline_ptx "brev.b32 {$w0}, {$r0};" ro(%x : i32) -> i32
  llvm.return
}
llvm.func @wgmma() attributes {gpu.kernel, nvvm.kernel} {
  nvvm.wgmma.fence.aligned
  llvm.return
}
llvm.func @scalable(%x: vector<[4]xf32>) {
  llvm.br ^next(%x : vector<[4]xf32>)
^next(%y: vector<[4]xf32>):
  llvm.return
}
llvm.func @recursive() {
  llvm.call @recursive() : () -> ()
  llvm.return
})mlir"));
  EXPECT_EQ(kernels.error("unknown_ptx"),
            "the emulator does not know this inline PTX: brev.b32 {$w0}, {$r0};\n");
  EXPECT_EQ(kernels.error("wgmma"), "the emulator does not know this op\n");
  EXPECT_EQ(kernels.error("scalable"), "the emulator has no values of type 'vector<[4]xf32>'\n");
  EXPECT_EQ(kernels.error("recursive"), "the emulator does not run recursive functions\n");
}

} // namespace
