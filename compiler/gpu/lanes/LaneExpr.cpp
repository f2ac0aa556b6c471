//===- LaneExpr.cpp - equations for the lanes of a block ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/LaneExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

LaneExpr::LaneExpr(MixerOp mixer, LaneBlock &block, Direction direction)
    : mixer(mixer), block(block), builder(block.builder),
      step(direction == Direction::Forward ? 1 : -1) {
  for (Operation &op : mixer.getBody().front()) {
    if (auto define = dyn_cast<DefineOp>(op))
      equations[define.getSymNameAttr()] = &op;
    else if (auto next = dyn_cast<NextOp>(op))
      equations[next.getStateAttr().getAttr()] = &op;
  }
  chooseUnrolling();
}

void LaneExpr::enterToken(Value number, const std::map<Carried, Value> &values) {
  token = number;
  carried = &values;
  ofToken.clear();
  rows.clear();
  inPlace = Value();
  if (llvm::any_of(mixer.getOps<TensorOp>(), [&](TensorOp tensor) { return isLarge(tensor); }))
    inPlace = unknownZero();
}

Value LaneExpr::unknownZero() {
  Type wide = builder.getI64Type();
  return NVVM::InlinePtxOp::create(builder, block.loc, TypeRange{wide}, ValueRange{block.i64(0)},
                                   ValueRange{}, "mov.b64 {$w0}, {$r0};", Value())
      ->getResult(0);
}

bool LaneExpr::isLarge(Operation *source) const {
  auto tensor = dyn_cast<TensorOp>(source);
  return tensor && block.shape.group > 1 && !isOfTokens(tensor.getSymNameAttr()) &&
         elementsOfThread(tensor) > kMostKept;
}

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

Operation *LaneExpr::symbol(StringAttr name) const { return chunk::lookup(mixer, name); }

bool LaneExpr::isState(StringAttr name) const { return isa<StateOp>(symbol(name)); }

bool LaneExpr::isOfTokens(StringAttr name) const {
  return isState(name) || isTokenIndexed(mixer, chunk::dimsOf(symbol(name)));
}

int64_t LaneExpr::sizeOf(Attribute dim) const {
  auto op = cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(dim)));
  return op.getSize() ? static_cast<int64_t>(*op.getSize()) : -1;
}

Type LaneExpr::typeOf(StringAttr name) const {
  Type type;
  if (auto tensor = dyn_cast<TensorOp>(symbol(name)))
    type = tensor.getDtype();
  else if (auto found = equations.find(name); found != equations.end())
    type = found->second->getRegion(0).front().getTerminator()->getOperand(0).getType();
  if (type && type.isInteger(1))
    return builder.getI1Type();
  return type && (type.isIndex() || isa<IntegerType>(type)) ? Type(builder.getI64Type())
                                                            : block.real;
}

std::vector<LaneElement> LaneExpr::elementsOf(StringAttr name) const {
  std::vector<LaneElement> elements = {{}};
  bool hasLanes = false, hasRows = false; // another dim of the same kind is unrolled
  for (auto dim : chunk::dimsOf(symbol(name)).getAsRange<FlatSymbolRefAttr>()) {
    int64_t size = sizeOf(dim);
    if (size < 0)
      continue; // tokens
    const bool isAlong = isLanes(dim) && !std::exchange(hasLanes, true);
    const bool isDivided = isRows(dim) && !std::exchange(hasRows, true);
    const int64_t count = isAlong     ? 1
                          : isDivided ? llvm::divideCeil(size, block.shape.group)
                                      : size;
    std::vector<LaneElement> longer;
    for (const LaneElement &element : elements)
      for (int64_t place = 0; place < count; ++place) {
        longer.push_back(element);
        longer.back().push_back(isAlong ? -1 : isDivided ? -2 - place : place);
      }
    elements = std::move(longer);
  }
  return elements;
}

