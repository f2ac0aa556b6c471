//===- SeqAttrs.td - enums and attributes of the seq dialect ------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQ_ATTRS
#define SEQ_ATTRS

include "SeqDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class Seq_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::seq";
  let genSpecializedAttr = 0;
}
class Seq_EnumAttr<I32EnumAttr info, string mnem> : EnumAttr<Seq_Dialect, info, mnem> {
  let assemblyFormat = "`<` $value `>`";
}

def Seq_DimKind : Seq_Enum<"DimKind", "how the extent of a dim is known", [
  I32EnumAttrCase<"Batch", 0, "batch">, I32EnumAttrCase<"Runtime", 1, "runtime">,
  I32EnumAttrCase<"Fixed", 2, "fixed">]>;
def Seq_DimKindAttr : Seq_EnumAttr<Seq_DimKind, "dim_kind">;

def Seq_Role : Seq_Enum<"Role", "who gives a tensor", [
  I32EnumAttrCase<"Input", 0, "input">, I32EnumAttrCase<"Param", 1, "param">]>;
def Seq_RoleAttr : Seq_EnumAttr<Seq_Role, "role">;

def Seq_Direction : Seq_Enum<"Direction", "the order in which a recurrence visits tokens", [
  I32EnumAttrCase<"Forward", 0, "forward">, I32EnumAttrCase<"Backward", 1, "backward">]>;
def Seq_DirectionAttr : Seq_EnumAttr<Seq_Direction, "direction">;

// Functions of one argument. Floor takes a real and gives an integer-valued real at tile level, an index in equations.
def Seq_UnaryFn : Seq_Enum<"UnaryFn", "function of one argument", [
  I32EnumAttrCase<"Neg", 0, "neg">, I32EnumAttrCase<"Exp", 1, "exp">, I32EnumAttrCase<"Log", 2, "log">,
  I32EnumAttrCase<"Log1p", 3, "log1p">, I32EnumAttrCase<"Expm1", 4, "expm1">, I32EnumAttrCase<"Sqrt", 5, "sqrt">,
  I32EnumAttrCase<"Rsqrt", 6, "rsqrt">, I32EnumAttrCase<"Abs", 7, "abs">, I32EnumAttrCase<"Sign", 8, "sign">,
  I32EnumAttrCase<"Floor", 9, "floor">, I32EnumAttrCase<"Sigmoid", 10, "sigmoid">,
  I32EnumAttrCase<"LogSigmoid", 11, "logsigmoid">, I32EnumAttrCase<"Silu", 12, "silu">,
  I32EnumAttrCase<"Softplus", 13, "softplus">, I32EnumAttrCase<"Tanh", 14, "tanh">,
  I32EnumAttrCase<"Relu", 15, "relu">, I32EnumAttrCase<"Gelu", 16, "gelu">, I32EnumAttrCase<"Erf", 17, "erf">,
  I32EnumAttrCase<"Sin", 18, "sin">, I32EnumAttrCase<"Cos", 19, "cos">, I32EnumAttrCase<"Not", 20, "not">]>;
def Seq_UnaryFnAttr : Seq_EnumAttr<Seq_UnaryFn, "unary_fn">;

def Seq_BinaryFn : Seq_Enum<"BinaryFn", "function of two arguments", [
  I32EnumAttrCase<"Add", 0, "add">, I32EnumAttrCase<"Sub", 1, "sub">, I32EnumAttrCase<"Mul", 2, "mul">,
  I32EnumAttrCase<"Div", 3, "div">, I32EnumAttrCase<"FloorDiv", 4, "floordiv">, I32EnumAttrCase<"Mod", 5, "mod">,
  I32EnumAttrCase<"Pow", 6, "pow">, I32EnumAttrCase<"Min", 7, "min">, I32EnumAttrCase<"Max", 8, "max">,
  I32EnumAttrCase<"LogAddExp", 9, "logaddexp">, I32EnumAttrCase<"And", 10, "and">, I32EnumAttrCase<"Or", 11, "or">]>;
def Seq_BinaryFnAttr : Seq_EnumAttr<Seq_BinaryFn, "binary_fn">;

