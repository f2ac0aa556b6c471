//===- Blocks.cpp - matrix states in blocks of tokens on tensor cores --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/Blocks.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockLowering.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

/// Tokens of a chunk: half of what fills the tensor cores best, as fragments are in registers; a
/// quarter where there are many rows, or factors that a later launch made, which are more parts.
/// Then registers leave room for more blocks, which hide the waits at twice as many barriers.
constexpr int64_t kTokens = 32, kTokensOfManyRows = 16;
/// Columns of the state that a block of threads has, a warp for 16 of them.
constexpr int64_t kMostColumns = 64, kColumnsOfWarp = 16;
/// Rows, and those of a slice: half of them are the registers of a thread that hold its part of the
/// state. Fewer where values are solved for, or many rows are in registers, which leaves few of
/// them; not where decays are of rows, as their products would be made twice as often.
constexpr int64_t kMostRows = 256, kRowsOfSlice = 64, kRowsOfNarrowSlice = 32;
/// Shared memory that a block may have on sm_90; where it takes more, it has fewer columns. On
/// sm_80 it may have 163 KiB, but with fewer warps a thread has more sums than registers.
constexpr int64_t kMostSharedBytes = 232448;
/// Updates that read the state. Code for a chunk grows with the square of their number: three take
/// a minute to compile, and more registers than there are.
constexpr int64_t kMostSolved = 2;

} // namespace

//===----------------------------------------------------------------------===//
// What the form takes
//===----------------------------------------------------------------------===//

LogicalResult BlockLowering::check() {
  if (!mixer.getCompute().isF32())
    return refuse("tensor cores compute in f32");
  for (Operation &op : mixer.getBody().front()) {
    // A summary has products of decays, too, which are made with the decays.
    if (isa<DimOp, TensorOp, ProducedOp, DefineOp, OutputOp, TransitionOp>(op) ||
        (isSummary() && isa<NextOp, RecurrenceOp>(op)))
      continue;
    if (auto own = dyn_cast<AffineOp>(op); own && !affine)
      affine = own;
    else if (auto own = dyn_cast<StateOp>(op); own && (!state || isSummary()))
      state = state ? state : own;
    else
      return refuse("more than one recurrence");
  }
  if (!affine || !state)
    return refuse("no affine recurrence of a matrix");
  state = cast<StateOp>(chunk::lookup(mixer, affine.getStateAttr()));
  for (auto [number, own] : llvm::enumerate(plan.components))
    if (own.name == state.getSymName() && !isSummary())
      component = static_cast<int32_t>(number);
  if (affine.getDirection() != Direction::Forward)
    return refuse("a backward recurrence");
  if (!affine.outerDims().empty() || affine.componentCount() != 1 || affine.getCoupling() ||
      affine.getRows().size() != 1 || affine.getCols().size() != 1)
    return refuse("a state that is no single matrix");
  decaysByColumn = affine.getColDecay().has_value();
  if (decaysByColumn && isSummary())
    return refuse("a decay for each column");
  for (const CarryComponent &component : carryComponents(mixer))
    if (component.kind != CarryComponent::State)
      return refuse("earlier tokens of inputs in the carry");
  for (auto read : affine.getReads().getAsRange<RowReadAttr>())
    if (read.getKind() != ReadKind::Rows)
      return refuse("a read of elements");
  return checkDims();
}

unsigned BlockLowering::mostParts() const {
  const bool isExact = share && llvm::any_of(plan.tensors, [](const TensorPlan &tensor) {
                         return tensor.role == SEQ_ROLE_OUTPUT && tensor.dtype == SEQ_F32;
                       });
  return isExact ? 3 : 2;
}

StringAttr BlockLowering::dimOf(int64_t number) {
  return cast<FlatSymbolRefAttr>(state.getDims()[number]).getAttr();
}