SmallVector<Place> LaneExpr::places(StringAttr name, const LaneElement &element,
                                    std::optional<Place> token) const {
  SmallVector<Place> result;
  if (token)
    result.push_back(*token);
  const auto dims = chunk::dimsOf(symbol(name)).getAsRange<FlatSymbolRefAttr>();
  auto along = llvm::find_if(dims, [&](Attribute dim) { return isLanes(dim); });
  auto divided = llvm::find_if(dims, [&](Attribute dim) { return isRows(dim); });
  for (int64_t place : element)
    result.push_back(place >= 0    ? Place::of(place)
                     : place == -1 ? Place::ofLane(sizeOf(*along))
                                   : Place::ofRow(-2 - place, sizeOf(*divided), block.shape.group));
  return result;
}

FailureOr<Value> LaneExpr::valueOf(StringAttr name, const LaneElement &element) {
  auto found = equations.find(name);
  if (found == equations.end()) {
    // An input whose earlier tokens are carried.
    return inputAt(name, element, 0);
  }
  std::optional<Place> own;
  if (isOfTokens(name))
    own = Place{0, 1, 0, {}};
  auto result = definition(found->second, places(name, element, own));
  if (failed(result))
    return failure();
  return asValue(*result);
}

FailureOr<Value> LaneExpr::inputAt(StringAttr name, const LaneElement &element, int64_t offset) {
  auto tensor = cast<TensorOp>(symbol(name));
  auto result = readTensor(tensor, places(name, element, Place{offset, 1, 0, {}}), true);
  if (failed(result))
    return failure();
  return asValue(*result);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

InFlightDiagnostic LaneExpr::refuse(Operation *op, const Twine &what) {
  return emitError(op->getLoc()) << "not lowered for CUDA yet: " << what;
}

Value LaneExpr::constant(double value) {
  return arith::ConstantOp::create(builder, block.loc, builder.getFloatAttr(block.real, value));
}

void LaneExpr::unify(MutableArrayRef<Value> values) {
  auto isTile = [](Value value) { return isa<RankedTensorType>(value.getType()); };
  if (llvm::any_of(values, isTile))
    for (Value &value : values)
      value = block.splat(value);
}

Value LaneExpr::add(Value a, Value b) {
  Value both[] = {a, b};
  unify(both);
  return arith::AddFOp::create(builder, block.loc, both[0], both[1],
                               arith::FastMathFlags::contract);
}

Value LaneExpr::multiply(Value a, Value b) {
  Value both[] = {a, b};
  unify(both);
  return arith::MulFOp::create(builder, block.loc, both[0], both[1],
                               arith::FastMathFlags::contract);
}

Value LaneExpr::function(UnaryFn fn, Value x) {
  return UnaryOp::create(builder, block.loc, x.getType(), fn, x);
}

Value LaneExpr::function(BinaryFn fn, Value a, Value b) {
  Value both[] = {a, b};
  unify(both);
  return BinaryOp::create(builder, block.loc, fn, both[0], both[1]);
}

Value LaneExpr::choose(Value condition, Value a, Value b) {
  Value all[] = {condition, a, b};
  unify(all);
  return arith::SelectOp::create(builder, block.loc, all[0], all[1], all[2]);
}

std::optional<bool> LaneExpr::known(Value condition) {
  APInt bit;
  if (matchPattern(condition, m_ConstantInt(&bit)))
    return bit.isOne();
  return std::nullopt;
}

Value LaneExpr::number(const Place &place) {
  Value result = place.rest;
  auto more = [&](Value value) {
    Value both[] = {result ? result : value, value};
    unify(both);
    result =
        result ? arith::AddIOp::create(builder, block.loc, both[0], both[1]).getResult() : value;
  };
  if (place.lane) {
    Value own = block.places();
    if (place.lane != 1)
      own = arith::MulIOp::create(builder, block.loc, own, block.splat(block.i64(place.lane)));
    more(own);
  }
  if (place.token) {
    Value own = arith::AddIOp::create(builder, block.loc, block.position(), token);
    if (place.token != 1)
      own = arith::MulIOp::create(builder, block.loc, own, block.i64(place.token));
    more(own);
  }
  if (place.group) {
    Value own = block.groupPlaces();
    if (place.group != 1)
      own = arith::MulIOp::create(builder, block.loc, own, block.splat(block.i64(place.group)));
    more(own);
  }
  if (place.constant || !result)
    more(block.i64(place.constant));
  return result;
}

Value LaneExpr::asValue(const Evaluated &evaluated) {
  return evaluated.isInteger ? number(evaluated.place) : evaluated.value;
}

//===----------------------------------------------------------------------===//
// What is known
//===----------------------------------------------------------------------===//

LaneExpr::Key LaneExpr::keyOf(const void *what, ArrayRef<Place> places) const {
  Key key{what, {}};
  for (const Place &place : places)
    key.second.append(
        {place.constant, place.token, place.lane, place.lanes, place.group, place.rows,
         static_cast<int64_t>(reinterpret_cast<intptr_t>(place.rest.getAsOpaquePointer()))});
  return key;
}

LaneExpr::Result LaneExpr::eval(Value value) {
  if (isa<BlockArgument>(value))
    return integer(bindings.lookup(value));
  Operation *op = value.getDefiningOp();
  SmallVector<Place> places;
  for (BlockArgument argument : dependencies.of(op))
    places.push_back(bindings.lookup(argument));
  Key key = keyOf(op, places);
  auto &memo = isInFront ? ofAll : ofToken;
  if (auto found = memo.find(key); found != memo.end())
    return found->second;
  Result result = evalOp(op);
  if (succeeded(result))
    memo.insert({key, *result});
  return result;
}

LaneExpr::Result LaneExpr::evalOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](ConstantOp constantOp) -> Result {
        if (auto number = dyn_cast<FloatAttr>(constantOp.getValue()))
          return real(constant(number.getValueAsDouble()));
        auto number = cast<IntegerAttr>(constantOp.getValue());
        if (number.getType().isInteger(1))
          return real(arith::ConstantOp::create(builder, block.loc, number));
        return integer(Place::of(number.getInt()));
      })
      .Case([&](ToRealOp convert) -> Result {
        Result operand = eval(convert.getOperand());
        if (failed(operand))
          return failure();
        if (operand->place.isConstant())
          return real(constant(static_cast<double>(operand->place.constant)));
        Value value = number(operand->place);
        Type type =
            isa<RankedTensorType>(value.getType()) ? Type(block.tileOf(block.real)) : block.real;
        return real(arith::SIToFPOp::create(builder, block.loc, type, value));
      })
      .Case([&](ExtentOp extent) -> Result {
        if (extent.getDimAttr() != tokenDimOf(mixer)) {
          refuse(extent, "the extent of another run-time dim than that of the tokens");
          return failure();
        }
        return integer({0, 0, 0, endOfSequence()});
      })
      .Case([&](ReadOp other) { return read(other); })
      .Case([&](UnaryOp other) { return unary(other); })
      .Case([&](BinaryOp other) { return binary(other); })
      .Case([&](CompareOp other) { return compare(other); })
      .Case([&](SelectOp other) { return select(other); })
      .Case([&](ReduceOp other) { return reduce(other); })
      .Case([&](MapOp other) { return map(other); })
      .Default([&](Operation *other) -> Result {
        refuse(other, "'" + other->getName().getStringRef() + "' in an equation");
        return failure();
      });
}

