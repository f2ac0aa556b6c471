// Every op as text, and back. The second and third printing are compared as a whole.
// RUN: seq-opt %s > %t.first
// RUN: seq-opt %t.first > %t.second
// RUN: diff %t.first %t.second
// RUN: seq-opt %s -emit-bytecode | seq-opt > %t.bytecode
// RUN: diff %t.first %t.bytecode
// RUN: FileCheck %s < %t.first

// CHECK: seq.mixer @equations compute f32 attributes {no_step = "reads ahead"}
seq.mixer @equations compute f32 attributes {no_step = "reads ahead"} {
  // CHECK-NEXT: seq.dim @B <batch>
  // CHECK-NEXT: seq.dim @H <batch>
  // CHECK-NEXT: seq.dim @T <runtime>
  // CHECK-NEXT: seq.dim @N <runtime> of [@T] by #{{.*}}
  // CHECK-NEXT: seq.dim @K <fixed> 4
  seq.dim @B <batch>
  seq.dim @H <batch>
  seq.dim @T <runtime>
  seq.dim @N <runtime> of [@T] by affine_map<(d0) -> (d0 floordiv 2)>
  seq.dim @K <fixed> 4
  // CHECK-NEXT: seq.tensor @x <input> [@T, @K] per [#seq.batch<@B, 1>, #seq.batch<@H, 2>] : bf16 in [-1.0{{.*}}, 0x7FF0000000000000 : f64]
  // CHECK-NEXT: seq.tensor @n <input> [@T] per [#seq.batch<@B, 1>] : i32
  // CHECK-NEXT: seq.tensor @c <param> [@K] per [] : f32
  seq.tensor @x <input> [@T, @K] per [#seq.batch<@B, 1>, #seq.batch<@H, 2>] : bf16 in [-1.0, 0x7FF0000000000000 : f64]
  seq.tensor @n <input> [@T] per [#seq.batch<@B, 1>] : i32
  seq.tensor @c <param> [@K] per [] : f32
  // CHECK-NEXT: seq.state @S [@K] init 0xFFF0000000000000 <backward>
  // CHECK-NEXT: seq.output @y : f32
  seq.state @S [@K] init 0xFFF0000000000000 <backward>
  seq.output @y : f32
  // CHECK: seq.define @y [@T, @K] as ["t", "i"] {
  // CHECK-NEXT: ^bb0(%t: index, %i: index):
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // CHECK-NEXT: seq.constant 2.500000e+00 : f64
    // CHECK-NEXT: seq.extent @T
    // CHECK-NEXT: seq.to_real
    // CHECK-NEXT: seq.read @n[%t] : index
    // CHECK-NEXT: seq.read @x[%t + 1, (%i + %{{.*}}) mod 4] : f64
    // CHECK-NEXT: seq.unary <exp> %{{.*}} : (f64) -> f64
    // CHECK-NEXT: seq.unary <floor> %{{.*}} : (f64) -> index
    // CHECK-NEXT: seq.compare <lt> %{{.*}}, %t : index
    // CHECK-NEXT: seq.binary <logaddexp>
    // CHECK-NEXT: seq.select
    %0 = seq.constant 2.5 : f64
    %1 = seq.extent @T
    %2 = seq.to_real %1
    %3 = seq.read @n[%t] : index
    %4 = seq.read @x[%t + 1, (%i + %3) mod 4] : f64
    %5 = seq.unary <exp> %4 : (f64) -> f64
    %6 = seq.unary <floor> %5 : (f64) -> index
    %7 = seq.compare <lt> %6, %t : index
    %8 = seq.binary <logaddexp> %2, %0 : f64
    %9 = seq.select %7, %5, %8 : f64
    // CHECK-NEXT: seq.reduce <sum> [@N, @K] as ["s", "n"] {
    // CHECK-NEXT: ^bb0(%s: index, %n: index):
    // CHECK: } where {
    // CHECK-NEXT: ^bb0(%s: index, %n: index):
    %10 = seq.reduce <sum> [@N, @K] as ["s", "n"] {
    ^bb0(%s: index, %n: index):
      %12 = seq.read @x[%s, %n] : f64
      seq.yield %12 : f64
    } where {
    ^bb0(%s: index, %n: index):
      %12 = seq.compare <le> %s, %t : index
      seq.yield %12 : i1
    }
    // CHECK: seq.map <topk> @K as "n" at %i count 2 : i1 {
    %11 = seq.map <topk> @K as "n" at %i count 2 : i1 {
    ^bb0(%n: index):
      %12 = seq.read @x[%t, %n] : f64
      seq.yield %12 : f64
    }
    %13 = seq.select %11, %9, %10 : f64
    // CHECK: seq.select %{{.*}}, %{{.*}}, %{{.*}} : f64
    // CHECK-NEXT: seq.yield %{{.*}} : f64
    // CHECK-NEXT: } where {
    seq.yield %13 : f64
  } where {
  ^bb0(%t: index, %i: index):
    %0 = seq.compare <ne> %t, %i : index
    seq.yield %0 : i1
  }
  // CHECK: seq.next @S [@T, @K] as ["t", "i"] {
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @S[%t + 1, %i] : f64
    %1 = seq.read @c[%i] : f64
    %2 = seq.binary <max> %0, %1 : f64
    seq.yield %2 : f64
  }
}

