//===- CarryBehind.cpp - what of the carry several blocks read --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The carry behind a call may stand where that in front of it does. So what several blocks read of
// it, the windows of inputs that batch elements share, a later launch writes, and the
// windows of inputs where a walk is backward.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/CarryBehind.h"

#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// The last tokens of an input, of earlier calls where this one has fewer.
static LogicalResult storeWindow(LaneBlock &block, LaneExpr &expr, int32_t number, StringAttr name,
                                 int64_t rows) {
  OpBuilder &builder = block.builder;
  const std::map<Carried, Value> none;
  expr.enterToken(block.tokens, none); // the one behind the last
  const LaneArray &after = block.carryOut(number);
  LaneArray before = block.carryIn(number);
  before.isThere = block.conjunction(before.isThere, after.isWritten);
  std::vector<std::pair<SmallVector<Place>, Value>> window;
  for (const LaneElement &element : expr.elementsOf(name))
    for (int64_t row = 0; row < rows; ++row) {
      auto value = expr.inputAt(name, element, row - rows);
      if (failed(value))
        return failure();
      // Row r was row r + T.
      Value isEarlier = arith::CmpIOp::create(
          builder, block.loc, arith::CmpIPredicate::slt,
          arith::AddIOp::create(builder, block.loc, block.tokens, block.i64(row)), block.i64(rows));
      Value earlier = block.load(before, expr.places(name, element, Place{row, 1, 0, {}}),
                                 block.tokens, isEarlier);
      if (getElementTypeOrSelf(value->getType()).isInteger(1))
        earlier = arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::ne, earlier,
                                        block.zero(earlier.getType()));
      if (isa<RankedTensorType>(value->getType()) || isa<RankedTensorType>(earlier.getType())) {
        value = block.splat(*value);
        earlier = block.splat(earlier);
        isEarlier = block.splat(isEarlier);
      }
      window.emplace_back(
          expr.places(name, element, Place::of(row)),
          arith::SelectOp::create(builder, block.loc, isEarlier, earlier, *value).getResult());
    }
  tile::BarrierOp::create(builder, block.loc); // all threads have read
  for (auto &[places, value] : window)
    block.store(after, places, Value(), value);
  return success();
}

FailureOr<LaunchPlan> emitCarryBehind(MixerOp mixer, const MixerPlan &plan, const LaneShape &shape,
                                      mlir::gpu::GPUModuleOp module, StringRef name) {
  LLVM::LLVMFuncOp kernel =
      makeKernel(module, mixer.getLoc(), name, plan, static_cast<int32_t>(shape.threads / 32));
  LaneBlock block(plan, shape, kernel, mixer.getCompute());
  LaneExpr expr(mixer, block, Direction::Forward);
  for (auto [number, component] : llvm::enumerate(carryComponents(mixer)))
    if (isLeftBehind(mixer, component) &&
        failed(storeWindow(block, expr, static_cast<int32_t>(number), component.of.getAttr(),
                           component.shape[0])))
      return failure();
  block.storePosition();
  LLVM::ReturnOp::create(block.builder, block.loc, ValueRange());
  return launchOf(plan, shape, static_cast<int32_t>(shape.threads));
}

} // namespace seqmix::gpu
