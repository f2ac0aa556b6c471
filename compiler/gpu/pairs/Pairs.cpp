//===- Pairs.cpp - reductions over pairs of positions ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/Pairs.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/lanes/Lanes.h"
#include "compiler/gpu/pairs/PairCarry.h"
#include "compiler/gpu/pairs/PairLoop.h"
#include "compiler/gpu/pairs/PairSizes.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SaveAndRestore.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

constexpr int32_t kWarps = PairSizes::kWarps;
constexpr int64_t kThreads = PairSizes::kThreads;
/// Features of the sums of a step whose results read all of them.
constexpr int64_t kMostOfStep = 512;
/// Bytes of a row of features up to which the registers of a multiprocessor are enough for three
/// blocks.
constexpr int64_t kBytesOfThreeBlocks = 128;

class PairLowering {
public:
  PairLowering(MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp module, StringRef name,
               int32_t first)
      : mixer(mixer), plan(plan), module(module), name(name), first(first) {}

  FailureOr<PairLaunches> run() {
    if (failed(check()))
      return failure();
    makeRowsFeatures(mixer);
    const size_t before = llvm::range_size(module.getOps<LLVM::LLVMFuncOp>());
    const int32_t start = first;
    while (failed(emitForward())) {
      // What reads sums across slices of features takes a launch behind that of all slices.
      if (!across || !divided.insert(across))
        return failure();
      for (auto kernel : llvm::to_vector(
               llvm::drop_begin(module.getOps<LLVM::LLVMFuncOp>(), static_cast<ptrdiff_t>(before))))
        kernel.erase();
      first = start;
      result = {};
    }
    if (!plan.noStep)
      emitStep();
    return std::move(result);
  }

private:
  MixerOp mixer;
  const MixerPlan &plan;
  mlir::gpu::GPUModuleOp module;
  StringRef name;
  int32_t first;
  PairGroups groups;
  PairLaunches result;
  llvm::SetVector<StringAttr> divided;             // sums that are read across slices
  StringAttr across;                               // the last of them, by a kernel that has failed
  int64_t featureLimit = PairTiles::kMostFeatures; // of sums that a block has at once

  LogicalResult emitForward() {
    across = {};
    auto own = groupPairs(mixer, divided);
    if (failed(own))
      return failure();
    groups = std::move(*own);
    if (failed(findPlaces()))
      return failure();
    for (size_t number = 0; number < groups.groups.size(); ++number)
      if (failed(groups.groups[number].isRecurrent ? emitRecurrences()
                                                   : emitKernel(number, nameOf(number), false)))
        return failure();
    if (carriesRows(mixer) &&
        failed(emitCarryKernel(mixer, plan, groups, module, name, first, result.launches)))
      return failure();
    for (const KeptValue &kept : groups.kept)
      result.regions.push_back(
          LaneBlock::keptBytes(plan, kept.dtype, kept.isOfTokens, kept.extents, kept.places));
    return success();
  }

  LogicalResult refuse(Operation *op, const Twine &what) {
    return emitError(op->getLoc()) << "not lowered for CUDA yet: " << what;
  }

