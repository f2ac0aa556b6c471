//===- BlockSegments.cpp - segments of recurrences of rank r -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The transition of a segment, S_end = A S_front + B, is dense where updates read the state. B is
// the state behind the segment from zero; A is, too, for columns that start as the identity and
// get no values. The scan makes the product with a state on tensor cores, transposed as in chunks:
// S' = S' A' + B'.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/BlockLowering.h"
#include "compiler/gpu/blocks/Blocks.h"
#include "dialect/tile/Tile.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

/// Parts of a record: the state, the transition, and for each of its blocks 1 if it is bounded.
enum Part { kState = 0, kTransition = 1, kBounded = 2 };
/// The largest element of a transition that is used, as on the CPU.
constexpr double kMostProduct = 16;
/// With a summary of more of the work a cut gains nothing from four segments.
constexpr double kMostWork = 3;
/// Tokens that take the time of a border in the scan. An estimate: nothing has run on a GPU yet.
constexpr double kBorderTokens = 64;

} // namespace

//===----------------------------------------------------------------------===//
// The summary
//===----------------------------------------------------------------------===//

std::shared_ptr<SummaryPlan> BlockLowering::planDense() {
  if (failed(check()) || !readsState)
    return nullptr;
  auto summary = std::make_shared<SummaryPlan>();
  summary->work = static_cast<double>(shape.size + rowCount) / static_cast<double>(shape.size);
  if (summary->work > kMostWork)
    return nullptr;
  auto component = [&](StringRef what, ArrayRef<int64_t> sizes) {
    ComponentPlan own;
    own.name = plan.components[0].name + what.str();
    own.dtype = plan.components[0].dtype;
    for (auto [slot, size] : llvm::enumerate(sizes))
      own.axes.push_back({-1, static_cast<int32_t>(slot), 1, size});
    return own;
  };
  summary->mixer = plan;
  summary->mixer.components = {
      plan.components[0], component(".product", {rowCount, rowCount}),
      component(".bounded", {int64_t(llvm::divideCeil(rowCount, shape.lanes))})};
  summary->components = {0, -1, -1};
  return summary;
}

/// Whether the block has columns of the state or of the transition, and which.
void BlockLowering::chooseTransition() {
  Location loc = block->loc;
  auto choose = [&](Value transition, Value state) -> Value {
    return arith::SelectOp::create(builder(), loc, isTransition, transition, state);
  };
  auto subtract = [&](Value from, Value number) -> Value {
    return arith::SubIOp::create(builder(), loc, from, number);
  };
  Value behind = block->i64(shape.lanes * int64_t(llvm::divideCeil(shape.size, shape.lanes)));
  isTransition =
      arith::CmpIOp::create(builder(), loc, arith::CmpIPredicate::uge, block->firstLane, behind);
  Value none = block->i64(0), first = subtract(block->firstLane, behind);
  Value left = subtract(block->i64(shape.size), block->firstLane);
  columnAxis.first = choose(none, block->firstLane);
  columnAxis.exists = choose(none, left);
  stateAxis.first = choose(first, block->firstLane);
  // Where blocks are full there is nothing to mask.
  stateAxis.exists = Value();
  if (shape.size % shape.lanes || rowCount % shape.lanes)
    stateAxis.exists = choose(subtract(block->i64(rowCount), first), left);
  // Nobody asks for the transition of what comes first.
  Value isIdle = arith::AndIOp::create(builder(), loc, isTransition, segment->isFirstSegment());
  block->end = arith::SelectOp::create(builder(), loc, isIdle, block->first, block->end);
}

/// The identity in columns of a transition.
Value BlockLowering::withIdentity(Value before, const BlockAxis &rows) {
  const BlockFrame frame = {stateAxis, rows};
  Value distance = stateAxis.first;
  if (rows.first)
    distance = arith::SubIOp::create(builder(), block->loc, distance, rows.first);
  distance = arith::TruncIOp::create(builder(), block->loc, builder().getI32Type(), distance);
  Value column = tiles->places(frame, 0);
  column =
      arith::AddIOp::create(builder(), block->loc, column, expr->splat(distance, column.getType()));
  Value isOne = tiles->compare(arith::CmpIPredicate::eq, tiles->places(frame, 1), column);
  isOne = arith::AndIOp::create(builder(), block->loc, isOne,
                                expr->splat(isTransition, isOne.getType()));
  return arith::SelectOp::create(builder(), block->loc, isOne, expr->constant(1, before.getType()),
                                 before);
}

