// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c30
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  // expected-error@below {{has fixed dims, behind at most two run-time dims}}
  seq.produced @o [@V, @T]
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c31
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  // expected-error@below {{is made by 0 reads, pairwise reductions or convolutions; expected one}}
  seq.produced @o [@T, @V]
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false>] <forward>
}

// -----

// c32
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32

  // expected-error@below {{@k is not a state}}
  seq.affine @k rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false>] <forward>
}

// -----

// c32
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{runs backward, its state the other way}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <backward>
}

// -----

// c33
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{'outer', 'inner', 'rows' and 'cols' must number each dim of the state once}}
  seq.affine @S rows [0] cols [0] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c34
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{left factor @S is not a tensor, definition or produced tensor}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@S, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c35
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{left factor @v must not vary over @V}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@v, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c35
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{coefficient @k must not vary over @K}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<coef = @k, right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c36
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{a term has either a right factor or a read}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v, read = 0>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c36
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{a term uses read 0, which is no read before the update}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<read = 0>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
}

// -----

// c37
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>

  // expected-error@below {{read @v is not a produced tensor over the token, the outer dims and the columns}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @v>] <forward>
}

// -----

// c38
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{member @K has no equation}}
  seq.recurrence [@h] members [@h, @K] <elementwise> <forward> lanes @K
}

// -----

// c38
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{names its members, each once}}
  seq.recurrence [@h] members [@h, @h] <elementwise> <forward> lanes @K
}

// -----

// c39
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{@h is not a state among the members}}
  seq.recurrence [@h] members [@y] <elementwise> <forward>
}

// -----

// c39
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{runs backward, @h the other way}}
  seq.recurrence [@h] members [@h] <elementwise> <backward> lanes @K
}

// -----

// c40
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{@T is not a fixed dim}}
  seq.recurrence [@h] members [@h] <elementwise> <forward> lanes @T
}

// -----

// c41
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{member @h belongs to another recurrence too}}
  seq.recurrence [@h] members [@h] <elementwise> <forward> lanes @K
  seq.recurrence [@h] members [@h] <elementwise> <forward> lanes @K
}

// -----

// c62
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.state @h [@K] init 0.0 <forward>
  seq.state @p [] init 1.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @p [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @p[%t - 1] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{must be between states of the same dims}}
  seq.transition @h from @p by [] over []
}

// -----

// c63
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.state @h [@K] init 0.0 <forward>
  seq.state @p [] init 1.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @p [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @p[%t - 1] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{@p is not a state over the dims at its places}}
  seq.transition @h from @h by [@p] over [array<i64: 0>]
}

// -----

// c63
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.state @h [@K] init 0.0 <forward>
  seq.state @p [] init 1.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @p [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @p[%t - 1] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{has at most two factors and the places of each}}
  seq.transition @h from @h by [@p] over []
}

// -----

// c63
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.state @h [@K] init 0.0 <forward>
  seq.state @p [] init 1.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @p [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @p[%t - 1] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{numbers the places of a factor upwards}}
  seq.transition @h from @h by [@h] over [array<i64: 1>]
}

// -----

// c64
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.state @h [@K] init 0.0 <forward>
  seq.state @p [] init 1.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.next @p [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @p[%t - 1] : f64
    seq.yield %0 : f64
  }
  // expected-error@below {{stands in a mixer that is no summary}}
  seq.transition @h from @h by [@p] over [array<i64>]
}

// -----

// c64
// expected-error@below {{is the summary of @other, which is no mixer beside it with outputs of its own}}
seq.mixer @m compute f32 attributes {summary_of = @other} {
  seq.dim @T <runtime>
}

// -----

// c64
seq.mixer @other compute f32 {
  seq.dim @T <runtime>
}
// expected-error@below {{is a summary and has an output}}
seq.mixer @m compute f32 attributes {summary_of = @other} {
  seq.dim @T <runtime>
  seq.tensor @x <input> [@T] per [] : f32
  seq.define @y [@T] as ["t"] {
  ^bb0(%t: index):
    %0 = seq.read @x[%t] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
}

// -----

// c69
seq.mixer @other compute f32 {
  seq.dim @T <runtime>
  seq.tensor @x <input> [@T] per [] : f32
}
// expected-error@below {{is a form of @other, which is no mixer beside it with the same tensors and outputs}}
seq.mixer @m compute f32 attributes {form_of = @other} {
  seq.dim @T <runtime>
}

// -----

// c74
seq.mixer @other compute f32 {
  seq.dim @T <runtime>
}
// expected-error@below {{is a form of @other: both need `form_products`}}
seq.mixer @m compute f32 attributes {form_of = @other, form_products = array<i64: 1, 2, 0>} {
  seq.dim @T <runtime>
}

// -----

// c74
// expected-error@below {{has `form_products` that are not three numbers of at least 0}}
seq.mixer @m compute f32 attributes {form_products = array<i64: 1, -2, 0>} {
  seq.dim @T <runtime>
}
