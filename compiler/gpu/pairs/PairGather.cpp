//===- PairGather.cpp - elements at computed places --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Elements of tensors, of rows of the carry and of what earlier launches have made are gathered one
// by one where their places are computed.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <numeric>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// Whether a place is compared like that with another one. A negative place is large without its
/// sign.
PairValue PairExpr::compared(arith::CmpIPredicate predicate, const PairValue &place,
                             const PairValue &other) {
  PairValue both[] = {place, tiles.number(other)};
  Axes axes = tiles.unify(both);
  return {arith::CmpIOp::create(builder, loc, predicate, both[0].value, both[1].value), axes, 0};
}

LogicalResult PairExpr::restrict(Operation *at, PairValue &all, const PairValue &inside) {
  PairValue both[] = {all, inside};
  if (failed(fits(at, both)))
    return failure();
  Axes axes = tiles.unify(both);
  all = {arith::AndIOp::create(builder, loc, both[0].value, both[1].value), axes, 0};
  return success();
}

/// Places as numbers, and whether all are inside. Outside everything is zero, but a place that
/// follows from data is moved to the nearest one.
LogicalResult PairExpr::inside(Operation *at, ArrayRef<PairValue> places, ArrayAttr dims,
                               SmallVector<PairValue> &numbersOfPlaces, PairValue &exists) {
  auto read = dyn_cast<ReadOp>(at);
  exists = {arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true)), {}, 0};
  for (auto [slot, place, dim] : llvm::enumerate(places, dims)) {
    const int64_t size = sizeOf(dim);
    PairValue extent = PairValue::index(size);
    if (size < 0)
      extent = {arith::TruncIOp::create(builder, loc, builder.getI32Type(),
                                        extentOf(cast<FlatSymbolRefAttr>(dim))),
                {},
                0};
    PairValue own = tiles.number(place);
    if (!place.isKnownIndex() && read && read.isDataDependent(static_cast<unsigned>(slot))) {
      Result last = integer(at, BinaryFn::Sub, extent, PairValue::index(1));
      Result least = integer(at, BinaryFn::Min, own, *last);
      own = *integer(at, BinaryFn::Max, *least, PairValue::index(0));
      if (size < 0 && // there may be none
          failed(restrict(at, exists,
                          compared(arith::CmpIPredicate::sgt, extent, PairValue::index(0)))))
        return failure();
    } else if ((size < 0 || !place.isConstant()) && !numbers.contains(place.value)) {
      if (failed(restrict(at, exists, compared(arith::CmpIPredicate::ult, own, extent))))
        return failure();
    }
    numbersOfPlaces.push_back(own);
  }
  return success();
}

PairExpr::Result PairExpr::gather(Operation *at, TensorOp tensor, ArrayRef<PairValue> places) {
  int32_t number = 0;
  while (block.plan.tensors[number].name != tensor.getSymName())
    ++number;
  SmallVector<int64_t> slots(places.size());
  std::iota(slots.begin(), slots.end(), 0);
  if (auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder))
    llvm::copy(order.asArrayRef(), slots.begin());
  SmallVector<PairValue> ofTensor;
  PairValue exists;
  if (failed(inside(at, places, tensor.getDims(), ofTensor, exists)))
    return failure();
  std::optional<size_t> tokens;
  if (tensor.getRole() != Role::Param)
    for (auto [slot, dim] : llvm::enumerate(tensor.getDims()))
      if (dim == tokenDimOf(mixer))
        tokens = slot;
  const LaneArray &array = block.tensor(number);
  if (!tokens)
    return gatherFrom(at, array, ofTensor, slots, tensor.getDims(), exists);
  // Rows before those of the call are in the carry.
  Value before = arith::SubIOp::create(builder, loc, rows.length, block.tokens);
  PairValue position{arith::TruncIOp::create(builder, loc, builder.getI32Type(), before), {}, 0};
  SmallVector<PairValue> ofCall(ofTensor);
  Result moved = integer(at, BinaryFn::Sub, ofTensor[*tokens], position);
  ofCall[*tokens] = *moved;
  PairValue inCall = exists;
  PairValue isOfCall = compared(arith::CmpIPredicate::sge, ofTensor[*tokens], position);
  if (failed(restrict(at, inCall, isOfCall)))
    return failure();
  Result result = gatherFrom(at, array, ofCall, slots, tensor.getDims(), inCall);
  if (failed(result) || block.plan.startsAtZero)
    return result;
  auto component = rowsComponent(tensor.getSymNameAttr());
  if (!component)
    return refuse(at, "rows of earlier calls that the carry does not have"), failure();
  const int64_t length = carryComponents(mixer)[*component].shape[0];
  PairValue isEarlier = compared(arith::CmpIPredicate::slt, ofTensor[*tokens], position);
  if (length > 0)
    ofTensor[*tokens] = *integer(at, BinaryFn::Mod, ofTensor[*tokens], PairValue::index(length));
  PairValue inCarry = exists;
  if (failed(restrict(at, inCarry, isEarlier)))
    return failure();
  // Rows of the carry are in the tensor's own order.
  SmallVector<int64_t> inOrder(slots.size());
  std::iota(inOrder.begin(), inOrder.end(), 0);
  Result earlier =
      gatherFrom(at, block.carryIn(*component), ofTensor, inOrder, tensor.getDims(), inCarry);
  if (failed(earlier))
    return failure();
  PairValue all[] = {isOfCall, *result, *earlier};
  if (failed(fits(at, all)))
    return failure();
  return tiles.select(all[0], all[1], all[2]);
}

