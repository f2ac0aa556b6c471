// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c11
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{@B is not a fixed or run-time dim}}
  seq.define @y [@B] as ["b"] {
  ^bb0(%b: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c12
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{has 1 dims but 2 names}}
  seq.define @y [@T] as ["t", "i"] {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c13
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{the body must have one index argument for each of 2 dims}}
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c14
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{the body must end in seq.yield}}
  seq.define @y [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f64
  }
}

// -----

// c15
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{the domain must have the body's arguments and yield an i1}}
  seq.define @y [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  } where {
  ^bb0(%t: index):
    seq.yield %t : index
  }
}

// -----

// c16
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{run-time dim @T must stand before the fixed dims}}
  seq.define @y [@K, @T] as ["i", "t"] {
  ^bb0(%i: index, %t: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c16
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @f <param> [@K, @T] per [] : f32
  // expected-error@below {{run-time dim @T must stand before the fixed dims}}
  seq.tensor @x <input> [@K, @T] per [] : f32
}

// -----

// c17
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{yields 'f32'; expected f64, index or i1}}
  seq.define @y [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f32
    seq.yield %0 : f32
  }
}

// -----

// c18
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  // expected-error@below {{@y is not a state}}
  seq.next @y [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c18
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @S [@K] init 0.0 <forward>
  // expected-error@below {{must run over a run-time dim and the dims of its state}}
  seq.next @S [@T, @V] as ["t", "j"] {
  ^bb0(%t: index, %j: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c18
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @S [@K] init 0.0 <forward>
  // expected-error@below {{yields an f64 everywhere, without a domain}}
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    seq.yield %t : index
  }
}

// -----

// c19
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{@z is not a tensor, state, definition or produced tensor}}
    %0 = seq.read @z[%t] : f64
    seq.yield %0 : f64
  }
}

// -----

// c19
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{must give 2 indices of @x as expressions of its operands}}
    %0 = seq.read @x[%t] : f64
    seq.yield %0 : f64
  }
}

// -----

// c20
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{gives 'index', but @x holds 'f64'}}
    %0 = seq.read @x[%t, %i] : index
    seq.yield %0 : index
  }
}

// -----

// c20
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @n <input> [@T] per [] : i32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{gives 'f64', but @n holds 'index'}}
    %0 = seq.read @n[%t] : f64
    seq.yield %0 : f64
  }
}

// -----

// c21
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{stands before the equation of @z at the same token}}
    %0 = seq.read @z[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.define @z [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
}

// -----

// c21
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @S [@K] init 0.0 <forward>
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{stands before the equation of @S at the same token}}
    %0 = seq.read @S[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @S[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
}

// -----

// c22
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @S [@K] init 0.0 <forward>
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{reads a state at another token than t or t - 1}}
    %0 = seq.read @S[%t + 1, %i] : f64
    seq.yield %0 : f64
  }
}

// -----

// c22
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @S [@K] init 0.0 <backward>
  seq.next @S [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{reads a state at another token than t or t + 1}}
    %0 = seq.read @S[%t + 2, %i] : f64
    seq.yield %0 : f64
  }
}
