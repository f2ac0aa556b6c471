//===- BlockChunk.cpp - a chunk of tokens on tensor cores --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockLowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

//===----------------------------------------------------------------------===//
// Factors
//===----------------------------------------------------------------------===//

/// Parts that stand for a factor as it is stored, or for any values.
unsigned BlockLowering::partsOf(StringAttr symbol) const {
  return expr->storedAs(symbol) == SEQ_BF16 ? 1 : mostParts();
}

/// Room for a factor of rows; one for all reads and updates that have the same.
const BlockLowering::Slices<Parts> &BlockLowering::allocateRows(StringAttr factor) {
  auto [found, isNew] = factors.try_emplace(factor);
  if (isNew)
    for (const BlockAxis &rows : rowSlices)
      found->second.push_back(tiles->allocate(tokenAxis.size, rows.size, partsOf(factor)));
  return found->second;
}

void BlockLowering::findFactors() {
  llvm::SmallDenseSet<int64_t> inUpdates;
  for (auto attr : affine.getUpdates().getAsRange<UpdateAttr>())
    for (TermAttr term : attr.getTerms())
      inUpdates.insert(term.getRead());
  for (auto attr : affine.getReads().getAsRange<RowReadAttr>()) {
    const auto number = static_cast<int64_t>(reads.size());
    Read &read = reads.emplace_back();
    read.isNeeded = !isSummary() || inUpdates.contains(number);
    if (!read.isNeeded)
      continue;
    read.factor = attr.getRow().front().getSymbol().getAttr();
    if (attr.getResult() && !isSummary())
      read.result = attr.getResult().getAttr();
    read.isBefore = attr.getBefore();
    read.query = allocateRows(read.factor);
  }
  for (auto attr : affine.getUpdates().getAsRange<UpdateAttr>()) {
    Update &update = updates.emplace_back();
    update.factor = attr.getLefts().front().getSymbol().getAttr();
    update.terms.assign(attr.getTerms().begin(), attr.getTerms().end());
    update.left = allocateRows(update.factor);
    const bool isOne =
        update.terms.size() == 1 && update.terms[0].getRight() && !update.terms[0].getCoef();
    update.right =
        tiles->allocate(tokenAxis.size, columnAxis.size,
                        isOne ? partsOf(update.terms[0].getRight().getAttr()) : mostParts());
    if (update.isSolved()) {
      update.own = tiles->allocate({tokenAxis, columnAxis});
      update.share = tiles->allocate({tokenAxis, columnAxis});
    }
  }
}

/// A factor of all tokens to shared memory, zero where there is no token or place.
LogicalResult BlockLowering::storeFactor(Value tile, const BlockFrame &frame,
                                         ArrayRef<Value> shared) {
  if (!tile)
    return failure();
  const auto parts = static_cast<unsigned>(shared.size());
  tiles->store(tiles->split(expr->mask(tile, frame, 0), parts), shared);
  return success();
}

void BlockLowering::makeCoefficients() {
  if (llvm::count_if(updates, [](const Update &update) { return update.isSolved(); }) < 2)
    return; // one takes each of them once in each layout
  const auto tokens = ArrayAttr::get(mixer.getContext(), {FlatSymbolRefAttr::get(tokenAxis.dim)});
  for (const Update &update : updates)
    for (TermAttr term : update.terms) {
      if (!update.isSolved() || !term.getCoef() ||
          chunk::dimsOf(chunk::lookup(mixer, term.getCoef())) != tokens)
        continue;
      StringAttr symbol = term.getCoef().getAttr();
      if (coefficients.contains(symbol))
        continue;
      Value made = expr->evaluate(symbol, {tokenAxis});
      if (!made)
        continue; // said where it is used
      Value shared = tiles->allocate({tokenAxis});
      tiles->store(made, shared);
      coefficients[symbol] = shared;
    }
}

/// A term's coefficient on a tile with the tokens as a dim, or null for an error.
Value BlockLowering::coefficientOf(TermAttr term, const BlockFrame &frame) {
  StringAttr symbol = term.getCoef().getAttr();
  Value shared = coefficients.lookup(symbol);
  if (!shared)
    return expr->evaluate(symbol, frame);
  const unsigned own = frame[0].dim == tokenAxis.dim ? 0 : 1;
  return tiles->broadcast(tiles->load(shared), 1 - own, frame);
}

