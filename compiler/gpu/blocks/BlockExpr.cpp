//===- BlockExpr.cpp - equations for tiles of tokens --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/BlockExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SaveAndRestore.h"

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

BlockExpr::BlockExpr(MixerOp mixer, LaneBlock &block)
    : mixer(mixer), block(block), builder(block.builder) {
  for (auto define : mixer.getOps<DefineOp>())
    equations[define.getSymNameAttr()] = define;
  for (auto next : mixer.getOps<NextOp>())
    equations[next.getStateAttr().getAttr()] = next;
}

bool BlockExpr::hasToken() const {
  StringAttr tokens = tokenDimOf(mixer).getAttr();
  return llvm::any_of(frame, [&](const BlockAxis &axis) { return axis.dim == tokens; });
}

SmallVector<StringAttr> BlockExpr::featuresOf(StringAttr symbol) {
  SmallVector<StringAttr> features;
  for (auto dim : chunk::dimsOf(chunk::lookup(mixer, symbol)).getAsRange<FlatSymbolRefAttr>())
    if (dim != tokenDimOf(mixer))
      features.push_back(dim.getAttr());
  return features;
}

LogicalResult BlockExpr::refuse(const Twine &what) {
  if (reason.empty())
    reason = what.str();
  return failure();
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

RankedTensorType BlockExpr::tileType(const BlockFrame &frame, Type element) {
  SmallVector<int64_t> shape;
  for (const BlockAxis &axis : frame)
    shape.push_back(axis.size);
  return RankedTensorType::get(shape, element);
}

Value BlockExpr::splat(Value scalar, Type tile) {
  return tensor::SplatOp::create(builder, block.loc, cast<RankedTensorType>(tile), scalar);
}

Value BlockExpr::constant(double value, Type type) {
  Attribute number = builder.getFloatAttr(getElementTypeOrSelf(type), value);
  if (auto tile = dyn_cast<RankedTensorType>(type))
    number = DenseElementsAttr::get(tile, number);
  return arith::ConstantOp::create(builder, block.loc, cast<TypedAttr>(number));
}

BlockFrame BlockExpr::frameOf(unsigned axes) const {
  BlockFrame part;
  for (auto [number, axis] : llvm::enumerate(frame))
    if (axes >> number & 1)
      part.push_back(axis);
  return part;
}

Value BlockExpr::widen(const Evaluated &value, unsigned axes) {
  if (value.axes == axes)
    return value.value;
  RankedTensorType type = tileType(frameOf(axes), getElementTypeOrSelf(value.value.getType()));
  if (!value.axes)
    return splat(value.value, type);
  // One dim of two.
  unsigned added = 0;
  while (!((axes & ~value.axes) >> added & 1))
    ++added;
  return tile::BroadcastOp::create(builder, block.loc, type, value.value, added);
}

Value BlockExpr::mask(Value tile, const BlockFrame &own, double other) {
  Value exists;
  RankedTensorType type = tileType(own, builder.getI32Type());
  for (auto [number, axis] : llvm::enumerate(own)) {
    if (!axis.exists)
      continue;
    Value most = arith::MinSIOp::create(builder, block.loc, axis.exists, block.i64(axis.size));
    most = arith::TruncIOp::create(builder, block.loc, builder.getI32Type(), most);
    Value place = tile::IotaOp::create(builder, block.loc, type, number);
    Value isInside = arith::CmpIOp::create(builder, block.loc, arith::CmpIPredicate::slt, place,
                                           splat(most, type));
    exists =
        exists ? arith::AndIOp::create(builder, block.loc, exists, isInside).getResult() : isInside;
  }
  if (!exists)
    return tile;
  return arith::SelectOp::create(builder, block.loc, exists, tile, constant(other, tile.getType()));
}

Value BlockExpr::address(const LaneArray &array, ArrayRef<int> axes, ArrayRef<int64_t> places,
                         const BlockFrame &own, SmallVectorImpl<Value> &strides) {
  SmallVector<Value> byAxis(own.size());
  Value offset = block.i64(0);
  auto advance = [&](Value number, Value stride) {
    Value more = arith::MulIOp::create(builder, block.loc, number, stride);
    offset = arith::AddIOp::create(builder, block.loc, offset, more);
  };
  for (auto [slot, stride] : llvm::enumerate(array.strides)) {
    if (axes[slot] < 0) {
      advance(block.i64(places[slot]), stride);
      continue;
    }
    const BlockAxis &axis = own[axes[slot]];
    if (axis.first)
      advance(axis.first, stride);
    Value &sum = byAxis[axes[slot]]; // a diagonal has two
    sum = sum ? arith::AddIOp::create(builder, block.loc, sum, stride).getResult() : stride;
  }
  for (Value stride : byAxis)
    if (stride)
      strides.push_back(stride);
  // Behind a copy that LLVM does not see through: else addresses stand in front of the loop over
  // chunks, and what was loaded for one factor is kept for the next, in registers that both lack.
  offset =
      NVVM::InlinePtxOp::create(builder, block.loc, TypeRange{builder.getI64Type()},
                                ValueRange{offset}, ValueRange{}, "mov.b64 {$w0}, {$r0};", Value())
          ->getResult(0);
  return LLVM::GEPOp::create(builder, block.loc, array.base.getType(),
                             block.storageType(array.dtype), array.base,
                             ArrayRef<LLVM::GEPArg>{offset});
}

namespace {
/// What an access says about its dims: run-time strides and numbers of places.
struct Extents {
  SmallVector<int64_t> constants;
  SmallVector<Value> values;
};
} // namespace

static Extents extentsOf(LaneBlock &block, const BlockFrame &frame, Value condition) {
  Extents result;
  for (auto [number, axis] : llvm::enumerate(frame)) {
    Value exists = axis.exists;
    if (condition && number == 0)
      exists = arith::SelectOp::create(block.builder, block.loc, condition,
                                       exists ? exists : block.i64(axis.size), block.i64(0));
    result.constants.push_back(exists ? ShapedType::kDynamic : axis.size);
    if (exists)
      result.values.push_back(exists);
  }
  return result;
}

Value BlockExpr::load(const LaneArray &array, Value base, ValueRange strides,
                      const BlockFrame &own) {
  Extents extents = extentsOf(block, own, array.isThere);
  SmallVector<int64_t> dynamic(own.size(), ShapedType::kDynamic);
  Value tile = tile::LoadGlobalOp::create(
      builder, block.loc, tileType(own, block.storageType(array.dtype)), base, strides,
      builder.getDenseI64ArrayAttr(dynamic), extents.values,
      builder.getDenseI64ArrayAttr(extents.constants), builder.getI64IntegerAttr(0));
  return asStored(tile, array.dtype);
}

void BlockExpr::store(Value tile, const LaneArray &array, Value base, ValueRange strides,
                      const BlockFrame &own) {
  Value condition = array.isThere;
  if (array.isWritten)
    condition =
        condition
            ? arith::AndIOp::create(builder, block.loc, condition, array.isWritten).getResult()
            : array.isWritten;
  Extents extents = extentsOf(block, own, condition);
  SmallVector<int64_t> dynamic(own.size(), ShapedType::kDynamic);
  if (array.dtype != SEQ_F32)
    tile = arith::TruncFOp::create(builder, block.loc,
                                   tileType(own, block.storageType(array.dtype)), tile);
  tile::StoreGlobalOp::create(builder, block.loc, tile, base, strides,
                              builder.getDenseI64ArrayAttr(dynamic), extents.values,
                              builder.getDenseI64ArrayAttr(extents.constants),
                              builder.getI64IntegerAttr(0));
}

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

std::optional<SeqDType> BlockExpr::storedAs(StringAttr symbol) const {
  Operation *op = chunk::lookup(mixer, symbol);
  while (auto define = dyn_cast<DefineOp>(op)) {
    auto read = define->getRegion(0).front().getTerminator()->getOperand(0).getDefiningOp<ReadOp>();
    if (!read || !define->getRegion(1).empty())
      return std::nullopt;
    op = chunk::lookup(mixer, read.getSourceAttr());
  }
  auto tensor = dyn_cast<TensorOp>(op);
  if (!tensor)
    return std::nullopt;
  for (const TensorPlan &plan : block.plan.tensors)
    if (plan.name == tensor.getSymName())
      return plan.dtype;
  return std::nullopt;
}

Value BlockExpr::evaluate(StringAttr symbol, const BlockFrame &own) {
  if (auto found = bound.find(symbol); found != bound.end())
    return found->second;
  frame = own;
  known.clear();
  SmallVector<Evaluated> places;
  Operation *op = chunk::lookup(mixer, symbol);
  const Evaluated oneToken{true, kOneToken, 0, {}, 0};
  if (isa<StateOp>(op))
    places.push_back(oneToken);
  for (auto dim : chunk::dimsOf(op).getAsRange<FlatSymbolRefAttr>()) {
    auto axis = llvm::find_if(frame, [&](const BlockAxis &a) { return a.dim == dim.getAttr(); });
    if (axis == frame.end() && dim == tokenDimOf(mixer)) {
      places.push_back(oneToken);
      continue;
    }
    if (axis == frame.end()) {
      (void)refuse("a factor over more dims than its side of the state");
      return {};
    }
    places.push_back({true, static_cast<int>(axis - frame.begin()), 0, {}, 0});
  }
  Result result = isa<TensorOp>(op)  ? readTensor(cast<TensorOp>(op), places)
                  : isa<StateOp>(op) ? readState(cast<StateOp>(op), places)
                                     : definition(equations.lookup(symbol), places);
  if (failed(result))
    return {};
  if (!isReal(*result)) {
    (void)refuse("integers as a factor");
    return {};
  }
  return widen(*result, (1U << frame.size()) - 1);
}

bool BlockExpr::isReal(const Evaluated &value) {
  return !value.isIndex && isa<FloatType>(getElementTypeOrSelf(value.value.getType()));
}

BlockExpr::Result BlockExpr::definition(Operation *equation, ArrayRef<Evaluated> arguments) {
  if (!equation)
    return refuse("a value that another form makes");
  std::pair<const void *, SmallVector<int64_t>> key(equation, {});
  for (const Evaluated &argument : arguments)
    key.second.append({argument.axis, argument.place});
  const bool isKnown =
      llvm::all_of(arguments, [](const Evaluated &argument) { return argument.isIndex; });
  if (auto found = known.find(key); isKnown && found != known.end())
    return found->second;
  Result result = body(equation->getRegion(0), arguments);
  if (failed(result))
    return failure();
  if (!equation->getRegion(1).empty())
    return refuse("an equation with a domain");
  if (isKnown)
    known.insert({key, *result});
  return result;
}

BlockExpr::Result BlockExpr::body(Region &region, ArrayRef<Evaluated> arguments) {
  Block &inner = region.front();
  SmallVector<std::optional<Evaluated>> before;
  for (auto [argument, place] : llvm::zip_equal(inner.getArguments(), arguments)) {
    auto found = bindings.find(argument);
    before.push_back(found == bindings.end() ? std::nullopt : std::optional(found->second));
    bindings[argument] = place;
  }
  llvm::scope_exit restore([&] {
    for (auto [argument, place] : llvm::zip_equal(inner.getArguments(), before))
      if (place)
        bindings[argument] = *place;
  });
  // Each op once, for these arguments.
  llvm::DenseMap<Value, Evaluated> outer;
  std::swap(outer, values);
  llvm::scope_exit back([&] { std::swap(outer, values); });
  return eval(inner.getTerminator()->getOperand(0));
}

BlockExpr::Result BlockExpr::eval(Value value) {
  if (isa<BlockArgument>(value))
    return bindings.lookup(value);
  if (auto found = values.find(value); found != values.end())
    return found->second;
  Result result = evalOp(value.getDefiningOp());
  if (succeeded(result))
    values[value] = *result;
  return result;
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

BlockExpr::Result BlockExpr::elementwise(ArrayRef<Evaluated> operands,
                                         llvm::function_ref<Value(ArrayRef<Value>)> make) {
  unsigned axes = 0;
  for (const Evaluated &operand : operands)
    axes |= operand.axes;
  SmallVector<Value> wide;
  for (const Evaluated &operand : operands)
    wide.push_back(widen(operand, axes));
  return Evaluated{false, -1, 0, make(wide), axes};
}

BlockExpr::Result BlockExpr::evalOp(Operation *op) {
  if (auto constantOp = dyn_cast<ConstantOp>(op)) {
    if (auto number = dyn_cast<FloatAttr>(constantOp.getValue()))
      return Evaluated{false, -1, 0, constant(number.getValueAsDouble(), block.real), 0};
    auto number = cast<IntegerAttr>(constantOp.getValue());
    if (!number.getType().isInteger(1))
      return Evaluated{true, -1, number.getInt(), {}, 0};
    return Evaluated{false, -1, 0, arith::ConstantOp::create(builder, block.loc, number), 0};
  }
  if (auto readOp = dyn_cast<ReadOp>(op))
    return read(readOp);
  if (auto reduceOp = dyn_cast<ReduceOp>(op))
    return reduce(reduceOp);
  if (!isa<UnaryOp, BinaryOp, CompareOp, SelectOp, ToRealOp>(op))
    return refuse("'" + op->getName().getStringRef() + "' in an equation");
  SmallVector<Evaluated> operands;
  bool isInteger = op->getResult(0).getType().isIndex();
  for (Value operand : op->getOperands()) {
    Result value = eval(operand);
    if (failed(value))
      return failure();
    isInteger |= operand.getType().isIndex();
    operands.push_back(*value);
  }
  return isInteger ? evalIntegers(op, operands) : evalArithmetic(op, operands);
}

BlockExpr::Result BlockExpr::evalArithmetic(Operation *op, ArrayRef<Evaluated> operands) {
  Location loc = block.loc;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](UnaryOp unary) {
        return elementwise(operands, [&](ArrayRef<Value> x) -> Value {
          if (unary.getFn() == UnaryFn::Neg)
            return arith::NegFOp::create(builder, loc, x[0]);
          return UnaryOp::create(builder, loc, x[0].getType(), unary.getFn(), x[0]);
        });
      })
      .Case([&](BinaryOp binary) {
        return elementwise(operands, [&](ArrayRef<Value> x) -> Value {
          constexpr auto contract = arith::FastMathFlags::contract;
          switch (binary.getFn()) {
          case BinaryFn::Add:
            return arith::AddFOp::create(builder, loc, x[0], x[1], contract);
          case BinaryFn::Sub:
            return arith::SubFOp::create(builder, loc, x[0], x[1], contract);
          case BinaryFn::Mul:
            return arith::MulFOp::create(builder, loc, x[0], x[1], contract);
          case BinaryFn::And:
            return arith::AndIOp::create(builder, loc, x[0], x[1]);
          case BinaryFn::Or:
            return arith::OrIOp::create(builder, loc, x[0], x[1]);
          default:
            return BinaryOp::create(builder, loc, binary.getFn(), x[0], x[1]);
          }
        });
      })
      .Case([&](CompareOp compare) -> Result {
        if (getElementTypeOrSelf(operands[0].value.getType()).isInteger(1))
          return refuse("a comparison of truth values");
        constexpr arith::CmpFPredicate predicates[] = {
            arith::CmpFPredicate::OEQ, arith::CmpFPredicate::UNE, arith::CmpFPredicate::OLT,
            arith::CmpFPredicate::OLE, arith::CmpFPredicate::OGT, arith::CmpFPredicate::OGE};
        return elementwise(operands, [&](ArrayRef<Value> x) -> Value {
          return arith::CmpFOp::create(
              builder, loc, predicates[static_cast<unsigned>(compare.getPredicate())], x[0], x[1]);
        });
      })
      .Case([&](SelectOp) {
        return elementwise(operands, [&](ArrayRef<Value> x) -> Value {
          return arith::SelectOp::create(builder, loc, x[0], x[1], x[2]);
        });
      })
      .Default([](Operation *) -> Result { llvm_unreachable("all are handled"); });
}

