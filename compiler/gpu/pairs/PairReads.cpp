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
    if (size < 0 && (place.isConstant() || place.offset || place.axes[0] >= kFirstFeature ||
                     dim != (place.axes[0] == kRow ? rows.dim : columns.dim)))
      isComputed = true;
    if (size >= 0 && !place.isConstant() && !isRow(place, dim) &&
        (place.offset || place.axes[0] < kFirstFeature || tiles.sizeOf(place.axes[0]) != size))
      isComputed = true;
  }
  if (isComputed) {
    if (auto tensor = dyn_cast<TensorOp>(source))
      return gather(at, tensor, places);
    const KeptValue *kept = groups.find(name);
    if (kept && !rows.isStep && name != making)
      return gatherKept(at, *kept, places);
    if (!isa<DefineOp>(source) || rowsComponent(name))
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
