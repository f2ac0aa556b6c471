//===- EarlierRows.cpp - what is made anew of earlier positions -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The carry of a mixer with an expanded form holds rows that keys and values are made from. Run
// behind earlier positions, that form makes theirs anew: the storage of the sequence has room for
// them in front of the call's, and the sweeps find all positions side by side.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/EarlierRows.h"

#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"
#include "compiler/tiles/SweepPlan.h"
#include "compiler/tiles/Tiles.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
class Finder {
public:
  Finder(const Layout &layout, MixerOp mixer, KernelOp kernel)
      : layout(layout), mixer(mixer), kernel(kernel) {}

  std::optional<EarlierRows> find() {
    kernel.walk([&](SweepOp sweep) { addColumns(sweep); });
    for (auto define : mixer.getOps<DefineOp>())
      checkReads(define, /*isPairs=*/false);
    for (size_t next = 0; next < wanted.size(); ++next)
      addReads(wanted[next]);
    if (!isPossible || wanted.empty())
      return std::nullopt;
    EarlierRows rows;
    rows.sources = sources.takeVector();
    kernel.walk([&](EvalOp eval) {
      auto name = eval.getOfAttr().getAttr();
      if (wanted.remove(name))
        rows.steps.push_back(eval);
    });
    for (StringAttr name : rows.sources) {
      int64_t ring = ringOf(name).value_or(-1);
      rows.ring = ring < 0 || rows.ring < 0 ? -1 : std::max(rows.ring, ring);
    }
    bool areAllMade = wanted.empty() && !rows.sources.empty();
    return areAllMade ? std::optional(std::move(rows)) : std::nullopt;
  }

private:
  const Layout &layout;
  MixerOp mixer;
  KernelOp kernel;
  llvm::SetVector<StringAttr> wanted, sources;
  bool isPossible = true;

  Operation *symbol(StringAttr name) { return layout.symbol(name).op; }

  /// Rows of its component of the carry, -1 for all; nothing when it has none.
  std::optional<int64_t> ringOf(StringAttr name) {
    for (const CarryComponent &component : layout.carryComponents())
      if (component.of.getAttr() == name && component.kind == CarryComponent::Rows)
        return component.shape[0];
    return std::nullopt;
  }

  void addColumns(SweepOp sweep) {
    SweepPlan plan = planSweep(layout, mixer, sweep);
    for (const SweepOperand &operand : plan.columns)
      if (isa<DefineOp>(symbol(operand.name)) && !ringOf(operand.name))
        wanted.insert(operand.name);
    checkReads(plan.op, /*isPairs=*/true);
  }

  /// What is made of earlier positions is read by sweeps, at their columns.
  void checkReads(Operation *op, bool isPairs) {
    op->walk([&](ReadOp read) {
      auto name = read.getSourceAttr().getAttr();
      const SymbolInfo &info = layout.symbol(name);
      if (!isa<DefineOp>(info.op) || info.position != layout.tokenDim || ringOf(name))
        return;
      auto position = dyn_cast<AffineDimExpr>(read.getMap().getResult(0));
      Value at = position ? read.getOperands()[position.getPosition()] : Value();
      auto argument = dyn_cast_or_null<BlockArgument>(at);
      isPossible &= argument && argument.getOwner()->getParentOp() == op &&
                    (isPairs || argument.getArgNumber() == 0);
    });
  }

  /// A definition is made of the rows of its own position, params, and what no token changes.
  void addReads(StringAttr name) {
    auto define = cast<DefineOp>(symbol(name));
    auto *buffer = layout.readable(name);
    isPossible &= buffer && buffer->halo == 0 && buffer->ahead == 0;
    define->walk([&](ReadOp read) {
      auto source = read.getSourceAttr().getAttr();
      const SymbolInfo &info = layout.symbol(source);
      if (!info.perToken)
        return;
      bool isOwn = info.position == layout.tokenDim &&
                   tokenSpan(mixer, read) == std::pair<int64_t, int64_t>(0, 0);
      bool isCarried = ringOf(source).has_value();
      isPossible &= isOwn && layout.readable(source) && (isCarried || isa<DefineOp>(info.op));
      (isCarried ? sources : wanted).insert(source);
    });
  }
};

