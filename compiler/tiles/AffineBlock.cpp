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
// sums and w's, a decay per row scales the rows of reads and updates beforehand. So do the matrices
// of coupled states: a row of the state is then one row of each of its components. Where single
// elements are read, a row of the state takes the updates of a block token by token, each with the
// decays as they are.
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
        updates(spec.updates.size()), components(spec.components), besides(besides) {}

  /// `blocks` is at least 1.
  void emit(Value first, Value blocks) {
    firstRow = first;
    loop(index(0), blocks, 1, {}, [&](Value n, ValueRange) {
      products(placeOf(n));
      return Values();
    });
    Value last = arith::SubIOp::create(builder, loc, blocks, index(1));
    forEachPanel(spec.panel, sumsColumns(spec), [&](const StatePanel &panel) {
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
    Values tokenDecays; // scalar ones, of reads of elements
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
  /// The decays of a token by row, from vectors that `row` loads.
  Values rowDecays(llvm::function_ref<Value(Value)> row) const;
  void scalarDecays(const BlockPlace &place);
  Value weightByScalarDecay(const BlockPlace &place, ArrayRef<BlockProduct> lanes, Value sums);
  Update finish(const StatePanel &panel, const BlockPlace &place, Values sums);
  void placeRightFactors(const StatePanel &panel, Update &update);
  bool isPlainRight(int64_t update) const;
  Value rightOperand(const StatePanel &panel, const Update &update, int64_t m, int64_t token,
                     int64_t vector) const;
  /// Row r of a panel's state behind the block of an update: in `state`, and stored.
  void advance(const StatePanel &panel, const Update &update, Value r,
               MutableArrayRef<Values> state) const;
  /// The same token by token, with reads of elements.
  void advanceByTokens(const StatePanel &panel, const Update &update, Value r,
                       MutableArrayRef<Values> state, ElementReads &elements,
                       MutableArrayRef<Value> sums) const;
  Values sweep(const StatePanel &panel, const Update *update, const BlockPlace *next,
               const Values &sums);

  AffineBlockLayout layout;
  int64_t reads, updates, components;
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
  const bool perRow = scalesRows(spec);
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
    storesLeft[m] = storesLeft[m] && uses[m] && !readsElements(spec);
  if (llvm::is_contained(storesRead, true) || llvm::is_contained(storesLeft, true))
    tokens = spec.block;

  Values sums(carried);
  // By update, source, component: decayed up to the current token.
  SmallVector<SmallVector<Values>> lefts(updates);
  Values decay; // from the start of the block to the current token, by component to, from
  auto read = [&](int64_t x, int64_t i) {
    const bool used =
        llvm::any_of(items, [&](const BlockProduct &p) { return p.read == x && p.token == i; });
    if (!used && !storesRead[x])
      return;
    Values factors(components);
    for (int64_t a = 0; a < components; ++a)
      if (spec.reads[x].of[a])
        factors[a] = row(buffers.reads[x].rows[a], i);
    for (auto [k, p] : llvm::enumerate(items))
      if (p.read == x && p.token == i)
        for (auto [factor, left] : llvm::zip_equal(factors, lefts[p.update][p.source]))
          if (factor && left)
            sums[k] = fma(factor, left, sums[k]);
    if (!storesRead[x])
      return;
    for (int64_t b = 0; b < components; ++b) {
      Value scaled = decay.empty() ? factors[b] : Value();
      for (int64_t a = 0; a < components && !decay.empty(); ++a)
        if (Value between = decay[a * components + b]; between && factors[a])
          scaled = scaled ? fma(factors[a], between, scaled) : product(factors[a], between);
      if (scaled)
        storeScratch(scaled, place, layout.scaledRead(x, i, b), column);
    }
  };
  for (int64_t i = 0; i < tokens; ++i) {
    for (int64_t x = 0; x < reads; ++x)
      if (spec.reads[x].before)
        read(x, i);
    if (perRow) {
      const Values own = rowDecays([&](Value buffer) { return row(buffer, i); });
      Values before = std::move(decay);
      decay = before.empty() ? own : Values(components * components);
      for (int64_t b = 0; b < components && !before.empty(); ++b) {
        Values column(components);
        for (int64_t a = 0; a < components; ++a)
          column[a] = before[a * components + b];
        for (auto [a, value] : llvm::enumerate(mixed(own, column)))
          decay[a * components + b] = value;
      }
      for (SmallVector<Values> &sources : lefts)
        for (Values &left : sources)
          left = mixed(own, left);
    }
    for (int64_t m = 0; m < updates; ++m) {
      if (!uses[m])
        continue;
      Values &left = lefts[m].emplace_back(components);
      for (int64_t a = 0; a < components; ++a)
        if (spec.updates[m].of[a])
          left[a] = row(buffers.updates[m].lefts[a], i);
    }
    for (int64_t x = 0; x < reads; ++x)
      if (!spec.reads[x].before)
        read(x, i);
  }
  for (int64_t m = 0; m < updates; ++m)
    if (storesLeft[m])
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t a = 0; a < components; ++a)
          if (lefts[m][i][a])
            storeScratch(lefts[m][i][a], place, layout.scaledLeft(m, i, a), column);
  if (perRow && group == 0 && !readsElements(spec))
    for (int64_t k = 0; k < components * components; ++k)
      if (decay[k])
        storeScratch(decay[k], place, layout.blockDecay(k / components, k % components), column);
  return sums;
}

Values BlockGenerator::rowDecays(llvm::function_ref<Value(Value)> row) const {
  if (components == 1)
    return {row(buffers.rowDecay)};
  Values decays;
  for (Value entry : buffers.coupling)
    decays.push_back(entry ? row(entry) : Value());
  return decays;
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
  Update update{place, Values(updates * spec.block * vectors), Values(vectors), Value(), {}};
  Values &w = update.w, &columnDecay = update.columnDecay;
  Values own(w.size());                                // not decayed to the block's end
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
        own[rightOf(m, i, j, vectors)] = w[rightOf(m, i, j, vectors)] =
            rightFactor(m, row, columnOf(panel, j), results[j]);
    for (int64_t x = 0; x < reads; ++x)
      if (!spec.reads[x].before)
        read(x, i);
  }

  if (readsElements(spec)) {
    w = own;
    for (int64_t i = 0; scalar && i < spec.block; ++i)
      update.tokenDecays.push_back(broadcastRow(buffers.rowDecay, later(place.row, i), index(0)));
  } else if (scalar) {
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
  const bool isDecayed = spec.colDecay || spec.rowDecay == RowDecay::Scalar;
  if (terms.size() != 1 || terms[0].coef || terms[0].read >= 0 ||
      (isDecayed && !readsElements(spec)))
    return false;
  return cast<MemRefType>(buffers.updates[m].terms[0].right.getType()).getRank() == 2;
}

/// Keeps as many right factors in registers as a sweep has room for; the others become memory
/// operands.
void BlockGenerator::placeRightFactors(const StatePanel &panel, Update &update) {
  const int64_t vectors = panel.vectors;
  // A row of each component, and of the one that is made from them.
  const int64_t rows = components == 1 ? 1 : components + 1;
  int64_t room = spec.registers - (reads + elementSums(spec)) * spec.block * vectors -
                 rows * vectors - (sumsColumns(spec) ? pieceRows : 0) - 2;
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

void BlockGenerator::advance(const StatePanel &panel, const Update &update, Value r,
                             MutableArrayRef<Values> state) const {
  const int64_t vectors = panel.vectors;
  const bool perRow = scalesRows(spec);
  Values decays(components * components, update.scalarDecay);
  for (int64_t k = 0; perRow && k < components * components; ++k)
    if (const int64_t to = k / components, from = k % components; layout.hasBlockDecay(to, from))
      decays[k] = scratchScalar(update.place, layout.blockDecay(to, from), r);
  for (int64_t j = 0; j < vectors; ++j) {
    if (components > 1) {
      Values before;
      for (const Values &component : state)
        before.push_back(component[j]);
      for (auto [component, value] : llvm::zip_equal(state, mixed(decays, before)))
        component[j] = value ? value : splat(0);
    } else if (decays[0]) {
      state[0][j] = product(state[0][j], decays[0]);
    }
    if (spec.colDecay)
      for (Values &component : state)
        component[j] = product(component[j], update.columnDecay[j]);
  }
  for (int64_t i = 0; i < spec.block; ++i)
    for (int64_t m = 0; m < updates; ++m) {
      Values lefts(components);
      for (int64_t a = 0; a < components; ++a)
        if (!perRow)
          lefts[a] = broadcastRow(buffers.updates[m].lefts[a], later(update.place.row, i), r);
        else if (layout.hasScaledLeft(m, i, a))
          lefts[a] = scratchScalar(update.place, layout.scaledLeft(m, i, a), r);
      for (int64_t j = 0; j < vectors; ++j) {
        Value w = rightOperand(panel, update, m, i, j);
        for (int64_t a = 0; a < components; ++a)
          if (lefts[a])
            state[a][j] = fma(lefts[a], w, state[a][j]);
      }
    }
  for (int64_t a = 0; a < components; ++a)
    for (int64_t j = 0; j < vectors; ++j)
      storeState(state[a][j], buffers.states[a], panel, r, j);
}

void BlockGenerator::advanceByTokens(const StatePanel &panel, const Update &update, Value r,
                                     MutableArrayRef<Values> state, ElementReads &elements,
                                     MutableArrayRef<Value> sums) const {
  for (int64_t i = 0; i < spec.block; ++i) {
    Value row = later(update.place.row, i), decay;
    elements.read(i, /*before=*/true, state, sums);
    if (spec.rowDecay == RowDecay::PerRow)
      decay = broadcastRow(buffers.rowDecay, row, r);
    else if (spec.rowDecay == RowDecay::Scalar)
      decay = update.tokenDecays[i];
    Values columnDecay;
    for (int64_t j = 0; spec.colDecay && j < panel.vectors; ++j)
      columnDecay.push_back(loadRow(buffers.colDecay, row, columnOf(panel, j)));
    decayRow(row, r, decay, columnDecay, state);
    updateRow(
        row, r, [&](int64_t m, int64_t j) { return rightOperand(panel, update, m, i, j); }, state);
    elements.read(i, /*before=*/false, state, sums);
  }
  for (int64_t a = 0; a < components; ++a)
    for (int64_t j = 0; j < panel.vectors; ++j)
      storeState(state[a][j], buffers.states[a], panel, r, j);
}

Values BlockGenerator::sweep(const StatePanel &panel, const Update *update, const BlockPlace *next,
                             const Values &sums) {
  const int64_t vectors = panel.vectors, count = sums.size();
  const bool perRow = scalesRows(spec);
  const bool pieces = besides && update && affinePieces(spec) > 0;
  const int64_t unroll = pieces || (update && sumsColumns(spec)) ? pieceRows : rowUnroll;
  ElementReads elements(*this, panel, spec.block, unroll);
  Values totals = sums;
  if (update)
    totals.append(elements.sumCount(), splat(0));
  totals = unrolledLoop(spec.rows, unroll, totals, [&](Value r, int64_t copy, ValueRange carried) {
    if (pieces && copy == 0 && !getConstantIntValue(r))
      besides(panel.number, update->place.number,
              arith::DivUIOp::create(builder, loc, r, index(pieceRows)));
    Values accumulators(carried);
    SmallVector<Values> state(components); // by component, vector
    for (int64_t a = 0; a < components; ++a)
      for (int64_t j = 0; j < vectors; ++j)
        state[a].push_back(loadState(buffers.states[a], panel, r, j));
    if (update && readsElements(spec)) {
      elements.beginRow(r, copy, update->place.row);
      advanceByTokens(panel, *update, r, state, elements,
                      MutableArrayRef(accumulators).drop_front(count));
      if (copy + 1 == unroll || getConstantIntValue(r) == spec.rows - 1)
        elements.endGroup(update->place.row);
    } else if (update) {
      advance(panel, *update, r, state);
    }
    if (next)
      for (int64_t i = 0; i < spec.block; ++i)
        for (int64_t x = 0; x < reads; ++x)
          for (int64_t a = 0; a < components; ++a) {
            if (perRow && !layout.hasScaledRead(x, i, a))
              continue;
            Value factor = perRow ? scratchScalar(*next, layout.scaledRead(x, i, a), r)
                                  : broadcastRow(buffers.reads[x].rows[a], later(next->row, i), r);
            for (int64_t j = 0; j < vectors; ++j) {
              Value &total = accumulators[sumOf(x, i, j, vectors)];
              total = fma(factor, state[a][j], total);
            }
          }
    return accumulators;
  });
  if (update)
    elements.storeSums(update->place.row, ArrayRef(totals).drop_front(count));
  totals.truncate(count);
  return totals;
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
  emitClearColumnSums(AffineGenerator(builder, loc, spec, buffers), rows);
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
