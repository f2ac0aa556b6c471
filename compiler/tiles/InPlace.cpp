//===- InPlace.cpp - rows that stay in the caller's memory ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A chunk's rows of a tensor or output need no copy in the kernel's own memory when they stand in
// the caller's as the kernel wants them: in the compute type, features contiguous and without
// padding. Whether the features are contiguous is only known at run time, so the buffer stays, and
// where its rows begin and how far they are apart is chosen when the kernel starts.
//
// Rows of the caller are far apart, and the first-level cache holds few lines that are a power of
// two apart; so this is for what is read and written once or twice, along its rows: by evals, and
// by solves other than as the factors that every panel reads again.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Kernel.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Solve.h"
#include "compiler/tiles/Steps.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// What may use a chunk's rows where they are.
class Uses {
public:
  Uses(MixerOp mixer, KernelOp kernel) : mixer(mixer) {
    kernel.walk([&](Operation *op) {
      if (auto eval = dyn_cast<EvalOp>(op))
        noteEval(eval);
      else if (auto loop = dyn_cast<LoopOp>(op))
        noteLoop(loop);
      else if (auto solve = dyn_cast<SolveOp>(op))
        noteSolve(findAffine(mixer, solve.getStateAttr().getAttr()));
    });
  }
  bool needCopy(StringAttr name) const { return copied.contains(name); }

private:
  void noteReads(Region &region) {
    region.walk([&](ReadOp read) { copied.insert(read.getSourceAttr().getAttr()); });
  }
  void noteEquation(StringAttr name) {
    copied.insert(name);
    if (auto define = dyn_cast_or_null<DefineOp>(SymbolTable::lookupSymbolIn(mixer, name)))
      for (Region &region : define->getRegions())
        noteReads(region);
    for (auto next : mixer.getBody().getOps<NextOp>())
      if (next.getStateAttr().getAttr() == name)
        for (Region &region : next->getRegions())
          noteReads(region);
  }
  void noteEval(EvalOp eval) {
    auto define = cast<DefineOp>(SymbolTable::lookupSymbolIn(mixer, eval.getOfAttr().getAttr()));
    // Vectors over tokens run past the chunk's last row.
    if (eval.getLanes() == 0 && isTokenIndexed(mixer, define.getDims()))
      noteEquation(define.getSymNameAttr());
  }
  void noteLoop(LoopOp loop) {
    for (auto name : loop.getMembers().getAsRange<FlatSymbolRefAttr>())
      noteEquation(name.getAttr());
  }
  void noteSolve(AffineOp affine) {
    if (!affine)
      return;
    auto decay = affine.getRowDecayAttr();
    // With a decay per row all panels read scaled copies of the rows.
    bool scaled =
        affine.getCouplingAttr() || (decay && rowDecayOf(affine, decay) == RowDecay::PerRow);
    bool several =
        affine.getRows().size() > 1 || affine.getCols().size() > 1 || !affine.outerDims().empty();
    if (several) // are expanded
      for (auto symbol : symbolsOf(affine))
        copied.insert(symbol);
    auto reads = affine.getReads().getAsRange<RowReadAttr>();
    bool byToken =
        llvm::any_of(reads, [](RowReadAttr read) { return read.getKind() != ReadKind::Rows; });
    if (byToken) { // every panel takes the decays and left factors as they are
      if (decay)
        copied.insert(decay.getAttr());
      if (ArrayAttr coupling = affine.getCouplingAttr())
        for (auto entry : coupling.getAsRange<CouplingAttr>())
          copied.insert(entry.getFactor().getAttr());
    } else if (scaled) {
      return;
    }
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
      for (RowFactorAttr left : update.getLefts())
        copied.insert(left.getSymbol().getAttr());
    for (RowReadAttr read : reads) {
      if (sumsColumns(read.getKind())) // is added to by every panel
        copied.insert(read.getResult().getAttr());
      for (RowFactorAttr row : read.getRow())
        if (read.getKind() == ReadKind::Rows)
          copied.insert(row.getSymbol().getAttr());
    }
  }
  static SmallVector<StringAttr> symbolsOf(AffineOp affine) {
    SmallVector<StringAttr> symbols;
    affine->getAttrDictionary().walk(
        [&](FlatSymbolRefAttr name) { symbols.push_back(name.getAttr()); });
    return symbols;
  }

  MixerOp mixer;
  llvm::DenseSet<StringAttr> copied;
};
} // namespace

void Layout::findInPlace(MixerOp mixer, KernelOp kernel) {
  Uses uses(mixer, kernel);
  llvm::DenseMap<StringAttr, OutputOp> outputOf;
  for (auto output : mixer.getOps<OutputOp>())
    outputOf[output.getSourceAttr().getAttr()] = output;
  for (auto &buffer : all) {
    const SymbolInfo &info = symbol(buffer.of);
    if (buffer.space != Space::Rows || buffer.kind != ValueKind::Real || batchBlock > 1 ||
        buffer.halo + buffer.ahead > 0 || buffer.extents.empty() || uses.needCopy(buffer.of) ||
        buffer.paddedExtent != buffer.extents[buffer.contiguous] ||
        !llvm::is_sorted(buffer.op.getOrder()))
      continue;
    auto tensor = dyn_cast<TensorOp>(info.op);
    auto output = outputOf.lookup(buffer.of);
    if (tensor)
      buffer.inPlace = tensor.getRole() == Role::Input && tensor.getDtype() == real;
    else
      buffer.inPlace = output && output.getDtype() == real;
  }
}