/// Gives the buffers of a kernel the rows of some earlier positions, and back.
class EarlierChunk {
public:
  EarlierChunk(Kernel &kernel, Value first, Value rows)
      : kernel(kernel), before(kernel.leaveRows()) {
    kernel.enterEarlier(first, rows);
  }
  ~EarlierChunk() { kernel.enterRows(std::move(before)); }

private:
  Kernel &kernel;
  Kernel::RowPlaces before;
};

/// Rows of a source, from its component of the carry.
void emitSource(Kernel &kernel, StringAttr name, Value first, Value count) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  IndexMath math = kernel.index();
  unsigned component = *rowsOf(kernel, name);
  const CarryComponent &carried = kernel.layout.carryComponents()[component];
  const BufferLayout &buffer = *kernel.layout.readable(name);
  int64_t ring = carried.shape[0];
  Value slot = first;
  if (ring > 0)
    slot = arith::RemUIOp::create(builder, loc, first, kernel.constant(ring));
  Value row = carriedRow(kernel, component, /*write=*/false, slot);
  if (buffer.inPlace && (!carried.storage || carried.storage == kernel.real)) {
    Value bytes = arith::MulIOp::create(builder, loc, row,
                                        kernel.constant(kernel.real.getIntOrFloatBitWidth() / 8));
    kernel.placeRows(
        buffer, advance(builder, loc, carryPointer(kernel, component, /*write=*/false), bytes));
    return;
  }
  Strided from = carriedRows(kernel, component, /*write=*/false);
  from.base = math.add(from.base, IndexValue::of(row));
  Strided to = bufferElements(kernel, buffer);
  to.base = IndexValue::constant(buffer.halo * buffer.rowStride);
  emitCopy(kernel, from, to, bufferSizes(kernel, buffer, IndexValue::of(count)),
           contiguousDim(buffer));
}

/// How many of the `count` positions from `first` on stand behind each other in the carry.
Value contiguousRows(Kernel &kernel, Value first, Value count) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  for (StringAttr name : kernel.layout.earlier->sources) {
    int64_t ring = kernel.layout.carryComponents()[*rowsOf(kernel, name)].shape[0];
    Value slot = first;
    if (ring > 0) {
      slot = arith::RemUIOp::create(builder, loc, first, kernel.constant(ring));
      Value left = arith::SubIOp::create(builder, loc, kernel.constant(ring), slot);
      count = arith::MinSIOp::create(builder, loc, count, left);
    }
    count = arith::MinSIOp::create(builder, loc, count, rowsInPage(kernel, slot));
  }
  return count;
}

/// The earlier positions that the task needs.
Bounds neededPositions(Kernel &kernel) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  Bounds needed;
  kernel.op.walk([&](SweepOp sweep) {
    PairsOp pairs = findPairs(kernel.mixer, sweep.getOfAttr().getAttr());
    Value extent = kernel.positions(pairs.getOverAttr().getAttr()).length;
    Bounds own = positionsOfCall(kernel, pairs, extent);
    if (kernel.isPart) {
      Bounds part = partOf(kernel, own, sweep.getTile());
      own = {arith::SelectOp::create(builder, loc, kernel.isPart, part.low, own.low),
             arith::SelectOp::create(builder, loc, kernel.isPart, part.high, own.high)};
    }
    if (needed.isKnown())
      own = {arith::MinSIOp::create(builder, loc, own.low, needed.low),
             arith::MaxSIOp::create(builder, loc, own.high, needed.high)};
    needed = own;
  });
  Value oldest = arith::SubIOp::create(builder, loc, kernel.position, kernel.earlier);
  return {arith::MaxSIOp::create(builder, loc, needed.low, oldest),
          arith::MinSIOp::create(builder, loc, needed.high, kernel.position)};
}
} // namespace

std::optional<EarlierRows> seqmix::findEarlierRows(const Layout &layout, MixerOp mixer,
                                                   KernelOp kernel) {
  // Reductions that can be cut into parts are those of one pass, of each token, from the inputs.
  if (!mixer.getFormOf() || layout.partialBytes == 0)
    return std::nullopt;
  return Finder(layout, mixer, kernel).find();
}

bool seqmix::makesEarlierRows(MixerOp mixer, const TargetInfo &target) {
  auto kernels = mixer.getBody().getOps<KernelOp>();
  if (kernels.empty())
    return false;
  auto layout = Layout::compute(mixer, *kernels.begin(), target);
  return succeeded(layout) && layout->earlier;
}

