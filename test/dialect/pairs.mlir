// RUN: seq-opt %s -split-input-file -verify-diagnostics

// c57
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @V <fixed> 3
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.produced @o [@T]
  // expected-error@below {{runs over a run-time dim for rows of at most one run-time dim and fixed ones behind it, and names all}}
  seq.pairs of [@T] over @V as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c58
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{names part 1, which is not there or has another role}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 1>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c58
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{has a part 1 that nothing names}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }, {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c59
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{part 0 has other arguments than its role}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c59
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{part 1 yields no truth value}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] domain 1 {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }, {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c60
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.tensor @o <input> [@T] per [] : f32
  // expected-error@below {{result @o is not a produced tensor}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c60
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @V <fixed> 3
  seq.produced @o [@V]
  // expected-error@below {{result @o does not vary over the rows first}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c60
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{result @o has a weight, value or features that its kind does not take}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = score_max>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c61
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
  seq.kernel chunk 16 {
    seq.buffer @o <rows> order []
    seq.pass <forward> {
      // expected-error@below {{names @o; expected the first result of a seq.pairs, lanes among its rows, and a tile and vectors of at least 1}}
      seq.sweep @o tile 0 vectors 1
    }
  }
}

// -----

// c60
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @S <runtime>
  seq.produced @p [@S, @T]
  // expected-error@below {{result @p keeps a value of each pair, over the rows and s}}
  seq.pairs of [@T] over @S as ["t", "s"] results [#seq.pair_result<produced = @p, kind = each, value = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c60
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @p [@T]
  // expected-error@below {{result @p has the places of a value, over the rows and one dim}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @p, kind = places, value = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c61
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.produced @o [@T, @K]
  seq.pairs of [@T, @K] over @T as ["t", "k", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] {
  ^bb0(%t: index, %k: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
  seq.kernel chunk 16 {
    seq.buffer @o <rows> order [0]
    seq.pass <forward> {
      // expected-error@below {{names @o; expected the first result of a seq.pairs, lanes among its rows, and a tile and vectors of at least 1}}
      seq.sweep @o tile 4 vectors 1 lanes 2
    }
  }
}

// -----

// c73
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{names part 0 as a form of part 0; expected a part of its own, one for a score, weight or value}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] factored [#seq.factored_part<of = 0, part = 0>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}

// -----

// c73
seq.mixer @m compute f32 {
  seq.dim @T <runtime>
  seq.produced @o [@T]
  // expected-error@below {{part 1 has other types than part 0, of which it is a form}}
  seq.pairs of [@T] over @T as ["t", "s"] results [#seq.pair_result<produced = @o, kind = sum, weight = 0>] factored [#seq.factored_part<of = 0, part = 1>] {
  ^bb0(%t: index, %s: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }, {
  ^bb0(%t: index):
    %0 = seq.constant 1.0 : f64
    seq.yield %0 : f64
  }
}
