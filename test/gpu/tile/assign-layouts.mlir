// RUN: seq-opt %s -split-input-file -tile-assign-layouts -verify-diagnostics | FileCheck %s

// Sums of a dot have accumulators; what is done with them, and what reductions make of them, follows.
// CHECK-DAG: #[[SUMS:.*]] = #tile.layout<registers = {{\[\[}}0, 1], [8, 0], [0, 8]], lanes = {{\[\[}}0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = {{\[\[}}16, 0], [32, 0]]>
// CHECK-DAG: #[[B:.*]] = #tile.layout<registers = {{\[\[}}1, 0], [8, 0], [0, 8]], lanes = {{\[\[}}2, 0], [4, 0], [0, 1], [0, 2], [0, 4]], warps = {{\[\[}}0, 0], [0, 0]]>
// CHECK-DAG: #[[ROW:.*]] = #tile.layout<registers = {{\[\[}}8]], lanes = {{\[\[}}0], [0], [1], [2], [4]], warps = {{\[\[}}16], [32]]>
// CHECK-LABEL: llvm.func @dot
llvm.func @dot(%b: !llvm.ptr<1>) attributes {tile.warps = 4 : i32} {
  %a = tile.alloc_smem : !tile.smem<64x16xbf16>
  // CHECK: tile.load {{.*}} -> tensor<64x16xbf16, #[[SUMS]]>
  %1 = tile.load %a : !tile.smem<64x16xbf16> -> tensor<64x16xbf16>
  // CHECK: tile.load_global {{.*}} : tensor<16x16xbf16, #[[B]]>
  %2 = tile.load_global %b strides [16, 1] within [16, 16] align 16 : tensor<16x16xbf16>
  // CHECK: arith.constant dense<0.000000e+00> : tensor<64x16xf32, #[[SUMS]]>
  %zero = arith.constant dense<0.0> : tensor<64x16xf32>
  // CHECK: tile.dot {{.*}} -> tensor<64x16xf32, #[[SUMS]]>
  %3 = tile.dot %1, %2, %zero : tensor<64x16xbf16>, tensor<16x16xbf16> -> tensor<64x16xf32>
  // CHECK: math.exp2 {{.*}} : tensor<64x16xf32, #[[SUMS]]>
  %4 = math.exp2 %3 : tensor<64x16xf32>
  // CHECK: -> tensor<64xf32, #[[ROW]]>
  %5 = tile.reduce %4 dim 1 {
  ^bb0(%u: f32, %v: f32):
    %w = arith.addf %u, %v : f32
    tile.yield %w : f32
  } : tensor<64x16xf32> -> tensor<64xf32>
  // CHECK: tile.broadcast {{.*}} : tensor<64xf32, #[[ROW]]> -> tensor<64x16xf32, #[[SUMS]]>
  %6 = tile.broadcast %5 dim 1 : tensor<64xf32> -> tensor<64x16xf32>
  %7 = arith.divf %4, %6 : tensor<64x16xf32>
  // CHECK: arith.truncf
  %8 = arith.truncf %7 : tensor<64x16xf32> to tensor<64x16xbf16>
  // CHECK-NOT: tile.convert
  // CHECK: tile.dot
  %9 = tile.dot %8, %2, %zero : tensor<64x16xbf16>, tensor<16x16xbf16> -> tensor<64x16xf32>
  llvm.return
}

// -----

// A dim that is scanned is in registers, lanes are along the other one; loops carry layouts. The slice along the split dim needs a conversion.
// CHECK-DAG: #[[SCAN:.*]] = #tile.layout<registers = {{\[\[}}1, 0], [2, 0], [4, 0], [8, 0], [16, 0]], lanes = {{\[\[}}0, 1], [0, 2], [0, 4], [0, 8], [0, 16]], warps = {{\[\[}}0, 32]]>
// CHECK-DAG: #[[STATE:.*]] = #tile.layout<registers = [], lanes = {{\[\[}}1], [2], [4], [8], [16]], warps = {{\[\[}}32]]>
// CHECK-LABEL: llvm.func @scan
llvm.func @scan(%x: !llvm.ptr<1>, %n: i32) attributes {tile.warps = 2 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %zero = arith.constant dense<0.0> : tensor<64xf32>
  // CHECK: scf.for {{.*}} -> (tensor<64xf32, #[[STATE]]>)
  %end = scf.for %i = %c0 to %n step %c1 iter_args(%h = %zero) -> (tensor<64xf32>) : i32 {
    // CHECK: tile.load_global {{.*}} : tensor<32x64xf32, #[[SCAN]]>
    %t = tile.load_global %x strides [64, 1] within [32, 64] align 16 : tensor<32x64xf32>
    // CHECK-NOT: tile.convert
    // CHECK: tile.broadcast {{.*}} : tensor<64xf32, #[[STATE]]> -> tensor<32x64xf32, #[[SCAN]]>
    %b = tile.broadcast %h dim 0 : tensor<64xf32> -> tensor<32x64xf32>
    %u = arith.addf %t, %b : tensor<32x64xf32>
    %s = tile.scan %u dim 0 {
    ^bb0(%p: f32, %q: f32):
      %r = arith.addf %p, %q : f32
      tile.yield %r : f32
    } : tensor<32x64xf32> -> tensor<32x64xf32>
    // CHECK: tile.pick
    %next = tile.pick %s dim 0 at 31 : tensor<32x64xf32> -> tensor<64xf32>
    // CHECK: tile.convert {{.*}} : tensor<32x64xf32, #[[SCAN]]> -> tensor<32x64xf32, #[[WIDE:.*]]>
    // CHECK-NEXT: tile.reduce
    %sum = tile.reduce %s dim 1 {
    ^bb0(%p: f32, %q: f32):
      %r = arith.addf %p, %q : f32
      tile.yield %r : f32
    } : tensor<32x64xf32> -> tensor<32xf32>
    scf.yield %next : tensor<64xf32>
  }
  llvm.return
}

// -----

llvm.func @odd(%x: !llvm.ptr<1>) attributes {tile.warps = 2 : i32} {
  // expected-error@below {{has a tile that does not have one or two dims that are powers of two}}
  %t = tile.load_global %x strides [1] within [48] : tensor<48xf32>
  llvm.return
}

// -----

llvm.func @unknown() attributes {tile.warps = 2 : i32} {
  %t = arith.constant dense<0.0> : tensor<64xf32>
  // expected-error@below {{is not an op on tiles}}
  %u = tensor.cast %t : tensor<64xf32> to tensor<?xf32>
  llvm.return
}
