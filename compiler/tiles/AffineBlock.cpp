//===- AffineBlock.cpp - the affine recurrence, several tokens a sweep ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// First, for every block of the chunk, the products inside the block (AffineBlockLayout.h). Then,
// panel by panel:
//
//   sums = reads of block 0 from the state
//   for each block n
//     finish: from the sums, token by token, U (sums + products * w) and w (terms of rights and U)
//     sweep:  S = decays * S + sum left * w of block n ; sums = reads of block n + 1 from the new S
//
// so that the state is loaded and stored once a block. A scalar decay and a column decay scale the
// sums and w's, a decay per row scales the rows of reads and updates beforehand.
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockEmitter.h"
#include "compiler/tiles/AffineBlockLayout.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;

namespace seqmix {
namespace {

/// Rows of the state an iteration of a sweep, and of one with something beside it.
constexpr int64_t rowUnroll = 2, pieceRows = 4;

/// Where a block's data stand: its first row in the order of execution, and its scratch.
struct BlockPlace {
  Value number, row, scratch;
};

class BlockGenerator : public AffineGenerator {
public:
  BlockGenerator(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                 const AffineBlockBuffers &buffers, AffineBesides besides)
      : AffineGenerator(builder, loc, spec, buffers), layout(spec), reads(spec.reads.size()),
        updates(spec.updates.size()), besides(besides) {}

  /// `blocks` is at least 1.
  void emit(Value first, Value blocks) {
    firstRow = first;
    loop(index(0), blocks, 1, {}, [&](Value n, ValueRange) {
      products(placeOf(n));
      return Values();
    });
    Value last = arith::SubIOp::create(builder, loc, blocks, index(1));
    forEachPanel(spec.panel, false, [&](const StatePanel &panel) {
      Values sums(reads * spec.block * panel.vectors, splat(0));
      const BlockPlace start = placeOf(index(0));
      sums = sweep(panel, nullptr, &start, sums);
      sums = loop(index(0), last, 1, sums, [&](Value n, ValueRange carried) {
        const BlockPlace next = placeOf(add(n, 1));
        const Update update = finish(panel, placeOf(n), Values(carried));
        return sweep(panel, &update, &next, Values(reads * spec.block * panel.vectors, splat(0)));
      });
      const Update update = finish(panel, placeOf(last), sums);
      sweep(panel, &update, nullptr, {});
    });
  }

private:
  /// What a sweep applies to the state. A null w is loaded where it is used.
  struct Update {
    BlockPlace place;
    Values w; // by update, token, vector
    Values columnDecay;
    Value scalarDecay;
  };

  BlockPlace placeOf(Value n) const {
    Value tokens = mul(n, spec.block);
    Value row = spec.descending ? arith::SubIOp::create(builder, loc, firstRow, tokens)
                                : add(firstRow, tokens);
    return {n, row, add(mul(n, layout.blockSize()), layout.rightFactorSize())};
  }

  Value scratchVector(const BlockPlace &place, int64_t offset, Value element = {}) const {
    Value base = element ? add(place.scratch, element) : place.scratch;
    return load(buffers.scratch, add(base, offset));
  }
  Value scratchScalar(const BlockPlace &place, int64_t offset, Value element = {}) const {
    Value base = element ? add(place.scratch, element) : place.scratch;
    return broadcast(loadScalar(buffers.scratch, add(base, offset)));
  }
  void storeScratch(Value vector, const BlockPlace &place, int64_t offset, Value element) const {
    store(vector, buffers.scratch, add(add(place.scratch, element), offset));
  }
  int64_t sumOf(int64_t read, int64_t token, int64_t vector, int64_t vectors) const {
    return (read * spec.block + token) * vectors + vector;
  }
  int64_t rightOf(int64_t update, int64_t token, int64_t vector, int64_t vectors) const {
    return (update * spec.block + token) * vectors + vector;
  }

