//===- PairIntervals.cpp - which positions rows of pairs visit ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/PairIntervals.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {

/// Eliminates everything but s from a set, for one box of rows.
class Interval {
public:
  Interval(OpBuilder &builder, Location loc, const PairDomain &domain, Value extent,
           ArrayRef<Bounds> rows, llvm::function_ref<Bounds(StringAttr)> rowReads,
           ArrayRef<Value> symbols)
      : builder(builder), loc(loc), rows(rows.size()) {
    values.push_back(extent);
    for (const Bounds &row : rows)
      values.append({row.low, row.high});
    for (StringAttr name : domain.rowReads) {
      Bounds bounds = rowReads(name);
      isReadKnown.push_back(bounds.isKnown());
      if (bounds.isKnown())
        values.append({bounds.low, bounds.high});
    }
    added = values.size();
    llvm::append_range(values, symbols);
  }

  Bounds of(const presburger::IntegerPolyhedron &set) {
    poly.emplace(set);
    unsigned firstRead = 1 + rows;
    firstSymbol = firstRead + isReadKnown.size();
    // The bounds of the box stand in front of the set's own symbols.
    poly->insertVar(presburger::VarKind::Symbol, 0, added);
    unsigned next = 0;
    between(0, std::nullopt, next++); // 0 <= s < extent
    auto within = [&](unsigned dim) {
      between(dim, next, next + 1);
      next += 2;
    };
    for (unsigned row = 0; row < rows; ++row)
      within(1 + row);
    for (auto [number, isKnown] : llvm::enumerate(isReadKnown))
      if (isKnown)
        within(firstRead + number);
    unsigned locals = poly->getNumLocalVars();
    poly->projectOut(poly->getNumVars() - locals, locals);
    poly->projectOut(1, firstSymbol - 1);
    poly->removeTrivialRedundancy();
    return boundsOfS();
  }

private:
  OpBuilder &builder;
  Location loc;
  unsigned rows;
  SmallVector<bool> isReadKnown;
  SmallVector<Value> values; // of the symbols
  unsigned added = 0, firstSymbol = 0;
  std::optional<presburger::IntegerPolyhedron> poly;

  Value constant(int64_t value) {
    return arith::ConstantOp::create(builder, loc,
                                     builder.getIntegerAttr(values[0].getType(), value));
  }

  /// symbol `low` (or 0) <= dim <= symbol `high` (for s: below it).
  void between(unsigned dim, std::optional<unsigned> low, unsigned high) {
    SmallVector<int64_t> above(poly->getNumCols(), 0), below(poly->getNumCols(), 0);
    above[dim] = 1;
    if (low)
      above[firstSymbol + *low] = -1;
    below[dim] = -1;
    below[firstSymbol + high] = 1;
    if (!low)
      below.back() = -1;
    poly->addInequality(above);
    poly->addInequality(below);
  }

  /// What the inequalities that are left say of s.
  Bounds boundsOfS() {
    Bounds result;
    auto add = [&](auto coefficientOf) {
      int64_t own = coefficientOf(0);
      if (own == 0)
        return;
      // own * s + rest >= 0
      Value rest = constant(coefficientOf(1 + values.size()));
      for (auto [number, value] : llvm::enumerate(values)) {
        int64_t factor = coefficientOf(1 + number);
        if (factor == 0)
          continue;
        Value term = builder.createOrFold<arith::MulIOp>(loc, value, constant(factor));
        rest = builder.createOrFold<arith::AddIOp>(loc, rest, term);
      }
      if (own > 0) {
        Value negated = builder.createOrFold<arith::SubIOp>(loc, constant(0), rest);
        Value bound =
            own == 1 ? negated : arith::CeilDivSIOp::create(builder, loc, negated, constant(own));
        result.low = result.low
                         ? arith::MaxSIOp::create(builder, loc, result.low, bound).getResult()
                         : bound;
        return;
      }
      Value bound =
          own == -1 ? rest : arith::FloorDivSIOp::create(builder, loc, rest, constant(-own));
      bound = builder.createOrFold<arith::AddIOp>(loc, bound, constant(1));
      result.high = result.high
                        ? arith::MinSIOp::create(builder, loc, result.high, bound).getResult()
                        : bound;
    };
    for (unsigned row = 0; row < poly->getNumInequalities(); ++row)
      add([&](unsigned column) { return poly->atIneq64(row, column); });
    for (unsigned row = 0; row < poly->getNumEqualities(); ++row)
      for (int64_t sign : {1, -1})
        add([&](unsigned column) { return sign * poly->atEq64(row, column); });
    assert(result.isKnown() && "0 <= s < extent bounds s");
    return result;
  }
};
} // namespace

SmallVector<Bounds> seqmix::pairIntervals(OpBuilder &builder, Location loc,
                                          const PairDomain &domain, Value extent,
                                          ArrayRef<Bounds> rows,
                                          llvm::function_ref<Bounds(StringAttr)> rowReads,
                                          ArrayRef<Value> symbols) {
  Interval interval(builder, loc, domain, extent, rows, rowReads, symbols);
  SmallVector<Bounds> intervals;
  for (const presburger::IntegerPolyhedron &set : domain.sets)
    intervals.push_back(interval.of(set));
  return intervals;
}
