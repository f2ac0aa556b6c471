//===- PairExpr.cpp - equations on tiles of pairs ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairExpr.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

PairExpr::PairExpr(MixerOp mixer, PairTiles &tiles, PairProducts &products, const PairRows &rows,
                   const PairGroups &groups)
    : mixer(mixer), tiles(tiles), products(products), block(tiles.block), builder(tiles.builder),
      loc(tiles.loc), rows(rows), groups(groups) {
  for (auto [dim, number] : rows.inner)
    numbers.insert(number);
}

SmallVector<PairValue> PairRows::places() const {
  SmallVector<PairValue> all;
  if (dim)
    all.push_back(PairValue::along(kRow));
  for (auto [own, number] : inner)
    all.push_back({number, {}, 0});
  return all;
}

bool PairExpr::isInner(Value number) const {
  return number && llvm::any_of(rows.inner, [&](const auto &own) { return own.second == number; });
}

void PairExpr::enterTile(const PairColumns &tile) {
  columns = tile;
  levels.back().known.clear();
}

void PairExpr::setProduced(StringAttr name, ArrayRef<int64_t> places, const PairValue &value) {
  results[{name.str(), llvm::to_vector(places)}] = value;
}

InFlightDiagnostic PairExpr::refuse(Operation *op, const Twine &what) {
  return emitError(op->getLoc()) << "not lowered for CUDA yet: " << what;
}

int64_t PairExpr::sizeOf(Attribute dim) const {
  auto op = cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(dim)));
  return op.getSize() ? static_cast<int64_t>(*op.getSize()) : -1;
}

Value PairExpr::extentOf(FlatSymbolRefAttr dim) {
  if (dim == tokenDimOf(mixer))
    return rows.length;
  for (auto [number, own] : llvm::enumerate(block.plan.dims)) {
    if (own.name != dim.getValue())
      continue;
    Value &extent = extents[static_cast<int32_t>(number)];
    if (!extent) {
      OpBuilder::InsertionGuard guard(builder);
      block.enterFront();
      extent = block.extentOf(static_cast<int32_t>(number), rows.length);
    }
    return extent;
  }
  llvm_unreachable("dims are in the plan");
}

LogicalResult PairExpr::fits(Operation *op, ArrayRef<PairValue> values) {
  if (PairTiles::united(values))
    return success();
  return refuse(op, "a value that varies over more than two dims at a pair of positions");
}

//===----------------------------------------------------------------------===//
// What values depend on
//===----------------------------------------------------------------------===//

bool PairExpr::varies(Value value, Axis axis) {
  if (isa<BlockArgument>(value))
    return bindings.lookup(value).varies(axis);
  return llvm::any_of(dependencies.of(value.getDefiningOp()), [&](BlockArgument argument) {
    return bindings.lookup(argument).varies(axis);
  });
}

bool PairExpr::varies(ArrayRef<Value> values, Axis axis) {
  return llvm::any_of(values, [&](Value value) { return varies(value, axis); });
}

Axes PairExpr::axesOf(Value value) {
  Axes axes;
  auto add = [&](Value argument) {
    for (Axis axis : bindings.lookup(argument).axes)
      if (!llvm::is_contained(axes, axis))
        axes.push_back(axis);
  };
  if (isa<BlockArgument>(value))
    add(value);
  else
    for (BlockArgument argument : dependencies.of(value.getDefiningOp()))
      add(argument);
  llvm::sort(axes);
  return axes;
}

bool PairExpr::dependsOn(Value value, BlockArgument argument) {
  return value == argument ||
         (!isa<BlockArgument>(value) &&
          llvm::is_contained(dependencies.of(value.getDefiningOp()), argument));
}

size_t PairExpr::levelOf(const PairValue &value) const {
  for (size_t level = levels.size() - 1; level > 0; --level)
    if (value.varies(levels[level].axis) || (value.value && value.value == levels[level].number))
      return level;
  // Of what is computed nobody knows where.
  return value.value && !isInner(value.value) ? levels.size() - 1 : 0;
}

size_t PairExpr::levelOf(Value value) {
  if (isa<BlockArgument>(value))
    return levelOf(bindings.lookup(value));
  size_t level = 0;
  for (BlockArgument argument : dependencies.of(value.getDefiningOp()))
    level = std::max(level, levelOf(bindings.lookup(argument)));
  return level;
}

