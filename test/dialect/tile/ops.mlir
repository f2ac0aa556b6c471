// RUN: seq-opt %s -split-input-file -verify-diagnostics

func.func @k(%x: !llvm.ptr<1>) {
  // c7
  // expected-error@below {{has a stride and an extent for each dim of its tile}}
  %t = tile.load_global %x strides [1] within [64, 64] : tensor<64x64xf32>
  return
}

// -----

func.func @k(%x: !llvm.ptr<1>, %t: tensor<64xf32>) {
  // c7
  // expected-error@below {{has constant extents from one up to those of the tile}}
  tile.store_global %t to %x strides [1] within [65] : tensor<64xf32>
  return
}

// -----

func.func @k(%x: !llvm.ptr<1>, %t: !tile.smem<64x64xbf16>) {
  // c8
  // expected-error@below {{copies rows of multiples of 16 bytes that are aligned to 16 bytes}}
  tile.copy_async %t from %x strides [64, 1] within [64, 64] align 8 : !tile.smem<64x64xbf16>
  return
}

// -----

func.func @k() {
  // c9
  // expected-error@below {{has an offset that its swizzle does not allow}}
  %t = tile.alloc_smem at 512 : !tile.smem<64x64xbf16, 128>
  return
}

// -----

func.func @k(%t: !tile.smem<64x32xbf16>) {
  // c10
  // expected-error@below {{is between tiles of the same shape and elements}}
  %x = tile.load %t transposed : !tile.smem<64x32xbf16> -> tensor<64x32xbf16>
  return
}

// -----

func.func @k(%v: tensor<64xf32>, %base: !llvm.ptr<1>, %at: tensor<32xi32>, %where: tensor<64xi1>) {
  // c23
  // expected-error@below {{has a value, offsets in i32 or i64 and conditions in i1 of one shape and layout}}
  tile.scatter %v to %base at %at where %where : tensor<64xf32>, tensor<32xi32>, tensor<64xi1>
  return
}

// -----

func.func @k(%t: !tile.smem<64x32xbf16>, %i: i64) {
  // c10
  // expected-error@below {{loads a part of a matrix: some of its rows, of a multiple of eight}}
  %x = tile.load %t part %i : !tile.smem<64x32xbf16> -> tensor<16x16xbf16>
  return
}

// -----

func.func @k(%a: tensor<64x32xbf16>, %b: tensor<64x64xbf16>, %c: tensor<64x64xf32>) {
  // c11
  // expected-error@below {{has matrices whose shapes do not fit}}
  %x = tile.dot %a, %b, %c : tensor<64x32xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
  return
}

// -----

func.func @k(%a: tensor<64x32xbf16>, %b: tensor<32x64xf16>, %c: tensor<64x64xf32>) {
  // c11
  // expected-error@below {{has factors in bf16, f16 or f32 and sums in f32}}
  %x = tile.dot %a, %b, %c : tensor<64x32xbf16>, tensor<32x64xf16> -> tensor<64x64xf32>
  return
}

// -----

func.func @k(%a: tensor<64x8xbf16>, %b: tensor<8x64xbf16>, %c: tensor<64x64xf32>) {
  // c11
  // expected-error@below {{is smaller than what the tensor cores multiply}}
  %x = tile.dot %a, %b, %c : tensor<64x8xbf16>, tensor<8x64xbf16> -> tensor<64x64xf32>
  return
}

// -----

#sums = #tile.layout<registers = [[0, 1], [8, 0]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = []>
func.func @k(%a: tensor<16x16xbf16>, %b: tensor<16x8xbf16>, %c: tensor<16x8xf32, #sums>) {
  // c12
  // expected-error@below {{has layouts that are not those of the tensor cores}}
  %x = tile.dot %a, %b, %c : tensor<16x16xbf16>, tensor<16x8xbf16> -> tensor<16x8xf32, #sums>
  return
}

// -----

func.func @k(%a: tensor<16x16xf32>) {
  // c13
  // expected-error@below {{has no such dim}}
  %x = tile.pick %a dim 2 at 0 : tensor<16x16xf32> -> tensor<16xf32>
  return
}

// -----

func.func @k(%a: tensor<16x16xf32>) {
  // c13
  // expected-error@below {{has outputs that do not fit its inputs}}
  %x = tile.pick %a dim 1 at 0 : tensor<16x16xf32> -> tensor<8xf32>
  return
}

// -----

#split = #tile.layout<registers = [], lanes = [[1], [2], [4], [8], [16]], warps = [[32]]>
func.func @k(%a: tensor<64xf32, #split>) {
  // c14
  // expected-error@below {{combines along a dim that is split over warps}}
  %x = tile.scan %a dim 0 {
  ^bb0(%u: f32, %v: f32):
    %w = arith.addf %u, %v : f32
    tile.yield %w : f32
  } : tensor<64xf32, #split> -> tensor<64xf32, #split>
  return
}

