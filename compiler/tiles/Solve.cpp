//===- Solve.cpp - the block form of a matrix state ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Solve.h"

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Prefetch.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

#include <functional>

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
/// Elements of a row of an expanded factor.
int64_t expandedWidth(int64_t size, int64_t lanes) { return llvm::alignTo(size, lanes); }
} // namespace

int64_t seqmix::expansionSize(MixerOp mixer, AffineOp affine, const AffineBlockSpec &spec,
                              int64_t chunk) {
  int64_t rows = affine.getRows().size() > 1 ? expandedWidth(spec.rows, spec.lanes) : 0;
  int64_t cols = affine.getCols().size() > 1 ? expandedWidth(spec.cols, spec.lanes) : 0;
  int64_t width = rows + cols; // the decays
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
    width += rows + 2 * cols * static_cast<int64_t>(update.getTerms().size());
  width += static_cast<int64_t>(affine.getReads().size()) * (rows + cols);
  return width * chunk;
}

namespace {
class Solver {
public:
  Solver(Kernel &kernel, SolveOp op) : kernel(kernel), op(op) {}

  LogicalResult emit();

private:
  LogicalResult check();
  void emitRows(const AffineBlockSpec &spec, const AffineBlockBuffers &buffers);
  /// The rows of a factor from the chunk's first token on, as memref<N> or memref<N x F> over the
  /// state's dims `numbers`. If these are several, the factor is copied to rows over all of them;
  /// a `result` is copied back by `finish`.
  Value rows(FlatSymbolRefAttr name, ArrayRef<int64_t> numbers, bool result = false);
  Value expanded(const BufferLayout &buffer, ArrayRef<int64_t> numbers, bool result);

  Kernel &kernel;
  SolveOp op;
  AffineOp affine;
  const SymbolInfo *state = nullptr;
  /// Bytes of scratch that are given away.
  int64_t used = 0;
  bool failedToFind = false;
  SmallVector<std::function<void()>> finish;
};

Value Solver::expanded(const BufferLayout &buffer, ArrayRef<int64_t> numbers, bool result) {
  const SymbolInfo &info = kernel.layout.symbol(buffer.of);
  Strided own = bufferElements(kernel, buffer), flat;
  own.strides.truncate(2);
  bool perToken = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  IndexMath math = kernel.index();
  if (perToken) {
    IndexValue first = IndexValue::constant(buffer.halo);
    if (buffer.space == Space::Sequence)
      first = math.add(first, IndexValue::of(kernel.chunkStart));
    own.base = math.scale(first, buffer.rowElements);
  } else {
    own.strides[1] = IndexValue::constant(0);
  }
  SmallVector<IndexValue> sizes = {IndexValue::constant(1), IndexValue::of(kernel.chunkRows)};
  SmallVector<int64_t> flatStrides(numbers.size());
  int64_t size = 1;
  for (int64_t place = numbers.size() - 1; place >= 0; --place) {
    flatStrides[place] = size;
    size *= state->sizes[numbers[place]];
  }
  int64_t width = expandedWidth(size, kernel.lanes);
  flat.strides = {IndexValue::constant(0), IndexValue::constant(width)};
  // The factor's dims are some of the state's, in the same order.
  size_t next = 0;
  for (auto [place, number] : llvm::enumerate(numbers)) {
    bool varies = next < info.dims.size() && info.dims[next] == state->dims[number];
    own.strides.push_back(IndexValue::constant(varies ? buffer.strides[next] : 0));
    next += varies;
    flat.strides.push_back(IndexValue::constant(flatStrides[place]));
    sizes.push_back(IndexValue::constant(state->sizes[number]));
  }
  if (next != info.dims.size()) {
    failedToFind = true;
    op.emitOpError("needs the dims of '") << buffer.of.getValue() << "' to be the state's";
    return {};
  }
  Value pointer =
      advance(kernel.builder, kernel.loc, kernel.scratch, kernel.layout.solveScratch + used);
  used += width * kernel.layout.chunk * (kernel.real.getIntOrFloatBitWidth() / 8);
  flat.memref = flatMemref(kernel.builder, kernel.loc, pointer, kernel.real);
  int64_t innermost = sizes.size() - 1;
  if (result)
    finish.push_back(
        [this, own, flat, sizes, innermost] { emitCopy(kernel, flat, own, sizes, innermost); });
  else
    emitCopy(kernel, own, flat, sizes, innermost);
  auto type = MemRefType::get({ShapedType::kDynamic, width}, kernel.real,
                              StridedLayoutAttr::get(kernel.builder.getContext(), 0, {width, 1}));
  return memrefAt(kernel.builder, kernel.loc, pointer, type);
}

Value Solver::rows(FlatSymbolRefAttr name, ArrayRef<int64_t> numbers, bool result) {
  auto *buffer =
      kernel.layout.isSymbol(name.getAttr()) ? kernel.layout.readable(name.getAttr()) : nullptr;
  if (!buffer || buffer->kind != ValueKind::Real) {
    failedToFind = true;
    op.emitOpError("needs a buffer of '") << name.getValue() << "'";
    return {};
  }
  if (numbers.size() > 1 && !buffer->extents.empty())
    return expanded(*buffer, numbers, result);
  IndexMath math = kernel.index();
  SmallVector<IndexValue> zeros(buffer->extents.size(), IndexValue::constant(0));
  IndexValue address =
      kernel.address(*buffer, IndexValue::constant(0), IndexValue::constant(0), zeros);
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  Value pointer = advance(kernel.builder, kernel.loc, kernel.pointer(*buffer),
                          math.scalar(math.scale(address, bytes)));
  bool perToken = buffer->space == Space::Rows || buffer->space == Space::Sequence;
  IndexValue rowStride = perToken ? kernel.rowStride(*buffer) : IndexValue::constant(0);
  int64_t known = rowStride.isConstant() ? rowStride.offset : ShapedType::kDynamic;
  auto *context = kernel.builder.getContext();
  SmallVector<int64_t> sizes = {ShapedType::kDynamic}, strides = {known};
  if (!buffer->extents.empty()) {
    sizes.push_back(buffer->rowElements);
    strides.push_back(1);
  }
  auto type = MemRefType::get(sizes, kernel.real, StridedLayoutAttr::get(context, 0, strides));
  return memrefAt(kernel.builder, kernel.loc, pointer, type, rowStride.base);
}

void Solver::emitRows(const AffineBlockSpec &spec, const AffineBlockBuffers &buffers) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  if (!PrefetchTable::isUsedBy(op))
    return emitAffineRows(builder, loc, spec, buffers, kernel.chunkRows);
  PrefetchTable table(kernel.layout, kernel.mixer, op, spec);
  table.fill(kernel, advance(builder, loc, kernel.scratch, kernel.layout.prefetchTable));
  emitAffineRows(
      builder, loc, spec, buffers, kernel.chunkRows,
      [&](Value panel, Value block, Value piece) { table.prefetch(kernel, panel, block, piece); });
}