LaneExpr::Result LaneExpr::body(Region &region, ArrayRef<Place> arguments) {
  Block &inner = region.front();
  SmallVector<std::pair<Value, std::optional<Place>>> before;
  for (auto [argument, place] : llvm::zip_equal(inner.getArguments(), arguments)) {
    auto found = bindings.find(argument);
    before.push_back(
        {argument, found == bindings.end() ? std::nullopt : std::optional(found->second)});
    bindings[argument] = place;
  }
  llvm::scope_exit restore([&] {
    for (auto &[argument, place] : before)
      if (place)
        bindings[argument] = *place;
  });
  return eval(inner.getTerminator()->getOperand(0));
}

/// The value of an equation for places of its left side, zero outside of its domain.
LaneExpr::Result LaneExpr::definition(Operation *equation, ArrayRef<Place> arguments) {
  Key key = keyOf(equation, arguments);
  auto &memo = isInFront ? ofAll : ofToken;
  if (auto found = memo.find(key); found != memo.end())
    return found->second;
  Result result = body(equation->getRegion(0), arguments);
  if (failed(result))
    return failure();
  if (Region &domain = equation->getRegion(1); !domain.empty()) {
    Result inside = body(domain, arguments);
    if (failed(inside))
      return failure();
    result = zeroUnless(inside->value, *result);
  }
  memo.insert({key, *result});
  return result;
}

