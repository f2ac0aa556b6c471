//===- AffineBlockStep.cpp - one token on a state [cols, rows] ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// Where the rows are contiguous, vectors run along them: a read of a column is a sum over lanes.
// The sums of `lanes` columns become one vector, so that U and w are along the columns as
// everywhere else.
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockEmitter.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;

namespace seqmix {
namespace {

/// Columns that share the loads of a row's factors; 4 take nearly twice the time, 16 gain nothing.
constexpr int64_t columnsAtOnce = 8;

class StepGenerator : public AffineGenerator {
public:
  StepGenerator(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                const AffineBlockBuffers &buffers, Value from, Value to)
      : AffineGenerator(builder, loc, spec, buffers), from(from), to(to), row(index(0)) {}

  void emit() {
    const int64_t whole = spec.cols / spec.lanes * spec.lanes;
    if (whole > 0)
      loop(index(0), index(whole), spec.lanes, {}, [&](Value column, ValueRange) {
        columns(column, spec.lanes);
        return Values();
      });
    if (whole != spec.cols)
      columns(index(whole), spec.cols - whole);
  }

private:
  /// What the update does to one column, broadcast.
  struct ColumnUpdate {
    Values w;
    Value decay;
  };

  Value lane(Value vector, int64_t l) const {
    return broadcast(vector::ExtractOp::create(builder, loc, vector, ArrayRef<int64_t>{l}));
  }

  /// `count` columns from `column` on.
  void columns(Value column, int64_t count) {
    const SmallVector<int64_t> before = readsThatAre(true), after = readsThatAre(false);
    Values u(spec.reads.size());
    if (!before.empty())
      read(column, count, before, {}, u);

    Values updates(spec.updates.size());
    for (size_t m = 0; m < updates.size(); ++m)
      updates[m] = rightFactor(m, row, column, u);
    Value decays = spec.colDecay ? loadRow(buffers.colDecay, row, column) : Value();
    SmallVector<ColumnUpdate> update(count);
    for (int64_t k = 0; k < count; ++k) {
      for (Value all : updates)
        update[k].w.push_back(lane(all, k));
      if (decays)
        update[k].decay = lane(decays, k);
    }
    read(column, count, after, update, u);
    for (auto [x, read] : llvm::enumerate(spec.reads))
      if (read.result)
        store(u[x], buffers.reads[x].result, {row, column});
  }

  /// Updates the columns, if there is an update, and sets u of `reads` to what they see then.
  void read(Value column, int64_t count, ArrayRef<int64_t> reads, ArrayRef<ColumnUpdate> update,
            Values &u) {
    SmallVector<Values> sums(
        reads.size()); // by read: one vector a column, not yet summed over lanes
    for (int64_t first = 0; first < count; first += columnsAtOnce) {
      const int64_t some = std::min(columnsAtOnce, count - first);
      Values carried(reads.size() * some, splat(0));
      const int64_t whole = spec.rows / spec.lanes;
      auto piece = [&](Value start, int64_t valid, ValueRange before) {
        return rowsPiece(add(column, first), some, start, valid, reads,
                         update.empty() ? update : update.slice(first, some), before);
      };
      if (whole > 0)
        carried =
            loop(index(0), index(whole * spec.lanes), spec.lanes, carried,
                 [&](Value start, ValueRange before) { return piece(start, spec.lanes, before); });
      if (spec.rows % spec.lanes != 0)
        carried = piece(index(whole * spec.lanes), spec.rows % spec.lanes, carried);
      for (size_t x = 0; x < reads.size(); ++x)
        sums[x].append(carried.begin() + x * some, carried.begin() + (x + 1) * some);
    }
    for (auto [k, x] : llvm::enumerate(reads))
      u[x] = sumLanes(sums[k]).front();
  }

  /// A vector of rows from `start` on in `some` columns; `sums` by read and column.
  Values rowsPiece(Value column, int64_t some, Value start, int64_t valid, ArrayRef<int64_t> reads,
                   ArrayRef<ColumnUpdate> update, ValueRange carried) {
    Values sums(carried);
    Value exists;
    if (valid != spec.lanes)
      exists = mask([&](int64_t l) { return l < valid; });
    // The padding of a buffer may hold anything, NaN included.
    auto existing = [&](Value vector) {
      return exists ? select(exists, vector, splat(0)) : vector;
    };
    Values rows, lefts;
    for (int64_t x : reads)
      rows.push_back(existing(loadRow(buffers.reads[x].rows[0], row, start)));
    Value decay;
    if (!update.empty()) {
      for (const AffineUpdateBuffers &one : buffers.updates)
        lefts.push_back(existing(loadRow(one.lefts[0], row, start)));
      if (spec.rowDecay != RowDecay::None)
        decay = existing(loadRow(buffers.rowDecay, row, start));
    }
    for (int64_t k = 0; k < some; ++k) {
      Value state = load(from, {add(column, k), start}, valid);
      if (!update.empty()) {
        if (decay)
          state = product(state, decay);
        if (update[k].decay)
          state = product(state, update[k].decay);
        for (auto [left, w] : llvm::zip_equal(lefts, update[k].w))
          state = fma(left, w, state);
        store(state, to, {add(column, k), start}, valid);
        state = existing(state); // of nothing times an infinite w
      }
      for (size_t x = 0; x < reads.size(); ++x)
        sums[x * some + k] = fma(rows[x], state, sums[x * some + k]);
    }
    return sums;
  }

  Value from, to, row;
};

} // namespace

void emitStepAlongRows(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                       const AffineBlockBuffers &buffers, Value from, Value to) {
  StepGenerator(builder, loc, spec, buffers, from, to).emit();
}

} // namespace seqmix
