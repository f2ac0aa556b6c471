//===- BlockReductions.cpp - reductions in equations for tiles of tokens -----------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/blocks/BlockTiles.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SaveAndRestore.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Elements of a tile that is summed, and of a product's factor.
static constexpr int64_t kMostElements = 2048, kMostOfProduct = 1024;

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

/// Keeps what indices stand for while a reduction is evaluated on a frame of its own.
class BlockExpr::InnerScope {
public:
  explicit InnerScope(BlockExpr &expr)
      : outer{expr.bindings, std::exchange(expr.values, decltype(expr.values)()),
              std::exchange(expr.known, decltype(expr.known)()), expr.frame},
        expr(expr), inSum(expr.isInSum, true) {}
  ~InnerScope() {
    expr.bindings = std::move(outer.bindings);
    expr.values = std::move(outer.values);
    expr.known = std::move(outer.known);
    expr.frame = std::move(outer.frame);
  }
  InnerScope(const InnerScope &) = delete;
  InnerScope &operator=(const InnerScope &) = delete;

  OuterScope outer;

  /// Begins an inner frame: `retained` are the outer axes that it has, in order, before `summed`,
  /// which `index` is along.
  void enter(ArrayRef<int> retained, const BlockAxis &summed, Value index) {
    expr.values.clear();
    expr.known.clear();
    expr.frame.clear();
    for (int axis : retained)
      expr.frame.push_back(outer.frame[static_cast<size_t>(axis)]);
    expr.frame.push_back(summed);
    expr.bindings = outer.bindings;
    for (auto &[argument, place] : expr.bindings) {
      if (!place.isIndex)
        place = {true, kOtherAxis, 0, {}, 0};
      if (place.axis < 0)
        continue;
      const auto *found = llvm::find(retained, place.axis);
      place.axis =
          found == retained.end() ? kOtherAxis : static_cast<int>(found - retained.begin());
    }
    expr.bindings[index] = {true, static_cast<int>(retained.size()), 0, {}, 0};
  }

private:
  BlockExpr &expr;
  llvm::SaveAndRestore<bool> inSum;
};

/// Whether an index that is along this axis enters a value.
bool BlockExpr::dependsOn(Value value, int axis) {
  auto isAlong = [&](BlockArgument argument) {
    auto found = bindings.find(argument);
    return found != bindings.end() &&
           (found->second.isIndex ? found->second.axis == axis
                                  : (found->second.axes >> axis & 1) != 0);
  };
  if (auto argument = dyn_cast<BlockArgument>(value))
    return isAlong(argument);
  return llvm::any_of(dependencies.of(value.getDefiningOp()), isAlong);
}

/// A dim in parts.
SmallVector<BlockAxis> BlockExpr::slicesOf(StringAttr dim, int64_t size, int64_t most) {
  SmallVector<BlockAxis> slices;
  for (int64_t first = 0; first < size; first += most) {
    const int64_t rest = size - first;
    BlockAxis slice{dim, {}, {}, {}};
    slice.size = std::clamp<int64_t>(llvm::PowerOf2Ceil(static_cast<uint64_t>(rest)), 16, most);
    if (first)
      slice.first = block.i64(first);
    if (rest < slice.size)
      slice.exists = block.i64(rest);
    slices.push_back(slice);
  }
  return slices;
}