LogicalResult PairExpr::atLevel(size_t level, llvm::function_ref<LogicalResult()> make) {
  if (level + 1 >= levels.size())
    return make();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(levels[level + 1].loop);
  std::vector<Level> inner;
  while (levels.size() > level + 1) {
    inner.push_back(std::move(levels.back()));
    levels.pop_back();
  }
  LogicalResult result = make();
  for (Level &one : llvm::reverse(inner))
    levels.push_back(std::move(one));
  return result;
}

const PairValue *PairExpr::find(const Key &key) const {
  for (const Level &level : llvm::reverse(levels))
    if (auto found = level.known.find(key); found != level.known.end())
      return &found->second;
  return nullptr;
}

PairExpr::Key PairExpr::keyOf(const void *what, ArrayRef<PairValue> places) const {
  Key key{what, {}};
  for (const PairValue &place : places) {
    key.second.append({place.offset, static_cast<int64_t>(reinterpret_cast<intptr_t>(
                                         place.value.getAsOpaquePointer()))});
    for (Axis axis : place.axes)
      key.second.push_back(axis);
    key.second.push_back(-1);
  }
  return key;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

PairExpr::Result PairExpr::body(Block &inner, ArrayRef<PairValue> arguments) {
  SmallVector<std::pair<Value, std::optional<PairValue>>> before;
  for (auto [argument, value] : llvm::zip_equal(inner.getArguments(), arguments)) {
    auto found = bindings.find(argument);
    before.push_back(
        {argument, found == bindings.end() ? std::nullopt : std::optional(found->second)});
    bindings[argument] = value;
  }
  llvm::scope_exit restore([&] {
    for (auto &[argument, value] : before)
      if (value)
        bindings[argument] = *value;
  });
  return eval(inner.getTerminator()->getOperand(0));
}

PairExpr::Result PairExpr::eval(Value value) {
  if (isa<BlockArgument>(value))
    return bindings.lookup(value);
  if (auto line = lines.find(value); line != lines.end())
    return line->second;
  Operation *op = value.getDefiningOp();
  SmallVector<PairValue> places;
  for (BlockArgument argument : dependencies.of(op))
    places.push_back(bindings.lookup(argument));
  Key key = keyOf(op, places);
  if (const PairValue *found = find(key))
    return *found;
  PairValue result;
  LogicalResult status = atLevel(levelOf(op->getResult(0)), [&]() -> LogicalResult {
    Result made = evalOp(op);
    if (failed(made))
      return failure();
    result = *made;
    remember(key, result);
    return success();
  });
  if (failed(status))
    return failure();
  return result;
}

PairExpr::Result PairExpr::evalOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](ConstantOp constant) -> Result {
        if (auto number = dyn_cast<FloatAttr>(constant.getValue()))
          return tiles.constant(number.getValueAsDouble());
        auto number = cast<IntegerAttr>(constant.getValue());
        if (number.getType().isInteger(1))
          return PairValue{arith::ConstantOp::create(builder, loc, number), {}, 0};
        return PairValue::index(number.getInt());
      })
      .Case([&](ExtentOp extent) -> Result {
        return PairValue{arith::TruncIOp::create(builder, loc, builder.getI32Type(),
                                                 extentOf(extent.getDimAttr())),
                         {},
                         0};
      })
      .Case([&](ToRealOp convert) -> Result {
        Result operand = eval(convert.getOperand());
        if (failed(operand))
          return failure();
        if (operand->isConstant())
          return tiles.constant(static_cast<double>(operand->offset));
        PairValue number = tiles.number(*operand);
        return PairValue{arith::SIToFPOp::create(
                             builder, loc, tiles.typeOf(number.axes, tiles.real), number.value),
                         number.axes, 0};
      })
      .Case([&](ReadOp other) { return read(other); })
      .Case([&](UnaryOp other) { return unary(other); })
      .Case([&](BinaryOp other) { return binary(other); })
      .Case([&](CompareOp other) { return compare(other); })
      .Case([&](SelectOp other) { return select(other); })
      .Case([&](ReduceOp other) { return reduce(other); })
      .Default([&](Operation *other) -> Result {
        refuse(other, "'" + other->getName().getStringRef() + "' at pairs of positions");
        return failure();
      });
}

