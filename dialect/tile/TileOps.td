//===- TileOps.td - ops on tiles -----------------------------------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef TILE_OPS
#define TILE_OPS

include "TileTypes.td"
include "mlir/Dialect/LLVMIR/LLVMOpBase.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Tile_Op<string mnemonic, list<Trait> traits = []> : Op<Tile_Dialect, mnemonic, traits>;

def Tile_Tile : StaticShapeTensorOf<[AnyFloat, AnySignlessInteger]>;
def Tile_Global : LLVM_PointerInAddressSpace<1>;

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

// A part of an array: where its first element is, strides in elements, how many places of each dim exist.
class Tile_GlobalOp<string mnemonic, list<Trait> traits = []> : Tile_Op<mnemonic, traits # [AttrSizedOperandSegments]> {
  dag access = (ins Tile_Global:$base, Variadic<I64>:$strides, DenseI64ArrayAttr:$static_strides,
                    Variadic<I64>:$extents, DenseI64ArrayAttr:$static_extents, DefaultValuedAttr<I64Attr, "0">:$align);
  string accessFormat = [{$base `strides` custom<DynamicIndexList>($strides, $static_strides)
                          `within` custom<DynamicIndexList>($extents, $static_extents) (`align` $align^)?}];
}

def Tile_LoadGlobalOp : Tile_GlobalOp<"load_global", [MemoryEffects<[MemRead]>]> {
  let summary = "a tile from global memory";
  let description = [{
    Element [i, j] is at `base` plus i and j times the strides, in elements. `within` are the numbers of places that exist along each dim:
    elements outside are zero and their memory is not touched. `align` is a promise: `base` is a
    multiple of so many bytes, and so is each stride other than 1.
  }];
  let arguments = access;
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = accessFormat # " attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_StoreGlobalOp : Tile_GlobalOp<"store_global", [MemoryEffects<[MemWrite]>]> {
  let summary = "a tile to global memory";
  let description = [{ As `tile.load_global`. Of an element with copies one thread writes one. }];
  let arguments = !con((ins Tile_Tile:$value), access);
  let assemblyFormat = "$value `to` " # accessFormat # " attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def Tile_GatherOp : Tile_Op<"gather", !listconcat([MemoryEffects<[MemRead]>], ElementwiseMappable.traits)> {
  let summary = "elements from places in global memory that are tiles themselves";
  let description = [{ Element [i, j] is `offsets[i, j]` elements behind `base` where `exists[i, j]`; elsewhere it is zero and no memory is touched. }];
  let arguments = (ins Tile_Global:$base, Tile_Tile:$offsets, Tile_Tile:$exists);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$base `at` $offsets `where` $exists attr-dict `:` type($offsets) `,` type($exists) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_ScatterOp : Tile_Op<"scatter", [MemoryEffects<[MemWrite]>]> {
  let summary = "elements to places in global memory that are tiles themselves";
  let description = [{ Element [i, j] is stored `offsets[i, j]` elements behind `base` where `exists[i, j]`. No two elements have one place. }];
  let arguments = (ins Tile_Tile:$value, Tile_Global:$base, Tile_Tile:$offsets, Tile_Tile:$exists);
  let assemblyFormat = "$value `to` $base `at` $offsets `where` $exists attr-dict `:` type($value) `,` type($offsets) `,` type($exists)";
  let hasVerifier = 1;
}

def Tile_CopyAsyncOp : Tile_GlobalOp<"copy_async", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "begins to copy a tile from global to shared memory";
  let description = [{
    As `tile.load_global`, with `align` in pieces of 16 bytes along the last dim, whose stride is 1: all of a piece exists or none. What does not exist
    becomes zero. Threads may read the tile after a `tile.wait` for the group of the copy. Without `align` the threads move element by element, and
    nothing is left to wait for but the other threads: the same program is right for memory of any strides.
  }];
  let arguments = !con((ins Tile_SmemType:$tile), access);
  let assemblyFormat = "$tile `from` " # accessFormat # " attr-dict `:` qualified(type($tile))";
  let hasVerifier = 1;
}

