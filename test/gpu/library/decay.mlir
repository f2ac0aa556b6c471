// RUN: mlir-opt %s --convert-scf-to-cf --convert-arith-to-llvm --convert-cf-to-llvm --reconcile-unrealized-casts \
// RUN:   --nvvm-attach-target="chip=sm_80 features=+ptx80" --gpu-module-to-binary=format=isa | FileCheck %s
// CHECK: .visible .entry summaries({{.*}}.visible .entry join({{.*}}.visible .entry scan({{.*}}.visible .entry advance(

// The kernels of a mixer that stands for any recurrence of a matrix state's class, as a compiler would write them:
//     S[t,i] = g[t] S[t-1,i] + x[t,i],  y[t,i] = S[t,i],  over batch dims B, H (g per B, H/2) and i in K = 32
// A block is a warp for one sequence and head; a lane has one i. With segments, `summaries` leaves what a segment does to
// the state (its sum from zero, and the product of its gates), `join` makes the state in front of each segment of it, and
// `scan` starts from there.
//
// Slots of the frame: [0] segments, [1] bits of lengths, [2] their stride, [8..11] extents of B, H, T, K, [12..15] strides of x (B, T, H, K),
// [16..18] of g (B, T, H/2), [19..22] of y, [23..25] and [26..28] of the state on the sides that are read and written, [29] and [30] of the position.

