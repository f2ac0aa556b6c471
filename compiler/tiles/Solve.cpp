//===- Solve.cpp - the block form of a matrix state ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Solve.h"

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

AffineOp seqmix::findAffine(MixerOp mixer, StringAttr state) {
  for (auto affine : mixer.getBody().getOps<AffineOp>())
    if (affine.getStateAttr().getAttr() == state)
      return affine;
  return {};
}

namespace {
/// Fixed dims of what `name` declares.
int64_t featureDims(MixerOp mixer, FlatSymbolRefAttr name) {
  Operation *op = SymbolTable::lookupSymbolIn(mixer, name.getAttr());
  ArrayAttr dims;
  if (auto tensor = dyn_cast_or_null<TensorOp>(op))
    dims = tensor.getDims();
  else if (auto define = dyn_cast_or_null<DefineOp>(op))
    dims = define.getDims();
  else if (auto produced = dyn_cast_or_null<ProducedOp>(op))
    dims = produced.getDims();
  if (!dims)
    return 0;
  return dims.size() - isTokenIndexed(mixer, dims);
}
} // namespace

AffineBlockSpec seqmix::affineSpec(MixerOp mixer, AffineOp affine, const TargetInfo &target,
                                   int64_t block, int64_t panel, StringAttr split,
                                   int64_t splitSize) {
  AffineBlockSpec spec;
  auto state = cast<StateOp>(SymbolTable::lookupSymbolIn(mixer, affine.getStateAttr().getAttr()));
  auto size = [&](ArrayRef<int64_t> numbers) {
    int64_t product = 1;
    for (int64_t number : numbers) {
      auto dim = cast<FlatSymbolRefAttr>(state.getDims()[number]);
      product *= split && dim.getAttr() == split ? splitSize : fixedSize(mixer, dim);
    }
    return product;
  };
  spec.rows = size(affine.getRows());
  spec.cols = size(affine.getCols());
  if (auto decay = affine.getRowDecayAttr())
    spec.rowDecay = featureDims(mixer, decay) ? RowDecay::PerRow : RowDecay::Scalar;
  spec.colDecay = static_cast<bool>(affine.getColDecayAttr());
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    AffineUpdate result;
    for (TermAttr term : update.getTerms())
      result.terms.push_back({static_cast<bool>(term.getCoef()), term.getRead()});
    spec.updates.push_back(std::move(result));
  }
  for (auto read : affine.getReads().getAsRange<RowReadAttr>())
    spec.reads.push_back({read.getBefore(), static_cast<bool>(read.getResult())});
  spec.descending = affine.getDirection() == Direction::Backward;
  spec.element = cast<FloatType>(mixer.getCompute());
  spec.lanes = target.lanes(mixer.getCompute());
  spec.block = block;
  spec.panel = panel;
  spec.registers = target.registers;
  return spec;
}

namespace {
class Solver {
public:
  Solver(Kernel &kernel, SolveOp op) : kernel(kernel), op(op) {}

  LogicalResult emit();

private:
  /// The rows of a factor from the chunk's first token on, as memref<N> or memref<N x F>.
  Value rows(FlatSymbolRefAttr name, int64_t features);

