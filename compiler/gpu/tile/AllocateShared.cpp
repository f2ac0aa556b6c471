//===- AllocateShared.cpp - places of tiles in shared memory -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Passes.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILEALLOCATESHARED
#include "compiler/gpu/Passes.h.inc"

namespace {

/// What a block can have on sm_90 (227 KiB); sm_80 has less, which the driver says.
constexpr uint64_t largest = 232448;

struct Tile {
  AllocSmemOp op;
  unsigned begin = ~0U, end = 0; // the numbers of the first and last op that uses it
  uint64_t offset = 0;

  uint64_t bytes() { return op.getType().bytes(); }
  uint64_t alignment() { return std::max(128U, 8 * op.getType().getSwizzle()); }
  bool overlaps(const Tile &other) const { return begin <= other.end && other.begin <= end; }
};

struct TileAllocateShared : impl::TileAllocateSharedBase<TileAllocateShared> {
  using TileAllocateSharedBase::TileAllocateSharedBase;

  void runOnOperation() override {
    getOperation()->walk([&](LLVM::LLVMFuncOp kernel) {
      if (kernel->hasAttr(warpsName) && failed(place(kernel)))
        signalPassFailure();
    });
  }

  static LogicalResult place(LLVM::LLVMFuncOp kernel) {
    // An op's number, and for loops that of their last op.
    llvm::DenseMap<Operation *, unsigned> first, last;
    unsigned next = 0;
    SmallVector<Tile> tiles;
    kernel.walk<WalkOrder::PreOrder>([&](Operation *op) { first[op] = next++; });
    kernel.walk([&](Operation *op) {
      unsigned end = first[op];
      for (Region &region : op->getRegions())
        for (Operation &inner : region.getOps())
          end = std::max(end, last[&inner]);
      last[op] = end;
      if (auto alloc = dyn_cast<AllocSmemOp>(op))
        tiles.push_back({alloc});
    });
    if (tiles.empty())
      return success();
    for (Tile &tile : tiles)
      for (Operation *user : tile.op->getUsers()) {
        if (!isa<LoadOp, LoadElementOp, LoadLineOp, StoreOp, CopyAsyncOp>(user))
          return user->emitError("cannot take a shared tile: its place would not be known");
        // Within a loop that the tile outlives, it is in use from the first to the last op.
        Operation *range = user;
        for (Operation *parent = user->getParentOp(); parent != tile.op->getParentOp();
             parent = parent->getParentOp())
          if (isa<LoopLikeOpInterface>(parent))
            range = parent;
        tile.begin = std::min(tile.begin, first[range]);
        tile.end = std::max(tile.end, last[range]);
      }
    // Large ones first, each at the lowest place that no other one has at the same time.
    SmallVector<Tile *> order, placed;
    for (Tile &tile : tiles)
      order.push_back(&tile);
    llvm::sort(order, [](Tile *a, Tile *b) {
      return a->bytes() != b->bytes() ? a->bytes() > b->bytes() : a < b;
    });
    uint64_t total = 0;
    for (Tile *tile : order) {
      for (bool moved = true; std::exchange(moved, false);)
        for (Tile *other : placed)
          if (tile->overlaps(*other) && tile->offset < other->offset + other->bytes() &&
              other->offset < tile->offset + tile->bytes()) {
            tile->offset = llvm::alignTo(other->offset + other->bytes(), tile->alignment());
            moved = true;
          }
      placed.push_back(tile);
      total = std::max(total, tile->offset + tile->bytes());
    }
    if (total > largest)
      return kernel.emitError() << "needs " << total
                                << " bytes of shared memory; a block has at most " << largest;
    Builder builder(kernel.getContext());
    for (Tile &tile : tiles)
      tile.op.setOffset(uint32_t(tile.offset));
    kernel->setAttr(sharedBytesName, builder.getI32IntegerAttr(int32_t(total)));
    return success();
  }
};

} // namespace
} // namespace seqmix
