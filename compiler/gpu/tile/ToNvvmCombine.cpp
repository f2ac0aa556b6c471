//===- ToNvvmCombine.cpp - reductions and scans ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/ToNvvm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {
namespace {

/// One element of each input.
using Element = SmallVector<Value, 2>;

Element combine(OpBuilder &builder, Region &region, const Element &first, const Element &second) {
  IRMapping mapping;
  Block &body = region.front();
  for (auto [argument, value] :
       llvm::zip_equal(body.getArguments(), llvm::concat<const Value>(first, second)))
    mapping.map(argument, value);
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  Element result;
  for (Value value : body.getTerminator()->getOperands())
    result.push_back(mapping.lookupOrDefault(value));
  return result;
}

/// The elements of a register each, and back.
SmallVector<Element> elements(ArrayRef<ValueRange> inputs) {
  SmallVector<Element> result(inputs[0].size());
  for (ValueRange input : inputs)
    for (auto [element, value] : llvm::zip_equal(result, input))
      element.push_back(value);
  return result;
}

SmallVector<SmallVector<Value>> columns(ArrayRef<Element> elements) {
  SmallVector<SmallVector<Value>> result(elements[0].size());
  for (const Element &element : elements)
    for (auto [column, value] : llvm::zip_equal(result, element))
      column.push_back(value);
  return result;
}

Element shuffleAll(const Element &element, function_ref<Value(Value)> shuffle) {
  return llvm::map_to_vector<2>(element, shuffle);
}

/// Where the bits of a dim's coordinate are, lowest first: a mask of (register, lane, warp).
SmallVector<uint32_t> placesOf(const Layout &layout, unsigned dim) {
  SmallVector<uint32_t> places;
  for (unsigned bit = 0; bit < layout.bitsOf(dim); ++bit)
    places.push_back(*layout.map().solve(1U << (layout.firstBit(dim) + bit)));
  return places;
}

struct ReduceLowering : OpConversionPattern<ReduceOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(ReduceOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout from = *layoutOf(op.getInputs()[0].getType());
    // A vector leaves a scalar.
    const std::optional<Layout> to = layoutOf(op.getOutputs()[0].getType());
    const unsigned dim = op.getDim();
    SmallVector<Element> all = elements(adaptor.getInputs());
    SmallVector<Element> results;
    Emitter emit(rewriter, op.getLoc());
    for (unsigned reg = 0; reg < (to ? to->registers() : 1); ++reg) {
      // The registers of one result in the order of the dim, combined in pairs.
      Coordinates place = to ? to->coordinates(to->elementOf(reg)) : Coordinates();
      place.insert(place.begin() + dim, 0);
      SmallVector<Element> level;
      for (; place[dim] < from.shape()[dim]; ++place[dim])
        if (std::optional<unsigned> source = from.registerAt(from.element(place)))
          level.push_back(all[*source]);
      for (; level.size() > 1; level.truncate(level.size() / 2))
        for (size_t i = 0; i < level.size() / 2; ++i)
          level[i] = combine(rewriter, op.getBody(), level[2 * i], level[2 * i + 1]);
      Element sum = level[0];
      for (uint32_t bit : placesOf(from, dim))
        if (const uint32_t lane = bit >> from.registerBits())
          sum = combine(rewriter, op.getBody(), sum,
                        shuffleAll(sum, [&](Value value) { return emit.shuffleXor(value, lane); }));
      results.push_back(sum);
    }
    rewriter.replaceOpWithMultiple(op, columns(results));
    return success();
  }
};

/// Each step joins blocks of elements to blocks of twice the size: the last element of the lower
/// one is combined with all of the upper one. While coordinates are in registers only, one by one
/// instead.
class Scan {
public:
  Scan(Emitter &emit, ScanOp op, ArrayRef<ValueRange> inputs)
      : emit(emit), op(op), layout(*layoutOf(op.getInputs()[0].getType())),
        values(elements(inputs)), places(placesOf(layout, op.getDim())) {}