/// Where a summary leaves the state.
LaneArray BlockLowering::arrayBehind() {
  LaneArray array = segment->endsOf(kState).behind;
  if (!isDense)
    return array;
  const LaneArray transition = segment->endsOf(kTransition).behind;
  auto choose = [&](Value a, Value b) -> Value {
    return arith::SelectOp::create(builder(), block->loc, isTransition, a, b);
  };
  array.base = choose(transition.base, array.base);
  for (auto [own, other] : llvm::zip_equal(array.strides, transition.strides))
    own = choose(other, own);
  return array;
}

/// Notes whether all elements of the block's part of a transition are numbers that can be used.
void BlockLowering::storeBounds(ArrayRef<Value> last) {
  Location loc = block->loc;
  Value isBounded;
  for (Value tile : last) {
    auto isIn = [&](arith::CmpFPredicate predicate, double bound) -> Value {
      return arith::CmpFOp::create(builder(), loc, predicate, tile,
                                   expr->constant(bound, tile.getType()));
    };
    Value inside =
        arith::AndIOp::create(builder(), loc, isIn(arith::CmpFPredicate::OLE, kMostProduct),
                              isIn(arith::CmpFPredicate::OGE, -kMostProduct));
    Value own = tiles->least(arith::SelectOp::create(builder(), loc, inside,
                                                     expr->constant(1, tile.getType()),
                                                     expr->constant(0, tile.getType())));
    isBounded =
        isBounded ? arith::MinNumFOp::create(builder(), loc, isBounded, own).getResult() : own;
  }
  LaneArray array = segment->endsOf(kBounded).behind;
  array.isThere = block->conjunction(array.isThere, isTransition);
  Place place;
  place.rest = arith::DivUIOp::create(builder(), loc, stateAxis.first, block->i64(shape.lanes));
  block->store(array, {place}, Value(), isBounded);
}

//===----------------------------------------------------------------------===//
// The scan
//===----------------------------------------------------------------------===//

std::optional<LaunchPlan> BlockLowering::runScan(mlir::gpu::GPUModuleOp module, StringRef name) {
  if (failed(check()))
    return std::nullopt;
  const auto warps = static_cast<int32_t>(shape.threads / 32);
  LLVM::LLVMFuncOp kernel =
      makeKernel(module, mixer.getLoc(), name, plan, warps, Borders::kRegions);
  LaneBlock own(plan, shape, kernel, mixer.getCompute(), Borders::kRegions);
  BlockExpr values(mixer, own);
  BlockTiles making(own, values, mostParts());
  block = &own;
  expr = &values;
  tiles = &making;
  emitScan();
  return launchOf(plan, shape, 32 * warps, Borders::kRegions);
}

