// RUN: %lower %s -o %t.mlir
// RUN: %sm80 %t.mlir -o %t.80
// RUN: %sm90a %t.mlir -o %t.90

// Kernels on tiles without layouts, which the unit tests run (test/unit/GpuTileKernelsTest.cpp).

gpu.module @tiles {

// h = exp2(g) h + x along time for 64 channels a block, any number of tokens. Tokens that do not exist have g = x = 0, so they
// leave the state as it is.
llvm.func @recurrence(%g: !llvm.ptr<1>, %x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %last: !llvm.ptr<1>, %tokens: i64, %stride: i64)
    attributes {gpu.kernel, tile.warps = 2 : i32} {
  %c0 = arith.constant 0 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %block = nvvm.read.ptx.sreg.ctaid.x : i32
  %wide = arith.extui %block : i32 to i64
  %channel = arith.muli %wide, %c64 : i64
  %g0 = llvm.getelementptr %g[%channel] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %x0 = llvm.getelementptr %x[%channel] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %y0 = llvm.getelementptr %y[%channel] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %last0 = llvm.getelementptr %last[%channel] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %zero = arith.constant dense<0.0> : tensor<64xf32>
  %end = scf.for %token = %c0 to %tokens step %c16 iter_args(%h = %zero) -> (tensor<64xf32>) : i64 {
    %offset = arith.muli %token, %stride : i64
    %gt = llvm.getelementptr %g0[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %xt = llvm.getelementptr %x0[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %yt = llvm.getelementptr %y0[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %left = arith.subi %tokens, %token : i64
    %gates = tile.load_global %gt strides [%stride, 1] within [%left, 64] : tensor<16x64xf32>
    %inputs = tile.load_global %xt strides [%stride, 1] within [%left, 64] : tensor<16x64xf32>
    %decay = math.exp2 %gates : tensor<16x64xf32>
    %a, %b = tile.scan %decay, %inputs dim 0 {
    ^bb0(%a0: f32, %b0: f32, %a1: f32, %b1: f32):
      %aa = arith.mulf %a0, %a1 : f32
      %ab = arith.mulf %a1, %b0 fastmath<contract> : f32
      %bb = arith.addf %ab, %b1 fastmath<contract> : f32
      tile.yield %aa, %bb : f32, f32
    } : tensor<16x64xf32>, tensor<16x64xf32> -> tensor<16x64xf32>, tensor<16x64xf32>
    %before = tile.broadcast %h dim 0 : tensor<64xf32> -> tensor<16x64xf32>
    %carried = arith.mulf %a, %before fastmath<contract> : tensor<16x64xf32>
    %states = arith.addf %carried, %b fastmath<contract> : tensor<16x64xf32>
    tile.store_global %states to %yt strides [%stride, 1] within [%left, 64] : tensor<16x64xf32>
    %next = tile.pick %states dim 0 at 15 : tensor<16x64xf32> -> tensor<64xf32>
    scf.yield %next : tensor<64xf32>
  }
  tile.store_global %end to %last0 strides [1] within [64] align 16 : tensor<64xf32>
  llvm.return
}

// Softmax over the columns that exist, for the rows that exist.
llvm.func @softmax(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %rows: i64, %columns: i64, %stride: i64)
    attributes {gpu.kernel, tile.warps = 4 : i32} {
  %scores = tile.load_global %x strides [%stride, 1] within [%rows, %columns] : tensor<64x32xf32>
  %place = tile.iota dim 1 : tensor<64x32xi32>
  %narrow = arith.trunci %columns : i64 to i32
  %count = tensor.splat %narrow : tensor<64x32xi32>
  %exists = arith.cmpi slt, %place, %count : tensor<64x32xi32>
  %least = arith.constant dense<-1.0e30> : tensor<64x32xf32>
  %masked = arith.select %exists, %scores, %least : tensor<64x32xi1>, tensor<64x32xf32>
  %greatest = tile.reduce %masked dim 1 {
  ^bb0(%a: f32, %b: f32):
    %m = arith.maximumf %a, %b : f32
    tile.yield %m : f32
  } : tensor<64x32xf32> -> tensor<64xf32>
  %all = tile.broadcast %greatest dim 1 : tensor<64xf32> -> tensor<64x32xf32>
  %difference = arith.subf %masked, %all : tensor<64x32xf32>
  %weights = math.exp %difference : tensor<64x32xf32>
  %sum = tile.reduce %weights dim 1 {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    tile.yield %s : f32
  } : tensor<64x32xf32> -> tensor<64xf32>
  %sums = tile.broadcast %sum dim 1 : tensor<64xf32> -> tensor<64x32xf32>
  %result = arith.divf %weights, %sums : tensor<64x32xf32>
  tile.store_global %result to %y strides [%stride, 1] within [%rows, %columns] : tensor<64x32xf32>
  llvm.return
}

// C = A B for 64x64 matrices in bf16, through shared memory.
llvm.func @matmul(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) attributes {gpu.kernel, tile.warps = 4 : i32} {
  %sa = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  %sb = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  tile.copy_async %sa from %a strides [64, 1] within [64, 64] align 16 : !tile.smem<64x64xbf16, 128>
  tile.copy_async %sb from %b strides [64, 1] within [64, 64] align 16 : !tile.smem<64x64xbf16, 128>
  tile.commit
  tile.wait 0
  %ra = tile.load %sa : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  %rb = tile.load %sb : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %sum = tile.dot %ra, %rb, %zero : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
  tile.store_global %sum to %c strides [64, 1] within [64, 64] align 16 : tensor<64x64xf32>
  llvm.return
}

// O = causal(Q K') V, ragged: the first product is the second one's factor without leaving its registers, and V takes K's place.
llvm.func @pairs(%q: !llvm.ptr<1>, %k: !llvm.ptr<1>, %v: !llvm.ptr<1>, %o: !llvm.ptr<1>, %tokens: i64)
    attributes {gpu.kernel, tile.warps = 4 : i32} {
  %sq = tile.alloc_smem : !tile.smem<64x32xbf16, 64>
  %sk = tile.alloc_smem : !tile.smem<64x32xbf16, 64>
  %sv = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  tile.copy_async %sq from %q strides [32, 1] within [%tokens, 32] align 16 : !tile.smem<64x32xbf16, 64>
  tile.copy_async %sk from %k strides [32, 1] within [%tokens, 32] align 16 : !tile.smem<64x32xbf16, 64>
  tile.commit
  tile.wait 0
  %rq = tile.load %sq : !tile.smem<64x32xbf16, 64> -> tensor<64x32xbf16>
  %rk = tile.load %sk transposed : !tile.smem<64x32xbf16, 64> -> tensor<32x64xbf16>
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %scores = tile.dot %rq, %rk, %zero : tensor<64x32xbf16>, tensor<32x64xbf16> -> tensor<64x64xf32>
  %t = tile.iota dim 0 : tensor<64x64xi32>
  %s = tile.iota dim 1 : tensor<64x64xi32>
  %seen = arith.cmpi sge, %t, %s : tensor<64x64xi32>
  %causal = arith.select %seen, %scores, %zero : tensor<64x64xi1>, tensor<64x64xf32>
  %p = arith.truncf %causal : tensor<64x64xf32> to tensor<64x64xbf16>
  tile.copy_async %sv from %v strides [64, 1] within [%tokens, 64] align 16 : !tile.smem<64x64xbf16, 128>
  tile.commit
  tile.wait 0
  %rv = tile.load %sv : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
  %sum = tile.dot %p, %rv, %zero : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
  tile.store_global %sum to %o strides [64, 1] within [%tokens, 64] align 8 : tensor<64x64xf32>
  llvm.return
}

// Powers of a matrix in f32 (as tf32) and f16: sums become a first factor, and through shared memory a second one.
llvm.func @square(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) attributes {gpu.kernel, tile.warps = 2 : i32} {
  %zero = arith.constant dense<0.0> : tensor<32x32xf32>
  %x = tile.load_global %a strides [32, 1] within [32, 32] align 16 : tensor<32x32xf32>
  %square = tile.dot %x, %x, %zero : tensor<32x32xf32>, tensor<32x32xf32> -> tensor<32x32xf32>
  %transposed = tile.transpose %square : tensor<32x32xf32> -> tensor<32x32xf32>
  tile.store_global %transposed to %b strides [32, 1] within [32, 32] : tensor<32x32xf32>
  %half = arith.truncf %square : tensor<32x32xf32> to tensor<32x32xf16>
  %fourth = tile.dot %half, %half, %zero : tensor<32x32xf16>, tensor<32x32xf16> -> tensor<32x32xf32>
  tile.store_global %fourth to %c strides [32, 1] within [32, 32] : tensor<32x32xf32>
  llvm.return
}

// The inverse of 1 - M, and x = b + M x for two right sides that depend on each other, of the rows that exist. What M has on and above
// the diagonal does not count.
llvm.func @solve(%m: !llvm.ptr<1>, %b: !llvm.ptr<1>, %inverse: !llvm.ptr<1>, %x: !llvm.ptr<1>, %rows: i64) attributes {gpu.kernel, tile.warps = 4 : i32} {
  %row = tile.iota dim 0 : tensor<32x32xi32>
  %column = tile.iota dim 1 : tensor<32x32xi32>
  %diagonal = arith.cmpi eq, %row, %column : tensor<32x32xi32>
  %zero = arith.constant dense<0.0> : tensor<32x32xf32>
  %one = arith.constant dense<1.0> : tensor<32x32xf32>
  %identity = arith.select %diagonal, %one, %zero : tensor<32x32xi1>, tensor<32x32xf32>
  %m0 = tile.load_global %m strides [32, 1] within [%rows, 32] : tensor<32x32xf32>
  %p1 = llvm.getelementptr %m[1024] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %p2 = llvm.getelementptr %m[2048] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %p3 = llvm.getelementptr %m[3072] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %m1 = tile.load_global %p1 strides [32, 1] within [%rows, 32] : tensor<32x32xf32>
  %m2 = tile.load_global %p2 strides [32, 1] within [%rows, 32] : tensor<32x32xf32>
  %m3 = tile.load_global %p3 strides [32, 1] within [%rows, 32] : tensor<32x32xf32>
  %i = tile.solve %identity by %m0 : tensor<32x32xf32> by tensor<32x32xf32> -> tensor<32x32xf32>
  tile.store_global %i to %inverse strides [32, 1] within [32, 32] : tensor<32x32xf32>
  %pb = llvm.getelementptr %b[2048] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  %b0 = tile.load_global %b strides [64, 1] within [%rows, 64] : tensor<32x64xf32>
  %b1 = tile.load_global %pb strides [64, 1] within [%rows, 64] : tensor<32x64xf32>
  %s:2 = tile.solve %b0, %b1 by %m0, %m1, %m2, %m3 within %rows : tensor<32x64xf32>, tensor<32x64xf32>
      by tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32> -> tensor<32x64xf32>, tensor<32x64xf32>
  tile.store_global %s#0 to %x strides [64, 1] within [%rows, 64] : tensor<32x64xf32>
  %px = llvm.getelementptr %x[2048] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  tile.store_global %s#1 to %px strides [64, 1] within [%rows, 64] : tensor<32x64xf32>
  llvm.return
}

// Power iteration: h = w h / sum |w h| for 128 lanes, w stored with columns behind each other. Each lane goes over what all lanes
// have, in shared memory; what is left of a vector is a scalar.
llvm.func @power(%w: !llvm.ptr<1>, %x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %steps: i64) attributes {gpu.kernel, tile.warps = 4 : i32} {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c128 = arith.constant 128 : i64
  %zero = arith.constant dense<0.0> : tensor<128xf32>
  %row = tile.alloc_smem : !tile.smem<128xf32>
  %first = tile.load_global %x strides [1] within [128] : tensor<128xf32>
  %last = scf.for %step = %c0 to %steps step %c1 iter_args(%h = %first) -> (tensor<128xf32>) : i64 {
    tile.store %h to %row : tensor<128xf32> -> !tile.smem<128xf32>
    // Here, or there were one in each iteration.
    tile.barrier
    %product = scf.for %j = %c0 to %c128 step %c1 iter_args(%sum = %zero) -> (tensor<128xf32>) : i64 {
      %offset = arith.muli %j, %c128 : i64
      %wj = llvm.getelementptr %w[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      %column = tile.load_global %wj strides [1] within [128] : tensor<128xf32>
      %hj = tile.load_element %row at %j : !tile.smem<128xf32> -> f32
      %all = tensor.splat %hj : tensor<128xf32>
      %term = arith.mulf %column, %all : tensor<128xf32>
      %next = arith.addf %sum, %term : tensor<128xf32>
      scf.yield %next : tensor<128xf32>
    }
    %absolute = math.absf %product : tensor<128xf32>
    %norm = tile.reduce %absolute dim 0 {
    ^bb0(%u: f32, %v: f32):
      %s = arith.addf %u, %v : f32
      tile.yield %s : f32
    } : tensor<128xf32> -> f32
    %divisor = tensor.splat %norm : tensor<128xf32>
    %unit = arith.divf %product, %divisor : tensor<128xf32>
    scf.yield %unit : tensor<128xf32>
  }
  tile.store_global %last to %y strides [1] within [128] : tensor<128xf32>
  llvm.return
}

}
