// Every level lowers to instructions: half-precision storage, functions and fused operations
// become no calls where the level has no instruction for them.
// RUN: seq-opt %s -seq-chunks-to-tiles="level=baseline" -seq-tiles-to-llvm="level=baseline" | FileCheck %s --check-prefixes=CHECK,PLAIN
// RUN: seq-opt %s -seq-chunks-to-tiles="level=x86-64-v3" -seq-tiles-to-llvm="level=x86-64-v3" | FileCheck %s --check-prefixes=CHECK,AVX2

// CHECK: llvm.func @m.forward(%{{.*}}: !llvm.ptr)
// PLAIN-NOT: llvm.intr.fma
// PLAIN-NOT: vector<{{.*}}xf16>
// AVX2: llvm.fpext %{{.*}} : vector<8xf16> to vector<8xf32>
// AVX2: llvm.intr.fma
// CHECK-NOT: llvm.call @
// CHECK: llvm.return
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> 32
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f16
  seq.define @y [@T, @D] as ["t", "d"] {
  ^bb0(%t: index, %d: index):
    %0 = seq.read @x[%t, %d] : f64
    %1 = seq.unary <sigmoid> %0 : (f64) -> f64
    seq.yield %1 : f64
  }
  seq.output @y : bf16
  seq.kernel chunk 8 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      seq.gather @x
      seq.eval @y lanes 1
      seq.scatter @y
    }
  }
}
