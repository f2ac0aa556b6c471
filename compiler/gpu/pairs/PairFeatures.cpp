//===- PairFeatures.cpp - sums over the features of pairs --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairExpr.h"

#include "compiler/chunk/Reads.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Features that are reduced at once; more are in slices.
static constexpr int64_t kMostWhole = 128;
/// Slices of a score's features that are written down one after the other.
static constexpr int64_t kMostUnrolled = 4;

SmallVector<PairExpr::Term> PairExpr::termsOf(Value value) {
  if (auto unary = value.getDefiningOp<UnaryOp>(); unary && unary.getFn() == UnaryFn::Neg) {
    SmallVector<Term> terms = termsOf(unary.getOperand());
    for (Term &term : terms)
      term.isNegative ^= true;
    return terms;
  }
  auto binary = value.getDefiningOp<BinaryOp>();
  if (!binary || binary.getType().isIndex())
    return {{false, {value}}};
  const BinaryFn fn = binary.getFn();
  if (fn == BinaryFn::Add || fn == BinaryFn::Sub) {
    SmallVector<Term> left = termsOf(binary.getLhs()), right = termsOf(binary.getRhs());
    for (Term &term : right)
      term.isNegative ^= fn == BinaryFn::Sub;
    llvm::append_range(left, right);
    return left;
  }
  if (fn != BinaryFn::Mul)
    return {{false, {value}}};
  SmallVector<Term> left = termsOf(binary.getLhs()), right = termsOf(binary.getRhs());
  Term product;
  for (auto [side, whole] :
       {std::pair(&left, binary.getLhs()), std::pair(&right, binary.getRhs())}) {
    if (side->size() != 1) {
      product.factors.push_back(whole);
      continue;
    }
    product.isNegative ^= side->front().isNegative;
    llvm::append_range(product.factors, side->front().factors);
  }
  return {product};
}

PairExpr::Result PairExpr::factorOf(Operation *op, ArrayRef<Value> factors, ArrayRef<Axis> axes) {
  if (factors.size() == 1)
    if (auto read = factors[0].getDefiningOp<ReadOp>())
      if (auto tensor = dyn_cast<TensorOp>(chunk::lookup(mixer, read.getSourceAttr()));
          tensor && isa<FloatType>(tensor.getDtype())) {
        SmallVector<PairValue> operands, places;
        bool isKnown = true;
        for (Value operand : read.getOperands()) {
          Result value = eval(operand);
          if (failed(value))
            return failure();
          operands.push_back(*value);
        }
        for (AffineExpr expr : read.getMap().getResults()) {
          Result value = place(read, expr, operands);
          if (failed(value))
            return failure();
          const int64_t size = sizeOf(tensor.getDims()[places.size()]);
          isKnown &= value->isKnownIndex() &&
                     (value->axes.empty() ? value->offset >= 0 && value->offset < size
                                          : value->offset == 0 &&
                                                (size < 0 || tiles.sizeOf(value->axes[0]) == size));
          places.push_back(*value);
        }
        auto all = PairTiles::united(places);
        if (isKnown && all && ArrayRef<Axis>(*all) == axes) {
          PairValue value;
          auto made = [&]() -> LogicalResult {
            Result own = load(read, tensor, places);
            if (failed(own))
              return failure();
            value = *own;
            return success();
          };
          if (failed(atLevel(levelOf(factors[0]), made)))
            return failure();
          return value;
        }
      }
  PairValue product = tiles.constant(1);
  bool isFirst = true;
  for (Value factor : factors) {
    Result value = eval(factor);
    if (failed(value))
      return failure();
    PairValue both[] = {product, *value};
    if (failed(fits(op, both)))
      return failure();
    product = isFirst ? *value : tiles.multiply(product, *value);
    isFirst = false;
  }
  product = tiles.withoutPadding({tiles.spread(product, axes), Axes(axes), 0});
  return product;
}

