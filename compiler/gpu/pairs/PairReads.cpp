//===- PairReads.cpp - what tiles of pairs read ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/SaveAndRestore.h"

#include <numeric>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// What a thread loads at once.
static constexpr int64_t kVectorBytes = 16;

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

PairExpr::Result PairExpr::place(Operation *op, AffineExpr expr, ArrayRef<PairValue> operands) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return PairValue::index(constant.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return operands[dim.getPosition()];
  auto both = cast<AffineBinaryOpExpr>(expr);
  Result left = place(op, both.getLHS(), operands), right = place(op, both.getRHS(), operands);
  if (failed(left) || failed(right))
    return failure();
  switch (both.getKind()) {
  case AffineExprKind::Add:
    return integer(op, BinaryFn::Add, *left, *right);
  case AffineExprKind::Mul:
    return integer(op, BinaryFn::Mul, *left, *right);
  case AffineExprKind::Mod:
    return integer(op, BinaryFn::Mod, *left, *right);
  default:
    return integer(op, BinaryFn::FloorDiv, *left, *right);
  }
}

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

PairExpr::Result PairExpr::read(ReadOp op) {
  SmallVector<PairValue> operands, places;
  for (Value operand : op.getOperands()) {
    Result value = eval(operand);
    if (failed(value))
      return failure();
    operands.push_back(*value);
  }
  for (AffineExpr expr : op.getMap().getResults()) {
    Result value = place(op, expr, operands);
    if (failed(value))
      return failure();
    places.push_back(*value);
  }
  return symbol(op, op.getSourceAttr().getAttr(), places);
}

PairExpr::Result PairExpr::symbol(Operation *at, StringAttr name, ArrayRef<PairValue> places) {
  Operation *source = chunk::lookup(mixer, name);
  bool isComputed = false;
  auto isRow = [&](const PairValue &place, Attribute dim) {
    return dim == rows.dim && place.axes[0] == kRow && !place.offset;
  };
  for (auto [place, dim] : llvm::zip_equal(places, placesOf(mixer, source))) {
    if (numbers.contains(place.value))
      continue;
    isComputed |= !place.isKnownIndex();
    if (!place.isKnownIndex())
      continue;
    const int64_t size = sizeOf(dim);
    if (size >= 0 && place.isConstant() && (place.offset < 0 || place.offset >= size)) {
      // Outside of a tensor everything is zero.
      if (isa<IndexType>(at->getResult(0).getType()))
        return PairValue::index(0);
      if (at->getResult(0).getType().isInteger(1))
        return PairValue{block.zero(builder.getI1Type()), {}, 0};
      return tiles.constant(0);
    }
    // A step has the states of its token, and those in front of it.
    if (rows.isStep && isa<StateOp>(source) && dim == tokenDimOf(mixer))
      continue;
    if (size < 0 && (place.isConstant() || place.offset || place.axes[0] >= kFirstFeature))
      isComputed = true;
    if (size >= 0 && !place.isConstant() && !isRow(place, dim) &&
        (place.offset || place.axes[0] < kFirstFeature || tiles.sizeOf(place.axes[0]) != size))
      isComputed = true;
  }
  if (isComputed) {
    if (auto tensor = dyn_cast<TensorOp>(source))
      return gather(at, tensor, places);
    return refuse(at, "computed elements of what is no tensor"), failure();
  }
  if (isa<DefineOp, StateOp>(source))
    return definition(at, source, places);
  if (isa<ProducedOp>(source))
    return produced(at, name, places);
  auto tensor = dyn_cast<TensorOp>(source);
  if (!tensor)
    return refuse(at, "'" + name.getValue() + "', which another form makes"), failure();
  Result stored = load(at, tensor, places);
  if (failed(stored))
    return failure();
  for (const TensorPlan &plan : block.plan.tensors)
    if (plan.name == name)
      return widened(*stored, plan.dtype);
  llvm_unreachable("tensors are in the plan");
}

