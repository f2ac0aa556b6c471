//===- TileTypes.td - the tile dialect, its layouts and types ------*- tablegen -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef TILE_TYPES
#define TILE_TYPES

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/TensorEncoding.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::mlir::tile";
  let summary = "Kernels for GPUs as what a block of threads does with tiles";
  let description = [{
    A kernel is an `llvm.func` with an attribute `tile.warps`. Its tiles are tensors: `tensor<64x64xf32, #tile.layout<...>>` is in the registers
    of the block's threads, as the layout says. Ops of `arith` and `math` work on them element by element, `scf` loops carry them,
    `tensor.splat` and `arith.constant` make them; this dialect adds what moves and combines elements. Tiles in shared memory are
    `!tile.smem`. All other values are the same in every thread, so control flow is too. All sizes are powers of two.
    `SPEC.md` beside this file numbers the constraints that the verifiers check.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasOperationAttrVerify = 1;
}

def Tile_LayoutAttr : AttrDef<Tile_Dialect, "Layout",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let mnemonic = "layout";
  let genMnemonicAlias = 1;
  let summary = "the elements of a tile that each register of each thread holds";
  let description = [{
    `#tile.layout<registers = [[0, 1], [8, 0]], lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warps = [[16, 0]]>`: each bit of the number of
    a register, a lane and a warp, lowest first, with what it adds to the coordinates of the element. Bases are bits of the coordinates,
    each once; a base of zeros means copies.
  }];
  // Bases one after the other, each with `rank` coordinates.
  let parameters = (ins "unsigned":$rank, ArrayRefParameter<"int64_t">:$registers, ArrayRefParameter<"int64_t">:$lanes,
                        ArrayRefParameter<"int64_t">:$warps);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    static LayoutAttr of(::mlir::MLIRContext *context, const Layout &layout);
    Layout on(::llvm::ArrayRef<int64_t> shape) const;
    /// The bases of registers, lanes and warps.
    ::std::array<::llvm::SmallVector<Coordinates>, 3> bases() const;
    unsigned warpBits() const { return getWarps().size() / getRank(); }
  }];
}

def Tile_SmemType : TypeDef<Tile_Dialect, "Smem"> {
  let mnemonic = "smem";
  let summary = "a tile in shared memory";
  let description = [{
    `!tile.smem<64x64xbf16, 128>`: in panels of columns that are 128 bytes wide (32 or 64 likewise), one after the other, each row of a panel behind
    the one before, with the 16-byte chunks of a row permuted by its number, such that eight rows at one chunk are in different banks: what
    tensor memory accelerators call a swizzle of so many bytes. Without a number, rows follow each other and nothing is permuted.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType, "unsigned":$swizzle);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    unsigned elementBytes() const { return getElementType().getIntOrFloatBitWidth() / 8; }
    uint64_t bytes() const;
    /// From the bits of an element's number in row-major order to its offset in bytes.
    LinearMap offsets() const;
  }];
}

#endif // TILE_TYPES