def Tile_CommitOp : Tile_Op<"commit", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "makes a group of the copies that began since the last commit";
  let assemblyFormat = "attr-dict";
}

def Tile_WaitOp : Tile_Op<"wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits until at most so many groups of copies are under way";
  let arguments = (ins ConfinedAttr<I32Attr, [IntNonNegative]>:$pending);
  let assemblyFormat = "$pending attr-dict";
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

def Tile_AllocSmemOp : Tile_Op<"alloc_smem", [MemoryEffects<[MemAlloc]>]> {
  let summary = "a tile in shared memory, with its place once `tile-allocate-shared` has run";
  let arguments = (ins OptionalAttr<I32Attr>:$offset);
  let results = (outs Tile_SmemType:$result);
  let assemblyFormat = "(`at` $offset^)? attr-dict `:` qualified(type($result))";
  let hasVerifier = 1;
}

def Tile_LoadOp : Tile_Op<"load", [MemoryEffects<[MemRead]>]> {
  let summary = "a tile from shared memory";
  let description = [{
    With `transposed`, element [i, j] is [j, i] of shared memory. With `part`, the matrix in shared memory is parts that stand behind each other, along its first dim, and the part of this
    number is loaded.
  }];
  let arguments = (ins Tile_SmemType:$tile, Optional<I64>:$part, UnitAttr:$transposed);
  let results = (outs Tile_Tile:$result);
  let builders = [OpBuilder<(ins "::mlir::Type":$type, "::mlir::Value":$tile, "bool":$transposed), [{
    build($_builder, $_state, type, tile, ::mlir::Value(), transposed);
  }]>];
  let assemblyFormat = "$tile (`part` $part^)? (`transposed` $transposed^)? attr-dict `:` qualified(type($tile)) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_StoreOp : Tile_Op<"store", [MemoryEffects<[MemWrite]>]> {
  let summary = "a tile to shared memory";
  let description = [{ With `transposed`, element [i, j] becomes [j, i] of shared memory. }];
  let arguments = (ins Tile_Tile:$value, Tile_SmemType:$tile, UnitAttr:$transposed);
  let assemblyFormat = "$value `to` $tile (`transposed` $transposed^)? attr-dict `:` type($value) `->` qualified(type($tile))";
  let hasVerifier = 1;
}

def Tile_LoadElementOp : Tile_Op<"load_element", [MemoryEffects<[MemRead]>]> {
  let summary = "one element of a vector in shared memory, for all threads";
  let arguments = (ins Tile_SmemType:$tile, I64:$place);
  let results = (outs AnyTypeOf<[AnyFloat, AnySignlessInteger]>:$result);
  let assemblyFormat = "$tile `at` $place attr-dict `:` qualified(type($tile)) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_LoadLineOp : Tile_Op<"load_line", [MemoryEffects<[MemRead]>]> {
  let summary = "one line of a matrix in shared memory, as a vector";
  let arguments = (ins Tile_SmemType:$tile, I64:$line);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$tile `at` $line attr-dict `:` qualified(type($tile)) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_BarrierOp : Tile_Op<"barrier", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits for all threads of the block; `tile-insert-barriers` makes them";
  let assemblyFormat = "attr-dict";
}

//===----------------------------------------------------------------------===//
// Registers
//===----------------------------------------------------------------------===//

