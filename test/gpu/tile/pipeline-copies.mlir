// RUN: seq-opt %s -tile-pipeline-copies | FileCheck %s

// Two tiles, each used once: the first comes while the second is used and the other way round. The loop's number of groups
// is the prologue's, too.
// CHECK-LABEL: llvm.func @two
llvm.func @two(%x: !llvm.ptr<1> {llvm.noalias, llvm.readonly}, %y: !llvm.ptr<1> {llvm.noalias, llvm.readonly}, %out: !llvm.ptr<1>, %n: i64,
               %stride: i64) attributes {tile.warps = 4 : i32} {
  %c0 = arith.constant 0 : i64
  %c32 = arith.constant 32 : i64
  %q = arith.constant dense<1.0> : tensor<64x64xbf16>
  %zero = arith.constant dense<0.0> : tensor<64x32xf32>
  %none = arith.constant dense<0.0> : tensor<64x64xf32>
  // CHECK: %[[B:.*]] = tile.alloc_smem : !tile.smem<32x64xbf16, 128>
  // CHECK: %[[A:.*]] = tile.alloc_smem : !tile.smem<32x64xbf16, 128>
  // CHECK-NEXT: tile.commit
  // CHECK: %[[ANY:.*]] = arith.cmpi slt, %{{.*}}, %[[N:.*]] : i64
  // CHECK-NEXT: scf.if %[[ANY]] {
  // CHECK: tile.copy_async %[[B]]
  // CHECK: }
  // CHECK-NEXT: tile.commit
  // CHECK-NEXT: scf.for %[[I:.*]] = %{{.*}} to %[[N]] step %[[STEP:.*]] iter_args
  // CHECK-NOT: tile.load_global
  %r = scf.for %i = %c0 to %n step %c32 iter_args(%sum = %none) -> (tensor<64x64xf32>) : i64 {
    %left = arith.subi %n, %i : i64
    %at = arith.muli %i, %stride : i64
    %from = llvm.getelementptr %x[%at] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %a = tile.load_global %from strides [%stride, 1] within [%left, 64] align 16 : tensor<32x64xbf16>
    %sa = tile.alloc_smem : !tile.smem<32x64xbf16, 128>
    tile.store %a to %sa : tensor<32x64xbf16> -> !tile.smem<32x64xbf16, 128>
    // CHECK: tile.wait 0
    // CHECK: tile.copy_async %[[A]]
    // CHECK-NEXT: tile.commit
    // CHECK-NEXT: tile.load %[[B]] transposed
    %fa = tile.load %sa transposed : !tile.smem<32x64xbf16, 128> -> tensor<64x32xbf16>
    %s = tile.dot %q, %fa, %zero : tensor<64x64xbf16>, tensor<64x32xbf16> -> tensor<64x32xf32>
    %w = arith.truncf %s : tensor<64x32xf32> to tensor<64x32xbf16>
    %where = llvm.getelementptr %y[%at] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %b = tile.load_global %where strides [%stride, 1] within [%left, 64] align 16 : tensor<32x64xbf16>
    %sb = tile.alloc_smem : !tile.smem<32x64xbf16, 128>
    tile.store %b to %sb : tensor<32x64xbf16> -> !tile.smem<32x64xbf16, 128>
    // CHECK: tile.wait 0
    // CHECK-NEXT: %[[NEXT:.*]] = arith.addi %[[I]], %[[STEP]] : i64
    // CHECK-NEXT: %[[EXISTS:.*]] = arith.cmpi slt, %[[NEXT]], %[[N]] : i64
    // CHECK-NEXT: scf.if %[[EXISTS]] {
    // CHECK: arith.muli %[[NEXT]]
    // CHECK: tile.copy_async %[[B]]
    // CHECK: }
    // CHECK-NEXT: tile.commit
    // CHECK-NEXT: tile.load %[[A]]
    %fb = tile.load %sb : !tile.smem<32x64xbf16, 128> -> tensor<32x64xbf16>
    %o = tile.dot %w, %fb, %sum : tensor<64x32xbf16>, tensor<32x64xbf16> -> tensor<64x64xf32>
    scf.yield %o : tensor<64x64xf32>
  } {tile.pipelined}
  // CHECK: scf.yield
  // CHECK-NEXT: }
  // CHECK-NEXT: tile.wait 0
  tile.store_global %r to %out strides [64, 1] within [64, 64] : tensor<64x64xf32>
  llvm.return
}

