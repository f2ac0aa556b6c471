// RUN: seq-opt %s | seq-opt | FileCheck %s

#sums = #tile.layout<registers = [[0, 1], [8, 0]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = [[0, 0]]>
#rows = #tile.layout<registers = [[8]], lanes = [[0], [0], [1], [2], [4]], warps = [[0]]>
#columns = #tile.layout<registers = [[1]], lanes = [[2], [4], [0], [0], [0]], warps = [[0]]>
#turned = #tile.layout<registers = [[1, 0], [0, 8]], lanes = [[2, 0], [4, 0], [0, 1], [0, 2], [0, 4]], warps = [[0, 0]]>

// CHECK: #[[SUMS:.*]] = #tile.layout<registers = {{\[\[}}0, 1], [8, 0]], lanes = {{\[\[}}0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = {{\[\[}}0, 0]]>
// CHECK-LABEL: llvm.func @without_layouts
llvm.func @without_layouts(%x: !llvm.ptr<1>, %n: i64, %s: i64) attributes {tile.warps = 4 : i32} {
  // CHECK: tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  %shared = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  // CHECK: tile.alloc_smem at 8192 : !tile.smem<64xf32>
  %line = tile.alloc_smem at 8192 : !tile.smem<64xf32>
  // CHECK: tile.copy_async %{{.*}} from %{{.*}} strides [%{{.*}}, 1] within [%{{.*}}, 64] align 16 : !tile.smem<64x64xbf16, 128>
  tile.copy_async %shared from %x strides [%s, 1] within [%n, 64] align 16 : !tile.smem<64x64xbf16, 128>
  // CHECK: tile.commit
  tile.commit
  // CHECK: tile.wait 0
  tile.wait 0
  // CHECK: tile.barrier
  tile.barrier
  // CHECK: tile.load %{{.*}} : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  %a = tile.load %shared : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  // CHECK: tile.load %{{.*}} transposed : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  %b = tile.load %shared transposed : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  // CHECK: tile.load_global %{{.*}} strides [64, 1] within [64, 64] : tensor<64x64xf32>
  %c = tile.load_global %x strides [64, 1] within [64, 64] : tensor<64x64xf32>
  // CHECK: tile.dot %{{.*}}, %{{.*}}, %{{.*}} : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
  %d = tile.dot %a, %b, %c : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
  // CHECK: tile.reduce %{{.*}} dim 1 {
  %e = tile.reduce %d dim 1 {
  ^bb0(%u: f32, %v: f32):
    %w = arith.addf %u, %v : f32
    // CHECK: tile.yield %{{.*}} : f32
    tile.yield %w : f32
  // CHECK: } : tensor<64x64xf32> -> tensor<64xf32>
  } : tensor<64x64xf32> -> tensor<64xf32>
  // CHECK: tile.scan %{{.*}} dim 0 reverse {
  %f = tile.scan %e dim 0 reverse {
  ^bb0(%u: f32, %v: f32):
    %w = arith.addf %u, %v : f32
    tile.yield %w : f32
  } : tensor<64xf32> -> tensor<64xf32>
  // CHECK: tile.store %{{.*}} to %{{.*}} : tensor<64xf32> -> !tile.smem<64xf32>
  tile.store %f to %line : tensor<64xf32> -> !tile.smem<64xf32>
  // CHECK: tile.load_element %{{.*}} at %{{.*}} : !tile.smem<64xf32> -> f32
  %element = tile.load_element %line at %n : !tile.smem<64xf32> -> f32
  %matrix = tile.alloc_smem : !tile.smem<16x64xf32>
  // CHECK: tile.load_line %{{.*}} at %{{.*}} : !tile.smem<16x64xf32> -> tensor<64xf32>
  %row = tile.load_line %matrix at %n : !tile.smem<16x64xf32> -> tensor<64xf32>
  // CHECK: tile.scatter %{{.*}} to %{{.*}} at %{{.*}} where %{{.*}} : tensor<64xf32>, tensor<64xi32>, tensor<64xi1>
  %places = tile.iota dim 0 : tensor<64xi32>
  %all = arith.constant dense<true> : tensor<64xi1>
  tile.scatter %row to %x at %places where %all : tensor<64xf32>, tensor<64xi32>, tensor<64xi1>
  // CHECK: tile.load %{{.*}} part %{{.*}} transposed : !tile.smem<16x64xf32> -> tensor<64x8xf32>
  %part = tile.load %matrix part %n transposed : !tile.smem<16x64xf32> -> tensor<64x8xf32>
  // CHECK: tile.reduce %{{.*}} dim 0 {
  %total = tile.reduce %f dim 0 {
  ^bb0(%u: f32, %v: f32):
    %w = arith.addf %u, %v : f32
    tile.yield %w : f32
  // CHECK: } : tensor<64xf32> -> f32
  } : tensor<64xf32> -> f32
  // CHECK: tile.pick %{{.*}} dim 0 at 63 : tensor<64x64xf32> -> tensor<64xf32>
  %g = tile.pick %d dim 0 at 63 : tensor<64x64xf32> -> tensor<64xf32>
  // CHECK: tile.iota dim 1 : tensor<64x64xi32>
  %h = tile.iota dim 1 : tensor<64x64xi32>
  %yes = arith.constant dense<true> : tensor<64x64xi1>
  // CHECK: tile.gather %{{.*}} at %{{.*}} where %{{.*}} : tensor<64x64xi32>, tensor<64x64xi1> -> tensor<64x64xf32>
  %gathered = tile.gather %x at %h where %yes : tensor<64x64xi32>, tensor<64x64xi1> -> tensor<64x64xf32>
  // CHECK: tile.solve %{{.*}} by %{{.*}} within %{{.*}} : tensor<64x64xf32> by tensor<64x64xf32> -> tensor<64x64xf32>
  %solved = tile.solve %gathered by %gathered within %n : tensor<64x64xf32> by tensor<64x64xf32> -> tensor<64x64xf32>
  // CHECK: tile.store_global %{{.*}} to %{{.*}} strides [1] within [64] align 4 : tensor<64xf32>
  tile.store_global %g to %x strides [1] within [64] align 4 : tensor<64xf32>
  llvm.return
}