def Seq_Predicate : Seq_Enum<"Predicate", "comparison", [
  I32EnumAttrCase<"Eq", 0, "eq">, I32EnumAttrCase<"Ne", 1, "ne">, I32EnumAttrCase<"Lt", 2, "lt">,
  I32EnumAttrCase<"Le", 3, "le">, I32EnumAttrCase<"Gt", 4, "gt">, I32EnumAttrCase<"Ge", 5, "ge">]>;
def Seq_PredicateAttr : Seq_EnumAttr<Seq_Predicate, "predicate">;

def Seq_ReduceKind : Seq_Enum<"ReduceKind", "monoid of a reduction", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Prod", 1, "prod">, I32EnumAttrCase<"Max", 2, "max">,
  I32EnumAttrCase<"Min", 3, "min">, I32EnumAttrCase<"LogSumExp", 4, "logsumexp">]>;
def Seq_ReduceKindAttr : Seq_EnumAttr<Seq_ReduceKind, "reduce_kind">;

def Seq_MapKind : Seq_Enum<"MapKind", "map that keeps its index", [
  I32EnumAttrCase<"Softmax", 0, "softmax">, I32EnumAttrCase<"CumSum", 1, "cumsum">,
  I32EnumAttrCase<"TopK", 2, "topk">]>;
def Seq_MapKindAttr : Seq_EnumAttr<Seq_MapKind, "map_kind">;

def Seq_StateClass : Seq_Enum<"StateClass", "algebraic class of a group of states", [
  I32EnumAttrCase<"Elementwise", 0, "elementwise">,       // affine, every state element on its own
  I32EnumAttrCase<"Selective", 1, "selective">,           // elementwise with a decay over several state indices
  I32EnumAttrCase<"CoupledLinear", 2, "coupled_linear">,  // affine, a few elements mixed pointwise (rotation, momentum)
  I32EnumAttrCase<"DenseLinear", 3, "dense_linear">,      // affine, a dense transition matrix
  I32EnumAttrCase<"Stabilised", 4, "stabilised">,         // max-carried or log-sum-exp monoid
  I32EnumAttrCase<"NonlinearDiagonal", 5, "nonlinear_diagonal">,
  I32EnumAttrCase<"NonlinearDense", 6, "nonlinear_dense">]>;
def Seq_StateClassAttr : Seq_EnumAttr<Seq_StateClass, "state_class">;

def Seq_BatchAttr : AttrDef<Seq_Dialect, "Batch"> {
  let mnemonic = "batch";
  let summary = "a batch dim that a tensor varies over, its extent divided by `div` (grouped heads)";
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$dim, "int64_t":$div);
  let assemblyFormat = "`<` $dim `,` $div `>`";
}

