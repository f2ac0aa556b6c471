//===- ToNvvmMove.cpp - elements that change places within a warp ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/ToNvvm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <map>

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {
namespace {

/// A register's value from another lane. Which lane, and which of its registers, are linear in this
/// lane's number; as a lane offers one register at a time, each that any lane needs is shuffled
/// once, and each lane picks its own.
class Shuffler {
public:
  Shuffler(Emitter &emit, const Layout &from, const Layout &to, const LinearMap &source,
           ValueRange values)
      : emit(emit), from(from), source(source), values(values) {
    SmallVector<uint32_t> lanes, registers;
    for (unsigned bit = to.registerBits(); bit < source.size(); ++bit) {
      const uint32_t place = source[bit];
      lanes.push_back(place >> from.registerBits() & 31);
      registers.push_back(place & from.registerMask());
    }
    lane = emit.apply(LinearMap(lanes), emit.threadId());
    registerMap = LinearMap(registers);
    choice = emit.apply(registerMap, emit.threadId());
  }

  Value get(unsigned reg) {
    const uint32_t place = source.apply(reg);
    const unsigned first = place & from.registerMask();
    Value there = emit.xorWith(lane, place >> from.registerBits() & 31);
    Value result;
    // The registers that threads choose among: the images of their numbers.
    std::map<uint32_t, bool> seen;
    for (uint32_t number = 0; number < from.threads(); ++number) {
      const uint32_t chosen = registerMap.apply(number);
      if (!seen.try_emplace(chosen, true).second)
        continue;
      Value value = emit.shuffle(values[first ^ chosen], there);
      if (!result) {
        result = value;
        continue;
      }
      Value isChosen = arith::CmpIOp::create(emit.builder, emit.loc, arith::CmpIPredicate::eq,
                                             choice, emit.i32(chosen));
      result = arith::SelectOp::create(emit.builder, emit.loc, isChosen, value, result);
    }
    return result;
  }

private:
  Emitter &emit;
  const Layout &from;
  const LinearMap &source;
  ValueRange values;
  LinearMap registerMap;
  Value lane, choice;
};

struct ConvertLowering : OpConversionPattern<ConvertOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(ConvertOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout from = *layoutOf(op.getValue().getType()), to = *layoutOf(op.getType());
    const Conversion how = conversion(from, to);
    ValueRange values = adaptor.getValue();
    Registers results;
    Emitter emit(rewriter, op.getLoc());
    switch (how.kind) {
    case ConversionKind::Free:
      results.assign(values.begin(), values.end());
      break;
    case ConversionKind::Registers:
      for (unsigned reg = 0; reg < to.registers(); ++reg)
        results.push_back(values[how.source.apply(reg)]);
      break;
    case ConversionKind::Shuffle: {
      Shuffler shuffler(emit, from, to, how.source, values);
      for (unsigned reg = 0; reg < to.registers(); ++reg)
        results.push_back(shuffler.get(reg));
      break;
    }
    case ConversionKind::Shared:
      return op.emitError("tile-expand-converts has not run");
    }
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

struct PickLowering : OpConversionPattern<PickOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(PickOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout from = *layoutOf(op.getValue().getType()), to = *layoutOf(op.getType());
    Emitter emit(rewriter, op.getLoc());
    // The lanes of the place, where lanes differ in the dim.
    uint32_t mask = 0, there = 0;
    Coordinates place(from.rank(), 0);
    place[op.getDim()] = op.getPlace();
    const uint32_t element = from.element(place);
    for (unsigned bit = 0; bit < Layout::laneBits; ++bit)
      if (const uint32_t own = from.threadBases()[bit] & from.dimMask(op.getDim())) {
        mask |= 1U << bit;
        there |= (own & element) ? 1U << bit : 0;
      }
    Value lane;
    if (mask) {
      lane = arith::AndIOp::create(rewriter, op.getLoc(), emit.laneId(), emit.i32(31 & ~mask));
      lane = arith::OrIOp::create(rewriter, op.getLoc(), lane, emit.i32(there));
    }
    uint32_t inRegisters = 0;
    for (uint32_t base : from.registerBases())
      inRegisters |= base;
    Registers results;
    for (unsigned reg = 0; reg < to.registers(); ++reg) {
      Coordinates rest = to.coordinates(to.elementOf(reg));
      rest.insert(rest.begin() + op.getDim(), op.getPlace());
      Value value = adaptor.getValue()[*from.registerAt(from.element(rest) & inRegisters)];
      results.push_back(lane ? emit.shuffle(value, lane) : value);
    }
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

struct BroadcastLowering : OpConversionPattern<BroadcastOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(BroadcastOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout from = *layoutOf(op.getValue().getType()), to = *layoutOf(op.getType());
    Registers results;
    for (unsigned reg = 0; reg < to.registers(); ++reg) {
      Coordinates place = to.coordinates(to.elementOf(reg));
      place.erase(place.begin() + op.getDim());
      results.push_back(adaptor.getValue()[*from.registerAt(from.element(place))]);
    }
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

struct TransposeLowering : OpConversionPattern<TransposeOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(TransposeOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithMultiple(op, {adaptor.getValue()});
    return success();
  }
};

struct IotaLowering : OpConversionPattern<IotaOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(IotaOp op, OneToNOpAdaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getType());
    Emitter emit(rewriter, op.getLoc());
    Value own = emit.threadCoordinate(layout, op.getDim());
    Registers results;
    for (unsigned reg = 0; reg < layout.registers(); ++reg)
      results.push_back(
          arith::AddIOp::create(rewriter, op.getLoc(), own,
                                emit.i32(layout.coordinates(layout.elementOf(reg))[op.getDim()])));
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

} // namespace

void populateMovePatterns(TypeConverter &types, RewritePatternSet &patterns) {
  patterns.add<ConvertLowering, PickLowering, BroadcastLowering, TransposeLowering, IotaLowering>(
      types, patterns.getContext());
}

} // namespace seqmix::gpu