// -----

#sums = #tile.layout<registers = [[0, 1], [8, 0]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = []>
#other = #tile.layout<registers = [], lanes = [[8], [0], [1], [2], [4]], warps = []>
func.func @k(%a: tensor<16x8xf32, #sums>) {
  // c14
  // expected-error@below {{has outputs that do not have the slice of its inputs' layout}}
  %x = tile.pick %a dim 1 at 0 : tensor<16x8xf32, #sums> -> tensor<16xf32, #other>
  return
}

// -----

func.func @k(%a: tensor<16x16xf32>) {
  // c15
  // expected-error@below {{has a region that does not take two scalars for each input and yield one}}
  %x = tile.reduce %a dim 1 {
  ^bb0(%u: f32):
    tile.yield %u : f32
  } : tensor<16x16xf32> -> tensor<16xf32>
  return
}

// -----

func.func @k(%a: tensor<16x16xf32>) {
  // c16
  // expected-error@below {{has a place outside of its dim}}
  %x = tile.pick %a dim 1 at 16 : tensor<16x16xf32> -> tensor<16xf32>
  return
}

// -----

func.func @k(%a: tensor<16xf32>) {
  // c17
  // expected-error@below {{adds its dim to the shape of its value}}
  %x = tile.broadcast %a dim 0 : tensor<16xf32> -> tensor<16x8xf32>
  return
}

// -----

#sums = #tile.layout<registers = [[0, 1], [8, 0]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = []>
#other = #tile.layout<registers = [], lanes = [[8], [0], [1], [2], [4]], warps = []>
func.func @k(%a: tensor<16xf32, #other>) {
  // c17
  // expected-error@below {{has a value that does not have the slice of its result's layout}}
  %x = tile.broadcast %a dim 1 : tensor<16xf32, #other> -> tensor<16x8xf32, #sums>
  return
}

// -----

func.func @k(%a: tensor<16x8xf32>) {
  // c18
  // expected-error@below {{exchanges two dims}}
  %x = tile.transpose %a : tensor<16x8xf32> -> tensor<16x8xf32>
  return
}

// -----

#sums = #tile.layout<registers = [[0, 1], [8, 0]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = []>
#wrong = #tile.layout<registers = [[0, 8], [1, 0]], lanes = [[2, 0], [4, 0], [0, 1], [0, 2], [0, 4]], warps = []>
func.func @k(%a: tensor<16x8xf32, #sums>) {
  // c18
  // expected-error@below {{has a result that does not have the transposed layout}}
  %x = tile.transpose %a : tensor<16x8xf32, #sums> -> tensor<8x16xf32, #wrong>
  return
}

// -----

func.func @k(%a: tensor<16x8xf32>) {
  // c19
  // expected-error@below {{is between two layouts of the same tile}}
  %x = tile.convert %a : tensor<16x8xf32> -> tensor<16x8xf32>
  return
}

// -----

func.func @k() {
  // c20
  // expected-error@below {{makes i32 along one of its dims}}
  %x = tile.iota dim 1 : tensor<16xi32>
  return
}

// -----

func.func @k(%p: !llvm.ptr<1>, %a: tensor<16xi16>, %e: tensor<16xi1>) {
  // c21
  // expected-error@below {{has offsets in i32 or i64, conditions in i1 and a result of one shape and layout}}
  %x = tile.gather %p at %a where %e : tensor<16xi16>, tensor<16xi1> -> tensor<16xf32>
  return
}

// -----

func.func @k(%b: tensor<16x64xf32>, %m: tensor<32x32xf32>) {
  // c22
  // expected-error@below {{has n right sides and results of one type and n x n square matrices of their rows, all of the same reals}}
  %x = tile.solve %b by %m : tensor<16x64xf32> by tensor<32x32xf32> -> tensor<16x64xf32>
  return
}

// -----

func.func @k(%a: !tile.smem<16x16xf32>, %i: i64) {
  // c10
  // expected-error@below {{loads an element of a vector}}
  %x = tile.load_element %a at %i : !tile.smem<16x16xf32> -> f32
  return
}

// -----

func.func @k(%a: !tile.smem<16x32xf32, 128>, %i: i64) {
  // c10
  // expected-error@below {{loads a line of a matrix without a swizzle}}
  %x = tile.load_line %a at %i : !tile.smem<16x32xf32, 128> -> tensor<32xf32>
  return
}

// -----

func.func @k(%a: tensor<16xf32>) {
  // c13
  // expected-error@below {{has outputs that do not fit its inputs}}
  %x = tile.reduce %a dim 0 {
  ^bb0(%u: f32, %v: f32):
    %w = arith.addf %u, %v : f32
    tile.yield %w : f32
  } : tensor<16xf32> -> tensor<1xf32>
  return
}