def Tile_DotOp : Tile_Op<"dot", [Pure, AllTypesMatch<["sum", "result"]>]> {
  let summary = "sum + a b for matrices";
  let description = [{ The factors are bf16 or f16, or f32, of which 11 bits are used (tf32); the sum is f32. Or all are f64. }];
  let arguments = (ins Tile_Tile:$a, Tile_Tile:$b, Tile_Tile:$sum);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$a `,` $b `,` $sum attr-dict `:` type($a) `,` type($b) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_SolveOp : Tile_Op<"solve", [Pure, AttrSizedOperandSegments]> {
  let summary = "x = b + M x for strictly lower triangular M";
  let description = [{
    For n right sides b there are n x n matrices, row by row: x[i] is b[i] and the sum over j of M[i, j] x[j], of which only what is below the diagonal
    counts. Rows are found in order, in the precision of the elements. For b the identity x is the inverse of 1 - M. `within` is a promise: in rows from there on the
    matrices are zero, so that no work is done for them.
  }];
  let arguments = (ins Variadic<Tile_Tile>:$rights, Variadic<Tile_Tile>:$matrices, Optional<I64>:$within);
  let results = (outs Variadic<Tile_Tile>:$results);
  let assemblyFormat = [{$rights `by` $matrices (`within` $within^)? attr-dict `:` type($rights) `by` type($matrices) `->` type($results)}];
  let hasVerifier = 1;
}

class Tile_CombineOp<string mnemonic, list<Trait> traits = []>
    : Tile_Op<mnemonic, traits # [Pure, SingleBlock]> {
  let arguments = (ins Variadic<Tile_Tile>:$inputs, I32Attr:$dim);
  let results = (outs Variadic<Tile_Tile>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Tile_ReduceOp : Tile_CombineOp<"reduce"> {
  let summary = "combines all elements along a dim";
  let description = [{
    The region takes two elements of each input, the one of the lower place first, and yields their combination, which must be associative and commutative.
    What is left of a vector is a scalar, the same in all threads.
  }];
  let results = (outs Variadic<AnyTypeOf<[Tile_Tile, AnyFloat, AnySignlessInteger]>>:$outputs);
  let assemblyFormat = "$inputs `dim` $dim attr-dict-with-keyword $body `:` type($inputs) `->` type($outputs)";
}

def Tile_ScanOp : Tile_CombineOp<"scan"> {
  let summary = "combines each element with all before it along a dim";
  let description = [{
    The region takes two elements of each input, the one that comes first first, and yields their combination, which must be associative: sums,
    maxima, or the pair (a, b) of an affine recurrence h = a h + b. With `reverse` the last element comes first.
  }];
  let arguments = (ins Variadic<Tile_Tile>:$inputs, I32Attr:$dim, UnitAttr:$reverse);
  let assemblyFormat = "$inputs `dim` $dim (`reverse` $reverse^)? attr-dict-with-keyword $body `:` type($inputs) `->` type($outputs)";
}

def Tile_PickOp : Tile_Op<"pick", [Pure]> {
  let summary = "what is at one place of a dim";
  let arguments = (ins Tile_Tile:$value, I32Attr:$dim, I32Attr:$place);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value `dim` $dim `at` $place attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_YieldOp : Tile_Op<"yield", [Pure, Terminator]> {
  let summary = "ends the region of a reduce or scan";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "$values attr-dict `:` type($values)";
}

def Tile_BroadcastOp : Tile_Op<"broadcast", [Pure]> {
  let summary = "repeats a tile along a new dim";
  let arguments = (ins Tile_Tile:$value, I32Attr:$dim);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value `dim` $dim attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_TransposeOp : Tile_Op<"transpose", [Pure]> {
  let summary = "a matrix with rows and columns exchanged; no element moves";
  let arguments = (ins Tile_Tile:$value);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_ConvertOp : Tile_Op<"convert", [Pure]> {
  let summary = "the same tile in another layout";
  let arguments = (ins Tile_Tile:$value);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_IotaOp : Tile_Op<"iota", [Pure]> {
  let summary = "each element's place along a dim";
  let arguments = (ins I32Attr:$dim);
  let results = (outs Tile_Tile:$result);
  let assemblyFormat = "`dim` $dim attr-dict `:` type($result)";
  let hasVerifier = 1;
}

#endif // TILE_OPS
