// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c65
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @D <fixed> 3
  seq.tensor @x <input> [@T, @D] per [] : f32
  seq.produced @y [@T, @D]
  // expected-error@below {{has no filter}}
  seq.convolution @y of <@x over 0>
}

// -----

// c65
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @D <fixed> 3
  seq.dim @E <fixed> 3
  seq.tensor @x <input> [@T, @D] per [] : f32
  seq.tensor @f <param> [@T, @E] per [] : f32
  seq.produced @y [@T, @D]
  // expected-error@below {{operand @f does not vary over the position and features of the result}}
  seq.convolution @y of <@x over 0> past <@f over 0>
}

// -----

// c65
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @D <fixed> 3
  seq.tensor @x <input> [@T, @D, @D] per [] : f32
  seq.tensor @f <param> [@T] per [] : f32
  seq.produced @y [@T, @D]
  // expected-error@below {{operand @x does not vary over the position and features of the result}}
  seq.convolution @y of <@x over 0, 0> past <@f>
}

// -----

// c66
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @D <fixed> 3
  seq.tensor @x <input> [@T, @D] per [] : f32
  seq.tensor @f <param> [@T] per [] : f32
  seq.produced @y [@D]
  // expected-error@below {{@y is not a produced tensor over a run-time dim}}
  seq.convolution @y of <@x over 0> past <@f>
}

// -----

// c67
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @D <fixed> 3
  seq.tensor @x <input> [@T, @D] per [] : f32
  seq.tensor @f <param> [@T] per [] : f32
  seq.produced @y [@T, @D]
  seq.convolution @y of <@x over 0> past <@f> to 7
  seq.kernel chunk 8 {
    seq.buffer @y <sequence> order [0]
    seq.pass <forward> {
      // expected-error@below {{expected the result of a seq.convolution, one of its features as lanes, and at least one row}}
      seq.convolve @y lanes 1 rows 8
    }
  }
}