gpu.module @decay {

llvm.func @slot(%frame: !llvm.ptr, %index: i64) -> i64 {
  %p = llvm.getelementptr %frame[%index] : (!llvm.ptr, i64) -> !llvm.ptr, i64
  %v = llvm.load %p : !llvm.ptr -> i64
  llvm.return %v : i64
}

llvm.func @element(%base: !llvm.ptr<1>, %offset: i64) -> f32 {
  %p = llvm.getelementptr %base[%offset] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %v = llvm.load %p : !llvm.ptr<1> -> f32
  llvm.return %v : f32
}

// An entry of cu_seqlens, of either width.
llvm.func @ends(%seqlens: !llvm.ptr<1>, %bits: i64, %index: i64) -> i64 {
  %c32 = arith.constant 32 : i64
  %narrow = arith.cmpi eq, %bits, %c32 : i64
  %r = scf.if %narrow -> i64 {
    %p = llvm.getelementptr %seqlens[%index] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
    %v = llvm.load %p : !llvm.ptr<1> -> i32
    %w = arith.extsi %v : i32 to i64
    scf.yield %w : i64
  } else {
    %p = llvm.getelementptr %seqlens[%index] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i64
    %v = llvm.load %p : !llvm.ptr<1> -> i64
    scf.yield %v : i64
  }
  llvm.return %r : i64
}

// The element of B and of H that a block has, its lane, and the offsets of its first token in x, g and y; then its tokens.
llvm.func @locate(%frame: !llvm.ptr, %seqlens: !llvm.ptr<1>) -> !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)> {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %block32 = nvvm.read.ptx.sreg.ctaid.x : i32
  %block = arith.extui %block32 : i32 to i64
  %lane32 = nvvm.read.ptx.sreg.tid.x : i32
  %lane = arith.extui %lane32 : i32 to i64
  %i9 = arith.constant 9 : i64
  %heads = llvm.call @slot(%frame, %i9) : (!llvm.ptr, i64) -> i64
  %b = arith.divui %block, %heads : i64
  %h = arith.remui %block, %heads : i64
  %bits = llvm.call @slot(%frame, %c1) : (!llvm.ptr, i64) -> i64
  %packed = arith.cmpi ne, %bits, %c0 : i64
  %i10 = arith.constant 10 : i64
  %all = llvm.call @slot(%frame, %i10) : (!llvm.ptr, i64) -> i64
  %row, %batch, %tokens = scf.if %packed -> (i64, i64, i64) {
    %stride = llvm.call @slot(%frame, %c2) : (!llvm.ptr, i64) -> i64
    %at = arith.muli %b, %stride : i64
    %behind = arith.addi %at, %stride : i64
    %begin = llvm.call @ends(%seqlens, %bits, %at) : (!llvm.ptr<1>, i64, i64) -> i64
    %end = llvm.call @ends(%seqlens, %bits, %behind) : (!llvm.ptr<1>, i64, i64) -> i64
    %count = arith.subi %end, %begin : i64
    scf.yield %begin, %c0, %count : i64, i64, i64
  } else {
    scf.yield %c0, %b, %all : i64, i64, i64
  }
  // The segment's part of the tokens.
  %segments = llvm.call @slot(%frame, %c0) : (!llvm.ptr, i64) -> i64
  %segment32 = nvvm.read.ptx.sreg.ctaid.y : i32
  %segment = arith.extui %segment32 : i32 to i64
  %more = arith.addi %tokens, %segments : i64
  %rounded = arith.subi %more, %c1 : i64
  %each = arith.divui %rounded, %segments : i64
  %wanted = arith.muli %segment, %each : i64
  %first = arith.minui %wanted, %tokens : i64
  %left = arith.subi %tokens, %first : i64
  %own = arith.minui %left, %each : i64
  %start = arith.addi %row, %first : i64
  %i12 = arith.constant 12 : i64
  %i13 = arith.constant 13 : i64
  %i14 = arith.constant 14 : i64
  %i15 = arith.constant 15 : i64
  %x0 = llvm.call @slot(%frame, %i12) : (!llvm.ptr, i64) -> i64
  %x1 = llvm.call @slot(%frame, %i13) : (!llvm.ptr, i64) -> i64
  %x2 = llvm.call @slot(%frame, %i14) : (!llvm.ptr, i64) -> i64
  %x3 = llvm.call @slot(%frame, %i15) : (!llvm.ptr, i64) -> i64
  %xa = arith.muli %batch, %x0 : i64
  %xb = arith.muli %start, %x1 : i64
  %xc = arith.muli %h, %x2 : i64
  %xd = arith.muli %lane, %x3 : i64
  %xe = arith.addi %xa, %xb : i64
  %xf = arith.addi %xc, %xd : i64
  %x = arith.addi %xe, %xf : i64
  %i16 = arith.constant 16 : i64
  %i17 = arith.constant 17 : i64
  %i18 = arith.constant 18 : i64
  %g0 = llvm.call @slot(%frame, %i16) : (!llvm.ptr, i64) -> i64
  %g1 = llvm.call @slot(%frame, %i17) : (!llvm.ptr, i64) -> i64
  %g2 = llvm.call @slot(%frame, %i18) : (!llvm.ptr, i64) -> i64
  %pair = arith.divui %h, %c2 : i64
  %ga = arith.muli %batch, %g0 : i64
  %gb = arith.muli %start, %g1 : i64
  %gc = arith.muli %pair, %g2 : i64
  %gd = arith.addi %ga, %gb : i64
  %g = arith.addi %gd, %gc : i64
  %i19 = arith.constant 19 : i64
  %i20 = arith.constant 20 : i64
  %i21 = arith.constant 21 : i64
  %i22 = arith.constant 22 : i64
  %y0 = llvm.call @slot(%frame, %i19) : (!llvm.ptr, i64) -> i64
  %y1 = llvm.call @slot(%frame, %i20) : (!llvm.ptr, i64) -> i64
  %y2 = llvm.call @slot(%frame, %i21) : (!llvm.ptr, i64) -> i64
  %y3 = llvm.call @slot(%frame, %i22) : (!llvm.ptr, i64) -> i64
  %ya = arith.muli %batch, %y0 : i64
  %yb = arith.muli %start, %y1 : i64
  %yc = arith.muli %h, %y2 : i64
  %yd = arith.muli %lane, %y3 : i64
  %ye = arith.addi %ya, %yb : i64
  %yf = arith.addi %yc, %yd : i64
  %y = arith.addi %ye, %yf : i64
  %u = llvm.mlir.undef : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r0 = llvm.insertvalue %b, %u[0] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r1 = llvm.insertvalue %h, %r0[1] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r2 = llvm.insertvalue %lane, %r1[2] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r3 = llvm.insertvalue %x, %r2[3] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r4 = llvm.insertvalue %g, %r3[4] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r5 = llvm.insertvalue %y, %r4[5] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r6 = llvm.insertvalue %own, %r5[6] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  llvm.return %r6 : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
}

// The number of a segment of the block in what the workspace has for all: ((b H + h) segments + segment) K + lane.
llvm.func @place(%frame: !llvm.ptr, %segment: i64) -> i64 {
  %c0 = arith.constant 0 : i64
  %c32 = arith.constant 32 : i64
  %segments = llvm.call @slot(%frame, %c0) : (!llvm.ptr, i64) -> i64
  %block32 = nvvm.read.ptx.sreg.ctaid.x : i32
  %block = arith.extui %block32 : i32 to i64
  %lane32 = nvvm.read.ptx.sreg.tid.x : i32
  %lane = arith.extui %lane32 : i32 to i64
  %a = arith.muli %block, %segments : i64
  %b = arith.addi %a, %segment : i64
  %c = arith.muli %b, %c32 : i64
  %d = arith.addi %c, %lane : i64
  llvm.return %d : i64
}

