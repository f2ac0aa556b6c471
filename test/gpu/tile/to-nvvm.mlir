// RUN: seq-opt %s -tile-to-nvvm -canonicalize -cse | FileCheck %s

#a = #tile.layout<registers = [[0, 1], [8, 0], [0, 8], [0, 16], [0, 32]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = [[16, 0]]>
#b = #tile.layout<registers = [[1, 0], [8, 0], [16, 0]], lanes = [[2, 0], [4, 0], [0, 1], [0, 2], [0, 4]], warps = [[0, 0]]>
#line = #tile.layout<registers = [[1], [2]], lanes = [[4], [8], [16], [32], [64]], warps = [[128]]>
#rows = #tile.layout<registers = [[1, 0]], lanes = [[0, 1], [0, 2], [0, 4], [0, 8], [0, 16]], warps = [[2, 0]]>

// The module's shared memory is what launches give it.
// CHECK: llvm.mlir.global external @tile_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

// A lane's part of the addresses is made once: its row, and its chunk permuted by it. The four steps along k change the chunk's bits.
// CHECK-LABEL: llvm.func @fragments
// CHECK-SAME: nvvm.kernel, nvvm.reqntid = array<i32: 64, 1, 1>, shared_bytes = 5120 : i32
llvm.func @fragments() -> bf16 attributes {tile.warps = 2 : i32, tile.shared_bytes = 5120 : i32} {
  // CHECK-DAG: %[[C32:.*]] = arith.constant 32 : i32
  // CHECK-DAG: %[[C64:.*]] = arith.constant 64 : i32
  // CHECK-DAG: %[[C96:.*]] = arith.constant 96 : i32
  // CHECK: nvvm.read.ptx.sreg.tid.x
  // CHECK-COUNT-2: arith.xori
  // CHECK: %[[OWN:.*]] = arith.xori
  // CHECK-NEXT: %[[P0:.*]] = llvm.getelementptr %{{.*}}[%[[OWN]]] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
  // CHECK-NEXT: nvvm.ldmatrix %[[P0]] {eltType = #nvvm.ld_st_matrix_elt_type<b16>, layout = #nvvm.mma_layout<row>, num = 4 : i32
  // CHECK: arith.xori %[[OWN]], %[[C32]]
  // CHECK: nvvm.ldmatrix
  // CHECK: arith.xori %[[OWN]], %[[C64]]
  // CHECK: nvvm.ldmatrix
  // CHECK: arith.xori %[[OWN]], %[[C96]]
  // CHECK: nvvm.ldmatrix
  // CHECK-NOT: nvvm.ldmatrix %{{.*}}layout = #nvvm.mma_layout<row>
  %s = tile.alloc_smem at 0 : !tile.smem<32x64xbf16, 128>
  %a = tile.load %s : !tile.smem<32x64xbf16, 128> -> tensor<32x64xbf16, #a>
  // The second factor's rows are the columns of matrices that lie in rows: transposed, and 16 rows further on an offset.
  // CHECK: %[[P:.*]] = llvm.getelementptr %{{.*}}[%{{.*}}] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
  // CHECK-NEXT: nvvm.ldmatrix %[[P]] {{.*}}layout = #nvvm.mma_layout<col>, num = 4 : i32
  %t = tile.alloc_smem at 4096 : !tile.smem<32x8xbf16>
  %b = tile.load %t : !tile.smem<32x8xbf16> -> tensor<32x8xbf16, #b>
  %v = llvm.mlir.constant(0.0 : bf16) : bf16
  llvm.return %v : bf16
}

// Elements that follow each other are loaded together as far as the promised alignment goes.
// CHECK-LABEL: llvm.func @vectors
llvm.func @vectors(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) attributes {tile.warps = 2 : i32} {
  // CHECK-COUNT-1: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
  // CHECK-NOT: llvm.load
  %t = tile.load_global %x strides [1] within [256] align 16 : tensor<256xf32, #line>
  // CHECK-COUNT-2: llvm.store %{{.*}}, %{{.*}} {alignment = 8 : i64} : vector<2xf32>, !llvm.ptr<1>
  // CHECK-NOT: llvm.store
  tile.store_global %t to %y strides [1] within [256] align 8 : tensor<256xf32, #line>
  llvm.return
}

// Rows that may not exist are loaded behind one question each; what is not there is zero.
// CHECK-LABEL: llvm.func @ragged
llvm.func @ragged(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %n: i64, %s: i64) attributes {tile.warps = 2 : i32} {
  // CHECK: %[[LEFT:.*]] = arith.subi %arg2, %{{.*}}
  // CHECK: arith.cmpi sgt, %[[LEFT]], %c0
  // CHECK: scf.if %{{.*}} -> (f32) {
  // CHECK-NEXT: llvm.load
  // CHECK-NEXT: scf.yield
  // CHECK-NEXT: } else {
  // CHECK-NEXT: scf.yield %cst
  // CHECK: scf.if
  // CHECK-NEXT: llvm.load
  %t = tile.load_global %x strides [%s, 1] within [%n, 32] : tensor<4x32xf32, #rows>
  // CHECK: scf.if
  // CHECK-NEXT: llvm.store
  // CHECK: scf.if
  // CHECK-NEXT: llvm.store
  tile.store_global %t to %y strides [%s, 1] within [%n, 32] : tensor<4x32xf32, #rows>
  llvm.return
}
