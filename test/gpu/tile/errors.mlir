// RUN: seq-opt %s -split-input-file -tile-to-nvvm -verify-diagnostics

llvm.func @no_layout(%x: !llvm.ptr<1>) attributes {tile.warps = 2 : i32} {
  // expected-error@below {{has a tile without layout: tile-assign-layouts has not run}}
  %t = tile.load_global %x strides [1] within [64] : tensor<64xf32>
  llvm.return
}

// -----

llvm.func @no_place() attributes {tile.warps = 2 : i32} {
  // expected-error@below {{has no place in shared memory: tile-allocate-shared has not run}}
  %t = tile.alloc_smem : !tile.smem<64xf32>
  llvm.return
}

// -----

#line = #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [16]], warps = []>
llvm.func @no_function(%x: f32) attributes {tile.warps = 1 : i32} {
  %t = tensor.splat %x : tensor<32xf32, #line>
  // expected-error@below {{this function has no lowering for GPUs}}
  // expected-error@below {{failed to legalize operation 'math.atan2'}}
  %u = math.atan2 %t, %t : tensor<32xf32, #line>
  llvm.return
}