  Kernel &kernel;
  SolveOp op;
  bool failedToFind = false;
};

Value Solver::rows(FlatSymbolRefAttr name, int64_t features) {
  auto *buffer =
      kernel.layout.isSymbol(name.getAttr()) ? kernel.layout.readable(name.getAttr()) : nullptr;
  if (!buffer || buffer->kind != ValueKind::Real) {
    failedToFind = true;
    op.emitOpError("needs a buffer of '") << name.getValue() << "'";
    return {};
  }
  IndexMath math = kernel.index();
  SmallVector<IndexValue> zeros(buffer->extents.size(), IndexValue::constant(0));
  IndexValue address =
      kernel.address(*buffer, IndexValue::constant(0), IndexValue::constant(0), zeros);
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  Value pointer = advance(kernel.builder, kernel.loc, kernel.pointer(*buffer),
                          math.scalar(math.scale(address, bytes)));
  bool perToken = buffer->space == Space::Rows || buffer->space == Space::Sequence;
  int64_t rowStride = perToken ? buffer->rowElements : 0;
  auto *context = kernel.builder.getContext();
  if (buffer->extents.empty() || features == 0) {
    auto type = MemRefType::get({ShapedType::kDynamic}, kernel.real,
                                StridedLayoutAttr::get(context, 0, {rowStride}));
    return memrefAt(kernel.builder, kernel.loc, pointer, type);
  }
  auto type = MemRefType::get({ShapedType::kDynamic, buffer->rowElements}, kernel.real,
                              StridedLayoutAttr::get(context, 0, {rowStride, 1}));
  return memrefAt(kernel.builder, kernel.loc, pointer, type);
}

LogicalResult Solver::emit() {
  auto affine = findAffine(kernel.mixer, op.getStateAttr().getAttr());
  auto *state = kernel.layout.buffer(op.getStateAttr().getAttr(), Space::State);
  if (!affine || !state)
    return op.emitOpError("needs the canonical recurrence and a buffer of its state");
  if (affine.getRows().size() != 1)
    return op.emitOpError("needs a state with one dim of rows");
  if (kernel.layout.batchBlock > 1)
    return op.emitOpError("does not run on blocks of batch elements");
  auto &stateInfo = kernel.layout.symbol(state->of);
  for (int64_t col : affine.getCols()) {
    if (affine.getCols().size() > 1 && stateInfo.sizes[col] % kernel.lanes != 0)
      return op.emitOpError("needs columns over several dims to be multiples of the lanes");
    if (kernel.isSplit(stateInfo.dims[col]) && stateInfo.sizes[col] % kernel.layout.splitSize != 0)
      return op.emitOpError("needs parts of the split dim of one size");
  }
  if (kernel.isSplit(stateInfo.dims[affine.getRows()[0]]))
    return op.emitOpError("sums over the dim along which tasks are split");
  if (affine.getDirection() != kernel.direction)
    return op.emitOpError("runs in a pass of the other direction");
  auto spec = affineSpec(kernel.mixer, affine, kernel.target, op.getBlock(), op.getPanel(),
                         kernel.layout.split, kernel.layout.splitSize);
  AffineBlockBuffers buffers;
  if (auto decay = affine.getRowDecayAttr())
    buffers.rowDecay = rows(decay, spec.rowDecay == RowDecay::PerRow);
  if (auto decay = affine.getColDecayAttr())
    buffers.colDecay = rows(decay, 1);
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    AffineUpdateBuffers result;
    result.left = rows(update.getLeft(), 1);
    for (TermAttr term : update.getTerms()) {
      AffineTermBuffers part;
      if (term.getCoef())
        part.coef = rows(term.getCoef(), 1);
      if (term.getRight())
        part.right = rows(term.getRight(), 1);
      result.terms.push_back(part);
    }
    buffers.updates.push_back(std::move(result));
  }
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    AffineReadBuffers result;
    result.row = rows(read.getRow(), 1);
    if (read.getResult())
      result.result = rows(read.getResult(), 1);
    buffers.reads.push_back(result);
  }
  if (failedToFind)
    return failure();
  auto &builder = kernel.builder;
  Value statePointer = kernel.pointer(*state);
  buffers.state = memrefAt(builder, kernel.loc, statePointer, affineStateType(spec));
  Value scratch = advance(builder, kernel.loc, kernel.scratch, kernel.layout.solveScratch);
  int64_t size = affineScratchSize(spec, kernel.layout.chunk);
  buffers.scratch = memrefAt(builder, kernel.loc, scratch, MemRefType::get({size}, kernel.real));
  auto step = scf::IfOp::create(builder, kernel.loc, isStepInCarry(kernel, *state),
                                /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(step.thenBlock());
  CarryMatrix from = carryMatrix(kernel, *state, false), to = carryMatrix(kernel, *state, true);
  emitAffineStep(builder, kernel.loc, spec, buffers, from.matrix, to.matrix, from.colsFirst);
  builder.setInsertionPointToStart(step.elseBlock());
  emitAffineRows(builder, kernel.loc, spec, buffers, kernel.chunkRows);
  return success();
}
} // namespace

LogicalResult seqmix::emitSolve(Kernel &kernel, SolveOp op) {
  kernel.loc = op.getLoc();
  return Solver(kernel, op).emit();
}
