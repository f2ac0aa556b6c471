// RUN: seq-opt %s -split-input-file -tile-allocate-shared -verify-diagnostics | FileCheck %s

// Tiles that are in use at the same time lie beside each other; later ones take the place of those that are not any more.
// CHECK-LABEL: llvm.func @reuse
// CHECK-SAME: tile.shared_bytes = 12288 : i32
llvm.func @reuse(%x: !llvm.ptr<1>) attributes {tile.warps = 4 : i32} {
  // CHECK: tile.alloc_smem at 8192 : !tile.smem<32x64xbf16, 128>
  %a = tile.alloc_smem : !tile.smem<32x64xbf16, 128>
  // CHECK: tile.alloc_smem at 0 : !tile.smem<64x64xbf16, 128>
  %b = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  // CHECK: tile.alloc_smem at 0 : !tile.smem<32x32xf32, 128>
  %c = tile.alloc_smem : !tile.smem<32x32xf32, 128>
  tile.copy_async %a from %x strides [64, 1] within [32, 64] align 16 : !tile.smem<32x64xbf16, 128>
  tile.copy_async %b from %x strides [64, 1] within [64, 64] align 16 : !tile.smem<64x64xbf16, 128>
  %1 = tile.load %a : !tile.smem<32x64xbf16, 128> -> tensor<32x64xbf16>
  %2 = tile.load %b : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  tile.copy_async %c from %x strides [32, 1] within [32, 32] align 16 : !tile.smem<32x32xf32, 128>
  llvm.return
}

// What a loop uses and has not made is in use all through it. Large tiles are placed first.
// CHECK-LABEL: llvm.func @loop
// CHECK-SAME: tile.shared_bytes = 512 : i32
llvm.func @loop(%n: i32) attributes {tile.warps = 1 : i32} {
  %t = arith.constant dense<0.0> : tensor<32xf32>
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // CHECK: tile.alloc_smem at 256 : !tile.smem<32xf32>
  %outer = tile.alloc_smem : !tile.smem<32xf32>
  tile.store %t to %outer : tensor<32xf32> -> !tile.smem<32xf32>
  scf.for %i = %c0 to %n step %c1 : i32 {
    %1 = tile.load %outer : !tile.smem<32xf32> -> tensor<32xf32>
    // CHECK: tile.alloc_smem at 384 : !tile.smem<32xf32>
    %inner = tile.alloc_smem : !tile.smem<32xf32>
    tile.store %1 to %inner : tensor<32xf32> -> !tile.smem<32xf32>
    // CHECK: tile.alloc_smem at 0 : !tile.smem<64xf32>
    %last = tile.alloc_smem : !tile.smem<64xf32>
    %2 = tile.load %last : !tile.smem<64xf32> -> tensor<64xf32>
    %3 = tile.load %inner : !tile.smem<32xf32> -> tensor<32xf32>
  }
  llvm.return
}

// -----

// expected-error@below {{needs 262144 bytes of shared memory; a block has at most 232448}}
llvm.func @large() attributes {tile.warps = 4 : i32} {
  %x = arith.constant dense<0.0> : tensor<256x256xf32>
  %a = tile.alloc_smem : !tile.smem<256x256xf32, 128>
  tile.store %x to %a : tensor<256x256xf32> -> !tile.smem<256x256xf32, 128>
  llvm.return
}