def Seq_TermAttr : AttrDef<Seq_Dialect, "Term"> {
  let mnemonic = "term";
  let summary = "one summand of the right factor of a rank-one update";
  let description = [{
    Contributes `coef[t] * right[t, j]` where `right` is a tensor over the column dims, or `coef[t] * U_read[t, j]` where `read`
    numbers one of the op's reads. `coef` is absent for 1; it may vary over the columns too. Exactly one of `right` and `read` is given (`read` is -1 when it is not).
  }];
  let parameters = (ins OptionalParameter<"::mlir::FlatSymbolRefAttr">:$coef,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$right,
                        DefaultValuedParameter<"int64_t", "-1">:$read);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Seq_RowFactorAttr : AttrDef<Seq_Dialect, "RowFactor"> {
  let mnemonic = "row_factor";
  let summary = "a factor over the rows, for one component of a state";
  let parameters = (ins "int64_t":$component, "::mlir::FlatSymbolRefAttr":$symbol);
  let assemblyFormat = "`<` $component `=` $symbol `>`";
}

/// By component: `@k` for the first one alone, `[0 = @k, 1 = @u]` in general.
class Seq_RowFactors<string desc> : ArrayRefParameter<"RowFactorAttr", desc> {
  let parser = "parseRowFactors($_parser)";
  let printer = "printRowFactors($_printer, $_self)";
}

def Seq_CouplingAttr : AttrDef<Seq_Dialect, "Coupling"> {
  let mnemonic = "coupling";
  let summary = "what component `to` takes of component `from` at the token before: `factor`[t], or [t, i]";
  let parameters = (ins "int64_t":$to, "int64_t":$from, "::mlir::FlatSymbolRefAttr":$factor);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Seq_UpdateAttr : AttrDef<Seq_Dialect, "Update"> {
  let mnemonic = "update";
  let summary = "a rank-one update: left[t, i], for each component, times the sum of its terms over the columns";
  let parameters = (ins Seq_RowFactors<"left factors by component">:$lefts, ArrayRefParameter<"TermAttr">:$terms);
  let assemblyFormat = "`<` $lefts `,` `[` $terms `]` `>`";
}

def Seq_ReadKind : Seq_Enum<"ReadKind", "what a read of a matrix state sums over, and what its factor varies over", [
  I32EnumAttrCase<"Rows", 0, "rows">,                         // sum over rows; a factor over the rows
  I32EnumAttrCase<"RowElements", 1, "row_elements">,          // sum over rows; a factor for every element
  I32EnumAttrCase<"Columns", 2, "columns">,                   // sum over columns; a factor over the columns
  I32EnumAttrCase<"ColumnElements", 3, "column_elements">]>;  // sum over columns; a factor for every element

def Seq_RowReadAttr : AttrDef<Seq_Dialect, "RowRead"> {
  let mnemonic = "row_read";
  let summary = "result[t, j] = sum over i of row[t, i] * S[t or t-1, i, j], or another sum of elements of the state";
  let description = [{
    Of several components, the sum over those that `row` has. `before` reads the state before this token's update. `result` names the `seq.produced` tensor; absent when only updates use it.
    The factor of a read of kind `row_elements` also varies over the columns. One of kind `columns` is the sum over the columns, result[t, i] = sum over j of row[t, j] * S[t or t-1, i, j]; the factor of
    `column_elements` also varies over the rows. These are read off the elements as they pass through the registers, and updates do not use them.
  }];
  let parameters = (ins Seq_RowFactors<"factors by component">:$row, "bool":$before,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$result,
                        DefaultValuedParameter<"::mlir::seq::ReadKind", "::mlir::seq::ReadKind::Rows">:$kind);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Seq_PairKind : Seq_Enum<"PairKind", "what a row of pairs is reduced to; `each` keeps the value of every pair", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Prod", 1, "prod">, I32EnumAttrCase<"Max", 2, "max">,
  I32EnumAttrCase<"Min", 3, "min">, I32EnumAttrCase<"ScoreMax", 4, "score_max">,
  I32EnumAttrCase<"Each", 5, "each">, I32EnumAttrCase<"Places", 6, "places">]>;

def Seq_PairResultAttr : AttrDef<Seq_Dialect, "PairResult"> {
  let mnemonic = "pair_result";
  let summary = "a produced tensor of a pairwise reduction: the reduction over s of weight(t, s) * value(t, s, features)";
  let description = [{ `weight` and `value` number the op's parts; -1 stands for 1. The maximum of the scores has neither. }];
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$produced, "::mlir::seq::PairKind":$kind,
                        DefaultValuedParameter<"int64_t", "-1">:$weight,
                        DefaultValuedParameter<"int64_t", "-1">:$value);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Seq_FactoredPartAttr : AttrDef<Seq_Dialect, "FactoredPart"> {
  let mnemonic = "factored_part";
  let summary = "another form of a part of a pairwise reduction, whose exponentials are of one position each";
  let description = [{
    Part `part` is what part `of` is wherever the exponentials and numerators in it are moderate. `bounded`: declared ranges prove that they always are.
  }];
  let parameters = (ins "int64_t":$of, "int64_t":$part, DefaultValuedParameter<"bool", "false">:$bounded);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Seq_LagOperandAttr : AttrDef<Seq_Dialect, "LagOperand"> {
  let mnemonic = "lag_operand";
  let summary = "an operand of a convolution: a symbol over a position or distance, then features of the result";
  let description = [{ `features` numbers, for each dim of the symbol behind the first, the feature of the result that it is. }];
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$symbol, OptionalArrayRefParameter<"int64_t">:$features);
  let assemblyFormat = "`<` $symbol (`over` $features^)? `>`";
}

#endif // SEQ_ATTRS
