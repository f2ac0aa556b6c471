//===- SharedAccess.h - addresses of tiles in shared memory -------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_TILE_SHAREDACCESS_H
#define SEQMIX_COMPILER_GPU_TILE_SHAREDACCESS_H

#include "compiler/gpu/tile/Emitter.h"

#include <map>

namespace seqmix::gpu {

/// Addresses that are linear in the bits of constants and of the thread's number. The thread's part
/// is made once; a constant changes it by XOR only where their bits meet, as in swizzled chunks,
/// and is an offset of the access elsewhere.
class SharedAccess {
public:
  SharedAccess(Emitter &emit, mlir::Value base, const mlir::tile::LinearMap &threadOffsets);
  mlir::Value address(uint32_t constant);

private:
  Emitter &emit;
  mlir::Value base, own;
  uint32_t threadBits = 0;
  std::map<uint32_t, mlir::Value> bases; // by what XOR changes
};

/// The offsets in bytes of a shared tile's elements, from (register, lane, warp) of a layout.
mlir::tile::LinearMap sharedOffsets(mlir::tile::SmemType tile, const mlir::tile::Layout &layout,
                                    bool transposed);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_TILE_SHAREDACCESS_H