  void products(const BlockPlace &place);
  Values productsOfColumns(const BlockPlace &place, int64_t group, Value column, Value mask,
                           ValueRange sums);
  void scalarDecays(const BlockPlace &place);
  Value weightByScalarDecay(const BlockPlace &place, ArrayRef<BlockProduct> lanes, Value sums);
  Update finish(const StatePanel &panel, const BlockPlace &place, Values sums);
  void placeRightFactors(const StatePanel &panel, Update &update);
  bool isPlainRight(int64_t update) const;
  Value rightOperand(const StatePanel &panel, const Update &update, int64_t m, int64_t token,
                     int64_t vector) const;
  Values sweep(const StatePanel &panel, const Update *update, const BlockPlace *next,
               const Values &sums);

  AffineBlockLayout layout;
  int64_t reads, updates;
  AffineBesides besides;
  Value firstRow;
};

void BlockGenerator::products(const BlockPlace &place) {
  const int64_t lanes = spec.lanes, whole = spec.rows / lanes * lanes;
  for (size_t g = 0; g < layout.groups.size(); ++g) {
    ArrayRef<BlockProduct> group = layout.groups[g];
    Values sums(group.size(), splat(0));
    if (whole > 0)
      sums = loop(index(0), index(whole), lanes, sums, [&](Value column, ValueRange carried) {
        return productsOfColumns(place, g, column, {}, carried);
      });
    if (whole != spec.rows) {
      Value valid = mask([&](int64_t l) { return l < spec.rows - whole; });
      sums = productsOfColumns(place, g, index(whole), valid, sums);
    }
    if (group.empty())
      continue;
    for (auto [k, vector] : llvm::enumerate(sumLanes(sums))) {
      if (spec.rowDecay == RowDecay::Scalar)
        vector = weightByScalarDecay(place, group.drop_front(k * lanes), vector);
      store(vector, buffers.scratch,
            add(place.scratch, layout.groupProducts(g) + static_cast<int64_t>(k) * lanes));
    }
  }
  if (spec.rowDecay == RowDecay::Scalar)
    scalarDecays(place);
}

Values BlockGenerator::productsOfColumns(const BlockPlace &place, int64_t group, Value column,
                                         Value mask, ValueRange carried) {
  ArrayRef<BlockProduct> items = layout.groups[group];
  const bool perRow = spec.rowDecay == RowDecay::PerRow;
  auto row = [&](Value buffer, int64_t token) {
    Value vector = loadRow(buffer, later(place.row, token), column);
    // The padding may hold anything, NaN included.
    return mask ? select(mask, vector, splat(0)) : vector;
  };
  // A group stores the scaled rows of those reads and updates that no group before it has seen.
  SmallVector<bool> storesRead(reads, perRow), storesLeft(updates, perRow),
      uses(updates, items.empty());
  for (int64_t g = 0; g < group; ++g)
    for (const BlockProduct &p : layout.groups[g])
      storesRead[p.read] = storesLeft[p.update] = false;
  SmallVector<bool> has(reads, false);
  int64_t tokens = 0;
  for (const BlockProduct &p : items) {
    has[p.read] = uses[p.update] = true;
    tokens = std::max(tokens, p.token + 1);
  }
  for (int64_t x = 0; x < reads; ++x)
    storesRead[x] = storesRead[x] && has[x];
  for (int64_t m = 0; m < updates; ++m)
    storesLeft[m] = storesLeft[m] && uses[m];
  if (llvm::is_contained(storesRead, true) || llvm::is_contained(storesLeft, true))
    tokens = spec.block;

  Values sums(carried);
  SmallVector<Values> lefts(updates); // decayed up to the current token
  Value decay;                        // from the start of the block to the current token
  auto read = [&](int64_t x, int64_t i) {
    const bool used =
        llvm::any_of(items, [&](const BlockProduct &p) { return p.read == x && p.token == i; });
    if (!used && !storesRead[x])
      return;
    Value factor = row(buffers.reads[x].row, i);
    for (auto [k, p] : llvm::enumerate(items))
      if (p.read == x && p.token == i)
        sums[k] = fma(factor, lefts[p.update][p.source], sums[k]);
    if (storesRead[x])
      storeScratch(decay ? product(factor, decay) : factor, place, layout.scaledRead(x, i), column);
  };
  for (int64_t i = 0; i < tokens; ++i) {
    for (int64_t x = 0; x < reads; ++x)
      if (spec.reads[x].before)
        read(x, i);
    if (perRow) {
      Value a = row(buffers.rowDecay, i);
      decay = decay ? product(decay, a) : a;
      for (Values &left : lefts)
        for (Value &value : left)
          value = product(value, a);
    }
    for (int64_t m = 0; m < updates; ++m)
      if (uses[m])
        lefts[m].push_back(row(buffers.updates[m].left, i));
    for (int64_t x = 0; x < reads; ++x)
      if (!spec.reads[x].before)
        read(x, i);
  }
  for (int64_t m = 0; m < updates; ++m)
    if (storesLeft[m])
      for (int64_t i = 0; i < spec.block; ++i)
        storeScratch(lefts[m][i], place, layout.scaledLeft(m, i), column);
  if (perRow && group == 0)
    storeScratch(decay, place, layout.blockDecay(), column);
  return sums;
}

Value BlockGenerator::weightByScalarDecay(const BlockPlace &place, ArrayRef<BlockProduct> lanes,
                                          Value sums) {
  for (int64_t token = 1; token < spec.block; ++token) {
    auto between = [&](int64_t l) {
      if (l >= static_cast<int64_t>(lanes.size()))
        return false;
      const BlockProduct &p = lanes[l];
      return p.source < token && token < layout.sources(p.read, p.token);
    };
    bool any = false;
    for (int64_t l = 0; l < spec.lanes; ++l)
      any |= between(l);
    if (!any)
      continue;
    Value a = broadcastRow(buffers.rowDecay, later(place.row, token), index(0));
    sums = select(mask(between), product(sums, a), sums);
  }
  return sums;
}

void BlockGenerator::scalarDecays(const BlockPlace &place) {
  Values decays;
  for (int64_t i = 0; i < spec.block; ++i)
    decays.push_back(loadScalar(buffers.rowDecay, later(place.row, i)));
  auto put = [&](Value value, int64_t offset) {
    memref::StoreOp::create(builder, loc, value, buffers.scratch, add(place.scratch, offset));
  };
  Value head = decays.front();
  put(head, layout.headDecay(0));
  for (int64_t i = 1; i < spec.block; ++i)
    put(head = product(head, decays[i]), layout.headDecay(i));
  Value tail;
  for (int64_t i = spec.block - 2; i >= 0; --i)
    put(tail = tail ? product(tail, decays[i + 1]) : decays[i + 1], layout.tailDecay(i));
}

BlockGenerator::Update BlockGenerator::finish(const StatePanel &panel, const BlockPlace &place,
                                              Values sums) {
  const int64_t vectors = panel.vectors;
  const bool scalar = spec.rowDecay == RowDecay::Scalar;
  Update update{place, Values(updates * spec.block * vectors), Values(vectors), Value()};
  Values &w = update.w, &columnDecay = update.columnDecay;
  SmallVector<Values> results(vectors, Values(reads)); // U of the current token

  auto read = [&](int64_t x, int64_t i) {
    const bool before = spec.reads[x].before;
    Value row = later(place.row, i);
    Value head;
    if (scalar && (i > 0 || !before))
      head = scratchScalar(place, layout.headDecay(before ? i - 1 : i));
    for (int64_t j = 0; j < vectors; ++j) {
      Value u = sums[sumOf(x, i, j, vectors)];
      if (head)
        u = product(u, head);
      if (columnDecay[j])
        u = product(u, columnDecay[j]);
      results[j][x] = u;
    }
    for (int64_t s = 0; s < layout.sources(x, i); ++s)
      for (int64_t m = 0; m < updates; ++m) {
        Value factor = scratchScalar(place, layout.productOf(x, m, i, s));
        for (int64_t j = 0; j < vectors; ++j)
          results[j][x] = fma(factor, w[rightOf(m, s, j, vectors)], results[j][x]);
      }
    if (spec.reads[x].result)
      for (int64_t j = 0; j < vectors; ++j)
        store(results[j][x], buffers.reads[x].result, {row, columnOf(panel, j)});
  };

  for (int64_t i = 0; i < spec.block; ++i) {
    Value row = later(place.row, i);
    for (int64_t x = 0; x < reads; ++x)
      if (spec.reads[x].before)
        read(x, i);
    if (spec.colDecay)
      for (int64_t j = 0; j < vectors; ++j) {
        Value c = loadRow(buffers.colDecay, row, columnOf(panel, j));
        columnDecay[j] = columnDecay[j] ? product(columnDecay[j], c) : c;
        for (int64_t m = 0; m < updates; ++m)
          for (int64_t s = 0; s < i; ++s) {
            Value &earlier = w[rightOf(m, s, j, vectors)];
            earlier = product(earlier, c);
          }
      }
    for (int64_t m = 0; m < updates; ++m)
      for (int64_t j = 0; j < vectors; ++j)
        w[rightOf(m, i, j, vectors)] = rightFactor(m, row, columnOf(panel, j), results[j]);
    for (int64_t x = 0; x < reads; ++x)
      if (!spec.reads[x].before)
        read(x, i);
  }

  if (scalar) {
    for (int64_t i = 0; i + 1 < spec.block; ++i) {
      Value tail = scratchScalar(place, layout.tailDecay(i));
      for (int64_t m = 0; m < updates; ++m)
        for (int64_t j = 0; j < vectors; ++j) {
          Value &factor = w[rightOf(m, i, j, vectors)];
          factor = product(factor, tail);
        }
    }
    Value whole = scratchScalar(place, layout.headDecay(spec.block - 1));
    if (spec.colDecay)
      for (Value &decay : columnDecay)
        decay = product(decay, whole);
    else
      update.scalarDecay = whole;
  }
  placeRightFactors(panel, update);
  return update;
}

bool BlockGenerator::isPlainRight(int64_t m) const {
  ArrayRef<AffineTerm> terms = spec.updates[m].terms;
  if (terms.size() != 1 || terms[0].coef || terms[0].read >= 0 || spec.colDecay ||
      spec.rowDecay == RowDecay::Scalar)
    return false;
  return cast<MemRefType>(buffers.updates[m].terms[0].right.getType()).getRank() == 2;
}

/// Keeps as many right factors in registers as a sweep has room for; the others become memory
/// operands.
void BlockGenerator::placeRightFactors(const StatePanel &panel, Update &update) {
  const int64_t vectors = panel.vectors;
  int64_t room = spec.registers - reads * spec.block * vectors - vectors - 2;
  room -= spec.colDecay ? vectors : update.scalarDecay ? 1 : 0;
  int64_t excess = static_cast<int64_t>(update.w.size()) - std::max<int64_t>(room, 0);
  // Those that stand in a rows buffer as they are cost no store.
  for (bool plain : {true, false})
    for (int64_t m = 0; m < updates; ++m)
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t j = 0; j < vectors; ++j) {
          Value &w = update.w[rightOf(m, i, j, vectors)];
          if (excess <= 0 || isPlainRight(m) != plain)
            continue;
          if (!plain)
            store(w, buffers.scratch, index(layout.rightFactor(m, i, j)));
          w = Value();
          --excess;
        }
}

Value BlockGenerator::rightOperand(const StatePanel &panel, const Update &update, int64_t m,
                                   int64_t token, int64_t vector) const {
  if (Value w = update.w[rightOf(m, token, vector, panel.vectors)])
    return w;
  if (isPlainRight(m))
    return loadRow(buffers.updates[m].terms[0].right, later(update.place.row, token),
                   columnOf(panel, vector));
  return load(buffers.scratch, index(layout.rightFactor(m, token, vector)));
}

Values BlockGenerator::sweep(const StatePanel &panel, const Update *update, const BlockPlace *next,
                             const Values &sums) {
  const int64_t vectors = panel.vectors;
  const bool perRow = spec.rowDecay == RowDecay::PerRow;
  const bool pieces = besides && update && affinePieces(spec) > 0;
  const int64_t unroll = pieces ? pieceRows : rowUnroll;
  return unrolledLoop(spec.rows, unroll, sums, [&](Value r, int64_t copy, ValueRange carried) {
    if (pieces && copy == 0 && !getConstantIntValue(r))
      besides(panel.number, update->place.number,
              arith::DivUIOp::create(builder, loc, r, index(pieceRows)));
    Values accumulators(carried), state;
    for (int64_t j = 0; j < vectors; ++j)
      state.push_back(loadState(buffers.state, panel, r, j));
    if (update) {
      Value decay = update->scalarDecay;
      if (perRow)
        decay = scratchScalar(update->place, layout.blockDecay(), r);
      for (int64_t j = 0; j < vectors; ++j) {
        if (decay)
          state[j] = product(state[j], decay);
        if (spec.colDecay)
          state[j] = product(state[j], update->columnDecay[j]);
      }
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t m = 0; m < updates; ++m) {
          Value left = perRow
                           ? scratchScalar(update->place, layout.scaledLeft(m, i), r)
                           : broadcastRow(buffers.updates[m].left, later(update->place.row, i), r);
          for (int64_t j = 0; j < vectors; ++j)
            state[j] = fma(left, rightOperand(panel, *update, m, i, j), state[j]);
        }
      for (int64_t j = 0; j < vectors; ++j)
        storeState(state[j], buffers.state, panel, r, j);
    }
    if (next)
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t x = 0; x < reads; ++x) {
          Value factor = perRow ? scratchScalar(*next, layout.scaledRead(x, i), r)
                                : broadcastRow(buffers.reads[x].row, later(next->row, i), r);
          for (int64_t j = 0; j < vectors; ++j) {
            Value &total = accumulators[sumOf(x, i, j, vectors)];
            total = fma(factor, state[j], total);
          }
        }
    return accumulators;
  });
}

} // namespace

