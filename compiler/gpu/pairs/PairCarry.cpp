//===- PairCarry.cpp - rows that later calls read ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairCarry.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/pairs/PairLoop.h"
#include "compiler/gpu/tile/Emitter.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Rows of a tile, as many elements of it, and blocks that divide all rows.
static constexpr int64_t kLeastRows = 16, kMostRows = 64, kTileElements = 4096, kCarryBlocks = 4;
static constexpr int32_t kCarryWarps = 4;
static constexpr int64_t kCarryThreads = 128;

/// The widest component decides.
static int64_t rowsOfTile(MixerOp mixer) {
  int64_t features = 1;
  for (const CarryComponent &component : carryComponents(mixer))
    if (component.kind == CarryComponent::Rows && component.shape.size() > 1)
      features = std::max(features, component.shape.back());
  const auto padded = static_cast<int64_t>(
      llvm::PowerOf2Ceil(static_cast<uint64_t>(std::min(features, PairTiles::kMostFeatures))));
  return std::clamp(kTileElements / padded, kLeastRows, kMostRows);
}

void storeRows(PairTiles &tiles, const LaneArray &array, ArrayRef<PairValue> places,
               const PairValue &value, Value first, Value count, Axis rows,
               const PairColumns *columns) {
  LaneBlock &block = tiles.block;
  OpBuilder &builder = tiles.builder;
  Location loc = tiles.loc;
  Value offset = block.i64(0);
  auto advance = [&](Value number, Value stride) {
    offset = arith::AddIOp::create(builder, loc, offset,
                                   arith::MulIOp::create(builder, loc, number, stride));
  };
  struct Dim {
    Axis axis;
    Value stride, extent; ///< a null extent is the tile's
  };
  SmallVector<Dim> dims;
  for (auto [slot, place] : llvm::enumerate(places)) {
    Value stride = array.strides[slot];
    if (place.isConstant()) {
      advance(block.i64(place.offset), stride);
      continue;
    }
    if (place.axes.empty()) {
      advance(arith::ExtSIOp::create(builder, loc, builder.getI64Type(), place.value), stride);
      continue;
    }
    const Axis axis = place.axes[0];
    if (axis == rows) {
      advance(first, stride);
      dims.push_back({axis, stride, count});
    } else if (axis < kFirstFeature) {
      assert(columns && "places along columns have them");
      advance(columns->inCall, stride);
      dims.push_back({axis, stride, columns->count});
    } else {
      if (tiles.firstOf(axis))
        advance(tiles.firstOf(axis), stride);
      dims.push_back({axis, stride, tiles.isPadded(axis) ? tiles.extentOf(axis) : Value()});
    }
  }
  llvm::sort(dims, [](const Dim &a, const Dim &b) { return a.axis < b.axis; });
  for (Value condition : {array.isThere, array.isWritten})
    if (condition)
      for (Dim &dim : dims)
        if (dim.axis == rows)
          dim.extent = arith::SelectOp::create(builder, loc, condition, dim.extent, block.i64(0));
  Axes axes;
  SmallVector<Value> strides, extents;
  SmallVector<int64_t> staticExtents;
  for (const Dim &dim : dims) {
    axes.push_back(dim.axis);
    strides.push_back(dim.stride);
    staticExtents.push_back(dim.extent ? ShapedType::kDynamic : tiles.paddedOf(dim.axis));
    if (dim.extent)
      extents.push_back(dim.extent);
  }
  Value tile = tiles.spread(value, axes);
  Type element = block.storageType(array.dtype);
  Type own = getElementTypeOrSelf(tile.getType()), wanted = tiles.typeOf(axes, element);
  if (own.isInteger(1))
    tile = arith::ExtUIOp::create(builder, loc, wanted, tile);
  else if (isa<FloatType>(own) && own != element)
    tile = arith::TruncFOp::create(builder, loc, wanted, tile);
  Value base = LLVM::GEPOp::create(builder, loc, array.base.getType(), element, array.base,
                                   ArrayRef<LLVM::GEPArg>{offset});
  tile::StoreGlobalOp::create(
      builder, loc, tile, base, strides,
      builder.getDenseI64ArrayAttr(SmallVector<int64_t>(axes.size(), ShapedType::kDynamic)),
      extents, builder.getDenseI64ArrayAttr(staticExtents), builder.getI64IntegerAttr(0));
}