/// A reduction over a dim. It is one for each token, or, where there is one token, for each place
/// of the frame's only dim or for all.
BlockExpr::Result BlockExpr::reduce(ReduceOp op) {
  if (op.getDims().size() != 1 || !op.getDomain().empty())
    return refuse("a reduction over several dims or a domain in an equation");
  auto dimOp = cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(op.getDims()[0])));
  if (!dimOp.getSize())
    return refuse("a sum over positions in an equation");
  const auto size = static_cast<int64_t>(*dimOp.getSize());
  StringAttr tokens = tokenDimOf(mixer).getAttr();
  Value body = op.getBody().front().getTerminator()->getOperand(0);
  SmallVector<int> retained;
  for (auto [number, axis] : llvm::enumerate(frame)) {
    if (axis.dim == tokens)
      retained = {static_cast<int>(number)};
    else if (frame.size() == 1 && dependsOn(body, 0))
      retained = {0};
  }
  const bool isOfTokens = !retained.empty() && frame[retained[0]].dim == tokens;
  if (isOfTokens && frame.size() == 2 && dependsOn(body, 1 - retained[0]))
    return sumOfProducts(op, size, retained[0]);
  // Made once a chunk, however many factors and slices of them need it, unless constant indices
  // stand for something else each time.
  const bool isCommon =
      (isOfTokens || retained.empty()) &&
      llvm::none_of(bindings, [](const auto &binding) { return binding.second.axis == -1; });
  const unsigned own = retained.empty() ? 0U : 1U << retained[0];
  if (Value made = isCommon ? sums.lookup(op) : Value();
      made && made.getParentBlock() == builder.getInsertionBlock())
    return Evaluated{false, -1, 0, made, own};
  Result total = reduceOver(op, size, retained);
  if (failed(total))
    return failure();
  total->axes = own;
  if (isCommon)
    sums[op] = total->value;
  return total;
}

bool BlockExpr::hasSumsWithin(ReduceOp op) {
  bool result = false;
  op.walk([&](ReadOp read) {
    if (auto define = dyn_cast<DefineOp>(chunk::lookup(mixer, read.getSourceAttr())))
      define.walk([&](ReduceOp) { result = true; });
  });
  return result;
}

BlockExpr::Result BlockExpr::reduceOver(ReduceOp op, int64_t size, ArrayRef<int> retained) {
  const ReduceKind kind = op.getKind();
  const int64_t lines = retained.empty() ? 1 : frame[retained[0]].size;
  // Products of matrices within want registers, too.
  const int64_t most =
      std::clamp<int64_t>(kMostElements / lines, 16, hasSumsWithin(op) ? sharedSlice : kMostSummed);
  StringAttr dim = cast<FlatSymbolRefAttr>(op.getDims()[0]).getAttr();
  Value total;
  InnerScope scope(*this);
  for (const BlockAxis &summed : slicesOf(dim, size, most)) {
    scope.enter(retained, summed, op.getBody().front().getArgument(0));
    Result value = eval(op.getBody().front().getTerminator()->getOperand(0));
    if (failed(value))
      return failure();
    if (!isReal(*value))
      return refuse("a reduction of integers");
    Value part =
        reduced(kind, mask(widen(*value, retained.empty() ? 1 : 3), frame, neutralOf(kind)));
    total = total ? combine(kind, total, part) : part;
  }
  return Evaluated{false, -1, 0, total, 0};
}

/// Products of matrices that stand in shared memory are not made again for sums of them.
Value BlockExpr::inShared(DefineOp define, ArrayRef<Evaluated> arguments) {
  if (!sharedTile || !isInSum || frame.size() != 2 || arguments.size() != 2 ||
      frame[0].dim != tokenDimOf(mixer).getAttr() || !arguments[0].isIndex ||
      arguments[0].axis != 0 || !arguments[1].isIndex || arguments[1].axis != 1)
    return {};
  bool hasSums = false;
  define.walk([&](ReduceOp) { hasSums = true; });
  return hasSums ? sharedTile(define.getSymNameAttr(), frame[1]) : Value();
}

