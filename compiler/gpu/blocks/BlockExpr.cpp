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

/// An axis of a frame around the one that a sum is evaluated on.
static constexpr int kOtherAxis = 8;
/// That of the token where frames have none.
static constexpr int kOneToken = -2;
/// Elements of a token that are summed at once.
static constexpr int64_t kMostSummed = 128;

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
  return convertReal(builder, block.loc, tile, block.real);
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
  return widen(*result, (1U << frame.size()) - 1);
}

BlockExpr::Result BlockExpr::definition(Operation *equation, ArrayRef<Evaluated> arguments) {
  if (!equation)
    return refuse("a value that another form makes");
  std::pair<const void *, SmallVector<int64_t>> key(equation, {});
  for (const Evaluated &argument : arguments)
    key.second.append({argument.axis, argument.place});
  if (auto found = known.find(key); found != known.end())
    return found->second;
  Result result = body(equation->getRegion(0), arguments);
  if (failed(result))
    return failure();
  if (!equation->getRegion(1).empty())
    return refuse("an equation with a domain");
  if (result->isIndex)
    return refuse("integers in an equation");
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
  if (op->getResult(0).getType().isIndex())
    return refuse("integers in an equation");
  SmallVector<Evaluated> operands;
  for (Value operand : op->getOperands()) {
    Result value = eval(operand);
    if (failed(value))
      return failure();
    if (value->isIndex && (value->axis >= 0 || !isa<ToRealOp>(op)))
      return refuse("numbers of positions or places in an equation");
    operands.push_back(*value);
  }
  Location loc = block.loc;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](ToRealOp) -> Result {
        return Evaluated{false, -1, 0, constant(static_cast<double>(operands[0].place), block.real),
                         0};
      })
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
    if (!value->isIndex)
      return refuse("an index that is computed");
    if (value->axis == kOtherAxis)
      return refuse("a sum for each place of a dim");
    operands.push_back(*value);
  }
  // Places that are known are numbers in it.
  SmallVector<AffineExpr> numbers;
  for (auto [position, operand] : llvm::enumerate(operands))
    numbers.push_back(operand.axis < 0
                          ? getAffineConstantExpr(operand.place, mixer.getContext())
                          : getAffineDimExpr(static_cast<unsigned>(position), mixer.getContext()));
  for (AffineExpr expr : op.getMap().getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      places.push_back(operands[dim.getPosition()]);
    else if (auto number = dyn_cast<AffineConstantExpr>(expr.replaceDims(numbers)))
      places.push_back({true, -1, number.getValue(), {}, 0});
    else
      return refuse("a read of another token or place than the own one");
  }
  if (auto found = bound.find(name); found != bound.end()) {
    if (isInSum)
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
  if (auto state = dyn_cast<StateOp>(source))
    return readState(state, places);
  // Other dims' places may be more or fewer.
  for (auto [place, dim] :
       llvm::zip_equal(places, chunk::dimsOf(source).getAsRange<FlatSymbolRefAttr>()))
    if (place.axis >= 0 ? frame[place.axis].dim != dim.getAttr() : place.place < 0)
      return refuse("a read with an index of another dim");
  if (auto tensor = dyn_cast<TensorOp>(source))
    return readTensor(tensor, places);
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
    if (value->isIndex)
      return refuse("integers in an equation");
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
  if (auto found = known.find(key); found != known.end())
    return found->second;
  const LaneArray array = arrayOf(tensor);
  if (array.dtype == SEQ_BOOL || array.dtype == SEQ_I32)
    return refuse("an input of integers");
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
    result.value = LLVM::LoadOp::create(builder, block.loc, type, base);
    result.value = convertReal(builder, block.loc, result.value, block.real);
  }
  known.insert({key, result});
  return result;
}

} // namespace seqmix::gpu