/// What a row of the carry holds, at tokens of the call: as it is stored there.
static PairExpr::Result valueInCall(MixerOp mixer, PairExpr &expr, StringAttr name,
                                    ArrayRef<PairValue> places) {
  Operation *source = chunk::lookup(mixer, name);
  if (auto tensor = dyn_cast<TensorOp>(source))
    return expr.load(source, tensor, places);
  return expr.symbol(source, name, places);
}

Value onceOfSlices(PairTiles &tiles, ArrayRef<PairValue> places, Value count) {
  if (!tiles.slice || (!places.empty() && tiles.firstOf(places.back().axes[0])))
    return count;
  LaneBlock &block = tiles.block;
  Value isFirst = arith::CmpIOp::create(block.builder, block.loc, arith::CmpIPredicate::eq,
                                        tiles.slice, block.i64(0));
  return arith::SelectOp::create(block.builder, block.loc, isFirst, count, block.i64(0));
}

LogicalResult storeCarryOfStep(MixerOp mixer, PairExpr &expr, PairTiles &tiles, Value position) {
  LaneBlock &block = tiles.block;
  struct Stored {
    LaneArray array;
    SmallVector<PairValue> places;
    PairValue value;
    Value row, count;
  };
  std::vector<Stored> all;
  for (auto [number, component] : llvm::enumerate(carryComponents(mixer))) {
    LaneArray after = block.carryOut(static_cast<int32_t>(number));
    StringAttr name = component.of.getAttr();
    Operation *source = chunk::lookup(mixer, name);
    Value row = position;
    if (component.kind == CarryComponent::State) {
      row = block.i64(0);
      after.strides.insert(after.strides.begin(), block.i64(0));
    } else if (component.shape[0] > 0) {
      row = arith::RemUIOp::create(block.builder, block.loc, row, block.i64(component.shape[0]));
    }
    auto status = forEachRowOfFeatures(
        source, expr, tiles, placesOf(mixer, source).getValue().drop_front(),
        [&](ArrayRef<PairValue> features) -> LogicalResult {
          SmallVector<PairValue> places = {PairValue::along(kRow)};
          llvm::append_range(places, features);
          auto value = valueInCall(mixer, expr, name, places);
          if (failed(value))
            return failure();
          all.push_back({after, places, value->value ? *value : tiles.number(*value), row,
                         onceOfSlices(tiles, features, block.i64(1))});
          return success();
        });
    if (failed(status))
      return failure();
  }
  // States stand where threads have read those of the token before.
  tile::BarrierOp::create(block.builder, block.loc);
  for (const Stored &own : all)
    storeRows(tiles, own.array, own.places, own.value, own.row, own.count, kRow);
  return success();
}

namespace {

/// The kernel that writes rows: those of the call, and the earlier ones where the carry that is
/// written is another than the one that is read.
class RowsLowering {
public:
  RowsLowering(MixerOp mixer, const MixerPlan &plan, LLVM::LLVMFuncOp kernel,
               const PairGroups &groups)
      : mixer(mixer), groups(groups),
        block(plan, LaneShape{{0}, 32, 32, 1, kCarryThreads}, kernel, mixer.getCompute(),
              static_cast<int32_t>(groups.kept.size())),
        tiles(block, rowsOfTile(mixer), rowsOfTile(mixer)), products(tiles, 3),
        builder(block.builder), loc(block.loc) {}

