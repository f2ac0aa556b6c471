// RUN: seq-opt %s -seq-front-positions | FileCheck %s

// A param's run-time dim comes to the front, where kernels look for positions; where its strides stand is noted.

// CHECK-LABEL: seq.mixer @projection
// CHECK: seq.tensor @w <param> [@T, @P, @Q] per [] : f32 {seq.order = array<i64: 1, 0, 2>}
// CHECK: seq.tensor @u <param> [@T, @P] per [] : f32{{$}}
// CHECK: seq.read @w[%t + 1, %p, %q]
// CHECK: seq.read @u[%t, %p]
seq.mixer @projection compute f32 {
  seq.dim @T <runtime>
  seq.dim @P <fixed> 4
  seq.dim @Q <fixed> 4
  seq.tensor @w <param> [@P, @T, @Q] per [] : f32
  seq.tensor @u <param> [@T, @P] per [] : f32
  seq.define @y [@T, @P, @Q] as ["t", "p", "q"] {
  ^bb0(%t: index, %p: index, %q: index):
    %0 = seq.read @w[%p, %t + 1, %q] : f64
    %1 = seq.read @u[%t, %p] : f64
    %2 = seq.binary <mul> %0, %1 : f64
    seq.yield %2 : f64
  }
  seq.output @y : f32
}
