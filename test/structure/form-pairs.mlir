// RUN: seq-opt %s -seq-form-pairs -split-input-file | FileCheck %s

// A softmax is a maximum and sums of exponentials; what scales a row stands outside.

// CHECK-LABEL: seq.mixer @softmax
// CHECK: seq.pairs of [@T] over @T as ["t", "s"] results
// CHECK-SAME: produced = @o.sum, kind = sum, weight = 2>
// CHECK-SAME: produced = @o.sum.1, kind = sum, weight = 2, value = 3>
// CHECK-SAME: score 0 domain 1
// CHECK: seq.define @o [@T, @V]
// CHECK: seq.read @o.sum[%t]
// CHECK: seq.compare <gt>
// CHECK: seq.read @o.sum.1[%t, %j]
// CHECK-NOT: seq.map
seq.mixer @softmax compute f32 {
  seq.dim @T <runtime>
  seq.dim @V <fixed> 4
  seq.tensor @a <input> [@T] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.output @o : f32
  seq.define @p [@T, @T] as ["t", "s"] {
  ^bb0(%t: index, %s: index):
    %0 = seq.map <softmax> @T as "s" at %s : f64 {
    ^bb0(%r: index):
      %1 = seq.read @a[%t] : f64
      %2 = seq.read @a[%r] : f64
      %3 = seq.binary <mul> %1, %2 : f64
      seq.yield %3 : f64
    } where {
    ^bb0(%r: index):
      %1 = seq.compare <le> %r, %t : index
      seq.yield %1 : i1
    }
    seq.yield %0 : f64
  } where {
  ^bb0(%t: index, %s: index):
    %0 = seq.compare <le> %s, %t : index
    seq.yield %0 : i1
  }
  seq.define @o [@T, @V] as ["t", "j"] {
  ^bb0(%t: index, %j: index):
    %0 = seq.reduce <sum> [@T] as ["s"] {
    ^bb0(%s: index):
      %1 = seq.read @p[%t, %s] : f64
      %2 = seq.read @v[%s, %j] : f64
      %3 = seq.binary <mul> %1, %2 : f64
      seq.yield %3 : f64
    }
    seq.yield %0 : f64
  }
}

// -----

// An exponential of one position is made once for each; the maximum is there when it is asked for.

// CHECK-LABEL: seq.mixer @lse
// CHECK: produced = @l.max, kind = score_max>
// CHECK: seq.read @l.col[%s]
// CHECK: seq.define @l [@T]
// CHECK: seq.unary <log>
seq.mixer @lse compute f32 {
  seq.dim @T <runtime>
  seq.tensor @a <input> [@T] per [] : f32
  seq.output @l : f32
  seq.define @l [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.reduce <logsumexp> [@T] as ["s"] {
    ^bb0(%s: index):
      %1 = seq.read @a[%t] : f64
      %2 = seq.read @a[%s] : f64
      %3 = seq.unary <tanh> %2 : (f64) -> f64
      %4 = seq.binary <mul> %1, %3 : f64
      seq.yield %4 : f64
    }
    seq.yield %0 : f64
  }
}