BlockExpr::Result BlockExpr::read(ReadOp op) {
  StringAttr name = op.getSourceAttr().getAttr();
  SmallVector<Evaluated> operands, places;
  for (Value operand : op.getOperands()) {
    Result value = eval(operand);
    if (failed(value))
      return failure();
    if (value->axis == kOtherAxis)
      return refuse("a sum for each place of a dim");
    operands.push_back(*value);
  }
  // Places that are known are numbers in it.
  SmallVector<AffineExpr> numbers;
  for (auto [position, operand] : llvm::enumerate(operands))
    numbers.push_back(operand.isIndex && operand.axis < 0
                          ? getAffineConstantExpr(operand.place, mixer.getContext())
                          : getAffineDimExpr(static_cast<unsigned>(position), mixer.getContext()));
  for (AffineExpr expr : op.getMap().getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      places.push_back(operands[dim.getPosition()]);
    else if (auto number = dyn_cast<AffineConstantExpr>(expr.replaceDims(numbers)))
      places.push_back({true, -1, number.getValue(), {}, 0});
    else if (Result computed = placeOf(expr, operands); succeeded(computed))
      places.push_back(*computed);
    else
      return failure();
  }
  const bool isComputed =
      llvm::any_of(places, [](const Evaluated &place) { return !place.isIndex; });
  if (auto found = bound.find(name); found != bound.end()) {
    if (isInSum || isComputed)
      return refuse("a sum of what a recurrence makes");
    // It is there for the frame's places as they are.
    for (auto [number, dim] :
         llvm::enumerate(chunk::dimsOf(chunk::lookup(mixer, name)).getAsRange<FlatSymbolRefAttr>()))
      if (places[number].axis != kOneToken &&
          (places[number].axis < 0 || frame[places[number].axis].dim != dim.getAttr()))
        return refuse("a read of another token or place than the own one");
    return Evaluated{false, -1, 0, found->second, (1U << frame.size()) - 1};
  }
  Operation *source = chunk::lookup(mixer, name);
  if (auto state = dyn_cast<StateOp>(source); state && !isComputed)
    return readState(state, places);
  // Other dims' places may be more or fewer.
  for (auto [place, dim] :
       llvm::zip_equal(places, chunk::dimsOf(source).getAsRange<FlatSymbolRefAttr>()))
    if (place.isIndex &&
        (place.axis >= 0 ? frame[place.axis].dim != dim.getAttr() : place.place < 0))
      return refuse("a read with an index of another dim");
  if (auto tensor = dyn_cast<TensorOp>(source))
    return readTensor(tensor, places);
  if (auto define = dyn_cast<DefineOp>(source))
    if (Value shared = inShared(define, places))
      return Evaluated{false, -1, 0, shared, 3};
  if (!isa<DefineOp>(source))
    return refuse("a read of '" + name.getValue() + "' in an equation");
  return definition(source, places);
}