/// Whether both factors are stored in the same 16 bits, which the tensor cores take as they are.
static bool areSame(PairTiles &tiles, const PairValue &a, const PairValue &b) {
  Type type = getElementTypeOrSelf(a.value.getType());
  return tiles.real.isF32() && type == getElementTypeOrSelf(b.value.getType()) &&
         type.getIntOrFloatBitWidth() == 16;
}

PairExpr::Result PairExpr::product(ReduceOp op, ArrayRef<Term> terms, Axes axes, Axis feature,
                                   Value sum) {
  const Axis a = axes[0], b = axes[1];
  for (const Term &term : terms) {
    SmallVector<Value> ofA, ofB;
    for (Value factor : term.factors)
      (varies(factor, b) ? ofB : ofA).push_back(factor);
    Result right = factorOf(op, ofB, {b, feature});
    if (failed(right))
      return failure();
    // The row's side is made once.
    PairFactor left, shared;
    bool isParked = false;
    size_t level = levelOf(PairValue{{}, {a, feature}, 0});
    for (Value factor : ofA)
      level = std::max(level, levelOf(factor));
    if (level + 1 < levels.size() && !products.takesShared(a, feature))
      level = levels.size() - 1;
    auto made = [&]() -> LogicalResult {
      Result own = factorOf(op, ofA, {a, feature});
      if (failed(own))
        return failure();
      if (term.isNegative)
        own->value = arith::NegFOp::create(builder, loc, widened(*own, SEQ_F32).value);
      if (areSame(tiles, *own, *right)) {
        left.parts = {own->value};
        shared.parts = {right->value};
      } else {
        left = products.cut(own->value);
      }
      isParked = !products.takesRegisters(left);
      if (isParked)
        left = products.park(left);
      return success();
    };
    if (failed(atLevel(level, made)))
      return failure();
    if (shared.parts.empty())
      shared = products.cut(right->value);
    if (isParked)
      left = products.fetch(left, /*transposed=*/false);
    sum = products.multiply(left, products.share(shared, /*transposed=*/true), sum);
  }
  return PairValue{sum, axes, 0};
}

PairExpr::Result PairExpr::reduce(ReduceOp op) {
  SmallVector<int64_t> sizes;
  for (Attribute dim : op.getDims()) {
    sizes.push_back(sizeOf(dim));
    if (sizes.back() < 0)
      return refuse(op, "a reduction over positions inside of one over pairs"), failure();
  }
  if (!op.getDomain().empty())
    return refuse(op, "a reduction over some features only"), failure();
  int64_t count = 1;
  for (int64_t size : ArrayRef(sizes).drop_back())
    count *= size;
  if (count > 16)
    return refuse(op, "a reduction over several large dims"), failure();
  const Axes axes = axesOf(op.getResult());
  if (axes.size() > 2)
    return refuse(op, "a value that varies over more than two dims at a pair "
                      "of positions"),
           failure();
  Block &inside = op.getBody().front();
  PairValue result;
  for (int64_t n = 0; n < count; ++n) {
    int64_t rest = n;
    for (auto dim = static_cast<int64_t>(sizes.size()) - 2; dim >= 0; --dim) {
      bindings[inside.getArgument(dim)] = PairValue::index(rest % sizes[dim]);
      rest /= sizes[dim];
    }
    Result value = axes.size() == 2 ? combined(op, axes) : reduced(op, axes);
    if (failed(value))
      return failure();
    result =
        n == 0 ? *value
               : PairValue{tiles.combine(op.getKind(), result.value, value->value), value->axes, 0};
  }
  return result;
}

