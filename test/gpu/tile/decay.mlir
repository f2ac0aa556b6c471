// RUN: %lower %s -o %t.mlir
// RUN: %sm80 %t.mlir -o %t.80
// RUN: %sm90a %t.mlir -o %t.90

// A recurrence of matrices, S = exp2(g) S + k v', o = q S, in blocks of 64 tokens; a block of threads for each head. The state is kept
// transposed in the sums of products, V x K, with warps along V: so it is the first factor of o' = S' q' as it is, and what v' is multiplied
// with for o is for S, too. Only the scores change their warps.

gpu.module @decay {

llvm.func @decay(%q: !llvm.ptr<1>, %k: !llvm.ptr<1>, %v: !llvm.ptr<1>, %g: !llvm.ptr<1>, %o: !llvm.ptr<1>, %end: !llvm.ptr<1>,
                 %tokens: i64, %heads: i64) attributes {gpu.kernel, tile.warps = 4 : i32} {
  %c0 = arith.constant 0 : i64
  %c64 = arith.constant 64 : i64
  %c4096 = arith.constant 4096 : i64
  %block = nvvm.read.ptx.sreg.ctaid.x : i32
  %head = arith.extui %block : i32 to i64
  %first = arith.muli %head, %c64 : i64
  %stride = arith.muli %heads, %c64 : i64
  %g0 = llvm.getelementptr %g[%head] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %sq = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  %sk = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  %sv = tile.alloc_smem : !tile.smem<64x64xbf16, 128>
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %none = arith.constant dense<-1.0e30> : tensor<64x64xf32>
  %state = scf.for %token = %c0 to %tokens step %c64 iter_args(%before = %zero) -> (tensor<64x64xf32>) : i64 {
    %left = arith.subi %tokens, %token : i64
    %line = arith.muli %token, %stride : i64
    %offset = arith.addi %line, %first : i64
    %qt = llvm.getelementptr %q[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %kt = llvm.getelementptr %k[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %vt = llvm.getelementptr %v[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %ot = llvm.getelementptr %o[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    tile.copy_async %sq from %qt strides [%stride, 1] within [%left, 64] align 16 : !tile.smem<64x64xbf16, 128>
    tile.copy_async %sk from %kt strides [%stride, 1] within [%left, 64] align 16 : !tile.smem<64x64xbf16, 128>
    tile.copy_async %sv from %vt strides [%stride, 1] within [%left, 64] align 16 : !tile.smem<64x64xbf16, 128>
    tile.commit

    // Sums of the logarithms of decays up to each token, from behind it on, and of all. Tokens that do not exist have none.
    %gline = arith.muli %token, %heads : i64
    %gt = llvm.getelementptr %g0[%gline] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %gates = tile.load_global %gt strides [%heads] within [%left] : tensor<64xf32>
    %upto = tile.scan %gates dim 0 {
    ^bb0(%a: f32, %b: f32):
      %c = arith.addf %a, %b : f32
      tile.yield %c : f32
    } : tensor<64xf32> -> tensor<64xf32>
    %from = tile.scan %gates dim 0 reverse {
    ^bb0(%a: f32, %b: f32):
      %c = arith.addf %b, %a : f32
      tile.yield %c : f32
    } : tensor<64xf32> -> tensor<64xf32>
    %behind = arith.subf %from, %gates : tensor<64xf32>
    %spread = tile.broadcast %from dim 1 : tensor<64xf32> -> tensor<64x64xf32>
    %all = tile.pick %spread dim 0 at 0 : tensor<64x64xf32> -> tensor<64xf32>

    // Scores, with the decay between the two tokens; the exponent is masked, not the product.
    tile.wait 0
    %rq = tile.load %sq : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
    %rkt = tile.load %sk transposed : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
    %scores = tile.dot %rq, %rkt, %zero : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
    %bt = tile.broadcast %upto dim 1 : tensor<64xf32> -> tensor<64x64xf32>
    %bs = tile.broadcast %upto dim 0 : tensor<64xf32> -> tensor<64x64xf32>
    %difference = arith.subf %bt, %bs : tensor<64x64xf32>
    %t = tile.iota dim 0 : tensor<64x64xi32>
    %s = tile.iota dim 1 : tensor<64x64xi32>
    %seen = arith.cmpi sge, %t, %s : tensor<64x64xi32>
    %exponent = arith.select %seen, %difference, %none : tensor<64x64xi1>, tensor<64x64xf32>
    %decays = math.exp2 %exponent : tensor<64x64xf32>
    %weighted = arith.mulf %scores, %decays : tensor<64x64xf32>
    %p = arith.truncf %weighted : tensor<64x64xf32> to tensor<64x64xbf16>
    %pt = tile.transpose %p : tensor<64x64xbf16> -> tensor<64x64xbf16>

    // Outputs, V x tokens: of earlier blocks by the state, of this one by the scores.
    %narrow = arith.truncf %before : tensor<64x64xf32> to tensor<64x64xbf16>
    %rqt = tile.load %sq transposed : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
    %earlier = tile.dot %narrow, %rqt, %zero : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
    %ebt = math.exp2 %upto : tensor<64xf32>
    %columns = tile.broadcast %ebt dim 0 : tensor<64xf32> -> tensor<64x64xf32>
    %scaled = arith.mulf %earlier, %columns : tensor<64x64xf32>
    %rvt = tile.load %sv transposed : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
    %outputs = tile.dot %rvt, %pt, %scaled : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
    tile.store_global %outputs to %ot strides [1, %stride] within [64, %left] align 16 : tensor<64x64xf32>

    // The state behind this block.
    %ebehind = math.exp2 %behind : tensor<64xf32>
    %later = tile.broadcast %ebehind dim 0 : tensor<64xf32> -> tensor<64x64xf32>
    %wide = arith.extf %rvt : tensor<64x64xbf16> to tensor<64x64xf32>
    %left_over = arith.mulf %wide, %later : tensor<64x64xf32>
    %values = arith.truncf %left_over : tensor<64x64xf32> to tensor<64x64xbf16>
    %eall = math.exp2 %all : tensor<64xf32>
    %every = tile.broadcast %eall dim 0 : tensor<64xf32> -> tensor<64x64xf32>
    %kept = arith.mulf %before, %every : tensor<64x64xf32>
    %rk = tile.load %sk : !tile.smem<64x64xbf16, 128> -> tensor<64x64xbf16>
    %after = tile.dot %values, %rk, %kept : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
    scf.yield %after : tensor<64x64xf32>
  }
  %offset = arith.muli %head, %c4096 : i64
  %to = llvm.getelementptr %end[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  tile.store_global %state to %to strides [1, 64] within [64, 64] align 16 : tensor<64x64xf32>
  llvm.return
}

}
