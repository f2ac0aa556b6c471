// RUN: seq-opt %s -split-input-file -tile-insert-barriers -verify-diagnostics | FileCheck %s

// CHECK-LABEL: llvm.func @line
llvm.func @line() attributes {tile.warps = 2 : i32} {
  %t = arith.constant dense<0.0> : tensor<64xf32>
  %a = tile.alloc_smem at 0 : !tile.smem<64xf32>
  %b = tile.alloc_smem at 256 : !tile.smem<64xf32>
  %c = tile.alloc_smem at 128 : !tile.smem<64xf32>
  // Different bytes need none between, what was written before it is read one for both.
  // CHECK: tile.store
  // CHECK-NEXT: tile.store
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.load
  // CHECK-NEXT: tile.load
  tile.store %t to %a : tensor<64xf32> -> !tile.smem<64xf32>
  tile.store %t to %b : tensor<64xf32> -> !tile.smem<64xf32>
  %1 = tile.load %a : !tile.smem<64xf32> -> tensor<64xf32>
  %2 = tile.load %b : !tile.smem<64xf32> -> tensor<64xf32>
  // Another tile with some of the bytes: it is written behind the reads.
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.store
  tile.store %t to %c : tensor<64xf32> -> !tile.smem<64xf32>
  // CHECK-NEXT: llvm.return
  llvm.return
}

// The next iteration writes what this one reads, and after the loop so does the last one.
// CHECK-LABEL: llvm.func @loop
llvm.func @loop(%n: i32) attributes {tile.warps = 2 : i32} {
  %t = arith.constant dense<0.0> : tensor<64xf32>
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %a = tile.alloc_smem at 0 : !tile.smem<64xf32>
  // CHECK: scf.for
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.store
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.load
  // CHECK-NEXT: }
  scf.for %i = %c0 to %n step %c1 : i32 {
    tile.store %t to %a : tensor<64xf32> -> !tile.smem<64xf32>
    %1 = tile.load %a : !tile.smem<64xf32> -> tensor<64xf32>
  }
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.store
  tile.store %t to %a : tensor<64xf32> -> !tile.smem<64xf32>
  llvm.return
}

// CHECK-LABEL: llvm.func @choice
llvm.func @choice(%c: i1) attributes {tile.warps = 2 : i32} {
  %t = arith.constant dense<0.0> : tensor<64xf32>
  %a = tile.alloc_smem at 0 : !tile.smem<64xf32>
  // CHECK: scf.if
  // CHECK-NEXT: tile.store
  // CHECK-NEXT: }
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.load
  scf.if %c {
    tile.store %t to %a : tensor<64xf32> -> !tile.smem<64xf32>
  }
  %1 = tile.load %a : !tile.smem<64xf32> -> tensor<64xf32>
  llvm.return
}

// Copies are there for the thread that waited, for others behind a barrier. One group stays under way.
// CHECK-LABEL: llvm.func @copies
llvm.func @copies(%x: !llvm.ptr<1>) attributes {tile.warps = 2 : i32} {
  %a = tile.alloc_smem at 0 : !tile.smem<64xf32>
  %b = tile.alloc_smem at 256 : !tile.smem<64xf32>
  // CHECK: tile.wait 1
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.load
  // CHECK-NEXT: tile.wait 0
  // CHECK-NEXT: tile.barrier
  // CHECK-NEXT: tile.load
  tile.copy_async %a from %x strides [1] within [64] align 16 : !tile.smem<64xf32>
  tile.commit
  tile.copy_async %b from %x strides [1] within [64] align 16 : !tile.smem<64xf32>
  tile.commit
  tile.wait 1
  %1 = tile.load %a : !tile.smem<64xf32> -> tensor<64xf32>
  tile.wait 0
  %2 = tile.load %b : !tile.smem<64xf32> -> tensor<64xf32>
  llvm.return
}

// -----

llvm.func @early(%x: !llvm.ptr<1>) attributes {tile.warps = 2 : i32} {
  %a = tile.alloc_smem at 0 : !tile.smem<64xf32>
  tile.copy_async %a from %x strides [1] within [64] align 16 : !tile.smem<64xf32>
  tile.commit
  // expected-error@below {{uses a tile while an asynchronous copy into it, for which no tile.wait has waited, may be under way}}
  %1 = tile.load %a : !tile.smem<64xf32> -> tensor<64xf32>
  llvm.return
}

// -----

// The wait leaves one group under way, in the next iteration.
llvm.func @loop(%x: !llvm.ptr<1>, %n: i32) attributes {tile.warps = 2 : i32} {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %a = tile.alloc_smem at 0 : !tile.smem<64xf32>
  scf.for %i = %c0 to %n step %c1 : i32 {
    // expected-error@below {{uses a tile while an asynchronous copy into it}}
    tile.copy_async %a from %x strides [1] within [64] align 16 : !tile.smem<64xf32>
    tile.commit
    tile.wait 1
  }
  llvm.return
}