// CHECK-LABEL: llvm.func @with_layouts
llvm.func @with_layouts(%row: f32) attributes {tile.warps = 2 : i32} {
  // CHECK: tensor.splat %{{.*}} : tensor<16xf32, #{{.*}}>
  %rows = tensor.splat %row : tensor<16xf32, #rows>
  // CHECK: tile.broadcast %{{.*}} dim 1 : tensor<16xf32, #{{.*}}> -> tensor<16x8xf32, #[[SUMS]]>
  %sums = tile.broadcast %rows dim 1 : tensor<16xf32, #rows> -> tensor<16x8xf32, #sums>
  // CHECK: tile.pick
  %columns = tile.pick %sums dim 0 at 9 : tensor<16x8xf32, #sums> -> tensor<8xf32, #columns>
  // CHECK: tile.transpose %{{.*}} : tensor<16x8xf32, #[[SUMS]]> -> tensor<8x16xf32, #{{.*}}>
  %turned = tile.transpose %sums : tensor<16x8xf32, #sums> -> tensor<8x16xf32, #turned>
  // CHECK: tile.convert
  %square = tensor.splat %row : tensor<8x16xf32, #tile.layout<registers = [[4, 0], [0, 8]], lanes = [[1, 0], [2, 0], [0, 1], [0, 2], [0, 4]], warps = [[0, 0]]>>
  %moved = tile.convert %square : tensor<8x16xf32, #tile.layout<registers = [[4, 0], [0, 8]], lanes = [[1, 0], [2, 0], [0, 1], [0, 2], [0, 4]], warps = [[0, 0]]>> -> tensor<8x16xf32, #turned>
  llvm.return
}
