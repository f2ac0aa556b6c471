//===- AffineBlockTokens.cpp - the affine recurrence token by token -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// For single tokens: decoding, and the rest of a chunk that is no whole block. Two sweeps over a
// panel, or one when no read is before the update:
//
//   U_x = sum_r row_x[r] S[r]                              reads before
//   S[r] = a[r] c S[r] + sum_m left_m[r] w_m ; U_x += row_x[r] S[r]    reads after
//
// A row of coupled states is one row of each.
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockEmitter.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;

namespace seqmix {
namespace {

/// Independent chains of multiply-adds that hide the latency of one (4 cycles, 2 a cycle).
constexpr int64_t chains = 8;
/// Rows that share sums across lanes.
constexpr int64_t rowsAcross = 4;
/// Vectors of a panel of a plain state: longer pieces of its rows are cheaper to stream.
constexpr int64_t plainPanel = 4;

class TokenGenerator : public AffineGenerator {
public:
  /// The components are read from `from` and written to `to`, which may be the same.
  TokenGenerator(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                 const AffineBlockBuffers &buffers, ValueRange from, ValueRange to)
      : AffineGenerator(builder, loc, spec, buffers), from(from), to(to) {}

  /// `count` tokens, the first at row `first`.
  void emit(Value first, Value count) {
    forEachPanel(vectorsOfPanel(), sumsColumns(spec), [&](const StatePanel &panel) {
      loop(index(0), count, 1, {}, [&](Value step, ValueRange) {
        Value row =
            spec.descending ? arith::SubIOp::create(builder, loc, first, step) : add(first, step);
        token(panel, row);
        return Values();
      });
    });
  }

  /// The token of row 0, on a state without padding.
  void emitExact() {
    emitClearColumnSums(*this, index(1));
    forEachPanel(vectorsOfPanel(), true, [&](const StatePanel &panel) { token(panel, index(0)); });
  }

private:
  int64_t vectorsOfPanel() const {
    const int64_t all = llvm::divideCeil(spec.cols, spec.lanes);
    return isPlainState(from[0]) ? std::min(plainPanel, all) : spec.panel;
  }

  /// Neighbouring rows with accumulators of their own.
  int64_t waysOf(int64_t accumulators) const {
    const int64_t ways = accumulators == 0 ? 2 : llvm::divideCeil(chains, accumulators);
    return std::max<int64_t>(1, std::min(ways, spec.rows));
  }

  /// Runs `sweepRow` over the rows with one set of accumulators for every of `ways` neighbouring
  /// rows and adds the sets up. Result: vectors of the panel inside, reads outside.
  Values sweep(int64_t accumulators, int64_t ways,
               llvm::function_ref<void(Value, int64_t, MutableArrayRef<Value>)> sweepRow) {
    Values zeros(accumulators * ways, splat(0));
    Values sums =
        unrolledLoop(spec.rows, ways, zeros, [&](Value r, int64_t way, ValueRange carried) {
          Values values(carried);
          sweepRow(r, way, MutableArrayRef(values).slice(way * accumulators, accumulators));
          return values;
        });
    for (int64_t way = 1; way < ways; ++way)
      for (int64_t k = 0; k < accumulators; ++k)
        sums[k] = sum(sums[k], sums[way * accumulators + k]);
    sums.resize(accumulators);
    return sums;
  }

  void storeResults(const StatePanel &panel, Value row, ArrayRef<int64_t> reads,
                    ArrayRef<Value> values) {
    for (auto [k, x] : llvm::enumerate(reads))
      for (int64_t j = 0; j < panel.vectors; ++j)
        if (spec.reads[x].result)
          store(values[k * panel.vectors + j], buffers.reads[x].result, {row, columnOf(panel, j)});
  }