/// A block has some columns of the state, a part of it for each slice of rows in shared memory.
void BlockLowering::emitScan() {
  Location loc = block->loc;
  columnAxis.first = block->firstLane;
  if (shape.size != shape.lanes * shape.blocks)
    columnAxis.exists =
        arith::SubIOp::create(builder(), loc, block->i64(shape.size), block->firstLane);
  cutRows();
  Value count = block->frameSlot(SEQ_DEVICE_SEGMENTS), element = block->batchElement();
  Value one = block->i64(1);
  Value last = arith::SubIOp::create(builder(), loc, count, one);
  auto partOf = [&](Value record, Part part) {
    return Borders::arrayOf(*block, record, borders->states[part]);
  };
  auto load = [&](const LaneArray &array, const BlockFrame &frame) {
    SmallVector<Value> strides;
    Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
    return expr->load(array, base, strides, frame);
  };
  SmallVector<Parts> before;
  const LaneArray front = partOf(borders->record(*block, element, count, one), kState);
  for (const BlockAxis &rows : rowSlices) {
    before.push_back(tiles->allocate(columnAxis.size, rows.size, mostParts()));
    tiles->store(tiles->split(load(front, {columnAxis, rows})), before.back());
  }
  // Segment s leads from border s to border s + 1, where its record stands.
  auto loop = scf::ForOp::create(builder(), loc, one, last, one);
  block->firstLoop = loop;
  builder().setInsertionPointToStart(loop.getBody());
  Value number = loop.getInductionVar();
  Value record =
      borders->record(*block, element, count, arith::AddIOp::create(builder(), loc, number, one));
  const LaneArray state = partOf(record, kState), transition = partOf(record, kTransition);
  Slices<Value> sums;
  for (const BlockAxis &rows : rowSlices)
    sums.push_back(load(state, {columnAxis, rows}));
  for (auto [from, inner] : llvm::zip_equal(before, rowSlices)) {
    const Parts own = tiles->load(from, /*transposed=*/false);
    for (auto [sum, rows] : llvm::zip_equal(sums, rowSlices))
      sum = tiles->dot(own, tiles->split(load(transition, {inner, rows})), sum);
  }
  for (auto [sum, rows, parts] : llvm::zip_equal(sums, rowSlices, before)) {
    storeState(sum, state, {columnAxis, rows});
    tiles->store(tiles->split(sum), parts);
  }
  noteUnbounded(number, partOf(record, kBounded));
  builder().setInsertionPointAfter(loop);
  LLVM::ReturnOp::create(builder(), loc, ValueRange());
}

/// Behind a segment whose transition is not used its block goes on to the end of the sequence.
void BlockLowering::noteUnbounded(Value number, const LaneArray &bounded) {
  Location loc = block->loc;
  Value isBounded;
  for (int64_t place = 0; place < borders->states[kBounded].elements(); ++place) {
    Value own = block->load(bounded, {Place::of(place)}, Value());
    isBounded =
        isBounded ? arith::MinNumFOp::create(builder(), loc, isBounded, own).getResult() : own;
  }
  Value isLarge = arith::CmpFOp::create(builder(), loc, arith::CmpFPredicate::OEQ, isBounded,
                                        block->zero(isBounded.getType()));
  auto noting = scf::IfOp::create(builder(), loc, isLarge, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder());
  builder().setInsertionPointToStart(noting.thenBlock());
  Value heads = block->workspace(Borders::kHeads);
  Value offset =
      arith::MulIOp::create(builder(), loc, block->batchElement(), block->i64(borders->headBytes));
  Value head = LLVM::GEPOp::create(builder(), loc, heads.getType(), builder().getI8Type(), heads,
                                   ArrayRef<LLVM::GEPArg>{offset});
  Value segmentNumber = arith::TruncIOp::create(builder(), loc, builder().getI32Type(), number);
  LLVM::AtomicRMWOp::create(builder(), loc, LLVM::AtomicBinOp::umin, head, segmentNumber,
                            LLVM::AtomicOrdering::monotonic);
}

//===----------------------------------------------------------------------===//
// Both kernels
//===----------------------------------------------------------------------===//

std::optional<SegmentKernels> emitDenseSegments(MixerOp mixer, const MixerPlan &plan,
                                                mlir::gpu::GPUModuleOp module,
                                                const std::string &name, double launchTokens) {
  std::string reason;
  auto summary = BlockLowering(mixer, plan, reason, nullptr).planDense();
  if (!summary)
    return std::nullopt;
  SegmentKernels result;
  result.plan = std::make_unique<MixerPlan>(plan);
  result.plan->summary = summary;
  result.borders = std::make_unique<Borders>(mixer, *result.plan, *summary);
  const double work = 1 + summary->work;
  result.leastTokens = static_cast<int64_t>(std::ceil(launchTokens * work + kBorderTokens));
  const int32_t first = countKernels(module);
  auto launch = BlockLowering(mixer, *result.plan, reason, result.borders.get(), /*isDense=*/true)
                    .run(module, name + "_summary");
  if (!launch)
    return std::nullopt;
  result.summary = std::move(*launch);
  result.summary.kernel = first;
  auto scan = BlockLowering(mixer, *result.plan, reason, result.borders.get())
                  .runScan(module, name + "_scan");
  if (!scan)
    return std::nullopt;
  result.scan = std::move(*scan);
  result.scan.kernel = first + 1;
  return result;
}

} // namespace seqmix::gpu
