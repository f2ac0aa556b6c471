// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c42
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  // expected-error@below {{has a chunk and a batch block of at least 1}}
  seq.kernel chunk 0 {
    seq.pass <forward> {
    }
  }
}

// -----

// c43
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  // expected-error@below {{splits @T, which is not a fixed dim}}
  seq.kernel chunk 64 split @T by 4 {
    seq.pass <forward> {
    }
  }
}

// -----

// c43
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  // expected-error@below {{splits by a size outside 1 .. 4}}
  seq.kernel chunk 64 split @K by 5 {
    seq.pass <forward> {
    }
  }
}

// -----

// c44
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.pass <forward> {
    }
    // expected-error@below {{must stand in the order buffers, prologues, passes}}
    seq.buffer @x <rows> order [0]
  }
}

// -----

// c44
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  // expected-error@below {{has no pass}}
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
  }
}

// -----

// c45
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{@K is not a tensor, state, definition or produced tensor}}
    seq.buffer @K <rows> order []
    seq.pass <forward> {
    }
  }
}

// -----

// c46
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{@x is not a state, but its space is state}}
    seq.buffer @x <state> order [0]
    seq.pass <forward> {
    }
  }
}

// -----

// c46
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{@x has two buffers}}
    seq.buffer @x <rows> order [0]
    seq.buffer @x <sequence> order [0]
    seq.pass <forward> {
    }
  }
}

// -----

// c47
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{must order each of 1 non-token dims once}}
    seq.buffer @x <rows> order [0, 1]
    seq.pass <forward> {
    }
  }
}

// -----

// c48
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{has a halo or tokens ahead only where it has rows of tokens}}
    seq.buffer @x <token> order [0] {halo = 2 : i64}
    seq.pass <forward> {
    }
  }
}

// -----

// c49
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{makes shared or task buffers}}
    seq.prologue <rows> {
    }
    seq.pass <forward> {
    }
  }
}

// -----

// c49
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    // expected-error@below {{is not the only one of its space}}
    seq.prologue <task> {
    }
    seq.prologue <task> {
    }
    seq.pass <forward> {
    }
  }
}

// -----

// c50
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{@v is not a tensor with a buffer}}
      seq.gather @v
    }
  }
}

// -----

// c51
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{@x is not a definition with a buffer}}
      seq.eval @x lanes 1
    }
  }
}

// -----

// c51
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{vectorises dim 2 of 2}}
      seq.eval @y lanes 2
    }
  }
}

// -----

// c52
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{@x is not an output}}
      seq.scatter @x
    }
  }
}

// -----

// c53
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{@h has no affine recurrence}}
      seq.solve @h block 16 panel 2
    }
  }
}

// -----

// c53
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{has a block and a panel of at least 1}}
      seq.solve @S block 0 panel 2
    }
  }
}

// -----

// c54
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <backward> {
      // expected-error@below {{stands in a pass that runs the other way}}
      seq.solve @S block 16 panel 2
    }
  }
}

// -----

// c54
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <backward> {
      // expected-error@below {{stands in a pass that runs the other way}}
      seq.loop [@h] keep []
    }
  }
}

// -----

// c55
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{member @x has no equation}}
      seq.loop [@x] keep []
    }
  }
}

// -----

// c55
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{names its members, each once}}
      seq.loop [@h, @h] keep []
    }
  }
}

// -----

// c56
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{keeps @S, which is not a state among the members}}
      seq.loop [@h] keep [@S]
    }
  }
}

// -----

// c40
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
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @o>] <forward>
  seq.state @h [@K] init 0.0 <forward>
  seq.next @h [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @h[%t - 1, %i] : f64
    seq.yield %0 : f64
  }
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @x <rows> order [0]
    seq.buffer @y <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{@T is not a fixed dim}}
      seq.loop [@h] lanes @T keep []
    }
  }
}

// -----

// c68
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.tensor @x <input> [@T, @K] per [] : f32
  seq.define @y [@T, @K] as ["t", "i"] {
  ^bb0(%t: index, %i: index):
    %0 = seq.read @x[%t, %i] : f64
    seq.yield %0 : f64
  }
  seq.output @y : f32
  seq.kernel chunk 64 {
    seq.buffer @y <rows> order [0]
    // expected-error@below {{walks @K, which is not a run-time dim, or once}}
    seq.pass <forward> over @K {
      seq.eval @y lanes 1
    }
  }
}
