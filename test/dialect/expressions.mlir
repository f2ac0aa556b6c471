// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c23
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{@K is not a run-time dim}}
    %0 = seq.extent @K
    seq.yield %0 : index
  }
}

// -----

// c24
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %1 = seq.constant 1.0 : f64
    // expected-error@below {{gives 'index' from 'f64'}}
    %0 = seq.unary <exp> %1 : (f64) -> index
    seq.yield %0 : index
  }
}

// -----

// c25
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %1 = seq.constant 1.0 : f64
    // expected-error@below {{'not' does not take 'f64'}}
    %0 = seq.unary <not> %1 : (f64) -> f64
    seq.yield %0 : f64
  }
}

// -----

// c25
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{'exp' does not take 'index'}}
    %0 = seq.unary <exp> %t : (index) -> index
    seq.yield %0 : index
  }
}

// -----

// c26
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{'and' does not take 'index'}}
    %0 = seq.binary <and> %t, %t : index
    seq.yield %0 : index
  }
}

// -----

// c26
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{'div' does not take 'index'}}
    %0 = seq.binary <div> %t, %t : index
    seq.yield %0 : index
  }
}

// -----

// c26
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %1 = seq.constant true
    // expected-error@below {{'add' does not take 'i1'}}
    %0 = seq.binary <add> %1, %1 : i1
    seq.yield %0 : i1
  }
}

// -----

// c27
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{reduces f64 values over at least one dim}}
    %0 = seq.reduce <sum> [@V] as ["j"] {
    ^bb0(%j: index):
      seq.yield %j : index
    }
    seq.yield %0 : f64
  }
}

// -----

// c27
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{reduces f64 values over at least one dim}}
    %0 = seq.reduce <sum> [] as [] {
      %1 = seq.constant 1.0 : f64
      seq.yield %1 : f64
    }
    seq.yield %0 : f64
  }
}

// -----

// c11
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{@B is not a fixed or run-time dim}}
    %0 = seq.reduce <sum> [@B] as ["b"] {
    ^bb0(%b: index):
      %1 = seq.constant 1.0 : f64
      seq.yield %1 : f64
    }
    seq.yield %0 : f64
  }
}

// -----

// c28
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{@B is not a fixed or run-time dim}}
    %0 = seq.map <softmax> @B as "b" at %t : f64 {
    ^bb0(%b: index):
      %1 = seq.constant 1.0 : f64
      seq.yield %1 : f64
    }
    seq.yield %0 : f64
  }
}

// -----

// c28
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{maps f64 values}}
    %0 = seq.map <softmax> @K as "i" at %i : f64 {
    ^bb0(%n: index):
      seq.yield %n : index
    }
    seq.yield %0 : f64
  }
}

// -----

// c29
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{has a count, of at least 1, exactly when it is top-k}}
    %0 = seq.map <softmax> @K as "i" at %i count 2 : f64 {
    ^bb0(%n: index):
      %1 = seq.read @x[%t, %n] : f64
      seq.yield %1 : f64
    }
    seq.yield %0 : f64
  }
}

// -----

// c29
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    // expected-error@below {{gives an i1 for top-k and an f64 otherwise}}
    %0 = seq.map <topk> @K as "i" at %i count 2 : f64 {
    ^bb0(%n: index):
      %1 = seq.read @x[%t, %n] : f64
      seq.yield %1 : f64
    }
    seq.yield %0 : f64
  }
}
