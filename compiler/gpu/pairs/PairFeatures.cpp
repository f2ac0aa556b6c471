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
          OpBuilder::InsertionGuard guard(builder);
          if (front && !varies(factors[0], kColumn))
            builder.setInsertionPoint(front);
          return load(read, tensor, places);
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

PairExpr::Result PairExpr::product(ReduceOp op, ArrayRef<Term> terms, Axis feature) {
  Value sum = block.zero(tiles.typeOf({kRow, kColumn}, tiles.real));
  for (const Term &term : terms) {
    SmallVector<Value> ofRow, ofColumn;
    for (Value factor : term.factors) {
      const bool isOfColumn = varies(factor, kColumn);
      if (isOfColumn && varies(factor, kRow))
        return refuse(op,
                      "a sum over features of what is no product of something of each position"),
               failure();
      (isOfColumn ? ofColumn : ofRow).push_back(factor);
    }
    Result b = factorOf(op, ofColumn, {kColumn, feature});
    if (failed(b))
      return failure();
    PairFactor left, right;
    {
      // The row's side is made once.
      OpBuilder::InsertionGuard guard(builder);
      if (front)
        builder.setInsertionPoint(front);
      Result a = factorOf(op, ofRow, {kRow, feature});
      if (failed(a))
        return failure();
      if (term.isNegative)
        a->value = arith::NegFOp::create(builder, loc, widened(*a, SEQ_F32).value);
      if (areSame(tiles, *a, *b)) {
        left.parts = {a->value};
        right.parts = {b->value};
      } else {
        left = products.cut(a->value);
      }
    }
    if (right.parts.empty())
      right = products.cut(b->value);
    sum = products.multiply(left, products.share(right, /*transposed=*/true), sum);
  }
  return PairValue{sum, {kRow, kColumn}, 0};
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
  auto &features = featuresOf[op];
  if (features.empty())
    features.push_back(tiles.addFeature(sizes.back()));
  const Axis feature = features[0];
  int64_t count = 1;
  for (int64_t size : ArrayRef(sizes).drop_back())
    count *= size;
  if (count > 16)
    return refuse(op, "a reduction over several large dims"), failure();
  Block &inner = op.getBody().front();
  const bool isProduct = llvm::all_of(ArrayRef<Axis>{kRow, kColumn},
                                      [&](Axis axis) { return varies(op.getResult(), axis); });
  if (isProduct && op.getKind() != ReduceKind::Sum)
    return refuse(op, "a maximum over features at pairs of positions"), failure();
  PairValue result;
  for (int64_t n = 0; n < count; ++n) {
    SmallVector<PairValue> places(sizes.size());
    int64_t rest = n;
    for (auto dim = static_cast<int64_t>(sizes.size()) - 2; dim >= 0; --dim) {
      places[dim] = PairValue::index(rest % sizes[dim]);
      rest /= sizes[dim];
    }
    places.back() = PairValue::along(feature);
    for (auto [argument, place] : llvm::zip_equal(inner.getArguments(), places))
      bindings[argument] = place;
    Value term = inner.getTerminator()->getOperand(0);
    Result value = isProduct ? product(op, termsOf(term), feature) : eval(term);
    if (failed(value))
      return failure();
    if (!isProduct) {
      if (value->axes.empty() || ArrayRef<Axis>(value->axes) == ArrayRef<Axis>{feature})
        return refuse(op, "a reduction that no position enters"), failure();
      PairValue whole[] = {*value, PairValue{value->value, {feature}, 0}};
      if (failed(fits(op, whole)))
        return failure();
      *value = tiles.reduce(*value, feature, op.getKind());
    }
    result =
        n == 0 ? *value
               : PairValue{tiles.combine(op.getKind(), result.value, value->value), value->axes, 0};
  }
  return result;
}

PairExpr::Result PairExpr::weighted(Block &part, ArrayRef<PairValue> arguments, Axis feature,
                                    const PairValue &weights, Value sum) {
  Operation *at = part.getParentOp();
  for (auto [argument, value] : llvm::zip_equal(part.getArguments(), arguments))
    bindings[argument] = value;
  for (const Term &term : termsOf(part.getTerminator()->getOperand(0))) {
    // What no feature enters belongs to the weights, what only the row does to the sum.
    SmallVector<Value> ofWeights, ofColumn, ofRow;
    for (Value factor : term.factors) {
      const bool hasFeature = varies(factor, feature), isOfColumn = varies(factor, kColumn);
      if (hasFeature && isOfColumn && varies(factor, kRow))
        return refuse(at, "values that depend on both positions and a feature"), failure();
      (!hasFeature                           ? ofWeights
       : isOfColumn || !varies(factor, kRow) ? ofColumn
                                             : ofRow)
          .push_back(factor);
    }
    PairValue own = weights;
    for (Value factor : ofWeights) {
      Result value = eval(factor);
      if (failed(value))
        return failure();
      own = tiles.multiply(own, *value);
    }
    if (term.isNegative)
      own.value = arith::NegFOp::create(builder, loc, own.value);
    Result values = factorOf(part.getTerminator(), ofColumn, {kColumn, feature});
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
  return PairValue{sum, {kRow, feature}, 0};
}

} // namespace seqmix::gpu
