// A scan with lanes outside: whole vectors of the state stay in registers while the tokens of a
// chunk run, and each region of the frame has its size.
// RUN: seq-opt %s -seq-chunks-to-tiles="level=x86-64-v4" -canonicalize -cse | FileCheck %s

// CHECK: func.func @scan.forward(%[[FRAME:.*]]: !llvm.ptr) attributes
// CHECK-SAME: seq.scratch_bytes = {{[1-9][0-9]*}}
// CHECK-SAME: seq.sequence_bytes_a_token = 0
// CHECK-SAME: seq.shared_bytes = 0
// CHECK: scf.for
// The loop over tokens carries two vectors, which hold the 20 elements.
// CHECK: scf.for {{.*}} iter_args(%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}}) -> (vector<16xf32>, vector<16xf32>)
// CHECK: arith.mulf %{{.*}}, %[[A]] fastmath<contract> : vector<16xf32>
// CHECK-NOT: seq.
// CHECK: return
seq.mixer @scan compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> 20
  seq.tensor @a <input> [@T, @D] per [#seq.batch<@B, 1>] : bf16
  seq.state @h [@D] init 0.0 <forward>
  seq.next @h [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @a[%t, %d] : f64
    %1 = seq.read @h[%t - 1, %d] : f64
    %2 = seq.binary <mul> %0, %1 : f64
    seq.yield %2 : f64
  }
  seq.output @h : f32
  seq.kernel chunk 8 {
    seq.buffer @a <rows> order [0]
    seq.buffer @h <state> order [0]
    seq.buffer @h <rows> order [0]
    seq.pass <forward> {
      seq.gather @a
      seq.loop [@h] lanes @D keep []
      seq.scatter @h
    }
  }
}
