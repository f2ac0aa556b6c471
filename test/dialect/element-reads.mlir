// RUN: seq-opt %s -split-input-file -verify-diagnostics | FileCheck %s

// CHECK: reads [#seq.row_read<row = @w, before = false, result = @o, kind = row_elements>, #seq.row_read<row = @v, before = true, result = @r, kind = columns>]
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @w <param> [@K, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  seq.produced @r [@T, @K]
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @w, before = false, result = @o, kind = row_elements>, #seq.row_read<row = @v, before = true, result = @r, kind = columns>] <forward>
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
  seq.tensor @w <param> [@K, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @r [@T, @K]
  // expected-error@below {{factor of a sum over columns @k must not vary over @K}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @k, before = false, result = @r, kind = columns>] <forward>
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
  seq.tensor @w <param> [@K, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @r [@T, @V]
  // expected-error@below {{read @r is not a produced tensor over the token, the outer dims and the rows}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @w, before = false, result = @r, kind = column_elements>] <forward>
}

// -----

// c75
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @w <param> [@K, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  seq.produced @o [@T, @V]
  // expected-error@below {{a term uses read 0, which is no sum over rows with one factor for all columns}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<read = 0>]>] reads [#seq.row_read<row = @w, before = true, result = @o, kind = row_elements>] <forward>
}

// -----

// c76
seq.mixer @m compute f32 {
  seq.dim @B <batch>
  seq.dim @T <runtime>
  seq.dim @K <fixed> 4
  seq.dim @V <fixed> 3
  seq.tensor @k <input> [@T, @K] per [] : f32
  seq.tensor @v <input> [@T, @V] per [] : f32
  seq.tensor @w <param> [@K, @V] per [] : f32
  seq.tensor @g <input> [@T] per [] : f32
  seq.state @S [@K, @V] init 0.0 <forward>
  // expected-error@below {{a read of kind columns has no result}}
  seq.affine @S rows [0] cols [1] row_decay @g updates [#seq.update<@k, [#seq.term<right = @v>]>] reads [#seq.row_read<row = @v, before = false, kind = columns>] <forward>
}