LogicalResult BlockLowering::checkDims() {
  tokenAxis.dim = tokenDimOf(mixer).getAttr();
  rowDim = dimOf(affine.getRows()[0]);
  columnAxis.dim = dimOf(affine.getCols()[0]);
  if (auto decay = affine.getRowDecayAttr()) {
    hasDecay = true;
    for (auto dim : chunk::dimsOf(chunk::lookup(mixer, decay)).getAsRange<FlatSymbolRefAttr>())
      decaysByRow |= dim.getAttr() != tokenAxis.dim;
  }
  int64_t solved = 0;
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    solved += llvm::any_of(update.getTerms(), [](TermAttr term) { return term.getRead() >= 0; });
    for (TermAttr term : update.getTerms()) {
      readsState |= term.getRead() >= 0;
      if (term.getRead() >= 0 && term.getCoef() &&
          llvm::any_of(
              chunk::dimsOf(chunk::lookup(mixer, term.getCoef())).getAsRange<FlatSymbolRefAttr>(),
              [&](FlatSymbolRefAttr dim) { return dim.getAttr() != tokenAxis.dim; }))
        return refuse("a transition with a factor for each column");
    }
  }
  if (readsState && decaysByColumn)
    return refuse("a decay for each column beside updates that read the state");
  if (solved > kMostSolved)
    return refuse(
        fmt::format("{} updates that read the state; {} are possible", solved, kMostSolved));
  MLIRContext *context = mixer.getContext();
  for (auto output : mixer.getOps<OutputOp>()) {
    Operation *source = chunk::lookup(mixer, output.getSourceAttr());
    auto wanted = ArrayAttr::get(
        context, {FlatSymbolRefAttr::get(tokenAxis.dim), FlatSymbolRefAttr::get(columnAxis.dim)});
    if (isa<StateOp>(source) || chunk::dimsOf(source) != wanted)
      return refuse("an output that is not over the tokens and columns");
  }
  for (auto [number, dim] : llvm::enumerate(plan.dims)) {
    if (dim.name == rowDim)
      rowCount = dim.size;
    if (dim.name != columnAxis.dim)
      continue;
    shape.dims = {static_cast<int32_t>(number)};
    shape.size = dim.size;
  }
  tokenAxis.size = rowCount > kRowsOfSlice || share ? kTokensOfManyRows : kTokens;
  if (rowCount > kMostRows)
    return refuse(fmt::format("a state of more than {} rows", kMostRows));
  return chooseColumns();
}

/// What a chunk has in shared memory with so many columns of the state, about: its factors, decays,
/// scores, right factors and the state, and what is there for a while.
int64_t BlockLowering::sharedBytes(int64_t columns) {
  const int64_t rows = llvm::alignTo(rowCount, 16), tokens = tokenAxis.size;
  llvm::DenseSet<StringAttr> rowFactors;
  int64_t solved = 0;
  for (auto read : affine.getReads().getAsRange<RowReadAttr>())
    rowFactors.insert(read.getRow().front().getSymbol().getAttr());
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    rowFactors.insert(update.getLefts().front().getSymbol().getAttr());
    solved += llvm::any_of(update.getTerms(), [](TermAttr term) { return term.getRead() >= 0; });
  }
  const auto reads = static_cast<int64_t>(affine.getReads().size());
  const auto updates = static_cast<int64_t>(affine.getUpdates().size());
  const int64_t factor = 2 * int64_t(mostParts());
  int64_t bytes = static_cast<int64_t>(rowFactors.size()) * factor * tokens * rows;
  bytes += updates * factor * tokens * columns + solved * 8 * tokens * columns;
  if (decaysByRow)
    bytes += 4 * tokens * rows + (updates + 1) * factor * tokens * kRowsOfSlice;
  else if (hasDecay)
    bytes += 8 * tokens * tokens;
  if (decaysByColumn)
    bytes += 4 * tokens * columns;
  // Of each factor that is a product, what it is made of.
  bytes += static_cast<int64_t>(rowFactors.size()) * factor * tokens * summandsOfProducts(mixer);
  if (parksScores())
    bytes += reads * updates * 4 * tokens * tokens;
  bytes += solved * updates * 4 * tokens * tokens;
  if (parksState())
    bytes += 4 * columns * rows;
  return bytes + factor * tokens * kRowsOfSlice;
}

LogicalResult BlockLowering::chooseColumns() {
  const int64_t all = llvm::PowerOf2Ceil(shape.size);
  shape.lanes = std::clamp<int64_t>(all, kColumnsOfWarp, kMostColumns);
  while (shape.lanes > kColumnsOfWarp && sharedBytes(shape.lanes) > kMostSharedBytes)
    shape.lanes /= 2;
  if (int64_t bytes = sharedBytes(shape.lanes); bytes > kMostSharedBytes)
    return refuse(fmt::format("factors of {} rows, which take {} bytes of shared memory; a block "
                              "has at most {}",
                              rowCount, bytes, kMostSharedBytes));
  shape.blocks = llvm::divideCeil(shape.size, shape.lanes);
  if (isDense)
    shape.blocks += llvm::divideCeil(rowCount, shape.lanes);
  shape.threads = 32 * (shape.lanes / kColumnsOfWarp);
  columnAxis.size = shape.lanes;
  return success();
}

