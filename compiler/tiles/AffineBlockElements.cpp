//===- AffineBlockElements.cpp - reads of single elements of a state ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// A read with one factor a row is part of the products inside a block: the state itself is needed
// once a block. Other sums have no such products, so that each token's state has to exist; it does
// so in registers only, one row after the other.
//
//   over rows:    Y[j] += weight[r, j] S[r, j]     accumulators along the sweep
//   over columns: Y[r] = sum_j weight[j] S[r, j]   sums over lanes, of several rows and tokens at
//   once
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockEmitter.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;

namespace seqmix {

ElementReads::ElementReads(const AffineGenerator &generator, const StatePanel &panel,
                           int64_t tokens, int64_t groupRows)
    : generator(generator), spec(generator.spec), panel(panel), tokens(tokens),
      groupRows(groupRows), across(spec.elements.size() * tokens * groupRows) {}

void ElementReads::beginRow(Value rowOfState, int64_t place, Value rowOfBuffers) {
  r = rowOfState;
  row = rowOfBuffers;
  placeInGroup = place;
  if (place == 0)
    first = r;
  ofElement.assign(spec.elements.size(), Values(spec.components * panel.vectors));
}

Value ElementReads::weight(int64_t read, int64_t component, int64_t token, int64_t vector) {
  const AffineElementRead &element = spec.elements[read];
  Value buffer = generator.buffers.elements[read].weights[component];
  Value place = generator.later(row, token), column = generator.columnOf(panel, vector);
  if (!element.elements)
    return generator.loadRow(buffer, place, column);
  if (element.perToken)
    return generator.load(buffer, {place, r, column});
  Value &shared = ofElement[read][component * panel.vectors + vector];
  if (!shared)
    shared = generator.load(buffer, {place, r, column});
  return shared;
}

void ElementReads::read(int64_t token, bool before, ArrayRef<Values> state,
                        MutableArrayRef<Value> sums) {
  int64_t sum = 0; // number of the next one over rows
  for (auto [number, element] : llvm::enumerate(spec.elements)) {
    const int64_t start = element.columns ? 0 : (sum++ * tokens + token) * panel.vectors;
    if (element.before != before)
      continue;
    Value total; // over the vectors and components
    for (int64_t a = 0; a < spec.components; ++a) {
      if (!element.of[a])
        continue;
      for (int64_t j = 0; j < panel.vectors; ++j) {
        Value factor = weight(number, a, token, j);
        if (!element.columns) {
          sums[start + j] = generator.fma(factor, state[a][j], sums[start + j]);
          continue;
        }
        if (j + 1 == panel.vectors && panel.lastLanes != spec.lanes) {
          // Columns that do not exist hold anything, in the state and in the weight.
          Value exists = generator.mask([&](int64_t l) { return l < panel.lastLanes; });
          Value product =
              generator.select(exists, generator.product(factor, state[a][j]), generator.splat(0));
          total = total ? generator.sum(total, product) : product;
          continue;
        }
        total = total ? generator.fma(factor, state[a][j], total)
                      : generator.product(factor, state[a][j]);
      }
    }
    if (element.columns)
      across[(number * tokens + token) * groupRows + placeInGroup] = total;
  }
}

void ElementReads::endGroup(Value rowOfBuffers) {
  for (auto [number, element] : llvm::enumerate(spec.elements)) {
    if (!element.columns)
      continue;
    auto own = MutableArrayRef(across).slice(number * tokens * groupRows, tokens * groupRows);
    for (Value &value : own) // a row that the group does not have
      value = value ? value : generator.splat(0);
    const Values lanes = generator.sumLanes(own);
    for (int64_t token = 0; token < tokens; ++token)
      addToResult(generator.buffers.elements[number].result, generator.later(rowOfBuffers, token),
                  lanes, token);
  }
  std::fill(across.begin(), across.end(), Value());
}

void ElementReads::addToResult(Value result, Value resultRow, ArrayRef<Value> lanes,
                               int64_t token) {
  OpBuilder &builder = generator.builder;
  const Location loc = generator.loc;
  const bool isWhole = placeInGroup + 1 == groupRows && llvm::isPowerOf2_64(groupRows);
  const int64_t width = isWhole ? std::min(groupRows, spec.lanes) : 1;
  for (int64_t place = 0; place <= placeInGroup; place += width) {
    const int64_t lane = token * groupRows + place;
    Value at = generator.add(first, place), own = lanes[lane / spec.lanes];
    if (width == 1) {
      Value one = vector::ExtractOp::create(builder, loc, own, ArrayRef{lane % spec.lanes});
      Value old = generator.loadScalar(result, {resultRow, at});
      memref::StoreOp::create(builder, loc, generator.sum(old, one), result,
                              ValueRange{resultRow, at});
      continue;
    }
    if (width != spec.lanes)
      own = vector::ExtractStridedSliceOp::create(builder, loc, own, ArrayRef{lane % spec.lanes},
                                                  ArrayRef{width}, ArrayRef<int64_t>{1});
    Value old = vector::LoadOp::create(builder, loc, cast<VectorType>(own.getType()), result,
                                       ValueRange{resultRow, at});
    generator.store(generator.sum(old, own), result, {resultRow, at});
  }
}

void ElementReads::storeSums(Value rowOfBuffers, ArrayRef<Value> sums) {
  for (auto [number, element] : llvm::enumerate(spec.elements)) {
    if (element.columns)
      continue;
    for (int64_t token = 0; token < tokens; ++token)
      for (int64_t j = 0; j < panel.vectors; ++j) {
        generator.store(sums.front(), generator.buffers.elements[number].result,
                        {generator.later(rowOfBuffers, token), generator.columnOf(panel, j)});
        sums = sums.drop_front();
      }
  }
}

void emitClearColumnSums(const AffineGenerator &generator, Value rows) {
  const AffineBlockSpec &spec = generator.spec;
  for (auto [element, buffers] : llvm::zip_equal(spec.elements, generator.buffers.elements)) {
    if (!element.columns)
      continue;
    Value width = generator.index(llvm::alignTo(spec.rows, spec.lanes));
    generator.loop(generator.index(0), rows, 1, {}, [&](Value row, ValueRange) {
      generator.loop(generator.index(0), width, spec.lanes, {}, [&](Value r, ValueRange) {
        generator.store(generator.splat(0), buffers.result, {row, r});
        return Values();
      });
      return Values();
    });
  }
}

} // namespace seqmix