  LogicalResult run() {
    position = block.position();
    total = arith::AddIOp::create(builder, loc, position, block.tokens);
    tiles.firstRow = zero32();
    Type i32 = builder.getI32Type();
    auto wide = [&](Value number) -> Value {
      return arith::ExtUIOp::create(builder, loc, builder.getI64Type(), number);
    };
    Value own = wide(NVVM::BlockIdZOp::create(builder, loc, i32));
    Value all = wide(NVVM::GridDimZOp::create(builder, loc, i32));
    start = arith::MulIOp::create(builder, loc, own, block.i64(tiles.sizeOf(kColumn)));
    step = arith::MulIOp::create(builder, loc, all, block.i64(tiles.sizeOf(kColumn)));
    PairRows rows;
    rows.dim = tokenDimOf(mixer);
    rows.count = rows.inCall = rows.first = block.i64(0);
    rows.length = total;
    expr.emplace(mixer, tiles, products, rows, groups);
    for (auto [number, component] : llvm::enumerate(carryComponents(mixer)))
      if (component.kind == CarryComponent::Rows &&
          failed(emitComponent(static_cast<int32_t>(number), component)))
        return failure();
    block.storePosition();
    LLVM::ReturnOp::create(builder, loc, ValueRange());
    return success();
  }

private:
  MixerOp mixer;
  const PairGroups &groups;
  LaneBlock block;
  PairTiles tiles;
  PairProducts products;
  OpBuilder &builder;
  Location loc;
  std::optional<PairExpr> expr;
  Value position, total, start, step;

  Value zero32() { return arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(0)); }
  Value choose(Value condition, Value a, Value b) {
    return arith::SelectOp::create(builder, loc, condition, a, b);
  }

