// RUN: seq-opt %s -tile-expand-converts | FileCheck %s

#rows = #tile.layout<registers = [[0, 1], [8, 0], [0, 8], [0, 16]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = [[16, 0]]>
#other = #tile.layout<registers = [[8, 0], [0, 1], [0, 8], [0, 16]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = [[16, 0]]>
#columns = #tile.layout<registers = [[0, 1], [8, 0], [16, 0], [0, 16]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = [[0, 8]]>
#down = #tile.layout<registers = [[1, 0], [2, 0], [4, 0]], lanes = [[0, 1], [0, 2], [0, 4], [0, 8], [0, 16]], warps = [[8, 0]]>
#across = #tile.layout<registers = [[0, 1], [0, 2], [0, 4]], lanes = [[1, 0], [2, 0], [4, 0], [8, 0], [0, 8]], warps = [[0, 16]]>

// Within a warp nothing is stored, between warps each element once; truth values are bytes there.
// CHECK-LABEL: llvm.func @k
llvm.func @k(%x: f32, %b: i1) attributes {tile.warps = 2 : i32} {
  // CHECK: %[[T:.*]] = tensor.splat
  %t = tensor.splat %x : tensor<32x32xf32, #rows>
  // CHECK-NEXT: tile.convert %[[T]]
  %1 = tile.convert %t : tensor<32x32xf32, #rows> -> tensor<32x32xf32, #other>
  // CHECK-NEXT: %[[S:.*]] = tile.alloc_smem : !tile.smem<32x32xf32, 128>
  // CHECK-NEXT: tile.store %[[T]] to %[[S]]
  // CHECK-NEXT: tile.load %[[S]]
  %2 = tile.convert %t : tensor<32x32xf32, #rows> -> tensor<32x32xf32, #columns>
  %bits = tensor.splat %b : tensor<32x32xi1, #rows>
  // CHECK: arith.extui {{.*}}xi1, {{.*}} to tensor<32x32xi8
  // CHECK-NEXT: %[[B:.*]] = tile.alloc_smem : !tile.smem<32x32xi8, 32>
  // CHECK: arith.trunci
  %3 = tile.convert %bits : tensor<32x32xi1, #rows> -> tensor<32x32xi1, #columns>
  // Where neighbouring registers are in a column, columns lie in rows.
  // CHECK: tile.alloc_smem : !tile.smem<32x16xf32, 64>
  // CHECK-NEXT: tile.store {{.*}} transposed
  // CHECK-NEXT: tile.load {{.*}} transposed
  %columns = tensor.splat %x : tensor<16x32xf32, #down>
  %4 = tile.convert %columns : tensor<16x32xf32, #down> -> tensor<16x32xf32, #across>
  llvm.return
}