// CHECK: seq.mixer @schedule compute f64
seq.mixer @schedule compute f64 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @U <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 8
  seq.tensor @k <input> [@T, @K] per [#seq.batch<@B, 1>] : f32
  seq.tensor @v <input> [@T, @V] per [#seq.batch<@B, 1>] : f32
  seq.tensor @a <param> [@K] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @h [@V] init 0.0 <forward>
  seq.output @o : f32
  seq.define @w [@K] as ["i"] {
  ^bb0(%i: index):
    %0 = seq.read @a[%i] : f64
    seq.yield %0 : f64
  }
  // CHECK: seq.affine @S rows [0] cols [1] row_decay @w updates
  // CHECK-SAME: [#seq.update<@k, [<right = @v>, <coef = @b, read = 1>]>]
  // CHECK-SAME: reads [#seq.row_read<row = @k, before = false, result = @o>, #seq.row_read<row = @k, before = true>] <forward>
  // CHECK: seq.produced @o [@T, @V]
  // CHECK: seq.recurrence [@h] members [@h] <nonlinear_diagonal> <forward> lanes @V
  seq.define @b [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @k[%t, 0] : f64
    seq.yield %0 : f64
  }
  seq.affine @S rows [0] cols [1] row_decay @w updates [#seq.update<@k, [#seq.term<right = @v>, #seq.term<coef = @b, read = 1>]>] reads [#seq.row_read<row = @k, before = false, result = @o>, #seq.row_read<row = @k, before = true>] <forward>
  seq.produced @o [@T, @V]
  seq.next @h [@T, @V] as ["t", "j"] {
  ^bb0(%t: index, %j: index):
    %0 = seq.read @h[%t - 1, %j] : f64
    %1 = seq.read @o[%t, %j] : f64
    %2 = seq.binary <add> %0, %1 : f64
    %3 = seq.unary <tanh> %2 : (f64) -> f64
    seq.yield %3 : f64
  }
  seq.recurrence [@h] members [@h] <nonlinear_diagonal> <forward> lanes @V
  // CHECK: seq.produced @p.sum [@T, @V]
  // CHECK: seq.produced @p.max [@T]
  seq.produced @p.sum [@T, @V]
  seq.produced @p.max [@T]
  // CHECK: seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @p.sum, kind = sum, weight = 2, value = 3>,
  // CHECK-SAME: #seq.pair_result<produced = @p.max, kind = score_max>] score 0 domain 1 factored [#seq.factored_part<of = 0, part = 4, bounded = true>] {
  // CHECK-NEXT: ^bb0(%t: index, %s: index):
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @p.sum, kind = sum, weight = 2, value = 3>, #seq.pair_result<produced = @p.max, kind = score_max>] score 0 domain 1 factored [#seq.factored_part<of = 0, part = 4, bounded = true>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.read @k[%s, 0] : f64
    seq.yield %0 : f64
  }, {
  ^bb0(%t: index, %s: index):
    %0 = seq.compare <le> %s, %t : index
    seq.yield %0 : i1
  }, {
  // CHECK: ^bb0(%t: index, %s: index, %arg0: f64):
  ^bb0(%t: index, %s: index, %e: f64):
    seq.yield %e : f64
  }, {
  ^bb0(%t: index, %s: index, %j: index):
    %0 = seq.read @v[%s, %j] : f64
    seq.yield %0 : f64
  }, {
  ^bb0(%t: index, %s: index):
    %0 = seq.read @k[%s, 0] : f64
    seq.yield %0 : f64
  }
  // CHECK: seq.convolution @c of <@v over 0> past <@k2> ahead <@v over 0> from -3 to 7
  seq.tensor @k2 <param> [@T] per [] : f32
  seq.produced @c [@T, @V]
  seq.convolution @c of <@v over 0> past <@k2> ahead <@v over 0> from -3 to 7
  // CHECK: seq.kernel chunk 64 split @V by 4 attributes {batch_block = 2 : i64} {
  // CHECK-NEXT: seq.buffer @a <shared> order [0]
  seq.kernel chunk 64 split @V by 4 attributes {batch_block = 2 : i64} {
    seq.buffer @a <shared> order [0]
    seq.buffer @w <task> order [0]
    // CHECK: seq.buffer @k <rows> order [0] {ahead = 1 : i64, halo = 3 : i64}
    seq.buffer @k <rows> order [0] {halo = 3 : i64, ahead = 1 : i64}
    seq.buffer @v <rows> order [0]
    seq.buffer @b <token> order []
    seq.buffer @o <sequence> order [0]
    seq.buffer @S <state> order [0, 1]
    seq.buffer @p.sum <rows> order [0]
    seq.buffer @c <sequence> order [0]
    // CHECK: seq.prologue <shared> {
    // CHECK-NEXT: seq.gather @a
    seq.prologue <shared> {
      seq.gather @a
    }
    // CHECK: seq.prologue <task> {
    // CHECK-NEXT: seq.eval @w lanes 0
    seq.prologue <task> {
      seq.eval @w lanes 0
    }
    // CHECK: seq.pass <forward> {
    // CHECK-NEXT: seq.convolve @c lanes 0 rows 8 transforms
    // CHECK-NEXT: seq.gather @k
    // CHECK-NEXT: seq.eval @b lanes -1
    // CHECK-NEXT: seq.solve @S block 16 panel 2
    // CHECK-NEXT: seq.sweep @p.sum tile 64 vectors 4
    // CHECK-NEXT: seq.loop [@h] lanes @V keep [@h]
    // CHECK-NEXT: seq.scatter @o
    seq.pass <forward> {
      seq.convolve @c lanes 0 rows 8 transforms
      seq.gather @k
      seq.eval @b lanes -1
      seq.solve @S block 16 panel 2
      seq.sweep @p.sum tile 64 vectors 4
      seq.loop [@h] lanes @V keep [@h]
      seq.scatter @o
    }
    // CHECK: seq.pass <backward> over @U {
    seq.pass <backward> over @U {
    }
    // CHECK: seq.pass <forward> once {
    // CHECK-NEXT: seq.eval @w lanes 0
    seq.pass <forward> once {
      seq.eval @w lanes 0
    }
  }
}

// CHECK: seq.mixer @half compute f32 {
seq.mixer @half compute f32 {
  seq.dim @T <runtime>
}
// CHECK: seq.mixer @half.summary compute f32 attributes {summary_of = @half} {
seq.mixer @half.summary compute f32 attributes {summary_of = @half} {
  seq.dim @T <runtime>
  seq.state @h [] init 0.0 <forward>
  seq.state @p [] init 1.0 <forward>
  // CHECK: seq.transition @h from @h by [@p] over [array<i64>]
  seq.transition @h from @h by [@p] over [array<i64>]
  seq.next @h [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @h[%t - 1] : f64
    seq.yield %0 : f64
  }
  seq.next @p [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @p[%t - 1] : f64
    seq.yield %0 : f64
  }
}

// CHECK: seq.mixer @coupled
seq.mixer @coupled compute f32 {
  seq.dim @T <runtime>
  seq.dim @J <fixed> 2
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 8
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  seq.state @C [@K, @V, @J] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // CHECK: seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @k>]
  // CHECK-SAME: updates [#seq.update<[0 = @k, 1 = @g], [<right = @v>]>, #seq.update<@k, [<right = @v>]>]
  // CHECK-SAME: reads [#seq.row_read<row = [1 = @k], before = false, result = @o>] <forward>
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @k>] updates [#seq.update<[0 = @k, 1 = @g], [#seq.term<right = @v>]>, #seq.update<[0 = @k], [#seq.term<right = @v>]>] reads [#seq.row_read<row = [1 = @k], before = false, result = @o>] <forward>
  // CHECK: seq.affine @C inner 2 rows [0] cols [1] coupling [#seq.coupling<to = 1, from = 1, factor = @g>] updates [] reads [] <forward>
  seq.affine @C inner 2 rows [0] cols [1] coupling [#seq.coupling<to = 1, from = 1, factor = @g>] updates [] reads [] <forward>
}