/// A state behind a step's token, or in front of it.
BlockExpr::Result BlockExpr::readState(StateOp state, ArrayRef<Evaluated> places) {
  const Evaluated &token = places[0];
  StringAttr name = state.getSymNameAttr();
  if (hasToken() || token.axis >= 0)
    return refuse("a read of '" + name.getValue() + "' in an equation");
  if (token.axis == kOneToken)
    return definition(equations.lookup(name), places);
  if (token.place != -1)
    return refuse("a read of another token or place than the own one");
  int32_t component = 0;
  while (block.plan.components[component].name != name)
    ++component;
  // A step is given all of the carry.
  const LaneArray &array = block.carryIn(component);
  SmallVector<int> axes;
  SmallVector<int64_t> constants;
  unsigned all = 0;
  for (const Evaluated &place : places.drop_front()) {
    axes.push_back(place.axis);
    constants.push_back(place.place);
    if (place.axis >= 0)
      all |= 1U << place.axis;
  }
  SmallVector<Value> strides;
  Value base = address(array, axes, constants, frame, strides);
  if (all)
    return Evaluated{false, -1, 0, load(array, base, strides, frameOf(all)), all};
  Value number = LLVM::LoadOp::create(builder, block.loc, block.storageType(array.dtype), base);
  return Evaluated{false, -1, 0, convertReal(builder, block.loc, number, block.real), 0};
}

