//===- AffineBlockEmitter.cpp - what the generators of recurrences share --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockEmitter.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;

namespace seqmix {

Value AffineEmitter::index(int64_t value) const {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

Value AffineEmitter::add(Value a, Value b) const {
  return arith::AddIOp::create(builder, loc, a, b);
}

Value AffineEmitter::mul(Value a, int64_t b) const {
  return arith::MulIOp::create(builder, loc, a, index(b));
}

Value AffineEmitter::splat(double value) const {
  auto element = builder.getFloatAttr(spec.element, value);
  return arith::ConstantOp::create(builder, loc, SplatElementsAttr::get(vectorType, element));
}

Value AffineEmitter::broadcast(Value scalar) const {
  return vector::BroadcastOp::create(builder, loc, vectorType, scalar);
}

Value AffineEmitter::fma(Value a, Value b, Value c) const {
  return vector::FMAOp::create(builder, loc, a, b, c);
}

Value AffineEmitter::product(Value a, Value b) const {
  return arith::MulFOp::create(builder, loc, a, b);
}

Value AffineEmitter::sum(Value a, Value b) const {
  return arith::AddFOp::create(builder, loc, a, b);
}

Value AffineEmitter::select(Value mask, Value a, Value b) const {
  return arith::SelectOp::create(builder, loc, mask, a, b);
}

Value AffineEmitter::shuffle(Value a, Value b, ArrayRef<int64_t> mask) const {
  return vector::ShuffleOp::create(builder, loc, a, b, mask);
}

Value AffineEmitter::mask(llvm::function_ref<bool(int64_t)> lane) const {
  SmallVector<bool> bits(spec.lanes);
  for (int64_t l = 0; l < spec.lanes; ++l)
    bits[l] = lane(l);
  auto type = VectorType::get({spec.lanes}, builder.getI1Type());
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, bits));
}

Values AffineEmitter::sumLanes(ArrayRef<Value> inputs) const {
  // A tree in which each level adds two shuffles of two vectors. The shuffles stay inside 128 bits
  // until these hold one value an input, then move pieces of 128 bits: the cheap ones of every
  // target.
  const int64_t lanes = spec.lanes;
  const int64_t bits = spec.element.getIntOrFloatBitWidth();
  const int64_t piece = std::min<int64_t>(lanes, 128 / bits);
  auto level = [&](ArrayRef<Value> values, llvm::function_ref<int64_t(int64_t, bool)> source) {
    SmallVector<int64_t> low(lanes), high(lanes);
    for (int64_t l = 0; l < lanes; ++l) {
      low[l] = source(l, false);
      high[l] = source(l, true);
    }
    Values result;
    for (size_t k = 0; k < values.size(); k += 2) {
      // A vector without a partner is added to itself: its partner's lanes are never read.
      Value a = values[k], b = k + 1 < values.size() ? values[k + 1] : a;
      result.push_back(sum(shuffle(a, b, low), shuffle(a, b, high)));
    }
    return result;
  };
  Values result;
  for (size_t first = 0; first < inputs.size(); first += lanes) {
    Values values(inputs.slice(first, std::min<size_t>(lanes, inputs.size() - first)));
    if (piece == 4) // a0 b0 a1 b1 + a2 b2 a3 b3
      values = level(values, [&](int64_t l, bool high) {
        return l / 4 * 4 + l % 4 / 2 + (high ? 2 : 0) + (l % 2) * lanes;
      });
    if (piece >= 2) // the first halves of both vectors' pieces + the second halves
      values = level(values, [&](int64_t l, bool high) {
        const int64_t half = piece / 2, in = l % piece;
        return l / piece * piece + in % half + (high ? half : 0) + (in / half) * lanes;
      });
    for (int64_t pieces = lanes / piece; pieces > 1; pieces /= 2)
      values = level(values, [&](int64_t l, bool high) {
        // Even pieces of both vectors + odd pieces of both.
        const int64_t all = lanes / piece, number = l / piece, of = number % (all / 2);
        return (2 * of + (high ? 1 : 0)) * piece + l % piece + (number / (all / 2)) * lanes;
      });
    assert(values.size() == 1 && "a tree of log2(lanes) levels ends in one vector");
    result.push_back(values.front());
  }
  return result;
}

Value AffineEmitter::load(Value memref, ValueRange indices) const {
  return vector::LoadOp::create(builder, loc, vectorType, memref, indices);
}

void AffineEmitter::store(Value vector, Value memref, ValueRange indices) const {
  vector::StoreOp::create(builder, loc, vector, memref, indices);
}

Value AffineEmitter::load(Value memref, ValueRange indices, int64_t valid) const {
  if (valid == spec.lanes)
    return load(memref, indices);
  Value lanes = mask([&](int64_t l) { return l < valid; });
  return vector::MaskedLoadOp::create(builder, loc, vectorType, memref, indices, lanes, splat(0));
}

void AffineEmitter::store(Value vector, Value memref, ValueRange indices, int64_t valid) const {
  if (valid == spec.lanes)
    return store(vector, memref, indices);
  Value lanes = mask([&](int64_t l) { return l < valid; });
  vector::MaskedStoreOp::create(builder, loc, memref, indices, lanes, vector);
}

Value AffineEmitter::loadScalar(Value memref, ValueRange indices) const {
  return memref::LoadOp::create(builder, loc, memref, indices);
}

Value AffineEmitter::loadRow(Value buffer, Value row, Value feature) const {
  if (cast<MemRefType>(buffer.getType()).getRank() == 1)
    return broadcast(loadScalar(buffer, row));
  return load(buffer, {row, feature});
}

