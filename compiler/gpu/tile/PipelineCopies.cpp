//===- PipelineCopies.cpp - copies of a loop's next tiles under its work -------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A tile that an iteration loads has one buffer. Its next copy begins where the iteration has read
// the last one for the last time and waits for another tile anyway: a barrier there serves both.
// With two tiles a and b in order of use, a comes while b is used, and b while a is.
//
//     copy a(0)
//     loop i:  wait a(i);  copy b(i);    use a;  wait b(i);  copy a(i+1);  use b
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Passes.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILEPIPELINECOPIES
#include "compiler/gpu/Passes.h.inc"

namespace {

/// Bytes of a loop's buffers: more blocks fit on a multiprocessor with fewer.
constexpr uint64_t mostBytes = uint64_t(64) * 1024;

struct Copy {
  Operation *load = nullptr;          // a tile.load_global, or an scf.if with one in each branch
  llvm::SetVector<Operation *> slice; // what its operands need of the loop's body
  AllocSmemOp buffer;
  Operation *firstUse = nullptr, *lastUse = nullptr; // in the loop's body
  size_t slot = 0;    // the copy in front of whose first use the next one begins; or the loop's end
  bool isNext = true; // it is the next iteration's
};

/// Whether asynchronous copies can move the tile.
bool isCopy(LoadGlobalOp load) {
  RankedTensorType type = load.getType();
  const int64_t extent = load.getStaticExtents().back();
  return load.getStaticStrides().back() == 1 && !ShapedType::isDynamic(extent) &&
         load.getAlign() >= 16 && extent * type.getElementTypeBitWidth() % 128 == 0;
}

LoadGlobalOp loadOf(Block &block) {
  auto yield = cast<scf::YieldOp>(block.getTerminator());
  auto load = yield.getOperand(0).getDefiningOp<LoadGlobalOp>();
  const bool isAlone = load && load->getBlock() == &block && load->hasOneUse() &&
                       llvm::all_of(block.without_terminator(),
                                    [&](Operation &op) { return &op == load || isPure(&op); });
  return isAlone ? load : LoadGlobalOp();
}

class LoopPipeline {
public:
  explicit LoopPipeline(scf::ForOp loop) : loop(loop), builder(loop), loc(loop.getLoc()) {}

  void run() {
    collect();
    if (copies.empty())
      return;
    makeBuffers();
    llvm::sort(copies, [](const Copy &a, const Copy &b) {
      return a.firstUse != b.firstUse ? a.firstUse->isBeforeInBlock(b.firstUse)
                                      : a.load->isBeforeInBlock(b.load);
    });
    for (size_t number = 0; number < copies.size(); ++number)
      chooseSlot(number);
    emit();
    for (Copy &copy : copies)
      copy.load->erase();
  }

private:
  void collect() {
    uint64_t bytes = 0;
    for (Operation &op : loop.getBody()->without_terminator()) {
      if (!isCandidate(&op))
        continue;
      Copy copy{&op, {}, {}};
      const uint64_t own = bufferType(&op).bytes();
      if (op.use_empty() || bytes + own > mostBytes || !sliceOf(&op, copy.slice) ||
          mayBeWritten(&op))
        continue;
      bytes += own;
      copies.push_back(std::move(copy));
    }
  }

  static bool isCandidate(Operation *op) {
    if (auto load = dyn_cast<LoadGlobalOp>(op))
      return isCopy(load);
    auto choice = dyn_cast<scf::IfOp>(op);
    if (!choice || choice.getNumResults() != 1 || !isa<RankedTensorType>(choice.getType(0)))
      return false;
    LoadGlobalOp a = loadOf(*choice.thenBlock()), b = loadOf(*choice.elseBlock());
    return a && b && (isCopy(a) || isCopy(b));
  }