  void token(const StatePanel &panel, Value row) {
    const int64_t vectors = panel.vectors;
    const SmallVector<int64_t> before = readsThatAre(true), after = readsThatAre(false);
    const int64_t components = spec.components;
    auto accumulate = [&](ArrayRef<int64_t> reads, Value r, ArrayRef<Values> state,
                          MutableArrayRef<Value> sums) {
      for (auto [k, x] : llvm::enumerate(reads))
        for (int64_t a = 0; a < components; ++a) {
          if (!spec.reads[x].of[a])
            continue;
          Value factor = broadcastRow(buffers.reads[x].rows[a], row, r);
          for (int64_t j = 0; j < vectors; ++j)
            sums[k * vectors + j] = fma(factor, state[a][j], sums[k * vectors + j]);
        }
    };
    // By component, vector.
    auto stateRow = [&](Value r) {
      SmallVector<Values> state(components);
      for (int64_t a = 0; a < components; ++a)
        for (int64_t j = 0; j < vectors; ++j)
          state[a].push_back(loadState(from[a], panel, r, j));
      return state;
    };

    Values early;
    if (!before.empty()) {
      const int64_t count = before.size() * vectors;
      early = sweep(count, waysOf(count), [&](Value r, int64_t, MutableArrayRef<Value> sums) {
        accumulate(before, r, stateRow(r), sums);
      });
      storeResults(panel, row, before, early);
    }

    // Everything of this token that is constant over the rows of the state.
    SmallVector<Values> w(spec.updates.size());
    Values columnDecay;
    for (int64_t j = 0; j < vectors; ++j) {
      Values reads(spec.reads.size());
      for (auto [k, x] : llvm::enumerate(before))
        reads[x] = early[k * vectors + j];
      for (size_t m = 0; m < w.size(); ++m)
        w[m].push_back(rightFactor(m, row, columnOf(panel, j), reads));
      if (spec.colDecay)
        columnDecay.push_back(loadRow(buffers.colDecay, row, columnOf(panel, j)));
    }
    Value decay;
    if (spec.rowDecay == RowDecay::Scalar)
      decay = broadcastRow(buffers.rowDecay, row, index(0));

    const int64_t reads = after.size() * vectors, sums = reads + elementSums(spec) * vectors;
    const int64_t ways = sumsColumns(spec) ? std::min(rowsAcross, spec.rows) : waysOf(sums);
    ElementReads elements(*this, panel, /*tokens=*/1, ways);
    Values late = sweep(sums, ways, [&](Value r, int64_t way, MutableArrayRef<Value> all) {
      SmallVector<Values> state = stateRow(r);
      elements.beginRow(r, way, row);
      elements.read(0, /*before=*/true, state, all.drop_front(reads));
      if (spec.rowDecay == RowDecay::PerRow)
        decay = broadcastRow(buffers.rowDecay, row, r);
      decayRow(row, r, decay, columnDecay, state);
      updateRow(row, r, [&](int64_t m, int64_t j) { return w[m][j]; }, state);
      for (int64_t a = 0; a < components; ++a)
        for (int64_t j = 0; j < vectors; ++j)
          storeState(state[a][j], to[a], panel, r, j);
      accumulate(after, r, state, all.take_front(reads));
      elements.read(0, /*before=*/false, state, all.drop_front(reads));
      if (way + 1 == ways || getConstantIntValue(r) == spec.rows - 1)
        elements.endGroup(row);
    });
    elements.storeSums(row, ArrayRef(late).drop_front(reads));
    storeResults(panel, row, after, late);
  }

  Values from, to; // by component
};

} // namespace

void emitTokens(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                const AffineBlockBuffers &buffers, Value row, Value count) {
  TokenGenerator(builder, loc, spec, buffers, buffers.states, buffers.states).emit(row, count);
}

void emitAffineStep(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                    const AffineBlockBuffers &buffers, ValueRange from, ValueRange to,
                    bool colsFirst) {
  assert((!colsFirst || spec.components == 1) && "coupled states have their rows first");
  if (colsFirst)
    return emitStepAlongRows(builder, loc, spec, buffers, from[0], to[0]);
  TokenGenerator(builder, loc, spec, buffers, from, to).emitExact();
}

} // namespace seqmix
