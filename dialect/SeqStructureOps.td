//===- SeqStructureOps.td - canonical recurrences -------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQ_STRUCTURE_OPS
#define SEQ_STRUCTURE_OPS

def Seq_ProducedOp : Seq_Op<"produced", [Symbol, HasParent<"MixerOp">]> {
  let summary = "a tensor that a canonical recurrence or a pairwise reduction makes";
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefArrayAttr:$dims);
  let assemblyFormat = "$sym_name $dims attr-dict";
  let hasVerifier = 1;
}

def Seq_AffineOp : Seq_Op<"affine", [HasParent<"MixerOp">]> {
  let summary = "the canonical affine recurrence of a matrix state, or of several coupled ones";
  let description = [{
    With rows i (contracted by the reads) and columns j:

        S_t[i,j] = row_decay_t[i] * col_decay_t[j] * S_{t-1}[i,j] + sum_m left_m,t[i] * w_m,t[j]
        w_m,t[j] = sum over the terms of coef_t * (right_t[j], or U_read,t[j])
        U_x,t[j] = sum_i row_x,t[i] * S_{t or t-1}[i,j]

    `outer` dims, if any, number independent matrices: there is such a recurrence for each of their elements, and every factor and result may
    vary over them.

    Several states of the same dims that depend on each other are the components S^0, S^1, ... of one recurrence: `state`, then `others`. So are the
    elements of the dim `inner` of each state (that of the first state first). With a, b over the components, in place of the row decay,

        S^a_t[i,j] = col_decay_t[j] * sum_b coupling^ab_t[i] * S^b_{t-1}[i,j] + sum_m left^a_m,t[i] * w_m,t[j]
        U_x,t[j] = sum_a sum_i row^a_x,t[i] * S^a_{t or t-1}[i,j]

    where what is not named of `coupling`, left factors and rows is zero.

    Reads of other kinds weigh every element, `U_x,t[j] = sum_i row_x,t[i,j] * S[i,j]`, or sum over the columns, `U_x,t[i] = sum_j row_x,t[j] * S[i,j]`.
    They are for results only.

    `row_decay` is over (t) for a scalar decay or (t, rows); absent for 1. A term that uses a read needs `before` on that read: the sum
    over such terms is the diagonal-plus-rank-r transition. Every factor is a tensor or definition over (t), (t, rows) or
    (t, columns), and the outer dims; factors over fewer dims are constant in the rest. `outer`, `inner`, `rows` and `cols` number the state's dims.
  }];
  let arguments = (ins FlatSymbolRefAttr:$state, OptionalAttr<FlatSymbolRefArrayAttr>:$others, OptionalAttr<DenseI64ArrayAttr>:$outer,
                       OptionalAttr<I64Attr>:$inner, DenseI64ArrayAttr:$rows, DenseI64ArrayAttr:$cols,
                       OptionalAttr<FlatSymbolRefAttr>:$rowDecay, OptionalAttr<FlatSymbolRefAttr>:$colDecay,
                       OptionalAttr<TypedArrayAttrBase<Seq_CouplingAttr, "couplings">>:$coupling,
                       TypedArrayAttrBase<Seq_UpdateAttr, "updates">:$updates,
                       TypedArrayAttrBase<Seq_RowReadAttr, "reads">:$reads, Seq_DirectionAttr:$direction);
  let assemblyFormat = [{
    $state (`with` $others^)? (`outer` $outer^)? (`inner` $inner^)? `rows` $rows `cols` $cols
    (`row_decay` $rowDecay^)? (`col_decay` $colDecay^)? (`coupling` $coupling^)?
    `updates` $updates `reads` $reads $direction attr-dict
  }];
  let extraClassDeclaration = [{
    /// All states, the first one first.
    ::llvm::SmallVector<::mlir::FlatSymbolRefAttr, 2> states();
    bool makes(::mlir::StringAttr state);
    /// Components of a state: the size of the inner dim, or 1.
    int64_t innerSize();
    /// Components in all.
    int64_t componentCount() { return innerSize() * static_cast<int64_t>(states().size()); }
    /// The numbers of the outer dims, none without the attribute.
    ::llvm::ArrayRef<int64_t> outerDims();
    /// The dims of the state that the factor of a read of this kind may have, and those that its result has, besides the outer ones.
    ::llvm::SmallVector<int64_t> factorSide(::mlir::seq::ReadKind kind);
    ::llvm::ArrayRef<int64_t> resultSide(::mlir::seq::ReadKind kind) { return sumsColumns(kind) ? getRows() : getCols(); }
    /// The numbers of the outer dims and of `side`, ascending: the dims that a factor may have and a result has.
    ::llvm::SmallVector<int64_t> withOuter(::llvm::ArrayRef<int64_t> side);
    /// For each dim of a factor of `side` (rows or columns), behind the token's, the number of the state's dim that it is.
    ::llvm::SmallVector<int64_t> numbersOf(::mlir::FlatSymbolRefAttr factor, ::llvm::ArrayRef<int64_t> side);
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

def Seq_PairsOp : Seq_Op<"pairs", [HasParent<"MixerOp">, NoTerminator,
                                   DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "reductions over every position s for each row t, which share a domain and a score";
  let description = [{
    `rows` holds the dims that number the rows, a run-time dim first (none: there is one row); t stands for all of them. `over` is the dim of s.
    The parts are functions of (t, s) and are numbered:

    - `domain` says which pairs count; absent, all do.
    - `score` a(t, s), when there is one, gives each pair the number e = exp(a - m) with m the maximum of the row's scores (0 when that is infinite).
    - A result reduces weight(t, s, e) * value(t, s, features) over s into a produced tensor over (t, features). A weight has `e` as a further
      argument when there is a score. `score_max` is m itself, -inf for a row without pairs. `each` keeps the values, zero outside of the
      domain: its tensor is over (t, s). `places` are the s of the n greatest values, in this order and the lowest s of equal ones first, -1 where there are
      no more: its tensor is over (t, n).

    A row without pairs gives the identity of each reduction. The sums are those of the monoid (m, sums): two parts of a row merge by
    scaling the sums of each to the greater m, so that s may be walked in tiles and split among tasks in any way.

    `factored` names parts that stand for a score, a weight or a kept value: the same function in terms of exponentials of one position each,
    which are made once a position and not once a pair. Their sums over features are of quotients n / (1 + exp(x) * exp(y)). Such a part holds where no
    exponential and no numerator n is so large that a product of them could overflow; elsewhere, and for NaN, the part as written counts.
  }];
  let arguments = (ins FlatSymbolRefArrayAttr:$rows, FlatSymbolRefAttr:$over, StrArrayAttr:$names,
                       TypedArrayAttrBase<Seq_PairResultAttr, "results">:$outs,
                       OptionalAttr<I64Attr>:$score, OptionalAttr<I64Attr>:$domain,
                       OptionalAttr<TypedArrayAttrBase<Seq_FactoredPartAttr, "factored parts">>:$factored);
  let regions = (region VariadicRegion<SizedRegion<1>>:$parts);
  let assemblyFormat = [{
    `of` $rows `over` $over `as` $names `results` $outs (`score` $score^)? (`domain` $domain^)? (`factored` $factored^)? attr-dict-with-keyword $parts
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The run-time dim of the rows, or null.
    ::mlir::FlatSymbolRefAttr getRowDim();
    /// A part, or null for -1.
    ::mlir::Block *getPart(int64_t number) { return number < 0 ? nullptr : &getParts()[number].front(); }
    ::mlir::Block *getScoreBlock() { return getScore() ? getPart(*getScore()) : nullptr; }
    ::mlir::Block *getDomainBlock() { return getDomain() ? getPart(*getDomain()) : nullptr; }
    /// The factored form of a part, or null.
    ::mlir::seq::FactoredPartAttr getFactoredForm(int64_t part);
    /// Whether a part is the factored form of another one.
    bool isFactoredForm(int64_t part);
    /// The arguments of a part that are the rows' position in the run-time dim (null for none), and s.
    ::mlir::Value rowOf(::mlir::Block *part) { return getRowDim() ? ::mlir::Value(part->getArgument(0)) : ::mlir::Value(); }
    ::mlir::Value columnOf(::mlir::Block *part) { return part->getArgument(getRows().size()); }
  }];
}

def Seq_TransitionOp : Seq_Op<"transition", [HasParent<"MixerOp">]> {
  let summary = "how the state behind a segment follows from that in front of it";
  let description = [{
    Stands in a summary (a mixer with `summary_of`). Behind a segment

        to = its value in the summary, which starts from zero
             + for each transition: the product of `factors` behind the segment * `from` in front of it

    `factors` are states of the summary that start from one (or from zero where `to` and `from` differ) and take the transition alone; without any
    the product is one. `places` gives for each factor the numbers of the dims of `to` that it varies over.
  }];
  let arguments = (ins FlatSymbolRefAttr:$to, FlatSymbolRefAttr:$from, FlatSymbolRefArrayAttr:$factors,
                       TypedArrayAttrBase<DenseI64ArrayAttr, "dims of each factor">:$places);
  let assemblyFormat = "$to `from` $from `by` $factors `over` $places attr-dict";
  let hasVerifier = 1;
}

def Seq_ConvolutionOp : Seq_Op<"convolution", [HasParent<"MixerOp">]> {
  let summary = "a sum over all positions whose weights depend on the distance alone";
  let description = [{
    Makes a produced tensor over (t, features):

        produced_t = sum over 0 <= n <= last of past_n * signal_{t-n}
                   + sum over 1 <= n <= -first of ahead_n * signal_{t+n}

    `past` and `ahead` are tensors or definitions over a distance n, counted by the dim of the positions, `signal` is one over the positions; each may
    vary over some of the features. Distances from `first` to `last` count (absent: all that there are); an absent filter is zero, so that a convolution
    without `ahead` is causal. A circulant matrix has the same form: both filters then hold the same weights.
  }];
  let arguments = (ins FlatSymbolRefAttr:$produced, Seq_LagOperandAttr:$signal, OptionalAttr<Seq_LagOperandAttr>:$past,
                       OptionalAttr<Seq_LagOperandAttr>:$ahead, OptionalAttr<I64Attr>:$first, OptionalAttr<I64Attr>:$last);
  let assemblyFormat = [{
    $produced `of` $signal (`past` $past^)? (`ahead` $ahead^)? (`from` $first^)? (`to` $last^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The operands that there are: the signal, then the filters.
    ::llvm::SmallVector<::mlir::seq::LagOperandAttr, 3> getLagOperands() {
      ::llvm::SmallVector<::mlir::seq::LagOperandAttr, 3> operands = {getSignal()};
      for (auto filter : {getPast(), getAhead()})
        if (filter)
          operands.push_back(*filter);
      return operands;
    }
  }];
}

#endif // SEQ_STRUCTURE_OPS