/// Of what varies over at most one axis beside the feature: the elements of a tile, or of slices.
PairExpr::Result PairExpr::reduced(ReduceOp op, const Axes &axes) {
  Block &inside = op.getBody().front();
  BlockArgument argument = inside.getArguments().back();
  const int64_t size = sizeOf(op.getDims().getValue().back());
  auto ofTile = [&](Axis feature) -> Result {
    bindings[argument] = PairValue::along(feature);
    Result value = eval(inside.getTerminator()->getOperand(0));
    if (failed(value))
      return failure();
    PairValue whole[] = {*value, PairValue{{}, {feature}, 0}};
    if (failed(fits(op, whole)))
      return failure();
    return tiles.reduce(*value, feature, op.getKind());
  };
  if (size <= kMostWhole) {
    auto &features = featuresOf[op];
    if (features.empty())
      features.push_back(tiles.addFeature(size));
    return ofTile(features[0]);
  }
  Value start = tiles.spread(tiles.identity(op.getKind()), axes);
  auto made = inSlices(size, start, [&](Axis feature, Value before) -> FailureOr<Value> {
    Result value = ofTile(feature);
    if (failed(value))
      return failure();
    return tiles.combine(op.getKind(), before, tiles.spread(*value, axes));
  });
  if (failed(made))
    return failure();
  return PairValue{*made, axes, 0};
}

/// Of what varies over two axes beside the feature: products of something of the one and something
/// of the other are matrix products, all else is made for one feature after the other.
PairExpr::Result PairExpr::combined(ReduceOp op, const Axes &axes) {
  Block &inside = op.getBody().front();
  BlockArgument argument = inside.getArguments().back();
  const int64_t size = sizeOf(op.getDims().getValue().back());
  SmallVector<Term> pure, mixed;
  if (op.getKind() == ReduceKind::Sum) {
    bindings[argument] = PairValue::index(0); // it is along neither
    for (Term &term : expanded(termsOf(inside.getTerminator()->getOperand(0)), axes, argument))
      (llvm::any_of(term.factors, [&](Value factor) { return variesAlong(factor, axes); }) ? mixed
                                                                                           : pure)
          .push_back(std::move(term));
  } else {
    mixed.push_back({false, {inside.getTerminator()->getOperand(0)}});
  }
  PairValue sum;
  if (!pure.empty()) {
    Result product = productOf(op, pure, axes, argument, size);
    if (failed(product))
      return failure();
    sum = *product;
  }
  if (mixed.empty())
    return sum;
  const ReduceKind kind = op.getKind();
  PairValue start = sum;
  if (!start.value)
    start = {tiles.spread(tiles.identity(kind), axes), axes, 0};
  auto made = byFeature(
      mixed, argument, size, start.value, [&](const PairValue &value, Value, Value before) {
        return FailureOr<Value>(tiles.combine(kind, before, tiles.spread(value, axes)));
      });
  if (failed(made))
    return failure();
  return PairValue{*made, axes, 0};
}

/// The product over all features: of a row and a column at once where that fits in registers, else
/// slice by slice.
PairExpr::Result PairExpr::productOf(ReduceOp op, ArrayRef<Term> terms, const Axes &axes,
                                     BlockArgument argument, int64_t size) {
  Value zero = block.zero(tiles.typeOf(axes, tiles.real));
  if (axes[1] == kColumn && size <= kMostUnrolled * PairTiles::kMostFeatures) {
    // The row's side of each slice is made once.
    auto &features = featuresOf[op];
    auto addFeatures = [&]() -> LogicalResult {
      if (size <= PairTiles::kMostFeatures)
        features.push_back(tiles.addFeature(size));
      else
        for (int64_t first = 0; first < size; first += PairTiles::kMostFeatures)
          features.push_back(tiles.addSlice(size, PairTiles::kMostFeatures, block.i64(first)));
      return success();
    };
    if (features.empty() && failed(atLevel(0, addFeatures)))
      return failure();
    PairValue sum{zero, axes, 0};
    for (Axis feature : SmallVector<Axis>(features)) {
      bindings[argument] = PairValue::along(feature);
      Result more = product(op, terms, axes, feature, sum.value);
      if (failed(more))
        return failure();
      sum = *more;
    }
    return sum;
  }
  auto sum = inSlices(size, zero, [&](Axis feature, Value before) -> FailureOr<Value> {
    bindings[argument] = PairValue::along(feature);
    Result value = product(op, terms, axes, feature, before);
    return failed(value) ? FailureOr<Value>() : value->value;
  });
  if (failed(sum))
    return failure();
  return PairValue{*sum, axes, 0};
}