LaneArray BlockExpr::arrayOf(TensorOp tensor) {
  if (keptArray)
    if (auto kept = keptArray(tensor.getSymNameAttr()))
      return *kept;
  int32_t number = 0;
  while (block.plan.tensors[number].name != tensor.getSymName())
    ++number;
  return block.tensor(number);
}

BlockExpr::Result BlockExpr::readTensor(TensorOp tensor, ArrayRef<Evaluated> places) {
  std::pair<const void *, SmallVector<int64_t>> key(tensor.getOperation(), {});
  for (const Evaluated &place : places)
    key.second.append({place.axis, place.place});
  const bool isKnown = llvm::all_of(places, [](const Evaluated &place) { return place.isIndex; });
  if (auto found = known.find(key); isKnown && found != known.end())
    return found->second;
  const LaneArray array = arrayOf(tensor);
  if (!isKnown)
    return gather(array, tensor, places);
  SmallVector<int> axes(places.size());
  SmallVector<int64_t> constants(places.size());
  auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder);
  unsigned all = 0;
  for (auto [own, place] : llvm::enumerate(places)) {
    const int64_t slot = order ? order[own] : static_cast<int64_t>(own);
    axes[slot] = place.axis;
    constants[slot] = place.place;
    if (place.axis >= 0)
      all |= 1U << place.axis;
  }
  SmallVector<Value> strides;
  Value base = address(array, axes, constants, frame, strides);
  Evaluated result{false, -1, 0, {}, all};
  if (all) {
    result.value = load(array, base, strides, frameOf(all));
  } else {
    Type type = block.storageType(array.dtype);
    result.value = asStored(LLVM::LoadOp::create(builder, block.loc, type, base), array.dtype);
  }
  known.insert({key, result});
  return result;
}

} // namespace seqmix::gpu