Value AffineEmitter::broadcastRow(Value buffer, Value row, Value feature) const {
  if (cast<MemRefType>(buffer.getType()).getRank() == 1)
    return broadcast(loadScalar(buffer, row));
  return broadcast(loadScalar(buffer, {row, feature}));
}

Values AffineEmitter::loop(Value lower, Value upper, int64_t step, ValueRange carried,
                           LoopBody body) const {
  auto op = scf::ForOp::create(builder, loc, lower, upper, index(step), carried,
                               [&](OpBuilder &, Location, Value i, ValueRange arguments) {
                                 scf::YieldOp::create(builder, loc, body(i, arguments));
                               });
  return Values(op.getResults());
}

Values AffineEmitter::unrolledLoop(int64_t upper, int64_t unroll, ValueRange carried,
                                   UnrolledBody body) const {
  const int64_t whole = upper / unroll * unroll;
  Values values(carried);
  if (whole > 0)
    values = loop(index(0), index(whole), unroll, values, [&](Value i, ValueRange arguments) {
      Values inner(arguments);
      for (int64_t k = 0; k < unroll; ++k)
        inner = body(add(i, k), k, inner);
      return inner;
    });
  for (int64_t i = whole; i < upper; ++i)
    values = body(index(i), i - whole, values);
  return values;
}

void AffineGenerator::forEachPanel(int64_t vectors, bool exact,
                                   llvm::function_ref<void(const StatePanel &)> body) const {
  const int64_t all = llvm::divideCeil(spec.cols, spec.lanes), width = vectors * spec.lanes;
  const int64_t partial = exact ? spec.cols % spec.lanes : 0;
  // A vector with lanes that do not exist belongs to the panel behind the loop.
  const int64_t full = (partial ? all - 1 : all) / vectors, rest = all - full * vectors;
  if (full > 0)
    loop(index(0), index(full), 1, {}, [&](Value number, ValueRange) {
      body({number, mul(number, width), vectors, spec.lanes});
      return Values();
    });
  if (rest > 0)
    body({index(full), index(full * width), rest, partial ? partial : spec.lanes});
}

Value AffineGenerator::loadState(Value state, const StatePanel &panel, Value row,
                                 int64_t vector) const {
  if (!isPlainState(state))
    return load(state, {panel.number, row, index(vector * spec.lanes)});
  const int64_t valid = vector + 1 == panel.vectors ? panel.lastLanes : spec.lanes;
  return load(state, {row, columnOf(panel, vector)}, valid);
}

void AffineGenerator::storeState(Value value, Value state, const StatePanel &panel, Value row,
                                 int64_t vector) const {
  if (!isPlainState(state))
    return store(value, state, {panel.number, row, index(vector * spec.lanes)});
  const int64_t valid = vector + 1 == panel.vectors ? panel.lastLanes : spec.lanes;
  store(value, state, {row, columnOf(panel, vector)}, valid);
}

Values AffineGenerator::mixed(ArrayRef<Value> decays, ArrayRef<Value> x) const {
  const size_t count = x.size();
  Values result(count);
  for (size_t a = 0; a < count; ++a)
    for (size_t b = 0; b < count; ++b) {
      Value decay = decays[a * count + b];
      if (!decay || !x[b])
        continue;
      result[a] = result[a] ? fma(decay, x[b], result[a]) : product(x[b], decay);
    }
  return result;
}

void AffineGenerator::decayRow(Value row, Value r, Value decay, ArrayRef<Value> columnDecay,
                               MutableArrayRef<Values> state) const {
  Values coupling;
  for (Value entry : buffers.coupling)
    coupling.push_back(entry ? broadcastRow(entry, row, r) : Value());
  for (size_t j = 0; j < state[0].size(); ++j) {
    if (spec.components > 1) {
      Values before;
      for (const Values &component : state)
        before.push_back(component[j]);
      for (auto [component, value] : llvm::zip_equal(state, mixed(coupling, before)))
        component[j] = value ? value : splat(0);
    } else if (decay) {
      state[0][j] = product(state[0][j], decay);
    }
    if (spec.colDecay)
      for (Values &component : state)
        component[j] = product(component[j], columnDecay[j]);
  }
}

void AffineGenerator::updateRow(Value row, Value r, llvm::function_ref<Value(int64_t, int64_t)> w,
                                MutableArrayRef<Values> state) const {
  for (int64_t m = 0; m < static_cast<int64_t>(spec.updates.size()); ++m) {
    Values right;
    for (size_t j = 0; j < state[0].size(); ++j)
      right.push_back(w(m, j));
    for (int64_t a = 0; a < spec.components; ++a) {
      if (!spec.updates[m].of[a])
        continue;
      Value left = broadcastRow(buffers.updates[m].lefts[a], row, r);
      for (auto [element, factor] : llvm::zip_equal(state[a], right))
        element = fma(left, factor, element);
    }
  }
}

SmallVector<int64_t> AffineGenerator::readsThatAre(bool before) const {
  SmallVector<int64_t> result;
  for (auto [x, read] : llvm::enumerate(spec.reads))
    if (read.before == before)
      result.push_back(x);
  return result;
}

Value AffineGenerator::rightFactor(int64_t m, Value row, Value column,
                                   ArrayRef<Value> reads) const {
  Value w;
  for (auto [term, from] : llvm::zip_equal(spec.updates[m].terms, buffers.updates[m].terms)) {
    Value right = term.read >= 0 ? reads[term.read] : loadRow(from.right, row, column);
    if (term.coef) {
      Value coef = loadRow(from.coef, row, column);
      w = w ? fma(coef, right, w) : product(coef, right);
    } else {
      w = w ? sum(w, right) : right;
    }
  }
  return w;
}

} // namespace seqmix
