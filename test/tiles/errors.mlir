// What has no code is reported at the op concerned.
// RUN: seq-opt %s -seq-chunks-to-tiles -split-input-file -verify-diagnostics

seq.mixer @window compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.tensor @x <input> [@T] per [#seq.batch<@B, 1>] : f32
  seq.define @y [@T] as ["t"] {
  ^bb0(%t: index):
    // expected-error @+1 {{reads tokens further away than the buffer of 'x' holds}}
    %0 = seq.read @x[%t - 2] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 8 {
    seq.buffer @x <rows> order [] {halo = 1 : i64}
    seq.buffer @y <rows> order []
    seq.pass <forward> {
      seq.gather @x
      seq.eval @y lanes 0
      seq.scatter @y
    }
  }
}

// -----

seq.mixer @space compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @D <fixed> 4
  seq.tensor @x <input> [@T, @D] per [#seq.batch<@B, 1>] : f32
  seq.kernel chunk 8 {
    seq.buffer @x <sequence> order [0]
    seq.pass <forward> {
      // expected-error @+1 {{gathers tokens into a buffer that has no rows}}
      seq.gather @x
    }
  }
}

// -----

seq.mixer @state compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.state @h [] init 0.0 <forward>
  seq.next @h [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @h[%t - 1] : f64
    seq.yield %0 : f64
  }
  seq.kernel chunk 8 {
    seq.pass <forward> {
      // expected-error @+1 {{runs 'h', which has no state buffer}}
      seq.loop [@h] keep []
    }
  }
}