Bounds seqmix::positionsOfCall(Kernel &kernel, PairsOp pairs, Value extent) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  PairBox box;
  Value end = arith::AddIOp::create(builder, loc, kernel.position, kernel.tokens);
  box.rows.push_back(
      {kernel.position, arith::SubIOp::create(builder, loc, end, kernel.constant(1))});
  Bounds whole;
  for (Bounds interval : domainIntervals(kernel, pairs, box, extent)) {
    interval = {arith::MaxSIOp::create(builder, loc, interval.low, kernel.constant(0)),
                arith::MinSIOp::create(builder, loc, interval.high, extent)};
    if (whole.isKnown())
      interval = {arith::MinSIOp::create(builder, loc, interval.low, whole.low),
                  arith::MaxSIOp::create(builder, loc, interval.high, whole.high)};
    whole = interval;
  }
  return whole.isKnown() ? whole : Bounds{kernel.constant(0), kernel.constant(0)};
}

Bounds seqmix::partOf(Kernel &kernel, const Bounds &interval, int64_t tile) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  auto positive = [&](Value value, int64_t least) -> Value {
    return arith::MaxSIOp::create(builder, loc, value, kernel.constant(least));
  };
  // Uncut, the one part is everything.
  Value parts = positive(kernel.parts, 1);
  Value length = positive(arith::SubIOp::create(builder, loc, interval.high, interval.low), 0);
  Value tiles = arith::CeilDivSIOp::create(builder, loc, length, kernel.constant(tile));
  tiles = arith::CeilDivSIOp::create(builder, loc, tiles, parts);
  length = arith::MulIOp::create(builder, loc, tiles, kernel.constant(tile));
  Value before = arith::MulIOp::create(builder, loc, length, kernel.part);
  Value begin = arith::AddIOp::create(builder, loc, interval.low, before);
  return {begin, arith::AddIOp::create(builder, loc, begin, length)};
}

LogicalResult seqmix::emitEarlierRows(Kernel &kernel) {
  if (!kernel.earlier)
    return success();
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  LogicalResult result = success();
  auto emit = [&] {
    Bounds needed = neededPositions(kernel);
    auto index = builder.getIndexType();
    auto loop = scf::WhileOp::create(builder, loc, TypeRange{index}, ValueRange{needed.low});
    OpBuilder::InsertionGuard guard(builder);
    Block *before = builder.createBlock(&loop.getBefore(), {}, TypeRange{index}, {loc});
    Value first = before->getArgument(0);
    Value isLeft =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, first, needed.high);
    scf::ConditionOp::create(builder, loc, isLeft, ValueRange{first});
    Block *after = builder.createBlock(&loop.getAfter(), {}, TypeRange{index}, {loc});
    first = after->getArgument(0);
    Value count = arith::SubIOp::create(builder, loc, needed.high, first);
    count = arith::MinSIOp::create(builder, loc, count, kernel.constant(kernel.layout.chunk));
    count = contiguousRows(kernel, first, count);
    {
      EarlierChunk chunk(kernel, first, count);
      for (StringAttr name : kernel.layout.earlier->sources)
        emitSource(kernel, name, first, count);
      for (EvalOp step : kernel.layout.earlier->steps)
        result = success(succeeded(result) && succeeded(emitEvals(kernel, {step})));
    }
    kernel.loc = loc;
    builder.setInsertionPointToEnd(after);
    scf::YieldOp::create(builder, loc,
                         ValueRange{arith::AddIOp::create(builder, loc, first, count)});
  };
  // Not where parts are merged, or where a task only makes its rows.
  Value isNeeded = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, kernel.earlier,
                                         kernel.constant(0));
  auto unless = [&](Value condition) {
    Value truth = arith::ConstantIntOp::create(builder, loc, 1, 1);
    Value otherwise = arith::XOrIOp::create(builder, loc, condition, truth);
    isNeeded = arith::AndIOp::create(builder, loc, isNeeded, otherwise);
  };
  if (kernel.isMerge)
    unless(kernel.isMerge);
  if (kernel.makesRows)
    unless(kernel.makesRows);
  emitIf(kernel, isNeeded, emit);
  return result;
}