  /// What an op needs that the loop's body makes: nothing but from the iteration's number.
  bool sliceOf(Operation *op, llvm::SetVector<Operation *> &slice) {
    bool isGood = true;
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands()) {
        if (operand == loop.getInductionVar() ||
            !loop.getRegion().isAncestor(operand.getParentRegion()))
          continue;
        Operation *source = operand.getDefiningOp();
        if (!source) {
          isGood = false; // carried from iteration to iteration
          continue;
        }
        if (op->isAncestor(source) || slice.contains(source))
          continue;
        isGood = isGood && isPure(source) && sliceOf(source, slice);
        slice.insert(source);
      }
    });
    return isGood;
  }

  /// Whether the loop writes to memory that the loads read, as far as arguments of the kernel tell.
  bool mayBeWritten(Operation *op) {
    bool writes = false;
    loop.walk([&](Operation *inner) {
      writes |= isa<StoreGlobalOp, LLVM::StoreOp>(inner) ||
                (!isa<TileDialect>(inner->getDialect()) && !isa<LLVM::LoadOp>(inner) &&
                 inner->getNumRegions() == 0 && !isMemoryEffectFree(inner));
    });
    if (!writes)
      return false;
    bool isReadOnly = true;
    op->walk([&](LoadGlobalOp load) {
      Value base = load.getBase();
      while (auto address = base.getDefiningOp<LLVM::GEPOp>())
        base = address.getBase();
      auto argument = dyn_cast<BlockArgument>(base);
      auto kernel =
          argument ? dyn_cast<LLVM::LLVMFuncOp>(argument.getOwner()->getParentOp()) : nullptr;
      isReadOnly &=
          kernel &&
          kernel.getArgAttr(argument.getArgNumber(), LLVM::LLVMDialect::getNoAliasAttrName()) &&
          kernel.getArgAttr(argument.getArgNumber(), LLVM::LLVMDialect::getReadonlyAttrName());
    });
    return !isReadOnly;
  }

  /// Of the shared tile that the load's only user stores it to, if nothing else is stored there.
  static StoreOp storeOf(Operation *load) {
    auto store = load->hasOneUse() ? dyn_cast<StoreOp>(*load->user_begin()) : StoreOp();
    if (!store || store.getTransposed() || store->getBlock() != load->getBlock())
      return {};
    auto alloc = store.getTile().getDefiningOp<AllocSmemOp>();
    const bool isOwn = alloc && alloc->getBlock() == load->getBlock() &&
                       llvm::all_of(alloc->getUsers(), [&](Operation *user) {
                         return user == store || isa<LoadOp, LoadElementOp>(user);
                       });
    return isOwn ? store : StoreOp();
  }

  static SmemType bufferType(Operation *load) {
    if (StoreOp store = storeOf(load))
      return store.getTile().getType();
    auto type = cast<RankedTensorType>(load->getResult(0).getType());
    const int64_t rowBytes = type.getShape().back() * type.getElementTypeBitWidth() / 8;
    // Rows one after the other: who loads them gets whole ones.
    const unsigned swizzle =
        type.getRank() < 2 || rowBytes < 32 ? 0 : std::min<int64_t>(128, rowBytes);
    return SmemType::get(type.getContext(), type.getShape(), type.getElementType(), swizzle);
  }

  void makeBuffers() {
    for (Copy &copy : copies) {
      builder.setInsertionPoint(loop);
      copy.buffer = AllocSmemOp::create(builder, loc, bufferType(copy.load), IntegerAttr());
      if (StoreOp store = storeOf(copy.load)) {
        auto alloc = store.getTile().getDefiningOp<AllocSmemOp>();
        store.erase();
        alloc.replaceAllUsesWith(copy.buffer.getResult());
        alloc.erase();
      } else {
        builder.setInsertionPointAfter(copy.load);
        Value loaded = LoadOp::create(builder, loc, copy.load->getResult(0).getType(), copy.buffer,
                                      /*transposed=*/false);
        copy.load->getResult(0).replaceAllUsesWith(loaded);
      }
      for (Operation *user : copy.buffer->getUsers()) {
        Operation *own = loop.getBody()->findAncestorOpInBlock(*user);
        if (!copy.firstUse || own->isBeforeInBlock(copy.firstUse))
          copy.firstUse = own;
        if (!copy.lastUse || copy.lastUse->isBeforeInBlock(own))
          copy.lastUse = own;
      }
    }
    llvm::erase_if(copies, [](Copy &copy) {
      if (copy.firstUse)
        return false;
      copy.buffer.erase(); // nothing reads it
      copy.load->erase();
      return true;
    });
  }

  void chooseSlot(size_t number) {
    Copy &copy = copies[number];
    for (size_t other = number + 1; other < copies.size(); ++other)
      if (copy.lastUse->isBeforeInBlock(copies[other].firstUse)) {
        copy.slot = other;
        return;
      }
    // In the next iteration there is the first wait, if that is in front of the own one.
    copy.isNext = copies[0].firstUse == copy.firstUse;
    copy.slot = copy.isNext ? copies.size() : 0;
  }

  //===--- the loop -------------------------------------------------------===//

  /// Copies in the order in which they begin.
  SmallVector<Copy *> inOrder() {
    SmallVector<Copy *> order;
    for (Copy &copy : copies)
      order.push_back(&copy);
    llvm::sort(order, [](Copy *a, Copy *b) { return std::tie(a->slot, a) < std::tie(b->slot, b); });
    return order;
  }

  /// The groups that may be under way when an iteration waits for a copy: those that begin behind
  /// it.
  int32_t pending(size_t number, ArrayRef<Copy *> order) {
    const Copy &copy = copies[number];
    const auto *own = llvm::find(order, &copy);
    auto isBefore = [&](const Copy *other) { return other->slot < number; };
    const auto behind = copy.isNext ? std::distance(own + 1, order.end())
                                    : std::count_if(own + 1, order.end(), isBefore);
    const auto before = copy.isNext ? llvm::count_if(order, isBefore) : 0;
    return static_cast<int32_t>(behind + before);
  }

  void emit() {
    const SmallVector<Copy *> order = inOrder();
    builder.setInsertionPoint(loop);
    for (Copy *copy : order) {
      if (copy->isNext)
        emitCopy(*copy, loop.getLowerBound(), /*isSure=*/false);
      CommitOp::create(builder, loc); // as many as an iteration has
    }
    for (size_t number = 0; number <= copies.size(); ++number) {
      if (number < copies.size()) {
        builder.setInsertionPoint(copies[number].firstUse);
        WaitOp::create(builder, loc, pending(number, order));
      } else {
        builder.setInsertionPoint(loop.getBody()->getTerminator());
      }
      for (Copy *copy : order) {
        if (copy->slot != number)
          continue;
        Value place = loop.getInductionVar();
        if (copy->isNext)
          place = arith::AddIOp::create(builder, loc, place, loop.getStep());
        emitCopy(*copy, place, /*isSure=*/!copy->isNext);
        CommitOp::create(builder, loc);
      }
    }
    builder.setInsertionPointAfter(loop);
    WaitOp::create(builder, loc, 0);
  }

  /// Begins an iteration's copy, if that is `isSure` to be one.
  void emitCopy(Copy &copy, Value iteration, bool isSure) {
    OpBuilder::InsertionGuard guard(builder);
    if (!isSure) {
      Value exists = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, iteration,
                                           loop.getUpperBound());
      auto choice = scf::IfOp::create(builder, loc, exists, /*withElseRegion=*/false);
      builder.setInsertionPointToStart(choice.thenBlock());
    }
    IRMapping map;
    map.map(loop.getInductionVar(), iteration);
    for (Operation *op : copy.slice)
      builder.clone(*op, map);
    if (auto load = dyn_cast<LoadGlobalOp>(copy.load))
      return emitMove(load, copy.buffer, map);
    auto choice = cast<scf::IfOp>(copy.load);
    auto own = scf::IfOp::create(builder, loc, map.lookupOrDefault(choice.getCondition()),
                                 /*withElseRegion=*/true);
    for (auto [from, to] : {std::pair(choice.thenBlock(), own.thenBlock()),
                            std::pair(choice.elseBlock(), own.elseBlock())}) {
      builder.setInsertionPointToStart(to);
      LoadGlobalOp load = loadOf(*from);
      for (Operation &op : from->without_terminator())
        if (&op != load)
          builder.clone(op, map);
      emitMove(load, copy.buffer, map);
    }
  }

  void emitMove(LoadGlobalOp load, Value buffer, IRMapping &map) {
    auto mapped = [&](ValueRange values) {
      SmallVector<Value> result;
      for (Value value : values)
        result.push_back(map.lookupOrDefault(value));
      return result;
    };
    CopyAsyncOp::create(builder, loc, buffer, map.lookupOrDefault(load.getBase()),
                        mapped(load.getStrides()), load.getStaticStridesAttr(),
                        mapped(load.getExtents()), load.getStaticExtentsAttr(),
                        builder.getI64IntegerAttr(isCopy(load) ? load.getAlign() : 0));
  }

  scf::ForOp loop;
  OpBuilder builder;
  Location loc;
  std::vector<Copy> copies;
};

struct TilePipelineCopies : impl::TilePipelineCopiesBase<TilePipelineCopies> {
  using TilePipelineCopiesBase::TilePipelineCopiesBase;

  void runOnOperation() override {
    SmallVector<scf::ForOp> loops;
    getOperation()->walk([&](scf::ForOp loop) {
      if (loop->removeAttr(pipelinedName))
        loops.push_back(loop);
    });
    for (scf::ForOp loop : loops)
      LoopPipeline(loop).run();
  }
};

} // namespace
} // namespace seqmix