//===----------------------------------------------------------------------===//
// Reads
//===----------------------------------------------------------------------===//

LaneExpr::Result LaneExpr::read(ReadOp op) {
  StringAttr name = op.getSourceAttr().getAttr();
  Operation *source = symbol(name);
  SmallVector<Place> operands, all;
  for (Value operand : op.getOperands()) {
    Result value = eval(operand);
    if (failed(value))
      return failure();
    operands.push_back(value->place);
  }
  for (AffineExpr expr : op.getMap().getResults()) {
    auto result = place(op, expr, operands);
    if (failed(result))
      return failure();
    all.push_back(*result);
  }
  const bool isOfTokens = chunk::readsToken(mixer, op);
  auto zero = [&]() -> Result {
    if (op.getType().isIndex())
      return integer(Place::of(0));
    return real(op.getType().isInteger(1) ? block.zero(builder.getI1Type()) : constant(0));
  };
  MutableArrayRef<Place> features = MutableArrayRef(all).drop_front(isOfTokens ? 1 : 0);
  SmallVector<Attribute> dims(chunk::dimsOf(source).getValue());
  if (isOfTokens && !isa<StateOp>(source))
    dims.erase(dims.begin());
  Place *ofOther = nullptr; // a place along the lanes' dim that is not the own lane's
  int64_t lanes = 0;
  bool hasLanes = false, isInLoop = false;
  Value exists; // null: it does
  for (auto [feature, dim] : llvm::zip_equal(features, dims)) {
    int64_t size = sizeOf(dim);
    const bool isRow =
        feature.isRow() && feature.constant >= 0 && feature.constant % block.shape.group == 0;
    if (size >= 0 && !feature.isConstant() && !feature.isLane() && !isRow && !isOfLoop(feature)) {
      auto inside = compute(op, feature, size);
      if (failed(inside))
        return failure();
      exists = block.conjunction(exists, *inside);
      if (isLanes(dim) && !std::exchange(hasLanes, true)) {
        ofOther = &feature;
        lanes = size;
      }
      continue;
    }
    if (isLanes(dim) && !std::exchange(hasLanes, true) && isOfLoop(feature)) {
      ofOther = &feature;
      lanes = size;
    }
    isInLoop |= feature.rest && isOfLoop(feature);
    if (size < 0)
      return refuse(op, "positions of another run-time dim"), failure();
    if (feature.isConstant()) {
      if (feature.constant < 0 || feature.constant >= size)
        return zero();
    } else if (size < (feature.lane ? feature.lanes : feature.group ? feature.rows : loop->size)) {
      return refuse(op, "an index of one dim in another one"), failure();
    }
  }
  // Many elements of a param are not kept in registers.
  if (!isOfTokens && (isInLoop || exists || isLarge(source))) {
    auto tensor = dyn_cast<TensorOp>(source);
    return zeroUnless(exists, tensor ? readTensor(tensor, all, false)
                                     : definition(equations.lookup(name), all));
  }
  if (!isOfTokens) {
    // Made once, in front of the loops.
    auto inFront = [&]() -> Result {
      OpBuilder::InsertionGuard guard(builder);
      block.enterFront();
      llvm::SaveAndRestore front(isInFront, true);
      llvm::SaveAndRestore<Loop *> noLoop(loop, nullptr);
      llvm::SaveAndRestore<int64_t> notDense(dense, 0);
      if (auto tensor = dyn_cast<TensorOp>(source))
        return readTensor(tensor, all, false);
      return definition(equations.lookup(name), all);
    };
    Result result = inFront();
    return dense && succeeded(result) ? Result(keep(keyOf(source, all), *result)) : result;
  }
  if (chunk::positionDim(mixer, op) != tokenDimOf(mixer))
    return refuse(op, "positions of another run-time dim"), failure();
  if (loaded && loaded->contains(name))
    return zeroUnless(exists, readStored(op, all));
  const Place &at = all.front();
  if (at.token != 1 || at.lane || at.group || at.rest)
    return zeroUnless(exists, readFar(op, all));
  // Registers of other lanes; what can be computed from memory is, unless all are wanted.
  const bool isCarried = isa<StateOp>(source) || at.constant * step < 0;
  if (ofOther && block.shape.blocks == 1 && (dense || isCarried) &&
      llvm::none_of(features, [](const Place &place) { return place.isLane(); })) {
    const Place other = std::exchange(*ofOther, Place::ofLane(lanes));
    return zeroUnless(exists,
                      pick(op, keyOf(source, all), other, [&] { return readToken(op, all); }));
  }
  return zeroUnless(exists, readToken(op, all));
}