/// A sum for each token and place, of what varies over tokens times what varies over places: a
/// product of matrices.
BlockExpr::Result BlockExpr::sumOfProducts(ReduceOp op, int64_t size, int token) {
  const int other = 1 - token;
  SmallVector<Value> leaves = {op.getBody().front().getTerminator()->getOperand(0)};
  SmallVector<Value> ofTokens, ofPlaces;
  for (size_t number = 0; number < leaves.size(); ++number) {
    auto product = leaves[number].getDefiningOp<BinaryOp>();
    if (product && product.getFn() == BinaryFn::Mul && product.getType().isF64())
      leaves.append({product.getLhs(), product.getRhs()});
    else if (!dependsOn(leaves[number], other))
      ofTokens.push_back(leaves[number]);
    else if (!dependsOn(leaves[number], token))
      ofPlaces.push_back(leaves[number]);
    else
      return refuse("a sum for each place of a dim, of no product");
  }
  if (op.getKind() != ReduceKind::Sum || !tiles)
    return refuse("a sum for each place of a dim, of no product");
  StringAttr dim = cast<FlatSymbolRefAttr>(op.getDims()[0]).getAttr();
  const BlockFrame results = frame;
  Value total = tiles->zeros(results);
  const int64_t most = std::clamp<int64_t>(kMostOfProduct / frame[other].size, 16, 64);
  for (auto [number, summed] : llvm::enumerate(slicesOf(dim, size, most))) {
    Parts first = sharedFactorOf(ofTokens, token, op, summed, static_cast<int64_t>(number));
    Value places = first.empty() ? Value() : factorOf(ofPlaces, other, op, summed);
    if (!places)
      return failure();
    Parts second = tiles->split(places, partsOf(ofPlaces));
    if (token == 1)
      std::swap(first, second);
    total = tiles->dot(first, tiles->transpose(second), total);
  }
  return Evaluated{false, -1, 0, total, 3};
}

/// The parts of the factor that is of tokens; none for an error.
Parts BlockExpr::sharedFactorOf(ArrayRef<Value> leaves, int axis, ReduceOp op,
                                const BlockAxis &summed, int64_t slice) {
  SharedFactor &shared = sharedFactors[{op, slice}];
  if (shared.parts.empty() || shared.block != builder.getInsertionBlock()) {
    const int64_t rows = frame[static_cast<size_t>(axis)].size;
    Value tile = factorOf(leaves, axis, op, summed);
    if (!tile)
      return {};
    Parts parts = tiles->split(tile, partsOf(leaves));
    shared = {builder.getInsertionBlock(),
              tiles->allocate(rows, summed.size, static_cast<unsigned>(parts.size()))};
    tiles->store(parts, shared.parts);
  }
  return tiles->load(shared.parts, /*transposed=*/false);
}

/// The product of values that vary over an axis and the summed dim, zero beyond their ends.
Value BlockExpr::factorOf(ArrayRef<Value> leaves, int axis, ReduceOp op, const BlockAxis &summed) {
  InnerScope scope(*this);
  scope.enter({axis}, summed, op.getBody().front().getArgument(0));
  Evaluated all{false, -1, 0, constant(1, block.real), 0};
  for (auto [number, leaf] : llvm::enumerate(leaves)) {
    Result value = eval(leaf);
    if (failed(value))
      return {};
    Evaluated both[] = {all, *value};
    all = number == 0 ? *value : *elementwise(both, [&](ArrayRef<Value> x) -> Value {
      return arith::MulFOp::create(builder, block.loc, x[0], x[1]);
    });
  }
  return mask(widen(all, 3), frame, 0);
}

/// Parts of a factor: functions of their products want f32's precision where results have it.
unsigned BlockExpr::partsOf(ArrayRef<Value> leaves) const {
  auto read = leaves.size() == 1 ? leaves.front().getDefiningOp<ReadOp>() : ReadOp();
  if (read && storedAs(read.getSourceAttr().getAttr()) == SEQ_BF16)
    return 1;
  return llvm::any_of(block.plan.tensors,
                      [](const TensorPlan &tensor) {
                        return tensor.role == SEQ_ROLE_OUTPUT && tensor.dtype == SEQ_F32;
                      })
             ? 3
             : 2;
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