std::optional<int32_t> PairExpr::rowsComponent(StringAttr name) const {
  for (auto [number, component] : llvm::enumerate(carryComponents(mixer)))
    if (component.kind == CarryComponent::Rows && component.of.getAttr() == name)
      return static_cast<int32_t>(number);
  return std::nullopt;
}

PairColumns::Carried PairExpr::columnsIn(int32_t component) const {
  return columns.carried.lookup(carryComponents(mixer)[component].shape[0]);
}

PairExpr::Result PairExpr::definition(Operation *at, Operation *source,
                                      ArrayRef<PairValue> places) {
  Key key = keyOf(source, places);
  if (const PairValue *found = find(key))
    return *found;
  auto name = source->getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
  auto define = dyn_cast<DefineOp>(source);
  auto made = [&]() -> Result {
    if (auto state = dyn_cast<StateOp>(source); state && rows.isStep)
      return stateOfStep(at, state, places);
    if (const KeptValue *kept = groups.find(name); kept && name != making)
      return loadKept(at, *kept, places);
    if (!define)
      return refuse(at, "'" + name.getValue() + "', which another form makes"), failure();
    Result value = body(define.getBody().front(), places);
    if (failed(value) || define.getDomain().empty())
      return value;
    Result inside = body(define.getDomain().front(), places);
    if (failed(inside))
      return failure();
    PairValue own = value->value ? *value : tiles.number(*value);
    PairValue both[] = {*inside, own};
    if (failed(fits(define, both)))
      return failure();
    return tiles.select(*inside, own,
                        {block.zero(getElementTypeOrSelf(own.value.getType())), {}, 0});
  };
  auto component = rowsComponent(name);
  if (!component || !columns.isCarry || places.empty() || !places[0].varies(kColumn)) {
    Result value = made();
    if (succeeded(value))
      remember(key, *value);
    return value;
  }
  // Of earlier columns it is in the carry.
  auto axes = PairTiles::united(places);
  if (!axes)
    return refuse(at, "a value that varies over more than two dims"), failure();
  const ComponentPlan &plan = block.plan.components[*component];
  Type type = define ? define.getBody().front().getTerminator()->getOperand(0).getType()
                     : Type(builder.getF64Type());
  Type element = type.isInteger(1) ? Type(builder.getI1Type())
                 : type.isIndex()  ? Type(builder.getI32Type())
                                   : tiles.real;
  const LaneArray array = block.carryIn(*component);
  auto choice = scf::IfOp::create(builder, loc, TypeRange{tiles.typeOf(*axes, element)},
                                  columns.isCarry, /*withElse=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(choice.thenBlock());
  PairColumns both = columns;
  const PairColumns::Carried own = columnsIn(*component);
  columns.inCall = own.first;
  columns.count = own.count;
  Result earlier = loadFrom(at, array, places, placesOf(mixer, source), nullptr);
  columns = both;
  if (failed(earlier))
    return failure();
  PairValue wide = widened(*earlier, plan.dtype);
  if (type.isInteger(1))
    wide.value = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, wide.value,
                                       block.zero(wide.value.getType()));
  scf::YieldOp::create(builder, loc, tiles.spread(wide, *axes));
  builder.setInsertionPointToStart(choice.elseBlock());
  {
    // What columns enter is made in here, and not known outside.
    levels.push_back({choice, kColumn, {}, {}});
    llvm::scope_exit leave([&] { levels.pop_back(); });
    llvm::SaveAndRestore<Value> ofCall(columns.isCarry, Value());
    Result value = made();
    if (failed(value))
      return failure();
    PairValue whole = value->value ? *value : tiles.number(*value);
    scf::YieldOp::create(builder, loc, tiles.spread(whole, *axes));
  }
  PairValue result{choice.getResult(0), *axes, 0};
  remember(key, result);
  return result;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

PairValue PairExpr::widened(const PairValue &stored, SeqDType dtype) {
  PairValue result = stored;
  Type element = getElementTypeOrSelf(stored.value.getType());
  if (dtype == SEQ_BOOL)
    result.value = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, stored.value,
                                         block.zero(stored.value.getType()));
  else if (isa<FloatType>(element))
    result.value = convertReal(builder, loc, stored.value, tiles.real);
  return result;
}

PairExpr::Result PairExpr::load(Operation *at, TensorOp tensor, ArrayRef<PairValue> places) {
  Key key = keyOf(tensor, places);
  if (const PairValue *found = find(key))
    return *found;
  int32_t number = 0;
  while (block.plan.tensors[number].name != tensor.getSymName())
    ++number;
  // A param has a row for each position of the sequence, those of earlier calls included.
  const bool isAbsolute =
      tensor.getRole() == Role::Param && isTokenIndexed(mixer, tensor.getDims());
  SmallVector<PairValue> inOrder(places);
  SmallVector<Attribute> dims(tensor.getDims().getValue());
  if (auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder))
    for (auto [own, declared] : llvm::enumerate(order.asArrayRef())) {
      inOrder[declared] = places[own];
      dims[declared] = tensor.getDims()[own];
    }
  auto component = rowsComponent(tensor.getSymNameAttr());
  const bool isCarried =
      component && columns.isCarry && !places.empty() && places[0].varies(kColumn);
  if (columns.isCarry && !component && !isAbsolute && !places.empty() && places[0].varies(kColumn))
    return refuse(at, "rows of earlier calls that the carry does not have"), failure();
  PairColumns both = columns;
  if (isCarried) {
    const PairColumns::Carried own = columnsIn(*component);
    columns.inCall =
        arith::SelectOp::create(builder, loc, columns.isCarry, own.first, columns.inCall);
    columns.count =
        arith::SelectOp::create(builder, loc, columns.isCarry, own.count, columns.count);
  }
  Result result = loadFrom(at, block.tensor(number), inOrder, builder.getArrayAttr(dims),
                           isCarried ? &block.carryIn(*component) : nullptr, isAbsolute);
  columns = both;
  if (succeeded(result))
    remember(key, *result);
  return result;
}

/// Elements at computed places: one by one. Outside of the tensor they are zero, but a place that
/// follows from data is moved to the nearest one.
PairExpr::Result PairExpr::gather(Operation *at, TensorOp tensor, ArrayRef<PairValue> places) {
  int32_t number = 0;
  while (block.plan.tensors[number].name != tensor.getSymName())
    ++number;
  SmallVector<int64_t> slots(places.size());
  std::iota(slots.begin(), slots.end(), 0);
  if (auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder))
    llvm::copy(order.asArrayRef(), slots.begin());
  auto read = dyn_cast<ReadOp>(at);
  PairValue exists{arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true)), {}, 0};
  auto restrict = [&](PairValue &all, const PairValue &inside) -> LogicalResult {
    PairValue both[] = {all, inside};
    if (failed(fits(at, both)))
      return failure();
    Axes axes = tiles.unify(both);
    all = {arith::AndIOp::create(builder, loc, both[0].value, both[1].value), axes, 0};
    return success();
  };
  // A negative place is large without its sign.
  auto isBelow = [&](arith::CmpIPredicate predicate, const PairValue &place,
                     const PairValue &end) -> PairValue {
    PairValue both[] = {place, tiles.number(end)};
    Axes axes = tiles.unify(both);
    return {arith::CmpIOp::create(builder, loc, predicate, both[0].value, both[1].value), axes, 0};
  };
  Type i32 = builder.getI32Type();
  SmallVector<PairValue> inside;
  std::optional<size_t> tokens;
  for (auto [slot, place, dim] : llvm::enumerate(places, tensor.getDims())) {
    const int64_t size = sizeOf(dim);
    const auto symbol = cast<FlatSymbolRefAttr>(dim);
    PairValue extent = PairValue::index(size);
    if (size < 0) {
      extent = {arith::TruncIOp::create(builder, loc, i32, extentOf(symbol)), {}, 0};
      if (symbol == tokenDimOf(mixer) && tensor.getRole() != Role::Param)
        tokens = slot;
    }
    PairValue own = tiles.number(place);
    if (!place.isKnownIndex() && read && read.isDataDependent(static_cast<unsigned>(slot))) {
      Result last = integer(at, BinaryFn::Sub, extent, PairValue::index(1));
      Result least = integer(at, BinaryFn::Min, own, *last);
      own = *integer(at, BinaryFn::Max, *least, PairValue::index(0));
      if (size < 0 && // there may be none
          failed(restrict(exists, isBelow(arith::CmpIPredicate::sgt, extent, PairValue::index(0)))))
        return failure();
    } else if ((size < 0 || !place.isConstant()) && !numbers.contains(place.value)) {
      if (failed(restrict(exists, isBelow(arith::CmpIPredicate::ult, own, extent))))
        return failure();
    }
    inside.push_back(own);
  }
  const LaneArray &array = block.tensor(number);
  if (!tokens)
    return gatherFrom(at, array, inside, slots, tensor.getDims(), exists);
  // Rows before those of the call are in the carry.
  Value before = arith::SubIOp::create(builder, loc, rows.length, block.tokens);
  PairValue position{arith::TruncIOp::create(builder, loc, i32, before), {}, 0};
  SmallVector<PairValue> ofCall(inside);
  Result moved = integer(at, BinaryFn::Sub, inside[*tokens], position);
  ofCall[*tokens] = *moved;
  PairValue inCall = exists;
  PairValue isOfCall = isBelow(arith::CmpIPredicate::sge, inside[*tokens], position);
  if (failed(restrict(inCall, isOfCall)))
    return failure();
  Result result = gatherFrom(at, array, ofCall, slots, tensor.getDims(), inCall);
  if (failed(result) || block.plan.startsAtZero)
    return result;
  auto component = rowsComponent(tensor.getSymNameAttr());
  if (!component)
    return refuse(at, "rows of earlier calls that the carry does not have"), failure();
  const int64_t length = carryComponents(mixer)[*component].shape[0];
  PairValue isEarlier = isBelow(arith::CmpIPredicate::slt, inside[*tokens], position);
  if (length > 0)
    inside[*tokens] = *integer(at, BinaryFn::Mod, inside[*tokens], PairValue::index(length));
  PairValue inCarry = exists;
  if (failed(restrict(inCarry, isEarlier)))
    return failure();
  // Rows of the carry are in the tensor's own order.
  SmallVector<int64_t> inOrder(slots.size());
  std::iota(inOrder.begin(), inOrder.end(), 0);
  Result earlier =
      gatherFrom(at, block.carryIn(*component), inside, inOrder, tensor.getDims(), inCarry);
  if (failed(earlier))
    return failure();
  PairValue all[] = {isOfCall, *result, *earlier};
  if (failed(fits(at, all)))
    return failure();
  return tiles.select(all[0], all[1], all[2]);
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

PairExpr::Result PairExpr::loadFrom(Operation *at, const LaneArray &array,
                                    ArrayRef<PairValue> places, ArrayAttr dims,
                                    const LaneArray *carried, bool isAbsolute) {
  auto choose = [&](Value ofCarry, Value ofCall) -> Value {
    return arith::SelectOp::create(builder, loc, columns.isCarry, ofCarry, ofCall);
  };
  Value base = carried ? choose(carried->base, array.base) : array.base;
  llvm::SmallDenseMap<Axis, Value> strides;
  Value offset;
  auto advance = [&](Value number, Value stride) {
    Value more = arith::MulIOp::create(builder, loc, number, stride);
    offset = offset ? arith::AddIOp::create(builder, loc, offset, more).getResult() : more;
  };
  auto united = PairTiles::united(places);
  if (!united)
    return refuse(at, "a value that varies over more than two dims at a pair "
                      "of positions"),
           failure();
  for (auto [slot, place, dim] : llvm::enumerate(places, dims)) {
    Value stride =
        carried ? choose(carried->strides[slot], array.strides[slot]) : array.strides[slot];
    const bool isRunTime = sizeOf(dim) < 0;
    if (isRunTime) {
      const Axis axis = place.axes.size() == 1 ? place.axes[0] : kFirstFeature;
      const bool fits =
          (axis == kRow && dim == rows.dim) || (axis == kColumn && dim == columns.dim);
      if (!fits || place.offset)
        return refuse(at, "positions other than those of the pair"), failure();
      Value number = isAbsolute     ? (axis == kRow ? rows.first : columns.first)
                     : axis == kRow ? rows.inCall
                                    : columns.inCall;
      advance(number, stride);
    } else if (place.varies(kRow)) {
      if (dim != rows.dim || place.offset)
        return refuse(at, "positions other than those of the pair"), failure();
      advance(rows.inCall, stride);
    } else if (place.isConstant() && place.offset) {
      advance(block.i64(place.offset), stride);
    } else if (place.value) {
      advance(arith::ExtSIOp::create(builder, loc, builder.getI64Type(), place.value), stride);
    } else if (!place.axes.empty() && tiles.firstOf(place.axes[0])) {
      advance(tiles.firstOf(place.axes[0]), stride);
    }
    if (!place.axes.empty()) {
      Value &own = strides[place.axes[0]];
      own = own ? arith::AddIOp::create(builder, loc, own, stride).getResult() : stride;
    }
  }
  Type element = block.storageType(array.dtype);
  if (offset)
    base = LLVM::GEPOp::create(builder, loc, base.getType(), element, base,
                               ArrayRef<LLVM::GEPArg>{offset});
  if (united->empty())
    return PairValue{LLVM::LoadOp::create(builder, loc, element, base), {}, 0};
  SmallVector<Value> ownStrides, extents;
  SmallVector<int64_t> dynamic(united->size(), ShapedType::kDynamic), staticExtents;
  for (Axis axis : *united) {
    ownStrides.push_back(strides[axis]);
    if (axis >= kFirstFeature && !tiles.isCut(axis)) {
      staticExtents.push_back(std::min(tiles.sizeOf(axis), tiles.paddedOf(axis)));
      continue;
    }
    staticExtents.push_back(ShapedType::kDynamic);
    extents.push_back(axis == kRow      ? rows.count
                      : axis == kColumn ? columns.count
                                        : tiles.extentOf(axis));
  }
  Type type = tiles.typeOf(*united, element);
  auto loaded = [&](ArrayRef<Value> own, ArrayRef<int64_t> known, int64_t align) -> Value {
    return tile::LoadGlobalOp::create(
        builder, loc, type, base, own, builder.getDenseI64ArrayAttr(known), extents,
        builder.getDenseI64ArrayAttr(staticExtents), builder.getI64IntegerAttr(align));
  };
  const Axis last = united->back();
  const int64_t bytes = (element.getIntOrFloatBitWidth() + 7) / 8;
  if (united->size() < 2 || last < kFirstFeature || tiles.isCut(last) ||
      std::min(tiles.sizeOf(last), tiles.paddedOf(last)) * bytes % kVectorBytes != 0)
    return PairValue{loaded(ownStrides, dynamic, 0), *united, 0};
  // Rows without gaps that begin at multiples of 16 bytes are loaded in vectors.
  Value address = LLVM::PtrToIntOp::create(builder, loc, builder.getI64Type(), base);
  Value row = arith::MulIOp::create(builder, loc, ownStrides[0], block.i64(bytes));
  Value rest = arith::AndIOp::create(builder, loc, arith::OrIOp::create(builder, loc, address, row),
                                     block.i64(kVectorBytes - 1));
  auto isEqual = [&](Value value, int64_t number) -> Value {
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, value, block.i64(number));
  };
  Value isAligned =
      arith::AndIOp::create(builder, loc, isEqual(rest, 0), isEqual(ownStrides[1], 1));
  auto choice = scf::IfOp::create(builder, loc, TypeRange{type}, isAligned,
                                  /*withElse=*/true);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(choice.thenBlock());
    scf::YieldOp::create(builder, loc,
                         loaded(ownStrides[0], {ShapedType::kDynamic, 1}, kVectorBytes));
    builder.setInsertionPointToStart(choice.elseBlock());
    scf::YieldOp::create(builder, loc, loaded(ownStrides, dynamic, 0));
  }
  Value tile = choice.getResult(0);
  return PairValue{tile, *united, 0};
}

} // namespace seqmix::gpu
