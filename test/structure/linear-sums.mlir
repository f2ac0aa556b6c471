// RUN: seq-opt %s -seq-find-linear-sums -split-input-file | FileCheck %s

// What s brings is written into a state, what t brings reads it; the pairs are gone.

// CHECK-LABEL: seq.mixer @linear compute f32 {
// CHECK: seq.state @o.state [@K, @V] init 0.000000e+00 <forward> {seq.sum_of = "o"}
// CHECK: seq.next @o.state [@T, @K, @V] as ["t", "i", "j"] {
// CHECK: %[[BEFORE:.*]] = seq.read @o.state[%t - 1, %i, %j] : f64
// CHECK: %[[K:.*]] = seq.read @k[%t, %i] : f64
// CHECK: %[[V:.*]] = seq.read @v[%t, %j] : f64
// CHECK: %[[NEW:.*]] = seq.binary <mul> %[[K]], %[[V]] : f64
// CHECK: seq.binary <add> %[[BEFORE]], %[[NEW]] : f64
// CHECK-NOT: seq.define @a
// CHECK: seq.define @o [@T, @V] as ["t", "j"] {
// CHECK: seq.reduce <sum> [@K] as ["i"] {
// CHECK: seq.read @o.state[%t, %i, %j] : f64
// CHECK: seq.read @q[%t, %i] : f64
seq.mixer @linear compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 4
  seq.tensor @q <input> [@T, @K] per [] : f32
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.output @o : f32
  seq.define @a [@T, @T] as ["t", "s"] {
  ^bb0(%t: index, %s: index):
    %0 = seq.reduce <sum> [@K] as ["i"] {
    ^bb0(%i: index):
      %1 = seq.read @q[%t, %i] : f64
      %2 = seq.read @k[%s, %i] : f64
      %3 = seq.binary <mul> %1, %2 : f64
      seq.yield %3 : f64
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
      %1 = seq.read @a[%t, %s] : f64
      %2 = seq.read @v[%s, %j] : f64
      %3 = seq.binary <mul> %1, %2 : f64
      seq.yield %3 : f64
    }
    seq.yield %0 : f64
  }
}

// -----

// A sum over later tokens runs backwards, and there is no step.

// CHECK-LABEL: seq.mixer @later
// CHECK-SAME: no_step = "the state 'o.state' runs backwards"
// CHECK: seq.state @o.state [] init 0.000000e+00 <backward>
// CHECK: seq.read @o.state[%t + 1] : f64
// CHECK: seq.define @o [@T]
// CHECK: seq.read @o.state[%t + 1] : f64
seq.mixer @later compute f32 {
  seq.dim @T <runtime>
  seq.tensor @v <input> [@T] per [] : f32
  seq.output @o : f32
  seq.define @o [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.reduce <sum> [@T] as ["s"] {
    ^bb0(%s: index):
      %1 = seq.read @v[%s] : f64
      seq.yield %1 : f64
    } where {
    ^bb0(%s: index):
      %1 = seq.compare <gt> %s, %t : index
      seq.yield %1 : i1
    }
    seq.yield %0 : f64
  }
}

// -----

// A sum that stays is as it was, and the mixer says why.

// CHECK-LABEL: seq.mixer @stays
// CHECK-SAME: seq.over_pairs = ["o: its domain is a window of 3 positions"]
// CHECK-NOT: seq.state
// CHECK: seq.reduce <sum> [@T] as ["s"] {
seq.mixer @stays compute f32 {
  seq.dim @T <runtime>
  seq.tensor @v <input> [@T] per [] : f32
  seq.output @o : f32
  seq.define @o [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.reduce <sum> [@T] as ["s"] {
    ^bb0(%s: index):
      %1 = seq.read @v[%s] : f64
      seq.yield %1 : f64
    } where {
    ^bb0(%s: index):
      %1 = seq.compare <le> %s, %t : index
      %c2 = seq.constant 2 : index
      %3 = seq.binary <sub> %t, %s : index
      %4 = seq.compare <le> %3, %c2 : index
      %5 = seq.binary <and> %1, %4 : i1
      seq.yield %5 : i1
    }
    seq.yield %0 : f64
  }
}
