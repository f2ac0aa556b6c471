//===- BlockStep.cpp - one token of matrix states ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A step takes the time in which the states come from memory and go back. Each matrix is in slices
// of rows that fit in registers; where updates read the state, it is loaded twice. Parts follow
// each other in one kernel, with what they keep for each other in the workspace, as in launches.
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockTiles.h"
#include "compiler/gpu/blocks/Blocks.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

constexpr int32_t kWarps = 8;
/// Elements of a slice: 32 of a thread, beside as many of each read's sums; a quarter of them where
/// factors are sums for each row.
constexpr int64_t kElements = 8192;
/// Reads that are summed up at once.
constexpr size_t kMostReads = 3;
constexpr int64_t kLeastPlaces = 16;

BlockAxis axisOf(MixerOp mixer, LaneBlock &block, StringAttr dim) {
  const int64_t size = fixedSize(mixer, FlatSymbolRefAttr::get(dim));
  BlockAxis axis{dim, {}, {}, {}};
  axis.size = std::max<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(size)), kLeastPlaces);
  if (size < axis.size)
    axis.exists = block.i64(size);
  return axis;
}

/// One part's equations at the token.
class StepOfPart {
public:
  StepOfPart(const BlockParts &all, const BlockPart &part, LaneBlock &block)
      : share{all, part}, mixer(part.mixer()), block(block), expr(mixer, block),
        tiles(block, expr, 2), builder(block.builder), loc(block.loc) {
    expr.setKept([&block, &all](StringAttr name) -> std::optional<LaneArray> {
      for (auto [number, kept] : llvm::enumerate(all.kept))
        if (kept.name == name)
          return PartShare::array(block, all, number);
      return std::nullopt;
    });
  }

  LogicalResult run() {
    if (failed(share.part.isRecurrent ? emitStates() : emitMatrix()) || failed(storeOutputs()))
      return failure();
    if (!share.isLast())
      tile::BarrierOp::create(builder, loc);
    return success();
  }

  std::string reason() const { return own.empty() ? expr.reason : own; }

private:
  const PartShare share;
  MixerOp mixer;
  LaneBlock &block;
  BlockExpr expr;
  BlockTiles tiles;
  OpBuilder &builder;
  Location loc;
  std::string own;

  AffineOp affine;
  int32_t component = 0;
  BlockAxis columns;
  SmallVector<BlockAxis> slices;
  struct Read {
    StringAttr factor, result;
    bool isBefore;
    Value sum; ///< columns
  };
  SmallVector<Read> reads;
  SmallVector<Value> inRegisters; ///< the state's only slice, if it was loaded

  LogicalResult refuse(const Twine &what) {
    own = what.str();
    return failure();
  }

  int32_t componentNamed(StringRef name) {
    int32_t number = 0;
    while (block.plan.components[number].name != name)
      ++number;
    return number;
  }

  /// A symbol on a tile of all its places.
  FailureOr<std::pair<Value, BlockFrame>> whole(StringAttr symbol) {
    BlockFrame frame;
    int64_t elements = 1;
    for (StringAttr dim : expr.featuresOf(symbol)) {
      frame.push_back(axisOf(mixer, block, dim));
      elements *= frame.back().size;
    }
    if (frame.size() > 2 || elements > kElements)
      return refuse("'" + symbol.getValue() + "', which has too many elements for registers");
    Value value = expr.evaluate(symbol, frame);
    if (!value)
      return failure();
    return std::pair(value, frame);
  }

  /// Stores a tile of the frame's dims, or a scalar. `hasToken`: the array has the tokens first.
  void store(Value value, const LaneArray &array, const BlockFrame &frame, bool hasToken) {
    SmallVector<int> axes;
    SmallVector<Place> places;
    if (hasToken) {
      axes.push_back(-1);
      places.push_back(Place::of(0));
    }
    for (size_t axis = 0; axis < frame.size(); ++axis)
      axes.push_back(static_cast<int>(axis));
    if (frame.empty())
      return block.store(array, places, Value(), value);
    SmallVector<Value> strides;
    Value base = expr.address(array, axes, SmallVector<int64_t>(axes.size(), 0), frame, strides);
    expr.store(value, array, base, strides, frame);
  }

  /// States that are no matrices.
  LogicalResult emitStates() {
    struct Stored {
      Value value;
      BlockFrame frame;
      int32_t component;
    };
    SmallVector<Stored> all;
    for (auto state : mixer.getOps<StateOp>()) {
      auto made = whole(state.getSymNameAttr());
      if (failed(made))
        return failure();
      all.push_back({made->first, made->second, componentNamed(state.getSymName())});
    }
    if (failed(storeKept()))
      return failure();
    // They stand where threads have read those in front of the token.
    tile::BarrierOp::create(builder, loc);
    for (const Stored &one : all)
      store(one.value, block.carryOut(one.component), one.frame, /*hasToken=*/false);
    return success();
  }

