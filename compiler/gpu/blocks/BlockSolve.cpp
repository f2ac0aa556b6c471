//===- BlockSolve.cpp - updates that read the state, in blocks of tokens --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/BlockLowering.h"
#include "dialect/tile/Tile.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

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
      Value coefficient = coefficientOf(term, frame);
      isGood &= bool(coefficient);
      if (!coefficient)
        return {};
      value = tiles->multiply(coefficient, value);
    }
    sum = sum ? tiles->add(sum, value) : value;
  }
  return sum;
}

/// The right factors of updates with reads of the state before each token: what they read depends
/// on those of earlier tokens in the chunk.
LogicalResult BlockLowering::solveUpdates() {
  const BlockFrame columns = {tokenAxis, stateAxis}, results = {columnAxis, tokenAxis},
                   pairs = {tokenAxis, tokenAxis};
  SmallVector<Update *> solved;
  for (Update &update : updates)
    if (update.isSolved())
      solved.push_back(&update);
  if (solved.empty())
    return success();
  bool isGood = true;
  SmallVector<Value> matrices;
  for (Update *update : solved) {
    Value share = sumReads(*update, results, [&](Read &read) { return shareOf(read); }, isGood);
    if (!isGood)
      return failure();
    tiles->store(share, update->share, /*transposed=*/true);
    // Of the factors that are known the sum is a product.
    for (auto [from, other] : llvm::enumerate(updates)) {
      Value weights =
          sumReads(*update, pairs, [&](Read &read) { return scoresOf(read, from); }, isGood);
      if (!isGood)
        return failure();
      if (other.isSolved()) {
        matrices.push_back(weights);
        continue;
      }
      Value own = tiles->dot(tiles->split(weights), tiles->load(other.right, /*transposed=*/false),
                             tiles->load(update->own));
      tiles->store(own, update->own);
    }
  }
  SmallVector<Value> rights;
  for (Update *update : solved)
    rights.push_back(tiles->add(tiles->load(update->own), tiles->load(update->share)));
  auto solve = tile::SolveOp::create(builder(), block->loc, ValueRange(rights).getTypes(), rights,
                                     matrices, tokenAxis.exists);
  for (auto [update, right] : llvm::zip_equal(solved, solve.getResults()))
    if (failed(storeFactor(right, columns, update->right)))
      return failure();
  return success();
}

} // namespace seqmix::gpu
