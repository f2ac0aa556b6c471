//===- SeqChunkOps.td - what one task does, chunk by chunk ---------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQ_CHUNK_OPS
#define SEQ_CHUNK_OPS

def Seq_Space : Seq_Enum<"Space", "how long a buffer lives and what its rows are", [
  I32EnumAttrCase<"Shared", 0, "shared">,      // made once a call and group of batch elements that share the params
  I32EnumAttrCase<"Task", 1, "task">,          // made once a task: no token dim, varies over the first batch dim
  I32EnumAttrCase<"Rows", 2, "rows">,          // one row a token of the chunk, `halo` rows of earlier tokens in front
  I32EnumAttrCase<"Token", 3, "token">,        // one row, overwritten every token of a loop
  I32EnumAttrCase<"State", 4, "state">,        // a state: kept from chunk to chunk
  I32EnumAttrCase<"Sequence", 5, "sequence">]>; // one row a token of the whole sequence: passes of different directions meet here
def Seq_SpaceAttr : Seq_EnumAttr<Seq_Space, "space">;

def Seq_BufferOp : Seq_Op<"buffer", [HasParent<"KernelOp">]> {
  let summary = "where the elements of a tensor, definition, produced tensor or state stand";
  let description = [{
    `of` names it. Its dims without the token dim, in the order `order` (numbers of its non-token dims; the last is contiguous),
    the contiguous one padded to a multiple of the target's lanes. Reals are held in the mixer's compute type, integers and truth values in i32.
    Rows and sequence buffers have room for `halo` tokens in front and `ahead` tokens behind: of a tensor they are gathered with the chunk (before the first
    token: the carry's window, or zero; beyond the last: zero); of anything computed, those on the side where the pass comes from are the rows that the chunk before
    left, at the first chunk the carry's window or zero (a state: its initial value). A state has a state buffer, and a rows buffer besides when its values are read outside its loop.
  }];
  let arguments = (ins FlatSymbolRefAttr:$of, Seq_SpaceAttr:$space, DenseI64ArrayAttr:$order,
                       DefaultValuedAttr<I64Attr, "0">:$halo, DefaultValuedAttr<I64Attr, "0">:$ahead);
  let assemblyFormat = "$of $space `order` $order attr-dict";
  let hasVerifier = 1;
}

def Seq_KernelOp : Seq_Op<"kernel", [HasParent<"MixerOp">, NoTerminator, SingleBlock]> {
  let summary = "the schedule of a mixer's forward call";
  let description = [{
    Buffers first, then one `seq.prologue` each for shared and task space, then one or more `seq.pass`. `chunk` is the number of tokens a pass handles at
    a time. `split` names a fixed dim along which everything is independent: a task then covers `split_size` elements of it
    (the frame says which; buffers over that dim hold only those). `batch_block` elements of the first batch dim go through one task together.
  }];
  let arguments = (ins I64Attr:$chunk, OptionalAttr<FlatSymbolRefAttr>:$split, OptionalAttr<I64Attr>:$split_size,
                       DefaultValuedAttr<I64Attr, "1">:$batch_block);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`chunk` $chunk (`split` $split^ `by` $split_size)? attr-dict-with-keyword $body";
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Seq_PrologueOp : Seq_Op<"prologue", [HasParent<"KernelOp">, NoTerminator, SingleBlock]> {
  let summary = "packs params and makes definitions without a token dim";
  let arguments = (ins Seq_SpaceAttr:$space);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$space attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def Seq_PassOp : Seq_Op<"pass", [HasParent<"KernelOp">, NoTerminator, SingleBlock]> {
  let summary = "walks a run-time dim in chunks, forwards or backwards, and runs its steps for each";
  let description = [{
    `over` names a run-time dim other than that of the tokens. `once` stands for a pass that walks nothing: its steps make what has no
    token dim from what earlier passes made.
  }];
  let arguments = (ins Seq_DirectionAttr:$direction, OptionalAttr<FlatSymbolRefAttr>:$over, UnitAttr:$once);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$direction (`over` $over^)? (`once` $once^)? attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def Seq_GatherOp : Seq_Op<"gather", [ParentOneOf<["PassOp", "PrologueOp"]>]> {
  let summary = "copies a tensor's elements from the caller's memory into its buffer";
  let description = [{ In a pass: this chunk's rows (zeros beyond the last token). The halo rows come from the chunk before, at the start from the carry's window. }];
  let arguments = (ins FlatSymbolRefAttr:$of);
  let assemblyFormat = "$of attr-dict";
  let hasVerifier = 1;
}

def Seq_EvalOp : Seq_Op<"eval", [ParentOneOf<["PassOp", "PrologueOp"]>]> {
  let summary = "computes a definition for every token of the chunk into its buffer, all tokens independent";
  let description = [{ `lanes` numbers the definition's dim that is vectorised (the token dim counts), or is -1: vectorise the reductions of its body. }];
  let arguments = (ins FlatSymbolRefAttr:$of, I64Attr:$lanes);
  let assemblyFormat = "$of `lanes` $lanes attr-dict";
  let hasVerifier = 1;
}

def Seq_ScatterOp : Seq_Op<"scatter", [HasParent<"PassOp">]> {
  let summary = "copies an output's rows of this chunk to the caller's memory";
  let arguments = (ins FlatSymbolRefAttr:$of);
  let assemblyFormat = "$of attr-dict";
  let hasVerifier = 1;
}

def Seq_SolveOp : Seq_Op<"solve", [HasParent<"PassOp">]> {
  let summary = "runs the canonical affine recurrence of a state over this chunk in block form";
  let description = [{ `block` tokens a sweep over the state, `panel` vectors of columns a sweep. The factors stand in rows buffers. }];
  let arguments = (ins FlatSymbolRefAttr:$state, I64Attr:$block, I64Attr:$panel);
  let assemblyFormat = "$state `block` $block `panel` $panel attr-dict";
  let hasVerifier = 1;
}

def Seq_LoopOp : Seq_Op<"loop", [HasParent<"PassOp">]> {
  let summary = "runs a recurrence's members token by token over this chunk";
  let description = [{
    `members` in order of execution. With `lanes`, all members are independent along that dim: lanes outside, tokens inside, states in registers
    as far as they fit. Without, tokens are outside and each member is computed over its dims for each token.
    `keep` names states whose value before this token is still read after they are written.
  }];
  let arguments = (ins FlatSymbolRefArrayAttr:$members, OptionalAttr<FlatSymbolRefAttr>:$lanes,
                       FlatSymbolRefArrayAttr:$keep);
  let assemblyFormat = "$members (`lanes` $lanes^)? `keep` $keep attr-dict";
  let hasVerifier = 1;
}

def Seq_SweepOp : Seq_Op<"sweep", [HasParent<"PassOp">]> {
  let summary = "runs a pairwise reduction for the rows of this chunk";
  let description = [{
    `of` names the first result of the `seq.pairs`. Its rows in dim number `lanes` are the lanes, `vectors` vectors of them a panel; those of other dims are run one by one.
    s is walked in tiles of `tile` positions. What is read at s comes from the caller's memory or from a buffer of the whole sequence, what is read at t from the chunk's rows.
  }];
  let arguments = (ins FlatSymbolRefAttr:$of, I64Attr:$tile, I64Attr:$vectors, DefaultValuedAttr<I64Attr, "0">:$lanes);
  let assemblyFormat = "$of `tile` $tile `vectors` $vectors (`lanes` $lanes^)? attr-dict";
  let hasVerifier = 1;
}

def Seq_ConvolveOp : Seq_Op<"convolve", [HasParent<"PassOp">]> {
  let summary = "runs a convolution over the whole sequence, before the pass's first chunk";
  let description = [{
    `of` names the result of the `seq.convolution`, a buffer of the whole sequence; its operands are the caller's or were made in earlier passes.
    `lanes` numbers the result's feature that is vectorised (-1: there is none). The direct form makes `rows` positions from a window of registers. With
    `transforms`, Fourier transforms take its place for lengths at which they cost less.
  }];
  let arguments = (ins FlatSymbolRefAttr:$of, I64Attr:$lanes, I64Attr:$rows, UnitAttr:$transforms);
  let assemblyFormat = "$of `lanes` $lanes `rows` $rows (`transforms` $transforms^)? attr-dict";
  let hasVerifier = 1;
}

#endif // SEQ_CHUNK_OPS