PairExpr::Result PairExpr::unary(UnaryOp op) {
  if (auto places = op.getOperand().getDefiningOp<ReadOp>(); places && op.getType().isIndex())
    if (const KeptValue *kept = groups.find(places.getSourceAttr().getAttr());
        kept && kept->dtype == SEQ_I32 && isa<ProducedOp>(chunk::lookup(mixer, kept->name)))
      return integers(places);
  Result operand = eval(op.getOperand());
  if (failed(operand))
    return failure();
  const UnaryFn fn = op.getFn();
  PairValue x = *operand;
  if (op.getOperand().getType().isIndex()) {
    if (x.isConstant() && fn == UnaryFn::Neg)
      return PairValue::index(-x.offset);
    x = tiles.number(x);
    Value none = block.zero(x.value.getType());
    Value negated = arith::SubIOp::create(builder, loc, none, x.value);
    if (fn == UnaryFn::Neg)
      return PairValue{negated, x.axes, 0};
    if (fn == UnaryFn::Abs)
      return PairValue{arith::MaxSIOp::create(builder, loc, x.value, negated), x.axes, 0};
    return refuse(op, "this function of an integer"), failure();
  }
  if (fn == UnaryFn::Not) {
    Value all = tiles.spread(
        {arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true)), {}, 0}, x.axes);
    return PairValue{arith::XOrIOp::create(builder, loc, x.value, all), x.axes, 0};
  }
  if (fn == UnaryFn::Neg)
    return PairValue{arith::NegFOp::create(builder, loc, x.value), x.axes, 0};
  Value result = UnaryOp::create(builder, loc, x.value.getType(), fn, x.value);
  if (op.getType().isIndex())
    result =
        arith::FPToSIOp::create(builder, loc, tiles.typeOf(x.axes, builder.getI32Type()), result);
  return PairValue{result, x.axes, 0};
}

PairExpr::Result PairExpr::integer(Operation *op, BinaryFn fn, const PairValue &left,
                                   const PairValue &right) {
  if (left.isKnownIndex() && right.isConstant()) {
    PairValue moved = left;
    if (fn == BinaryFn::Add || fn == BinaryFn::Sub) {
      moved.offset += fn == BinaryFn::Add ? right.offset : -right.offset;
      return moved;
    }
    if (left.isConstant() && fn == BinaryFn::Mul)
      return PairValue::index(left.offset * right.offset);
  }
  PairValue both[] = {tiles.number(left), tiles.number(right)};
  if (failed(fits(op, both)))
    return failure();
  Axes axes = tiles.unify(both);
  Value a = both[0].value, b = both[1].value;
  auto made = [&](Value value) { return PairValue{value, axes, 0}; };
  switch (fn) {
  case BinaryFn::Add:
    return made(arith::AddIOp::create(builder, loc, a, b));
  case BinaryFn::Sub:
    return made(arith::SubIOp::create(builder, loc, a, b));
  case BinaryFn::Mul:
    return made(arith::MulIOp::create(builder, loc, a, b));
  case BinaryFn::Min:
    return made(arith::MinSIOp::create(builder, loc, a, b));
  case BinaryFn::Max:
    return made(arith::MaxSIOp::create(builder, loc, a, b));
  case BinaryFn::FloorDiv:
  case BinaryFn::Mod: {
    if (!right.isConstant() || right.offset <= 0)
      return refuse(op, "a quotient by what is no positive constant"), failure();
    // The remainder has the dividend's sign: a negative one is moved up by the divisor.
    Value rest = arith::RemSIOp::create(builder, loc, a, b);
    Value isNegative = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, rest,
                                             block.zero(rest.getType()));
    Value moved = arith::AddIOp::create(builder, loc, rest, b);
    rest = arith::SelectOp::create(builder, loc, isNegative, moved, rest);
    if (fn == BinaryFn::Mod)
      return made(rest);
    return made(
        arith::DivSIOp::create(builder, loc, arith::SubIOp::create(builder, loc, a, rest), b));
  }
  default:
    return refuse(op, "this function of integers"), failure();
  }
}

