// RUN: seq-opt %s -tile-expand-solves | FileCheck %s

// Rows one after the other, four in a block that is left out where none of them exists; a column of the matrix each.
// CHECK-LABEL: llvm.func @one
llvm.func @one(%b: f32, %m: f32, %n: i64) attributes {tile.warps = 4 : i32} {
  %right = tensor.splat %b : tensor<8x32xf32>
  %matrix = tensor.splat %m : tensor<8x8xf32>
  // What is on and above the diagonal does not count.
  // CHECK: %[[BELOW:.*]] = arith.cmpi sgt
  // CHECK: %[[STRICT:.*]] = arith.select %[[BELOW]]
  // CHECK: tile.store %[[STRICT]]
  // CHECK: %[[LINES:.*]] = tile.load
  // CHECK: tile.pick %[[LINES]] dim 1 at 0
  // CHECK: tile.pick %[[LINES]] dim 1 at 6
  // CHECK-NOT: tile.pick %[[LINES]]
  // CHECK: %[[LINE:.*]] = tile.pick %[[RIGHT:.*]] dim 0 at 0 : tensor<8x32xf32> -> tensor<32xf32>
  // CHECK: %[[OWN:.*]] = tile.broadcast %[[LINE]] dim 0
  // CHECK: %[[COLUMN:.*]] = tile.load %{{.*}} : !tile.smem<8xf32> -> tensor<8xf32>
  // CHECK: %[[WEIGHT:.*]] = tile.broadcast %[[COLUMN]] dim 1
  // CHECK: %[[TERM:.*]] = arith.mulf %[[WEIGHT]], %[[OWN]]
  // CHECK: %[[NEXT:.*]] = arith.addf %[[RIGHT]], %[[TERM]]
  // CHECK: tile.pick %[[NEXT]] dim 0 at 1
  // CHECK: tile.pick %{{.*}} dim 0 at 3
  // CHECK: %[[C4:.*]] = arith.constant 4 : i64
  // CHECK: arith.cmpi sgt, %{{.*}}, %[[C4]]
  // CHECK: scf.if
  // CHECK: tile.pick %{{.*}} dim 0 at 4
  // CHECK: tile.pick %{{.*}} dim 0 at 6
  // CHECK: } else {
  // CHECK-NOT: tile.solve
  %x = tile.solve %right by %matrix within %n : tensor<8x32xf32> by tensor<8x8xf32> -> tensor<8x32xf32>
  %s = tile.alloc_smem : !tile.smem<8x32xf32>
  tile.store %x to %s : tensor<8x32xf32> -> !tile.smem<8x32xf32>
  llvm.return
}

// Columns are found where the matrix is made, in front of right sides that come later and would be in registers meanwhile.
// CHECK-LABEL: llvm.func @late
llvm.func @late(%m: f32) attributes {tile.warps = 4 : i32} {
  // CHECK: tensor.splat
  // CHECK: tile.pick %{{.*}} dim 1 at 0
  // CHECK: tile.pick %{{.*}} dim 1 at 6
  // CHECK: tile.load %{{.*}} : !tile.smem<8x32xf32> -> tensor<8x32xf32>
  // CHECK: tile.pick %{{.*}} dim 0 at 0
  %matrix = tensor.splat %m : tensor<8x8xf32>
  %s = tile.alloc_smem : !tile.smem<8x32xf32>
  %right = tile.load %s : !tile.smem<8x32xf32> -> tensor<8x32xf32>
  %x = tile.solve %right by %matrix : tensor<8x32xf32> by tensor<8x8xf32> -> tensor<8x32xf32>
  tile.store %x to %s : tensor<8x32xf32> -> !tile.smem<8x32xf32>
  llvm.return
}
