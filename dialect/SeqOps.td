//===- SeqOps.td - declarations and equations ----------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQ_OPS
#define SEQ_OPS

include "SeqAttrs.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Seq_Op<string mnemonic, list<Trait> traits = []> : Op<Seq_Dialect, mnemonic, traits>;

// A real, an integer or a truth value; at tile level also vectors of them, or tiles.
def Seq_Value : AnyTypeOf<[AnyFloat, Index, AnySignlessInteger,
                           VectorOfAnyRankOf<[AnyFloat, Index, AnySignlessInteger]>,
                           StaticShapeTensorOf<[AnyFloat, AnySignlessInteger]>]>;
def Seq_Real : AnyTypeOf<[AnyFloat, VectorOfAnyRankOf<[AnyFloat]>]>;

//===----------------------------------------------------------------------===//
// Declarations
//===----------------------------------------------------------------------===//

def Seq_MixerOp : Seq_Op<"mixer", [SymbolTable, Symbol, IsolatedFromAbove, NoTerminator, SingleBlock]> {
  let summary = "one sequence mixer: declarations, equations and, later, canonical recurrences";
  let description = [{
    Equations stand in an order in which every read at the same token comes after its definition.
    `compute` is the type in which definitions and states are held (f32, or f64).
    `no_step` gives the reason why there is no decode step (reads ahead, runs backwards, uses the length as a number).
    `summary_of` names another mixer, of which this one is the summary: with the same tensors and no outputs it makes, for a segment of
    tokens, what its `seq.transition`s need to tell the state behind the segment from that in front of it.
    `form_of` names another mixer with the same tensors, outputs and carry, which sequences may be run by this one instead of. `form_products`
    of both holds how many products each takes for a pair of positions (t, s), for a position s, and for a position t.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$compute, OptionalAttr<StrAttr>:$no_step,
                       OptionalAttr<FlatSymbolRefAttr>:$summary_of, OptionalAttr<FlatSymbolRefAttr>:$form_of,
                       OptionalAttr<DenseI64ArrayAttr>:$form_products);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name `compute` $compute attr-dict-with-keyword $body";
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Seq_DimOp : Seq_Op<"dim", [Symbol, HasParent<"MixerOp">]> {
  let summary = "a named dim: batch, run-time, or fixed with its size";
  let description = [{ A run-time dim is the length of arrays, or else `by` makes its extent from those of the dims `of`. }];
  let arguments = (ins SymbolNameAttr:$sym_name, Seq_DimKindAttr:$kind, OptionalAttr<I64Attr>:$size,
                       OptionalAttr<FlatSymbolRefArrayAttr>:$of, OptionalAttr<AffineMapAttr>:$by);
  let assemblyFormat = "$sym_name $kind ($size^)? (`of` $of^ `by` $by)? attr-dict";
  let hasVerifier = 1;
}

def Seq_TensorOp : Seq_Op<"tensor", [Symbol, HasParent<"MixerOp">]> {
  let summary = "an input (varies over the batch dims named) or a param, with its storage type and promised range";
  let description = [{
    `dims` in declared order; `batch` in declared order of the batch dims. Buffer layout: first batch dim, run-time dims,
    other batch dims, features. `range` is the promise `in [lo, hi]`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, Seq_RoleAttr:$role, FlatSymbolRefArrayAttr:$dims,
                       TypedArrayAttrBase<Seq_BatchAttr, "batch dims">:$batch, TypeAttr:$dtype,
                       OptionalAttr<F64ArrayAttr>:$range);
  let assemblyFormat = "$sym_name $role $dims `per` $batch `:` $dtype (`in` $range^)? attr-dict";
  let hasVerifier = 1;
}

def Seq_StateOp : Seq_Op<"state", [Symbol, HasParent<"MixerOp">]> {
  let summary = "a carried value over fixed dims, with its initial value";
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefArrayAttr:$dims, F64Attr:$init,
                       Seq_DirectionAttr:$direction);
  let assemblyFormat = "$sym_name $dims `init` $init $direction attr-dict";
  let hasVerifier = 1;
}

def Seq_OutputOp : Seq_Op<"output", [HasParent<"MixerOp">]> {
  let summary = "gives a definition or a state to the caller, in a storage type";
  let arguments = (ins FlatSymbolRefAttr:$source, TypeAttr:$dtype);
  let assemblyFormat = "$source `:` $dtype attr-dict";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Equations
//===----------------------------------------------------------------------===//

class Seq_Equation<string mnemonic, list<Trait> traits = []>
    : Seq_Op<mnemonic, traits # [HasParent<"MixerOp">,
                                 DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let regions = (region SizedRegion<1>:$body, MaxSizedRegion<1>:$domain);
}

def Seq_DefineOp : Seq_Equation<"define", [Symbol]> {
  let summary = "a definition: its value at every point of its dims";
  let description = [{
    The body's arguments are the left indices; it yields one value. Without a run-time dim the definition is made once a call.
    A domain (arguments as the body's, yields i1) restricts where the left side is defined; it reads as zero outside.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefArrayAttr:$dims, StrArrayAttr:$names);
  let assemblyFormat = "$sym_name $dims `as` $names attr-dict-with-keyword $body (`where` $domain^)?";
  let hasVerifier = 1;
}

def Seq_NextOp : Seq_Equation<"next"> {
  let summary = "the equation of a state: its value at token t";
  let arguments = (ins FlatSymbolRefAttr:$state, FlatSymbolRefArrayAttr:$dims, StrArrayAttr:$names);
  let assemblyFormat = "$state $dims `as` $names attr-dict-with-keyword $body (`where` $domain^)?";
  let hasVerifier = 1;
}

def Seq_YieldOp : Seq_Op<"yield", [Pure, Terminator]> {
  let summary = "ends a body with its value";
  let arguments = (ins Seq_Value:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

def Seq_ConstantOp : Seq_Op<"constant", [Pure, ConstantLike, AllTypesMatch<["value", "result"]>]> {
  let summary = "a number or truth value";
  let arguments = (ins TypedAttrInterface:$value);
  let results = (outs Seq_Value:$result);
  let assemblyFormat = "$value attr-dict";
  let hasFolder = 1;
}

def Seq_ExtentOp : Seq_Op<"extent", [Pure]> {
  let summary = "the length of a run-time dim as a number";
  let arguments = (ins FlatSymbolRefAttr:$dim);
  let results = (outs Index:$result);
  let assemblyFormat = "$dim attr-dict";
  let hasVerifier = 1;
}

def Seq_ReadOp : Seq_Op<"read", [Pure]> {
  let summary = "an element of a tensor, state or definition";
  let description = [{
    One affine expression a dim, over the operands (indices, or computed integers). A read outside the extent is zero;
    at a negative token it is the window of the carry, or a state's initial value.
  }];
  let arguments = (ins FlatSymbolRefAttr:$source, Variadic<Index>:$operands, AffineMapAttr:$map);
  let results = (outs AnyTypeOf<[F64, Index, I1]>:$result);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether an index of the read uses a computed integer, so that its value is not known from the indices around it. Such an index
    /// is clamped to the extent; others read zero outside of it.
    bool isDataDependent(unsigned place);
  }];
}

def Seq_UnaryOp : Seq_Op<"unary", !listconcat([Pure], ElementwiseMappable.traits)> {
  let summary = "a function of one argument";
  let arguments = (ins Seq_UnaryFnAttr:$fn, Seq_Value:$operand);
  let results = (outs Seq_Value:$result);
  let assemblyFormat = "$fn $operand attr-dict `:` functional-type($operand, $result)";
  let hasVerifier = 1;
}

def Seq_BinaryOp : Seq_Op<"binary", !listconcat([Pure, SameOperandsAndResultType], ElementwiseMappable.traits)> {
  let summary = "a function of two arguments of one type";
  let arguments = (ins Seq_BinaryFnAttr:$fn, Seq_Value:$lhs, Seq_Value:$rhs);
  let results = (outs Seq_Value:$result);
  let assemblyFormat = "$fn $lhs `,` $rhs attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Seq_CompareOp : Seq_Op<"compare", [Pure, SameTypeOperands]> {
  let summary = "compares two numbers";
  let arguments = (ins Seq_PredicateAttr:$predicate, Seq_Value:$lhs, Seq_Value:$rhs);
  let results = (outs I1:$result);
  let assemblyFormat = "$predicate $lhs `,` $rhs attr-dict `:` type($lhs)";
}

def Seq_SelectOp : Seq_Op<"select", [Pure, AllTypesMatch<["whenTrue", "whenFalse", "result"]>]> {
  let summary = "a if c else b; only the chosen side counts";
  let arguments = (ins I1:$condition, Seq_Value:$whenTrue, Seq_Value:$whenFalse);
  let results = (outs Seq_Value:$result);
  let assemblyFormat = "$condition `,` $whenTrue `,` $whenFalse attr-dict `:` type($result)";
}

def Seq_ToRealOp : Seq_Op<"to_real", [Pure]> {
  let summary = "an integer as a real";
  let arguments = (ins Index:$operand);
  let results = (outs F64:$result);
  let assemblyFormat = "$operand attr-dict";
}

def Seq_ReduceOp : Seq_Op<"reduce", [Pure, DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "a reduction over every point of the dims (inside its domain)";
  let arguments = (ins Seq_ReduceKindAttr:$kind, FlatSymbolRefArrayAttr:$dims, StrArrayAttr:$names);
  let regions = (region SizedRegion<1>:$body, MaxSizedRegion<1>:$domain);
  let results = (outs F64:$result);
  let assemblyFormat = "$kind $dims `as` $names attr-dict-with-keyword $body (`where` $domain^)?";
  let hasVerifier = 1;
}

def Seq_MapOp : Seq_Op<"map", [Pure, DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmBlockArgumentNames"]>]> {
  let summary = "softmax, cumulative sum or top-k over one dim, at one point of it";
  let arguments = (ins Seq_MapKindAttr:$kind, FlatSymbolRefAttr:$dim, StrAttr:$name, Index:$at, OptionalAttr<I64Attr>:$count);
  let regions = (region SizedRegion<1>:$body, MaxSizedRegion<1>:$domain);
  let results = (outs AnyTypeOf<[F64, I1]>:$result);
  let assemblyFormat = "$kind $dim `as` $name `at` $at (`count` $count^)? `:` type($result) attr-dict-with-keyword $body (`where` $domain^)?";
  let hasVerifier = 1;
}

include "SeqStructureOps.td"
include "SeqChunkOps.td"

#endif // SEQ_OPS
