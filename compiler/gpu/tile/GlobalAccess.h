//===- GlobalAccess.h - addresses of tiles in global memory -------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_TILE_GLOBALACCESS_H
#define SEQMIX_COMPILER_GPU_TILE_GLOBALACCESS_H

#include "compiler/gpu/tile/Emitter.h"

#include <map>

namespace seqmix::gpu {

/// A thread's accesses of the elements of a tile in global memory, and which of them exist. The
/// part of an address that the thread gives is made once; rows cost a product and a sum each, what
/// is constant is an offset of the access.
class GlobalAccess {
public:
  /// `Op` is an op with the operands of Tile_GlobalOp.
  template <typename Op>
  GlobalAccess(Emitter &emit, Op op, const mlir::tile::Layout &layout, mlir::Type element,
               mlir::Value base, mlir::ValueRange strides, mlir::ValueRange extents)
      : emit(emit), layout(layout), element(element), base(base),
        strides(mix(op.getStaticStrides(), strides)), extents(mix(op.getStaticExtents(), extents)),
        align(op.getAlign()) {
    prepare();
  }

  /// How many registers from one on an access covers, and its alignment in bytes.
  unsigned vector() const { return vectorSize; }
  unsigned alignment() const { return vectorSize * bytes(); }
  /// Registers of vectors that exist together, and whether they do; null for always. Without
  /// registers that hold copies in this thread, if `once`.
  struct Group {
    mlir::Value exists;
    llvm::SmallVector<llvm::SmallVector<unsigned>> vectors;
  };
  llvm::SmallVector<Group> groups(bool once);
  /// The address of a register's element.
  mlir::Value address(unsigned reg);

private:
  /// A value, or a constant.
  struct Mixed {
    mlir::Value value;
    int64_t constant = 0;
  };
  static llvm::SmallVector<Mixed> mix(llvm::ArrayRef<int64_t> constants, mlir::ValueRange values);
  unsigned bytes() const { return (element.getIntOrFloatBitWidth() + 7) / 8; }
  void prepare();
  mlir::Value rowAt(const mlir::tile::Coordinates &place);

  Emitter &emit;
  const mlir::tile::Layout &layout;
  mlir::Type element;
  mlir::Value base;
  llvm::SmallVector<Mixed> strides, extents;
  uint64_t align;
  llvm::SmallVector<unsigned> vectorBits; // register bits of consecutive elements
  unsigned vectorSize = 1;
  llvm::SmallVector<mlir::Value> left; // places from the thread's first one on, where not constant
  mlir::Value threadBase;
  std::map<mlir::tile::Coordinates, mlir::Value> rows;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_TILE_GLOBALACCESS_H