PairExpr::Result PairExpr::binary(BinaryOp op) {
  Result left = eval(op.getLhs()), right = eval(op.getRhs());
  if (failed(left) || failed(right))
    return failure();
  if (op.getType().isIndex())
    return integer(op, op.getFn(), *left, *right);
  PairValue both[] = {*left, *right};
  if (failed(fits(op, both)))
    return failure();
  const BinaryFn fn = op.getFn();
  if (fn == BinaryFn::Add)
    return tiles.add(both[0], both[1]);
  if (fn == BinaryFn::Mul)
    return tiles.multiply(both[0], both[1]);
  Axes axes = tiles.unify(both);
  Value a = both[0].value, b = both[1].value;
  if (fn == BinaryFn::Sub)
    return PairValue{arith::SubFOp::create(builder, loc, a, b, arith::FastMathFlags::contract),
                     axes, 0};
  if (fn == BinaryFn::And)
    return PairValue{arith::AndIOp::create(builder, loc, a, b), axes, 0};
  if (fn == BinaryFn::Or)
    return PairValue{arith::OrIOp::create(builder, loc, a, b), axes, 0};
  return PairValue{BinaryOp::create(builder, loc, fn, a, b), axes, 0};
}

/// Whether a value is made of sums over features that are not made once.
bool PairExpr::hasSums(Value value) {
  llvm::SetVector<Operation *> all;
  auto add = [&](Value next) {
    if (Operation *op = next.getDefiningOp())
      all.insert(op);
  };
  add(value);
  for (size_t number = 0; number < all.size(); ++number) {
    Operation *op = all[number];
    for (Value operand : op->getOperands())
      add(operand);
    if (auto reduce = dyn_cast<ReduceOp>(op)) {
      // Maxima and minima are the same in every order.
      if (!llvm::is_contained({ReduceKind::Max, ReduceKind::Min}, reduce.getKind()))
        return true;
      add(reduce.getBody().front().getTerminator()->getOperand(0));
    }
    auto read = dyn_cast<ReadOp>(op);
    if (read && !groups.isMadeOnce(read.getSourceAttr().getAttr()))
      if (auto define = dyn_cast<DefineOp>(chunk::lookup(mixer, read.getSourceAttr())))
        add(define.getBody().front().getTerminator()->getOperand(0));
  }
  return false;
}

PairExpr::Result PairExpr::compare(CompareOp op) {
  // They may be made anew elsewhere, in another order.
  if (op.getLhs().getType().isF64() &&
      llvm::is_contained({Predicate::Eq, Predicate::Ne}, op.getPredicate()) &&
      (hasSums(op.getLhs()) || hasSums(op.getRhs())))
    return refuse(op, "whether sums over features are equal"), failure();
  Result left = eval(op.getLhs()), right = eval(op.getRhs());
  if (failed(left) || failed(right))
    return failure();
  const bool isInteger = op.getLhs().getType().isIndex();
  PairValue both[] = {isInteger ? tiles.number(*left) : *left,
                      isInteger ? tiles.number(*right) : *right};
  if (failed(fits(op, both)))
    return failure();
  Axes axes = tiles.unify(both);
  Value a = both[0].value, b = both[1].value;
  const auto number = static_cast<unsigned>(op.getPredicate());
  if (isInteger || op.getLhs().getType().isInteger(1)) {
    constexpr arith::CmpIPredicate predicates[] = {
        arith::CmpIPredicate::eq,  arith::CmpIPredicate::ne,  arith::CmpIPredicate::slt,
        arith::CmpIPredicate::sle, arith::CmpIPredicate::sgt, arith::CmpIPredicate::sge};
    return PairValue{arith::CmpIOp::create(builder, loc, predicates[number], a, b), axes, 0};
  }
  constexpr arith::CmpFPredicate predicates[] = {
      arith::CmpFPredicate::OEQ, arith::CmpFPredicate::UNE, arith::CmpFPredicate::OLT,
      arith::CmpFPredicate::OLE, arith::CmpFPredicate::OGT, arith::CmpFPredicate::OGE};
  return PairValue{arith::CmpFOp::create(builder, loc, predicates[number], a, b), axes, 0};
}

PairExpr::Result PairExpr::select(SelectOp op) {
  Result condition = eval(op.getCondition()), whenTrue = eval(op.getWhenTrue()),
         whenFalse = eval(op.getWhenFalse());
  if (failed(condition) || failed(whenTrue) || failed(whenFalse))
    return failure();
  const bool isInteger = op.getType().isIndex();
  PairValue all[] = {*condition, isInteger ? tiles.number(*whenTrue) : *whenTrue,
                     isInteger ? tiles.number(*whenFalse) : *whenFalse};
  if (failed(fits(op, all)))
    return failure();
  return tiles.select(all[0], all[1], all[2]);
}

} // namespace seqmix::gpu
