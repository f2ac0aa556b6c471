//===- Layout.cpp - where a kernel's data stand --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Layout.h"

#include "compiler/tiles/ConvolvePlan.h"
#include "compiler/tiles/EarlierRows.h"
#include "compiler/tiles/Prefetch.h"
#include "compiler/tiles/Solve.h"
#include "compiler/tiles/SweepPlan.h"
#include "runtime/Frame.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Regions start at multiples of a cache line, and so do the buffers in them.
constexpr int64_t kAlignment = 64;

ValueKind kindOfStorage(Type type) {
  if (isa<FloatType>(type))
    return ValueKind::Real;
  return type.isInteger(1) ? ValueKind::Truth : ValueKind::Integer;
}

ValueKind kindOfEquation(Region &body) {
  Type type = body.front().getTerminator()->getOperand(0).getType();
  if (isa<FloatType>(type))
    return ValueKind::Real;
  return type.isInteger(1) ? ValueKind::Truth : ValueKind::Integer;
}

DimOp dimOf(MixerOp mixer, Attribute name) {
  return cast<DimOp>(SymbolTable::lookupSymbolIn(mixer, cast<FlatSymbolRefAttr>(name).getAttr()));
}
} // namespace

LogicalResult Layout::collectSymbols(MixerOp mixer) {
  if (auto dim = seq::tokenDimOf(mixer))
    tokenDim = dim.getAttr();
  for (auto dim : mixer.getOps<DimOp>())
    if (dim.getKind() == DimKind::Runtime && dim.getSymNameAttr() != tokenDim)
      storageBytes.insert({dim.getSymNameAttr(), 0});
  for (Operation &op : mixer.getBody().front()) {
    ArrayAttr dims;
    SymbolInfo info;
    info.op = &op;
    if (auto tensor = dyn_cast<TensorOp>(op)) {
      dims = tensor.getDims();
      info.kind = kindOfStorage(tensor.getDtype());
    } else if (auto state = dyn_cast<StateOp>(op)) {
      dims = state.getDims();
      info.perToken = true;
      info.position = tokenDim;
    } else if (auto define = dyn_cast<DefineOp>(op)) {
      dims = define.getDims();
      info.kind = kindOfEquation(define.getBody());
    } else if (auto produced = dyn_cast<ProducedOp>(op)) {
      dims = produced.getDims();
    } else {
      continue;
    }
    for (auto [number, name] : llvm::enumerate(dims)) {
      auto dim = dimOf(mixer, name);
      if (dim.getKind() == DimKind::Runtime && number == 0) {
        info.perToken = true;
        info.position = dim.getSymNameAttr();
        continue;
      }
      info.dims.push_back(dim.getSymNameAttr());
      info.sizes.push_back(dim.getKind() == DimKind::Fixed ? static_cast<int64_t>(*dim.getSize())
                                                           : -1);
    }
    symbols.try_emplace(SymbolTable::getSymbolName(&op), std::move(info));
  }
  return success();
}

LogicalResult Layout::addBuffer(BufferOp op) {
  auto name = op.getOfAttr().getAttr();
  auto found = symbols.find(name);
  if (found == symbols.end())
    return op.emitOpError("names no tensor, state, definition or produced tensor");
  const SymbolInfo &info = found->second;
  BufferLayout buffer;
  buffer.op = op;
  buffer.of = name;
  buffer.space = op.getSpace();
  buffer.kind = info.kind;
  auto order = op.getOrder();
  if (order.size() != info.sizes.size())
    return op.emitOpError("orders ") << order.size() << " dims, but '" << name.getValue()
                                     << "' has " << info.sizes.size() << " besides the token dim";
  for (auto [dim, size] : llvm::zip_equal(info.dims, info.sizes)) {
    if (size < 0)
      return op.emitOpError("a tensor over a run-time dim that is not its token dim has no buffer");
    buffer.extents.push_back(dim == split ? splitSize : size);
  }
  buffer.strides.assign(order.size(), 0);
  int64_t stride = 1;
  for (int64_t position = order.size() - 1; position >= 0; --position) {
    int64_t dim = order[position];
    if (dim < 0 || dim >= static_cast<int64_t>(order.size()) || buffer.strides[dim] != 0)
      return op.emitOpError("`order` is no permutation of the dims");
    buffer.strides[dim] = stride;
    int64_t extent = buffer.extents[dim];
    if (position == static_cast<int64_t>(order.size()) - 1) {
      buffer.contiguous = dim;
      extent = buffer.paddedExtent = llvm::alignTo(extent, lanes);
    }
    stride *= extent;
  }
  buffer.rowElements = buffer.rowStride = stride;
  buffer.halo = op.getHalo();
  buffer.ahead = op.getAhead();
  bool perToken = buffer.space == Space::Rows || buffer.space == Space::Sequence;
  if (!perToken && (buffer.halo || buffer.ahead))
    return op.emitOpError("only buffers of rows have rows of other tokens");
  if (perToken && !info.perToken)
    return op.emitOpError("has rows, but '") << name.getValue() << "' has no token dim";
  if (buffer.halo + buffer.ahead > SEQ_SEQUENCE_EDGE && buffer.space == Space::Sequence)
    return op.emitOpError("holds more than ")
           << int(SEQ_SEQUENCE_EDGE) << " tokens around the sequence";
  // Vectors over tokens run past the chunk's last row.
  if (buffer.space == Space::Rows)
    buffer.rows = buffer.halo + llvm::alignTo(chunk, lanes) + buffer.ahead;
  buffer.elements = buffer.rows * buffer.rowElements;
  if (batchBlock > 1 && (buffer.space == Space::Rows || buffer.space == Space::State ||
                         buffer.space == Space::Token || buffer.space == Space::Task)) {
    buffer.batchStride = llvm::alignTo(buffer.elements, lanes);
    buffer.elements = buffer.batchStride * batchBlock;
  }
  if (batchBlock > 1 && buffer.space == Space::Sequence) {
    // The length is not known here, so the batch elements stand side by side in a row.
    buffer.batchStride = buffer.rowElements;
    buffer.rowStride = buffer.elements = buffer.rowElements * batchBlock;
  }
  all.push_back(std::move(buffer));
  return success();
}

