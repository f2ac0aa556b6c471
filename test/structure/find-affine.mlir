// A delta rule in two steps: one update with a term for the value and one for what the state gives for the key.
// RUN: seq-opt %s -seq-normalize -seq-find-affine=min-size=4 | FileCheck %s
// RUN: seq-opt %s -seq-normalize -seq-find-affine -seq-form-groups | FileCheck %s --check-prefix=SMALL

// CHECK: seq.produced @o.0 [@T, @V]
// CHECK: seq.define @S.coef [@T] as ["t"]
// CHECK: seq.affine @S rows [0] cols [1] row_decay @g
// CHECK-SAME: updates [#seq.update<@k, [<coef = @b, right = @v>, <coef = @S.coef, read = 0>]>]
// CHECK-SAME: reads [#seq.row_read<row = @k, before = true>, #seq.row_read<row = @q, before = false, result = @o.0>] <forward>
// CHECK-NOT: seq.next

// SMALL: seq.state @S {{.*}}seq.not_affine = "it fits the affine form, but blocks do not pay for a state of 4 by 4"
// SMALL: seq.recurrence [@S] members [@u, @S, @o] <dense_linear> <forward> lanes @V
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 4
  seq.tensor @q <input> [@T, @K] per [] : f32
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.tensor @b <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.define @u [@T, @V] as ["t", "j"] {
  ^bb0(%t: index, %j: index):
    %old = seq.reduce <sum> [@K] as ["n"] {
    ^bb0(%n: index):
      %k = seq.read @k[%t, %n] : f64
      %s = seq.read @S[%t - 1, %n, %j] : f64
      %ks = seq.binary <mul> %k, %s : f64
      seq.yield %ks : f64
    }
    %g = seq.read @g[%t] : f64
    %decayed = seq.binary <mul> %g, %old : f64
    %v = seq.read @v[%t, %j] : f64
    %e = seq.binary <sub> %v, %decayed : f64
    %b = seq.read @b[%t] : f64
    %u = seq.binary <mul> %b, %e : f64
    seq.yield %u : f64
  }
  seq.next @S [@T, @K, @V] as ["t", "i", "j"] {
  ^bb0(%t: index, %i: index, %j: index):
    %g = seq.read @g[%t] : f64
    %s = seq.read @S[%t - 1, %i, %j] : f64
    %kept = seq.binary <mul> %g, %s : f64
    %k = seq.read @k[%t, %i] : f64
    %u = seq.read @u[%t, %j] : f64
    %ku = seq.binary <mul> %k, %u : f64
    %new = seq.binary <add> %kept, %ku : f64
    seq.yield %new : f64
  }
  seq.define @o [@T, @V] as ["t", "j"] {
  ^bb0(%t: index, %j: index):
    %o = seq.reduce <sum> [@K] as ["i"] {
    ^bb0(%i: index):
      %q = seq.read @q[%t, %i] : f64
      %s = seq.read @S[%t, %i, %j] : f64
      %qs = seq.binary <mul> %q, %s : f64
      seq.yield %qs : f64
    }
    seq.yield %o : f64
  }
  seq.output @o : f32
}
