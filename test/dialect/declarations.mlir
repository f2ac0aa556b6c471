// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c1
seq.mixer @m compute f32 {
  // expected-error@below {{has a size exactly when it is fixed}}
  seq.dim @K <fixed>
}

// -----

// c1
seq.mixer @m compute f32 {
  // expected-error@below {{has a size exactly when it is fixed}}
  seq.dim @B <batch> 4
}

// -----

// c1
seq.mixer @m compute f32 {
  // expected-error@below {{has a size below 1}}
  seq.dim @K <fixed> 0
}

// -----

// c2
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{has 'of' and 'by' together, on a run-time dim}}
  seq.dim @N <batch> of [@T] by affine_map<(d0) -> (d0 floordiv 2)>
}

// -----

// c2
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{'by' must give one extent from one dim for each of 'of'}}
  seq.dim @N <runtime> of [@T] by affine_map<(d0, d1) -> (d0 + d1)>
}

// -----

// c2
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{@K is not another run-time dim}}
  seq.dim @N <runtime> of [@K] by affine_map<(d0) -> (d0)>
}

// -----

// c3
// expected-error@below {{computes in 'bf16'; expected f32 or f64}}
seq.mixer @m compute bf16 {
}

// -----

// c4
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{@B is not a fixed or run-time dim}}
  seq.tensor @x <input> [@B] per [] : f32
}

// -----

// c5
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{@K is not a batch dim}}
  seq.tensor @x <input> [@T] per [#seq.batch<@K, 1>] : f32
}

// -----

// c5
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{divides @B by a number below 1}}
  seq.tensor @x <input> [@T] per [#seq.batch<@B, 0>] : f32
}

// -----

// c5
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.dim @H <batch>
  // expected-error@below {{names batch dims twice or in another order than they are declared}}
  seq.tensor @x <input> [@T] per [#seq.batch<@H, 1>, #seq.batch<@B, 1>] : f32
}

// -----

// c6
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{'i64' is not a storage type}}
  seq.tensor @x <input> [@T] per [] : i64
}

// -----

// c6
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T] per [] : f32
  seq.define @y [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @x[%t] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{'f80' is not a storage type}}
  seq.output @y : f80
}

// -----

// c7
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{has a range that is not a lower and an upper end}}
  seq.tensor @x <input> [@T] per [] : f32 in [1.0, 0.0]
}

// -----

// c7
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{has a range that is not a lower and an upper end}}
  seq.tensor @x <input> [@T] per [] : f32 in [1.0]
}

// -----

// c8
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{@T is not a fixed dim}}
  seq.state @S [@T] init 0.0 <forward>
}

// -----

// c9
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{has 0 equations; expected one}}
  seq.state @S [@K] init 0.0 <forward>
}

// -----

// c9
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{has 2 equations; expected one}}
  seq.state @S [@K] init 0.0 <forward>
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @S[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @S[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
}

// -----

// c10
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T] per [] : f32
  // expected-error@below {{@x is not a definition, state or produced tensor}}
  seq.output @x : f32
}

// -----

// c10
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @S [@K] init 0.0 <forward>
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @S[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{stores real numbers as 'i32'}}
  seq.output @S : i32
}
