// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c70
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@V, @K] init 0.0 <forward>
  // expected-error@below {{@M is not another state of the same dims}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @g>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c70
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  // expected-error@below {{@S is not another state of the same dims}}
  seq.affine @S with [@S] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @g>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c71
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{has a coupling in place of a row decay where it has several components, and nowhere else}}
  seq.affine @S with [@M] rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c71
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  // expected-error@below {{has a coupling in place of a row decay where it has several components, and nowhere else}}
  seq.affine @S rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @g>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c71
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{couples components 1 and 2 of 2, or does it twice}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 1, from = 2, factor = @g>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c71
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{couples components 0 and 0 of 2, or does it twice}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 0, from = 0, factor = @g>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c35
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{coupling @v must not vary over @V}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @v>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c72
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{numbers the components of a left factor upwards, below 2}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @g>] updates [#seq.update<[1 = @k, 0 = @k], [#seq.term<right = @v>]>] reads [] <forward>
}

// -----

// c72
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{numbers the components of a row upwards, below 2}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @g>] updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = [2 = @k], before = true>] <forward>
}

// -----

// c72
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.state @M [@K, @V] init 0.0 <forward>
  // expected-error@below {{has a left factor of no component}}
  seq.affine @S with [@M] rows [0] cols [1] coupling [#seq.coupling<to = 0, from = 0, factor = @g>, #seq.coupling<to = 1, from = 0, factor = @g>] updates [#seq.update<[], [#seq.term<right = @v>]>] reads [] <forward>
}
