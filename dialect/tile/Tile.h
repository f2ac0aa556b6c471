//===- Tile.h - the tile dialect ----------------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_TILE_TILE_H
#define SEQMIX_DIALECT_TILE_TILE_H

#include "dialect/tile/Layout.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialect/tile/TileDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/tile/TileAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialect/tile/TileTypes.h.inc"

#define GET_OP_CLASSES
#include "dialect/tile/TileOps.h.inc"

namespace mlir::tile {

/// The attribute of a kernel with the number of its warps.
constexpr llvm::StringLiteral warpsName = "tile.warps";
/// The attribute of a kernel with the bytes of shared memory that its launch must give it.
constexpr llvm::StringLiteral sharedBytesName = "tile.shared_bytes";
/// The attribute of an LLVM function whose order of ops code generation is to keep.
constexpr llvm::StringLiteral keepsOrderName = "tile-keeps-order";

/// The attribute of a loop whose tiles are to be copied ahead of their use.
constexpr llvm::StringLiteral pipelinedName = "tile.pipelined";

/// The layout of a tile; none if it has none.
std::optional<Layout> layoutOf(Type type);
/// The same tile in a layout.
RankedTensorType withLayout(Type type, const Layout &layout);
/// The warps of the kernel around an op; none outside of kernels.
std::optional<unsigned> warpsAround(Operation *op);
/// The layouts that a dot has for its factors; none if its sums' is no accumulator.
std::optional<std::pair<Layout, Layout>> operandLayouts(const Layout &sums, int64_t k,
                                                        unsigned elementBits);

} // namespace mlir::tile

#endif // SEQMIX_DIALECT_TILE_TILE_H