PairExpr::Result PairExpr::weighted(Block &part, ArrayRef<PairValue> arguments, Axis feature,
                                    const PairValue &weights, Value sum) {
  for (auto [argument, value] : llvm::zip_equal(part.getArguments(), arguments))
    bindings[argument] = value;
  return weighted(part.getTerminator()->getOperand(0), part.getArguments().back(), feature, weights,
                  sum);
}

PairExpr::Result PairExpr::weighted(Value whole, BlockArgument argument, Axis feature,
                                    const PairValue &weights, Value sum) {
  Operation *at = argument.getOwner()->getParentOp();
  const Axes pair = {kRow, kColumn};
  SmallVector<Term> mixed;
  for (Term &term : expanded(termsOf(whole), pair, argument)) {
    auto isMixed = [&](Value factor) {
      return varies(factor, feature) && variesAlong(factor, pair);
    };
    if (const auto *factor = llvm::find_if(term.factors, isMixed); factor != term.factors.end()) {
      if (auto reduce = sumInside(term, *factor, feature)) {
        auto made = weightedInside(term, reduce, argument, feature, weights, sum);
        if (failed(made))
          return failure();
        sum = *made;
        continue;
      }
      mixed.push_back(std::move(term));
      continue;
    }
    // What no feature enters belongs to the weights, what only the row does to the sum.
    SmallVector<Value> ofWeights, ofColumn, ofRow;
    for (Value factor : term.factors) {
      const bool hasFeature = varies(factor, feature), isOfColumn = varies(factor, kColumn);
      (!hasFeature                           ? ofWeights
       : isOfColumn || !varies(factor, kRow) ? ofColumn
                                             : ofRow)
          .push_back(factor);
    }
    Result made = weightedBy(weights, ofWeights, term.isNegative);
    if (failed(made))
      return failure();
    PairValue own = *made;
    Result values = factorOf(at, ofColumn, {kColumn, feature});
    if (failed(values))
      return failure();
    const bool isStored =
        ofColumn.size() == 1 && ofColumn[0].getDefiningOp<ReadOp>() &&
        isa<TensorOp>(chunk::lookup(mixer, ofColumn[0].getDefiningOp<ReadOp>().getSourceAttr()));
    if (!isStored) {
      // Of columns that do not exist nothing may be infinite.
      PairValue both[] = {tiles.number(PairValue{{}, {kColumn}, 0}), {tiles.firstColumn, {}, 0}};
      Value past = arith::AddIOp::create(
          builder, loc, tiles.firstColumn,
          arith::TruncIOp::create(builder, loc, builder.getI32Type(), columns.count));
      both[1].value = past;
      tiles.unify(both);
      Value exists = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, both[0].value,
                                           both[1].value);
      *values = tiles.select({exists, {kColumn}, 0}, *values, tiles.constant(0));
    }
    PairFactor left = products.cut(own.value);
    PairFactor right = products.share(products.cut(values->value), /*transposed=*/false);
    if (ofRow.empty()) {
      sum = products.multiply(left, right, sum);
      continue;
    }
    PairValue part{products.multiply(left, right, block.zero(sum.getType())), {kRow, feature}, 0};
    Result scale = factorOf(at, ofRow, {kRow, feature});
    if (failed(scale))
      return failure();
    part = tiles.multiply(part, widened(*scale, SEQ_F32));
    sum = tiles.add({sum, {kRow, feature}, 0}, part).value;
  }
  if (mixed.empty())
    return PairValue{sum, {kRow, feature}, 0};
  // The sum over columns for one feature after the other.
  const Axes axes = {kRow, feature};
  auto made =
      byFeature(mixed, argument, tiles.sizeOf(feature), sum,
                [&](const PairValue &value, Value number, Value before) -> FailureOr<Value> {
                  PairValue own =
                      tiles.reduce(tiles.multiply(weights, value), kColumn, ReduceKind::Sum);
                  return tiles.combine(ReduceKind::Sum, before,
                                       atFeature(own, feature, number, ReduceKind::Sum));
                });
  if (failed(made))
    return failure();
  return PairValue{*made, axes, 0};
}

} // namespace seqmix::gpu
