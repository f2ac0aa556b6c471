//===- BlockSolve.cpp - updates that read the state, in blocks of tokens --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/BlockLowering.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <map>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Tokens of a basic block: columns of more than these, loaded ahead of their use, would not fit in
/// registers.
static constexpr int64_t kTokensTogether = 4;

/// The sum over an update's reads of coefficients times `what` of the read; null for none or an
/// error.
Value BlockLowering::sumReads(const Update &update, const BlockFrame &frame,
                              llvm::function_ref<Value(Read &)> what, bool &isGood) {
  Value sum;
  for (TermAttr term : update.terms) {
    if (term.getRead() < 0)
      continue;
    Value value = what(reads[term.getRead()]);
    if (term.getCoef()) {
      Value coefficient = expr->evaluate(term.getCoef().getAttr(), frame);
      isGood &= bool(coefficient);
      if (!coefficient)
        return {};
      value = tiles->multiply(coefficient, value);
    }
    sum = sum ? tiles->add(sum, value) : value;
  }
  return sum;
}

/// The right factors of updates with reads of the state before each token: those of tokens in
/// order, by substitution in f32, each added to all later ones at once.
LogicalResult BlockLowering::solveUpdates() {
  const BlockFrame columns = {tokenAxis, columnAxis}, results = {columnAxis, tokenAxis},
                   pairs = {tokenAxis, tokenAxis}, tokens = {tokenAxis};
  if (llvm::none_of(updates, [](const Update &update) { return update.isSolved(); }))
    return success();
  bool isGood = true;
  // What a token's factor in an update adds to later tokens' in another one, by token: each a
  // column of a matrix.
  std::map<std::pair<size_t, size_t>, SmallVector<Value>> added;
  for (auto [to, update] : llvm::enumerate(updates)) {
    if (!update.isSolved())
      continue;
    Value share = sumReads(update, results, [&](Read &read) { return shareOf(read); }, isGood);
    if (!isGood)
      return failure();
    tiles->store(share, update.share, /*transposed=*/true);
    for (size_t from = 0; from < updates.size(); ++from) {
      Value weights =
          sumReads(update, pairs, [&](Read &read) { return read.scores[from]; }, isGood);
      if (!isGood)
        return failure();
      Value matrix = tiles->allocate(pairs);
      tiles->store(weights, matrix);
      Value rows = tiles->load(matrix);
      for (int64_t token = 0; token + 1 < tokenAxis.size; ++token) {
        Value column = tiles->allocate(tokens);
        tiles->store(tiles->pick(rows, 1, token), column);
        added[{from, to}].push_back(column);
      }
    }
  }
  SmallVector<Value> rights;
  for (const Update &update : updates)
    rights.push_back(update.isSolved()
                         ? tiles->add(tiles->load(update.own), tiles->load(update.share))
                         : tiles->join(tiles->load(update.right, false)));
  auto addTokens = [&](int64_t first) {
    const int64_t end = std::min(first + kTokensTogether, tokenAxis.size - 1);
    for (int64_t token = first; token < end; ++token) {
      SmallVector<Value> own;
      for (Value right : rights)
        own.push_back(tiles->broadcast(tiles->pick(right, 0, token), 0, columns));
      for (auto &[ends, weights] : added) {
        Value weight = tiles->broadcast(tiles->load(weights[token]), 1, columns);
        rights[ends.second] =
            tiles->add(rights[ends.second], tiles->multiply(weight, own[ends.first]));
      }
    }
  };
  addTokens(0);
  for (int64_t first = kTokensTogether; first + 1 < tokenAxis.size; first += kTokensTogether) {
    Value exist = arith::CmpIOp::create(builder(), block->loc, arith::CmpIPredicate::sgt,
                                        tokenAxis.exists, block->i64(first));
    auto choice = scf::IfOp::create(builder(), block->loc, ValueRange(rights).getTypes(), exist,
                                    /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(builder());
    builder().setInsertionPointToEnd(choice.elseBlock());
    scf::YieldOp::create(builder(), block->loc, rights);
    builder().setInsertionPointToEnd(choice.thenBlock());
    addTokens(first);
    scf::YieldOp::create(builder(), block->loc, rights);
    rights.assign(choice.result_begin(), choice.result_end());
  }
  for (auto [update, right] : llvm::zip_equal(updates, rights))
    if (update.isSolved() && failed(storeFactor(right, columns, update.right)))
      return failure();
  return success();
}

} // namespace seqmix::gpu