// Offset of the block's element of the state, on one of its sides.
llvm.func @state(%frame: !llvm.ptr, %side: i64, %b: i64, %h: i64, %lane: i64) -> i64 {
  %c1 = arith.constant 1 : i64
  %next = arith.addi %side, %c1 : i64
  %s0 = llvm.call @slot(%frame, %side) : (!llvm.ptr, i64) -> i64
  %s1 = llvm.call @slot(%frame, %next) : (!llvm.ptr, i64) -> i64
  %a = arith.muli %b, %s0 : i64
  %c = arith.muli %h, %s1 : i64
  %d = arith.addi %a, %c : i64
  %e = arith.addi %d, %lane : i64
  llvm.return %e : i64
}

// The state behind the tokens of the block's segment; the third is the product of their gates. Outputs are written if wanted.
llvm.func @walk(%x: !llvm.ptr<1>, %g: !llvm.ptr<1>, %y: !llvm.ptr<1>, %frame: !llvm.ptr,
                %xAt: i64, %gAt: i64, %yAt: i64, %tokens: i64, %from: f32, %writes: i1) -> !llvm.struct<(f32, f32)> {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %one = arith.constant 1.0 : f32
  %i13 = arith.constant 13 : i64
  %i17 = arith.constant 17 : i64
  %i20 = arith.constant 20 : i64
  %xStep = llvm.call @slot(%frame, %i13) : (!llvm.ptr, i64) -> i64
  %gStep = llvm.call @slot(%frame, %i17) : (!llvm.ptr, i64) -> i64
  %yStep = llvm.call @slot(%frame, %i20) : (!llvm.ptr, i64) -> i64
  %r:2 = scf.for %t = %c0 to %tokens step %c1 iter_args(%s = %from, %product = %one) -> (f32, f32) : i64 {
    %xs = arith.muli %t, %xStep : i64
    %gs = arith.muli %t, %gStep : i64
    %xe = arith.addi %xAt, %xs : i64
    %ge = arith.addi %gAt, %gs : i64
    %xv = llvm.call @element(%x, %xe) : (!llvm.ptr<1>, i64) -> f32
    %gv = llvm.call @element(%g, %ge) : (!llvm.ptr<1>, i64) -> f32
    %decayed = arith.mulf %gv, %s : f32
    %new = arith.addf %decayed, %xv : f32
    scf.if %writes {
      %ys = arith.muli %t, %yStep : i64
      %ye = arith.addi %yAt, %ys : i64
      %yp = llvm.getelementptr %y[%ye] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      llvm.store %new, %yp : f32, !llvm.ptr<1>
    }
    %p = arith.mulf %product, %gv : f32
    scf.yield %new, %p : f32, f32
  }
  %u = llvm.mlir.undef : !llvm.struct<(f32, f32)>
  %r0 = llvm.insertvalue %r#0, %u[0] : !llvm.struct<(f32, f32)>
  %r1 = llvm.insertvalue %r#1, %r0[1] : !llvm.struct<(f32, f32)>
  llvm.return %r1 : !llvm.struct<(f32, f32)>
}

llvm.func @summaries(%x: !llvm.ptr<1>, %g: !llvm.ptr<1>, %sums: !llvm.ptr<1>, %products: !llvm.ptr<1>, %seqlens: !llvm.ptr<1>,
    %frame: !llvm.ptr {llvm.byval = !llvm.array<31 x i64>, llvm.align = 8 : i64, nvvm.grid_constant})
    attributes {gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 32, 1, 1>} {
  %zero = arith.constant 0.0 : f32
  %no = arith.constant false
  %at = llvm.call @locate(%frame, %seqlens) : (!llvm.ptr, !llvm.ptr<1>) -> !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %xAt = llvm.extractvalue %at[3] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %gAt = llvm.extractvalue %at[4] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %tokens = llvm.extractvalue %at[6] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %r = llvm.call @walk(%x, %g, %x, %frame, %xAt, %gAt, %xAt, %tokens, %zero, %no)
      : (!llvm.ptr<1>, !llvm.ptr<1>, !llvm.ptr<1>, !llvm.ptr, i64, i64, i64, i64, f32, i1) -> !llvm.struct<(f32, f32)>
  %sum = llvm.extractvalue %r[0] : !llvm.struct<(f32, f32)>
  %product = llvm.extractvalue %r[1] : !llvm.struct<(f32, f32)>
  %segment32 = nvvm.read.ptx.sreg.ctaid.y : i32
  %segment = arith.extui %segment32 : i32 to i64
  %place = llvm.call @place(%frame, %segment) : (!llvm.ptr, i64) -> i64
  %ps = llvm.getelementptr %sums[%place] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  %pp = llvm.getelementptr %products[%place] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
  llvm.store %sum, %ps : f32, !llvm.ptr<1>
  llvm.store %product, %pp : f32, !llvm.ptr<1>
  llvm.return
}

