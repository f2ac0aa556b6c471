//===- SeqStructureOps.td - canonical recurrences -------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQ_STRUCTURE_OPS
#define SEQ_STRUCTURE_OPS

def Seq_ProducedOp : Seq_Op<"produced", [Symbol, HasParent<"MixerOp">]> {
  let summary = "a per-token tensor that a canonical recurrence makes";
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefArrayAttr:$dims);
  let assemblyFormat = "$sym_name $dims attr-dict";
  let hasVerifier = 1;
}

def Seq_AffineOp : Seq_Op<"affine", [HasParent<"MixerOp">]> {
  let summary = "the canonical affine recurrence of a matrix state";
  let description = [{
    With rows i (contracted by the reads) and columns j (everything else of the state):

        S_t[i,j] = row_decay_t[i] * col_decay_t[j] * S_{t-1}[i,j] + sum_m left_m,t[i] * w_m,t[j]
        w_m,t[j] = sum over the terms of coef_t * (right_t[j], or U_read,t[j])
        U_x,t[j] = sum_i row_x,t[i] * S_{t or t-1}[i,j]

    `row_decay` is over (t) for a scalar decay or (t, rows); absent for 1. A term that uses a read needs `before` on that read: the sum
    over such terms is the diagonal-plus-rank-r transition. Every factor is a tensor or definition over (t), (t, rows) or
    (t, columns); factors over fewer dims are constant in the rest. `rows` and `cols` number the state's dims.
  }];
  let arguments = (ins FlatSymbolRefAttr:$state, DenseI64ArrayAttr:$rows, DenseI64ArrayAttr:$cols,
                       OptionalAttr<FlatSymbolRefAttr>:$rowDecay, OptionalAttr<FlatSymbolRefAttr>:$colDecay,
                       TypedArrayAttrBase<Seq_UpdateAttr, "updates">:$updates,
                       TypedArrayAttrBase<Seq_RowReadAttr, "reads">:$reads, Seq_DirectionAttr:$direction);
  let assemblyFormat = [{
    $state `rows` $rows `cols` $cols (`row_decay` $rowDecay^)? (`col_decay` $colDecay^)?
    `updates` $updates `reads` $reads $direction attr-dict
  }];
  let hasVerifier = 1;
}

def Seq_RecurrenceOp : Seq_Op<"recurrence", [HasParent<"MixerOp">]> {
  let summary = "a group of equations that run token by token";
  let description = [{
    `members` names, in the order of execution within a token, the definitions and states of one strongly connected component (and the
    definitions that are cheapest made with it). `lanes` names the dim, when there is one, along which all members are independent.
  }];
  let arguments = (ins FlatSymbolRefArrayAttr:$states, FlatSymbolRefArrayAttr:$members, Seq_StateClassAttr:$stateClass,
                       Seq_DirectionAttr:$direction, OptionalAttr<FlatSymbolRefAttr>:$lanes);
  let assemblyFormat = "$states `members` $members $stateClass $direction (`lanes` $lanes^)? attr-dict";
  let hasVerifier = 1;
}

#endif // SEQ_STRUCTURE_OPS