LogicalResult Solver::check() {
  if (kernel.layout.batchBlock > 1)
    return op.emitOpError("does not run on blocks of batch elements");
  for (int64_t row : affine.getRows())
    if (kernel.isSplit(state->dims[row]))
      return op.emitOpError("sums over the dim along which tasks are split");
  for (int64_t col : affine.getCols())
    if (kernel.isSplit(state->dims[col]) &&
        (affine.getCols().size() > 1 || state->sizes[col] % kernel.layout.splitSize != 0))
      return op.emitOpError("needs one dim of columns to be split in parts of one size");
  if (affine.getDirection() != kernel.direction)
    return op.emitOpError("runs in a pass of the other direction");
  return success();
}

LogicalResult Solver::emit() {
  affine = findAffine(kernel.mixer, op.getStateAttr().getAttr());
  auto *buffer = kernel.layout.buffer(op.getStateAttr().getAttr(), Space::State);
  if (!affine || !buffer)
    return op.emitOpError("needs the canonical recurrence and a buffer of its state");
  state = &kernel.layout.symbol(buffer->of);
  if (failed(check()))
    return failure();
  auto spec = affineSpec(kernel.mixer, affine, kernel.target, op.getBlock(), op.getPanel(),
                         kernel.layout.split, kernel.layout.splitSize);
  auto rowDims = affine.getRows(), colDims = affine.getCols();
  auto &builder = kernel.builder;
  AffineBlockBuffers buffers;
  int64_t size = affineScratchSize(spec, kernel.layout.chunk);
  Value scratch = advance(builder, kernel.loc, kernel.scratch, kernel.layout.solveScratch);
  buffers.scratch = memrefAt(builder, kernel.loc, scratch, MemRefType::get({size}, kernel.real));
  used = llvm::alignTo(size * (kernel.real.getIntOrFloatBitWidth() / 8), 64);
  if (auto decay = affine.getRowDecayAttr())
    buffers.rowDecay = rows(decay, rowDims);
  if (auto decay = affine.getColDecayAttr())
    buffers.colDecay = rows(decay, colDims);
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    AffineUpdateBuffers result;
    result.left = rows(update.getLeft(), rowDims);
    for (TermAttr term : update.getTerms()) {
      AffineTermBuffers part;
      if (term.getCoef())
        part.coef = rows(term.getCoef(), colDims);
      if (term.getRight())
        part.right = rows(term.getRight(), colDims);
      result.terms.push_back(part);
    }
    buffers.updates.push_back(std::move(result));
  }
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    AffineReadBuffers result;
    result.row = rows(read.getRow(), rowDims);
    if (read.getResult())
      result.result = rows(read.getResult(), colDims, /*result=*/true);
    buffers.reads.push_back(result);
  }
  if (failedToFind)
    return failure();
  buffers.state = memrefAt(builder, kernel.loc, kernel.pointer(*buffer), affineStateType(spec));
  {
    auto step = scf::IfOp::create(builder, kernel.loc, isStepInCarry(kernel, *buffer),
                                  /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(step.thenBlock());
    CarryMatrix from = carryMatrix(kernel, *buffer, false), to = carryMatrix(kernel, *buffer, true);
    emitAffineStep(builder, kernel.loc, spec, buffers, from.matrix, to.matrix, from.colsFirst);
    builder.setInsertionPointToStart(step.elseBlock());
    emitRows(spec, buffers);
  }
  for (auto &copyBack : finish)
    copyBack();
  return success();
}
} // namespace

LogicalResult seqmix::emitSolve(Kernel &kernel, SolveOp op) {
  kernel.loc = op.getLoc();
  return Solver(kernel, op).emit();
}