/// The sum of an update's terms that read nothing, or null for an error.
Value BlockLowering::evaluateRight(const Update &update, const BlockFrame &frame) {
  Value sum;
  for (TermAttr term : update.terms) {
    if (term.getRead() >= 0)
      continue;
    Value value = expr->evaluate(term.getRight().getAttr(), frame);
    if (value && term.getCoef()) {
      Value coefficient = coefficientOf(term, frame);
      value = coefficient ? tiles->multiply(coefficient, value) : Value();
    }
    if (!value)
      return {};
    sum = sum ? tiles->add(sum, value) : value;
  }
  return sum ? sum : tiles->zeros(frame);
}

LogicalResult BlockLowering::storeFactors() {
  llvm::DenseSet<StringAttr> stored;
  auto storeRows = [&](StringAttr factor) {
    if (!stored.insert(factor).second)
      return success();
    for (auto [slice, parts] : llvm::enumerate(factors[factor]))
      if (failed(storeFactor(expr->evaluate(factor, rowFrame(slice)), rowFrame(slice), parts)))
        return failure();
    return success();
  };
  for (const Read &read : reads)
    if (read.isNeeded && failed(storeRows(read.factor)))
      return failure();
  for (const Update &update : updates)
    if (failed(storeRows(update.factor)) || failed(storeRight(update, {tokenAxis, columnAxis})))
      return failure();
  return success();
}

LogicalResult BlockLowering::storeRight(const Update &update, const BlockFrame &columns) {
  Value right = evaluateRight(update, columns);
  if (!update.isSolved())
    return storeFactor(right, columns, update.right);
  if (!right)
    return failure();
  tiles->store(expr->mask(right, columns, 0), update.own);
  return success();
}

/// A factor of all tokens times decays, in shared memory. It is loaded anew each time rather than
/// kept in registers.
Parts BlockLowering::withDecays(ArrayRef<Value> factor, Value decays, size_t slice) {
  Parts result = tiles->allocate(tokenAxis.size, rowSlices[slice].size, mostParts());
  Value tile = tiles->join(tiles->load(factor, /*transposed=*/false));
  tiles->store(tiles->split(tiles->multiply(tile, decays)), result);
  return result;
}

//===----------------------------------------------------------------------===//
// Decays
//===----------------------------------------------------------------------===//

BlockLowering::Products BlockLowering::productsOfRows(size_t slice, int64_t group, bool reverse) {
  return tiles->products(tiles->load(rowDecays[slice]), rowFrame(slice), group, reverse);
}

BlockLowering::Products BlockLowering::productsOfColumns(int64_t group, bool reverse) {
  return tiles->products(tiles->load(columnDecays), {tokenAxis, columnAxis}, group, reverse);
}

LogicalResult BlockLowering::makeColumnDecays() {
  if (!decaysByColumn)
    return success();
  const BlockFrame frame = {tokenAxis, columnAxis};
  Value own = expr->evaluate(affine.getColDecayAttr().getAttr(), frame);
  if (!own)
    return failure();
  columnDecays = tiles->allocate(frame);
  tiles->store(expr->mask(own, frame, 1), columnDecays);
  return success();
}

