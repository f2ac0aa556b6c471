//===- ChunkVerify.cpp - constraints of schedules ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The numbers are those of SPEC.md; each has a test of its number.
//
//===----------------------------------------------------------------------===//

#include "dialect/VerifySupport.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace mlir::seq::verify;

namespace {

bool hasBuffer(Operation *step, FlatSymbolRefAttr symbol) {
  auto kernel = step->getParentOfType<KernelOp>();
  return llvm::any_of(kernel.getOps<BufferOp>(),
                      [&](BufferOp buffer) { return buffer.getOfAttr() == symbol; });
}

} // namespace

LogicalResult KernelOp::verify() {
  // c42
  if (static_cast<int64_t>(getChunk()) < 1 || static_cast<int64_t>(getBatchBlock()) < 1)
    return emitOpError("has a chunk and a batch block of at least 1");
  // c43
  if (getSplitAttr()) {
    auto dim = findAs<DimOp>(*this, getSplitAttr());
    if (!dim || dim.getKind() != DimKind::Fixed)
      return emitOpError() << "splits " << getSplitAttr() << ", which is not a fixed dim";
    if (!getSplitSize() || static_cast<int64_t>(*getSplitSize()) < 1 ||
        *getSplitSize() > *dim.getSize())
      return emitOpError() << "splits by a size outside 1 .. " << *dim.getSize();
  }
  return success();
}

LogicalResult KernelOp::verifyRegions() {
  // c44
  int stage = 0; // buffers, prologues, passes
  for (Operation &op : getBody().front()) {
    int own = isa<BufferOp>(op) ? 0 : isa<PrologueOp>(op) ? 1 : isa<PassOp>(op) ? 2 : -1;
    if (own < stage)
      return op.emitOpError("must stand in the order buffers, prologues, passes");
    stage = own;
  }
  if (getOps<PassOp>().empty())
    return emitOpError("has no pass");
  return success();
}

LogicalResult BufferOp::verify() {
  // c45
  Operation *source = find(*this, getOfAttr());
  ArrayAttr dims = dimsOf(source);
  if (!dims)
    return emitOpError() << getOfAttr() << " is not a tensor, state, definition or produced tensor";
  // c46
  bool isState = getSpace() == Space::State;
  if (isState && !isa<StateOp>(source))
    return emitOpError() << getOfAttr() << " is not a state, but its space is state";
  for (auto other : (*this)->getParentOfType<KernelOp>().getOps<BufferOp>())
    if (other != *this && other.getOfAttr() == getOfAttr() &&
        (other.getSpace() == Space::State) == isState)
      return emitOpError() << getOfAttr() << " has two buffers";
  // c47
  size_t ownDims = dims.size();
  if (!dims.empty() && isDim(*this, dims[0], DimKind::Runtime))
    --ownDims;
  SmallVector<int64_t> order(getOrder());
  llvm::sort(order);
  bool isPermutation = order.size() == ownDims;
  for (auto [place, number] : llvm::enumerate(order))
    isPermutation &= number == static_cast<int64_t>(place);
  if (!isPermutation)
    return emitOpError() << "must order each of " << ownDims << " non-token dims once";
  // c48
  bool hasRows = getSpace() == Space::Rows || getSpace() == Space::Sequence;
  int64_t halo = getHalo(), ahead = getAhead();
  if (halo < 0 || ahead < 0 || (!hasRows && (halo || ahead)))
    return emitOpError("has a halo or tokens ahead only where it has rows of tokens");
  return success();
}

LogicalResult PrologueOp::verify() {
  // c49
  if (getSpace() != Space::Shared && getSpace() != Space::Task)
    return emitOpError("makes shared or task buffers");
  for (auto other : (*this)->getParentOfType<KernelOp>().getOps<PrologueOp>())
    if (other != *this && other.getSpace() == getSpace())
      return emitOpError("is not the only one of its space");
  return success();
}

LogicalResult PassOp::verify() {
  // c68
  if (getOverAttr() && (getOnce() || !isDim(*this, getOverAttr(), DimKind::Runtime)))
    return emitOpError() << "walks " << getOverAttr() << ", which is not a run-time dim, or once";
  return success();
}

LogicalResult GatherOp::verify() {
  // c50
  if (!findAs<TensorOp>(*this, getOfAttr()) || !hasBuffer(*this, getOfAttr()))
    return emitOpError() << getOfAttr() << " is not a tensor with a buffer";
  return success();
}

LogicalResult EvalOp::verify() {
  // c51
  auto define = findAs<DefineOp>(*this, getOfAttr());
  if (!define || !hasBuffer(*this, getOfAttr()))
    return emitOpError() << getOfAttr() << " is not a definition with a buffer";
  int64_t lanes = getLanes();
  if (lanes < -1 || lanes >= static_cast<int64_t>(define.getDims().size()))
    return emitOpError() << "vectorises dim " << lanes << " of " << define.getDims().size();
  return success();
}

LogicalResult ScatterOp::verify() {
  // c52
  auto mixer = (*this)->getParentOfType<MixerOp>();
  if (llvm::none_of(mixer.getOps<OutputOp>(),
                    [&](OutputOp output) { return output.getSourceAttr() == getOfAttr(); }))
    return emitOpError() << getOfAttr() << " is not an output";
  return success();
}

LogicalResult SolveOp::verify() {
  // c53
  AffineOp affine = findAffine(*this, getStateAttr());
  if (!affine)
    return emitOpError() << getStateAttr() << " has no affine recurrence";
  if (static_cast<int64_t>(getBlock()) < 1 || static_cast<int64_t>(getPanel()) < 1)
    return emitOpError("has a block and a panel of at least 1");
  // c54
  if (affine.getDirection() != cast<PassOp>((*this)->getParentOp()).getDirection())
    return emitOpError("stands in a pass that runs the other way");
  return success();
}

LogicalResult LoopOp::verify() {
  // c55
  if (getMembers().empty() || !allDifferent(getMembers()))
    return emitOpError("names its members, each once");
  Direction direction = cast<PassOp>((*this)->getParentOp()).getDirection();
  for (auto member : getMembers().getAsRange<FlatSymbolRefAttr>()) {
    if (!findAs<DefineOp>(*this, member) && !findNext(*this, member))
      return emitOpError() << "member " << member << " has no equation";
    // c54
    auto state = findAs<StateOp>(*this, member);
    if (state && state.getDirection() != direction)
      return emitOpError("stands in a pass that runs the other way");
  }
  // c56
  for (auto symbol : getKeep().getAsRange<FlatSymbolRefAttr>())
    if (!findAs<StateOp>(*this, symbol) || !llvm::is_contained(getMembers(), symbol))
      return emitOpError() << "keeps " << symbol << ", which is not a state among the members";
  // c40
  if (getLanesAttr() && !isDim(*this, getLanesAttr(), DimKind::Fixed))
    return emitOpError() << getLanesAttr() << " is not a fixed dim";
  return success();
}