int64_t affineScratchSize(const AffineBlockSpec &spec, int64_t rows) {
  const AffineBlockLayout layout(spec);
  return layout.rightFactorSize() + rows / spec.block * layout.blockSize();
}

int64_t affinePieces(const AffineBlockSpec &spec) { return spec.rows / pieceRows; }

int64_t affinePanels(const AffineBlockSpec &spec) {
  return llvm::divideCeil(spec.cols, spec.panel * spec.lanes);
}

MemRefType affineStateType(const AffineBlockSpec &spec) {
  return MemRefType::get({affinePanels(spec), spec.rows, spec.panel * spec.lanes}, spec.element);
}

void emitAffineRows(OpBuilder &builder, Location loc, const AffineBlockSpec &spec,
                    const AffineBlockBuffers &buffers, Value rows, AffineBesides besides) {
  AffineEmitter emitter(builder, loc, spec);
  Value zero = emitter.index(0), first = zero;
  if (spec.descending)
    first = arith::SubIOp::create(builder, loc, rows, emitter.index(1));
  if (spec.block == 1)
    return emitTokens(builder, loc, spec, buffers, first, rows);
  Value size = emitter.index(spec.block);
  Value blocks = arith::DivUIOp::create(builder, loc, rows, size);
  Value some = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, blocks, zero);
  scf::IfOp::create(builder, loc, some, [&](OpBuilder &, Location) {
    BlockGenerator(builder, loc, spec, buffers, besides).emit(first, blocks);
    scf::YieldOp::create(builder, loc);
  });
  Value done = emitter.mul(blocks, spec.block);
  Value rest = arith::SubIOp::create(builder, loc, rows, done);
  Value next = rest;
  if (spec.descending)
    next = arith::SubIOp::create(builder, loc, rest, emitter.index(1));
  else
    next = done;
  emitTokens(builder, loc, spec, buffers, next, rest);
}

} // namespace seqmix