LogicalResult BlockLowering::makeDecays() {
  if (failed(makeColumnDecays()))
    return failure();
  if (!hasDecay)
    return success();
  const BlockFrame tokens = {tokenAxis}, pairs = {tokenAxis, tokenAxis};
  StringAttr decay = affine.getRowDecayAttr().getAttr();
  if (decaysByRow) {
    for (size_t slice = 0; slice < rowSlices.size(); ++slice) {
      Value own = expr->evaluate(decay, rowFrame(slice));
      if (!own)
        return failure();
      rowDecays.push_back(tiles->allocate(rowFrame(slice)));
      tiles->store(expr->mask(own, rowFrame(slice), 1), rowDecays.back());
    }
    return success();
  }
  Value own = expr->evaluate(decay, tokens);
  if (!own)
    return failure();
  own = expr->mask(own, tokens, 1);
  auto keep = [&](Value tile, const BlockFrame &frame) {
    Value shared = tiles->allocate(frame);
    tiles->store(tile, shared);
    return shared;
  };
  auto keepBoth = [&](const Products &made, const BlockFrame &frame) -> Products {
    const bool isAnyBefore = llvm::any_of(reads, [](const Read &read) { return read.isBefore; });
    return {keep(made.with, frame), isAnyBefore ? keep(made.without, frame) : Value()};
  };
  decays.upTo = keepBoth(tiles->products(own, tokens, 0, false), tokens);
  Value isLater =
      tiles->compare(arith::CmpIPredicate::sgt, tiles->places(pairs, 0), tiles->places(pairs, 1));
  Value later = tiles->select(isLater, tiles->broadcast(own, 1, pairs), 1);
  const Products between = tiles->products(later, pairs, 0, false);
  decays.between = keepBoth(between, pairs);
  decays.behind = keep(last(between.with), tokens);
  return success();
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

Value BlockLowering::addScores(Value sum, ArrayRef<Value> query, ArrayRef<Value> left) {
  return tiles->dot(tiles->load(query, false), tiles->load(left, /*transposed=*/true), sum);
}

/// The products of the tokens' factors, with the decays between them.
void BlockLowering::emitScores() {
  if (reads.empty())
    return;
  const BlockFrame pairs = {tokenAxis, tokenAxis};
  for (Read &read : reads) {
    read.scores.clear();
    if (!read.isNeeded)
      continue;
    for (const Update &update : updates) {
      Value scores = tiles->zeros(pairs);
      for (auto [query, left] : llvm::zip_equal(read.query, update.left))
        scores = addScores(scores, query, left);
      if (hasDecay && !decaysByRow)
        scores = tiles->multiply(scores, tiles->load(chosen(decays.between, read.isBefore)));
      // Chosen, not multiplied by zero: what is left out need not be finite.
      scores = tiles->select(
          tiles->compare(read.isBefore ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge,
                         tiles->places(pairs, 0), tiles->places(pairs, 1)),
          scores, 0);
      if (parksScores()) {
        Value shared = tiles->allocate(pairs);
        tiles->store(scores, shared);
        scores = shared;
      }
      read.scores.push_back(scores);
    }
  }
  // Decays of rows go into both factors: two tokens in neighbouring groups meet where the later
  // one's begins, and every pair is in neighbouring groups of one size.
  for (int64_t group = 1; decaysByRow && group < tokenAxis.size; group *= 2)
    emitScoresOfGroups(group);
}

/// Pairs of tokens whose highest different bit is the group's: the earlier one is in the group in
/// front.
Value BlockLowering::isOfGroup(int64_t group) {
  const BlockFrame pairs = {tokenAxis, tokenAxis};
  Value earlier = tiles->places(pairs, 1), later = tiles->places(pairs, 0);
  Value apart = arith::XOrIOp::create(builder(), block->loc, later, earlier);
  const auto bit = static_cast<int32_t>(llvm::Log2_64(static_cast<uint64_t>(group)));
  Value high = arith::ShRUIOp::create(builder(), block->loc, apart, tiles->integer(bit, apart));
  return arith::AndIOp::create(
      builder(), block->loc,
      tiles->compare(arith::CmpIPredicate::eq, high, tiles->integer(1, high)),
      tiles->compare(arith::CmpIPredicate::sgt, later, earlier));
}

void BlockLowering::emitScoresOfGroups(int64_t group) {
  const BlockFrame pairs = {tokenAxis, tokenAxis};
  // By read and update.
  SmallVector<SmallVector<Value>> sums(reads.size(),
                                       SmallVector<Value>(updates.size(), tiles->zeros(pairs)));
  for (size_t slice = 0; slice < rowSlices.size(); ++slice) {
    const Products before = productsOfRows(slice, group, /*reverse=*/true);
    SmallVector<Parts> lefts;
    for (const Update &update : updates)
      lefts.push_back(withDecays(update.left[slice], before.without, slice));
    const Products after = productsOfRows(slice, group, false);
    for (auto [read, own] : llvm::zip_equal(reads, sums)) {
      if (!read.isNeeded)
        continue;
      const Parts query = withDecays(read.query[slice], chosen(after, read.isBefore), slice);
      for (auto [left, sum] : llvm::zip_equal(lefts, own))
        sum = addScores(sum, query, left);
    }
  }
  Value isOwn = isOfGroup(group);
  for (auto [read, own] : llvm::zip_equal(reads, sums))
    for (auto [scores, sum] : llvm::zip(read.scores, own)) {
      Value chosenScores =
          arith::SelectOp::create(builder(), block->loc, isOwn, sum, tiles->load(scores));
      tiles->store(chosenScores, scores);
    }
}

//===----------------------------------------------------------------------===//
// Reads and the state
//===----------------------------------------------------------------------===//

/// What a read has of the state before this chunk.
Value BlockLowering::shareOf(Read &read) {
  if (read.share)
    return read.share;
  const BlockFrame results = {columnAxis, tokenAxis};
  read.share = tiles->zeros(results);
  for (auto [slice, factor] : llvm::enumerate(read.query)) {
    const Parts query =
        decaysByRow
            ? withDecays(factor, chosen(productsOfRows(slice, 0, false), read.isBefore), slice)
            : factor;
    read.share = tiles->dot(tiles->split(currentState(slice)),
                            tiles->load(query, /*transposed=*/true), read.share);
  }
  if (hasDecay && !decaysByRow)
    read.share = tiles->multiply(
        read.share, tiles->broadcast(tiles->load(chosen(decays.upTo, read.isBefore)), 0, results));
  if (decaysByColumn)
    read.share = tiles->multiply(
        read.share, tiles->transpose(chosen(productsOfColumns(0, false), read.isBefore)));
  return read.share;
}

/// Adds what a read has of the chunk's own updates. Between two tokens of neighbouring groups, what
/// the earlier one adds decays up to where the later one's group begins, and the product from there
/// on.
Value BlockLowering::addDecayedColumns(Value sum, const Read &read, size_t update) {
  Value scores = scoresOf(read, update);
  const Parts &shared = updates[update].right;
  const BlockFrame pairs = {tokenAxis, tokenAxis};
  auto weights = [&](Value isWanted) {
    return tiles->transpose(tiles->split(tiles->select(isWanted, scores, 0)));
  };
  if (!read.isBefore)
    sum = tiles->dot(tiles->load(shared, /*transposed=*/true),
                     weights(tiles->compare(arith::CmpIPredicate::eq, tiles->places(pairs, 0),
                                            tiles->places(pairs, 1))),
                     sum);
  for (int64_t group = 1; group < tokenAxis.size; group *= 2) {
    Value right = tiles->multiply(tiles->join(tiles->load(shared, /*transposed=*/false)),
                                  productsOfColumns(group, /*reverse=*/true).without);
    Value added = tiles->dot(tiles->transpose(tiles->split(right)), weights(isOfGroup(group)),
                             tiles->zeros({columnAxis, tokenAxis}));
    Value after = chosen(productsOfColumns(group, false), read.isBefore);
    sum = tiles->add(sum, tiles->multiply(added, tiles->transpose(after)));
  }
  return sum;
}

Value BlockLowering::emitRead(Read &read) {
  Value sum = shareOf(read);
  for (auto [number, update] : llvm::enumerate(updates))
    if (decaysByColumn)
      sum = addDecayedColumns(sum, read, number);
    else
      sum = tiles->dot(tiles->load(update.right, /*transposed=*/true),
                       tiles->transpose(tiles->split(scoresOf(read, number))), sum);
  return sum;
}

/// An update's right factors of all tokens, each with the decays behind it that are the same for
/// all rows.
Parts BlockLowering::rightBehind(const Update &update) {
  Parts right = tiles->load(update.right, /*transposed=*/true);
  const bool isCommon = hasDecay && !decaysByRow;
  if (!isCommon && !decaysByColumn)
    return right;
  Value all = tiles->join(right);
  if (isCommon)
    all = tiles->multiply(all,
                          tiles->broadcast(tiles->load(decays.behind), 0, {columnAxis, tokenAxis}));
  if (decaysByColumn)
    all = tiles->multiply(all, tiles->transpose(productsOfColumns(0, /*reverse=*/true).without));
  return tiles->split(all);
}

/// The slices of the state behind the chunk; a parked one is stored.
BlockLowering::Slices<Value> BlockLowering::emitUpdates() {
  SmallVector<Parts> rights;
  for (const Update &update : updates)
    rights.push_back(rightBehind(update));
  Value ofColumns;
  if (decaysByColumn)
    ofColumns = last(productsOfColumns(0, false).with);
  Slices<Value> result;
  for (auto [slice, rows] : llvm::enumerate(rowSlices)) {
    // The state comes last: beside what makes decays there is no room for it.
    SmallVector<Parts> lefts;
    Value behind;
    if (decaysByRow)
      behind = productsOfRows(slice, 0, /*reverse=*/true).without;
    for (const Update &update : updates)
      lefts.push_back(decaysByRow ? withDecays(update.left[slice], behind, slice)
                                  : update.left[slice]);
    Value all;
    if (hasDecay)
      all = decaysByRow ? last(productsOfRows(slice, 0, false).with)
                        : tiles->element(decays.upTo.with, tokenAxis.size - 1);
    if (isSummary() && slice < decayProducts.size())
      decayProducts[slice] = tiles->multiply(decayProducts[slice], all);
    Value after = currentState(slice);
    if (hasDecay) {
      const BlockFrame frame = {columnAxis, rows};
      after = tiles->multiply(
          after, decaysByRow ? tiles->broadcast(all, 0, frame)
                             : expr->splat(all, BlockExpr::tileType(frame, block->real)));
    }
    if (ofColumns)
      after = tiles->multiply(after, tiles->broadcast(ofColumns, 1, {columnAxis, rows}));
    for (auto [left, right] : llvm::zip_equal(lefts, rights))
      after = tiles->dot(right, tiles->load(left, false), after);
    if (!parked.empty())
      tiles->store(after, parked[slice]);
    result.push_back(after);
  }
  return result;
}

LogicalResult BlockLowering::storeOutputs() {
  const BlockFrame frame = {columnAxis, tokenAxis};
  const auto inputs = static_cast<int32_t>(llvm::count_if(
      plan.tensors, [](const TensorPlan &tensor) { return tensor.role != SEQ_ROLE_OUTPUT; }));
  for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>())) {
    Value tile = expr->evaluate(output.getSourceAttr().getAttr(), frame);
    if (!tile)
      return failure();
    const LaneArray array = share && !share->isLast()
                                ? PartShare::array(*block, share->all, share->part.kept[number])
                                : block->tensor(inputs + static_cast<int32_t>(number));
    SmallVector<Value> strides;
    Value base = expr->address(array, {1, 0}, {0, 0}, frame, strides);
    expr->store(tile, array, base, strides, frame);
  }
  return success();
}