/// A symbol over tokens, at one that is a distance from the own one.
LaneExpr::Result LaneExpr::readToken(ReadOp op, ArrayRef<Place> all) {
  StringAttr name = op.getSourceAttr().getAttr();
  Operation *source = symbol(name);
  const Place &at = all.front();
  ArrayRef<Place> features = all.drop_front();
  if (isa<StateOp>(source)) {
    if (at.constant == 0)
      return definition(equations.lookup(name), all);
    if (at.constant == -step)
      return earlier(op, name, features, 0);
    return refuse(op, "a state of an earlier token than the one before"), failure();
  }
  const int64_t distance = -at.constant * step;
  auto tensor = dyn_cast<TensorOp>(source);
  if (tensor && tensor.getRole() == Role::Param)
    return readTensor(tensor, all, true);
  if (distance > 0)
    return earlier(op, name, features, distance);
  if (tensor)
    return at.constant < 0 ? readInFront(tensor, all) : readTensor(tensor, all, true);
  if (distance < 0)
    return readFar(op, all);
  if (auto found = equations.find(name); found != equations.end())
    return definition(found->second, all);
  return refuse(op, "'" + name.getValue() + "', which another form makes"), failure();
}

LaneExpr::Result LaneExpr::earlier(ReadOp op, StringAttr name, ArrayRef<Place> features,
                                   int64_t distance) {
  LaneElement element;
  for (const Place &feature : features)
    if (feature.rest)
      return refuse(op, "elements of '" + name.getValue() +
                            "' at computed places, as registers have no number"),
             failure();
  for (const Place &feature : features)
    element.push_back(feature.lane    ? -1
                      : feature.group ? -2 - feature.constant / block.shape.group
                                      : feature.constant);
  auto found = carried->find({name, element, distance});
  std::optional<Value> value = found == carried->end() ? carriedByOther(name, element, distance)
                                                       : std::optional(found->second);
  if (!value)
    return refuse(op, "earlier tokens of '" + name.getValue() + "' in this direction"), failure();
  return op.getType().isIndex() ? integer({0, 0, 0, *value}) : real(*value);
}

LaneExpr::Result LaneExpr::readTensor(TensorOp tensor, ArrayRef<Place> places, bool isOfTokens) {
  Key key = keyOf(tensor, places);
  auto &memo = isInFront ? ofAll : ofToken;
  const bool staysInMemory = inPlace && !isInFront && isLarge(tensor);
  if (auto found = memo.find(key); found != memo.end() && !staysInMemory)
    return found->second;
  int32_t number = 0;
  while (block.plan.tensors[number].name != tensor.getSymName())
    ++number;
  const TensorRow row =
      isOfTokens ? rowOf(tensor, places) : TensorRow{SmallVector<Place>(places), token, {}};
  SmallVector<Place> inOrder(row.places);
  if (auto order = tensor->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder))
    for (auto [own, declared] : llvm::enumerate(order.asArrayRef()))
      inOrder[declared] = row.places[own];
  LaneArray array = block.tensor(number);
  if (staysInMemory)
    array.base = LLVM::GEPOp::create(builder, block.loc, array.base.getType(), builder.getI8Type(),
                                     array.base, ArrayRef<LLVM::GEPArg>{inPlace});
  Value value = block.load(array, inOrder, row.number, row.exists);
  Evaluated result =
      typeOf(tensor.getSymNameAttr()).isInteger(64) ? integer({0, 0, 0, value}) : real(value);
  memo.insert({key, result});
  return result;
}

} // namespace seqmix::gpu