// Replaces the sum of each segment by the state in front of it.
llvm.func @join(%sums: !llvm.ptr<1>, %products: !llvm.ptr<1>, %carry: !llvm.ptr<1>,
    %frame: !llvm.ptr {llvm.byval = !llvm.array<31 x i64>, llvm.align = 8 : i64, nvvm.grid_constant})
    attributes {gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 32, 1, 1>} {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %null = llvm.mlir.zero : !llvm.ptr<1>
  %zero = arith.constant 0.0 : f32
  %segments = llvm.call @slot(%frame, %c0) : (!llvm.ptr, i64) -> i64
  %i9 = arith.constant 9 : i64
  %i23 = arith.constant 23 : i64
  %heads = llvm.call @slot(%frame, %i9) : (!llvm.ptr, i64) -> i64
  %block32 = nvvm.read.ptx.sreg.ctaid.x : i32
  %block = arith.extui %block32 : i32 to i64
  %b = arith.divui %block, %heads : i64
  %h = arith.remui %block, %heads : i64
  %lane32 = nvvm.read.ptx.sreg.tid.x : i32
  %lane = arith.extui %lane32 : i32 to i64
  %given = llvm.icmp "ne" %carry, %null : !llvm.ptr<1>
  %from = scf.if %given -> f32 {
    %e = llvm.call @state(%frame, %i23, %b, %h, %lane) : (!llvm.ptr, i64, i64, i64, i64) -> i64
    %v = llvm.call @element(%carry, %e) : (!llvm.ptr<1>, i64) -> f32
    scf.yield %v : f32
  } else {
    scf.yield %zero : f32
  }
  %end = scf.for %n = %c0 to %segments step %c1 iter_args(%s = %from) -> (f32) : i64 {
    %place = llvm.call @place(%frame, %n) : (!llvm.ptr, i64) -> i64
    %sum = llvm.call @element(%sums, %place) : (!llvm.ptr<1>, i64) -> f32
    %product = llvm.call @element(%products, %place) : (!llvm.ptr<1>, i64) -> f32
    %p = llvm.getelementptr %sums[%place] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.store %s, %p : f32, !llvm.ptr<1>
    %decayed = arith.mulf %product, %s : f32
    %next = arith.addf %decayed, %sum : f32
    scf.yield %next : f32
  }
  llvm.return
}

llvm.func @scan(%x: !llvm.ptr<1>, %g: !llvm.ptr<1>, %y: !llvm.ptr<1>, %in: !llvm.ptr<1>, %out: !llvm.ptr<1>,
    %starts: !llvm.ptr<1>, %seqlens: !llvm.ptr<1>,
    %frame: !llvm.ptr {llvm.byval = !llvm.array<31 x i64>, llvm.align = 8 : i64, nvvm.grid_constant})
    attributes {gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 32, 1, 1>} {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %i23 = arith.constant 23 : i64
  %i26 = arith.constant 26 : i64
  %null = llvm.mlir.zero : !llvm.ptr<1>
  %zero = arith.constant 0.0 : f32
  %yes = arith.constant true
  %at = llvm.call @locate(%frame, %seqlens) : (!llvm.ptr, !llvm.ptr<1>) -> !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %b = llvm.extractvalue %at[0] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %h = llvm.extractvalue %at[1] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %lane = llvm.extractvalue %at[2] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %xAt = llvm.extractvalue %at[3] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %gAt = llvm.extractvalue %at[4] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %yAt = llvm.extractvalue %at[5] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %tokens = llvm.extractvalue %at[6] : !llvm.struct<(i64, i64, i64, i64, i64, i64, i64)>
  %segment32 = nvvm.read.ptx.sreg.ctaid.y : i32
  %segment = arith.extui %segment32 : i32 to i64
  %segments = llvm.call @slot(%frame, %c0) : (!llvm.ptr, i64) -> i64
  %isCut = arith.cmpi ugt, %segments, %c1 : i64
  %given = llvm.icmp "ne" %in, %null : !llvm.ptr<1>
  %from = scf.if %isCut -> f32 {
    %e = llvm.call @place(%frame, %segment) : (!llvm.ptr, i64) -> i64
    %v = llvm.call @element(%starts, %e) : (!llvm.ptr<1>, i64) -> f32
    scf.yield %v : f32
  } else {
    %v = scf.if %given -> f32 {
      %e = llvm.call @state(%frame, %i23, %b, %h, %lane) : (!llvm.ptr, i64, i64, i64, i64) -> i64
      %w = llvm.call @element(%in, %e) : (!llvm.ptr<1>, i64) -> f32
      scf.yield %w : f32
    } else {
      scf.yield %zero : f32
    }
    scf.yield %v : f32
  }
  %r = llvm.call @walk(%x, %g, %y, %frame, %xAt, %gAt, %yAt, %tokens, %from, %yes)
      : (!llvm.ptr<1>, !llvm.ptr<1>, !llvm.ptr<1>, !llvm.ptr, i64, i64, i64, i64, f32, i1) -> !llvm.struct<(f32, f32)>
  %end = llvm.extractvalue %r[0] : !llvm.struct<(f32, f32)>
  %behind = arith.addi %segment, %c1 : i64
  %isLast = arith.cmpi eq, %behind, %segments : i64
  %wanted = llvm.icmp "ne" %out, %null : !llvm.ptr<1>
  %writes = arith.andi %isLast, %wanted : i1
  scf.if %writes {
    %e = llvm.call @state(%frame, %i26, %b, %h, %lane) : (!llvm.ptr, i64, i64, i64, i64) -> i64
    %p = llvm.getelementptr %out[%e] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    llvm.store %end, %p : f32, !llvm.ptr<1>
  }
  llvm.return
}

