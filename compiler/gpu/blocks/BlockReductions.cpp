//===- BlockReductions.cpp - reductions in equations for tiles of tokens -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockExpr.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SaveAndRestore.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Elements of a token that are summed at once.
static constexpr int64_t kMostSummed = 128;

/// What a reduction of nothing is.
static double neutralOf(ReduceKind kind) {
  const double infinity = std::numeric_limits<double>::infinity();
  switch (kind) {
  case ReduceKind::Sum:
    return 0;
  case ReduceKind::Prod:
    return 1;
  case ReduceKind::Min:
    return infinity;
  case ReduceKind::Max:
  case ReduceKind::LogSumExp:
    return -infinity;
  }
  llvm_unreachable("every reduction is handled");
}

Value BlockExpr::combine(ReduceKind kind, Value a, Value b) {
  switch (kind) {
  case ReduceKind::Sum:
    return arith::AddFOp::create(builder, block.loc, a, b);
  case ReduceKind::Prod:
    return arith::MulFOp::create(builder, block.loc, a, b);
  case ReduceKind::Max:
    return BinaryOp::create(builder, block.loc, BinaryFn::Max, a, b);
  case ReduceKind::Min:
    return BinaryOp::create(builder, block.loc, BinaryFn::Min, a, b);
  case ReduceKind::LogSumExp:
    return BinaryOp::create(builder, block.loc, BinaryFn::LogAddExp, a, b);
  }
  llvm_unreachable("every reduction is handled");
}

/// A reduction over a dim, for each token: on tiles of tokens by that dim.
BlockExpr::Result BlockExpr::reduce(ReduceOp op) {
  if (op.getDims().size() != 1 || !op.getDomain().empty())
    return refuse("a reduction over several dims or a domain in an equation");
  StringAttr dim = cast<FlatSymbolRefAttr>(op.getDims()[0]).getAttr(),
             tokens = tokenDimOf(mixer).getAttr();
  auto dimOp = cast<DimOp>(chunk::lookup(mixer, dim));
  auto token = llvm::find_if(frame, [&](const BlockAxis &axis) { return axis.dim == tokens; });
  if (!dimOp.getSize())
    return refuse("a sum over positions in an equation");
  const auto size = static_cast<int64_t>(*dimOp.getSize());
  const bool isOfTokens = token != frame.end();
  const auto number = static_cast<int>(token - frame.begin());
  const unsigned own = isOfTokens ? 1U << number : 0;
  // Made once a chunk, however many factors and slices of them need it, unless constant indices
  // stand for something else each time.
  const bool isCommon =
      llvm::none_of(bindings, [](const auto &binding) { return binding.second.axis == -1; });
  if (Value made = isCommon ? sums.lookup(op) : Value();
      made && made.getParentBlock() == builder.getInsertionBlock())
    return Evaluated{false, -1, 0, made, own};
  BlockFrame summedFrame;
  if (isOfTokens)
    summedFrame.push_back(*token);
  // What is known is known for the outer frame's axes.
  auto outerBindings = bindings;
  auto outerValues = std::exchange(values, decltype(values)());
  auto outerKnown = std::exchange(known, decltype(known)());
  BlockFrame outerFrame = frame;
  llvm::SaveAndRestore inSum(isInSum, true);
  llvm::scope_exit restore([&] {
    bindings = std::move(outerBindings);
    values = std::move(outerValues);
    known = std::move(outerKnown);
    frame = std::move(outerFrame);
  });
  for (auto &[argument, place] : bindings)
    if (place.axis >= 0)
      place.axis = isOfTokens && place.axis == number ? 0 : kOtherAxis;
  bindings[op.getBody().front().getArgument(0)] = {true, isOfTokens ? 1 : 0, 0, {}, 0};
  // In parts that fit in registers.
  Value total;
  for (int64_t first = 0; first < size; first += kMostSummed) {
    const int64_t rest = size - first;
    BlockAxis summed{dim, {}, {}, {}};
    summed.size = std::clamp<int64_t>(llvm::PowerOf2Ceil(rest), 16, kMostSummed);
    if (first)
      summed.first = block.i64(first);
    if (rest < summed.size)
      summed.exists = block.i64(rest);
    frame = summedFrame;
    frame.push_back(summed);
    values.clear();
    known.clear();
    Result value = eval(op.getBody().front().getTerminator()->getOperand(0));
    if (failed(value))
      return failure();
    if (!isReal(*value))
      return refuse("a reduction of integers");
    Value part = reduced(op.getKind(),
                         mask(widen(*value, isOfTokens ? 3 : 1), frame, neutralOf(op.getKind())));
    total = total ? combine(op.getKind(), total, part) : part;
  }
  if (isCommon)
    sums[op] = total;
  return Evaluated{false, -1, 0, total, own};
}

/// Of the elements, of each token where there are several.
Value BlockExpr::reduced(ReduceKind kind, Value tile) {
  Type type = block.real;
  if (frame.size() == 2)
    type = tileType({frame.front()}, block.real);
  auto sum = tile::ReduceOp::create(builder, block.loc, TypeRange{type}, ValueRange{tile},
                                    static_cast<uint32_t>(frame.size() - 1));
  OpBuilder::InsertionGuard guard(builder);
  Block *region =
      builder.createBlock(&sum.getBody(), {}, {block.real, block.real}, {block.loc, block.loc});
  tile::YieldOp::create(builder, block.loc,
                        combine(kind, region->getArgument(0), region->getArgument(1)));
  return sum.getResult(0);
}

} // namespace seqmix::gpu