  LogicalResult storeKept() {
    for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>())) {
      auto made = whole(output.getSourceAttr().getAttr());
      if (failed(made))
        return failure();
      store(made->first, PartShare::array(block, share.all, share.part.kept[number]), made->second,
            /*hasToken=*/true);
    }
    return success();
  }

  LogicalResult storeOutputs() {
    if (share.part.isRecurrent)
      return success(); // with the states
    if (!share.isLast())
      return storeKept();
    const auto inputs = static_cast<int32_t>(llvm::count_if(
        block.plan.tensors, [](const TensorPlan &plan) { return plan.role != SEQ_ROLE_OUTPUT; }));
    for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>())) {
      auto made = whole(output.getSourceAttr().getAttr());
      if (failed(made))
        return failure();
      store(made->first, block.tensor(inputs + static_cast<int32_t>(number)), made->second,
            /*hasToken=*/true);
    }
    return success();
  }

  //===--- a matrix -----------------------------------------------------------===//

  /// Slices of rows, so that a slice with all columns fits in registers.
  LogicalResult cut() {
    affine = *mixer.getOps<AffineOp>().begin();
    if (!affine.outerDims().empty() || affine.componentCount() != 1 || affine.getCoupling() ||
        affine.getRows().size() != 1 || affine.getCols().size() != 1)
      return refuse("a state that is no single matrix");
    auto state = cast<StateOp>(chunk::lookup(mixer, affine.getStateAttr()));
    component = componentNamed(state.getSymName());
    auto dimOf = [&](int64_t number) {
      return cast<FlatSymbolRefAttr>(state.getDims()[number]).getAttr();
    };
    columns = axisOf(mixer, block, dimOf(affine.getCols()[0]));
    BlockAxis rows = axisOf(mixer, block, dimOf(affine.getRows()[0]));
    const int64_t count = fixedSize(mixer, FlatSymbolRefAttr::get(rows.dim));
    const int64_t elements = summandsOfProducts(mixer) > 0 ? kElements / 4 : kElements;
    const int64_t most = std::min(rows.size, elements / columns.size);
    if (most < kLeastPlaces)
      return refuse(fmt::format("{} columns, which are too many for registers", columns.size));
    for (int64_t first = 0; first < count; first += most) {
      BlockAxis slice{rows.dim, most, {}, {}};
      if (first)
        slice.first = block.i64(first);
      if (count - first < most)
        slice.exists = block.i64(count - first);
      slices.push_back(slice);
    }
    for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
      if (read.getKind() != ReadKind::Rows)
        return refuse("a read of elements");
      reads.push_back({read.getRow().front().getSymbol().getAttr(),
                       read.getResult() ? read.getResult().getAttr() : StringAttr(),
                       read.getBefore(), Value()});
    }
    if (reads.size() > kMostReads)
      return refuse("more reads of a state than registers have room for");
    return success();
  }

  SmallVector<int> stateAxes() {
    SmallVector<int> axes(2);
    axes[affine.getRows()[0]] = 0;
    axes[affine.getCols()[0]] = 1;
    return axes;
  }

  Value loadState(size_t slice) {
    if (!inRegisters.empty())
      return inRegisters.front();
    const BlockFrame frame = {slices[slice], columns};
    const LaneArray &array = block.carryIn(component);
    SmallVector<Value> strides;
    Value base = expr.address(array, stateAxes(), {0, 0}, frame, strides);
    Value tile = expr.load(array, base, strides, frame);
    if (slices.size() == 1)
      inRegisters = {tile};
    return tile;
  }

  /// A tile of the slice times a factor of its rows.
  Value timesRows(Value tile, Value factor, size_t slice) {
    return tiles.multiply(tile, tiles.broadcast(factor, 1, {slices[slice], columns}));
  }

  Value sumOfRows(Value tile) {
    auto sum = tile::ReduceOp::create(
        builder, loc, TypeRange{BlockExpr::tileType({columns}, block.real)}, ValueRange{tile}, 0);
    OpBuilder::InsertionGuard guard(builder);
    Block *body = builder.createBlock(&sum.getBody(), {}, {block.real, block.real}, {loc, loc});
    tile::YieldOp::create(builder, loc, tiles.add(body->getArgument(0), body->getArgument(1)));
    return sum.getResult(0);
  }

  /// Adds a slice's share to the sums of these reads.
  LogicalResult addReads(ArrayRef<Read *> which, Value state, size_t slice) {
    for (Read *read : which) {
      Value factor = expr.evaluate(read->factor, {slices[slice]});
      if (!factor)
        return failure();
      Value share = timesRows(state, expr.mask(factor, {slices[slice]}, 0), slice);
      read->sum = read->sum ? tiles.add(read->sum, share) : share;
    }
    return success();
  }

  /// What an update adds to the columns; null for an error.
  Value rightOf(UpdateAttr update) {
    Value sum;
    for (TermAttr term : update.getTerms()) {
      Value value = term.getRead() >= 0 ? reads[static_cast<size_t>(term.getRead())].sum
                                        : expr.evaluate(term.getRight().getAttr(), {columns});
      if (value && term.getCoef()) {
        Value coefficient = expr.evaluate(term.getCoef().getAttr(), {columns});
        value = coefficient ? tiles.multiply(coefficient, value) : Value();
      }
      if (!value)
        return {};
      sum = sum ? tiles.add(sum, value) : value;
    }
    return sum ? sum : tiles.zeros({columns});
  }

  LogicalResult emitMatrix() {
    if (failed(cut()))
      return failure();
    // Reads that updates take come first.
    SmallVector<Read *> first, second;
    llvm::SmallDenseSet<int64_t> inUpdates;
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
      for (TermAttr term : update.getTerms())
        inUpdates.insert(term.getRead());
    for (auto [number, read] : llvm::enumerate(reads))
      (inUpdates.contains(static_cast<int64_t>(number)) ? first : second).push_back(&read);
    if (!first.empty())
      for (size_t slice = 0; slice < slices.size(); ++slice)
        if (failed(addReads(first, loadState(slice), slice)))
          return failure();
    for (Read *read : first)
      read->sum = sumOfRows(read->sum);
    SmallVector<Value> rights;
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
      Value right = rightOf(update);
      if (!right)
        return failure();
      rights.push_back(expr.mask(right, {columns}, 0));
    }
    for (size_t slice = 0; slice < slices.size(); ++slice)
      if (failed(emitSlice(slice, rights, second)))
        return failure();
    for (Read *read : second)
      read->sum = sumOfRows(read->sum);
    for (const Read &read : reads)
      if (read.result)
        expr.bind(read.result, read.sum);
    return success();
  }

  LogicalResult emitSlice(size_t slice, ArrayRef<Value> rights, ArrayRef<Read *> which) {
    const BlockFrame frame = {slices[slice], columns};
    Value before = loadState(slice), after = before;
    auto multiplyBy = [&](std::optional<FlatSymbolRefAttr> decay, const BlockAxis &axis,
                          unsigned added) {
      Value factor = expr.evaluate(decay->getAttr(), {axis});
      if (factor)
        after = tiles.multiply(after, tiles.broadcast(factor, added, frame));
      return success(static_cast<bool>(factor));
    };
    if (affine.getRowDecay() && failed(multiplyBy(affine.getRowDecayAttr(), slices[slice], 1)))
      return failure();
    if (affine.getColDecay() && failed(multiplyBy(affine.getColDecayAttr(), columns, 0)))
      return failure();
    for (auto [update, right] :
         llvm::zip_equal(affine.getUpdates().getAsRange<UpdateAttr>(), rights)) {
      Value left = expr.evaluate(update.getLefts().front().getSymbol().getAttr(), {slices[slice]});
      if (!left)
        return failure();
      after = tiles.add(after, timesRows(tiles.broadcast(right, 0, frame), left, slice));
    }
    for (Read *read : which)
      if (failed(addReads({read}, read->isBefore ? before : after, slice)))
        return failure();
    // Of a small slice, several threads have an element.
    if (slices[slice].size * columns.size < static_cast<int64_t>(32) * kWarps)
      tile::BarrierOp::create(builder, loc);
    const LaneArray &array = block.carryOut(component);
    SmallVector<Value> strides;
    Value base = expr.address(array, stateAxes(), {0, 0}, frame, strides);
    expr.store(after, array, base, strides, frame);
    return success();
  }
};

} // namespace