// The position behind the call, of one sequence a thread.
llvm.func @advance(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>, %seqlens: !llvm.ptr<1>,
    %frame: !llvm.ptr {llvm.byval = !llvm.array<31 x i64>, llvm.align = 8 : i64, nvvm.grid_constant})
    attributes {gpu.kernel, nvvm.kernel, nvvm.reqntid = array<i32: 32, 1, 1>} {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c32 = arith.constant 32 : i64
  %i8 = arith.constant 8 : i64
  %i10 = arith.constant 10 : i64
  %i29 = arith.constant 29 : i64
  %i30 = arith.constant 30 : i64
  %none = arith.constant 0 : i64
  %null = llvm.mlir.zero : !llvm.ptr<1>
  %block32 = nvvm.read.ptx.sreg.ctaid.x : i32
  %block = arith.extui %block32 : i32 to i64
  %lane32 = nvvm.read.ptx.sreg.tid.x : i32
  %lane = arith.extui %lane32 : i32 to i64
  %before = arith.muli %block, %c32 : i64
  %n = arith.addi %before, %lane : i64
  %sequences = llvm.call @slot(%frame, %i8) : (!llvm.ptr, i64) -> i64
  %inside = arith.cmpi ult, %n, %sequences : i64
  %wanted = llvm.icmp "ne" %out, %null : !llvm.ptr<1>
  %works = arith.andi %inside, %wanted : i1
  scf.if %works {
    %given = llvm.icmp "ne" %in, %null : !llvm.ptr<1>
    %from = scf.if %given -> i64 {
      %step = llvm.call @slot(%frame, %i29) : (!llvm.ptr, i64) -> i64
      %e = arith.muli %n, %step : i64
      %p = llvm.getelementptr %in[%e] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i64
      %v = llvm.load %p : !llvm.ptr<1> -> i64
      scf.yield %v : i64
    } else {
      scf.yield %none : i64
    }
    %bits = llvm.call @slot(%frame, %c1) : (!llvm.ptr, i64) -> i64
    %packed = arith.cmpi ne, %bits, %c0 : i64
    %tokens = scf.if %packed -> i64 {
      %stride = llvm.call @slot(%frame, %c2) : (!llvm.ptr, i64) -> i64
      %e = arith.muli %n, %stride : i64
      %f = arith.addi %e, %stride : i64
      %begin = llvm.call @ends(%seqlens, %bits, %e) : (!llvm.ptr<1>, i64, i64) -> i64
      %end = llvm.call @ends(%seqlens, %bits, %f) : (!llvm.ptr<1>, i64, i64) -> i64
      %count = arith.subi %end, %begin : i64
      scf.yield %count : i64
    } else {
      %all = llvm.call @slot(%frame, %i10) : (!llvm.ptr, i64) -> i64
      scf.yield %all : i64
    }
    %position = arith.addi %from, %tokens : i64
    %step = llvm.call @slot(%frame, %i30) : (!llvm.ptr, i64) -> i64
    %e = arith.muli %n, %step : i64
    %p = llvm.getelementptr %out[%e] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i64
    llvm.store %position, %p : i64, !llvm.ptr<1>
  }
  llvm.return
}

}