void BlockLowering::cutRows() {
  const int64_t most =
      !decaysByRow && (readsState || rowCount > kRowsOfSlice) ? kRowsOfNarrowSlice : kRowsOfSlice;
  for (int64_t first = 0; first < rowCount; first += most) {
    const int64_t rest = rowCount - first;
    BlockAxis slice{rowDim, {}, {}, {}};
    slice.size = std::clamp<int64_t>(llvm::PowerOf2Ceil(rest), 16, most);
    if (first)
      slice.first = block->i64(first);
    if (rest < slice.size)
      slice.exists = block->i64(rest);
    rowSlices.push_back(slice);
  }
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

std::optional<LaunchPlan> BlockLowering::run(mlir::gpu::GPUModuleOp module, StringRef name) {
  if (failed(check()))
    return std::nullopt;
  const auto warps = static_cast<int32_t>(shape.threads / 32);
  const int32_t regions = borders ? Borders::kRegions : share ? share->regions() : 0;
  LLVM::LLVMFuncOp kernel = makeKernel(module, mixer.getLoc(), name, plan, warps, regions);
  keepOrder(kernel);
  LaneBlock own(plan, shape, kernel, mixer.getCompute(), regions);
  BlockExpr values(mixer, own);
  if (share)
    values.setKept([&](StringAttr name) -> std::optional<LaneArray> {
      for (auto [number, kept] : llvm::enumerate(share->all.kept))
        if (kept.name == name)
          return PartShare::array(own, share->all, number);
      return std::nullopt;
    });
  BlockTiles making(own, values, mostParts());
  values.setProducts(making);
  block = &own;
  expr = &values;
  tiles = &making;
  if (borders)
    segment.emplace(*borders, own, nullptr, isSummary(), Direction::Forward);
  if (failed(emit())) {
    reason = values.reason;
    kernel.erase();
    return std::nullopt;
  }
  std::string words = fmt::format("chunks of {} tokens, {} columns of {} a block, tensor cores",
                                  tokenAxis.size, shape.lanes, plan.dims[shape.dims.front()].name);
  if (isDense)
    words += fmt::format(", then {} of the transition", rowCount);
  kernel->setAttr(formName, StringAttr::get(mixer.getContext(), words));
  return launchOf(plan, shape, 32 * warps, regions);
}

/// The axis in frames of states of each of the state's dims.
SmallVector<int> BlockLowering::stateAxes() {
  SmallVector<int> axes(2);
  axes[affine.getRows()[0]] = 1;
  axes[affine.getCols()[0]] = 0;
  return axes;
}

Value BlockLowering::loadState(const BlockFrame &frame) {
  const LaneArray array = segment ? segment->stateInFront(component) : block->carryIn(component);
  SmallVector<Value> strides;
  Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
  Value tile = expr->load(array, base, strides, frame);
  const double init = plan.components[component].init;
  if (init == 0)
    return tile;
  Value number = expr->constant(init, block->real);
  if (segment)
    number = segment->initial(number);
  Value other = expr->mask(expr->splat(number, tile.getType()), frame, 0);
  Value isThere = expr->splat(array.isThere, BlockExpr::tileType(frame, builder().getI1Type()));
  return arith::SelectOp::create(builder(), block->loc, isThere, tile, other);
}

void BlockLowering::storeState(Value tile, const LaneArray &array, const BlockFrame &frame) {
  SmallVector<Value> strides;
  Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
  expr->store(tile, array, base, strides, frame);
}

/// The product of a segment's decays, for the scan: one number, or one for each row. It is the same
/// for all columns, so the first block of them writes it.
void BlockLowering::storeDecayProducts() {
  const int32_t number = borders->summary.transitions.front().factors[0];
  if (number < 0)
    return;
  LaneArray array = segment->endsOf(number).behind;
  if (!decaysByRow) {
    block->store(array, {}, Value(), decayProducts.front());
    return;
  }
  Value isFirst = arith::CmpIOp::create(builder(), block->loc, arith::CmpIPredicate::eq,
                                        block->firstLane, block->i64(0));
  array.isThere = block->conjunction(array.isThere, isFirst);
  for (auto [rows, product] : llvm::zip_equal(rowSlices, decayProducts)) {
    SmallVector<Value> strides;
    Value base = expr->address(array, {0}, {0}, {rows}, strides);
    expr->store(product, array, base, strides, {rows});
  }
}

LogicalResult BlockLowering::emit() {
  Location loc = block->loc;
  columnAxis.first = block->firstLane;
  if (shape.size != shape.lanes * shape.blocks)
    columnAxis.exists =
        arith::SubIOp::create(builder(), loc, block->i64(shape.size), block->firstLane);
  stateAxis = columnAxis;
  if (isDense)
    chooseTransition();
  cutRows();
  SmallVector<BlockFrame> states;
  SmallVector<Value> carried;
  for (const BlockAxis &rows : rowSlices) {
    states.push_back({columnAxis, rows});
    Value before = loadState(states.back());
    if (isSummary())
      storeState(before, segment->endsOf(0).front, states.back());
    if (isDense)
      before = withIdentity(before, rows);
    if (parksState()) {
      parked.push_back(tiles->allocate(states.back()));
      tiles->store(before, parked.back());
    } else {
      carried.push_back(before);
    }
  }
  const size_t inLoop = carried.size();
  if (isSummary() && !isDense && hasDecay) {
    if (decaysByRow)
      for (const BlockAxis &rows : rowSlices)
        carried.push_back(expr->constant(1, BlockExpr::tileType({rows}, block->real)));
    else
      carried.push_back(expr->constant(1, block->real));
  }
  auto loop = scf::ForOp::create(builder(), loc, block->first, block->end,
                                 block->i64(tokenAxis.size), carried);
  block->firstLoop = loop;
  builder().setInsertionPointToStart(loop.getBody());
  inRegisters.assign(loop.getRegionIterArgs().begin(), loop.getRegionIterArgs().begin() + inLoop);
  decayProducts.assign(loop.getRegionIterArgs().begin() + inLoop, loop.getRegionIterArgs().end());
  tokenAxis.first = loop.getInductionVar();
  tokenAxis.exists = arith::SubIOp::create(builder(), loc, block->end, tokenAxis.first);
  auto after = emitChunk();
  if (failed(after))
    return failure();
  SmallVector<Value> next;
  if (!parksState())
    next.assign(after->begin(), after->end());
  next.append(decayProducts.begin(), decayProducts.end());
  if (!next.empty()) // else the loop has its terminator
    scf::YieldOp::create(builder(), loc, next);
  builder().setInsertionPointAfter(loop);
  decayProducts.assign(loop.result_begin() + inLoop, loop.result_end());
  const LaneArray behind = isSummary() ? arrayBehind() : block->carryOut(component);
  SmallVector<Value> last;
  for (auto [slice, rows] : llvm::enumerate(rowSlices)) {
    last.push_back(parksState() ? tiles->load(parked[slice])
                                : Value(loop.getResult(static_cast<unsigned>(slice))));
    storeState(last.back(), behind, {stateAxis, rows});
  }
  if (isDense)
    storeBounds(last);
  else if (isSummary())
    storeDecayProducts();
  if (isSummary())
    segment->noteLast();
  else if (!share || share->isLast())
    block->storePosition();
  LLVM::ReturnOp::create(builder(), loc, ValueRange());
  return success();
}

bool takesBlocks(MixerOp mixer, const MixerPlan &plan, std::string &reason) {
  return succeeded(BlockLowering(mixer, plan, reason, nullptr).check());
}

std::optional<LaunchPlan> emitBlockKernel(MixerOp mixer, const MixerPlan &plan,
                                          mlir::gpu::GPUModuleOp module, StringRef name,
                                          std::string &reason, const Borders *borders,
                                          const PartShare *share) {
  return BlockLowering(mixer, plan, reason, borders, /*isDense=*/false, share).run(module, name);
}

LaneArray PartShare::array(LaneBlock &block, const BlockParts &all, size_t number) {
  const KeptValue &kept = all.kept[number];
  return block.kept(static_cast<int32_t>(number), kept.dtype, kept.isOfTokens, kept.extents);
}

} // namespace seqmix::gpu