namespace {
/// Whether a read has the left indices of its equation in all dims but the token's.
bool readsInPlace(ReadOp read, Block &body) {
  AffineMap map = read.getMap();
  if (map.getNumResults() != body.getNumArguments())
    return false;
  for (unsigned number = 1; number < map.getNumResults(); ++number) {
    auto dim = dyn_cast<AffineDimExpr>(map.getResult(number));
    if (!dim || read.getOperands()[dim.getPosition()] != body.getArgument(number))
      return false;
  }
  return true;
}

/// Whether a read of a state is of its value before this token.
bool readsBefore(ReadOp read) {
  AffineMap map = read.getMap();
  if (map.getNumResults() == 0) // a value without indices: no state
    return false;
  auto sum = dyn_cast<AffineBinaryOpExpr>(map.getResult(0));
  return sum && sum.getKind() == AffineExprKind::Add;
}
} // namespace

void Layout::doubleStates(MixerOp mixer, KernelOp kernel) {
  kernel.walk([&](LoopOp loop) {
    llvm::SmallPtrSet<Attribute, 8> written, kept;
    for (auto name : loop.getKeep().getAsRange<FlatSymbolRefAttr>())
      kept.insert(name.getAttr());
    for (auto name : loop.getMembers().getAsRange<FlatSymbolRefAttr>()) {
      auto found = symbols.find(name.getAttr());
      if (found == symbols.end())
        continue;
      Operation *equation = found->second.op;
      bool isState = isa<StateOp>(equation);
      for (auto next : mixer.getBody().getOps<NextOp>())
        if (isState && next.getStateAttr() == name)
          equation = next;
      // An old value that is read after the new one is written, or at other indices while it is
      // being written, has to be kept.
      for (Region &region : equation->getRegions())
        region.walk([&](ReadOp read) {
          auto source = read.getSourceAttr().getAttr();
          if (!readsBefore(read))
            return;
          if (written.contains(source) ||
              (isState && source == name.getAttr() && !readsInPlace(read, region.front())))
            kept.insert(source);
        });
      if (isState)
        written.insert(name.getAttr());
    }
    for (auto &buffer : all)
      if (buffer.space == Space::State && buffer.copy == 0 && kept.contains(buffer.of)) {
        buffer.copy = llvm::alignTo(buffer.elements, lanes);
        buffer.elements = 2 * buffer.copy;
      }
  });
}

LogicalResult Layout::addSolves(MixerOp mixer, KernelOp kernel, const TargetInfo &target) {
  int64_t scratch = 0, table = 0;
  LogicalResult result = success();
  kernel.walk([&](SolveOp solve) {
    auto affine = findAffine(mixer, solve.getStateAttr().getAttr());
    SmallVector<BufferLayout *> states;
    for (auto &buffer : all)
      if (buffer.space == Space::State && affine && affine.makes(buffer.of))
        states.push_back(&buffer);
    if (!affine || states.size() != affine.states().size()) {
      result = solve.emitOpError("needs the canonical recurrence and a buffer of each state");
      return;
    }
    auto spec =
        affineSpec(mixer, affine, target, solve.getBlock(), solve.getPanel(), split, splitSize);
    auto type = affineStateType(spec);
    for (BufferLayout *state : states) {
      state->panels = true;
      state->elements = type.getNumElements() * matrixCount(mixer, affine);
    }
    scratch = std::max<int64_t>(scratch, llvm::alignTo(affineScratchSize(spec, chunk), 64) +
                                             expansionSize(affine, spec, chunk));
    if (PrefetchTable::isUsedBy(solve))
      table = std::max(table, PrefetchTable(*this, mixer, solve, spec).bytes(chunk));
  });
  solveScratch = llvm::alignTo(scratchBytes, kAlignment);
  scratchBytes =
      llvm::alignTo(solveScratch + scratch * (real.getIntOrFloatBitWidth() / 8), kAlignment);
  prefetchTable = scratchBytes;
  scratchBytes = llvm::alignTo(scratchBytes + table, kAlignment);
  return result;
}

