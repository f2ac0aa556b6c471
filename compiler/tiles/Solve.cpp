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

namespace {
class Solver {
public:
  Solver(Kernel &kernel, SolveOp op) : kernel(kernel), op(op) {}

  LogicalResult emit();

private:
  LogicalResult check();
  void emitRows(const AffineBlockSpec &spec, const AffineBlockBuffers &buffers);
  /// The recurrence of one matrix of each component: element `outer` of each outer dim.
  void emitMatrix(const AffineBlockSpec &spec);
  /// Factors over the rows by component; null where there is none.
  SmallVector<Value, 2> rowsOf(ArrayRef<RowFactorAttr> factors);
  AffineBlockBuffers buffersOf(const AffineBlockSpec &spec);
  /// The rows of a factor from the chunk's first token on, as memref<N> or memref<N x F> over the
  /// state's dims `numbers`. Unless these stand one after the other in memory, the factor is copied
  /// to rows over all of them; a `result` is copied back by `finish`.
  Value rows(FlatSymbolRefAttr name, ArrayRef<int64_t> numbers, bool result = false);
  Value expanded(const BufferLayout &buffer, ArrayRef<int64_t> own, ArrayRef<int64_t> numbers,
                 bool result);
  /// A factor for every element, as memref<N x K x V'>.
  Value elements(FlatSymbolRefAttr name);
  struct FactorRows {
    Value pointer;
    IndexValue stride;
    int64_t known; ///< the stride where it is constant, else dynamic
  };
  FactorRows factorRows(const BufferLayout &buffer, ArrayRef<int64_t> factorDims);
  Value expandedElements(const BufferLayout &buffer, ArrayRef<int64_t> own);
  /// The buffer of a factor or result, with the numbers of its dims among the state's.
  const BufferLayout *bufferOf(FlatSymbolRefAttr name, ArrayRef<int64_t> numbers,
                               SmallVectorImpl<int64_t> &dims);

