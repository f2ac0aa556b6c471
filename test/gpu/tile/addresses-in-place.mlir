// RUN: seq-opt %s -tile-assign-layouts -tile-allocate-shared -tile-insert-barriers -tile-to-nvvm -cse | FileCheck %s

// Accesses share what the thread's number gives to their addresses, also in front of a loop.
// CHECK-LABEL: llvm.func @shared
// CHECK-NOT: nvvm.inline_ptx
// CHECK: llvm.return
llvm.func @shared(%n: i64) attributes {tile.warps = 1 : i32} {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %s = tile.alloc_smem : !tile.smem<16x16xbf16>
  %u = tile.alloc_smem : !tile.smem<16x16xbf16>
  scf.for %i = %zero to %n step %one : i64 {
    %a = tile.load %s : !tile.smem<16x16xbf16> -> tensor<16x16xbf16>
    tile.store %a to %u : tensor<16x16xbf16> -> !tile.smem<16x16xbf16>
  }
  llvm.return
}

// Beside dots there are no registers to keep them in from there on. So each makes its own, of a copy of the thread's number that nothing sees
// through, and of copies of the strides.
// CHECK-LABEL: llvm.func @in_place
// CHECK-NOT: tile.addresses_in_place
// CHECK: scf.for
// CHECK: %[[THREAD:.*]] = nvvm.read.ptx.sreg.tid.x
// CHECK: nvvm.inline_ptx "mov.b32 {$w0}, {$r0};" ro(%[[THREAD]] : i32) -> i32
// CHECK: nvvm.ldmatrix
// CHECK: nvvm.inline_ptx "mov.b32 {$w0}, {$r0};" ro(%[[THREAD]] : i32) -> i32
// CHECK: nvvm.ldmatrix
// CHECK: nvvm.mma.sync
// CHECK: nvvm.inline_ptx "mov.b64 {$w0}, {$r0};" ro(%arg2 : i64) -> i64
// CHECK: llvm.store %{{.*}} : f32, !llvm.ptr<1>
llvm.func @in_place(%n: i64, %x: !llvm.ptr<1>, %stride: i64) attributes {tile.warps = 1 : i32} {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %none = arith.constant dense<0.0> : tensor<16x16xf32>
  %s = tile.alloc_smem : !tile.smem<16x16xbf16>
  scf.for %i = %zero to %n step %one : i64 {
    %a = tile.load %s : !tile.smem<16x16xbf16> -> tensor<16x16xbf16>
    %b = tile.load %s transposed : !tile.smem<16x16xbf16> -> tensor<16x16xbf16>
    %c = tile.dot %a, %b, %none : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xf32>
    tile.store_global %c to %x strides [%stride, 1] within [16, 16] : tensor<16x16xf32>
  }
  llvm.return
}
