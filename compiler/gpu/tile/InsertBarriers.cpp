//===- InsertBarriers.cpp - barriers between accesses of shared memory ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Passes.h"

#include <set>

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILEINSERTBARRIERS
#include "compiler/gpu/Passes.h.inc"

namespace {

/// An access since the last barrier.
struct Access {
  enum Progress : uint8_t { Done, Begun, Committed };
  uint32_t begin = 0, end = 0; // bytes
  bool isWrite = false;
  Progress progress = Done; // of asynchronous copies
  uint8_t age = 0;          // groups that were committed after the copy's
  auto operator<=>(const Access &) const = default;
};

/// All accesses that may have been made without a barrier since, on any path to an op.
using State = std::set<Access>;

class Inserter {
public:
  LogicalResult run(Region &region, State &state) {
    for (Operation &op : llvm::make_early_inc_range(region.front()))
      if (failed(visit(&op, state)))
        return failure();
    return success();
  }

private:
  LogicalResult visit(Operation *op, State &state) {
    if (auto loop = dyn_cast<scf::ForOp>(op)) {
      // What an iteration leaves, the next one finds; until nothing is new.
      State entry = state;
      while (true) {
        State left = entry;
        if (failed(run(loop.getRegion(), left)))
          return failure();
        const size_t before = entry.size();
        entry.insert(left.begin(), left.end());
        if (entry.size() == before) {
          state.insert(left.begin(), left.end());
          return success();
        }
      }
    }
    if (auto choice = dyn_cast<scf::IfOp>(op)) {
      State other = state;
      if (failed(run(choice.getThenRegion(), state)) ||
          (choice.elseBlock() && failed(run(choice.getElseRegion(), other))))
        return failure();
      state.insert(other.begin(), other.end());
      return success();
    }
    if (auto load = dyn_cast<LoadOp>(op))
      return access(op, load.getTile(), false, Access::Done, state);
    if (auto load = dyn_cast<LoadElementOp>(op))
      return access(op, load.getTile(), false, Access::Done, state);
    if (auto load = dyn_cast<LoadLineOp>(op))
      return access(op, load.getTile(), false, Access::Done, state);
    if (auto store = dyn_cast<StoreOp>(op))
      return access(op, store.getTile(), true, Access::Done, state);
    if (auto copy = dyn_cast<CopyAsyncOp>(op))
      return access(op, copy.getTile(), true, Access::Begun, state);
    if (isa<BarrierOp>(op))
      synchronize(state);
    else if (isa<CommitOp>(op))
      change(state, [](Access &access) {
        if (access.progress == Access::Committed)
          access.age = std::min(access.age + 1, 8);
        else if (access.progress == Access::Begun)
          access.progress = Access::Committed;
      });
    else if (auto wait = dyn_cast<WaitOp>(op))
      change(state, [&](Access &access) {
        if (access.progress == Access::Committed && access.age >= wait.getPending()) {
          access.progress = Access::Done;
          access.age = 0;
        }
      });
    return success();
  }

  static void change(State &state, function_ref<void(Access &)> how) {
    State next;
    for (Access access : state) {
      how(access);
      next.insert(access);
    }
    state = std::move(next);
  }

  static void synchronize(State &state) {
    std::erase_if(state, [](const Access &access) { return access.progress == Access::Done; });
  }

  LogicalResult access(Operation *op, Value tile, bool isWrite, Access::Progress progress,
                       State &state) {
    auto alloc = tile.getDefiningOp<AllocSmemOp>();
    if (!alloc || !alloc.getOffset())
      return op->emitError("has a tile without a place: tile-allocate-shared has not run");
    Access own;
    own.begin = *alloc.getOffset();
    own.end = own.begin + uint32_t(alloc.getType().bytes());
    own.isWrite = isWrite;
    own.progress = progress;
    bool meets = false;
    for (const Access &other : state) {
      if (other.end <= own.begin || own.end <= other.begin || !(other.isWrite || isWrite))
        continue;
      if (other.progress != Access::Done)
        return op->emitError("uses a tile while an asynchronous copy into it, for which no "
                             "tile.wait has waited, may be under way");
      meets = true;
    }
    if (meets) {
      OpBuilder builder(op);
      BarrierOp::create(builder, op->getLoc());
      synchronize(state);
    }
    state.insert(own);
    return success();
  }
};

struct TileInsertBarriers : impl::TileInsertBarriersBase<TileInsertBarriers> {
  using TileInsertBarriersBase::TileInsertBarriersBase;

  void runOnOperation() override {
    getOperation()->walk([&](LLVM::LLVMFuncOp kernel) {
      State state;
      if (kernel->hasAttr(warpsName) && failed(Inserter().run(kernel.getBody(), state)))
        signalPassFailure();
    });
  }
};

} // namespace
} // namespace seqmix