/// Whether two parts of a dim begin at the same place.
static bool isSamePlace(const BlockAxis &a, const BlockAxis &b) {
  auto firstOf = [](const BlockAxis &axis) {
    return axis.first ? getConstantIntValue(axis.first) : std::optional<int64_t>(0);
  };
  return firstOf(a) && firstOf(a) == firstOf(b);
}

FailureOr<BlockLowering::Slices<Value>> BlockLowering::emitChunk() {
  findFactors();
  if (failed(makeDecays()))
    return failure();
  makeCoefficients();
  if (failed(storeFactors()))
    return failure();
  expr->setShared(
      [this](StringAttr symbol, const BlockAxis &places) -> Value {
        auto found = factors.find(symbol);
        if (found == factors.end())
          return {};
        for (auto [rows, parts] : llvm::zip_equal(rowSlices, found->second))
          if (rows.dim == places.dim && rows.size == places.size && isSamePlace(rows, places))
            return tiles->join(tiles->load(parts, /*transposed=*/false));
        return {};
      },
      rowSlices.front().size);
  emitScores();
  if (failed(solveUpdates()))
    return failure();
  for (Read &read : reads)
    if (read.result)
      expr->bind(read.result, emitRead(read));
  if (!isSummary() && failed(storeOutputs()))
    return failure();
  return emitUpdates();
}

} // namespace seqmix::gpu