std::optional<LaunchPlan> emitStepKernel(const BlockParts &parts, const MixerPlan &plan,
                                         mlir::gpu::GPUModuleOp module, StringRef name,
                                         std::string &reason) {
  MixerOp mixer = parts.parts.back().mixer();
  if (!mixer.getCompute().isF32()) {
    reason = "another type of computation than f32"; // as for the forward pass
    return std::nullopt;
  }
  const auto regions = static_cast<int32_t>(parts.kept.size());
  LLVM::LLVMFuncOp kernel = makeKernel(module, mixer.getLoc(), name, plan, kWarps, regions);
  keepOrder(kernel);
  const LaneShape shape{{0}, 32, 32, 1, static_cast<int64_t>(32) * kWarps};
  LaneBlock block(plan, shape, kernel, mixer.getCompute(), regions);
  for (const BlockPart &part : parts.parts) {
    StepOfPart own(parts, part, block);
    if (failed(own.run())) {
      reason = own.reason();
      kernel.erase();
      return std::nullopt;
    }
  }
  block.storePosition();
  LLVM::ReturnOp::create(block.builder, block.loc, ValueRange());
  kernel->setAttr(formName, StringAttr::get(mixer.getContext(),
                                            "a block has slices of the rows one after the other"));
  return launchOf(plan, shape, 32 * kWarps, regions);
}

} // namespace seqmix::gpu