// One tile that is used in registers, and not by all of the loop: the next one comes from its last use on, whatever the alignment is.
// CHECK-LABEL: llvm.func @choice
llvm.func @choice(%x: !llvm.ptr<1>, %out: !llvm.ptr<1>, %n: i64, %stride: i64, %other: i64, %aligned: i1) attributes {tile.warps = 4 : i32} {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %none = arith.constant dense<0.0> : tensor<32x64xf32>
  // CHECK: %[[A:.*]] = tile.alloc_smem : !tile.smem<32x64xf32, 128>
  // CHECK: scf.for
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %none) -> (tensor<32x64xf32>) : i64 {
    %from = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %a = scf.if %aligned -> (tensor<32x64xf32>) {
      %own = tile.load_global %from strides [%stride, 1] within [32, 64] align 16 : tensor<32x64xf32>
      scf.yield %own : tensor<32x64xf32>
    } else {
      %own = tile.load_global %from strides [%stride, %other] within [32, 64] : tensor<32x64xf32>
      scf.yield %own : tensor<32x64xf32>
    }
    // CHECK: tile.wait 0
    // CHECK-NEXT: %[[LOADED:.*]] = tile.load %[[A]]
    // CHECK-NEXT: arith.addf %{{.*}}, %[[LOADED]]
    // CHECK: scf.if
    // CHECK: scf.if %{{.*}} {
    // CHECK-NEXT: tile.copy_async %[[A]] {{.*}} align 16
    // CHECK-NEXT: } else {
    // CHECK-NEXT: tile.copy_async %[[A]] from %{{.*}} strides [%{{.*}}, %{{.*}}] within [32, 64] : !tile.smem<32x64xf32, 128>
    %o = arith.addf %sum, %a : tensor<32x64xf32>
    scf.yield %o : tensor<32x64xf32>
  } {tile.pipelined}
  tile.store_global %r to %out strides [64, 1] within [32, 64] : tensor<32x64xf32>
  llvm.return
}

// Where an address comes from the iteration before, memory may be written, or vectors cannot be copied, loads stay. So does all in
// loops that do not ask.
// CHECK-LABEL: llvm.func @none
// CHECK-NOT: tile.copy_async
llvm.func @none(%x: !llvm.ptr<1>, %out: !llvm.ptr<1>, %n: i64, %stride: i64) attributes {tile.warps = 4 : i32} {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %none = arith.constant dense<0.0> : tensor<32x64xf32>
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %none, %from = %x) -> (tensor<32x64xf32>, !llvm.ptr<1>) : i64 {
    %a = tile.load_global %from strides [%stride, 1] within [32, 64] align 16 : tensor<32x64xf32>
    %b = tile.load_global %x strides [1, %stride] within [32, 64] : tensor<32x64xf32>
    %s = arith.addf %a, %b : tensor<32x64xf32>
    %o = arith.addf %sum, %s : tensor<32x64xf32>
    %next = llvm.getelementptr %from[%stride] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    scf.yield %o, %next : tensor<32x64xf32>, !llvm.ptr<1>
  } {tile.pipelined}
  scf.for %i = %c0 to %n step %c1 : i64 {
    %a = tile.load_global %x strides [%stride, 1] within [32, 64] align 16 : tensor<32x64xf32>
    tile.store_global %a to %out strides [64, 1] within [32, 64] : tensor<32x64xf32>
  } {tile.pipelined}
  scf.for %i = %c0 to %n step %c1 : i64 {
    %a = tile.load_global %x strides [%stride, 1] within [32, 64] align 16 : tensor<32x64xf32>
    %sa = tile.alloc_smem : !tile.smem<32x64xf32, 128>
    tile.store %a to %sa : tensor<32x64xf32> -> !tile.smem<32x64xf32, 128>
  }
  llvm.return
}
