// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c1
// expected-error@below {{has tile.warps, which is a power of two up to 32 and stands on an llvm.func}}
llvm.func @k() attributes {tile.warps = 3 : i32} {
  llvm.return
}

// -----

// c2
// expected-error@below {{a tile with a layout has one or two dims that are powers of two}}
llvm.func @k(%x: tensor<48xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [16]], warps = []>>) {
  llvm.return
}

// -----

// c3
// expected-error@below {{a layout has 5 bases of lanes, and coordinates as the tile has dims}}
llvm.func @k(%x: tensor<16xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8]], warps = []>>) {
  llvm.return
}

// -----

// c3
// expected-error@below {{a layout has 5 bases of lanes, and coordinates as the tile has dims}}
llvm.func @k(%x: tensor<8x4xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [16]], warps = []>>) {
  llvm.return
}

// -----

// c4
// expected-error@below {{a base of the layout is outside of the tile}}
llvm.func @k(%x: tensor<32xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [32]], warps = []>>) {
  llvm.return
}

// -----

// c4
// expected-error@below {{bases of a layout are different bits of coordinates, or zero for copies}}
llvm.func @k(%x: tensor<32xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [24]], warps = []>>) {
  llvm.return
}

// -----

// c4
// expected-error@below {{bases of a layout are different bits of coordinates, or zero for copies}}
llvm.func @k(%x: tensor<32xf32, #tile.layout<registers = [[0]], lanes = [[1], [2], [4], [8], [16]], warps = []>>) {
  llvm.return
}

// -----

// c4
// expected-error@below {{the layout has no place for some elements}}
llvm.func @k(%x: tensor<32xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [0]], warps = []>>) {
  llvm.return
}

// -----

// c5
// expected-error@below {{one or two dims that are powers of two and elements of whole bytes}}
llvm.func @k(%x: !tile.smem<64x60xf32>) {
  llvm.return
}

// -----

// c5
// expected-error@below {{a swizzle is of 0, 32, 64 or 128 bytes}}
llvm.func @k(%x: !tile.smem<64x64xf32, 256>) {
  llvm.return
}

// -----

// c5
// expected-error@below {{a row is shorter than its swizzle}}
llvm.func @k(%x: !tile.smem<64x32xbf16, 128>) {
  llvm.return
}

// -----

// c6
llvm.func @k(%x: f32) attributes {tile.warps = 4 : i32} {
  // expected-error@below {{has a layout for 1 warps in a kernel with 4}}
  %t = tensor.splat %x : tensor<32xf32, #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [16]], warps = []>>
  llvm.return
}