void Kernel::placeInPlace() {
  for (auto &buffer : layout.buffers()) {
    if (!buffer.inPlace)
      continue;
    const SymbolInfo &info = layout.symbol(buffer.of);
    const CallerMemory &memory = isa<TensorOp>(info.op) ? tensor(buffer.of) : output(buffer.of);
    InPlaceRows rows;
    rows.usable = arith::ConstantIntOp::create(builder, loc, 1, 1);
    Value start = memory.pointer;
    int64_t bytes = real.getIntOrFloatBitWidth() / 8;
    auto require = [&](Value left, Value right) {
      Value equal = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, left, right);
      rows.usable = arith::AndIOp::create(builder, loc, rows.usable, equal);
    };
    for (auto [number, stride] : llvm::enumerate(memory.strides)) {
      if (buffer.extents[number] > 1)
        require(stride, constant(buffer.strides[number]));
      if (!isSplit(info.dims[number]))
        continue;
      // The last part may be a smaller one.
      require(splitCount, constant(layout.splitSize));
      Value first = arith::MulIOp::create(builder, loc, splitBegin, stride);
      start =
          advance(builder, loc, start, arith::MulIOp::create(builder, loc, first, constant(bytes)));
    }
    auto choose = [&](Value whenUsable, Value otherwise) -> Value {
      return arith::SelectOp::create(builder, loc, rows.usable, whenUsable, otherwise);
    };
    rows.start = choose(start, advance(builder, loc, scratch, buffer.offset));
    rows.stride = choose(memory.tokenStride, constant(buffer.rowStride));
    Value step = arith::MulIOp::create(builder, loc, memory.tokenStride, constant(bytes));
    rows.step = choose(step, constant(0));
    inPlace[&buffer] = rows;
  }
}

void Kernel::enterChunk(Value start, Value rows) {
  chunkStart = start;
  chunkRows = rows;
  for (auto &buffer : layout.buffers()) {
    auto found = inPlace.find(&buffer);
    if (found == inPlace.end())
      continue;
    InPlaceRows &place = found->second;
    Value passed = arith::MulIOp::create(builder, loc, start, place.step);
    place.pointer = advance(builder, loc, place.start, passed);
    memrefs[&buffer] = flatMemref(builder, loc, place.pointer, elementType(buffer.kind));
  }
}

Kernel::RowPlaces Kernel::leaveRows() {
  RowPlaces places;
  places.memrefs = memrefs;
  places.inPlace = inPlace;
  places.position = position;
  places.chunkStart = chunkStart;
  places.chunkRows = chunkRows;
  return places;
}

void Kernel::enterRows(RowPlaces places) {
  memrefs = std::move(places.memrefs);
  inPlace = std::move(places.inPlace);
  position = places.position;
  chunkStart = places.chunkStart;
  chunkRows = places.chunkRows;
}

void Kernel::placeRows(const BufferLayout &buffer, Value pointer) {
  InPlaceRows &rows = inPlace.find(&buffer)->second;
  rows.pointer = pointer;
  rows.stride = constant(buffer.rowStride);
  memrefs[&buffer] = flatMemref(builder, loc, pointer, elementType(buffer.kind));
}

void Kernel::enterEarlier(Value first, Value rows) {
  Value row = arith::SubIOp::create(builder, loc, first, firstStored(positions(walked)));
  position = first;
  chunkStart = constant(0);
  chunkRows = rows;
  for (auto &buffer : layout.buffers()) {
    if (inPlace.contains(&buffer))
      placeRows(buffer, advance(builder, loc, scratch, buffer.offset));
    if (buffer.space != Space::Sequence)
      continue;
    Value bytes = constant(buffer.rowStride * bytesOf(buffer));
    Value pointer =
        advance(builder, loc, storedRows(buffer), arith::MulIOp::create(builder, loc, row, bytes));
    memrefs[&buffer] = flatMemref(builder, loc, pointer, elementType(buffer.kind));
  }
}

IndexValue Kernel::rowStride(const BufferLayout &buffer) const {
  auto found = inPlace.find(&buffer);
  return found == inPlace.end() ? IndexValue::constant(buffer.rowStride)
                                : IndexValue::of(found->second.stride);
}

void Kernel::unlessInPlace(const BufferLayout &buffer, llvm::function_ref<void()> body) {
  auto found = inPlace.find(&buffer);
  if (found == inPlace.end())
    return body();
  emitIf(*this, found->second.usable, [] {}, body);
}