  SmallVector<SmallVector<Value>> run() {
    unsigned done = 0;
    uint32_t inner = 0;
    while (done < places.size() && places[done] <= layout.registerMask())
      inner |= places[done++];
    scanRegisters(done, inner);
    uint32_t lower = inner;
    for (; done < places.size(); ++done) {
      join(places[done], lower);
      lower |= places[done];
    }
    return columns(values);
  }

private:
  Element combine(const Element &first, const Element &second) {
    return gpu::combine(emit.builder, op.getBody(), first, second);
  }

  void scanRegisters(unsigned bits, uint32_t inner) {
    for (unsigned reg = 0; reg < layout.registers(); ++reg) {
      if (reg & inner)
        continue;
      auto at = [&](unsigned place) -> Element & {
        const unsigned coordinate = op.getReverse() ? (1U << bits) - 1 - place : place;
        unsigned result = reg;
        for (unsigned bit = 0; bit < bits; ++bit)
          if (coordinate >> bit & 1)
            result |= places[bit];
        return values[result];
      };
      for (unsigned place = 1; place < 1U << bits; ++place)
        at(place) = combine(at(place - 1), at(place));
    }
  }

  void join(uint32_t bit, uint32_t lower) {
    const bool reverse = op.getReverse();
    const uint32_t inLanes = layout.laneMask(), registers = layout.registerMask();
    const uint32_t lanes = (lower & inLanes) >> layout.registerBits();
    const uint32_t ownLane = (bit & inLanes) >> layout.registerBits();
    const bool crosses = lanes || ownLane;
    Value lane;
    if (crosses) {
      // The last element of the lower block: all bits below set, its own clear; reversed, the other
      // way round.
      const uint32_t set = reverse ? ownLane : lanes, clear = reverse ? lanes : ownLane;
      lane = arith::OrIOp::create(emit.builder, emit.loc, emit.laneId(), emit.i32(set));
      lane = arith::AndIOp::create(emit.builder, emit.loc, lane, emit.i32(31 & ~clear));
    }
    llvm::DenseMap<uint32_t, Element> lasts;
    auto lastBelow = [&](uint32_t reg) {
      const uint32_t mask = lower & registers, own = bit & registers;
      uint32_t source = reverse ? (reg & ~mask) | own : (reg | mask) & ~own;
      auto [entry, isNew] = lasts.try_emplace(source);
      if (isNew)
        entry->second = crosses ? shuffleAll(values[source],
                                             [&](Value value) { return emit.shuffle(value, lane); })
                                : values[source];
      return entry->second;
    };
    SmallVector<Element> next = values;
    Value isUpper = ownLane ? emit.hasBits(emit.laneId(), ownLane, !reverse) : Value();
    for (uint32_t reg = 0; reg < layout.registers(); ++reg) {
      if (!ownLane && bool(reg & bit) == reverse)
        continue;
      next[reg] = combine(lastBelow(reg), values[reg]);
      if (isUpper)
        for (auto [value, old] : llvm::zip_equal(next[reg], values[reg]))
          value = arith::SelectOp::create(emit.builder, emit.loc, isUpper, value, old);
    }
    values = std::move(next);
  }

  Emitter &emit;
  ScanOp op;
  const Layout layout;
  SmallVector<Element> values;
  SmallVector<uint32_t> places;
};

struct ScanLowering : OpConversionPattern<ScanOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(ScanOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Emitter emit(rewriter, op.getLoc());
    rewriter.replaceOpWithMultiple(op, Scan(emit, op, adaptor.getInputs()).run());
    return success();
  }
};

} // namespace

void populateCombinePatterns(TypeConverter &types, RewritePatternSet &patterns) {
  patterns.add<ReduceLowering, ScanLowering>(types, patterns.getContext());
}

} // namespace seqmix::gpu