  LogicalResult check() {
    for (auto convolution : mixer.getOps<ConvolutionOp>())
      return refuse(convolution, "convolutions");
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind == CarryComponent::Window)
        return refuse(mixer, "windows of earlier tokens beside pairs of positions");
    // Where positions stand in the device's memory, the room for rows bounds these extents.
    for (auto [number, dim] : llvm::enumerate(plan.dims)) {
      if (dim.by.empty())
        continue;
      auto free = freePlaces(plan, static_cast<int32_t>(number));
      if (!free)
        return refuse(mixer, "the dim '" + dim.name +
                                 "', whose extent follows from that of the "
                                 "tokens and of another run-time dim");
      if (*free && !plan.startsAtZero && !carriesAllRows())
        return refuse(mixer, "the dim '" + dim.name +
                                 "', whose extent follows from that of the "
                                 "tokens, where the carry does not have all rows");
    }
    return success();
  }

  bool carriesAllRows() {
    return llvm::any_of(carryComponents(mixer), [](const CarryComponent &component) {
      return component.kind == CarryComponent::Rows && component.shape[0] < 0;
    });
  }

  /// Regions of other run-time dims than that of the tokens.
  LogicalResult findPlaces() {
    for (KeptValue &kept : groups.kept) {
      for (auto [slot, dim] : llvm::enumerate(kept.dims.getAsRange<FlatSymbolRefAttr>())) {
        if (cast<DimOp>(chunk::lookup(mixer, dim)).getSize() || dim == tokenDimOf(mixer))
          continue;
        if (slot)
          return refuse(mixer, "'" + kept.name.getValue() +
                                   "', which later launches read at pairs "
                                   "of positions");
        for (auto [number, own] : llvm::enumerate(plan.dims))
          if (own.name == dim.getValue())
            kept.places = static_cast<int32_t>(number);
      }
    }
    return success();
  }

  /// The last one has the call's name: it makes outputs of all.
  std::string nameOf(size_t number) const {
    if (number + 1 == groups.groups.size())
      return (name + "_forward").str();
    static constexpr StringLiteral ordinals[] = {"first", "second", "third",  "fourth",
                                                 "fifth", "sixth",  "seventh"};
    return (name + "_" + ordinals[number]).str();
  }

  /// States are walked token by token, in front of the reductions that read them.
  LogicalResult emitRecurrences() {
    SmallVector<const KeptValue *> kept;
    SmallVector<StringAttr> names;
    for (const KeptValue &own : groups.kept)
      if (groups.groups[own.maker].isRecurrent) {
        kept.push_back(&own);
        names.push_back(own.name);
      }
    OwningOpRef<ModuleOp> alone = recurrencesOf(mixer, names);
    const LaneOutputs outputs{static_cast<int32_t>(groups.kept.size()),
                              [&](LaneBlock &block, size_t number) {
                                const KeptValue &own = *kept[number];
                                return block.kept(static_cast<int32_t>(&own - groups.kept.data()),
                                                  own.dtype, own.isOfTokens, own.extents);
                              }};
    auto launches = emitLaneKernels(*alone->getOps<MixerOp>().begin(), plan, module, nameOf(0),
                                    nullptr, &outputs);
    if (failed(launches))
      return failure();
    first += static_cast<int32_t>(launches->launches.size());
    llvm::append_range(result.launches, launches->launches);
    return success();
  }

  /// Whether steps have a kernel of their own, which writes what is carried, too: all but states is
  /// made of the call's one token, whose row fits in a tile.
  bool hasStep() {
    const auto isOfStep = [&](const PairGroup &group) {
      return !group.isRecurrent && group.rows == tokenDimOf(mixer);
    };
    if (!isOfStep(groups.groups.back()))
      return false;
    // States are those behind the token that the group itself is at.
    if (!llvm::all_of(groups.groups,
                      [&](const PairGroup &group) { return group.isRecurrent || isOfStep(group); }))
      return false;
    const auto batchDims = llvm::count_if(
        mixer.getOps<DimOp>(), [](DimOp dim) { return dim.getKind() == DimKind::Batch; });
    const int64_t slices = slicesOfStep();
    const auto components = carryComponents(mixer);
    const bool hasStates = llvm::any_of(components, [](const CarryComponent &component) {
      return component.kind == CarryComponent::State;
    });
    // They are written by the first slice.
    if (slices > 1 && isInTurns() && hasStates)
      return false;
    return llvm::all_of(components, [&](const CarryComponent &component) {
      if (component.kind == CarryComponent::State && // that no other block reads
          (static_cast<int64_t>(component.batch.size()) != batchDims ||
           llvm::any_of(component.batch, [](BatchAttr dim) { return dim.getDiv() > 1; })))
        return false;
      // Blocks have all features, or each a slice of them.
      const int64_t parts = partsOf(component);
      return parts == 1 || (component.kind == CarryComponent::Rows && parts == slices);
    });
  }

  int64_t partsOf(const CarryComponent &component) const {
    const bool isOfRows = component.kind == CarryComponent::Rows;
    ArrayRef<int64_t> features = ArrayRef(component.shape).drop_front(isOfRows ? 1 : 0);
    return features.empty() ? 1 : llvm::divideCeil(features.back(), featureLimit);
  }

  /// Whether a block of a step makes all slices of features, one after the other: it keeps values
  /// that it reads again, of all of them.
  bool isInTurns() const { return !groups.kept.empty(); }

  /// Slices of what a step makes last: of blocks, or of turns that write what is carried.
  int64_t slicesOfStep() {
    int64_t slices = sizesOf(groups.groups.back()).slices();
    if (isInTurns())
      for (const CarryComponent &component : carryComponents(mixer))
        if (component.kind == CarryComponent::Rows)
          slices = std::max(slices, partsOf(component));
    return slices;
  }

  /// Without it the launches of a forward pass serve, which explanations say. One block has all
  /// features that are read across slices, or keeps them from one slice to the next.
  void emitStep() {
    ScopedDiagnosticHandler quiet(mixer.getContext(), [](Diagnostic &) { return success(); });
    if (!divided.empty()) {
      featureLimit = kMostOfStep;
      if (tryStep({}))
        return;
      featureLimit = PairTiles::kMostFeatures;
    }
    tryStep(divided);
  }

  bool tryStep(const llvm::SetVector<StringAttr> &across) {
    auto own = groupPairs(mixer, across);
    if (failed(own))
      return false;
    groups = std::move(*own);
    if (failed(findPlaces()))
      return false;
    // States are made where they are read.
    llvm::erase_if(groups.kept,
                   [&](const KeptValue &kept) { return groups.groups[kept.maker].isRecurrent; });
    if (!hasStep())
      return false;
    const std::string kernel = (name + "_step").str();
    const int32_t before = first;
    if (succeeded(emitKernel(groups.groups.size() - 1, kernel, true))) {
      for (const KeptValue &kept : groups.kept)
        result.stepRegions.push_back(
            LaneBlock::keptBytes(plan, kept.dtype, kept.isOfTokens, kept.extents, kept.places));
      return true;
    }
    SymbolTable::lookupSymbolIn(module, kernel)->erase();
    first = before;
    return false;
  }

  /// Blocks that have read the position count themselves; else one writes it.
  void storePosition(LaneBlock &block) {
    OpBuilder::InsertionGuard guard(block.builder);
    if (!block.readsPosition()) {
      Type i32 = block.builder.getI32Type();
      Value isFirst = arith::CmpIOp::create(
          block.builder, block.loc, arith::CmpIPredicate::eq,
          NVVM::BlockIdZOp::create(block.builder, block.loc, i32),
          arith::ConstantOp::create(block.builder, block.loc, block.builder.getI32IntegerAttr(0)));
      auto choice = scf::IfOp::create(block.builder, block.loc, isFirst, /*withElse=*/false);
      block.builder.setInsertionPointToStart(choice.thenBlock());
      block.storePosition();
      return;
    }
    block.storePosition();
  }

  /// The kernel of a group; or that of a step, for it and all before it.
  LogicalResult emitKernel(size_t number, const std::string &kernelName, bool isStep) {
    const PairGroup &group = groups.groups[number];
    const auto regions = static_cast<int32_t>(groups.kept.size());
    LLVM::LLVMFuncOp kernel = makeKernel(module, mixer.getLoc(), kernelName, plan, kWarps, regions);
    const LaneShape shape{{0}, 32, 32, 1, kThreads};
    LaneBlock block(plan, shape, kernel, mixer.getCompute(), regions);
    OpBuilder &builder = block.builder;
    const PairSizes sizes = sizesOf(group);
    if (isStep || sizes.choosesByNestedSums())
      keepOrder(kernel);
    int64_t columns = sizes.columnsOfTile();
    if (isStep)
      for (const PairGroup &other : groups.groups)
        columns = std::min(columns, sizesOf(other).columnsOfTile());
    const int64_t blockRows = isStep ? PairSizes::kRowsOfWarp : sizes.rowsOfBlock();
    if (!isStep && sizes.mostFeatures() * bytesOfFactor() <= kBytesOfThreeBlocks)
      kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), block.builder.getI32IntegerAttr(3));
    PairTiles tiles(block, blockRows, columns);
    tiles.mostFeatures = featureLimit;
    PairProducts products(tiles, isStoredWide() ? 3 : 2);
    LaunchPlan launch = launchOf(plan, shape, 32 * kWarps, regions);
    launch.kernel = first++;

    // Blocks with the most columns in front of them begin first.
    PairRows rows;
    rows.dim = group.rows;
    rows.isStep = isStep;
    auto wide = [&](Value number) -> Value {
      return arith::ExtUIOp::create(builder, block.loc, builder.getI64Type(), number);
    };
    Type i32 = builder.getI32Type();
    Value count = wide(NVVM::GridDimZOp::create(builder, block.loc, i32));
    Value own = wide(NVVM::BlockIdZOp::create(builder, block.loc, i32));
    const bool takesTurns = isStep ? isInTurns() : storesEarly(number);
    const int64_t slices = takesTurns ? 1 : sizes.slices();
    if (slices > 1) {
      tiles.slice = arith::RemUIOp::create(builder, block.loc, own, block.i64(slices));
      own = arith::DivUIOp::create(builder, block.loc, own, block.i64(slices));
      count = arith::DivUIOp::create(builder, block.loc, count, block.i64(slices));
    }
    int64_t parts = slices;
    for (FlatSymbolRefAttr dim : group.inner) {
      const auto size = static_cast<int64_t>(*cast<DimOp>(chunk::lookup(mixer, dim)).getSize());
      Value place = arith::RemUIOp::create(builder, block.loc, own, block.i64(size));
      rows.inner.push_back({dim, arith::TruncIOp::create(builder, block.loc, i32, place)});
      own = arith::DivUIOp::create(builder, block.loc, own, block.i64(size));
      count = arith::DivUIOp::create(builder, block.loc, count, block.i64(size));
      parts *= size;
    }
    own = arith::SubIOp::create(builder, block.loc, count, own);
    own = arith::SubIOp::create(builder, block.loc, own, block.i64(1));
    rows.inCall = arith::MulIOp::create(builder, block.loc, own, block.i64(blockRows));
    Value position = block.position();
    rows.length = arith::AddIOp::create(builder, block.loc, position, block.tokens);
    Value all = block.i64(1);
    rows.first = rows.inCall;
    if (rows.dim == tokenDimOf(mixer)) {
      all = block.tokens;
      rows.first = arith::AddIOp::create(builder, block.loc, position, rows.inCall);
      launch.grid[2].factors.push_back({SEQ_FACTOR_PARTS, plan.tokenDim, blockRows});
    } else if (auto dim = rows.dim ? cast<DimOp>(chunk::lookup(mixer, rows.dim)) : DimOp();
               dim && dim.getSize()) {
      all = block.i64(static_cast<int64_t>(*dim.getSize()));
      launch.grid[2].number = llvm::divideCeil(static_cast<int64_t>(*dim.getSize()), blockRows);
    } else if (dim) {
      const auto place = llvm::find_if(
          plan.dims, [&](const DimPlan &own) { return own.name == dim.getSymName(); });
      const auto number = static_cast<int32_t>(place - plan.dims.begin());
      all = block.extentOf(number, rows.length);
      launch.grid[2].factors.push_back({SEQ_FACTOR_PARTS, number, blockRows});
    }
    launch.grid[2].number *= parts;
    Value left = arith::SubIOp::create(builder, block.loc, all, rows.inCall);
    rows.count = arith::MaxSIOp::create(builder, block.loc, left, block.i64(0));
    tiles.firstRow = arith::TruncIOp::create(builder, block.loc, i32, rows.first);

    if (failed(isStep       ? emitGroupsOfStep(tiles, products, rows, position)
               : takesTurns ? emitInTurns(number, tiles, products, rows, position)
                            : emitGroup(number, tiles, products, rows, position)))
      return failure();
    if (isStep || (number + 1 == groups.groups.size() && !carriesRows(mixer)))
      storePosition(block);
    LLVM::ReturnOp::create(builder, block.loc, ValueRange());
    expandQuotients(kernel);

    if (!isStep && group.pairs.empty()) {
      kernel->setAttr(formName,
                      StringAttr::get(mixer.getContext(),
                                      fmt::format("a block makes {} rows of results, on tensor "
                                                  "cores",
                                                  blockRows)));
      result.launches.push_back(std::move(launch));
      return success();
    }
    const std::string of = isStep      ? "a block for a row walks its columns"
                           : !rows.dim ? "a block walks the columns of all"
                           : rows.dim == tokenDimOf(mixer)
                               ? fmt::format("a block for {} rows walks their columns", blockRows)
                               : fmt::format("a block for {} places of {} walks their columns",
                                             blockRows, rows.dim.getValue());
    kernel->setAttr(formName,
                    StringAttr::get(mixer.getContext(),
                                    fmt::format("{}, {} at a time, on tensor cores", of, columns)));
    (isStep ? result.step : result.launches).push_back(std::move(launch));
    return success();
  }

  /// Whether results are stored in more than 16 bits.
  bool isStoredWide() const {
    return llvm::any_of(plan.tensors, [](const TensorPlan &tensor) {
      return tensor.role == SEQ_ROLE_OUTPUT && (tensor.dtype == SEQ_F32 || tensor.dtype == SEQ_F64);
    });
  }

  /// What a group makes, with the slice of features that `tiles` have; and behind the last group of
  /// a step what is carried.
  LogicalResult emitGroup(size_t number, PairTiles &tiles, PairProducts &products,
                          const PairRows &rows, Value position, bool storesCarry = false) {
    const PairGroup &group = groups.groups[number];
    PairExpr expr(mixer, tiles, products, rows, groups);
    llvm::scope_exit note([&] { across = expr.readAcross(); });
    PairLoop loop(mixer, expr, tiles, rows, position, groups);
    for (PairsOp pairs : group.pairs)
      if (failed(loop.emit(pairs)))
        return failure();
    for (StringAttr own : group.once)
      if (failed(emitOnce(own, tiles, products, rows)))
        return failure();
    for (auto [tensor, output] : group.outputs)
      if (failed(emitResult(output, output.getSourceAttr().getAttr(), tiles.block.tensor(tensor),
                            expr, tiles, rows)))
        return failure();
    for (const KeptValue &kept : groups.kept)
      if (kept.maker == number && !groups.isStoredEarly(kept.name) &&
          failed(emitResult(mixer, kept.name, expr.kept(kept), expr, tiles, rows)))
        return failure();
    return storesCarry ? storeCarryOfStep(mixer, expr, tiles, position) : success();
  }

  /// One group after the other, by a block that has no other one's values to wait for.
  LogicalResult emitGroupsOfStep(PairTiles &tiles, PairProducts &products, const PairRows &rows,
                                 Value position) {
    if (!isInTurns())
      return emitGroup(groups.groups.size() - 1, tiles, products, rows, position, true);
    for (auto [number, group] : llvm::enumerate(groups.groups)) {
      if (group.isRecurrent)
        continue;
      if (failed(emitInTurns(number, tiles, products, rows, position)))
        return failure();
    }
    return inTurns(tiles, slicesOfStep(), [&] {
      PairExpr expr(mixer, tiles, products, rows, groups);
      return storeCarryOfStep(mixer, expr, tiles, position);
    });
  }

  LogicalResult emitInTurns(size_t number, PairTiles &tiles, PairProducts &products,
                            const PairRows &rows, Value position) {
    return inTurns(tiles, sizesOf(groups.groups[number]).slices(), [&]() -> LogicalResult {
      if (failed(emitGroup(number, tiles, products, rows, position)))
        return failure();
      // What is kept is read by what follows, and made anew by the next turn.
      tile::BarrierOp::create(tiles.builder, tiles.loc);
      return success();
    });
  }

  /// Whether a group reads what it has kept itself: blocks with slices of features would all write
  /// it.
  bool storesEarly(size_t number) const {
    return llvm::any_of(groups.kept, [&](const KeptValue &kept) {
      return kept.maker == number && groups.isStoredEarly(kept.name);
    });
  }

  /// Makes something with each slice of features.
  static LogicalResult inTurns(PairTiles &tiles, int64_t slices,
                               llvm::function_ref<LogicalResult()> make) {
    LaneBlock &block = tiles.block;
    OpBuilder::InsertionGuard guard(block.builder);
    llvm::SaveAndRestore<Value> whole(tiles.slice, Value());
    if (slices > 1) {
      auto loop = scf::ForOp::create(block.builder, block.loc, block.i64(0), block.i64(slices),
                                     block.i64(1));
      block.noteLoop(loop);
      block.builder.setInsertionPointToStart(loop.getBody());
      tiles.slice = loop.getInductionVar();
    }
    return make();
  }

  int64_t bytesOfFactor() { return mixer.getCompute().isF64() ? 8 : isStoredWide() ? 6 : 2; }

  PairSizes sizesOf(const PairGroup &group) {
    return {mixer, group, featureLimit, bytesOfFactor()};
  }

  /// Makes a definition for all who read it: later launches, and what this one makes behind it, of
  /// the same rows.
  LogicalResult emitOnce(StringAttr symbol, PairTiles &tiles, PairProducts &products,
                         const PairRows &rows) {
    LaneBlock &block = tiles.block;
    Operation *source = chunk::lookup(mixer, symbol);
    const KeptValue &kept = *groups.find(symbol);
    // What is known of loops over slices is of no use behind them.
    PairExpr expr(mixer, tiles, products, rows, groups);
    expr.setMaking(symbol);
    const LaneArray &array = expr.kept(kept);
    const int64_t size = kept.extents.empty() ? 1 : kept.extents.back();
    if (failed(inTurns(tiles, llvm::divideCeil(size, featureLimit),
                       [&] { return emitResult(source, symbol, array, expr, tiles, rows); })))
      return failure();
    tile::BarrierOp::create(block.builder, block.loc);
    return success();
  }

  /// Stores a symbol at the block's rows.
  LogicalResult emitResult(Operation *at, StringAttr symbol, const LaneArray &array, PairExpr &expr,
                           PairTiles &tiles, const PairRows &rows) {
    ArrayAttr dims = placesOf(mixer, chunk::lookup(mixer, symbol));
    SmallVector<Attribute> features(dims.getValue());
    // The block has its own places of the dims of its rows.
    SmallVector<std::pair<size_t, PairValue>> ofRows;
    bool hasRow = false;
    for (auto [slot, dim] : llvm::enumerate(dims.getValue())) {
      if (rows.dim && dim == rows.dim && !hasRow) {
        ofRows.push_back({slot, PairValue::along(kRow)});
        hasRow = true;
      }
      for (auto [inner, number] : rows.inner)
        if (dim == inner)
          ofRows.push_back({slot, PairValue{number, {}, 0}});
    }
    for (const auto &own : llvm::reverse(ofRows))
      features.erase(features.begin() + own.first);
    for (Attribute dim : features)
      if (expr.sizeOf(dim) < 0)
        return refuse(at, "an output for every pair of positions");
    return forEachRowOfFeatures(
        at, expr, tiles, features, [&](ArrayRef<PairValue> places) -> LogicalResult {
          SmallVector<PairValue> all(places);
          for (const auto &[slot, place] : ofRows)
            all.insert(all.begin() + slot, place);
          auto value = expr.symbol(at, symbol, all);
          if (failed(value))
            return failure();
          LaneArray own = array;
          if (!hasRow) { // one row is written
            all.push_back(PairValue::along(kRow));
            own.strides.push_back(tiles.block.i64(0));
          }
          storeRows(tiles, own, all, value->value ? *value : tiles.number(*value), rows.inCall,
                    onceOfSlices(tiles, places, rows.count), kRow);
          return success();
        });
  }
};

} // namespace

bool hasPairs(MixerOp mixer) { return !mixer.getOps<PairsOp>().empty() || carriesRows(mixer); }

FailureOr<PairLaunches> emitPairKernels(MixerOp mixer, const MixerPlan &plan,
                                        mlir::gpu::GPUModuleOp module, StringRef name,
                                        int32_t first) {
  return PairLowering(mixer, plan, module, name, first).run();
}

} // namespace seqmix::gpu