void Layout::addSweeps(MixerOp mixer, KernelOp kernel) {
  int64_t bytes = 0;
  kernel.walk(
      [&](SweepOp sweep) { bytes = std::max(bytes, planSweep(*this, mixer, sweep).bytes); });
  sweepScratch = scratchBytes;
  scratchBytes += llvm::alignTo(bytes, kAlignment);
  partialBytes = seqmix::partialBytes(*this, mixer, kernel);
  findGroup(*this, mixer, kernel);
}

void Layout::addConvolutions(MixerOp mixer, KernelOp kernel) {
  int64_t bytes = 0;
  kernel.walk([&](ConvolveOp convolve) {
    bytes = std::max(bytes, planConvolve(*this, mixer, convolve).tokenBytes);
  });
  convolveScratch = sequenceBytes;
  sequenceBytes += llvm::alignTo(bytes, kAlignment);
}

void Layout::placeBuffers() {
  int64_t realBytes = real.getIntOrFloatBitWidth() / 8;
  for (auto &buffer : all) {
    int64_t bytes = buffer.elements * (buffer.kind == ValueKind::Real ? realBytes : 4);
    StringAttr position = symbol(buffer.of).position;
    int64_t &region = buffer.space == Space::Shared     ? sharedBytes
                      : buffer.space != Space::Sequence ? scratchBytes
                      : position == tokenDim            ? sequenceBytes
                                                        : storageBytes[position];
    buffer.offset = region;
    // Rows of the sequence space stand token after token, one buffer behind the other, so that
    // only whole buffers are aligned: by padding what a token takes.
    region += llvm::alignTo(bytes, kAlignment);
  }
}

void Layout::placeFrame(MixerOp mixer) {
  int64_t slot = SEQ_FRAME_FIRST + 2 * static_cast<int64_t>(storageBytes.size());
  for (auto tensor : mixer.getOps<TensorOp>()) {
    FrameSlots slots;
    slots.pointer = slot;
    slots.perToken = symbol(tensor.getSymNameAttr()).perToken;
    if (auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder))
      slots.order.assign(order.asArrayRef().begin(), order.asArrayRef().end());
    tensors[tensor.getSymNameAttr()] = slots;
    slot += 2 + tensor.getDims().size();
  }
  for (auto output : mixer.getOps<OutputOp>()) {
    auto source = output.getSourceAttr().getAttr();
    const SymbolInfo &info = symbol(source);
    FrameSlots slots;
    slots.pointer = slot;
    slots.perToken = info.perToken;
    outputs[source] = slots;
    slot += 2 + info.sizes.size() + info.perToken;
  }
  components = seq::carryComponents(mixer);
  for ([[maybe_unused]] auto &component : components) {
    carry.push_back({slot, false, {}});
    slot += 4;
  }
}

FailureOr<Layout> Layout::compute(MixerOp mixer, KernelOp kernel, const TargetInfo &target) {
  Layout layout;
  layout.real = mixer.getCompute();
  layout.lanes = target.lanes(layout.real);
  layout.chunk = kernel.getChunk();
  layout.batchBlock = kernel.getBatchBlock();
  if (kernel.getSplit()) {
    layout.split = kernel.getSplitAttr().getAttr();
    layout.splitSize = *kernel.getSplitSize();
  }
  if (failed(layout.collectSymbols(mixer)))
    return failure();
  for (auto buffer : kernel.getOps<BufferOp>())
    if (failed(layout.addBuffer(buffer)))
      return failure();
  layout.doubleStates(mixer, kernel);
  if (failed(layout.addSolves(mixer, kernel, target)))
    return failure();
  layout.findInPlace(mixer, kernel);
  layout.addSweeps(mixer, kernel);
  layout.placeBuffers();
  layout.addConvolutions(mixer, kernel);
  layout.placeFrame(mixer);
  layout.earlier = findEarlierRows(layout, mixer, kernel);
  return layout;
}

int64_t Layout::lengthSlot(StringAttr dim) const {
  auto found = storageBytes.find(dim);
  assert(found != storageBytes.end() && "the extent of the token dim has a slot of its own");
  return SEQ_FRAME_FIRST + 2 * (found - storageBytes.begin());
}

const BufferLayout *Layout::buffer(StringAttr name, Space space) const {
  for (auto &buffer : all)
    if (buffer.of == name && buffer.space == space)
      return &buffer;
  return nullptr;
}

const BufferLayout *Layout::readable(StringAttr name) const {
  for (auto space : {Space::Shared, Space::Task, Space::Rows, Space::Sequence, Space::Token})
    if (auto *found = buffer(name, space))
      return found;
  return nullptr;
}
