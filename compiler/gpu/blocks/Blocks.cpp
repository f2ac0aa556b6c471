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

/// Tokens of a chunk: half of what fills the tensor cores best, as fragments are in registers.
constexpr int64_t kTokens = 32;
/// Columns of the state that a block of threads has, a warp for 16 of them.
constexpr int64_t kMostColumns = 64, kColumnsOfWarp = 16;
/// Rows, as shared memory is limited, and those of a slice: half of them are the registers of a
/// thread that hold its part of the state.
constexpr int64_t kMostRows = 128, kRowsOfSlice = 64;

} // namespace

//===----------------------------------------------------------------------===//
// What the form takes
//===----------------------------------------------------------------------===//

LogicalResult BlockLowering::check() {
  if (!mixer.getCompute().isF32())
    return refuse("tensor cores compute in f32");
  for (Operation &op : mixer.getBody().front()) {
    if (isa<DimOp, TensorOp, ProducedOp, DefineOp, OutputOp>(op))
      continue;
    if (auto own = dyn_cast<AffineOp>(op); own && !affine)
      affine = own;
    else if (auto own = dyn_cast<StateOp>(op); own && !state)
      state = own;
    else
      return refuse("more than one recurrence");
  }
  if (!affine || !state)
    return refuse("no affine recurrence of a matrix");
  if (affine.getDirection() != Direction::Forward)
    return refuse("a backward recurrence");
  if (!affine.outerDims().empty() || affine.componentCount() != 1 || affine.getCoupling() ||
      affine.getRows().size() != 1 || affine.getCols().size() != 1)
    return refuse("a state that is no single matrix");
  if (affine.getColDecay())
    return refuse("a decay for each column");
  for (const CarryComponent &component : carryComponents(mixer))
    if (component.kind != CarryComponent::State)
      return refuse("earlier tokens of inputs in the carry");
  for (auto read : affine.getReads().getAsRange<RowReadAttr>())
    if (read.getKind() != ReadKind::Rows)
      return refuse("a read of elements");
  return checkDims();
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
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
    for (TermAttr term : update.getTerms()) {
      readsState |= term.getRead() >= 0;
      if (term.getRead() >= 0 && term.getCoef() &&
          llvm::any_of(
              chunk::dimsOf(chunk::lookup(mixer, term.getCoef())).getAsRange<FlatSymbolRefAttr>(),
              [&](FlatSymbolRefAttr dim) { return dim.getAttr() != tokenAxis.dim; }))
        return refuse("a transition with a factor for each column");
    }
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
    shape.lanes = std::clamp<int64_t>(llvm::PowerOf2Ceil(dim.size), kColumnsOfWarp, kMostColumns);
    shape.blocks = llvm::divideCeil(dim.size, shape.lanes);
    shape.threads = 32 * (shape.lanes / kColumnsOfWarp);
  }
  columnAxis.size = shape.lanes;
  tokenAxis.size = kTokens;
  if (rowCount > kMostRows)
    return refuse(fmt::format("a state of more than {} rows", kMostRows));
  return success();
}

void BlockLowering::cutRows() {
  const auto padded = std::max<int64_t>(llvm::PowerOf2Ceil(rowCount), 16);
  for (int64_t first = 0; first < padded; first += kRowsOfSlice) {
    BlockAxis slice{rowDim, std::min(padded, kRowsOfSlice), {}, {}};
    if (first)
      slice.first = block->i64(first);
    if (first + slice.size > rowCount)
      slice.exists = block->i64(std::max<int64_t>(rowCount - first, 0));
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
  LLVM::LLVMFuncOp kernel = makeKernel(module, mixer.getLoc(), name, plan, warps);
  LaneBlock own(plan, shape, kernel, mixer.getCompute());
  BlockExpr values(mixer, own);
  BlockTiles making(own, values);
  block = &own;
  expr = &values;
  tiles = &making;
  if (failed(emit())) {
    reason = values.reason;
    kernel.erase();
    return std::nullopt;
  }
  std::string words = fmt::format("chunks of {} tokens, {} columns of {} a block, tensor cores",
                                  kTokens, shape.lanes, plan.dims[shape.dims.front()].name);
  kernel->setAttr(formName, StringAttr::get(mixer.getContext(), words));
  return launchOf(plan, shape, 32 * warps);
}

/// The axis in frames of states of each of the state's dims.
SmallVector<int> BlockLowering::stateAxes() {
  SmallVector<int> axes(2);
  axes[affine.getRows()[0]] = 1;
  axes[affine.getCols()[0]] = 0;
  return axes;
}

Value BlockLowering::loadState(const BlockFrame &frame) {
  const LaneArray &array = block->carryIn(0);
  SmallVector<Value> strides;
  Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
  Value tile = expr->load(array, base, strides, frame);
  const double init = plan.components[0].init;
  if (init == 0)
    return tile;
  Value other = expr->mask(expr->constant(init, tile.getType()), frame, 0);
  Value isThere = expr->splat(array.isThere, BlockExpr::tileType(frame, builder().getI1Type()));
  return arith::SelectOp::create(builder(), block->loc, isThere, tile, other);
}

void BlockLowering::storeState(Value tile, const BlockFrame &frame) {
  const LaneArray &array = block->carryOut(0);
  SmallVector<Value> strides;
  Value base = expr->address(array, stateAxes(), {0, 0}, frame, strides);
  expr->store(tile, array, base, strides, frame);
}

LogicalResult BlockLowering::emit() {
  Location loc = block->loc;
  columnAxis.first = block->firstLane;
  if (shape.size != shape.lanes * shape.blocks)
    columnAxis.exists =
        arith::SubIOp::create(builder(), loc, block->i64(shape.size), block->firstLane);
  cutRows();
  SmallVector<BlockFrame> states;
  SmallVector<Value> carried;
  for (const BlockAxis &rows : rowSlices) {
    states.push_back({columnAxis, rows});
    Value before = loadState(states.back());
    // Beside decays of rows, or values to be solved for, the state has no room in registers.
    if (decaysByRow || readsState) {
      parked.push_back(tiles->allocate(states.back()));
      tiles->store(before, parked.back());
    } else {
      carried.push_back(before);
    }
  }
  auto loop = scf::ForOp::create(builder(), loc, block->i64(0), block->tokens,
                                 block->i64(tokenAxis.size), carried);
  block->firstLoop = loop;
  builder().setInsertionPointToStart(loop.getBody());
  inRegisters.assign(loop.getRegionIterArgs().begin(), loop.getRegionIterArgs().end());
  tokenAxis.first = loop.getInductionVar();
  tokenAxis.exists = arith::SubIOp::create(builder(), loc, block->tokens, tokenAxis.first);
  auto after = emitChunk();
  if (failed(after))
    return failure();
  if (parked.empty())
    scf::YieldOp::create(builder(), loc, *after);
  builder().setInsertionPointAfter(loop);
  for (auto [slice, frame] : llvm::enumerate(states))
    storeState(parked.empty() ? loop.getResult(static_cast<unsigned>(slice))
                              : tiles->load(parked[slice]),
               frame);
  block->storePosition();
  LLVM::ReturnOp::create(builder(), loc, ValueRange());
  return success();
}

std::optional<LaunchPlan> emitBlockKernel(MixerOp mixer, const MixerPlan &plan,
                                          mlir::gpu::GPUModuleOp module, StringRef name,
                                          std::string &reason) {
  return BlockLowering(mixer, plan, reason).run(module, name);
}

} // namespace seqmix::gpu
