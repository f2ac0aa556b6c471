//===- BlockTiles.h - products of tiles, and running products -----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_BLOCKS_BLOCKTILES_H
#define SEQMIX_COMPILER_GPU_BLOCKS_BLOCKTILES_H

#include "compiler/gpu/blocks/BlockExpr.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace seqmix::gpu {

/// A tile as a sum of tiles in bf16, or such tiles in shared memory.
using Parts = llvm::SmallVector<mlir::Value, 2>;

/// Makes ops on tiles of f32 and on their parts.
class BlockTiles {
public:
  /// With two parts a factor's relative error is below 2^-16, with three below 2^-24.
  BlockTiles(LaneBlock &block, BlockExpr &expr, unsigned mostParts)
      : builder(block.builder), loc(block.loc), mostParts(mostParts), block(block), expr(expr) {}

  //===--- elements -----------------------------------------------------------===//
  mlir::Value multiply(mlir::Value a, mlir::Value b);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value tile, double other);
  mlir::Value zeros(const BlockFrame &frame);
  mlir::Value broadcast(mlir::Value tile, unsigned dim, const BlockFrame &frame);
  /// Each element's place along a dim.
  mlir::Value places(const BlockFrame &frame, unsigned dim);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value a, mlir::Value b);
  mlir::Value integer(int32_t value, mlir::Value like);

  //===--- products -----------------------------------------------------------===//
  Parts split(mlir::Value tile) { return split(tile, mostParts); }
  Parts split(mlir::Value tile, unsigned count);
  mlir::Value join(const Parts &parts);
  mlir::Value transpose(mlir::Value tile);
  Parts transpose(const Parts &parts);
  /// sum + a b, without products that are as small as what the parts leave out.
  mlir::Value dot(const Parts &a, const Parts &b, mlir::Value sum);

  /// Room for parts of a matrix, or for a tile of f32.
  Parts allocate(int64_t rows, int64_t columns, unsigned parts);
  mlir::Value allocate(const BlockFrame &frame);
  void store(const Parts &parts, llvm::ArrayRef<mlir::Value> shared);
  Parts load(llvm::ArrayRef<mlir::Value> shared, bool transposed);
  void store(mlir::Value tile, mlir::Value shared, bool transposed = false);
  mlir::Value load(mlir::Value shared, bool transposed = false);
  /// One element of a vector, the same for all threads.
  mlir::Value element(mlir::Value shared, int64_t place);
  /// What is at a place of a dim.
  mlir::Value pick(mlir::Value tile, unsigned dim, int64_t place);

  /// The least element of a matrix, the same for all threads.
  mlir::Value least(mlir::Value tile);

  //===--- running products ---------------------------------------------------===//
  struct Products {
    mlir::Value with, without; ///< the own element
  };
  /// Of the elements along the first dim, up to each or from each on; those of groups of so many
  /// places (0: of all).
  Products products(mlir::Value tile, const BlockFrame &frame, int64_t group, bool reverse);

  mlir::OpBuilder &builder;
  const mlir::Location loc;
  const unsigned mostParts; ///< that a tile is split into

private:
  LaneBlock &block;
  BlockExpr &expr;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_BLOCKS_BLOCKTILES_H