  Kernel &kernel;
  SolveOp op;
  AffineOp affine;
  const SymbolInfo *state = nullptr;
  SmallVector<const BufferLayout *> stateBuffers; // by state
  /// By number of the state's dim: the matrix's index, for the outer dims.
  llvm::SmallDenseMap<int64_t, IndexValue> outer;
  /// Bytes of scratch that are given away.
  int64_t used = 0;
  bool failedToFind = false;
  SmallVector<std::function<void()>> finish;
};

Value Solver::expanded(const BufferLayout &buffer, ArrayRef<int64_t> factorDims,
                       ArrayRef<int64_t> numbers, bool result) {
  Strided own = bufferElements(kernel, buffer), flat;
  own.strides.truncate(2);
  bool perToken = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  IndexMath math = kernel.index();
  if (perToken) {
    IndexValue first = IndexValue::constant(buffer.halo);
    if (buffer.space == Space::Sequence)
      first = math.add(first, IndexValue::of(kernel.chunkStart));
    own.base = math.mul(first, own.strides[1]);
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
  int64_t width = llvm::alignTo(size, kernel.lanes);
  flat.strides = {IndexValue::constant(0), IndexValue::constant(width)};
  for (auto [place, number] : llvm::enumerate(numbers)) {
    const auto *found = llvm::find(factorDims, number);
    own.strides.push_back(IndexValue::constant(
        found == factorDims.end() ? 0 : buffer.strides[found - factorDims.begin()]));
    flat.strides.push_back(IndexValue::constant(flatStrides[place]));
    sizes.push_back(IndexValue::constant(state->sizes[number]));
  }
  for (auto [dim, number] : llvm::enumerate(factorDims))
    if (auto at = outer.find(number); at != outer.end())
      own.base = math.add(own.base, math.scale(at->second, buffer.strides[dim]));
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

const BufferLayout *Solver::bufferOf(FlatSymbolRefAttr name, ArrayRef<int64_t> numbers,
                                     SmallVectorImpl<int64_t> &dims) {
  auto *buffer =
      kernel.layout.isSymbol(name.getAttr()) ? kernel.layout.readable(name.getAttr()) : nullptr;
  if (!buffer || buffer->kind != ValueKind::Real) {
    failedToFind = true;
    op.emitOpError("needs a buffer of '") << name.getValue() << "'";
    return nullptr;
  }
  llvm::append_range(dims, affine.numbersOf(name, numbers));
  if (dims.size() == buffer->extents.size())
    return buffer;
  failedToFind = true;
  op.emitOpError("needs the dims of '") << name.getValue() << "' to be the state's";
  return nullptr;
}

Value Solver::elements(FlatSymbolRefAttr name) {
  SmallVector<int64_t> factorDims;
  SmallVector<int64_t> sides = affine.factorSide(ReadKind::RowElements);
  const BufferLayout *buffer = bufferOf(name, sides, factorDims);
  if (!buffer)
    return {};
  auto strideOf = [&](int64_t number) {
    const auto *found = llvm::find(factorDims, number);
    return found == factorDims.end() ? 0 : buffer->strides[found - factorDims.begin()];
  };
  if (affine.getRows().size() > 1 || affine.getCols().size() > 1 ||
      strideOf(affine.getCols()[0]) != 1)
    return expandedElements(*buffer, factorDims);
  const FactorRows own = factorRows(*buffer, factorDims);
  auto type = MemRefType::get(
      {ShapedType::kDynamic, state->sizes[affine.getRows()[0]], buffer->paddedExtent}, kernel.real,
      StridedLayoutAttr::get(kernel.builder.getContext(), 0,
                             {own.known, strideOf(affine.getRows()[0]), 1}));
  return memrefAt(kernel.builder, kernel.loc, own.pointer, type, own.stride.base);
}

/// Where a factor's values of the current outer element begin, and how far a token's are apart.
Solver::FactorRows Solver::factorRows(const BufferLayout &buffer, ArrayRef<int64_t> factorDims) {
  IndexMath math = kernel.index();
  SmallVector<IndexValue> indices;
  for (int64_t number : factorDims)
    indices.push_back(outer.contains(number) ? outer.find(number)->second
                                             : IndexValue::constant(0));
  IndexValue address =
      kernel.address(buffer, IndexValue::constant(0), IndexValue::constant(0), indices);
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  Value pointer = advance(kernel.builder, kernel.loc, kernel.pointer(buffer),
                          math.scalar(math.scale(address, bytes)));
  bool perToken = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  IndexValue rowStride = perToken ? kernel.rowStride(buffer) : IndexValue::constant(0);
  int64_t known = rowStride.isConstant() ? rowStride.offset : ShapedType::kDynamic;
  return {pointer, rowStride, known};
}

Value Solver::expandedElements(const BufferLayout &buffer, ArrayRef<int64_t> factorDims) {
  Strided own = bufferElements(kernel, buffer), flat;
  own.strides.truncate(2);
  IndexMath math = kernel.index();
  bool perToken = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  IndexValue tokens = perToken ? IndexValue::of(kernel.chunkRows) : IndexValue::constant(1);
  if (perToken) {
    IndexValue first = IndexValue::constant(buffer.halo);
    if (buffer.space == Space::Sequence)
      first = math.add(first, IndexValue::of(kernel.chunkStart));
    own.base = math.mul(first, own.strides[1]);
  }
  SmallVector<IndexValue> sizes = {IndexValue::constant(1), tokens};
  // Columns, from the last dim on, then padded rows of them.
  SmallVector<int64_t> numbers(affine.getRows()), flatStrides;
  llvm::append_range(numbers, affine.getCols());
  int64_t next = 1, rowCount = affine.getRows().size(), cols = 1, rows = 1;
  flatStrides.resize(numbers.size());
  for (int64_t place = numbers.size() - 1; place >= 0; --place) {
    int64_t size = state->sizes[numbers[place]];
    if (place + 1 == rowCount) {
      cols = llvm::alignTo(next, kernel.lanes);
      next = cols;
    }
    (place < rowCount ? rows : cols) *= place < rowCount ? size : 1;
    flatStrides[place] = next;
    next *= size;
  }
  flat.strides = {IndexValue::constant(0), IndexValue::constant(next)};
  for (auto [place, number] : llvm::enumerate(numbers)) {
    const auto *found = llvm::find(factorDims, number);
    own.strides.push_back(IndexValue::constant(
        found == factorDims.end() ? 0 : buffer.strides[found - factorDims.begin()]));
    flat.strides.push_back(IndexValue::constant(flatStrides[place]));
    sizes.push_back(IndexValue::constant(state->sizes[number]));
  }
  for (auto [dim, number] : llvm::enumerate(factorDims))
    if (auto at = outer.find(number); at != outer.end())
      own.base = math.add(own.base, math.scale(at->second, buffer.strides[dim]));
  Value pointer =
      advance(kernel.builder, kernel.loc, kernel.scratch, kernel.layout.solveScratch + used);
  int64_t stride = perToken ? next : 0;
  used += next * (perToken ? kernel.layout.chunk : 1) * (kernel.real.getIntOrFloatBitWidth() / 8);
  flat.memref = flatMemref(kernel.builder, kernel.loc, pointer, kernel.real);
  emitCopy(kernel, own, flat, sizes, sizes.size() - 1);
  auto type =
      MemRefType::get({ShapedType::kDynamic, rows, cols}, kernel.real,
                      StridedLayoutAttr::get(kernel.builder.getContext(), 0, {stride, cols, 1}));
  return memrefAt(kernel.builder, kernel.loc, pointer, type);
}

Value Solver::rows(FlatSymbolRefAttr name, ArrayRef<int64_t> numbers, bool result) {
  SmallVector<int64_t> factorDims;
  const BufferLayout *buffer = bufferOf(name, numbers, factorDims);
  if (!buffer)
    return {};
  bool isScalar = llvm::all_of(factorDims, [&](int64_t number) { return outer.contains(number); });
  bool isRow = numbers.size() == 1 && !isScalar &&
               buffer->strides[llvm::find(factorDims, numbers[0]) - factorDims.begin()] == 1;
  if (!isScalar && !isRow)
    return expanded(*buffer, factorDims, numbers, result);
  const FactorRows own = factorRows(*buffer, factorDims);
  auto *context = kernel.builder.getContext();
  SmallVector<int64_t> sizes = {ShapedType::kDynamic}, strides = {own.known};
  if (!isScalar) {
    sizes.push_back(buffer->paddedExtent);
    strides.push_back(1);
  }
  auto type = MemRefType::get(sizes, kernel.real, StridedLayoutAttr::get(context, 0, strides));
  return memrefAt(kernel.builder, kernel.loc, own.pointer, type, own.stride.base);
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
  if (!affine)
    return op.emitOpError("needs the canonical recurrence of its state");
  for (FlatSymbolRefAttr symbol : affine.states()) {
    stateBuffers.push_back(kernel.layout.buffer(symbol.getAttr(), Space::State));
    if (!stateBuffers.back())
      return op.emitOpError() << "needs a buffer of " << symbol;
  }
  state = &kernel.layout.symbol(op.getStateAttr().getAttr());
  if (failed(check()))
    return failure();
  auto spec = affineSpec(kernel.mixer, affine, kernel.target, op.getBlock(), op.getPanel(),
                         kernel.layout.split, kernel.layout.splitSize);
  auto outerDims = affine.outerDims();
  std::function<void(size_t)> nest = [&](size_t depth) {
    if (depth == outerDims.size())
      return emitMatrix(spec);
    int64_t number = outerDims[depth], size = state->sizes[number];
    kernel.forEach(kernel.constant(size), 1, [&](Value index) {
      outer.insert_or_assign(number, IndexValue::of(index, 0, size - 1));
      nest(depth + 1);
    });
  };
  nest(0);
  return failure(failedToFind);
}

SmallVector<Value, 2> Solver::rowsOf(ArrayRef<RowFactorAttr> factors) {
  SmallVector<Value, 2> result(affine.componentCount());
  for (RowFactorAttr factor : factors)
    result[factor.getComponent()] = rows(factor.getSymbol(), affine.getRows());
  return result;
}

AffineBlockBuffers Solver::buffersOf(const AffineBlockSpec &spec) {
  auto rowDims = affine.getRows(), colDims = affine.getCols();
  AffineBlockBuffers buffers;
  if (auto decay = affine.getRowDecayAttr())
    buffers.rowDecay = rows(decay, rowDims);
  if (auto decay = affine.getColDecayAttr())
    buffers.colDecay = rows(decay, colDims);
  if (ArrayAttr coupling = affine.getCouplingAttr()) {
    buffers.coupling.resize(spec.components * spec.components);
    for (auto entry : coupling.getAsRange<CouplingAttr>())
      buffers.coupling[entry.getTo() * spec.components + entry.getFrom()] =
          rows(entry.getFactor(), rowDims);
  }
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    AffineUpdateBuffers result;
    result.lefts = rowsOf(update.getLefts());
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
    Value result;
    if (read.getResult())
      result = rows(read.getResult(), affine.resultSide(read.getKind()), /*result=*/true);
    if (read.getKind() == ReadKind::Rows) {
      buffers.reads.push_back({rowsOf(read.getRow()), result});
      continue;
    }
    AffineElementBuffers part{SmallVector<Value, 2>(spec.components), result};
    for (RowFactorAttr factor : read.getRow())
      part.weights[factor.getComponent()] = weighsElements(read.getKind())
                                                ? elements(factor.getSymbol())
                                                : rows(factor.getSymbol(), colDims);
    buffers.elements.push_back(std::move(part));
  }
  return buffers;
}

void Solver::emitMatrix(const AffineBlockSpec &spec) {
  auto &builder = kernel.builder;
  int64_t bytes = kernel.real.getIntOrFloatBitWidth() / 8;
  int64_t size = affineScratchSize(spec, kernel.layout.chunk);
  Value scratch = advance(builder, kernel.loc, kernel.scratch, kernel.layout.solveScratch);
  used = llvm::alignTo(size * bytes, 64);
  AffineBlockBuffers buffers = buffersOf(spec);
  if (failedToFind)
    return;
  buffers.scratch = memrefAt(builder, kernel.loc, scratch, MemRefType::get({size}, kernel.real));
  auto type = affineStateType(spec);
  IndexMath math = kernel.index();
  // Where the matrix of each component stands among those of its state.
  SmallVector<std::pair<const BufferLayout *, IndexValue>> places;
  for (const BufferLayout *buffer : stateBuffers)
    for (int64_t inner = 0; inner < affine.innerSize(); ++inner) {
      IndexValue matrix = IndexValue::constant(0);
      for (int64_t number : affine.outerDims())
        matrix = math.add(math.scale(matrix, state->sizes[number]), outer.find(number)->second);
      matrix = math.add(math.scale(matrix, affine.innerSize()), IndexValue::constant(inner));
      places.push_back({buffer, matrix});
      Value panels = advance(builder, kernel.loc, kernel.pointer(*buffer),
                             math.scalar(math.scale(matrix, type.getNumElements() * bytes)));
      buffers.states.push_back(memrefAt(builder, kernel.loc, panels, type));
    }
  {
    auto step = scf::IfOp::create(builder, kernel.loc, isStepInCarry(kernel, *stateBuffers[0]),
                                  /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(step.thenBlock());
    if (isSteppedInCarry(affine)) {
      SmallVector<Value> from, to;
      bool colsFirst = false;
      for (auto &[buffer, matrix] : places) {
        CarryMatrix old = carryMatrix(kernel, *buffer, matrix, false);
        from.push_back(old.matrix);
        to.push_back(carryMatrix(kernel, *buffer, matrix, true).matrix);
        colsFirst = old.colsFirst;
      }
      emitAffineStep(builder, kernel.loc, spec, buffers, from, to, colsFirst);
    }
    builder.setInsertionPointToStart(step.elseBlock());
    emitRows(spec, buffers);
  }
  for (auto &copyBack : finish)
    copyBack();
}
} // namespace

LogicalResult seqmix::emitSolve(Kernel &kernel, SolveOp op) {
  kernel.loc = op.getLoc();
  return Solver(kernel, op).emit();
}