/// Of what an earlier launch has made.
PairExpr::Result PairExpr::gatherKept(Operation *at, const KeptValue &value,
                                      ArrayRef<PairValue> places) {
  const bool isOwnRow = rows.dim && places[0].isKnownIndex() && !places[0].offset &&
                        ArrayRef<Axis>(places[0].axes) == ArrayRef<Axis>{kRow};
  if (value.isOfTokens && !isOwnRow && !block.plan.startsAtZero)
    return refuse(at, "rows of earlier calls that the carry does not have"), failure();
  SmallVector<PairValue> own;
  PairValue exists;
  if (failed(inside(at, places, value.dims, own, exists)))
    return failure();
  if (value.isOfTokens) { // there are rows for those of the call
    Value before = arith::SubIOp::create(builder, loc, rows.length, block.tokens);
    before = arith::TruncIOp::create(builder, loc, builder.getI32Type(), before);
    own[0] = *integer(at, BinaryFn::Sub, own[0], PairValue{before, {}, 0});
  }
  SmallVector<int64_t> slots(places.size());
  std::iota(slots.begin(), slots.end(), 0);
  return gatherFrom(at, kept(value), own, slots, value.dims, exists);
}

PairExpr::Result PairExpr::gatherFrom(Operation *at, const LaneArray &array,
                                      ArrayRef<PairValue> places, ArrayRef<int64_t> slots,
                                      ArrayAttr dims, const PairValue &exists) {
  // A tensor over positions may have more elements than 32 bits count.
  const bool isLong = llvm::any_of(dims, [&](Attribute dim) { return sizeOf(dim) < 0; });
  PairValue offset;
  for (auto [place, slot] : llvm::zip_equal(places, slots)) {
    PairValue stride{array.strides[slot], {}, 0}, own = place;
    if (isLong)
      own.value = arith::ExtSIOp::create(builder, loc, tiles.typeOf(own.axes, builder.getI64Type()),
                                         own.value);
    else
      stride.value = arith::TruncIOp::create(builder, loc, builder.getI32Type(), stride.value);
    Result term = integer(at, BinaryFn::Mul, own, stride);
    if (failed(term))
      return failure();
    Result sum = offset.value ? integer(at, BinaryFn::Add, offset, *term) : term;
    if (failed(sum))
      return failure();
    offset = *sum;
  }
  PairValue all[] = {offset, exists};
  if (failed(fits(at, all)))
    return failure();
  Axes axes = tiles.unify(all);
  if (axes.empty())
    return refuse(at, "an element at a computed place that no position enters"), failure();
  Type element = block.storageType(array.dtype);
  Value tile = tile::GatherOp::create(builder, loc, tiles.typeOf(axes, element), array.base,
                                      all[0].value, all[1].value);
  return widened({tile, axes, 0}, array.dtype);
}

} // namespace seqmix::gpu