  LogicalResult emitComponent(int32_t number, const CarryComponent &component) {
    const LaneArray in = block.carryIn(number), out = block.carryOut(number);
    const int64_t ring = component.shape[0];
    Value least =
        ring > 0
            ? arith::MaxSIOp::create(builder, loc, block.i64(0),
                                     arith::SubIOp::create(builder, loc, total, block.i64(ring)))
                  .getResult()
            : block.i64(0);
    auto number64 = [&](Value pointer) -> Value {
      return LLVM::PtrToIntOp::create(builder, loc, builder.getI64Type(), pointer);
    };
    Value isSame = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, number64(in.base),
                                         number64(out.base));
    Value isWanted = out.isThere;
    if (out.isWritten)
      isWanted = arith::AndIOp::create(builder, loc, isWanted, out.isWritten);
    Value newest = arith::MaxSIOp::create(builder, loc, least, position);
    Value oldEnd = choose(isSame, least, position);
    if (failed(emitRange(number, component, least, choose(isWanted, oldEnd, least), true)) ||
        failed(emitRange(number, component, newest, choose(isWanted, total, newest), false)))
      return failure();
    return success();
  }

  /// Rows of positions from `low` to `high`, which in a ring may stand in two pieces.
  LogicalResult emitRange(int32_t number, const CarryComponent &component, Value low, Value high,
                          bool isOld) {
    const int64_t ring = component.shape[0];
    if (ring < 0)
      return emitPiece(number, component, low, high, block.i64(0), isOld);
    Value size = block.i64(ring);
    Value wrap =
        arith::MulIOp::create(builder, loc, arith::DivUIOp::create(builder, loc, high, size), size);
    auto loop = scf::ForOp::create(builder, loc, block.i64(0), block.i64(2), block.i64(1));
    block.noteLoop(loop);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq,
                                          loop.getInductionVar(), block.i64(0));
    Value begin = choose(isFirst, low, arith::MaxSIOp::create(builder, loc, low, wrap));
    Value end = choose(isFirst, arith::MinSIOp::create(builder, loc, high, wrap), high);
    Value base = choose(isFirst, arith::SubIOp::create(builder, loc, wrap, size), wrap);
    return emitPiece(number, component, begin, end, base, isOld);
  }

  LogicalResult emitPiece(int32_t number, const CarryComponent &component, Value low, Value high,
                          Value base, bool isOld) {
    // Arrays are found in front of loops.
    const LaneArray in = block.carryIn(number), out = block.carryOut(number);
    StringAttr name = component.of.getAttr();
    Operation *source = chunk::lookup(mixer, name);
    const ArrayAttr dims = placesOf(mixer, source);
    ArrayRef<Attribute> features = dims.getValue().drop_front();
    Value first = arith::AddIOp::create(builder, loc, low, start);
    OpBuilder::InsertionGuard guard(builder);
    tiles.slice = Value();
    if (const int64_t size = features.empty() ? 1 : expr->sizeOf(features.back());
        size > PairTiles::kMostFeatures) {
      auto slices = scf::ForOp::create(builder, loc, block.i64(0),
                                       block.i64(llvm::divideCeil(size, PairTiles::kMostFeatures)),
                                       block.i64(1));
      block.noteLoop(slices);
      builder.setInsertionPointToStart(slices.getBody());
      tiles.slice = slices.getInductionVar();
    }
    auto loop = scf::ForOp::create(builder, loc, first, high, step);
    block.noteLoop(loop);
    builder.setInsertionPointToStart(loop.getBody());
    Value own = loop.getInductionVar();
    PairColumns columns;
    columns.dim = tokenDimOf(mixer);
    columns.count = arith::SubIOp::create(builder, loc, high, own);
    columns.first = own;
    Value row = arith::SubIOp::create(builder, loc, own, base);
    columns.inCall = isOld ? row : arith::SubIOp::create(builder, loc, own, position).getResult();
    tiles.firstColumn = arith::TruncIOp::create(builder, loc, builder.getI32Type(), own);
    expr->enterLoop(loop);
    expr->enterTile(columns);
    auto status = forEachRowOfFeatures(
        source, *expr, tiles, features, [&](ArrayRef<PairValue> places) -> LogicalResult {
          SmallVector<PairValue> all = {PairValue::along(kColumn)};
          llvm::append_range(all, places);
          auto value = isOld ? expr->loadFrom(source, in, all, dims, nullptr)
                             : valueInCall(mixer, *expr, name, all);
          if (failed(value))
            return failure();
          storeRows(tiles, out, all, value->value ? *value : tiles.number(*value), row,
                    columns.count, kColumn);
          return success();
        });
    expr->leaveLoop();
    return status;
  }
};

} // namespace

void expandQuotients(Operation *kernel) {
  RewritePatternSet patterns(kernel->getContext());
  arith::populateCeilFloorDivExpandOpsPatterns(patterns);
  walkAndApplyPatterns(kernel, std::move(patterns));
}

LogicalResult emitCarryKernel(MixerOp mixer, const MixerPlan &plan, const PairGroups &groups,
                              mlir::gpu::GPUModuleOp module, StringRef name, int32_t &first,
                              std::vector<LaunchPlan> &launches) {
  const auto regions = static_cast<int32_t>(groups.kept.size());
  const LaneShape shape{{0}, 32, 32, 1, 32};
  LLVM::LLVMFuncOp kernel =
      makeKernel(module, mixer.getLoc(), (name + "_rows").str(), plan, kCarryWarps, regions);
  // Of all elements that a thread copies there is an address, for each component.
  kernel->setAttr(inPlaceName, UnitAttr::get(mixer.getContext()));
  if (failed(RowsLowering(mixer, plan, kernel, groups).run()))
    return failure();
  expandQuotients(kernel);
  LaunchPlan launch = launchOf(plan, shape, 32 * kCarryWarps, regions);
  launch.kernel = first++;
  launch.grid[2].number = kCarryBlocks;
  launches.push_back(std::move(launch));
  return success();
}

} // namespace seqmix::gpu
